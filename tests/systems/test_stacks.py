"""Executable stacks on real systems: glibc 2.41 refuses the libraries that ask for one, and takes those of `fixup`."""

from __future__ import annotations

import os
import subprocess
from itertools import product
from pathlib import Path

import pytest

from kit.command import run_program
from kit.compile import PROGRAM, Kind, Toolchain, build, build_dependency
from kit.distribution import debian
from kit.machines import build_greeting, unpack
from kit.require import require

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
CALL = "/mnt/scripts/call_stack.py"
SUITES = ("bullseye", "bookworm", "trixie")  # glibc 2.31, 2.36, 2.41
LAYOUTS = [
    *((linker, "-Wl,-z,execstack") for linker in ("bfd", "gold", "lld", "mold")),
    ("lld", "-Wl,-z,nognustack"),
]
REFUSED = "cannot enable executable stack as shared object requires"


@pytest.mark.parametrize(("linker", "option"), LAYOUTS)
def test_what_fixup_clears_is_loaded_everywhere_and_what_it_leaves_is_not(
    linker: str, option: str, tmp_path: Path
) -> None:
    wheel = build_greeting(Toolchain("gcc", linker), tmp_path, "cp310-abi3-linux_x86_64", options=(option,))
    for kept in (False, True):
        folder = tmp_path / f"kept {kept}"
        options = ("--keep-executable-stack",) if kept else ()
        fixed = run_program("fixup", wheel, "-w", folder / "out", "--add-path", tmp_path / "libraries", *options)
        assert fixed.code == 0, fixed.err
        assert fixed.err.count("executable stack") >= 3
        (repaired,) = (folder / "out").iterdir()
        checked = run_program("check", repaired)
        assert checked.code == int(kept), checked.out
        unpacked = unpack(repaired, folder / "unpacked")
        for suite, binding in product(SUITES, ("now", "lazy")):
            ended = debian(suite, ("python3",)).python([CALL, binding], wheel=unpacked, scripts=SCRIPTS)
            if kept and suite == "trixie":
                assert REFUSED in ended.stderr
            else:
                assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
@pytest.mark.parametrize("kind", ["pie", "static-address"])
def test_programs_may_have_one_everywhere(suite: str, kind: Kind) -> None:
    """The kernel makes the stack of a program executable before ld.so runs: `check` and `fixup` leave that alone."""
    gcc = Toolchain("gcc")
    needed = build_dependency(gcc)
    program = build(PROGRAM, gcc, kind=kind, options=("-Wl,-z,execstack",), inputs=(needed,))
    root = debian(suite, ("python3",)).path
    command = [require("bwrap", "Debian: bubblewrap"), "--ro-bind", str(root), "/", "--dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/mnt", "--ro-bind", str(program), "/mnt/program", "--ro-bind", str(needed.parent), "/mnt/l"]
    command += ["--setenv", "LD_LIBRARY_PATH", "/mnt/l", "/mnt/program"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60)
    assert ended.returncode == 0, ended.stderr
