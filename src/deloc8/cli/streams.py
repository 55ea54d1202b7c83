"""The standard streams of a command: whatever becomes of them, its work goes on."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from errno import EIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

# A write to a closed file, or of a text that the encoding cannot hold at all, is a ValueError.
_FAULTS = (OSError, ValueError)


class Stream:
    """A standard stream that never fails: what it cannot take is lost, and the fault is kept.

    Attributes:
        fault: Why it takes nothing more; None while it does.
        has_lost: Something could not be written that a reader still waits for.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Take over a stream of `sys`, which is None where the descriptor was closed from the start."""
        self._stream = stream
        self._is_terminal = False
        self.fault: Exception | None = None
        self.has_lost = False
        if stream is None:
            return
        try:
            self._is_terminal = stream.isatty()
            # A name that the locale cannot show must not end the command.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # of a TextIOWrapper
        except AttributeError:
            pass  # a stream of whoever called `main`
        except _FAULTS as error:
            self._lose(stream, error)

    def write(self, text: str) -> int:
        """Write a text at once, or lose it; returns its length, as every stream does."""
        stream = self._stream
        if stream is not None:
            try:
                _write_whole(stream, text)
            except _FAULTS as error:
                self._lose(stream, error)
        return len(text)

    def flush(self) -> None:
        """Do nothing: every text is written at once."""

    def isatty(self) -> bool:
        """Return whether it leads to a terminal."""
        return self._is_terminal

    def fileno(self) -> int:
        """Return the descriptor, of which some ask how wide the terminal is.

        Raises:
            OSError: There is none.
        """
        if self._stream is None:
            raise OSError("no descriptor")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding, after which some choose what they draw."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _lose(self, stream: TextIO, fault: Exception) -> None:
        self.fault = fault
        self.has_lost = not _is_unread(stream, fault)
        self._stream = None
        silence(stream)


def _is_unread(stream: TextIO, fault: Exception) -> bool:
    """Whether it is the reader that is gone: of a pipe, of a socket, or a terminal that was hung up."""
    if isinstance(fault, ConnectionError):
        return True
    if not isinstance(fault, OSError) or fault.errno != EIO:
        return False
    with suppress(*_FAULTS):
        # A terminal that is hung up does not even answer that it is one; a disk is no device of characters.
        return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return False


def _write_whole(stream: TextIO, text: str) -> None:
    with suppress(*_FAULTS):  # it may be no stream of the system
        # Another program may have set a shared terminal or socket not to wait: what it has no room
        # for would be lost.
        os.set_blocking(stream.fileno(), True)
    stream.write(text)
    stream.flush()


def silence(stream: TextIO) -> None:
    """Let a stream lead nowhere: at its end, Python would try again what could not be written, and fail again."""
    with suppress(*_FAULTS):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def occupy_closed() -> None:
    """Open what leads nowhere under the descriptors of closed streams.

    The next file that is opened would have their numbers, and take what others write to them.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
