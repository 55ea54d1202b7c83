from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deloc8.audit.forest import forest_of_files, forest_of_wheel
from deloc8.errors import ElfError, InputError, SystemFault
from deloc8.loader.search import SearchOptions
from kit.elf import ET_EXEC, GLIBC, ElfSpec, build_elf
from kit.scene import CORE, Scene
from kit.system import System

MUSL = "libc.musl-x86_64.so.1"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


def needs(*names: str, **options: object) -> bytes:
    return build_elf(ElfSpec(), needed=names, **options)


def test_the_trees_of_a_wheel_are_those_of_its_facts(scene: Scene) -> None:
    audit = scene.judge(ElfSpec(needed=("libfoo.so.1", "libno.so")))
    forest = forest_of_wheel(audit.facts)
    assert forest.name == "demo-1.0-cp311-cp311-linux_x86_64.whl"
    assert [forest.files[root].label for root in forest.roots] == [CORE]
    assert [row.name for row in forest.missing] == ["libno.so"]
    assert [row.target for row in forest.dependencies["/usr/lib/libfoo.so.1"]] == ["/usr/lib/libc.so.6"]


def test_a_file_below_the_root_sees_its_neighbours_and_the_system(scene: Scene) -> None:
    scene.system.write("/opt/app/libmine.so", needs("libfoo.so.1", "libnext.so", runpath="$ORIGIN"))
    scene.system.library("/opt/app/libnext.so", ElfSpec(soname="libnext.so"))
    place = scene.root / "opt/app/libmine.so"
    forest = forest_of_files(place, scene.root, SearchOptions())
    assert forest.roots == ("/opt/app/libmine.so",)
    assert forest.files["/opt/app/libmine.so"].label == str(place)
    assert [row.target for row in forest.dependencies["/opt/app/libmine.so"]] == [
        "/usr/lib/libfoo.so.1",
        "/opt/app/libnext.so",
    ]
    assert forest.missing == ()


def test_a_folder_beside_the_root_is_laid_over_it(scene: Scene, tmp_path: Path) -> None:
    app = System(tmp_path / "app")
    app.write("/bin/run", needs("libown.so", "libfoo.so.1", rpath="$ORIGIN/../lib", type=ET_EXEC))
    app.library("/lib/libown.so", ElfSpec(soname="libown.so"))
    app.symlink("/lib/libalias.so", "libown.so")
    app.write("/lib/readme.txt", "no ELF file")
    forest = forest_of_files(app.top, scene.root, SearchOptions())
    assert [forest.files[root].label for root in forest.roots] == [
        str(app.top / "bin/run"),
        str(app.top / "lib/libown.so"),
    ]
    run = str((app.top / "bin/run").resolve())
    assert [row.target for row in forest.dependencies[run]] == [
        str((app.top / "lib/libown.so").resolve()),
        "/usr/lib/libfoo.so.1",
    ]


def test_each_file_is_looked_at_with_its_own_libc(scene: Scene) -> None:
    scene.system.write("/app/a.so", needs(MUSL, "libz.so.1"))
    scene.system.write("/app/b.so", needs(GLIBC, "libz.so.1"))
    scene.system.library("/lib/libz.so.1", ElfSpec(soname="libz.so.1", needed=(MUSL,)))
    forest = forest_of_files(scene.root / "app", scene.root, SearchOptions())
    found = {
        root: [row.target for row in forest.dependencies[root] if row.name == "libz.so.1"] for root in forest.roots
    }
    assert found == {"/app/a.so": ["/lib/libz.so.1"], "/app/b.so": [None]}


def test_a_file_beside_the_root_hides_nothing_of_it(scene: Scene, tmp_path: Path) -> None:
    # Its path on this machine begins as that of a library in the root.
    beside = System(tmp_path / "other")
    beside.write("/mine.so", needs("libfoo.so.1"))
    same = str(tmp_path / "other/libfoo.so.1").lstrip("/")
    scene.system.library("/" + same, ElfSpec(soname="libfoo.so.1"))
    options = SearchOptions(add_paths=("/" + str(Path(same).parent),))
    forest = forest_of_files(beside.top, scene.root, options)
    assert [row.target for row in forest.dependencies[forest.roots[0]]] == ["/" + same]


def test_what_is_no_elf_file_shows_nothing(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    for path in (text, tmp_path):
        with pytest.raises(InputError) as caught:
            forest_of_files(path, Path("/"), SearchOptions())
        assert caught.value.code == "nothing-to-show"
        assert str(path) in caught.value.message


def test_what_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        forest_of_files(tmp_path / "nowhere", Path("/"), SearchOptions())
    assert (caught.value.code, caught.value.context) == ("unreadable-file", ("No such file or directory",))
    assert "nowhere" in caught.value.message


def test_an_unsound_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(needs(GLIBC)[:100])
    with pytest.raises(ElfError) as caught:
        forest_of_files(broken, Path("/"), SearchOptions())
    assert "broken.so" in caught.value.message


@pytest.mark.parametrize("call", ["scandir", "open", "read"])
def test_a_folder_that_the_machine_does_not_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "liba.so").write_bytes(needs(GLIBC))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(SystemFault) as caught:
            forest_of_files(tmp_path, Path("/"), SearchOptions())
    assert caught.value.code == "read-failed"
    assert str(tmp_path) in caught.value.message


def test_a_folder_below_that_may_not_be_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "liba.so").write_bytes(needs(GLIBC))
    (tmp_path / "below").mkdir()
    (tmp_path / "below/libb.so").write_bytes(needs(GLIBC))
    honest = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("below"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return honest(path)

    monkeypatch.setattr(os, "scandir", scandir)
    forest = forest_of_files(tmp_path, Path("/"), SearchOptions())
    assert [Path(root).name for root in forest.roots] == ["liba.so"]
