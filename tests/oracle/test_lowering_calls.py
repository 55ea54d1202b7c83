"""A library that calls what glibc gave new versions tells the same once it is lowered, on old and new releases."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kit
from kit.command import run_program
from kit.compile import Toolchain, build, zig
from kit.glibc import glibc
from kit.machines import unpack
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kit.command import Result
    from kit.glibc import Glibc

SOURCE = Path(kit.__path__[0]) / "lowering_calls.c"
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

    def fixup(self, folder: Path, *options: str) -> Result:
        """What becomes of a wheel that holds the library."""
        linking = ("-fno-builtin", "-Wl,-soname,libcalls.so")
        library = build(SOURCE.read_text(), self.toolchain, options=linking, inputs=(Path("-lm"),))
        members = {"calls/__init__.py": b"", "calls/libcalls.so": library.read_bytes()}
        wheel = build_wheel(folder, members, name="calls", tags=(f"py3-none-linux_{self.machine}",))
        unpack(wheel, folder / "plain")
        lower = ("--plat", f"manylinux_2_17_{self.machine}", "--lower-glibc")
        return run_program("fixup", wheel, "-w", folder / "wheelhouse", *lower, *options, "--format", "json")

    def lines(self, release: str, unpacked: Path, scratch: Path, old: Callable[[], Glibc], *, exact: bool) -> list[str]:
        """What the library tells on a release of glibc, without its folder's name."""
        program = build(DRIVER, zig(f"{self.machine}-linux-gnu.2.17"), kind="pie", options=("-ldl",))
        scratch.mkdir()
        arguments = (str(unpacked / "calls/libcalls.so"), str(scratch), str(int(exact)))
        if release == HERE:
            ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=60)
            return ended.stdout.splitlines()
        libraries = old() if release == "2.17" else glibc(self.machine, release, self.emulator)
        return libraries.run(program, *arguments)


GCC = Build(toolchain=Toolchain("gcc"), release=HERE)
ZIG = Build(toolchain=zig("x86_64-linux-gnu.2.43"), release="2.43")
AARCH64 = Build(toolchain=zig("aarch64-linux-gnu.2.43"), machine="aarch64", release="2.43", emulator="aarch64")
CASES = [(built, release) for built in (GCC, ZIG) for release in ("2.17", "2.31", "2.36", "2.41", built.release)]
CASES += [(AARCH64, release) for release in ("2.31", "2.36", AARCH64.release)]

# What the reasons of the class `differs` tell: the prefix 0b, and a thread that has ended and is not joined.
NEWER = re.compile(r'differs: (\w+\("0b101", 0\) = 5, 5|\w+\("0B11", 2\) = 3, 4|%i of 0b101 = 5, 5) read.*')
OLDER = re.compile(
    r'differs: ((\w+\("0b101", 0\)|\w+\("0B11", 2\)|%i of 0b101) = 0, 1 read.*|pthread_kill of .* = (0|3))'
)
# What 2.17 itself does otherwise, under one and the same version: POSIX leaves open what a second slash means.
OLD_RELEASE = {'shm_open("/a/b", O_RDONLY, 0) = -1, errno 22': 'shm_open("/a/b", O_RDONLY, 0) = -1, errno 2'}


def compare(before: Sequence[str], after: Sequence[str], built: Build) -> None:
    assert len(before) > 2400
    assert [line for line in before if "differs" not in line] == [line for line in after if "differs" not in line]
    newer, older = ([line for line in lines if "differs" in line] for lines in (before, after))
    assert len(newer) == len(older) == 16
    assert [line for line in older if not OLDER.fullmatch(line)] == []
    if built.release != HERE:
        assert sum(map(bool, map(NEWER.fullmatch, newer))) == 15


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Build], Path]:
    """The folder with the library as it was built, and lowered."""
    found: dict[Build, Path] = {}

    def make(built: Build) -> Path:
        if built not in found:
            folder = tmp_path_factory.mktemp("calls")
            ended = built.fixup(folder, "--allow", "differs")
            assert ended.code == 0, ended.err
            (report,) = ended.json["wheels"]
            assert {row["class"] for row in report["rewrites"]} >= {"moved", "superset", "differs", "code"}
            (wheel,) = (folder / "wheelhouse").iterdir()
            assert f"manylinux_2_17_{built.machine}" in wheel.name
            unpack(wheel, folder / "lowered")
            found[built] = folder
        return found[built]

    return make


@pytest.mark.parametrize(
    ("built", "release"), CASES, ids=[f"{built.toolchain.name}-{release}" for built, release in CASES]
)
def test_a_lowered_library_tells_the_same(
    built: Build,
    release: str,
    wheels: Callable[[Build], Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder = wheels(built)
    # On the release that it was linked with, to the last bit.
    exact = release == built.release
    before, after = (
        built.lines(
            where,
            folder / which,
            tmp_path / which,
            lambda: request.getfixturevalue("old_libraries"),
            exact=exact,
        )
        for which, where in (("plain", built.release), ("lowered", release))
    )
    if release == "2.17":
        assert set(OLD_RELEASE) <= set(before)
        before = [OLD_RELEASE.get(line, line) for line in before]
    compare(before, after, built)


@pytest.mark.parametrize("release", ["2.31", "2.36"])
def test_as_it_was_built_it_does_not_load(release: str, wheels: Callable[[Build], Path], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"version `GLIBC_2\.\d+' not found"):
        ZIG.lines(release, wheels(ZIG) / "plain", tmp_path / "scratch", pytest.fail, exact=False)


@pytest.mark.parametrize("built", [GCC, ZIG, AARCH64], ids=lambda built: built.toolchain.name)
def test_without_allow_what_differs_is_refused_by_name(built: Build, tmp_path: Path) -> None:
    ended = built.fixup(tmp_path)
    assert ended.code == 1
    assert "pthread_kill@GLIBC_2.34 cannot be lowered" in ended.err
    assert not (tmp_path / "wheelhouse").exists()
