"""Where the bytes of an edit go: in place, or in one segment at the end of the file.

Names are positions in DT_STRTAB, so only that table ever has to grow. It is copied to the end of the file with what is
new; everything else is a number that changes where it stands. The new PT_LOAD takes over a program header that can be
spared, so that the table of program headers stays where it is, and the file can still be stripped.
"""

from __future__ import annotations

from itertools import pairwise

from deloc8.elf import constants as c
from deloc8.elf.edit.bindings import binding_writes
from deloc8.elf.edit.canvas import Canvas, pack_segment
from deloc8.elf.edit.draft import make_draft
from deloc8.elf.edit.followers import moved_symbols
from deloc8.elf.edit.joining import joined_bytes, move_tables, sections_after
from deloc8.elf.edit.pieces import (
    Move,
    Piece,
    Role,
    announces,
    dynamic_piece,
    move_entries,
    move_segment,
    relocations_piece,
    shift_section,
    strings_piece,
    versions_piece,
)
from deloc8.elf.edit.rebind import pack_needs, size_of_needs
from deloc8.elf.edit.slots import Home, Slot, extendable_segment, find_home, top_of
from deloc8.elf.edit.strings import place_strings
from deloc8.elf.edit.vocabulary import ClearExecutableStack
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.versions import read_definition_records
from deloc8.elf.read.view import Segment
from deloc8.elf.refusals import impossible
from deloc8.machines import arch_of_elf, assumes_executable_stack
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from deloc8.elf.edit.draft import Draft, Value
    from deloc8.elf.edit.strings import StringPlan
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Changes to a file, byte by byte.

    Attributes:
        writes: New contents for bytes that exist: offset and bytes, ascending, not overlapping.
        appended: The bytes that are added at the end of the file.
        slot: How a program header for the appended bytes was found.
        notes: Facts that matter only to those who look closely.
    """

    writes: tuple[tuple[int, bytes], ...] = ()
    appended: bytes = b""
    slot: Slot = Slot.NONE
    notes: tuple[str, ...] = ()

    @property
    def grows_by(self) -> int:
        """How many bytes the file grows by."""
        return len(self.appended)


# A kernel for a machine that the policies do not know may use pages as large as any.
_PAGE_OF_UNKNOWN = 0x10000
_STACK = Segment(c.PT_GNU_STACK, c.PF_R | c.PF_W, 0, 0, 0, 0, 0, 16)
_UNUSED = Segment(c.PT_NULL, 0, 0, 0, 0, 0, 0, 0)
# Hints that save ld.so a little work: their entry can be used for something that is needed.
_DISPENSABLE_TAGS = frozenset({c.DT_RELACOUNT, c.DT_RELCOUNT})
# A dynamic section that must move gets room for later edits, too.
_SPARE_ENTRIES = 4


def place(view: View, edits: Sequence[Edit]) -> Placement:
    """Place some edits, done together: the changes that they make to a file.

    Raises:
        ElfError: An edit cannot be done (`edit-impossible`), or the file is unsound (`bad-elf`).
    """
    clears_stack = any(isinstance(edit, ClearExecutableStack) for edit in edits)
    segments, added = _with_cleared_stack(view) if clears_stack else (view.segments, ())
    table = read_table(view)
    if table is not None:
        draft = make_draft(table, edits)
        return _Placer(table, draft, place_strings(table, draft)).place(segments, added)
    if added or not all(isinstance(edit, ClearExecutableStack) for edit in edits):
        why = "it has no dynamic section: it is a static program or an object file"
        raise impossible(view.name, why, "only files that ld.so loads can be edited so")
    canvas = Canvas(view)
    canvas.write_segments(view.header.e_phoff, segments)
    return Placement(writes=canvas.changes())


_Segments = tuple[Segment, ...]


def _with_cleared_stack(view: View) -> tuple[_Segments, _Segments]:
    """The program headers without an executable stack, and the ones that must be added for that."""
    if any(segment.type == c.PT_GNU_STACK for segment in view.segments):
        segments = tuple(
            segment._replace(flags=segment.flags & ~c.PF_X) if segment.type == c.PT_GNU_STACK else segment
            for segment in view.segments
        )
        return segments, ()
    return view.segments, (_STACK,) if assumes_executable_stack(view.header.e_machine) else ()


def _room_of(table: DynamicTable) -> int:
    """How many entries the dynamic section has room for: its own, and the unused ones (DT_NULL) behind them."""
    record = table.view.layout.dynamic
    start = table.offset + len(table.entries) * record.size
    rest = table.view.slice("PT_DYNAMIC", start, (table.capacity - len(table.entries)) * record.size)
    unused = len(rest) - len(rest.lstrip(b"\0"))
    return len(table.entries) + unused // record.size


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class _Placer:
    """Puts one draft in its place; `segments`, `sections` and `entries` become what the file shall say."""

    def __init__(self, table: DynamicTable, draft: Draft, strings: StringPlan) -> None:
        self.table = table
        self.view = table.view
        self.draft = draft
        self.strings = strings
        self.strings_size = len(table.strings) + len(strings.tail)
        self.canvas = Canvas(table.view)
        self.segments = self.view.segments
        self.sections = list(self.view.sections)
        self.entries = tuple((tag, self.number(value)) for tag, value in draft.entries)
        self.moves: tuple[Move, ...] = ()
        self.shifted: tuple[Move, ...] = ()

    def number(self, value: Value) -> int:
        return self.strings.positions[value] if isinstance(value, bytes) else value

    def place(self, segments: _Segments, added: _Segments) -> Placement:
        self.segments = segments
        strings = strings_piece(self.table) if self.strings.tail else None
        pieces = self.tables_that_grow()
        home = Home(pieces=())
        if strings and not pieces and not added and self.extend(strings):
            home = Home(slot=Slot.EXTENDED, pieces=())
        elif strings or pieces or added:
            home = find_home(self.table, (*pieces, strings) if strings else pieces, others=len(added))
            self.append(home, added)
        self.write()
        writes, appended = self.canvas.changes(), self.canvas.appended()
        return Placement(writes=writes, appended=appended, slot=home.slot, notes=home.notes)

    def entries_fit(self) -> bool:
        """Whether the dynamic section has room for the entries and a DT_NULL behind them."""
        room = _room_of(self.table)
        if len(self.entries) >= room:
            kept = tuple(entry for entry in self.entries if entry[0] not in _DISPENSABLE_TAGS)
            self.entries = kept if len(kept) < room else self.entries
        return len(self.entries) < room

    def tables_that_grow(self) -> tuple[Piece, ...]:
        """The tables that do not fit where they stand."""
        pieces = [] if self.entries_fit() else [dynamic_piece(self.table)]
        if self.draft.bindings.is_changed and self.draft.needs:
            versions = versions_piece(self.table)
            pieces += [versions] * (size_of_needs(self.table, self.draft.needs) > versions.size)
        if self.draft.joined:
            pieces.append(relocations_piece(self.table, self.draft.joined))
        return tuple(pieces)

    # -- new bytes at the end of the file -----------------------------------------------------------------------------

    def extend(self, piece: Piece) -> bool:
        """Let the string table grow where it stands, if nothing follows it."""
        index = extendable_segment(self.table)
        if index is None:
            return False
        segment = self.segments[index]
        size = segment.filesz + len(self.strings.tail)
        self.check_address(segment.vaddr + size)
        longer = segment._replace(filesz=size, memsz=size)
        self.segments = (*self.segments[:index], longer, *self.segments[index + 1 :])
        self.follow((Move(piece, piece.offset, piece.address, self.strings_size),))
        self.canvas.append(self.strings.tail)
        return True

    def append(self, home: Home, added: _Segments) -> None:
        """Put the pieces of a home into a new segment, and the new program headers into the table."""
        count = len(self.segments) + home.added
        if count >= c.PN_XNUM:
            raise impossible(self.view.name, "it has as many program headers as there can be", "link it anew")
        kept = [segment for index, segment in enumerate(self.segments) if index not in home.freed]
        if home.pieces:
            segment = self.arrange(home.pieces, kept, count)
            # PT_LOADs ascend, so the new one stands behind all others.
            last = max((index for index, other in enumerate(kept) if other.type == c.PT_LOAD), default=-1)
            kept.insert(last + 1, segment)
        unused = (_UNUSED,) * (count - len(kept) - len(added))
        self.segments = (*kept, *added, *unused)
        self.announce_table(home)
        self.shifted = home.shifted
        self.follow((*self.moves, *self.shifted))

    def arrange(self, pieces: tuple[Piece, ...], kept: Sequence[Segment], header_count: int) -> Segment:
        """The segment of some pieces, one after the other from the end of the file on; fills `moves`."""
        sizes = {
            Role.STRINGS: self.strings_size,
            Role.DYNAMIC: (len(self.entries) + 1 + _SPARE_ENTRIES) * self.view.layout.dynamic.size,
            Role.HEADERS: header_count * self.view.layout.program_header.size,
            Role.VERSIONS: size_of_needs(self.table, self.draft.needs),
        }
        if self.draft.joined:
            sizes[Role.RELOCATIONS] = self.draft.joined.whole_size
        header, layout = self.view.header, self.view.layout
        arch = arch_of_elf(header.e_machine, bits=layout.bits, little_endian=layout.little_endian, flags=header.e_flags)
        page = arch.largest_page if arch else _PAGE_OF_UNKNOWN
        alignment = max([page, *(segment.align for segment in kept if segment.type == c.PT_LOAD)])
        if alignment & (alignment - 1):
            why = f"a PT_LOAD asks for the alignment 0x{alignment:x}, which is no power of two: no loader takes it"
            raise impossible(self.view.name, why, "link it anew")
        start = _round_up(self.view.size, 8)
        distance = _round_up(top_of(kept), alignment) + start % alignment - start
        moves: list[Move] = []
        # llvm-strip takes the first of two program headers with one offset for the outer one: it shall be the PT_LOAD.
        end = start + 8 * any(announces(segment, pieces[0]) for segment in kept)
        for piece in pieces:
            offset = _round_up(end, piece.align)
            moves.append(Move(piece, offset, offset + distance, sizes.get(piece.role, piece.size)))
            end = offset + moves[-1].size
        self.check_address(end + distance)
        self.moves = tuple(moves)
        flags = c.PF_R | (c.PF_W if any(piece.role is Role.DYNAMIC for piece in pieces) else 0)
        address, size = start + distance, end - start
        return Segment(c.PT_LOAD, flags, start, address, address, size, size, page)

    def check_address(self, end: int) -> None:
        if end > 1 << self.view.layout.bits:
            why = "its addresses reach up to the end of memory: no segment fits behind them"
            raise impossible(self.view.name, why, "link it anew")

    # -- everything that refers to a moved piece ----------------------------------------------------------------------

    def announce_table(self, home: Home) -> None:
        """Let the file header and PT_PHDR say where the program headers are, and how many."""
        record = self.view.layout.file_header
        size = len(self.segments) * self.view.layout.program_header.size
        if home.added:
            self.canvas.write_field(record, 0, "e_phnum", len(self.segments))
            self.segments = tuple(
                segment._replace(filesz=size, memsz=size) if segment.type == c.PT_PHDR else segment
                for segment in self.segments
            )
        for move in self.moves:
            if move.piece.role is Role.HEADERS:
                self.canvas.write_field(record, 0, "e_phoff", move.offset)

    def follow(self, moves: Sequence[Move]) -> None:
        """Let whatever points to some pieces point to their new places."""
        self.entries = move_entries(self.entries, moves)
        self.segments = tuple(move_segment(segment, moves) for segment in self.segments)
        for move in moves:
            self.follow_in_sections(move)

    def follow_in_sections(self, move: Move) -> None:
        """The same of the section headers; of joined relocation tables, of the dynamic section, too."""
        index = move.piece.section
        joined = self.draft.joined
        if move.piece.role is Role.SHORT:
            for number, before in enumerate(self.view.sections):
                after = shift_section(before, move)
                if after != before:
                    self.sections[number] = after
        elif index is not None:
            section = self.sections[index]
            self.sections[index] = section._replace(addr=move.address, offset=move.offset, size=move.size)
        elif move.piece.role is Role.RELOCATIONS and joined:
            self.sections = sections_after(self.table, self.sections, joined, move.offset, move.address)
            self.entries = move_tables(self.entries, joined, move.address)

    # -- contents -----------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Hand all contents to the canvas."""
        if self.strings.tail:
            size = self.strings_size
            self.entries = tuple((tag, size if tag == c.DT_STRSZ else value) for tag, value in self.entries)
        self.canvas.move(self.moves, [self.content_of(move) for move in self.moves])
        for move in self.shifted:
            self.canvas.overwrite(move.offset, self.content_of(move))
        for offset, value in moved_symbols(self.view, self.sections, self.moves).items():
            self.canvas.write_field(self.view.layout.symbol, offset, "st_value", value)
        roles = {move.piece.role for move in self.moves}
        self.write_tables(roles)
        if self.draft.bindings.is_changed:
            self.write_bindings(roles)
        elif self.draft.needs != self.draft.needs_before:
            self.write_needs()
        self.count_versions()
        self.canvas.write_sections(self.sections)

    def write_tables(self, moved: AbstractSet[Role]) -> None:
        """Write what stays where it was: program headers, the dynamic section, strings in the place of others."""
        if Role.HEADERS not in moved:
            self.canvas.write_segments(self.view.header.e_phoff, self.segments)
        if Role.DYNAMIC not in moved:
            record = self.view.layout.dynamic
            count = max(len(self.entries), len(self.table.entries))
            for index, raw in enumerate(self.packed_entries(count)):
                self.canvas.write(self.table.offset + index * record.size, raw)
        start = strings_piece(self.table).offset if self.strings.overwritten else 0
        for position, text in self.strings.overwritten:
            self.canvas.write(start + position, text)

    def content_of(self, move: Move) -> bytes:
        match move.piece.role:
            case Role.STRINGS:
                return self.table.strings + self.strings.tail
            case Role.DYNAMIC:
                return b"".join(self.packed_entries(move.size // self.view.layout.dynamic.size))
            case Role.HEADERS:
                return b"".join(pack_segment(self.view, segment) for segment in self.segments)
            case Role.VERSIONS:
                return self.packed_needs()
            case Role.RELOCATIONS:
                return self.packed_relocations()
            case _:
                return self.view.slice("a table", move.piece.offset, move.piece.size)

    def packed_entries(self, count: int) -> list[bytes]:
        """The dynamic section as so many entries, DT_NULL behind the last."""
        pack = self.view.layout.dynamic.struct.pack
        unused = [(c.DT_NULL, 0)] * (count - len(self.entries))
        return [pack(*entry) for entry in (*self.entries, *unused)]

    def write_needs(self) -> None:
        """Write the version records that stay, each where it stood; the first one where the first one was."""
        needs = self.draft.needs
        places = [need.offset for need in needs]
        places[:1] = [self.draft.needs_before[0].offset] * bool(needs)
        steps = [following - place for place, following in pairwise(places)] + [0]
        record = self.view.layout.verneed
        for place, step, need in zip(places, steps, needs, strict=False):
            fields = (need.revision, need.version_count, self.number(need.file), need.auxiliary - place, step)
            self.canvas.write(place, record.struct.pack(*fields))

    def count_versions(self) -> None:
        """Let the section headers of the version records, and DT_VERDEF, say how many there are."""
        needs, definitions = self.draft.needs, read_definition_records(self.table)
        for index, section in enumerate(self.sections):
            if section.type == c.SHT_GNU_VERNEED and self.draft.needs_before:
                kind = c.SHT_GNU_VERNEED if needs else c.SHT_PROGBITS
                self.sections[index] = section._replace(type=kind, info=len(needs))
            if section.type == c.SHT_GNU_VERDEF and definitions:
                self.sections[index] = section._replace(info=len(definitions))
        for definition in definitions:
            if definition.name_count != len(definition.names):
                self.canvas.write_field(self.view.layout.verdef, definition.offset, "vd_cnt", len(definition.names))

    def packed_needs(self) -> bytes:
        return pack_needs(self.table, self.draft.needs, self.strings.positions)

    def packed_relocations(self) -> bytes:
        joined = self.draft.joined
        return joined_bytes(self.table, joined, self.draft.bindings.patches) if joined else b""

    def write_bindings(self, moved: set[Role]) -> None:
        """Write what undefined symbols ask for."""
        if Role.VERSIONS not in moved and self.draft.needs:
            self.canvas.write(versions_piece(self.table).offset, self.packed_needs())
        for offset, content in binding_writes(self.table, self.draft, self.strings.positions):
            self.canvas.write(offset, content)
