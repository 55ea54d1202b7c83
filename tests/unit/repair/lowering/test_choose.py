"""Symbols of a newer glibc bound to older ones: what is chosen, refused, written and proven."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import deloc8.elf.edit.writer as elf_writer
from deloc8.audit.verdict import find_tag
from deloc8.diagnostic import Severity
from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindToZero,
    BindVersion,
    DropVersion,
    JoinRelocations,
    SetRpath,
    UnpackRelocations,
)
from deloc8.elf.read.image import parse
from deloc8.errors import ElfError, InputError, UnrepairableError, UsageError, VerificationError
from deloc8.repair import grafting
from deloc8.repair.lowering.choose import lower, lowered_facts, lowered_image
from deloc8.repair.lowering.compat_library import SONAME, provided
from deloc8.repair.model import RewriteKind
from deloc8.target import Arch
from kit.bench import EXT, Bench, contents
from kit.command import Command
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import make_copy, patch_number
from kit.pyelf import dynamic_of, peer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.view import Buffer
    from deloc8.repair.model import CompatGraft, Plan

LIB = "/usr/lib64"
TAG = "manylinux_2_17_x86_64"


def libc(name: str, version: str, *, weak: bool = False, file: str = "libc.so.6") -> Undefined:
    return Undefined(name, f"GLIBC_{version}", file, weak)


CREATE, FCNTL, STAT = libc("pthread_create", "2.34"), libc("fcntl64", "2.28"), libc("stat", "2.33")
EXP, SCANF = libc("exp", "2.29", file="libm.so.6"), libc("__isoc23_sscanf", "2.38")
SINGLE, PUTS = libc("__libc_single_threaded", "2.32"), libc("puts", "2.2.5")
FORK = libc("_Fork", "2.34", weak=True)
KILL = libc("pthread_kill", "2.34")
UNKNOWN = libc("no_such_function", "2.35")
NEEDED = ("libm.so.6", "libc.so.6")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lowered(bench: Bench, *undefined: Undefined, **options: object) -> Plan:
    changes: dict[str, object] = {name: options.pop(name) for name in ("allow_differs", "platform") if name in options}
    wheel = bench.extension(needed=NEEDED, undefined=undefined, **options)
    goal: dict[str, object] = {"platform": TAG, "lower_glibc": True, **changes}
    return bench.plan(wheel, **goal)


def kinds(plan: Plan) -> dict[str, RewriteKind]:
    return {rewrite.symbol: rewrite.kind for rewrite in plan.rewrites}


def error_of(bench: Bench, *undefined: Undefined, **changes: object) -> UnrepairableError:
    wheel = bench.extension(needed=NEEDED, undefined=undefined)
    goal: dict[str, object] = {"platform": TAG, **changes}
    with pytest.raises(UnrepairableError) as caught:
        bench.repair(wheel, None, **goal)
    assert bench.left == ["no folder"]
    return caught.value


# -- what is chosen ----------------------------------------------------------------------------------------------------


def test_each_class_has_its_edit(bench: Bench) -> None:
    plan = lowered(bench, PUTS, CREATE, FCNTL, EXP, SINGLE, FORK)
    assert kinds(plan) == {
        "pthread_create": RewriteKind.MOVED,
        "fcntl64": RewriteKind.SAME,
        "exp": RewriteKind.SUPERSET,
        "__libc_single_threaded": RewriteKind.CONSTANT,
        "_Fork": RewriteKind.WEAK,
    }
    (patch,) = plan.patches
    assert set(patch.edits) == {
        BindVersion(symbol="pthread_create", old="GLIBC_2.34", version="GLIBC_2.2.5", library="libpthread.so.0"),
        BindVersion(symbol="fcntl64", old="GLIBC_2.28", version="GLIBC_2.2.5", library="libc.so.6", name="fcntl"),
        BindVersion(symbol="exp", old="GLIBC_2.29", version="GLIBC_2.2.5", library="libm.so.6"),
        BindToZero(symbol="__libc_single_threaded", old="GLIBC_2.32"),
        DropVersion(symbol="_Fork", old="GLIBC_2.34"),
    }
    assert plan.compat is None
    assert all(rewrite.reason for rewrite in plan.rewrites)
    # The older versions are so old that the wheel fits better tags as well.
    assert plan.target.platforms[:2] == ("manylinux1_x86_64", "manylinux2014_x86_64")


def test_nothing_is_lowered_further_than_the_tag_needs(bench: Bench) -> None:
    plan = lowered(bench, CREATE, FCNTL, EXP, platform="manylinux_2_28_x86_64")
    assert set(kinds(plan)) == {"pthread_create", "exp"}
    plan = lowered(bench, CREATE, FCNTL, EXP, platform="manylinux_2_34_x86_64")
    assert plan.rewrites == ()
    assert plan.patches == ()


def test_of_several_older_symbols_the_newest_that_the_tag_has_is_taken(bench: Bench) -> None:
    # call_once came with 2.28, and pthread_once, which does the same, with the first glibc of the machine.
    once = libc("call_once", "2.34")
    for platform, symbol, version in ((TAG, "pthread_once", "2.2.5"), ("manylinux_2_28_x86_64", "call_once", "2.28")):
        (rewrite,) = lowered(bench, once, platform=platform).rewrites
        assert (rewrite.to_symbol, rewrite.to_version) == (symbol, f"GLIBC_{version}")
        assert rewrite.to_library == "libpthread.so.0"


def test_small_differences_are_asked_for(bench: Bench) -> None:
    error = error_of(bench, SCANF, lower_glibc=True)
    assert any(line.startswith("__isoc23_sscanf@GLIBC_2.38 cannot be lowered: ") for line in error.context)
    assert "admit symbols that behave a little differently with --allow differs" in error.hints
    plan = lowered(bench, SCANF, allow_differs=True)
    assert kinds(plan) == {"__isoc23_sscanf": RewriteKind.DIFFERS}
    assert plan.rewrites[0].to_symbol == "__isoc99_sscanf"


def test_what_cannot_be_lowered_is_refused_by_name(bench: Bench) -> None:
    error = error_of(bench, CREATE, UNKNOWN, lower_glibc=True)
    assert error.context[0] == "needs no_such_function@GLIBC_2.35 from libc.so.6; manylinux_2_17 ends at GLIBC_2.17"
    assert "no_such_function@GLIBC_2.35 cannot be lowered: no older version does the same" in error.context
    # What is at hand already is no help of lowering; that is 2.35 here.
    assert "the best tag that fixup can reach is manylinux_2_35_x86_64" in error.context
    assert not any("--lower-glibc" in line for line in error.context)


START = libc("__libc_start_main", "2.34")


@pytest.mark.usefixtures("compat")
@pytest.mark.parametrize(("undefined", "name"), [(START, "deloc8_start_main"), (KILL, "deloc8_pthread_kill")])
def test_a_function_that_older_releases_have_otherwise_has_a_name_of_its_own(
    bench: Bench, undefined: Undefined, name: str
) -> None:
    """Without a version the symbol itself would bind to what an old libc has under its name."""
    wheel = bench.extension(needed=("libc.so.6",), undefined=(PUTS, undefined))
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    (rewrite,) = outcome.plan.rewrites
    assert (rewrite.kind, rewrite.symbol, rewrite.to_symbol) == (RewriteKind.CODE, undefined.name, name)
    assert outcome.plan.compat is not None
    assert outcome.plan.compat.functions == (name,)
    after = peer_of(contents(outcome.path)[EXT])
    assert after.undefined[1] == (name, None, None, False)
    assert after.needed == ("libc.so.6", outcome.plan.compat.new_name)


@pytest.mark.parametrize("version", ["2.35", "2.43"])
def test_only_the_version_that_it_replaces_is_taken_from_it(bench: Bench, version: str) -> None:
    error = error_of(bench, CREATE, libc("__libc_start_main", version), lower_glibc=True)
    assert any(line.startswith("__libc_start_main@GLIBC_") and "a program" in line for line in error.context)


def test_programs_of_machines_without_the_library_are_refused(bench: Bench) -> None:
    start = libc("__libc_start_main", "2.34")
    spec = replace(MACHINES["ppc64"], needed=("libc.so.6",), undefined=(start,))
    wheel = bench.wheel({EXT: spec}, tags=("cp311-cp311-linux_ppc64",))
    with pytest.raises(UnrepairableError) as caught:
        bench.repair(wheel, None, platform="manylinux_2_17_ppc64", lower_glibc=True, allow_differs=True)
    message = "__libc_start_main@GLIBC_2.34 cannot be lowered: a program"
    assert any(line.startswith(message) for line in caught.value.context)


def test_the_tag_that_can_be_reached_instead(bench: Bench) -> None:
    late = libc("no_such_function", "2.30")
    error = error_of(bench, CREATE, late, lower_glibc=True)
    assert "the best tag that --lower-glibc can reach is manylinux_2_31_x86_64" in error.context
    assert error.hints[0] == "let deloc8 do so: fixup --plat manylinux_2_31_x86_64 --lower-glibc"


def test_without_the_option_the_error_says_what_it_could_do(bench: Bench) -> None:
    error = error_of(bench, CREATE, FCNTL)
    assert "all of the 2 symbols of glibc that are too new can be lowered" in error.context
    assert "the best tag that --lower-glibc can reach is manylinux_2_5_x86_64" in error.context
    error = error_of(bench, UNKNOWN)
    assert "the symbol of glibc that is too new cannot be lowered" in error.context


def test_small_differences_do_not_count_as_lowered_without_the_option(bench: Bench) -> None:
    error = error_of(bench, SCANF)
    assert "the symbol of glibc that is too new cannot be lowered" in error.context
    assert "admit symbols that behave a little differently with --allow differs" in error.hints


def test_what_cannot_be_lowered_is_counted_by_symbol_and_version(bench: Bench) -> None:
    error = error_of(bench, CREATE, UNKNOWN, libc("nor_this_one", "2.35"))
    assert "1 of the 3 symbols of glibc that are too new can be lowered" in error.context
    error = error_of(bench, CREATE, UNKNOWN, libc(UNKNOWN.name, "2.34"))
    assert "1 of the 3 symbols of glibc that are too new can be lowered" in error.context


def test_where_lowering_is_not_enough_the_tag_that_it_reaches_is_named(bench: Bench) -> None:
    # GLIBCXX_3.4.20 came with GCC 4.9, which manylinux_2_24 stands for: its policy ends at 3.4.22.
    cxx = Undefined("_Zf", "GLIBCXX_3.4.20", "libstdc++.so.6")
    wheel = bench.extension(needed=("libstdc++.so.6", *NEEDED), undefined=(CREATE, cxx))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG)
    assert "let deloc8 do so: fixup --plat manylinux_2_24_x86_64 --lower-glibc" in caught.value.hints


def test_no_policy_that_is_no_tag_is_named_as_the_one_to_reach(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    limits = '{"GLIBC": "2.5", "GLIBCXX": "3.4.99"}'
    libraries = ["libstdc++.so.6", "libpthread.so.0", *NEEDED]
    file.write_text(f'{{"name": "corp", "symbol_versions": {limits}, "lib_whitelist": {json.dumps(libraries)}}}')
    cxx = Undefined("_Zf", "GLIBCXX_3.4.99", "libstdc++.so.6")
    wheel = bench.extension(needed=("libstdc++.so.6", *NEEDED), undefined=(CREATE, cxx))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG, policy_files=(file,))
    assert "the symbol of glibc that is too new can be lowered" in caught.value.context
    told = (*caught.value.context, *caught.value.hints)
    assert not any(line.startswith(("the best tag that --lower-glibc", "let deloc8 do so")) for line in told)


def test_markers(bench: Bench) -> None:
    plan = lowered(bench, CREATE, relr=True, needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),))
    assert UnpackRelocations() in plan.patches[0].edits
    assert kinds(plan)[""] is RewriteKind.PACKED
    for marker in ("GLIBC_ABI_GNU2_TLS", "GLIBC_ABI_A", "GLIBC_2.33"):  # the last one without any symbol
        wheel = bench.extension(needed=NEEDED, undefined=(CREATE,), needs=(NeedSpec("libc.so.6", marker),))
        with pytest.raises(UnrepairableError) as caught:
            bench.plan(wheel, platform=TAG, lower_glibc=True)
        told = f"{marker} cannot be lowered: a promise about the file that cannot be taken back"
        assert told in caught.value.context


@pytest.mark.parametrize("functions", ["apart", "before", "middle", "start"])
def test_tables_of_relocations_become_neighbours(bench: Bench, functions: str) -> None:
    undefined = (PUTS, CREATE, EXP, FCNTL)
    wheel = bench.extension(needed=NEEDED, undefined=undefined, functions=functions)
    with pytest.raises(UnrepairableError):
        bench.plan(wheel, platform="manylinux_2_17_x86_64")
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    assert kinds(outcome.plan)["DT_JMPREL"] is RewriteKind.JOINED
    assert JoinRelocations() in outcome.plan.patches[0].edits
    after = contents(outcome.path)[EXT]
    said = dynamic_of(after)
    assert said["DT_JMPREL"] == said["DT_RELA"] + said["DT_RELASZ"]
    # What is new enough for a tag stays where it is.
    plan = lowered(bench, *undefined, platform="manylinux_2_24_x86_64", functions=functions)
    assert RewriteKind.JOINED not in kinds(plan).values()


def test_other_layouts_that_older_loaders_do_not_read_are_refused(bench: Bench) -> None:
    wheel = bench.extension(needed=NEEDED, undefined=(CREATE,), entries=((0x70000000, 0),))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG, lower_glibc=True)
    assert "needs the ld.so of GLIBC_2.36 for its DT_X86_64_PLT" in "\n".join(caught.value.context)


def test_what_a_file_will_say_is_what_it_says_then(bench: Bench) -> None:
    spec = ElfSpec(needed=NEEDED, undefined=(CREATE, SINGLE, PUTS), relr=True)
    wheel = bench.wheel({EXT: replace(spec, needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),))})
    (patch,) = bench.plan(wheel, platform=TAG, lower_glibc=True).patches
    before = parse(contents(wheel)[EXT], EXT)
    after = parse(contents(bench.repair(wheel, None, platform=TAG, lower_glibc=True).path)[EXT], EXT)
    said = lowered_image(before, patch.edits)
    assert before.dynamic is not None
    assert said.dynamic is not None
    assert after.dynamic is not None
    assert (before.dynamic.has_relr, said.dynamic.has_relr, after.dynamic.has_relr) == (True, False, False)
    assert said.undefined == after.undefined


def test_only_weak_references_may_miss_their_symbol(bench: Bench) -> None:
    assert kinds(lowered(bench, FORK))["_Fork"] is RewriteKind.WEAK
    error = error_of(bench, FORK._replace(weak=False), lower_glibc=True)
    assert "_Fork@GLIBC_2.34 cannot be lowered: no older version does the same" in error.context


@pytest.mark.usefixtures("compat")
@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("name", sorted(provided(Arch.X86_64)))
def test_what_the_compatibility_library_has_is_taken_from_it(bench: Bench, name: str, *, weak: bool) -> None:
    """A weak reference stays weak, and is not left to find nothing."""
    function = provided(Arch.X86_64)[name]
    undefined = Undefined(function.replaces, function.since, "libc.so.6", weak)
    wheel = bench.extension(needed=("libc.so.6",), undefined=(undefined,))
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True, allow_differs=True)
    (rewrite,) = outcome.plan.rewrites
    after = peer_of(contents(outcome.path)[EXT])
    assert [row[3] for row in after.undefined] == [weak]
    if rewrite.kind is RewriteKind.CODE:
        assert outcome.plan.compat is not None
        assert after.needed == ("libc.so.6", outcome.plan.compat.new_name)
        assert after.undefined == ((name, None, None, weak),)
    else:
        assert rewrite.to_version is not None


@pytest.mark.usefixtures("compat")
@pytest.mark.parametrize("weak", [False, True])
def test_what_the_compatibility_library_needs_counts_for_the_tags(bench: Bench, *, weak: bool) -> None:
    """It asks for more than the oldest glibc of a tag has, although the file itself asks for nothing new any more."""
    plan = lowered(bench, PUTS, STAT._replace(weak=weak))
    assert provided(Arch.X86_64)["stat"].needs == "GLIBC_2.17"
    assert plan.target.platforms == ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
    plan = lowered(bench, PUTS, CREATE)
    assert "manylinux1_x86_64" in plan.target.platforms


def test_machines_without_a_table(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deloc8.repair.lowering.choose.load_table", lambda _: None)
    error = error_of(bench, CREATE, lower_glibc=True)
    assert "pthread_create@GLIBC_2.34 cannot be lowered: no older version does the same" in error.context


def test_libraries_that_are_grafted_are_lowered_too(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libc.so.6",), undefined=(CREATE,))
    wheel = bench.extension(needed=("liba.so.1", "libc.so.6"), undefined=(FCNTL,))
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    (graft,) = outcome.plan.grafts
    after = peer_of(contents(outcome.path)[graft.member])
    assert after.needed == ("libc.so.6", "libpthread.so.0")
    assert after.undefined == (("pthread_create", "GLIBC_2.2.5", "libpthread.so.0", False),)
    assert [rewrite.file for rewrite in outcome.plan.rewrites] == [EXT, f"{LIB}/liba.so.1"]


def test_the_report_tells_reasons_and_files_on_demand(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(CREATE,))
    asked = ("fixup", wheel, "-w", bench.out, "--sysroot", bench.system.top, "--plat", TAG, "--lower-glibc")
    line = "Lowering: pthread_create@GLIBC_2.34 of libc.so.6 -> pthread_create@GLIBC_2.2.5 of libpthread.so.0 (moved)\n"
    short, full = (Command(capsys)(*asked, *more).out for more in ((), ("-v",)))
    assert line in short
    assert EXT not in short.partition(line)[2]
    assert re.search(re.escape(line) + rf"  one function under both versions .*\n  in {re.escape(EXT)}\n", full)


def test_only_glibc_and_only_with_a_goal(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(CREATE,))
    with pytest.raises(UsageError) as caught:
        bench.plan(wheel, lower_glibc=True)
    assert caught.value.code == "lower-without-plat"
    musl = bench.wheel({EXT: ElfSpec(needed=("libc.musl-x86_64.so.1",))})
    with pytest.raises(UsageError) as caught:
        bench.plan(musl, lower_glibc=True, platform="musllinux_1_2_x86_64")
    assert caught.value.code == "lower-without-glibc"
    spec = ElfSpec(needed=("libc.musl-x86_64.so.1",), undefined=(Undefined("PyFPE_jbuf"),))
    other = bench.wheel({EXT: spec})
    with pytest.raises(UnrepairableError) as hopeless:
        bench.plan(other, platform="musllinux_1_2_x86_64")
    assert not any("glibc" in line for line in hopeless.value.context)


def test_too_new_a_cxx_runtime_is_told_with_the_choices(bench: Bench) -> None:
    wheel = bench.extension(needed=("libstdc++.so.6",), undefined=(Undefined("f", "GLIBCXX_3.4.30", "libstdc++.so.6"),))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG)
    (hint,) = caught.value.hints
    assert not any("of glibc" in line for line in caught.value.context)
    assert "-static-libstdc++" in hint
    assert "--graft 'libstdc++.so.6'" in hint
    assert "a second C++ runtime" in hint


def test_of_many_mangled_names_the_newest_are_told(bench: Bench) -> None:
    symbols = tuple(Undefined(f"_Z{n}", f"GLIBCXX_3.4.{n}", "libstdc++.so.6") for n in range(21, 31))
    wheel = bench.extension(needed=("libstdc++.so.6", *NEEDED), undefined=(*symbols, CREATE, FCNTL))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG)
    names = "_Z27@GLIBCXX_3.4.27, _Z28@GLIBCXX_3.4.28, _Z29@GLIBCXX_3.4.29, _Z30@GLIBCXX_3.4.30"
    assert caught.value.context[:3] == (
        # What can be lowered is never left out.
        "needs fcntl64@GLIBC_2.28, pthread_create@GLIBC_2.34 from libc.so.6; manylinux_2_17 ends at GLIBC_2.17",
        f"needs {names} from libstdc++.so.6; manylinux_2_17 ends at GLIBCXX_3.4.19",
        "  and 6 more of libstdc++.so.6",
    )


def test_the_newest_of_many_mangled_names_are_those_of_the_highest_numbers(bench: Bench) -> None:
    # By number 3.4.9 is older than 3.4.30, and nothing follows from the names.
    old = Undefined("_Z", "CXXABI_1.3.8", "libstdc++.so.6")
    symbols = tuple(Undefined(f"_Z{90 - n}", f"GLIBCXX_3.4.{n}", "libstdc++.so.6") for n in (22, 30, 25, 21, 29))
    wheel = bench.extension(needed=("libstdc++.so.6",), undefined=(old, *symbols))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG)
    told = "".join(caught.value.context)
    assert [n for n in (21, 22, 25, 29, 30) if f"GLIBCXX_3.4.{n}" in told] == [22, 25, 29, 30]


def test_a_graft_of_the_cxx_runtime_is_warned_of(bench: Bench) -> None:
    bench.library(f"{LIB}/libstdc++.so.6", needed=("libc.so.6",), undefined=(CREATE,))
    bench.library(f"{LIB}/libc++.so.1", needed=("libc.so.6",))
    wheel = bench.extension(needed=("libstdc++.so.6", "libc++.so.1", "libc.so.6"))
    options: dict[str, object] = {"platform": TAG, "lower_glibc": True}
    plan = bench.plan(wheel, graft=("libstdc++.so.6",), **options)
    (warning,) = (note for note in plan.notes if note.code == "second-cpp-runtime")
    assert (warning.severity, warning.subject) == (Severity.WARNING, "libstdc++.so.6")
    assert [rewrite.file for rewrite in plan.rewrites] == [f"{LIB}/libstdc++.so.6"]
    # Other grafts that the system may have as well are not warned of.
    bench.library(f"{LIB}/libz.so.1")
    other = bench.plan(bench.extension(needed=("libz.so.1",)), graft=("libz.so.1",), platform=TAG)
    assert [graft.soname for graft in other.grafts] == ["libz.so.1"]
    assert all(note.code != "second-cpp-runtime" for note in other.notes)
    # No system has the other one, so there is no second.
    assert [graft.soname for graft in plan.grafts] == ["libstdc++.so.6", "libc++.so.1"]
    assert all(note.code != "second-cpp-runtime" for note in bench.plan(wheel, **options).notes)


def test_other_libraries_that_are_too_new_can_be_grafted(bench: Bench) -> None:
    wheel = bench.extension(needed=("libz.so.1",), undefined=(Undefined("inflateValidate", "ZLIB_1.2.9", "libz.so.1"),))
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel, platform=TAG)
    assert caught.value.hints[0] == "put the newer libz.so.1 into the wheel with --graft 'libz.so.1'"


# -- the compatibility library -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("compat")
def test_functions_that_older_systems_lack_travel_in_the_wheel(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT, PUTS))
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True, sbom=True)
    compat = outcome.plan.compat
    assert compat is not None
    assert compat.functions == ("stat",)
    assert compat.member == f"demo.libs/{compat.new_name}"
    (patch,) = outcome.plan.patches
    assert patch.edits == (
        DropVersion(symbol="stat", old="GLIBC_2.33"),
        AddNeeded(name=compat.new_name),
        SetRpath(path="$ORIGIN/../demo.libs"),
    )
    written = contents(outcome.path)
    after = peer_of(written[EXT])
    assert after.needed == ("libc.so.6", compat.new_name)
    assert after.undefined == (("stat", None, None, False), ("puts", "GLIBC_2.2.5", "libc.so.6", False))
    library = peer_of(written[compat.member])
    assert library.soname == compat.new_name
    assert "stat" in {name for name, *_ in library.defined}
    (sbom,) = (json.loads(data) for name, data in written.items() if name.endswith(".cdx.json"))
    (component,) = sbom["components"]
    assert component["name"] == "deloc8"
    assert component["hashes"] == [{"alg": "SHA-256", "content": compat.sha256}]
    assert component["licenses"] == [{"license": {"id": "MIT-0"}}]
    assert "manylinux_2_17_x86_64" in outcome.path.name


@pytest.mark.usefixtures("compat")
def test_only_what_the_compatibility_library_has_is_looked_for_there(bench: Bench) -> None:
    wheel = bench.extension(needed=NEEDED, undefined=(STAT, PUTS, Undefined("PyLong_AsLong"), SINGLE))
    audit = bench.audit(wheel)
    lowering = lower(audit.facts, audit.match(find_tag(audit, TAG)), allow_differs=False)
    (file,) = lowered_facts(audit.facts, lowering).own
    assert {symbol.name: symbol.file for symbol in file.image.undefined} == {
        "stat": SONAME,
        "puts": "libc.so.6",
        "PyLong_AsLong": None,
        "__libc_single_threaded": None,
    }


@pytest.mark.usefixtures("compat")
def test_a_name_that_policies_forbid_may_come_from_the_wheel(bench: Bench) -> None:
    """libc.so.6 must not be asked for it, for some have it and some do not."""
    wheel = bench.extension(needed=("libc.so.6",), undefined=(libc("__issignaling", "2.18"),))
    outcome = bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    assert outcome.plan.compat
    audit = bench.audit(outcome.path)
    assert audit.false_claims == ()
    # Without the library behind it the name stays forbidden.
    bare = bench.extension(needed=("libc.so.6",), undefined=(Undefined("__issignaling"),))
    assert "forbidden-symbol" in {v.code.value for v in bench.audit(bare).match(outcome.plan.policy).violations}
    inside = ElfSpec(soname="libother.so.1", defined=(Defined("something"),))
    spec = ElfSpec(
        needed=("libc.so.6", "libother.so.1", "libgone.so.1"), undefined=(Undefined("__issignaling"),), rpath="$ORIGIN"
    )
    other = bench.wheel({EXT: spec, "demo/two.so": spec, "demo/libother.so.1": inside})
    assert "forbidden-symbol" in {v.code.value for v in bench.audit(other).match(outcome.plan.policy).violations}


def test_a_tag_that_the_compatibility_library_itself_does_not_fit(bench: Bench) -> None:
    error = error_of(bench, STAT, lower_glibc=True, platform="manylinux_2_5_x86_64")
    assert "stat@GLIBC_2.33 cannot be lowered: no older version does the same" in error.context


def test_a_member_in_the_way(bench: Bench, compat: Path) -> None:
    name = grafting.compat_graft(Arch.X86_64, "demo.libs", ("stat",)).member
    assert compat.exists()
    wheel = bench.wheel({EXT: ElfSpec(needed=("libc.so.6",), undefined=(STAT,)), name: b""})
    with pytest.raises(UsageError) as caught:
        bench.plan(wheel, platform=TAG, lower_glibc=True)
    assert caught.value.code == "same-name"


@pytest.mark.usefixtures("compat")
def test_a_wheel_can_be_lowered_in_steps(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT, libc("getrandom", "2.25")))
    options: dict[str, object] = {"lower_glibc": True, "only_platform": True}
    first = bench.repair(wheel, None, platform="manylinux_2_28_x86_64", **options)
    second = bench.repair(first.path, None, platform=TAG, strip=None, **options)
    assert first.plan.compat is not None
    assert second.plan.compat == replace(first.plan.compat, functions=("getrandom",))
    before, after = contents(first.path), contents(second.path)
    libraries = [name for name in after if "/libdeloc8_compat-" in name]
    assert libraries == [first.plan.compat.member]
    assert before[libraries[0]] == after[libraries[0]]
    # It is needed once, by the file that needs both functions.
    assert peer_of(after[EXT]).needed == ("libc.so.6", second.plan.compat.new_name)
    assert peer_of(after[EXT]).undefined == (("stat", None, None, False), ("getrandom", None, None, False))


def test_the_library_must_not_change_underway(bench: Bench, compat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT,))

    def changed(graft: CompatGraft) -> bytes:
        compat.write_bytes(compat.read_bytes() + b"\0")
        return grafting.compat_contents(graft)

    monkeypatch.setattr("deloc8.repair.execute.compat_contents", changed)
    with pytest.raises(InputError) as caught:
        bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    assert caught.value.code == "library-changed"
    assert bench.left in (["no folder"], [])


@pytest.mark.usefixtures("compat")
def test_a_foreign_library_in_its_place_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = build_elf(ElfSpec(soname="libdeloc8_compat.so.1", defined=(Defined("lstat"),)))
    monkeypatch.setattr("deloc8.repair.execute.compat_contents", lambda _: other)
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT,))
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    text = "\n".join(caught.value.context)
    assert "is not the library of deloc8 under its new name" in text
    assert " lacks stat" in text


@pytest.mark.usefixtures("compat")
def test_a_damaged_library_in_its_place_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:

    def damaged(graft: CompatGraft) -> bytes:
        # The second PT_LOAD before the first.
        data = grafting.compat_contents(graft)
        place = 64 + 56 + 16  # p_vaddr of the second program header
        return patch_number(data, place, 8, int.from_bytes(data[place : place + 8], "little") - 0x1000)

    monkeypatch.setattr("deloc8.repair.execute.compat_contents", damaged)
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT,))
    with pytest.raises(VerificationError):
        bench.repair(wheel, None, platform=TAG, lower_glibc=True)


# -- what only the file itself can tell --------------------------------------------------------------------------------


def test_a_variable_that_is_copied_is_refused_before_anything_is_written(bench: Bench) -> None:
    spec = ElfSpec(needed=("libc.so.6",), undefined=(SINGLE,))
    data = build_elf(spec)
    copied = data.replace((1 << 32 | 6).to_bytes(8, "little"), (1 << 32 | 5).to_bytes(8, "little"))
    assert copied != data
    with pytest.raises(ElfError) as caught:
        bench.plan(bench.wheel({EXT: copied}), platform=TAG, lower_glibc=True)
    assert "`__libc_single_threaded` is referred to by relocation 5" in caught.value.context[0]
    bench.system.write(f"{LIB}/liba.so.1", copied)
    wheel = bench.extension(needed=("liba.so.1", "libc.so.6"))
    with pytest.raises(ElfError):
        bench.plan(wheel, platform=TAG, lower_glibc=True)


PROGRAM = "demo/tool"


def program(*undefined: Undefined, copied: Undefined, needed: tuple[str, ...] = ("libc.so.6",)) -> bytes:
    """A program with a copy of a variable."""
    interpreter = "/lib64/ld-linux-x86-64.so.2"
    spec = ElfSpec(needed=needed, undefined=(*undefined, copied), interpreter=interpreter, spare_headers=1)
    return make_copy(build_elf(spec), len(undefined))


def test_a_program_keeps_a_constant_in_place_of_its_copy(bench: Bench) -> None:
    data = program(PUTS, CREATE, copied=SINGLE)
    outcome = bench.repair(bench.wheel({PROGRAM: data}), None, platform=TAG, lower_glibc=True)
    assert kinds(outcome.plan) == {"pthread_create": RewriteKind.MOVED, SINGLE.name: RewriteKind.CONSTANT}
    after = peer_of(contents(outcome.path)[PROGRAM])
    assert [version for _, versions in after.needs for version, _, _ in versions] == ["GLIBC_2.2.5"] * 2
    assert after.defined == ((SINGLE.name, None, 1, True),)


def test_a_version_that_only_a_copy_asks_for_is_needed_all_the_same(bench: Bench) -> None:
    """Although all other symbols of that version are lowered."""
    mask = libc("pthread_sigmask", "2.32")
    other = libc("a_new_variable", "2.32")
    with pytest.raises(UnrepairableError) as caught:
        bench.repair(bench.wheel({PROGRAM: program(mask, copied=other)}), None, platform=TAG, lower_glibc=True)
    assert "a_new_variable@GLIBC_2.32 cannot be lowered: no older version does the same" in caught.value.context
    image = parse(program(mask, copied=other), "tool")
    edit = BindVersion(symbol=mask.name, old="GLIBC_2.32", version="GLIBC_2.2.5", library="libpthread.so.0")
    left = lowered_image(image, [edit])
    versions = {version.name for need in left.version_needs for version in need.versions}
    assert versions == {"GLIBC_2.32", "GLIBC_2.2.5"}


def test_a_copy_of_a_grafts_variable_is_asked_of_the_graft(bench: Bench) -> None:
    copied = Undefined("a_variable", "A_1", "liba.so.1")
    library = ElfSpec(soname="liba.so.1", needed=("libc.so.6",), defined=(Defined("a_variable", "A_1"),))
    bench.system.write(f"{LIB}/liba.so.1", build_elf(library))
    data = program(PUTS, CREATE, copied=copied, needed=("liba.so.1", "libc.so.6"))
    outcome = bench.repair(bench.wheel({PROGRAM: data}), None, platform=TAG, lower_glibc=True)
    (graft,) = outcome.plan.grafts
    image = parse(contents(outcome.path)[PROGRAM], PROGRAM)
    assert [symbol.file for symbol in image.copied] == [graft.new_name]


def test_other_machines(bench: Bench) -> None:
    spec = replace(
        MACHINES["aarch64"], needed=("libc.so.6",), undefined=(libc("pthread_create", "2.34"), libc("puts", "2.17"))
    )
    wheel = bench.wheel({EXT: spec}, tags=("cp311-cp311-linux_aarch64",))
    outcome = bench.repair(wheel, None, platform="manylinux_2_17_aarch64", lower_glibc=True)
    after = peer_of(contents(outcome.path)[EXT])
    assert after.undefined[0] == ("pthread_create", "GLIBC_2.17", "libpthread.so.0", False)


# -- the proof ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forgotten", [BindVersion, BindToZero, DropVersion, UnpackRelocations], ids=lambda kind: kind.__name__
)
def test_a_forgotten_edit_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch, forgotten: type[Edit]) -> None:
    wheel = bench.extension(
        needed=NEEDED,
        undefined=(CREATE, SINGLE, FORK),
        relr=True,
        needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),),
    )

    def edit(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
        return elf_writer.edit_owned(data, [edit for edit in edits if not isinstance(edit, forgotten)], name)

    monkeypatch.setattr("deloc8.repair.execute.edit_owned", edit)
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel, None, platform=TAG, lower_glibc=True)
    assert any(EXT in line for line in caught.value.context)
    assert bench.left in (["no folder"], [])
