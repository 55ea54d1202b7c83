"""The functions of the compatibility library on other glibcs and other machines.

There they do what glibc's own do, where it has them, and everywhere the same as here.
"""

from __future__ import annotations

import functools
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compat import build

from deloc8.target import Arch
from kit.compat_library import Transcript, compat_library, differences, named_alike, transcript
from kit.distribution import debian
from kit.glibc import glibc
from kit.machines import AARCH64, ARMV7L, I686, PPC64LE, RISCV64, S390X, Machine
from kit.require import require
from kit.runtimes import extract

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.systems

kernels = pytest.mark.parametrize("old_kernel", [False, True], ids=["this-kernel", "old-kernel"])
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs a machine that runs x86_64's programs")

NEWEST = "2.43"

# What a release of glibc did otherwise than later ones.
OTHERWISE = {
    # Before 2.33 an invalid number was none that signals.
    "bullseye": {"__issignalingl"},
    # The condition variable has another form since 2.41, which has the function.
    # And getrandom is no cancellation point any more, where the kernel has it in the vDSO.
    "trixie": {"pthread_cond_clockwait", "getrandom"},
    # And timespec_getres sets errno where it does not know the base; C asks for a result of 0 only.
    NEWEST: {"pthread_cond_clockwait", "getrandom", "timespec_getres"},
}


@functools.cache
def here(*, old_kernel: bool) -> Transcript:
    return transcript("x86_64", library=True, old_kernel=old_kernel)


@pytest.fixture(scope="module")
def glibc_2_17(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the libraries of glibc 2.17."""
    folder = tmp_path_factory.mktemp("glibc")
    return extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder) / "lib"


@on_x86_64
@kernels
def test_glibc_2_17(glibc_2_17: Path, *, old_kernel: bool) -> None:
    """It has none of the functions, and with ours a program does what it does here."""
    runner = (glibc_2_17 / "ld-2.17.so", "--library-path", glibc_2_17)
    assert transcript("x86_64", runner=runner, old_kernel=old_kernel) == {}
    ours = transcript("x86_64", runner=runner, library=True, old_kernel=old_kernel)
    assert set(ours) == named_alike(Arch.X86_64)
    assert differences(here(old_kernel=old_kernel), ours) == {}


THROWS = """
#include <stdio.h>
struct Guard { int *count; ~Guard() { ++*count; } };
__attribute__((noinline)) int deep(int level, int *count) {
    Guard guard{count};
    if (level == 0) throw 42;
    return deep(level - 1, count) + 1;
}
int main() {
    int count = 0;
    try { deep(10, &count); } catch (int thrown) { printf("caught %d after %d\\n", thrown, count); }
    return 0;
}
"""


def build_throwing(folder: Path) -> Path:
    """A program with gcc's unwinder inside, which asks for _dl_find_object, and with our library."""
    compiler = require("g++", "Debian: g++")
    command = [compiler, "-O1", "-c", "-x", "c++", "-", "-o", str(folder / "throws.o")]
    subprocess.run(command, input=THROWS, text=True, check=True)
    found = subprocess.run([compiler, "-print-libgcc-file-name"], capture_output=True, text=True, check=True)
    archives = [str(Path(found.stdout.strip()).with_name(name)) for name in ("libsupc++.a", "libgcc_eh.a")]
    library = str(shutil.copy(compat_library("x86_64"), folder))
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17", "-o", str(folder / "throws")]
    command += [str(folder / "throws.o"), *archives, "-lc", "-lpthread", "-ldl", library, f"-Wl,-rpath,{folder}"]
    subprocess.run(command, check=True)
    return folder / "throws"


def provider(command: Sequence[str | Path]) -> str:
    """The name of the library that _dl_find_object came from, once the program has caught what it threw."""
    environment = {"LD_DEBUG": "bindings", "LC_ALL": "C"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "caught 42 after 11\n"), ended.stderr
    found = re.findall(r"binding file \S*throws \[0\] to (\S+) .*`_dl_find_object'", ended.stderr)
    assert len(found) == 1
    return Path(found[0]).name


@on_x86_64
def test_exceptions_find_their_way_on_glibc_2_17(glibc_2_17: Path, tmp_path: Path) -> None:
    program = build_throwing(tmp_path)
    if "_dl_find_object" not in (tmp_path / "throws").read_bytes().decode("latin-1"):
        pytest.skip("needs an unwinder of gcc 12 or later")
    old = (glibc_2_17 / "ld-2.17.so", "--library-path", f"{glibc_2_17}:{tmp_path}", program)
    assert provider(old) == build.SONAME


@on_x86_64
@kernels
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_glibcs_of_debian(suite: str, *, old_kernel: bool) -> None:
    libraries = debian(suite, ("python3",)).path / "lib/x86_64-linux-gnu"
    loader = next(path for path in (libraries / "ld-2.31.so", libraries / "ld-linux-x86-64.so.2") if path.exists())
    runner = (loader, "--library-path", libraries)
    ours = transcript("x86_64", runner=runner, library=True, old_kernel=old_kernel)
    theirs = transcript("x86_64", runner=runner, old_kernel=old_kernel)
    otherwise = OTHERWISE.get(suite, set())
    assert set(ours) | otherwise >= named_alike(Arch.X86_64)
    assert len(theirs) > 50
    assert differences(here(old_kernel=old_kernel), ours) == {}
    assert set(differences(theirs, ours)) <= otherwise, differences(theirs, ours)


@on_x86_64
def test_the_newest_glibc() -> None:
    """It has the functions itself; one only for programs that were linked with the release before."""
    libraries = glibc("x86_64", NEWEST).folder
    runner = (libraries / "ld-linux-x86-64.so.2", "--library-path", libraries)
    ours = transcript("x86_64", runner=runner, library=True)
    theirs = transcript("x86_64", runner=runner)
    assert named_alike(Arch.X86_64) - set(theirs) == {"uimaxabs"}
    assert ("uimaxabs", "GLIBC_2.42") in glibc("x86_64", NEWEST).defines("libc.so.6")
    assert set(ours) | OTHERWISE[NEWEST] >= named_alike(Arch.X86_64)
    assert differences(here(old_kernel=False), ours) == {}
    assert set(differences(theirs, ours)) <= OTHERWISE[NEWEST]


@on_x86_64
def test_the_newest_glibc_where_words_have_32_bits(tmp_path: Path) -> None:
    libraries = glibc("i686", NEWEST).folder
    # Threads that are cancelled are unwound by it.
    (unwinder, *_) = debian("bookworm", ("python3", "libc-bin"), "i386").path.rglob("libgcc_s.so.1")
    shutil.copy(unwinder, tmp_path)
    runner = (libraries / "ld-linux.so.2", "--library-path", f"{libraries}:{tmp_path}")
    ours = transcript("i686", runner=runner, library=True)
    theirs = transcript("i686", runner=runner)
    assert len([name for name in theirs if name.startswith("__isoc23_")]) == 20
    assert set(differences(theirs, ours)) <= OTHERWISE[NEWEST]


OTHERS = [(machine, "bookworm") for machine in (S390X, ARMV7L, AARCH64, PPC64LE, I686)]
OTHERS += [(ARMV7L, "bullseye"), (AARCH64, "bullseye"), (RISCV64, "trixie")]


@pytest.mark.parametrize(("machine", "suite"), OTHERS, ids=[f"{machine.name}-{suite}" for machine, suite in OTHERS])
def test_other_machines(machine: Machine, suite: str) -> None:
    root = debian(suite, ("python3", "libc-bin"), machine.debian or machine.name).path
    libraries = next(path for folder in ("lib", "usr/lib") for path in (root / folder).glob("*-linux-gnu*"))
    loader = next(path for path in (libraries / "ld-2.31.so", *libraries.glob("ld*.so.*")) if path.exists())
    # One that this machine's kernel runs needs no emulator.
    emulator = () if machine is I686 and platform.machine() == "x86_64" else (machine.emulator, "-L", root)
    runner = (*emulator, loader, "--library-path", libraries)
    ours = transcript(machine.name, runner=runner, library=True)
    theirs = transcript(machine.name, runner=runner)
    assert set(ours) | OTHERWISE.get(suite, set()) >= named_alike(Arch(machine.name))
    assert len(theirs) > 50
    differing = differences(theirs, ours)
    if machine is S390X:
        # glibc 2.33 and later drop the nanoseconds where a program asks for the old function; they have the new one.
        for name in ("stat", "lstat", "fstat", "stat64", "lstat64", "fstat64"):
            assert all("time 1600000000 0 1" in line for line in differing.pop(name) if line.startswith("+mode"))
    assert differing == {}
