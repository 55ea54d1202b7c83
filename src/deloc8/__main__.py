"""`python -m deloc8`."""

from __future__ import annotations

import sys

from deloc8.cli import process

if __name__ == "__main__":
    sys.exit(process())
