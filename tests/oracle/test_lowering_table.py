"""The tables of older symbol versions against the C libraries themselves, which readelf reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.policy.model import version_key
from deloc8.repair.lowering.table import LoweringClass, Way, load_table
from deloc8.target import Arch
from kit.glibc import Glibc, glibc, table_of

if TYPE_CHECKING:
    from pathlib import Path

OLDEST, *NEWER = RELEASES = ("2.31", "2.36", "2.41", "2.43")
PROVEN = {LoweringClass.MOVED, LoweringClass.SAME}

# Those whose packages stand in the same lists; the tool was run for all machines.
FETCHED = (Arch.X86_64, Arch.RISCV64)


def ways(arch: Arch) -> tuple[Way, ...]:
    table = load_table(arch)
    assert table is not None
    return table.every_way()


@pytest.mark.parametrize("arch", FETCHED)
def test_the_tool_makes_the_table_that_is_carried(arch: Arch, top: Path) -> None:
    carried = top / "src" / "deloc8" / "repair" / "data" / "lowering" / f"{arch.value}.json"
    assert table_of(arch.value, RELEASES) == carried.read_text("utf-8")


@pytest.mark.parametrize("arch", FETCHED)
def test_every_target_is_where_the_table_says(arch: Arch) -> None:
    oldest, newest = glibc(arch.value, OLDEST), glibc(arch.value, NEWER[-1])
    for way in ways(arch):
        target = way.to_symbol, way.to_version
        assert target in newest.defines(way.later_library)
        if version_key(way.to_version) <= version_key(f"GLIBC_{OLDEST}"):
            # Two moves of clock_*: to libc.so.6 they came as compatible versions, and only in 2.31.
            moved_early = way.symbol.startswith("clock_")
            assert target in oldest.defines("libc.so.6" if moved_early else way.library)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("arch", FETCHED)
def test_the_library_that_is_asked_has_the_version_in_every_release(arch: Arch, release: str) -> None:
    """ld.so refuses a file that asks a library for a version that it does not define."""
    libraries = glibc(arch.value, release)
    for way in ways(arch):
        if version_key(way.to_version) <= version_key(f"GLIBC_{release}"):
            assert way.to_version in libraries.versions(way.library)


@pytest.mark.parametrize("arch", FETCHED)
def test_moved_and_same_have_one_address_wherever_both_are(arch: Arch) -> None:
    releases = [glibc(arch.value, release) for release in RELEASES]
    seen: set[Way] = set()
    for way in ways(arch):
        if way.kind not in PROVEN:
            continue
        for libraries in releases:
            for soname in ("libc.so.6", "libm.so.6", way.library, way.later_library):
                both = places(libraries, soname, (way.symbol, way.version), (way.to_symbol, way.to_version))
                assert len(set(both)) <= 1
                seen.update([way] if both else [])
    assert seen == {way for way in ways(arch) if way.kind in PROVEN}


def places(libraries: Glibc, soname: str, *names: tuple[str, str]) -> list[tuple[str, str]]:
    """The addresses and types of two symbols where the library has both."""
    if not (libraries.folder / soname).exists():
        return []
    defined = libraries.defines(soname)
    return [defined[name] for name in names] if all(name in defined for name in names) else []


def test_every_target_of_2_17_is_in_the_named_library_of_a_real_2_17(old_libraries: Glibc) -> None:
    asked = [way for way in ways(Arch.X86_64) if version_key(way.to_version) <= version_key("GLIBC_2.17")]
    # The runtime lacks this one library.
    there = [way for way in asked if way.library != "libanl.so.1"]
    assert len(asked) - len(there) == 4
    for way in there:
        assert (way.to_symbol, way.to_version) in old_libraries.defines(way.library), way
    assert len(there) > 500


def test_single_versions_are_single_and_the_others_are_not() -> None:
    table = load_table(Arch.X86_64)
    assert table is not None
    names: dict[str, set[str]] = {}
    for release in RELEASES:
        libraries = glibc("x86_64", release)
        for soname in table.libraries:
            for name, version in libraries.defines(soname):
                names.setdefault(name, set()).add(version)
    # No symbols of programs: the names of the versions, and what keeps version names alive in empty libraries.
    asked = [name for name in names if not name.startswith("GLIBC_") and "_version_placeholder" not in name]
    for name in asked:
        versions = {version for version in names[name] if version[6:7].isdigit()} - {table.base_version}
        is_single = len(versions) == 1 and table.base_version not in names[name]
        assert table.single_version(name) == is_single, name
    assert len(asked) > 3000
