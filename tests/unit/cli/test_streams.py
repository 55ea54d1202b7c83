"""Whatever becomes of a stream, its command goes on."""

from __future__ import annotations

import errno
import io
import os
import pty
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from deloc8.cli.console import Console
from deloc8.cli.streams import Stream, occupy_closed, silence
from deloc8.errors import WheelError
from deloc8.text import lines
from kit.command import program
from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def opened(descriptor: int) -> io.TextIOWrapper:
    """A stream as those of the interpreter."""
    return open(descriptor, "w", encoding="utf-8")


def gone_pipe() -> io.TextIOWrapper:
    """A pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return opened(writing)


def gone_socket() -> io.TextIOWrapper:
    """A socket whose reader went without having read all."""
    here, there = socket.socketpair()
    here.send(b"first")
    there.send(b"unread")
    there.close()
    return opened(here.detach())


def gone_terminal() -> io.TextIOWrapper:
    """A terminal that is hung up after the stream was taken over."""
    master, slave = pty.openpty()
    _MASTERS.append(master)
    return opened(slave)


_MASTERS: list[int] = []


def hang_up() -> None:
    while _MASTERS:
        os.close(_MASTERS.pop())


def hung_up_terminal() -> io.TextIOWrapper:
    """A terminal that was hung up before."""
    stream = gone_terminal()
    hang_up()
    return stream


@pytest.mark.parametrize("make", [gone_pipe, gone_socket, gone_terminal, hung_up_terminal])
def test_a_reader_that_is_gone_misses_nothing(make: Callable[[], io.TextIOWrapper]) -> None:
    with make() as stream:
        subject = Stream(stream)
        hang_up()
        for _ in range(3):
            assert subject.write("text") == 4
        assert isinstance(subject.fault, OSError)
        assert not subject.has_lost


def test_what_a_full_disk_cannot_take_is_lost_once() -> None:
    with opened(os.open("/dev/full", os.O_WRONLY)) as stream:
        subject = Stream(stream)
        assert (subject.fault, subject.has_lost) == (None, False)
        subject.write("text")
        first = subject.fault
        subject.write("more")
        subject.flush()
        assert first is subject.fault
        assert isinstance(first, OSError)
        assert first.errno == errno.ENOSPC
        assert subject.has_lost
    # It leads nowhere now, or its end would have tried in vain to write the text once more.


def test_a_failed_disk_is_no_reader_that_is_gone() -> None:
    class Failing(io.StringIO):
        def write(self, text: str) -> NoReturn:
            raise OSError(errno.EIO, text)

    subject = Stream(Failing())
    subject.write("text")
    assert subject.has_lost


def test_a_closed_stream_takes_nothing() -> None:
    subject = Stream(None)
    assert subject.write("text") == 4
    assert (subject.isatty(), subject.encoding, subject.has_lost) == (False, "utf-8", False)
    with pytest.raises(OSError, match="no descriptor"):
        subject.fileno()


def test_a_stream_that_its_owner_has_closed_takes_nothing() -> None:
    stream = gone_pipe()
    stream.close()
    subject = Stream(stream)
    assert subject.write("text") == 4
    assert isinstance(subject.fault, ValueError)


def test_a_text_that_no_encoding_holds_is_lost() -> None:
    subject = Stream(io.TextIOWrapper(io.BytesIO(), encoding="idna"))
    subject.write("x" * 100)  # longer than a label of a domain name may be
    assert isinstance(subject.fault, UnicodeError)
    assert subject.has_lost


def test_a_text_of_another_locale_is_escaped() -> None:
    held = io.BytesIO()
    stream = io.TextIOWrapper(held, encoding="ascii", errors="strict")
    Stream(stream).write("schön \udcff")
    assert held.getvalue() == b"sch\\xf6n \\udcff"


def test_a_stream_of_whoever_calls_serves_too() -> None:
    stream = io.StringIO()
    subject = Stream(stream)
    subject.write("text")
    assert (stream.getvalue(), subject.encoding, subject.fault) == ("text", "utf-8", None)


def test_a_stream_passes_on_what_it_is() -> None:
    master, slave = pty.openpty()
    with opened(slave) as stream:
        subject = Stream(stream)
        assert (subject.isatty(), subject.encoding, subject.fileno()) == (True, "utf-8", slave)
    os.close(master)


def test_a_stream_that_does_not_wait_loses_nothing() -> None:
    """A parent may have made the pipe so; it holds 64 KiB, and its reader is slow."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "0123456789abcdef" * 65536
    read: list[bytes] = []

    def reader() -> None:
        while piece := os.read(reading, 8192):
            read.append(piece)

    slow = threading.Timer(0.1, reader)
    slow.start()
    with opened(writing) as stream:
        subject = Stream(stream)
        subject.write(text)
    slow.join()
    os.close(reading)
    assert subject.fault is None
    assert b"".join(read) == text.encode()


def test_a_stream_is_silenced_as_far_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "none left")

    with opened(os.open(os.devnull, os.O_WRONLY)) as stream:
        monkeypatch.setattr(os, "open", refuse)
        silence(stream)
        monkeypatch.undo()


def test_the_numbers_of_closed_streams_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    monkeypatch.setattr(os, "open", lambda path, _: taken.append(path))
    occupy_closed()
    assert taken == []
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", None)
    occupy_closed()
    assert taken == [os.devnull] * 2


def test_an_error_that_cannot_be_told_is_lost_alone() -> None:
    out = io.StringIO()
    with gone_pipe() as err:
        console = Console(out=out, err=Stream(err), environ={})
        console.error(WheelError("it is odd", code="odd", hints=("mend it",)))
        console.data(lines(["the rest"]))
    assert out.getvalue() == "the rest\n"


# -- the whole program: what its exit code says, and that it ends its work


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("streams"))
    made.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    for name in ("good1", "good2"):
        made.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))}, name=name)
    made.wheel({CORE: wants("GLIBC_2.34")}, name="liar", tags=("cp311-cp311-manylinux_2_17_x86_64",))
    return made


def wheels(scene: Scene, *names: str) -> list[str]:
    return [str(path) for name in names for path in sorted(scene.folder.glob(f"{name}-*.whl"))]


STREAMS = {
    "gone": '"$@" > >(exec true)',
    "both gone": '"$@" 2>&1 | true; exit "${PIPESTATUS[0]}"',
    "closed": '"$@" >&-',
    "both closed": '"$@" >&- 2>&-',
    "full": '"$@" >/dev/full',
    "stderr gone": '"$@" 2>&1 >/dev/null | true; exit "${PIPESTATUS[0]}"',
    "stderr full": '"$@" 2>/dev/full',
    "stderr closed": '"$@" 2>&-',
    "both full": '"$@" >/dev/full 2>&1',
    "read only": '"$@" 1</dev/null 2</dev/null',
}
SOME = ("both gone", "both closed", "both full")
LOST = {"full", "both full", "read only"}
"""Where a reader waits for what is lost."""


def run(stream: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """How deloc8 ends in a shell with a stream of some kind."""
    command = ["bash", "-c", STREAMS[stream], "bash", *program(*words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.mark.parametrize("words", [["--format", "text"], ["--format", "json", "-j1"]], ids=" ".join)
def test_the_verdict_of_check_is_its_exit_code(scene: Scene, stream: str, words: Sequence[str]) -> None:
    good, liar = wheels(scene, "good1"), wheels(scene, "liar")
    options = ("--sysroot", str(scene.root), "--ignore", "*", *words)
    found = [run(stream, "check", *names, "--sysroot", scene.root, *words) for names in (liar, [*good, *liar])]
    assert [ended.returncode for ended in found] == [1, 1]
    sound = run(stream, "check", *good, *options)
    assert sound.returncode == 0
    assert "Traceback" not in sound.stderr + found[0].stderr
    assert ("[unwritable-output]" in sound.stderr) is (stream == "full")


def test_every_wheel_is_repaired(scene: Scene, stream: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good = wheels(scene, "good1", "good2")
    ended = run(stream, "fixup", *good, "-w", out, "--sysroot", scene.root)
    assert (ended.returncode, len(list(out.iterdir()))) == (0, 2)
    ended = run(stream, "fixup", "none.whl", *good, "-w", out, "--sysroot", scene.root, "--format", "json")
    assert (ended.returncode, len(list(out.iterdir()))) == (1, 2)


@pytest.mark.parametrize("command", ["show", "--version", "plan"])
def test_a_text_that_is_lost_is_a_fault_of_the_machine(scene: Scene, stream: str, command: str) -> None:
    check_text(scene, stream, command)


@pytest.mark.parametrize("stream", SOME)
@pytest.mark.parametrize("command", ["why", "tree", "policies", "--help"])
def test_so_it_is_of_the_other_commands(scene: Scene, stream: str, command: str) -> None:
    check_text(scene, stream, command)


def check_text(scene: Scene, stream: str, command: str) -> None:
    words = {
        "show": ["show", *wheels(scene, "good1", "good2"), "--sysroot", str(scene.root)],
        "why": ["why", *wheels(scene, "good1"), "libfoo.so.1", "--sysroot", str(scene.root)],
        "tree": ["tree", *wheels(scene, "good1"), "--sysroot", str(scene.root)],
        "plan": ["fixup", *wheels(scene, "good1"), "--dry-run", "--sysroot", str(scene.root)],
    }
    ended = run(stream, *words.get(command, [command]))
    assert ended.returncode == (4 if stream in LOST else 0)
    if stream == "full":
        assert ended.stderr == "error: the output cannot be written [unwritable-output]\n  No space left on device\n"


@pytest.mark.parametrize("stream", SOME)
@pytest.mark.parametrize("words", [["show", "none.whl"], ["tree", "none.whl"], ["check", "none.whl"]], ids=" ".join)
def test_an_error_stays_an_error(stream: str, words: list[str]) -> None:
    assert run(stream, *words).returncode == 1


@pytest.mark.parametrize("stream", SOME)
@pytest.mark.parametrize("words", [["frob"], ["policies", "none"]], ids=" ".join)
def test_a_wrong_command_line_stays_wrong(stream: str, words: list[str]) -> None:
    assert run(stream, *words).returncode == 2
