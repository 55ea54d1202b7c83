"""Functions inside functions, compiled anew: what is seen of them, and what becomes of them without their stack."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deloc8.elf.edit.vocabulary import ClearExecutableStack
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.image import parse
from deloc8.elf.read.trampolines import writes_trampolines
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.compile import Toolchain, build

NESTED = """
int call(int (*function)(int), int number) { return function(number); }
__attribute__((noinline)) int answer(int base) {
    int inside(int number) { return number + base; }
    return call(inside, 1);
}
"""
PLAIN = "int plain(int number) { return number + 1; }\n"
MACHINES = ("gcc", *(f"{name}-gcc" for name in ("i686-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf")))
MACHINES += ("s390x-linux-gnu-gcc", "powerpc64le-linux-gnu-gcc")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("compiler", MACHINES)
def test_nested_functions_are_seen(compiler: str, level: str) -> None:
    library = build(NESTED, Toolchain(compiler), options=(level,))
    assert parse(library.read_bytes(), "nested.so").runs_stack


def test_those_of_arm_itself_too() -> None:
    library = build(NESTED, Toolchain("arm-linux-gnueabihf-gcc"), options=("-marm",))
    assert parse(library.read_bytes(), "nested.so").runs_stack


@pytest.mark.parametrize("compiler", MACHINES)
def test_an_executable_stack_alone_is_none(compiler: str) -> None:
    library = build(PLAIN, Toolchain(compiler), options=("-Wl,-z,execstack",))
    assert not parse(library.read_bytes(), "plain.so").runs_stack


def test_libraries_of_this_machine_have_none() -> None:
    """The patterns are rare: over all libraries, were their stacks executable, none would be taken for one in error."""
    files = sorted({path.resolve() for path in Path("/usr/lib").glob("*-linux-gnu/*.so*") if path.is_file()})
    found = []
    for file in files:
        try:
            view = View.open(file.read_bytes(), str(file))
        except ElfError:
            continue  # a script of the linker
        if writes_trampolines(view):
            found.append(file.name)
    if not files:
        pytest.skip("needs libraries in /usr/lib/*-linux-gnu")
    assert found == []


def answer(path: Path) -> subprocess.CompletedProcess[str]:
    code = f"import ctypes; print(ctypes.CDLL({str(path)!r}).answer(41))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_without_its_stack_such_a_library_crashes(tmp_path: Path) -> None:
    """Why `fixup` does not clear it; where glibc is 2.41, the one with its stack is not even loaded."""
    library = build(NESTED, Toolchain("gcc"), options=("-O2",))
    before = answer(library)
    if "cannot enable executable stack" in before.stderr:
        pytest.skip("needs a glibc before 2.41")
    assert before.stdout == "42\n"
    cleared = tmp_path / "cleared.so"
    cleared.write_bytes(edit(library.read_bytes(), [ClearExecutableStack()], "cleared.so").data)
    assert answer(cleared).returncode == -signal.SIGSEGV
