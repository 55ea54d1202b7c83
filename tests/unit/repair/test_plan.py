from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.elf.edit.vocabulary import RemoveNeeded, RemoveRpath, ReplaceNeeded, RpathKind, SetRpath, SetSoname
from deloc8.errors import UnrepairableError, UsageError
from kit.bench import EXT, Bench, codes, contents, graft, image, names
from kit.elf import MACHINES, ElfSpec, NeedSpec, Undefined

if TYPE_CHECKING:
    from pathlib import Path

LIB = "/usr/lib64"
DATA = "demo-1.0.data/data"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")
PROGRAM = ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_closure_is_grafted_and_led_to_each_other(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1", "libc.so.6"))
    bench.library(f"{LIB}/libb.so.1", needed=("libm.so.6",))
    plan = bench.plan(bench.extension(needed=("liba.so.1", "libc.so.6"), undefined=(MEMCPY,)))
    a, b = plan.grafts
    assert (a.source, b.source) == (f"{LIB}/liba.so.1", f"{LIB}/libb.so.1")
    assert a.chain == (EXT, "liba.so.1")
    assert b.chain == (EXT, "liba.so.1", "libb.so.1")
    assert a.member == f"demo.libs/{a.new_name}"
    assert a.edits == (
        SetSoname(soname=a.new_name),
        ReplaceNeeded(old="libb.so.1", new=b.new_name),
        SetRpath(path="$ORIGIN", kind=RpathKind.RPATH),
    )
    assert b.edits == (SetSoname(soname=b.new_name),)
    (patch,) = plan.patches
    assert (patch.member, patch.target, patch.moved_to) == (EXT, EXT, None)
    assert patch.edits == (
        ReplaceNeeded(old="liba.so.1", new=a.new_name),
        SetRpath(path="$ORIGIN/../demo.libs", kind=RpathKind.RPATH),
    )
    assert plan.tags == ("cp311-cp311-manylinux2014_x86_64", "cp311-cp311-manylinux_2_17_x86_64")
    assert plan.source.filename == "demo-1.0-cp311-cp311-linux_x86_64.whl"
    assert plan.target.filename == "demo-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    assert not plan.is_empty
    assert codes(plan) == {}


def test_a_plan_is_the_same_every_time(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1", "libc9.so.1"))
    bench.library(f"{LIB}/libb.so.1")
    bench.library(f"{LIB}/libc9.so.1", needed=("libb.so.1",))
    wheel = bench.extension(needed=("libc9.so.1", "liba.so.1"), rpath="/build")
    assert bench.plan(wheel) == bench.plan(wheel, threads=4)


def test_a_wheel_that_needs_nothing_gets_its_tags_alone(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(needed=("libc.so.6",)))
    assert outcome.plan.is_empty
    assert contents(outcome.path)[EXT] == contents(bench.dist / outcome.plan.source.filename)[EXT]
    assert outcome.path.name == "demo-1.0-cp311-cp311-manylinux1_x86_64.manylinux_2_5_x86_64.whl"


def test_the_library_of_the_kernel_is_in_every_process(bench: Bench) -> None:
    spec = ElfSpec(needed=("linux-vdso.so.1", "libc.so.6"), needs=(NeedSpec("linux-vdso.so.1", "LINUX_2.6"),))
    outcome = bench.repair(bench.wheel({EXT: spec}))
    assert outcome.plan.is_empty
    assert outcome.plan.policy.name == "manylinux_2_5"
    assert codes(outcome.plan) == {}
    with pytest.raises(UnrepairableError):  # the name of another machine's kernel
        bench.repair(bench.extension(needed=("linux-vdso64.so.1",)))


# -- RPATHs --------------------------------------------------------------------------------------------------------


def test_build_machine_rpaths_go_from_members_that_need_no_graft(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(needed=("libc.so.6",), rpath="/build/lib:/home/me/lib"))
    assert outcome.plan.patches[0].edits == (RemoveRpath(),)
    assert names(image(outcome.path, EXT)) == (("libc.so.6",), None, None, None)
    (note,) = outcome.plan.notes
    assert (note.code, note.subject) == ("rpath-dropped", EXT)
    assert note.context == tuple(
        f"{entry}: it is a folder of the build machine" for entry in ("/build/lib", "/home/me/lib")
    )


@pytest.mark.parametrize("kind", ["rpath", "runpath"])
def test_what_leads_inside_the_wheel_or_to_other_distributions_stays_as_it_is(bench: Bench, kind: str) -> None:
    text = "$ORIGIN/lib:${ORIGIN}/../torch/lib"
    lib = ElfSpec(soname="libown.so")
    wheel = bench.wheel({EXT: ElfSpec(needed=("libown.so",), **{kind: text}), "demo/lib/libown.so": lib})  # type: ignore[arg-type]
    assert bench.plan(wheel).is_empty


def test_a_runpath_stays_a_runpath_where_nothing_is_grafted(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(runpath="/build:$ORIGIN/lib"), "demo/lib/x.txt": b""})
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, EXT))[2:] == (None, "$ORIGIN/lib")


def test_what_is_grafted_is_found_by_rpath_which_is_inherited(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.wheel(
        {EXT: ElfSpec(needed=("liba.so.1",), rpath="/old", runpath="/build:$ORIGIN/lib"), "demo/lib/x.txt": b""}
    )
    outcome = bench.repair(wheel)
    assert names(image(outcome.path, EXT))[2:] == ("$ORIGIN/lib:$ORIGIN/../demo.libs", None)


def test_grafts_lose_the_search_folders_of_their_system(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", rpath="$ORIGIN:/usr/lib64/private")
    outcome = bench.repair(bench.extension(needed=("liba.so.1",)))
    (found,) = outcome.plan.grafts
    assert found.edits == (SetSoname(soname=found.new_name), RemoveRpath())
    assert names(image(outcome.path, found.member)) == ((), found.new_name, None, None)


def test_libraries_of_meson_python_are_left_as_they_are(bench: Bench) -> None:
    wheel = bench.wheel(
        {
            EXT: ElfSpec(needed=("libown.so",), rpath="$ORIGIN/../.demo.mesonpy.libs"),
            ".demo.mesonpy.libs/libown.so": ElfSpec(soname="libown.so", needed=("libother.so",), rpath="$ORIGIN"),
            ".demo.mesonpy.libs/libother.so": ElfSpec(soname="libother.so"),
        }
    )
    assert bench.plan(wheel).is_empty


def test_a_library_of_the_wheel_found_only_by_its_soname_gets_an_rpath(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(needed=("libown.so.1",)), "demo/lib/libown.so.1": ElfSpec(soname="libown.so.1")})
    outcome = bench.repair(wheel)
    assert outcome.plan.patches[0].edits == (SetRpath(path="$ORIGIN/lib", kind=RpathKind.RPATH),)
    assert not outcome.plan.grafts


def test_a_library_of_the_wheel_whose_file_has_another_name_is_asked_for_by_that(bench: Bench) -> None:
    wheel = bench.wheel(
        {
            EXT: ElfSpec(needed=("libown.so.1",), undefined=(Undefined("f", "OWN_1", "libown.so.1"),)),
            "demo/lib/libown.so": ElfSpec(soname="libown.so.1"),
        }
    )
    found = image(bench.repair(wheel).path, EXT)
    assert names(found) == (("libown.so",), None, "$ORIGIN/lib", None)
    assert [need.file for need in found.version_needs] == ["libown.so"]


def test_a_graft_that_needs_a_library_of_the_wheel_is_led_to_it(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libown.so.1",))
    wheel = bench.wheel(
        {
            EXT: ElfSpec(needed=("libown.so.1", "liba.so.1"), rpath="$ORIGIN/lib"),
            "demo/lib/libown.so.1": ElfSpec(soname="libown.so.1"),
        }
    )
    outcome = bench.repair(wheel)
    (found,) = outcome.plan.grafts
    assert names(image(outcome.path, found.member)) == (
        ("libown.so.1",),
        found.new_name,
        "$ORIGIN/../demo/lib",
        None,
    )


def test_two_search_paths_become_one(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(rpath="/a", runpath="$ORIGIN/lib"), "demo/lib/x.txt": b""})
    assert names(image(bench.repair(wheel).path, EXT))[2:] == (None, "$ORIGIN/lib")


def test_a_static_program_has_nothing_to_edit(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(), "demo/tool": ElfSpec(dynamic=False, type=2)})
    assert bench.plan(wheel).is_empty


MEMCPY_OF_BIONIC = Undefined("memcpy", "LIBC", "libc.so")


def test_android_knows_runpath_only(bench: Bench) -> None:
    spec = replace(MACHINES["aarch64"], needed=("liba.so", "libc.so"), undefined=(MEMCPY_OF_BIONIC,))
    bench.library("/opt/liba.so", machine=183, align=0x10000, soname="liba.so")
    wheel = bench.wheel(
        {"demo/_core.cpython-313-aarch64-linux-android.so": spec}, tags=("cp313-cp313-android_24_arm64_v8a",)
    )
    plan = bench.plan(wheel, add_paths=("/opt",))
    (found,) = plan.grafts
    assert plan.patches[0].edits[-1] == SetRpath(path="$ORIGIN/../demo.libs", kind=RpathKind.RUNPATH)
    assert found.source == "/opt/liba.so"
    assert plan.target.platforms == ("android_24_arm64_v8a",)


def test_an_rpath_of_android_stays_one_where_nothing_is_grafted(bench: Bench) -> None:
    spec = replace(MACHINES["aarch64"], needed=("libc.so",), undefined=(MEMCPY_OF_BIONIC,), rpath="/build:$ORIGIN/lib")
    wheel = bench.wheel({EXT: spec, "demo/lib/x.txt": b""}, tags=("cp313-cp313-android_24_arm64_v8a",))
    (patch,) = bench.plan(wheel).patches
    assert patch.edits == (SetRpath(path="$ORIGIN/lib", kind=RpathKind.RPATH),)


def test_older_androids_would_not_find_grafts(bench: Bench) -> None:
    """RUNPATH works from API level 24 on."""
    bench.library("/opt/liba.so", machine=183, align=0x10000, soname="liba.so")
    spec = replace(MACHINES["aarch64"], needed=("liba.so", "libc.so"), undefined=(MEMCPY_OF_BIONIC,))
    tags = ("cp313-cp313-android_21_arm64_v8a",)
    wheel = bench.wheel({"demo/_core.cpython-313-aarch64-linux-android.so": spec}, tags=tags)
    for platform in ("auto", "android_21", "android_23_arm64_v8a"):
        with pytest.raises(UnrepairableError) as caught:
            bench.plan(wheel, add_paths=("/opt",), platform=platform)
        assert caught.value.code == "no-runpath"
        assert "to be grafted: /opt/liba.so" in caught.value.context
        assert any("--plat android_24_arm64_v8a" in hint for hint in caught.value.hints)
    for platform in ("manylinux_2_17", "musllinux_1_2", "win_amd64"):  # whatever its name, it is not what auto means
        with pytest.raises(UsageError) as other:
            bench.plan(wheel, add_paths=("/opt",), platform=platform)
        assert other.value.code == "unknown-platform"
    # The old tag is no longer true beside the new one.
    for platform in ("android_24", "android_30"):
        plan = bench.plan(wheel, add_paths=("/opt",), platform=platform)
        assert plan.target.platforms == (f"{platform}_arm64_v8a",)
    plain = bench.wheel(
        {"demo/_core.cpython-313-aarch64-linux-android.so": replace(spec, needed=("libc.so",))}, tags=tags, name="plain"
    )
    assert bench.plan(plain).target.platforms == ("android_21_arm64_v8a",)


def test_an_android_wheel_without_a_level_gets_one_that_finds_its_grafts(bench: Bench) -> None:
    bench.library("/opt/liba.so", machine=183, align=0x10000, soname="liba.so")
    spec = replace(MACHINES["aarch64"], needed=("liba.so", "libc.so"), undefined=(MEMCPY_OF_BIONIC,))
    tags = ("cp313-cp313-linux_aarch64",)
    wheel = bench.wheel({"demo/_core.cpython-313-aarch64-linux-android.so": spec}, tags=tags)
    assert bench.plan(wheel, add_paths=("/opt",)).target.platforms == ("android_24_arm64_v8a",)


# -- the folder of the grafts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "folder", "entry"),
    [
        (".libs", "demo.libs", "$ORIGIN/../demo.libs"),
        ("_native", "demo_native", "$ORIGIN/../demo_native"),
        ("/lib/grafts", "demo/lib/grafts", "$ORIGIN/lib/grafts"),
        ("", "demo", "$ORIGIN"),
    ],
)
def test_the_folder_of_the_grafts_has_the_wanted_suffix(bench: Bench, suffix: str, folder: str, entry: str) -> None:
    bench.library(f"{LIB}/liba.so.1")
    outcome = bench.repair(bench.extension(needed=("liba.so.1",)), library_suffix=suffix)
    (found,) = outcome.plan.grafts
    assert found.member.rpartition("/")[0] == folder
    assert names(image(outcome.path, EXT))[2] == entry


@pytest.mark.parametrize("suffix", ["/../../etc", "/", "\\libs", "\n"])
def test_a_folder_that_no_wheel_may_have_is_refused(bench: Bench, suffix: str) -> None:
    with pytest.raises(UsageError, match="cannot be the folder of the grafts") as caught:
        bench.repair(bench.extension(), library_suffix=suffix)
    assert caught.value.code == "bad-library-folder"
    assert bench.left == ["no folder"]


def test_a_graft_does_not_take_the_place_of_a_member(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.wheel({EXT: ElfSpec(needed=("liba.so.1",)), "demo.libs/liba.so.1": b"a text"})
    with pytest.raises(UsageError, match=r"demo\.libs/liba\.so\.1") as caught:
        bench.repair(wheel, no_mangle=("liba*",))
    assert caught.value.code == "same-name"
    assert bench.left == ["no folder"]
    assert bench.repair(wheel, no_mangle=("liba*",), library_suffix=".grafts").plan.grafts


@pytest.mark.parametrize("name", ["libx\n.so.1", "libx\x1b[2J.so.1", "libx\udcff.so.1", "lib\\x.so.1"])
def test_a_graft_whose_name_no_wheel_may_have_is_refused_by_the_plan(bench: Bench, name: str) -> None:
    bench.library(f"{LIB}/{name}")
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(bench.extension(needed=(name,)))
    assert caught.value.code == "unsafe-path"


# -- what is grafted, on request and against it --------------------------------------------------------------------


def test_graft_takes_a_library_that_the_policy_has_from_the_system(bench: Bench) -> None:
    bench.library(f"{LIB}/libz.so.1")
    wheel = bench.extension(needed=("libz.so.1",))
    assert bench.plan(wheel, platform="manylinux_2_17").is_empty
    (found,) = bench.repair(wheel, platform="manylinux_2_17", graft=("libz*",)).plan.grafts
    assert found.source == f"{LIB}/libz.so.1"


def test_a_graft_cannot_keep_a_name_that_the_policy_has_from_the_system(bench: Bench) -> None:
    bench.library(f"{LIB}/libz.so.1")
    wheel = bench.extension(needed=("libz.so.1",), undefined=(Undefined("x", "ZLIB_1.2.12", "libz.so.1"),))
    with pytest.raises(UsageError, match=r"`libz\.so\.1`") as caught:
        bench.repair(wheel, platform="manylinux_2_17", graft=("libz*",), no_mangle=("libz*",))
    assert caught.value.code == "system-name"
    assert bench.repair(wheel, platform="manylinux_2_17", graft=("libz*",)).plan.grafts
    assert bench.repair(wheel, platform="linux", graft=("libz*",), no_mangle=("libz*",)).plan.tags


def test_excluded_libraries_stay_as_they_are(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    bench.library(f"{LIB}/libb.so.1")
    wheel = bench.extension(needed=("liba.so.1", "libb.so.1"))
    outcome = bench.repair(wheel, exclude=("liba.so.*",))
    (found,) = outcome.plan.grafts
    assert found.soname == "libb.so.1"
    assert names(image(outcome.path, EXT))[0] == ("liba.so.1", found.new_name)
    assert codes(outcome.plan) == {"library-left-out": ["liba.so.1"]}


def test_a_library_that_is_left_out_is_told_once_with_all_who_need_it(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libout.so.1",))
    needing = ElfSpec(needed=("liba.so.1", "libout.so.1", "libz.so.1"))
    wheel = bench.wheel({EXT: needing, "demo/other.so": needing})
    plan = bench.plan(wheel, platform="manylinux_2_17", exclude=("libout*", "libz*"))
    out, zlib = [note for note in plan.notes if note.code == "library-left-out"]
    assert (out.severity, out.subject) == (Severity.WARNING, "libout.so.1")
    assert "manylinux_2_17_x86_64 does not promise it" in out.message
    assert out.context == tuple(f"needed by {file}" for file in (EXT, "demo/other.so", f"{LIB}/liba.so.1"))
    # Where the policy takes a library from the system, it makes no difference.
    assert (zlib.severity, zlib.subject) == (Severity.NOTE, "libz.so.1")
    assert "anyway" in zlib.message


def test_of_many_files_that_need_a_library_ten_are_named(bench: Bench) -> None:
    spec = ElfSpec(needed=("libout.so.1",))
    wheel = bench.wheel({f"demo/m{number:02}.so": spec for number in range(12)})
    (note,) = bench.plan(wheel, exclude=("libout.so.1",)).notes
    assert len(note.context) == 11
    assert note.context[-1] == "and by 2 more files"


def test_an_excluded_library_need_not_be_found(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(needed=("libcuda.so.1",)), exclude=("libcuda.so.*",))
    assert outcome.plan.is_empty


def test_exclude_that_matches_nothing_is_a_warning(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.wheel(
        {EXT: ElfSpec(needed=("liba.so.1", "libown.so", "libc.so.6")), "demo/libown.so": ElfSpec(soname="libown.so")}
    )
    globs = ("libcuda*", "liba.so.1", f"{LIB}/liba*", "libown*", "libc.so.6", "Liba*")
    plan = bench.plan(wheel, exclude=globs)
    assert codes(plan) == {
        "exclude-without-match": ["libcuda*", "libown*", "Liba*"],
        "library-left-out": ["liba.so.1", "libc.so.6"],
    }
    assert "spelling" in plan.notes[0].hints[0]


def test_libraries_that_only_an_excluded_one_needs_are_named(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1", "libshared.so.1"))
    bench.library(f"{LIB}/libb.so.1", needed=("libc9.so.1",))
    bench.library(f"{LIB}/libc9.so.1")
    bench.library(f"{LIB}/libshared.so.1")
    wheel = bench.extension(needed=("liba.so.1", "libshared.so.1"))
    plan = bench.plan(wheel, exclude=("liba.so.1",))
    assert [found.soname for found in plan.grafts] == ["libshared.so.1"]
    assert codes(plan) == {
        "left-out-with-excluded": [f"{LIB}/libb.so.1", f"{LIB}/libc9.so.1"],
        "library-left-out": ["liba.so.1"],
    }
    # Those that are excluded themselves need no word.
    all_excluded = bench.plan(wheel, exclude=("liba.so.1", "libb.so.1", "libc9.so.1"))
    assert codes(all_excluded) == {"library-left-out": ["liba.so.1"]}


def test_a_library_on_request_that_modules_take_from_the_system_too(bench: Bench) -> None:
    bench.library(f"{LIB}/libz.so.1")
    wheel = bench.extension(needed=("libz.so.1",))
    outcome = bench.repair(wheel, platform="manylinux_2_17", include=("libz.so.1",))
    assert [found.new_name for found in outcome.plan.grafts] == ["libz.so.1"]
    assert not outcome.plan.patches


# -- libpython -----------------------------------------------------------------------------------------------------


def test_libpython_goes_from_extensions_and_grafts_but_stays_in_programs(bench: Bench) -> None:
    bench.library(f"{LIB}/libboost_python.so.1", needed=("libpython3.11.so.1.0", "libc.so.6"))
    spec = ElfSpec(needed=("libpython3.11.so.1.0", "libboost_python.so.1"))
    wheel = bench.wheel({EXT: spec, "demo/embedding": replace(PROGRAM, needed=("libpython3.11.so.1.0",))})
    outcome = bench.repair(wheel)
    (found,) = outcome.plan.grafts
    assert RemoveNeeded(name="libpython3.11.so.1.0") in found.edits
    assert names(image(outcome.path, EXT))[0] == (found.new_name,)
    assert names(image(outcome.path, found.member))[0] == ("libc.so.6",)
    assert names(image(outcome.path, "demo/embedding"))[0] == ("libpython3.11.so.1.0",)
    (note,) = [note for note in outcome.plan.notes if note.code == "libpython-dropped"]
    assert note.subject == "libpython3.11.so.1.0"
    assert note.context == (f"needed by {EXT}", f"needed by {LIB}/libboost_python.so.1")


# -- notes ---------------------------------------------------------------------------------------------------------


def test_signatures_of_record_are_dropped_with_a_note(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(), "demo-1.0.dist-info/RECORD.jws": b"{}"})
    outcome = bench.repair(wheel)
    assert codes(outcome.plan) == {"signature-dropped": ["RECORD.jws"]}
    assert "demo-1.0.dist-info/RECORD.jws" not in contents(outcome.path)


def test_files_for_other_machines_are_left_alone_with_a_warning(bench: Bench) -> None:
    foreign = replace(MACHINES["aarch64"], needed=("libmissing.so.1",), rpath="/build")
    outcome = bench.repair(bench.wheel({EXT: ElfSpec(), "demo/foreign.so": foreign}))
    assert outcome.plan.is_empty
    assert codes(outcome.plan) == {"foreign-file": ["demo/foreign.so"]}


def test_versions_of_grafted_libraries_do_not_count(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needs=(NeedSpec("libb.so.1", "GLIBC_2.99"),), needed=("libb.so.1",))
    bench.library(f"{LIB}/libb.so.1")
    outcome = bench.repair(bench.extension(needed=("liba.so.1",)), platform="manylinux_2_17")
    found = graft(outcome.plan, f"{LIB}/liba.so.1")
    needs = [need.file for need in image(outcome.path, found.member).version_needs]
    assert needs == [graft(outcome.plan, f"{LIB}/libb.so.1").new_name]
