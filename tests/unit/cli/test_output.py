"""The file of -o: whole or not at all, and never an input."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import output
from deloc8.cli.args import parse
from deloc8.cli.console import Console
from kit.command import Command, program, uncovered
from kit.elf import GLIBC, ElfSpec
from kit.nofiles import NO_FILES
from kit.packages import dpkg_package
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY = "/usr/lib/libfoo.so.1"
POLICY = '{"name": "mine", "symbol_versions": {"GLIBC": "2.14"}, "lib_whitelist": ["*"]}'


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A system with libfoo.so.1, which no policy allows."""
    scene = Scene(tmp_path)
    scene.system.library(LIBRARY, ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


@pytest.fixture
def wheel(scene: Scene) -> Path:
    """A wheel that needs it."""
    return scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})


def words(scene: Scene, name: str, wheel: Path) -> list[str | Path]:
    """A command on a wheel."""
    more: dict[str, list[str | Path]] = {"why": ["libfoo.so.1"], "fixup": ["-w", scene.folder / "out"]}
    return [name, wheel, *more.get(name, ()), "--sysroot", scene.root]


COMMANDS = ["show", "check", "fixup", "why", "tree"]


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# -- inputs


def _other_names(scene: Scene, wheel: Path) -> dict[str, str]:
    """Ways to name the wheel whose names do not end like that of a wheel, but one."""
    (scene.folder / "link").symlink_to(wheel)
    (scene.folder / "twice").symlink_to("link")
    os.link(wheel, scene.folder / "hard")
    (scene.folder / "sub").symlink_to(".")
    return {
        "itself": str(wheel),
        "symbolic link": str(scene.folder / "link"),
        "link to a link": str(scene.folder / "twice"),
        "hard link": str(scene.folder / "hard"),
        "relative": os.path.relpath(wheel, scene.folder),
        "by another folder": str(scene.folder / "sub" / ".." / scene.folder.name / wheel.name),
        "with slashes": f"{scene.folder}//.//{wheel.name}",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_not_the_wheel_by_whatever_name(command: Command, scene: Scene, wheel: Path, name: str) -> None:
    for spelling in _other_names(scene, wheel).values():
        before = everything(scene.folder)
        code, out, err = command(*words(scene, name, wheel), "-o", spelling)
        assert (code, out) == (2, ""), spelling
        assert "[output-is-input]" in err or "[bad-option]" in err
        assert everything(scene.folder) == before


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_wheel_that_is_open_in_the_process_is_not_the_output(
    scene: Scene, wheel: Path, name: str, form: str
) -> None:
    before = wheel.read_bytes()
    line = 'input=$1; shift; exec "$@" 7<>"$input"'
    arguments = program(*words(scene, name, wheel), "--format", form, "-o", "/proc/self/fd/7")
    ended = subprocess.run(
        ["sh", "-c", line, "sh", str(wheel), *arguments],
        capture_output=True,
        check=False,
        timeout=60,
        env=uncovered(),
        cwd=scene.folder,
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert wheel.read_bytes() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_stdout_is_not_the_wheel_either(scene: Scene, wheel: Path, name: str) -> None:
    before = wheel.read_bytes()
    arguments = program(*words(scene, name, wheel))
    with wheel.open("ab") as appended:
        ended = subprocess.run(
            arguments, stdout=appended, stderr=subprocess.PIPE, check=False, timeout=60, env=uncovered()
        )
    assert ended.returncode == 2
    assert b"is an input [output-is-input]" in ended.stderr
    assert wheel.read_bytes() == before


def test_the_output_is_none_of_several_wheels(command: Command, scene: Scene, wheel: Path) -> None:
    other = Path(shutil.copy(wheel, wheel.with_name(wheel.name.replace("1.0", "1.1"))))
    os.link(other, scene.folder / "report")
    before = everything(scene.folder)
    code, _, err = command("fixup", wheel, other, "--sysroot", scene.root, "-o", scene.folder / "report")
    assert code == 2
    assert err.startswith(f"error: the output would be written over `{other}`, which is an input [output-is-input]\n")
    assert everything(scene.folder) == before


@pytest.mark.parametrize("name", ["show", "check", "fixup", "why"])
def test_the_output_is_no_policy(command: Command, scene: Scene, wheel: Path, name: str) -> None:
    policy = scene.folder / "policy.json"
    policy.write_text(POLICY)
    code, _, err = command(*words(scene, name, wheel), "--policy", policy, "-o", policy)
    assert code == 2
    assert "[output-is-input]" in err
    assert policy.read_text() == POLICY


def test_the_output_is_not_the_configuration(command: Command, scene: Scene, wheel: Path) -> None:
    config = scene.folder / "pyproject.toml"
    config.write_text("[tool.deloc8]\nignore = []\n")
    code, _, err = command(*words(scene, "check", wheel), "-o", "pyproject.toml")
    assert code == 2
    assert "[output-is-input]" in err
    assert config.read_text() == "[tool.deloc8]\nignore = []\n"


@pytest.mark.parametrize(
    "options", [("--format", "text", "-j1"), ("--format", "json", "-j1"), ("--format", "json", "-j2")]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_no_library_that_is_read(
    command: Command, scene: Scene, wheel: Path, name: str, options: Sequence[str]
) -> None:
    other = Path(shutil.copy(wheel, wheel.with_name(wheel.name.replace("1.0", "1.1"))))
    before = everything(scene.folder)
    arguments = words(scene, name, wheel)
    arguments += options[:2] if name == "tree" else options
    if name != "why":
        arguments.insert(2, other)
    code, out, err = command(*arguments, "-o", scene.root / LIBRARY[1:])
    assert (code, out) == (2, "")
    assert err.startswith(f"error: the output would be written over `{scene.root}{LIBRARY}`, which is an input")
    assert everything(scene.folder) == before


@pytest.mark.parametrize(
    "place", ["etc/ld.so.conf", "etc/os-release", "var/lib/dpkg/status", "usr/share/doc/libfoo1/copyright"]
)
def test_the_output_is_no_other_file_of_the_system_that_is_read(
    command: Command, scene: Scene, wheel: Path, place: str
) -> None:
    dpkg_package(scene.system, "libfoo1", [LIBRARY])
    scene.system.write("/usr/share/doc/libfoo1/copyright", "text")
    scene.system.write("/etc/os-release", "ID=debian\n")
    scene.system.write("/etc/ld.so.conf", "/usr/local/lib\n")
    before = everything(scene.folder)
    code, _, err = command(*words(scene, "fixup", wheel), "-o", scene.root / place)
    assert code == 2
    assert "[output-is-input]" in err
    assert everything(scene.folder) == before


def test_the_output_is_no_file_of_the_folder_of_tree(command: Command, scene: Scene) -> None:
    folder = scene.folder / "folder"
    folder.mkdir()
    shutil.copy(scene.root / LIBRARY[1:], folder / "libfoo.so.1")
    before = everything(folder)
    code, _, err = command("tree", folder, "-o", folder / "libfoo.so.1")
    assert code == 2
    assert "[output-is-input]" in err
    assert everything(folder) == before


@pytest.mark.parametrize("name", ["new.whl", "NEW.WHL", "link"])
def test_the_output_is_not_called_like_a_wheel(command: Command, scene: Scene, wheel: Path, name: str) -> None:
    (scene.folder / "link").symlink_to("none.whl")
    code, _, err = command(*words(scene, "fixup", wheel), "-o", scene.folder / name)
    assert code == 2
    assert err.startswith("error: -o names a wheel: ")
    assert "hint: the wheel that fixup makes goes into the folder of -w\n" in err
    assert not (scene.folder / "out").exists()


def test_the_output_is_not_the_wheel_that_was_just_written(command: Command, scene: Scene, wheel: Path) -> None:
    # In an earlier run it got another name, too.
    arguments = words(scene, "fixup", wheel)
    assert command(*arguments).code == 0
    (written,) = (scene.folder / "out").iterdir()

    report = scene.folder / "report"
    real = os.replace

    def replace(source: Path, place: Path) -> None:
        real(source, place)
        report.unlink(missing_ok=True)
        os.link(place, report)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        code, _, err = command(*arguments, "-o", report)
    assert code == 2
    assert f"the output would be written over `{written}`, which is an input [output-is-input]" in err
    assert report.samefile(written)
    assert written.read_bytes()[:2] == b"PK"


# -- whole or not at all


def report_of(command: Command, scene: Scene, wheel: Path) -> str:
    return command(*words(scene, "show", wheel)).out


def test_a_new_file_has_the_usual_permissions(command: Command, scene: Scene, wheel: Path) -> None:
    (scene.folder / "usual").touch()
    report = scene.folder / "report"
    assert command(*words(scene, "show", wheel), "-o", report) == (0, "", "")
    assert report.read_text("utf-8") == report_of(command, scene, wheel)
    assert report.stat().st_mode == (scene.folder / "usual").stat().st_mode
    assert not [path for path in scene.folder.iterdir() if path.name.startswith(".deloc8-")]


def test_an_old_file_is_replaced_and_keeps_its_permissions(command: Command, scene: Scene, wheel: Path) -> None:
    report = scene.folder / "report"
    report.write_text("old")
    report.chmod(0o640)
    with report.open() as reading:
        assert command(*words(scene, "show", wheel), "-o", report).code == 0
        assert reading.read() == "old"  # who reads it meanwhile has the old one whole
    assert report.read_text("utf-8") == report_of(command, scene, wheel)
    assert stat.S_IMODE(report.stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(command: Command, scene: Scene, wheel: Path, *, exists: bool) -> None:
    (scene.folder / "folder").mkdir()
    target = scene.folder / "folder/target"
    if exists:
        target.write_text("old")
    (scene.folder / "report").symlink_to("folder/target")
    assert command(*words(scene, "show", wheel), "-o", scene.folder / "report").code == 0
    assert (scene.folder / "report").is_symlink()
    assert target.read_text("utf-8") == report_of(command, scene, wheel)


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_the_old_file_or_none(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    report = scene.folder / "report"
    if exists:
        report.write_text("old")

    def refuse(_source: Path, _place: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    code, out, err = command(*words(scene, "show", wheel), "--format", "json", "-o", report)
    assert (code, out) == (4, "")
    assert err.count("error:") == 1
    assert err.startswith(f"error: `{report}` could not be written [no-room]\n")
    assert report.exists() == exists
    assert not exists or report.read_text() == "old"
    assert not [path for path in scene.folder.iterdir() if path.name.startswith(".deloc8-")]


def test_the_owner_is_kept_where_we_may(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.touch()
    asked: list[tuple[int, int]] = []

    def refuse(_path: Path, owner: int, group: int) -> None:
        asked.append((owner, group))
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    output._adopt(report, os.stat_result((0o100604, 0, 0, 1, 12, 34, 0, 0, 0, 0)))
    assert asked == [(12, 34)]
    assert stat.S_IMODE(report.stat().st_mode) == 0o604


# -- what is no file


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as reading:
        return reading.read()


def test_a_pipe_is_written_to(command: Command, scene: Scene, wheel: Path) -> None:
    pipe = scene.folder / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(pipe.read_text("utf-8")))
    thread.start()
    assert command(*words(scene, "show", wheel), "-o", pipe) == (0, "", "")
    thread.join()
    assert found == [report_of(command, scene, wheel)]
    assert pipe.is_fifo()


def test_a_pipe_without_a_reader_is_an_error(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_PATIENCE", 0.1)
    os.mkfifo(scene.folder / "pipe")
    code, out, err = command(*words(scene, "show", wheel), "-o", scene.folder / "pipe")
    assert (code, out) == (2, "")
    assert "no process has read from it for 0.1 seconds" in err


def test_a_reader_that_is_gone_is_no_error(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(scene.folder / "pipe")
    reading = os.open(scene.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    real = os.set_blocking

    def leave(descriptor: int, blocking: bool) -> None:  # noqa: FBT001  as of os
        real(descriptor, blocking)
        os.close(reading)

    monkeypatch.setattr(os, "set_blocking", leave)
    assert command(*words(scene, "show", wheel), "-o", scene.folder / "pipe") == (0, "", "")


def test_a_device_is_written_to(command: Command, scene: Scene, wheel: Path) -> None:
    assert command(*words(scene, "show", wheel), "-o", "/dev/null") == (0, "", "")
    assert Path("/dev/null").is_char_device()
    code, _, err = command(*words(scene, "show", wheel), "-o", "/dev/full")
    assert code == 4
    assert "[no-room]" in err


@pytest.mark.parametrize("kind", ["folder", "socket"])
def test_neither_folder_nor_socket_is_written_to(command: Command, scene: Scene, wheel: Path, kind: str) -> None:
    NO_FILES[kind](scene.folder / "place")
    code, out, err = command(*words(scene, "fixup", wheel), "-o", scene.folder / "place")
    assert (code, out) == (2, "")
    assert "[unwritable-output]" in err
    assert not (scene.folder / "out").exists()


def test_nor_is_a_disk() -> None:
    with pytest.raises(OSError, match="it is a disk"):
        output._check_kind(stat.S_IFBLK | 0o660)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none/report", "No such file or directory (ENOENT)"),
        ("file/report", "Not a directory (ENOTDIR)"),
        ("report/", "Is a directory (EISDIR)"),
        ("dangling", "No such file or directory (ENOENT)"),
        ("circle", "Too many levels of symbolic links (ELOOP)"),
    ],
)
def test_a_place_where_no_file_can_be_is_told_before_the_work(
    command: Command, scene: Scene, wheel: Path, name: str, said: str
) -> None:
    (scene.folder / "file").touch()
    (scene.folder / "dangling").symlink_to("none/report")
    (scene.folder / "circle").symlink_to("circle")
    code, out, err = command(*words(scene, "fixup", wheel), "--format", "json", "-o", f"{scene.folder}/{name}")
    assert (code, out) == (2, "")
    assert err == (
        f"error: `{scene.folder}/{name}` cannot be written [unwritable-output]\n  {said}\n\n"
        "hint: name another file with -o\n"
    )
    assert not (scene.folder / "out").exists()


@pytest.mark.parametrize("refused", ["report", "."])
def test_what_we_may_not_write_is_told_before_the_work(
    command: Command, scene: Scene, wheel: Path, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.folder / "report").touch()
    real = os.access

    def access(path: str, mode: int) -> bool:  # tests may run as root, whom no mode bits stop
        return os.path.realpath(path) != os.path.realpath(scene.folder / refused) and real(path, mode)

    monkeypatch.setattr(os, "access", access)
    code, _, err = command(*words(scene, "fixup", wheel), "-o", scene.folder / "report")
    assert code == 2
    assert "Permission denied (EACCES)" in err
    assert not (scene.folder / "out").exists()


@pytest.mark.parametrize("place", ["", "nul\0"])
def test_what_is_no_path(command: Command, scene: Scene, wheel: Path, place: str) -> None:
    code, _, err = command(*words(scene, "show", wheel), "-o", place)
    assert code == 2
    assert "[unwritable-output]" in err


def test_a_device_that_may_not_be_opened(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if path == "/dev/null" and flags & os.O_WRONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    code, _, err = command(*words(scene, "show", wheel), "-o", "/dev/null")
    assert code == 2
    assert "Permission denied (EACCES)" in err


# -- descriptors


def test_a_file_that_is_stdout_is_kept_in_mind(scene: Scene, wheel: Path) -> None:
    options = parse(["show", str(wheel)], {})
    with (scene.folder / "report").open("w") as stream:
        output.check_output(options, Console(out=stream, err=stream, environ={}))
        status = (scene.folder / "report").stat()
    assert options.output_identity == (status.st_dev, status.st_ino)


def run(scene: Scene, wheel: Path, line: str, more: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    arguments = program(*words(scene, "show", wheel), *more)
    return subprocess.run(
        ["bash", "-c", line, "bash", *arguments], capture_output=True, check=True, timeout=60, env=uncovered(),
        cwd=scene.folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        '"$@" -o /dev/stdout',
        '"$@" -o /proc/self/fd/1',
        '"$@" -o /dev/fd/1',
        '"$@" -o /proc/thread-self/fd/1',
        'ln -s /dev/stdout link; "$@" -o link',
        '"$@" -o /dev/stdout | cat',
        '"$@" -o >(cat) | cat',
        '"$@" -o /dev/fd/5 5>&1',
        '"$@" -o /dev/stderr 2>&1',
    ],
)
def test_the_streams_and_other_descriptors_are_written_to(
    command: Command, scene: Scene, wheel: Path, line: str
) -> None:
    assert run(scene, wheel, line).stdout.decode() == report_of(command, scene, wheel)


def test_descriptors_of_this_process(command: Command, scene: Scene, wheel: Path) -> None:
    expected = report_of(command, scene, wheel)
    assert command(*words(scene, "show", wheel), "-o", "/dev/stdout") == (0, expected, "")
    assert command(*words(scene, "show", wheel), "-o", "/dev/stderr") == (0, "", expected)
    reading, writing = os.pipe()
    assert command(*words(scene, "show", wheel), "-o", f"/dev/fd/{writing}") == (0, "", "")
    os.close(writing)
    assert read_all(reading) == expected


def test_what_others_write_to_the_same_file_stays(command: Command, scene: Scene, wheel: Path) -> None:
    run(scene, wheel, '{ echo before; "$@" -o /dev/stdout; echo after; } > report')
    expected = f"before\n{report_of(command, scene, wheel)}after\n"
    assert (scene.folder / "report").read_text("utf-8") == expected


def test_a_socket_that_is_stdout_is_written_to(command: Command, scene: Scene, wheel: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            program(*words(scene, "show", wheel), "-o", "/dev/stdout"),
            stdout=theirs.fileno(), check=True, timeout=60, env=uncovered(),
        )  # fmt: skip
        theirs.close()
        assert read_all(ours.detach()) == report_of(command, scene, wheel)


def test_links_without_end_lead_to_no_descriptor(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number + 1}").symlink_to(f"{number}")
    assert output._own_descriptor(str(tmp_path / "60")) is None
