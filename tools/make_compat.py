"""Write the table of the functions that the compatibility library has.

Run after a function came or went in compat/src, with the ziglang that compat/build.py names:

    python tools/make_compat.py

A function is a line `/// name: what it does` in the sources; `(64-bit)` behind the name says that the 32-bit machines
have none of ours. `/// symbol@version by name: what it does` is one under a name of its own, in place of that version
of a symbol, where older releases have another function under the symbol's name. Which glibc introduced it on a machine
is read from the libraries that zig links with, for each of the versions below: a function that moved to another library
meanwhile counts from its first version. A machine whose first glibc has the function needs none of ours, and one whose
last has none cannot ask for it. The table is read by `deloc8.repair.lowering.compat_library` and by compat/build.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Mapping

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from compat.build import TABLE, TARGETS, build, check_compiler  # noqa: E402  it lies beside this folder

# The last glibc that zig knows, and the last ones before functions of libpthread moved into libc.
VERSIONS = ("2.44", "2.33", "2.31")


def number(version: str) -> tuple[int, ...]:
    """What versions are compared by."""
    return tuple(int(part) for part in version.split("."))


_LINE = re.compile(r"^/// (?:(\w+)@([\d.]+) by )?(\w+)( \(64-bit\))?: (.+)$", re.MULTILINE)


class Described(NamedTuple):
    """What the sources say.

    Attributes:
        texts: What each function does, by its name.
        wide: The functions for 64-bit machines alone.
        renamed: The symbol and the version that a function with a name of its own replaces.
    """

    texts: dict[str, str]
    wide: set[str]
    renamed: dict[str, tuple[str, str]]


def described() -> Described:
    """The functions of the sources."""
    found = Described({}, set(), {})
    for path in sorted((TOP / "compat" / "src").glob("*.c")):
        for symbol, version, name, mark, text in _LINE.findall(path.read_text("utf-8")):
            if name in found.texts:
                sys.exit(f"{path}: {name} is described twice")
            found.texts[name] = text
            if mark:
                found.wide.add(name)
            if symbol:
                found.renamed[name] = (symbol, version)
    return found


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


def introduced(machine: str, names: list[str], renamed: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The first version of each function that came to a machine after its first glibc.

    Of a function with a name of its own, the version that it replaces, where that is the machine's newest.
    """
    target = TARGETS[machine]
    versions = [version for version in VERSIONS if number(version) >= number(target.glibc)]
    tables = [defined(f"{target.triple}.{version}") for version in versions]
    found = {}
    for name in names:
        if name in renamed:
            symbol, version = renamed[name]
            if tables[0].get(symbol) == version and number(version) > number(target.first):
                found[name] = version
            continue
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
    sources = described()
    machines = {}
    for machine in TARGETS:
        left_out = sources.wide if machine in {"i686", "armv7l"} else set()
        names = sorted(sources.texts.keys() - left_out)
        functions = introduced(machine, names, sources.renamed)
        with tempfile.TemporaryDirectory() as scratch:
            library = Path(scratch) / f"{machine}.so"
            build(machine, sorted(functions), library)
            machines[machine] = {"needs": needed(library), "functions": functions}
        print(f"{machine}: {len(functions)} functions, glibc {machines[machine]['needs']}")
    used = {name for machine in machines.values() for name in machine["functions"]}
    if unused := sorted(sources.texts.keys() - used):
        sys.exit(f"no machine can ask for {', '.join(unused)}")
    value = {
        "descriptions": dict(sorted(sources.texts.items())),
        "replaces": {name: symbol for name, (symbol, _) in sorted(sources.renamed.items())},
        "machines": machines,
    }
    TABLE.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
