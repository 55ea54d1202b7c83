"""The parts of a file that may be put elsewhere, because everything that refers to them is known."""

from __future__ import annotations

import enum

from deloc8.elf import constants as c
from deloc8.elf.versions import read_need_records
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.joining import Joined
    from deloc8.elf.view import Section, Segment, View

_LARGEST_ALIGNMENT = 16
_LONGEST_PADDING = 64
# Found through the dynamic section alone; the code of a file never refers to them.
_POINTER_TAGS = frozenset({c.DT_HASH, c.DT_GNU_HASH, c.DT_STRTAB, c.DT_SYMTAB, c.DT_VERSYM, c.DT_VERDEF, c.DT_VERNEED})
# Found through a program header of their own.
_POINTER_SEGMENTS = frozenset({c.PT_INTERP, c.PT_DYNAMIC, c.PT_GNU_PROPERTY})
_NOTE_SEGMENTS = frozenset({c.PT_NOTE, c.PT_GNU_PROPERTY})


class Role(enum.Enum):
    """What a piece is, where its contents are written anew."""

    STRINGS = "the string table"
    DYNAMIC = "the dynamic section"
    HEADERS = "the program headers"
    VERSIONS = "the versions needed of other files"
    RELOCATIONS = "the relocations"
    COPY = "a table that is copied as it stands"


class Piece(NamedTuple):
    """A stretch of the file that may be put elsewhere.

    Attributes:
        role: What it is.
        offset: Where it stands in the file.
        address: Where it stands in memory.
        size: How many bytes it has in the file as it is.
        align: What its new place must be a multiple of.
        section: The number of its section header; None where it has none.
    """

    role: Role
    offset: int
    address: int
    size: int
    align: int
    section: int | None

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.size


def strings_piece(table: DynamicTable) -> Piece:
    """DT_STRTAB.

    Raises:
        ElfError: There is none in the file.
    """
    if c.DT_STRTAB not in table.values:
        raise table.view.sick("PT_DYNAMIC", table.offset, "has no DT_STRTAB")
    address = table.values[c.DT_STRTAB]
    offset = table.locate("DT_STRTAB", c.DT_STRTAB)
    section = _section_at(table.view, address, c.SHT_STRTAB)
    return Piece(Role.STRINGS, offset, address, len(table.strings), 1, section)


def dynamic_piece(table: DynamicTable) -> Piece:
    """PT_DYNAMIC."""
    segment = [s for s in table.view.segments if s.type == c.PT_DYNAMIC and s.filesz][-1]
    section = _section_at(table.view, segment.vaddr, c.SHT_DYNAMIC)
    return Piece(Role.DYNAMIC, table.offset, segment.vaddr, segment.filesz, 8, section)


def versions_piece(table: DynamicTable) -> Piece:
    """DT_VERNEED; its size is that of the section, or else reaches as far as records follow each other.

    Raises:
        ElfError: It points outside the file.
    """
    address = table.values[c.DT_VERNEED]
    offset = table.locate("DT_VERNEED", c.DT_VERNEED)
    section = _section_at(table.view, address, c.SHT_GNU_VERNEED)
    layout = table.view.layout
    if section is not None:
        return Piece(Role.VERSIONS, offset, address, table.view.sections[section].size, 8, section)
    stretches = []
    for need in read_need_records(table):
        stretches.append((need.offset, need.offset + layout.verneed.size))
        stretches.append((need.auxiliary, need.auxiliary + len(need.versions) * layout.vernaux.size))
    end = offset
    for start, stop in sorted(stretches):
        # What lies behind a gap may be anything.
        if start <= end:
            end = max(end, stop)
    return Piece(Role.VERSIONS, offset, address, end - offset, 8, section)


def relocations_piece(table: DynamicTable, joined: Joined) -> Piece:
    """The table that others are joined to; `joining` sees to the section headers."""
    size = joined.size or table.values.get(c.DT_RELRSZ, 0)
    return Piece(Role.RELOCATIONS, joined.offset, joined.address, size, 8, None)


def _section_at(view: View, address: int, kind: int) -> int | None:
    for index, section in enumerate(view.sections):
        if section.type == kind and section.flags & c.SHF_ALLOC and section.addr == address:
            return index
    return None


def pieces_within(table: DynamicTable, start: int, end: int) -> tuple[Piece, ...] | None:
    """The pieces that fill a stretch of the file, by offset; None where it holds anything that must stay.

    Bytes between sections are padding when they are zero. The program headers count as a piece when they begin there.
    """
    view = table.view
    known = [strings_piece(table), dynamic_piece(table)]
    found = [piece for piece in known if piece.offset < end and start < piece.end]
    sections = {piece.section for piece in found}
    if start <= view.header.e_phoff < end:
        size = len(view.segments) * view.layout.program_header.size
        found.append(Piece(Role.HEADERS, view.header.e_phoff, 0, size, 8, None))
    for index, section in enumerate(view.sections):
        if index in sections or not _stands_within(section, start, end):
            continue
        if not _is_movable(table, section):
            return None
        found.append(Piece(Role.COPY, section.offset, section.addr, section.size, max(section.addralign, 1), index))
    found.sort(key=lambda piece: piece.offset)
    cursor = start
    for place, following in [(piece.offset, piece.end) for piece in found] + [(end, end)]:
        gap = max(place - cursor, 0)
        if gap > _LONGEST_PADDING or view.slice("padding", cursor, gap).strip(b"\0"):
            return None
        cursor = max(cursor, following)
    return tuple(found)


def _stands_within(section: Section, start: int, end: int) -> bool:
    has_bytes = section.type not in {c.SHT_NULL, c.SHT_NOBITS} and section.size > 0
    return has_bytes and section.offset < end and start < section.offset + section.size


def _is_movable(table: DynamicTable, section: Section) -> bool:
    if not section.flags & c.SHF_ALLOC or section.addralign > _LARGEST_ALIGNMENT:
        return False
    segments = table.view.segments
    if section.type == c.SHT_NOTE:
        # Once PT_NOTE is gone, its section header and PT_GNU_PROPERTY are all that leads there.
        over = [s for s in segments if s.type in _NOTE_SEGMENTS and s.vaddr <= section.addr < s.vaddr + s.memsz]
        return all(s.type == c.PT_GNU_PROPERTY and s.vaddr == section.addr for s in over)
    by_tag = any(value == section.addr and tag in _POINTER_TAGS for tag, value in table.entries)
    return by_tag or any(s.type in _POINTER_SEGMENTS and s.vaddr == section.addr for s in segments)


class Move(NamedTuple):
    """A piece and its new place; offset, address and size in bytes."""

    piece: Piece
    offset: int
    address: int
    size: int


def move_entries(entries: Iterable[tuple[int, int]], move: Move) -> tuple[tuple[int, int], ...]:
    """The dynamic section once its pointers follow a move."""
    old, new = move.piece.address, move.address
    if move.piece.role is Role.HEADERS:
        return tuple(entries)  # no entry points to them: the address 0 is that of a table that does not exist
    return tuple((tag, new if tag in _POINTER_TAGS and value == old else value) for tag, value in entries)


def move_segment(segment: Segment, move: Move) -> Segment:
    """A program header once it follows a move."""
    if not announces(segment, move.piece):
        return segment
    return segment._replace(
        offset=move.offset, vaddr=move.address, paddr=move.address, filesz=move.size, memsz=move.size
    )


def announces(segment: Segment, piece: Piece) -> bool:
    """Whether a program header is what leads to a piece."""
    if piece.role is Role.HEADERS:
        return segment.type == c.PT_PHDR
    return segment.type in _POINTER_SEGMENTS and segment.vaddr == piece.address


def dynamic_symbols(view: View, address: int) -> Iterator[int]:
    """Where in the file the symbols `_DYNAMIC` of .symtab stand; the address is that of the dynamic section.

    Raises:
        ElfError: The table or its names reach beyond the end of the file.
    """
    size, value_at = view.layout.symbol.size, view.layout.symbol.offsets["st_value"]
    value = address.to_bytes(view.layout.bits // 8, "little" if view.layout.little_endian else "big")
    tables = [s for s in view.sections if s.type == c.SHT_SYMTAB and s.link < len(view.sections)]
    for section in tables:
        names = view.sections[section.link]
        strings = view.slice("the names of .symtab", names.offset, names.size)
        raw = view.slice(".symtab", section.offset, section.size // size * size)
        # The table can have a hundred thousand symbols, and hardly any has that value: its bytes are looked for.
        place = raw.find(value, value_at)
        while place >= 0:
            start = (place - value_at) // size * size
            if start + value_at == place:
                (name,) = view.numbers("st_name", section.offset + start, 1, "I")
                if strings.startswith(b"_DYNAMIC\0", name):
                    yield section.offset + start
            place = raw.find(value, start + size + value_at)
