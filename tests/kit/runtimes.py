"""Root folders with one Python and one C library, from archives."""

from __future__ import annotations

import sys
import tarfile
from typing import TYPE_CHECKING

from kit.distribution import Root

if TYPE_CHECKING:
    from pathlib import Path


def extract(archive: Path, folder: Path) -> Path:
    """The one folder that an archive has at its top."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="tar") if sys.version_info >= (3, 12) else packed.extractall(folder)  # noqa: S202  our own archives
    (top,) = folder.iterdir()
    return top


def make_root(folder: Path, python: Path) -> Root:
    """A root folder with a Python in /usr and nothing else."""
    for name in ("dev", "proc", "tmp", "mnt", "lib", "etc"):
        (folder / name).mkdir(parents=True)
    python.rename(folder / "usr")
    return Root(path=folder)
