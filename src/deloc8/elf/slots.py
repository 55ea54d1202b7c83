"""Which program header announces the appended segment: a spare one, else room is made for one more."""

from __future__ import annotations

import enum

from deloc8.elf import constants as c
from deloc8.elf.edits import impossible
from deloc8.elf.notes import read_notes
from deloc8.elf.pieces import Piece, Role, pieces_within, strings_piece
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.notes import Note
    from deloc8.elf.view import Segment, View


class Slot(enum.Enum):
    """How the program header of the appended bytes was come by; the value says it in words."""

    NONE = "no program header was needed"
    EXTENDED = "the segment of an earlier edit was extended"
    REUSED = "the segment of an earlier edit was written anew"
    NULL = "an unused program header (PT_NULL) was taken"
    NOTE = "the program header of notes (PT_NOTE) was taken"
    ROOM = "room for one more program header was made by moving what followed the table"
    MOVED = "the program header table was moved to the end of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the program headers of new segments come from.

    Attributes:
        slot: How the last one was come by.
        freed: The numbers of the program headers that are given up.
        added: How many program headers the table has to grow by.
        pieces: What moves into the appended segment; none where there is no such segment.
        notes: What this costs, for those who want to know.
    """

    slot: Slot
    freed: tuple[int, ...]
    added: int
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...]


def extendable_segment(table: DynamicTable) -> int | None:
    """The number of the PT_LOAD that DT_STRTAB and the file end with; None where they end otherwise."""
    index = _own_segment(table)
    if index is None:
        return None
    segment = table.view.segments[index]
    end = segment.offset + segment.filesz
    return index if strings_piece(table).end == end == table.view.size else None


def _own_segment(table: DynamicTable) -> int | None:
    """The number of the PT_LOAD that holds DT_STRTAB, when it is the last in memory and all of it is in the file."""
    view, strings = table.view, strings_piece(table)
    for index, segment in enumerate(view.segments):
        holds = segment.offset <= strings.offset and strings.end <= segment.offset + segment.filesz
        if segment.type == c.PT_LOAD and holds and segment.filesz == segment.memsz:
            others = [s for i, s in enumerate(view.segments) if i != index]
            return index if top_of(others) <= segment.vaddr else None
    return None


def top_of(segments: Iterable[Segment]) -> int:
    """The address behind the last PT_LOAD."""
    return max((s.vaddr + s.memsz for s in segments if s.type == c.PT_LOAD), default=0)


def find_home(table: DynamicTable, needed: tuple[Piece, ...], *, others: int) -> Home:
    """The program headers for an appended segment that holds some pieces, and for `others` that hold nothing.

    Raises:
        ElfError: There is no room for them (`edit-impossible`).
    """
    view = table.view
    slot, freed, pieces, notes = Slot.NONE, [], needed, []
    own = _own_segment(table) if needed else None
    if own is not None:
        segment = view.segments[own]
        within = pieces_within(table, segment.offset, segment.offset + segment.filesz)
        if within:
            slot, pieces = Slot.REUSED, _united(needed, within)
            freed.append(own)
    wanted = others + bool(needed)
    for index, kind, note in _spare_headers(view)[: wanted - len(freed)]:
        slot = kind
        freed.append(index)
        notes += [note] if note else []
    if len(freed) == wanted:
        return Home(slot=slot, freed=tuple(freed), added=0, pieces=pieces, notes=tuple(notes))
    # What moves needs a segment to move to, even where nothing was to be appended yet.
    added = others + 1 - len(freed)
    slot, moved = _make_room(table, added)
    notes.append(_ROOM_NOTES[slot])
    return Home(slot=slot, freed=tuple(freed), added=added, pieces=_united(pieces, moved), notes=tuple(notes))


_ROOM_NOTES = {
    Slot.ROOM: "no program header was spare: the tables behind them were moved to the end of the file",
    Slot.MOVED: "no program header was spare: all of them were moved to the end of the file; do not strip it any more",
}


def _united(*groups: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """All pieces once: the program headers first, the string table last, so that it can grow."""
    order = {Role.HEADERS: 0, Role.STRINGS: 2}
    pieces: dict[int, Piece] = {}
    for group in groups:
        for piece in group:
            # What is written anew comes first: a later group has it as a table that is copied.
            pieces.setdefault(piece.offset, piece)
    return tuple(sorted(pieces.values(), key=lambda piece: (order.get(piece.role, 1), piece.offset)))


def _spare_headers(view: View) -> Sequence[tuple[int, Slot, str | None]]:
    """The program headers that the file can do without, those that cost least first: number, kind, cost."""
    unused = [(i, Slot.NULL, None) for i, segment in enumerate(view.segments) if segment.type == c.PT_NULL]
    ranked = []
    for index, segment in enumerate(view.segments):
        if segment.type == c.PT_NOTE:
            notes = read_notes(replace(view, segments=(segment,), sections=()))
            if _is_read_by_the_program(segment, notes):
                continue
            ranked.append((*_cost_of(view, segment, notes), index))
    ranked.sort(key=lambda entry: (entry[0], entry[2]))
    return [*unused, *((index, Slot.NOTE, cost) for _, cost, index in ranked)]


def _is_read_by_the_program(segment: Segment, notes: Sequence[Note]) -> bool:
    """Whether a PT_NOTE holds data that a program looks for: of Qt's plugins, Node's and Deno's single files."""
    return segment.filesz > _LONGEST_NOTES or any(note.owner not in _TOOL_OWNERS for note in notes)


# Compilers, linkers and packagers leave these for debuggers; other owners have readers of their own.
_TOOL_OWNERS = frozenset({"GNU", "FDO", "Go", "LLVM", "Linux", "Android", "stapsdt"})
# What tools write has a few hundred bytes; more is the data of a program.
_LONGEST_NOTES = 4096


def _cost_of(view: View, segment: Segment, notes: Sequence[Note]) -> tuple[int, str | None]:
    """What is lost with a PT_NOTE: a rank, and the loss in words."""
    covered = any(
        s.type == c.PT_GNU_PROPERTY and (s.offset, s.filesz) == (segment.offset, segment.filesz) for s in view.segments
    )
    kinds = {(note.owner, note.type) for note in notes}
    if covered and kinds == {_PROPERTIES}:
        return 0, None
    rank = 3 if _PROPERTIES in kinds else 2 if _BUILD_ID in kinds else 1
    names = ["the processor properties"] * (_PROPERTIES in kinds) + ["the build id"] * (_BUILD_ID in kinds)
    names += [f"the notes of {owner}" for owner in sorted({owner for owner, _ in kinds - {_PROPERTIES, _BUILD_ID}})]
    lost = "found by section only" if view.sections else "no longer found"
    return rank, f"of its notes these are now {lost}: {', '.join(names) or 'none'}"


_PROPERTIES = ("GNU", c.NT_GNU_PROPERTY_TYPE_0)
_BUILD_ID = ("GNU", c.NT_GNU_BUILD_ID)


def _make_room(table: DynamicTable, added: int) -> tuple[Slot, tuple[Piece, ...]]:
    """Room for more program headers: what follows the table moves away, or else the table itself does."""
    view = table.view
    size = view.layout.program_header.size
    count = len(view.segments)
    start = view.header.e_phoff
    end = start + (count + added) * size
    is_loaded = any(s.type == c.PT_LOAD and s.offset <= start and end <= s.offset + s.filesz for s in view.segments)
    # Without section headers nobody can say where one table ends and code begins.
    if view.sections and is_loaded:
        moved = pieces_within(table, start + count * size, end)
        if moved is not None:
            return Slot.ROOM, moved
    if _is_program(table):
        why = "all program headers are in use, and those of a program must stay where they are"
        raise impossible(
            view.name, why, "link it with -Wl,--build-id, which gives it a program header that can be spared"
        )
    return Slot.MOVED, (Piece(Role.HEADERS, start, 0, count * size, 8, None),)


def _is_program(table: DynamicTable) -> bool:
    view = table.view
    asks_for_loader = any(segment.type == c.PT_INTERP for segment in view.segments)
    return asks_for_loader or view.header.e_type == c.ET_EXEC or bool(table.values.get(c.DT_FLAGS_1, 0) & c.DF_1_PIE)
