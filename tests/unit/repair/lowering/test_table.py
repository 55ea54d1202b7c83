from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.policy.load import builtin_policies
from deloc8.policy.model import version_key
from deloc8.repair.lowering import table as lowertable
from deloc8.repair.lowering.table import LoweringClass, LoweringTable, Way, load_table
from deloc8.target import Arch, Libc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

MOVED, SAME, SUPERSET, DIFFERS = LoweringClass

# The version under which a port of glibc began, from the table of glibc's own shlib-versions files.
BASES = {
    Arch.X86_64: "GLIBC_2.2.5",
    Arch.I686: "GLIBC_2.0",
    Arch.AARCH64: "GLIBC_2.17",
    Arch.ARMV7L: "GLIBC_2.4",
    Arch.PPC64LE: "GLIBC_2.17",
    Arch.PPC64: "GLIBC_2.3",
    Arch.S390X: "GLIBC_2.2",
    Arch.RISCV64: "GLIBC_2.27",
    Arch.LOONGARCH64: "GLIBC_2.36",
}


def table(arch: Arch = Arch.X86_64) -> LoweringTable:
    found = load_table(arch)
    assert found is not None
    return found


def ways(symbol: str, version: str, arch: Arch = Arch.X86_64) -> list[tuple[str, str, str, LoweringClass]]:
    return [(way.to_symbol, way.to_version, way.library, way.kind) for way in table(arch).ways(symbol, version)]


def by_symbol(arch: Arch) -> list[tuple[Way, ...]]:
    return [table(arch).ways(*name) for name in {(way.symbol, way.version) for way in table(arch).every_way()}]


def test_a_function_that_only_moved() -> None:
    (way,) = table().ways("pthread_create", "GLIBC_2.34")
    assert way == Way(
        symbol="pthread_create",
        version="GLIBC_2.34",
        to_symbol="pthread_create",
        to_version="GLIBC_2.2.5",
        library="libpthread.so.0",
        later_library="libc.so.6",
        kind=MOVED,
        reason="one function under both versions in glibc 2.43",
    )


def test_of_two_ways_to_one_version_the_surest_comes_first() -> None:
    (way,) = table().ways("pthread_create", "GLIBC_2.34")
    kinds = [replace(way, kind=kind) for kind in (DIFFERS, MOVED, SUPERSET, SAME)]
    kinds.append(replace(way, kind=DIFFERS, to_version="GLIBC_2.17"))
    ordered = [(found.to_version, found.kind) for found in sorted(kinds, key=lowertable._order, reverse=True)]
    assert ordered == [("GLIBC_2.17", DIFFERS), *(("GLIBC_2.2.5", kind) for kind in LoweringClass)]


def test_the_homes_of_a_version() -> None:
    """glibc 2.2.5 has that version in all its libraries (`readelf -V`); what asks for it asks libc.so.6 first."""
    first, *others = table().home("GLIBC_2.2.5")
    assert first == "libc.so.6"
    assert {"libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"} <= set(others)
    assert others == sorted(others)
    assert table().home("GLIBC_9.9") == ()


@pytest.mark.parametrize(
    ("symbol", "version", "expected"),
    [
        ("dlopen", "GLIBC_2.34", [("dlopen", "GLIBC_2.2.5", "libdl.so.2", MOVED)]),
        ("shm_open", "GLIBC_2.34", [("shm_open", "GLIBC_2.2.5", "librt.so.1", MOVED)]),
        ("openpty", "GLIBC_2.34", [("openpty", "GLIBC_2.2.5", "libutil.so.1", MOVED)]),
        ("getaddrinfo_a", "GLIBC_2.34", [("getaddrinfo_a", "GLIBC_2.2.5", "libanl.so.1", MOVED)]),
        ("ns_name_skip", "GLIBC_2.34", [("ns_name_skip", "GLIBC_2.9", "libresolv.so.2", MOVED)]),
        ("res_search", "GLIBC_2.34", [("__res_search", "GLIBC_2.2.5", "libresolv.so.2", SAME)]),
        ("clock_gettime", "GLIBC_2.17", [("clock_gettime", "GLIBC_2.2.5", "librt.so.1", MOVED)]),
        ("pthread_sigmask", "GLIBC_2.32", [("pthread_sigmask", "GLIBC_2.2.5", "libpthread.so.0", MOVED)]),
        ("fcntl64", "GLIBC_2.28", [("fcntl", "GLIBC_2.2.5", "libc.so.6", SAME)]),
        ("acosf64", "GLIBC_2.27", [("acos", "GLIBC_2.2.5", "libm.so.6", SAME)]),
        ("sqrtf", "GLIBC_2.43", [("sqrtf", "GLIBC_2.2.5", "libm.so.6", SUPERSET)]),
        ("memcpy", "GLIBC_2.14", [("memcpy", "GLIBC_2.2.5", "libc.so.6", SUPERSET)]),
        ("pow", "GLIBC_2.29", [("pow", "GLIBC_2.2.5", "libm.so.6", SUPERSET)]),
        ("explicit_bzero", "GLIBC_2.25", [("bzero", "GLIBC_2.2.5", "libc.so.6", SUPERSET)]),
        ("__memcmpeq", "GLIBC_2.35", [("memcmp", "GLIBC_2.2.5", "libc.so.6", SUPERSET)]),
        ("__isoc23_strtol", "GLIBC_2.38", [("strtol", "GLIBC_2.2.5", "libc.so.6", DIFFERS)]),
        ("__isoc23_sscanf", "GLIBC_2.38", [("__isoc99_sscanf", "GLIBC_2.7", "libc.so.6", DIFFERS)]),
        ("glob64", "GLIBC_2.27", [("glob64", "GLIBC_2.2.5", "libc.so.6", DIFFERS)]),
    ],
)
def test_ways_on_x86_64(symbol: str, version: str, expected: list[object]) -> None:
    assert ways(symbol, version) == expected


def test_every_step_of_a_way_is_given_from_the_highest_down() -> None:
    assert ways("call_once", "GLIBC_2.34") == [
        ("call_once", "GLIBC_2.28", "libpthread.so.0", MOVED),
        ("pthread_once", "GLIBC_2.2.5", "libpthread.so.0", SUPERSET),
    ]
    assert ways("call_once", "GLIBC_2.28") == [("pthread_once", "GLIBC_2.2.5", "libpthread.so.0", SUPERSET)]
    # lgammaf64 is lgamma@2.23 under another name, and that has an older version.
    assert ways("lgammaf64", "GLIBC_2.27") == [
        ("lgamma", "GLIBC_2.23", "libm.so.6", SAME),
        ("lgamma", "GLIBC_2.2.5", "libm.so.6", SUPERSET),
    ]
    assert [way[1] for way in ways("lgammaf", "GLIBC_2.43")] == ["GLIBC_2.23", "GLIBC_2.2.5"]


@pytest.mark.parametrize(
    ("symbol", "version"),
    [
        # Both versions have one address, and yet the version says who runs the initialisers.
        ("__libc_start_main", "GLIBC_2.34"),
        # Takes pointers where the older one took numbers.
        ("totalorder", "GLIBC_2.31"),
        # New functions.
        ("stat", "GLIBC_2.33"),
        ("getrandom", "GLIBC_2.25"),
        ("_dl_find_object", "GLIBC_2.35"),
        # Data.
        ("__libc_single_threaded", "GLIBC_2.32"),
        ("_sys_errlist", "GLIBC_2.12"),
        ("sys_errlist", "GLIBC_2.12"),
        # Old enough for every tag, or not there at all.
        ("regexec", "GLIBC_2.3.4"),
        ("pthread_create", "GLIBC_2.35"),
        ("no_such_function", "GLIBC_2.34"),
    ],
)
def test_what_has_no_way(symbol: str, version: str) -> None:
    assert ways(symbol, version) == []


@pytest.mark.parametrize("arch", [Arch.I686, Arch.ARMV7L])
def test_lock_structures_of_32_bits_are_not_mixed(arch: Arch) -> None:
    assert ways("fcntl64", "GLIBC_2.28", arch) == []
    assert [way[3] for way in ways("fcntl", "GLIBC_2.28", arch)] == [DIFFERS]
    assert ways("__setsockopt64", "GLIBC_2.34", arch) == []


def test_other_machines_have_other_ways() -> None:
    assert ways("__memcmpeq", "GLIBC_2.35", Arch.AARCH64) == [("memcmp", "GLIBC_2.17", "libc.so.6", SAME)]
    assert ways("acosf128", "GLIBC_2.27", Arch.AARCH64) == [("acosl", "GLIBC_2.17", "libm.so.6", SAME)]
    # Where long double once was double, the version of that time is no way.
    assert [way[:2] for way in ways("lgammal", "GLIBC_2.23", Arch.S390X)] == [("lgammal", "GLIBC_2.4")]
    # i386 had semaphores of another layout.
    assert [way[1] for way in ways("sem_init", "GLIBC_2.34", Arch.I686)] == ["GLIBC_2.1"]


def test_single_versions() -> None:
    assert table().single_version("__libc_single_threaded")
    assert table().single_version("__cxa_thread_atexit_impl")
    assert not table().single_version("pthread_create")
    assert not table().single_version("no_such_function")


def test_homes_of_a_version() -> None:
    assert table().home("GLIBC_2.31") == ("libm.so.6", "libpthread.so.0")
    assert table().home("GLIBC_2.34") == ()
    assert "librt.so.1" in table().home("GLIBC_2.2.5")
    assert table().home("GLIBC_2.2.5")[0] == "libc.so.6"


@pytest.mark.parametrize("arch", Arch)
def test_every_machine_has_a_table_with_its_base(arch: Arch) -> None:
    assert table(arch).machine is arch
    assert table(arch).base_version == BASES[arch]


@pytest.mark.parametrize("arch", Arch)
def test_every_way_leads_to_an_older_version_of_a_library_that_has_it(arch: Arch) -> None:
    found = table(arch).every_way()
    assert found
    for way in found:
        assert version_key(way.to_version) < version_key(way.version)
        assert version_key(way.to_version) >= version_key(table(arch).base_version)
        # In the oldest release that was read, 2.31 (2.41 on LoongArch), or after it.
        first = "GLIBC_2.41" if arch is Arch.LOONGARCH64 else "GLIBC_2.31"
        if version_key(way.to_version) <= version_key(first):
            assert way.to_version in table(arch).libraries[way.library]
        assert way.reason
        assert "PRIVATE" not in way.to_version
        assert not way.to_symbol.endswith("_finite")
        assert (way.kind is MOVED) <= (way.symbol == way.to_symbol)
        assert "__libc_start_main" not in {way.symbol, way.to_symbol}


@pytest.mark.parametrize("arch", Arch)
def test_ways_go_from_the_highest_version_down(arch: Arch) -> None:
    for found in by_symbol(arch):
        versions = [version_key(way.to_version) for way in found]
        assert versions == sorted(versions, reverse=True)
        assert len({(way.to_symbol, way.to_version) for way in found}) == len(found)


@pytest.mark.parametrize("arch", Arch)
def test_the_policies_allow_every_library_that_is_asked(arch: Arch) -> None:
    oldest = builtin_policies(arch, Libc.GLIBC)[0]
    needed = {way.library for way in table(arch).every_way()} - {"libanl.so.1", "libmvec.so.1"}
    assert {library for library in needed if not oldest.allows_library(library)} == set()


def test_every_decision_is_in_the_tables_and_nothing_else(top: Path) -> None:
    reviewed = tomllib.loads((top / "tools" / "lowering_reviewed.toml").read_text("utf-8"))
    decided = {(entry["class"], entry["reason"]) for entry in reviewed["way"]}
    carried = {(way.kind.value, way.reason) for arch in Arch for way in table(arch).every_way()}
    assert {row for row in carried if row[0] in {"superset", "differs"}} == decided
    assert all(entry["reason"] for part in reviewed.values() for entry in part)


def test_a_machine_without_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("deloc8.repair.lowering.table._DATA", tmp_path)
    load_table.cache_clear()
    assert load_table(Arch.X86_64) is None
    load_table.cache_clear()
