"""A wheel of which a half of glib is grafted, and the other half comes from systems of other ages."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from kit.command import Result, run_program
from kit.distribution import Root, debian
from kit.machines import unpack
from kit.runtimes import extract, make_root

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.systems

CXX = ("--graft", "libstdc++.so.6")
WAY_OUT = ("--graft", "libglib-2.0.so.0", "--graft", "libgobject-2.0.so.0")
LIBRARIES = ("libc6", "libgcc-s1", "libglib2.0-0", "zlib1g")
USE = (
    "import libvirt\n"
    "connection = libvirt.open('test:///default')\n"
    "assert connection.listDomainsID() == [1]\n"
    "assert 'test' in connection.lookupByID(1).XMLDesc()\n"
    "print('worked')\n"
)


@pytest.fixture(scope="module")
def wheel(wheels_folder: Path) -> Path:
    """libvirt-python, built on Debian 12: libvirt.so.0 needs libgio, and that g_source_set_static_name of glib 2.70."""
    (found,) = wheels_folder.glob("libvirt_python-*.whl")
    return found


def fixup(wheel: Path, folder: Path, *options: str, tag: str = "manylinux_2_31_x86_64") -> Result:
    """The repair, with the libraries of a Debian 12."""
    sysroot = debian("bookworm", ("libvirt0", "libstdc++6")).path
    quick = ("-z", "0", "--format", "json")
    return run_program("fixup", wheel, "-w", folder, "--plat", tag, "--sysroot", sysroot, *options, *quick)


def lower(wheel: Path, folder: Path, *options: str) -> Result:
    return fixup(wheel, folder, "--lower-glibc", "--allow", "differs", *CXX, *options)


@pytest.fixture(scope="module")
def bullseye(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A Debian 11 with its glibc 2.31 and glib 2.66, and with the Python that the wheel is for."""
    folder = tmp_path_factory.mktemp("bullseye")
    root = make_root(folder / "root", extract(runtimes_folder / "py311-glibc217.tar.xz", folder / "python"))
    distribution = debian("bullseye", LIBRARIES).path
    for part in ("lib", "usr/lib"):
        shutil.copytree(
            distribution / part / "x86_64-linux-gnu",
            root.path / "lib/x86_64-linux-gnu",
            symlinks=True,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("gconv", "perl*"),
        )
    (root.path / "lib64").symlink_to("lib/x86_64-linux-gnu")
    return root


def use(root: Root, unpacked: Path, code: str = USE) -> tuple[int, str]:
    ended = root.python(["-c", code], wheel=unpacked, scripts=unpacked)
    return ended.returncode, ended.stdout + ended.stderr


def test_half_a_glib_is_refused_and_the_way_out_is_named(wheel: Path, tmp_path: Path) -> None:
    ended = lower(wheel, tmp_path / "out")
    assert ended.code == 1
    assert not (tmp_path / "out").exists()
    error = ended.json["wheels"][0]["error"]
    assert error["code"] == "release-too-new"
    assert any("g_source_set_static_name (glib 2.70)" in line for line in error["context"])
    options = " ".join(f"'{word}'" if word.startswith("lib") else word for word in WAY_OUT)
    assert any(f"fixup --plat manylinux_2_31_x86_64 --lower-glibc {options}" in hint for hint in error["hints"])


def test_the_way_out_works_on_debian_11(bullseye: Root, wheel: Path, tmp_path: Path) -> None:
    ended = lower(wheel, tmp_path / "out", *WAY_OUT)
    assert ended.code == 0, ended.err
    assert "is a second glib in a process that has the system's [second-glib]" in ended.err
    (written,) = (tmp_path / "out").iterdir()
    unpacked = unpack(written, tmp_path / "unpacked")
    assert use(bullseye, unpacked) == (0, "worked\n")


def test_what_was_refused_fails_on_debian_11(bullseye: Root, wheel: Path, tmp_path: Path) -> None:
    """The repaired wheel with the system's libglib in the place of the graft: what would be without the refusal."""
    ended = lower(wheel, tmp_path / "out", *WAY_OUT)
    assert ended.code == 0, ended.err
    (written,) = (tmp_path / "out").iterdir()
    unpacked = unpack(written, tmp_path / "unpacked")
    for path in unpacked.rglob("libglib-*"):
        path.unlink()
        path.symlink_to("/lib/x86_64-linux-gnu/libglib-2.0.so.0")
    code, said = use(bullseye, unpacked)
    assert code == 1
    assert "undefined symbol: g_" in said


def test_the_tag_that_fixup_finds_is_that_of_the_release(wheel: Path, tmp_path: Path) -> None:
    """glib 2.72 of Ubuntu 22.04 has g_source_set_static_name of 2.70, and g_log_set_debug_enabled of 2.72."""
    ended = fixup(wheel, tmp_path / "out", tag="auto")
    assert ended.code == 0, ended.err
    assert ended.json["wheels"][0]["policy"] == "manylinux_2_35_x86_64"
