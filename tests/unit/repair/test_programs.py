"""Files that an installer puts outside of site-packages: programs and data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import RpathKind, SetRpath
from deloc8.errors import UnrepairableError
from kit.bench import EXT, Bench, codes, contents, image, names
from kit.elf import ElfSpec

if TYPE_CHECKING:
    from pathlib import Path

LIB = "/usr/lib64"
SCRIPT = "demo-1.0.data/scripts/program"
DATA = "demo-1.0.data/data"
PROGRAM = ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_programs_that_need_grafts_move_and_get_a_launcher(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    spec = replace(PROGRAM, needed=("liba.so.1",), runpath="/build:$ORIGIN/../lib")
    wheel = bench.wheel({"demo/__init__.py": b"", SCRIPT: spec}, modes={SCRIPT: 0o755})
    outcome = bench.repair(wheel)
    (patch,) = outcome.plan.patches
    assert (patch.member, patch.moved_to, patch.target) == (SCRIPT, "demo.scripts/program", "demo.scripts/program")
    (found,) = outcome.plan.grafts
    # What it searched beside `bin` it searches from its new place as well: other distributions may have put it there.
    path = "$ORIGIN/../../..:$ORIGIN/../demo.libs"
    assert names(image(outcome.path, "demo.scripts/program")) == ((found.new_name,), None, path, None)
    assert contents(outcome.path)[SCRIPT].startswith(b"#!python\n")
    told = {code: [SCRIPT] for code in ("rpath-dropped", "rpath-kept", "rpath-crosses-schemes", "program-moved")}
    assert codes(outcome.plan) == told


def test_of_a_program_that_moves_what_it_searched_in_site_packages_is_the_same_folder(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    spec = replace(PROGRAM, needed=("liba.so.1",), rpath="$ORIGIN/../lib/python3.11/site-packages/demo.libs")
    wheel = bench.wheel({"demo/__init__.py": b"", "demo.libs/x": b"", SCRIPT: spec}, modes={SCRIPT: 0o755})
    (patch,) = bench.repair(wheel, no_mangle=("liba.so.1",)).plan.patches
    assert patch.edits == (SetRpath(path="$ORIGIN/../demo.libs", kind=RpathKind.RPATH),)
    assert patch.moved_to == "demo.scripts/program"


def test_programs_find_a_library_of_their_wheel_whatever_they_need_before(bench: Bench) -> None:
    wheel = bench.wheel(
        {
            EXT: ElfSpec(needed=("libc.so.6", "libown.so"), runpath="$ORIGIN/lib"),
            "demo/lib/libown.so": ElfSpec(soname="libown.so"),
            "demo/two.so": ElfSpec(needed=("libc.so.6", "libown.so")),
        }
    )
    assert names(image(bench.repair(wheel).path, "demo/two.so"))[2] == "$ORIGIN/lib"


def test_programs_that_need_a_library_of_platlib_move_too(bench: Bench) -> None:
    wheel = bench.wheel(
        {SCRIPT: replace(PROGRAM, needed=("libown.so",)), "demo/lib/libown.so": ElfSpec(soname="libown.so")}
    )
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, "demo.scripts/program"))[2] == "$ORIGIN/../demo/lib"


def test_programs_that_need_nothing_stay_but_lose_build_machine_rpaths(bench: Bench) -> None:
    wheel = bench.wheel(
        {SCRIPT: replace(PROGRAM, needed=("libc.so.6",), rpath="/build:$ORIGIN/../lib"), f"{DATA}/lib/x": b""}
    )
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, SCRIPT))[2] == "$ORIGIN/../lib"
    assert codes(outcome.plan) == {"rpath-dropped": [SCRIPT]}


def test_programs_find_the_libraries_among_the_data_of_their_wheel(bench: Bench) -> None:
    lib = ElfSpec(soname="libown.so")
    by_rpath = bench.wheel(
        {SCRIPT: replace(PROGRAM, needed=("libown.so",), runpath="$ORIGIN/../lib"), f"{DATA}/lib/libown.so": lib}
    )
    assert bench.plan(by_rpath).is_empty
    outcome = bench.repair(bench.wheel({SCRIPT: replace(PROGRAM, needed=("libown.so",)), f"{DATA}/lib/libown.so": lib}))
    assert names(image(outcome.path, SCRIPT))[2] == "$ORIGIN/../lib"


def test_libraries_among_the_data_find_each_other(bench: Bench) -> None:
    wheel = bench.wheel(
        {
            f"{DATA}/lib/libone.so": ElfSpec(soname="libone.so", needed=("libtwo.so",)),
            f"{DATA}/lib/sub/libtwo.so": ElfSpec(soname="libtwo.so"),
        }
    )
    assert names(image(bench.repair(wheel).path, f"{DATA}/lib/libone.so"))[2] == "$ORIGIN/sub"


def test_what_no_search_folder_can_reach_is_left_to_the_package(bench: Bench) -> None:
    inner = ElfSpec(soname="libinner.so")
    wheel = bench.wheel({f"{DATA}/lib/libown.so": ElfSpec(needed=("libinner.so",)), "demo/libinner.so": inner})
    assert bench.repair(wheel).plan.is_empty


def test_programs_that_move_find_the_data_of_their_wheel(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    own = ElfSpec(soname="libown.so")
    for path in (None, "$ORIGIN/../lib"):
        program = replace(PROGRAM, needed=("liba.so.1", "libown.so"), runpath=path)
        outcome = bench.repair(bench.wheel({SCRIPT: program, f"{DATA}/lib/libown.so": own}, modes={SCRIPT: 0o755}))
        found = names(image(outcome.path, "demo.scripts/program"))[2]
        assert found is not None
        assert set(found.split(":")) == {"$ORIGIN/../../..", "$ORIGIN/../demo.libs"}


@pytest.mark.parametrize(
    "members",
    [
        {f"{DATA}/lib/libown.so": ElfSpec(needed=("liba.so.1",))},
        {"demo-1.0.data/scripts/libown.so": ElfSpec(needed=("liba.so.1",))},
    ],
    ids=["data", "library-in-scripts"],
)
def test_a_file_that_cannot_be_led_to_grafts_is_an_error(bench: Bench, members: dict[str, ElfSpec]) -> None:
    bench.library(f"{LIB}/liba.so.1")
    with pytest.raises(UnrepairableError, match=next(iter(members))) as caught:
        bench.repair(bench.wheel(members))
    assert caught.value.code == "no-way-to-grafts"
    assert bench.left == ["no folder"]
