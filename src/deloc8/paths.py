"""Paths of this machine as text.

Everybody may give a `pathlib.Path`, and what is given out is one. But the module takes 3 ms to import, a twelfth of the
time of `deloc8 show` on a small wheel, so that what `show` does, it does without.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]


def file_name(path: StrPath) -> str:
    """The last part of a path, as `PurePath.name` tells it."""
    return os.path.basename(os.fspath(path).rstrip("/"))  # noqa: PTH119  see above


def read_beside(module: str, *names: str) -> bytes:
    """The contents of a file that comes with deloc8, by its path from the folder of a module's `__file__`."""
    with open(os.path.join(os.path.dirname(module), *names), "rb") as file:  # noqa: PTH118, PTH120, PTH123  see above
        return file.read()
