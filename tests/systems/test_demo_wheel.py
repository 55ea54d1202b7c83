"""The demo's wheel, built and repaired here, used in Debians before and after this one."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kit.distribution import debian

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"


@pytest.fixture(scope="module")
def repaired(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the unpacked repaired wheel."""
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, str(top / "examples" / "build_demo.py"), str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    command = [str(Path(sys.executable).with_name("deloc8")), "fixup", str(wheel), "-w", str(folder / "wheelhouse")]
    subprocess.run(command, env={**os.environ, "LD_LIBRARY_PATH": str(folder / "libraries")}, check=True)
    (written,) = (folder / "wheelhouse").iterdir()
    with zipfile.ZipFile(written) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


# glibc 2.31 with Python 3.9, 2.36 with 3.11, 2.41 with 3.13.
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_repaired_wheel_greets(repaired: Path, suite: str) -> None:
    root = debian(suite, ("python3",))
    ended = root.python(["/mnt/scripts/use_greeting.py"], wheel=repaired, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr
