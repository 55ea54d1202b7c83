"""Relocation tables of every kind, read back by pyelftools."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import replace

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import BindToZero, UnpackRelocations
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.relocations import NO_WORD, words_at
from deloc8.elf.read.view import Segment, View
from deloc8.errors import ElfError
from deloc8.repair.lowering.proof import planned_relocations, relocation_problems
from kit.elf import MACHINES, ElfSpec, Undefined, build_elf
from kit.patch import patch_entry, patch_number
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


def test_what_packed_relocations_leave_behind_is_no_table_any_more() -> None:
    """The size of an entry stays: without it GNU strip makes a file of the section that it cannot read again."""
    edited = edit(build_elf(replace(SPEC, relr=True)), [UnpackRelocations()], "lib.so").data
    (section,) = (s for s in ELFFile(io.BytesIO(edited)).iter_sections() if s.name == ".relr.dyn")
    assert (section["sh_type"], section["sh_entsize"]) == ("SHT_PROGBITS", 8)


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


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_a_packed_relocation_of_what_the_file_has_no_contents_for(machine: str) -> None:
    spec = for_machine(machine, replace(SPEC, relr=True))
    data = build_elf(spec)
    place = offset_of(data, dynamic_of(data)["DT_RELR"])
    lie = patch_number(data, place, spec.bits // 8, 0x7000_0000)
    with pytest.raises(ElfError) as caught:
        edit(lie, [UnpackRelocations()], "lib.so")
    assert caught.value.code == "bad-elf"
    assert caught.value.context == ("r_offset points to address 0x70000000, where no PT_LOAD has file contents",)


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_a_packed_relocation_of_a_word_of_ones(machine: str) -> None:
    """Such as a pointer to one byte before a table: its addend is -1, and the word is what it was."""
    spec = for_machine(machine, replace(SPEC, relr=True))
    data, width = build_elf(spec), spec.bits // 8
    (address,) = packed_of(data)
    data = patch_number(data, offset_of(data, address), width, (1 << spec.bits) - 1)
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    (row,) = (row for row in relocations_of(edited) if row[0] == address)
    assert row[3] in {-1, None}
    assert edited[offset_of(edited, address) :][:width] == b"\xff" * width
    planned = planned_relocations(data, [UnpackRelocations()], "lib.so")
    assert list(relocation_problems(planned, edited, "lib.so")) == []


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_words_at_the_ends_of_segments(machine: str) -> None:
    spec = for_machine(machine, replace(SPEC, payload=bytes(range(1, 200))))
    data = build_elf(spec)
    loads = [s for s in ELFFile(io.BytesIO(data)).iter_segments("PT_LOAD") if s["p_filesz"]]
    last = max(loads, key=lambda load: load["p_offset"])
    whole, width = View.open(data, "lib.so"), spec.bits // 8
    # The last segment reaches to the end of the file.
    data = data[: last["p_offset"] + last["p_filesz"]]
    view = View(data, whole.name, whole.layout, whole.header, whole.segments, ())
    assert len(loads) > 1
    assert last["p_offset"] != last["p_vaddr"]

    def wanted(address: int) -> int:
        """The whole word of the file, where its first byte is in memory."""
        for load in loads:
            if load["p_vaddr"] <= address < load["p_vaddr"] + load["p_filesz"]:
                word = data[load["p_offset"] + address - load["p_vaddr"] :][:width]
                return (
                    int.from_bytes(word, "little" if spec.little_endian else "big") if len(word) == width else NO_WORD
                )
        return NO_WORD

    addresses = []
    for load in loads:
        for end in (load["p_vaddr"], load["p_vaddr"] + load["p_filesz"]):
            addresses += [address for address in range(end - width - 1, end + 2) if address >= 0]
    answers = list(map(wanted, addresses))
    assert len(set(answers)) > 4
    assert list(words_at(view, addresses)) == answers
    assert list(words_at(view, addresses[::-1])) == answers[::-1]
    assert [next(iter(words_at(view, [address]))) for address in addresses] == answers


def test_words_of_segments_in_any_order() -> None:
    whole = View.open(build_elf(SPEC), "lib.so")
    segments = tuple(
        Segment(type=1, flags=4, offset=offset, vaddr=address, paddr=address, filesz=size, memsz=size, align=1)
        for offset, address, size in ((8, 32, 80), (120, 8, 16), (0, 256, 24))
    )
    data = bytes(range(200))
    view = View(data, "lib.so", whole.layout, whole.header, segments, ())
    places = {32: 8, 111: 87, 8: 120, 23: 135, 256: 0, 33: 9, 279: 23}
    assert list(words_at(view, places)) == [int.from_bytes(data[at : at + 8], "little") for at in places.values()]
    assert list(words_at(view, [32, 24, 31, 112, 255, 280, 7])) == [0x0F0E0D0C0B0A0908, *[NO_WORD] * 6]
