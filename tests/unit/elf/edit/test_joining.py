"""Relocation tables that must be neighbours: DT_JMPREL behind DT_RELA, as glibc before 2.23 takes for granted."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import Literal

import pytest
from elftools.elf.elffile import ELFFile

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import BindToZero, Edit, JoinRelocations, SetSoname, UnpackRelocations
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.dynamic import are_apart, read_table
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from deloc8.repair.lowering.proof import planned_relocations, relocation_problems
from kit.elf import MACHINES, ElfSpec, Undefined, build_elf
from kit.oldglibc import functions_of, walk
from kit.patch import patch_entry, patch_number
from kit.pyelf import RELATIVE, dynamic_of, offset_of, relocations_of

DT_PLTRELSZ, DT_RELASZ, DT_PLTREL, DT_JMPREL = 2, 8, 20, 23
UNUSED = 0x7000_0035  # a tag that means nothing
PLACES = ("none", "behind", "apart", "before", "end", "middle", "start")
SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
SPEC = ElfSpec(
    needed=("libc.so.6",),
    undefined=(
        Undefined("puts", "GLIBC_2.2.5", "libc.so.6"),
        Undefined("a"),
        Undefined("b"),
        SINGLE,
        Undefined("c"),
        Undefined("d"),
    ),
)
ZERO = BindToZero(symbol="__libc_single_threaded", old="GLIBC_2.32")
UNPACK, JOIN = UnpackRelocations(), JoinRelocations()


def build(machine: str = "x86_64", **options: object) -> bytes:
    base = MACHINES[machine]
    spec = replace(SPEC, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags)
    return build_elf(replace(spec, align=base.align, **options))  # type: ignore[arg-type]


def apart(data: bytes) -> bool:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return are_apart(table.values)


def problems(old: bytes, new: bytes, *edits: Edit) -> list[str]:
    return list(relocation_problems(planned_relocations(old, edits, "lib.so"), new, "lib.so"))


@pytest.mark.parametrize("functions", PLACES)
def test_the_old_loader_reads_tables_that_are_neighbours_as_one(functions: str) -> None:
    """The model of the kit: what it makes of a file as it is."""
    data = build(functions=functions)
    expected = {row[0] for row in relocations_of(data)} | {
        int.from_bytes(row[:8], "little") for row in functions_of(data)
    }
    try:
        read = [int.from_bytes(entry[:8], "little") for entry, _ in walk(data, lazy=False)]
        fits = sorted(read) == sorted(expected)
    except StopIteration:  # beyond the segment
        fits = False
    assert fits is (functions in {"none", "behind", "end"})
    assert apart(data) is not fits


@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize(
    "edits", [(UNPACK,), (JOIN,), (JOIN, UNPACK), (ZERO, UNPACK), (UNPACK, SetSoname(soname="x" * 90))]
)
@pytest.mark.parametrize("functions", PLACES)
@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64", "armv7l", "s390x"])
def test_an_old_loader_does_every_relocation_once(
    machine: str, functions: str, edits: tuple[Edit, ...], *, sections: bool
) -> None:
    packed = UNPACK in edits
    data = build(machine, functions=functions, sections=sections, relr=packed)
    edited = edit(data, edits, "lib.so").data
    assert broken_invariants(edited, "lib.so") == ()
    assert problems(data, edited, *edits) == []
    assert not apart(edited)
    assert functions_of(edited) == functions_of(data)
    # All that were there, and those that were packed.
    before = Counter(row[0] for row in relocations_of(data) if row[1] != 0)
    order: Literal["little", "big"] = "little" if MACHINES[machine].little_endian else "big"
    word = MACHINES[machine].bits // 8
    wanted = set(before) | {int.from_bytes(row[:word], order) for row in functions_of(data)}
    for lazy in (True, False):
        done = [int.from_bytes(entry[:word], order) for entry, _ in walk(edited, lazy=lazy)]
        relative = done[: len(done) - len(wanted)]
        assert len(relative) == packed
        assert sorted(done[len(relative) :]) == sorted(wanted)
        left = [entry for entry, is_lazy in walk(edited, lazy=lazy) if is_lazy]
        assert left == (functions_of(data) if lazy else [])
    assert edit(edited, edits, "lib.so").data == edited


@pytest.mark.parametrize("functions", [place for place in PLACES if place != "none"])
@pytest.mark.parametrize("has_relr", [True, False])
def test_section_headers_follow_the_tables(functions: str, *, has_relr: bool) -> None:
    data = build(functions=functions, relr=has_relr)
    edited = edit(data, [JOIN, UNPACK], "lib.so").data
    said = dynamic_of(edited)
    sections = list(ELFFile(io.BytesIO(edited)).iter_sections())
    found = {s.name: (s["sh_addr"], s["sh_offset"], s["sh_size"]) for s in sections if s["sh_type"] == "SHT_RELA"}
    place, size = said["DT_RELA"], said["DT_RELASZ"]
    if functions in {"behind", "apart", "before"}:
        start = said["DT_JMPREL"]
        assert found[".rela.dyn"] == (place, offset_of(edited, place), size)
        assert found[".rela.plt"] == (start, offset_of(edited, start), said["DT_PLTRELSZ"])
    elif edited != data:
        # One header for both, so that `strip` keeps all of it.
        assert found == {".rela.dyn": (place, offset_of(edited, place), size + said["DT_PLTRELSZ"])}
    assert {sections[s["sh_link"]].name for s in sections if s["sh_type"] == "SHT_RELA"} == {".dynsym"}


def test_a_table_that_comes_to_be_knows_its_symbols() -> None:
    data = build(relocations=False, relr=True)
    sections = list(ELFFile(io.BytesIO(edit(data, [UNPACK], "lib.so").data)).iter_sections())
    (section,) = (s for s in sections if s["sh_type"] == "SHT_RELA")
    assert sections[section["sh_link"]].name == ".dynsym"


@pytest.mark.parametrize("functions", ["none", "behind", "end"])
def test_tables_that_are_neighbours_stay_where_they_are(functions: str) -> None:
    data = build(functions=functions)
    assert edit(data, [JOIN], "lib.so").data == data
    # So do those of a file without any others, or without packed ones.
    assert edit(data, [UNPACK], "lib.so").data == data


@pytest.mark.parametrize(
    ("tag", "value", "new_tag"),
    [
        (DT_JMPREL, 0, UNUSED),
        (DT_PLTRELSZ, 0, DT_PLTRELSZ),
        (DT_PLTRELSZ, 0, UNUSED),
        (DT_PLTREL, 17, DT_PLTREL),
        (DT_PLTREL, 0, UNUSED),
        (DT_RELASZ, 0, DT_RELASZ),
        (DT_RELASZ, 0, UNUSED),
    ],
)
def test_one_table_alone_is_not_apart(tag: int, value: int, new_tag: int) -> None:
    """DT_PLTREL 17: the functions have relocations of another kind, which ld.so walks for themselves."""
    data = build(functions="apart")
    assert apart(data)
    changed = patch_entry(data, tag, value, new_tag=new_tag)
    assert not apart(changed)
    assert edit(changed, [JOIN], "lib.so").data == changed


@pytest.mark.parametrize(("tag", "new_tag"), [(DT_JMPREL, UNUSED), (DT_PLTRELSZ, UNUSED), (DT_PLTREL, UNUSED)])
def test_functions_that_are_none_stay_where_they_are(tag: int, new_tag: int) -> None:
    data = patch_entry(build(functions="apart", relr=True), tag, 0, new_tag=new_tag)
    edited = edit(data, [UNPACK], "lib.so").data
    before, after = dynamic_of(data), dynamic_of(edited)
    assert after.get("DT_JMPREL") == before.get("DT_JMPREL")
    assert after["DT_RELASZ"] == before["DT_RELASZ"] + 24


def test_functions_behind_relocations_that_were_all_packed() -> None:
    data = build(functions="apart", relr=True)
    data = patch_entry(data, DT_RELASZ, 0)
    edited = edit(data, [UNPACK], "lib.so").data
    after = dynamic_of(edited)
    assert (after["DT_RELASZ"], after["DT_JMPREL"]) == (24, after["DT_RELA"] + 24)
    assert functions_of(edited) == functions_of(data)
    assert [entry for entry, _ in walk(edited, lazy=False)][1:] == functions_of(data)


def test_a_pointer_among_the_functions_changes_in_its_new_place() -> None:
    """A constant that takes the place of a variable whose pointer is listed there."""
    undefined = (SPEC.undefined[0], SPEC.undefined[1], SINGLE, SPEC.undefined[2])
    data = build(functions="middle", relr=True, undefined=undefined)
    place = offset_of(data, dynamic_of(data)["DT_JMPREL"]) + 24 + 8
    data = patch_number(data, place, 4, 6)  # R_X86_64_GLOB_DAT, of the second of the two
    edited = edit(data, [ZERO, UNPACK], "lib.so").data
    assert problems(data, edited, ZERO, UNPACK) == []
    row = functions_of(edited)[1]
    assert (row[8:16], row[16:]) == (RELATIVE[62].to_bytes(8, "little"), (15).to_bytes(8, "little"))


@pytest.mark.parametrize("distance", [-24, 12, 24 * 5])
def test_tables_that_overlap_by_a_part_are_unsound(distance: int) -> None:
    """One begins before the other, in the middle of an entry, or ends behind it."""
    data = build(functions="end", relr=True)
    start = dynamic_of(data)["DT_RELA"]
    lie = patch_entry(data, DT_JMPREL, start + distance)
    for edits in ([UNPACK], [JOIN]):
        with pytest.raises(ElfError) as caught:
            edit(lie, edits, "lib.so")
        assert caught.value.code == "bad-elf"


def test_a_table_that_ends_within_an_entry_is_unsound() -> None:
    data = build(functions="behind", relr=True)
    lie = patch_entry(data, DT_RELASZ, dynamic_of(data)["DT_RELASZ"] - 8)
    with pytest.raises(ElfError, match="not a sound ELF") as caught:
        edit(lie, [UNPACK], "lib.so")
    assert "no whole number of entries" in caught.value.context[0]


@pytest.mark.parametrize("functions", ["apart", "before", "middle", "start"])
def test_the_proof_finds_functions_that_were_left_behind(functions: str) -> None:
    data = build(functions=functions)
    told = "lib.so: DT_JMPREL is not where glibc before 2.23 reads it"
    assert problems(data, data, JOIN) == [told]
    edited = edit(data, [JOIN], "lib.so").data
    assert problems(data, edited, JOIN) == []
    place = dynamic_of(edited)["DT_JMPREL"]
    assert told in problems(data, patch_entry(edited, DT_JMPREL, place - 24), JOIN)
    assert problems(data, data, ZERO) != [told]
