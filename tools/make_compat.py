"""Write the table of the functions that the compatibility library has.

Run after a function came or went in compat/src, with the ziglang that compat/build.py names:

    python tools/make_compat.py

A function is a line `/// name: what it does` in the sources; `(64-bit)` behind the name says that the 32-bit machines
have none of ours. Which glibc introduced it on a machine is read from the libraries that zig links with, for each of
the versions below: a function that moved to another library meanwhile counts from its first version. A machine whose
first glibc has the function needs none of ours, and one whose last has none cannot ask for it. The table is read by
`deloc8.repair.compatlib` and by compat/build.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from compat.build import TABLE, TARGETS, build, check_compiler  # noqa: E402  it lies beside this folder

# The last glibc that zig knows, and the last ones before functions of libpthread moved into libc.
VERSIONS = ("2.44", "2.33", "2.31")


def number(version: str) -> tuple[int, ...]:
    """What versions are compared by."""
    return tuple(int(part) for part in version.split("."))


def described() -> tuple[dict[str, str], frozenset[str]]:
    """What each function does, by its name; and those for 64-bit machines alone."""
    found: dict[str, str] = {}
    wide = set()
    for path in sorted((TOP / "compat" / "src").glob("*.c")):
        for name, mark, text in re.findall(r"^/// (\w+)( \(64-bit\))?: (.+)$", path.read_text("utf-8"), re.MULTILINE):
            if name in found:
                sys.exit(f"{path}: {name} is described twice")
            found[name] = text
            wide |= {name} if mark else set()
    return dict(sorted(found.items())), frozenset(wide)


def defined(target: str) -> dict[str, str]:
    """The version of each name that the libraries of a target define by default."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(Path(scratch) / "cache")}
        source = Path(scratch) / "empty.c"
        source.write_text("typedef int nothing;\n", encoding="ascii")
        # Without zig's own runtime, which takes a while to build.
        command = [sys.executable, "-m", "ziglang", "build-lib", "-dynamic", "-fno-compiler-rt", "-fno-ubsan-rt", "-lc"]
        command += ["-target", target, f"-femit-bin={scratch}/empty.so", str(source)]
        subprocess.run(command, env=environment, check=True)
        for name in ("libc.so.6", "libpthread.so.0", "libm.so.6", "libdl.so.2", "librt.so.1"):
            for path in (Path(scratch) / "cache").rglob(name):
                found |= defined_by(path)
    return found


def defined_by(path: Path) -> dict[str, str]:
    """The version of each name that a library defines by default."""
    with path.open("rb") as stream:
        elf: Any = ELFFile(stream)
        definitions = elf.get_section_by_name(".gnu.version_d")
        names = {
            version["vd_ndx"]: next(iter(auxiliaries)).name for version, auxiliaries in definitions.iter_versions()
        }
        indices = elf.get_section_by_name(".gnu.version")
        found = {}
        for index, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
            version = indices.get_symbol(index)["ndx"]
            if symbol["st_shndx"] != "SHN_UNDEF" and isinstance(version, int) and not version & 0x8000:
                found[symbol.name] = names[version].removeprefix("GLIBC_")
        return found


def introduced(machine: str, names: list[str]) -> dict[str, str]:
    """The first version of each function that came to a machine after its first glibc."""
    target = TARGETS[machine]
    versions = [version for version in VERSIONS if number(version) >= number(target.glibc)]
    tables = [defined(f"{target.triple}.{version}") for version in versions]
    found = {}
    for name in names:
        known = [table[name] for table in tables if re.fullmatch(r"[\d.]+", table.get(name, ""))]
        first = min(known, key=number, default=target.first)
        if number(first) > number(target.first):
            found[name] = first
    return found


def needed(path: Path) -> str:
    """The highest version that a library asks of glibc."""
    with path.open("rb") as stream:
        section: Any = ELFFile(stream).get_section_by_name(".gnu.version_r")
        versions: list[str] = [each.name for _, auxiliaries in section.iter_versions() for each in auxiliaries]
    return max((version.removeprefix("GLIBC_") for version in versions), key=number)


def main() -> None:
    """Write the table, after a build of each library that shows what it needs."""
    check_compiler()
    descriptions, wide = described()
    machines = {}
    for machine in TARGETS:
        left_out = wide if machine in {"i686", "armv7l"} else frozenset()
        functions = introduced(machine, [name for name in descriptions if name not in left_out])
        with tempfile.TemporaryDirectory() as scratch:
            library = Path(scratch) / f"{machine}.so"
            build(machine, sorted(functions), library)
            machines[machine] = {"needs": needed(library), "functions": functions}
        print(f"{machine}: {len(functions)} functions, glibc {machines[machine]['needs']}")
    used = {name for machine in machines.values() for name in machine["functions"]}
    if unused := sorted(set(descriptions) - used):
        sys.exit(f"no machine can ask for {', '.join(unused)}")
    table = json.dumps({"descriptions": descriptions, "machines": machines}, indent=1)
    TABLE.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
