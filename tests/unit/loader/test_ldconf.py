from __future__ import annotations

import os
import re
import struct
import tempfile
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deloc8.loader.ldcache import CacheEntry, read_ld_so_cache
from deloc8.loader.ldconf import (
    default_folders,
    loader_path,
    read_ld_so_conf,
    read_musl_path,
)
from deloc8.target import Arch, Libc
from kit.elf import MACHINES
from kit.ldcache import Row, build_cache
from kit.system import System


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


EXTENSION = 1 << 62
ROWS = [
    Row("libz.so.1", "/lib64/glibc-hwcaps/x86-64-v3/libz.so.1", hwcap=EXTENSION | 2 << 32 | 1),
    Row("libz.so.1", "/lib64/glibc-hwcaps/x86-64-v2/libz.so.1", hwcap=EXTENSION | 1 << 32),
    Row("libz.so.1", "/lib64/tls/libz.so.1", hwcap=1 << 63),
    Row("libz.so.1", "/lib64/libz.so.1"),
    Row("libz.so.1", "/lib/libz.so.1", flags=3),
    Row("liba.so.1", "/opt/liba.so.1", flags=0x0A03),
]
HWCAPS = ("x86-64-v2", "x86-64-v3")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("told", [True, False])
def test_both_byte_orders(order: str, told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    cache = read_ld_so_cache(build_cache(ROWS, HWCAPS, order=order, endian=None if told else 0))
    assert cache is not None
    assert tuple(cache.named("libz.so.1")) == (
        CacheEntry(flags=0x0303, path="/lib64/glibc-hwcaps/x86-64-v3/libz.so.1", hwcap="x86-64-v3"),
        CacheEntry(flags=0x0303, path="/lib64/glibc-hwcaps/x86-64-v2/libz.so.1", hwcap="x86-64-v2"),
        CacheEntry(flags=0x0303, path="/lib64/tls/libz.so.1", legacy=True),
        CacheEntry(flags=0x0303, path="/lib64/libz.so.1"),
        CacheEntry(flags=3, path="/lib/libz.so.1"),
    )


@pytest.mark.parametrize(
    ("name", "arch", "hwcaps", "expected"),
    [
        ("libz.so.1", Arch.X86_64, (), "/lib64/libz.so.1"),
        ("libz.so.1", Arch.X86_64, ("x86-64-v2",), "/lib64/glibc-hwcaps/x86-64-v2/libz.so.1"),
        ("libz.so.1", Arch.X86_64, ("x86-64-v3", "x86-64-v2"), "/lib64/glibc-hwcaps/x86-64-v3/libz.so.1"),
        ("libz.so.1", Arch.X86_64, ("x86-64-v2", "x86-64-v3"), "/lib64/glibc-hwcaps/x86-64-v2/libz.so.1"),
        ("libz.so.1", Arch.I686, (), "/lib/libz.so.1"),
        ("libz.so.1", Arch.AARCH64, (), None),
        ("liba.so.1", Arch.AARCH64, (), "/opt/liba.so.1"),
        ("liba.so.1", None, (), "/opt/liba.so.1"),
        ("libq.so.1", Arch.X86_64, (), None),
    ],
)
def test_find(name: str, arch: Arch | None, hwcaps: tuple[str, ...], expected: str | None) -> None:
    cache = read_ld_so_cache(build_cache(ROWS, HWCAPS))
    assert cache is not None
    assert cache.find(name, arch=arch, hwcaps=hwcaps) == expected


@pytest.mark.parametrize("align", [8, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_behind_an_old_cache(align: int, order: str) -> None:
    old = struct.pack(order + "11sxI", b"ld.so-1.7.0", 1) + bytes(12)  # 28 bytes: 4 more for an alignment to 8
    new = build_cache(ROWS[3:], order=order)
    cache = read_ld_so_cache(old + bytes(-len(old) % align) + new)
    assert cache is not None
    assert cache.find("libz.so.1", arch=Arch.X86_64) == "/lib64/libz.so.1"


def patched(data: bytes, place: int, code: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(code, changed, place, value)
    return bytes(changed)


SOUND = build_cache(ROWS, HWCAPS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"glibc-ld.so.cache1.1",
        b"glibc-ld.so.cache1.0" + SOUND[20:],
        b"ld.so-1.7.0",
        struct.pack("<11sxI", b"ld.so-1.7.0", 0),
        struct.pack("<11sxI", b"ld.so-1.7.0", 5) + bytes(60),
        patched(SOUND, 28, "B", 1),  # ldconfig gave up
        patched(SOUND, 28, "B", 3),  # the other byte order
        patched(SOUND, 20, "<I", 1_000_000),  # more entries than bytes
        patched(SOUND, 32, "<I", 1_000_000),  # extensions beyond the end
        patched(SOUND, 32, "<I", 52),  # no extensions there
        patched(SOUND, 52, "<I", 1_000_000),  # a name beyond the end
        patched(SOUND, 48 + 16, "<Q", EXTENSION | 2),  # a folder that is not listed
        SOUND[:-4],
        SOUND[:200],
    ],
)
def test_a_damaged_cache_is_none(data: bytes) -> None:
    assert read_ld_so_cache(SOUND) is not None
    assert read_ld_so_cache(data) is None


def test_extensions_without_hwcaps() -> None:
    rows = ROWS[3:]
    data = build_cache(rows)
    extensions = struct.pack("<II", 0xEAA42174, 1) + struct.pack("<IIII", 0, 0, 0, 0)
    cache = read_ld_so_cache(patched(data, 32, "<I", len(data)) + extensions)
    assert cache is not None
    assert [len(tuple(cache.named(name))) for name in ("libz.so.1", "liba.so.1", "so.1", "libz.so")] == [2, 1, 0, 0]


def test_ld_so_conf(system: System) -> None:
    system.write(
        "/etc/ld.so.conf", "# first\n/opt/a/\ninclude ld.so.conf.d/*.conf /etc/none.conf\n\n/opt/a\nrelative\n/"
    )
    system.write("/etc/ld.so.conf.d/2.conf", "/opt/two=libc6\n")
    system.write("/etc/ld.so.conf.d/1.conf", "/opt/one # the first\nhwcap 1 nosegneg\ninclude /etc/more/[x]?/z\n")
    system.write("/etc/ld.so.conf.d/.hidden.conf", "/opt/hidden\n")
    system.write("/etc/more/xy/z", "/opt/more\ninclude /etc/ld.so.conf\n")
    assert read_ld_so_conf(system.sysroot) == ("/opt/a", "/opt/one", "/opt/more", "/opt/two", "/")


def test_ld_so_conf_hidden_files_by_name(system: System) -> None:
    system.write("/etc/ld.so.conf", "include .d/.*\n")
    system.write("/etc/.d/.x", "/opt/x\n")
    assert read_ld_so_conf(system.sysroot) == ("/opt/x",)


def test_ld_so_conf_that_cannot_be_read(system: System) -> None:
    assert read_ld_so_conf(system.sysroot) == ()
    system.write("/etc/ld.so.conf/x")
    assert read_ld_so_conf(system.sysroot) == ()


def test_ld_so_conf_with_any_bytes(system: System) -> None:
    system.write("/etc/ld.so.conf", b"/opt/\xff\ninclude \xfe*\ninclude\n\0\n")
    assert read_ld_so_conf(system.sysroot) == (os.fsdecode(b"/opt/\xff"),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("/opt/a:/opt/b\n/opt/c\n", ("/opt/a", "/opt/b", "/opt/c")), ("\n::/opt/a", ("/opt/a",)), ("", ())],
)
def test_musl_path(system: System, content: str, expected: tuple[str, ...]) -> None:
    system.write("/etc/ld-musl-x86_64.path", content)
    system.write("/opt/etc/ld-musl-x86_64.path", "/opt/lib")
    assert read_musl_path(system.sysroot, "/lib/ld-musl-x86_64.so.1") == expected
    assert read_musl_path(system.sysroot, "/opt/lib/ld-musl-x86_64.so.1") == ("/opt/lib",)
    assert read_musl_path(system.sysroot, "/lib/ld-musl-aarch64.so.1") is None


def test_loader_paths() -> None:
    assert loader_path(Arch.X86_64, Libc.GLIBC) == "/lib64/ld-linux-x86-64.so.2"
    assert loader_path(Arch.I686, Libc.MUSL) == "/lib/ld-musl-i386.so.1"
    assert loader_path(Arch.S390X, Libc.MUSL) == "/lib/ld-musl-s390x.so.1"
    assert loader_path(Arch.X86_64, Libc.ANDROID) is None
    assert loader_path(None, Libc.GLIBC) is None
    assert {loader_path(arch, Libc.GLIBC) for arch in Arch} >= {"/lib64/ld64.so.2", "/lib/ld-linux-armhf.so.3"}
    assert {arch.value for arch in Arch} <= set(MACHINES)


def test_default_folders_stand_in_the_loader(system: System) -> None:
    folders = b"/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
    system.write("/lib64/ld.so", b"\x7fELF\0/proc/\0/usr/lib/\0" + b"\1\2" + folders + b"\0/var/tmp\0")
    expected = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib")
    assert default_folders(system.sysroot, "/lib64/ld.so", Arch.X86_64) == expected


@pytest.mark.parametrize("loader", [None, "/none", "/lib/ld.so", "/lib"])
@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (Arch.X86_64, "/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib"),
        (Arch.I686, "/lib/i386-linux-gnu /usr/lib/i386-linux-gnu /lib32 /usr/lib32 /lib /usr/lib"),
        (
            Arch.RISCV64,
            "/lib/riscv64-linux-gnu /usr/lib/riscv64-linux-gnu /lib64/lp64d /usr/lib64/lp64d "  # noqa: ISC004 - one text
            "/lib64 /usr/lib64 /lib /usr/lib",
        ),
        (None, "/lib64 /usr/lib64 /lib /usr/lib"),
    ],
)
def test_default_folders_without_a_loader(system: System, loader: str | None, arch: Arch | None, expected: str) -> None:
    system.write("/lib/ld.so", b"nothing of that kind")
    assert default_folders(system.sysroot, loader, arch) == tuple(expected.split())


def test_a_cache_may_not_be_larger_than_any_real_one() -> None:
    assert read_ld_so_cache(SOUND + bytes((4 << 20) - len(SOUND))) is not None
    assert read_ld_so_cache(SOUND + bytes((4 << 20) - len(SOUND) + 1)) is None


def test_names_of_a_cache_are_read_as_far_as_a_path_can_be_opened() -> None:
    """A path of PATH_MAX bytes and more leads nowhere, whatever its end is (ENAMETOOLONG)."""
    long = "/" + "a" * 1_000_000
    hwcaps = ["x86-64-v3", *(f"{number}{long}" for number in range(2))]
    cache = read_ld_so_cache(build_cache([Row("liba.so", long), Row("libb.so", "/b")], hwcaps))
    assert cache is not None
    assert cache.find("liba.so", arch=Arch.X86_64) == long[:4096]
    assert cache.find("libb.so", arch=Arch.X86_64) == "/b"
    assert [len(name) for name in cache.hwcaps] == [9, 4096, 4096]


def test_a_cache_with_more_hwcaps_than_any_real_one_is_none() -> None:
    assert read_ld_so_cache(build_cache(ROWS, [str(number) for number in range(1024)])) is not None
    assert read_ld_so_cache(build_cache(ROWS, [str(number) for number in range(1025)])) is None


def test_a_name_that_stands_everywhere_in_a_cache_is_found() -> None:
    cache = read_ld_so_cache(build_cache([*ROWS, Row("a", "/x/a"), *(Row(f"{n}a", "/y") for n in range(1500))], HWCAPS))
    assert cache is not None
    assert cache.find("a", arch=Arch.X86_64) == "/x/a"
    assert [entry.path for entry in cache.named("7a")] == ["/y"]


def test_includes_of_ld_so_conf_without_end_end(system: System) -> None:
    system.write("/etc/ld.so.conf", "/first\ninclude conf.d/*\n" + "include /*/*/*/*/*/*/*\n" * 500)
    for number in range(50):
        system.write(f"/etc/conf.d/{number:02}", f"/opt/{number}\n" * 3000)
        for other in range(20):
            system.write(f"/a{number}/b/{other}/d/e/f/g", "/opt/g\n")
    start = process_time()
    folders = read_ld_so_conf(system.sysroot)
    assert process_time() - start < 10
    assert folders[:3] == ("/first", "/opt/0", "/opt/1")
    # A mebibyte is read of all files together.
    assert len(folders) < 50


def test_so_many_folders_are_read(system: System) -> None:
    system.write("/etc/ld.so.conf", "\n".join(f"/opt/{number}" for number in range(20_000)))
    assert len(read_ld_so_conf(system.sysroot)) == 10_000
    system.write("/etc/ld.so.conf", "/opt/a\n" + "#" * (1 << 20))
    assert read_ld_so_conf(System(system.top).sysroot) == ()


# The pattern that says what is wanted; to find it takes cubic time.
IN_LOADER = re.compile(rb"(?:/[!-9;-~]*lib[!-9;-~]*/\0)+")
PIECES = [b"/", b"lib", b"\0", b"a", b"/\0", b"/lib/\0", b"/usr/lib64/\0", b":", b" ", b"/x/\0", b"li", b"b"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))
def test_the_folders_in_a_loader_are_the_longest_list(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder))
        system.write("/lib/ld.so", data)
        found = default_folders(system.sysroot, "/lib/ld.so", Arch.X86_64)
    runs = IN_LOADER.findall(data)
    if runs:
        longest: bytes = max(runs, key=len)
        assert found == tuple(dict.fromkeys(text.rstrip("/") for text in longest.decode().split("\0") if text))
    else:
        assert found[0] == "/lib/x86_64-linux-gnu"


@pytest.mark.parametrize("piece", [b"/lib", b"/", b"/lib/\0", b"/\0", b"lib/"])
def test_a_loader_full_of_slashes_takes_little_time(system: System, piece: bytes) -> None:
    system.write("/lib/ld.so", piece * ((4 << 20) // len(piece)))
    start = process_time()
    assert default_folders(system.sysroot, "/lib/ld.so", Arch.X86_64)
    assert process_time() - start < 2  # before: 100 s for 16 kB
