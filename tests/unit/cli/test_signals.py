"""A signal ends the command with nothing left; a program that uses the library keeps its signals."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from deloc8 import ending
from deloc8.cli import main, process, signals
from deloc8.cli.signals import guard, release
from deloc8.faults import translated
from kit.bench import EXT, Bench
from kit.command import program, uncovered
from kit.elf import GLIBC, ElfSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENDING = ("SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGALRM")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The signals of this process as they were, and before the test as the interpreter sets them."""
    before = {number: signal.getsignal(number) for number in signals._ENDING}
    for number in signals._ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wakeup = signal.set_wakeup_fd(-1)
    yield
    signal.set_wakeup_fd(wakeup)
    for number, action in before.items():
        signal.signal(number, action)


def now() -> dict[signal.Signals, object]:
    return {number: signal.getsignal(number) for number in signals._ENDING}


def test_the_signals_that_ask_for_an_end_are_answered_and_can_be_let_go() -> None:
    guard()
    assert set(now().values()) == {signals._end}
    assert {number.name for number in now()} == {*ENDING, "SIGINT"}
    release()
    assert set(now().values()) == {signal.SIG_DFL}


@pytest.mark.parametrize("error", [OSError, RuntimeError, MemoryError])
def test_where_no_thread_is_to_be_had_signals_are_answered_nevertheless(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(signals, "Thread", refuse)
    guard()
    assert set(now().values()) == {signals._end}


def test_what_was_ignored_or_answered_before_stays_so() -> None:
    def answer(*_: object) -> None: ...

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, answer)
    guard()
    assert [signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)] == [signal.SIG_IGN] * 2
    assert signal.getsignal(signal.SIGUSR1) is answer
    release()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGUSR1) is answer


@pytest.mark.parametrize("is_command", [True, False])
def test_only_the_command_answers_signals(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_command: bool) -> None:
    """And it does so only where there is something to undo."""
    monkeypatch.setattr(ending, "_PREPARING", [])
    before = now()
    seen: list[bool] = []
    real = os.replace

    def replace(*places: str) -> None:
        seen.append(now() != before)
        real(*places)

    monkeypatch.setattr(os, "replace", replace)
    (wheel,) = map(str, bench.dist.iterdir())
    for words in (["show", wheel], ["fixup", wheel, "-w", str(bench.out), "--sysroot", str(bench.system.top)]):
        monkeypatch.setattr(sys, "argv", ["deloc8", *words])
        assert (process() if is_command else main()) == 0
        assert words[0] == "fixup" or now() == before
    assert seen == [is_command]


def test_an_interrupt_of_an_import_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setitem(process.__globals__, "_run", interrupt)
    assert process() == 130


class Interrupting:
    def __set_name__(self, owner: type, name: str) -> None:
        raise KeyboardInterrupt


def make_class(*_: object, **__: object) -> NoReturn:
    """Make a class whose making is interrupted: CPython before 3.12 puts a RuntimeError around it."""
    type("Made", (), {"field": Interrupting()})
    raise AssertionError


def wrap(*_: object, **__: object) -> NoReturn:
    """What these do, in every CPython."""
    raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()


@pytest.mark.parametrize("work", [make_class, wrap])
def test_an_interrupt_while_a_class_is_made_is_an_interrupt(
    work: Callable[[], NoReturn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(process.__globals__, "_run", work)
    assert process() == 130
    with pytest.raises(KeyboardInterrupt), translated("nothing was done"):
        work()


def test_another_error_of_an_import_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("odd")

    monkeypatch.setitem(process.__globals__, "_run", fail)
    with pytest.raises(RuntimeError, match="odd"):
        process()


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What happens at the end, in its order."""
    found: list[object] = []

    def kill(process: int, number: int) -> None:
        assert process == os.getpid()
        assert signal.getsignal(number) == signal.SIG_DFL
        found.append(signal.Signals(number).name)

    monkeypatch.setattr(signals, "undo_all", lambda: found.append("undone"))
    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(os, "_exit", found.append)
    return found


@pytest.mark.parametrize("name", ENDING)
def test_a_process_ends_by_the_signal_that_it_got(events: list[object], name: str) -> None:
    signals._end(signal.Signals[name], None)
    # The exit code is that of a shell; it counts where the signal is blocked.
    assert events == ["undone", name, 128 + signal.Signals[name]]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_interrupt_ends_with_130(events: list[object]) -> None:
    signals._end(signal.SIGINT, None)
    assert events[:2] == ["undone", 130]


class GivenUpError(Exception):
    """In the place of the end of the process."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_sent_again_until_it_is_answered(
    events: list[object], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """By the thread that reads what the system notes of signals, of which others do not count."""

    def end(code: int) -> NoReturn:
        events.append(code)
        raise GivenUpError

    monkeypatch.setattr(signal, "pthread_kill", lambda thread, sent: events.append((thread, sent)))
    monkeypatch.setattr(signals, "_PAUSE", 0)
    monkeypatch.setattr(os, "_exit", end)
    reading, writing = os.pipe()
    os.write(writing, bytes([signal.SIGCHLD, number, signal.SIGHUP]))
    with pytest.raises(GivenUpError):
        signals._nudge(reading, 7)
    os.close(reading)
    os.close(writing)
    # At last it is answered in place of the thread that does not.
    assert events == [(7, number)] * signals._NUDGES + ["undone", 128 + number]


def test_a_thread_that_waits_is_woken() -> None:
    """The signal comes to another thread, as the system may choose; nothing but the sending again wakes the first."""
    code = """
import signal, threading
from deloc8.cli.signals import guard
guard()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
waiting = threading.Lock()
waiting.acquire()
def other():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()
threading.Thread(target=other, daemon=True).start()
waiting.acquire()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert ended.returncode in {-signal.SIGTERM, 128 + signal.SIGTERM}


# -- the whole program


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.library(f"/usr/lib/{GLIBC}")
    made.library("/usr/lib/libfoo.so.1")
    noise = random.Random(1).randbytes(3_000_000)  # noqa: S311  no secret; writing it takes a while
    made.wheel({EXT: ElfSpec(needed=("libfoo.so.1", GLIBC)), "demo/data.bin": noise})
    return made


def running(bench: Bench, *before: str) -> subprocess.Popen[bytes]:
    """A repair in the midst of its writing."""
    (wheel,) = bench.dist.iterdir()
    words = ("fixup", wheel, "--sysroot", bench.system.top, "-w", bench.out / "deep", "--no-sbom", "--no-licenses")
    started = subprocess.Popen(
        [*before, *program(*words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=uncovered()
    )
    while started.poll() is None and not list(bench.out.glob("deep/.deloc8-*")):
        time.sleep(0.001)
    return started


@pytest.mark.parametrize("name", [*ENDING, "SIGINT"])
def test_a_signal_leaves_neither_file_nor_folder(bench: Bench, name: str) -> None:
    number = signal.Signals[name]
    started = running(bench)
    started.send_signal(number)
    out, err = started.communicate(timeout=60)
    if started.returncode:  # it may have been done already
        assert started.returncode == (130 if name == "SIGINT" else -number)
        assert (out, err) == (b"", b"")
        assert not bench.out.exists()
    else:
        assert len(list((bench.out / "deep").iterdir())) == 1


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_is_ignored_from_the_start_ends_nothing(bench: Bench, name: str) -> None:
    number = signal.Signals[name]
    started = running(bench, "sh", "-c", f'trap "" {name.removeprefix("SIG")}; exec "$@"', "sh")
    started.send_signal(number)
    started.communicate(timeout=60)
    assert started.returncode == 0
    assert len(list((bench.out / "deep").iterdir())) == 1
