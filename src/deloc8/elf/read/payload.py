"""Data behind the ELF part of a file, which programs such as those of SBCL, Bun or PyInstaller carry.

The loader knows nothing of it. How the program finds it decides whether its ELF part may change size: `kinds` has the
table. A payload is always the last part of a file; the ELF part is edited alone, then both are joined again.
"""

from __future__ import annotations

import struct

from deloc8.elf import constants as c
from deloc8.elf.read.kinds import Anchor, Kind, Tail, recognize
from deloc8.elf.read.view import Section, View
from deloc8.elf.refusals import impossible
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.kinds import Pointer
    from deloc8.elf.read.view import Buffer

# Programs map their payload, so it stays where it was within a page, and pages have up to 64 KiB.
_STEP = 0x10000
_MOST_SECTIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The bytes behind the ELF part of a file.

    Attributes:
        start: Where they begin in the file.
        size: How many they are.
        kind: Their format.
        pointers: Where they hold distances from the start of the file.
    """

    start: int
    size: int
    kind: Kind
    pointers: tuple[Pointer, ...]


def read_payload(view: View) -> Payload | None:
    """The payload of a file; None where nothing but zeros, or sections, are behind its ELF part."""
    if not view.has_payload:
        return None
    start = view.elf_end
    if not view.sections and _are_sections(view, start):
        return None
    tail = Tail(view=view, start=start)
    kind, pointers = recognize(tail)
    return Payload(start=start, size=view.size - start, kind=kind, pointers=pointers)


def _are_sections(view: View, start: int) -> bool:
    """Whether the end of a file is that of sections whose table is there, but not announced by the file header."""
    record = view.layout.section_header
    first = max(start, view.size - _MOST_SECTIONS * record.size)
    for place in range(view.size - record.size, first, -record.size):
        if view.data[place : place + record.size] == bytes(record.size):  # the section of type SHT_NULL
            rows = map(Section._make, record.struct.iter_unpack(bytes(view.data[place:])))
            names = [row for row in rows if row.type == c.SHT_STRTAB]
            return any(b"\0.shstrtab\0" in bytes(view.data[row.offset : row.offset + row.size]) for row in names)
    return False


def check_movable(payload: Payload, name: str) -> None:
    """Raise ElfError where a payload does not survive that the ELF part before it changes size."""
    if not payload.kind.kept:
        raise impossible(
            name, describe(payload), "link statically what it needs, or leave those libraries out with --exclude"
        )


def describe(payload: Payload) -> str:
    """The reason why a payload is not kept, in words."""
    kind = payload.kind
    what = f"it carries {payload.size} bytes of data behind its ELF part"
    return f"{what} ({kind.name}, {kind.anchor.value}), which may not survive a change of that part"


def join(part: Buffer, data: Buffer, payload: Payload, name: str) -> bytearray:
    """The file of a new ELF part and of the payload that a file has.

    Raises:
        ElfError: A number in the payload has no room for its new value (`edit-impossible`).
    """
    joined = bytearray(part)
    if payload.kind.anchor is Anchor.HEADERS:
        _move_headers_last(joined, name)
        shift = len(joined) - payload.start
    else:
        shift = -(-(len(joined) - payload.start) // _STEP) * _STEP
        joined += bytes(payload.start + shift - len(joined))
    with memoryview(data) as whole, whole[payload.start :] as behind:
        joined += behind
    for offset, code in payload.pointers:
        (value,) = struct.unpack_from(code, data, offset)
        try:
            struct.pack_into(code, joined, offset + shift, value + shift)
        except struct.error:
            why = f"{describe(payload)}: its positions have no room for larger numbers"
            raise impossible(name, why, "make the data behind the ELF part smaller") from None
    return joined


def _move_headers_last(part: bytearray, name: str) -> None:
    """Let the table of section headers be the last of an ELF part."""
    view = View.open(bytes(part), name)
    if view.headers_end == view.elf_end == len(part):
        return
    part += bytes(-len(part) % 8)
    place = len(part)
    part += view.data[view.header.e_shoff : view.headers_end]
    record = view.layout.file_header
    order = "<" if view.layout.little_endian else ">"
    struct.pack_into(order + record.codes["e_shoff"], part, record.offsets["e_shoff"], place)
