"""Headers out of the files of rpm databases: SQLite (since rpm 4.16), ndb (SUSE), Berkeley DB (before)."""

from __future__ import annotations

import errno
import struct

from deloc8.faults import read_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from deloc8.elf.read.view import Readable


# The words of SQLite (sqlite3ErrStr in its main.c) for what is no fault of the database.
_SQLITE_FAULTS = frozenset({"disk I/O error", "unable to open database file", "out of memory"})


class BadDatabase(ValueError):  # noqa: N818  internal: the reader turns it into a fault of its answer
    """A file is no sound database; the text says why."""


_STEP = 100_000  # instructions of SQLite's machine
_MOST_STEPS = 5_000  # a few seconds; a search takes a thousandth, without an index of the files a hundredth


def sqlite_headers(path: Path, names: Sequence[bytes], *, is_settled: bool = True) -> Iterator[bytes]:
    """The headers of packages that have files of these names.

    Args:
        path: The database.
        names: Without folders.
        is_settled: Whether nobody has written what the file does not hold yet; then nothing is written beside it. Else
            the file must be a copy of our own.

    Raises:
        BadDatabase: It cannot be read, or this Python has no SQLite.
    """
    try:
        import sqlite3  # noqa: PLC0415  for this kind of database only
    except ImportError:
        raise BadDatabase("this Python has no module sqlite3") from None
    mode = "immutable=1" if is_settled else "mode=rw"
    marks = ",".join(["CAST(? AS TEXT)"] * len(names))
    query = f"SELECT blob FROM Packages WHERE hnum IN (SELECT hnum FROM Basenames WHERE key IN ({marks})) ORDER BY hnum"  # noqa: S608  only placeholders are put in
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)
        try:
            # A hostile database may have a view of that name, which has no end.
            steps = iter(range(_MOST_STEPS))
            connection.set_progress_handler(lambda: next(steps, None) is None, _STEP)
            for (blob,) in connection.execute(query, list(names)):
                if isinstance(blob, bytes):
                    yield blob
        finally:
            connection.close()
    except sqlite3.Error as error:
        if str(error) in _SQLITE_FAULTS:
            raise read_fault(OSError(errno.EIO, str(error)), str(path)) from None
        raise BadDatabase(str(error)) from None


# rpm's lib/backend/ndb/rpmpkg.c. The header: magic, version, generation, number of slot pages.
_NDB_HEADER = struct.Struct("<4s3I")
# A slot: magic, package, first block and number of blocks; the first two slots of the first page are the header.
_NDB_SLOT = struct.Struct("<4s3I")
_NDB_PAGE, _NDB_BLOCK = 4096, 16
# A blob: magic, package, time, size.
_NDB_BLOB = struct.Struct("<4s3I")


def ndb_headers(data: Readable) -> Iterator[bytes]:
    """The headers of all packages.

    Raises:
        BadDatabase: It is no such database, or a part of it is missing.
    """
    if len(data) < _NDB_HEADER.size or data[:4] != b"RpmP":
        raise BadDatabase("it does not begin with RpmP")
    end = _NDB_HEADER.unpack(data[: _NDB_HEADER.size])[3] * _NDB_PAGE
    if end > len(data):
        raise BadDatabase("its slots are cut off")
    for place in range(2 * _NDB_SLOT.size, end, _NDB_SLOT.size):
        magic, package, block, _ = _NDB_SLOT.unpack(data[place : place + _NDB_SLOT.size])
        if magic != b"Slot":
            raise BadDatabase(f"there is no slot at offset {place}")
        if not block:
            continue
        start = block * _NDB_BLOCK
        if start + _NDB_BLOB.size > len(data):
            raise BadDatabase(f"the slot at offset {place} leads beyond the end")
        magic, owner, _, size = _NDB_BLOB.unpack(data[start : start + _NDB_BLOB.size])
        start += _NDB_BLOB.size
        if (magic, owner) != (b"BlbS", package) or start + size > len(data):
            raise BadDatabase(f"the package at offset {start} is damaged")
        yield bytes(data[start : start + size])


# Berkeley DB 5, src/dbinc/db_page.h: the meta page has the magic number of hash tables at 12, the page size at 20.
_HASH_MAGIC = 0x061561
_META = 24
_PAGE_HEADER = 26  # lsn 8, pgno 4, prev_pgno 4, next_pgno 4, entries 2, hf_offset 2, level 1, type 1
_P_HASH_UNSORTED, _P_OVERFLOW, _P_HASH = 2, 7, 13
_H_KEYDATA, _H_OFFPAGE = 1, 3


def bdb_headers(data: Readable) -> Iterator[bytes]:
    """The headers of all packages.

    Raises:
        BadDatabase: It is no such database, or a part of it is missing.
    """
    order = next((order for order in "<>" if data[12:16] == struct.pack(f"{order}I", _HASH_MAGIC)), None)
    if order is None or len(data) < _META:
        raise BadDatabase("it is no hash table of Berkeley DB")
    (page_size,) = _numbers(f"{order}I", data, 20)
    if page_size not in {1 << power for power in range(9, 17)}:
        raise BadDatabase(f"its pages have {page_size} bytes")
    for place in range(page_size, len(data) - page_size + 1, page_size):
        if data[place + 25] in {_P_HASH, _P_HASH_UNSORTED}:
            yield from _hash_page(data, place, page_size, order)


def _hash_page(data: Readable, page: int, page_size: int, order: str) -> Iterator[bytes]:
    (entries,) = _numbers(f"{order}H", data, page + 20)
    if _PAGE_HEADER + 2 * entries > page_size:
        raise BadDatabase(f"the page at offset {page} has too many entries")
    offsets = _numbers(f"{order}{entries}H", data, page + _PAGE_HEADER)
    # Keys and values take turns. A value that is small enough stands in the page, down to where its key begins.
    for key, value in zip(offsets[::2], offsets[1::2], strict=False):
        if value + 12 > page_size:
            continue  # no header is as small
        kind = data[page + value]
        if kind == _H_OFFPAGE:
            number, size = _numbers(f"{order}2I", data, page + value + 4)
            yield _overflow(data, number, size, (page_size, order))
        elif kind == _H_KEYDATA:
            yield bytes(data[page + value + 1 : page + key])


def _overflow(data: Readable, number: int, size: int, shape: tuple[int, str]) -> bytes:
    """A value that fills pages of its own, each of which names the next one."""
    page_size, order = shape
    if size > len(data):
        raise BadDatabase("a value is larger than the database")
    parts: list[bytes] = []
    missing = size
    while number and missing > 0:
        page = number * page_size
        if page + page_size > len(data) or data[page + 25] != _P_OVERFLOW:
            raise BadDatabase(f"page {number} is no overflow page")
        number, _, length = _numbers(f"{order}I2H", data, page + 16)
        parts.append(bytes(data[page + _PAGE_HEADER : page + _PAGE_HEADER + min(length, page_size)]))
        if not parts[-1]:
            raise BadDatabase(f"the overflow page at offset {page} is empty")
        missing -= len(parts[-1])
    if missing:
        raise BadDatabase("a value is cut off")
    return b"".join(parts)


def _numbers(code: str, data: Readable, place: int) -> tuple[int, ...]:
    return struct.unpack(code, data[place : place + struct.calcsize(code)])


def having(headers: Iterable[bytes], names: Sequence[bytes], most: int) -> Iterator[bytes]:
    """The headers that may have files of these names: those in which the bytes of one stand.

    Raises:
        BadDatabase: They have more than `most` bytes together.
    """
    for header in headers:
        most -= len(header)
        if most < 0:
            raise BadDatabase("its packages overlap")
        if any(name + b"\0" in header for name in names):
            yield header
