"""The demo's wheel, built for other machines and repaired on this one, used in their Debians under an emulator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.command import run_program
from kit.distribution import Root, debian
from kit.editor_check import readelf
from kit.machines import AARCH64, ARMV7L, I686, PPC64LE, S390X, Machine, build_greeting, check_greeting, unpack

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
MACHINES = (S390X, ARMV7L, AARCH64, PPC64LE, I686)


def make_sysroot(root: Root, libraries: Path, folder: Path) -> Path:
    """The distribution once more, with more libraries."""
    shutil.copytree(root.path, folder, symlinks=True, ignore=shutil.ignore_patterns("python3*", "share", "dev", "proc"))
    shutil.copytree(libraries, folder / "usr" / "local" / "lib", dirs_exist_ok=True)
    return folder


def run_ldconfig(root: Root, machine: Machine, sysroot: Path) -> None:
    """Let the machine's own ldconfig write the cache, in its byte order."""
    ldconfig = next(path for path in (root.path / "usr/sbin/ldconfig", root.path / "sbin/ldconfig") if path.exists())
    subprocess.run([machine.emulator, str(ldconfig), "-r", str(sysroot)], check=True, capture_output=True, text=True)
    assert (sysroot / "etc/ld.so.cache").exists()


def newest_glibc(files: list[Path]) -> int:
    """The minor number of the newest glibc that some files ask for, in the words of readelf."""
    text = "\n".join(line for file in files for line in readelf(file, "-VW")[0])
    return max(map(int, re.findall(r"Name: GLIBC_2\.(\d+)", text)))


def oldest_loader(files: list[Path]) -> int:
    """The minor number of the oldest glibc whose ld.so reads the relocations of some files, in the words of readelf.

    Before 2.23 it took what is behind DT_REL for its continuation. On 32-bit Arm lld puts .ARM.exidx there.
    """
    for file in files:
        text = "\n".join(readelf(file, "-SW")[0])
        rows = re.findall(r"\.rela?\.(dyn|plt) +RELA? +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)", text)
        places = {name: (int(offset, 16), int(size, 16)) for name, offset, size in rows}
        if "plt" in places and "dyn" in places and sum(places["dyn"]) != places["plt"][0]:
            return 23
    return 0


def best_tag(minor: int, machine: str) -> str:
    """The tag of the oldest manylinux policy with that glibc, by the table of auditwheel."""
    auditwheel = pytest.importorskip("auditwheel", reason="needs the policies of auditwheel (PyPI: auditwheel)")
    table = Path(auditwheel.__file__).with_name("policy") / "manylinux-policy.json"
    policies = [policy for policy in json.loads(table.read_text()) if machine in policy["symbol_versions"]]
    numbers = {int(policy["name"].rsplit("_", 1)[1]): policy for policy in policies if policy["name"] != "linux"}
    policy = numbers[min(number for number in numbers if number >= minor)]
    return ".".join(sorted(f"{name}_{machine}" for name in (policy["name"], *policy["aliases"])))


@pytest.mark.parametrize("linker", ["bfd", "lld"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_repaired_wheel_greets(machine: Machine, linker: str, tmp_path: Path) -> None:
    wheel = build_greeting(machine.toolchain(linker), tmp_path, f"cp310-abi3-linux_{machine.name}")
    bare = debian("bookworm", ("python3", "libc-bin"), machine.debian)
    root = Root(path=bare.path, emulator=machine.emulator)
    libraries = tmp_path / "libraries"
    sysroot = make_sysroot(root, libraries, tmp_path / "sysroot")
    if linker == "bfd":
        run_ldconfig(root, machine, sysroot)

    # As it is it does not work there, and cannot be repaired with this machine's libraries.
    plain = unpack(wheel, tmp_path / "plain")
    ended = root.python(["/mnt/scripts/use_greeting.py"], wheel=plain, scripts=SCRIPTS)
    assert ended.returncode == 1
    assert "libgreet.so.1: cannot open shared object file" in ended.stderr
    refused = run_program("fixup", wheel, "-w", tmp_path / "wheelhouse")
    assert refused.code == 1
    assert "libgreet.so.1" in refused.err
    assert not any((tmp_path / "wheelhouse").glob("*"))

    shown = run_program("show", wheel, "--sysroot", sysroot, "--format", "json")
    assert shown.code == 0, shown.err
    (report,) = shown.json["wheels"]
    assert (report["machine"], report["libc"]) == (machine.name, "glibc")
    assert report["external_libraries"]["libgreet.so.1"] == "/usr/local/lib/libgreet.so.1"
    assert report["external_libraries"]["libwords.so.2"] == "/usr/local/lib/libwords.so.2"

    fixed = run_program("fixup", wheel, "--sysroot", sysroot, "-w", tmp_path / "wheelhouse")
    assert fixed.code == 0, fixed.err
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    unpacked = unpack(repaired, tmp_path / "repaired")
    ended = root.python(["/mnt/scripts/use_greeting.py"], wheel=unpacked, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr

    tag = repaired.name.removeprefix("greeting-1.0-cp310-abi3-").removesuffix(".whl")
    originals = [plain / "greeting/_core.abi3.so", *sorted(libraries.iterdir())]
    assert tag == best_tag(max(newest_glibc(originals), oldest_loader(originals)), machine.name)
    check_greeting(originals, unpacked)
