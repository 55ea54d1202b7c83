"""Dynamic symbols: what a file asks of others and what it offers.

A file does not say how many dynamic symbols it has; the hash tables, the section header or the relocations tell.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from deloc8.elf import constants as c

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.versions import DefinedVersion, VersionNeed


class UndefinedSymbol(NamedTuple):
    """A symbol that this file asks of others.

    Attributes:
        name: Its name.
        version: The version it must have, such as ``GLIBC_2.17``; None where it has none.
        file: The needed name whose version it is; None where the symbol has no version.
        weak: Whether the file can do without it.
    """

    name: str
    version: str | None
    file: str | None
    weak: bool


class DefinedSymbol(NamedTuple):
    """A symbol that this file offers.

    Attributes:
        name: Its name.
        version: The version it is defined under; None where it has none.
        binding: STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE, ...
        default: Whether a reference without a version binds to it.
    """

    name: str
    version: str | None
    binding: int
    default: bool


_VERSYM_HIDDEN = 0x8000
# Names share their endings in a string table, but not thousandfold: a table that does would cost memory without end.
_NAMES_TOTAL_FACTOR = 16
_NAMES_TOTAL_FLOOR = 1 << 24


def count_symbols(table: DynamicTable) -> int:
    """The number of entries of DT_SYMTAB.

    From DT_HASH, else DT_GNU_HASH, else the section header of .dynsym, else the highest symbol of a relocation.

    Raises:
        ElfError: A hash table points outside the file.
    """
    values = table.values
    if c.DT_SYMTAB not in values:
        return 0
    if c.DT_HASH in values:
        code = _hash_word(table)
        _, chains = table.view.numbers("DT_HASH", table.view.offset_of("DT_HASH", values[c.DT_HASH]), 2, code)
        return chains
    hashed = _count_by_gnu_hash(table) if c.DT_GNU_HASH in values else 0
    if hashed:
        return hashed
    for section in table.view.sections:
        if section.type == c.SHT_DYNSYM and section.addr == values[c.DT_SYMTAB]:
            return section.size // table.view.layout.symbol.size
    return _count_by_relocations(table)


def _hash_word(table: DynamicTable) -> str:
    """The struct code of a DT_HASH word: 64 bits on s390x (its ELF supplement) and Alpha, 32 bits elsewhere."""
    wide = table.view.header.e_machine in {c.EM_S390, c.EM_ALPHA} and table.view.layout.bits == 64
    return "Q" if wide else "I"


def _count_by_gnu_hash(table: DynamicTable) -> int:
    """One more than the last hashed symbol; 0 where none is hashed, which says nothing of the undefined ones."""
    view = table.view
    offset = view.offset_of("DT_GNU_HASH", table.values[c.DT_GNU_HASH])
    bucket_count, first, bloom_count, _ = view.numbers("DT_GNU_HASH", offset, 4, "I")
    offset += 16 + bloom_count * view.layout.bits // 8
    last = max(view.numbers("DT_GNU_HASH's buckets", offset, bucket_count, "I"), default=0)
    if last < first or not last:
        return 0
    chain = offset + bucket_count * 4 + (last - first) * 4
    order = "<I" if view.layout.little_endian else ">I"
    while True:
        view.check_range("DT_GNU_HASH's chain", chain, 4)
        (value,) = struct.unpack_from(order, view.data, chain)
        last += 1
        if value & 1:
            return last
        chain += 4


# (table, size, record size in words: r_offset, r_info and perhaps r_addend)
_RELOCATION_TABLES = ((7, 8, 3), (17, 18, 2))  # DT_RELA and DT_RELASZ, DT_REL and DT_RELSZ
_DT_PLTRELSZ, _DT_PLTREL, _DT_JMPREL = 2, 20, 23


def _count_by_relocations(table: DynamicTable) -> int:
    values, view = table.values, table.view
    places = [(values[where], values.get(size, 0), words) for where, size, words in _RELOCATION_TABLES if where in values]
    if _DT_JMPREL in values:
        places.append((values[_DT_JMPREL], values.get(_DT_PLTRELSZ, 0), 3 if values.get(_DT_PLTREL) == 7 else 2))
    word, shift = ("I", 8) if view.layout.bits == 32 else ("Q", 32)
    highest = -1
    for address, size, words in places:
        if not size:
            continue
        count = size // (words * view.layout.bits // 8)
        numbers = view.numbers("a relocation table", view.offset_of("a relocation table", address), count * words, word)
        highest = max([highest, *(info >> shift for info in numbers[1::words])])
    return highest + 1


class _Names:
    """Reads names from the string table, within a budget."""

    def __init__(self, table: DynamicTable) -> None:
        self.table = table
        self.budget = max(len(table.strings) * _NAMES_TOTAL_FACTOR, _NAMES_TOTAL_FLOOR)

    def read(self, position: int) -> str:
        name = self.table.string("st_name", position)
        self.budget -= len(name)
        if self.budget < 0:
            raise self.table.view.sick("DT_STRTAB", None, "holds symbol names that overlap each other without end")
        return name


def _raw_symbols(table: DynamicTable, count: int) -> Iterable[tuple[int, int, int]]:
    """(st_name, st_info, st_shndx) of each symbol."""
    view = table.view
    record = view.layout.symbol
    offset = view.offset_of("DT_SYMTAB", table.values[c.DT_SYMTAB])
    raw = view.slice("DT_SYMTAB", offset, count * record.size)
    order = "<" if view.layout.little_endian else ">"
    # The three fields alone: reading them without st_value and st_size takes half the time.
    narrow = "IBxH16x" if view.layout.bits == 64 else "I8xBxH"
    return struct.iter_unpack(order + narrow, raw)


def _versym(table: DynamicTable, count: int) -> Sequence[int]:
    if c.DT_VERSYM not in table.values:
        return ()
    return table.view.numbers("DT_VERSYM", table.view.offset_of("DT_VERSYM", table.values[c.DT_VERSYM]), count, "H")


def read_undefined(table: DynamicTable, needs: Iterable[VersionNeed]) -> tuple[UndefinedSymbol, ...]:
    """The undefined symbols with a name, in the order of the file.

    Raises:
        ElfError: The symbol, version or string table points outside the file.
    """
    count = count_symbols(table)
    if not count:
        return ()
    rows = [(i, name, info) for i, (name, info, section) in enumerate(_raw_symbols(table, count)) if not section and name]
    versym = _versym(table, count) if rows else ()
    versions = {version.index: (version.name, need.file) for need in needs for version in need.versions}
    unversioned = (None, None)
    read = _Names(table).read
    symbols = []
    for index, name, info in rows:
        version, file = versions.get(versym[index] & c.VERSYM_VERSION, unversioned) if versym else unversioned
        symbols.append(UndefinedSymbol(read(name), version, file, info >> 4 == c.STB_WEAK))
    return tuple(symbols)


def read_defined(table: DynamicTable, definitions: Iterable[DefinedVersion]) -> tuple[DefinedSymbol, ...]:
    """The defined symbols with a name that are not local, in the order of the file.

    Raises:
        ElfError: The symbol, version or string table points outside the file.
    """
    count = count_symbols(table)
    if not count:
        return ()
    versym = _versym(table, count)
    versions = {version.index: version.name for version in definitions if not version.base}
    read = _Names(table).read
    symbols = []
    for index, (name, info, section) in enumerate(_raw_symbols(table, count)):
        if not section or not name or info >> 4 == c.STB_LOCAL:
            continue
        number = versym[index] if versym else c.VER_NDX_GLOBAL
        version = versions.get(number & c.VERSYM_VERSION)
        symbols.append(DefinedSymbol(read(name), version, info >> 4, not number & _VERSYM_HIDDEN))
    return tuple(symbols)
