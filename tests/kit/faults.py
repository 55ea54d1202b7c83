"""One small wheel for each finding of `deloc8 check`: it has just that fault."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from kit.elf import DT_AUXILIARY, DT_FILTER, GLIBC, MACHINES, Defined, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf
from kit.scene import CORE, Scene, wants
from kit.wheels import build_wheel, record_hash, record_text, wheel_text
from kit.zips import STORED, Entry, Layout, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kit.wheels import Record

    Fault = Callable[[Scene], Path]

INFO = "demo-1.0.dist-info"
TAG = "cp311-cp311-manylinux_2_17_x86_64"
SOUND = wants("GLIBC_2.14")
"""An extension module that any system can load."""

_FOO = ElfSpec(soname="libfoo.so.1", needed=(GLIBC,), defined=(Defined("foo"),))
_ISA_V3 = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 1 | 2 | 4, 0))


def scene_for_checks(folder: Path) -> Scene:
    """A system whose libraries have the symbols that the wheels below use."""
    scene = Scene(folder)
    libraries = {
        GLIBC: Defined("use0", "GLIBC_2.14"),
        "libfoo.so.1": Defined("foo"),
        "libglib-2.0.so.0": Defined("g_free"),
        "libresolv.so.2": Defined("resolve", "RESOLVE_1.0"),
    }
    for name, symbol in libraries.items():
        scene.system.library(f"/usr/lib/{name}", ElfSpec(soname=name, defined=(symbol,)))
    return scene


def core(spec: ElfSpec, tag: str = TAG, member: str = CORE, **more: ElfSpec) -> Fault:
    """A wheel of one extension module, and perhaps of libraries in `demo.libs` (`libx_so_1` is libx.so.1)."""
    others = {f"demo.libs/{name.replace('_', '.')}": other for name, other in more.items()}
    return lambda scene: scene.wheel({member: spec, **others}, tags=(tag,))


def beside(member: str, spec: ElfSpec, *more: tuple[str, ElfSpec]) -> Fault:
    """A sound module with other files beside it."""
    return lambda scene: scene.wheel({CORE: SOUND, member: spec, **dict(more)}, tags=(TAG,))


def files(members: Mapping[str, bytes], tags: Sequence[str] = (TAG,), record: Record | bytes = "good") -> Fault:
    """A sound module with other members."""
    return lambda scene: build_wheel(scene.folder, {CORE: build_elf(SOUND), **members}, tags=tags, record=record)


def recorded(old: bytes, new: bytes) -> Fault:
    """A wheel with something else in its RECORD."""

    def build(scene: Scene) -> Path:
        members = {
            CORE: build_elf(SOUND),
            f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
            f"{INFO}/WHEEL": wheel_text([TAG]),
        }
        text = record_text(members, f"{INFO}/RECORD").replace(old, new)
        return build_wheel(scene.folder, members, tags=(TAG,), record=text)

    return build


def archive(data: bytes, name: str = "demo-1.0-py3-none-any.whl") -> Fault:
    """A file of some bytes."""

    def build(scene: Scene) -> Path:
        path = scene.folder / name
        path.write_bytes(data)
        return path

    return build


def zipped(*entries: Entry, **layout: object) -> Fault:
    """A pure wheel with these entries."""
    return archive(raw_zip(wheel_entries(*entries), Layout(**layout)))  # type: ignore[arg-type]  # its fields


def bare(*names: str) -> Fault:
    """An archive of empty members."""
    return archive(raw_zip([Entry(name=name.encode()) for name in names]))


def with_debug(data: bytes, size: int = 20_000, name: bytes = b".debug_info", flags: int = 0) -> bytes:
    """A 64-bit little-endian ELF file with one more section, which has its name table to itself."""
    offset, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    old = data[offset : offset + 64 * count]
    place = len(data) + size
    names = b"\0" + name + b"\0"
    table = place + len(names) + -(place + len(names)) % 8
    nameless = b"".join(bytes(4) + old[64 * n + 4 : 64 * n + 64] for n in range(count))
    more = struct.pack("<IIQQQQIIQQ", 1, 1, flags, 0, len(data), size, 0, 0, 1, 0)
    more += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, place, len(names), 0, 0, 1, 0)
    grown = bytearray(data + bytes(size) + names + bytes(table - place - len(names)) + nameless + more)
    struct.pack_into("<Q", grown, 40, table)
    struct.pack_into("<HH", grown, 60, count + 2, count + 1)
    return bytes(grown)


def _renamed(scene: Scene) -> Path:
    path = scene.folder / f"demo-1.0-{TAG}.whl"
    return build_wheel(path, {CORE: build_elf(SOUND)}, tags=("cp311-cp311-manylinux_2_28_x86_64",))


def _with_a_newer_copy(scene: Scene) -> Path:
    """A wheel with an older build of the library that its module was linked with."""
    newer = replace(_FOO, defined=(*_FOO.defined, Defined("newer")))
    path = scene.system.library("/opt/build/libfoo.so.1", newer)
    linked = replace(SOUND, needed=(path, GLIBC), undefined=(*SOUND.undefined, Undefined("foo")))
    return core(linked, libfoo_so_1=_FOO)(scene)


def _module(suffix: str, tag: str = TAG, spec: ElfSpec = SOUND) -> Fault:
    return core(spec, tag, f"demo/_core.{suffix}.so")


def _py(name: str) -> ElfSpec:
    return replace(SOUND, undefined=(*SOUND.undefined, Undefined(name)))


_PLAIN = Entry(name=b"demo/a.py", data=b"print()\n" * 20)
_GOOD = raw_zip(wheel_entries(_PLAIN))
_MUSL = "cp311-cp311-musllinux_1_2_x86_64"
_AARCH64 = replace(MACHINES["aarch64"], needed=(GLIBC,))

FAULTS: Mapping[str, Fault] = {
    "false-tag": core(SOUND, "cp311-cp311-manylinux_2_17_aarch64"),
    "symbol-too-new": core(wants("GLIBC_2.34")),
    "marker-too-new": core(replace(SOUND, relr=True, needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),))),
    "release-too-new": core(replace(SOUND, needed=("libz.so.1", GLIBC), undefined=(Undefined("gzfread"),))),
    "library-not-allowed": core(replace(SOUND, needed=("libfoo.so.1", GLIBC), undefined=(Undefined("foo"),))),
    "forbidden-symbol": core(
        replace(SOUND, undefined=(Undefined("__cxa_thread_atexit_impl", "GLIBC_2.14", GLIBC),)),
    ),
    "isa-level": core(replace(SOUND, notes=(_ISA_V3,))),
    "ucs2": core(_py("PyUnicodeUCS2_FromObject")),
    "pyfpe": core(_py("PyFPE_jbuf")),
    "relr-without-marker": core(replace(SOUND, relr=True)),
    "damaged-file": files({"demo/tests/truncated.so": b"\x7fELF" + bytes(60)}),
    "newer-loader": core(
        replace(SOUND, undefined=tuple(map(Undefined, ("PyList_New", "PyList_Size", "PyDict_New"))), functions="before")
    ),
    "foreign-file": beside("demo/other.so", _AARCH64),
    "own-library-differs": _with_a_newer_copy,
    "no-baseline-library": beside(
        "demo.libs/glibc-hwcaps/x86-64-v3/libfoo.so.1", replace(_FOO, notes=(*_FOO.notes, _ISA_V3))
    ),
    "minimal-system-lacks": core(
        replace(SOUND, needed=("libglib-2.0.so.0", GLIBC), undefined=(Undefined("g_free"),)),
    ),
    "newer-musl": core(ElfSpec(needed=("libc.musl-x86_64.so.1",), relr=True), _MUSL),
    "optional-library-missing": core(replace(SOUND, links=((DT_AUXILIARY, "libfast.so.1"),))),
    "version-without-ceiling": core(
        ElfSpec(needed=("libresolv.so.2", GLIBC), undefined=(Undefined("resolve", "RESOLVE_1.0", "libresolv.so.2"),)),
    ),
    "tags-differ": _renamed,
    "metadata-mismatch": files({f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 2.0\n"}),
    "root-is-purelib": files({f"{INFO}/WHEEL": wheel_text([TAG]).replace(b": false", b": true")}),
    "suffix-python": _module("cpython-312-x86_64-linux-gnu"),
    "suffix-machine": _module("cpython-311-aarch64-linux-gnu"),
    "suffix-libc": _module("cpython-311-x86_64-linux-musl"),
    "outside-stable-abi": _module("abi3", "cp39-abi3-manylinux_2_17_x86_64", _py("PyFrame_GetLasti")),
    "stable-abi-too-new": _module("abi3", "cp39-abi3-manylinux_2_17_x86_64", _py("PyType_GetName")),
    "executable-stack": core(replace(SOUND, gnu_stack=7)),
    "missing-stack-header": core(replace(SOUND, gnu_stack=None)),
    "libpython-needed": core(replace(SOUND, needed=("libpython3.11.so.1.0", GLIBC))),
    "small-page-alignment": core(replace(_AARCH64, align=0x1000), "cp311-cp311-manylinux_2_17_aarch64"),
    "text-relocations": core(replace(SOUND, textrel=True)),
    "absolute-rpath": core(replace(SOUND, rpath="$ORIGIN/../demo.libs:/home/me/lib")),
    "relative-rpath": core(replace(SOUND, runpath="$ORIGIN/../demo.libs::lib")),
    "rpath-missing-folder": core(
        replace(
            SOUND,
            needed=("libfoo.so.1", GLIBC),
            undefined=(*SOUND.undefined, Undefined("foo")),
            rpath="$ORIGIN/bin/../../demo.libs",
        ),
        libfoo_so_1=_FOO,
    ),
    "debug-sections": files({"demo/_other.so": with_debug(build_elf(SOUND))}),
    "host-only-library": beside("demo.libs/libX11-12345678.so.6.4.0", ElfSpec(soname="libX11-12345678.so.6.4.0")),
    "duplicate-library": beside("demo.libs/libfoo.so", _FOO, ("demo.libs/libfoo.so.1", _FOO)),
    "second-cpp-runtime": beside("demo.libs/libstdc++.so.6", ElfSpec(soname="libstdc++.so.6")),
    "second-openmp-runtime": beside(
        "demo.libs/libgomp-12345678.so.1",
        ElfSpec(soname="libgomp-12345678.so.1"),
        ("demo.libs/libomp.so", ElfSpec(soname="libomp.so")),
    ),
    "second-glib": beside("demo.libs/libglib-2.0-12345678.so.0", ElfSpec(soname="libglib-2.0-12345678.so.0")),
    "undefined-symbol": core(_py("nobody_has_me")),
    "unused-library": core(
        replace(SOUND, needed=("libfoo.so.1", GLIBC), runpath="$ORIGIN/../demo.libs"), libfoo_so_1=_FOO
    ),
    "dlopened-library-missing": files({"demo/lib.py": b'import ctypes\nctypes.CDLL("libabsent.so.1")\n'}),
    "search-incomplete": files({"demo/lib.py": b'import ctypes\nctypes.CDLL("libabsent.so.1")\n' + b"#" * (1 << 20)}),
    "unlisted-member": files({}, record="unlisted"),
    "absent-member": recorded(b"demo/_core.so,", f"demo/gone.py,{record_hash(b'')},0\ndemo/_core.so,".encode()),
    "wrong-size": files({}, record="wrong-size"),
    "wrong-hash": files({}, record="wrong-hash"),
    "missing-hash": recorded(record_hash(build_elf(SOUND)).encode(), b""),
    "weak-hash": recorded(record_hash(build_elf(SOUND)).encode(), b"md5=1B2M2Y8AsgTpgAmY7PhCfg"),
    "record-hash": recorded(b"/RECORD,,", f"/RECORD,{record_hash(b'')},".encode()),
    "odd-record": recorded(b"demo/_core.so,", b"./demo/_core.so,"),
    "bad-record": files({}, record=b"\xff\n"),
    "bad-metadata": files({f"{INFO}/METADATA": b"Name: demo\n"}),
    "bad-wheel-metadata": files({f"{INFO}/WHEEL": b"no wheel\n"}),
    "filter-circle": beside(
        "demo/libone.so",
        ElfSpec(soname="libone.so", links=((DT_FILTER, "libtwo.so"),), runpath="$ORIGIN"),
        (
            "demo/libtwo.so",
            ElfSpec(soname="libtwo.so", links=((DT_AUXILIARY, "libone.so"),), runpath="$ORIGIN"),
        ),
    ),
    "bad-elf": files({"demo/broken.abi3.so": b"\x7fELF" + bytes(60)}),
    "elf-in-purelib": files({"demo-1.0.data/purelib/demo/x.so": build_elf(SOUND)}),
    "unknown-machine": core(MACHINES["s390"], "cp311-cp311-linux_s390"),
    "unreadable-wheel": lambda scene: scene.folder / "absent-1.0-py3-none-any.whl",
    "bad-wheel-name": archive(_GOOD, "demo.whl"),
    "not-a-zip": archive(b"Hello, world\n" * 100),
    "truncated-archive": archive(_GOOD[:-1]),
    "trailing-data": archive(_GOOD + b"x"),
    "leading-data": archive(b"#!/bin/sh\n" + _GOOD),
    "hidden-data": zipped(_PLAIN, before_directory=b"secret"),
    "overlapping-members": zipped(_PLAIN, replace(_PLAIN, central={"offset": 0})),
    "header-mismatch": zipped(replace(_PLAIN, local={"crc": 1})),
    "bad-directory": zipped(end={"count": 9, "here": 9}),
    "bad-header": zipped(replace(_PLAIN, both={"extra": b"\1\0\x10\0"})),
    "bad-zip64": zipped(end64={}, locator={"offset": 0}),
    "bad-member-data": zipped(replace(_PLAIN, stream=b"\xff" * 30)),
    "bad-member-size": zipped(replace(_PLAIN, method=STORED, both={"size": 1})),
    "duplicate-member": zipped(_PLAIN, _PLAIN),
    "case-conflict": zipped(_PLAIN, replace(_PLAIN, name=b"demo/A.py")),
    "file-and-folder": zipped(_PLAIN, replace(_PLAIN, name=b"demo")),
    "unsafe-path": zipped(replace(_PLAIN, name=b"../a.py")),
    "ambiguous-name": zipped(replace(_PLAIN, name="demo/größe.py".encode("cp437"))),
    "symlink-member": zipped(replace(_PLAIN, mode=0o120777)),
    "special-member": zipped(replace(_PLAIN, mode=0o20666)),
    "encrypted-member": zipped(replace(_PLAIN, flags=1)),
    "unsupported-compression": zipped(replace(_PLAIN, method=12)),
    "multi-disk-archive": zipped(end={"disk": 1}),
    "compression-bomb": zipped(
        *(Entry(name=f"demo/{n}".encode(), stream=bytes(80 << 20 >> 6), both={"size": 1 << 30}) for n in range(2))
    ),
    "too-many-members": zipped(end64={"count": 10**7, "here": 10**7}, end={"count": 0xFFFF, "here": 0xFFFF}),
    "too-many-symbols": lambda scene: scene.wheel({f"demo/{n}.so": b"\x7fELF" + bytes(60) for n in range(10_001)}),
    "missing-dist-info": bare("demo/a.py"),
    "several-dist-info": bare(f"{INFO}/WHEEL", "other-1.0.dist-info/WHEEL"),
    "dist-info-mismatch": bare("other-1.0.dist-info/WHEEL"),
    "missing-wheel-file": bare(f"{INFO}/METADATA", f"{INFO}/RECORD"),
    "missing-metadata": bare(f"{INFO}/WHEEL", f"{INFO}/RECORD"),
    "missing-record": bare(f"{INFO}/WHEEL", f"{INFO}/METADATA"),
}
