"""Clean-up of files and programs where the process ends in the midst of its work.

The system takes everything else from a process that ends, but not its files nor the programs that it has started. An
exception undoes them by `finally`; but a signal may come at any moment, between the making of a file and the `try`,
too. Here each is noted before it is made. The command undoes them when a signal ends it (`cli.signals`); the library
leaves signals to the program that uses it.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# By an object for each block. A process has one set of files and programs, whatever part of it has made them.
_NOTED: dict[object, Callable[[], object]] = {}

_PREPARING: list[Callable[[], object]] = []

STEADY = RLock()
"""Held by a thread that makes what an action would otherwise miss; once the end has begun, nobody gets it any more."""


def prepared_by(action: Callable[[], object]) -> None:
    """Let an action be called before the first thing is noted: of most commands nothing is."""
    _PREPARING.append(action)


@contextmanager
def undone_by(action: Callable[[], object]) -> Iterator[None]:
    """Note what undoes the work of a block in the midst of it; the block itself leaves nothing behind."""
    while _PREPARING:
        _PREPARING.pop()()
    key = object()
    _NOTED[key] = action
    try:
        yield
    finally:
        del _NOTED[key]


def undo_all() -> None:
    """Undo what is noted, the last first. The process must end after it, because nothing more can be made."""
    STEADY.acquire()
    for action in reversed(tuple(_NOTED.values())):
        with suppress(Exception):  # the others are still to be undone
            action()
