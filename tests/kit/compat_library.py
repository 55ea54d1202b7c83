"""The compatibility library for tests, and the program that compares its functions with glibc's.

Both are built from the sources as they are, once for all runs.
"""

from __future__ import annotations

import difflib
import fcntl
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compat import build

from deloc8.repair.lowering.compat_library import provided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from deloc8.target import Arch

TOP = Path(__file__).resolve().parent.parent.parent
MACHINES = tuple(build.TARGETS)

Transcript = dict[str, list[str]]
"""What the functions did, by name: a line for each call."""


@functools.cache
def compat_library(machine: str) -> Path:
    """The path of the library of a machine, named by its soname; the test is skipped without the compiler."""

    def make(output: Path) -> None:
        build.check_compiler()
        build.build(machine, build.exports(machine), output)

    sources = [*(TOP / "compat").rglob("*.[ch]"), TOP / "compat" / "build.py", build.TABLE]
    return _built(f"{machine}/{build.SONAME}", sources, make)


@functools.cache
def check_program(machine: str) -> Path:
    """The path of the program of compat_check/, built for a machine and its first glibc."""
    sources = sorted((TOP / "tests/kit/compat_check").iterdir())

    def make(output: Path) -> None:
        target = build.TARGETS[machine]
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{target.triple}.{target.glibc}"]
        command += ["-O1", "-g0", "-Wall", "-Werror", "-fno-builtin", "-fno-sanitize=all", "-rdynamic"]
        command += [*target.options, "-o", str(output), *(str(path) for path in sources if path.suffix == ".c")]
        subprocess.run([*command, "-lpthread", "-ldl", "-lm"], check=True)

    return _built(f"{machine}/check", [*sources, TOP / "compat" / "build.py"], make)


def _built(name: str, sources: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """The path of a file that was made, or is made now."""
    if find_spec("ziglang") is None:
        pytest.skip("needs the compiler of ziglang (PyPI: ziglang)")
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.read_bytes())
    output = TOP / ".cache" / f"compat-{digest.hexdigest()[:16]}" / name
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            partial = output.with_suffix(".partial")
            make(partial)
            partial.replace(output)
    return output


def named_alike(arch: Arch) -> set[str]:
    """The functions that have glibc's names; the others are called by lowered programs, in test_started."""
    return {name for name, function in provided(arch).items() if function.replaces == name}


def transcript(
    machine: str, *, runner: Sequence[str | Path] = (), library: bool = False, old_kernel: bool = False
) -> Transcript:
    """What the functions did; those that were not there are missing.

    Args:
        machine: The machine that is asked.
        runner: What runs the program, such as another ld.so; the program's name follows.
        library: Whether our library is asked, not libc.
        old_kernel: Whether the kernel knows none of the newer system calls; the test is skipped where it cannot be
            made to forget them.
    """
    asked = compat_library(machine) if library else "libc"
    with tempfile.TemporaryDirectory() as folder:
        command = [*runner, check_program(machine), asked, folder, *(["old-kernel"] if old_kernel else [])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=_environment())
    if ended.returncode == 2 and "seccomp" in ended.stderr:
        pytest.skip("needs a kernel with seccomp")
    assert ended.returncode == 0, (ended.returncode, ended.stdout[-200:], ended.stderr)
    told: Transcript = {}
    for line in ended.stdout.splitlines():
        name, separator, text = line.partition(": ")
        assert separator, line
        told.setdefault(name, []).append(text)
    return {name: lines for name, lines in told.items() if lines != ["missing"]}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LD_")}


def differences(wanted: Transcript, found: Transcript) -> dict[str, list[str]]:
    """The lines that differ, of each function that both transcripts have."""
    return {
        name: list(difflib.unified_diff(wanted[name], found[name], "wanted", "found", lineterm="", n=0))
        for name in sorted(wanted.keys() & found.keys())
        if wanted[name] != found[name]
    }
