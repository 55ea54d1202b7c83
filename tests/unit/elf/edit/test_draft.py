"""What edits make of the dynamic section and the version records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    ClearExecutableStack,
    RemoveNeeded,
    RemoveRpath,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
)
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.image import ElfImage, parse
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import patch_entry, section_index

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit

SPARE = ElfSpec(spare_headers=1)
EXP = Undefined("exp", "GLIBC_2.29", "libm.so.6")


def edited(spec: ElfSpec, *edits: Edit) -> ElfImage:
    data = build_elf(replace(spec, spare_headers=1))
    once = edit(data, edits, "lib.so").data
    assert edit(once, edits, "lib.so").data is once
    return parse(once, "lib.so")


def refusal(spec: ElfSpec, *edits: Edit) -> str:
    with pytest.raises(ElfError) as caught:
        edit(build_elf(spec), edits, "lib.so")
    assert caught.value.code == "edit-impossible"
    assert caught.value.hints
    return caught.value.context[0]


def tags(image_of: ElfSpec, *edits: Edit) -> dict[int, int]:
    table = read_table(View.open(edit(build_elf(image_of), edits, "lib.so").data, "lib.so"))
    assert table is not None
    return dict(table.values)


@pytest.mark.parametrize("machine", MACHINES)
def test_everything_at_once(machine: str) -> None:
    spec = replace(
        MACHINES[machine],
        needed=("libm.so.6", "libz.so.1", "libc.so.6"),
        soname="libdemo.so",
        runpath="/build/lib",
        undefined=(EXP, Undefined("memcpy", "GLIBC_2.14", "libc.so.6")),
    )
    image = edited(
        spec,
        SetSoname(soname="libdemo-0a1b2c3d.so"),
        ReplaceNeeded(old="libm.so.6", new="libm-0a1b2c3d.so.6"),
        AddNeeded(name="libfirst.so", first=True),
        AddNeeded(name="liblast.so"),
        RemoveNeeded(name="libz.so.1"),
        SetRpath(path="$ORIGIN/../demo.libs"),
    )
    assert image.dynamic is not None
    assert image.soname == "libdemo-0a1b2c3d.so"
    assert image.needed == ("libfirst.so", "libm-0a1b2c3d.so.6", "libc.so.6", "liblast.so")
    assert (image.dynamic.rpath, image.dynamic.runpath) == ("$ORIGIN/../demo.libs", None)
    assert [need.file for need in image.version_needs] == ["libm-0a1b2c3d.so.6", "libc.so.6"]
    assert [(s.name, s.version) for s in image.undefined] == [("exp", "GLIBC_2.29"), ("memcpy", "GLIBC_2.14")]


def test_soname_where_there_was_none() -> None:
    assert edited(ElfSpec(), SetSoname(soname="libnew.so")).soname == "libnew.so"


def test_every_soname_entry_is_set() -> None:
    # ld.so takes the last of two entries, other readers the first.
    data = build_elf(SPARE, soname="libone.so", entries=((14, 1),))
    image = parse(edit(data, [SetSoname(soname="libnew.so")], "lib.so").data, "lib.so")
    assert image.soname == "libnew.so"


def test_replacing_what_is_not_needed() -> None:
    why = refusal(ElfSpec(needed=("liba.so",)), ReplaceNeeded(old="libb.so", new="libc.so"))
    assert why == "DT_NEEDED `libb.so` cannot be replaced: there is none"


def test_replacing_by_the_same_name() -> None:
    spec = ElfSpec(needed=("libm.so.6",), undefined=(EXP,))
    data = build_elf(spec)
    assert edit(data, [ReplaceNeeded(old="libm.so.6", new="libm.so.6")], "lib.so").data is data


def test_edits_follow_each_other() -> None:
    spec = ElfSpec(needed=("liba.so", "libb.so"))
    image = edited(spec, ReplaceNeeded(old="liba.so", new="libx.so"), AddNeeded(name="libx.so"))
    assert image.needed == ("libx.so", "libb.so")


def test_adding_what_is_needed_already() -> None:
    spec = ElfSpec(needed=("liba.so", "libb.so", "libc.so"))
    assert edited(spec, AddNeeded(name="libb.so")).needed == ("liba.so", "libb.so", "libc.so")
    assert edited(spec, AddNeeded(name="libb.so", first=True)).needed == ("libb.so", "liba.so", "libc.so")
    assert edited(spec, AddNeeded(name="liba.so", first=True)).needed == ("liba.so", "libb.so", "libc.so")


def test_adding_the_first_needed_name() -> None:
    assert edited(ElfSpec(), AddNeeded(name="liba.so", first=True)).needed == ("liba.so",)


def test_removing_what_is_not_needed_changes_nothing() -> None:
    data = build_elf(ElfSpec(needed=("liba.so",)))
    assert edit(data, [RemoveNeeded(name="libb.so")], "lib.so").data is data


def test_removing_without_versions() -> None:
    spec = ElfSpec(needed=("liba.so", "libb.so", "liba.so"), undefined=(Undefined("a"),))
    assert edited(spec, RemoveNeeded(name="liba.so")).needed == ("libb.so",)


def test_removing_what_symbols_are_bound_to() -> None:
    spec = ElfSpec(needed=("libm.so.6",), undefined=(EXP,))
    why = refusal(spec, RemoveNeeded(name="libm.so.6"))
    assert why == "DT_NEEDED `libm.so.6` cannot be removed: 1 symbols ask for versions of it"


NEEDS = tuple(NeedSpec(name, version) for name in ("liba.so", "libb.so", "libc.so") for version in ("V1", "V2"))


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
@pytest.mark.parametrize(
    "gone", [("liba.so",), ("libb.so",), ("libc.so",), ("liba.so", "libb.so"), ("liba.so", "libc.so")]
)
def test_version_records_leave_with_their_library(machine: str, gone: tuple[str, ...]) -> None:
    spec = replace(MACHINES[machine], needed=("liba.so", "libb.so", "libc.so"), needs=NEEDS)
    before = parse(build_elf(spec), "lib.so").version_needs
    image = edited(spec, *(RemoveNeeded(name=name) for name in gone))
    assert image.version_needs == tuple(need for need in before if need.file not in gone)
    assert image.needed == tuple(need.file for need in image.version_needs)
    index = section_index(build_elf(replace(spec, spare_headers=1)), ".gnu.version_r")
    assert image.sections[index].info == len(image.version_needs)


def test_the_last_version_record_takes_the_tables_along() -> None:
    spec = ElfSpec(needed=("libm.so.6",), needs=(NeedSpec("libm.so.6", "GLIBC_2.29"),))
    left = tags(spec, RemoveNeeded(name="libm.so.6"))
    assert not {0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF} & set(left)  # DT_VERSYM, DT_VERNEED, DT_VERNEEDNUM
    spec = replace(spec, parents=(("OWN_1", ()),))
    left = tags(spec, RemoveNeeded(name="libm.so.6"))
    assert 0x6FFFFFF0 in left  # the file's own versions still use it
    assert not {0x6FFFFFFE, 0x6FFFFFFF} & set(left)


def test_a_version_record_without_versym_can_go() -> None:
    spec = ElfSpec(needed=("libm.so.6",), needs=(NeedSpec("libm.so.6", "GLIBC_2.29"),))
    data = patch_entry(build_elf(spec), 0x6FFFFFF0, 0, new_tag=0x70000000)
    assert parse(edit(data, [RemoveNeeded(name="libm.so.6")], "lib.so").data, "lib.so").version_needs == ()


@pytest.mark.parametrize("kind", RpathKind)
@pytest.mark.parametrize("before", [{}, {"rpath": "/a"}, {"runpath": "/b"}, {"rpath": "/a", "runpath": "/b"}])
def test_exactly_one_search_path(kind: RpathKind, before: dict[str, str]) -> None:
    image = edited(replace(ElfSpec(), **before), SetRpath(path="$ORIGIN/x", kind=kind))  # type: ignore[arg-type]
    assert image.dynamic is not None
    paths = (image.dynamic.rpath, image.dynamic.runpath)
    assert paths == (("$ORIGIN/x", None) if kind is RpathKind.RPATH else (None, "$ORIGIN/x"))


def test_removing_search_paths() -> None:
    image = edited(ElfSpec(rpath="/a", runpath="/b", soname="libdemo.so"), RemoveRpath())
    assert image.dynamic is not None
    assert (image.dynamic.rpath, image.dynamic.runpath, image.soname) == (None, None, "libdemo.so")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (SetSoname(soname=""), "the new soname '' is empty"),
        (AddNeeded(name="a\0b"), r"the new needed name 'a\x00b' holds a NUL byte"),
        (SetRpath(path=""), "the new search path '' is empty"),
        (SetSoname(soname="\ud800"), r"the name '\ud800' has no bytes: it holds half of a surrogate pair"),
    ],
)
def test_strings_that_cannot_stand_in_a_file(change: Edit, why: str) -> None:
    assert refusal(ElfSpec(), change) == why


def test_names_that_are_no_utf_8() -> None:
    assert edited(ElfSpec(needed=("lib\udcff.so",)), ReplaceNeeded(old="lib\udcff.so", new="\udcfe.so")).needed == (
        "\udcfe.so",
    )


def test_a_static_program_has_no_names() -> None:
    why = refusal(ElfSpec(dynamic=False), SetSoname(soname="a"), ClearExecutableStack())
    assert why == "it has no dynamic section: it is a static program or an object file"
