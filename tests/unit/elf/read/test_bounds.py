"""Where one thing ends and the next begins: the last byte, the last entry, the first that is too many."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from deloc8.dlopen.mentions import _united, mentioned_libraries
from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import AddNeeded, BindVersion, ReplaceNeeded, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read import dynamic as dynamics
from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.image import parse
from deloc8.elf.read.notes import Note, read_notes, x86_isa_level
from deloc8.elf.read.symbols import DefinedSymbol, count_hashed, count_symbols, read_defined
from deloc8.elf.read.versions import read_defined_versions
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf
from kit.patch import add_symtab, patch_entry, patch_header, patch_number, patch_section, patch_segment
from kit.pyelf import dynamic_of, offset_of, peer_of

PT_LOAD, PT_NULL, PT_DYNAMIC = 1, 0, 2
SHT_PROGBITS, SHT_NOBITS = 1, 8
DT_NULL, DT_NEEDED, DT_HASH, DT_SONAME, DT_GNU_HASH = 0, 1, 4, 14, 0x6FFFFEF5
EM_ALPHA = 0x9026
LONGER = SetSoname(soname="libdemo-with-a-name-that-stands-nowhere.so.1")


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def section(data: bytes, kind: int) -> tuple[int, int]:
    """Address and offset of the first section of a type."""
    found = next(s for s in View.open(data, "lib.so").sections if s.type == kind)
    return found.addr, found.offset


def defined(data: bytes) -> tuple[DefinedSymbol, ...]:
    table = table_of(data)
    return read_defined(table, read_defined_versions(table))


def with_hash(spec: ElfSpec, words: bytes) -> bytes:
    """A file whose DT_HASH is some bytes in its read-only data."""
    data = build_elf(replace(spec, hash="sysv", payload=words))
    return patch_entry(data, DT_HASH, section(data, SHT_PROGBITS)[0])


# -- the view ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "width"), [("H", 2), ("I", 4), ("Q", 8)])
def test_numbers_end_with_the_file(code: str, width: int) -> None:
    data = build_elf()
    view = View.open(data, "lib.so")
    assert view.numbers("them", len(data) - width, 1, code)[0] == int.from_bytes(data[-width:], "little")
    for missing in range(1, width + 1):
        with pytest.raises(ElfError):
            view.numbers("them", len(data) - width + missing, 1, code)


def test_a_file_may_be_its_header_alone() -> None:
    header = patch_header(patch_header(patch_header(build_elf(), "e_shoff", 0), "e_phnum", 0), "e_shnum", 0)[:64]
    assert View.open(header, "lib.so").segments == ()
    with pytest.raises(ElfError):
        View.open(header[:-1], "lib.so")


def test_an_address_behind_the_last_byte_has_no_contents() -> None:
    view = View.open(build_elf(sections=False), "lib.so")
    last = [s for s in view.segments if s.type == PT_LOAD][-1]
    assert view.offset_of("it", last.vaddr + last.filesz - 1) == last.offset + last.filesz - 1
    with pytest.raises(ElfError):
        view.offset_of("it", last.vaddr + last.filesz)


def test_only_the_dynamic_section_tells_debug_information_from_libraries() -> None:
    """A .tbss without contents stands at the address of PT_TLS, and many others at that of their PT_LOAD."""
    data = build_elf()
    start = [s.vaddr for s in View.open(data, "lib.so").segments if s.type == PT_LOAD][1]
    assert start != dynamic_of(data)["DT_STRTAB"]
    name = ".rodata"
    data = patch_section(patch_section(data, name, "sh_type", SHT_NOBITS), name, "sh_addr", start - 8)
    data = patch_segment(data, PT_LOAD, "p_paddr", 0)
    first = next(s.vaddr for s in View.open(data, "lib.so").segments if s.type == PT_LOAD)
    assert not View.open(patch_section(data, name, "sh_addr", first), "lib.so").is_debug_companion
    dynamic = next(s.vaddr for s in View.open(data, "lib.so").segments if s.type == PT_DYNAMIC)
    assert View.open(patch_section(data, name, "sh_addr", dynamic), "lib.so").is_debug_companion


# -- the dynamic section -------------------------------------------------------------------------------------------


def test_nothing_behind_the_first_null_counts() -> None:
    data = build_elf(ElfSpec(needed=("liba.so.1",), soname="libdemo.so"))
    assert table_of(patch_entry(data, DT_NEEDED, 0, new_tag=DT_NULL)).entries == ()


def test_the_last_dynamic_section_counts() -> None:
    """glibc's elf/dl-load.c takes the last PT_DYNAMIC that it meets."""
    data = build_elf(ElfSpec(soname="libdemo.so", spare_headers=1, payload=bytes(64)))
    address, offset = section(data, SHT_PROGBITS)
    for field, number in (("p_vaddr", address), ("p_offset", offset), ("p_filesz", 64), ("p_memsz", 64)):
        data = patch_segment(data, PT_NULL, field, number)
    assert table_of(patch_segment(data, PT_NULL, "p_type", PT_DYNAMIC)).entries == ()


def test_the_place_of_a_value_is_that_of_the_entry() -> None:
    data = build_elf(ElfSpec(needed=("liba.so.1", "libb.so.1"), soname="libdemo.so"))
    table = table_of(data)
    for tag in {tag for tag, _ in table.entries}:
        place = table.value_offset(tag)
        assert struct.unpack_from("<qQ", data, place - 8) == (tag, table.values[tag])
    # Of DT_NEEDED, which occurs twice, the one that is wrong is named.
    place = table.value_offset(DT_NEEDED)
    with pytest.raises(ElfError) as caught:
        parse(patch_number(data, place, 8, 99_999), "lib.so")
    assert caught.value.context[0].startswith(f"DT_NEEDED at offset 0x{place:x} names the string at 99999")


def test_names_may_be_read_a_few_times_and_not_thousandfold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamics, "_STRINGS_FLOOR", 0)
    names = tuple(Defined(f"{'name' * 20}{number}") for number in range(300))
    data = build_elf(ElfSpec(defined=names))
    strings = table_of(data).strings
    positions = [strings.index(name.name.encode()) for name in names]
    assert len(table_of(data).names("st_name", positions * 7, lambda _: None)) == 7 * len(names)
    with pytest.raises(ElfError, match="not a sound ELF") as caught:
        table_of(data).names("st_name", positions * 10, lambda _: None)
    assert "overlap each other" in caught.value.context[0]


@pytest.mark.parametrize("name", ["libb.so.1", "libc.so.6"])
def test_a_needed_library_comes_first_once(name: str) -> None:
    data = build_elf(ElfSpec(needed=("liba.so.1", name)))
    first = edit(data, [AddNeeded(name=name, first=True)], "lib.so").data
    assert peer_of(first).needed == (name, "liba.so.1")
    assert edit(first, [AddNeeded(name=name, first=True)], "lib.so").data == first
    assert peer_of(edit(data, [AddNeeded(name="liba.so.1", first=True)], "lib.so").data) == peer_of(data)


# -- symbols -------------------------------------------------------------------------------------------------------


def test_the_hidden_bit_of_a_version_number_is_the_highest() -> None:
    """LSB, "Symbol Version Table": bit 15 hides the symbol, the others number its version."""
    data = build_elf(ElfSpec(defined=(Defined("one", "V_1"),)))
    place = offset_of(data, dynamic_of(data)["DT_VERSYM"]) + 2
    for number, default in ((0x7FFF, True), (0x8000, False), (0x8001, False), (2, True)):
        (symbol,) = defined(patch_number(data, place, 2, number))
        assert symbol.default is default


def test_local_symbols_of_any_type_are_not_offered() -> None:
    data = build_elf(ElfSpec(defined=(Defined("one"),)))
    place = offset_of(data, dynamic_of(data)["DT_SYMTAB"]) + 24 + 4
    for kind in (0, 1, 2, 6, 10):  # untyped, variable, function, thread-local, chosen at load time (STT_GNU_IFUNC)
        assert len(defined(patch_number(data, place, 1, 0x10 | kind))) == 1
        assert defined(patch_number(data, place, 1, kind)) == ()


@pytest.mark.parametrize(
    ("spec", "code", "first_bucket"),
    [
        (ElfSpec(machine=EM_ALPHA), "<Q", 1),
        (ElfSpec(machine=EM_ALPHA), "<Q", 0),
        (MACHINES["s390x"], ">Q", 1),
        (MACHINES["s390x"], ">I", 1),
        (MACHINES["s390x"], ">I", 0),
        (MACHINES["x86_64"], "<I", 0),
    ],
)
def test_the_words_of_hash_tables_have_the_width_of_their_machine(spec: ElfSpec, code: str, first_bucket: int) -> None:
    """64 bits on Alpha and s390x (their ELF supplements), where lld writes 32."""
    symbols = (Undefined("puts"), Undefined("exp"))
    words = b"".join(struct.pack(code, word) for word in (2, 3, first_bucket, 1, 0, 2, 0))
    assert count_symbols(table_of(with_hash(replace(spec, undefined=symbols, relocations=False), words))) == 3


def test_a_hash_table_without_buckets_tells_nothing() -> None:
    data = build_elf(ElfSpec(defined=(Defined("one"), Defined("two"))))
    place = offset_of(data, dynamic_of(data)["DT_GNU_HASH"])
    data = patch_number(patch_number(data, place, 4, 0), place + 4, 4, 1)
    assert count_hashed(table_of(data)) == 0
    assert [symbol.name for symbol in defined(data)] == ["one", "two"]


@pytest.mark.parametrize(("size", "count"), [(None, 0), (8, 0), (24, 2)])
def test_symbols_are_counted_by_whole_relocations(size: int | None, count: int) -> None:
    data = build_elf(ElfSpec(undefined=(Undefined("puts"), Undefined("exp")), hash="none", sections=False))
    data = patch_entry(data, 8, size or 0, new_tag=0x7000_0035 if size is None else 8)  # DT_RELASZ
    assert count_symbols(table_of(data)) == count


# -- strings -------------------------------------------------------------------------------------------------------


def test_a_name_of_the_same_length_takes_the_place_of_the_old_one() -> None:
    data = build_elf(ElfSpec(needed=("liba.so.1", "libc.so.6")))
    edited = edit(data, [ReplaceNeeded(old="liba.so.1", new="libb.so.2")], "lib.so")
    assert (edited.placement.slot, edited.placement.grows_by) == (Slot.NONE, 0)
    assert peer_of(edited.data).needed == ("libb.so.2", "libc.so.6")


def test_the_name_of_a_symbol_is_never_written_over() -> None:
    """A symbol can have the name of a library; the section header knows more symbols than this table of names."""
    spec = ElfSpec(needed=("liba.so.1",), undefined=(Undefined("puts"), Undefined("liba.so.1")))
    words = struct.pack("<4I", 1, 1, 0, 0)  # no symbol but the first, which is none
    data = with_hash(replace(spec, relocations=False), words)
    edited = edit(data, [ReplaceNeeded(old="liba.so.1", new="libb.so.2")], "lib.so").data
    assert [name for name, *_ in peer_of(edited).undefined] == ["puts", "liba.so.1"]
    # Where nothing says how many symbols there are, no name is taken to be free.
    bare = build_elf(replace(spec, hash="none", relocations=False))
    for field, number in (("sh_type", SHT_PROGBITS), ("sh_link", 0)):
        bare = patch_section(bare, ".dynsym", field, number)
    place = offset_of(bare, dynamic_of(bare)["DT_STRTAB"]) + table_of(bare).values[DT_NEEDED]
    edited = edit(bare, [ReplaceNeeded(old="liba.so.1", new="libb.so.2")], "lib.so").data
    assert edited[place : place + 10] == b"liba.so.1\0"


def test_versions_stay_as_they_are_where_only_names_change() -> None:
    """Byte by byte: even a hash that is wrong."""
    data = build_elf(ElfSpec(soname="libdemo.so", needed=("liba.so.1",), needs=(NeedSpec("liba.so.1", "A_1"),)))
    place = offset_of(data, dynamic_of(data)["DT_VERNEED"]) + 16
    data = patch_number(data, place, 4, 0x0BADBAD0)  # vna_hash
    edited = edit(data, [LONGER], "lib.so").data
    assert edited[place : place + 4] == data[place : place + 4]


@pytest.mark.parametrize("length", range(8))
def test_version_records_stand_at_whole_words(length: int) -> None:
    needed = ("libm.so.6", "libc.so.6")
    undefined = tuple(Undefined(f"f{number}", f"GLIBC_2.{30 + number}", "libc.so.6") for number in range(4))
    data = build_elf(ElfSpec(needed=needed, undefined=undefined, spare_headers=1, payload=bytes(8)))
    library = "libnew" + "x" * length + ".so"
    edits = (
        AddNeeded(name=library),
        BindVersion(symbol="f0", old="GLIBC_2.30", version="NEW_1", library=library),
        SetSoname(soname="libdemo" + "y" * length + ".so"),
    )
    edited = edit(data + bytes(length), edits, "lib.so").data
    assert dynamic_of(edited)["DT_VERNEED"] % 4 == 0
    assert broken_invariants(edited, "lib.so") == ()


# -- room for program headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("align", "slot"), [(0, Slot.ROOM), (8, Slot.ROOM), (16, Slot.ROOM), (32, Slot.MOVED)])
def test_tables_of_usual_alignments_make_room(align: int, slot: Slot) -> None:
    data = patch_section(build_elf(ElfSpec(payload=b"")), ".gnu.hash", "sh_addralign", align)
    edited = edit(data, [LONGER], "lib.so")
    assert edited.placement.slot is slot
    assert peer_of(edited.data).soname == LONGER.soname


@pytest.mark.parametrize("payload", [b"x", b"\0", b"xx", bytes(8)])
def test_no_byte_that_the_code_may_know_is_moved(payload: bytes) -> None:
    data = build_elf(ElfSpec(payload=payload))
    edited = edit(data, [LONGER], "lib.so")
    assert edited.placement.slot is Slot.MOVED
    place = section(data, SHT_PROGBITS)[1]
    assert edited.data[place : place + len(payload)] == payload


def test_moved_program_headers_stand_at_whole_words() -> None:
    data = build_elf(ElfSpec(payload=b"x"))
    for length in range(1, 12):
        data = edit(data + bytes(length % 5), [SetSoname(soname="libdemo" + "z" * 7 * length)], "lib.so").data
        assert int.from_bytes(data[32:40], "little") % 8 == 0  # e_phoff
        assert broken_invariants(data, "lib.so") == ()


# -- the symbol _DYNAMIC -------------------------------------------------------------------------------------------


def test_the_symbol_of_the_dynamic_section_is_known_by_its_name() -> None:
    spec = ElfSpec(soname="libdemo.so", relr=True, spare_nulls=0, spare_headers=1, undefined=(Undefined("puts"),))
    names = b"\0" + b"x" * 40 + b"\0_DYNAMIC\0"
    address = next(s.vaddr for s in View.open(build_elf(spec), "lib.so").segments if s.type == PT_DYNAMIC)
    for name_at, follows in ((42, True), (1, False)):
        data = add_symtab(build_elf(spec), names, address)
        table = next(s for s in View.open(data, "lib.so").sections if s.type == 2)
        data = patch_number(data, table.offset + 24, 4, name_at)  # st_name
        edited = edit(data, [AddNeeded(name="libnew.so.1")], "lib.so").data
        moved = next(s.vaddr for s in View.open(edited, "lib.so").segments if s.type == PT_DYNAMIC)
        assert moved != address
        value = int.from_bytes(edited[table.offset + 32 : table.offset + 40], "little")
        assert value == (moved if follows else address)


def test_a_table_of_symbols_without_names_is_passed_over() -> None:
    data = add_symtab(build_elf(ElfSpec(spare_nulls=0, spare_headers=1)), b"\0_DYNAMIC\0", 0)
    data = patch_section(data, ".got", "sh_link", len(View.open(data, "lib.so").sections))
    found = parse(edit(data, [AddNeeded(name="libnew.so.1")], "lib.so").data, "lib.so").dynamic
    assert found is not None
    assert found.needed == ("libnew.so.1",)


# -- what a loader takes for granted -------------------------------------------------------------------------------


def test_segments_may_touch() -> None:
    data = build_elf()
    first, second = (s for s in View.open(data, "lib.so").segments if s.type == PT_LOAD)
    touching = patch_segment(data, PT_LOAD, "p_memsz", second.vaddr - first.vaddr)
    said = f"the PT_LOAD at 0x{second.vaddr:x} does not follow the one at 0x0"
    assert broken_invariants(touching, "lib.so") == ()
    over = patch_segment(data, PT_LOAD, "p_memsz", second.vaddr - first.vaddr + 1)
    assert said in broken_invariants(over, "lib.so")


def test_the_whole_table_of_program_headers_is_loaded() -> None:
    data = build_elf(ElfSpec(undefined=tuple(Undefined(f"f{n}") for n in range(60)), sections=False))
    segments = View.open(data, "").segments
    last = [s for s in segments if s.type == PT_LOAD][-1]
    end, size = last.offset + last.filesz, 56 * len(segments)
    table = data[64 : 64 + size]
    outside = "the program headers are not part of any PT_LOAD"
    for inside, said in ((size, ()), (size - 8, (outside,)), (64, (outside,)), (0, (outside,))):
        moved = data[: end - inside] + table + data[end - inside + size :]
        assert broken_invariants(patch_header(moved, "e_phoff", end - inside), "") == said


# -- notes ---------------------------------------------------------------------------------------------------------


def raw_note(owner: bytes, kind: int, description: bytes, align: int) -> bytes:
    name = owner + b"\0"
    head = struct.pack("<3I", len(name), len(description), kind) + name
    head += bytes(-len(head) % align)
    return head + description + bytes(-len(description) % align)


@pytest.mark.parametrize(("owner", "kind", "step"), [(b"GNU", 5, 8), (b"Other", 1, 8), (b"GNU", 3, 4), (b"FDO", 1, 4)])
def test_notes_in_a_segment_of_eight_bytes(owner: bytes, kind: int, step: int) -> None:
    """GNU properties and unknown notes stand at eight bytes there, those that mold puts behind them at four."""
    notes = raw_note(owner, kind, b"abcd", step) + raw_note(owner, kind, b"efgh", step)
    data = build_elf(ElfSpec(notes=(NoteSpec("GNU", 3, bytes(len(notes) - 16)),), sections=False))
    place = next(s for s in View.open(data, "").segments if s.type == 4)
    data = data[: place.offset] + notes + data[place.offset + len(notes) :]
    found = read_notes(View.open(patch_segment(data, 4, "p_align", 8), "lib.so"))
    assert [(note.owner, note.type, note.description) for note in found] == [
        (owner.decode(), kind, b"abcd"),
        (owner.decode(), kind, b"efgh"),
    ]


@pytest.mark.parametrize(("length", "level"), [(0, None), (7, None), (8, None), (11, None), (12, 2), (16, 2)])
def test_a_processor_level_that_is_cut_short_is_none(length: int, level: int | None) -> None:
    whole = struct.pack("<4I", 0xC0008002, 4, 2, 0)  # GNU_PROPERTY_X86_ISA_1_NEEDED, v2
    note = Note(owner="GNU", type=5, description=whole[:length])
    assert x86_isa_level([note], bits=64) == level


# -- names of libraries --------------------------------------------------------------------------------------------


def test_parts_that_share_bytes_are_looked_at_once() -> None:
    assert _united([(32, 35), (30, 40), (5, 20), (0, 10), (40, 55)], 50) == [(0, 20), (30, 40), (40, 50)]
    assert _united([(0, 10), (1, 3), (2, 30), (40, 50), (41, 42), (49, 60)], 100) == [(0, 30), (40, 60)]


def test_a_dynamic_loader_is_no_library_whatever_stands_before_it() -> None:
    payload = b"\0abc?ld-linux-x86-64.so.2\0abc?libown.so.1\0ld.so\0"
    data = build_elf(ElfSpec(payload=payload))
    assert [mention.name for mention in mentioned_libraries(data, parse(data, ""))] == ["libown.so.1"]


def test_without_sections_what_is_written_to_holds_no_constants() -> None:
    data = build_elf(ElfSpec(sections=False, undefined=(Undefined("f"), Undefined("g"))))
    last = [s for s in View.open(data, "").segments if s.type == PT_LOAD][-1]
    end = last.offset + last.filesz
    changed = data[: end - 16] + b"\0libx.so" + bytes(8) + data[end:]
    assert mentioned_libraries(changed, parse(data, "")) == ()
    first = data.index(b"deloc8!\0")
    changed = data[:first] + b"\0lx.so\0\0" + data[first + 8 :]
    assert [mention.name for mention in mentioned_libraries(changed, parse(data, ""))] == ["lx.so"]


def test_names_are_read_from_any_buffer_whatever_the_size_of_their_table(monkeypatch: pytest.MonkeyPatch) -> None:
    data = build_elf(ElfSpec(needed=("liba.so.1",), soname="libdemo.so", undefined=(Undefined("puts"),)))
    for largest in (1 << 20, 0):
        monkeypatch.setattr(dynamics, "_LARGE_STRINGS", largest)
        for buffer in (data, memoryview(data), bytearray(data)):
            image = parse(buffer, "lib.so")
            assert image.needed == ("liba.so.1",)
            assert [symbol.name for symbol in image.undefined] == ["puts"]
