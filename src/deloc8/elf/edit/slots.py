"""Which program header announces the appended segment: a spare one, else room is made for one more."""

from __future__ import annotations

import enum

from deloc8.elf import constants as c
from deloc8.elf.edit.pieces import Piece, Role, strings_piece
from deloc8.elf.edit.room import make_room, movable_within
from deloc8.elf.read.notes import are_left_by_tools, read_notes
from deloc8.elf.refusals import impossible
from deloc8.values import NamedTuple, dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deloc8.elf.edit.pieces import Move
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.notes import Note
    from deloc8.elf.read.view import Segment, View


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
        shifted: What moves within the file, to make room for the program headers.
        notes: What this costs, for those who want to know.
    """

    slot: Slot = Slot.NONE
    freed: tuple[int, ...] = ()
    added: int = 0
    pieces: tuple[Piece, ...]
    shifted: tuple[Move, ...] = ()
    notes: tuple[str, ...] = ()


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
    home = Home(pieces=needed)
    own = _own_segment(table) if needed else None
    if own is not None:
        within = movable_within(table, view.segments[own])
        if within:
            home = Home(slot=Slot.REUSED, freed=(own,), pieces=_united(needed, within))
    wanted = others + bool(needed)
    free, dear = _spare_headers(view)
    home = _with_spares(home, free[: wanted - len(home.freed)])
    missing = wanted - len(home.freed)
    if not missing:
        return home
    # What moves needs a segment to move to, even where nothing was to be appended yet.
    added = others + 1 - len(home.freed)
    room = make_room(table, added)
    if room is not None:
        pieces = _united(home.pieces, room.moved)
        return replace(
            home,
            slot=Slot.ROOM,
            added=added,
            pieces=pieces,
            shifted=room.shifted,
            notes=(*home.notes, _TABLES_MOVED),
        )
    if len(dear) >= missing:
        return _with_spares(home, dear[:missing])
    pieces = _united(home.pieces, (_whole_table(table),))
    return replace(home, slot=Slot.MOVED, added=added, pieces=pieces, notes=(*home.notes, _HEADERS_MOVED))


_TABLES_MOVED = "no program header was spare: the tables behind them were moved to the end of the file"
_HEADERS_MOVED = "no program header was spare: all of them were moved to the end of the file; do not strip it any more"


def _with_spares(home: Home, spares: Sequence[_Spare]) -> Home:
    """A home that gives up some more program headers."""
    for spare in spares:
        home = replace(
            home,
            slot=spare.slot,
            freed=(*home.freed, spare.number),
            notes=(*home.notes, *spare.cost),
        )
    return home


def _united(*groups: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """All pieces once: the program headers first, the string table last, so that it can grow."""
    order = {Role.HEADERS: 0, Role.STRINGS: 2}
    pieces: dict[int, Piece] = {}
    for group in groups:
        for piece in group:
            # What is written anew comes first: a later group has it as a table that is copied.
            pieces.setdefault(piece.offset, piece)
    return tuple(sorted(pieces.values(), key=lambda piece: (order.get(piece.role, 1), piece.offset)))


class _Spare(NamedTuple):
    """A program header that can be given up.

    Attributes:
        rank: What comes first, as a number.
        number: Its number in the table.
        slot: Its kind.
        cost: What is lost with it, in words; nothing where nothing is lost.
    """

    rank: int
    number: int
    slot: Slot
    cost: tuple[str, ...] = ()


# A covered property note costs nothing. The build id and the properties are worth more than tables that stay.
_COVERED, _OTHER, _DEAR, _DEAREST = 0, 1, 2, 3


def _spare_headers(view: View) -> tuple[Sequence[_Spare], Sequence[_Spare]]:
    """The program headers that the file can do without, and those that only a last resort takes; the cheapest first."""
    unused = [_Spare(-1, i, Slot.NULL) for i, segment in enumerate(view.segments) if segment.type == c.PT_NULL]
    found = []
    for index, segment in enumerate(view.segments):
        if segment.type != c.PT_NOTE:
            continue
        notes = read_notes(replace(view, segments=(segment,), sections=()))
        if are_left_by_tools(notes, segment.filesz):
            found.append(_spare_note(view, index, notes))
    found.sort(key=lambda spare: (spare.rank, spare.number))
    free = [spare for spare in found if spare.rank < _DEAR]
    return [*unused, *free], found[len(free) :]


def _spare_note(view: View, index: int, notes: Sequence[Note]) -> _Spare:
    """A PT_NOTE as something to give up: found by section only, or not at all where there are none."""
    segment = view.segments[index]
    covered = any(
        s.type == c.PT_GNU_PROPERTY and (s.offset, s.filesz) == (segment.offset, segment.filesz) for s in view.segments
    )
    kinds = {(note.owner, note.type) for note in notes}
    if covered and kinds == {_PROPERTIES}:
        return _Spare(_COVERED, index, Slot.NOTE)
    names = []
    rank = _OTHER
    if _BUILD_ID in kinds:
        names.append("the build id")
        rank = _DEAR
    if _PROPERTIES in kinds:
        names.insert(0, "the processor properties")
        rank = _DEAREST
    others = kinds - {_PROPERTIES, _BUILD_ID}
    names += [f"the notes of {owner}" for owner in sorted({owner for owner, _ in others})]
    lost = "found by section only" if view.sections else "no longer found"
    cost = f"of its notes these are now {lost}: {', '.join(names) or 'none'}"
    return _Spare(rank, index, Slot.NOTE, (cost,))


_PROPERTIES = ("GNU", c.NT_GNU_PROPERTY_TYPE_0)
_BUILD_ID = ("GNU", c.NT_GNU_BUILD_ID)


def _whole_table(table: DynamicTable) -> Piece:
    """The program headers, to be moved; never those of a program.

    Raises:
        ElfError: It is a program (`edit-impossible`).
    """
    view = table.view
    if _is_program(table):
        why = "all program headers are in use, and those of a program must stay where they are"
        raise impossible(
            view.name, why, "link it with -Wl,--build-id, which gives it a program header that can be spared"
        )
    size = len(view.segments) * view.layout.program_header.size
    return Piece(Role.HEADERS, view.header.e_phoff, 0, size, 8, None)


def _is_program(table: DynamicTable) -> bool:
    view = table.view
    asks_for_loader = any(segment.type == c.PT_INTERP for segment in view.segments)
    return asks_for_loader or view.header.e_type == c.ET_EXEC or bool(table.values.get(c.DT_FLAGS_1, 0) & c.DF_1_PIE)
