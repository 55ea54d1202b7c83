"""What is lowered, loaded by the real ld.so of glibc 2.17: at once, lazily, and by LD_BIND_NOW.

`ld.so --list` and lazy loading do not show every fault: Python imports with RTLD_NOW.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from deloc8.elf.edits import JoinRelocations, UnpackRelocations
from deloc8.elf.invariants import broken_invariants
from deloc8.elf.writer import edit
from kit.command import run_program
from kit.compile import ANSWER, LIBRARY, Toolchain, build, build_dependency, zig
from kit.editor_check import check_peace
from kit.machines import unpack
from kit.oldglibc import functions_of
from kit.oldloader import LINE, build_old_wheel
from kit.patch import patch_entry
from kit.pyelf import dynamic_of, offset_of
from kit.require import require
from kit.runtimes import extract, make_root

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


# -- whole wheels, in Python -------------------------------------------------------------------------------------------

LINKS = {
    "bfd": ("plain", "now", "separate", "together", "sysv", "packed", "packed, now", "packed, sysv"),
    "gold": ("plain", "now", "sysv"),
    "lld": ("plain", "now", "separate", "sysv"),
    "mold": ("plain", "now", "sysv"),
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
