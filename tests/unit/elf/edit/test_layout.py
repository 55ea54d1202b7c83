"""Where the bytes of an edit go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.layout import Placement, place
from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import AddNeeded, ClearExecutableStack, ReplaceNeeded, RpathKind, SetRpath, SetSoname
from deloc8.elf.edit.writer import apply_placement, edit
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.image import parse, parse_defined
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf
from kit.patch import add_symtab, patch_segment

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit

PT_LOAD, PT_DYNAMIC, PT_GNU_STACK = 1, 2, 0x6474E551
DT_RELACOUNT, DT_RELCOUNT = 0x6FFFFFF9, 0x6FFFFFFA
RICH = ElfSpec(
    soname="libdemo.so",
    needed=("libm.so.6", "libc.so.6"),
    undefined=(Undefined("exp", "GLIBC_2.29", "libm.so.6"), Undefined("puts", "GLIBC_2.2.5", "libc.so.6")),
    defined=(Defined("demo", "DEMO_1"), Defined("demo_two", "DEMO_2")),
    spare_headers=1,
)
LONGER = SetSoname(soname="libdemo-with-a-name-that-stands-nowhere.so.1")


def test_no_edits() -> None:
    assert place(View.open(build_elf(), "lib.so"), ()) == Placement()
    assert Placement().grows_by == 0


@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
def test_only_what_the_placement_names_changes(machine: str, *, sections: bool) -> None:
    base = MACHINES[machine]
    spec = replace(RICH, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags)
    data = build_elf(replace(spec, align=base.align, sections=sections))
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    edited = edit(data, [LONGER, SetRpath(path="$ORIGIN/../demo.libs")], "lib.so")
    placement = edited.placement
    added = len(LONGER.soname) + 1 + len("$ORIGIN/../demo.libs") + 1
    assert placement.grows_by == -len(data) % 8 + len(table.strings) + added
    changed = {offset + i for offset, text in placement.writes for i in range(len(text))}
    assert all(data[i] == edited.data[i] for i in range(len(data)) if i not in changed)
    assert edited.data[len(data) :] == placement.appended
    # Dynamic entries, one program header, and the section header of .dynstr: nothing else.
    assert len(changed) <= 5 * 16 + 56 * 4 + 64
    before, after = parse(data, "lib.so"), parse(edited.data, "lib.so")
    assert after.undefined == before.undefined
    assert after.version_needs == before.version_needs
    assert after.defined_versions == before.defined_versions
    assert parse_defined(edited.data, "lib.so") == parse_defined(data, "lib.so")
    assert broken_invariants(edited.data, "lib.so") == ()
    strings = [s for s in after.sections if s.type == 3 and s.flags]
    load = [s for s in after.segments if s.type == PT_LOAD][-1]
    assert all((s.addr, s.offset, s.size) == (load.vaddr, load.offset, load.filesz) for s in strings)
    assert len(strings) == sections


def test_an_aligned_library_grows_without_padding() -> None:
    # Segments aligned to 2 MiB: the new address leaps, the file does not.
    data = build_elf(replace(RICH, align=0x200000))
    placement = place(View.open(data, "lib.so"), [LONGER])
    assert placement.grows_by < 300
    image = parse(apply_placement(data, placement), "lib.so")
    load = [segment for segment in image.segments if segment.type == PT_LOAD][-1]
    assert (load.offset - load.vaddr) % 0x200000 == 0


@pytest.mark.parametrize("tag", [DT_RELACOUNT, DT_RELCOUNT])
def test_a_hint_gives_up_its_entry(tag: int) -> None:
    data = build_elf(replace(RICH, spare_nulls=0, entries=((tag, 3),)))
    edited = edit(data, [AddNeeded(name="libc.so")], "lib.so")
    table = read_table(View.open(edited.data, "lib.so"))
    assert table is not None
    assert tag not in table.values
    assert len(table.entries) == table.capacity - 1
    assert [s for s in parse(edited.data, "x").segments if s.type == PT_DYNAMIC] == [
        s for s in parse(data, "x").segments if s.type == PT_DYNAMIC
    ]


@pytest.mark.parametrize("hints", [(), ((DT_RELACOUNT, 3),)])
@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "armv7l", "s390x"])
def test_the_dynamic_section_moves_when_it_is_full(
    machine: str, hints: tuple[tuple[int, int], ...], *, sections: bool
) -> None:
    spec = replace(
        MACHINES[machine], needed=("libc.so.6",), spare_nulls=0, spare_headers=1, sections=sections, entries=hints
    )
    data = build_elf(spec)
    edits: list[Edit] = [
        AddNeeded(name="libone.so"),
        SetRpath(path="/one", kind=RpathKind.RUNPATH),
        SetSoname(soname="a"),
    ]
    edited = edit(data, edits, "lib.so")
    image = parse(edited.data, "lib.so")
    assert image.needed == ("libc.so.6", "libone.so")
    load = [segment for segment in image.segments if segment.type == PT_LOAD][-1]
    (dynamic,) = [segment for segment in image.segments if segment.type == PT_DYNAMIC]
    assert (load.flags, dynamic.offset) == (6, load.offset + 8)
    assert [(s.addr, s.offset, s.size) for s in image.sections if s.type == 6] == [
        (dynamic.vaddr, dynamic.offset, dynamic.filesz)
    ] * sections
    assert broken_invariants(edited.data, "lib.so") == ()
    # There is room for a few more entries now; after that, both pieces move once more.
    more = [AddNeeded(name=f"lib{number}.so") for number in range(9)]
    again = edit(edited.data, more[:3], "lib.so")
    assert again.placement.slot is Slot.EXTENDED
    again = edit(again.data, more, "lib.so")
    assert again.placement.slot is Slot.REUSED
    assert len(parse(again.data, "lib.so").needed) == 11
    assert [s.type for s in parse(again.data, "x").segments] == [s.type for s in image.segments]


def test_the_dynamic_section_moves_without_a_new_string() -> None:
    data = build_elf(replace(RICH, spare_nulls=0, runpath=None))
    edited = edit(data, [SetRpath(path="demo")], "lib.so")
    image = parse(edited.data, "lib.so")
    assert image.dynamic is not None
    assert image.dynamic.rpath == "demo"
    assert broken_invariants(edited.data, "lib.so") == ()


def test_the_symbol_of_the_dynamic_section_follows() -> None:
    data = build_elf(replace(RICH, spare_nulls=0))
    (before,) = [segment.vaddr for segment in parse(data, "x").segments if segment.type == PT_DYNAMIC]
    data = add_symtab(data, b"_DYNAMIC\0", before)
    edited = edit(data, [AddNeeded(name="libone.so")], "lib.so").data
    (after,) = [segment.vaddr for segment in parse(edited, "x").segments if segment.type == PT_DYNAMIC]
    value = len(data) - len(b"_DYNAMIC\0") - 16
    assert edited[value : value + 8] == after.to_bytes(8, "little") != before.to_bytes(8, "little")


def test_used_entries_behind_the_end_are_not_room() -> None:
    # Something that is not zero follows the first DT_NULL.
    data = build_elf(replace(RICH, spare_nulls=0, entries=((0, 0), (0, 0), (0x70000000, 1))))
    edited = edit(data, [AddNeeded(name="demo"), AddNeeded(name="demo_two")], "lib.so")
    assert edited.placement.slot is Slot.NULL
    assert parse(edited.data, "lib.so").needed[-2:] == ("demo", "demo_two")


def test_moved_version_records_are_edited_where_they_go() -> None:
    # No spare header, and the version records follow the headers.
    spec = ElfSpec(payload=b"", hash="none", needed=("liba.so",), needs=(NeedSpec("liba.so", "V1"),))
    data = build_elf(spec)
    edited = edit(data, [SetSoname(soname="libx.so"), AddNeeded(name="libm.so.6")], "lib.so")
    assert edited.placement.slot is Slot.ROOM
    assert parse(edited.data, "lib.so").version_needs == parse(data, "lib.so").version_needs
    edited = edit(data, [ReplaceNeeded(old="liba.so", new="libanother.so")], "lib.so")
    assert edited.placement.slot is Slot.ROOM
    assert parse(edited.data, "lib.so").version_needs[0].file == "libanother.so"


def test_clearing_an_executable_stack() -> None:
    data = build_elf(ElfSpec(gnu_stack=7))
    edited = edit(data, [ClearExecutableStack()], "lib.so")
    assert (edited.placement.grows_by, len(edited.placement.writes)) == (0, 1)
    (stack,) = [segment for segment in parse(edited.data, "x").segments if segment.type == PT_GNU_STACK]
    assert stack.flags == 6
    assert edit(edited.data, [ClearExecutableStack()], "lib.so").data is edited.data


@pytest.mark.parametrize("machine", ["x86_64", "i686", "armv7l", "s390x"])
def test_a_stack_is_executable_where_nothing_is_said(machine: str) -> None:
    data = build_elf(replace(MACHINES[machine], gnu_stack=None, spare_headers=1))
    edited = edit(data, [ClearExecutableStack()], "lib.so").data
    (stack,) = [segment for segment in parse(edited, "x").segments if segment.type == PT_GNU_STACK]
    # As GNU ld writes it: nothing but rights, and an alignment.
    assert stack == (PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16)


@pytest.mark.parametrize("machine", ["aarch64", "ppc64le", "riscv64", "loongarch64"])
def test_or_not_on_newer_machines(machine: str) -> None:
    data = build_elf(replace(MACHINES[machine], gnu_stack=None))
    assert edit(data, [ClearExecutableStack()], "lib.so").data is data


def test_the_stack_of_a_static_program() -> None:
    static = ElfSpec(dynamic=False, gnu_stack=7)
    edited = edit(build_elf(static), [ClearExecutableStack()], "program").data
    assert [s.flags for s in parse(edited, "x").segments if s.type == PT_GNU_STACK] == [6]
    with pytest.raises(ElfError) as caught:
        edit(build_elf(replace(static, gnu_stack=None)), [ClearExecutableStack()], "program")
    assert caught.value.code == "edit-impossible"


@pytest.mark.parametrize("machine", ["i686", "x86_64"])
def test_no_address_is_left(machine: str) -> None:
    bits = MACHINES[machine].bits
    data = build_elf(replace(MACHINES[machine], notes=(NoteSpec("GNU", 3, b"1"),)))
    last = patch_segment(data, PT_LOAD, "p_memsz", (1 << bits) - 0x800)
    with pytest.raises(ElfError) as caught:
        edit(last, [LONGER], "lib.so")
    assert caught.value.code == "edit-impossible"
    assert caught.value.context == ("its addresses reach up to the end of memory: no segment fits behind them",)


def test_an_alignment_that_is_no_power_of_two() -> None:
    """Found by fuzzing: the new segment would have had an offset and an address that do not fit together."""
    data = build_elf(ElfSpec(notes=(NoteSpec("GNU", 3, b"1"),)))
    for align in (0x30000, 0xB08277CF00):
        with pytest.raises(ElfError) as caught:
            edit(patch_segment(data, PT_LOAD, "p_align", align), [LONGER], "lib.so")
        assert caught.value.code == "edit-impossible"
        assert hex(align) in caught.value.context[0]
    wide = edit(patch_segment(data, PT_LOAD, "p_align", 0x200000), [LONGER], "lib.so").data
    assert broken_invariants(wide, "lib.so") == ()


def test_no_segment_but_its_own() -> None:
    # One segment holds nothing but the two tables, another the headers: taken away, the first leaves none before it.
    data = build_elf(ElfSpec(sections=False, spare_headers=1, hash="none"))
    edited = edit(data, [LONGER, *(AddNeeded(name=f"lib{number}.so") for number in range(9))], "lib.so").data
    only = edited
    for _ in range(2):
        only = patch_segment(only, PT_LOAD, "p_type", 0x6FFFFFFF)
    again = edit(only + bytes(4), [SetSoname(soname="libagain-and-again.so")], "lib.so")
    assert again.placement.slot is Slot.REUSED
    assert parse(again.data, "lib.so").soname == "libagain-and-again.so"
