"""Machines other than this one: their compilers, their emulators, and the demo's wheel built for them."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.compile import Toolchain, build, zig
from kit.editor_check import check_peace, names_of
from kit.require import require
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine and what stands for it here.

    Attributes:
        name: Its name in platform tags.
        zig: What zig calls it, with the oldest glibc that has what the demo uses.
        triple: What GNU and Debian's cross compilers call it; empty where Debian has none.
        debian: Its name in Debian; empty where Debian 12 has none.
        qemu: Its name in the programs of qemu.
    """

    name: str
    zig: str
    triple: str = ""
    debian: str = ""
    qemu: str

    @property
    def emulator(self) -> str:
        """The path of the emulator; the test is skipped without it."""
        return require(f"qemu-{self.qemu}-static", "Debian: qemu-user-static")

    def toolchain(self, linker: str) -> Toolchain:
        """The compiler that links with GNU ld (`bfd`), or the one that links with `lld`."""
        return Toolchain(f"{self.triple}-gcc") if linker == "bfd" else zig(self.zig)


S390X = Machine(name="s390x", zig="s390x-linux-gnu.2.17", triple="s390x-linux-gnu", debian="s390x", qemu="s390x")
ARMV7L = Machine(
    name="armv7l", zig="arm-linux-gnueabihf.2.31", triple="arm-linux-gnueabihf", debian="armhf", qemu="arm"
)
AARCH64 = Machine(
    name="aarch64", zig="aarch64-linux-gnu.2.17", triple="aarch64-linux-gnu", debian="arm64", qemu="aarch64"
)
PPC64LE = Machine(
    name="ppc64le", zig="powerpc64le-linux-gnu.2.32", triple="powerpc64le-linux-gnu", debian="ppc64el", qemu="ppc64le"
)
I686 = Machine(name="i686", zig="x86-linux-gnu.2.5", triple="i686-linux-gnu", debian="i386", qemu="i386")

RISCV64 = Machine(name="riscv64", zig="riscv64-linux-gnu.2.27", triple="riscv64-linux-gnu", qemu="riscv64")
LOONGARCH64 = Machine(name="loongarch64", zig="loongarch64-linux-gnu.2.36", qemu="loongarch64")
PPC64 = Machine(name="ppc64", zig="powerpc64-linux-musl", triple="powerpc64-linux-gnu", qemu="ppc64")


def build_greeting(
    toolchain: Toolchain,
    folder: Path,
    tag: str,
    extension: str = "_core.abi3.so",
    options: tuple[str, ...] = (),
) -> Path:
    """The demo's wheel for some machine, not repaired; its two libraries are in `folder / "libraries"`.

    Args:
        toolchain: What builds it.
        folder: Where it goes.
        tag: Its tag, such as ``cp310-abi3-linux_s390x``.
        extension: The file name of the extension module.
        options: More options of the compiler.
    """
    libraries = folder / "libraries"
    libraries.mkdir(parents=True)
    words = libraries / "libwords.so.2"
    shutil.copy(_build("libraries/words.c", toolchain, (words.name, "libraries/words.map"), (), options), words)
    greet = libraries / "libgreet.so.1"
    inputs = (words, Path("-lm"))
    shutil.copy(_build("libraries/greet.c", toolchain, (greet.name, "libraries/greet.map"), inputs, options), greet)
    core = _build("greeting/_core.c", toolchain, None, (greet,), options)
    members = {
        "greeting/__init__.py": (EXAMPLES / "greeting" / "__init__.py").read_bytes(),
        f"greeting/{extension}": core.read_bytes(),
    }
    return build_wheel(folder, members, name="greeting", tags=(tag,))


def _build(
    source: str,
    toolchain: Toolchain,
    named: tuple[str, str] | None,
    inputs: tuple[Path, ...],
    options: tuple[str, ...],
) -> Path:
    headers = (f"-I{EXAMPLES / 'libraries'}", f"-I{EXAMPLES / 'greeting'}")
    # An extension module's symbols of Python are not there at link time.
    linking: tuple[str, ...] = ("-Wl,-soname,_core.abi3.so",)
    if named is not None:
        linking = (f"-Wl,-soname,{named[0]}", f"-Wl,--version-script={EXAMPLES / named[1]}", "-Wl,--no-undefined")
    return build((EXAMPLES / source).read_text(), toolchain, options=(*headers, *linking, *options), inputs=inputs)


def build_stand_in(toolchain: Toolchain) -> Path:
    """A program that takes Python's place: it loads the extension module of the demo and greets the world."""
    source = Path(__file__).with_name("stand_in.c").read_text()
    return build(source, toolchain, kind="pie", options=(f"-I{EXAMPLES / 'greeting'}", "-rdynamic", "-ldl"))


def unpack(wheel: Path, folder: Path) -> Path:
    """The folder that a wheel was unpacked to."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def check_greeting(originals: Sequence[Path], unpacked: Path, *, runpath: bool = False) -> None:
    """Every edited file is sound in the eyes of readelf and LIEF, and says what it should in those of pyelftools.

    Args:
        originals: The files as they were: the extension module, libgreet, libwords.
        unpacked: The folder of the repaired wheel.
        runpath: Whether DT_RUNPATH leads to the grafts, not DT_RPATH.
    """
    core = unpacked / "greeting" / originals[0].name
    greet, words = sorted((unpacked / "greeting.libs").iterdir())
    files = (core, greet, words)
    for before, after in zip(originals, files, strict=True):
        check_peace(before, after)
    names = [names_of(file) for file in files]
    assert [path.runpath if runpath else path.rpath for path in names] == ["$ORIGIN/../greeting.libs", "$ORIGIN", None]
    assert [path.rpath if runpath else path.runpath for path in names] == [None, None, None]
    assert [path.soname for path in names[1:]] == [greet.name, words.name]
    assert greet.name in names[0].needed
    assert words.name in names[1].needed


_ANDROID_LIBC = """
int snprintf(char *line, unsigned long size, const char *format, ...) { return 0; }
int strcmp(const char *one, const char *other) { return 0; }
double log10(double number) { return 0; }
"""
_ANDROID_PYTHON = """
void *PyExc_ValueError;
int PyArg_ParseTuple(void *tuple, const char *format, ...) { return 0; }
void PyErr_SetString(void *kind, const char *text) {}
void *PyFloat_FromDouble(double number) { return 0; }
void *PyUnicode_FromString(const char *text) { return 0; }
void *PyModuleDef_Init(void *definition) { return 0; }
"""
# What crtbegin_so.o of the NDK puts into every library (bionic/libc/arch-common/bionic/crtbrand.S).
_ANDROID_NOTE = """
__attribute__((section(".note.android.ident"), used, aligned(4)))
static const struct { int name_size, size, type; char name[8]; int level; char release[64], build[64]; }
    android_note = {8, 132, 1, "Android", 24, "r27", "12077973"};
"""


def build_android_greeting(target: str, folder: Path, tag: str) -> Path:
    """The demo's wheel as the NDK would link it, with lld: against libraries that stand for Android's and Python's.

    Args:
        target: The machine, such as ``aarch64``.
        folder: Where it goes; the libraries are in `folder / "libraries"`.
        tag: Its tag, such as ``cp313-cp313-android_24_arm64_v8a``.
    """
    toolchain = zig(f"{target}-linux-musl")
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir(parents=True)
    version_script = stand_ins / "libc.map"
    version_script.write_text("LIBC { global: *; };\n")
    note = stand_ins / "note.h"
    note.write_text(_ANDROID_NOTE)
    options = ("-nostdlib", "-fno-builtin")
    libc = build(
        _ANDROID_LIBC, toolchain, options=(*options, "-Wl,-soname,libc.so", f"-Wl,--version-script={version_script}")
    )
    python = build(_ANDROID_PYTHON, toolchain, options=(*options, "-Wl,-soname,libpython3.13.so"))
    paths = [shutil.copy(libc, stand_ins / "libc.so"), shutil.copy(python, stand_ins / "libpython3.13.so")]
    # Of two libraries named libc.so the first that has the symbols is the one that is needed: not zig's own.
    more = ("-fno-builtin", "-include", str(note), *map(str, paths))
    return build_greeting(toolchain, folder, tag, f"_core.cpython-313-{target}-linux-android.so", more)
