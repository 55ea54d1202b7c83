from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.facts import ElfFile
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.audit.vendor import vendor_folders
from deloc8.elf.edit.vocabulary import RemoveRpath, RpathKind, SetRpath
from deloc8.elf.read.image import parse
from deloc8.loader.tokens import search_entries
from deloc8.repair.searchpaths import (
    Ground,
    RunPath,
    describe_folder,
    graft_entries,
    new_run_path,
    reaches,
    relative_entry,
    rpath_edits,
)
from kit.bench import EXT, Bench, codes, image, names
from kit.elf import MACHINES, ElfSpec, build_elf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DATA = "demo-1.0.data"
LIB = "/usr/lib64"
HERE = f"{SITE_PACKAGES}/demo"
OWN = ElfSpec(soname="libown.so")
PROGRAM = ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run_path(
    bench: Bench, entry: str, others: Mapping[str, ElfSpec | bytes], *, member: str = EXT, **options: object
) -> RunPath:
    """What becomes of a search path of one member, beside others."""
    spec = options.pop("spec", ElfSpec())
    tags = options.pop("tags", ("cp311-cp311-linux_x86_64",))
    assert isinstance(spec, ElfSpec)
    wheel = bench.wheel({member: replace(spec, rpath=entry), **others}, tags=tags)
    audit = bench.audit(wheel, **options)
    vendors = vendor_folders(audit.facts, audit.options.exclude, bench.system.sysroot)
    file = next(file for file in audit.facts.own if file.member == member)
    return new_run_path(file, (), Ground(facts=audit.facts, vendors=vendors))


FILES: Mapping[str, ElfSpec | bytes] = {
    "demo/lib/libx.so": ElfSpec(),
    "demo.libs/liby.so": ElfSpec(),
    "demo/text/x.txt": b"",
}


@pytest.mark.parametrize(
    ("entry", "stays"),
    [
        ("$ORIGIN", True),
        ("${ORIGIN}", True),
        ("$ORIGIN/lib", True),
        ("${ORIGIN}/lib/", True),
        ("$ORIGIN//lib/.", True),
        ("$ORIGIN/./lib/../lib", True),
        ("/$ORIGIN/lib", True),
        ("$ORIGIN/text", True),
        ("$ORIGIN/..", True),
        ("$ORIGIN/../demo.libs", True),
        ("$ORIGIN/missing", False),  # below the module's own folder everything is known
        ("$ORIGIN/../demo/missing", False),
        ("$ORIGIN/../torch/lib", True),  # another distribution's
        ("${ORIGIN}/../nvidia/cublas/lib", True),
        ("$ORIGIN/../..", True),  # the environment, which other distributions fill, too
        ("$ORIGIN/../../..", True),
        ("$ORIGIN/../../../../lib64", True),
        ("$ORIGIN/../../../../share/other/lib", True),
        ("$ORIGIN/../../../../", True),
        ("$ORIGIN/../../../../..", False),  # out of the environment
        ("$ORIGIN/../../../../../opt/lib", False),
        ("/usr/lib64", False),
        ("/", False),
        ("", False),
        (".", False),
        ("lib", False),
        ("$ORIGINAL/lib", False),
        ("$LIB", False),
        ("x$ORIGIN", False),
        ("/x/$ORIGIN/lib", False),
        ("$ORIGIN/$ORIGIN", False),
    ],
)
def test_entries_that_mean_something_after_installation_stay(bench: Bench, entry: str, stays: bool) -> None:  # noqa: FBT001
    found = run_path(bench, entry, FILES)
    assert found.entries == ((entry,) if stays else ())
    assert [told.entry for told in found.dropped] == ([] if stays else [entry])
    assert all(told.reason for told in (*found.dropped, *found.kept))


def test_folders_shared_with_other_distributions_may_be_there(bench: Bench) -> None:
    text = "$ORIGIN:$ORIGIN/../../cublas/lib"
    found = run_path(bench, text, {}, member="nvidia/cusolver/lib/libcusolver.so")
    assert found.entries == ("$ORIGIN", "$ORIGIN/../../cublas/lib")
    assert [str(told) for told in found.kept] == [
        "$ORIGIN/../../cublas/lib: it leads to `nvidia/cublas/lib`, which other distributions may fill"
    ]


def test_a_module_at_the_top_knows_only_the_folders_of_its_wheel(bench: Bench) -> None:
    text = "$ORIGIN/torch/lib:$ORIGIN/demo/missing:$ORIGIN/demo/lib"
    found = run_path(bench, text, FILES, member="_core.so")
    assert found.entries == ("$ORIGIN/torch/lib", "$ORIGIN/demo/lib")
    assert [str(told) for told in found.dropped] == ["$ORIGIN/demo/missing: the wheel does not have `demo/missing`"]


def test_programs_and_data_are_neighbours(bench: Bench) -> None:
    text = "$ORIGIN/../lib:$ORIGIN/../lib64:$ORIGIN/../lib/demo/no:$ORIGIN/../share:$ORIGIN/own/no:$ORIGIN/../.."
    others: Mapping[str, ElfSpec | bytes] = {f"{DATA}/data/lib/demo/libx.so": ElfSpec(), f"{DATA}/scripts/own/x": b""}
    found = run_path(bench, text, others, member=f"{DATA}/scripts/program", spec=PROGRAM)
    # lib64 is the folder lib; both may be filled by others, as `share` and what is in a shared folder.
    assert found.entries == ("$ORIGIN/../lib", "$ORIGIN/../lib/demo/no", "$ORIGIN/../share")
    assert [told.entry for told in found.dropped] == ["$ORIGIN/own/no", "$ORIGIN/../.."]
    assert found.crossing == ()


def test_the_way_from_data_to_platlib_has_the_name_of_a_python(bench: Bench) -> None:
    way = "$ORIGIN/python3.11/site-packages/demo/lib"
    member = f"{DATA}/data/lib/libd.so"
    for tag, kept in (("cp311-cp311", 0), ("cp311-abi3", 1), ("cp312-cp312", 1)):
        found = run_path(bench, way, FILES, member=member, tags=(f"{tag}-linux_x86_64",))
        assert found.entries == (way,)
        assert len(found.kept) == kept  # for another Python, or for many, it may lead to nothing
    found = run_path(bench, way, FILES, member=member)
    assert found.crossing == (way,)


@pytest.mark.parametrize(
    ("entry", "plain"),
    [
        ("$ORIGIN/bin/../lib", "$ORIGIN/lib"),
        ("$ORIGIN/a/b/../../lib", "$ORIGIN/lib"),
        ("$ORIGIN/text/x.txt/../../lib", "$ORIGIN/lib"),
        ("$ORIGIN/../demo/bin/../lib/", "$ORIGIN/lib"),
        ("$ORIGIN/bin/../../demo.libs", "$ORIGIN/../demo.libs"),
    ],
)
def test_the_loader_does_not_go_through_folders_that_are_missing(bench: Bench, entry: str, plain: str) -> None:
    found = run_path(bench, f"{entry}:$ORIGIN/text", FILES)
    assert found.entries == ("$ORIGIN/text", plain)
    assert [told.entry for told in found.dropped] == [entry]
    assert "which the wheel does not have" in found.dropped[0].reason


def test_a_missing_folder_on_the_way_that_another_distribution_may_have(bench: Bench) -> None:
    entry = "$ORIGIN/../other/bin/../../demo.libs"
    found = run_path(bench, entry, FILES)
    assert found.entries == (entry, "$ORIGIN/../demo.libs")
    (kept,) = found.kept
    assert kept.entry == entry
    # Nothing of the wheel is there: no entry of its own.
    assert run_path(bench, "$ORIGIN/bin/../text", FILES).entries == ()


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("$ORIGIN/$LIB", "lib/x86_64-linux-gnu"),
        ("$ORIGIN/$LIB", "lib64"),
        ("$ORIGIN/${LIB}/", "lib64"),
        ("${ORIGIN}/../demo/$LIB", "lib64"),
        ("$ORIGIN/bin/../$LIB", "lib64"),
        ("$ORIGIN/$PLATFORM", "x86_64"),
        ("$ORIGIN/x/$PLATFORM/$LIB", "x/x86_64/lib64"),
    ],
)
def test_where_a_token_differs_between_systems_a_plain_entry_is_added(bench: Bench, entry: str, name: str) -> None:
    found = run_path(bench, entry, {f"demo/{name}/libx.so": ElfSpec()})
    first = () if "bin" in entry else (entry,)
    assert found.entries == (*first, f"$ORIGIN/{name}")
    assert found.kept == ()


def test_tokens_that_lead_nowhere_in_the_wheel(bench: Bench) -> None:
    found = run_path(bench, "$ORIGIN/$LIB:$ORIGIN/../torch/$LIB:/opt/$LIB:$LIB/x", {})
    assert found.entries == ("$ORIGIN/../torch/$LIB",)
    assert [told.entry for told in found.dropped] == ["$ORIGIN/$LIB", "/opt/$LIB", "$LIB/x"]
    assert [told.entry for told in found.kept] == ["$ORIGIN/../torch/$LIB"]


def test_a_token_that_nobody_knows_here(bench: Bench) -> None:
    spec, tags = MACHINES["s390x"], ("cp311-cp311-linux_s390x",)
    found = run_path(bench, "$ORIGIN/$PLATFORM:/opt/$PLATFORM", {}, spec=spec, tags=tags)
    assert found.entries == ("$ORIGIN/$PLATFORM",)
    assert [told.reason for told in found.kept] == ["what its token stands for differs between systems"]


def test_musl_knows_one_token(bench: Bench) -> None:
    spec = ElfSpec(needed=("libc.musl-x86_64.so.1",))
    others = {"demo/lib/libx.so": ElfSpec()}
    found = run_path(bench, "${ORIGIN}/lib:$ORIGIN/$LIB", others, spec=spec)
    assert found.entries == ("${ORIGIN}/lib",)
    assert [told.reason for told in found.dropped] == ["it has a token that the loader does not know"]


def test_one_folder_is_searched_once_and_old_entries_come_first(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(rpath="$ORIGIN/lib:${ORIGIN}/lib/:$ORIGIN/../demo.libs:::"), **FILES})
    facts = bench.audit(wheel).facts
    ground = Ground(facts=facts, vendors={})
    found = new_run_path(facts.own[0], (f"{SITE_PACKAGES}/demo.libs", HERE, f"{SITE_PACKAGES}/other"), ground)
    assert found.entries == ("$ORIGIN/lib", "$ORIGIN/../demo.libs", "$ORIGIN", "$ORIGIN/../other")
    assert [str(told) for told in found.dropped] == [
        "an empty entry: it means the folder in which the process happens to run"
    ]


def test_of_a_program_that_moves_the_entries_move_along(bench: Bench) -> None:
    text = "$ORIGIN/../lib:$ORIGIN/../lib/$LIB:/build:$ORIGIN/../share/x/lib:$ORIGIN/$PLATFORM"
    wheel = bench.wheel({f"{DATA}/scripts/program": replace(PROGRAM, rpath=text), f"{DATA}/data/lib/libx.so": OWN})
    facts = bench.audit(wheel).facts
    new_path = f"{SITE_PACKAGES}/demo.scripts/program"
    ground = Ground(facts=facts, vendors={})
    found = new_run_path(facts.own[0], (f"{SITE_PACKAGES}/demo.libs",), ground, new_path=new_path)
    assert found.entries == ("$ORIGIN/../../..", "$ORIGIN/../../../../share/x/lib", "$ORIGIN/../demo.libs")
    assert [told.entry for told in found.dropped] == ["$ORIGIN/../lib/$LIB", "/build", "$ORIGIN/$PLATFORM"]
    assert found.crossing == ("$ORIGIN/../../..", "$ORIGIN/../../../../share/x/lib")


@pytest.mark.parametrize("name", ["lib", "+lib", ".lib", "$lib", "demo.libs"])
def test_the_way_from_folder_to_folder(name: str) -> None:
    assert relative_entry("/w/demo", "/w/demo") == "$ORIGIN"
    assert relative_entry("/w/demo", f"/w/demo/{name}") == f"$ORIGIN/{name}"
    assert relative_entry(f"/w/demo/{name}", "/w/demo") == "$ORIGIN/.."


def test_from_site_packages_everything_is_reached() -> None:
    inside, outside = f"{SITE_PACKAGES}/demo", f"{VIRTUAL_ROOT}/lib"
    ways = {(start, end): reaches(start, end) for start in (inside, outside) for end in (inside, outside)}
    assert [way for way, open_way in ways.items() if not open_way] == [(outside, inside)]


def test_folders_in_words() -> None:
    assert describe_folder(SITE_PACKAGES) == "site-packages"
    assert describe_folder(HERE) == "`demo`"
    assert describe_folder(f"{VIRTUAL_ROOT}/lib") == "`<environment>/lib`"


@pytest.mark.parametrize(
    ("options", "entries"),
    [
        ({"rpath": "/a:/b"}, ("/a", "/b")),
        ({"runpath": "/c"}, ("/c",)),
        ({"rpath": "/a", "runpath": "/c"}, ("/c",)),  # ld.so ignores DT_RPATH beside DT_RUNPATH
        ({"rpath": ""}, ("",)),
        ({}, ()),
        ({"dynamic": False, "type": 2}, ()),
    ],
)
def test_old_entries_are_those_that_the_loader_reads(options: Mapping[str, object], entries: tuple[str, ...]) -> None:
    found = parse(build_elf(**options), "x")  # type: ignore[arg-type]
    assert search_entries(found) == entries


# -- whole repairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rpath", "runpath"])
@pytest.mark.parametrize(
    ("member", "library", "entry"),
    [
        ("_core.cpython-311-x86_64-linux-gnu.so", "lib/libown.so", "$ORIGIN/../.."),
        (EXT, "lib/libown.so", "$ORIGIN/../../.."),
        (EXT, "lib64/libown.so", "$ORIGIN/../../.."),
        ("demo/sub/_core.so", "share/x/libown.so", "$ORIGIN/../../../../../share/x"),
        (EXT, "share/x/libown.so", "/$ORIGIN/../../../../share/x"),
    ],
)
def test_a_library_among_the_data_is_found(bench: Bench, member: str, library: str, entry: str, kind: str) -> None:
    spec = replace(ElfSpec(needed=("libown.so",)), **{kind: entry})  # type: ignore[arg-type]
    wheel = bench.wheel({member: spec, f"{DATA}/data/{library}": OWN})
    outcome = bench.repair(wheel)
    assert outcome.plan.is_empty
    assert codes(outcome.plan) == {"rpath-crosses-schemes": [member]}


def test_a_library_among_the_data_to_which_nothing_leads_gets_an_entry(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(needed=("libown.so",), runpath="/build"), f"{DATA}/data/lib/libown.so": OWN})
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, EXT))[2:] == ("$ORIGIN/../../..", None)
    assert codes(outcome.plan) == {"rpath-dropped": [EXT], "rpath-crosses-schemes": [EXT]}


def test_a_graft_finds_a_library_among_the_data(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libown.so",))
    wheel = bench.wheel({EXT: ElfSpec(needed=("liba.so.1", "libown.so")), f"{DATA}/data/lib/libown.so": OWN})
    outcome = bench.repair(wheel)
    (found,) = outcome.plan.grafts
    assert names(image(outcome.path, found.member))[2] == "$ORIGIN/../../.."


def test_a_library_found_by_a_token_is_found_without_it(bench: Bench) -> None:
    spec = ElfSpec(needed=("libown.so",), runpath="$ORIGIN/$LIB")
    wheel = bench.wheel({EXT: spec, "demo/lib/x86_64-linux-gnu/libown.so": OWN})
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, EXT))[3] == "$ORIGIN/$LIB:$ORIGIN/lib/x86_64-linux-gnu"


# -- the folders of vendors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rpath", "runpath"])
@pytest.mark.parametrize("with_graft", [False, True])
def test_the_folder_of_a_library_that_is_left_out_stays(bench: Bench, kind: str, *, with_graft: bool) -> None:
    bench.library("/opt/rocm/lib/libvendor.so.1")
    bench.library("/opt/build/liba.so.1")
    needed = ("libvendor.so.1", "liba.so.1") if with_graft else ("libvendor.so.1",)
    spec = replace(ElfSpec(needed=needed), **{kind: "/opt/rocm/lib/:/opt/build:lib"})  # type: ignore[arg-type]
    outcome = bench.repair(bench.wheel({EXT: spec}), exclude=("libvendor*",))
    entries = ["/opt/rocm/lib/", "$ORIGIN/../demo.libs"] if with_graft else ["/opt/rocm/lib/"]
    assert names(image(outcome.path, EXT))[2 if with_graft or kind == "rpath" else 3] == ":".join(entries)
    told = {note.code: note.context for note in outcome.plan.notes}
    assert told["rpath-kept"] == ("/opt/rocm/lib/: libvendor.so.1 (left out by --exclude) was found there",)
    assert told["rpath-dropped"][0] == "/opt/build: it is a folder of the build machine"


def test_without_exclude_no_absolute_folder_stays(bench: Bench) -> None:
    bench.library("/opt/rocm/lib/libvendor.so.1")
    wheel = bench.extension(needed=("libvendor.so.1",), rpath="/opt/rocm/lib")
    assert names(image(bench.repair(wheel).path, EXT))[2] == "$ORIGIN/../demo.libs"
    # One that was found nowhere vouches for no folder.
    wheel = bench.extension(needed=("libgone.so.1",), rpath="/opt/rocm/lib")
    assert bench.repair(wheel, exclude=("libgone*",)).plan.patches[0].edits == (RemoveRpath(),)


def test_a_folder_that_the_environment_led_to_first_stays_too(bench: Bench) -> None:
    bench.library("/opt/rocm-6.2/lib/libvendor.so.1")
    bench.system.symlink("/opt/rocm", "rocm-6.2")
    wheel = bench.extension(needed=("libvendor.so.1",), runpath="/opt/rocm/lib:/opt/other")
    outcome = bench.repair(wheel, exclude=("libvendor*",), library_path=("/opt/rocm-6.2/lib",))
    assert names(image(outcome.path, EXT))[3] == "/opt/rocm/lib"


def test_the_folder_stays_in_the_file_by_which_it_was_found(bench: Bench) -> None:
    bench.library("/opt/rocm/lib/libvendor.so.1")
    inner = ElfSpec(soname="libown.so", needed=("libvendor.so.1",))
    core = ElfSpec(needed=("libown.so",), rpath="$ORIGIN/lib:/opt/rocm/lib")
    wheel = bench.wheel({EXT: core, "demo/lib/libown.so": inner})
    assert bench.repair(wheel, exclude=("libvendor*",)).plan.is_empty


def test_a_graft_keeps_the_folder_where_it_found_what_is_left_out(bench: Bench) -> None:
    bench.library("/opt/rocm/lib/liba.so.1", needed=("libvendor.so.1", "libusual.so"), runpath=f"$ORIGIN:{LIB}:/none")
    bench.library("/opt/rocm/lib/libvendor.so.1")
    bench.library(f"{LIB}/libusual.so")
    wheel = bench.extension(needed=("liba.so.1",), runpath="/opt/rocm/lib")
    outcome = bench.repair(wheel, exclude=("libvendor*", "libusual*"))
    (found,) = outcome.plan.grafts
    assert names(image(outcome.path, found.member))[2:] == ("/opt/rocm/lib", None)
    assert names(image(outcome.path, EXT))[2:] == ("$ORIGIN/../demo.libs", None)


@pytest.mark.parametrize(
    "folder",
    [
        "/tmp/x/lib",  # noqa: S108  not a folder of this machine
        "/tmp",  # noqa: S108  not a folder of this machine
        "/var/tmp/x",  # noqa: S108  not a folder of this machine
        "/dev/shm/x",  # noqa: S108  not a folder of this machine
        "/home/me/rocm/lib",
        "/root/lib",
        "/Users/me/lib",
        "/export/home/me/lib",
        "/mnt/c/Users/me/lib",
        "/var/lib/jenkins/x",
        "/build/lib",
        "/builds/group/project/lib",
        "/project/lib",
        "/workspace/lib",
        "/__w/1/s/lib",
        "/github/workspace/lib",
        "/io/lib",
        "/opt/python/cp311-cp311/lib",
        "/opt/_internal/cpython-3.11/lib",
        "/opt/conda/envs/x/lib",
        "/opt/miniconda3/lib",
        "/usr/lib/python3.11/site-packages/x.libs",
        "/opt/app/.venv/lib",
        "/opt/x/build/lib",
        "/opt/x/cmake-build-debug/lib",
        "/opt/../tmp/lib",
    ],
)
def test_no_wheel_names_folders_of_users_and_builds(bench: Bench, folder: str) -> None:
    (bench.system.top / "opt").mkdir()
    bench.library(f"{folder}/libvendor.so.1")
    outcome = bench.repair(bench.extension(needed=("libvendor.so.1",), rpath=folder), exclude=("libvendor*",))
    assert outcome.plan.patches[0].edits == (RemoveRpath(),)
    (note,) = (note for note in outcome.plan.notes if note.code == "rpath-dropped")
    found = "libvendor.so.1 (left out by --exclude) was found there, and must be found in another way"
    assert found in note.context[0]


@pytest.mark.parametrize(
    "folder",
    ["/opt/rocm/lib", "/usr/local/cuda-12.4/targets/x86_64-linux/lib", "/opt/intel/oneapi/mkl/2024.1/lib", "/srv/x"],
)
def test_the_folders_of_installed_software_stay(bench: Bench, folder: str) -> None:
    bench.library(f"{folder}/libvendor.so.1")
    wheel = bench.extension(needed=("libvendor.so.1",), rpath=folder)
    assert bench.repair(wheel, exclude=("libvendor*",)).plan.is_empty


@pytest.mark.parametrize(("mark", "kind"), [("pyvenv.cfg", "a virtual"), ("conda-meta/history", "a conda")])
def test_an_environment_is_known_by_what_is_in_it(bench: Bench, mark: str, kind: str) -> None:
    bench.library("/opt/tools/lib/libvendor.so.1")
    bench.system.write(f"/opt/tools/{mark}")
    wheel = bench.extension(needed=("libvendor.so.1",), rpath="/opt/tools/lib")
    plan = bench.plan(wheel, exclude=("libvendor*",))
    assert plan.patches[0].edits == (RemoveRpath(),)
    (dropped,) = [note for note in plan.notes if note.code == "rpath-dropped"]
    assert kind in dropped.context[0]


def test_a_folder_named_by_a_token_stays_as_it_is(bench: Bench) -> None:
    bench.library("/opt/x/lib/x86_64-linux-gnu/libvendor.so.1")
    wheel = bench.extension(needed=("libvendor.so.1",), rpath="/opt/x/$LIB")
    assert bench.repair(wheel, exclude=("libvendor*",)).plan.is_empty


def test_the_entries_of_a_graft_are_each_there_once(bench: Bench) -> None:
    facts = bench.audit(bench.extension()).facts
    file = ElfFile(path="/opt/liba.so", member=None, image=facts.own[0].image, wanted=())
    home = f"{SITE_PACKAGES}/demo.libs"
    assert graft_entries(file, home, (home, HERE), Ground(facts=facts, vendors={})) == ("$ORIGIN", "$ORIGIN/../demo")
    assert rpath_edits(file, ("/a", "/b"), RpathKind.RUNPATH) == [SetRpath(path="/a:/b", kind=RpathKind.RUNPATH)]
