"""A progress bar on stderr: only on a terminal, only with rich installed, only for work that takes over a second."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

from deloc8.ending import undone_by
from deloc8.threads import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from deloc8.cli.streams import Stream
    from deloc8.text import Lines

# Of a terminal (ECMA-48 and DECTCEM): erase the line, show the cursor.
_LINE_AS_BEFORE = b"\r\x1b[2K\x1b[?25h"

# Seconds of work after which a user wants to see that it goes on.
PATIENCE = 1.0


@contextmanager
def progress(stream: TextIO | Stream, name: Lines, *, done: int, total: int) -> Iterator[None]:
    """A bar as long as the block lasts; nothing else may be written to the terminal meanwhile.

    Args:
        stream: Where to draw.
        name: What is worked on.
        done: How many things are done already.
        total: How many there are; the bar of a single one moves to and fro.
    """
    if not stream.isatty():
        yield
        return
    bar = _Bar(stream, name, done, total)
    timer = threading.Timer(PATIENCE, bar.show)
    timer.daemon = True
    start([timer])  # where the machine gives no thread, there is no bar
    with undone_by(bar.uncover):
        try:
            yield
        finally:
            timer.cancel()
            bar.hide()


class _Bar:
    """The bar, shown from another thread when the patience is over."""

    def __init__(self, stream: TextIO | Stream, name: Lines, done: int, total: int) -> None:
        self._stream = stream
        self._name = name
        self._done = done
        self._total = total
        self._lock = threading.Lock()
        self._is_over = False
        self._is_shown = False
        self._stop: Callable[[], None] = lambda: None

    def show(self) -> None:
        """Show the bar, unless the work is over or there is no rich to draw it."""
        try:
            from rich.console import Console  # noqa: PLC0415  costs 50 ms, which short work need not pay
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        except ImportError:
            return
        with self._lock:
            if self._is_over:
                return
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
            drawn = Console(file=self._stream)  # type: ignore[arg-type]  # it needs few methods of a file
            bar = Progress(*columns, console=drawn, transient=True)
            bar.add_task(self._name, completed=self._done, total=self._total if self._total > 1 else None)
            self._stop = bar.stop
            self._is_shown = True
            bar.start()

    def hide(self) -> None:
        """The work is over."""
        with self._lock:
            self._is_over = True
            self._stop()
            self._is_shown = False

    def uncover(self) -> None:
        """Give the line of the terminal back where the process ends at once."""
        if self._is_shown:
            os.write(self._stream.fileno(), _LINE_AS_BEFORE)  # the stream itself may be in the midst of a write
