from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.loader.search import Attempt, Lookup, Origin, Result, SearchOptions, Stage
from deloc8.target import Libc
from kit.elf import MACHINES, ElfSpec, NoteSpec
from kit.ldcache import Row, build_cache
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

NEEDS_A = ElfSpec(needed=("liba.so",))
MUSL = SearchOptions(libc=Libc.MUSL)
ANDROID = SearchOptions(libc=Libc.ANDROID)
CURRENT = "it means the current folder, wherever that is at run time"
UNKNOWN = "nobody can say what its token stands for"


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def steps(lookup: Lookup) -> list[tuple[str, str, str]]:
    return [(attempt.path, str(attempt.origin), attempt.result.value) for attempt in lookup.tried]


def test_the_stages_of_glibc_in_their_order(system: System) -> None:
    system.write("/etc/ld.so.cache", build_cache([Row("liba.so", "/cache/liba.so")]))
    options = SearchOptions(add_paths=("/added",), library_path=("/env", "$ORIGIN/env"))
    assert steps(system.lookup(replace(NEEDS_A, rpath="/r1:/r2:/r1"), options)) == [
        ("/added/liba.so", "--add-path", "missing"),
        ("/r1/liba.so", "RPATH of /app/root.so", "missing"),
        ("/r2/liba.so", "RPATH of /app/root.so", "missing"),
        ("/env/liba.so", "LD_LIBRARY_PATH", "missing"),
        ("/app/env/liba.so", "LD_LIBRARY_PATH", "missing"),
        ("/cache/liba.so", "ld.so.cache", "missing"),
        ("/lib/x86_64-linux-gnu/liba.so", "default folders", "missing"),
        ("/usr/lib/x86_64-linux-gnu/liba.so", "default folders", "missing"),
        ("/lib64/liba.so", "default folders", "missing"),
        ("/usr/lib64/liba.so", "default folders", "missing"),
        ("/lib/liba.so", "default folders", "missing"),
        ("/usr/lib/liba.so", "default folders", "missing"),
    ]
    with_runpath = steps(system.lookup(replace(NEEDS_A, rpath="/r", runpath="/run"), options))
    assert [origin for _, origin, _ in with_runpath[:5]] == [
        "--add-path",
        "LD_LIBRARY_PATH",
        "LD_LIBRARY_PATH",
        "RUNPATH of /app/root.so",
        "ld.so.cache",
    ]


def test_what_is_found(system: System) -> None:
    system.library("/opt/real/liba.so.1")
    system.symlink("/opt/lib/liba.so", "../real/liba.so.1")
    lookup = system.lookup(replace(NEEDS_A, runpath="/none:/opt/../opt/lib"))
    assert lookup.found
    assert (lookup.name, lookup.path, lookup.real_path) == ("liba.so", "/opt/../opt/lib/liba.so", "/opt/real/liba.so.1")
    assert lookup.image is not None
    assert lookup.origin == Origin(Stage.RUNPATH, "/app/root.so")
    assert lookup.tried[-1] == Attempt("/opt/../opt/lib/liba.so", Origin(Stage.RUNPATH, "/app/root.so"), Result.FOUND)
    missing = system.lookup(ElfSpec(needed=("libnone.so",)))
    assert not missing.found
    assert (missing.path, missing.real_path, missing.image, missing.origin) == (None, None, None, None)


def test_ld_so_conf_where_there_is_no_cache(system: System) -> None:
    system.write("/etc/ld.so.conf", "/opt/lib\n")
    system.library("/opt/lib/liba.so")
    lookup = system.lookup(NEEDS_A)
    assert steps(lookup) == [("/opt/lib/liba.so", "ld.so.conf", "found")]


def test_a_damaged_cache_is_noted(system: System) -> None:
    system.write("/etc/ld.so.cache", "damaged")
    system.write("/etc/ld.so.conf", "/opt/lib\n")
    system.library("/opt/lib/liba.so")
    lookup = system.lookup(NEEDS_A)
    reason = "damaged: ld.so.conf is used instead"
    assert lookup.tried[0] == Attempt("/etc/ld.so.cache", Origin(Stage.CACHE), Result.UNREADABLE, reason)
    assert lookup.path == "/opt/lib/liba.so"


def test_a_cache_without_the_name(system: System) -> None:
    system.write("/etc/ld.so.cache", build_cache([Row("libb.so", "/opt/libb.so")]))
    system.write("/etc/ld.so.conf", "/opt/lib\n")
    system.library("/opt/lib/liba.so")
    assert steps(system.lookup(NEEDS_A))[0] == ("/etc/ld.so.cache", "ld.so.cache", "missing")
    assert not system.lookup(NEEDS_A).found


def test_no_default_libraries(system: System) -> None:
    refusing = replace(NEEDS_A, dt_flags_1=0x800)
    system.library("/usr/lib/liba.so")
    system.library("/opt/lib/liba.so")
    system.write("/etc/ld.so.conf", "/usr/lib\n/opt/lib\n")
    assert system.lookup(NEEDS_A).path == "/usr/lib/liba.so"
    lookup = system.lookup(refusing)
    assert steps(lookup) == [
        ("/usr/lib/liba.so", "ld.so.conf", "not searched"),
        ("/opt/lib/liba.so", "ld.so.conf", "found"),
    ]
    assert lookup.tried[0].reason == "DF_1_NODEFLIB forbids it"
    system.write("/etc/ld.so.cache", build_cache([Row("liba.so", "/usr/lib/liba.so")]))
    assert {result for _, _, result in steps(system.lookup(refusing))} == {"not searched"}


def test_files_that_do_not_fit_are_passed_over(system: System) -> None:
    system.library("/i686/liba.so", MACHINES["i686"])
    system.library("/s390x/liba.so", MACHINES["s390x"])
    system.library("/musl/liba.so", ElfSpec(needed=("libc.musl-x86_64.so.1",)))
    system.write("/text/liba.so", "GROUP(libb.so)")
    system.write("/short/liba.so", b"\x7fELF")
    system.write("/folder/liba.so/x")
    system.library("/good/liba.so", ElfSpec(needed=("libc.so.6",)))
    order = ("i686", "s390x", "musl", "text", "short", "folder", "good")
    options = SearchOptions(library_path=tuple(f"/{name}" for name in order))
    graph = system.resolve(NEEDS_A, options)
    results = [attempt.result for attempt in graph.edges[0].lookup.tried]
    assert results == [
        Result.OTHER_MACHINE,
        Result.OTHER_MACHINE,
        Result.OTHER_LIBC,
        Result.NOT_ELF,
        Result.UNREADABLE,
        Result.NOT_ELF,
        Result.FOUND,
    ]
    reasons = [attempt.reason for attempt in graph.edges[0].lookup.tried]
    assert "e_ident" in reasons[4]
    assert reasons[5] == "it is a folder"


def test_a_static_program_asks_for_nothing(system: System) -> None:
    assert system.resolve(ElfSpec(dynamic=False)).edges == ()


def test_entries_that_are_not_searched(system: System) -> None:
    spec = replace(MACHINES["s390x"], needed=("liba.so",), rpath=":lib:$UNKNOWN/x:${PLATFORM}:$ORIGIN")
    assert system.lookup(spec).tried[:5] == (
        Attempt("", Origin(Stage.RPATH, "/app/root.so"), Result.SKIPPED, CURRENT),
        Attempt("lib", Origin(Stage.RPATH, "/app/root.so"), Result.SKIPPED, CURRENT),
        Attempt("$UNKNOWN/x", Origin(Stage.RPATH, "/app/root.so"), Result.SKIPPED, CURRENT),
        Attempt("${PLATFORM}", Origin(Stage.RPATH, "/app/root.so"), Result.SKIPPED, UNKNOWN),
        Attempt("/app/liba.so", Origin(Stage.RPATH, "/app/root.so"), Result.MISSING),
    )
    lookup = system.lookup(NEEDS_A, SearchOptions(add_paths=("lib",)))
    assert lookup.tried[0] == Attempt("lib", Origin(Stage.ADD_PATH), Result.SKIPPED, CURRENT)


@pytest.mark.parametrize(
    ("machine", "options", "entry", "expected"),
    [
        ("x86_64", SearchOptions(), "/$PLATFORM", "/x86_64/liba.so"),
        ("x86_64", SearchOptions(platform="haswell"), "/$PLATFORM", "/haswell/liba.so"),
        ("aarch64", SearchOptions(), "/$PLATFORM", "/aarch64/liba.so"),
        ("x86_64", SearchOptions(), "/opt/$LIB", "/opt/lib/x86_64-linux-gnu/liba.so"),
    ],
)
def test_tokens(system: System, machine: str, options: SearchOptions, entry: str, expected: str) -> None:
    lookup = system.lookup(replace(MACHINES[machine], needed=("liba.so",), runpath=entry), options)
    assert lookup.tried[0].path == expected


def test_lib_is_the_first_folder_of_the_loader(system: System) -> None:
    loader = replace(MACHINES["x86_64"], soname="ld-linux-x86-64.so.2", payload=b"\0/usr/lib64/\0/usr/lib/\0")
    system.library("/lib64/ld-linux-x86-64.so.2", loader)
    assert system.lookup(replace(NEEDS_A, runpath="/opt/$LIB")).tried[0].path == "/opt/lib64/liba.so"


def test_a_machine_that_no_policy_knows(system: System) -> None:
    system.library("/usr/lib/liba.so", MACHINES["s390"])
    lookup = system.lookup(replace(MACHINES["s390"], needed=("liba.so",), rpath="$PLATFORM"))
    assert lookup.path == "/usr/lib/liba.so"
    assert lookup.tried[0].reason == UNKNOWN


def test_only_paths_stand_in_for_the_system(system: System) -> None:
    system.write("/etc/ld.so.cache", build_cache([Row("liba.so", "/usr/lib/liba.so")]))
    system.library("/usr/lib/liba.so")
    options = SearchOptions(only_paths=("/opt/lib",), library_path=("/env",))
    assert [path for path, _, _ in steps(system.lookup(replace(NEEDS_A, runpath="$ORIGIN"), options))] == [
        "/env/liba.so",
        "/app/liba.so",
        "/opt/lib/liba.so",
    ]
    assert steps(system.lookup(NEEDS_A, SearchOptions(only_paths=()))) == []
    system.library("/opt/lib/liba.so")
    assert str(system.lookup(NEEDS_A, options).origin) == "--ldpaths"


def test_hwcaps_count_only_when_asked_for(system: System) -> None:
    system.library("/opt/glibc-hwcaps/x86-64-v3/liba.so")
    system.library("/opt/liba.so")
    spec = replace(NEEDS_A, rpath="/opt")
    assert system.lookup(spec).path == "/opt/liba.so"
    options = SearchOptions(hwcaps=("x86-64-v3", "x86-64-v2"))
    assert system.lookup(spec, options).path == "/opt/glibc-hwcaps/x86-64-v3/liba.so"
    assert system.lookup(spec, replace(options, libc=Libc.MUSL)).path == "/opt/liba.so"
    cache = build_cache([Row("liba.so", "/opt/glibc-hwcaps/x86-64-v3/liba.so", hwcap=1 << 62)], ["x86-64-v3"])
    system.write("/etc/ld.so.cache", cache)
    assert system.lookup(NEEDS_A, options).path == "/opt/glibc-hwcaps/x86-64-v3/liba.so"
    assert not system.lookup(NEEDS_A).found


OWN = {"liba.so": ("/pkg/liba.so",)}
OUTSIDE = "passed over: the wheel has the library itself"


def a_wheel_with_copies_elsewhere(system: System) -> SearchOptions:
    for path in ("/pkg/liba.so", "/env/liba.so", "/usr/lib/liba.so", "/run/liba.so"):
        system.library(path)
    return SearchOptions(library_path=("/env",))


def test_own_files_of_the_wheel(system: System) -> None:
    options = a_wheel_with_copies_elsewhere(system)
    lookup = system.lookup(NEEDS_A, options, OWN)
    assert lookup.path == "/pkg/liba.so"
    assert str(lookup.origin) == "the wheel's own file, loaded beforehand"
    assert system.lookup(NEEDS_A, replace(options, only_paths=("/env",)), OWN).path == "/pkg/liba.so"
    assert system.lookup(NEEDS_A, replace(options, libc=Libc.MUSL), OWN).path == "/pkg/liba.so"
    assert system.lookup(NEEDS_A, replace(options, libc=Libc.ANDROID), OWN).path == "/pkg/liba.so"


@pytest.mark.parametrize("libc", [Libc.GLIBC, Libc.MUSL])
@pytest.mark.parametrize(
    ("spec", "added", "stage"),
    [
        (replace(NEEDS_A, rpath="/run"), (), "RPATH of /app/root.so"),
        (replace(NEEDS_A, runpath="/run"), (), "RUNPATH of /app/root.so"),
        (NEEDS_A, ("/run",), "--add-path"),
    ],
)
def test_an_own_file_wins_over_the_folders_of_the_build_machine(
    system: System, spec: ElfSpec, added: tuple[str, ...], stage: str, libc: Libc
) -> None:
    options = replace(a_wheel_with_copies_elsewhere(system), add_paths=added, libc=libc)
    lookup = system.lookup(spec, options, OWN)
    assert (lookup.path, lookup.origin) == ("/pkg/liba.so", Origin(Stage.OWN))
    assert steps(lookup) == [
        ("/run/liba.so", stage, OUTSIDE),
        ("/pkg/liba.so", "the wheel's own file, loaded beforehand", "found"),
    ]


def test_a_search_path_that_leads_into_the_wheel_chooses_among_its_copies(system: System) -> None:
    options = a_wheel_with_copies_elsewhere(system)
    system.library("/pkg/deep/liba.so")
    lookup = system.lookup(replace(NEEDS_A, rpath="/run:/pkg/deep"), options, OWN)
    assert lookup.path == "/pkg/deep/liba.so"
    assert [attempt.result for attempt in lookup.tried] == [Result.OUTSIDE, Result.FOUND]


def test_an_own_file_wins_over_a_file_that_has_its_soname_under_another_name(system: System) -> None:
    system.library("/pkg/liba.so.1")
    system.library("/run/liba.so", ElfSpec(soname="liba.so.1"))
    system.library("/usr/lib/liba.so", ElfSpec(soname="liba.so.1"))
    own = {"liba.so.1": ("/pkg/liba.so.1",)}
    for spec, place in ((replace(NEEDS_A, rpath="/run"), "/run"), (NEEDS_A, "/usr/lib")):
        lookup = system.lookup(spec, SearchOptions(), own)
        assert (lookup.path, lookup.origin) == ("/pkg/liba.so.1", Origin(Stage.OWN))
        assert (f"{place}/liba.so", Result.OUTSIDE) in [row[::2] for row in lookup.tried]


@pytest.mark.parametrize("name", ["/run/liba.so", "/absent/liba.so", "build/liba.so"])
def test_an_own_file_wins_over_a_needed_path_outside_the_wheel(system: System, name: str) -> None:
    options = a_wheel_with_copies_elsewhere(system)
    assert system.lookup(ElfSpec(needed=(name,)), options, OWN).path == "/pkg/liba.so"


def test_a_needed_path_into_the_wheel_is_what_it_says(system: System) -> None:
    options = a_wheel_with_copies_elsewhere(system)
    system.library("/pkg/deep/liba.so")
    assert system.lookup(ElfSpec(needed=("/pkg/deep/liba.so",)), options, OWN).path == "/pkg/deep/liba.so"
    assert system.lookup(ElfSpec(needed=("/pkg/absent/liba.so",)), options, OWN).path is None


def test_a_file_of_the_same_name_that_calls_itself_otherwise_is_another_library(system: System) -> None:
    system.library("/pkg/liba.so", ElfSpec(soname="plugin.so"))
    system.library("/run/liba.so", ElfSpec(soname="liba.so"))
    linked = replace(NEEDS_A, rpath="/run")
    assert system.lookup(linked, own=OWN).path == "/run/liba.so"
    system.library("/pkg/liba.so", ElfSpec())
    assert system.lookup(linked, own=OWN).path == "/pkg/liba.so"


def test_of_several_own_files_the_nearest_to_the_asking_one_counts(system: System) -> None:
    """Unless one of them is of the build that the search path leads to."""

    def build(folder: str, number: int) -> None:
        notes = (NoteSpec("GNU", 3, bytes([number]) * 20),)
        system.library(f"{folder}/liba.so", ElfSpec(soname="liba.so", notes=notes))

    for number, folder in enumerate(("/app/near", "/app", "/pkg")):
        build(folder, number)
    own = {"liba.so": ("/pkg/liba.so", "/app/near/liba.so", "/app/liba.so")}
    assert system.lookup(NEEDS_A, own=own).path == "/app/near/liba.so"
    linked = replace(NEEDS_A, rpath="/run")
    build("/run", 9)
    assert system.lookup(linked, own=own).path == "/app/near/liba.so"
    build("/run", 2)
    assert system.lookup(linked, own=own).path == "/pkg/liba.so"
    system.library("/app/near/liba.so", MACHINES["i686"])
    assert system.lookup(NEEDS_A, own=own).path == "/app/liba.so"


def test_an_own_file_for_another_machine_is_passed_over(system: System) -> None:
    system.library("/pkg/liba.so", MACHINES["i686"])
    system.library("/usr/lib/liba.so")
    system.library("/run/liba.so")
    assert system.lookup(NEEDS_A, own=OWN).path == "/usr/lib/liba.so"
    assert system.lookup(replace(NEEDS_A, rpath="/run"), own=OWN).path == "/run/liba.so"


def test_needed_paths(system: System) -> None:
    system.library("/app/x/liba.so")
    options = SearchOptions(add_paths=("/app",), library_path=("/app",))
    for name in ("/app/x/liba.so", "$ORIGIN/x/liba.so"):
        lookup = system.lookup(ElfSpec(needed=(name,)), options)
        assert (lookup.name, lookup.path) == (name, "/app/x/liba.so")
        assert str(lookup.origin) == "a path in DT_NEEDED of /app/root.so"
    relative = system.lookup(ElfSpec(needed=("x/liba.so",)), options)
    assert relative.tried == (Attempt("x/liba.so", Origin(Stage.NEEDED_PATH, "/app/root.so"), Result.SKIPPED, CURRENT),)
    unknown = system.lookup(replace(MACHINES["s390x"], needed=("/opt/$PLATFORM/liba.so",)))
    assert [attempt.reason for attempt in unknown.tried] == [UNKNOWN]


def test_the_stages_of_musl_in_their_order(system: System) -> None:
    options = replace(MUSL, library_path=("/env", "$ORIGIN"), add_paths=("/added",))
    assert steps(system.lookup(replace(NEEDS_A, rpath=":/r:\n${ORIGIN}/x"), options)) == [
        ("/added/liba.so", "--add-path", "missing"),
        ("/env/liba.so", "LD_LIBRARY_PATH", "missing"),
        ("$ORIGIN", "LD_LIBRARY_PATH", "not searched"),
        ("/r/liba.so", "RPATH of /app/root.so", "missing"),
        ("/app/x/liba.so", "RPATH of /app/root.so", "missing"),
        ("/lib/liba.so", "default folders", "missing"),
        ("/usr/local/lib/liba.so", "default folders", "missing"),
        ("/usr/lib/liba.so", "default folders", "missing"),
    ]
    both = steps(system.lookup(replace(NEEDS_A, rpath="/r", runpath="/run"), MUSL))
    assert both[0] == ("/run/liba.so", "RUNPATH of /app/root.so", "missing")
    assert "/r/liba.so" not in {path for path, _, _ in both}


def test_musl_takes_nothing_of_a_path_with_an_unknown_token(system: System) -> None:
    lookup = system.lookup(replace(NEEDS_A, runpath="/opt:$LIB"), MUSL)
    assert lookup.tried[0].path == "/opt:$LIB"
    assert lookup.tried[0].reason == "musl ignores a path with a token it does not know"


def test_musl_expands_no_token_in_needed_paths(system: System) -> None:
    system.library("/app/liba.so")
    assert not system.lookup(ElfSpec(needed=("$ORIGIN/liba.so",)), MUSL).found


def test_musl_reads_its_path_file(system: System) -> None:
    system.write("/etc/ld-musl-x86_64.path", "/opt/one\n/opt/two:/opt/three\n")
    lookup = system.lookup(NEEDS_A, MUSL)
    assert [path for path, _, _ in steps(lookup)] == ["/opt/one/liba.so", "/opt/two/liba.so", "/opt/three/liba.so"]
    assert str(lookup.tried[0].origin) == "ld.so.conf"
    unknown = system.lookup(replace(MACHINES["s390"], needed=("liba.so",)), MUSL)
    assert unknown.tried[0].path == "/lib/liba.so"


def test_musl_beside_a_loader_in_another_place(system: System) -> None:
    system.library("/opt/musl/lib/ld-musl-x86_64.so.1")
    system.write("/opt/musl/etc/ld-musl-x86_64.path", "/opt/musl/usr")
    spec = replace(NEEDS_A, interpreter="/opt/musl/lib/ld-musl-x86_64.so.1")
    assert [path for path, _, _ in steps(system.lookup(spec, MUSL))] == ["/opt/musl/usr/liba.so"]


def test_a_library_for_glibc_is_no_library_for_musl(system: System) -> None:
    system.library("/usr/lib/liba.so", ElfSpec(needed=("libc.so.6",)))
    assert system.lookup(NEEDS_A, MUSL).tried[-1].result is Result.OTHER_LIBC


def test_android_searches_given_folders_only(system: System) -> None:
    """LD_LIBRARY_PATH of the build machine is not given for the wheel; --ld-library-path is."""
    system.library("/usr/lib/liba.so")
    system.write("/etc/ld.so.conf", "/usr/lib")
    given = replace(
        ANDROID, add_paths=("/added",), only_paths=("/only",), library_path=("/given",), environment_path=("/env",)
    )
    spec = replace(NEEDS_A, rpath="/r", runpath="$ORIGIN/lib")
    assert [path for path, _, _ in steps(system.lookup(spec, given))] == [
        "/added/liba.so",
        "/given/liba.so",
        "/app/lib/liba.so",
        "/only/liba.so",
    ]
    assert steps(system.lookup(replace(NEEDS_A, rpath="/r"), ANDROID)) == []
