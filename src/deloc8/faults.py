"""Faults of the machine: which errors of the system are one, and the error that reports each.

This is the one table of errno. An error of the system either says something of a path (it does not exist, it may not
be opened), which is the concern of whoever gave that path; or the machine refused, and that is a `SystemFault`,
whatever was being done: it is no verdict on any wheel. What touches the outer world translates at that place, with
what was read or written; `translated` is the net below all of it.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

from deloc8.errors import SystemFault, UsageError
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What the path itself explains: another path, or other permissions, would do.
_OF_A_PATH = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,  # a name that the file system does not take, as FAT of colons
        errno.EILSEQ,  # the same, of bytes that are not UTF-8
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ETXTBSY,
        errno.EBUSY,  # a mount point cannot be replaced
        errno.EXDEV,  # nor can a file that is mounted by itself
        errno.ENXIO,  # a socket, which cannot be opened
        errno.ENODEV,  # a device without a driver
    }
)


class _Refusal(NamedTuple):
    """One kind of refusal: the code of its error, and what the user can do."""

    code: str
    hint: str


_NO_ROOM = _Refusal("no-room", "make room there, or name another folder")
_NO_MEMORY = _Refusal("no-memory", "give it more memory (a limit may be set: ulimit -v), or pass -j1")
_TOO_MANY_FILES = _Refusal("too-many-open-files", "raise the limit on open files (ulimit -n), or pass -j1")
_NO_PROCESS = _Refusal("no-process", "raise the limit on processes and threads (ulimit -u), or pass -j1")
_NOT_READ = _Refusal("read-failed", "look at the disk or the network behind it (dmesg), then run the command again")
_NOT_WRITTEN = _Refusal("write-failed", "look at the disk or the network behind it (dmesg), or name another folder")
_BROKEN = _Refusal("broken-installation", "run the command again; if that does not help, install deloc8 anew")
_REFUSED = _Refusal("machine-refused", "look at the system's log (dmesg), then run the command again")

_BY_ERRNO = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,  # a limit of the file system, or that of `ulimit -f`
    errno.ENOMEM: _NO_MEMORY,
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.EAGAIN: _NO_PROCESS,  # of fork; what is read or written here never answers so
}


def is_of_a_path(error: OSError) -> bool:
    """Whether an error says something of the path that was given, and nothing of the machine."""
    return error.errno in _OF_A_PATH


def refuse_fault(error: Exception, path: object) -> None:
    """Raise SystemFault where an error of the system says nothing of the path, so that others are the caller's.

    A pipe through which nothing comes in time says something of whoever gave it.
    """
    if isinstance(error, OSError) and not isinstance(error, TimeoutError) and not is_of_a_path(error):
        raise read_fault(error, str(path)) from error


def read_fault(error: OSError, name: str, path: object = None) -> SystemFault:
    """The error for something that the machine did not let us read.

    Args:
        error: Of the system.
        name: How messages call what was read.
        path: Where that is; None: the name says it.
    """
    return _fault(
        f"`{name}` could not be read", f"{name if path is None else path}: {_reason(error)}", error, _NOT_READ
    )


def write_fault(error: OSError, name: object) -> SystemFault:
    """The error for something that the machine did not let us write."""
    return _fault(f"`{name}` could not be written", _reason(error), error, _NOT_WRITTEN)


def output_error(error: OSError, place: object, hint: str) -> UsageError | SystemFault:
    """The error for an output that cannot be written: of the place that was named, or of the machine.

    Args:
        error: Of the system.
        place: The output.
        hint: How another place is named.
    """
    if not is_of_a_path(error):
        return write_fault(error, place)
    return UsageError(
        f"`{place}` cannot be written", code="unwritable-output", context=(_reason(error),), hints=(hint,)
    )


def changed(name: str, code: str) -> SystemFault:
    """The error for a file that another process has written to while it was read: what was read of it counts no more.

    Args:
        name: How messages call the file.
        code: Which kind of file it is: ``wheel-changed`` or ``library-changed``.
    """
    return SystemFault(
        f"`{name}` was written to while it was read",
        code=code,
        context=("what was read of it belongs to no single state of the file; nothing was written",),
        hints=("run the command again when nothing builds, installs or copies it at the same time",),
    )


def process_fault(error: OSError, program: str) -> SystemFault:
    """The error for a program that the machine did not start."""
    return _fault(f"`{program}` could not be started", _reason(error), error, _NO_PROCESS)


def ended_fault(program: str, words: str) -> SystemFault | None:
    """The error for a program that ended for want of something of the machine's; None where its words name none."""
    for number, refusal in _BY_ERRNO.items():
        if os.strerror(number) in words:
            return SystemFault(
                f"`{program}` ended early", code=refusal.code, context=(os.strerror(number),), hints=(refusal.hint,)
            )
    return None


def _fault(message: str, context: str, error: OSError, otherwise: _Refusal) -> SystemFault:
    refusal = _BY_ERRNO.get(error.errno or 0, otherwise)
    return SystemFault(message, code=refusal.code, context=(context,), hints=(refusal.hint,))


def _reason(error: OSError) -> str:
    """The words of the system, and the name by which they are looked up."""
    words = error.strerror or str(error) or type(error).__name__
    name = errno.errorcode.get(error.errno or 0)
    return f"{words} ({name})" if name else words


@contextmanager
def translated(what: str) -> Iterator[None]:
    """The last net: whatever the machine refuses in the block becomes a SystemFault.

    Args:
        what: The first words of the error, as in "`demo.whl` could not be worked on".
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            # An interrupt while a class was made: CPython before 3.12 puts a RuntimeError around it.
            raise error.__cause__ from None
        fault = _caught(error, what)
        if fault is None:
            raise
        # What filled the memory hangs on the frames of its error.
        error.__traceback__ = None
        raise fault from None


def _caught(error: Exception, what: str) -> SystemFault | None:
    """The fault behind an error that nothing has translated; None where it is a defect of deloc8."""
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return _fault(what, place + _reason(error), error, _REFUSED)
    if isinstance(error, MemoryError):
        return _refused(what, "there is not enough memory", _NO_MEMORY)
    if isinstance(error, ImportError):
        return _refused(what, f"a part of deloc8 or of Python cannot be loaded: {error}", _BROKEN)
    if "start new thread" in str(error):  # the one RuntimeError that is the system's
        return _refused(what, "no thread could be started", _NO_PROCESS)
    return None


def _refused(what: str, context: str, refusal: _Refusal) -> SystemFault:
    return SystemFault(what, code=refusal.code, context=(context,), hints=(refusal.hint,))
