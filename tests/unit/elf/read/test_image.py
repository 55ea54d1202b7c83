"""The image of a whole file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deloc8.elf.read.dynamic import Dynamic
from deloc8.elf.read.image import parse, parse_defined, parse_defined_names
from deloc8.elf.read.symbols import DefinedSymbol, UndefinedSymbol
from deloc8.errors import ElfError
from deloc8.target import Arch
from kit.elf import ET_EXEC, ET_REL, MACHINES, Defined, ElfSpec, NoteSpec, Undefined, build_elf
from kit.patch import patch_header

PIE = 0x08000000


def test_a_library() -> None:
    image = parse(
        build_elf(
            needed=("libc.so.6",),
            soname="libdemo.so.1",
            undefined=(Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),),
            defined=(Defined("one", "DEMO_1"),),
            notes=(NoteSpec("GNU", 3, b"\x01\x02"),),
        ),
        "libdemo.so.1",
    )
    assert (image.bits, image.little_endian, image.machine, image.flags, image.type) == (64, True, 62, 0, 3)
    assert image.dynamic == Dynamic(needed=("libc.so.6",), soname="libdemo.so.1")
    assert (image.needed, image.soname) == (("libc.so.6",), "libdemo.so.1")
    assert image.undefined == (UndefinedSymbol("memcpy", "GLIBC_2.14", "libc.so.6", weak=False),)
    assert [need.file for need in image.version_needs] == ["libc.so.6"]
    assert [version.name for version in image.defined_versions] == ["libdemo.so.1", "DEMO_1"]
    assert [note.description for note in image.notes] == [b"\x01\x02"]
    assert len(image.segments) == 5
    assert image.sections
    assert image.interpreter is None
    assert not image.is_executable


@pytest.mark.parametrize("machine", MACHINES)
def test_machines(machine: str) -> None:
    image = parse(build_elf(MACHINES[machine]), "lib.so")
    assert image.arch == next((arch for arch in Arch if arch.value == machine), None)


def test_defined_symbols() -> None:
    data = build_elf(defined=(Defined("one", "DEMO_1"), Defined("two")))
    assert sorted(parse_defined(data, "lib.so"), key=str) == [
        DefinedSymbol("one", "DEMO_1", 1, default=True),
        DefinedSymbol("two", None, 1, default=True),
    ]
    assert parse_defined_names(data, "lib.so") == {"one", "two"}


@pytest.mark.parametrize("spec", [ElfSpec(dynamic=False, type=ET_EXEC), ElfSpec(type=ET_REL)])
def test_no_dynamic_section(spec: ElfSpec) -> None:
    data = build_elf(spec)
    image = parse(data, "prog")
    assert image.dynamic is None
    assert (image.needed, image.soname) == ((), None)
    assert (image.version_needs, image.defined_versions, image.undefined) == ((), (), ())
    assert parse_defined(data, "prog") == ()
    assert parse_defined_names(data, "prog") == frozenset()


@pytest.mark.parametrize(
    ("spec", "program"),
    [
        (ElfSpec(), False),
        (ElfSpec(type=ET_EXEC), True),
        (ElfSpec(type=ET_EXEC, dynamic=False), True),
        (ElfSpec(type=ET_REL), False),
        (ElfSpec(dt_flags_1=PIE), True),
        (ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2"), True),
        (ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", dt_flags_1=PIE), True),
        # libc.so.6 can be run, and is a library
        (ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", soname="libc.so.6"), False),
        (ElfSpec(dynamic=False), False),
    ],
)
def test_programs(spec: ElfSpec, program: bool) -> None:  # noqa: FBT001  a parameter of the test
    assert parse(build_elf(spec), "x").is_executable is program


def test_a_core_dump_is_no_program() -> None:
    data = patch_header(build_elf(interpreter="/lib64/ld-linux-x86-64.so.2"), "e_type", 4)  # ET_CORE
    assert not parse(data, "core").is_executable


def test_interpreter() -> None:
    image = parse(build_elf(interpreter="/lib/ld-musl-x86_64.so.1", sections=False), "prog")
    assert image.interpreter == "/lib/ld-musl-x86_64.so.1"


def test_interpreter_outside_the_file() -> None:
    data = bytearray(build_elf(interpreter="/lib/ld.so", sections=False))
    data[64 + 56 + 8 + 7] = 0x7F  # the top byte of its p_offset
    with pytest.raises(ElfError) as caught:
        parse(bytes(data), "prog")
    assert caught.value.context[0].startswith("PT_INTERP at offset 0x7f")


def test_the_name_of_the_file_is_in_the_error() -> None:
    for read in (parse, parse_defined, parse_defined_names):
        with pytest.raises(ElfError) as caught:
            read(b"MZ", "numpy/core/x.so")
        assert caught.value.message == "`numpy/core/x.so` is not a sound ELF file"


def test_without_section_headers_the_same() -> None:
    spec = replace(
        MACHINES["s390x"],
        needed=("libc.so.6",),
        undefined=(Undefined("memcpy", "GLIBC_2.2", "libc.so.6"),),
        notes=(NoteSpec("GNU", 3, b"\x01\x02"),),
    )
    full, bare = parse(build_elf(spec), "x"), parse(build_elf(spec, sections=False), "x")
    assert bare.sections == ()
    assert (full.dynamic, full.version_needs, full.undefined) == (bare.dynamic, bare.version_needs, bare.undefined)
    assert full.notes == bare.notes
