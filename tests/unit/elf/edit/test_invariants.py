from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import ET_EXEC, ET_REL, MACHINES, Defined, ElfSpec, NoteSpec, Undefined, build_elf
from kit.patch import patch_entry, patch_number, patch_section, patch_segment
from kit.pyelf import dynamic_of, offset_of

if TYPE_CHECKING:
    from collections.abc import Callable

PT_LOAD, PT_DYNAMIC, PT_PHDR = 1, 2, 6
DT_STRSZ = 10
PROGRAM = ElfSpec(interpreter="/lib/ld.so", needed=("libc.so.6",))
DT_HASH, DT_RELAENT, DT_JMPREL, DT_VERSYM = 4, 9, 23, 0x6FFFFFF0
UNUSED = 0x7000_0035  # a tag that means nothing
SOME = (Undefined("a"), Undefined("b"))
VERSIONED = ElfSpec(needed=("liba.so.1",), undefined=(Undefined("f", "V_1", "liba.so.1"),), hash="both")
STATIC = ElfSpec(dynamic=False, type=ET_EXEC)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_sound_library_is_fit_to_be_loaded(machine: str) -> None:
    spec = MACHINES[machine]
    undefined = (Undefined("f", "V_1", "liba.so.1"),)
    data = build_elf(spec, needed=("liba.so.1",), soname="libdemo.so", rpath="$ORIGIN", undefined=undefined)
    assert broken_invariants(data, "x") == ()


@pytest.mark.parametrize(
    "spec",
    [
        PROGRAM,
        STATIC,
        ElfSpec(type=ET_REL),
        ElfSpec(sections=False, needed=("libc.so.6",)),
        ElfSpec(notes=(NoteSpec("GNU", 3, b"id"),), gnu_stack=None),
    ],
    ids=["program", "static", "object", "no-sections", "notes"],
)
def test_other_sound_files_are_fit_too(spec: ElfSpec) -> None:
    assert broken_invariants(build_elf(spec), "x") == ()


def without_phdr(data: bytes) -> bytes:
    """A static program whose only PT_LOAD begins behind the program headers."""
    return patch_segment(data, PT_LOAD, "p_filesz", 16)


@pytest.mark.parametrize(
    ("spec", "break_it", "said"),
    [
        (
            ElfSpec(),
            lambda data: patch_segment(data, PT_LOAD, "p_memsz", 1 << 30),
            "does not follow the one at 0x0",
        ),
        (
            STATIC,
            lambda data: patch_segment(data, PT_LOAD, "p_align", 1 << 24),
            "the PT_LOAD at 0x400000: p_offset and p_vaddr differ modulo p_align 0x1000000",
        ),
        (
            PROGRAM,
            lambda data: patch_segment(data, PT_PHDR, "p_offset", 0x80),
            "PT_PHDR says 0x80, the program headers stand at 0x40",
        ),
        (
            PROGRAM,
            lambda data: patch_segment(data, PT_PHDR, "p_vaddr", 0xDEAD000),
            "the segment of type 0x6 at 0xdead000 is not part of any PT_LOAD",
        ),
        (
            PROGRAM,
            lambda data: patch_segment(data, PT_PHDR, "p_vaddr", 0x48),
            "the segment of type 0x6 at 0x48 stands apart from its PT_LOAD in the file",
        ),
        (STATIC, without_phdr, "the program headers are not part of any PT_LOAD"),
        (
            ElfSpec(needed=("liba.so.1",), soname="libdemo.so"),
            lambda data: patch_entry(data, DT_STRSZ, len("\0liba.so.1\0libdemo.so")),
            "DT_STRTAB does not end with a NUL",
        ),
        (
            ElfSpec(needed=("liba.so.1",), undefined=(Undefined("f", "V_1", "libother.so"),)),
            lambda data: data,
            "versions are needed of libother.so, which is not among DT_NEEDED",
        ),
        (VERSIONED, lambda data: patch_entry(data, DT_VERSYM, 0, new_tag=UNUSED), "one is there without the other"),
        (
            replace(VERSIONED, undefined=(Undefined("g"),), defined=(Defined("h"),)),
            lambda data: patch_entry(data, DT_HASH, 0, new_tag=DT_VERSYM),
            "one is there without the other",
        ),
        (
            VERSIONED,
            lambda data: patch_number(data, offset_of(data, dynamic_of(data)["DT_VERNEED"]) + 16, 4, 7),
            "the version V_1 is looked for by a hash that is not its own",
        ),
        (
            VERSIONED,
            lambda data: patch_number(data, offset_of(data, dynamic_of(data)["DT_VERNEED"]), 2, 2),
            "DT_VERNEED is of another revision than 1",
        ),
        (
            VERSIONED,
            lambda data: patch_number(data, offset_of(data, dynamic_of(data)["DT_VERSYM"]) + 2, 2, 9),
            "DT_VERSYM has the number 9, which is beyond all versions",
        ),
        (
            replace(VERSIONED, undefined=(*VERSIONED.undefined, *SOME), functions="behind"),
            lambda data: patch_entry(data, DT_JMPREL, 0, new_tag=UNUSED),
            "DT_PLTREL is there without DT_JMPREL or DT_PLTRELSZ",
        ),
        (
            VERSIONED,
            lambda data: patch_entry(data, DT_RELAENT, 16),
            "an entry of the relocations of type 7 has another size than ld.so takes for granted",
        ),
        (
            ElfSpec(),
            lambda data: patch_section(data, ".dynamic", "sh_offset", 0),
            "the header of .dynamic says 0x0, PT_DYNAMIC says 0x",
        ),
    ],
)
def test_what_a_loader_could_stumble_over_is_told(spec: ElfSpec, break_it: Callable[[bytes], bytes], said: str) -> None:
    data = build_elf(spec)
    assert any(said in line for line in broken_invariants(break_it(data), "x"))


def test_an_alignment_of_zero_or_one_asks_for_nothing() -> None:
    for align in (0, 1):
        assert broken_invariants(patch_segment(build_elf(STATIC), PT_LOAD, "p_align", align), "x") == ()


def test_an_alignment_of_two_asks_for_something() -> None:
    data = patch_segment(build_elf(STATIC), PT_LOAD, "p_align", 2)
    assert broken_invariants(data, "x") == ()
    (line,) = broken_invariants(patch_segment(data, PT_LOAD, "p_vaddr", 0x400001), "x")
    assert line.endswith("p_offset and p_vaddr differ modulo p_align 0x2")


def test_a_segment_without_bytes_in_the_file_may_stand_anywhere_there() -> None:
    data = patch_segment(build_elf(PROGRAM), PT_PHDR, "p_vaddr", 0x48)
    assert broken_invariants(patch_segment(data, PT_PHDR, "p_filesz", 0), "x") == ()


def test_a_segment_right_behind_the_last_one_is_not_mapped() -> None:
    data = build_elf(PROGRAM)
    view = View.open(data, "x")
    ends = [segment.vaddr + segment.memsz for segment in view.segments if segment.type == PT_LOAD]
    for end in ends:
        lines = broken_invariants(patch_segment(data, PT_PHDR, "p_vaddr", end), "x")
        assert f"the segment of type 0x6 at 0x{end:x} is not part of any PT_LOAD" in lines


def test_a_segment_that_takes_no_memory_need_not_be_mapped() -> None:
    data = patch_segment(build_elf(PROGRAM), PT_PHDR, "p_vaddr", 0xDEAD000)
    assert broken_invariants(patch_segment(data, PT_PHDR, "p_memsz", 0), "x") == ()


def test_several_faults_are_all_told() -> None:
    data = patch_section(build_elf(ElfSpec(type=ET_EXEC)), ".dynamic", "sh_offset", 0)
    data = patch_segment(data, PT_LOAD, "p_align", 1 << 24)
    assert len(broken_invariants(data, "x")) == 2


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    data = build_elf(ElfSpec())
    end = max(segment.offset + segment.filesz for segment in View.open(data, "x").segments)
    with pytest.raises(ElfError, match="`x`"):
        broken_invariants(data[: end - 1], "x")
