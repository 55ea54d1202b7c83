"""Small programs and libraries from real compilers and linkers, each built once in a test run.

    library = build(LIBRARY, Toolchain("gcc", linker="mold"), options=("-Wl,--build-id=none",))
    program = build(PROGRAM, Toolchain("gcc"), kind="pie")
    foreign = build(LIBRARY, zig("s390x-linux-gnu.2.17"))

A test that asks for a compiler or linker that is not there is skipped.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from kit.require import require

Kind = Literal["library", "pie", "static-address"]

# What `answer` gives depends on a needed library, on relocated data, on .bss and on versioned functions of libc.
LIBRARY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int dependency(int);
static int counters[1000];
int (*pointer)(int) = dependency;
const char *words[] = {"one", "three"};
int answer(int x) {
    char text[40];
    snprintf(text, sizeof text, "%d", dependency(x));
    counters[3] += x;
    return atoi(text) + pointer(1) + (int)strlen(words[1]) + counters[3] + counters[999];
}
"""
DEPENDENCY = "int dependency(int x) { return 2 * x; }\n"
PROGRAM = LIBRARY + '\nint main(void) { printf("%d\\n", answer(10)); return 0; }\n'
ANSWER = 37  # answer(10): 20 + 2 + 5 + 10
LOADER = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **paths) {
    for (int i = 1; i < count; i++) {
        void *library = dlopen(paths[i], RTLD_NOW);
        int (*answer)(int) = library ? (int (*)(int))dlsym(library, "answer") : 0;
        if (!answer) { printf("%s\n", dlerror()); return 1; }
        printf("%d\n", answer(10));
    }
    return 0;
}
"""


class Toolchain(NamedTuple):
    """A compiler and the linker it shall call (GNU ld where None)."""

    compiler: str
    linker: str | None = None
    target: str | None = None

    @property
    def name(self) -> str:
        """What a test's name says of it."""
        return "-".join(part for part in (self.target or self.compiler, self.linker) if part)


def zig(target: str) -> Toolchain:
    """The C compiler of ziglang (PyPI), which links with lld; the target may end with a glibc version."""
    return Toolchain("zig", target=target)


def _command(toolchain: Toolchain) -> list[str]:
    if toolchain.compiler == "zig":
        if find_spec("ziglang") is None:
            pytest.skip("needs the compiler of ziglang (PyPI: ziglang)")
        target = toolchain.target or "native"
        # Programs for musl are static unless one asks for another kind.
        return [sys.executable, "-m", "ziglang", "cc", "-target", target, *(["-dynamic"] if "musl" in target else [])]
    is_native = toolchain.compiler in {"gcc", "g++"}
    package = toolchain.compiler if is_native else f"gcc-{toolchain.compiler.removesuffix('-gcc')}"
    command = [require(toolchain.compiler, package)]
    if toolchain.linker:
        require(
            f"ld.{toolchain.linker}", {"bfd": "binutils", "gold": "binutils"}.get(toolchain.linker, toolchain.linker)
        )
        command.append(f"-fuse-ld={toolchain.linker}")
    return command


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="deloc8-kit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_KIND_OPTIONS: dict[Kind, tuple[str, ...]] = {
    "library": ("-shared", "-fPIC"),
    "pie": ("-pie", "-fPIE"),
    "static-address": ("-no-pie", "-fno-PIE"),
}


@functools.cache
def build(
    source: str,
    toolchain: Toolchain,
    *,
    kind: Kind = "library",
    options: tuple[str, ...] = (),
    inputs: tuple[Path, ...] = (),
) -> Path:
    """The path of a file that was built; libraries get the soname `libdemo.so` unless an option says otherwise.

    The test is skipped where the compiler is missing or the linker does not know an option.
    """
    key = hashlib.sha256(repr((source, toolchain, kind, options, inputs)).encode()).hexdigest()[:16]
    output = _folder() / f"{toolchain.name}-{kind}-{key}"
    soname = ("-Wl,-soname,libdemo.so",) if kind == "library" else ()
    language = "c++" if toolchain.compiler.endswith("++") else "c"
    arguments = ["-O1", "-w", *_KIND_OPTIONS[kind], *soname, *options, "-o", str(output), "-x", language, "-"]
    libraries = ["-x", "none", *map(str, inputs)] if inputs else []
    result = subprocess.run(
        [*_command(toolchain), *arguments, *libraries],
        input=source,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if result.returncode and ("unknown" in result.stderr or "unrecognized option" in result.stderr):
        pytest.skip(f"{toolchain.name} does not know one of {' '.join(options)}")
    assert result.returncode == 0, result.stderr
    return output


@functools.cache
def build_dependency(toolchain: Toolchain, soname: str = "libdependency.so.1") -> Path:
    """The library that LIBRARY and PROGRAM need; the file is named after its soname."""
    built = build(DEPENDENCY, toolchain, options=(f"-Wl,-soname,{soname}",))
    folder = built.with_name(built.name + "-folder")
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(built, folder / soname))


def without_sections(data: bytes) -> bytes:
    """An ELF file whose header announces no section headers."""
    wide = data[4] == 2
    changed = bytearray(data)
    place, width = (0x28, 8) if wide else (0x20, 4)  # e_shoff
    changed[place : place + width] = bytes(width)
    place = 0x3C if wide else 0x30  # e_shnum, then e_shstrndx
    changed[place : place + 4] = bytes(4)
    return bytes(changed)
