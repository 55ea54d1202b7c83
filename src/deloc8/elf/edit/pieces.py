"""The parts of a file that may be put elsewhere, because everything that refers to them is known."""

from __future__ import annotations

import enum

from deloc8.elf import constants as c
from deloc8.elf.read.versions import read_need_records
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deloc8.elf.edit.joining import Joined
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Section, Segment, View

LARGEST_ALIGNMENT = 16
_LONGEST_PADDING = 64
# Found through the dynamic section alone; the code of a file never refers to them.
_POINTER_TAGS = frozenset({c.DT_HASH, c.DT_GNU_HASH, c.DT_STRTAB, c.DT_SYMTAB, c.DT_VERSYM, c.DT_VERDEF, c.DT_VERNEED})
# Found through a program header of their own.
_POINTER_SEGMENTS = frozenset({c.PT_INTERP, c.PT_DYNAMIC, c.PT_GNU_PROPERTY})
_NOTE_SEGMENTS = frozenset({c.PT_NOTE, c.PT_GNU_PROPERTY})
# Read through those headers alone, and short.
SHORT_SEGMENTS = _NOTE_SEGMENTS | {c.PT_INTERP}


class Role(enum.Enum):
    """Kinds of pieces whose contents are written anew."""

    STRINGS = "the string table"
    DYNAMIC = "the dynamic section"
    HEADERS = "the program headers"
    VERSIONS = "the versions needed of other files"
    RELOCATIONS = "the relocations"
    COPY = "a table that is copied as it stands"
    SHORT = "notes, or the name of the loader, with all section and program headers of theirs"


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


def pieces_within(table: DynamicTable, start: int, end: int, others: Sequence[Piece] = ()) -> tuple[Piece, ...] | None:
    """The pieces that fill a stretch of the file beside others; None where it holds anything that must stay.

    Bytes between sections are padding when they are zero. The program headers count as a piece when they begin there.
    """
    view = table.view
    known = [strings_piece(table), dynamic_piece(table)]
    found = [piece for piece in known if piece.offset < end and start < piece.end]
    sections = {piece.section for piece in found}
    if start <= view.header.e_phoff < end:
        size = len(view.segments) * view.layout.program_header.size
        found.append(Piece(Role.HEADERS, view.header.e_phoff, 0, size, 8, None))

    for index, section in sections_within(view, start, end):
        if index in sections or _is_among(section, others):
            continue
        if not _is_movable(table, section):
            return None
        found.append(Piece(Role.COPY, section.offset, section.addr, section.size, max(section.addralign, 1), index))

    found.sort(key=lambda piece: piece.offset)
    filled = sorted((piece.offset, piece.end) for piece in (*found, *others))
    return tuple(found) if _has_padding_alone(view, filled, start, end) else None


def _is_among(section: Section, pieces: Iterable[Piece]) -> bool:
    """Whether a section begins in one of some pieces."""
    return any(piece.offset <= section.offset < piece.end for piece in pieces)


def sections_within(view: View, start: int, end: int) -> Iterator[tuple[int, Section]]:
    """The sections with bytes in a stretch of the file, each with its number."""
    for index, section in enumerate(view.sections):
        if not has_bytes(section):
            continue
        if section.offset < end and start < section.offset + section.size:
            yield index, section


def _has_padding_alone(view: View, filled: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether there are but few bytes, all of them zero, between the filled parts of a stretch."""
    cursor = start
    for place, following in [*filled, (end, end)]:
        gap = max(place - cursor, 0)
        if gap > _LONGEST_PADDING or view.slice("padding", cursor, gap).strip(b"\0"):
            return False
        cursor = max(cursor, following)
    return True


def has_bytes(section: Section) -> bool:
    """Whether a section takes room in the file."""
    return section.type not in {c.SHT_NULL, c.SHT_NOBITS} and section.size > 0


def _is_movable(table: DynamicTable, section: Section) -> bool:
    """Whether all that leads to a section is known, and can lead elsewhere."""
    if not section.flags & c.SHF_ALLOC or section.addralign > LARGEST_ALIGNMENT:
        return False
    segments = table.view.segments
    if section.type == c.SHT_NOTE:
        return _is_movable_note(segments, section)

    pointers = {value for tag, value in table.entries if tag in _POINTER_TAGS}
    pointers.update(segment.vaddr for segment in segments if segment.type in _POINTER_SEGMENTS)
    return section.addr in pointers


def _is_movable_note(segments: Iterable[Segment], note: Section) -> bool:
    """Whether no program header but PT_GNU_PROPERTY leads to a section of notes."""
    # Once PT_NOTE is gone, its section header and PT_GNU_PROPERTY are all that leads there.
    over = [segment for segment in segments if segment.type in _NOTE_SEGMENTS and _covers(segment, note)]
    return all(segment.type == c.PT_GNU_PROPERTY and segment.vaddr == note.addr for segment in over)


def _covers(segment: Segment, section: Section) -> bool:
    """Whether a section begins within a segment, by address or, for those who read the file, by offset."""
    in_memory = segment.vaddr <= section.addr < segment.vaddr + segment.memsz
    return in_memory or segment.offset <= section.offset < segment.offset + segment.filesz


class Move(NamedTuple):
    """A piece and its new place; offset, address and size in bytes."""

    piece: Piece
    offset: int
    address: int
    size: int


def move_entries(entries: Iterable[tuple[int, int]], moves: Iterable[Move]) -> tuple[tuple[int, int], ...]:
    """The dynamic section once its pointers follow some moves.

    All at once, for the new place of one piece can be the old place of another.
    """
    # No entry points to the headers: the address 0 is that of a table that does not exist.
    places = {move.piece.address: move.address for move in moves if move.piece.role is not Role.HEADERS}
    return tuple((tag, places.get(value, value) if tag in _POINTER_TAGS else value) for tag, value in entries)


def move_segment(segment: Segment, moves: Iterable[Move]) -> Segment:
    """A program header once it follows that of some moves whose piece it leads to."""
    for move in moves:
        piece = move.piece
        if not announces(segment, piece):
            continue
        if piece.role is Role.SHORT:
            address = segment.vaddr + move.address - piece.address
            return segment._replace(offset=segment.offset + move.offset - piece.offset, vaddr=address, paddr=address)
        return segment._replace(
            offset=move.offset, vaddr=move.address, paddr=move.address, filesz=move.size, memsz=move.size
        )
    return segment


def shift_section(section: Section, move: Move) -> Section:
    """A section header once it follows a piece that can be more than one section."""
    piece = move.piece
    if not has_bytes(section) or not piece.offset <= section.offset < piece.end:
        return section
    offset = section.offset + move.offset - piece.offset
    return section._replace(offset=offset, addr=section.addr + move.address - piece.address)


def announces(segment: Segment, piece: Piece) -> bool:
    """Whether a program header is what leads to a piece."""
    if piece.role is Role.HEADERS:
        return segment.type == c.PT_PHDR
    if piece.role is Role.SHORT:
        return segment.type in SHORT_SEGMENTS and piece.offset <= segment.offset < piece.end
    return segment.type in _POINTER_SEGMENTS and segment.vaddr == piece.address
