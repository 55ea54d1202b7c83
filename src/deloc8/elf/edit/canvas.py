"""Collects what an edit writes: numbers in place, and bytes behind the end of the file."""

from __future__ import annotations

import struct
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.elf.edit.pieces import Move
    from deloc8.elf.read.records import Record
    from deloc8.elf.read.view import Section, Segment, View


class Canvas:
    """The changes of one file; a write into a piece that moves lands in its new place."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._writes: list[tuple[int, bytes]] = []
        self._tail = bytearray()
        self._moves: tuple[Move, ...] = ()

    def move(self, moves: Sequence[Move], contents: Sequence[bytes]) -> None:
        """Append pieces at their new places, each with its contents."""
        self._moves = tuple(moves)
        for move, content in zip(moves, contents, strict=True):
            self._tail += bytes(move.offset - self._view.size - len(self._tail))
            self._tail += content

    def append(self, content: bytes) -> None:
        """Add bytes at the end of the file."""
        self._tail += content

    def write(self, offset: int, content: bytes) -> None:
        """Change bytes of a table, wherever it is going to be."""
        for move in self._moves:
            if move.piece.offset <= offset < move.piece.end:
                start = offset - move.piece.offset + move.offset - self._view.size
                self._tail[start : start + len(content)] = content
                return
        self.overwrite(offset, content)

    def overwrite(self, offset: int, content: bytes) -> None:
        """Change bytes of the file, whatever stood there; bytes that are so already are no change."""
        if self._view.slice("an edited field", offset, len(content)) != content:
            self._writes.append((offset, content))

    def write_field(self, record: Record, offset: int, field: str, value: int) -> None:
        """Change one field of a record, wherever it is going to be."""
        order = "<" if self._view.layout.little_endian else ">"
        self.write(offset + record.offsets[field], struct.pack(order + record.codes[field], value))

    def write_segments(self, offset: int, segments: Sequence[Segment]) -> None:
        """Change the program headers, in a table that begins at an offset."""
        record = self._view.layout.program_header
        for index, segment in enumerate(segments):
            self.overwrite(offset + index * record.size, pack_segment(self._view, segment))

    def write_sections(self, sections: Sequence[Section]) -> None:
        """Change those section headers that differ from the file's."""
        record = self._view.layout.section_header
        for index, (before, after) in enumerate(zip(self._view.sections, sections, strict=True)):
            if before != after:
                self.overwrite(self._view.header.e_shoff + index * record.size, record.struct.pack(*after))

    def appended(self) -> bytes:
        """The bytes that are added at the end of the file."""
        return bytes(self._tail)

    def changes(self) -> tuple[tuple[int, bytes], ...]:
        """All changes of existing bytes, by offset.

        Raises:
            ElfError: Two of them meet: tables of the file overlap.
        """
        changes = sorted(self._writes)
        for (offset, content), (following, _) in pairwise(changes):
            if offset + len(content) > following:
                raise self._view.sick("the dynamic section", following, "overlaps another table that is to be edited")
        return tuple(changes)


def pack_segment(view: View, segment: Segment) -> bytes:
    """The bytes of a program header."""
    kind, flags, *rest = segment
    fields = (kind, *rest[:5], flags, rest[5]) if view.layout.bits == 32 else segment  # noqa: PLR2004  the class
    return view.layout.program_header.struct.pack(*fields)
