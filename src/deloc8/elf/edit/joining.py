"""Relocation tables that are put elsewhere: unpacked relative relocations, the ordinary ones, those of functions.

glibc before 2.23, where it binds at once, adds DT_PLTRELSZ to the size of DT_RELA and walks that much from DT_RELA on
(elf/dynamic-link.h, _ELF_DYNAMIC_DO_RELOC; mended in 2.23 by its commit fa19d5c48a). So wherever DT_RELA goes,
DT_JMPREL goes right behind it. The same holds for DT_REL.
"""

from __future__ import annotations

import sys
from array import array
from itertools import chain

from deloc8.elf import constants as c
from deloc8.elf.read.relocations import (
    NO_WORD,
    WORD,
    packed_addresses,
    relative_kind,
    shape_of,
    word_at,
    words_at,
)
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.relocations import Shape
    from deloc8.elf.read.view import Section, View

_RELR_TAGS = frozenset({c.DT_RELR, c.DT_RELRSZ, c.DT_RELRENT})


class Functions(NamedTuple):
    """The relocations of functions that can be bound when they are first called (DT_JMPREL).

    Attributes:
        offset: Where the table is in the file.
        address: Where it is in memory.
        size: Its bytes.
    """

    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The relocation tables as they are put elsewhere, one directly behind the other.

    Attributes:
        shape: The kind of the tables.
        unpacks: Whether DT_RELR becomes ordinary relocations.
        contents: Those of DT_RELR, which belong before all others.
        offset: Where the table that they are joined to is in the file: DT_RELA, or DT_RELR where there is none.
        size: The bytes of that table that are read.
        address: Its address.
        functions: DT_JMPREL, which follows; None where there is none.
    """

    shape: Shape
    unpacks: bool
    contents: bytes
    offset: int
    size: int
    address: int
    functions: Functions | None

    @property
    def cut(self) -> tuple[int, int]:
        """The bytes of the table that are DT_JMPREL as well, from and to: linkers may count them in its size."""
        if self.functions is None or not self.size:
            return 0, 0
        start = self.functions.address - self.address
        return (start, start + self.functions.size) if 0 <= start < self.size else (0, 0)

    @property
    def table_size(self) -> int:
        """The bytes of DT_RELA or DT_REL in the new place."""
        start, end = self.cut
        return len(self.contents) + self.size - (end - start)

    @property
    def whole_size(self) -> int:
        """The bytes of both tables in the new place."""
        return self.table_size + (self.functions.size if self.functions else 0)


def functions_of(table: DynamicTable) -> Functions | None:
    """DT_JMPREL, where it has entries of the same kind as the other relocations of the machine.

    Raises:
        ElfError: It points outside the file.
    """
    values = table.values
    size = values.get(c.DT_PLTRELSZ, 0)
    if c.DT_JMPREL not in values or not size or values.get(c.DT_PLTREL) != shape_of(table.view).table:
        return None
    return Functions(table.locate("DT_JMPREL", c.DT_JMPREL), values[c.DT_JMPREL], size)


def join(table: DynamicTable, *, unpacks: bool) -> Joined:
    """The relocation tables, DT_JMPREL behind the others; with the packed ones as ordinary ones where `unpacks`.

    Raises:
        ElfError: A table is unsound, or the machine's relocations are not known.
    """
    view, values, shape = table.view, table.values, shape_of(table.view)
    has_table = shape.table in values and values.get(shape.size, 0) > 0
    tag, field = (shape.table, "the relocation table") if has_table else (c.DT_RELR, "DT_RELR")
    joined = Joined(
        shape=shape,
        unpacks=unpacks,
        contents=_unpacked(table, shape) if unpacks else b"",
        offset=table.locate(field, tag),
        size=values[shape.size] if has_table else 0,
        address=values[tag],
        functions=functions_of(table),
    )
    _check(view, joined)
    return joined


def _check(view: View, joined: Joined) -> None:
    """Raise ElfError where the two tables cannot be told apart."""
    entry = joined.shape.entry_size(view)
    start, end = joined.cut
    if joined.size % entry or start % entry:
        raise view.sick("the relocation table", joined.offset, "has no whole number of entries")
    functions = joined.functions
    if functions is None:
        return
    reaches_in = functions.address < joined.address < functions.address + functions.size
    if end > joined.size or (joined.size and reaches_in):
        raise view.sick("DT_JMPREL", functions.offset, "overlaps the other relocations")


def _unpacked(table: DynamicTable, shape: Shape) -> bytes:
    """The relocations of DT_RELR as ordinary ones."""
    view, relative = table.view, relative_kind(table.view)
    addresses = array("Q", packed_addresses(table))
    words = words_at(view, addresses)
    if NO_WORD in words:
        for address in addresses:
            word_at(view, address)  # raises the error of the first that has none
    kind = array("Q", [relative]) * len(addresses)
    fields = (addresses, kind, words)[: shape.words]
    return _packed_rows(view, fields)


def _packed_rows(view: View, columns: Sequence[array[int]]) -> bytes:
    """The entries of a table from their fields."""
    words = array(WORD[view.layout.bits], chain.from_iterable(zip(*columns, strict=True)))
    if view.layout.little_endian != (sys.byteorder == "little"):
        words.byteswap()
    return words.tobytes()


def joined_bytes(table: DynamicTable, joined: Joined, patches: Sequence[tuple[int, bytes]]) -> bytes:
    """The contents of the tables in their new place, with changes of some entries: offset in the file and new bytes."""
    start, end = joined.cut
    rest = _patched(table, joined.offset, joined.size, patches)
    del rest[start:end]
    functions = joined.functions
    behind = _patched(table, functions.offset, functions.size, patches) if functions else b""
    return joined.contents + rest + behind


def _patched(table: DynamicTable, offset: int, size: int, patches: Sequence[tuple[int, bytes]]) -> bytearray:
    contents = bytearray(table.view.slice("the relocation table", offset, size))
    for place, content in patches:
        if offset <= place < offset + size:
            contents[place - offset : place - offset + len(content)] = content
    return contents


def is_moved(joined: Joined | None, offset: int) -> bool:
    """Whether a byte of the file is part of a table that is put elsewhere."""
    if joined is None:
        return False
    functions = joined.functions
    in_functions = functions is not None and functions.offset <= offset < functions.offset + functions.size
    return in_functions or joined.offset <= offset < joined.offset + joined.size


def joined_entries(
    table: DynamicTable, entries: list[tuple[int, int | bytes]], joined: Joined
) -> list[tuple[int, int | bytes]]:
    """The dynamic section once the tables are joined; their addresses follow when their place is known."""
    shape, added = joined.shape, len(joined.contents)
    entry = shape.entry_size(table.view)
    count = added // entry
    kept = [(tag, value) for tag, value in entries if not joined.unpacks or tag not in _RELR_TAGS]
    if not joined.size:
        kept = [(tag, value) for tag, value in kept if tag not in {shape.table, shape.size, shape.entry, shape.count}]
        return [*kept, (shape.table, joined.address), (shape.size, added), (shape.entry, entry), (shape.count, count)]
    changed: list[tuple[int, int | bytes]] = []
    for tag, value in kept:
        if tag == shape.size:
            changed.append((tag, joined.table_size))
        elif tag == shape.count and isinstance(value, int):
            changed.append((tag, value + count))
        else:
            changed.append((tag, value))
    return changed


def move_tables(entries: Sequence[tuple[int, int]], joined: Joined, address: int) -> tuple[tuple[int, int], ...]:
    """The dynamic section once the tables have their new place."""
    places = {joined.shape.table: address}
    if joined.functions:
        places[c.DT_JMPREL] = address + joined.table_size
    return tuple((tag, places.get(tag, value)) for tag, value in entries)


def sections_after(
    table: DynamicTable, sections: Sequence[Section], joined: Joined, offset: int, address: int
) -> list[Section]:
    """The section headers once the tables are joined at an offset and address."""
    own, functions = _section_numbers(table.view.sections, joined)
    # Without a header of its own DT_JMPREL is part of the other one: `strip` clears what no header announces.
    size = joined.whole_size if functions is None else joined.table_size
    changed = []
    for index, section in enumerate(sections):
        after = section
        if index == own:
            after = section._replace(
                type=joined.shape.section,
                addr=address,
                offset=offset,
                size=size,
                link=section.link or _dynamic_symbols(sections),
                entsize=joined.shape.entry_size(table.view),
            )
        elif index == functions:
            start = joined.table_size
            after = section._replace(addr=address + start, offset=offset + start)
        elif section.type == c.SHT_RELR and joined.unpacks:
            # Its bytes stay, and mean nothing any more. The size of an entry stays too: GNU strip makes SHT_RELR of
            # whatever is called .relr.dyn, and cannot read its own output where that has none.
            after = section._replace(type=c.SHT_PROGBITS)
        changed.append(after)
    return changed


def _section_numbers(sections: Sequence[Section], joined: Joined) -> tuple[int | None, int | None]:
    """The numbers of the section headers of both tables; None for one that has none of its own."""
    kind = joined.shape.section if joined.size else c.SHT_RELR
    own = _at(sections, kind, joined.address)
    functions = _at(sections, joined.shape.section, joined.functions.address) if joined.functions else None
    return own, None if functions == own else functions


def _at(sections: Sequence[Section], kind: int, address: int) -> int | None:
    for index, section in enumerate(sections):
        if section.type == kind and section.flags & c.SHF_ALLOC and section.addr == address:
            return index
    return None


def _dynamic_symbols(sections: Sequence[Section]) -> int:
    """The number of the header of .dynsym; 0 where there is none."""
    return next((index for index, section in enumerate(sections) if section.type == c.SHT_DYNSYM), 0)
