"""Real wheels, built against Debian 12's libraries, repaired here and used in a Debian that has none of them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.distribution import Root, debian
from kit.require import require

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"

# All that the distribution has. Every policy takes glib from the system, and pillow's libraqm needs it.
PACKAGES = ("python3", "libstdc++6", "libglib2.0-0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One wheel.

    Attributes:
        name: The wheel's project, which is also the end of its script's name.
        imports: The module that needs the libraries.
        library: A library that the machine must have for the repair; none where the wheel needs none.
        package: The Debian package that it comes with.
        in_root: Whether the bare distribution has that library too, so that the unrepaired wheel works there.
    """

    name: str
    imports: str
    library: str | None = None
    package: str = ""
    in_root: bool = False


CASES = (
    Case(name="numpy", imports="numpy.linalg", library="libopenblas.so.0", package="libopenblas-dev, gfortran"),
    Case(name="psycopg2", imports="psycopg2", library="libpq.so.5", package="libpq-dev"),
    Case(name="lxml", imports="lxml.etree", library="libxslt.so.1", package="libxslt1-dev"),
    Case(name="pillow", imports="PIL._imaging", library="libimagequant.so.0", package="see .ci/packages.txt"),
    Case(name="pyyaml", imports="yaml._yaml", library="libyaml-0.so.2", package="libyaml-dev"),
    Case(name="mysqlclient", imports="MySQLdb", library="libmariadb.so.3", package="default-libmysqlclient-dev"),
    Case(name="cffi", imports="_cffi_backend", library="libffi.so.8", package="libffi-dev", in_root=True),
    Case(name="lmdb", imports="lmdb"),
)

# Those that cannot work in the bare distribution as they are.
NEEDY = tuple(case for case in CASES if case.library and not case.in_root)


@pytest.fixture(scope="session")
def bookworm() -> Root:
    return debian("bookworm", PACKAGES)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    if chosen.library:
        known = subprocess.run(
            [require("ldconfig", "Debian: libc-bin"), "-p"], capture_output=True, text=True, check=True
        )
        if f"\t{chosen.library} " not in known.stdout:
            pytest.skip(f"needs {chosen.library} to repair {chosen.name} (Debian 12: {chosen.package})")
    return chosen


@pytest.fixture
def wheel(case: Case, wheels_folder: Path) -> Path:
    found = sorted(wheels_folder.glob(f"{case.name}-*.whl"))
    if not found:
        pytest.skip(f"needs a wheel of {case.name} in {wheels_folder}")
    return found[0]


def deloc8(*arguments: str) -> subprocess.CompletedProcess[str]:
    """How the command ended that is installed beside this Python."""
    command = [str(Path(sys.executable).with_name("deloc8")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_show(case: Case, wheel: Path) -> None:
    shown = deloc8("show", str(wheel))
    assert shown.returncode == 0, shown.stderr
    assert 'is consistent with the\nfollowing platform tag: "' in shown.stdout
    if case in NEEDY:
        assert f'"{case.library}": "/' in shown.stdout


@pytest.mark.parametrize("case", NEEDY, ids=lambda case: case.name, indirect=True)
def test_unrepaired_wheel_does_not_work(case: Case, wheel: Path, bookworm: Root, tmp_path: Path) -> None:
    """Without this the repaired one's success would prove nothing."""
    ended = bookworm.python(["-c", f"import {case.imports}"], wheel=unpack(wheel, tmp_path / "wheel"), scripts=SCRIPTS)
    assert ended.returncode == 1
    assert "cannot open shared object file" in ended.stderr


def test_repaired_wheel_works(case: Case, wheel: Path, bookworm: Root, tmp_path: Path) -> None:
    fixed = deloc8("fixup", str(wheel), "--plat", "auto", "-w", str(tmp_path / "wheelhouse"))
    assert fixed.returncode == 0, fixed.stderr
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    assert "-manylinux" in repaired.name
    unpacked = unpack(repaired, tmp_path / "wheel")
    ended = bookworm.python([f"/mnt/scripts/use_{case.name}.py"], wheel=unpacked, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr
    again = deloc8("show", str(repaired))
    assert again.returncode == 0, again.stderr
