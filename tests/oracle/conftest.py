"""What several tests of this folder ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.glibc import Glibc
from kit.runtimes import extract

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def old_libraries(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Glibc:
    """The libraries of a real glibc 2.17."""
    folder = tmp_path_factory.mktemp("glibc217")
    extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder)
    (found,) = {path.parent for path in folder.rglob("libc.so.6")}
    return Glibc(found)
