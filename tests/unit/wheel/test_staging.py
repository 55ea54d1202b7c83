from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from deloc8 import ending
from deloc8.errors import SystemFault, UsageError
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.staging import copy, is_same, stage, temporary_workroom, workroom
from kit.command import uncovered
from kit.wheels import build_wheel


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_committed_file_stands_in_its_place(tmp_path: Path) -> None:
    with stage(tmp_path / "a" / "b" / "file") as staged:
        staged.path.write_text("new")
        assert not staged.place.exists()
        assert staged.path.parent == staged.place.parent  # a rename never leaves the file system
        staged.commit()
    assert everything(tmp_path) == ["a", "a/b", "a/b/file"]
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"


def test_without_a_commit_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_commit_replaces_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
        staged.commit()
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_neither_file_nor_folder(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(error), stage(tmp_path / "a" / "b" / "c" / "file") as staged:  # noqa: PT012  the block is the test
        staged.path.write_text("half")
        raise error
    assert everything(tmp_path) == ["a"]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of the test: once the end has begun, it is not let go."""
    monkeypatch.setattr(ending, "STEADY", threading.RLock())


@pytest.mark.usefixtures("steady")
def test_the_end_of_the_process_leaves_neither_file_nor_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with stage(tmp_path / "a" / "b" / "c" / "file") as staged:
        staged.path.write_text("half")
        ending.undo_all()
        assert everything(tmp_path) == ["a"]


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("step", ["mkdir", "open", "replace"])
def test_the_end_may_come_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """As of a signal that comes right behind a step: the file may be in its place, but nothing else is left."""
    real = getattr(os, step)
    left: list[list[str]] = []

    def then_the_end(*arguments: object, **options: object) -> object:
        result = real(*arguments, **options)
        ending.undo_all()
        left.append(everything(tmp_path))
        return result

    monkeypatch.setattr(os, step, then_the_end)
    with suppress(OSError, SystemFault, UsageError), stage(tmp_path / "b" / "c" / "file") as staged:
        staged.path.write_text("whole")
        staged.commit()
    assert left[0] == (["b", "b/c", "b/c/file"] if step == "replace" else [])


@pytest.mark.usefixtures("steady")
def test_the_end_of_the_process_leaves_no_workroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that works in one writes once more while it is removed."""
    removed = shutil.rmtree
    late: list[Path] = []

    def writes_late(room: Path, *, ignore_errors: bool) -> None:
        if not late:
            late.append(room)
            (room / "late").write_text("")
            return
        removed(room, ignore_errors=ignore_errors)

    with stage(tmp_path / "file") as staged, workroom(staged.path) as room:
        Path(room, "file").write_text("half")
        monkeypatch.setattr(shutil, "rmtree", writes_late)
        ending.undo_all()
        monkeypatch.setattr(shutil, "rmtree", removed)
        assert everything(tmp_path) == []
    assert late


@pytest.mark.usefixtures("steady")
def test_the_end_of_the_process_leaves_no_workroom_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(FileNotFoundError), temporary_workroom() as room:
        Path(room, "file").write_text("half")
        ending.undo_all()
        assert everything(tmp_path) == []


@pytest.mark.usefixtures("steady")
def test_a_workroom_that_cannot_be_removed_is_left_after_some_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with stage(tmp_path / "file") as staged:
        room = Path(f"{staged.path}-room")
        room.mkdir()
        ending.undo_all()
        assert everything(tmp_path) == [room.name]


def test_folders_that_others_use_meanwhile_stay(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), stage(tmp_path / "a" / "b" / "file") as staged:  # noqa: PT012  as above
        staged.path.with_name("other").touch()
        raise ValueError("stop")
    assert everything(tmp_path) == ["a", "a/b", "a/b/other"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemFault) as caught, stage(tmp_path / "a" / "file") as staged:  # noqa: PT012  as above
        staged.path.write_text("half")
        raise OSError(28, "No space left on device")
    assert caught.value.code == "no-room"
    assert caught.value.context == ("No space left on device (ENOSPC)",)
    assert everything(tmp_path) == []


def test_a_temporary_file_that_has_gone_into_its_place_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.close

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(descriptor: int) -> None:
        honest(descriptor)
        fail()

    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
        staged.commit()
        monkeypatch.setattr(Path, "unlink", fail)
        monkeypatch.setattr(os, "close", close)
    monkeypatch.undo()
    assert (tmp_path / "file").read_text() == "new"


def test_a_temporary_file_that_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(SystemFault) as caught, stage(tmp_path / "file"):
        pass
    assert caught.value.code == "write-failed"


def test_a_place_that_the_machine_says_nothing_of_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    assert not is_same(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(Path, "samefile", fail)
    with pytest.raises(SystemFault):
        is_same(tmp_path / "a", tmp_path / "b")


def test_a_wheel_that_changes_while_it_is_copied_is_not_copied(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {"demo/a.py": b"pass"}, tags=("py3-none-any",))
    with open_wheel(wheel) as archive:
        os.utime(wheel, ns=(1, 1))
        with pytest.raises(SystemFault) as caught:
            copy(archive, tmp_path / "out" / wheel.name)
    assert caught.value.code == "wheel-changed"
    assert everything(tmp_path) == [wheel.name]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UsageError) as caught, stage(tmp_path / "a" / "b" / "file"):
        pass
    assert caught.value.code == "unwritable-output"
    assert everything(tmp_path) == ["a"]


def test_two_stages_of_one_place_do_not_meet(tmp_path: Path) -> None:
    with stage(tmp_path / "file") as one, stage(tmp_path / "file") as other:
        one.path.write_text("one")
        other.path.write_text("other")
        other.commit()
        one.commit()
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "one"


# -- what a killed process leaves

ABANDONED = ".deloc8-0123456789abcdef.tmp"


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from deloc8.wheel.staging import stage\n"
        "with stage(pathlib.Path(sys.argv[1])) as staged:\n"
        "    staged.path.write_text('half'); print('written', flush=True); time.sleep(60)\n"
    )
    place = tmp_path / "file"
    command = [sys.executable, "-c", code, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=uncovered()) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"written\n"
        (left,) = everything(tmp_path)
        with stage(place) as staged:  # while it lives, its file stays
            assert sorted(everything(tmp_path)) == sorted([left, staged.path.name])
        assert everything(tmp_path) == [left]
        killed.send_signal(signal.SIGKILL)
    assert everything(tmp_path) == [left]
    with stage(place) as staged:
        assert everything(tmp_path) == [staged.path.name]


def test_only_files_of_our_own_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [".deloc8-0123.tmp", "a.tmp", "b.deloc8-0123456789abcdef.tmp"]
    for name in (*kept, ABANDONED):
        (tmp_path / name).touch()
    (tmp_path / ".deloc8-0000000000000001.tmp").mkdir()
    (tmp_path / ".deloc8-0000000000000002.tmp").symlink_to(tmp_path / "a.tmp")
    os.mkfifo(tmp_path / ".deloc8-0000000000000003.tmp")
    kept += [f".deloc8-000000000000000{n}.tmp" for n in (1, 2, 3)]
    with monkeypatch.context() as another_user:
        another_user.setattr(os, "geteuid", lambda: -1)
        with stage(tmp_path / "file"):
            assert (tmp_path / ABANDONED).exists()
    with stage(tmp_path / "file"):
        assert not (tmp_path / ABANDONED).exists()
    assert everything(tmp_path) == sorted(kept)


def test_a_file_that_is_swept_before_it_is_locked_is_claimed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []

    def sweep_first(_lock: int, _operation: int) -> None:
        if not swept:
            (path,) = tmp_path.iterdir()
            path.unlink()
            swept.append(path)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
        staged.commit()
    assert swept
    assert swept != [staged.path]
    assert everything(tmp_path) == ["file"]


def test_without_locks_nothing_is_taken_for_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_lock: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ABANDONED).touch()
    with stage(tmp_path / "file") as staged:
        staged.commit()
    assert everything(tmp_path) == [ABANDONED, "file"]


def test_a_workroom_goes_with_its_contents(tmp_path: Path) -> None:
    with stage(tmp_path / "file") as staged, workroom(staged.path) as folder:
        (tmp_path / folder / "inner").touch()
        with stage(tmp_path / "other"):  # another process sweeps meanwhile
            assert (tmp_path / folder / "inner").exists()
    assert everything(tmp_path) == []


def test_workrooms_that_killed_processes_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ABANDONED).touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    for name in (f"{ABANDONED}-abcd_123", ".deloc8-00000000000000ff.tmp-12345678"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        (tmp_path / name / "link").symlink_to(outside)
    (tmp_path / ".deloc8-0000000000000001.tmp-link").symlink_to(outside)
    (tmp_path / ".deloc8-0000000000000002.tmp-file").touch()
    (tmp_path / ".deloc8-0000000000000003.tmp-x.y").mkdir()
    with monkeypatch.context() as another_user:
        another_user.setattr(os, "geteuid", lambda: -1)
        with stage(tmp_path / "file"):
            assert (tmp_path / ".deloc8-00000000000000ff.tmp-12345678" / "file").exists()
    with stage(tmp_path / "file"):
        pass
    kept = [f".deloc8-000000000000000{end}" for end in ("1.tmp-link", "2.tmp-file", "3.tmp-x.y")]
    assert everything(tmp_path) == sorted([*kept, "outside", "outside/kept"])


def test_a_file_keeps_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with stage(tmp_path / "file") as staged:
        staged.commit()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode
