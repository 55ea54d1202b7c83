"""Where fixup puts several wheels: never two into one place, nor one into that of an input."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import places
from deloc8.errors import UsageError
from deloc8.repair.model import Goal
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.repair import repair_wheel
from kit.command import Command
from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A system with libfoo.so.1, which no policy allows."""
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


@pytest.fixture
def wheel(scene: Scene) -> Path:
    """A wheel that needs it, in a folder of its own."""
    made = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})
    return made.rename(_folder(scene, "dist") / made.name)


def _folder(scene: Scene, name: str) -> Path:
    (scene.folder / name).mkdir(exist_ok=True)
    return scene.folder / name


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def fixup(command: Command, scene: Scene, *arguments: str | Path) -> tuple[int, str, str]:
    return command("fixup", *arguments, "--sysroot", scene.root)


def the_written(folder: Path) -> str:
    (name,) = (path.name for path in folder.iterdir())
    return name


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--no-update-tags"], ["-j2"]])
def test_one_wheel_twice_is_an_error_before_any_work(
    command: Command, scene: Scene, wheel: Path, more: Sequence[str]
) -> None:
    before = everything(scene.folder)
    code, out, err = fixup(command, scene, wheel, wheel, "-w", "out", *more)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: `{wheel}` and `{wheel}` would both become `out/demo-1.0-cp311-cp311-")
    assert "[same-output]" in err
    assert everything(scene.folder) == before


@pytest.mark.parametrize(
    "name",
    [
        "demo-1.0-cp311-cp311-linux_x86_64.whl",
        "demo-1.0-cp311-cp311-manylinux2014_x86_64.whl",
        "Demo-1.0-cp311-cp311-linux_x86_64.whl",
    ],
)
def test_two_wheels_that_become_one_name(command: Command, scene: Scene, wheel: Path, name: str) -> None:
    other = shutil.copy(wheel, _folder(scene, "other") / name)
    before = everything(scene.folder)
    # One between them, whose name nothing shares, is not written either.
    third = scene.wheel({CORE: wants("GLIBC_2.14")}, name="third")
    code, out, err = fixup(command, scene, wheel, third, other, "-w", "out")
    assert (code, out) == (2, "")
    assert "[same-output]" in err
    third.unlink()
    assert everything(scene.folder) == before


def test_wheels_that_become_two_names_are_written(command: Command, scene: Scene, wheel: Path) -> None:
    newer = _folder(scene, "other") / wheel.name
    shutil.move(scene.wheel({CORE: wants("GLIBC_2.30", needed=("libfoo.so.1",))}), newer)
    code, _, err = fixup(command, scene, wheel, newer, "-w", "out")
    assert (code, err.count("error")) == (0, 0)
    assert len(everything(scene.folder / "out")) == 2


def test_a_wheel_that_cannot_be_repaired_takes_no_place(command: Command, scene: Scene, wheel: Path) -> None:
    broken = _folder(scene, "other") / wheel.name
    broken.write_bytes(b"no wheel")
    pure = build_wheel(_folder(scene, "pure"), {"demo/a.py": b""})
    code, _, err = fixup(command, scene, wheel, broken, pure, "-w", "out")
    assert code == 1
    assert "2 of 3 wheels failed" in err
    assert len(everything(scene.folder / "out")) == 1


def test_pure_wheels_take_a_place_where_they_are_copied(command: Command, scene: Scene) -> None:
    one = build_wheel(_folder(scene, "one"), {"demo/a.py": b""}, tags=("py3-none-any",))
    other = shutil.copy(one, _folder(scene, "other"))
    code, _, err = fixup(command, scene, one, other, "-w", "out", "--allow-pure-python-wheel")
    assert code == 2
    assert "[same-output]" in err
    assert not (scene.folder / "out").exists()


def test_names_that_are_none_are_told_in_their_turn(command: Command, scene: Scene, wheel: Path) -> None:
    (scene.folder / "a.whl").touch()
    code, _, err = fixup(command, scene, "a.whl", "a.whl", wheel, "-w", "out")
    assert code == 1
    assert err.count("[bad-wheel-name]") == 2
    assert len(everything(scene.folder / "out")) == 1


# -- a result in the place of an input


@pytest.mark.parametrize("kind", ["file", "hard link", "symbolic link to it", "it is a symbolic link"])
def test_a_result_never_replaces_another_input(command: Command, scene: Scene, wheel: Path, kind: str) -> None:
    assert fixup(command, scene, wheel, "-w", "out")[0] == 0
    place = scene.folder / "out" / the_written(scene.folder / "out")
    given = _folder(scene, "given") / place.name
    if kind == "file":
        given = place
    elif kind == "hard link":
        os.link(place, given)
    elif kind == "symbolic link to it":
        given.symlink_to(place)
    else:
        place.rename(given)
        place.symlink_to(given)
    before = everything(scene.folder)
    for inputs in ([wheel, given], [given, wheel]):
        code, _, err = fixup(command, scene, *inputs, "-w", "out")
        assert code == 2
        assert "[target-is-source]" in err or "[same-output]" in err
    assert everything(scene.folder) == before


def test_a_result_replaces_no_file_that_is_spared(scene: Scene, wheel: Path) -> None:
    settings = AuditOptions(sysroot=scene.root)
    place = repair_wheel(wheel, scene.folder / "out", Goal(), WriteOptions(), settings).path
    (scene.folder / "other").symlink_to(place)
    before = everything(scene.folder)
    with pytest.raises(UsageError) as caught:
        repair_wheel(wheel, scene.folder / "out", Goal(), WriteOptions(spared=(scene.folder / "other",)), settings)
    assert caught.value.code == "target-is-source"
    assert caught.value.message == (f"`{place}` is the input `{scene.folder / 'other'}`: the result would replace it")
    assert everything(scene.folder) == before


def test_a_result_replaces_that_of_an_earlier_run(command: Command, scene: Scene, wheel: Path) -> None:
    out = _folder(scene, "out")
    assert fixup(command, scene, wheel, "-w", out)[0] == 0
    name = the_written(out)
    before = (out / name).read_bytes()
    (out / name).write_bytes(b"of an earlier run")
    assert fixup(command, scene, wheel, "-w", out)[0] == 0
    assert (out / name).read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_what_else_is_in_its_place_is_replaced_and_not_written_to(
    command: Command, scene: Scene, wheel: Path, kind: str
) -> None:
    out = _folder(scene, "out")
    assert fixup(command, scene, wheel, "-w", out)[0] == 0
    place = out / the_written(out)
    contents = place.read_bytes()
    place.unlink()
    other = scene.folder / "other"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(other)
    if kind == "link":
        other.write_bytes(b"of somebody")
    assert fixup(command, scene, wheel, "-w", out)[0] == 0
    assert not place.is_symlink()
    assert place.read_bytes() == contents
    assert not other.exists() or other.read_bytes() == b"of somebody"


@pytest.mark.parametrize("kind", ["file", "dangling link", "folder in its place"])
def test_a_folder_that_is_none_is_one_error(command: Command, scene: Scene, wheel: Path, kind: str) -> None:
    out = scene.folder / "out"
    if kind == "file":
        out.write_text("text")
    elif kind == "dangling link":
        out.symlink_to("none")
    else:
        assert fixup(command, scene, wheel, "-w", out)[0] == 0
        place = out / the_written(out)
        place.unlink()
        place.mkdir()
    before = everything(scene.folder)
    code, _, err = fixup(command, scene, wheel, "-w", out)
    assert code == 2
    assert "[unwritable-output]" in err
    assert everything(scene.folder) == before


def test_a_wheel_whose_tags_are_true_is_not_written_over_itself(command: Command, scene: Scene, wheel: Path) -> None:
    out = _folder(scene, "out")
    assert fixup(command, scene, wheel, "-w", out)[0] == 0
    repaired = out / the_written(out)
    (scene.folder / "alias").symlink_to("out")
    before = everything(scene.folder)
    for folder in ("out", "alias", "./out/../out"):
        code, _, err = fixup(command, scene, repaired, "-w", folder)
        assert code == 2
        assert "[target-is-source]" in err
    assert everything(scene.folder) == before


def test_names_are_compared_as_file_systems_do() -> None:
    names = ["a-1-py3-none-linux_x86_64.whl", "A-1-py3-none-any.whl", "b-1-py3-none-any.whl", "no.whl", "no.whl"]
    assert places._suspects(names) == [0, 1]
    assert places._folded("Caf\u00e9") == places._folded("cafe\u0301")
