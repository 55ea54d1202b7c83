"""The relocations of lowered files: what the proof says of files that other hands have changed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from elftools.elf.elffile import ELFFile

from deloc8.elf.edit.vocabulary import BindToZero, SetSoname, UnpackRelocations
from deloc8.elf.edit.writer import edit
from deloc8.errors import ElfError
from deloc8.repair.lowering.proof import planned_relocations, relocation_problems
from kit.elf import MACHINES, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import patch_entry, patch_number, patch_segment
from kit.pyelf import dynamic_of, offset_of, relocations_of

SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
SPEC = ElfSpec(
    needed=("libc.so.6",),
    undefined=(
        *(Undefined("puts", "GLIBC_2.2.5", "libc.so.6"), SINGLE, Undefined("__libc_single_threaded")),
        Undefined("other", "GLIBC_2.32", "libc.so.6"),
    ),
    needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),),
    relr=True,
)
ZERO = BindToZero(symbol="__libc_single_threaded", old="GLIBC_2.32")
EDITS = (SetSoname(soname="libdemo.so"), ZERO, UnpackRelocations())
PLANNED = "lib.so: its relocations are not what was planned"
PACKED = "lib.so: its packed relocations are not what was planned"
NO_ZERO = "lib.so: a variable that should be a constant of zero is none"


def for_machine(name: str) -> bytes:
    base = MACHINES[name]
    spec = replace(SPEC, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags)
    return build_elf(spec, align=base.align)


def problems(old: bytes, new: bytes, *edits: SetSoname | BindToZero | UnpackRelocations) -> list[str]:
    return list(relocation_problems(planned_relocations(old, edits or EDITS, "lib.so"), new, "lib.so"))


@pytest.mark.parametrize("machine", [name for name in MACHINES if name != "s390"])
@pytest.mark.parametrize("edits", [EDITS, EDITS[:2], EDITS[::2]])
def test_what_the_editor_makes_is_as_planned(
    machine: str, edits: tuple[SetSoname | BindToZero | UnpackRelocations, ...]
) -> None:
    data = for_machine(machine)
    edited = edit(data, edits, "lib.so").data
    assert problems(data, edited, *edits) == []
    assert problems(data, data, *edits) != []
    # What is done for one edit is not done for another.
    if edits is EDITS:
        assert problems(data, edited, *edits[:2]) == [PACKED, PLANNED]
        assert PLANNED in problems(data, edited, *edits[::2])


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize(
    ("field", "value"), [(0, 0x10), (8, 6), (12, 4), (16, 0x40)], ids=["address", "kind", "symbol", "addend"]
)
def test_a_relocation_that_is_another_is_found_out(row: int, field: int, value: int) -> None:
    data = build_elf(SPEC)
    edited = edit(data, EDITS, "lib.so").data
    place = offset_of(edited, dynamic_of(edited)["DT_RELA"]) + 24 * row + field
    kind = 4 if field in {8, 12} else 8
    if int.from_bytes(edited[place : place + kind], "little") == value:
        value += 1
    assert set(problems(data, patch_number(edited, place, kind, value))) & {PLANNED, NO_ZERO}


def test_a_constant_that_is_placed_elsewhere_is_missed() -> None:
    data = build_elf(SPEC)
    edited = edit(data, EDITS, "lib.so").data
    (row,) = (row for row, (_, _, _, addend) in enumerate(relocations_of(edited)) if addend == 0x0F)
    place = offset_of(edited, dynamic_of(edited)["DT_RELA"]) + 24 * row
    assert problems(data, patch_number(edited, place, 8, 0x10)) == [PLANNED, NO_ZERO]


def test_only_a_byte_of_zero_that_nobody_writes_to_is_a_constant_of_zero() -> None:
    data = build_elf(SPEC)
    edited = edit(data, EDITS, "lib.so").data + b"\0"  # what stands behind the last segment is not in memory
    (row,) = (row for row, (_, _, _, addend) in enumerate(relocations_of(edited)) if addend == 0x0F)
    place = offset_of(edited, dynamic_of(edited)["DT_RELA"]) + 24 * row + 16
    segments = list(ELFFile(io.BytesIO(edited)).iter_segments("PT_LOAD"))
    ends = [s["p_vaddr"] + s["p_filesz"] for s in segments if not s["p_flags"] & 2]
    strings = dynamic_of(edited)["DT_STRTAB"]  # begins with a zero, and does not stand at its offset
    assert offset_of(edited, strings) != strings

    def said(address: int) -> list[str]:
        return problems(data, patch_number(edited, place, 8, address))

    assert said(strings) == []
    assert said(strings + 1) == [NO_ZERO]
    for end in ends:
        assert said(end) == [NO_ZERO]
    writable = next(s["p_vaddr"] for s in segments if s["p_flags"] & 2)
    assert edited[offset_of(edited, writable + 4)] == 0
    assert said(writable + 4) == [NO_ZERO]


def test_a_word_that_is_another_is_found_out() -> None:
    """Where relocations have no addends of their own."""
    data = for_machine("i686")
    edited = edit(data, EDITS, "lib.so").data
    assert problems(data, edited) == []
    for address, *_ in relocations_of(edited):
        assert problems(data, patch_number(edited, offset_of(edited, address), 4, 0x777))


def test_a_constant_must_be_zero_and_stay_so() -> None:
    data = build_elf(SPEC)
    edited = edit(data, EDITS, "lib.so").data
    assert problems(data, patch_number(edited, 15, 1, 7)) == [NO_ZERO]
    assert problems(data, patch_segment(edited, 1, "p_flags", 7)) == [NO_ZERO]


def test_more_relative_relocations_are_announced_than_there_are() -> None:
    data = build_elf(replace(SPEC, relocations=False))
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    assert problems(data, edited, UnpackRelocations()) == []
    data = build_elf(SPEC, entries=((0x6FFFFFF9, 0),))  # DT_RELACOUNT
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    assert dynamic_of(edited)["DT_RELACOUNT"] == 1
    assert problems(data, edited, UnpackRelocations()) == []
    lie = patch_entry(edited, 0x6FFFFFF9, 2)
    assert problems(data, lie, UnpackRelocations()) == [
        "lib.so: it says that more of its relocations are relative than are"
    ]
    # Whatever the number of the other kind.
    place = offset_of(data, dynamic_of(data)["DT_RELA"]) + 8
    for kind in (18, 9):  # R_X86_64_TPOFF64, R_X86_64_GOTPCREL
        other = patch_number(data, place, 4, kind)
        lie = patch_entry(edit(other, [UnpackRelocations()], "lib.so").data, 0x6FFFFFF9, 2)
        assert len(problems(other, lie, UnpackRelocations())) == 1
    # That one of them has a symbol, too, makes no difference to a loader.
    other = patch_number(patch_number(data, place, 4, 8), place + 4, 4, 3)
    truth = patch_entry(edit(other, [UnpackRelocations()], "lib.so").data, 0x6FFFFFF9, 2)
    assert problems(other, truth, UnpackRelocations()) == []


def test_a_word_that_the_file_does_not_have() -> None:
    """A relocation of memory that no file contents fill has no word to add."""
    data = for_machine("i686")
    (first, *_) = relocations_of(data)
    place = offset_of(data, dynamic_of(data)["DT_REL"])
    data = patch_number(data, place, 4, 0x7000_0000)
    assert first[0] != 0x7000_0000
    edited = edit(data, EDITS, "lib.so").data
    assert problems(data, edited) == []


def test_a_file_without_a_dynamic_section() -> None:
    with pytest.raises(ElfError):
        problems(build_elf(dynamic=False), build_elf(SPEC))


@pytest.mark.parametrize("tag", [6, 0x6FFFFFF0])  # DT_SYMTAB, DT_VERSYM
def test_a_file_without_versions_has_no_symbol_of_one(tag: int) -> None:
    data = patch_entry(build_elf(SPEC), tag, 0, new_tag=0x7000_0035)
    assert problems(data, data, ZERO) == []
