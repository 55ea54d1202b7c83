"""Signals that end the command: what must not stay is undone, and the process ends as the signal says."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from threading import Thread, get_ident

from deloc8.ending import undo_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# Signals that request the end of a process: from a terminal that is gone, its user, another
# program, a scheduler of jobs and its limits. SIGQUIT requests an image of the process as it is, and
# SIGKILL cannot be caught.
_ENDING = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
_NUDGES = 20  # of a signal, and so many seconds between two of them
_PAUSE = 0.05


def guard() -> None:
    """Undo what must not stay, where a signal ends this process.

    A signal that was ignored from the start stays ignored: so do `nohup` and the shell with what it runs in the
    background.
    """
    answered = False
    for number in _ENDING:
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _end)
            answered = True
    if answered:
        with suppress(OSError, RuntimeError, MemoryError):  # a signal may then be answered late
            _watch()


def release() -> None:
    """Let signals end a process at once again: one that has been forked has nothing to undo."""
    for number in _ENDING:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def _watch() -> None:
    """Let a thread look after the signals that come."""
    reading, writing = os.pipe()
    Thread(target=_nudge, args=(reading, get_ident()), daemon=True).start()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)


def _nudge(reading: int, first: int) -> None:
    """See to it that the first thread, to which Python leaves all signals, answers the one that has come.

    One that comes right before that thread waits, for a program or for another thread, would be answered only when
    the waiting is over; so it is sent again. A long computation in C does not end by that, and what must not stay is
    undone beside it.
    """
    (number,) = os.read(reading, 1)
    while number not in _ENDING:
        (number,) = os.read(reading, 1)
    for _ in range(_NUDGES):
        signal.pthread_kill(first, number)
        time.sleep(_PAUSE)
    undo_all()
    os._exit(128 + number)


def _end(number: int, frame: FrameType | None) -> None:
    """End this process, with nothing left of its work."""
    del frame
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second signal must not cut this short
    undo_all()
    if number == signal.SIGINT:
        os._exit(128 + number)
    # A shell, and whoever else waits, shall see what has ended it.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached unless the signal is blocked
