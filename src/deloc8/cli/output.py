"""The file of `-o`: it appears whole or not at all, and is never one that the command reads or has just written."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress

from deloc8.errors import UsageError
from deloc8.faults import output_error
from deloc8.files import NotAFileError
from deloc8.loader.sysroot import output_is_input
from deloc8.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from deloc8.cli.console import Console
    from deloc8.paths import StrPath
    from deloc8.text import Lines

    Identity = tuple[int, int]

_DESCRIPTOR = r"/proc/{pid}(?:/task/[0-9]+)?/fd/([0-9]+)"
_MOST_LINKS = 40  # as the kernel follows
_STDOUT, _STDERR = 1, 2

_PATIENCE = 10  # seconds until a pipe has a reader
_PAUSE = 0.05


def check_output(options: argparse.Namespace, console: Console) -> None:
    """Refuse an output, before any work, that could not be written, or only over what the command reads.

    Raises:
        UsageError: It is an input, is called like a wheel, or cannot be written to.
        SystemFault: The machine refuses.
    """
    options.output_identity = _identity_of_output(options, console)
    if options.output is not None:
        try:
            _check_place(options.output)
        except (OSError, ValueError) as error:
            raise _unwritable(options.output, error) from error
    _refuse_inputs(options)


def write_output(options: argparse.Namespace, console: Console, text: Lines) -> None:
    """Write the answer of a command to the file of `-o`.

    A file is replaced in one step, and keeps its permissions. What is no file (a pipe, a device, a descriptor of this
    process such as /dev/stdout) is written to as it is; a reader that is gone is no error.

    Raises:
        UsageError, SystemFault: As of `check_output`.
    """
    # The wheels that were written meanwhile are among what it must not be.
    options.output_identity = _identity_of_output(options, console)
    _refuse_inputs(options)
    path = options.output
    try:
        descriptor = _own_descriptor(path)
        if descriptor == _STDOUT:
            console.data(text)
        elif descriptor == _STDERR:
            console.err.write(text)
        elif descriptor is not None:
            _write_all(os.dup(descriptor), text)
        else:
            _write_path(path, text)
    except BrokenPipeError:
        pass
    except (OSError, ValueError) as error:
        options.is_output_lost = True
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError | ValueError) -> Exception:
    if not isinstance(error, OSError):
        error = NotAFileError(errno.EINVAL, str(error))  # a path with a NUL
    return output_error(error, printable(path), "name another file with -o")


def _identity_of_output(options: argparse.Namespace, console: Console) -> Identity | None:
    """Device and inode of the regular file that the answer goes to; None where it goes to none that is there yet."""
    try:
        place = console.out.fileno() if options.output is None else options.output
        status = os.stat(place)  # noqa: PTH116  see `paths`
    except (OSError, ValueError):
        return None
    return _identity(status)


def _identity(status: os.stat_result) -> Identity | None:
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _inputs(options: argparse.Namespace) -> Iterator[StrPath]:
    """Files that the command line makes the command read, and the wheels that it has written."""
    yield from getattr(options, "wheels", ())
    yield from getattr(options, "written", ())
    yield from (path for path in getattr(options, "policy", ()) if isinstance(path, str))
    if options.command == "check":
        yield "pyproject.toml"


def _refuse_inputs(options: argparse.Namespace) -> None:
    if options.output is not None and os.path.realpath(options.output).lower().endswith(".whl"):
        raise UsageError(
            f"-o names a wheel: `{printable(options.output)}`; what it writes there is a report",
            code="bad-option",
            hints=("the wheel that fixup makes goes into the folder of -w",),
        )
    if options.output_identity is None:
        return
    for path in _inputs(options):
        with suppress(OSError, ValueError):
            status = os.stat(path)  # noqa: PTH116  see `paths`
            if _identity(status) == options.output_identity:
                raise output_is_input(str(path))


def _own_descriptor(path: str) -> int | None:
    """The descriptor of this process that a path leads to: /dev/stdout, /dev/fd/3; None where it is none.

    Opened by its path, a file would be truncated or replaced, where others write to it through the same descriptor.
    """
    pattern = re.compile(_DESCRIPTOR.format(pid=os.getpid()))
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        path = f"{os.path.realpath(folder or '.')}/{name}"
        found = pattern.fullmatch(path)
        if found:
            return int(found[1])
        try:
            target = os.readlink(path)  # noqa: PTH115  see `paths`
        except OSError:
            return None
        path = os.path.join(os.path.dirname(path), target)  # noqa: PTH118, PTH120  see `paths`
    return None


def _check_place(path: str) -> None:
    """Raise the error of the system that writing to a path would end with, as far as it can be known before."""
    if _own_descriptor(path) is not None:
        return
    mode = _mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        _check_kind(mode)
        return
    place = os.path.realpath(path)
    if mode is not None and not os.access(place, os.W_OK):
        raise _refusal(errno.EACCES)
    folder = os.path.dirname(place)  # noqa: PTH120  see `paths`
    os.stat(folder)  # noqa: PTH116  the same
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(errno.EACCES)


def _mode_of(path: str) -> int | None:
    """The mode of what a path leads to; None where nothing is there yet.

    Raises:
        OSError: Nothing can be there.
    """
    try:
        return os.stat(path).st_mode  # noqa: PTH116  see `paths`
    except FileNotFoundError:
        if not path:
            raise
        if path.endswith("/"):
            raise _refusal(errno.EISDIR) from None
        return None


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise _refusal(errno.EISDIR)
    if stat.S_ISSOCK(mode):
        raise NotAFileError(errno.EINVAL, "it is a socket")
    if stat.S_ISBLK(mode):
        raise NotAFileError(errno.EINVAL, "it is a disk")


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _write_path(path: str, text: Lines) -> None:
    mode = _mode_of(path)
    if mode is None or stat.S_ISREG(mode):
        _check_place(path)
        _replace(os.path.realpath(path), text)
        return
    _check_kind(mode)
    _write_all(_open_special(path), text)


def _replace(place: str, text: Lines) -> None:
    import pathlib  # noqa: PLC0415  only for this

    from deloc8.wheel.staging import beside  # noqa: PLC0415  the same

    with beside(pathlib.Path(place)) as staged:
        with staged.path.open("w", encoding="utf-8") as file:
            file.write(text)
        with suppress(FileNotFoundError):
            _adopt(staged.path, staged.place.stat())
        staged.commit()


def _adopt(file: Path, old: os.stat_result) -> None:
    """Give a file the owner and the permissions of the one that it replaces, as far as we may."""
    with suppress(OSError):
        os.chown(file, old.st_uid, old.st_gid)
    file.chmod(stat.S_IMODE(old.st_mode))


def _open_special(path: str) -> int:
    """A descriptor of a pipe that a process reads, or of a device."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            # Without O_NONBLOCK a pipe would be waited for until somebody reads it.
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        else:
            os.set_blocking(descriptor, True)
            return descriptor
        if time.monotonic() > end:
            raise NotAFileError(errno.ENXIO, f"no process has read from it for {_PATIENCE} seconds")
        time.sleep(_PAUSE)


def _write_all(descriptor: int, text: Lines) -> None:
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
