"""Which program header the new segment gets."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.slots import Slot, top_of
from deloc8.elf.edit.vocabulary import AddNeeded, ClearExecutableStack, SetSoname
from deloc8.elf.edit.writer import Edited, edit
from deloc8.elf.read.image import parse
from deloc8.elf.read.view import Segment, View
from deloc8.errors import ElfError
from kit.elf import ET_EXEC, MACHINES, Defined, ElfSpec, NoteSpec, build_elf
from kit.patch import patch_entry, patch_header, patch_section, patch_segment

PT_LOAD, PT_NOTE, PT_PHDR, PT_GNU_STACK, PT_GNU_PROPERTY = 1, 4, 6, 0x6474E551, 0x6474E553
PROPERTY = NoteSpec("GNU", 5, bytes.fromhex("028000c0 04000000 01000000 00000000"))
BUILD_ID = NoteSpec("GNU", 3, b"\x0a" * 20)
ABI_TAG = NoteSpec("GNU", 1, bytes(16))
PACKAGE = NoteSpec("FDO", 0xCAFE1A7E, b"{}\0\0")
LONGER = SetSoname(soname="libdemo-with-a-name-that-stands-nowhere.so.1")


def do(spec: ElfSpec | bytes, *edits: SetSoname | AddNeeded | ClearExecutableStack) -> Edited:
    data = spec if isinstance(spec, bytes) else build_elf(spec)
    edited = edit(data, edits or (LONGER,), "lib.so")
    assert set(broken_invariants(edited.data, "lib.so")) <= set(broken_invariants(data, "lib.so"))
    unused = [segment for segment in View.open(edited.data, "lib.so").segments if not segment.type]
    assert all(segment == (0,) * 8 for segment in unused)
    return edited


def header_of(segment: Segment) -> bytes:
    """The program header of a segment of an x86_64 file (gABI, Elf64_Phdr)."""
    fields = (segment.offset, segment.vaddr, segment.paddr, segment.filesz, segment.memsz, segment.align)
    return struct.pack("<II6Q", segment.type, segment.flags, *fields)


def kinds(data: bytes) -> list[int]:
    return [segment.type for segment in parse(data, "lib.so").segments]


@pytest.mark.parametrize("machine", MACHINES)
def test_an_unused_header_comes_first(machine: str) -> None:
    data = build_elf(replace(MACHINES[machine], notes=(PACKAGE,), spare_headers=2))
    edited = do(data)
    assert edited.placement.slot is Slot.NULL
    assert edited.notes == ()
    # The new PT_LOAD stands behind the others; one unused header is left.
    assert kinds(edited.data) == [1, 1, 1, 2, PT_NOTE, PT_GNU_STACK, 0]
    image = parse(edited.data, "lib.so")
    loads = [segment for segment in image.segments if segment.type == PT_LOAD]
    assert [load.vaddr for load in loads] == sorted(load.vaddr for load in loads)
    largest = max(0x10000 if machine in {"aarch64", "ppc64le", "ppc64", "loongarch64"} else 0x1000, loads[0].align)
    if machine == "s390":  # unknown to the policies: pages may be as large as any
        largest = 0x10000
    assert loads[-1].align == largest
    assert (loads[-1].offset - loads[-1].vaddr) % largest == 0
    assert loads[-1].flags == 4
    assert edited.placement.grows_by <= 7 + loads[-1].filesz


def test_only_what_is_loaded_takes_addresses() -> None:
    load = Segment(PT_LOAD, 4, 0, 0x1000, 0x1000, 8, 16, 0x1000)
    others = [Segment(kind, 4, 0, 0x9000, 0x9000, 8, 16, 8) for kind in (0, 2, 4, PT_GNU_STACK)]
    assert top_of([load, *others]) == 0x1010
    assert top_of(others) == 0


def test_properties_are_found_twice() -> None:
    data = build_elf(ElfSpec(notes=(PROPERTY, BUILD_ID)))
    edited = do(data)
    assert (edited.placement.slot, edited.notes) == (Slot.NOTE, ())
    assert kinds(data).count(PT_NOTE) == 2
    assert kinds(edited.data).count(PT_NOTE) == 1
    assert PT_GNU_PROPERTY in kinds(edited.data)
    assert parse(edited.data, "lib.so").notes == parse(data, "lib.so").notes


def test_what_costs_nothing_is_taken_wherever_it_stands() -> None:
    """The properties are the second PT_NOTE; other notes that matter little are the first."""
    data = build_elf(ElfSpec(notes=(PROPERTY, PACKAGE)))
    first, second = (segment for segment in parse(data, "lib.so").segments if segment.type == PT_NOTE)
    swapped = data.replace(header_of(first), b"first").replace(header_of(second), header_of(first))
    swapped = swapped.replace(b"first", header_of(second))
    for each in (data, swapped):
        edited = do(each)
        assert (edited.placement.slot, edited.notes) == (Slot.NOTE, ())
        assert parse(edited.data, "lib.so").notes == parse(data, "lib.so").notes


def crowded(*notes: NoteSpec) -> bytes:
    """A library whose program headers cannot become more where they are: a note wants an alignment of 64."""
    data = build_elf(ElfSpec(notes=notes))
    name = ".note.gnu.property" if PROPERTY in notes else ".note.kit"
    return patch_section(data, name, "sh_addralign", 64)


@pytest.mark.parametrize(
    ("notes", "cost"),
    [
        ((PACKAGE,), "the notes of FDO"),
        ((BUILD_ID,), "the build id"),
        ((ABI_TAG, BUILD_ID), "the build id, the notes of GNU"),
    ],
)
def test_what_a_note_costs(notes: tuple[NoteSpec, ...], cost: str) -> None:
    edited = do(crowded(*notes))
    assert edited.notes == (f"of its notes these are now found by section only: {cost}",)
    assert len(parse(edited.data, "lib.so").notes) == len(notes)
    edited = do(ElfSpec(notes=notes, sections=False))
    assert edited.notes == (f"of its notes these are now no longer found: {cost}",)
    assert parse(edited.data, "lib.so").notes == ()


def test_properties_without_their_own_header_go_last() -> None:
    data = patch_segment(crowded(PROPERTY, BUILD_ID), PT_GNU_PROPERTY, "p_filesz", 8)
    assert do(data).notes == ("of its notes these are now found by section only: the build id",)
    data = patch_segment(crowded(PROPERTY), PT_GNU_PROPERTY, "p_type", PT_GNU_STACK)
    assert do(data).notes == ("of its notes these are now found by section only: the processor properties",)


def test_the_build_id_is_given_up_after_other_notes() -> None:
    """Debuggers find files by it. Whatever stands first."""
    data = build_elf(ElfSpec(notes=(BUILD_ID, ABI_TAG, PROPERTY)))
    spare, both = (segment for segment in parse(data, "lib.so").segments if segment.type == PT_NOTE)
    # One header for both, as linkers write it, becomes one for each.
    sizes = [12 + len(b"GNU\0") + len(note.description) for note in (BUILD_ID, ABI_TAG)]
    assert sum(sizes) == both.filesz

    def one(offset: int, size: int) -> bytes:
        start, address = both.offset + offset, both.vaddr + offset
        return header_of(both)[:8] + struct.pack("<5Q", start, address, address, size, size) + header_of(both)[48:]

    build_id, other = one(0, sizes[0]), one(*sizes)
    for headers in ((build_id, other), (other, build_id)):
        changed = data.replace(header_of(spare), headers[0]).replace(header_of(both), headers[1])
        changed = patch_segment(changed, PT_GNU_PROPERTY, "p_type", PT_GNU_STACK)
        assert do(changed).notes == ("of its notes these are now found by section only: the notes of GNU",)


def test_an_empty_note_costs_nothing() -> None:
    data = patch_segment(build_elf(ElfSpec(notes=(BUILD_ID,), sections=False)), PT_NOTE, "p_filesz", 0)
    assert do(data).notes == ("of its notes these are now no longer found: none",)
    data = patch_segment(build_elf(ElfSpec(notes=(PROPERTY,), sections=False)), PT_NOTE, "p_filesz", 0)
    data = patch_segment(data, PT_GNU_PROPERTY, "p_filesz", 0)
    assert do(data).notes == ("of its notes these are now no longer found: none",)


def test_a_table_that_does_not_exist_stays_away() -> None:
    """A pointer of 0 is no pointer to program headers that move."""
    data = build_elf(ElfSpec(entries=((4, 0),)))
    edited = do(data)
    assert edited.placement.slot is Slot.MOVED
    (dynamic,) = ELFFile(io.BytesIO(edited.data)).iter_segments("PT_DYNAMIC")
    assert isinstance(dynamic, DynamicSegment)
    assert [tag.entry.d_val for tag in dynamic.iter_tags("DT_HASH")] == [0]


def in_the_way(*, movable: bool, **options: object) -> bytes:
    """A library without a spare header, where a hash table (or, unmovable, data) follows the headers."""
    data = build_elf(ElfSpec(**options), payload=b"" if movable else b"deloc8!\0")  # type: ignore[arg-type]
    assert PT_NOTE not in kinds(data)
    return data


@pytest.mark.parametrize("hash_table", ["gnu", "sysv"])
@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64", "s390x"])
def test_room_is_made(machine: str, hash_table: str) -> None:
    spec = replace(MACHINES[machine], payload=b"", hash=hash_table, defined=(Defined("demo"),) * 3)  # type: ignore[arg-type]
    data = build_elf(spec)
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    assert edited.notes == ("no program header was spare: the tables behind them were moved to the end of the file",)
    before, after = parse(data, "lib.so"), parse(edited.data, "lib.so")
    assert len(after.segments) == len(before.segments) + 1
    assert after.soname == LONGER.soname
    again = edit(edited.data, [LONGER], "lib.so").data
    assert again is edited.data


def test_a_program_gets_room_too() -> None:
    spec = ElfSpec(type=ET_EXEC, interpreter="/lib64/ld-linux-x86-64.so.2", payload=b"")
    data = build_elf(spec)
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    image = parse(edited.data, "program")
    assert image.interpreter == "/lib64/ld-linux-x86-64.so.2"
    (phdr,) = [segment for segment in image.segments if segment.type == PT_PHDR]
    assert phdr.filesz == phdr.memsz == 56 * len(image.segments)
    assert phdr.offset == 64  # older kernels look nowhere else


def test_the_table_of_a_library_moves_as_a_last_resort() -> None:
    for spec in (ElfSpec(), ElfSpec(sections=False, payload=b"")):
        data = build_elf(spec)
        edited = do(data)
        assert edited.placement.slot is Slot.MOVED
        assert edited.notes[0].endswith("do not strip it any more")
        image = parse(edited.data, "lib.so")
        assert len(image.segments) == len(kinds(data)) + 1
        assert image.soname == LONGER.soname
        # The next edit takes the table along, since it lies in the segment that is written anew.
        longer = do(edited.data + bytes(21), AddNeeded(name="libnew-and-long.so"))
        assert longer.placement.slot is Slot.REUSED
        assert kinds(longer.data) == kinds(edited.data)


def test_a_moved_table_is_announced() -> None:
    data = build_elf(ElfSpec(interpreter="/lib/ld.so", soname="libc.so.6", dt_flags_1=0))
    # A library with PT_PHDR but without PT_INTERP.
    data = patch_segment(data, 3, "p_type", PT_GNU_STACK)
    image = parse(do(data).data, "lib.so")
    (phdr,) = [segment for segment in image.segments if segment.type == PT_PHDR]
    load = [segment for segment in image.segments if segment.type == PT_LOAD][-1]
    assert (phdr.offset, phdr.vaddr) == (load.offset + 8, load.vaddr + 8)
    assert phdr.filesz == 56 * len(image.segments)


@pytest.mark.parametrize(
    "spec",
    [
        ElfSpec(type=ET_EXEC),
        ElfSpec(dt_flags_1=0x08000000),
        ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2"),
    ],
)
def test_the_table_of_a_program_stays(spec: ElfSpec) -> None:
    with pytest.raises(ElfError) as caught:
        do(replace(spec, align=0x1000))
    assert caught.value.code == "edit-impossible"
    assert caught.value.context == ("all program headers are in use, and those of a program must stay where they are",)


def test_what_cannot_make_room() -> None:
    data = build_elf(ElfSpec(payload=b"", hash="gnu"))
    assert do(data).placement.slot is Slot.ROOM
    # A table that is not loaded, too strongly aligned, or that nobody points to, stays where it is.
    for field, value in (("sh_flags", 0), ("sh_addralign", 64), ("sh_addr", 0x999)):
        assert do(patch_section(data, ".gnu.hash", field, value)).placement.slot is Slot.MOVED
    # So do bytes that no section claims, and headers that are not loaded themselves.
    assert do(patch_section(data, ".gnu.hash", "sh_type", 8)).placement.slot is Slot.MOVED
    table = data[64 : 64 + 56 * len(kinds(data))]
    apart = edit(patch_header(data, "e_phoff", len(data)) + table, [LONGER], "lib.so")
    assert apart.placement.slot is Slot.MOVED
    assert broken_invariants(apart.data, "lib.so") == ()


def without_note_headers(data: bytes) -> bytes:
    while PT_NOTE in kinds(data):
        data = patch_segment(data, PT_NOTE, "p_type", 0x6FFFFFFF)
    return data


def test_notes_make_room_once_they_lost_their_header() -> None:
    data = without_note_headers(build_elf(ElfSpec(notes=(PROPERTY, BUILD_ID))))
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    assert parse(edited.data, "lib.so").notes == parse(data, "lib.so").notes
    (properties,) = [s for s in parse(edited.data, "lib.so").segments if s.type == PT_GNU_PROPERTY]
    assert properties.offset >= len(data)
    # A header that covers more than the one section does not follow it.
    (properties,) = [s for s in parse(data, "lib.so").segments if s.type == PT_GNU_PROPERTY]
    longer = patch_segment(data, PT_GNU_PROPERTY, "p_vaddr", properties.vaddr - 8)
    assert do(longer).placement.slot is Slot.MOVED


def test_padding_is_room() -> None:
    # No section claims these 56 bytes, and they are zero.
    data = build_elf(ElfSpec(payload=bytes(64), gnu_stack=7))
    data = patch_section(data, ".rodata", "sh_type", 8)
    edited = do(data)
    assert edited.placement.slot is Slot.ROOM
    assert edited.placement.grows_by < 100


def test_headers_cannot_be_more_than_can_be_said() -> None:
    data = build_elf(ElfSpec(spare_headers=0))
    count = 0xFFFE
    table = data[64 : 64 + 56 * len(kinds(data))]
    unused = bytes.fromhex("51e57464") + bytes(52)
    data = patch_header(data + table + unused * (count - len(kinds(data))), "e_phoff", len(data))
    data = patch_header(data, "e_phnum", count)
    with pytest.raises(ElfError) as caught:
        do(data)
    assert caught.value.context == ("it has as many program headers as there can be",)


def test_an_earlier_segment_is_extended() -> None:
    once = do(ElfSpec(spare_headers=2))
    twice = do(once.data, AddNeeded(name="libnew.so"))
    assert twice.placement.slot is Slot.EXTENDED
    assert twice.placement.appended == b"libnew.so\0"
    assert kinds(twice.data) == kinds(once.data)


def test_strings_that_end_before_their_segment_are_not_extended() -> None:
    """What stands behind the string table would come to stand within it."""
    once = do(ElfSpec(spare_headers=2)).data
    (dynamic,) = ELFFile(io.BytesIO(once)).iter_segments("PT_DYNAMIC")
    assert isinstance(dynamic, DynamicSegment)
    (size,) = (tag.entry.d_val for tag in dynamic.iter_tags("DT_STRSZ"))
    assert once.endswith(f"{LONGER.soname}\0".encode())
    shorter = patch_entry(edit(once, [SetSoname(soname="d")], "lib.so").data, 10, size - 4)
    twice = do(shorter, AddNeeded(name="libnew.so"))
    assert twice.placement.slot is Slot.REUSED


def test_a_segment_of_more_bytes_than_memory_is_not_extended() -> None:
    """No loader takes it as it stands."""
    once = do(ElfSpec(spare_headers=2)).data
    load = [segment for segment in parse(once, "lib.so").segments if segment.type == PT_LOAD][-1]
    lie = once.replace(header_of(load), header_of(load._replace(memsz=load.memsz - 1)))
    assert edit(lie, [AddNeeded(name="libnew.so")], "lib.so").placement.slot is Slot.NULL


def test_an_earlier_segment_is_written_anew_behind_other_bytes() -> None:
    once = do(ElfSpec(spare_headers=1))
    twice = do(once.data + bytes(21), AddNeeded(name="libnew.so"))
    assert twice.placement.slot is Slot.REUSED
    assert kinds(twice.data) == kinds(once.data)
    assert parse(twice.data, "lib.so").needed == ("libnew.so",)


def test_a_segment_with_other_contents_is_no_earlier_one() -> None:
    once = do(ElfSpec(spare_headers=2)).data
    # The segment begins 80 bytes earlier, with bytes that are not known.
    image = parse(once, "lib.so")
    load = [segment for segment in image.segments if segment.type == PT_LOAD][-1]
    record = once.index(load.offset.to_bytes(8, "little") + load.vaddr.to_bytes(8, "little"))
    changed = (
        once[:record]
        + (load.offset - 80).to_bytes(8, "little")
        + (load.vaddr - 80).to_bytes(8, "little") * 2
        + (load.filesz + 80).to_bytes(8, "little") * 2
        + once[record + 40 :]
    )
    assert do(changed + bytes(4), AddNeeded(name="libnew.so")).placement.slot is Slot.NULL


def test_a_segment_that_is_not_the_last_one_is_left_alone() -> None:
    once = do(ElfSpec(spare_headers=3)).data
    # A second PT_LOAD behind it.
    twice = patch_segment(once, 0, "p_vaddr", 0x900000)
    twice = patch_segment(patch_segment(twice, 0, "p_memsz", 16), 0, "p_type", PT_LOAD)
    assert do(twice, AddNeeded(name="libnew.so")).placement.slot is Slot.NULL


def test_a_stack_header_takes_a_spare_one() -> None:
    edited = do(ElfSpec(gnu_stack=None, spare_headers=1), ClearExecutableStack())
    assert edited.placement.slot is Slot.NULL
    assert edited.placement.grows_by == 0
    (stack,) = [segment for segment in parse(edited.data, "lib.so").segments if segment.type == PT_GNU_STACK]
    assert stack.flags == 6


def test_a_stack_header_and_a_segment() -> None:
    for spare, slot in ((2, Slot.NULL), (1, Slot.ROOM), (0, Slot.ROOM)):
        spec = ElfSpec(gnu_stack=None, spare_headers=spare, payload=b"", defined=(Defined("a"),) * 9)
        edited = do(spec, ClearExecutableStack(), LONGER)
        assert edited.placement.slot is slot
        # No more headers than are needed: one for the segment, one for the stack.
        data = build_elf(spec)
        assert len(kinds(edited.data)) == len(kinds(data)) + 2 - spare
        if slot is Slot.NULL:
            end = 64 + 56 * len(kinds(data))
            assert edited.data[end : end + 200] == data[end : end + 200]
        assert kinds(edited.data).count(PT_GNU_STACK) == 1
        assert parse(edited.data, "lib.so").soname == LONGER.soname


def test_a_stack_header_alone_makes_room() -> None:
    edited = do(ElfSpec(gnu_stack=None, payload=b"", defined=(Defined("a"),) * 9), ClearExecutableStack())
    assert edited.placement.slot is Slot.ROOM
    assert kinds(edited.data).count(PT_GNU_STACK) == 1
    assert kinds(edited.data).count(PT_LOAD) == 3


@pytest.mark.parametrize("owner", ["NODE_SEA_BLOB", "SUI", "qt-project!", "Crashpad", ""])
def test_notes_that_a_program_reads_keep_their_header(owner: str) -> None:
    """Node.js (postject) and Deno (sui) find their modules by `dl_iterate_phdr`, Qt finds what a plugin offers."""
    data = build_elf(ElfSpec(notes=(NoteSpec(owner, 1, b"modules!"),)))
    check_notes(data)


def test_long_notes_keep_their_header() -> None:
    check_notes(build_elf(ElfSpec(notes=(NoteSpec("GNU", 1, b"modules!" * 513),))))


def check_notes(data: bytes) -> None:
    edited = edit(data, [LONGER], "lib.so").data
    before = [segment.filesz for segment in View.open(data, "lib.so").segments if segment.type == 4]
    assert [s.filesz for s in View.open(edited, "lib.so").segments if s.type == 4] == before
    assert parse(edited, "lib.so").notes == parse(data, "lib.so").notes
