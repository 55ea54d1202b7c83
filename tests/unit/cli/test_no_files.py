"""Named pipes, devices, sockets and folders in the place of files: each is one error at once, or nothing at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from kit.command import Command, program, uncovered
from kit.elf import GLIBC, ElfSpec
from kit.nofiles import NO_FILES, WORDS
from kit.packages import INFO, dpkg_package
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY = "/usr/lib/libfoo.so.1"
PYTHON = "import ctypes\nctypes.CDLL('libfoo.so.1')\n"
INSIDE = sorted(set(NO_FILES) - {"device without end", "device without contents"})
"""What can be made below a root without any privilege."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End a test that would wait for ever."""
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: pytest.fail("it waits"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A system with libfoo.so.1, which dpkg knows."""
    scene = Scene(tmp_path)
    scene.system.library(LIBRARY, ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    dpkg_package(scene.system, "libfoo1", [LIBRARY])
    scene.system.write("/usr/share/doc/libfoo1/copyright", "see /usr/share/common-licenses/GPL-2")
    scene.system.write("/usr/share/common-licenses/GPL-2", "GPL")
    scene.system.write("/etc/os-release", "ID=debian\nVERSION_ID=12\n")
    return scene


@pytest.fixture
def wheel(scene: Scene) -> Path:
    """A wheel that needs it."""
    core = wants("GLIBC_2.14", needed=("libfoo.so.1",))
    return scene.wheel({CORE: core, "demo/__init__.py": PYTHON.encode()})


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("arguments", [["show"], ["check"], ["fixup"], ["why"], ["tree"]])
def test_a_wheel_that_is_no_file(command: Command, tmp_path: Path, arguments: list[str], kind: str) -> None:
    place = tmp_path / "demo-1.0-cp311-cp311-linux_x86_64.whl"
    NO_FILES[kind](place)
    subject = ["libfoo.so.1"] if arguments == ["why"] else []
    code, out, err = command(*arguments, place, *subject)
    assert code == 1
    assert "[unreadable-wheel]" in out + err
    assert WORDS[kind] in out + err


@pytest.mark.parametrize("kind", sorted(set(NO_FILES) - {"folder"}))
def test_a_path_of_tree_that_is_no_file(command: Command, tmp_path: Path, kind: str) -> None:
    NO_FILES[kind](tmp_path / "place")
    code, out, err = command("tree", tmp_path / "place")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: `{tmp_path / 'place'}` cannot be read [unreadable-file]\n  {WORDS[kind]}\n")


def test_a_folder_of_tree_with_all_of_them(command: Command, scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for kind, make in NO_FILES.items():
        make(folder / kind)
    shutil.copy(scene.root / LIBRARY[1:], folder)
    code, out, err = command("tree", folder, "--sysroot", scene.root)
    assert (code, err) == (0, "")
    assert "libfoo.so.1" in out


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("arguments", [["show"], ["check"], ["fixup"]])
def test_a_policy_that_is_no_file(command: Command, scene: Scene, wheel: Path, arguments: list[str], kind: str) -> None:
    place = scene.folder / "policy.json"
    NO_FILES[kind](place)
    code, out, err = command(*arguments, wheel, "--policy", place, "--sysroot", scene.root)
    said = "it is a pipe that no process writes to" if "pipe" in kind else WORDS[kind]
    assert (code, out) == (1, "")
    assert f"error: the policy file {place} cannot be read [unreadable-policy]\n  {said}\n" in err


def test_a_policy_without_end_is_not_read_to_its_end(command: Command, scene: Scene, wheel: Path) -> None:
    place = scene.folder / "policy.json"
    with place.open("wb") as file:
        file.truncate(1 << 40)
    code, _, err = command("show", wheel, "--policy", place, "--sysroot", scene.root)
    assert code == 1
    assert err.startswith(f"error: policy file `{place}`: is too large [policy-json]\n")


def test_a_policy_that_comes_through_a_pipe_counts_for_every_wheel(scene: Scene, wheel: Path) -> None:
    other = shutil.copy(wheel, wheel.with_name(wheel.name.replace("1.0", "1.1")))
    policy = {"name": "mine", "symbol_versions": {"GLIBC": "2.14"}, "lib_whitelist": ["*"]}
    line = f"""exec "$@" --policy <(echo '{json.dumps(policy)}')"""
    words = program("show", wheel, other, "--sysroot", scene.root, "--format", "json", "-j2")
    ended = subprocess.run(
        ["bash", "-c", line, "bash", *words], capture_output=True, check=False, timeout=60, env=uncovered()
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    for value in json.loads(ended.stdout)["wheels"]:
        assert any("mine" in row["name"] for row in value["policies"])


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_configuration_that_is_no_file(command: Command, scene: Scene, wheel: Path, kind: str) -> None:
    NO_FILES[kind](scene.folder / "pyproject.toml")
    code, out, err = command("check", wheel, "--sysroot", scene.root)
    assert (code, out) == (2, "")
    assert err == f"error: pyproject.toml: it cannot be read [bad-config]\n  {WORDS[kind]}\n"


def test_a_configuration_without_end_is_not_read_to_its_end(command: Command, scene: Scene, wheel: Path) -> None:
    with (scene.folder / "pyproject.toml").open("wb") as file:
        file.truncate(1 << 40)
    code, out, err = command("check", wheel, "--sysroot", scene.root)
    assert (code, out) == (2, "")
    assert err == "error: pyproject.toml: it is too large [bad-config]\n  wanted: up to 1048576 bytes\n"


@pytest.mark.parametrize(
    "place",
    [
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d/one.conf",
        "/etc/ld.so.cache",
        "/lib64/ld-linux-x86-64.so.2",
        "/etc/os-release",
        "/usr/lib/os-release",
        "/var/lib/dpkg/status",
        f"{INFO}/libfoo1.list",
        f"{INFO}/other.md5sums",
        "/lib/apk/db/installed",
        "/var/lib/rpm/rpmdb.sqlite",
        "/var/lib/rpm/Packages.db",
        "/var/lib/rpm/Packages",
        "/usr/share/doc/libfoo1/copyright",
        "/usr/share/common-licenses/GPL-2",
        "/usr/local/lib/libfoo.so.1",
    ],
)
@pytest.mark.parametrize("kind", INSIDE)
def test_a_file_of_the_system_that_is_none(command: Command, scene: Scene, wheel: Path, place: str, kind: str) -> None:
    path = scene.root / place[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    NO_FILES[kind](path)
    if place.startswith("/etc/ld.so.conf.d"):
        scene.system.write("/etc/ld.so.conf", "include ld.so.conf.d/*\n")
    if "/rpm/" in place:
        # The next database is asked about what the first does not know.
        shutil.rmtree(scene.root / "var/lib/dpkg")
    code, _, err = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out")
    assert code == 0, err
    assert "error" not in err
    assert len(list((scene.folder / "out").iterdir())) == 1


@pytest.mark.parametrize("kind", INSIDE)
def test_a_library_on_request_that_is_no_file(command: Command, scene: Scene, wheel: Path, kind: str) -> None:
    path = scene.root / "opt/libbar.so"
    path.parent.mkdir()
    NO_FILES[kind](path)
    words = ("--sysroot", scene.root, "-w", scene.folder / "out", "--include", scene.root / "opt/libbar.so")
    code, _, err = command("fixup", wheel, *words)
    assert code == 1
    assert "/opt/libbar.so" in err
    assert not (scene.folder / "out").exists()


def test_files_of_the_system_that_are_larger_than_any(command: Command, scene: Scene, wheel: Path) -> None:
    places = ("etc/ld.so.conf", "etc/os-release", "var/lib/dpkg/status", "usr/share/doc/libfoo1/copyright")
    for place in places:
        with (scene.root / place).open("wb") as file:
            file.truncate(1 << 40)
    code, _, err = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out")
    assert (code, err.count("error")) == (0, 0)
    assert len(list((scene.folder / "out").iterdir())) == 1
