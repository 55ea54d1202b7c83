"""Several wheels are worked on by several processes, and nobody can tell by the result."""

from __future__ import annotations

import io
import os
import pickle
import signal
import time
from typing import TYPE_CHECKING

import pytest

from deloc8.cli.several import _hire, _serve, _Worker, share, share_of_threads
from deloc8.errors import ElfError
from kit.command import Command, run_program
from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

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
    before = signal.getsignal(signal.SIGINT)
    other = _Worker(0, io.BytesIO(), io.BytesIO())
    try:
        with pytest.raises(EndedError, match="0"):
            _hire(str, range(3), [other])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert other.questions.closed
    assert other.answers.closed


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
