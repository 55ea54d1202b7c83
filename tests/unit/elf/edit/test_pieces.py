"""The parts of a file that may move."""

from __future__ import annotations

import pytest

from deloc8.elf.edit.followers import dynamic_symbols
from deloc8.elf.edit.pieces import (
    Move,
    Piece,
    Role,
    dynamic_piece,
    move_entries,
    move_segment,
    pieces_within,
    strings_piece,
    versions_piece,
)
from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.view import Section, Segment, View
from deloc8.errors import ElfError
from kit.elf import MACHINES, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf
from kit.patch import add_symtab, patch_entry, patch_section, section_index


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def test_strings_and_dynamic() -> None:
    data = build_elf(ElfSpec(soname="libdemo.so", notes=(NoteSpec("GNU", 3, bytes(20)),)))  # PT_NOTE comes later
    table = table_of(data)
    strings, dynamic = strings_piece(table), dynamic_piece(table)
    assert (strings.role, strings.section) == (Role.STRINGS, section_index(data, ".dynstr"))
    assert (dynamic.role, dynamic.section) == (Role.DYNAMIC, section_index(data, ".dynamic"))
    assert data[strings.offset : strings.end] == table.strings
    assert dynamic.size % 16 == 0
    assert dynamic.address == dynamic.offset + 0x1000


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_end_of_version_records_is_found_without_section_headers(count: int) -> None:
    spec = ElfSpec(needs=tuple(NeedSpec("liba.so", f"A_{number}") for number in range(count)))
    with_headers = versions_piece(table_of(build_elf(spec)))
    assert with_headers.size == 16 + 16 * count
    without = versions_piece(table_of(build_elf(spec, sections=False)))
    assert (without.size, without.section) == (with_headers.size, None)


def test_without_section_headers() -> None:
    table = table_of(build_elf(ElfSpec(sections=False)))
    assert strings_piece(table).section is None
    assert dynamic_piece(table).section is None


def test_a_section_elsewhere_is_not_the_table() -> None:
    data = build_elf()
    for lie in (patch_section(data, ".dynstr", "sh_addr", 1), patch_section(data, ".dynstr", "sh_flags", 0)):
        assert strings_piece(table_of(lie)).section is None


def test_an_empty_section_at_the_same_place_is_not_the_table() -> None:
    data = build_elf(ElfSpec(soname="libdemo.so", hash="both", undefined=(Undefined("f"),), relr=True))
    index, address = section_index(data, ".dynstr"), table_of(data).values[5]
    for name in (".hash", ".gnu.hash", ".rela.dyn", ".relr.dyn", ".rodata", ".got"):
        lie = patch_section(patch_section(data, name, "sh_addr", address), name, "sh_flags", 2)
        for kind in (1, 2, 11):  # SHT_PROGBITS, SHT_SYMTAB, SHT_DYNSYM
            assert strings_piece(table_of(patch_section(lie, name, "sh_type", kind))).section == index


def test_no_string_table() -> None:
    table = table_of(patch_entry(build_elf(), 5, 0, new_tag=0x70000000))
    with pytest.raises(ElfError) as caught:
        strings_piece(table)
    assert caught.value.context[0].endswith("has no DT_STRTAB")


def test_a_piece_may_go_to_where_another_was() -> None:
    """All moves are done at once: PT_DYNAMIC once went on to where the string table had gone from its new place."""
    dynamic = Piece(Role.DYNAMIC, 0x100, 0x1100, 0x80, 8, None)
    strings = Piece(Role.STRINGS, 0x200, 0x1200, 0x40, 1, None)
    moves = (Move(dynamic, 0x200, 0x1200, 0x90), Move(strings, 0x300, 0x1300, 0x50))
    segment = Segment(2, 6, 0x100, 0x1100, 0x1100, 0x80, 0x80, 8)
    assert move_segment(segment, moves) == (2, 6, 0x200, 0x1200, 0x1200, 0x90, 0x90, 8)
    hashes = Piece(Role.COPY, 0x80, 0x1080, 0x20, 8, None)
    chain = (Move(hashes, 0x200, 0x1200, 0x20), moves[1])
    assert move_entries([(4, 0x1080), (5, 0x1200), (10, 0x1080)], chain) == ((4, 0x1200), (5, 0x1300), (10, 0x1080))


def test_a_long_stretch_of_zeros_is_no_padding() -> None:
    data = build_elf(ElfSpec(sections=False, payload=bytes(4096)))
    table = table_of(data)
    start = table.view.header.e_phoff + 56 * len(table.view.segments)
    assert pieces_within(table, start, start + 64) == ()
    assert pieces_within(table, start, start + 65) is None


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x", "ppc64le"])
def test_what_only_looks_like_the_symbol_of_the_dynamic_section(machine: str) -> None:
    """The expected rows are counted here, symbol by symbol, in a table where other fields hold the address, too."""
    address = 0x1234
    view = View.open(build_elf(MACHINES[machine]), "lib.so")
    record, bits = view.layout.symbol, view.layout.bits
    rows = [
        {"st_size": address, "st_value": 1},  # another field has the address
        {"st_value": address, "st_size": 77, "st_shndx": 0xFF01},  # this one; nothing around it is zero
        {"st_value": address | 1 << bits - 8},  # only most of the address
        {"st_value": address | 1 << 8},
        {"st_value": address, "st_name": 1},  # another name
        {"st_value": address, "st_size": address},
    ]
    table = b"".join(record.struct.pack(*(row.get(name, 0) for name in record.fields)) for row in rows)
    strings = b"_DYNAMIC\0"
    start = view.size
    sections = (
        Section(0, 2, 0, 0, start, len(table) + 1, 1, 0, 0, record.size),  # SHT_SYMTAB, with half a symbol behind
        Section(0, 3, 0, 0, start + len(table), len(strings), 0, 0, 0, 0),
    )
    data = bytes(view.data[:]) + table + strings
    whole = View(data, view.name, view.layout, view.header, view.segments, sections)
    assert list(dynamic_symbols(whole, address)) == [start + number * record.size for number in (1, 5)]


def test_the_symbol_of_the_dynamic_section() -> None:
    data = add_symtab(build_elf(), b"_DYNAMIC\0", 0x1234)
    view = View.open(data, "lib.so")
    assert list(dynamic_symbols(view, 0x1234)) == [len(data) - len(b"_DYNAMIC\0") - 24]
    assert list(dynamic_symbols(view, 0x1235)) == []
    astride = View.open(add_symtab(build_elf(), b"_DYNAMIC\0", 0x3400), "lib.so")
    assert list(dynamic_symbols(astride, 0x34)) == []  # the same bytes, but across two fields
    other = View.open(add_symtab(build_elf(), b"_DYNAMITE\0", 0x1234), "lib.so")
    assert list(dynamic_symbols(other, 0x1234)) == []
    elsewhere = View.open(patch_section(data, ".got", "sh_type", 1), "lib.so")  # SHT_PROGBITS: no table of symbols
    assert list(dynamic_symbols(elsewhere, 0x1234)) == []
    lost = View.open(patch_section(data, ".got", "sh_link", 999), "lib.so")
    assert list(dynamic_symbols(lost, 0x1234)) == []
