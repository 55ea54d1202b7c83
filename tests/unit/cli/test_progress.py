from __future__ import annotations

import argparse
import io
import os
import pty
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deloc8 import ending
from deloc8.cli import progress as subject
from deloc8.cli.console import Console
from deloc8.cli.shared import progress_bar
from deloc8.cli.streams import Stream
from deloc8.text import Lines

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(stream: io.StringIO, text: str) -> bool:
    until = time.monotonic() + 20
    while text not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.01)
    return text in stream.getvalue()


def test_nothing_is_drawn_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0)
    stream = io.StringIO()
    with subject.progress(stream, Lines("a.whl"), done=0, total=2):
        time.sleep(0.05)
    assert stream.getvalue() == ""


def test_nothing_is_drawn_for_short_work() -> None:
    stream = Terminal()
    with subject.progress(stream, Lines("a.whl"), done=0, total=2):
        pass
    assert stream.getvalue() == ""


def test_a_bar_for_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    stream = Terminal()
    with subject.progress(stream, Lines("b[red].whl"), done=1, total=2):
        assert wait_for(stream, "b[red].whl")


def test_a_bar_for_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    stream = Terminal()
    with subject.progress(stream, Lines("only.whl"), done=0, total=1):
        assert wait_for(stream, "only.whl")


def test_a_terminal_that_is_hung_up_takes_the_bar_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        stream = Stream(terminal)
        with subject.progress(stream, Lines("a.whl"), done=0, total=1):
            assert os.read(master, 10)
            os.close(master)
            deadline = time.monotonic() + 20
            while stream.fault is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert not stream.has_lost
    assert failed == []


def test_a_terminal_gets_its_cursor_back_where_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "STEADY", threading.RLock())
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, subject.progress(Stream(terminal), Lines("a.whl"), done=0, total=1):
        shown = b""
        while b"a.whl" not in shown:
            shown += os.read(master, 1000)
        assert b"\x1b[?25l" in shown  # hidden
        ending.undo_all()
        while not shown.endswith(b"\x1b[?25h"):
            shown += os.read(master, 1000)
    os.close(master)


def test_a_bar_that_was_never_shown_writes_nothing_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "STEADY", threading.RLock())
    stream = Terminal()
    with subject.progress(stream, Lines("a.whl"), done=0, total=1):
        ending.undo_all()
    assert stream.getvalue() == ""


def test_no_bar_comes_after_the_end() -> None:
    stream = Terminal()
    bar = subject._Bar(stream, Lines("a.whl"), 0, 1)
    bar.hide()
    bar.show()
    assert stream.getvalue() == ""


def test_no_bar_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    bar = subject._Bar(stream, Lines("a.whl"), 0, 1)
    bar.show()
    bar.hide()
    assert stream.getvalue() == ""


def test_a_bar_only_where_somebody_looks() -> None:
    options = argparse.Namespace(wheels=[Path("a.whl")])
    terminal = Console(out=io.StringIO(), err=Terminal(), environ={})
    assert not isinstance(progress_bar(options.wheels[0], options, terminal), nullcontext)
    for console in (replace(terminal, verbosity=-1), replace(terminal, err=io.StringIO())):
        assert isinstance(progress_bar(options.wheels[0], options, console), nullcontext)


def test_a_bar_names_a_wheel_in_one_line_that_a_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    name = "a\n\x1b[2J[red].whl"
    stream = Terminal()
    console = Console(out=io.StringIO(), err=stream, environ={})
    with progress_bar(name, argparse.Namespace(wheels=[name]), console):
        assert wait_for(stream, "a\\n\\x1b[2J[red].whl")
    assert "\x1b[2J[red]" not in stream.getvalue()
