"""Levels of processors: the folders below `glibc-hwcaps`, and what they change in the verdict."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import notices
from deloc8.audit.violations import ViolationCode, describe
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.elf import GLIBC, MACHINES, Defined, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

TAG = "cp311-cp311-manylinux_2_17_x86_64"
BASE = "demo/lib/libk.so"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def isa(level: int) -> tuple[NoteSpec, ...]:
    """The note of a file that needs a level of x86-64."""
    return (NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 2**level - 1, 0)),)


def folder(level: int | str) -> str:
    return f"demo/lib/glibc-hwcaps/x86-64-v{level}/libk.so"


K = ElfSpec(soname="libk.so", needed=(GLIBC,), defined=(Defined("k"),))
USER = wants("GLIBC_2.14", needed=("libk.so",), runpath="$ORIGIN/lib")


def excess(audit: Audit) -> set[tuple[str, tuple[str, ...]]]:
    """The files that need too new a processor, with what is said of each."""
    rows = [row for match in audit.matches for row in match.violations if row.code is ViolationCode.ISA_LEVEL]
    return {(row.file, describe([replace(row, policy="the policy")])) for row in rows}


def test_a_file_in_the_folder_of_its_level_blocks_no_policy(scene: Scene) -> None:
    members = {CORE: USER, BASE: K, **{folder(level): replace(K, notes=isa(level)) for level in (2, 3, 4)}}
    audit = scene.audit(members, tags=(TAG,))
    assert excess(audit) == set()
    assert [claim.truth.value for claim in audit.claims] == ["true"]
    found = check_wheel(scene.wheel(members, tags=(TAG,)), AuditOptions(sysroot=scene.root))
    assert [row.code for row in found] == ["unused-library"]


def test_a_file_that_needs_less_than_its_folder_promises_is_right(scene: Scene) -> None:
    assert excess(scene.audit({CORE: USER, BASE: K, folder(4): replace(K, notes=isa(2))})) == set()


@pytest.mark.parametrize(("level", "needed"), [(2, 3), (2, 4), (3, 4)])
def test_a_file_that_needs_more_than_its_folder_promises_is_refused(scene: Scene, level: int, needed: int) -> None:
    audit = scene.audit({CORE: USER, BASE: K, folder(level): replace(K, notes=isa(needed))})
    text = f"needs a processor of level x86-64-v{needed}; the policy promises x86-64-v{level} in that folder only"
    assert excess(audit) == {(folder(level), (text,))}


@pytest.mark.parametrize("name", ["5", "1", "3x"])
def test_a_folder_of_no_level_promises_nothing(scene: Scene, name: str) -> None:
    audit = scene.audit({CORE: USER, BASE: K, folder(name): replace(K, notes=isa(3))})
    assert {file for file, _ in excess(audit)} == {folder(name)}


def test_a_search_path_into_the_folder_leads_every_processor_there(scene: Scene) -> None:
    user = replace(USER, runpath="$ORIGIN/lib/glibc-hwcaps/x86-64-v3")
    audit = scene.audit({CORE: user, BASE: K, folder(3): replace(K, notes=isa(3))})
    text = "needs a processor of level x86-64-v3; the policy promises the x86-64 baseline only"
    assert excess(audit) == {(folder(3), (text,))}


def test_a_variant_may_need_another_one_of_its_level(scene: Scene) -> None:
    members = {
        CORE: USER,
        BASE: K,
        folder(3): replace(K, notes=isa(3), needed=("libdeep.so", GLIBC), runpath="$ORIGIN"),
        "demo/lib/glibc-hwcaps/x86-64-v3/libdeep.so": ElfSpec(soname="libdeep.so", notes=isa(3)),
        "demo/lib/libdeep.so": ElfSpec(soname="libdeep.so"),
    }
    assert excess(scene.audit(members)) == set()
    lower = {**members, folder(2): members[folder(3)]}
    lower[folder(2)] = replace(K, needed=("libdeep.so",), runpath="$ORIGIN/../x86-64-v3")
    ((file, _),) = excess(scene.audit(lower))
    assert file == "demo/lib/glibc-hwcaps/x86-64-v3/libdeep.so"


def test_a_graft_for_one_level_counts_on_that_level(scene: Scene) -> None:
    scene.system.library("/opt/libfast.so", ElfSpec(soname="libfast.so", notes=isa(3)))
    fast = replace(K, notes=isa(3), needed=("libfast.so", GLIBC), runpath="/opt")
    assert excess(scene.audit({CORE: USER, BASE: K, folder(3): fast})) == set()
    slow = replace(K, needed=("libfast.so", GLIBC), runpath="/opt")
    assert {file for file, _ in excess(scene.audit({CORE: USER, BASE: slow, folder(3): fast}))} == {"/opt/libfast.so"}


def test_folders_of_single_features_promise_what_such_processors_have(scene: Scene) -> None:
    members = {CORE: USER, BASE: K, "demo/lib/haswell/libk.so": replace(K, notes=isa(3))}
    assert excess(scene.audit(members)) == set()
    del members[BASE]
    assert {file for file, _ in excess(scene.audit(members))} == {"demo/lib/haswell/libk.so"}


@pytest.mark.parametrize(("machine", "level"), [("ppc64le", "power9"), ("s390x", "z14")])
def test_variants_on_other_machines_are_no_copies(scene: Scene, machine: str, level: str) -> None:
    needs_libc = replace(MACHINES[machine], needed=(GLIBC,))
    k = replace(needs_libc, soname="libk.so")
    user = replace(needs_libc, needed=("libk.so", GLIBC), runpath="$ORIGIN/lib")
    members = {CORE: user, BASE: k, f"demo/lib/glibc-hwcaps/{level}/libk.so": k}
    tag = f"cp311-cp311-manylinux_2_17_{machine}"
    found = check_wheel(scene.wheel(members, tags=(tag,)), AuditOptions(sysroot=scene.root))
    assert "duplicate-library" not in [row.code for row in found]


def test_two_copies_in_one_folder_are_copies(scene: Scene) -> None:
    more = {folder(3): K, "demo/lib/glibc-hwcaps/x86-64-v3/libk.so.1": K, "demo/lib/libk.so.1": K}
    found = check_wheel(scene.wheel({CORE: USER, BASE: K, **more}, tags=(TAG,)), AuditOptions(sysroot=scene.root))
    assert sorted(row.subject for row in found if row.code == "duplicate-library") == [folder(3), BASE]


def test_a_variant_alone_is_told_and_is_not_found(scene: Scene) -> None:
    audit = scene.audit({CORE: USER, folder(3): replace(K, notes=isa(3))})
    (notice,) = [row for row in notices(audit, audit.outlook) if row.code == "no-baseline-library"]
    assert notice.subject == folder(3)
    missing = ViolationCode.LIBRARY_NOT_FOUND
    assert "libk.so" in {row.library for match in audit.matches for row in match.violations if row.code is missing}


def test_a_base_in_another_folder_of_the_search_path_will_do(scene: Scene) -> None:
    user = replace(USER, runpath="$ORIGIN/fast:$ORIGIN/lib")
    fast = "demo/fast/glibc-hwcaps/x86-64-v3/libk.so"
    audit = scene.audit({CORE: user, BASE: K, fast: replace(K, notes=isa(3))})
    assert [row.code for row in notices(audit, audit.outlook)] == []
    assert excess(audit) == set()


def test_what_a_variant_finds_by_the_path_of_its_loader_is_found(scene: Scene) -> None:
    scene.system.library("/opt/libm2.so", ElfSpec(soname="libm2.so"))
    user = wants("GLIBC_2.14", needed=("libk.so",), rpath="$ORIGIN/lib:/opt")
    fast = replace(K, needed=("libm2.so", GLIBC), notes=isa(3))
    audit = scene.audit({CORE: user, BASE: K, folder(3): fast})
    (file,) = (file for file in audit.facts.own if file.label == folder(3))
    assert [row.target for row in audit.facts.dependencies[file.path]] == ["/opt/libm2.so", "/usr/lib/libc.so.6"]
    # The module itself is led to the library for all processors.
    (core,) = (file for file in audit.facts.own if file.label == CORE)
    assert audit.facts.dependencies[core.path][0].target.endswith(BASE)  # type: ignore[union-attr]


def test_a_variant_uses_the_symbols_that_its_base_may_use(scene: Scene) -> None:

    scene.system.library("/usr/lib/libc.so.6", ElfSpec(soname=GLIBC, defined=(Defined("use0", "GLIBC_2.14"),)))
    user = replace(USER, defined=(Defined("given_by_the_module"),))
    user = replace(user, undefined=(*user.undefined, Undefined("k")))
    k = replace(K, undefined=(Undefined("given_by_the_module"),))
    members = {CORE: user, BASE: k, folder(3): replace(k, notes=isa(3))}
    found = check_wheel(scene.wheel(members, tags=(TAG,)), AuditOptions(sysroot=scene.root))
    assert [row.code for row in found] == []
