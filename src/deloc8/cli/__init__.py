"""The command line: argv, environment and streams; everything else is a value that other layers made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deloc8 import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one command: 0 done, 1 the wheel, 2 the command line, 3 a defect of deloc8, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:  # the one answer that must not wait for any import
        try:
            # Unlike a write, it does no harm where stdout is closed.
            print(f"deloc8 {__version__}", flush=True)  # noqa: T201  see above
        except OSError as error:
            from deloc8.cli.commands import unwritten  # noqa: PLC0415  only for this trouble

            return unwritten(error)
        return 0
    from deloc8.cli.commands import run  # noqa: PLC0415  see above

    return run(arguments)
