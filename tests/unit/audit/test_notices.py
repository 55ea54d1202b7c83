from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import musl_needs, notices
from deloc8.diagnostic import Severity
from deloc8.workflow.audit import AuditOptions
from kit.elf import GLIBC, MACHINES, ElfSpec, Undefined
from kit.scene import CORE, Scene, match_of, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic

MUSL = "libc.musl-x86_64.so.1"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def told(audit: Audit) -> tuple[Diagnostic, ...]:
    return notices(audit, audit.outlook)


def test_an_ordinary_wheel_has_none(scene: Scene) -> None:
    assert told(scene.judge(wants("GLIBC_2.17", needed=("libm.so.6",)))) == ()
    assert told(scene.judge(ElfSpec(needed=(MUSL,), undefined=(Undefined("malloc"),)))) == ()


def test_foreign_files_are_told(scene: Scene) -> None:
    (notice,) = told(scene.audit({CORE: wants("GLIBC_2.5"), "demo/other.so": MACHINES["aarch64"]}))
    assert (notice.code, notice.severity, notice.subject) == ("foreign-file", Severity.WARNING, "demo/other.so")
    assert notice.message == "was not looked at and is left alone: it is for aarch64"


def test_libraries_that_a_minimal_system_lacks_are_told_once_with_who_needs_them(scene: Scene) -> None:
    needs = ElfSpec(needed=("libX11.so.6", "libGL.so.1", GLIBC))
    first, second = told(scene.audit({"demo/a.so": needs, "demo/b.so": needs}))
    assert (first.code, first.subject, first.context) == (
        "minimal-system-lacks",
        "libGL.so.1",
        ("needed by demo/a.so",),
    )
    assert second.subject == "libX11.so.6"


def test_a_library_that_is_grafted_is_not_lacking(scene: Scene) -> None:
    scene.system.library("/usr/lib/libGL.so.1", ElfSpec(soname="libGL.so.1"))
    assert told(scene.judge(ElfSpec(needed=("libGL.so.1", GLIBC)), graft=("libGL*",))) == ()


def test_versions_without_a_ceiling_are_told_once_for_each_library(scene: Scene) -> None:
    name = "libz.so.1"
    spec = ElfSpec(
        needed=(name, GLIBC),
        undefined=(
            Undefined("a", "ZLIB_NG_2.0.0", name),
            Undefined("b", "ZLIB_NG_2.1.0", name),
            Undefined("c", "ZLIB_1.2.0", name),
            Undefined("d", "WITHOUT", name),
            Undefined("e", "NG_1", "libown.so"),
        ),
    )
    (notice,) = told(scene.judge(spec))
    assert (notice.code, notice.subject) == ("version-without-ceiling", name)
    assert notice.message == "no policy says how far its versions ZLIB_NG_... may go"
    assert notice.context == (f"ZLIB_NG_2.0.0 is needed by {CORE}",)


def test_the_generic_policy_has_no_ceilings_to_miss(scene: Scene) -> None:
    spec = ElfSpec(needed=("libz.so.1", GLIBC), undefined=(Undefined("a", "ZLIB_NG_2.0.0", "libz.so.1"),))
    audit = scene.judge(spec)
    assert notices(audit, match_of(audit, "linux")) == ()


# -- musl


@pytest.mark.parametrize(
    ("symbol", "release"),
    [("gettid", (1, 2, 2)), ("qsort_r", (1, 2, 3)), ("statx", (1, 2, 5)), ("preadv2", (1, 2, 5))],
)
def test_functions_that_came_after_musl_1_2_0_are_told(scene: Scene, symbol: str, release: tuple[int, ...]) -> None:
    audit = scene.judge(ElfSpec(needed=(MUSL,), undefined=(Undefined(symbol), Undefined("malloc"))))
    assert musl_needs(audit.facts.own[0]) == {symbol: release}
    (notice,) = told(audit)
    dotted = ".".join(map(str, release))
    assert notice.code == "newer-musl"
    assert notice.message == f"needs musl {dotted}, which is more than musllinux_1_2 promises"
    assert notice.context == (f"{symbol} came with musl {dotted}",)


@pytest.mark.parametrize(
    "spec",
    [
        ElfSpec(needed=(MUSL,), undefined=(Undefined("statx", weak=True),)),
        ElfSpec(needed=(MUSL, "libfoo.so"), undefined=(Undefined("statx", "FOO_1", "libfoo.so"),)),
        ElfSpec(needed=(MUSL,), undefined=(Undefined("stat"),)),
    ],
    ids=["weak", "versioned, so of another library", "older"],
)
def test_what_needs_no_newer_musl(scene: Scene, spec: ElfSpec) -> None:
    assert musl_needs(scene.judge(spec).facts.own[0]) == {}


def test_packed_relocations_need_musl_1_2_4_or_what_is_newer_yet(scene: Scene) -> None:
    audit = scene.judge(ElfSpec(needed=(MUSL,), relr=True, undefined=(Undefined("statx"),)))
    (notice,) = told(audit)
    assert notice.message.startswith("needs musl 1.2.5,")
    assert notice.context == ("statx came with musl 1.2.5", "DT_RELR came with musl 1.2.4")


def test_a_static_program_needs_no_musl(scene: Scene) -> None:
    audit = scene.audit({CORE: ElfSpec(needed=(MUSL,)), "demo/run": ElfSpec(dynamic=False)})
    assert [musl_needs(file) for file in audit.facts.own] == [{}, {}]


# -- exclusions


@pytest.fixture
def deep(scene: Scene) -> Scene:
    """libfoo.so.1 needs libdeep.so."""
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=("libdeep.so", GLIBC)))
    scene.system.library("/usr/lib/libdeep.so", ElfSpec(soname="libdeep.so", needed=(GLIBC,)))
    return scene


NEEDS_FOO = ElfSpec(needed=("libfoo.so.1", GLIBC))


def test_a_glob_that_leaves_nothing_out_is_told(deep: Scene) -> None:
    """Line of the peers: an --exclude that matches nothing said nothing."""
    (notice,) = told(deep.judge(NEEDS_FOO, exclude=("libdeep*", "libfo.so*")))
    assert (notice.code, notice.severity, notice.subject) == ("exclude-without-match", Severity.WARNING, "libfo.so*")


def test_a_library_of_the_wheel_is_not_left_out(scene: Scene) -> None:
    audit = scene.audit(
        {CORE: replace(NEEDS_FOO, rpath="$ORIGIN"), "demo/libfoo.so.1": ElfSpec(soname="libfoo.so.1")},
        AuditOptions(exclude=("libfoo*",)),
    )
    assert [notice.code for notice in told(audit)] == ["exclude-without-match"]


def test_what_only_an_excluded_library_needs_is_told(deep: Scene) -> None:
    """Line of the peers: a dependency of an excluded library only was excluded too, silently."""
    (notice,) = told(deep.judge(NEEDS_FOO, exclude=("libfoo*",)))
    assert (notice.code, notice.subject) == ("left-out-with-excluded", "/usr/lib/libdeep.so")
    assert told(deep.judge(replace(NEEDS_FOO, needed=("libfoo.so.1", "libdeep.so", GLIBC)), exclude=("libfoo*",))) == ()


def test_where_no_better_tag_can_be_reached_a_glob_may_name_what_is_needed_indirectly(deep: Scene) -> None:
    audit = deep.judge(replace(wants("GLIBC_PRIVATE", needed=("libfoo.so.1",))), exclude=("libdeep*", "libno*"))
    assert audit.outlook.policy.name == "linux"
    assert [notice.subject for notice in told(audit)] == ["libno*"]


def test_a_library_that_minimal_systems_lack_is_grafted_with_its_project(scene: Scene) -> None:
    """A half of glib in the wheel and the other half of the system is a danger of its own."""
    audit = scene.judge(wants(needed=("libglib-2.0.so.0", "libgobject-2.0.so.0", "libnsl.so.1")))
    hints = {note.subject: note.hints[0] for note in notices(audit, audit.outlook)}
    whole = "--graft 'libglib-2.0.so.0' --graft 'libgobject-2.0.so.0'"
    assert hints["libglib-2.0.so.0"] == hints["libgobject-2.0.so.0"] == f"to put it into the wheel, pass {whole}"
    assert hints["libnsl.so.1"] == "to put it into the wheel, pass --graft 'libnsl.so.1'"
