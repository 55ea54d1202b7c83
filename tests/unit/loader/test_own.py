from __future__ import annotations

import pytest

from deloc8.loader.own import OwnLibraries, are_one_build, own_names
from deloc8.loader.search import Located
from deloc8.target import Libc
from kit.elf import Defined, ElfSpec, NoteSpec
from kit.system import image_of

WHEEL = "/.wheel/pkg/"
ONE, TWO = ((NoteSpec("GNU", 3, bytes([number]) * 20),) for number in (1, 2))


def names(libc: Libc, **files: str | None) -> dict[str, str]:
    """The file that each name leads to; `files` are sonames by the file names' key."""
    located = [Located(f"{WHEEL}{name}", image_of(ElfSpec(soname=soname))) for name, soname in files.items()]
    found = own_names(located, libc)
    return {name: " ".join(path.removeprefix(WHEEL) for path in paths) for name, paths in found.items()}


def test_a_library_is_asked_for_by_its_soname_and_by_its_file_name() -> None:
    assert names(Libc.GLIBC, **{"own.so": "libx.so.1"}) == {"own.so": "own.so", "libx.so.1": "own.so"}
    assert names(Libc.GLIBC, **{"own.so": None}) == {"own.so": "own.so"}


@pytest.mark.parametrize("libc", [Libc.GLIBC, Libc.MUSL, Libc.ANDROID])
def test_of_several_copies_that_counts_which_has_its_soname_for_a_file_name(libc: Libc) -> None:
    copies = dict.fromkeys(("libx.so", "libx.so.1", "libx.so.1.2"), "libx.so.1")
    found = names(libc, **copies)
    assert found == {"libx.so": "libx.so", "libx.so.1": "libx.so.1", "libx.so.1.2": "libx.so.1.2"}


def test_glibc_knows_a_library_by_its_soname_and_musl_by_its_file_name() -> None:
    files = {"libx.so.1": "liby.so.1", "own.so": "libx.so.1"}
    assert names(Libc.GLIBC, **files)["libx.so.1"] == "own.so"
    assert names(Libc.MUSL, **files)["libx.so.1"] == "libx.so.1"
    assert names(Libc.MUSL, **files)["liby.so.1"] == "libx.so.1"


def test_all_copies_of_one_name_count_that_are_called_alike() -> None:
    assert names(Libc.GLIBC, **{"a.so": "libx.so.1", "b.so": "libx.so.1"})["libx.so.1"] == "a.so b.so"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (ElfSpec(), ElfSpec(), False),
        (ElfSpec(defined=(Defined("x"),), notes=ONE), ElfSpec(notes=ONE, rpath="/x"), True),
        (ElfSpec(notes=ONE), ElfSpec(notes=TWO), False),
        (ElfSpec(notes=ONE), ElfSpec(), False),
    ],
)
def test_one_build_is_told_by_its_id(first: ElfSpec, second: ElfSpec, *, expected: bool) -> None:
    assert are_one_build(image_of(first), image_of(second)) is expected


def test_a_program_is_no_library() -> None:
    program = Located(f"{WHEEL}libx.so", image_of(ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", type=2)))
    assert own_names([program], Libc.GLIBC) == {}


def test_without_libraries_nothing_wins() -> None:
    none = OwnLibraries({})
    assert not none.covers("/usr/lib/libx.so")
    assert none.instead_of("/usr/lib/libx.so", ("libx.so", "libx.so")) == ()
