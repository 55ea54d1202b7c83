"""Room for more program headers where their table stands: what follows it gives way.

Tables that are found through the dynamic section alone move into the appended segment. Notes and the name of the loader
are short, and stay near: they shift into the place of such a table. So the build id is still in the first page of the
file, which is all that a core dump keeps of it, and all that Linux before 6.12 reads.
"""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.elf.edit.pieces import (
    LARGEST_ALIGNMENT,
    SHORT_SEGMENTS,
    Move,
    Piece,
    Role,
    pieces_within,
    sections_within,
)
from deloc8.elf.read.notes import are_left_by_tools, read_notes
from deloc8.values import NamedTuple, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Section, Segment, View


# Files have five of them at most; hostile ones have thousands, that would have to be compared with each other.
_MOST_SHORT = 32


class Room(NamedTuple):
    """Pieces that give way to more program headers.

    Attributes:
        moved: Pieces that go into the appended segment.
        shifted: Moves within the file, by a few bytes.
    """

    moved: tuple[Piece, ...]
    shifted: tuple[Move, ...]


def make_room(table: DynamicTable, added: int) -> Room | None:
    """Room for more program headers; None where something must stay that follows the table."""
    view = table.view
    size = view.layout.program_header.size
    start = view.header.e_phoff + len(view.segments) * size
    end = start + added * size
    load = _load_of(view, view.header.e_phoff, end)
    # Without section headers nobody can say where one table ends and code begins.
    if not view.sections or load is None:
        return None
    short = _short_pieces(view, load)
    shifted, limit = _shift(short, start, end)
    # Only what is loaded with the headers gives way.
    if limit <= load.offset + load.filesz:
        moved = pieces_within(table, start, limit, [move.piece for move in shifted])
        if moved is not None:
            return Room(moved, tuple(shifted))
    # What shifts would need more than there is: then all goes that is in the way of the headers themselves.
    going = [piece for piece in short if start < piece.end and piece.offset < end]
    moved = pieces_within(table, start, end, going)
    return None if moved is None else Room((*moved, *going), ())


def movable_within(table: DynamicTable, load: Segment) -> tuple[Piece, ...] | None:
    """The pieces that fill a PT_LOAD, notes among them; None where it holds anything that must stay."""
    short = _short_pieces(table.view, load)
    others = pieces_within(table, load.offset, load.offset + load.filesz, short)
    return None if others is None else (*others, *short)


def _load_of(view: View, start: int, end: int) -> Segment | None:
    for segment in view.segments:
        holds = segment.offset <= start and end <= segment.offset + segment.filesz
        if segment.type == c.PT_LOAD and holds and segment.vaddr + segment.filesz <= 1 << view.layout.bits:
            return segment
    return None


def _shift(pieces: Sequence[Piece], start: int, end: int) -> tuple[list[Move], int]:
    """The new places of those pieces that are in the way of a table, and where the room that is needed ends."""
    limit = end
    while True:
        moves = []
        cursor = end
        for piece in pieces:
            if start < piece.end and piece.offset < limit:
                distance = _round_up(max(cursor - piece.offset, 0), piece.align)
                moves.append(Move(piece, piece.offset + distance, piece.address + distance, piece.size))
                cursor = moves[-1].offset + piece.size
        if cursor <= limit:
            return moves, limit
        # Those that shift may be in the way of others.
        limit = cursor


def _short_pieces(view: View, load: Segment) -> list[Piece]:
    """The notes of tools and the name of the loader, by offset: each stretch with all its program headers."""
    heads = [s for s in view.segments if s.type in SHORT_SEGMENTS and s.filesz and _is_within(s, load)]
    if len(heads) > _MOST_SHORT:
        return []
    heads.sort(key=lambda segment: segment.offset)
    groups: list[list[Segment]] = []
    for segment in heads:
        if groups and segment.offset < max(s.offset + s.filesz for s in groups[-1]):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return [piece for group in groups for piece in _pieces_of(view, group)]


def _is_within(segment: Segment, load: Segment) -> bool:
    ends_before = segment.offset + segment.filesz <= load.offset + load.filesz
    is_alike = segment.vaddr - segment.offset == load.vaddr - load.offset
    return load.offset <= segment.offset and ends_before and is_alike


def _pieces_of(view: View, heads: Sequence[Segment]) -> Iterator[Piece]:
    """The piece that some program headers announce, if it may move."""
    first = heads[0]
    end = max(segment.offset + segment.filesz for segment in heads)
    sections = [section for _, section in sections_within(view, first.offset, end)]
    align = max([1, *(head.align for head in heads), *(section.addralign for section in sections)])
    if align > LARGEST_ALIGNMENT or first.offset % align:
        return
    if not all(_is_whole(section, first, end) for section in sections):
        return
    if _may_move(view, heads, sections, end - first.offset):
        yield Piece(Role.SHORT, first.offset, first.vaddr, end - first.offset, align, None)


def _is_whole(section: Section, first: Segment, end: int) -> bool:
    """Whether a section is within a stretch that begins with a segment, and is mapped along with it."""
    is_within = first.offset <= section.offset and section.offset + section.size <= end
    return is_within and section.addr - section.offset == first.vaddr - first.offset


def _may_move(view: View, heads: Sequence[Segment], sections: Sequence[Section], size: int) -> bool:
    """Whether a stretch is the name of the loader alone, or notes that tools for crashes do not look for."""
    kinds = {segment.type for segment in heads}
    if c.PT_INTERP in kinds:
        return kinds == {c.PT_INTERP} and len(sections) <= 1
    if any(section.type != c.SHT_NOTE for section in sections):
        return False
    notes = read_notes(replace(view, segments=tuple(heads), sections=()))
    return are_left_by_tools(notes, size)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
