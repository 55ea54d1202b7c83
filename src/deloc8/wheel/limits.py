"""How large the parts of a wheel may be: two or more times what the largest published wheels have."""

from __future__ import annotations

MOST_MEMBERS = 80_000
"""Members, and rows of RECORD."""

MOST_FOLDERS = 40_000
"""Folders that hold a member, and those that hold these."""

LONGEST_PATH = 1024
"""Bytes of a path: a quarter of what Linux takes, as it will stand below a folder of an environment."""

DEEPEST_PATH = 100
"""Parts of a path."""

LARGEST_DIRECTORY = 16 << 20
"""Bytes of the directory of the archive."""

LARGEST_WHEEL = 1 << 20
"""Bytes of WHEEL; real ones have some hundreds."""

LARGEST_METADATA = 1 << 20
"""Bytes of METADATA, which has the README in it."""

LARGEST_RECORD = 16 << 20
"""Bytes of RECORD."""
