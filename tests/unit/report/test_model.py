from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import RemoveRpath, ReplaceNeeded, RpathKind, SetRpath
from deloc8.report.model import (
    GraftGroup,
    barriers,
    edit_fields,
    external_libraries,
    graft_groups,
    libraries_to_graft,
    reachable_tag,
    versioned_symbols,
)
from kit.elf import DT_AUXILIARY, GLIBC, MACHINES, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, match_of, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

LOADER = "ld-linux-x86-64.so.2"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_versions_stand_by_library_and_are_sorted_as_versions(scene: Scene) -> None:
    core = ElfSpec(
        needed=(GLIBC, "libm.so.6", LOADER),
        undefined=(
            Undefined("a", "GLIBC_2.14", GLIBC),
            Undefined("b", "GLIBC_2.2.5", GLIBC),
            Undefined("c", "GLIBC_2.29", "libm.so.6"),
            Undefined("__tls_get_addr", "GLIBC_2.3", LOADER),
        ),
    )
    audit = scene.audit({CORE: core, "demo/other.so": wants("GLIBC_2.9", "GLIBC_2.14")})
    found = versioned_symbols(audit)
    assert list(found.items()) == [
        ("libc.so.6", ("GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.14")),
        ("libm.so.6", ("GLIBC_2.29",)),
    ]


def test_versions_of_libraries_inside_the_wheel_are_not_external(scene: Scene) -> None:
    core = ElfSpec(needed=("libown.so",), rpath="$ORIGIN", undefined=(Undefined("x", "OWN_1", "libown.so"),))
    audit = scene.audit({CORE: core, "demo/libown.so": wants("GLIBC_2.5", soname="libown.so")})
    assert versioned_symbols(audit) == {"libc.so.6": ("GLIBC_2.5",)}


def test_an_optional_library_that_is_missing_is_not_external(scene: Scene) -> None:
    scene.system.library("/usr/lib/libone.so", ElfSpec(soname="libone.so"))
    core = ElfSpec(needed=(GLIBC,), links=((DT_AUXILIARY, "libone.so"), (DT_AUXILIARY, "libno.so")))
    assert external_libraries(scene.judge(core)) == {
        "libc.so.6": "/usr/lib/libc.so.6",
        "libone.so": "/usr/lib/libone.so",
    }


def test_external_libraries_are_those_outside_the_wheel_found_or_not(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1.2", ElfSpec(soname="libfoo.so.1", needed=("libdeep.so", GLIBC)))
    scene.system.symlink("/usr/lib/libfoo.so.1", "libfoo.so.1.2")
    scene.system.library("/usr/lib/libdeep.so", ElfSpec(soname="libdeep.so", needed=("libno.so", LOADER)))
    core = ElfSpec(needed=("libown.so", "libfoo.so.1", GLIBC, LOADER), rpath="$ORIGIN")
    audit = scene.audit({CORE: core, "demo/libown.so": ElfSpec(soname="libown.so")})
    assert list(external_libraries(audit).items()) == [
        ("libc.so.6", "/usr/lib/libc.so.6"),
        ("libdeep.so", "/usr/lib/libdeep.so"),
        ("libfoo.so.1", "/usr/lib/libfoo.so.1.2"),
        ("libno.so", None),
    ]


def test_what_a_library_of_the_system_needs_is_the_systems_affair(scene: Scene) -> None:
    scene.system.library("/usr/lib/libX11.so.6", ElfSpec(soname="libX11.so.6", needed=("libxcb.so.1",)))
    audit = scene.judge(ElfSpec(needed=("libX11.so.6", GLIBC)))
    assert set(external_libraries(audit)) == {"libX11.so.6", "libc.so.6"}


def test_external_libraries_are_shown_where_symbols_limit_the_tag(scene: Scene) -> None:
    """Line of the peers: show hid the external libraries when symbols limit the tag."""
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1"))
    audit = scene.judge(wants("GLIBC_PRIVATE", needed=("libfoo.so.1",)))
    assert external_libraries(audit)["libfoo.so.1"] == "/usr/lib/libfoo.so.1"


def test_external_libraries_without_any_policy_but_the_generic_one(scene: Scene) -> None:
    note = NoteSpec("Android", 1, b"\x18\0\0\0")
    audit = scene.audit(
        {CORE: replace(MACHINES["s390x"], needed=("libc.so", "libfoo.so"), notes=(note,))},
        tags=("cp311-cp311-linux_s390x",),
    )
    assert external_libraries(audit) == {"libc.so": None, "libfoo.so": None}


def test_libraries_to_graft_are_named_whether_they_are_found_or_not(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1"))
    audit = scene.judge(
        ElfSpec(needed=("libno.so", "libfoo.so.1", "libz.so.1", "libex.so", GLIBC)), exclude=("libex*",)
    )
    assert libraries_to_graft(match_of(audit, "manylinux_2_17")) == ("libfoo.so.1", "libno.so")
    assert libraries_to_graft(match_of(audit, "linux_pybe1_core")) == ("libfoo.so.1", "libno.so", "libz.so.1")
    assert libraries_to_graft(match_of(audit, "linux")) == ()


def test_tags_that_ask_for_the_same_libraries_stand_together(scene: Scene) -> None:
    """Line of the peers: show printed the same list for 16 policies."""
    audit = scene.judge(ElfSpec(needed=("libfoo.so.1", "libexpat.so.1", GLIBC)))
    nearest, oldest = graft_groups(audit)
    assert nearest.libraries == ("libfoo.so.1",)
    assert nearest.tags[0] == "manylinux_2_41_x86_64"
    assert len(nearest.tags) == 15
    assert oldest == GraftGroup(
        tags=("manylinux_2_5_x86_64", "linux_pybe1_core_x86_64"), libraries=("libexpat.so.1", "libfoo.so.1")
    )


def test_a_wheel_that_fits_everything_needs_no_grafts_and_meets_no_barrier(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.2.5"))
    assert graft_groups(audit) == ()
    assert barriers(audit) == ()


def test_each_barrier_tells_what_is_new_beside_the_nearer_one(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.14", "GLIBC_2.27", "GLIBC_2.9"))
    assert graft_groups(audit) == ()
    found = [(barrier.tags, barrier.after, [use.texts for use in barrier.uses]) for barrier in barriers(audit)]
    assert found == [
        (
            ("manylinux_2_26_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64"),
            None,
            [("needs use1@GLIBC_2.27 from libc.so.6",)],
        ),
        (("manylinux_2_12_x86_64",), "manylinux_2_26_x86_64", [("needs use0@GLIBC_2.14 from libc.so.6",)]),
        (
            ("manylinux_2_5_x86_64", "linux_pybe1_core_x86_64"),
            "manylinux_2_12_x86_64",
            [("needs use2@GLIBC_2.9 from libc.so.6",)],
        ),
    ]


def test_files_nearest_to_the_wheel_come_first(scene: Scene) -> None:
    scene.system.library("/usr/lib/liba.so", wants("GLIBC_2.27", soname="liba.so"))
    audit = scene.audit(
        {"demo/b.so": wants("GLIBC_2.27", needed=("liba.so",)), "demo/a.so": wants("GLIBC_2.27", "GLIBC_2.26")}
    )
    chains = [use.chain for use in barriers(audit)[0].uses]
    assert chains == [("demo/a.so",), ("demo/b.so",), ("demo/b.so", "liba.so")]


def test_a_barrier_of_several_policies_names_none_of_them(scene: Scene) -> None:
    isa = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))
    spec = ElfSpec(needed=("libz.so.1", GLIBC), undefined=(Undefined("zcalloc"),), notes=(isa,))
    first = barriers(scene.judge(spec))[0]
    assert first.uses[0].texts == (
        "needs a processor of level x86-64-v3; the policy promises the x86-64 baseline only",
        "uses `zcalloc` of libz.so.1, which the policy forbids",
    )


def reachable(audit: Audit) -> tuple[str, str | None]:
    return audit.best.policy.name, reachable_tag(audit)


def test_the_tag_that_can_be_reached(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.27", soname="libfoo.so.1"))
    assert reachable(scene.judge(wants("GLIBC_2.14"))) == ("manylinux_2_17", "manylinux_2_17_x86_64")
    assert reachable(scene.judge(wants("GLIBC_2.14", needed=("libfoo.so.1",)))) == ("linux", "manylinux_2_27_x86_64")
    assert reachable(scene.judge(wants("GLIBC_PRIVATE"))) == ("linux", None)


@pytest.mark.parametrize(
    ("edit", "kind", "fields"),
    [
        (RemoveRpath(), "remove-rpath", {}),
        (ReplaceNeeded(old="liba.so", new="libb.so"), "replace-needed", {"old": "liba.so", "new": "libb.so"}),
        (SetRpath(path="$ORIGIN", kind=RpathKind.RUNPATH), "set-rpath", {"path": "$ORIGIN", "kind": "runpath"}),
    ],
)
def test_an_edit_is_a_kind_and_fields(
    edit: RemoveRpath | ReplaceNeeded | SetRpath, kind: str, fields: dict[str, str]
) -> None:
    assert edit_fields(edit) == (kind, fields)
