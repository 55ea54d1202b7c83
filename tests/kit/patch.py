"""Lies told to a reader: single numbers of an ELF file's headers changed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from deloc8.elf.constants import DT_REL, DT_RELA, DT_SYMTAB
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.view import View
from kit.pyelf import COPY

if TYPE_CHECKING:
    from deloc8.elf.read.records import Record

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def patch_number(data: bytes, offset: int, size: int, value: int) -> bytes:
    """The file with a number of so many bytes changed, in the file's byte order."""
    raw = struct.pack(("<" if data[5] == 1 else ">") + _CODES[size], value)
    return data[:offset] + raw + data[offset + size :]


def _patch(data: bytes, record: Record, offset: int, field: str, value: int) -> bytes:
    start = record.offsets[field]
    end = min([place for place in record.offsets.values() if place > start], default=record.size)
    return patch_number(data, offset + start, end - start, value)


def patch_header(data: bytes, field: str, value: int) -> bytes:
    """The file with a field of its header changed, such as ``e_shstrndx``."""
    return _patch(data, View.open(data, "kit").layout.file_header, 0, field, value)


def patch_segment(data: bytes, kind: int, field: str, value: int, number: int = 0) -> bytes:
    """The file with a field of its first (or a later) program header of a type changed, such as ``p_align``."""
    view = View.open(data, "kit")
    record = view.layout.program_header
    index = [index for index, segment in enumerate(view.segments) if segment.type == kind][number]
    return _patch(data, record, view.header.e_phoff + index * record.size, field, value)


def section_index(data: bytes, name: str) -> int:
    """The number of a section."""
    view = View.open(data, "kit")
    names = view.sections[view.header.e_shstrndx]
    raw = view.slice("names", names.offset, names.size)
    return [raw[section.name : raw.index(b"\0", section.name)] for section in view.sections].index(name.encode())


def patch_section(data: bytes, name: str, field: str, value: int) -> bytes:
    """The file with a field of a section header changed, such as ``sh_link``."""
    view = View.open(data, "kit")
    record = view.layout.section_header
    return _patch(data, record, view.header.e_shoff + section_index(data, name) * record.size, field, value)


def make_copy(data: bytes, nth: int) -> bytes:
    """The program with a copy of a variable: its nth undefined symbol, counted from 0, is the room for it.

    The relocation that is the nth of DT_RELA or DT_REL, a pointer to the symbol before, fills it.
    """
    table = read_table(View.open(data, "kit"))
    assert table is not None
    view = table.view
    tag = DT_RELA if DT_RELA in table.values else DT_REL
    width = view.layout.bits // 8
    place = table.locate("relocations", tag) + nth * width * (3 if tag == DT_RELA else 2)
    (address, info) = view.numbers("a relocation", place, 2, {4: "I", 8: "Q"}[width])
    shift = {4: 8, 8: 32}[width]
    data = patch_number(data, place + width, width, info >> shift << shift | COPY[view.header.e_machine])
    record = view.layout.symbol
    symbol = table.locate("symbols", DT_SYMTAB) + (info >> shift) * record.size
    data = _patch(data, record, symbol, "st_value", address)
    return _patch(data, record, symbol, "st_shndx", 1)


def patch_entry(data: bytes, tag: int, value: int, *, new_tag: int | None = None) -> bytes:
    """The file with the value of its first dynamic entry of a tag changed, and the tag itself where one is given."""
    table = read_table(View.open(data, "kit"))
    assert table is not None
    record = table.view.layout.dynamic
    offset = table.offset + [known for known, _ in table.entries].index(tag) * record.size
    data = _patch(data, record, offset, "d_val", value)
    return data if new_tag is None else _patch(data, record, offset, "d_tag", new_tag)


def add_symtab(data: bytes, name: bytes, value: int, *, info: int = 0, home: int = 0) -> bytes:
    """A 64-bit little-endian library with a .symtab of one symbol.

    The section headers of .got and .rodata now announce the table and its names, which stand at the end of the file.
    `info` and `home` are st_info and st_shndx.
    """
    place = len(data)
    data += bytes(24) + struct.pack("<IBBH", 0, info, 0, home) + value.to_bytes(8, "little") + bytes(8) + name
    for field, number in (("sh_type", 2), ("sh_offset", place), ("sh_size", 48)):
        data = patch_section(data, ".got", field, number)
    for field, number in (("sh_offset", place + 48), ("sh_size", len(name))):
        data = patch_section(data, ".rodata", field, number)
    return patch_section(data, ".got", "sh_link", section_index(data, ".rodata"))
