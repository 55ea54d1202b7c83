"""A file of a system that is open for reading, and that no other process may write to meanwhile."""

from __future__ import annotations

import os

from deloc8.faults import changed, read_fault
from deloc8.files import fill, stamp
from deloc8.loader.partial import PartialFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from deloc8.elf.read.view import Readable

_SMALL = 1 << 18  # files up to this size are quicker read whole than in parts
_PIECE = 1 << 18  # small enough to stay in the processor's cache until it has been looked at


class OpenFile:
    """A file that is closed at the end of a `with` block.

    Whatever the block ends with, a change of the file comes before: of what is half old and half new even an error
    means nothing.

    Attributes:
        size: Its size in bytes, when it was opened.
        stamp: What is another when it has been replaced or written to.
    """

    __slots__ = ("_descriptor", "_path", "size", "stamp")

    def __init__(self, descriptor: int, status: os.stat_result, path: str) -> None:
        """Take over a descriptor; `path` is how errors call the file."""
        self._descriptor = descriptor
        self._path = path
        self.size = status.st_size
        self.stamp = stamp(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Exception):
                self._refuse_change()
        finally:
            self.close()

    def _refuse_change(self) -> None:
        try:
            now = stamp(os.fstat(self._descriptor))
        except OSError as error:
            raise read_fault(error, self._path) from error
        if now != self.stamp:
            raise changed(self._path, "library-changed")

    def close(self) -> None:
        """Close it; what was read is as good if that fails."""
        try:  # noqa: SIM105  done for thousands of files
            os.close(self._descriptor)
        except OSError:
            pass

    def contents(self) -> Readable:
        """The contents, to be read before the block ends."""
        if self.size <= _SMALL:
            return self.copy()
        return PartialFile(self._descriptor, self.size, self._path)

    def copy(self) -> bytearray:
        """The whole contents: one copy, which is the caller's and may be changed."""
        data = bytearray(self.size)
        try:
            with memoryview(data) as room:
                filled = fill(room, self._descriptor, 0)
        except OSError as error:
            raise read_fault(error, self._path) from error
        if filled < self.size:
            raise changed(self._path, "library-changed")
        return data

    def pieces(self) -> Iterator[bytes]:
        """The contents, a piece at a time."""
        while piece := self._next():
            yield piece

    def _next(self) -> bytes:
        try:
            return os.read(self._descriptor, _PIECE)
        except OSError as error:
            raise read_fault(error, self._path) from error
