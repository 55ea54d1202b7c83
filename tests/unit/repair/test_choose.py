from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import UnrepairableError, UsageError
from kit.bench import EXT, Bench
from kit.elf import MACHINES, ElfSpec, NoteSpec, Undefined, build_elf
from kit.ldcache import build_cache
from kit.packages import dpkg_package

if TYPE_CHECKING:
    from pathlib import Path

LIB = "/usr/lib64"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")
STAT = Undefined("stat", "GLIBC_2.33", "libc.so.6")
V3 = NoteSpec("GNU", 5, bytes.fromhex("028000c0040000000400000000000000"))  # x86 ISA needed: v3


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def policy(bench: Bench, wheel: Path, **changes: object) -> str:
    return bench.plan(wheel, **changes).policy.name


def refused(bench: Bench, wheel: Path, **changes: object) -> UnrepairableError:
    with pytest.raises(UnrepairableError) as caught:
        bench.repair(wheel, None, **changes)
    assert bench.left == ["no folder"]
    return caught.value


# -- what auto takes -----------------------------------------------------------------------------------------------


def test_auto_takes_the_best_tag(bench: Bench) -> None:
    assert policy(bench, bench.extension(needed=("libc.so.6",))) == "manylinux_2_5"
    assert policy(bench, bench.extension(needed=("libc.so.6",), undefined=(MEMCPY,))) == "manylinux_2_17"
    assert policy(bench, bench.extension(needed=("libc.so.6",), undefined=(STAT,))) == "manylinux_2_34"


def test_auto_takes_few_grafts_rather_than_a_better_tag(bench: Bench) -> None:
    bench.library(f"{LIB}/libexpat.so.1")
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("libexpat.so.1", "liba.so.1"))
    assert policy(bench, wheel) == "manylinux_2_12"  # the first one that has libexpat.so.1 from the system
    assert [graft.soname for graft in bench.plan(wheel).grafts] == ["liba.so.1"]
    assert len(bench.plan(wheel, platform="manylinux1").grafts) == 2


CORE = "demo/_core.so"
AARCH64 = replace(MACHINES["aarch64"], needed=("libc.so.6",))
MUSL = ElfSpec(needed=("libc.musl-x86_64.so.1",))


@pytest.mark.parametrize(
    ("spec", "platforms", "way_out"),
    [
        (AARCH64, "linux_x86_64", "manylinux_2_17_aarch64"),
        (AARCH64, "manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17_aarch64"),
        (AARCH64, "android_24_x86_64", "manylinux_2_17_aarch64"),
        (AARCH64, "macosx_11_0_arm64", "manylinux_2_17_aarch64"),
        (AARCH64, "win_amd64.linux_x86_64", "manylinux_2_17_aarch64"),
        (MUSL, "manylinux_2_17_x86_64", "musllinux_1_2_x86_64"),
        (ElfSpec(needed=("libc.so.6",)), "musllinux_1_2_x86_64", "manylinux_2_5_x86_64"),
    ],
)
def test_a_name_that_contradicts_the_files_is_refused_unless_a_tag_is_asked_for(
    bench: Bench, spec: ElfSpec, platforms: str, way_out: str
) -> None:
    wheel = bench.wheel({CORE: spec}, tags=(f"cp311-cp311-{platforms}",))
    error = refused(bench, wheel)
    assert error.code == "name-contradicts-files"
    assert platforms.replace(".", ", ") in error.context[0]
    assert CORE in error.context[1]
    assert f"--plat {way_out}" in error.hints[1]
    plan = bench.plan(wheel, platform=way_out)
    assert set(plan.target.platforms) & {way_out}


@pytest.mark.parametrize("platforms", ["any", "linux_aarch64", "linux_x86_64.linux_aarch64", "linux_aarch64.win32"])
def test_a_name_with_one_tag_that_fits_is_no_contradiction(bench: Bench, platforms: str) -> None:
    wheel = bench.wheel({CORE: AARCH64}, tags=(f"cp311-cp311-{platforms}",))
    assert policy(bench, wheel) == "manylinux_2_17"


def test_of_a_machine_that_no_policy_knows_nothing_is_said(bench: Bench) -> None:
    """armv6l runs what armv7l does not promise: such wheels exist with both names."""
    wheel = bench.wheel({CORE: replace(MACHINES["armv7l"], needed=("libc.so.6",))}, tags=("cp311-cp311-linux_armv6l",))
    assert policy(bench, wheel).startswith("manylinux")


def test_auto_takes_no_policy_that_is_no_tag(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"name": "corp", "symbol_versions": {}, "lib_whitelist": ["liba.so.1"]}')
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",))
    plan = bench.plan(wheel, policy_files=(file,))
    assert (plan.policy.name, len(plan.grafts)) == ("manylinux_2_5", 1)
    assert bench.plan(wheel, policy_files=(file,), platform="corp").grafts == ()


# -- the tag that is asked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("manylinux2014", "manylinux_2_17"),
        ("manylinux2014_x86_64", "manylinux_2_17"),
        ("manylinux_2_17", "manylinux_2_17"),
        ("manylinux_2_17_x86_64", "manylinux_2_17"),
        ("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17"),
        ("manylinux_2_33", "manylinux_2_33"),
        ("manylinux_2_33_x86_64", "manylinux_2_33"),
        ("linux", "linux"),
        ("linux_x86_64", "linux"),
        ("linux_pybe1_core", "linux_pybe1_core"),
    ],
)
def test_a_tag_is_known_by_all_its_names(bench: Bench, asked: str, name: str) -> None:
    assert policy(bench, bench.extension(needed=("libc.so.6",)), platform=asked) == name


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("manylinux_2_17_aarch64", "other-machine"),
        ("manylinux_2_4", "unknown-platform"),
        ("musllinux_1_2", "unknown-platform"),
        ("many", "unknown-platform"),
        ("", "unknown-platform"),
    ],
)
def test_a_tag_that_no_such_wheel_can_have_is_a_usage_error(bench: Bench, asked: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        bench.repair(bench.extension(), platform=asked)
    assert caught.value.code == code
    assert bench.left == ["no folder"]


# -- what no plan can cure -----------------------------------------------------------------------------------------


def test_the_tag_asked_for_is_the_tag_named(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT, Undefined("f", "GLIBC_2.30", "libc.so.6"), MEMCPY))
    error = refused(bench, wheel, platform="manylinux2014")
    assert error.message == f"`{EXT}` does not fit manylinux_2_17_x86_64"
    assert error.code == "symbol-too-new"
    assert error.context == (
        "needs f@GLIBC_2.30, stat@GLIBC_2.33 from libc.so.6; manylinux_2_17 ends at GLIBC_2.17",
        "the wheel as it stands fits manylinux_2_34_x86_64",
        "the best tag that fixup can reach is manylinux_2_34_x86_64",
        "1 of the 2 symbols of glibc that are too new can be lowered",
        "the best tag that --lower-glibc can reach is manylinux_2_31_x86_64",
    )
    assert error.hints == (
        "let deloc8 do so: fixup --plat manylinux_2_31_x86_64 --lower-glibc",
        "build on an older distribution, for example in a manylinux_2_17 image",
    )


def test_a_tag_with_an_older_name_is_told_by_its_own(bench: Bench) -> None:
    error = refused(bench, bench.extension(needed=("libc.so.6",), undefined=(MEMCPY,)), platform="manylinux1")
    assert "the wheel as it stands fits manylinux_2_17_x86_64" in error.context
    assert "the best tag that fixup can reach is manylinux_2_17_x86_64" in error.context


def test_the_way_to_the_tag_is_told_by_its_own_name(bench: Bench) -> None:
    create = Undefined("pthread_create", "GLIBC_2.34", "libc.so.6")
    error = refused(bench, bench.extension(needed=("libc.so.6",), undefined=(create,)), platform="manylinux2014")
    assert error.hints[0] == "let deloc8 do so: fixup --plat manylinux_2_17_x86_64 --lower-glibc"


def test_every_violation_is_told_with_its_file_and_the_way_to_it(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1",))
    bench.library(f"{LIB}/libb.so.1", needed=("libc.so.6",), undefined=(STAT,))
    spec = ElfSpec(needed=("liba.so.1", "libc.so.6"), undefined=(Undefined("f", "GLIBC_2.34", "libc.so.6"),))
    wheel = bench.wheel({EXT: spec, "demo/other.so": ElfSpec(undefined=(Undefined("PyFPE_jbuf"),))})
    error = refused(bench, wheel, platform="manylinux_2_28")
    assert error.message == "3 files of the wheel do not fit manylinux_2_28_x86_64"
    assert error.context[:6] == (
        f"{EXT}:",
        "  needs f@GLIBC_2.34 from libc.so.6; manylinux_2_28 ends at GLIBC_2.28",
        "demo/other.so:",
        "  uses `PyFPE_jbuf`, which only a Python built with fpectl has",
        f"{EXT} -> liba.so.1 -> libb.so.1:",
        "  needs stat@GLIBC_2.33 from libc.so.6; manylinux_2_28 ends at GLIBC_2.28",
    )
    # With PyFPE no tag can be reached at all.
    assert error.context[6:] == (
        "the wheel as it stands fits linux_x86_64",
        "1 of the 2 symbols of glibc that are too new can be lowered",
    )
    assert len(error.hints) == 2


def test_the_code_is_that_of_the_first_file(bench: Bench) -> None:
    too_new = ElfSpec(needed=("libc.so.6",), undefined=(STAT,))
    fpectl = ElfSpec(undefined=(Undefined("PyFPE_jbuf"),))
    for first, last, code in ((too_new, fpectl, "symbol-too-new"), (fpectl, too_new, "pyfpe")):
        error = refused(bench, bench.wheel({"demo/a.so": first, "demo/b.so": last}), platform="manylinux_2_17")
        assert (error.code, error.context[0]) == (code, "demo/a.so:")


def test_a_single_library_is_told_with_the_way_to_it(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libc.so.6",), undefined=(STAT,))
    error = refused(bench, bench.extension(needed=("liba.so.1",)), platform="manylinux_2_28")
    assert error.message == f"`{LIB}/liba.so.1` does not fit manylinux_2_28_x86_64"
    assert error.context[0] == f"{EXT} -> liba.so.1:"
    assert "the wheel as it stands fits linux_x86_64" in error.context


def test_auto_tells_the_tag_that_asks_for_least(bench: Bench) -> None:
    error = refused(bench, bench.extension(undefined=(Undefined("PyFPE_jbuf"),)))
    assert error.message == f"`{EXT}` does not fit manylinux_2_41_x86_64"


@pytest.mark.parametrize(
    ("spec", "code", "hint"),
    [
        (ElfSpec(undefined=(Undefined("PyFPE_jbuf"),)), "pyfpe", "fpectl"),
        (ElfSpec(undefined=(Undefined("PyUnicodeUCS2_AsUTF8String"),)), "ucs2", "UCS4"),
        (ElfSpec(notes=(V3,)), "isa-level", "--disable-isa-ext-check"),
        (ElfSpec(needed=("libz.so.1",), undefined=(Undefined("deflate_copyright"),)), "forbidden-symbol", "--graft"),
    ],
)
def test_fixup_refuses_what_show_refuses(bench: Bench, spec: ElfSpec, code: str, hint: str) -> None:
    wheel = bench.wheel({EXT: spec})
    for platform in ("auto", "manylinux_2_17"):
        error = refused(bench, wheel, platform=platform)
        assert error.code == code
        assert any(hint in line for line in error.hints)
    assert bench.plan(wheel, platform="linux").target.platforms == ("linux_x86_64",)


def test_a_processor_level_is_accepted_on_request(bench: Bench) -> None:
    assert bench.repair(bench.extension(notes=(V3,)), check_isa=False).plan.target.platforms[0] == "manylinux1_x86_64"


def test_a_forbidden_symbol_of_a_grafted_library_is_found_too(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libz.so.1",), undefined=(Undefined("deflate_copyright"),))
    error = refused(bench, bench.extension(needed=("liba.so.1",)), platform="manylinux_2_17")
    assert error.code == "forbidden-symbol"
    assert error.context[0] == f"{EXT} -> liba.so.1:"
    bench.library(f"{LIB}/libz.so.1")
    plan = bench.plan(bench.extension(needed=("liba.so.1",)), platform="manylinux_2_17", graft=("libz.so.1",))
    assert len(plan.grafts) == 2


@pytest.mark.parametrize("library", ["libc.so.6", "libpthread.so.0"])
def test_what_to_do_without_a_symbol_of_glibc_is_told_once_and_not_to_graft_glibc(bench: Bench, library: str) -> None:
    undefined = (Undefined("pthread_setattr_default_np"), Undefined("pthread_getattr_default_np"))
    error = refused(bench, bench.extension(needed=(library,), undefined=undefined), platform="manylinux_2_17")
    assert error.code == "forbidden-symbol"
    (hint,) = error.hints
    assert "manylinux_2_18" in hint
    assert "--graft" not in hint


# -- libraries that are not there ----------------------------------------------------------------------------------


def test_a_missing_library_comes_with_all_that_was_tried(bench: Bench) -> None:
    wheel = bench.extension(needed=("libgone.so.1",), rpath="/opt/lib:$ORIGIN/lib")
    error = refused(bench, wheel, library_path=("/home/me/lib",))
    assert error.code == "library-not-found"
    assert error.context[0] == "needs libgone.so.1, which is neither in the wheel nor found on this system"
    assert error.context[1].startswith("  tried: /opt/lib, ")
    assert "/home/me/lib" in error.context[1]
    assert any("--add-path" in hint and "--exclude" in hint for hint in error.hints)


def test_where_another_library_was_found_is_not_told(bench: Bench) -> None:
    bench.library("/opt/liba.so.1")
    error = refused(bench, bench.extension(needed=("liba.so.1", "libgone.so.1"), rpath="/opt"), only_paths=("/other",))
    assert error.context[1].startswith("  tried: /opt, ")
    assert "/other" in error.context[1]


def test_places_are_told_as_the_user_knows_them(bench: Bench) -> None:
    (bench.system.top / "etc").mkdir(exist_ok=True)
    (bench.system.top / "etc" / "ld.so.cache").write_bytes(build_cache([]))
    wheel = bench.extension(needed=("libgone.so.1",), rpath="$ORIGIN/lib:$ORIGIN/..:$ORIGIN/../../..")
    told = refused(bench, wheel).context[1]
    places = "the wheel's own demo/lib, the wheel's own top folder, <environment>/lib, /etc/ld.so.cache, "
    assert told.startswith(f"  tried: {places}")


def test_a_missing_library_without_anything_tried(bench: Bench) -> None:
    error = refused(bench, bench.extension(needed=("libgone.so.1",)), only_paths=())
    assert [line for line in error.context if "tried" in line] == []


@pytest.mark.parametrize(
    ("count", "rest"), [(7, ()), (8, ()), (9, ("and 1 more folders",)), (12, ("and 4 more folders",))]
)
def test_of_many_folders_the_first_are_named(bench: Bench, count: int, rest: tuple[str, ...]) -> None:
    folders = tuple(f"/opt/{number}" for number in range(count))
    error = refused(bench, bench.extension(needed=("libgone.so.1",)), only_paths=folders)
    assert error.context[1] == f"  tried: {', '.join((*folders[:8], *rest))}"


def test_a_file_that_cannot_be_read_is_told_with_the_reason(bench: Bench) -> None:
    bench.system.library("/lib/libgone.so.1", MACHINES["s390x"])
    bench.system.write("/text/libgone.so.1", "INPUT(libz.so.1)")
    bench.system.write("/opt/libgone.so.1", build_elf(ElfSpec(soname="libgone.so.1"))[:100])
    error = refused(bench, bench.extension(needed=("libgone.so.1",)), only_paths=("/opt", "/lib", "/text"))
    assert error.context[1].startswith("  tried: /opt/libgone.so.1 (unreadable: ")
    assert error.context[1].endswith("), /lib/libgone.so.1 (for another machine), /text/libgone.so.1 (not an ELF file)")


def test_what_was_there_but_passed_over_is_told_first(bench: Bench) -> None:
    bench.system.library("/lib/libgone.so.1", MACHINES["s390x"])
    error = refused(bench, bench.extension(needed=("libgone.so.1",)), only_paths=("/opt", "/lib"))
    assert error.context[1] == "  tried: /lib/libgone.so.1 (for another machine), /opt"


def test_one_missing_library_of_several_users_is_told_for_each(bench: Bench) -> None:
    spec = ElfSpec(needed=("libgone.so.1", "libc.so.6"), undefined=(STAT,))
    wheel = bench.wheel({EXT: spec, "demo/other.so": replace(spec, undefined=())})
    error = refused(bench, wheel, only_paths=("/opt",), platform="manylinux_2_17")
    assert error.message == "2 files of the wheel do not fit manylinux_2_17_x86_64"
    missing = "  needs libgone.so.1, which is neither in the wheel nor found on this system"
    too_new = "  needs stat@GLIBC_2.33 from libc.so.6; manylinux_2_17 ends at GLIBC_2.17"
    tried = "    tried: /opt"
    assert error.context[:6] == (f"{EXT}:", too_new, missing, tried, "demo/other.so:", missing)


def test_where_a_library_was_looked_for_is_told_of_each_file(bench: Bench) -> None:
    first, last = (ElfSpec(needed=("libgone.so.1",), rpath=f"/opt/{name}") for name in ("first", "last"))
    for names in ((EXT, "demo/other.so"), ("demo/other.so", EXT)):
        context = refused(bench, bench.wheel(dict(zip(names, (first, last), strict=True)))).context
        told = {file: context[context.index(f"{file}:") + 2].split(",")[0] for file in names}
        assert told == {names[0]: "    tried: /opt/first", names[1]: "    tried: /opt/last"}


@pytest.mark.parametrize(("machine", "mark"), [("x86_64", "()(64bit)"), ("i686", ""), ("aarch64", "()(64bit)")])
def test_rpm_is_asked_for_the_library_of_the_files_bits(bench: Bench, machine: str, mark: str) -> None:
    rpm_folder = bench.system.top / "var/lib/rpm"
    rpm_folder.mkdir(parents=True)
    (rpm_folder / "rpmdb.sqlite").write_bytes(b"")
    spec = replace(MACHINES[machine], needed=("libgone.so.1", "libc.so.6"))
    wheel = bench.wheel({"demo/_core.so": spec}, tags=(f"cp311-cp311-linux_{machine}",))
    hints = refused(bench, wheel, platform=f"manylinux_2_17_{machine}").hints
    assert f"`dnf install 'libgone.so.1{mark}'`" in hints[0]


# -- machines without policies -------------------------------------------------------------------------------------


def test_where_no_tag_is_better_than_the_generic_one_auto_says_so(bench: Bench) -> None:
    spec = replace(MACHINES["ppc64"], needed=("libc.so",))
    wheel = bench.wheel({"demo/_core.so": spec}, tags=("cp311-cp311-linux_ppc64",))
    error = refused(bench, wheel)
    assert error.code == "no-policy"
    assert error.context == ("such wheels can only be linux_ppc64",)
    assert error.hints == (
        "to put libraries into it and keep that tag, pass --plat linux_ppc64 and name each of them with --graft",
    )
    assert bench.repair(wheel, platform="linux_ppc64").path.name == wheel.name


def test_the_package_that_usually_has_a_missing_library_is_the_first_hint(bench: Bench) -> None:
    dpkg_package(bench.system, "bash", ["/bin/bash"])
    wheel = bench.extension(needed=("libgone-2.so.1", "libplugin.so", "libc.so.6"))
    hints = refused(bench, wheel, platform="manylinux_2_17").hints
    assert hints[0] == "on this distribution the package that has libgone-2.so.1 is usually named libgone-2-1"
    assert hints[1].startswith("install the library")
    assert len(hints) == 2


def test_a_library_that_is_there_needs_no_package(bench: Bench) -> None:
    dpkg_package(bench.system, "bash", ["/bin/bash"])
    wheel = bench.extension(needed=("libc.so.6",), undefined=(STAT,))
    hints = refused(bench, wheel, platform="manylinux_2_17").hints
    assert [hint.split()[0] for hint in hints] == ["let", "build"]
