from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from deloc8.wheel.zipformat import STORED, ArchiveLimits, Member, read_members
from deloc8.wheel.zipwriter import ZipWriter, central_header, end_records, local_header

if TYPE_CHECKING:
    from collections.abc import Sequence

GIGA = 1 << 30
WHEN = (2024, 2, 29, 12, 34, 56)


class Sparse(io.RawIOBase):
    """A file of many gigabytes, zeros but for some pieces."""

    name = "sparse.whl"

    def __init__(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        super().__init__()
        self.pieces = pieces
        self.size = max(offset + len(data) for offset, data in pieces)
        self.position = 0

    def piece(self, start: int, size: int) -> bytes:
        found = bytearray(size)
        for offset, data in self.pieces:
            low, high = max(start, offset), min(start + size, offset + len(data))
            if low < high:
                found[low - start : high - start] = data[low - offset : high - offset]
        return bytes(found)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, size: int = -1) -> bytes:
        left = self.size - self.position
        found = self.piece(self.position, left if size < 0 else min(size, left))
        self.position += len(found)
        return found


class Source:
    """The same as a `zipformat.Source`."""

    def __init__(self, file: Sparse) -> None:
        self.file = file
        self.name = file.name
        self.size = file.size

    def read(self, offset: int, size: int) -> bytes:
        assert offset + size <= self.size
        return self.file.piece(offset, size)


def member(name: str, size: int, compressed_size: int = 0) -> Member:
    return Member(name, size, compressed_size or size, zlib.crc32(bytes(10)), STORED, 0o100644, WHEN, 0, 0)


def sparse_archive(members: Sequence[Member]) -> tuple[Sparse, list[Member]]:
    """An archive with these members, whose contents are zeros."""
    position = 0
    pieces = []
    placed = []
    for one in members:
        header = local_header(one)
        pieces.append((position, header))
        placed.append(one._replace(header_offset=position, data_offset=position + len(header)))
        position += len(header) + one.compressed_size
    directory = b"".join(central_header(one) for one in placed)
    pieces.append((position, directory + end_records(len(placed), position, len(directory))))
    return Sparse(pieces), placed


@pytest.mark.parametrize(
    "sizes",
    [
        [GIGA],
        [4 * GIGA - 2],
        [4 * GIGA - 1],
        [4 * GIGA],
        [9 * GIGA, 10],
        [3 * GIGA, 3 * GIGA, 3 * GIGA],
        [4 * GIGA - 100],
        [4 * GIGA - 1 - 30 - len("member0"), 10],
    ],
    ids=str,
)
def test_large_archives_are_read_alike_by_zipfile_and_by_us(sizes: list[int]) -> None:
    file, placed = sparse_archive([member(f"member{index}", size) for index, size in enumerate(sizes)])
    limits = ArchiveLimits(total=1 << 40)
    assert list(read_members(Source(file), limits)) == placed
    with zipfile.ZipFile(file) as oracle:
        for one, entry in zip(placed, oracle.infolist(), strict=True):
            assert (entry.filename, entry.file_size, entry.compress_size) == (one.name, one.size, one.compressed_size)
            assert entry.header_offset == one.header_offset
            assert entry.date_time == WHEN
            with oracle.open(entry) as contents:  # reads the local header too
                assert contents.read(5) == bytes(5)


def test_zip64_stands_only_where_a_number_needs_it() -> None:
    small = member("a", 4 * GIGA - 2)
    assert len(local_header(small)) == 31
    assert len(central_header(small)) == 47
    assert len(local_header(member("a", 4 * GIGA - 1))) == 31 + 20
    assert len(central_header(member("a", 4 * GIGA - 1))) == 47 + 20
    assert len(central_header(small._replace(header_offset=4 * GIGA - 1))) == 47 + 12
    assert len(end_records(0xFFFE, 4 * GIGA - 2, 4 * GIGA - 2)) == 22
    for numbers in ((0xFFFF, 0, 0), (1, 4 * GIGA - 1, 0), (1, 0, 4 * GIGA - 1)):
        assert len(end_records(*numbers)) == 22 + 20 + 56


def test_70000_members(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("many") / "many.zip"
    with path.open("wb") as file:
        writer = ZipWriter(file)
        for index in range(70_000):
            writer.add(Member(f"{index}", 1, 1, zlib.crc32(b"x"), STORED, 0o644, WHEN, 0, 0), [b"x"])
        digest = writer.finish()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as oracle:
        assert len(oracle.namelist()) == 70_000
        assert oracle.read("69999") == b"x"


def test_every_field_as_zipfile_reads_it() -> None:
    file = io.BytesIO()
    writer = ZipWriter(file)
    data = b"contents"
    one = Member("demo/é.py", 8, 8, zlib.crc32(data), STORED, 0o104755, (2107, 12, 31, 23, 59, 58), 99, 99)
    writer.add(one, [data[:3], memoryview(data)[3:]])
    writer.finish()
    with zipfile.ZipFile(file) as oracle:
        (entry,) = oracle.infolist()
        assert oracle.read(entry) == data
    assert (entry.filename, entry.date_time) == ("demo/é.py", (2107, 12, 31, 23, 59, 58))
    assert (entry.create_system, entry.external_attr >> 16) == (3, 0o104755)
    assert (entry.flag_bits, entry.extra, entry.comment, entry.extract_version) == (0x800, b"", b"", 20)
    assert struct.unpack_from("<H", file.getvalue(), 6) == (0x800,)
