"""More program headers where their table is: what follows gives way, and notes are still found."""

from __future__ import annotations

from dataclasses import replace as replaced

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.room import make_room
from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import AddNeeded, ClearExecutableStack, SetSoname
from deloc8.elf.edit.writer import Edited, edit
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.image import parse
from deloc8.elf.read.notes import build_id, read_notes
from deloc8.elf.read.view import Segment, View
from deloc8.values import replace
from kit.elf import ET_EXEC, MACHINES, Defined, ElfSpec, NoteSpec, build_elf
from kit.patch import add_symtab, patch_section, patch_segment, section_index

PT_LOAD, PT_INTERP, PT_NOTE, PT_PHDR, PT_GNU_PROPERTY = 1, 3, 4, 6, 0x6474E553
PROPERTY = NoteSpec("GNU", 5, bytes.fromhex("028000c0 04000000 01000000 00000000"))
BUILD_ID = NoteSpec("GNU", 3, bytes(range(20)))
ABI_TAG = NoteSpec("GNU", 1, bytes(16))
LONGER = SetSoname(soname="libdemo-with-a-name-that-stands-nowhere.so.1")
# No contents but tables, and a hash table large enough for a note to move into its place.
BARE = ElfSpec(payload=b"", defined=tuple(Defined(f"demo_{number}") for number in range(12)))


def do(data: bytes, *edits: SetSoname | AddNeeded | ClearExecutableStack) -> Edited:
    edited = edit(data, edits or (LONGER,), "lib.so")
    assert set(broken_invariants(edited.data, "lib.so")) <= set(broken_invariants(data, "lib.so"))
    assert edit(edited.data, edits or (LONGER,), "lib.so").data is edited.data
    return edited


def segments_of(data: bytes, *kinds: int) -> list[Segment]:
    return [segment for segment in View.open(data, "lib.so").segments if segment.type in kinds]


def id_in_memory(data: bytes) -> str | None:
    """The build id that a PT_NOTE leads to, by its address."""
    view = View.open(data, "lib.so")
    notes = tuple(
        segment._replace(offset=view.offset_of("PT_NOTE", segment.vaddr)) for segment in segments_of(data, PT_NOTE)
    )
    return build_id(read_notes(replace(view, segments=notes, sections=())))


def check_sections(data: bytes) -> None:
    """The sections of notes, and of the loader's name, are where their program headers say."""
    view = View.open(data, "lib.so")
    heads = {(s.offset, s.vaddr, s.filesz) for s in segments_of(data, PT_NOTE, PT_INTERP, PT_GNU_PROPERTY)}
    notes = {(s.offset, s.addr, s.size) for s in view.sections if s.type == 7}
    assert notes <= heads


@pytest.mark.parametrize("hash_table", ["gnu", "sysv", "both"])
@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64", "s390x", "armv7l"])
def test_the_build_id_stays_in_the_first_page(machine: str, hash_table: str) -> None:
    base = MACHINES[machine]
    data = build_elf(replaced(base, payload=b"", hash=hash_table, defined=BARE.defined, notes=(BUILD_ID,)))  # type: ignore[arg-type]
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    assert id_in_memory(edited.data) == id_in_memory(data) == BUILD_ID.description.hex()
    (before,), (after,) = segments_of(data, PT_NOTE), segments_of(edited.data, PT_NOTE)
    size = 32 if base.bits == 32 else 56
    assert (after.offset - before.offset, after.vaddr - before.vaddr) == (size, size)
    check_sections(edited.data)


def test_a_second_edit_finds_the_same_headers() -> None:
    once = do(build_elf(replaced(BARE, notes=(BUILD_ID,)))).data
    twice = do(once, AddNeeded(name="libnew.so"))
    assert twice.placement.slot is Slot.EXTENDED
    thrice = do(twice.data + bytes(9), AddNeeded(name="libanother.so"))
    assert thrice.placement.slot is Slot.REUSED
    for data in (twice.data, thrice.data):
        assert [s.type for s in View.open(data, "x").segments] == [s.type for s in View.open(once, "x").segments]
        assert id_in_memory(data) == BUILD_ID.description.hex()


@pytest.mark.parametrize("kind", [ET_EXEC, 3])
def test_the_name_of_the_loader_and_notes_move_together(kind: int) -> None:
    """Each goes to where the next one was."""
    loader = "/lib64/ld-linux-x86-64.so.2"
    data = build_elf(replaced(BARE, type=kind, interpreter=loader, notes=(BUILD_ID, ABI_TAG)))
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    assert parse(edited.data, "program").interpreter == loader
    assert parse(edited.data, "program").notes == parse(data, "program").notes
    assert id_in_memory(edited.data) == BUILD_ID.description.hex()
    (before,), (after,) = segments_of(data, PT_INTERP), segments_of(edited.data, PT_INTERP)
    assert after.offset == before.offset + 56
    check_sections(edited.data)


def test_two_headers_more() -> None:
    data = build_elf(replaced(BARE, gnu_stack=None, notes=(BUILD_ID,)))
    edited = do(data, ClearExecutableStack(), LONGER)
    assert edited.placement.slot is Slot.ROOM
    (before,), (after,) = segments_of(data, PT_NOTE), segments_of(edited.data, PT_NOTE)
    assert after.offset == before.offset + 112
    assert id_in_memory(edited.data) == BUILD_ID.description.hex()


def test_properties_shift_with_both_headers() -> None:
    """One PT_NOTE is taken; the stretch that PT_GNU_PROPERTY still announces gives way to a second header."""
    data = build_elf(replaced(BARE, gnu_stack=None, notes=(PROPERTY, BUILD_ID)))
    edited = do(data, ClearExecutableStack(), LONGER)
    assert edited.placement.slot is Slot.ROOM
    assert parse(edited.data, "lib.so").notes == parse(data, "lib.so").notes
    (before,), (after,) = segments_of(data, PT_GNU_PROPERTY), segments_of(edited.data, PT_GNU_PROPERTY)
    assert after.offset == before.offset + 56
    assert len(segments_of(edited.data, PT_NOTE)) == 1
    assert id_in_memory(edited.data) == BUILD_ID.description.hex()
    check_sections(edited.data)


def test_notes_before_contents_go_to_the_end() -> None:
    """There is no place for them near the headers: but room for a header."""
    data = build_elf(ElfSpec(notes=(ABI_TAG, BUILD_ID)))
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    (note,) = segments_of(edited.data, PT_NOTE)
    assert note.offset >= len(data)
    assert id_in_memory(edited.data) == BUILD_ID.description.hex()
    assert parse(edited.data, "lib.so").notes == parse(data, "lib.so").notes
    check_sections(edited.data)
    # They are part of the segment that is written anew, too.
    again = do(edited.data + bytes(9), AddNeeded(name="libnew.so"))
    assert again.placement.slot is Slot.REUSED
    assert id_in_memory(again.data) == BUILD_ID.description.hex()


def room(data: bytes, *segments: Segment) -> tuple[int, int] | None:
    """How many pieces go and how many shift, where the program headers are others."""
    view = View.open(data, "lib.so")
    table = read_table(view)
    assert table is not None
    found = make_room(replace(table, view=replace(view, segments=segments or view.segments)), 1)
    return None if found is None else (len(found.moved), len(found.shifted))


def test_what_ends_with_its_segment_does_not_shift() -> None:
    data = build_elf(replaced(BARE, notes=(ABI_TAG, BUILD_ID)))
    assert room(data) == (1, 1)
    first, *others = View.open(data, "lib.so").segments
    (note,) = segments_of(data, PT_NOTE)
    end = note.offset + note.filesz
    rest = first._replace(offset=end, vaddr=first.vaddr + end, filesz=first.filesz - end, memsz=first.memsz - end)
    cut = first._replace(filesz=end, memsz=end)
    assert room(data, cut, *others, rest) is None  # one more header, for the test alone, is in the way of that
    others.remove(next(s for s in others if s.type == 0x6474E551))
    assert room(data, cut, *others, rest) == (1, 0)


def test_what_is_not_in_the_way_stays() -> None:
    """Behind the headers are zeros, and then the note."""
    data = build_elf(replaced(BARE, spare_headers=2, notes=(BUILD_ID,)))
    segments = View.open(data, "lib.so").segments
    assert [segment.type for segment in segments[-2:]] == [0, 0]
    assert room(data, *segments[:-2]) == (0, 0)


def test_more_notes_than_any_linker_writes() -> None:
    """Thousands of program headers would have to be compared with each other."""
    data = build_elf(replaced(BARE, spare_headers=40, notes=(BUILD_ID,)))
    (note,) = segments_of(data, PT_NOTE)
    *used, _ = View.open(data, "lib.so").segments
    others = [segment for segment in used if segment.type]
    for count, found in ((31, (1, 1)), (32, None)):
        unused = len(used) + 1 - len(others) - count
        assert room(data, *others, *[note] * count, *[Segment(*[0] * 8)] * unused) == found


def test_what_does_not_shift() -> None:
    data = build_elf(replaced(BARE, notes=(BUILD_ID,)))
    (note,) = segments_of(data, PT_NOTE)
    assert room(data) == (1, 1)
    # Too strongly aligned, not at a multiple of its alignment, of a program, part of a section, or of another memory.
    assert room(patch_section(data, ".note.kit", "sh_addralign", 32)) is None
    assert note.offset % 16 == 8
    assert room(patch_segment(data, PT_NOTE, "p_align", 16)) is None
    assert room(data.replace(b"GNU\0" + bytes(range(20)), b"QTX\0" + bytes(range(20)))) is None
    assert room(patch_section(data, ".note.kit", "sh_type", 1)) is None
    assert room(patch_segment(data, PT_NOTE, "p_vaddr", note.vaddr + 4)) is None
    assert room(patch_segment(data, PT_NOTE, "p_filesz", note.filesz - 4)) is None


def test_addresses_that_nothing_can_be_added_to() -> None:
    """Found by fuzzing: 32 bits were not enough for the new address of a note."""
    base = replaced(MACHINES["i686"], payload=b"", defined=BARE.defined, notes=(BUILD_ID,))
    data = build_elf(base)
    (note,) = segments_of(data, PT_NOTE)
    edited = do(patch_segment(data, PT_NOTE, "p_paddr", 0xFFFFFFF0)).data
    assert segments_of(edited, PT_NOTE)[0].paddr == segments_of(edited, PT_NOTE)[0].vaddr == note.vaddr + 32
    # A segment at the end of memory, and a section that is not where its segment is.
    assert room(data) == (1, 1)
    first, *others = View.open(data, "lib.so").segments
    high = first._replace(vaddr=0xFFFFFF00)
    rest = first._replace(offset=60, vaddr=60, filesz=first.filesz - 60)  # without the first program header
    assert room(data, high, *others[:-1], rest) is None
    assert room(data, first, *others[:-1], rest) == (1, 1)
    for address in (0, 0xFFFFFFF0):
        assert room(patch_section(data, ".note.kit", "sh_addr", address)) is None
    # What a symbol says of its section can be as wrong.
    plain = build_elf(replaced(BARE, notes=(BUILD_ID,)))
    lie = patch_section(plain, ".dynstr", "sh_size", (1 << 64) - 1)
    lie = add_symtab(lie, b"\0", (1 << 64) - 16, home=section_index(plain, ".dynstr"))
    assert edit(lie, [LONGER], "lib.so").placement.slot is Slot.ROOM


def test_the_symbols_of_a_section_follow() -> None:
    """STT_SECTION, and what is within it; not what linkers count to the first section though it is before it."""
    plain = build_elf(replaced(BARE, notes=(BUILD_ID,)))
    for name in (".note.kit", ".gnu.hash", ".dynstr"):
        number = section_index(plain, name)
        section = View.open(plain, "lib.so").sections[number]
        for inside, follows in ((0, True), (section.size - 1, True), (section.size, False), (-section.addr, False)):
            data = add_symtab(plain, b"\0", section.addr + inside, info=3, home=number)
            edited = edit(data, [LONGER], "lib.so").data
            place = len(data) - len(b"\0") - 16
            value = int.from_bytes(edited[place : place + 8], "little")
            after = View.open(edited, "lib.so").sections[number]
            assert after.addr != section.addr
            assert value - inside == (after.addr if follows else section.addr)


def test_a_symbol_of_a_section_with_the_same_low_byte_stays() -> None:
    plain = build_elf(replaced(BARE, notes=(BUILD_ID,)))
    number = section_index(plain, ".note.kit")
    address = View.open(plain, "lib.so").sections[number].addr
    data = add_symtab(plain, b"\0", address, info=3, home=number + 0x100)
    edited = edit(data, [LONGER], "lib.so").data
    place = len(data) - len(b"\0") - 16
    assert int.from_bytes(edited[place : place + 8], "little") == address
