"""Real wheels with up to a hundred grafts, repaired and lowered here, and loaded where their libraries are not.

That a module loads is what is promised here: most of these libraries look for data of their packages, too.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.command import Result, run_program
from kit.distribution import Root, debian
from kit.machines import unpack
from kit.require import require
from kit.runtimes import extract

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
# What every policy takes from the system, and a minimal one does not have.
OF_THE_SYSTEM = ("libglib2.0-0", "libexpat1", "zlib1g", "libstdc++6")
GLIB = ("--graft", "libglib-2.0.so.0", "--graft", "libgobject-2.0.so.0")
CXX = ("--graft", "libstdc++.so.6", "--allow", "differs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One wheel.

    Attributes:
        name: How its file name begins.
        library: A library that this machine must have for the repair.
        package: The Debian package that it comes with.
        modules: How many extension modules it has.
        lowered: What it takes to lower it to glibc 2.31.
    """

    name: str
    library: str
    package: str
    modules: int
    lowered: tuple[str, ...] = ()


CASES = (
    Case(name="fiona", library="libgdal.so.32", package="libgdal32", modules=7, lowered=CXX),
    Case(name="gphoto2", library="libgphoto2.so.6", package="libgphoto2-6", modules=12),
    Case(name="tesserocr", library="libtesseract.so.5", package="libtesseract5", modules=1, lowered=CXX),
    Case(name="libvirt_python", library="libvirt.so.0", package="libvirt0", modules=3, lowered=(*GLIB, *CXX)),
    Case(name="pyalsaaudio", library="libasound.so.2", package="libasound2", modules=1),
)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    cache = subprocess.run([require("ldconfig", "Debian: libc-bin"), "-p"], capture_output=True, text=True, check=True)
    if f"\t{chosen.library} " not in cache.stdout:
        pytest.skip(f"needs {chosen.library} to repair {chosen.name} (Debian 12: {chosen.package})")
    return chosen


@pytest.fixture(scope="module")
def python_in_bullseye(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A Debian 11, and in it the Python 3.11 that the wheels are for."""
    folder = tmp_path_factory.mktemp("bullseye")
    root = Root(path=folder / "root")
    # Not its devices, of which a copy has no end.
    devices = shutil.ignore_patterns("dev", "proc")
    shutil.copytree(debian("bullseye", OF_THE_SYSTEM).path, root.path, symlinks=True, ignore=devices)
    for name in ("dev", "proc"):
        (root.path / name).mkdir()
    python = extract(runtimes_folder / "py311-glibc217.tar.xz", folder / "python")
    shutil.move(python, root.path / "opt/python")
    (root.path / "usr/bin/python3").symlink_to("/opt/python/bin/python3.11")
    return root


@pytest.fixture
def wheel(case: Case, wheels_folder: Path) -> Path:
    found = sorted(wheels_folder.glob(f"{case.name}-*.whl"))
    if not found:
        pytest.skip(f"needs a wheel of {case.name} in {wheels_folder}")
    return found[0]


def fixup(wheel: Path, folder: Path, *options: str) -> Path:
    """The repaired wheel, unpacked."""
    # What is read again at once need not be small.
    ended = run_program("fixup", wheel, "-w", folder / "out", "-z", "0", *options)
    assert ended.code == 0, ended.err
    (written,) = (folder / "out").iterdir()
    checked: Result = run_program("check", written)
    assert checked.code == 0, checked.out
    return unpack(written, folder / "unpacked")


def assert_loads(root: Root, unpacked: Path, case: Case) -> None:
    for flag in ("now", "lazy"):
        ended = root.python(["/mnt/scripts/load_modules.py", flag], wheel=unpacked, scripts=SCRIPTS)
        assert (ended.returncode, ended.stdout) == (0, f"loaded {case.modules}\n"), ended.stderr


def test_as_it_is_it_does_not_load(case: Case, wheel: Path, tmp_path: Path) -> None:
    """Without this the repaired one's success would prove nothing."""
    root = debian("bookworm", ("python3", *OF_THE_SYSTEM))
    ended = root.python(["/mnt/scripts/load_modules.py", "now"], wheel=unpack(wheel, tmp_path / "raw"), scripts=SCRIPTS)
    assert ended.returncode == 1
    assert f"{case.library}: cannot open shared object file" in ended.stderr


def test_repaired_it_loads(case: Case, wheel: Path, tmp_path: Path) -> None:
    root = debian("bookworm", ("python3", *OF_THE_SYSTEM))
    unpacked = fixup(wheel, tmp_path)
    assert_loads(root, unpacked, case)
    work = SCRIPTS / f"use_{case.name}.py"
    if work.exists():
        used = root.python([f"/mnt/scripts/{work.name}"], wheel=unpacked, scripts=SCRIPTS)
        assert (used.returncode, used.stdout) == (0, "worked\n"), used.stderr


def test_lowered_it_loads_on_glibc_2_31(case: Case, wheel: Path, python_in_bullseye: Root, tmp_path: Path) -> None:
    unpacked = fixup(wheel, tmp_path, "--plat", "manylinux_2_31_x86_64", "--lower-glibc", *case.lowered)
    assert_loads(python_in_bullseye, unpacked, case)
