"""Symbols without versions of libraries of the system: which release has them, and what that does to tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit.distributions import compatibility
from deloc8.audit.violations import describe
from deloc8.explain.why import explain
from deloc8.report.to_text import show_text
from kit.elf import DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, ET_EXEC, GLIBC, Defined, ElfSpec, NeedSpec, Undefined
from kit.scene import CORE, Scene, best_tag, codes_of, violations_of

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

GLIB = "libglib-2.0.so.0"
GOBJECT = "libgobject-2.0.so.0"
STATIC_NAME = "g_source_set_static_name"  # of glib 2.70
MEMDUP2 = "g_memdup2"  # of glib 2.68


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A system with a glib that is newer than all tables."""
    scene = Scene(tmp_path)
    symbols = ("g_free", STATIC_NAME, MEMDUP2, "g_from_the_future", "_edata", "__bss_end__")
    library(scene, GLIB, *symbols)
    library(scene, GOBJECT, "g_object_new", needed=(GLIB,))
    return scene


def library(scene: Scene, name: str, *defined: str, uses: tuple[str, ...] = (), **options: object) -> None:
    symbols = tuple(Defined(symbol) for symbol in defined)
    undefined = tuple(Undefined(symbol) for symbol in uses)
    spec = ElfSpec(soname=name, defined=symbols, undefined=undefined, **options)  # type: ignore[arg-type]
    scene.system.library(f"/usr/lib/{name}", spec)


def using(*symbols: str, needed: tuple[str, ...] = (GLIB,), weak: bool = False, **options: object) -> ElfSpec:
    undefined = tuple(Undefined(symbol, weak=weak) for symbol in symbols)
    return ElfSpec(needed=(*needed, GLIBC), undefined=undefined, **options)  # type: ignore[arg-type]


def best(audit: Audit) -> str:
    """The best tag that can be reached, without the machine."""
    return audit.outlook.policy.name


# -- which symbols count


def test_a_symbol_without_a_version_decides_about_the_tag(scene: Scene) -> None:
    assert best_tag(scene.judge(using("g_free"))) == "manylinux_2_5_x86_64"
    assert best_tag(scene.judge(using(MEMDUP2))) == "manylinux_2_34_x86_64"
    assert best_tag(scene.judge(using(MEMDUP2, STATIC_NAME))) == "manylinux_2_35_x86_64"


def test_a_violation_says_symbol_library_and_release(scene: Scene) -> None:
    audit = scene.judge(using(MEMDUP2, STATIC_NAME))
    (row,) = violations_of(audit, "manylinux_2_34")
    assert (row.code.value, row.symbol, row.library, row.since) == ("release-too-new", STATIC_NAME, GLIB, "glib 2.70")
    assert (row.limit, row.file, row.chain, row.is_curable) == ("glib 2.68.4", CORE, (CORE,), False)


def test_a_weak_reference_and_one_with_a_version_do_not_count(scene: Scene) -> None:
    assert best_tag(scene.judge(using(STATIC_NAME, weak=True))) == "manylinux_2_5_x86_64"
    # Of zlib nearly all ask for a version: the ceiling of ZLIB is for them.
    versioned = ElfSpec(needed=("libz.so.1", GLIBC), undefined=(Undefined("gzfread", "ZLIB_1.2.9", "libz.so.1"),))
    assert "release-too-new" not in codes_of(scene.judge(versioned), "manylinux_2_17")
    assert codes_of(scene.judge(using("gzfread", needed=("libz.so.1",))), "manylinux_2_17") == ["release-too-new"]


def test_the_library_need_not_be_on_this_machine(scene: Scene) -> None:
    audit = scene.judge(using("XSetIOErrorExitHandler", needed=("libX11.so.6",)))
    assert best_tag(audit) == "manylinux_2_34_x86_64"


@pytest.mark.parametrize("present", [True, False])
def test_a_symbol_of_a_library_that_comes_with_the_needed_one_counts(scene: Scene, present: bool) -> None:  # noqa: FBT001
    if not present:
        (scene.root / "usr/lib" / GOBJECT).unlink()
    assert best_tag(scene.judge(using(STATIC_NAME, needed=(GOBJECT,)))) == "manylinux_2_35_x86_64"


def test_a_symbol_that_the_tables_do_not_know_is_newer_than_they(scene: Scene) -> None:
    audit = scene.judge(using("g_from_the_future"))
    assert best_tag(audit) == "linux_x86_64"
    (row,) = violations_of(audit, "manylinux_2_41")
    assert (row.symbol, row.since) == ("g_from_the_future", "newer than glib 2.90.1")
    assert not any(row.runs for row in compatibility(audit).standings)


def test_a_symbol_that_a_policy_forbids_is_told_as_that_alone(scene: Scene) -> None:
    """zlib exports `inflate_copyright` in some builds: no release brought it."""
    library(scene, "libz.so.1", "inflate_copyright")
    audit = scene.judge(using("inflate_copyright", needed=("libz.so.1",)))
    assert codes_of(audit, "manylinux_2_17") == ["forbidden-symbol"]


def test_what_every_library_has_and_what_python_has_tells_nothing(scene: Scene) -> None:
    assert best_tag(scene.judge(using("_edata", "__bss_end__", "PyLong_FromLong"))) == "manylinux_2_5_x86_64"


def test_a_new_symbol_of_a_library_with_versions_would_have_one(scene: Scene) -> None:
    symbols = (Defined("deflate"), Defined("of_this_build"), Defined("later", "ZLIB_1.2.9"))
    scene.system.library("/usr/lib/libz.so.1", ElfSpec(soname="libz.so.1", defined=symbols))
    assert best_tag(scene.judge(using("of_this_build", needed=("libz.so.1",)))) == "manylinux_2_5_x86_64"


def test_wheels_for_musl_are_not_concerned(scene: Scene) -> None:
    spec = ElfSpec(needed=("libz.so.1", "libc.musl-x86_64.so.1"), undefined=(Undefined("gzfread"),))
    audit = scene.judge(spec, tag="musllinux_1_2_x86_64")
    assert audit.facts.borrowed == {}
    assert best_tag(audit) == "musllinux_1_2_x86_64"


# -- which library has it


def test_what_the_loader_finds_first_counts(scene: Scene) -> None:
    """Breadth first, in the order of DT_NEEDED (gABI, "Shared Object Dependencies")."""
    own = ElfSpec(soname="libown.so", defined=(Defined(STATIC_NAME),))
    before = using(STATIC_NAME, needed=("libown.so", GLIB), rpath="$ORIGIN")
    after = using(STATIC_NAME, needed=(GLIB, "libown.so"), rpath="$ORIGIN")
    assert best_tag(scene.audit({CORE: before, "demo/libown.so": own})) == "manylinux_2_5_x86_64"
    assert best_tag(scene.audit({CORE: after, "demo/libown.so": own})) == "manylinux_2_35_x86_64"


@pytest.mark.parametrize("tag", [DT_FILTER, DT_AUXILIARY])
def test_a_filtee_is_asked_before_its_filter(scene: Scene, tag: int) -> None:
    """glibc's elf/dl-deps.c; tests/oracle/test_filters.py asks the loader itself."""
    own = ElfSpec(soname="libown.so", defined=(Defined(STATIC_NAME),))
    # The filter is a library of the wheel that needs glib before all else.
    middle = ElfSpec(soname="libmiddle.so", needed=(GLIB,), links=((tag, "libown.so"),), rpath="$ORIGIN")
    core = using(STATIC_NAME, needed=("libmiddle.so", GLIB), rpath="$ORIGIN")
    members = {CORE: core, "demo/libmiddle.so": middle, "demo/libown.so": own}
    assert best_tag(scene.audit(members)) == "manylinux_2_5_x86_64"


def test_an_audit_library_is_not_asked(scene: Scene) -> None:
    own = ElfSpec(soname="libown.so", defined=(Defined(STATIC_NAME),))
    loader = "/lib64/ld-linux-x86-64.so.2"
    links = ((DT_DEPAUDIT, "libown.so"),)
    program = using(STATIC_NAME, type=ET_EXEC, interpreter=loader, links=links, rpath="$ORIGIN")
    audit = scene.audit({"demo/program": program, "demo/libown.so": own})
    assert best_tag(audit) == "manylinux_2_35_x86_64"


def test_a_graft_can_have_it_first(scene: Scene) -> None:
    library(scene, "libown.so.1", STATIC_NAME)
    assert best(scene.judge(using(STATIC_NAME, needed=("libown.so.1", GLIB)))) == "manylinux_2_5"


def test_a_graft_takes_it_from_what_its_opener_brings(scene: Scene) -> None:
    """A library that was linked without what it uses finds it where the extension module has it."""
    library(scene, "liblazy.so.1", uses=(STATIC_NAME,))
    assert best(scene.judge(using(needed=("liblazy.so.1", GLIB)))) == "manylinux_2_35"
    assert best(scene.judge(using(needed=("liblazy.so.1",)))) == "manylinux_2_5"


def test_two_grafts_of_one_opener_take_it_from_the_same(scene: Scene) -> None:
    for name in ("liblazy.so.1", "libother.so.1"):
        library(scene, name, uses=(STATIC_NAME,))
    audit = scene.judge(using(needed=("liblazy.so.1", "libother.so.1", GLIB)))
    assert [row.file for row in violations_of(audit, "manylinux_2_34") if row.since] == [
        "/usr/lib/liblazy.so.1",
        "/usr/lib/libother.so.1",
    ]


def test_what_another_module_brings_is_not_found(scene: Scene) -> None:
    """Python opens extension modules with RTLD_LOCAL: what one brings, another does not see."""
    audit = scene.audit({CORE: using("g_free"), "demo/other.so": using(STATIC_NAME, needed=())})
    assert best_tag(audit) == "manylinux_2_5_x86_64"


def test_a_program_has_its_own_symbol_before_all(scene: Scene) -> None:
    library(scene, "liblazy.so.1", uses=(STATIC_NAME,), needed=(GLIB,))
    owner = ElfSpec(needed=("liblazy.so.1", GLIBC), defined=(Defined(STATIC_NAME),))
    assert best(scene.judge(owner)) == "manylinux_2_5"


def test_what_was_built_together_is_bound_to_each_other(scene: Scene) -> None:
    """A grafted libgobject needs the libglib that it was built with, whatever the extension module defines."""
    library(scene, GOBJECT, "g_object_new", uses=(STATIC_NAME,), needed=(GLIB,))
    both = using("g_object_new", needed=(GOBJECT,))
    assert best(scene.judge(both)) == "manylinux_2_5"
    assert best(scene.judge(both, graft=(GOBJECT,))) == "manylinux_2_35"
    assert best(scene.judge(both, graft=(GOBJECT, GLIB))) == "manylinux_2_5"


def test_a_library_that_is_grafted_on_request_is_looked_at(scene: Scene) -> None:
    from kit.bench import Bench  # noqa: PLC0415

    bench = Bench(scene.folder / "bench")
    bench.library(f"/usr/lib/{GLIB}", defined=(Defined(STATIC_NAME),))
    bench.library("/usr/lib/libopened.so.1", needed=(GLIB,), undefined=(Undefined(STATIC_NAME),))
    plan = bench.plan(bench.extension(needed=(GLIBC,)), include=("libopened.so.1",))
    assert plan.policy.name == "manylinux_2_35"


# -- what is said to be from the system


def test_a_library_of_the_wheel_is_as_new_as_it_is(scene: Scene) -> None:
    own = ElfSpec(soname=GLIB, defined=(Defined(STATIC_NAME),))
    spec = using(STATIC_NAME, rpath="$ORIGIN")
    assert best_tag(scene.audit({CORE: spec, f"demo/{GLIB}": own})) == "manylinux_2_5_x86_64"


def test_a_grafted_library_is_as_new_as_it_is(scene: Scene) -> None:
    audit = scene.judge(using(STATIC_NAME, needed=(GOBJECT, GLIB)), graft=(GLIB, GOBJECT))
    assert best(audit) == "manylinux_2_5"
    lazy = scene.judge(using(STATIC_NAME, needed=(GOBJECT,)), graft=(GLIB, GOBJECT))
    assert best(lazy) == "manylinux_2_5"


def test_one_that_users_shall_have_counts_as_the_systems(scene: Scene) -> None:
    assert best(scene.judge(using(STATIC_NAME), exclude=(GLIB,))) == "manylinux_2_35"


# -- where it runs, and how it is told


def test_distributions_with_an_older_release_are_left_out(scene: Scene) -> None:
    found = compatibility(scene.judge(using(STATIC_NAME)))
    answers = {row.release.name: row.runs for row in found.standings}
    assert (answers["Debian 11"], answers["Debian 12"], answers["Ubuntu 22.04"]) == (False, True, True)
    assert (answers["RHEL 9"], answers["RHEL 10"], answers["SLES 15.3"], answers["SLES 15.4"]) == (
        False,
        True,
        False,
        True,
    )
    assert answers["Mageia 9"] is None  # nobody has looked
    lacking = next(row.lacks for row in found.standings if row.release.name == "Debian 11")
    assert str(lacking) == f"{STATIC_NAME} (glib 2.70) from {GLIB}, used by {CORE}"


def show(audit: Audit) -> str:
    return " ".join(show_text(audit).split())


def test_show_tells_the_newest_of_many(scene: Scene) -> None:
    names = ["g_uuid_string_random", "g_strv_contains", "g_ptr_array_copy", "g_array_steal", "g_fsync", "g_clear_list"]
    audit = scene.judge(using(*names, MEMDUP2, STATIC_NAME))
    (line,) = describe(violations_of(audit, "manylinux_2_5"))
    assert line.startswith(f"needs {STATIC_NAME} (glib 2.70), {MEMDUP2} (glib 2.68), g_")
    assert line.endswith(" and 2 more from libglib-2.0.so.0; manylinux_2_5 ends at glib 2.12.3")
    assert f"needs {STATIC_NAME} (glib 2.70) from {GLIB}" in show(audit)


def test_show_groups_policies_that_lack_the_same(scene: Scene) -> None:
    text = show(scene.judge(using("g_sort_array")))
    assert '"manylinux_2_28_x86_64", "manylinux_2_27_x86_64"' in text
    assert "what bars" not in text


def test_why_a_symbol_matters(scene: Scene) -> None:
    answer = explain(scene.judge(using(STATIC_NAME, needed=(GOBJECT, GLIB))), STATIC_NAME)
    assert [(use.symbol, use.library) for use in answer.uses] == [(STATIC_NAME, GLIB)]
    assert answer.bars[0] == "manylinux_2_34_x86_64"
    assert any(f"--graft '{GLIB}' --graft '{GOBJECT}'" in way for way in answer.ways)
    assert "build on a system that ends at glib 2.68.4, as a manylinux_2_34 image does" in answer.ways


def test_why_a_library_matters(scene: Scene) -> None:
    answer = explain(scene.judge(using(STATIC_NAME)), GLIB)
    assert answer.bars[0] == "manylinux_2_34_x86_64"
    assert [(row.symbol, row.since) for row in answer.violations] == [(STATIC_NAME, "glib 2.70")]


def test_why_names_no_graft_of_what_the_display_must_provide(scene: Scene) -> None:
    spec = using("XSetIOErrorExitHandler", needed=("libX11.so.6",))
    answer = explain(scene.judge(spec), "manylinux_2_17_x86_64")
    assert answer.violations[0].since == "libX11 1.7"
    assert not any("--graft" in way for way in answer.ways)


def test_hidden_needs_of_versions_stand_beside(scene: Scene) -> None:
    spec = using(STATIC_NAME, needs=(NeedSpec(GLIBC, "GLIBC_2.38"),))
    assert codes_of(scene.judge(spec), "manylinux_2_34") == ["release-too-new", "symbol-too-new"]
