"""A library that calls what glibc gave new versions, built, lowered and run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.command import run_program
from kit.compile import Toolchain, build, zig
from kit.glibc import glibc
from kit.machines import EXAMPLES, unpack
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.command import Result
    from kit.glibc import Glibc

SOURCE = Path(__file__).with_name("lowering_calls.c")
# It takes the place of Python: it opens the library and calls it.
DRIVER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words)
{
    void *library = dlopen(words[1], RTLD_NOW);
    int (*calls)(const char *, int) = library ? (int (*)(const char *, int))dlsym(library, "calls") : 0;
    if (!calls)
        return fprintf(stderr, "%s\n", dlerror()), 1;
    return calls(words[2], atoi(words[3]));
}
"""
# And this one lets Python call it, and calls a new function itself.
EXTENSION = r"""
#include "stable_abi.h"
#include <stdio.h>
#include <sys/stat.h>
int calls(const char *folder, int exact);
static PyObject *run(PyObject *module, PyObject *arguments)
{
    const char *folder;
    char text[40];
    struct stat found;
    if (!PyArg_ParseTuple(arguments, "s", &folder))
        return 0;
    calls(folder, 0);
    int result = stat(folder, &found);
    snprintf(text, sizeof text, "%d %d", result, S_ISDIR(found.st_mode));
    return PyUnicode_FromString(text);
}
static PyMethodDef methods[] = {{"run", run, METH_VARARGS, 0}, {0}};
static PyModuleDef_Slot slots[] = {{0, 0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_core", 0, 0, methods, slots, 0, 0, 0};
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
"""
HERE = "here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How the library was built.

    Attributes:
        toolchain: By what.
        machine: For which machine.
        release: The glibc it was linked with, on which it runs as it is too.
        emulator: What qemu calls the machine, where this is another one.
    """

    toolchain: Toolchain
    machine: str = "x86_64"
    release: str
    emulator: str | None = None

    def library(self) -> Path:
        """The library as it was built."""
        linking = ("-fno-builtin", "-Wl,-soname,libcalls.so")
        return build(SOURCE.read_text(), self.toolchain, options=linking, inputs=(Path("-lm"),))

    def extension(self, library: Path) -> Path:
        """An extension module that needs the library, whose file has a name that linkers take for one."""
        options = (f"-I{EXAMPLES / 'greeting'}", "-Wl,-soname,_core.abi3.so")
        return build(EXTENSION, self.toolchain, options=options, inputs=(library,))

    def fixup(self, folder: Path, *options: str) -> Result:
        """What becomes of a wheel that holds the library."""
        library = self.library()
        members = {"calls/__init__.py": b"", "calls/libcalls.so": library.read_bytes()}
        wheel = build_wheel(folder, members, name="calls", tags=(f"py3-none-linux_{self.machine}",))
        unpack(wheel, folder / "plain")
        lower = ("--plat", f"manylinux_2_17_{self.machine}", "--lower-glibc")
        return run_program("fixup", wheel, "-w", folder / "wheelhouse", *lower, *options, "--format", "json")

    def libraries(self, release: str) -> Glibc | None:
        """The libraries of a release of glibc; None for this machine's own."""
        return None if release == HERE else glibc(self.machine, release, self.emulator)

    def lines(self, library: Path, libraries: Glibc | None, scratch: Path, *, exact: bool = False) -> list[str]:
        """What a library tells on a glibc, given a folder that is not there yet; the numbers to the last bit or not."""
        program = build(DRIVER, zig(f"{self.machine}-linux-gnu.2.17"), kind="pie", options=("-ldl",))
        scratch.mkdir()
        arguments = (str(library), str(scratch), str(int(exact)))
        if libraries is not None:
            return libraries.run(program, *arguments)
        ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=60)
        return ended.stdout.splitlines()


GCC = Build(toolchain=Toolchain("gcc"), release=HERE)
ZIG = Build(toolchain=zig("x86_64-linux-gnu.2.43"), release="2.43")
AARCH64 = Build(toolchain=zig("aarch64-linux-gnu.2.43"), machine="aarch64", release="2.43", emulator="aarch64")

# What the reasons of the class `differs` tell: %i and the prefix 0b.
NEWER, OLDER = "differs: %i of 0b101 = 5, 5 read", "differs: %i of 0b101 = 0, 1 read"
# What 2.17 itself does otherwise, under one and the same version: POSIX leaves open what a second slash means.
OLD_RELEASE = {'shm_open("/a/b", O_RDONLY, 0) = -1, errno 22': 'shm_open("/a/b", O_RDONLY, 0) = -1, errno 2'}


def compare(before: Sequence[str], after: Sequence[str], built: Build) -> None:
    """Nothing; AssertionError unless a library told the same as before, but for what its reasons tell."""
    assert len(before) > 2400
    assert [line for line in before if "differs" not in line] == [line for line in after if "differs" not in line]
    newer, older = ([line for line in lines if "differs" in line] for lines in (before, after))
    assert older == [OLDER]
    assert newer == [OLDER if built.release == HERE else NEWER]
