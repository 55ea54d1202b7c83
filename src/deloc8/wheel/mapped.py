"""Contents too large for memory: written to an unlinked temporary file, and mapped."""

from __future__ import annotations

import mmap
from contextlib import suppress

from deloc8.faults import read_fault, write_fault
from deloc8.files import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from deloc8.wheel.codec import Buffer


def mapped(pieces: Iterable[Buffer], size: int) -> mmap.mmap | bytearray:
    """The contents that some pieces make, as a read-only map of a file that has no name.

    No other process can shorten that file, so that reading the map cannot fail. Where the file system of temporary
    files cannot map, the contents are in memory.

    Raises:
        SystemFault: There is no folder for temporary files, no room in it, or it cannot be read again.
    """
    import tempfile  # noqa: PLC0415  costs 8 ms, and few wheels have large members

    try:
        file = tempfile.TemporaryFile(prefix="deloc8-", buffering=0)  # noqa: SIM115  closed below
    except OSError as error:
        raise write_fault(error, "a temporary file (TMPDIR)") from error
    try:
        for piece in pieces:
            _write(file, piece)
        return _map(file, size)
    finally:
        _close(file)


def _write(file: BinaryIO, piece: Buffer) -> None:
    """Write all of a piece: one call may take only a part of it, as on a disk that is nearly full."""
    try:
        with memoryview(piece) as view:
            done = 0
            while done < len(view):
                done += file.write(view[done:])
    except OSError as error:
        raise write_fault(error, f"a temporary file in {_folder()}") from error


def _map(file: BinaryIO, size: int) -> mmap.mmap | bytearray:
    try:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError:
        return _read(file.fileno(), size)


def _read(descriptor: int, size: int) -> bytearray:
    data = bytearray(size)
    try:
        with memoryview(data) as room:
            fill(room, descriptor, 0)
    except OSError as error:
        raise read_fault(error, f"a temporary file in {_folder()}") from error
    return data


def _close(file: BinaryIO) -> None:
    """Close a file whose contents are wanted no more, or are mapped: whether that succeeds tells nothing."""
    with suppress(OSError):
        file.close()


def _folder() -> str:
    import tempfile  # noqa: PLC0415  it is there already

    return tempfile.gettempdir()
