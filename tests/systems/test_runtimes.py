"""Wheels repaired here and used on other C libraries: musl, and glibc 2.17."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.command import run_program
from kit.compile import LIBRARY, Toolchain, build, build_dependency, zig
from kit.editor_check import readelf
from kit.machines import build_greeting, check_greeting, unpack
from kit.published import published
from kit.runtimes import extract, make_root
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from kit.distribution import Root

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
GREET = ["/mnt/scripts/use_greeting.py"]
MUSL = Path("/lib/ld-musl-x86_64.so.1")
ABI3 = "_core.abi3.so"
MUSL_SUFFIX = "_core.cpython-311-x86_64-linux-musl.so"

# Debian's compiler, told to link with musl in place of glibc.
GNU_LD_OPTIONS = (
    "-nostdlib",
    "-fno-stack-protector",
    "-L/lib/x86_64-linux-musl",
    "-Wl,--no-as-needed,-l:libc.so,--as-needed",
)
PSYCOPG2 = (
    "psycopg2_binary-2.9.13-cp311-cp311-musllinux_1_2_x86_64.whl",
    "f28b5f2fa8154d0d97e97a664136f58d1639ca008d45d6e09e69fff24826abee",
)
RELR = "-Wl,-z,pack-relative-relocs"


@pytest.fixture(scope="module")
def alpine(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A small system of musl."""
    if not MUSL.exists():
        pytest.skip(f"needs musl's loader in {MUSL} (Debian: musl)")
    folder = tmp_path_factory.mktemp("musl")
    root = make_root(folder / "root", extract(runtimes_folder / "py311-musl.tar.xz", folder / "python"))
    shutil.copy(MUSL.resolve(), root.path / "lib" / MUSL.name)
    (root.path / "lib/libc.musl-x86_64.so.1").symlink_to(MUSL.name)
    return root


@pytest.fixture(scope="module")
def glibc_2_17(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A small system of glibc 2.17."""
    folder = tmp_path_factory.mktemp("glibc")
    root = make_root(folder / "root", extract(runtimes_folder / "py311-glibc217.tar.xz", folder / "python"))
    libraries = extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder / "runtime") / "lib"
    libraries.rename(root.path / "lib64")
    return root


def musl_release() -> tuple[int, ...]:
    said = subprocess.run([str(MUSL)], capture_output=True, text=True, check=False).stderr
    found = re.search(r"Version (\d+)\.(\d+)\.(\d+)", said)
    assert found
    return tuple(map(int, found.groups()))


def fixup(wheel: Path, folder: Path, *options: str | Path) -> Path:
    """The repaired wheel."""
    fixed = run_program("fixup", wheel, "-w", folder / "wheelhouse", *options)
    assert fixed.code == 0, fixed.err
    (repaired,) = (folder / "wheelhouse").iterdir()
    return repaired


def check_works(root: Root, wheel: Path, repaired: Path, folder: Path) -> None:
    """As it was the wheel does not work there, repaired it does; and others hold nothing against its files."""
    plain, unpacked = unpack(wheel, folder / "plain"), unpack(repaired, folder / "repaired")
    ended = root.python(GREET, wheel=plain, scripts=SCRIPTS)
    assert ended.returncode == 1
    assert "libgreet.so.1: cannot open shared object file" in ended.stderr or (
        "Error loading shared library libgreet.so.1: No such file or directory" in ended.stderr
    )
    ended = root.python(GREET, wheel=unpacked, scripts=SCRIPTS)
    assert (ended.returncode, ended.stdout) == (0, "worked\n"), ended.stderr
    (core,) = (plain / "greeting").glob("*.so")
    check_greeting((core, *sorted((folder / "libraries").iterdir())), unpacked)


@pytest.mark.parametrize("extension", [ABI3, MUSL_SUFFIX])
@pytest.mark.parametrize("linker", ["bfd", "lld"])
def test_a_wheel_for_musl(alpine: Root, linker: str, extension: str, tmp_path: Path) -> None:
    """The tag comes from the wheel, where the wheel tells its libc; else from the system that it is repaired with."""
    toolchain = Toolchain("gcc") if linker == "bfd" else zig("x86_64-linux-musl")
    options = GNU_LD_OPTIONS if linker == "bfd" else ()
    tag = "cp310-abi3" if extension == ABI3 else "cp311-cp311"
    wheel = build_greeting(toolchain, tmp_path, f"{tag}-linux_x86_64", extension, options)
    if extension == ABI3:
        sysroot = tmp_path / "sysroot"
        shutil.copytree(alpine.path / "lib", sysroot / "lib", symlinks=True)
        shutil.copytree(tmp_path / "libraries", sysroot / "usr/lib")
        repaired = fixup(wheel, tmp_path, "--sysroot", sysroot)
    else:
        repaired = fixup(wheel, tmp_path, "--add-path", tmp_path / "libraries")
    assert repaired.name == f"greeting-1.0-{tag}-musllinux_1_2_x86_64.whl"
    check_works(alpine, wheel, repaired, tmp_path)
    shown = run_program("show", repaired, "--format", "json")
    assert [notice["code"] for notice in shown.json["wheels"][0]["notices"]] == []


def test_packed_relocations_need_a_newer_musl(alpine: Root, tmp_path: Path) -> None:
    """And indeed: the older musl leaves the pointers as they are."""
    options = (*GNU_LD_OPTIONS, RELR)
    wheel = build_greeting(Toolchain("gcc"), tmp_path, "cp310-abi3-musllinux_1_2_x86_64", ABI3, options)
    repaired = fixup(wheel, tmp_path, "--add-path", tmp_path / "libraries")
    (notices,) = (wheel["notices"] for wheel in run_program("show", repaired, "--format", "json").json["wheels"])
    unpacked = unpack(repaired, tmp_path / "repaired")
    assert [(notice["code"], notice["subject"]) for notice in notices] == [
        ("newer-musl", str(path.relative_to(unpacked))) for path in packed_files(unpacked)
    ]
    assert {notice["message"] for notice in notices} == {"needs musl 1.2.4, which is more than musllinux_1_2 promises"}
    ended = alpine.python(GREET, wheel=unpacked, scripts=SCRIPTS)
    assert (ended.returncode == 0) is (musl_release() >= (1, 2, 4))


def packed_files(folder: Path) -> list[Path]:
    """The libraries with DT_RELR, as readelf sees it."""
    libraries = sorted(path for path in folder.rglob("*") if ".so" in path.name)
    found = [path for path in libraries if any("(RELR)" in line for line in readelf(path, "-dW")[0])]
    assert found
    return found


def test_newer_functions_need_a_newer_musl(tmp_path: Path) -> None:
    source = LIBRARY + "\nint statx(void);\nvoid *more(void) { statx(); return (void *)qsort_r; }\n"
    toolchain = zig("x86_64-linux-musl")
    library = build(source, toolchain, inputs=(build_dependency(toolchain),))
    members = {"demo/_core.abi3.so": library.read_bytes()}
    wheel = build_wheel(tmp_path, members, tags=("cp310-abi3-linux_x86_64",))
    repaired = fixup(wheel, tmp_path, "--add-path", build_dependency(toolchain).parent)
    (report,) = run_program("show", repaired, "--format", "json").json["wheels"]
    (notice,) = report["notices"]
    assert (notice["code"], notice["subject"]) == ("newer-musl", "demo/_core.abi3.so")
    assert notice["message"] == "needs musl 1.2.5, which is more than musllinux_1_2 promises"
    assert sorted(notice["context"]) == ["qsort_r came with musl 1.2.3", "statx came with musl 1.2.5"]


def test_a_published_wheel_that_needs_a_newer_musl(alpine: Root, tmp_path: Path) -> None:
    wheel = published(*PSYCOPG2, tmp_path)
    unpacked = unpack(wheel, tmp_path / "wheel")
    shown = run_program("show", wheel, "--format", "json")
    assert shown.code == 0, shown.err
    (report,) = shown.json["wheels"]
    assert (report["overall_tag"], report["libc"]) == ("musllinux_1_2_x86_64", "musl")
    told = {notice["subject"]: notice["message"] for notice in report["notices"] if notice["code"] == "newer-musl"}
    assert set(told) == {str(path.relative_to(unpacked)) for path in packed_files(unpacked)}
    assert len(told) == 11
    assert set(told.values()) == {"needs musl 1.2.4, which is more than musllinux_1_2 promises"}
    ended = alpine.python(["-c", "import psycopg2"], wheel=unpacked, scripts=SCRIPTS)
    assert (ended.returncode == 0) is (musl_release() >= (1, 2, 4)), ended.stderr


def test_a_wheel_for_glibc_2_17(glibc_2_17: Root, tmp_path: Path) -> None:
    wheel = build_greeting(zig("x86_64-linux-gnu.2.17"), tmp_path, "cp310-abi3-linux_x86_64")
    repaired = fixup(wheel, tmp_path, "--plat", "manylinux_2_17_x86_64", "--add-path", tmp_path / "libraries")
    assert "manylinux_2_17_x86_64" in repaired.name
    ended = glibc_2_17.python(
        ["-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"], wheel=tmp_path, scripts=SCRIPTS
    )
    assert ended.stdout == "glibc 2.17\n", ended.stderr
    check_works(glibc_2_17, wheel, repaired, tmp_path)
