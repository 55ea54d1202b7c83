"""Whether a file says of itself what it must after its edits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindVersion,
    ClearExecutableStack,
    DropVersion,
    ReplaceNeeded,
    SetSoname,
    UnpackRelocations,
)
from deloc8.repair.editproof import Names, means_as_planned, names_after
from deloc8.repair.lowering.choose import lowered_image
from kit.elf import Defined, ElfSpec, Undefined
from kit.system import image_of

if TYPE_CHECKING:
    from deloc8.elf.read.image import ElfImage

MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")
POW = Undefined("pow", "GLIBC_2.29", "libm.so.6")
NAMED = Undefined("PyModule_Create2")
SPEC = ElfSpec(needed=("libm.so.6", "libc.so.6"), undefined=(MEMCPY, POW, NAMED), defined=(Defined("one", "DEF_1"),))
BEFORE = image_of(SPEC)


def after(*undefined: Undefined, needed: tuple[str, ...] = SPEC.needed) -> ElfImage:
    return image_of(replace(SPEC, needed=needed, undefined=undefined))


def test_without_edits_everything_stays() -> None:
    assert means_as_planned(BEFORE, BEFORE, ())
    assert means_as_planned(replace(BEFORE, undefined=BEFORE.undefined[::-1]), BEFORE, ())  # the order may change
    assert means_as_planned(replace(BEFORE, version_needs=BEFORE.version_needs[::-1]), BEFORE, ())


def test_a_name_that_is_needed_already_is_not_added() -> None:
    assert names_after(BEFORE, (AddNeeded(name="libm.so.6"),)).needed == SPEC.needed
    assert names_after(BEFORE, (AddNeeded(name="libz.so.1"),)).needed == (*SPEC.needed, "libz.so.1")


def test_copies_of_variables_are_what_they_must_be() -> None:
    copy = BEFORE.undefined[0]._replace(name="environ")
    before = replace(BEFORE, copied=(copy,))
    assert means_as_planned(before, before, ())
    assert not means_as_planned(BEFORE, before, ())
    assert not means_as_planned(before, BEFORE, ())
    edit = ReplaceNeeded(old="libc.so.6", new="libc-1.so.6")
    renamed = after(*(symbol._replace(file="libc-1.so.6") for symbol in (MEMCPY,)), POW, NAMED)
    moved = replace(renamed, copied=(copy._replace(file="libc-1.so.6"),))
    assert means_as_planned(moved, before, (edit,))
    assert not means_as_planned(replace(moved, copied=(copy,)), before, (edit,))


@pytest.mark.parametrize(
    "now",
    [
        replace(BEFORE, undefined=BEFORE.undefined[1:]),
        replace(BEFORE, undefined=(*BEFORE.undefined, BEFORE.undefined[0])),
        replace(BEFORE, undefined=(BEFORE.undefined[0], *BEFORE.undefined[:2])),
        replace(BEFORE, undefined=(BEFORE.undefined[0]._replace(weak=True), *BEFORE.undefined[1:])),
        replace(BEFORE, version_needs=BEFORE.version_needs[1:]),
        replace(BEFORE, defined_versions=()),
    ],
)
def test_whatever_changes_is_found(now: ElfImage) -> None:
    assert not means_as_planned(now, BEFORE, ())


def test_a_needed_name_that_is_replaced() -> None:
    edits = (ReplaceNeeded(old="libm.so.6", new="libmine.so"),)
    renamed = Undefined("pow", "GLIBC_2.29", "libmine.so")
    needed = ("libmine.so", "libc.so.6")
    assert means_as_planned(after(MEMCPY, renamed, NAMED, needed=needed), BEFORE, edits)
    assert not means_as_planned(after(MEMCPY, POW, NAMED), BEFORE, edits)
    assert not means_as_planned(after(MEMCPY, renamed, renamed, needed=needed), BEFORE, edits)


def test_a_symbol_that_is_bound_to_another_version() -> None:
    edits = (BindVersion(symbol="pow", old="GLIBC_2.29", version="GLIBC_2.2.5", library="libm.so.6"),)
    assert means_as_planned(after(MEMCPY, Undefined("pow", "GLIBC_2.2.5", "libm.so.6"), NAMED), BEFORE, edits)
    assert not means_as_planned(BEFORE, BEFORE, edits)
    assert means_as_planned(
        after(MEMCPY, Undefined("pow"), NAMED), BEFORE, (DropVersion(symbol="pow", old="GLIBC_2.29"),)
    )


def test_an_image_without_lowering_stays_as_it_is() -> None:
    assert lowered_image(BEFORE, (ReplaceNeeded(old="libm.so.6", new="libmine.so"),)) is BEFORE


def test_edits_that_concern_no_name_are_expected_to_change_none() -> None:
    image = image_of(ElfSpec(needed=("liba.so.1",), soname="x", rpath="/a"))
    edits = (ClearExecutableStack(), SetSoname(soname="y"))
    assert names_after(image, edits) == Names(needed=("liba.so.1",), soname="y", rpath="/a")


def test_a_static_program_has_no_names() -> None:
    assert names_after(image_of(ElfSpec(dynamic=False)), ()) == Names()


def test_a_file_without_a_dynamic_section_gets_none_by_edits_of_relocations() -> None:
    assert lowered_image(image_of(ElfSpec(dynamic=False)), (UnpackRelocations(),)).dynamic is None
