"""ELF notes: build id, processor level, what a file says of its package and of what it opens at run time."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deloc8.elf import constants as c

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deloc8.elf.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One note; `owner` and `type` together say what `description` means."""

    owner: str
    type: int
    description: bytes


def read_notes(view: View) -> tuple[Note, ...]:
    """The notes of all PT_NOTE segments, and of note sections that no PT_NOTE covers.

    Raises:
        ElfError: A note reaches beyond its segment.
    """
    places = [(s.offset, s.filesz, s.align) for s in view.segments if s.type in {c.PT_NOTE, c.PT_GNU_PROPERTY}]
    places += [(s.offset, s.size, s.addralign) for s in view.sections if s.type == c.SHT_NOTE]
    # One stretch of notes can be announced by PT_NOTE, PT_GNU_PROPERTY and its section: each note counts once.
    found: dict[int, Note] = {}
    for offset, size, align in places:
        for place, note in _walk(view, offset, size, 8 if align == 8 else 4):
            found.setdefault(place, note)
    return tuple(found[place] for place in sorted(found))


def _walk(view: View, start: int, size: int, align: int) -> Iterable[tuple[int, Note]]:
    record = view.layout.note
    view.check_range("a note segment", start, size)
    place, end = start, start + size
    while place + record.size <= end:
        name_size, description_size, kind = view.record(record, place)
        name_start = place + record.size
        description_start = start + _round_up(name_start + name_size - start, align)
        if description_start + description_size > end:
            raise view.sick("n_descsz", place, f"reaches beyond the end of the notes at 0x{end:x}")
        owner = view.slice("n_namesz", name_start, name_size).rstrip(b"\0").decode("utf-8", "surrogateescape")
        description = view.slice("n_descsz", description_start, description_size)
        yield place, Note(owner=owner, type=kind, description=description)
        place = start + _round_up(description_start + description_size - start, align)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def build_id(notes: Iterable[Note]) -> str | None:
    """The build id in hexadecimal digits, where there is one."""
    for note in notes:
        if note.owner == "GNU" and note.type == c.NT_GNU_BUILD_ID:
            return note.description.hex()
    return None


def x86_isa_level(notes: Iterable[Note], *, bits: int) -> int | None:
    """The x86-64 level (1 baseline, 2, 3, 4) that the file says it needs; None where it says nothing.

    The program property GNU_PROPERTY_X86_ISA_1_NEEDED of the x86-64 psABI: the highest bit counts.
    """
    width = bits // 8
    for note in notes:
        if note.owner != "GNU" or note.type != c.NT_GNU_PROPERTY_TYPE_0:
            continue
        data, place = note.description, 0
        while place + 8 <= len(data):
            kind, size = struct.unpack_from("<II", data, place)
            if kind == c.GNU_PROPERTY_X86_ISA_1_NEEDED and size >= 4 and place + 12 <= len(data):
                (needed,) = struct.unpack_from("<I", data, place + 8)
                return min(int(needed).bit_length(), 4) or None
            place += 8 + _round_up(size, width)
    return None


def package_metadata(notes: Iterable[Note]) -> Mapping[str, str]:
    """What `.note.package` says (UAPI.8): type, name, version, ...; empty where there is none or it is no JSON object."""
    for note in notes:
        if note.owner == "FDO" and note.type == c.NT_FDO_PACKAGING_METADATA:
            document = _json(note.description)
            if isinstance(document, dict):
                return {str(key): value for key, value in document.items() if isinstance(value, str)}
    return {}


def _json(description: bytes) -> object:
    try:
        return json.loads(description.rstrip(b"\0"))
    except ValueError:
        return None
