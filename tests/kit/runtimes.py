"""Root folders with one Python and one C library, from archives."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from kit.distribution import Root

if TYPE_CHECKING:
    from pathlib import Path


def extract(archive: Path, folder: Path) -> Path:
    """Return the one folder that an archive has at its top, unpacked into `folder`."""
    with tarfile.open(archive) as packed:
        # Not every 3.10 and 3.11 has filters (PEP 706; Debian 12 has 3.11.2), and 3.12 warns where none is named.
        if hasattr(tarfile, "tar_filter"):
            packed.extractall(folder, filter="tar")
        else:
            packed.extractall(folder)  # noqa: S202  our own archives
    (top,) = folder.iterdir()
    return top


def make_root(folder: Path, python: Path) -> Root:
    """A root folder with a Python in /usr and nothing else."""
    for name in ("dev", "proc", "tmp", "mnt", "lib", "etc"):
        (folder / name).mkdir(parents=True)
    python.rename(folder / "usr")
    return Root(path=folder)
