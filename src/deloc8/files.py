"""Files as they are given: opened without waiting, read only where they are files, and up to a bound.

Behind the name of a file there may be something else. Opening a named pipe waits for its writer, reading a device need
not end, and opening one may already do something. Everything that is read by a name passes through here.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from deloc8.paths import StrPath

__all__ = ["NotAFileError", "fill", "is_pipe", "open_file", "read_file", "read_given", "stamp"]

# O_NONBLOCK: what takes the place of the file meanwhile must not make us wait; files themselves do not know the flag.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a named pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}

_FILES = frozenset({stat.S_IFREG})
_FILES_AND_PIPES = frozenset({stat.S_IFREG, stat.S_IFIFO})

_PIECE = 1 << 18
_STEP = 1 << 20  # bytes that one call may read into room that is there
_PATIENCE = 10  # seconds without a byte from a pipe


class NotAFileError(OSError):
    """There is something else in the place of a file; `strerror` says what."""


def open_file(path: StrPath) -> tuple[int, os.stat_result]:
    """A descriptor of a regular file, to be closed by the caller, and what the system says of the file.

    Raises:
        NotAFileError: It is a folder, a named pipe, a device or a socket; none of them is opened.
        OSError: It cannot be opened.
        ValueError: It is no path.
    """
    return _open(path, _FILES)


def read_file(path: StrPath, most: int) -> bytes:
    """The contents of a regular file; of one with more than `most` bytes the first `most` + 1.

    Raises:
        OSError, ValueError: As of `open_file`.
    """
    descriptor, _ = open_file(path)
    try:
        return _read(descriptor, most)
    finally:
        os.close(descriptor)


def is_pipe(path: StrPath) -> bool:
    """Whether a path leads to a pipe, whose contents can be read once."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116  see `paths`
    except (OSError, ValueError):
        return False


def read_given(path: StrPath, most: int) -> bytes:
    """The contents of what the user has named: a regular file, or a pipe (`<(COMMAND)`, `/dev/stdin`).

    A pipe that no process writes to is an error at once; so is, after a while, one through which nothing comes.

    Returns:
        All bytes; of more than `most` the first `most` + 1.

    Raises:
        OSError, ValueError: As of `open_file`, but for pipes.
    """
    descriptor, status = _open(path, _FILES_AND_PIPES)
    try:
        if stat.S_ISFIFO(status.st_mode):
            return _read_pipe(descriptor, most)
        return _read(descriptor, most)
    finally:
        os.close(descriptor)


def _open(path: StrPath, kinds: Collection[int]) -> tuple[int, os.stat_result]:
    # Before it is opened, and again afterwards: between the two another file may take its place.
    _check_kind(os.stat(path), kinds)  # noqa: PTH116  see `paths`
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        _check_kind(status, kinds)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def _check_kind(status: os.stat_result, kinds: Collection[int]) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind not in kinds:
        raise NotAFileError(errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL, _KINDS[kind])


def _read(descriptor: int, most: int) -> bytes:
    # The size that the system reports is not used: files of /proc have 0, and a file may grow.
    data = bytearray()
    while piece := os.read(descriptor, min(_PIECE, most + 1 - len(data))):
        data += piece
    return bytes(data)


def _read_pipe(descriptor: int, most: int) -> bytes:
    import select  # noqa: PLC0415  hardly ever

    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    data = b""
    while len(data) <= most:
        try:
            piece = os.read(descriptor, min(_PIECE, most + 1 - len(data)))
        except BlockingIOError:
            # A process has it open for writing.
            if not waiting.poll(_PATIENCE * 1000):
                what = f"it is a pipe through which nothing came for {_PATIENCE} seconds"
                raise NotAFileError(errno.EINVAL, what) from None
            continue
        if not piece:
            break
        data += piece
    if not data:
        raise NotAFileError(errno.EINVAL, "it is a pipe that no process writes to")
    return data


def stamp(status: os.stat_result) -> tuple[int, ...]:
    """Stamp of a file, which differs once the file has been replaced or written to.

    It has the time of change, which cannot be set back.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def fill(room: memoryview, descriptor: int, offset: int) -> int:
    """Fill some room with the bytes of a file from an offset.

    Returns:
        How many there are; fewer than there is room for where the file ends before.
    """
    done = 0
    while done < len(room):
        step = os.preadv(descriptor, [room[done : done + _STEP]], offset + done)
        if not step:
            break
        done += step
    return done
