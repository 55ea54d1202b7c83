"""The symbols of tables that are put elsewhere: those of their sections, and `_DYNAMIC`."""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.elf.edit.pieces import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.elf.edit.pieces import Move
    from deloc8.elf.read.view import Section, View

_SYMBOL_TABLES = frozenset({c.SHT_SYMTAB, c.SHT_DYNSYM})


def moved_symbols(view: View, sections: Sequence[Section], moves: Sequence[Move]) -> dict[int, int]:
    """The new values of symbols, by the place of the symbol in the file as it is.

    Args:
        view: The file as it is.
        sections: Its section headers, once they follow what moves.
        moves: What moves into an appended segment.

    Raises:
        ElfError: A table of symbols, or its names, reach beyond the end of the file.
    """
    moved = [index for index, section in enumerate(sections) if section.addr != view.sections[index].addr]
    values = {}
    for move in moves:
        if move.piece.role is Role.DYNAMIC:
            for offset in dynamic_symbols(view, move.piece.address):
                values[offset] = move.address
    for index in moved:
        before = view.sections[index]
        for offset, value in _symbols_of(view, index):
            # Linkers give symbols outside of all sections, such as __ehdr_start, to the first one.
            if before.addr <= value < before.addr + before.size:
                values[offset] = (value - before.addr + sections[index].addr) % (1 << view.layout.bits)
    return values


def _symbols_of(view: View, index: int) -> Iterator[tuple[int, int]]:
    """The symbols of a section: where in the file, and st_value."""
    record = view.layout.symbol
    home_at = record.offsets["st_shndx"]
    low, high = (home_at, home_at + 1) if view.layout.little_endian else (home_at + 1, home_at)
    for table in _symbol_tables(view):
        raw = view.slice("a table of symbols", table.offset, table.size // record.size * record.size)
        # There can be a hundred thousand symbols, and hardly any is of that section.
        lows, highs = raw[low :: record.size], raw[high :: record.size]
        number = lows.find(index & 0xFF)
        while number >= 0:
            if highs[number] == index >> 8:
                offset = table.offset + number * record.size
                (value,) = view.numbers("st_value", offset + record.offsets["st_value"], 1, record.codes["st_value"])
                yield offset, value
            number = lows.find(index & 0xFF, number + 1)


def dynamic_symbols(view: View, address: int) -> Iterator[int]:
    """Where in the file the symbols `_DYNAMIC` stand, of whatever section; the address is that of the dynamic section.

    Raises:
        ElfError: The table or its names reach beyond the end of the file.
    """
    size, value_at = view.layout.symbol.size, view.layout.symbol.offsets["st_value"]
    value = address.to_bytes(view.layout.bits // 8, "little" if view.layout.little_endian else "big")
    for section in _symbol_tables(view):
        if section.link >= len(view.sections):
            continue
        names = view.sections[section.link]
        strings = view.slice("the names of symbols", names.offset, names.size)
        raw = view.slice("a table of symbols", section.offset, section.size // size * size)
        # The table can have a hundred thousand symbols, and hardly any has that value: its bytes are looked for.
        place = raw.find(value, value_at)
        while place >= 0:
            start = (place - value_at) // size * size
            if start + value_at == place:
                (name,) = view.numbers("st_name", section.offset + start, 1, "I")
                if strings.startswith(b"_DYNAMIC\0", name):
                    yield section.offset + start
            place = raw.find(value, start + size + value_at)


def _symbol_tables(view: View) -> list[Section]:
    return [section for section in view.sections if section.type in _SYMBOL_TABLES]
