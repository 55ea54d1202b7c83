"""The proof that data behind the ELF part of a file is what it was, and where its program looks for it."""

from __future__ import annotations

import struct

from deloc8.elf.read.kinds import Anchor
from deloc8.elf.read.payload import read_payload
from deloc8.elf.read.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.read.payload import Payload
    from deloc8.elf.read.view import Buffer


def payload_problems(before: Buffer, after: Buffer, name: str) -> Iterator[str]:
    """The contradictions between the payload of a file and that of the edited one.

    Every byte of the old one must be there, at the end of the file. Only numbers that count from the start of the
    file may differ, by exactly as much as the payload has moved.

    Raises:
        ElfError: One of them is not a sound ELF file.
    """
    view = View.open(after, name)
    old, new = read_payload(View.open(before, name)), read_payload(view)
    if old is None:
        if new is not None:
            yield f"{name}: {new.size} bytes have come behind its ELF part"
        return
    if new is None or new.size < old.size:
        yield f"{name}: of the {old.size} bytes behind its ELF part some are lost"
        return
    start = len(after) - old.size
    shift = start - old.start
    if bytes(after[new.start : start]).strip(b"\0"):
        yield f"{name}: other bytes have come before the data behind its ELF part"
    if shift and not old.kind.kept:
        yield f"{name}: the data behind its ELF part ({old.kind.name}) has moved"
    if old.kind.anchor is Anchor.HEADERS and start != view.headers_end:
        yield f"{name}: the data behind its ELF part does not begin where its section headers end"
    yield from (f"{name}: {problem}" for problem in _differences(before, after, old, shift))


def _differences(before: Buffer, after: Buffer, old: Payload, shift: int) -> Iterator[str]:
    """The places where the payloads differ though they must not."""
    place = old.start
    for offset, code in sorted(old.pointers):
        if before[place:offset] != after[place + shift : offset + shift]:
            yield f"the data behind its ELF part has changed between 0x{place:x} and 0x{offset:x}"
        (value,) = struct.unpack_from(code, before, offset)
        (now,) = struct.unpack_from(code, after, offset + shift)
        if now != value + shift:
            yield f"the position 0x{value:x} in the data behind its ELF part has become 0x{now:x}"
        place = offset + struct.calcsize(code)
    if before[place:] != after[place + shift :]:
        yield f"the data behind its ELF part has changed after 0x{place:x}"
