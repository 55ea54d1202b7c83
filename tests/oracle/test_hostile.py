"""Wheels from strangers, given to `deloc8 fixup`: one clear error, nothing written, and soon."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kit.command import Command
from kit.elf import GLIBC, ElfSpec, build_elf
from kit.faults import FAULTS, scene_for_checks
from kit.patch import patch_entry
from kit.scene import CORE, wants
from kit.zips import Entry, raw_zip, wheel_entries

if TYPE_CHECKING:
    from pathlib import Path

    from kit.scene import Scene

REFUSED = [
    *("unsafe-path", "symlink-member", "special-member", "duplicate-member", "case-conflict", "file-and-folder"),
    *("overlapping-members", "header-mismatch", "bad-directory", "bad-header", "bad-zip64", "hidden-data"),
    *("trailing-data", "leading-data", "truncated-archive", "not-a-zip", "multi-disk-archive", "encrypted-member"),
    *("unsupported-compression", "bad-member-size", "bad-member-data", "compression-bomb", "too-many-members"),
    *("bad-record", "missing-record", "bad-wheel-metadata", "missing-wheel-file", "missing-metadata", "bad-elf"),
    *("several-dist-info", "dist-info-mismatch", "missing-dist-info", "bad-wheel-name", "unreadable-wheel"),
]
"""Findings that no command goes on after."""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_for_checks(tmp_path)


def refused(command: Command, scene: Scene, wheel: Path) -> str:
    """The one error; nothing is written, the wheel is as it was, and it did not take long."""
    before = wheel.read_bytes() if wheel.exists() else b""
    present = set(scene.folder.rglob("*"))
    start = time.process_time()
    done = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", "--allow-pure-python-wheel")
    assert time.process_time() - start < 2
    assert set(scene.folder.rglob("*")) == present
    assert not before or wheel.read_bytes() == before
    lines = done.err.split("\n")
    assert (done.code, done.out, sum(line.startswith("error: ") for line in lines)) == (1, "", 1)
    assert all(line.isprintable() for line in lines), lines
    return done.err


@pytest.mark.parametrize("code", REFUSED)
def test_unsound_wheels(command: Command, scene: Scene, code: str) -> None:
    assert f"[{code}]" in refused(command, scene, FAULTS[code](scene))


@pytest.mark.parametrize(
    "name",
    [
        b"../../etc/passwd", b"/etc/passwd", b"demo\\..\\..\\x", b"C:x", b"demo/a\0b", b"demo/\x1b[2J", b"a/./b",
        b"\\\\server\\share", b"demo/..", b"demo/con\n", b"~/x" + b"/" * 2 + b"y",
    ],
)  # fmt: skip
def test_paths_that_lead_out_of_the_wheel(command: Command, scene: Scene, name: bytes) -> None:
    wheel = scene.folder / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(raw_zip(wheel_entries(Entry(name=name, data=b"x"))))
    assert "[unsafe-path]" in refused(command, scene, wheel)


@pytest.mark.parametrize("code", ["unlisted-member", "absent-member", "wrong-size", "wrong-hash"])
def test_a_record_that_lies(command: Command, scene: Scene, code: str) -> None:
    assert "[record-mismatch]" in refused(command, scene, FAULTS[code](scene))


TAGS = {"DT_STRTAB": 5, "DT_SYMTAB": 6, "DT_STRSZ": 10, "DT_VERNEED": 0x6FFFFFFE, "DT_GNU_HASH": 0x6FFFFEF5}


@pytest.mark.parametrize("tag", TAGS)
def test_a_dynamic_section_that_points_nowhere(command: Command, scene: Scene, tag: str) -> None:
    data = patch_entry(a_module(), TAGS[tag], 0x7FFF_FFFF_0000)
    assert "[bad-elf]" in refused(command, scene, scene.wheel({CORE: data}))


def a_module() -> bytes:
    return build_elf(replace(wants("GLIBC_2.14"), hash="gnu"))


@pytest.mark.parametrize(
    "name", ["../../../etc/libevil.so", "x/libevil.so", "/nowhere/libevil.so", "lib\nerror: fine\x1b[2J.so", "..", "/"]
)
def test_names_that_are_paths_or_more(command: Command, scene: Scene, name: str) -> None:
    told = refused(command, scene, scene.wheel({CORE: ElfSpec(needed=(name, GLIBC))}))
    assert "[library-not-found]" in told
    assert name.encode("unicode_escape").decode() in told


def test_a_path_in_needed_leads_to_the_sysroot_and_no_further(command: Command, scene: Scene, tmp_path: Path) -> None:
    outside = tmp_path / "outside.so"
    outside.write_bytes(a_module())
    name = "/.." * 9 + str(outside)
    assert "[library-not-found]" in refused(command, scene, scene.wheel({CORE: ElfSpec(needed=(name, GLIBC))}))


def test_search_paths_that_run_in_circles(command: Command, scene: Scene) -> None:
    scene.system.symlink("/opt/a", "/opt/b")
    scene.system.symlink("/opt/b", "/opt/a")
    scene.system.symlink("/opt/c", ".")
    path = ":".join(["/opt/a", "/opt/c/c/c/c/c", "$ORIGIN/../demo", "$ORIGIN"] * 500)
    spec = ElfSpec(needed=("libabsent.so", GLIBC), rpath=path)
    own = ElfSpec(needed=("libtwo.so",), soname="libone.so", rpath=path)
    other = ElfSpec(needed=("libone.so", "libabsent.so"), soname="libtwo.so", runpath=path)
    wheel = scene.wheel({CORE: spec, "demo/libone.so": own, "demo/libtwo.so": other})
    assert "libabsent.so" in refused(command, scene, wheel)


def test_a_soname_cannot_choose_where_a_graft_goes(command: Command, scene: Scene) -> None:
    """A graft has the name of its file, and stands in the folder for grafts, whatever its soname says."""
    evil = "../../../lib\x1b[2J\n.so"
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname=evil))
    wheel = scene.wheel({CORE: ElfSpec(needed=("libfoo.so.1", GLIBC))})
    done = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", "--no-sbom", "--no-licenses")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err
    (repaired,) = (scene.folder / "out").iterdir()
    with zipfile.ZipFile(repaired) as archive:
        grafts = [name for name in archive.namelist() if name.startswith("demo.libs/")]
    assert len(grafts) == 1
    assert grafts[0].isprintable()
    assert ".." not in grafts[0]


@pytest.mark.parametrize(
    "words",
    [
        "show",
        "show --format json",
        "show --format html",
        "check",
        "check --format sarif",
        "why",
        "tree",
        "fixup --dry-run",
    ],
)
def test_no_command_stumbles_over_any_fault(command: Command, scene: Scene, words: str) -> None:
    name, *options = words.split()
    for make in FAULTS.values():
        wheel = make(scene)
        before = wheel.read_bytes() if wheel.exists() else b""
        start = time.process_time()
        subject = ["libc.so.6"] * (name == "why")
        done = command(name, wheel, *subject, *options, "--sysroot", scene.root)
        assert time.process_time() - start < 2
        # A wheel that cannot be what is asked, or has nothing of that name.
        assert done.code in ({0, 1, 2} if name == "why" else {0, 1}), done.err
        assert all(line.isprintable() for line in (done.out + done.err).split("\n")), (done.out, done.err)
        assert not before or wheel.read_bytes() == before
