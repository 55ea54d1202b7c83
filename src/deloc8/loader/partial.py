"""A file of which only the parts that are asked for are read.

Of a library the headers and a few tables are wanted, whatever its size. It is not mapped: where another process
shortens a file, or the disk does not give a page, the kernel ends whoever reads the map (SIGBUS).
"""

from __future__ import annotations

import os

from deloc8.faults import changed, read_fault
from deloc8.files import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import overload

_BLOCK = 1 << 16  # bytes that are read at a time, and kept
_MOST_BLOCKS = 32
_DIRECT = 4  # blocks from which on a part is read by itself, and not kept


class PartialFile:
    """The bytes of an open file, with what of `bytes` readers of ELF files use.

    Raises:
        SystemFault: By every access: the file became shorter (``library-changed``), or the machine does not read it.
    """

    def __init__(self, descriptor: int, size: int, path: str) -> None:
        """Read from a descriptor, which stays the caller's; `path` is how errors call the file."""
        self._descriptor = descriptor
        self._size = size
        self._path = path
        self._blocks: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self._size

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: int) -> int: ...

        @overload
        def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            start, stop, _ = key.indices(self._size)
            return self._part(start, stop)
        if not -self._size <= key < self._size:
            raise IndexError("index out of range")
        place = key % self._size
        return self._block(place // _BLOCK)[place % _BLOCK]

    def find(self, part: bytes, start: int, end: int) -> int:
        """The lowest place of some bytes within a range, as of `bytes.find`; -1 where they are not there."""
        for place, window in self._windows(start, end, len(part)):
            found = window.find(part)
            if found >= 0:
                return place + found
        return -1

    def rfind(self, part: bytes, start: int, end: int) -> int:
        """The highest place of some bytes within a range, which should be a short one."""
        found = self._part(start, end).rfind(part)
        return found if found < 0 else start + found

    def _windows(self, start: int, end: int, overlap: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of a range with their places; they overlap, so that nothing is missed between two."""
        end = min(end, self._size)
        place = start
        while place < end:
            stop = min((place // _BLOCK + 1) * _BLOCK + overlap - 1, end)
            yield place, self._part(place, stop)
            place = stop - overlap + 1 if stop < end else end

    def _part(self, start: int, stop: int) -> bytes:
        if start >= stop:
            return b""
        first, last = start // _BLOCK, (stop - 1) // _BLOCK
        if first == last:
            return self._block(first)[start % _BLOCK : start % _BLOCK + stop - start]
        if last - first >= _DIRECT:
            return self._read(start, stop - start)
        whole = b"".join(map(self._block, range(first, last + 1)))
        return whole[start % _BLOCK : start % _BLOCK + stop - start]

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks.clear()
            start = number * _BLOCK
            block = self._blocks[number] = self._read(start, min(_BLOCK, self._size - start))
        return block

    def _read(self, start: int, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, start)
            if len(data) < size:  # a system gives no more than 2 GiB at a time
                room = bytearray(size)
                data = bytes(memoryview(room)[: fill(memoryview(room), self._descriptor, start)])
        except OSError as error:
            raise read_fault(error, self._path) from error
        if len(data) < size:
            raise changed(self._path, "library-changed")
        return data
