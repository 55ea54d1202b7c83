"""Programs that were linked on glibc 2.34 or newer, lowered, and started where glibc is old.

They are started as users start programs: the kernel runs them, or qemu as a kernel would. Old releases treat a program
that is an argument of their ld.so as a library: a position-independent one copies no variables, whoever linked it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kit
from deloc8.target import Arch
from kit.command import run_program
from kit.compile import Toolchain, build, zig
from kit.distribution import debian
from kit.glibc import glibc
from kit.machines import AARCH64, ARMV7L, I686, PPC64LE, RISCV64, S390X, Machine, unpack
from kit.pyelf import peer_of
from kit.require import require
from kit.runtimes import extract
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.systems

KIT = Path(kit.__path__[0])
MARK = {"MARK": "mark"}
NOT_PIE = ("-no-pie", "-fno-pie")
START = ("__libc_start_main", "GLIBC_2.34")
OLD_STYLE = ("-DOLD_STYLE", "-Wl,-init=first,-fini=last")
LOOKUP = ("-DLOOKUP",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended: its lines and its exit code."""

    lines: list[str]
    code: int


def run(command: Sequence[str | Path], program: str | Path) -> Ended:
    words = [*map(str, command), str(program), "one", "two"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **MARK})
    assert ended.stderr == ""
    return Ended(lines=ended.stdout.splitlines(), code=ended.returncode)


def lower(program: Path, folder: Path, machine: str, *options: str, tag: str = "manylinux_2_17") -> Path:
    """The wheel of a program, lowered and unpacked; the program is in `demo.scripts`."""
    asked = {row[:2] for row in peer_of(program.read_bytes()).undefined}
    assert START in asked, "needs a compiler that links with glibc 2.34 or newer"
    members = {"demo-1.0.data/scripts/tool": program.read_bytes()}
    wheel = build_wheel(
        folder, members, tags=(f"py3-none-linux_{machine}",), modes={"demo-1.0.data/scripts/tool": 0o755}
    )
    goal = ("--plat", f"{tag}_{machine}", "--lower-glibc", "-z", "0")
    ended = run_program("fixup", wheel, "-w", folder / "out", *goal, *options)
    assert ended.code == 0, ended.err
    (repaired,) = (folder / "out").iterdir()
    unpacked = unpack(repaired, folder / "unpacked")
    lowered = unpacked / "demo.scripts/tool"
    lowered.chmod(0o755)
    assert START not in {row[:2] for row in peer_of(lowered.read_bytes()).undefined}
    return unpacked


@pytest.fixture(scope="module")
def glibc_2_17(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the libraries of glibc 2.17."""
    folder = tmp_path_factory.mktemp("glibc")
    return extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder) / "lib"


def in_root(libraries: Path, unpacked: Path, unwinder: Path | None = None) -> list[str | Path]:
    """What starts a program where there are these libraries, libgcc_s of a folder, and the wheel, at /mnt, alone."""
    command: list[str | Path] = [require("bwrap", "Debian: bubblewrap"), "--dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/tmp"]  # noqa: S108  its own /tmp
    for place in ("/lib64", "/lib/x86_64-linux-gnu"):
        command += ["--ro-bind", libraries, place]
    if unwinder:
        command += ["--ro-bind", unwinder / "libgcc_s.so.1", "/usr/lib/libgcc_s.so.1"]
    return [*command, "--ro-bind", unpacked, "/mnt"]


def libraries_of(release: str, request: pytest.FixtureRequest) -> Path:
    if release == "2.17":
        found: Path = request.getfixturevalue("glibc_2_17")
        return found
    return glibc("x86_64", release).folder


C_PROGRAMS = {
    "pie": ("pie", ()),
    "no-pie": ("static-address", ()),
    "old-style": ("pie", OLD_STYLE),
    "lazy": ("pie", ("-Wl,-z,lazy",)),
    "no-plt": ("pie", ("-fno-plt", "-Wl,-z,now")),
    "protected": ("pie", ("-fstack-protector-all", "-D_FORTIFY_SOURCE=2")),
    "lookup": ("pie", LOOKUP),
}


@pytest.mark.parametrize("release", ["2.17", "2.31", "2.36", "2.43"])
@pytest.mark.parametrize("form", C_PROGRAMS)
def test_a_program_in_c(
    form: str, release: str, glibc_2_17: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Constructors, destructors and exit handlers run once each, in their order, with the program's own words."""
    kind, options = C_PROGRAMS[form]
    libraries = libraries_of(release, request)
    if form == "lookup" and not (libraries / "libanl.so.1").exists():
        pytest.skip("these libraries of glibc are without libanl")
    program = build((KIT / "started.c").read_text(), Toolchain("gcc"), kind=kind, options=options)
    wanted = run([], program)
    assert wanted.code == 7
    unpacked = lower(program, tmp_path, "x86_64")
    assert run(in_root(libraries, unpacked, glibc_2_17), "/mnt/demo.scripts/tool") == wanted
    told = [line.split()[0] for line in wanted.lines]
    assert told.count("early") == told.count("late") == told.count("end") == 1
    assert ("lookup" in told) is (form == "lookup")


@pytest.mark.parametrize("linker", ["gold", "lld", "mold"])
def test_linkers(linker: str, glibc_2_17: Path, tmp_path: Path) -> None:
    program = build((KIT / "started.c").read_text(), Toolchain("gcc", linker), kind="pie")
    unpacked = lower(program, tmp_path, "x86_64")
    assert run(in_root(glibc_2_17, unpacked), "/mnt/demo.scripts/tool") == run([], program)


CXX_PROGRAMS = {
    "pie": ("-pie", "-fPIE"),
    "no-pie": NOT_PIE,
    "static": ("-static-libstdc++", "-static-libgcc"),
}


@pytest.mark.parametrize("form", CXX_PROGRAMS)
@pytest.mark.parametrize("release", ["2.17", "2.31", "2.43"])
def test_a_program_in_cxx(
    form: str, release: str, glibc_2_17: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With the copy of `__libc_single_threaded` that shared pointers bring."""
    libraries = libraries_of(release, request)
    program = compiled("g++", "started.cc", tmp_path / "program", "-O2", *CXX_PROGRAMS[form])
    defined = {(name, version) for name, version, *_ in peer_of(program.read_bytes()).defined}
    assert ("__libc_single_threaded", "GLIBC_2.32") in defined
    grafts = () if form == "static" else ("--graft", "libstdc++.so.6")
    unpacked = lower(program, tmp_path, "x86_64", *grafts)
    wanted = run([], program)
    assert wanted.code == 7
    assert run(in_root(libraries, unpacked, glibc_2_17), "/mnt/demo.scripts/tool") == wanted


@pytest.mark.parametrize("release", ["2.17", "2.31", "2.43"])
def test_a_program_in_rust(release: str, glibc_2_17: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    libraries = libraries_of(release, request)
    program = compiled("rustc", "started.rs", tmp_path / "program", "-O")
    wanted = run([], program)
    assert wanted.code == 7
    unpacked = lower(program, tmp_path, "x86_64")
    assert run(in_root(libraries, unpacked, glibc_2_17), "/mnt/demo.scripts/tool") == wanted


def compiled(compiler: str, source: str, output: Path, *options: str) -> Path:
    """A program that was built from a file of the kit; the test is skipped without the compiler."""
    path = require(compiler, f"Debian: {compiler}")
    subprocess.run([path, *options, "-o", str(output), str(KIT / source)], check=True, capture_output=True)
    return output


def emulated(machine: Machine, release: str, folder: Path) -> list[str | Path]:
    """What starts a program of another machine with the libraries of a release of glibc."""
    libraries = glibc(machine.name, release).folder
    loader = folder / release / Arch(machine.name).row.loader.lstrip("/")
    loader.parent.mkdir(parents=True)
    shutil.copy(libraries / loader.name, loader)
    return [machine.emulator, "-L", folder / release, "-E", f"LD_LIBRARY_PATH={libraries}"]


@pytest.mark.parametrize("machine", [AARCH64, ARMV7L, I686, PPC64LE, S390X], ids=lambda machine: machine.name)
@pytest.mark.parametrize("options", [(), OLD_STYLE], ids=["plain", "old-style"])
def test_other_machines(machine: Machine, options: tuple[str, ...], tmp_path: Path) -> None:
    """On the 2.31 of Debian 11, and as it is on the glibc that the compiler links with."""
    source = (KIT / "started.c").read_text()
    program = build(source, machine.toolchain("bfd"), kind="pie", options=(*options, "-pthread"))
    check_lowered(program, machine, tmp_path, "manylinux_2_17")


@pytest.mark.parametrize("release", ["2.34", "2.36"])
def test_on_riscv64(release: str, tmp_path: Path) -> None:
    """Of riscv64 Debian 11 has the libraries, for cross compilers; the oldest tag is that of their 2.31."""
    program = build((KIT / "started.c").read_text(), zig(f"riscv64-linux-gnu.{release}"), kind="pie")
    check_lowered(program, RISCV64, tmp_path, "manylinux_2_31")


def check_lowered(program: Path, machine: Machine, folder: Path, tag: str) -> None:
    """A program of another machine does the same on 2.31 and 2.36 once it is lowered."""
    tool = lower(program, folder, machine.name, tag=tag) / "demo.scripts/tool"
    newer, older = (emulated(machine, release, folder) for release in ("2.36", "2.31"))
    wanted = run(newer, program)
    assert wanted.code == 7
    assert run(older, tool) == wanted
    assert run(newer, tool) == wanted


@pytest.mark.parametrize("machine", [AARCH64, ARMV7L, I686], ids=lambda machine: machine.name)
def test_lookups_in_the_background_on_other_machines(machine: Machine, tmp_path: Path) -> None:
    """getaddrinfo_a, whose threads end through libgcc_s, on the machines for which Debian 11 is still served whole."""
    program = build((KIT / "started.c").read_text(), machine.toolchain("bfd"), kind="pie", options=LOOKUP)
    tool = lower(program, tmp_path, machine.name) / "demo.scripts/tool"
    newer, older = (debian(suite, ("libc6",), machine.debian).path for suite in ("bookworm", "bullseye"))
    wanted = run((machine.emulator, "-L", newer), program)
    assert any(line.startswith("lookup 0 0 127.0.0.1 -2 ") for line in wanted.lines)
    assert run((machine.emulator, "-L", older), tool) == wanted


def test_a_program_in_cxx_on_aarch64(tmp_path: Path) -> None:
    program = tmp_path / "program"
    command = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.36", "-O1"]
    subprocess.run([*command, "-o", str(program), str(KIT / "started.cc")], check=True)
    # What zig's C++ runtime can do without, the policy of the oldest tag forbids there.
    unpacked = lower(program, tmp_path, "aarch64", tag="manylinux_2_24")
    wanted = run(emulated(AARCH64, "2.36", tmp_path), program)
    assert wanted.code == 7
    assert run(emulated(AARCH64, "2.31", tmp_path), unpacked / "demo.scripts/tool") == wanted


def test_a_program_in_rust_on_aarch64(tmp_path: Path) -> None:
    """Built by Debian 12's compiler."""
    rust = debian("bookworm", ("rustc", "libstd-rust-dev:arm64"), "amd64,arm64").path
    linker = require("aarch64-linux-gnu-gcc", "Debian: gcc-aarch64-linux-gnu")
    program = tmp_path / "program"
    command = ["env", f"LD_LIBRARY_PATH={rust}/usr/lib/x86_64-linux-gnu", f"{rust}/usr/bin/rustc"]
    command += ["--sysroot", f"{rust}/usr", "--target", "aarch64-unknown-linux-gnu", "-C", f"linker={linker}"]
    subprocess.run([*command, "-O", "-o", str(program), str(KIT / "started.rs")], check=True)
    tool = lower(program, tmp_path, "aarch64") / "demo.scripts/tool"
    newer, older = (debian(suite, LIBRARIES_OF_RUST, "arm64").path for suite in ("bookworm", "bullseye"))
    wanted = run((AARCH64.emulator, "-L", newer), program)
    assert wanted.code == 7
    assert run((AARCH64.emulator, "-L", older), tool) == wanted
    assert run((AARCH64.emulator, "-L", newer), tool) == wanted


LIBRARIES_OF_RUST = ("libc6", "libgcc-s1")
# Programs in Rust, by package, and what they are given beside a folder of two files.
RUST_PROGRAMS = {
    "ripgrep": ("rg", "-n", "--sort", "path", "o"),
    "fd-find": ("fdfind", "-j", "1", "a"),
    "hexyl": ("hexyl",),
    "zoxide": ("zoxide", "init", "bash"),
}


def test_programs_in_rust_of_debian_on_aarch64(tmp_path: Path) -> None:
    """They bring threads, regular expressions, terminals and files; on 2.31 they do what they do on 2.36."""
    newer = debian("bookworm", ("libc6", *RUST_PROGRAMS), "arm64").path
    older = debian("bullseye", LIBRARIES_OF_RUST, "arm64").path
    paths = {words[0]: newer / "usr/bin" / words[0] for words in RUST_PROGRAMS.values()}
    members = {f"demo-1.0.data/scripts/{name}": path.read_bytes() for name, path in paths.items()}
    assert all(map(is_too_new, members.values()))
    wheel = build_wheel(tmp_path, members, tags=("py3-none-linux_aarch64",), modes=dict.fromkeys(members, 0o755))
    goal = ("--plat", "manylinux_2_17_aarch64", "--lower-glibc", "-z", "0", "--sysroot", newer)
    ended = run_program("fixup", wheel, "-w", tmp_path / "out", *goal)
    assert ended.code == 0, ended.err
    (repaired,) = (tmp_path / "out").iterdir()
    unpacked = unpack(repaired, tmp_path / "unpacked")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text(TEXT)
    (data / "b.rs").write_text("fn main() {}\n")

    def told(root: Path, program: Path, words: Sequence[str]) -> tuple[int, str, str]:
        command = [AARCH64.emulator, "-L", str(root), str(program), *words]
        where = {"hexyl": ("a.txt",), "zoxide": ()}.get(program.name, (".",))
        done = subprocess.run(
            [*command, *where], capture_output=True, text=True, timeout=120, check=False, cwd=data, env={"HOME": "/"}
        )
        return done.returncode, done.stdout, done.stderr

    for name, *words in RUST_PROGRAMS.values():
        tool = unpacked / "demo.scripts" / name
        tool.chmod(0o755)
        wanted = told(newer, paths[name], words)
        assert (wanted[0], bool(wanted[1])) == (0, True), wanted
        assert told(older, paths[name], words)[0] != 0
        assert told(older, tool, words) == told(newer, tool, words) == wanted


TEXT = "one\ntwo\nthree\nfour 4\n"
# Programs of the distribution, and what they are given; each reads TEXT.
SYSTEM_PROGRAMS = {
    "base64": (),
    "basename": ("/a/b.c", ".c"),
    "bzip2": ("-9",),
    "cksum": (),
    "cut": ("-c", "1-2"),
    "date": ("-u", "-d", "@86400"),
    "diff": ("-u", "/proc/self/cmdline", "-"),
    "env": ("-i", "NAME=value"),
    "expr": ("6", "*", "7"),
    "factor": ("1234567890123456789",),
    "find": ("/mnt", "-maxdepth", "0"),
    "fold": ("-w", "2"),
    "gawk": ("{ print length, log(NR) }",),
    "grep": ("-P", "o(?=n|u)"),
    "gzip": ("-n", "-9"),
    "head": ("-n", "2"),
    "ls": ("-d", "/mnt"),
    "mawk": ("{ print length, log(NR) }",),
    "md5sum": (),
    "nl": (),
    "nproc": (),
    "numfmt": ("--to=iec", "123456789"),
    "od": ("-c",),
    "printf": ("%5.3f|%x|%s\\n", "3.14159", "255", "text"),
    "rev": (),
    "sed": ("-E", "s/(o)(n|u)/<\\1\\2>/"),
    "seq": ("1", "0.25", "2"),
    "shuf": ("--random-source=/dev/zero",),
    "sort": ("-r",),
    "stat": ("-c", "%F %n", "/mnt"),
    "tac": (),
    "tr": ("a-z", "A-Z"),
    "uniq": ("-c",),
    "wc": (),
    "xz": ("-c",),
    "zstd": ("-c",),
}


def is_too_new(data: bytes) -> bool:
    return data.startswith(b"\x7fELF") and START in {row[:2] for row in peer_of(data).undefined}


def test_programs_of_the_system(glibc_2_17: Path, tmp_path: Path) -> None:
    """At least twenty of this system's programs, with the libraries that they need, do the same on 2.17 and 2.31."""
    paths = {name: Path(shutil.which(name) or "/missing").resolve() for name in SYSTEM_PROGRAMS}
    found = {name: path for name, path in paths.items() if path.exists() and is_too_new(path.read_bytes())}
    if len(found) < 20:
        pytest.skip("needs twenty programs that were linked with glibc 2.34 or newer, such as Debian 12's")
    members = {f"demo-1.0.data/scripts/{name}": path.read_bytes() for name, path in found.items()}
    wheel = build_wheel(tmp_path, members, tags=("py3-none-linux_x86_64",), modes=dict.fromkeys(members, 0o755))
    goal = ("--plat", "manylinux_2_17_x86_64", "--lower-glibc", "-z", "0", "--graft", "libz.so.1")
    ended = run_program("fixup", wheel, "-w", tmp_path / "out", *goal)
    assert ended.code == 0, ended.err
    (repaired,) = (tmp_path / "out").iterdir()
    unpacked = unpack(repaired, tmp_path / "unpacked")

    def told(command: Sequence[str | Path], program: str | Path, name: str) -> tuple[int, bytes, bytes]:
        words = [*map(str, command), str(program), *SYSTEM_PROGRAMS[name]]
        environment = {"PATH": "/usr/bin", "LC_ALL": "C"}
        done = subprocess.run(words, input=TEXT.encode(), capture_output=True, timeout=60, check=False, env=environment)
        return done.returncode, done.stdout, done.stderr.replace(str(program).encode(), name.encode())

    (tmp_path / "here").mkdir()
    for libraries in (glibc_2_17, glibc("x86_64", "2.31").folder):
        for name, path in found.items():
            tool = unpacked / "demo.scripts" / name
            tool.chmod(0o755)
            before = told(["/usr/bin/env", "-C", tmp_path / "here"], path, name)
            after = told(in_root(libraries, unpacked, glibc_2_17), f"/mnt/demo.scripts/{name}", name)
            assert after[0] == before[0], (name, after)
            assert after == before
