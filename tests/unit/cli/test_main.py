from __future__ import annotations

import atexit
import gc
import io
import os
import runpy
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

import pytest

import deloc8
import deloc8.cli.args
from deloc8.cli import command as process
from deloc8.cli import main
from kit.command import Command, program, run_program
from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return Scene(tmp_path).wheel({CORE: wants("GLIBC_2.5")})


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"deloc8 {deloc8.__version__}\n", "")


def test_the_version_waits_for_no_import() -> None:
    code = (
        "import sys; from deloc8.cli import main; main(['--version']); "
        "print(*sorted(name for name in sys.modules if name.startswith('deloc8') or name == 'argparse'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[1] == "deloc8 deloc8.cli"


def test_arguments_come_from_the_command_line_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deloc8", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"deloc8 {deloc8.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["show", "--help"], ["fixup", "--help"], ["--version", "--help"]])
def test_help_is_an_answer(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith(("usage: deloc8", f"deloc8 {deloc8.__version__}"))


def test_a_wrong_command_line_ends_with_2_in_the_house_shape(command: Command) -> None:
    code, out, err = command("show", "a.whl", "--nonsense")
    assert (code, out) == (2, "")
    assert err == ("error: unrecognized arguments: --nonsense [bad-option]\n\nhint: see `deloc8 --help`\n")


# -- as a program of its own


def test_the_module_runs_only_as_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deloc8", "--version"])
    runpy.run_module("deloc8.__main__", run_name="deloc8.__main__")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("deloc8", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"deloc8 {deloc8.__version__}\n"


def test_the_module_is_the_program(wheel: Path) -> None:
    code, out, err = run_program("show", wheel)
    assert (code, err) == (0, "")
    assert "is consistent with the" in out
    assert run_program("show").code == 2


class EndedError(Exception):
    """The process would have ended here."""


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> list[str | int]:
    """What happens at the end of the process, in its order; the last is the exit code."""
    events: list[str | int] = []

    def end_(code: int) -> NoReturn:
        events.append(code)
        raise EndedError

    monkeypatch.setattr(gc, "disable", lambda: events.append("no collector"))
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: events.append("exit functions"))
    monkeypatch.setattr(os, "_exit", end_)
    return events


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--nonsense"], 2)])
def test_a_process_ends_at_once_but_in_order(
    monkeypatch: pytest.MonkeyPatch, end: list[str | int], arguments: list[str], code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["deloc8", *arguments])
    flushed: list[str] = []
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr(stream, "flush", lambda name=name: flushed.append(name))
        monkeypatch.setattr(sys, name, stream)
    with pytest.raises(EndedError):
        process()
    assert end == ["no collector", "exit functions", code]
    assert flushed[-2:] == ["stdout", "stderr"]


def test_closed_streams_are_not_flushed(monkeypatch: pytest.MonkeyPatch, end: list[str | int]) -> None:
    monkeypatch.setattr(sys, "argv", ["deloc8", "--version"])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(EndedError):
        process()
    assert end[-1] == 0


def test_a_stream_that_cannot_be_written_does_not_change_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, end: list[str | int]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deloc8", "--version"])
    stream = io.TextIOWrapper(io.BytesIO())

    def flush() -> NoReturn:
        raise BrokenPipeError

    monkeypatch.setattr(stream, "flush", flush)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(EndedError):
        process()
    assert end == ["no collector", "exit functions", 0]


def test_the_installed_command_is_the_process(wheel: Path) -> None:
    """Whole output through a pipe, the exit code, and what waits for the end."""
    (script,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "deloc8")
    assert script.load() is process
    code = "import atexit; atexit.register(print, 'the end'); from deloc8.cli import command; command()"
    shown = subprocess.run([sys.executable, "-c", code, "show", wheel], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == run_program("show", wheel).out + "the end\n"
    failed = subprocess.run([sys.executable, "-c", code, "show", "none.whl"], capture_output=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"error: ")


def shell(text: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """How a shell ends: `text` with "$@" in place of deloc8 and its arguments."""
    run = ["bash", "-c", f"set -o pipefail; {text}", "bash", *program(*arguments)]
    return subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    # More than a pipe holds.
    wheel = Scene(tmp_path).wheel({f"demo/m{n}.so": wants(*(f"GLIBC_2.{v}" for v in range(9, 99))) for n in range(3)})
    ended = shell('"$@" | head -1', "show", wheel, "--format", "json", "--sysroot", tmp_path / "root")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "{\n", "")
    ended = shell('"$@" 2>&1 >/dev/null | true', "show", wheel, "-vv", "--sysroot", tmp_path / "root")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    ended = shell('"$@" | true', "--help")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_closed_streams_do_no_harm(wheel: Path) -> None:
    for text in ('"$@" >&-', '"$@" 2>&-', '"$@" <&- >&- 2>&-'):
        ended = shell(text, "show", wheel)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert shell('"$@" >&-', "--version").returncode == 0
    assert shell('"$@" >&- 2>&-', "show", "none.whl").returncode == 1


@pytest.mark.parametrize("argument", ["--help", "--version"])
@pytest.mark.parametrize("buffering", ["", "1"])
def test_an_answer_that_nobody_reads_ends_quietly(argument: str, buffering: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        environ = {**os.environ, "PYTHONUNBUFFERED": buffering}
        ended = subprocess.run(
            program(argument), stdout=pipe, stderr=subprocess.PIPE, env=environ, check=False, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [["show", "WHEEL"], ["show", "WHEEL", "--format=json"], ["policies"], ["--help"], ["--version"]]
)
@pytest.mark.parametrize("buffering", ["unset PYTHONUNBUFFERED", "export PYTHONUNBUFFERED=1"])
def test_a_full_disk_is_one_error(wheel: Path, arguments: list[str], buffering: str) -> None:
    words = (wheel if argument == "WHEEL" else argument for argument in arguments)
    ended = shell(f'{buffering}; "$@" >/dev/full', *words)
    assert ended.returncode == 4
    assert ended.stderr == "error: the output cannot be written [unwritable-output]\n  No space left on device\n"


def test_an_interrupt_ends_with_130_and_without_a_word(wheel: Path, tmp_path: Path) -> None:
    # The policy is a pipe whose writer does not write: reading it takes until the interrupt.
    policy = tmp_path / "policy.json"
    os.mkfifo(policy)
    writing = os.open(policy, os.O_RDWR)
    # A shell without job control lets what it runs in the background ignore interrupts, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        program("fixup", wheel, "--policy", policy, "-w", tmp_path / "out"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    descriptors = Path(f"/proc/{running.pid}/fd")
    deadline = time.monotonic() + 30
    while not any(link.exists() and link.samefile(policy) for link in descriptors.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # a signal between opening and reading would not wake the reading
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    os.close(writing)
    assert (running.returncode, out, err) == (130, b"", b"")
    assert not (tmp_path / "out").exists()


def test_a_plain_locale_shows_every_name(tmp_path: Path) -> None:
    wheel = Scene(tmp_path).wheel({"demo/größe.so": ElfSpec(needed=("libschön.so", GLIBC))})
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, err = run_program("show", wheel, environ=plain)
    assert (code, err) == (0, "")
    assert r"libsch\xf6n.so" in out
    assert run_program("show", wheel, "--format", "json", environ=plain).json["wheels"][0]["external_libraries"]
    assert "libschön.so" in run_program("show", wheel, environ={"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}).out


@pytest.mark.parametrize(
    ("environ", "colored"),
    [({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False), ({}, False)],
)
def test_colors_in_a_pipe(environ: dict[str, str], *, colored: bool) -> None:
    assert ("\x1b[" in run_program("show", "none.whl", environ=environ).err) is colored
    assert "\x1b[" in run_program("show", "none.whl", "--color", "always", environ=environ).err
    assert "\x1b[" not in run_program("show", "none.whl", "--color", "never", environ=environ).err


# -- what else may come out of a command, without a program


def test_an_interrupt_inside_a_command(command: Command, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deloc8.cli.args, "parse", interrupt)
    assert command("show", wheel) == (130, "", "")


def test_a_closed_pipe_inside_a_command(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (
        open(writing, "w", encoding="utf-8") as out,  # noqa: PTH123  a file descriptor
        open(os.devnull, "w", encoding="utf-8") as err,  # noqa: PTH123  the same kind of stream
    ):
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        assert main(["show", str(wheel)]) == 0


def test_a_version_that_cannot_be_written_inside_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123  a device
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["--version"]) == 4


def test_closed_streams_inside_a_command(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["show", str(wheel)]) == 0
