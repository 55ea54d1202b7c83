"""ZIP archives byte by byte, so that a test can lie in any field of them (APPNOTE.TXT of PKWARE)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kit.wheels import record_text, wheel_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Fields = dict[str, "int | bytes"]

STORED = 0
DEFLATED = 8


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    """A raw deflate stream."""
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
    return encoder.compress(data) + encoder.flush()


def extra(kind: int, body: bytes) -> bytes:
    """One extra field."""
    return struct.pack("<2H", kind, len(body)) + body


def zip64(*numbers: int) -> bytes:
    """The extra field of ZIP64 with some numbers."""
    return extra(1, struct.pack(f"<{len(numbers)}Q", *numbers))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One member: honest, but for the fields that `local` and `central` overrule.

    Attributes:
        name: Its path.
        data: Its contents.
        method: STORED or DEFLATED; other numbers store the contents.
        flags: General purpose bits of both headers.
        mode: The upper half of the external attributes.
        stream: The bytes in the archive in place of the packed contents.
        both: Fields overruled in both headers: signature, version, flags, method, time, date, crc, compressed,
            size, name, extra; in the directory also comment, disk, attributes, offset.
        local: Fields overruled in the local header.
        central: Fields overruled in the directory.
        before: Bytes that stand before the local header and belong to nothing.
        behind: Bytes that follow the data: a data descriptor, or what should be one.
    """

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    mode: int = 0o100644
    stream: bytes | None = None
    both: Fields = field(default_factory=dict)
    local: Fields = field(default_factory=dict)
    central: Fields = field(default_factory=dict)
    before: bytes = b""
    behind: bytes = b""

    @property
    def packed(self) -> bytes:
        """The bytes in the archive."""
        if self.stream is not None:
            return self.stream
        return raw_deflate(self.data) if self.method == DEFLATED else self.data

    @property
    def truth(self) -> tuple[int, int, int]:
        """Checksum, compressed size and size."""
        return zlib.crc32(self.data), len(self.packed), len(self.data)

    def header(self, overruled: Mapping[str, int | bytes]) -> dict[str, int | bytes]:
        """The fields of a header."""
        crc, compressed, size = self.truth
        fields: dict[str, int | bytes] = {
            "signature": b"", "version": 20, "flags": self.flags, "method": self.method, "time": 0x645C, "date": 0x585D,
            "crc": crc, "compressed": compressed, "size": size, "name": self.name, "extra": b"", "comment": b"",
            "disk": 0, "attributes": self.mode << 16,
        }  # fmt: skip
        return {**fields, **self.both, **overruled}


def descriptor(entry: Entry, *, wide: bool = False, signature: bool = True) -> bytes:
    """The data descriptor that belongs to an entry."""
    crc, compressed, size = entry.truth
    head = b"PK\7\10" if signature else b""
    return head + struct.pack("<I2Q" if wide else "<3I", crc, compressed, size)


def streamed(entry: Entry, *, wide: bool = False, signature: bool = True) -> Entry:
    """The entry as a writer leaves it that cannot go back: zeros in the local header, a descriptor behind the data."""
    zeros: Fields = {"crc": 0, "compressed": 0, "size": 0}
    tail = descriptor(entry, wide=wide, signature=signature)
    return replace(entry, flags=entry.flags | 8, local={**zeros, **entry.local}, behind=tail)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What surrounds the members.

    Attributes:
        prefix: Bytes before the first member; offsets count from the beginning of the file none the less.
        before_directory: Bytes before the directory.
        behind_directory: Bytes behind it.
        comment: The comment of the archive.
        suffix: Bytes behind the archive.
        end: Fields overruled in the end record: disk, first_disk, here, count, size, offset, comment_length.
        end64: The same for the ZIP64 record (also signature, length); None leaves it out.
        locator: The same for its locator: disk, offset, disks.
    """

    prefix: bytes = b""
    before_directory: bytes = b""
    behind_directory: bytes = b""
    comment: bytes = b""
    suffix: bytes = b""
    end: Fields = field(default_factory=dict)
    end64: Fields | None = None
    locator: Fields = field(default_factory=dict)


HONEST = Layout()


def raw_zip(entries: Sequence[Entry], layout: Layout = HONEST) -> bytes:
    """The bytes of an archive."""
    body = layout.prefix
    directory = b""
    for entry in entries:
        body += entry.before
        offset = len(body)
        f = entry.header({"signature": b"PK\3\4", **entry.local})
        body += struct.pack(
            "<4s5H3I2H", f["signature"], f["version"], f["flags"], f["method"], f["time"], f["date"], f["crc"],
            f["compressed"], f["size"], len(_bytes(f["name"])), len(_bytes(f["extra"])),
        ) + _bytes(f["name"]) + _bytes(f["extra"]) + entry.packed + entry.behind  # fmt: skip
        f = entry.header({"signature": b"PK\1\2", "offset": offset, **entry.central})
        directory += struct.pack(
            "<4s6H3I5H2I", f["signature"], 0x314, f["version"], f["flags"], f["method"], f["time"], f["date"], f["crc"],
            f["compressed"], f["size"], len(_bytes(f["name"])), len(_bytes(f["extra"])), len(_bytes(f["comment"])),
            f["disk"], 0, f["attributes"], f["offset"],
        ) + _bytes(f["name"]) + _bytes(f["extra"]) + _bytes(f["comment"])  # fmt: skip
    body += layout.before_directory
    place = len(body)
    body += directory + layout.behind_directory
    truth: Fields = {
        "disk": 0, "first_disk": 0, "here": len(entries), "count": len(entries), "size": len(directory),
        "offset": place, "comment_length": len(layout.comment),
    }  # fmt: skip
    if layout.end64 is not None:
        body += _end64(len(body), truth, layout)
    f = {**truth, **layout.end}
    names = ("disk", "first_disk", "here", "count", "size", "offset", "comment_length")
    body += struct.pack("<4s4H2IH", b"PK\5\6", *(f[name] for name in names))
    return body + layout.comment + layout.suffix


def _end64(offset: int, truth: Fields, layout: Layout) -> bytes:
    f = {"signature": b"PK\6\6", "length": 44, **truth, **(layout.end64 or {})}
    names = ("disk", "first_disk", "here", "count", "size", "offset")
    record = struct.pack("<4sQ2H2I4Q", f["signature"], f["length"], 45, 45, *(f[name] for name in names))
    f = {"disk": 0, "offset": offset, "disks": 1, **layout.locator}
    return record + struct.pack("<4sIQI", b"PK\6\7", f["disk"], f["offset"], f["disks"])


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def wheel_entries(*more: Entry, folder: str = "demo-1.0.dist-info") -> list[Entry]:
    """The entries of a sound small wheel (``demo-1.0-py3-none-any.whl``), after those of the test."""
    files = {
        f"{folder}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{folder}/WHEEL": wheel_text(["py3-none-any"]),
    }
    listed = {entry.name.decode("latin-1"): entry.data for entry in more}
    files[f"{folder}/RECORD"] = record_text({**listed, **files}, f"{folder}/RECORD")
    return [*more, *(Entry(name=name.encode(), data=data) for name, data in files.items())]
