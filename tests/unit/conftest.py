"""What several units stand on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from deloc8.audit import images
from deloc8.repair.lowering import compat_library as compatlib
from deloc8.target import Arch
from deloc8.wheel import writer
from kit.elf import Defined, ElfSpec, build_elf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _threads_for_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels of tests are small; what threads change shall show all the same."""
    monkeypatch.setattr(images, "_LITTLE", -1)
    monkeypatch.setattr(writer, "_LITTLE", -1)


@pytest.fixture
def compat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A compatibility library that stands for the built one: the functions of that, by the same names."""
    names = sorted(compatlib.provided(Arch.X86_64))
    spec = ElfSpec(soname=compatlib.SONAME, needed=("libc.so.6",), defined=tuple(Defined(name) for name in names))
    data = tmp_path / "data"
    (data / "compat").mkdir(parents=True)
    shutil.copy(compatlib._DATA / "compat.json", data)
    library = data / "compat/x86_64.so"
    library.write_bytes(build_elf(spec))
    monkeypatch.setattr(compatlib, "_DATA", data)
    return library
