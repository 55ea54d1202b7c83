"""Published wheels that open a library by name which a bare Debian lacks: they work with `--include`, not without."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.distribution import Root, cache_folder, debian
from kit.published import published

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
PACKAGES = ("python3", "libstdc++6", "libglib2.0-0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One wheel of the index.

    Attributes:
        name: Its project, which is also the end of its script's name.
        wheel: The file name of the version that is looked at.
        sha256: Its hash.
        library: What it opens.
        package: The Debian package that has it.
        fault: What its script says without that library.
    """

    name: str
    wheel: str
    sha256: str
    library: str
    package: str
    fault: str


CASES = (
    Case(
        name="pillow",
        wheel="pillow-13.0.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256="a625df9a2a5597fa5e5266e01aefc82604bb85d291e3547981e863560d75da6c",
        library="libfribidi.so.0",
        package="libfribidi0",
        fault="fribidi was not found",
    ),
    Case(
        name="pygame",
        wheel="pygame-2.6.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256="ce8cc108b92de9b149b344ad2e25eedbe773af0dc41dfb24d1f07f679b558c60",
        library="libmodplug.so.1",
        package="libmodplug1",
        fault="libmodplug.so.1: cannot open shared object file",
    ),
    Case(
        name="glfw",
        wheel="glfw-2.11.0-py2.py3-none-manylinux_2_28_x86_64.whl",
        sha256="76484fae4a4ef0f778a05e02422ecbe6960ae23039087fe2e0ad9742ab8c7bbe",
        library="libOSMesa.so.8",
        package="libosmesa6",
        fault="OSMesa was not found",
    ),
)


@pytest.fixture(scope="session")
def bare() -> Root:
    return debian("bookworm", PACKAGES)


@pytest.fixture(scope="session")
def stocked() -> Root:
    return debian("bookworm", (*PACKAGES, *(case.package for case in CASES)))


def wheel_of(case: Case) -> Path:
    """The wheel, downloaded once; the test is skipped where that fails."""
    return published(case.wheel, case.sha256, cache_folder() / "wheels")


def used(case: Case, bare: Root, wheel: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """How the wheel's script ends in the bare distribution."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return bare.python([f"/mnt/scripts/use_opened_{case.name}.py"], wheel=folder, scripts=SCRIPTS)


def repaired(wheel: Path, folder: Path, *arguments: str) -> Path:
    command = [str(Path(sys.executable).with_name("deloc8")), "fixup", str(wheel), "-w", str(folder), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    (found,) = folder.iterdir()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wheel_that_opens_a_library_by_name(case: Case, bare: Root, stocked: Root, tmp_path: Path) -> None:
    wheel = wheel_of(case)
    root = ("--sysroot", str(stocked.path))
    without = used(case, bare, repaired(wheel, tmp_path / "without", *root), tmp_path / "plain")
    assert without.returncode == 1
    assert case.fault in without.stderr
    included = repaired(wheel, tmp_path / "with", *root, "--include", case.library)
    ended = used(case, bare, included, tmp_path / "included")
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_opening_is_told(case: Case, stocked: Root) -> None:
    command = [str(Path(sys.executable).with_name("deloc8")), "why", str(wheel_of(case)), case.library]
    told = subprocess.run([*command, "--sysroot", str(stocked.path)], capture_output=True, text=True, check=True).stdout
    assert f" mentions {case.library} (mentioned)\n    found on this system: /usr/lib/" in told
