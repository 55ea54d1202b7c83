"""ZIP archives written so that every reader understands them alike (APPNOTE.TXT of PKWARE).

Sizes and checksums stand in both headers, there are no data descriptors, no comments and no gaps, and ZIP64 fields
stand only where a number needs one.
"""

from __future__ import annotations

import hashlib
import stat
import struct

from deloc8.wheel import zipformat as z

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from deloc8.wheel.codec import Buffer
    from deloc8.wheel.zipformat import Member

_VERSION = 20  # 4.4.3: deflate
_VERSION_64 = 45  # ZIP64
_AT_ONCE = 1000  # records of the directory, each of some hundred bytes
_UNIX = 3 << 8  # 4.4.2: the attributes are those of Unix


class ZipWriter:
    """Writes an archive from its beginning to its end, and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._position = 0
        self._members: list[Member] = []

    def add(self, member: Member, data: Iterable[Buffer]) -> None:
        """Append a member; its offsets are ignored, `data` are its bytes as they go into the archive."""
        placed = member._replace(header_offset=self._position)
        self._write(local_header(placed))
        for piece in data:
            self._write(piece)
        self._members.append(placed)

    def finish(self) -> str:
        """Append the directory; the SHA-256 of the whole file, in hexadecimal digits."""
        start = self._position
        for first in range(0, len(self._members), _AT_ONCE):
            self._write(b"".join(map(central_header, self._members[first : first + _AT_ONCE])))
        self._write(end_records(len(self._members), start, self._position - start))
        return self._hash.hexdigest()

    def _write(self, data: Buffer) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._position += len(data)


def local_header(member: Member) -> bytes:
    """The header that stands before a member's data (4.3.7)."""
    large = _is_large(member)
    extra = _zip64_extra((member.size, member.compressed_size)) if large else b""
    name, common = _common_fields(member, (z.FULL_32, z.FULL_32) if large else (member.compressed_size, member.size))
    version = _VERSION_64 if large else _VERSION
    return z.LOCAL.pack(z.LOCAL_SIGNATURE, version, *common, len(name), len(extra)) + name + extra


def central_header(member: Member) -> bytes:
    """The record of a member in the directory (4.3.12); `header_offset` tells where its header stands."""
    large = _is_large(member)
    far = member.header_offset >= z.FULL_32
    wide = [*([member.size, member.compressed_size] if large else []), *([member.header_offset] if far else [])]
    extra = _zip64_extra(wide) if wide else b""
    name, common = _common_fields(member, (z.FULL_32, z.FULL_32) if large else (member.compressed_size, member.size))
    version = _VERSION_64 if wide else _VERSION
    lengths = len(name), len(extra), 0
    attributes = (stat.S_IFREG | stat.S_IMODE(member.mode)) << 16
    offset = z.FULL_32 if far else member.header_offset
    fields = z.CENTRAL_SIGNATURE, _UNIX | version, version, *common, *lengths, 0, 0, attributes, offset
    return z.CENTRAL.pack(*fields) + name + extra


def end_records(count: int, offset: int, size: int) -> bytes:
    """Records after a directory of `count` records and `size` bytes at `offset` (4.3.14 to 16)."""
    short = min(count, z.FULL_16), min(size, z.FULL_32), min(offset, z.FULL_32)
    end = z.END.pack(z.END_SIGNATURE, 0, 0, short[0], *short, 0)
    if short[0] < z.FULL_16 and z.FULL_32 not in short:
        return end
    rest = z.END64.size - 12  # without signature and this number
    versions = _UNIX | _VERSION_64, _VERSION_64
    end64 = z.END64.pack(z.END64_SIGNATURE, rest, *versions, 0, 0, count, count, size, offset)
    return end64 + z.LOCATOR.pack(z.LOCATOR_SIGNATURE, 0, offset + size, 1) + end


def _is_large(member: Member) -> bool:
    return max(member.size, member.compressed_size) >= z.FULL_32


def _zip64_extra(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", z.ZIP64_EXTRA, 8 * len(numbers), *numbers)


def _common_fields(member: Member, sizes: tuple[int, int]) -> tuple[bytes, tuple[int, ...]]:
    """The name in bytes, and the fields from flags to sizes that both headers have."""
    flags = 0 if member.name.isascii() else z.UTF8
    year, month, day, hour, minute, second = member.date_time
    time = hour << 11 | minute << 5 | second // 2
    date = (year - 1980) << 9 | month << 5 | day
    return member.name.encode(), (flags, member.method, time, date, member.crc, *sizes)
