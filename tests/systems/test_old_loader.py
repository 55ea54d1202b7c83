"""What is lowered, loaded by the real ld.so of glibc 2.17: at once, lazily, and by LD_BIND_NOW.

`ld.so --list` and lazy loading do not show every fault: Python imports with RTLD_NOW.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import JoinRelocations, SetSoname, UnpackRelocations
from deloc8.elf.edit.writer import edit
from kit.command import run_program
from kit.compile import ANSWER, LIBRARY, Toolchain, build, build_dependency, zig
from kit.editor_check import check_peace
from kit.machines import unpack
from kit.oldglibc import functions_of
from kit.oldloader import LINE, build_old_wheel
from kit.patch import patch_entry, patch_segment
from kit.pyelf import dynamic_of, offset_of
from kit.require import require
from kit.runtimes import extract, make_root
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from kit.distribution import Root

pytestmark = pytest.mark.systems

HOST = r"""
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
int main(int count, char **words) {
    int mode = words[1][0] == 'n' ? RTLD_NOW : RTLD_LAZY;
    printf("%s", gnu_get_libc_version());
    for (int i = 2; i < count; i++) {
        void *library = dlopen(words[i], mode);
        int (*answer)(int) = library ? (int (*)(int))dlsym(library, "answer") : 0;
        if (!answer) { printf(" %s\n", dlerror()); return 1; }
        printf(" %d", answer(10));
    }
    printf("\n");
    return 0;
}
"""
DT_JMPREL = 23
LINKERS = ("bfd", "gold", "lld", "mold")
PACKED = {
    "bfd": ("-Wl,-z,pack-relative-relocs",),
    "lld": ("-Wl,--pack-dyn-relocs=relr",),
    "mold": ("-Wl,--pack-dyn-relocs=relr",),
}
FLAGS = {
    "plain": (),
    "now": ("-Wl,-z,now",),
    "separate": ("-Wl,-z,separate-code",),
    "together": ("-Wl,-z,noseparate-code",),
    "sysv": ("-Wl,--hash-style=sysv",),
    "gnu": ("-Wl,--hash-style=gnu",),
    "both": ("-Wl,--hash-style=both",),
    "no relro": ("-Wl,-z,norelro",),
    "no id": ("-Wl,--build-id=none",),
    "no plt": ("-fno-plt",),
}
MODES = {"at once": ("now", {}), "lazily": ("lazy", {}), "by LD_BIND_NOW": ("lazy", {"LD_BIND_NOW": "1"})}


class OldGlibc(NamedTuple):
    """The runtime of glibc 2.17, and a program that loads libraries with it."""

    libraries: Path
    host: Path

    def load(self, *paths: Path, mode: str = "now", environment: dict[str, str] | None = None) -> str:
        """What the program says: the release and the answers of the libraries; or how it ended."""
        command: list[str | Path] = [
            self.libraries / "ld-2.17.so",
            "--library-path",
            f"{self.libraries}:{paths[0].parent}",
        ]
        command += [self.host, mode, *paths]
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
        )
        return ended.stdout.strip() if ended.returncode >= 0 else f"signal {-ended.returncode}"


@pytest.fixture(scope="module")
def old(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> OldGlibc:
    folder = tmp_path_factory.mktemp("glibc")
    libraries = extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder / "runtime") / "lib"
    return OldGlibc(libraries, build(HOST, zig("x86_64-linux-gnu.2.17"), kind="pie", options=("-ldl",)))


def built(linker: str, flags: tuple[str, ...]) -> bytes:
    toolchain = Toolchain("gcc", linker)
    return build(LIBRARY, toolchain, options=flags, inputs=(build_dependency(toolchain),)).read_bytes()


def placed(data: bytes, folder: Path, linker: str) -> Path:
    """The library in a folder, beside the one that it needs."""
    dependency = build_dependency(Toolchain("gcc", linker))
    (folder / dependency.name).write_bytes(dependency.read_bytes())
    path = folder / "libdemo.so"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("linker", PACKED)
def test_unpacked_relocations_are_applied_by_the_old_loader(
    old: OldGlibc, linker: str, flags: str, tmp_path: Path
) -> None:
    data = built(linker, FLAGS[flags] + PACKED[linker])
    assert "DT_RELR" in dynamic_of(data)
    path = placed(edit(data, [UnpackRelocations()], "libdemo.so").data, tmp_path, linker)
    for mode, environment in MODES.values():
        assert old.load(path, mode=mode, environment=environment) == f"2.17 {ANSWER}"
    for options in (["-g"], ["-s"]):
        subprocess.run([require("strip", "binutils"), *options, path], check=True)
        assert old.load(path) == f"2.17 {ANSWER}"
    original = tmp_path / "original.so"
    original.write_bytes(data)
    check_peace(original, path)


@pytest.mark.parametrize("linker", PACKED)
def test_tables_that_are_apart_crash_the_old_loader_and_are_joined(old: OldGlibc, linker: str, tmp_path: Path) -> None:
    """As lazy loading does not show."""
    data = built(linker, PACKED[linker])
    edited = edit(data, [UnpackRelocations()], "libdemo.so").data
    # The table where it was, and something else behind DT_RELA.
    apart = patch_entry(edited, DT_JMPREL, dynamic_of(data)["DT_JMPREL"])
    said = dynamic_of(edited)
    behind, size = offset_of(edited, said["DT_JMPREL"]), said["DT_PLTRELSZ"]
    apart = apart[:behind] + b"\xf0" * size + apart[behind + size :]
    path = placed(apart, tmp_path, linker)
    assert functions_of(apart) == functions_of(edited) != []
    assert old.load(path, mode="lazy") == f"2.17 {ANSWER}"
    assert f" {ANSWER}" not in old.load(path)
    joined = edit(apart, [JoinRelocations()], "libdemo.so").data
    assert broken_invariants(joined, "libdemo.so") == ()
    path = placed(joined, tmp_path, linker)
    for mode, environment in MODES.values():
        assert old.load(path, mode=mode, environment=environment) == f"2.17 {ANSWER}"
    assert edit(joined, [JoinRelocations()], "libdemo.so").data == joined


# -- what the old loader reads otherwise, and no symbol version shows


def here(*paths: Path) -> str:
    """What the program says with this machine's own glibc."""
    host = build(HOST, Toolchain("gcc"), kind="pie", options=("-ldl",))
    folders = {**os.environ, "LD_LIBRARY_PATH": str(paths[0].parent)}
    ended = subprocess.run([host, "now", *paths], capture_output=True, text=True, check=False, env=folders)
    return ended.stdout.strip() if ended.returncode >= 0 else f"signal {-ended.returncode}"


def floor(data: bytes, folder: Path) -> str:
    """The best tag of a wheel with a file, without the library that it needs."""
    wheel = build_wheel(folder, {"demo/libdemo.so": data}, tags=("py3-none-linux_x86_64",))
    shown = run_program("show", wheel, "--format", "json", "--exclude", "libdependency.so.1")
    return str(shown.json["wheels"][0]["overall_tag"])


def test_a_read_only_dynamic_section(old: OldGlibc, tmp_path: Path) -> None:
    data = built("lld", ("-Wl,-z,rodynamic",))
    path = placed(data, tmp_path, "lld")
    assert old.load(path) == "signal 11"
    assert here(path).endswith(f" {ANSWER}")
    assert floor(data, tmp_path) == "manylinux_2_35_x86_64"


@pytest.mark.parametrize("linker", LINKERS)
def test_alignment_that_is_less_than_a_page_or_more_than_the_places(old: OldGlibc, linker: str, tmp_path: Path) -> None:
    data = built(linker, ())
    assert floor(data, tmp_path) == "manylinux_2_5_x86_64"
    for align, told in ((0x10, "alignment not page-aligned"), (0x40000000, "address/offset not properly aligned")):
        changed = patch_segment(data, 1, "p_align", align, -1)
        path = placed(changed, tmp_path, linker)
        assert told in old.load(path)
        assert floor(changed, tmp_path) == "manylinux_2_35_x86_64"
        if align < 0x1000:
            assert here(path).endswith(f" {ANSWER}")


@pytest.mark.parametrize("linker", LINKERS)
def test_a_wheel_whose_tables_are_apart_is_joined_on_request(old: OldGlibc, linker: str, tmp_path: Path) -> None:
    """As they are where another tool has moved one of them."""
    data = apart(built(linker, ()))
    path = placed(data, tmp_path, linker)
    assert old.load(path, mode="lazy") == f"2.17 {ANSWER}"
    assert f" {ANSWER}" not in old.load(path)
    assert here(path).endswith(f" {ANSWER}")
    assert floor(data, tmp_path) == "manylinux_2_24_x86_64"
    wheel = build_wheel(tmp_path, {"demo/libdemo.so": data}, tags=("py3-none-linux_x86_64",))
    options = ("--plat", "manylinux_2_17_x86_64", "--exclude", "libdependency.so.1")
    ended = run_program("fixup", wheel, "-w", tmp_path / "refused", *options)
    assert ended.code == 1
    assert "[newer-loader]" in ended.err
    ended = run_program("fixup", wheel, "-w", tmp_path / "out", *options, "--lower-glibc")
    assert ended.code == 0, ended.err
    assert "DT_JMPREL apart from the other relocations -> DT_JMPREL directly behind them (joined)" in ended.out
    (joined,) = unpack(next((tmp_path / "out").iterdir()), tmp_path / "unpacked").rglob("*.so")
    path = placed(joined.read_bytes(), tmp_path, linker)
    for mode, environment in MODES.values():
        assert old.load(path, mode=mode, environment=environment) == f"2.17 {ANSWER}"


def apart(data: bytes) -> bytes:
    """A library whose DT_JMPREL is a copy elsewhere, with rubbish where it was."""
    said = dynamic_of(data)
    place, size = offset_of(data, said["DT_JMPREL"]), said["DT_PLTRELSZ"]
    mark = "x" * (size + 32)
    filled = edit(data, [SetSoname(soname=mark)], "libdemo.so").data
    start = dynamic_of(filled)["DT_STRTAB"]
    where = filled.index(mark.encode())
    shift = -(start - offset_of(filled, start) + where) % 8
    target = where + shift
    changed = filled[:target] + data[place : place + size] + filled[target + size :]
    changed = changed[:place] + b"\xf0" * size + changed[place + size :]
    return patch_entry(changed, DT_JMPREL, start - offset_of(filled, start) + target)


# -- whole wheels, in Python -------------------------------------------------------------------------------------------

LINKS = {
    "bfd": ("plain", "now", "separate", "together", "sysv", "packed", "packed, now", "packed, sysv"),
    "gold": ("plain", "now", "sysv"),
    "lld": ("plain", "now", "separate", "sysv", "packed", "packed, now"),
    "mold": ("plain", "now", "sysv", "packed", "packed, now"),
}
CASES = [(linker, link) for linker, links in LINKS.items() for link in links]
RUN = "import old; print(old.run())"
IMPORTS = {
    "as Python does": RUN,
    "at once": f"import os, sys; sys.setdlopenflags(os.RTLD_NOW); {RUN}",
    "lazily": f"import os, sys; sys.setdlopenflags(os.RTLD_LAZY); {RUN}",
    "by LD_BIND_NOW": (
        "import os, sys; os.environ['LD_BIND_NOW'] = '1'; os.execv(sys.executable, [sys.executable, '-c', "
        f"'import os, sys; sys.setdlopenflags(os.RTLD_LAZY); {RUN}'])"
    ),
}


@pytest.fixture(scope="module")
def glibc_2_17(runtimes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A small system of glibc 2.17, with a Python."""
    folder = tmp_path_factory.mktemp("root")
    root = make_root(folder / "root", extract(runtimes_folder / "py311-glibc217.tar.xz", folder / "python"))
    libraries = extract(runtimes_folder / "glibc217-runtime-x86_64.tar.xz", folder / "runtime") / "lib"
    libraries.rename(root.path / "lib64")
    return root


@pytest.mark.parametrize(("linker", "link"), CASES)
def test_a_lowered_extension_and_its_graft_work_on_the_old_loader(
    glibc_2_17: Root, linker: str, link: str, tmp_path: Path
) -> None:
    flags = [flag for word in link.split(", ") for flag in (PACKED[linker] if word == "packed" else FLAGS[word])]
    wheel = build_old_wheel(linker, flags, tmp_path)
    options = ("--plat", "manylinux_2_17_x86_64", "--lower-glibc", "--ldpaths", tmp_path / "libraries")
    ended = run_program("fixup", wheel, "-w", tmp_path / "out", *options)
    assert ended.code == 0, ended.err
    unpacked = unpack(next((tmp_path / "out").iterdir()), tmp_path / "unpacked")
    files = sorted(path for path in unpacked.rglob("*.so*") if path.is_file())
    assert [path.name.partition("-")[0] for path in files] == ["_core.abi3.so", "libdeloc8_compat", "libwork"]
    assert not any("DT_RELR" in dynamic_of(path.read_bytes()) for path in files)
    for script in IMPORTS.values():
        said = glibc_2_17.python(["-c", script], wheel=unpacked, scripts=tmp_path)
        assert (said.returncode, said.stdout) == (0, f"{LINE}\n{LINE}\n"), said.stderr
