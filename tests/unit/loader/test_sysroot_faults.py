"""A library that the machine could not look for is not a missing one; one that changes meanwhile is an error."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.read.image import ElfImage
from deloc8.elf.read.image import parse as elf_parse
from deloc8.errors import InputError, SystemFault
from deloc8.loader import sysroot as module
from deloc8.loader.ldconf import library_folders
from deloc8.loader.sysroot import Fault, NoImage, Sysroot
from deloc8.target import Arch
from kit.elf import ElfSpec, build_elf
from kit.system import System

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OF_THE_MACHINE = (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
# For these ld.so goes on to the next folder, too.
OF_THE_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)

LIBRARY = "/lib/liba.so"


@pytest.fixture
def system(tmp_path: Path) -> System:
    found = System(tmp_path / "root")
    found.library(LIBRARY, ElfSpec(soname="liba.so"))
    found.symlink("/lib/libb.so", "liba.so")
    return found


def refuse(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


QUESTIONS: dict[str, tuple[str, Callable[[Sysroot], object]]] = {
    "a link": ("readlink", lambda root: root.real_path(LIBRARY)),
    "a folder": ("stat", lambda root: root.real_path("/lib/../lib/liba.so")),
    "an image": ("open", lambda root: root.image(LIBRARY)),
    "the kind of a file": ("stat", lambda root: root.image(LIBRARY)),
    "the names in a folder": ("listdir", lambda root: root.list("/lib")),
    "what a file is": ("lstat", lambda root: root.identity(LIBRARY)),
    "contents": ("open", lambda root: root.read(LIBRARY)),
    "contents in pieces": ("open", lambda root: list(root.pieces(LIBRARY))),
}
READS: dict[str, tuple[str, Callable[[Sysroot], object]]] = {
    "an image": ("preadv", lambda root: root.image(LIBRARY)),
    "contents": ("preadv", lambda root: root.read(LIBRARY)),
    "pieces": ("read", lambda root: list(root.pieces(LIBRARY))),
}


@pytest.mark.parametrize("number", OF_THE_MACHINE)
@pytest.mark.parametrize("question", [*QUESTIONS, *(f"reading {name}" for name in READS)])
def test_what_the_machine_does_not_tell_is_a_fault(
    system: System, monkeypatch: pytest.MonkeyPatch, question: str, number: int
) -> None:
    call, ask = QUESTIONS[question] if question in QUESTIONS else READS[question.removeprefix("reading ")]
    root = system.sysroot
    if call in {"open", "lstat"}:
        root.real_path(LIBRARY)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(number))
        with pytest.raises(SystemFault) as caught:
            ask(root)
    assert caught.value.code in {"read-failed", "no-memory", "too-many-open-files"}
    assert "/lib" in caught.value.message


@pytest.mark.parametrize("number", OF_THE_PATH)
def test_what_a_path_explains_is_what_a_loader_makes_of_it(
    system: System, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    answers = []
    for question, (call, ask) in QUESTIONS.items():
        if question in {"contents", "contents in pieces"}:
            continue
        root = system.sysroot
        if call in {"open", "lstat"}:
            root.real_path(LIBRARY)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse(number))
            answers.append(ask(root))
    unreadable = NoImage(fault=Fault.UNREADABLE, reason=os.strerror(number))
    assert answers == [None, None, unreadable, unreadable, (), LIBRARY]
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse(number))
        with pytest.raises(InputError) as caught:
            root.read(LIBRARY)
    assert caught.value.code == "unreadable-library"


def test_folders_of_a_cache_that_cannot_be_read_are_not_left_out(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.write("/etc/ld.so.conf", "/opt/lib\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", refuse(errno.EIO))
        with pytest.raises(SystemFault):
            library_folders(system.sysroot, Arch.X86_64)


@pytest.mark.parametrize("size", [100, 1 << 19])
@pytest.mark.parametrize("change", ["shorter", "longer", "touched"])
def test_a_library_that_is_written_to_while_its_image_is_taken(
    system: System, monkeypatch: pytest.MonkeyPatch, size: int, change: str
) -> None:
    place = system.top / LIBRARY[1:]
    place.write_bytes(build_elf(ElfSpec(soname="liba.so")) + bytes(size))
    length = place.stat().st_size
    honest = elf_parse
    changes: dict[str, Callable[[], object]] = {
        "shorter": lambda: os.truncate(place, 100),
        "longer": lambda: os.truncate(place, length + 1),
        "touched": lambda: os.utime(place, ns=(1, 1)),
    }

    def parse(data: bytes, name: str) -> ElfImage:
        changes[change]()
        return honest(data, name)

    root = system.sysroot
    assert isinstance(system.sysroot.image(LIBRARY), ElfImage)
    monkeypatch.setattr(module, "parse", parse)
    with pytest.raises(SystemFault) as caught:
        root.image(LIBRARY)
    assert caught.value.code == "library-changed"


@pytest.mark.parametrize("way", ["read", "look", "pieces"])
@pytest.mark.parametrize("change", ["truncate", "write"])
def test_a_library_that_is_written_to_while_it_is_read(
    system: System, monkeypatch: pytest.MonkeyPatch, way: str, change: str
) -> None:
    place = system.top / LIBRARY[1:]
    place.write_bytes(os.urandom(1 << 20))

    def spoil() -> None:
        os.truncate(place, 1000) if change == "truncate" else place.write_bytes(os.urandom(1 << 20))

    if way == "look":
        with pytest.raises(SystemFault) as caught, system.sysroot.look(LIBRARY):
            spoil()
    else:
        call = {"read": "preadv", "pieces": "read"}[way]
        honest: Callable[..., object] = getattr(os, call)

        def once(*arguments: object) -> object:
            found = honest(*arguments)
            spoil()
            return found

        root = system.sysroot
        monkeypatch.setattr(os, call, once)
        with pytest.raises(SystemFault) as caught:
            list(root.pieces(LIBRARY)) if way == "pieces" else root.read(LIBRARY)
    assert caught.value.code == "library-changed"


def test_whether_a_library_has_changed_must_be_known(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    root = system.sysroot
    with monkeypatch.context() as patch, pytest.raises(SystemFault) as caught, root.look(LIBRARY):
        patch.setattr(os, "fstat", refuse(errno.ESTALE))
    assert caught.value.code == "read-failed"


def test_a_library_that_is_cut_before_it_is_read(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.preadv

    def preadv(descriptor: int, rooms: list[memoryview], offset: int) -> int:
        os.truncate(system.top / LIBRARY[1:], 10)
        return honest(descriptor, rooms, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(SystemFault) as caught:
        system.sysroot.read(LIBRARY)
    assert caught.value.code == "library-changed"


def test_an_interruption_is_no_change(system: System) -> None:
    with pytest.raises(KeyboardInterrupt), system.sysroot.look(LIBRARY):  # noqa: PT012  the block is the test
        os.truncate(system.top / LIBRARY[1:], 10)
        raise KeyboardInterrupt


def test_a_library_that_cannot_be_closed_was_read_well(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.close

    def close(descriptor: int) -> None:
        honest(descriptor)
        refuse(errno.EIO)()

    root = system.sysroot
    monkeypatch.setattr(os, "close", close)
    assert bytes(root.read(LIBRARY)) == build_elf(ElfSpec(soname="liba.so"))
