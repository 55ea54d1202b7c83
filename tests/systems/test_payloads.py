"""A program of SBCL in a wheel, repaired, and started in a Debian that lacks the library it needs."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.command import run_program
from kit.distribution import Root, debian
from kit.payload_programs import SAYS, output_of, sbcl
from kit.wheels import build_wheel

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
MEMBERS = {"package": "demo/bin/program", "scripts": "demo-1.0.data/scripts/program"}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A Debian without libzstd, which only dpkg needs there."""
    path = tmp_path_factory.mktemp("bare") / "root"
    unwanted = shutil.ignore_patterns("libzstd.so*", "share", "dev", "proc")
    shutil.copytree(debian("bookworm", ("python3",)).path, path, symlinks=True, ignore=unwanted)
    for name in ("dev", "proc"):
        (path / name).mkdir()
    return Root(path=path)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = sbcl(tmp_path_factory.mktemp("sbcl"))
    assert SAYS in output_of(made)
    return made.read_bytes()


def start(root: Root, folder: Path, member: str) -> subprocess.CompletedProcess[str]:
    """How a program of an unpacked wheel ended."""
    arguments = ["-c", f"import os; os.execv('/mnt/wheel/{member}', ['program'])"]
    return root.python(arguments, wheel=folder, scripts=SCRIPTS)


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for path in folder.rglob("program"):
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("place", "strip"), [("package", ()), ("package", ("--strip=all",)), ("scripts", ("--strip=debug",))]
)
def test_a_program_of_sbcl_finds_its_core(
    bare: Root, program: bytes, place: str, strip: tuple[str, ...], tmp_path: Path
) -> None:
    member = MEMBERS[place]
    members = {"demo/__init__.py": b"", member: program}
    tags = ("py3-none-linux_x86_64",)
    wheel = build_wheel(tmp_path, members, tags=tags, modes={member: 0o755})
    ended = start(bare, unpack(wheel, tmp_path / "before"), member)
    assert ended.returncode == 127
    assert "libzstd.so.1: cannot open shared object file" in ended.stderr

    fixed = run_program("fixup", wheel, "-w", tmp_path / "out", *strip)
    assert fixed.code == 0, fixed.err
    (repaired,) = (tmp_path / "out").iterdir()
    folder = unpack(repaired, tmp_path / "after")
    moved = member if place == "package" else "demo.scripts/program"
    ended = start(bare, folder, moved)
    assert (ended.returncode, ended.stdout) == (0, f"{SAYS}\n"), ended.stderr
    checked = run_program("check", repaired)
    assert checked.code == 0, checked.out
    shutil.rmtree(folder)
