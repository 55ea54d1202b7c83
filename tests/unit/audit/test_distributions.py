from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.distributions import KINS, Compatibility, compatibility, needs_of, releases
from kit.elf import GLIBC, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, match_of, wants

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deloc8.audit.verdict import Audit

MUSL = "libc.musl-x86_64.so.1"
CXX = "libstdc++.so.6"
ANDROID_NOTE = NoteSpec("Android", 1, b"\x18\0\0\0")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def cxx(*versions: str, **options: object) -> ElfSpec:
    """A file that uses a symbol of the C++ runtime for each version."""
    undefined = tuple(Undefined(f"cxx{number}", version, CXX) for number, version in enumerate(versions))
    return ElfSpec(needed=(CXX, GLIBC), undefined=undefined, **options)  # type: ignore[arg-type]


def running(found: Compatibility, distro: str) -> list[str]:
    return [row.release.version for row in found.standings if row.runs and row.release.distro == distro]


def line(found: Compatibility, title: str) -> tuple[str | None, str | None]:
    """From which release on a wheel runs, and the last before it."""
    (row,) = (row for row in found.kins if row.kin.title == title)
    return row.since, row.before.version if row.before else None


# -- the table


def test_the_figures_are_those_that_the_policies_were_made_from() -> None:
    """manylinux_2_28 is AlmaLinux 8 and manylinux_2_34 AlmaLinux 9; manylinux2014 is CentOS 7 (PEP 599)."""
    known = {release.name: release for release in releases()}
    assert known["AlmaLinux 8"].offers == {"GLIBC": "2.28", "GLIBCXX": "3.4.25", "CXXABI": "1.3.11", "GCC": "7.0.0"}
    assert known["AlmaLinux 9"].offers["GLIBC"] == "2.34"
    assert known["CentOS 7"].offers["GLIBCXX"] == "3.4.19"
    assert known["Alpine 3.21"].offers == {"musl": "1.2.5"}
    assert (known["Debian 11"].relr, known["Debian 12"].relr, known["RHEL 6"].relr) == (False, True, None)
    assert (known["Oracle Linux 10"].eol, known["Gentoo rolling"].offers["GLIBC"]) == (None, "2.41")


def test_every_date_is_one_and_every_family_has_releases() -> None:
    for release in releases():
        for day in filter(None, (release.eol, release.extended_eol)):
            date.fromisoformat(day)
    distros = {release.distro for release in releases()}
    assert all(set(kin.distros) <= distros and set(kin.alike) <= set(kin.distros) for kin in KINS)
    assert len({release.name for release in releases()}) == len(releases())


def test_the_main_line_of_ubuntu_is_what_is_supported_for_long() -> None:
    """https://ubuntu.com/about/release-cycle: every second April."""
    main = [release.version for release in releases() if release.distro == "Ubuntu" and release.is_main]
    assert main == ["12.04", "14.04", "16.04", "18.04", "20.04", "22.04", "24.04", "26.04"]
    assert not any(release.is_main for release in releases() if "testing" in release.version)


# -- what is needed of glibc


@pytest.mark.parametrize(
    ("version", "since", "before"),
    [("GLIBC_2.5", "7", None), ("GLIBC_2.31", "11", "10"), ("GLIBC_2.34", "12", "11"), ("GLIBC_2.41", "13", "12")],
)
def test_debians_by_glibc(scene: Scene, version: str, since: str, before: str | None) -> None:
    """Debian 10 has 2.28, 11 has 2.31, 12 has 2.36 and 13 has 2.41 (their release notes)."""
    assert line(compatibility(scene.judge(wants("GLIBC_2.2.5", version))), "Debian") == (since, before)


def test_the_most_that_is_needed_is_told_with_the_file_that_needs_it(scene: Scene) -> None:
    found = compatibility(scene.audit({"demo/a.so": wants("GLIBC_2.28"), CORE: wants("GLIBC_2.14", "GLIBC_2.29")}))
    (row,) = (row for row in found.kins if row.kin.title == "RHEL")
    assert (row.since, row.before and row.before.name) == ("9", "RHEL 8")
    assert str(row.lacks) == "use1@GLIBC_2.29 from libc.so.6, used by demo/_core.so"
    assert found.tag is None


def test_grafts_count_where_a_repair_brings_the_wheel_further(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.34", soname="libfoo.so.1"))
    found = compatibility(scene.judge(wants("GLIBC_2.5", needed=("libfoo.so.1",))))
    assert found.tag == "manylinux_2_34_x86_64"
    assert line(found, "Debian") == ("12", "11")
    (row,) = (row for row in found.kins if row.kin.title == "Debian")
    assert row.lacks is not None
    assert row.lacks.chain == (CORE, "libfoo.so.1")


def test_what_travels_in_the_wheel_does_not_count(scene: Scene) -> None:
    core = ElfSpec(needed=("libown.so.1", GLIBC), undefined=(Undefined("f", "GCC_99.0", "libown.so.1"),))
    own = ElfSpec(soname="libown.so.1", needed=(GLIBC,))
    audit = scene.audit({CORE: core, "demo/libown.so.1": own})
    assert needs_of(audit, match_of(audit, "manylinux_2_17")) == ()


def test_a_version_that_no_release_promises_runs_nowhere(scene: Scene) -> None:
    found = compatibility(scene.judge(wants("GLIBC_PRIVATE", "GLIBC_2.99")))
    assert not any(row.runs for row in found.standings)
    assert {row.lacks and row.lacks.subject for row in found.standings} == {"use0@GLIBC_PRIVATE"}
    assert line(found, "Debian") == (None, "13")


def test_a_marker_without_a_number_stands_for_the_glibc_that_has_it(scene: Scene) -> None:
    assert line(compatibility(scene.judge(wants("GLIBC_ABI_GNU2_TLS"))), "Fedora") == ("44", "43")


@pytest.mark.parametrize("spec", [wants("GLIBC_2.2.5", "GLIBC_ABI_DT_RELR"), wants("GLIBC_2.2.5", relr=(0x2000,))])
def test_packed_relocations_need_a_loader_that_takes_them(scene: Scene, spec: ElfSpec) -> None:
    """Ubuntu 22.04 has glibc 2.35, and DT_RELR came with 2.36."""
    found = compatibility(scene.judge(spec))
    assert line(found, "Ubuntu") == ("24.04", "22.04")
    (row,) = (row for row in found.standings if row.release.name == "RHEL 6")
    assert row.runs is None


# -- what is needed of the C++ runtime


def test_the_cpp_runtime_counts_beside_libc(scene: Scene) -> None:
    """gcc 11 brought GLIBCXX_3.4.29; Debian 11 has gcc 10."""
    found = compatibility(scene.judge(cxx("GLIBCXX_3.4.29", "CXXABI_FLOAT128", "CXXABI_1.3")))
    assert line(found, "Debian") == ("12", "11")
    assert line(found, "openSUSE Leap") == ("15.3", "15.2")


def test_a_runtime_that_was_not_measured_is_not_claimed(scene: Scene) -> None:
    found = compatibility(scene.judge(cxx("GLIBCXX_3.4.5")))
    (row,) = (row for row in found.kins if row.kin.title == "SLES")
    assert (row.since, row.before and row.before.version, row.doubtful) == (None, "16.0", True)
    (standing,) = (row for row in found.standings if row.release.name == "SLES 16.0")
    assert (standing.runs, standing.lacks and standing.lacks.what) == (None, "GLIBCXX")


def test_what_is_known_to_lack_counts_before_what_may(scene: Scene) -> None:
    both = ElfSpec(
        needed=(CXX, GLIBC), undefined=(Undefined("a", "GLIBC_2.38", GLIBC), Undefined("b", "GLIBCXX_3.4", CXX))
    )
    (standing,) = (row for row in compatibility(scene.judge(both)).standings if row.release.name == "SLES 12.0")
    assert (standing.runs, standing.lacks and standing.lacks.subject) == (False, "a@GLIBC_2.38")


def test_one_number_of_a_kin_stands_and_falls_together(scene: Scene) -> None:
    """The C++ runtime of RHEL 6 was not measured, that of CentOS 6 was."""
    found = compatibility(scene.judge(cxx("CXXABI_1.3")))
    assert running(found, "CentOS")[0] == "6"
    assert line(found, "RHEL") == ("7", "6")


# -- musl, and what has no distributions


def musl(*names: str) -> ElfSpec:
    return ElfSpec(needed=(MUSL,), undefined=tuple(Undefined(name) for name in names))


@pytest.mark.parametrize(
    ("names", "since", "before"), [((), "3.13", "3.12"), (("qsort_r",), "3.16", "3.15"), (("statx",), "3.20", "3.19")]
)
def test_alpines_by_musl(scene: Scene, names: Sequence[str], since: str, before: str) -> None:
    found = compatibility(scene.judge(musl("malloc", *names), tag="musllinux_1_2_x86_64"))
    assert [row.kin.title for row in found.kins] == ["Alpine"]
    assert line(found, "Alpine") == (since, before)


def test_musl_1_1_is_believed_where_the_wheel_claims_it(scene: Scene) -> None:
    found = compatibility(scene.judge(musl("malloc"), tag="musllinux_1_1_x86_64"))
    assert line(found, "Alpine") == ("3.12", None)


def test_musl_where_no_policy_is_kept(scene: Scene) -> None:
    found = compatibility(scene.judge(ElfSpec(needed=("libno.so.1", MUSL)), tag="linux_x86_64"))
    assert line(found, "Alpine") == ("3.13", "3.12")


def test_android_has_no_distributions(scene: Scene) -> None:
    audit: Audit = scene.judge(ElfSpec(needed=("libc.so",), notes=(ANDROID_NOTE,)), tag="android_24_x86_64")
    assert compatibility(audit).standings == ()


# -- what pip takes, and what its loader refuses


def test_a_repaired_wheel_runs_only_where_pip_takes_its_tag(scene: Scene) -> None:
    """Whatever asks for the tag, its C++ runtime or packed relocations: glibc 2.34 has a pip that refuses 2_35."""
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.5", soname="libfoo.so.1"))
    audit = scene.judge(wants("GLIBC_2.5", needed=("libfoo.so.1",), relr=True))
    found = compatibility(audit)
    assert found.tag == "manylinux_2_36_x86_64"
    lacking = {row.release.name: row.lacks for row in found.standings}
    for row in found.standings:
        offered = tuple(map(int, row.release.offers["GLIBC"].split(".")))
        assert row.runs is not True or offered >= (2, 36), row.release.name
    assert lacking["Debian 12"] is None


def test_a_wheel_as_it_stands_runs_only_where_pip_takes_one_of_its_tags(scene: Scene) -> None:
    found = compatibility(scene.judge(wants("GLIBC_2.5"), tag="manylinux_2_35_x86_64"))
    assert (found.tag, line(found, "Debian"), line(found, "Amazon Linux")) == (None, ("12", "11"), (None, "2023"))
    (row,) = (row for row in found.kins if row.kin.title == "Amazon Linux")
    assert str(row.lacks) == "manylinux_2_35_x86_64 (pip takes it from glibc 2.35 on)"
    both = compatibility(scene.judge(wants("GLIBC_2.5"), tag="manylinux_2_35_x86_64.manylinux_2_27_x86_64"))
    assert line(both, "Amazon Linux") == ("2023", "2")
    local = compatibility(scene.judge(wants("GLIBC_2.5"), tag="linux_x86_64"))
    assert line(local, "Amazon Linux") == ("1 (2018.03)", None)


@pytest.mark.parametrize("tag", ["win_amd64", "manylinux_2_17_aarch64"])
def test_a_wheel_with_the_tags_of_others_runs_nowhere(scene: Scene, tag: str) -> None:
    found = compatibility(scene.judge(wants("GLIBC_2.5"), tag=tag))
    assert not any(row.runs for row in found.standings)
    assert {str(row.lacks) for row in found.standings} == {f"{tag} (pip takes no such tag there)"}


def test_what_the_loader_lacks_is_told_before_what_pip_refuses(scene: Scene) -> None:
    found = compatibility(scene.judge(wants("GLIBC_2.35"), tag="manylinux_2_35_x86_64"))
    assert {row.lacks.subject for row in found.standings if row.lacks} == {"use0@GLIBC_2.35"}


def test_musl_wheels_by_the_series_of_their_tag(scene: Scene) -> None:
    found = compatibility(scene.judge(ElfSpec(needed=(MUSL,)), tag="musllinux_1_3_x86_64"))
    assert not any(row.runs for row in found.standings)
    assert {row.lacks and row.lacks.what for row in found.standings} == {"musl", "tag"}


def test_an_executable_stack_that_stays_ends_with_glibc_2_41(scene: Scene) -> None:
    cleared = compatibility(scene.judge(wants("GLIBC_2.5", gnu_stack=7)))
    assert (cleared.tag, line(cleared, "Debian")) == ("manylinux_2_5_x86_64", ("7", None))
    kept = compatibility(scene.judge(wants("GLIBC_2.5", gnu_stack=7), keep_executable_stack=True))
    assert "12" in running(kept, "Debian")
    assert "13" not in running(kept, "Debian")
    (row,) = (row for row in kept.kins if row.kin.title == "Debian")
    assert str(row.lacks) == "an executable stack (refused from glibc 2.41 on), used by demo/_core.so"
    hopeless = compatibility(scene.judge(wants("GLIBC_2.5", gnu_stack=None, needed=("libno.so",))))
    assert hopeless.tag is None
    assert "13" not in running(hopeless, "Debian")
