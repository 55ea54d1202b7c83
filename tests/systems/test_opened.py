"""Published wheels that open a library by name which a bare Debian lacks: they work with `--include`, not without."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.distribution import Root, cache_folder, debian

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
PACKAGES = ("python3", "libstdc++6", "libglib2.0-0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One wheel of the index.

    Attributes:
        name: Its project, which is also the end of its script's name.
        version: The version that is looked at.
        library: What it opens.
        package: The Debian package that has it.
        fault: What its script says without that library.
    """

    name: str
    version: str
    library: str
    package: str
    fault: str


CASES = (
    Case(
        name="pillow",
        version="13.0.0",
        library="libfribidi.so.0",
        package="libfribidi0",
        fault="fribidi was not found",
    ),
    Case(
        name="pygame",
        version="2.6.1",
        library="libmodplug.so.1",
        package="libmodplug1",
        fault="libmodplug.so.1: cannot open shared object file",
    ),
    Case(
        name="glfw",
        version="2.11.0",
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
    folder = cache_folder() / f"{case.name}-{case.version}"
    if not list(folder.glob("*.whl")):
        platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version=3.11", "--platform=manylinux2014_x86_64", *platforms, "-d", str(folder)]
        ended = subprocess.run([*command, f"{case.name}=={case.version}"], capture_output=True, text=True, check=False)
        if ended.returncode:
            pytest.skip(f"needs {case.name} {case.version} from the index that pip is set up with")
    (wheel,) = folder.glob("*.whl")
    return wheel


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
