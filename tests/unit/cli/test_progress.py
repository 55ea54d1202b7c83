from __future__ import annotations

import argparse
import io
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deloc8.cli import progress as subject
from deloc8.cli.console import Console
from deloc8.cli.shared import progress_bar

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
    with subject.progress(stream, "a.whl", done=0, total=2):
        time.sleep(0.05)
    assert stream.getvalue() == ""


def test_nothing_is_drawn_for_short_work() -> None:
    stream = Terminal()
    with subject.progress(stream, "a.whl", done=0, total=2):
        pass
    assert stream.getvalue() == ""


def test_a_bar_for_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    stream = Terminal()
    with subject.progress(stream, "b[red].whl", done=1, total=2):
        assert wait_for(stream, "b[red].whl")


def test_a_bar_for_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE", 0.01)
    stream = Terminal()
    with subject.progress(stream, "only.whl", done=0, total=1):
        assert wait_for(stream, "only.whl")


def test_no_bar_comes_after_the_end() -> None:
    stream = Terminal()
    bar = subject._Bar(stream, "a.whl", 0, 1)
    bar.hide()
    bar.show()
    assert stream.getvalue() == ""


def test_no_bar_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    bar = subject._Bar(stream, "a.whl", 0, 1)
    bar.show()
    bar.hide()
    assert stream.getvalue() == ""


def test_a_bar_only_where_somebody_looks() -> None:
    options = argparse.Namespace(wheels=[Path("a.whl")])
    terminal = Console(out=io.StringIO(), err=Terminal(), environ={})
    assert not isinstance(progress_bar(options.wheels[0], options, terminal), nullcontext)
    for console in (replace(terminal, verbosity=-1), replace(terminal, err=io.StringIO())):
        assert isinstance(progress_bar(options.wheels[0], options, console), nullcontext)
