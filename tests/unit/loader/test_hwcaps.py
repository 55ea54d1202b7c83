from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.loader.hwcaps import Variant, find_variants, searched, x86_level
from deloc8.loader.search import Located, SearchOptions
from deloc8.machines import ROWS, Arch
from deloc8.target import Libc
from kit.elf import ElfSpec
from kit.system import System, image_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOP = "/.wheel/pkg/lib"
BASE = f"{TOP}/libk.so"


def variants(
    paths: list[str], arch: Arch | None, libc: Libc | None, needed: tuple[str, ...] = ("libk.so",)
) -> Mapping[str, Variant]:
    """The variants among libraries at these paths, one of which needs some names."""
    image = image_of(ElfSpec(needed=needed))
    return find_variants([Located(path, image) for path in paths], arch, libc)


@pytest.mark.parametrize(
    ("arch", "levels"),
    [
        (Arch.X86_64, ("x86-64-v4", "x86-64-v3", "x86-64-v2")),
        (Arch.PPC64LE, ("power10", "power9")),
        (Arch.S390X, ("z17", "z16", "z15", "z14", "z13")),
    ],
)
def test_the_levels_of_each_machine(arch: Arch, levels: tuple[str, ...]) -> None:
    """glibc 2.42, sysdeps/*/dl-hwcaps-subdirs.c."""
    assert arch.row.hwcaps == levels
    for level in levels:
        path = f"{TOP}/glibc-hwcaps/{level}/libk.so"
        assert variants([path], arch, Libc.GLIBC) == {path: Variant(base=BASE, level=level)}
    assert searched(levels[1], arch) == levels[1:]


def test_other_machines_have_none() -> None:
    named = {row.arch for row in ROWS if row.hwcaps}
    assert named == {Arch.X86_64, Arch.PPC64LE, Arch.S390X}
    assert variants([f"{TOP}/glibc-hwcaps/x86-64-v3/libk.so"], Arch.I686, Libc.GLIBC) == {}


@pytest.mark.parametrize(
    "path",
    [
        BASE,
        f"{TOP}/glibc-hwcaps/libk.so",
        f"{TOP}/glibc-hwcaps/x86-64-v5/libk.so",
        f"{TOP}/glibc-hwcaps/x86-64-v3/deep/libk.so",
        f"{TOP}/x86-64-v3/libk.so",
        f"{TOP}/haswell/libk.so",
        "libk.so",
        "tls/libk.so",
    ],
)
def test_what_the_loader_does_not_search_is_no_variant(path: str) -> None:
    assert variants([path], Arch.X86_64, Libc.GLIBC) == {}


@pytest.mark.parametrize("libc", [Libc.MUSL, Libc.ANDROID, None])
def test_only_glibc_has_such_folders(libc: Libc | None) -> None:
    assert variants([f"{TOP}/glibc-hwcaps/x86-64-v3/libk.so"], Arch.X86_64, libc) == {}
    assert variants([], None, Libc.GLIBC) == {}


@pytest.mark.parametrize(
    ("folder", "level"),
    [
        ("tls", ""),
        ("haswell", "x86-64-v3"),
        ("tls/haswell/x86_64", "x86-64-v3"),
        ("haswell/avx512_1", "x86-64-v4"),
        ("xeon_phi", "x86-64-v3"),
    ],
)
def test_folders_of_single_features_count_beside_a_base(folder: str, level: str) -> None:
    path = f"{TOP}/{folder}/libk.so"
    found = variants([BASE, path], Arch.X86_64, Libc.GLIBC)
    assert found == {path: Variant(base=BASE, level=level, is_old=True)}


def test_folders_of_single_features_do_not_count_for_what_nobody_needs_by_name() -> None:
    """Python's modules are imported by their paths: the loader does not choose among them."""
    assert variants([BASE, f"{TOP}/haswell/libk.so"], Arch.X86_64, Libc.GLIBC, needed=()) == {}


@pytest.mark.parametrize(
    ("level", "number"), [("x86-64-v2", 2), ("x86-64-v3", 3), ("x86-64-v4", 4), ("", 1), ("power10", 1)]
)
def test_the_number_of_a_level(level: str, number: int) -> None:
    assert x86_level(level) == number


def test_the_folders_of_the_wheel_and_of_the_system_are_chosen_apart(tmp_path: Path) -> None:
    system = System(tmp_path)
    for top in ("/pkg", "/opt"):
        system.library(f"{top}/liba.so")
        system.library(f"{top}/glibc-hwcaps/x86-64-v3/liba.so")
    options = SearchOptions(own_hwcaps=("x86-64-v3",))
    own = {"libother.so": ("/pkg/libother.so",)}
    for top, expected in (("/pkg", "/pkg/glibc-hwcaps/x86-64-v3/liba.so"), ("/opt", "/opt/liba.so")):
        assert system.lookup(ElfSpec(needed=("liba.so",), runpath=top), options, own).path == expected
