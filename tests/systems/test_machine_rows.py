"""The rows of machines beside real Debians of five machines, and libraries found there by patterns."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.dlopen.openings import Source
from deloc8.loader.ldconf import default_folders, read_cache_of
from deloc8.loader.sysroot import Sysroot
from deloc8.machines import Arch
from deloc8.workflow.audit import AuditOptions, audit_wheel
from kit.command import run_program
from kit.distribution import Root, debian
from kit.elf import MACHINES as SPECS
from kit.elf import build_elf
from kit.machines import AARCH64, ARMV7L, I686, PPC64LE, S390X, Machine
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.systems

EXTENSION = "demo/_core.abi3.so"
# A library that Python needs and no policy whitelists.
LIBRARY = "libffi.so.8"
every_machine = pytest.mark.parametrize(
    "machine", [S390X, ARMV7L, AARCH64, PPC64LE, I686], ids=lambda machine: machine.name
)


def root_of(machine: Machine) -> Root:
    return debian("bookworm", ("python3", "libc-bin"), machine.debian)


def with_cache(machine: Machine, root: Root, folder: Path) -> tuple[Path, str]:
    """The libraries of a root and the cache that its own ldconfig writes, and what `ldconfig -p` prints of it."""
    ignored = shutil.ignore_patterns("python3*", "share", "dev", "proc", "bin", "var")
    shutil.copytree(root.path, folder, symlinks=True, ignore=ignored)
    ldconfig = next(path for path in (root.path / "usr/sbin/ldconfig", root.path / "sbin/ldconfig") if path.exists())
    command = [machine.emulator, str(ldconfig)]
    subprocess.run([*command, "-r", str(folder)], check=True, capture_output=True)
    printed = subprocess.run(
        [*command, "-p", "-C", str(folder / "etc/ld.so.cache")], check=True, capture_output=True, text=True
    )
    return folder, printed.stdout


def wheel_of(machine: Machine, folder: Path) -> Path:
    """A wheel of the machine that looks for the library by the way that programs do."""
    members = {
        "demo/__init__.py": b"import ctypes.util\nctypes.CDLL(ctypes.util.find_library('ffi'))\n",
        EXTENSION: build_elf(SPECS[machine.name]),
    }
    return build_wheel(folder, members, tags=(f"cp310-abi3-linux_{machine.name}",))


@every_machine
def test_the_root_of_a_machine_agrees_with_its_row(machine: Machine, tmp_path: Path) -> None:
    root, arch = root_of(machine), Arch(machine.name)
    row, sysroot = arch.row, Sysroot(root.path)
    assert (root.path / "var/lib/dpkg/arch").read_text().split() == [row.debian]
    assert sysroot.real_path(row.loader) is not None
    assert sysroot.real_path(f"/lib/{row.multiarch}/libc.so.6") is not None
    assert default_folders(sysroot, row.loader, arch)[:2] == (f"/lib/{row.multiarch}", f"/usr/lib/{row.multiarch}")
    cached, _ = with_cache(machine, root, tmp_path / "cached")
    cache = read_cache_of(Sysroot(cached))
    assert cache is not None
    assert {entry.flags for entry in cache.named("libc.so.6")} <= set(row.cache_flags)
    assert cache.find("libc.so.6", arch=arch) is not None


@pytest.mark.parametrize("has_cache", [False, True], ids=["no cache", "cache"])
@every_machine
def test_libraries_are_found_by_patterns(machine: Machine, tmp_path: Path, has_cache: bool) -> None:  # noqa: FBT001
    root = root_of(machine)
    place = root.path
    wheel = wheel_of(machine, tmp_path)
    if has_cache:
        place, printed = with_cache(machine, root, tmp_path / "cached")
        # What `ctypes.util.find_library` reads.
        assert re.search(rf"{re.escape(LIBRARY)} \(libc6.*\) => \S+/{Arch(machine.name).row.multiarch}/", printed)
    audit = audit_wheel(wheel, AuditOptions(sysroot=place, dlopen=True))
    found = [opening.resolution for opening in audit.openings or () if "libffi.so*" in opening.names]
    assert [(resolution.source, (resolution.target or "").rpartition("/")[2][:11]) for resolution in found] == [
        (Source.SYSTEM, LIBRARY)
    ]

    command = ("fixup", wheel, "--sysroot", place, "--include", "libffi*", "-w", tmp_path / "wheelhouse")
    fixed = run_program(*command, "--format", "json", "--dry-run")
    assert fixed.code == 0, fixed.err
    assert LIBRARY in json.dumps(fixed.json)
    fixed = run_program(*command)
    assert fixed.code == 0, fixed.err
    assert any((tmp_path / "wheelhouse").iterdir())
