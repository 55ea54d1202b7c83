"""`check` and `fixup` have one judge: what is wrong afterwards was told before, and nothing of it concerns a tag."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.checks.table import ERRORS_OF_TAGS
from deloc8.diagnostic import Severity
from deloc8.repair.model import Goal
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.check import check_wheel
from deloc8.workflow.repair import plan_repair
from kit.elf import GLIBC, Defined, ElfSpec, NeedSpec, Undefined
from kit.faults import FAULTS, SOUND, TAG, beside, core, files, scene_for_checks
from kit.judging import errors_of, repair_and_check
from kit.scene import CORE, wants
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.repair.model import Plan
    from kit.faults import Fault
    from kit.scene import Scene

GOALS: Mapping[str, Mapping[str, object]] = {
    "auto": {},
    "2_17 lowered": {"platform": "manylinux_2_17", "lower_glibc": True},
    "linux": {"platform": "linux"},
    "old tags": {"update_tags": False},
}
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "plain": {},
    "everything accepted": {"keep_executable_stack": True, "check_isa": False, "exclude": ("libfoo*", "libpython*")},
}
ABI3 = "cp39-abi3-manylinux_2_17_x86_64"
MORE: Mapping[str, Fault] = {
    "a graft with every fault of a file": beside(
        "demo/other.so", replace(SOUND, needed=("libbad.so.1", GLIBC), undefined=(Undefined("bad"),))
    ),
    "both faults of a file": core(replace(SOUND, relr=True, gnu_stack=7)),
    "packed and missing header": core(replace(SOUND, relr=True, gnu_stack=None)),
    "packed, with libm alone": core(ElfSpec(needed=("libm.so.6",), relr=True, gnu_stack=7)),
    "packed with a marker": core(replace(SOUND, relr=True, needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),), gnu_stack=7)),
    "several tags": core(replace(SOUND, gnu_stack=7), "cp311-cp311-manylinux_2_5_x86_64.manylinux_2_28_x86_64"),
    "no platform": core(replace(SOUND, gnu_stack=7), "py3-none-any"),
    "linux": core(replace(wants("GLIBC_2.34"), gnu_stack=7, relr=True), "cp311-cp311-linux_x86_64"),
    "a program": beside("demo/run", replace(SOUND, relr=True, gnu_stack=7, interpreter="/lib64/ld-linux-x86-64.so.2")),
    "libpython of two files": beside("demo/x.so", replace(SOUND, needed=("libpython3.11.so.1.0", GLIBC), gnu_stack=7)),
}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = scene_for_checks(tmp_path)
    bad = ElfSpec(soname="libbad.so.1", needed=(GLIBC,), defined=(Defined("bad"),), relr=True, gnu_stack=7)
    scene.system.library("/usr/lib/libbad.so.1", bad)
    return scene


def plan_of(scene: Scene, fault: Fault, **changes: object) -> Plan:
    goal = Goal(sbom=False, licences=False, **changes)  # type: ignore[arg-type]  # the caller names fields
    return plan_repair(fault(scene), goal, AuditOptions(sysroot=scene.root))


def warned(plan: Plan) -> list[tuple[str, str]]:
    return [(note.code, note.subject) for note in plan.notes if note.severity is Severity.WARNING]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("fault", [*FAULTS, *MORE])
def test_of_what_fixup_wrote_check_finds_nothing_that_was_not_told(
    scene: Scene, fault: str, goal: str, options: str
) -> None:
    wheel = {**FAULTS, **MORE}[fault](scene)
    aim = Goal(sbom=False, licences=False, **GOALS[goal])  # type: ignore[arg-type]  # its fields
    settings = AuditOptions(sysroot=scene.root, **OPTIONS[options])  # type: ignore[arg-type]  # the same
    repair_and_check(wheel, scene.folder / "out", aim, settings)


@pytest.mark.parametrize("fault", MORE)
def test_wheels_with_faults_of_files_are_repaired(scene: Scene, fault: str) -> None:
    """Else the property above would hold for nothing."""
    wheel = MORE[fault](scene)
    settings = AuditOptions(sysroot=scene.root)
    assert check_wheel(wheel, settings)
    assert repair_and_check(wheel, scene.folder / "out", options=settings) is not None


@pytest.mark.parametrize(
    "code",
    ["metadata-mismatch", "suffix-python", "suffix-machine", "suffix-libc", "outside-stable-abi", "stable-abi-too-new"],
)
@pytest.mark.parametrize("old_tags", [False, True])
def test_errors_that_no_repair_mends_are_repeated_as_warnings(scene: Scene, code: str, *, old_tags: bool) -> None:
    wheel = FAULTS[code](scene)
    (found,) = errors_of(wheel, AuditOptions(sysroot=scene.root))
    plan = plan_of(scene, lambda _: wheel, update_tags=not old_tags)
    assert warned(plan) == [found]


def test_metadata_that_cannot_be_read_is_repeated_too(scene: Scene) -> None:
    plan = plan_of(scene, FAULTS["bad-metadata"])
    assert warned(plan) == [("bad-metadata", "demo-1.0.dist-info/METADATA")]


def test_a_sound_wheel_has_no_warning(scene: Scene) -> None:
    assert warned(plan_of(scene, core(SOUND))) == []
    assert warned(plan_of(scene, core(SOUND, ABI3, "demo/_core.abi3.so"))) == []


# -- libpython


def test_libpython_goes_where_a_tag_promises_something(scene: Scene) -> None:
    assert warned(plan_of(scene, FAULTS["libpython-needed"])) == []


def test_libpython_stays_where_nothing_is_promised_and_that_is_told(scene: Scene) -> None:
    plan = plan_of(scene, MORE["libpython of two files"], platform="linux")
    assert warned(plan) == [("executable-stack-cleared", "demo/x.so"), ("libpython-needed", "demo/x.so")]


def test_under_a_tag_that_promises_nothing_it_is_told_too(scene: Scene) -> None:
    plan = plan_of(scene, retagged(FAULTS["libpython-needed"], "linux_x86_64"), platform="linux")
    assert warned(plan) == [("libpython-needed", CORE)]


# -- show and check


def retagged(fault: Fault, platform: str) -> Fault:
    """The same files under another platform tag."""

    def build(scene: Scene) -> Path:
        old = fault(scene)
        with zipfile.ZipFile(old) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
        python, abi, _ = old.stem.split("-")[2:]
        folder = scene.folder / "retagged"
        folder.mkdir()
        return build_wheel(folder, members, tags=(f"{python}-{abi}-{platform}",))

    return build


# Names that other checks give to a violation.
OTHERWISE = {
    "library-not-found": "library-not-allowed",
    "executed-stack": "executable-stack",
    "symbol-too-new": "symbol-too-new or marker-too-new",
    "marker-too-new": "symbol-too-new or marker-too-new",
}
PLATFORMS = ("linux_x86_64", "manylinux_2_17_x86_64", "manylinux_2_39_x86_64", "linux_x86_64.manylinux_2_28_x86_64")
OF_FILES = ERRORS_OF_TAGS - {"false-tag", "tags-differ"}
LIBPYTHON = replace(SOUND, needed=("libpython3.11.so.1.0", GLIBC), runpath="$ORIGIN/../demo.libs")
JUDGED: Mapping[str, Fault] = {
    **{code: FAULTS[code] for code in FAULTS if code in OF_FILES},
    **MORE,
    "libpython inside": beside(
        "demo/other.so", LIBPYTHON, ("demo.libs/libpython3.11.so.1.0", ElfSpec(soname="libpython3.11.so.1.0"))
    ),
    "sound": core(SOUND),
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("fault", JUDGED)
def test_check_has_an_error_of_a_tag_where_show_denies_it(
    scene: Scene, fault: str, platform: str, options: str
) -> None:
    wheel = retagged(JUDGED[fault], platform)(scene)
    settings = AuditOptions(sysroot=scene.root, **OPTIONS[options])  # type: ignore[arg-type]  # its fields
    audit = audit_wheel(wheel, settings)
    own = {file.label for file in audit.facts.own}
    rows = {(row.code.value, row.file) for claim in audit.false_claims for row in claim.violations}
    denied = {OTHERWISE.get(code, code) for code, file in rows if file in own}
    found = {OTHERWISE.get(code, code) for code, _ in errors_of(wheel, settings) if code in OF_FILES}
    assert found == denied
    assert bool(audit.false_claims) is bool(rows)


# -- tags that stay


def test_tags_that_stay_are_told_where_they_are_not_true(scene: Scene) -> None:
    plan = plan_of(scene, FAULTS["symbol-too-new"], update_tags=False)
    assert warned(plan) == [("symbol-too-new", CORE)]
    plan = plan_of(scene, FAULTS["false-tag"], platform="manylinux_2_17", update_tags=False)
    assert warned(plan) == [("false-tag", "manylinux_2_17_aarch64")]
    plan = plan_of(scene, FAULTS["tags-differ"], update_tags=False)
    assert warned(plan) == [("tags-differ", "WHEEL")]


def test_tags_that_stay_and_come_true_are_not_told(scene: Scene) -> None:
    assert warned(plan_of(scene, FAULTS["library-not-allowed"], update_tags=False)) == []
    plan = plan_of(scene, MORE["several tags"], update_tags=False)
    assert [code for code, _ in warned(plan)] == ["executable-stack-cleared", "symbol-too-new"]
    plan = plan_of(scene, FAULTS["relr-without-marker"], platform="manylinux_2_17", lower_glibc=True, update_tags=False)
    assert warned(plan) == []


def test_what_two_tags_are_denied_for_is_told_once(scene: Scene) -> None:
    both = core(wants("GLIBC_2.34"), "cp311-cp311-manylinux_2_17_x86_64.manylinux_2_5_x86_64")
    assert warned(plan_of(scene, both, update_tags=False)) == [("symbol-too-new", CORE)]


def test_another_policy_may_want_more_inside(scene: Scene) -> None:
    """For `linux` every library is the system's; the tag that stays does not take this one from it."""
    plan = plan_of(scene, FAULTS["library-not-allowed"], platform="linux", update_tags=False)
    assert warned(plan) == [("library-not-allowed", CORE)]


def test_a_wheel_without_compiled_files_for_checks(scene: Scene) -> None:
    data = files({"demo/data.bin": b"x"}, tags=(TAG,))
    assert warned(plan_of(scene, data)) == []
