"""Relocation tables of every kind, read back by pyelftools."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import replace

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from deloc8.elf.edits import BindToZero, UnpackRelocations
from deloc8.elf.invariants import broken_invariants
from deloc8.elf.writer import edit
from kit.elf import MACHINES, ElfSpec, Undefined, build_elf
from kit.patch import patch_entry
from kit.pyelf import RELATIVE, dynamic_of, offset_of, relocations_of

DT_RELRSZ, DT_RELR = 35, 36
UNUSED = 0x7000_0035  # a tag that means nothing
SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
ZERO = BindToZero(symbol="__libc_single_threaded", old="GLIBC_2.32")
SPEC = ElfSpec(needed=("libc.so.6",), undefined=(Undefined("puts", "GLIBC_2.2.5", "libc.so.6"), SINGLE))


def for_machine(machine: str, spec: ElfSpec) -> ElfSpec:
    base = MACHINES[machine]
    return replace(
        spec, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags, align=base.align
    )


def packed_of(data: bytes) -> list[int]:
    """What DT_RELR relocates, by pyelftools."""
    segment = next(ELFFile(io.BytesIO(data)).iter_segments("PT_DYNAMIC"))
    assert isinstance(segment, DynamicSegment)
    return [row["r_offset"] for row in segment.get_relocation_tables()["RELR"].iter_relocations()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_bitmaps_count_on_from_where_the_last_word_ended(machine: str, seed: int) -> None:
    """gABI, "Relocation" (DT_RELR): an even word is an address, an odd one a bitmap of as many words as it has bits."""
    spec = for_machine(machine, replace(SPEC, relr=True, payload=bytes(8192)))
    data, width = build_elf(spec), spec.bits // 8
    section = next(s for s in ELFFile(io.BytesIO(data)).iter_sections() if s.name == ".rodata")
    home, offset = section["sh_addr"], section["sh_offset"]
    chance = random.Random(seed)  # noqa: S311  test data
    full, half = (1 << spec.bits) - 1, 1 << (spec.bits - 1) | 1
    words = [home + 1024, full, half, chance.getrandbits(spec.bits) | 1, 1, chance.getrandbits(spec.bits) | 1]
    words += [home + 6144, chance.getrandbits(spec.bits) | 1, home + 8000]
    code = ("<" if spec.little_endian else ">") + {4: "I", 8: "Q"}[width] * len(words)
    data = data[:offset] + struct.pack(code, *words) + data[offset + len(words) * width :]
    data = patch_entry(patch_entry(data, DT_RELR, home), DT_RELRSZ, len(words) * width)
    wanted = packed_of(data)
    assert len(wanted) > spec.bits
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    found = [row[0] for row in relocations_of(edited) if row[1] == RELATIVE[spec.machine]]
    assert found == wanted
    assert broken_invariants(edited, "lib.so") == ()


def test_what_packed_relocations_leave_behind_has_no_entries() -> None:
    edited = edit(build_elf(replace(SPEC, relr=True)), [UnpackRelocations()], "lib.so").data
    (section,) = (s for s in ELFFile(io.BytesIO(edited)).iter_sections() if s.name == ".relr.dyn")
    assert (section["sh_type"], section["sh_entsize"]) == ("SHT_PROGBITS", 0)


@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "i686"])
def test_the_section_of_the_table_goes_where_the_table_goes(machine: str, *, has_table: bool) -> None:
    data = build_elf(for_machine(machine, replace(SPEC, relr=True, relocations=has_table)))
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    name, kind = ("DT_REL", "SHT_REL") if machine == "i686" else ("DT_RELA", "SHT_RELA")
    said = dynamic_of(edited)
    found = [(s["sh_addr"], s["sh_size"]) for s in ELFFile(io.BytesIO(edited)).iter_sections() if s["sh_type"] == kind]
    assert found == [(said[name], said[f"{name}SZ"])]


@pytest.mark.parametrize(("machine", "tags"), [("x86_64", (7, 8, 9)), ("i686", (17, 18, 19))])
def test_pointers_among_the_relocations_of_functions_are_found_too(machine: str, tags: tuple[int, int, int]) -> None:
    """DT_JMPREL (23), of the kind that DT_PLTREL (20) names and the size that DT_PLTRELSZ (2) says."""
    data = build_elf(for_machine(machine, SPEC))
    said = dynamic_of(data)
    rel = "DT_REL" if machine == "i686" else "DT_RELA"
    start, size = said[rel], said[f"{rel}SZ"]
    other = patch_entry(data, tags[0], start, new_tag=23)
    other = patch_entry(patch_entry(other, tags[1], size, new_tag=2), tags[2], tags[0], new_tag=20)
    assert relocations_of(other) == []
    edited, plain = edit(other, [ZERO], "lib.so").data, edit(data, [ZERO], "lib.so").data
    place = offset_of(data, start)
    assert plain[place : place + size] != data[place : place + size]
    assert edited[place : place + size] == plain[place : place + size]
    assert edited[15] == 0


@pytest.mark.parametrize("value", [None, 0])
@pytest.mark.parametrize(("machine", "tag"), [("x86_64", 8), ("i686", 18)])
def test_a_table_without_a_size_is_none(machine: str, tag: int, value: int | None) -> None:
    data = build_elf(for_machine(machine, replace(SPEC, relr=True)))
    said = dynamic_of(data)
    size = said[{8: "DT_RELASZ", 18: "DT_RELSZ"}[tag]]
    place = offset_of(data, said[{8: "DT_RELA", 18: "DT_REL"}[tag]])
    packed = packed_of(data)
    data = patch_entry(data, tag, 0, new_tag=UNUSED if value is None else tag)
    # Nothing refers to the variable then, and it may become a constant.
    assert edit(data, [ZERO], "lib.so").data[place : place + size] == data[place : place + size]
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    (row,) = relocations_of(edited)
    assert (row[0], row[1]) == (packed[0], RELATIVE[MACHINES[machine].machine])
    assert broken_invariants(edited, "lib.so") == ()


@pytest.mark.parametrize("size_tag", [8, 2])
def test_a_size_without_a_table_is_none(size_tag: int) -> None:
    """Sizes of DT_RELA and of DT_JMPREL."""
    data = patch_entry(build_elf(SPEC), 7, 0, new_tag=UNUSED)
    data = patch_entry(data, 8, 48, new_tag=size_tag)
    assert dynamic_of(edit(data, [ZERO], "lib.so").data)["DT_RELASZ" if size_tag == 8 else "DT_PLTRELSZ"] == 48
