"""ZIP archives as values: the directory at the end, and the headers before the members (APPNOTE.TXT of PKWARE).

A wheel is read by many programs, some by its directory, some from its beginning. An archive that the two could
understand differently is refused, so everything is compared with everything, and every byte must belong to something.
"""

from __future__ import annotations

import struct

from deloc8.errors import WheelError
from deloc8.text import printable
from deloc8.values import NamedTuple, Protocol, dataclass
from deloc8.wheel.limits import LARGEST_DIRECTORY, MOST_FOLDERS, MOST_MEMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STORED = 0
DEFLATED = 8

LOCAL = struct.Struct("<4s5H3I2H")  # 4.3.7
CENTRAL = struct.Struct("<4s6H3I5H2I")  # 4.3.12
END64 = struct.Struct("<4sQ2H2I4Q")  # 4.3.14
LOCATOR = struct.Struct("<4sIQI")  # 4.3.15
END = struct.Struct("<4s4H2IH")  # 4.3.16

LOCAL_SIGNATURE = b"PK\3\4"
CENTRAL_SIGNATURE = b"PK\1\2"
END64_SIGNATURE = b"PK\6\6"
LOCATOR_SIGNATURE = b"PK\6\7"
END_SIGNATURE = b"PK\5\6"
_DESCRIPTOR_SIGNATURE = b"PK\7\10"

FULL_16 = 0xFFFF  # these values say: look into the ZIP64 record
FULL_32 = 0xFFFFFFFF

ZIP64_EXTRA = 1  # 4.5.3
_UNICODE_PATH_EXTRA = 0x7075  # 4.6.9
_DOS_FOLDER = 0x10  # 4.4.15: the attributes of MS-DOS

_NEWEST = 63  # 4.4.3: the newest version of the format that installers know
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # 4.4.4: encryption, strong encryption, masked headers
_LEVEL = 1 << 1 | 1 << 2  # how hard the writer tried; of no consequence
_HAS_DESCRIPTOR = 1 << 3
_PATCHED = 1 << 5
UTF8 = 1 << 11

_DESCRIPTORS = tuple(  # 4.3.9: the signature is optional, the sizes have 4 or 8 bytes
    (signature, struct.Struct(f"<{len(signature)}sI2{code}"))
    for signature in (_DESCRIPTOR_SIGNATURE, b"")
    for code in "QI"
)
_LONGEST_DESCRIPTOR = 24
_USUAL_EXTRA = 28  # as many bytes are read with a local header on suspicion; usually that is all


class Member(NamedTuple):
    """One file of a wheel, as its archive announces it.

    Attributes:
        name: Its path.
        size: Bytes of its contents.
        compressed_size: Bytes that it takes in the archive.
        crc: The checksum of its contents.
        method: `STORED` or `DEFLATED`.
        mode: Permission bits and file type of Unix; 0 where the archive tells none.
        date_time: Year, month, day, hour, minute, second, unchecked.
        header_offset: Where its local header begins in the archive.
        data_offset: Where its data begin in the archive.
    """

    name: str
    size: int
    compressed_size: int
    crc: int
    method: int
    mode: int
    date_time: tuple[int, int, int, int, int, int]
    header_offset: int
    data_offset: int


class Source(Protocol):
    """A file that can be read at any place.

    Attributes:
        name: How messages call it.
        size: Its length in bytes.
    """

    name: str
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; raises WheelError where the file has them no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Limits of an archive; archives beyond them are refused.

    Attributes:
        members: Entries of the archive.
        directory: Bytes of its directory.
        folders: Folders that hold its members, and all folders above those.
        total: Bytes of all contents together.
        ratio: All contents by the size of the archive, once they exceed `ratio_from` bytes.
        ratio_from: See `ratio`.
    """

    members: int = MOST_MEMBERS
    directory: int = LARGEST_DIRECTORY
    folders: int = MOST_FOLDERS
    total: int = 64 << 30
    ratio: int = 200
    ratio_from: int = 1 << 30


class _Entry(NamedTuple):
    """One record of the directory."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    modified: int
    crc: int
    compressed_size: int
    size: int
    mode: int
    header_offset: int


def unsound(source: Source, code: str, what: str, *context: str) -> WheelError:
    """The error that says what is wrong with a wheel; `what` continues a sentence that begins with its name."""
    return WheelError(
        f"`{printable(source.name)}` {printable(what)}",
        code=code,
        context=tuple(printable(line) for line in context),
        hints=("build or download the wheel again; nothing was changed",),
    )


def read_members(source: Source, limits: ArchiveLimits) -> tuple[Member, ...]:
    """The entries of an archive in the order of its directory, those of folders (with a final slash) among them.

    Raises:
        WheelError: The archive is unsound, or can be understood in two ways, or exceeds the limits.
    """
    offset, size, count = _find_directory(source, limits)
    members = []
    spans = []
    for entry in _read_directory(source, source.read(offset, size), count):
        data_offset, end = _read_local(source, entry, offset)
        spans.append((entry.header_offset, end, entry.name))
        members.append(
            Member(
                entry.name,
                entry.size,
                entry.compressed_size,
                entry.crc,
                entry.method,
                entry.mode,
                _date_time(entry.modified),
                entry.header_offset,
                data_offset,
            )
        )
    _check_spans(source, spans, offset)
    return tuple(members)


def _find_directory(source: Source, limits: ArchiveLimits) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, its records."""
    end, count, size, offset = _read_end(source)
    if end >= LOCATOR.size and source.read(end - LOCATOR.size, 4) == LOCATOR_SIGNATURE:
        end, count, size, offset = _read_end64(source, end - LOCATOR.size, (count, size, offset))
    if count > limits.members:
        raise unsound(source, "too-many-members", f"has {count} members; the limit is {limits.members}")
    if size > limits.directory:
        what = f"has a directory of {size} bytes; the limit is {limits.directory}"
        raise unsound(source, "too-many-members", what)
    if offset + size < end:
        if source.read(end - size, 4) == CENTRAL_SIGNATURE:
            what = f"has {end - size - offset} bytes before the beginning of its archive"
            raise unsound(source, "leading-data", what)
        raise unsound(source, "hidden-data", f"has {end - size - offset} bytes behind its directory")
    if offset + size > end:
        raise unsound(source, "truncated-archive", "has a directory that reaches beyond its end")
    return offset, size, count


def _read_end(source: Source) -> tuple[int, int, int, int]:
    """Where the end record begins, and count, size and offset of the directory by its account."""
    tail_offset = max(0, source.size - END.size - FULL_16)
    tail = source.read(tail_offset, source.size - tail_offset)
    place = tail.rfind(END_SIGNATURE)
    if place < 0 or place + END.size > len(tail):
        if source.size < END.size or source.read(0, 4) != LOCAL_SIGNATURE:
            raise unsound(source, "not-a-zip", "is not a ZIP archive", "a wheel is one")
        raise unsound(source, "truncated-archive", "is cut short", "the end of its directory is missing")
    _, disk, first_disk, here, count, size, offset, comment = END.unpack_from(tail, place)
    end = tail_offset + place
    behind = source.size - end - END.size - comment
    if behind > 0:
        raise unsound(source, "trailing-data", f"has {behind} bytes behind the end of its archive")
    if behind < 0:
        what = f"the last {-behind} bytes of its comment are missing"
        raise unsound(source, "truncated-archive", "is cut short", what)
    if disk or first_disk or here != count:
        raise unsound(source, "multi-disk-archive", "is a part of a divided archive")
    return end, count, size, offset


def _read_end64(source: Source, locator_offset: int, plain: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Where the ZIP64 end record begins, and count, size and offset of the directory by its account."""
    _, disk, end, disks = LOCATOR.unpack(source.read(locator_offset, LOCATOR.size))
    if disk or disks > 1:
        raise unsound(source, "multi-disk-archive", "is a part of a divided archive")
    if end + END64.size != locator_offset:
        what = f"the locator points to {end}, the record must begin at {locator_offset - END64.size}"
        raise unsound(source, "bad-zip64", "has a ZIP64 record in an unexpected place", what)
    signature, length, _, _, disk, first_disk, here, *wide = END64.unpack(source.read(end, END64.size))
    count, size, offset = wide
    if signature != END64_SIGNATURE or length != END64.size - 12:
        raise unsound(source, "bad-zip64", "has a ZIP64 record that is none or has unknown fields")
    if disk or first_disk or here != count:
        raise unsound(source, "multi-disk-archive", "is a part of a divided archive")
    for short, full, value in zip(plain, (FULL_16, FULL_32, FULL_32), wide, strict=True):
        if short not in {full, value}:
            what = f"one says {short}, the other {value}"
            raise unsound(source, "bad-zip64", "has two end records that contradict each other", what)
    return end, count, size, offset


def _read_directory(source: Source, directory: bytes, count: int) -> Iterator[_Entry]:
    place = 0
    for index in range(count):
        if place + CENTRAL.size > len(directory) or not directory.startswith(CENTRAL_SIGNATURE, place):
            what = f"record {index} of {count} is missing"
            raise unsound(source, "bad-directory", "has a damaged directory", what)
        fields = CENTRAL.unpack_from(directory, place)
        place += CENTRAL.size
        end = place + fields[10] + fields[11] + fields[12]
        if end > len(directory):
            raise unsound(source, "bad-directory", "has a damaged directory", f"record {index} is cut short")
        raw_name = directory[place : place + fields[10]]
        extra = directory[place + fields[10] : place + fields[10] + fields[11]]
        yield _entry(source, fields, raw_name, extra)
        place = end
    if place != len(directory):
        what = f"{len(directory) - place} bytes follow its {count} records"
        raise unsound(source, "bad-directory", "has a damaged directory", what)


def _entry(source: Source, fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> _Entry:
    _, _, version, flags, method, time, date, crc, compressed, size, _, _, _, disk, _, attributes, offset = fields
    name = _decode(source, raw_name, flags)
    if flags & _ENCRYPTED:
        raise unsound(source, "encrypted-member", f"has an encrypted member: `{name}`")
    if method not in {STORED, DEFLATED} or flags & _PATCHED or version & 0xFF > _NEWEST:
        context = (
            f"compression method {method}, version {version & 0xFF}; wheels have methods 0 and 8, version 20 or 45"
        )
        raise unsound(
            source, "unsupported-compression", f"has a member that installers cannot unpack: `{name}`", context
        )
    if disk:
        raise unsound(source, "multi-disk-archive", "is a part of a divided archive")
    if attributes & _DOS_FOLDER and not name.endswith("/"):
        # libarchive goes by the attribute, zipfile by the name.
        raise unsound(source, "special-member", f"has a member that is a folder by its attributes alone: `{name}`")
    if extra or FULL_32 in (size, compressed, offset):
        size, compressed, offset = _wide(source, name, extra, (size, compressed, offset))
    if method == STORED and size != compressed:
        what = f"it takes {compressed} bytes uncompressed, but announces {size}"
        raise unsound(source, "bad-member-size", f"lies about the size of `{name}`", what)
    return _Entry(
        raw_name, name, flags & ~_LEVEL, method, date << 16 | time, crc, compressed, size, attributes >> 16, offset
    )


def _decode(source: Source, raw_name: bytes, flags: int) -> str:
    if raw_name.isascii():
        return raw_name.decode("ascii")
    if not flags & UTF8:
        # By the specification it is cp437 (D.1), as zipfile reads it; unzip and others take the bytes as they are.
        name = raw_name.decode("cp437")
        what = "has a member whose name is not marked as UTF-8: programs read it in different ways"
        raise unsound(source, "ambiguous-name", what, f"as cp437 it is `{name}`", f"its bytes are {raw_name!r}")
    try:
        return raw_name.decode("utf-8")  # D.2
    except UnicodeDecodeError:
        what = "has a member whose name is no text in UTF-8"
        raise unsound(source, "unsafe-path", what, raw_name.decode("utf-8", "backslashreplace")) from None


def _wide(source: Source, name: str, extra: bytes, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a header, those that are too large for it replaced by the values in its ZIP64 field."""
    values: Sequence[int] | None = None
    place = 0
    while place < len(extra):
        if place + 4 > len(extra):
            raise unsound(source, "bad-header", f"has a damaged extra field at `{name}`")
        kind, length = struct.unpack_from("<2H", extra, place)
        body = extra[place + 4 : place + 4 + length]
        place += 4 + length
        if place > len(extra):
            raise unsound(source, "bad-header", f"has a damaged extra field at `{name}`")
        if kind == ZIP64_EXTRA:
            if values is not None or length % 8:
                raise unsound(source, "bad-zip64", f"has a damaged ZIP64 field at `{name}`")
            values = struct.unpack(f"<{length // 8}Q", body)
        if kind == _UNICODE_PATH_EXTRA and body[5:] != name.encode():
            raise unsound(source, "header-mismatch", f"has two names for one member: `{name}`", repr(body[5:]))
    missing = [number for number in numbers if number == FULL_32]
    given = list(values or ())
    # Some writers repeat numbers that needed no ZIP64 field: harmless as long as they are the same.
    if not missing and tuple(given) == numbers[: len(given)]:
        return numbers
    if len(given) != len(missing):
        what = f"{len(missing)} numbers are announced, {len(given)} are there"
        raise unsound(source, "bad-zip64", f"has a ZIP64 field that contradicts its header: `{name}`", what)
    return tuple(given.pop(0) if number == FULL_32 else number for number in numbers)


def _read_local(source: Source, entry: _Entry, directory_offset: int) -> tuple[int, int]:
    """Where a member's data begin, and where everything that belongs to it ends."""
    start = entry.header_offset
    length = LOCAL.size + len(entry.raw_name)
    if start + length > directory_offset:
        raise unsound(source, "overlapping-members", f"has `{entry.name}` begin inside its directory")
    head = source.read(start, min(length + _USUAL_EXTRA, directory_offset - start))
    signature, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = LOCAL.unpack_from(head)
    if signature != LOCAL_SIGNATURE:
        raise unsound(source, "header-mismatch", f"has no local header for `{entry.name}` at offset {start}")
    data_offset = start + LOCAL.size + name_length + extra_length
    end = data_offset + entry.compressed_size
    if end > directory_offset:
        raise unsound(source, "overlapping-members", f"has `{entry.name}` reach into its directory")
    theirs = head[LOCAL.size : LOCAL.size + name_length], method, flags & ~_LEVEL
    ours = entry.raw_name, entry.method, entry.flags
    if theirs == ours:
        if extra_length or FULL_32 in (size, compressed):
            known = head[length : length + extra_length]
            extra = known if len(known) == extra_length else source.read(start + length, extra_length)
            size, compressed = _wide(source, entry.name, extra, (size, compressed))
        theirs, ours = (crc, compressed, size), (entry.crc, entry.compressed_size, entry.size)  # type: ignore[assignment]
        if entry.flags & _HAS_DESCRIPTOR:
            # The writer did not know them yet when it wrote the header: zeros are as good as the truth.
            theirs = tuple(number or truth for number, truth in zip(theirs, ours, strict=True))  # type: ignore[assignment]
            end += _descriptor_size(source, entry, end, directory_offset)
    if theirs != ours:
        context = f"the header before the member has {theirs}", f"the directory has {ours}"
        raise unsound(source, "header-mismatch", f"has two headers that differ for `{entry.name}`", *context)
    return data_offset, end


def _descriptor_size(source: Source, entry: _Entry, offset: int, directory_offset: int) -> int:
    found = source.read(offset, min(_LONGEST_DESCRIPTOR, directory_offset - offset))
    for signature, layout in _DESCRIPTORS:
        wanted = signature, entry.crc, entry.compressed_size, entry.size
        if layout.size <= len(found) and layout.unpack_from(found) == wanted:
            return layout.size
    what = f"has a data descriptor behind `{entry.name}` that is missing or differs from the directory"
    raise unsound(source, "header-mismatch", what)


def _check_spans(source: Source, spans: list[tuple[int, int, str]], directory_offset: int) -> None:
    """Refuse members that share bytes, and bytes that belong to no member."""
    position = 0
    before = ""
    for start, end, name in sorted(spans):
        if start < position:
            raise unsound(source, "overlapping-members", f"has members that overlap: `{before}` and `{name}`")
        if start > position:
            code = "hidden-data" if position else "leading-data"
            raise unsound(source, code, f"has {start - position} bytes that belong to no member, before `{name}`")
        position, before = end, name
    if position < directory_offset:
        what = f"has {directory_offset - position} bytes that belong to no member, before its directory"
        raise unsound(source, "hidden-data", what)


def _date_time(modified: int) -> tuple[int, int, int, int, int, int]:
    """An MS-DOS date and time taken apart (4.4.6)."""
    return (
        (modified >> 25) + 1980,
        modified >> 21 & 15,
        modified >> 16 & 31,
        modified >> 11 & 31,
        modified >> 5 & 63,
        (modified & 31) * 2,
    )
