from __future__ import annotations

import pytest

from deloc8.loader.libc import find_libc, is_of_kernel, libc_of
from deloc8.target import Arch, Libc
from kit.elf import ElfSpec, NeedSpec, NoteSpec
from kit.system import image_of


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ElfSpec(), None),
        (ElfSpec(needed=("libz.so.1", "libm.so.6")), None),
        (ElfSpec(needed=("libz.so.1", "libc.so.6")), Libc.GLIBC),
        (ElfSpec(needed=("ld-linux-aarch64.so.1",)), Libc.GLIBC),
        (ElfSpec(needed=("ld64.so.2",)), Libc.GLIBC),
        (ElfSpec(needed=("libc.musl-x86_64.so.1",)), Libc.MUSL),
        (ElfSpec(needed=("ld-musl-aarch64.so.1",)), Libc.MUSL),
        (ElfSpec(needed=("libc.so",)), Libc.MUSL),
        (ElfSpec(needed=("libc.so",), needs=(NeedSpec("libc.so", "LIBC"),)), Libc.ANDROID),
        (ElfSpec(needed=("libc.so",), notes=(NoteSpec("Android", 1, b"\x18\0\0\0"),)), Libc.ANDROID),
        (ElfSpec(notes=(NoteSpec("Android", 1, b"\x18\0\0\0"),)), Libc.ANDROID),
        (ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2"), Libc.GLIBC),
        (ElfSpec(interpreter="/lib/ld64.so.1"), Libc.GLIBC),
        (ElfSpec(interpreter="/lib/ld-musl-x86_64.so.1"), Libc.MUSL),
        (ElfSpec(interpreter="/system/bin/linker64", needed=("libc.so",)), Libc.ANDROID),
        (ElfSpec(interpreter="/strange/loader"), None),
        (ElfSpec(dynamic=False), None),
    ],
)
def test_find_libc(spec: ElfSpec, expected: Libc | None) -> None:
    assert find_libc(image_of(spec)) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.cpython-312-x86_64-linux-gnu.so", Libc.GLIBC),
        (f"x.cpython-3{'1' * 5000}-x86_64-linux-gnu.so", None),
        ("x.cpython-313t-x86_64-linux-gnu.so", Libc.GLIBC),
        ("x.cpython-311-arm-linux-gnueabihf.so", Libc.GLIBC),
        ("x.cpython-310-x86_64-linux-gnu.so", None),  # until 3.10 that is the suffix on musl, too
        ("x.cpython-36m-x86_64-linux-gnu.so", None),
        ("x-linux-gnu.so", None),
        ("x.cpython-310-x86_64-linux-musl.so", Libc.MUSL),
        ("x.cpython-312-arm-linux-musleabihf.so", Libc.MUSL),
        ("x.pypy310-pp73-x86_64-linux-musl.so", Libc.MUSL),
        ("x.cpython-313-aarch64-linux-android.so", Libc.ANDROID),
        ("x.abi3.so", None),
        ("x.cpython-312-x86_64-linux-gnu.so.1", None),
    ],
)
def test_the_suffix_speaks_where_the_image_does_not(name: str, expected: Libc | None) -> None:
    assert libc_of(image_of(ElfSpec()), name) is expected


def test_the_image_speaks_first() -> None:
    image = image_of(ElfSpec(needed=("libc.musl-x86_64.so.1",)))
    assert libc_of(image, "x.cpython-312-x86_64-linux-gnu.so") is Libc.MUSL


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        (Arch.X86_64, "linux-vdso.so.1"),
        (Arch.I686, "linux-gate.so.1"),
        (Arch.AARCH64, "linux-vdso.so.1"),
        (Arch.ARMV7L, "linux-vdso.so.1"),
        (Arch.PPC64LE, "linux-vdso64.so.1"),
        (Arch.PPC64, "linux-vdso64.so.1"),
        (Arch.S390X, "linux-vdso64.so.1"),
        (Arch.RISCV64, "linux-vdso.so.1"),
        (Arch.LOONGARCH64, "linux-vdso.so.1"),
    ],
)
def test_the_library_of_the_kernel_has_one_name_for_each_machine(arch: Arch, name: str) -> None:
    """The names are those of vdso(7)."""
    every = ("linux-vdso.so.1", "linux-gate.so.1", "linux-vdso32.so.1", "linux-vdso64.so.1", "libc.so.6")
    assert [other for other in every if is_of_kernel(other, arch, Libc.GLIBC)] == [name]
    assert [other for other in every if is_of_kernel(other, arch, Libc.MUSL)] == ["linux-gate.so.1"]
    assert not is_of_kernel(name, arch, Libc.ANDROID)
    assert not is_of_kernel(name, None, Libc.GLIBC)
