"""Wheels of machines that no Debian 12 is made for: repaired here, and run where an emulator finds a C library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kit.command import run_program
from kit.compile import Toolchain, zig
from kit.machines import LOONGARCH64, PPC64, RISCV64, Machine, build_greeting, build_stand_in, check_greeting, unpack


def repair(machine: Machine, toolchain: Toolchain, folder: Path) -> tuple[str, Path, Path]:
    """The platform tags of the repaired wheel, and the unpacked wheels before and after."""
    wheel = build_greeting(toolchain, folder, f"cp310-abi3-linux_{machine.name}")
    (folder / "sysroot/usr").mkdir(parents=True)
    (folder / "libraries").rename(folder / "sysroot/usr/lib")
    fixed = run_program("fixup", wheel, "--sysroot", folder / "sysroot", "-w", folder / "wheelhouse")
    assert fixed.code == 0, fixed.err
    (repaired,) = (folder / "wheelhouse").iterdir()
    unpack(wheel, folder / "plain")
    unpack(repaired, folder / "repaired")
    libraries = [folder / "sysroot/usr/lib" / name for name in ("libgreet.so.1", "libwords.so.2")]
    check_greeting((folder / "plain/greeting/_core.abi3.so", *libraries), folder / "repaired")
    tags = repaired.name.removeprefix("greeting-1.0-cp310-abi3-").removesuffix(".whl")
    return tags, folder / "plain", folder / "repaired"


@pytest.mark.parametrize(
    ("machine", "linker", "tag"),
    [
        (RISCV64, "lld", "manylinux_2_31_riscv64"),
        (PPC64, "bfd", "manylinux2014_ppc64.manylinux_2_17_ppc64"),
    ],
    ids=["riscv64-lld", "ppc64-bfd"],
)
def test_repaired_module_greets(machine: Machine, linker: str, tag: str, tmp_path: Path) -> None:
    libc = Path("/usr", machine.triple)
    if not (libc / "lib" / "libc.so.6").exists():
        pytest.skip(f"needs a C library for {machine.name} in {libc} (Debian: libc6-{machine.name}-cross)")
    tags, plain, repaired = repair(machine, machine.toolchain(linker), tmp_path)
    assert tags == tag
    stand_in = build_stand_in(machine.toolchain(linker))

    def run(folder: Path) -> str:
        command = [machine.emulator, "-L", str(libc), str(stand_in), str(folder / "greeting/_core.abi3.so")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout

    assert "libgreet.so.1: cannot open shared object file" in run(plain)
    assert run(repaired) == "Hello, world!\n"


def test_loongarch64(tmp_path: Path) -> None:
    tags, _, _ = repair(LOONGARCH64, LOONGARCH64.toolchain("lld"), tmp_path)
    assert tags == "manylinux_2_36_loongarch64"


def test_musl_on_a_machine_without_a_policy(tmp_path: Path) -> None:
    """There is no musllinux for ppc64; the libraries are grafted all the same, where the user says so."""
    toolchain = PPC64.toolchain("lld")
    wheel = build_greeting(toolchain, tmp_path / "here", "cp310-abi3-linux_ppc64")
    folder = tmp_path / "here/libraries"
    refused = run_program("fixup", wheel, "-w", tmp_path / "wheelhouse", "--add-path", folder)
    # Nothing in the wheel tells its libc, and this machine has glibc.
    assert (refused.code, refused.err.count("error:")) == (1, 1)
    assert f"tried: {folder}/libgreet.so.1 (for another C library)" in refused.err
    # A system of musl tells it.
    loader = tmp_path / "musl/lib/ld-musl-powerpc64.so.1"
    loader.parent.mkdir(parents=True)
    shutil.copy(folder / "libwords.so.2", loader)
    options = ("--sysroot", tmp_path / "musl", "-w", tmp_path / "wheelhouse")
    (tmp_path / "musl/usr").mkdir()
    shutil.copytree(folder, tmp_path / "musl/usr/lib")
    refused = run_program("fixup", wheel, *options)
    assert (refused.code, refused.err.count("error:")) == (1, 1)
    assert "there is no policy for its machine and C library [no-policy]" in refused.err
    fixed = run_program(
        "fixup", wheel, "--plat", "linux_ppc64", "--graft", "libgreet*", "--graft", "libwords*", *options
    )
    assert fixed.code == 0, fixed.err
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    assert repaired.name == wheel.name
    unpack(wheel, tmp_path / "plain")
    unpack(repaired, tmp_path / "repaired")
    libraries = sorted(folder.iterdir())
    check_greeting((tmp_path / "plain/greeting/_core.abi3.so", *libraries), tmp_path / "repaired")


@pytest.mark.parametrize("command", ["show", "fixup", "tree"])
@pytest.mark.parametrize(
    ("target", "name", "told"),
    [
        ("arm-linux-gnueabi", "armv5tel", "e_machine 40, 32 bit, little endian, e_flags 0x5000200"),
        ("mips-linux-gnueabi", "mips", "e_machine 8, 32 bit, big endian"),
        ("sparc64-linux-gnu", "sparc64", "e_machine 43, 64 bit, big endian"),
    ],
    ids=["armv5", "mips", "sparc"],
)
def test_unknown_machines_are_one_clear_error(target: str, name: str, told: str, command: str, tmp_path: Path) -> None:
    wheel = build_greeting(zig(target), tmp_path, f"cp310-abi3-linux_{name}")
    options = ("-w", tmp_path / "wheelhouse") if command == "fixup" else ()
    ended = run_program(command, wheel, "--add-path", tmp_path / "libraries", *options)
    assert (ended.code, ended.out, ended.err.count("error:")) == (1, "", 1)
    assert "its compiled files are for a machine that is unknown to the policies [unknown-machine]" in ended.err
    assert f"`greeting/_core.abi3.so` is {told}" in ended.err
    assert not (tmp_path / "wheelhouse").exists()
