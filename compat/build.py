"""Build the compatibility library, one for each machine, with the C compiler of ziglang (PyPI).

    python compat/build.py [--output FOLDER] [MACHINE...]

The sources are in src/. What a library exports stands in the table of `deloc8.repair.lowering.compat_library`, which
tools/make_compat.py writes. The same sources, table and compiler give the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "src" / "deloc8" / "repair" / "data"
TABLE = DATA / "compat.json"
OUTPUT = DATA / "compat"

ZIG = "0.17.1"
"""The compiler that gives the same bytes everywhere: another version may give others."""
REQUIREMENT = f"ziglang=={ZIG}"

SONAME = "libdeloc8_compat.so.1"
SUFFIX = ".zlib"


class Target(NamedTuple):
    """How a machine is built for.

    Attributes:
        triple: Zig's name of it.
        first: The first glibc of the machine that a platform tag can name.
        glibc: The glibc that is linked with: the first, or the oldest that zig has and whose older symbols suffice.
        page: Its largest page, in bytes, as `deloc8.machines` has it.
        options: More options of the compiler.
    """

    triple: str
    first: str
    glibc: str
    page: int
    options: tuple[str, ...] = ()


TARGETS = {
    "x86_64": Target("x86_64-linux-gnu", "2.17", "2.17", 0x1000),
    # No newer processor than the 32-bit distributions themselves ask for.
    "i686": Target("x86-linux-gnu", "2.17", "2.17", 0x1000, ("-march=i686",)),
    "aarch64": Target("aarch64-linux-gnu", "2.17", "2.17", 0x10000),
    "armv7l": Target("arm-linux-gnueabihf", "2.17", "2.17", 0x1000),
    # The long double of all distributions until lately, and of the symbols whose name ends in l.
    "ppc64le": Target("powerpc64le-linux-gnu", "2.17", "2.19", 0x10000, ("-mabi=ibmlongdouble", "-mfloat128")),
    "s390x": Target("s390x-linux-gnu", "2.17", "2.17", 0x1000),
    "riscv64": Target("riscv64-linux-gnu", "2.27", "2.27", 0x1000),
    "loongarch64": Target("loongarch64-linux-gnu", "2.36", "2.36", 0x10000),
}

COMPILING = (
    "-std=gnu11",
    "-O2",
    "-g0",
    "-fPIC",
    # Threads can be cancelled inside: the unwinder must find its way out.
    "-funwind-tables",
    "-fvisibility=hidden",
    # A loop that copies must not become a call of the very function that it is in.
    "-fno-builtin",
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wall",
    "-Wextra",
    "-Werror",
)
LINKING = (
    "-shared",
    # Zig's own runtime defines functions of libc too, among them __chk_fail, which would be taken in their place.
    "-rtlib=none",
    "-s",
    "-Wl,--as-needed",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,--no-undefined",
    "-Wl,-Bsymbolic",
    "-Wl,-z,relro",
    "-Wl,-z,now",
    "-Wl,-z,noexecstack",
    # Threads that it started run in it, and destructors that it keeps: it stays where it was loaded.
    "-Wl,-z,nodelete",
    f"-Wl,-soname,{SONAME}",
)


def sources() -> list[str]:
    """The C files, named from this folder, so that no other path is in what is built."""
    return sorted(f"src/{path.name}" for path in (HERE / "src").glob("*.c"))


def build(machine: str, names: list[str], output: Path) -> None:
    """Nothing; the library of a machine is written.

    Args:
        machine: Its name in platform tags.
        names: What the library shall export.
        output: The file.
    """
    target = TARGETS[machine]
    with tempfile.TemporaryDirectory(prefix="deloc8-compat-") as scratch:
        script = Path(scratch) / "exports.map"
        script.write_text("{ global: " + " ".join(f"{name};" for name in names) + " local: *; };\n", encoding="ascii")
        built = Path(scratch) / SONAME
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{target.triple}.{target.glibc}"]
        command += [*COMPILING, *target.options, *LINKING, f"-Wl,-z,max-page-size={target.page}"]
        command += [f"-Wl,--version-script={script}", "-o", str(built), *sources(), "-lpthread", "-ldl"]
        subprocess.run(command, cwd=HERE, env=_environment(Path(scratch)), check=True)
        _write(output, built.read_bytes())


def _write(output: Path, data: bytes) -> None:
    """Nothing; a file that is there is a whole one."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(output)


def _environment(scratch: Path) -> dict[str, str]:
    """The environment, in which zig finds a folder for its cache even where there is no home."""
    environment = dict(os.environ)
    home = environment.get("HOME", "")
    if "ZIG_GLOBAL_CACHE_DIR" not in environment and not (home and os.access(home, os.W_OK)):
        environment["ZIG_GLOBAL_CACHE_DIR"] = str(scratch / "cache")
    return environment


def exports(machine: str) -> list[str]:
    """The names that the library of a machine exports."""
    return sorted(json.loads(TABLE.read_text("utf-8"))["machines"][machine]["functions"])


def check_compiler() -> None:
    """Nothing; the script ends with a message where the compiler is missing or not the one that is meant."""
    command = [sys.executable, "-m", "ziglang", "version"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    version = found.stdout.strip() if found.returncode == 0 else "none"
    if version != ZIG:
        sys.exit(f"the compatibility library is built with {REQUIREMENT}; this Python has {version}: pip install it")


def build_all(output: Path, machines: list[str] | None = None) -> list[Path]:
    """The files of the libraries, which are written; all of them where no machine is named.

    They are compressed, so that nobody takes the files of other machines in deloc8's wheel for what it runs.
    """
    check_compiler()
    files = []
    for machine in machines or sorted(TARGETS):
        with tempfile.TemporaryDirectory(prefix="deloc8-compat-") as scratch:
            library = Path(scratch) / SONAME
            build(machine, exports(machine), library)
            files.append(output / f"{machine}.so{SUFFIX}")
            _write(files[-1], zlib.compress(library.read_bytes(), 9))
    return files


def main() -> None:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(description="Build the compatibility library.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the folder for the libraries")
    parser.add_argument("machines", nargs="*", choices=[[], *sorted(TARGETS)], metavar="MACHINE")
    given = parser.parse_args()
    for path in build_all(given.output, given.machines):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
