"""Faults of the machine by every command: one error, exit code 4, and the other wheels are done."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import main
from deloc8.wheel.archive import ArchiveLimits, WheelArchive, open_wheel
from kit.command import Command
from kit.elf import GLIBC
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMANDS = {"show": (), "fixup": ("-w", "out"), "check": (), "why": (GLIBC,), "tree": ()}

FAULTS: dict[str, Callable[[], Exception]] = {
    "machine-refused": lambda: OSError(errno.EIO, os.strerror(errno.EIO), "/srv/x"),
    "no-room": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "too-many-open-files": lambda: OSError(errno.ENFILE, os.strerror(errno.ENFILE)),
    "no-memory": MemoryError,
    "no-process": lambda: RuntimeError("can't start new thread"),
    "broken-installation": lambda: ModuleNotFoundError("No module named 'decimal'"),
}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def fail_for(name: str, fault: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fault come when the wheel of that name is opened."""

    def open_(path: str, limits: ArchiveLimits) -> WheelArchive:
        if name in str(path):
            raise fault()
        return open_wheel(path, limits)

    for line in ("audit", "check", "repair"):
        monkeypatch.setattr(f"deloc8.workflow.{line}.open_wheel", open_)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_of_the_machine_is_one_error_and_exit_code_4(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14")})
    fail_for(wheel.name, FAULTS[code], monkeypatch)
    ended = command(name, wheel, *COMMANDS[name], "--sysroot", scene.root)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.count("error: ") == 1
    assert f"[{code}]" in ended.err
    assert "hint: " in ended.err
    assert not (scene.folder / "out").exists()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "why"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_other_wheels_are_done(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    wheels = [scene.wheel({CORE: wants("GLIBC_2.14")}, name=label) for label in ("first", "ill", "last")]
    fail_for("ill", FAULTS["machine-refused"], monkeypatch)
    words: list[str | Path] = [name, *wheels, *COMMANDS[name], "--sysroot", scene.root, "--format", form, "-j1"]
    ended = command(*(word for word in words if word != "-j1" or name != "tree"))
    assert ended.code == 4
    assert ended.err.count("error: ") == 1
    assert "`ill-1.0-cp311-cp311-linux_x86_64.whl` could not be worked on" in ended.err
    assert "1 of 3 wheels failed" in ended.err
    if name == "tree" and form == "text":
        assert ended.out.count(CORE) == 2
    else:
        assert "first-1.0" in ended.out
        assert "last-1.0" in ended.out
    if form == "json":
        values = ended.json["wheels" if name != "tree" else "paths"]
        assert ["error" in value for value in values] == [False, True, False]
        assert values[1]["error"]["code"] == "machine-refused"


@pytest.mark.parametrize("form", ["sarif", "github"])
def test_a_wheel_that_could_not_be_judged_is_not_taken_for_a_sound_one(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14")})
    sound = command("check", wheel, "--sysroot", scene.root, "--format", form)
    fail_for(wheel.name, FAULTS["no-memory"], monkeypatch)
    ended = command("check", wheel, "--sysroot", scene.root, "--format", form)
    assert (sound.code, ended.code) == (0, 4)
    if form == "sarif":
        assert "invocations" not in json.loads(sound.out)["runs"][0]
        (invocation,) = json.loads(ended.out)["runs"][0]["invocations"]
        assert invocation["executionSuccessful"] is False
        (told,) = invocation["toolExecutionNotifications"]
        assert "there is not enough memory" in told["message"]["text"]


@pytest.mark.parametrize("name", ["policies", "show"])
def test_a_fault_outside_of_the_wheels_is_one_error(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("deloc8.policy.load.builtin_policies", fail)
    monkeypatch.setattr("deloc8.cli.show.audit_options", fail)
    words = ("policies",) if name == "policies" else ("show", scene.wheel({CORE: wants("GLIBC_2.14")}))
    ended = command(*words, "--format", "json")
    assert ended.code == 4
    assert ended.json["error"]["code"] == "no-memory"
    assert ended.err.count("error: ") == 1


def test_a_fault_before_the_options_are_known_is_one_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("deloc8.cli.args.parse", fail)
    ended = command("show", "a.whl")
    assert ended.code == 4
    assert ended.err.startswith("error: the command could not be carried out [no-memory]\n")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("No module named 'deloc8.cli.commands'"), "No module named 'deloc8.cli.commands'"),
        (MemoryError(), "MemoryError"),
        (OSError("/opt/a\n::error::x\x1b ##[error]"), r"/opt/a\n::error::x\x1b #\x23[error]"),
    ],
)
def test_a_deloc8_that_cannot_be_loaded_says_so(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    honest = builtins.__import__

    def load(name: str, *rest: object) -> object:
        if name == "deloc8.cli.commands":
            raise error
        return honest(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", load)
    code, out, err = command("show", "a.whl")
    assert (code, out) == (4, "")
    assert err == f"error: deloc8 could not be loaded [broken-installation]\n  {reason}\n"
    monkeypatch.setattr("sys.stderr", _Full())
    assert main(["show", "a.whl"]) == 4


class _Full(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_sysroot_a_policy_and_a_configuration_that_the_machine_does_not_read(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14")})
    (scene.folder / "policy.json").write_text("{}")
    (scene.folder / "pyproject.toml").write_text("")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    cases: dict[str, tuple[str | Path, ...]] = {
        "deloc8.cli.args.os.stat": ("show", wheel, "--sysroot", scene.root),
        "deloc8.policy.files.read_given": ("show", wheel, "--policy", "policy.json"),
        "deloc8.cli.config.read_file": ("check", wheel),
    }
    for place, words in cases.items():
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            ended = command(*words)
        assert ended.code == 4, place
        assert ended.err.count("error: ") == 1
        assert "[read-failed]" in ended.err


def test_a_lost_folder_is_a_wrong_command_line_only_where_paths_are_relative(
    command: Command, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14")})
    lost = scene.folder / "lost"
    lost.mkdir()
    monkeypatch.chdir(lost)
    lost.rmdir()
    out = scene.folder / "out"
    assert command("fixup", wheel, "-w", out, "--sysroot", scene.root).code == 0
    relative = command("fixup", wheel, "-w", "out", "--sysroot", scene.root)
    assert relative.code == 2
    assert "[unwritable-output]" in relative.err
    for words in (("--sysroot", "."), ("--sysroot", scene.root, "--add-path", "lib")):
        ended = command("show", wheel, *words)
        assert ended.code == 2
        assert "the current folder does not exist any more" in ended.err
    assert command("show", "x-1-py3-none-any.whl").code == 1
    monkeypatch.chdir(scene.folder)
