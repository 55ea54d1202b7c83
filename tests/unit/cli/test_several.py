"""Several wheels are worked on by several processes, and nobody can tell by the result."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import pickle
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import several
from deloc8.cli.several import _hire, _live_with_parent, _serve, _Worker, share, share_of_threads
from deloc8.cli.signals import _ENDING, guard
from deloc8.errors import ElfError
from kit.command import Command, run_program
from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = os.getpid()


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Scene, list[Path]]:
    """Wheels of several kinds, some of them broken, and their system."""
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    wheels = []
    for number in range(12):
        versions = ("GLIBC_2.14", "GLIBC_2.34") if number % 3 else ("GLIBC_2.5",)
        needed = ("libfoo.so.1",) if number % 2 else ("libgone.so.7",)
        wheels.append(scene.wheel({CORE: wants(*versions, needed=needed)}, name=f"demo{number}"))
    wheels.insert(3, scene.wheel({"pure/__init__.py": b""}, name="pure"))
    wheels.insert(5, scene.folder / "none-1.0-py3-none-any.whl")
    broken = scene.folder / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    wheels.insert(8, broken)
    return scene, wheels


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["show", "-vv"],
        ["show", "--format", "json"],
        ["show", "--format", "html"],
        ["check"],
        ["check", "--format", "json"],
        ["check", "--format", "sarif"],
        ["check", "--format", "github"],
    ],
    ids=" ".join,
)
def test_the_result_is_the_same_as_with_one_process(folder: tuple[Scene, list[Path]], words: list[str]) -> None:
    scene, wheels = folder
    results = [run_program(*words, *wheels, "--sysroot", scene.root, "-j", str(jobs)) for jobs in (1, 2, 40)]
    assert results[0] == results[1] == results[2]
    assert results[0].code == 1
    assert results[0].out


@pytest.mark.parametrize("name", ["show", "check"])
def test_the_result_is_the_same_as_one_wheel_at_a_time(
    folder: tuple[Scene, list[Path]], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, wheels = folder
    command = Command(capsys)
    words = ("--sysroot", scene.root, "--format", "json", "-j3")
    together = command(name, *wheels, *words)
    alone = [command(name, wheel, *words) for wheel in wheels]
    assert together.json["wheels"] == [value for result in alone for value in result.json["wheels"]]
    assert together.code == max(result.code for result in alone)
    failed = sum(result.code != 0 for result in alone)
    told = "".join(result.err for result in alone)
    assert together.err == f"{told}{failed} of {len(wheels)} wheels failed\n"


def test_processes_and_threads_share_what_may_run() -> None:
    assert share_of_threads(8, 1) == (1, 8)
    assert share_of_threads(8, 2) == (2, 4)
    assert share_of_threads(8, 3) == (3, 2)
    assert share_of_threads(8, 100) == (8, 1)
    assert share_of_threads(1, 100) == (1, 1)


def test_each_item_has_its_result_from_another_process() -> None:
    with share(lambda number: (number * number, os.getpid()), range(50), 3) as results:
        found = list(results)
    assert [square for square, _ in found] == [number * number for number in range(50)]
    processes = {process for _, process in found}
    assert HERE not in processes
    assert 1 <= len(processes) <= 3


@pytest.mark.parametrize(("count", "processes"), [(5, 1), (1, 5), (0, 5)])
def test_no_process_is_made_without_need(count: int, processes: int) -> None:
    with share(lambda _: os.getpid(), range(count), processes) as results:
        assert list(results) == [HERE] * count


def test_systems_without_fork_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with share(lambda _: os.getpid(), range(3), 2) as results:
        assert list(results) == [HERE] * 3


def test_an_exception_is_raised_at_its_turn_and_as_ever() -> None:
    def task(number: int) -> int:
        return 10 // (number - 3)

    with share(task, range(6), 2) as results:
        assert [next(results), next(results), next(results)] == [-4, -5, -10]
        with pytest.raises(ZeroDivisionError):
            next(results)


@pytest.mark.parametrize("fatal", [{4}, set(range(9))])
def test_the_work_of_a_lost_process_is_done_here(fatal: set[int]) -> None:
    def task(number: int) -> int:
        if number in fatal and os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return -number

    with share(task, range(9), 2) as results:
        assert list(results) == [-number for number in range(9)]


def test_a_result_of_which_half_came_is_made_again() -> None:
    class Half:
        def __reduce__(self) -> str:
            raise OSError("cannot be pickled")

    def task(number: int) -> Half | int:
        return Half() if number == 1 and os.getpid() != HERE else number

    with share(task, range(4), 2) as results:
        assert list(results) == [0, 1, 2, 3]


def _interrupted() -> None:
    with share(lambda number: time.sleep(60 * number), range(3), 3) as results:
        next(results)
        raise KeyboardInterrupt


def test_nothing_goes_on_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[int] = []
    fork = os.fork

    def noted() -> int:
        process = fork()
        processes.append(process)
        return process

    monkeypatch.setattr(os, "fork", noted)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    assert time.monotonic() - begun < 30
    assert len(processes) == 3
    for process in processes:
        with pytest.raises(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


class EndedError(Exception):
    """In the place of the end of a process."""


def test_a_new_process_keeps_no_pipe_of_another_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the new process sees it; no question comes, because the end for questions is closed."""

    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "_exit", end)
    # This process is not to end with that pipe.
    lives: list[int] = []
    monkeypatch.setattr(several, "_live_with_parent", lives.append)
    other = _Worker(0, io.BytesIO(), io.BytesIO(), io.BytesIO())
    with pytest.raises(EndedError, match="0"):
        _hire(str, range(3), [other])
    assert len(lives) == 1
    assert other.questions.closed
    assert other.answers.closed
    assert other.lifeline.closed


@pytest.fixture
def signals() -> Iterator[None]:
    """The signals of this process as they were."""
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGIO)}
    wakeup = signal.set_wakeup_fd(-1)
    yield
    signal.set_wakeup_fd(wakeup)
    for number, action in before.items():
        signal.signal(number, action)


@pytest.mark.usefixtures("signals")
def test_a_new_process_ends_with_a_pipe_of_its_parent() -> None:
    """As the new process sees it, but the pipe stays open until the system is told to forget it."""
    guard()
    life, line = os.pipe()
    _live_with_parent(life)
    assert fcntl.fcntl(life, fcntl.F_GETOWN) == os.getpid()
    assert fcntl.fcntl(life, fcntl.F_GETFL) & os.O_ASYNC
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGIO)] == [signal.SIG_DFL] * 2
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_NONBLOCK)
    os.close(line)
    os.close(life)


@pytest.mark.usefixtures("signals")
def test_a_new_process_without_a_parent_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    life, line = os.pipe()
    os.close(line)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    _live_with_parent(life)
    os.close(life)
    assert ended == [0]


def test_a_process_in_long_work_ends_with_its_parent() -> None:
    """The parent is killed; what its process works on takes many minutes, without a look at anything."""
    reading, writing = os.pipe()

    def work(_: int) -> None:
        os.write(writing, b"%d\n" % os.getpid())
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # in C

    parent = os.fork()
    if parent == 0:
        try:
            with share(work, range(2), 2) as results:
                next(results)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as lines:  # noqa: PTH123  a descriptor
        workers = [int(lines.readline()) for _ in range(2)]
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_answers_what_it_is_asked() -> None:
    answers = io.BytesIO()
    _serve(str, range(100, 110), io.BytesIO(b"3\n0\n"), answers)
    answers.seek(0)
    assert [pickle.load(answers), pickle.load(answers)] == ["103", "100"]  # noqa: S301  our own


def test_errors_can_be_handed_over() -> None:
    error = ElfError("what", code="some-code", context=("where",), notes=("beside",), hints=("do",))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert type(copy) is ElfError
    assert vars(copy) == vars(error)
    assert str(copy) == "what"


@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_fewer_processes_than_wanted_do_the_same(monkeypatch: pytest.MonkeyPatch, call: str, given: int) -> None:
    honest, left = getattr(os, call), [given * (3 if call == "pipe" else 1) + (call == "pipe")]

    def refuse() -> object:
        if not left[0]:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        left[0] -= 1
        return honest()

    monkeypatch.setattr(os, call, refuse)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with share(lambda number: (number, os.getpid()), range(9), 3) as results:
        found = list(results)
    assert [number for number, _ in found] == list(range(9))
    assert len({process for _, process in found}) <= max(1, given)
    assert ({process for _, process in found} == {HERE}) is not given
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
