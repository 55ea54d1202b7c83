"""Dynamic symbols: what a file asks of others and what it offers.

A file does not say how many dynamic symbols it has; the hash tables, the section header or the relocations tell.
"""

from __future__ import annotations

import struct
from itertools import repeat
from operator import add

from deloc8.elf import constants as c
from deloc8.machines import hash_bits
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.versions import DefinedVersion, VersionNeed


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
        _, chains = table.view.numbers("DT_HASH", table.locate("DT_HASH", c.DT_HASH), 2, hash_word(table))
        return chains
    hashed = count_hashed(table) if c.DT_GNU_HASH in values else 0
    if hashed:
        return hashed
    for section in table.view.sections:
        if section.type == c.SHT_DYNSYM and section.addr == values[c.DT_SYMTAB]:
            return section.size // table.view.layout.symbol.size
    return _count_by_relocations(table)


def hash_word(table: DynamicTable) -> str:
    """The struct code of a DT_HASH word: 64 bits on s390x (its ELF supplement) and Alpha, 32 bits elsewhere.

    lld writes words of 32 bits on s390x too. There the two numbers at the beginning are not 0, whereas one of the
    halves of a 64-bit number of buckets is.
    """
    if hash_bits(table.view.header.e_machine, table.view.layout.bits) == 32:  # noqa: PLR2004  the width
        return "I"
    return "Q" if 0 in table.view.numbers("DT_HASH", table.locate("DT_HASH", c.DT_HASH), 2, "I") else "I"


def count_hashed(table: DynamicTable) -> int:
    """One more than the last symbol of DT_GNU_HASH; 0 where none is hashed, which says nothing of the undefined ones.

    Raises:
        ElfError: The table reaches beyond the end of the file, or has more symbols than the file can hold.
    """
    view = table.view
    offset = table.locate("DT_GNU_HASH", c.DT_GNU_HASH)
    bucket_count, first, bloom_count, _ = view.numbers("DT_GNU_HASH", offset, 4, "I")
    buckets = offset + 16 + bloom_count * view.layout.bits // 8
    chains = buckets + bucket_count * 4
    last = max(view.numbers("the buckets of DT_GNU_HASH", buckets, bucket_count, "I"), default=0)
    if last < first or not last:
        return 0
    # The chain of the last bucket ends with the last symbol; lowest bit set.
    most = view.size // view.layout.symbol.size
    while last < most:
        place = chains + (last - first) * 4
        part = view.numbers("a chain of DT_GNU_HASH", place, max(1, min(_PART, (view.size - place) // 4)), "I")
        for value in part:
            last += 1
            if value & 1:
                return last
    raise view.sick("DT_GNU_HASH", offset, f"says that there are more than {most} symbols; the file cannot hold them")


# How many numbers of a chain are read at a time: most chains are short, a false one is as long as the file.
_PART = 256

# r_info within a relocation, by width and by whether there is an addend.
_SYMBOL_SHIFT = {32: 8, 64: 32}  # of the symbol's number in r_info
_RELOCATIONS = {(32, False): "4xI", (32, True): "4xI4x", (64, False): "8xQ", (64, True): "8xQ8x"}


def _count_by_relocations(table: DynamicTable) -> int:
    values, view = table.values, table.view
    kinds = [
        ("DT_RELA", c.DT_RELA, c.DT_RELASZ, True),
        ("DT_REL", c.DT_REL, c.DT_RELSZ, False),
        ("DT_JMPREL", c.DT_JMPREL, c.DT_PLTRELSZ, values.get(c.DT_PLTREL) == c.DT_RELA),
    ]
    order, shift = "<" if view.layout.little_endian else ">", _SYMBOL_SHIFT[view.layout.bits]
    highest = -1
    for field, tag, size_tag, has_addend in kinds:
        size = values.get(size_tag, 0)
        if tag not in values or not size:
            continue
        relocation = struct.Struct(order + _RELOCATIONS[view.layout.bits, has_addend])
        count = size // relocation.size
        raw = view.slice(f"the table of {field}", table.locate(field, tag), count * relocation.size)
        highest = max(highest, max((number for (number,) in relocation.iter_unpack(raw)), default=-1) >> shift)
    return highest + 1


# Five times what the largest library of TensorFlow has; and a wheel may not ask for more undefined ones in all.
_MOST_SYMBOLS = 1 << 21
_MOST_UNDEFINED = 250_000
# So many are counted before they are read, and are read so many at a time.
_MANY = 1 << 16


def _symbol_bytes(table: DynamicTable, count: int) -> tuple[int, bytes]:
    """Where the symbols stand in the file, and their bytes."""
    offset = table.locate("DT_SYMTAB", c.DT_SYMTAB)
    if count > _MOST_SYMBOLS:
        raise table.view.sick("DT_SYMTAB", offset, f"has {count} symbols; the limit is {_MOST_SYMBOLS}")
    return offset, table.view.slice("DT_SYMTAB", offset, count * table.view.layout.symbol.size)


def _raw_symbols(table: DynamicTable, raw: bytes) -> Iterator[tuple[int, int, int]]:
    """(st_name, st_info, st_shndx) of each symbol."""
    order = "<" if table.view.layout.little_endian else ">"
    # The three fields alone: reading them without st_value and st_size takes half the time.
    narrow = {32: "I8xBxH", 64: "IBxH16x"}[table.view.layout.bits]
    return struct.iter_unpack(order + narrow, raw)


def _versym(table: DynamicTable, count: int) -> Sequence[int]:
    if c.DT_VERSYM not in table.values:
        return ()
    return table.view.numbers("DT_VERSYM", table.locate("DT_VERSYM", c.DT_VERSYM), count, "H")


def _names(table: DynamicTable, offset: int, rows: Sequence[tuple[int, int, int]]) -> list[str]:
    """The names of symbols; a row begins with the symbol's number and st_name."""
    size = table.view.layout.symbol.size
    return table.names("st_name", [row[1] for row in rows], lambda nth: offset + rows[nth][0] * size)


def read_undefined(table: DynamicTable, needs: Iterable[VersionNeed]) -> tuple[UndefinedSymbol, ...]:
    """The undefined symbols with a name, in the order of the file.

    Raises:
        ElfError: The symbol, version or string table points outside the file.
    """
    count = count_symbols(table)
    if not count:
        return ()
    offset, raw = _symbol_bytes(table, count)
    if count > _MANY:
        _limit_undefined(table, offset, raw)
    rows = _undefined_rows(table, raw)
    versym = _versym(table, count) if rows else ()
    versions = {version.index: (version.name, need.file) for need in needs for version in need.versions}

    # There are thousands of symbols, and few kinds of what follows a name: each kind is made once, its version above
    # the byte of st_info, and the symbols are put together without a call for each.
    if versym:
        kinds = [(versym[number] & c.VERSYM_VERSION) << 8 | info for number, _, info in rows]
    else:
        versions, kinds = {}, [info for _, _, info in rows]
    endings = {
        kind: (*versions.get(kind >> 8, (None, None)), kind >> 4 & 15 == c.STB_WEAK)  # ELF_ST_BIND
        for kind in set(kinds)
    }
    fields = map(add, zip(_names(table, offset, rows), strict=True), map(endings.__getitem__, kinds))
    return tuple(map(tuple.__new__, repeat(UndefinedSymbol), fields))


def _undefined_rows(table: DynamicTable, raw: bytes) -> list[tuple[int, int, int]]:
    """(number, st_name, st_info) of each undefined symbol with a name."""
    return [
        (number, name, info)
        for number, (name, info, section) in enumerate(_raw_symbols(table, raw))
        if not section and name
    ]


def _limit_undefined(table: DynamicTable, offset: int, raw: bytes) -> None:
    """Raise ElfError where the bytes of the symbols at an offset have too many undefined ones."""
    undefined = sum(1 for name, _, section in _raw_symbols(table, raw) if name and not section)
    if undefined > _MOST_UNDEFINED:
        what = f"has {undefined} undefined symbols; the limit is {_MOST_UNDEFINED}"
        raise table.view.sick("DT_SYMTAB", offset, what)


def read_copied(table: DynamicTable, needs: Iterable[VersionNeed]) -> tuple[UndefinedSymbol, ...]:
    """The variables of others, with a version, that a program has a copy of (R_*_COPY), in the order of the file.

    Raises:
        ElfError: As for `read_undefined`.
    """
    count = count_symbols(table)
    versym = _versym(table, count) if count else ()
    versions = {version.index: (version.name, need.file) for need in needs for version in need.versions}
    if not versions or not versym:
        return ()
    offset, raw = _symbol_bytes(table, count)
    rows = [
        (number, name, versions[versym[number] & c.VERSYM_VERSION])
        for number, (name, _, section) in enumerate(_raw_symbols(table, raw))
        if section and versym[number] & c.VERSYM_VERSION in versions
    ]
    places = [(number, name, 0) for number, name, _ in rows]
    found = zip(_names(table, offset, places), rows, strict=True)
    return tuple(UndefinedSymbol(name, *version, weak=False) for name, (_, _, version) in found)


def read_defined(
    table: DynamicTable, definitions: Iterable[DefinedVersion], needs: Iterable[VersionNeed] = ()
) -> tuple[DefinedSymbol, ...]:
    """The defined symbols with a name that are not local, in the order of the file.

    A program has its own copy of variables such as ``stdout``, under a version of `needs`.

    Raises:
        ElfError: The symbol, version or string table points outside the file.
    """
    count = count_symbols(table)
    if not count:
        return ()
    offset, raw = _symbol_bytes(table, count)
    rows = [
        (number, name, info >> 4)
        for number, (name, info, section) in enumerate(_raw_symbols(table, raw))
        if section and name and info >> 4 != c.STB_LOCAL
    ]
    versym = _versym(table, count) if rows else ()
    versions = _version_names(definitions, needs)

    symbols = []
    for name, (number, _, binding) in zip(_names(table, offset, rows), rows, strict=True):
        versioned = versym[number] if versym else c.VER_NDX_GLOBAL
        version = versions.get(versioned & c.VERSYM_VERSION)
        symbols.append(DefinedSymbol(name, version, binding, versioned < _VERSYM_HIDDEN))
    return tuple(symbols)


def _version_names(definitions: Iterable[DefinedVersion], needs: Iterable[VersionNeed]) -> dict[int, str]:
    """The names of versions by their numbers; that of the file itself is none of them."""
    names = {}
    for need in needs:
        for version in need.versions:
            names[version.index] = version.name
    for definition in definitions:
        if not definition.base:
            names[definition.index] = definition.name
    return names


def read_defined_names(table: DynamicTable, wanted: frozenset[str] | None = None) -> frozenset[str]:
    """The names of the symbols that `read_defined` gives, in a third of the time.

    Args:
        table: The dynamic section.
        wanted: Those that matter; of a file that has none of them one of its own stands for all. None: all do.

    Raises:
        ElfError: The symbol or string table points outside the file.
    """
    count = count_symbols(table)
    if not count:
        return frozenset()
    offset, raw = _symbol_bytes(table, count)
    size = table.view.layout.symbol.size
    found: set[str] = set()
    some: list[str] = []
    for start in range(0, count, _MANY):
        part = raw[start * size : (start + _MANY) * size]
        rows = [
            (number, name, info)
            for number, (name, info, section) in enumerate(_raw_symbols(table, part), start)
            if section and name and info >> 4 != c.STB_LOCAL
        ]
        names = _names(table, offset, rows)
        some = some or names[:1]
        found.update(names if wanted is None else wanted.intersection(names))
    return frozenset(found or some)
