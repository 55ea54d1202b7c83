"""Projects of several libraries: grafted as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.errors import UnrepairableError
from kit.bench import EXT, Bench
from kit.elf import Defined, Undefined

if TYPE_CHECKING:
    from pathlib import Path

GLIBC = "libc.so.6"
GIO, GLIB, GOBJECT = "libgio-2.0.so.0", "libglib-2.0.so.0", "libgobject-2.0.so.0"
WAY_OUT = f"--graft '{GLIB}' --graft '{GOBJECT}'"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", GLIBC)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """libgio is grafted, and needs a libglib of release 2.70."""
    bench = Bench(tmp_path)
    bench.library(f"/usr/lib/{GLIB}", defined=(Defined("g_source_set_static_name"),))
    bench.library(f"/usr/lib/{GOBJECT}", needed=(GLIB,), defined=(Defined("g_object_new"),))
    undefined = (Undefined("g_source_set_static_name"), Undefined("g_object_new"))
    bench.library(f"/usr/lib/{GIO}", needed=(GLIB, GOBJECT), undefined=undefined)
    bench.library("/usr/lib/libX11.so.6", defined=(Defined("XSetIOErrorExitHandler"),))
    return bench


def refused(bench: Bench, wheel: Path, **changes: object) -> UnrepairableError:
    with pytest.raises(UnrepairableError) as caught:
        bench.repair(wheel, None, platform="manylinux_2_31", **changes)
    assert bench.left == ["no folder"]
    return caught.value


def codes(plan_or_outcome: object) -> list[str]:
    return [note.code for note in plan_or_outcome.notes]  # type: ignore[attr-defined]


def test_half_a_project_is_refused_and_the_way_out_is_spelled(bench: Bench) -> None:
    error = refused(bench, bench.extension(needed=(GIO, GLIBC)))
    assert (error.code, error.message) == (
        "release-too-new",
        f"`/usr/lib/{GIO}` does not fit manylinux_2_31_x86_64",
    )
    assert error.context[:2] == (
        f"{EXT} -> {GIO}:",
        f"needs g_source_set_static_name (glib 2.70) from {GLIB}; manylinux_2_31 ends at glib 2.64.2",
    )
    command = f"fixup --plat manylinux_2_31_x86_64 {WAY_OUT}"
    assert error.hints == (
        f"put all of glib into the wheel, where a process can have two of it: {command}",
        "build on an older distribution, for example in a manylinux_2_31 image",
    )


def test_the_way_out_is_one(bench: Bench) -> None:
    wheel = bench.extension(needed=(GIO, GLIBC))
    outcome = bench.repair(wheel, None, platform="manylinux_2_31", graft=(GLIB, GOBJECT))
    assert {graft.soname for graft in outcome.plan.grafts} == {GIO, GLIB, GOBJECT}
    assert "manylinux_2_5_x86_64" in outcome.plan.target.platforms


def test_the_way_out_lowers_where_that_is_needed(bench: Bench) -> None:
    stat = Undefined("stat", "GLIBC_2.33", GLIBC)
    wheel = bench.extension(needed=(GIO, GLIBC), undefined=(stat,))
    command = f"fixup --plat manylinux_2_31_x86_64 --lower-glibc {WAY_OUT}"
    assert any(hint.endswith(command) for hint in refused(bench, wheel).hints)
    assert any(hint.endswith(command) for hint in refused(bench, wheel, lower_glibc=True).hints)


def test_where_something_else_bars_the_tag_the_way_out_says_so(bench: Bench) -> None:
    wheel = bench.extension(needed=(GIO, GLIBC), undefined=(Undefined("PyFPE_jbuf"),))
    assert any(hint.endswith(f"{WAY_OUT} (and see the hints on the rest)") for hint in refused(bench, wheel).hints)


def test_what_belongs_to_the_display_has_no_such_way_out(bench: Bench) -> None:
    wheel = bench.extension(needed=("libX11.so.6", GLIBC), undefined=(Undefined("XSetIOErrorExitHandler"),))
    error = refused(bench, wheel)
    assert error.code == "release-too-new"
    assert not any("--graft" in hint for hint in error.hints)


def test_there_is_none_where_the_user_has_excluded_the_library(bench: Bench) -> None:
    """An excluded library stays outside, whatever --graft says."""
    error = refused(bench, bench.extension(needed=(GIO, GLIBC)), exclude=(GLIB,))
    assert not any("--graft" in hint for hint in error.hints)


def test_nothing_of_this_is_said_where_no_release_is_too_old(bench: Bench) -> None:
    wheel = bench.extension(needed=(GLIBC,), undefined=(Undefined("new", "GLIBC_2.38", GLIBC),))
    assert not any("--graft" in hint for hint in refused(bench, wheel).hints)


def test_auto_takes_a_tag_whose_systems_are_new_enough(bench: Bench) -> None:
    plan = bench.plan(bench.extension(needed=(GIO, GLIBC)))
    assert plan.policy.name == "manylinux_2_35"
    assert [graft.soname for graft in plan.grafts] == [GIO]
    assert "second-glib" not in codes(plan)


def test_a_second_glib_is_told_once(bench: Bench) -> None:
    plan = bench.plan(bench.extension(needed=(GIO, GLIBC)), platform="manylinux_2_31", graft=(GLIB, GOBJECT))
    (warning,) = (note for note in plan.notes if note.code == "second-glib")
    assert warning.subject == f"{GLIB}, {GOBJECT}"
    assert warning.message == "is a second glib in a process that has the system's"


def test_the_proof_knows_of_releases(bench: Bench) -> None:
    """The repaired wheel, judged anew and alone, has the same tag and no better one."""
    outcome = bench.repair(bench.extension(needed=(GIO, GLIBC)), None)
    assert outcome.plan.target.platforms == ("manylinux_2_35_x86_64",)
    again = bench.audit(outcome.path)
    assert again.best.policy.name == "manylinux_2_35"
    assert not again.false_claims
