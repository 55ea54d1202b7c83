"""ELF notes: build id, processor level, what a file says of its package and of what it opens at run time."""

from __future__ import annotations

import struct

from deloc8.elf import constants as c
from deloc8.elf.read.view import View
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from deloc8.elf.read.view import Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One note; `owner` and `type` together say what `description` means."""

    owner: str
    type: int
    description: bytes


# Debuggers' probes are the most numerous notes: some thousands in a large library.
_MOST_NOTES = 1 << 16
# What is longer is the data of a program, such as the script that Node finds in its own file, and nothing of ours.
_LONGEST_DESCRIPTION = 4 << 20
# Notes are aligned to 4 bytes, GNU properties of 64-bit files to 8; other numbers mean 4, as for readelf.
_ALIGNMENTS = {8: 8}
# mold puts the notes of these owners, aligned to 4, behind the properties into one segment that is aligned to 8.
_ALWAYS_ALIGNED_TO_4 = frozenset({b"GNU\0", b"FDO\0"})


def read_notes(view: View) -> tuple[Note, ...]:
    """The notes of all PT_NOTE segments, and of note sections that no PT_NOTE covers, in the order of the file.

    A note that reaches beyond its segment is none, and nothing after it is: patchelf before 0.12 moved note sections
    and left PT_NOTE on bytes that are something else now. Loaders do not mind, and many published wheels have such
    files.

    Raises:
        ElfError: A segment reaches beyond the file, or the notes are so many that they must overlap each other.
    """
    places = {(s.offset, s.filesz, s.align) for s in view.segments if s.type in {c.PT_NOTE, c.PT_GNU_PROPERTY}}
    if view.is_debug_companion:  # its program headers tell where notes were; the section headers, where they are
        places.clear()
    places |= {(s.offset, s.size, s.addralign) for s in view.sections if s.type == c.SHT_NOTE}
    # One stretch of notes can be announced by PT_NOTE, PT_GNU_PROPERTY and its section: each note counts once.
    found: dict[int, Note] = {}
    walked, described = 0, 0
    for offset, size, align in sorted(places):
        for place, name, description, kind in _walk(view, offset, size, _ALIGNMENTS.get(align, 4)):
            walked += 1
            if place not in found:
                described += description.stop - description.start
                found[place] = _read_note(view, name, description, kind)
            if walked > _MOST_NOTES or described > view.size:
                raise view.sick("the note", place, "is one of very many that overlap each other")
    return tuple(found[place] for place in sorted(found))


def _walk(view: View, start: int, size: int, align: int) -> Iterator[tuple[int, slice, slice, int]]:
    """Of each note: its place, where its owner and its description stand, and its type."""
    record = view.layout.note
    view.check_range("a note segment", start, size)
    place, end = start, start + size
    while place + record.size <= end:
        name_size, description_size, kind = view.record(record, place)
        name = slice(place + record.size, place + record.size + name_size)
        if name.stop > end:
            return
        is_narrow = kind != c.NT_GNU_PROPERTY_TYPE_0 and bytes(view.data[name]) in _ALWAYS_ALIGNED_TO_4
        step = 4 if is_narrow else align
        description_start = start + _round_up(name.stop - start, step)
        description = slice(description_start, description_start + description_size)
        if description.stop > max(end, description_start):
            return
        yield place, name, description, kind
        place = start + _round_up(description.stop - start, step)


def _read_note(view: View, name: slice, description: slice, kind: int) -> Note:
    owner = bytes(view.data[name]).rstrip(b"\0").decode("utf-8", "surrogateescape")
    end = min(description.stop, description.start + _LONGEST_DESCRIPTION)
    return Note(owner=owner, type=kind, description=bytes(view.data[description.start : end]))


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


# Compilers, linkers and packagers leave these for debuggers; other owners have readers of their own.
_TOOL_OWNERS = frozenset({"GNU", "FDO", "Go", "LLVM", "Linux", "Android", "stapsdt"})
# What tools write has a few hundred bytes; more is the data of a program.
_LONGEST_NOTES = 4096


def are_left_by_tools(notes: Iterable[Note], size: int) -> bool:
    """Whether notes of so many bytes are for debuggers alone, not read by a program: Qt's, Node's or Deno's."""
    return size <= _LONGEST_NOTES and all(note.owner in _TOOL_OWNERS for note in notes)


def build_id(notes: Iterable[Note]) -> str | None:
    """The build id in hexadecimal digits, where there is one."""
    for note in notes:
        if note.owner == "GNU" and note.type == c.NT_GNU_BUILD_ID:
            return note.description.hex()
    return None


def announced_build_id(data: Buffer, name: str) -> str | None:
    """The build id that a program header leads to: found in memory too, by crash reporters and in core files.

    Raises:
        ElfError: The file is unsound (`bad-elf`).
    """
    view = View.open(data, name)
    segments = tuple(segment for segment in view.segments if segment.type == c.PT_NOTE)
    return build_id(read_notes(replace(view, segments=segments, sections=())))


def x86_isa_level(notes: Iterable[Note], *, bits: int) -> int | None:
    """The x86-64 level (1 baseline, 2, 3, 4) that the file says it needs; None where it says nothing.

    The program property GNU_PROPERTY_X86_ISA_1_NEEDED of the x86-64 psABI: the highest bit counts.
    """
    width, word = bits // 8, struct.Struct("<I")
    for note in notes:
        if note.owner != "GNU" or note.type != c.NT_GNU_PROPERTY_TYPE_0:
            continue
        data, place = note.description, 0
        while place + 8 <= len(data):
            kind, size = struct.unpack_from("<II", data, place)
            if kind == c.GNU_PROPERTY_X86_ISA_1_NEEDED and size >= word.size and place + 12 <= len(data):
                (needed,) = word.unpack_from(data, place + 8)
                return min(int(needed).bit_length(), 4) or None
            place += 8 + _round_up(size, width)
    return None


def package_metadata(notes: Iterable[Note]) -> Mapping[str, str]:
    """Fields of `.note.package` (UAPI.8), such as type and name; none unless it is a JSON object."""
    for note in notes:
        if note.owner == "FDO" and note.type == c.NT_FDO_PACKAGING_METADATA:
            document = _json(note.description)
            if isinstance(document, dict):
                return {str(key): value for key, value in document.items() if isinstance(value, str)}
    return {}


_PRIORITIES = ("required", "recommended", "suggested")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One thing that a file says it opens at run time.

    Attributes:
        sonames: The libraries, any one of which will do, the preferred first.
        priority: ``required``, ``recommended`` or ``suggested``.
    """

    sonames: tuple[str, ...]
    priority: str


def dlopen_declarations(notes: Iterable[Note]) -> tuple[Declaration, ...]:
    """Entries of `.note.dlopen` (UAPI.12), without those of another shape than the specification's."""
    found = []
    for note in notes:
        if note.owner != "FDO" or note.type != c.NT_FDO_DLOPEN_METADATA:
            continue
        document = _json(note.description)
        for entry in document if isinstance(document, list) else ():
            sonames = entry.get("soname") if isinstance(entry, dict) else None
            names = tuple(name for name in sonames if isinstance(name, str)) if isinstance(sonames, list) else ()
            if names:
                priority = entry.get("priority")
                # The specification's own default, also for words that it does not know.
                found.append(
                    Declaration(sonames=names, priority=priority if priority in _PRIORITIES else "recommended")
                )
    return tuple(found)


def _json(description: bytes) -> object:
    import json  # noqa: PLC0415  most files have no such note, and the import takes a millisecond

    try:
        return json.loads(description.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
