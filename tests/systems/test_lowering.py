"""Wheels lowered here, and used where glibc is old: 2.17, 2.31, 2.36 and 2.41, with one and the same Python 3.11."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import kit
from kit import machines
from kit.command import Result, run_program
from kit.compile import Toolchain, build, zig
from kit.distribution import Root, debian
from kit.lowering_calls import AARCH64, compare
from kit.machines import EXAMPLES, unpack
from kit.pyelf import peer_of
from kit.runtimes import extract, make_root
from kit.wheels import build_wheel

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
TAG = "manylinux_2_17_x86_64"
ZLIB = Path("/usr/lib/x86_64-linux-gnu/libz.so.1")
CXX = ("--graft", "libstdc++.so.6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One wheel, and what it takes to lower it.

    Attributes:
        name: The wheel's project.
        options: More options of fixup; without them the wheel is refused.
    """

    name: str
    options: tuple[str, ...] = ()


CASES = (
    Case(name="cffi"),
    Case(name="lmdb"),
    Case(name="mysqlclient"),
    Case(name="psycopg2", options=("--allow", "differs")),
    Case(name="pyyaml"),
    Case(name="lxml", options=CXX),
    Case(name="pillow", options=(*CXX, "--graft", "libz.so.1", "--graft", "libglib-2.0.so.0")),
    Case(name="numpy", options=CXX),
)
SUITES = {"2.31": "bullseye", "2.36": "bookworm", "2.41": "trixie"}
LIBRARIES = (
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libgcc_s.so.1",
)


@pytest.fixture(scope="module")
def python(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python 3.11 that was built for glibc 2.17."""
    return extract(runtimes_folder / "py311-glibc217.tar.xz", tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module", params=["2.17", *SUITES])
def system(
    request: pytest.FixtureRequest, python: Path, runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Root:
    """A root folder with that Python, one glibc and zlib, and nothing else."""
    version: str = request.param
    folder = tmp_path_factory.mktemp("system")
    copy = folder / "python"
    shutil.copytree(python, copy, symlinks=True)
    root = make_root(folder / "root", copy)
    target = root.path / "lib64"
    # Python's own binascii needs zlib; that of Debian 12 asks for no more than GLIBC_2.14.
    donor = debian("bookworm", ("zlib1g",))
    if version == "2.17":
        extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder / "runtime").joinpath("lib").rename(target)
    else:
        # Where Debian's loader looks.
        (root.path / "lib/x86_64-linux-gnu").mkdir()
        target.symlink_to("lib/x86_64-linux-gnu")
        distribution = debian(SUITES[version], ("libc6", "libgcc-s1"))
        for name in ("ld-linux-x86-64.so.2", *LIBRARIES):
            (found,) = {path.resolve() for path in distribution.path.glob(f"*/x86_64-linux-gnu/{name}")} or {
                (distribution.path / "lib64" / name).resolve()
            }
            shutil.copy(found, target / name)
    (zlib, *_) = donor.path.glob("*/x86_64-linux-gnu/libz.so.1")
    shutil.copy(zlib.resolve(), target / "libz.so.1")
    said = root.python(["-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"], wheel=folder, scripts=SCRIPTS)
    assert said.stdout == f"glibc {version}\n", said.stderr
    return root


def lower(wheel: Path, folder: Path, *options: str, tag: str = TAG) -> Result:
    # What is read again at once need not be small.
    quick = ("-z", "0", "--format", "json")
    return run_program("fixup", wheel, "-w", folder, "--plat", tag, "--lower-glibc", *options, *quick)


@pytest.fixture(scope="module")
def lowered(wheels_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels, lowered and unpacked."""
    found = {}
    for case in CASES:
        (wheel,) = wheels_folder.glob(f"{case.name}-*.whl")
        folder = tmp_path_factory.mktemp(case.name)
        ended = lower(wheel, folder / "out", *case.options)
        assert ended.code == 0, ended.err
        (report,) = ended.json["wheels"]
        assert report["result"].endswith(f"{TAG}.whl")
        found[case.name] = unpack(folder / "out" / report["result"], folder / "unpacked")
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_lowered_wheel_works(system: Root, lowered: dict[str, Path], case: Case) -> None:
    ended = system.python([f"/mnt/scripts/use_{case.name}.py"], wheel=lowered[case.name], scripts=SCRIPTS)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "worked"


@pytest.mark.parametrize("glibc", ["2.28", "2.31"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("system", ["2.31"], indirect=True)
def test_a_wheel_that_was_lowered_less_far_works(
    system: Root, wheels_folder: Path, case: Case, glibc: str, tmp_path: Path
) -> None:
    (wheel,) = wheels_folder.glob(f"{case.name}-*.whl")
    tag = f"manylinux_{glibc.replace('.', '_')}_x86_64"
    ended = lower(wheel, tmp_path / "out", *case.options, tag=tag)
    assert ended.code == 0, ended.err
    (written,) = (tmp_path / "out").iterdir()
    assert tag in written.name
    unpacked = unpack(written, tmp_path / "unpacked")
    if glibc == "2.28":  # the stubs of each release take their time
        check_by_linker(unpacked, "x86_64-linux-gnu.2.28", tmp_path, *of_the_system(unpacked))
    used = system.python([f"/mnt/scripts/use_{case.name}.py"], wheel=unpacked, scripts=SCRIPTS)
    assert used.returncode == 0, used.stderr
    assert used.stdout.splitlines()[-1] == "worked"


def test_the_documented_counts(wheels_folder: Path, top: Path, tmp_path: Path) -> None:
    """The rows of the quick wheels, as the command that is told there prints them."""
    for name in ("cffi", "lmdb", "psycopg2", "pyyaml"):
        (wheel,) = wheels_folder.glob(f"{name}-*.whl")
        (tmp_path / wheel.name).symlink_to(wheel)
    command = [sys.executable, "tools/lowering_counts.py", str(tmp_path)]
    printed = subprocess.run(command, cwd=top, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line for line in printed if re.match(r"\| (cffi|lmdb|psycopg2|pyyaml) ", line)]
    assert len(rows) == 8
    assert set(rows) <= set((top / "docs/explanation/older-versions.md").read_text().splitlines())
    assert "manylinux_2_17, of 4: 1 without the option, 3 with it, 4 with differs too, 4 with grafts too" in printed


@pytest.mark.parametrize("case", [case for case in CASES if case.options], ids=lambda case: case.name)
def test_without_the_options_it_is_refused(wheels_folder: Path, tmp_path: Path, case: Case) -> None:
    (wheel,) = wheels_folder.glob(f"{case.name}-*.whl")
    ended = lower(wheel, tmp_path / "out")
    assert ended.code == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


# -- C++ ---------------------------------------------------------------------------------------------------------------

SOURCES = Path(kit.__path__[0]) / "lowering_cxx"
GXX = Toolchain("g++")
HEADERS = ("-std=c++17", f"-I{SOURCES}", f"-I{EXAMPLES / 'greeting'}")


@pytest.fixture(scope="module")
def cxx_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel whose three files throw across each other; it needs a C++ runtime as new as this machine's compiler."""
    folder = tmp_path_factory.mktemp("cxx-wheel")
    files: list[Path] = []
    for name, source in (("libtrouble.so", "trouble.cpp"), ("libwork.so", "work.cpp"), ("_core.abi3.so", "core.cpp")):
        options = (*HEADERS, f"-Wl,-soname,{name}", "-Wl,-rpath,$ORIGIN")
        built = build((SOURCES / source).read_text(), GXX, options=options, inputs=tuple(files))
        files.append(Path(shutil.copy(built, folder / name)))
    return throwing(folder, *files)


def throwing(folder: Path, *files: Path) -> Path:
    members = {f"throwing/{path.name}": path.read_bytes() for path in files}
    members["throwing/__init__.py"] = b"from ._core import run\n"
    return build_wheel(folder, members, name="throwing", tags=("cp310-abi3-linux_x86_64",))


@pytest.fixture(scope="module")
def lowered_cxx(cxx_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That wheel, lowered with a private copy of the runtime, and unpacked."""
    folder = tmp_path_factory.mktemp("cxx")
    ended = lower(cxx_wheel, folder / "out", *CXX)
    assert ended.code == 0, ended.err
    assert "a second C++ runtime in a process that has the system's [second-cpp-runtime]" in ended.err
    (report,) = ended.json["wheels"]
    assert report["result"].endswith(f"{TAG}.whl")
    assert [graft["soname"] for graft in report["grafts"]] == ["libstdc++.so.6"]
    return unpack(folder / "out" / report["result"], folder / "unpacked")


def test_exceptions_cross_lowered_libraries(system: Root, lowered_cxx: Path) -> None:
    ended = system.python(["/mnt/scripts/use_throwing.py"], wheel=lowered_cxx, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr


@pytest.mark.parametrize("system", ["2.17"], indirect=True)
def test_a_private_runtime_beside_that_of_the_system(system: Root, lowered_cxx: Path, tmp_path: Path) -> None:
    """Another wheel's C++ code, which an old compiler might have built, has the system's in the process first."""
    both = Path(shutil.copytree(lowered_cxx, tmp_path / "both"))
    old = ("-D_GLIBCXX_USE_CXX11_ABI=0", "-fno-sized-deallocation", *HEADERS)
    other = build((SOURCES / "other.cpp").read_text(), GXX, options=old)
    wheel = build_wheel(
        tmp_path, {"_other.abi3.so": other.read_bytes()}, name="other", tags=("cp310-abi3-linux_x86_64",)
    )
    ended = lower(wheel, tmp_path / "out")
    assert ended.code == 0, ended.err
    unpack(next((tmp_path / "out").iterdir()), both)
    said = system.python(["/mnt/scripts/use_throwing.py", "beside"], wheel=both, scripts=SCRIPTS)
    assert (said.returncode, said.stdout) == (0, "worked\n"), said.stderr


@pytest.fixture(scope="module")
def static_cxx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same code in one file, with the runtime linked statically and hidden; lowered, and unpacked."""
    folder = tmp_path_factory.mktemp("static-cxx")
    source = "\n".join(f'#include "{name}.cpp"' for name in ("trouble", "work", "core"))
    static = (*HEADERS, "-static-libstdc++", "-Wl,--exclude-libs,libstdc++.a")
    core = Path(shutil.copy(build(source, GXX, options=static), folder / "_core.abi3.so"))
    ended = lower(throwing(folder, core), folder / "out")
    assert ended.code == 0, ended.err
    (report,) = ended.json["wheels"]
    return unpack(folder / "out" / report["result"], folder / "unpacked")


def test_a_static_and_hidden_runtime_is_another_way(system: Root, static_cxx: Path) -> None:
    ended = system.python(["/mnt/scripts/use_throwing.py", "static"], wheel=static_cxx, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr


def test_too_new_a_runtime_is_refused_with_the_choices(cxx_wheel: Path, tmp_path: Path) -> None:
    ended = lower(cxx_wheel, tmp_path / "out")
    assert ended.code == 1
    assert not (tmp_path / "out").exists()
    assert "from libstdc++.so.6; manylinux_2_17 ends at GLIBCXX_3.4.19" in ended.err
    (hint,) = ended.json["wheels"][0]["error"]["hints"]
    choices = ("an older gcc", "-static-libstdc++ -Wl,--exclude-libs,libstdc++.a", "--graft 'libstdc++.so.6'")
    assert all(choice in hint for choice in choices)
    assert "a second C++ runtime in a process" in hint


# -- another machine ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel for aarch64 that was linked with glibc 2.43: its extension module and a graft, lowered and unpacked."""
    folder = tmp_path_factory.mktemp("calling")
    libraries = folder / "libraries"
    libraries.mkdir()
    core = AARCH64.extension(Path(shutil.copy(AARCH64.library(), libraries / "libcalls.so")))
    members = {
        "calling/_core.abi3.so": core.read_bytes(),
        "calling/__init__.py": b"from ._core import run\n",
    }
    wheel = build_wheel(folder, members, name="calling", tags=("cp38-abi3-linux_aarch64",))
    options = ("--plat", "manylinux_2_17_aarch64", "--lower-glibc", "--allow", "differs", "--ldpaths", libraries)
    ended = run_program("fixup", wheel, "-w", folder / "out", *options, "--format", "json")
    assert ended.code == 0, ended.err
    (report,) = ended.json["wheels"]
    assert report["result"].endswith("manylinux_2_17_aarch64.whl")
    assert [graft["soname"] for graft in report["grafts"]] == ["libcalls.so"]
    assert {row["class"] for row in report["rewrites"]} == {"moved", "superset", "differs", "code"}
    assert {row["file"].rpartition("/")[2] for row in report["rewrites"]} == {"_core.abi3.so", "libcalls.so"}
    return unpack(folder / "out" / report["result"], folder / "unpacked")


@pytest.mark.parametrize("suite", ["bullseye", "bookworm"])
def test_an_extension_for_aarch64_works_on_older_glibc(suite: str, calling: Path, tmp_path: Path) -> None:
    bare = debian(suite, ("python3", "libc-bin"), machines.AARCH64.debian)
    root = Root(path=bare.path, emulator=machines.AARCH64.emulator)
    ended = root.python(["-c", "import calling; print(calling.run('/tmp'))"], wheel=calling, scripts=SCRIPTS)
    assert ended.returncode == 0, ended.stderr
    *lines, last = ended.stdout.splitlines()
    assert last == "0 1"
    before = AARCH64.lines(AARCH64.library(), AARCH64.libraries(AARCH64.release), tmp_path / "scratch")
    compare(before, lines, AARCH64)


# -- what a linker says ------------------------------------------------------------------------------------------------

MAIN = "int main(void) { return 0; }"


def check_by_linker(unpacked: Path, target: str, scratch: Path, *system: Path) -> None:
    """Nothing; AssertionError unless all that the files ask for is in a glibc, in each other, or in these libraries.

    The stubs of ziglang know what each glibc had; lld refuses a library that asks for more.
    """
    inside = [path for path in unpacked.rglob("*.so*") if path.is_file()]
    assert inside
    named = {name for path in inside for name, version, *_ in peer_of(path.read_bytes()).undefined if not version}
    # What the Python process has.
    here = "".join(f"char {name};\n" for name in sorted(named) if re.fullmatch(r"_?Py\w+", name))
    python = build(here + "char deloc8_python;", zig(target), options=("-Wl,-soname,libpython.so",))
    stub = Path(shutil.copy(python, scratch / "libpython.so"))
    options = ("-Wl,--no-as-needed", "-Wl,--no-allow-shlib-undefined")
    assert build(MAIN, zig(target), kind="pie", options=options, inputs=(*inside, stub, *system)).exists()


def of_the_system(unpacked: Path) -> list[Path]:
    """The library beside glibc's that a wheel takes from the system."""
    needed = {name for path in unpacked.rglob("*.so*") for name in peer_of(path.read_bytes()).needed}
    return [ZLIB] * ("libz.so.1" in needed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_linker_finds_everything_in_the_old_glibc(lowered: dict[str, Path], case: Case, tmp_path: Path) -> None:
    unpacked = lowered[case.name]
    check_by_linker(unpacked, "x86_64-linux-gnu.2.17", tmp_path, *of_the_system(unpacked))


def test_a_linker_finds_everything_of_cxx_and_of_another_machine(
    lowered_cxx: Path, static_cxx: Path, calling: Path, tmp_path: Path
) -> None:
    for unpacked in (lowered_cxx, static_cxx):
        check_by_linker(unpacked, "x86_64-linux-gnu.2.17", tmp_path)
    check_by_linker(calling, "aarch64-linux-gnu.2.17", tmp_path)


def test_that_linker_refuses_what_is_too_new(wheels_folder: Path, tmp_path: Path) -> None:
    (wheel,) = wheels_folder.glob("lmdb-*.whl")
    (path,) = unpack(wheel, tmp_path).rglob("*.so")
    options = ("-Wl,--no-as-needed", "-Wl,--no-allow-shlib-undefined")
    with pytest.raises(AssertionError, match="pthread_create"):
        build(MAIN, zig("x86_64-linux-gnu.2.17"), kind="pie", options=options, inputs=(path,))
