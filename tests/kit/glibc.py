"""The C libraries of Debian's releases: read by readelf, and asked by programs that run on them."""

from __future__ import annotations

import fcntl
import functools
import importlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.distribution import cache_folder, mirror
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
_LOADERS = ("ld-linux*.so.*", "ld64.so.*")


def lowering_tool(name: str) -> Any:
    """One of the modules of tools/ that make the tables of older symbol versions."""
    pytest.importorskip("elftools", reason="pyelftools is not installed: the tools read libraries with it")
    if str(_TOOLS) not in sys.path:
        sys.path.append(str(_TOOLS))
    return importlib.import_module(name)


@dataclass(frozen=True, slots=True)
class Glibc:
    """The libraries of one glibc for one machine.

    Attributes:
        folder: Where they are.
        emulator: What runs their programs; None where this machine does.
    """

    folder: Path
    emulator: str | None = None

    def run(self, program: Path, *arguments: str) -> list[str]:
        """The lines that a program prints when it runs on these libraries."""
        loader = next(path for pattern in _LOADERS for path in self.folder.glob(pattern))
        command = [str(loader), "--library-path", str(self.folder), str(program), *arguments]
        ended = subprocess.run(
            ([self.emulator] if self.emulator else []) + command,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout.splitlines()

    def defines(self, soname: str) -> Mapping[tuple[str, str], tuple[str, str]]:
        """The address and the type of every symbol and version that a library defines, as readelf tells them."""
        return _defined(self.folder / soname)

    def versions(self, soname: str) -> set[str]:
        """The versions that a library defines, as readelf tells them."""
        return _versions(self.folder / soname)


@functools.cache
def _readelf(option: str, path: Path) -> str:
    command = [require("readelf", "Debian: binutils"), "--wide", option, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.cache
def _defined(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    found = {}
    for line in _readelf("--dyn-syms", path).splitlines():
        # Num: Value Size Type Bind Vis Ndx Name@@Version; some machines have a remark in brackets before Ndx.
        words = line.split(" [")[0].split() if line.endswith("]") else line.split()
        if len(words) >= 8 and words[0].rstrip(":").isdigit() and words[-2] != "UND" and "@" in words[-1]:
            name, _, version = words[-1].partition("@")
            found[name, version.lstrip("@")] = words[1], words[3]
    return found


@functools.cache
def _versions(path: Path) -> set[str]:
    text = _readelf("--version-info", path).partition("Version definition section")[2].partition("Version needs")[0]
    return {line.split()[-1] for line in text.splitlines() if "Name: " in line}


@functools.cache
def debian_glibc(machine: str, release: str) -> Path:
    """The folder of Debian's packages of glibc for a machine, fetched once and kept in the user's cache."""
    packages = lowering_tool("lowering_packages")
    for program in ("apt-get", "dpkg-deb"):
        require(program, "Debian")
    cache = cache_folder() / "glibc"
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            packages.fetch(machine, release, cache, mirror=mirror())
        except (subprocess.CalledProcessError, packages.OtherReleaseError) as error:
            pytest.skip(f"apt can fetch no package of glibc {release} for {machine}: {error}")
    return cache


@functools.cache
def glibc(machine: str, release: str, qemu: str | None = None) -> Glibc:
    """The libraries of Debian's glibc, such as 2.31, for a machine; `qemu` names it where it is emulated."""
    unpacked = lowering_tool("lowering_packages").fetch(machine, release, debian_glibc(machine, release))
    (folder,) = {path.parent for path in Path(unpacked).rglob("libc.so.6")}
    return Glibc(folder, require(f"qemu-{qemu}-static", "Debian: qemu-user-static") if qemu else None)


def table_of(machine: str, releases: Sequence[str]) -> str:
    """The table that the tool makes for a machine from Debian's packages."""
    for release in releases:
        cache = debian_glibc(machine, release)
    tool = lowering_tool("lowering_table")
    libraries = lowering_tool("lowering_packages").read_machine(machine, cache)
    return str(tool.to_json(tool.Table(libraries, tool.Reviewed(machine))))
