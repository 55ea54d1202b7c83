"""An ld.so.cache as ldconfig writes it (glibc, sysdeps/generic/dl-cache.h)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Row(NamedTuple):
    """An entry, as struct file_entry_new has it."""

    name: str
    path: str
    flags: int = 0x0303
    hwcap: int = 0


def build_cache(
    rows: Sequence[Row], hwcaps: Sequence[str] = (), *, order: str = "<", endian: int | None = None
) -> bytes:
    """A cache in glibc's new format; `endian` is the flags byte, by default the one of the byte order."""
    strings = b"\0"
    places = {}
    for text in [text for row in rows for text in row[:2]] + list(hwcaps):
        places[text] = 48 + 24 * len(rows) + len(strings)
        strings += text.encode() + b"\0"
    strings += b"\0" * (-len(strings) % 4)
    extension = 48 + 24 * len(rows) + len(strings) if hwcaps else 0
    flags = {"<": 2, ">": 3}[order] if endian is None else endian
    head = struct.pack(order + "20sIIB3xI12x", b"glibc-ld.so.cache1.1", len(rows), len(strings), flags, extension)
    body = b"".join(struct.pack(order + "iIIIQ", r.flags, places[r.name], places[r.path], 0, r.hwcap) for r in rows)
    tail = b""
    if hwcaps:
        tail = struct.pack(order + "II", 0xEAA42174, 2)
        tail += struct.pack(order + "IIII", 0, 0, 0, 0)
        tail += struct.pack(order + "IIII", 1, 0, extension + 40, 4 * len(hwcaps))
        tail += struct.pack(f"{order}{len(hwcaps)}I", *(places[text] for text in hwcaps))
    return head + body + strings + tail
