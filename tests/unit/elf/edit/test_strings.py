"""Where new strings go: nothing grows that need not, and nobody's string is overwritten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from elftools.elf import enums

from deloc8.elf.edit import strings
from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import AddNeeded, RemoveRpath, ReplaceNeeded, SetRpath, SetSoname
from deloc8.elf.edit.writer import Edited, edit
from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.image import parse, parse_defined
from deloc8.elf.read.view import View
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import patch_entry, patch_header, patch_section, section_index

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit

LONG = "libdemo-with-a-long-name.so.1"
SPEC = ElfSpec(soname=LONG, needed=("libc.so.6",), defined=(Defined("demo"),), spare_headers=1)
SHORT = SetSoname(soname="libshort.so")


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def do(spec: ElfSpec | bytes, *edits: Edit) -> Edited:
    return edit(spec if isinstance(spec, bytes) else build_elf(spec), edits, "lib.so")


def soname_position(data: bytes) -> int:
    return table_of(data).values[14]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_shorter_string_takes_the_place_of_the_old_one(machine: str) -> None:
    data = build_elf(replace(MACHINES[machine], soname=LONG, defined=(Defined("demo"),)))
    edited = do(data, SHORT)
    assert edited.placement.grows_by == 0
    assert edited.placement.slot is Slot.NONE
    assert len(edited.placement.writes) == 1
    ((_, written),) = edited.placement.writes
    assert written == b"libshort.so".ljust(len(LONG), b"\0")
    assert parse(edited.data, "lib.so").soname == "libshort.so"
    assert soname_position(edited.data) == soname_position(data)


def test_a_string_that_is_there_is_used() -> None:
    # The name of a symbol, and the end of another name.
    for soname in ("demo", "so.6", "c.so.6"):
        edited = do(SPEC, SetSoname(soname=soname))
        assert edited.placement.grows_by == 0
        assert parse(edited.data, "lib.so").soname == soname


def test_two_edits_in_two_places() -> None:
    spec = replace(SPEC, runpath="/a/long/path/of/the/build/machine")
    edited = do(spec, SHORT, SetRpath(path="$ORIGIN"))
    assert edited.placement.grows_by == 0
    # The smallest free place is taken first, so that the larger one stays for another string.
    image = parse(edited.data, "lib.so")
    assert image.dynamic is not None
    assert (image.soname, image.dynamic.rpath) == ("libshort.so", "$ORIGIN")


def test_the_place_of_a_removed_string_is_used() -> None:
    spec = replace(SPEC, soname=None, runpath="/a/long/path/of/the/build/machine")
    assert do(spec, RemoveRpath(), SHORT).placement.grows_by == 0


def test_the_library_of_a_version_record_shares_its_string() -> None:
    spec = ElfSpec(needed=("libmathematics.so.6",), undefined=(Undefined("exp", "GLIBC_2.29", "libmathematics.so.6"),))
    edited = do(spec, ReplaceNeeded(old="libmathematics.so.6", new="libm.so.6"))
    assert edited.placement.grows_by == 0
    image = parse(edited.data, "lib.so")
    assert image.needed == ("libm.so.6",)
    assert image.version_needs[0].file == "libm.so.6"


def shared(spec: ElfSpec) -> None:
    """Check that the old soname stays, because somebody else uses it."""
    edited = do(spec, SHORT)
    assert edited.placement.grows_by > 0
    assert LONG.encode() in table_of(edited.data).strings


def test_strings_of_others_stay() -> None:
    shared(replace(SPEC, defined=(Defined(LONG),)))
    shared(replace(SPEC, undefined=(Undefined(LONG),)))
    shared(replace(SPEC, needed=(LONG,)))
    shared(replace(SPEC, runpath=LONG))
    shared(replace(SPEC, parents=((LONG, ()),)))
    shared(replace(SPEC, needs=(NeedSpec("libc.so.6", LONG),)))
    shared(replace(SPEC, needs=(NeedSpec(LONG, "V"),)))


@pytest.mark.parametrize("tag", [0x7FFFFFFD, 0x7FFFFFFF, 0x6FFFFEFA, 0x6FFFFEFB, 0x6FFFFEFC])
@pytest.mark.parametrize("shift", [0, 3, len(LONG) - 1])
def test_the_ends_of_a_string_may_be_names_too(tag: int, shift: int) -> None:
    position = soname_position(build_elf(SPEC))
    shared(replace(SPEC, entries=((tag, position + shift),)))


def test_an_empty_name_at_the_end_is_no_user() -> None:
    position = soname_position(build_elf(SPEC))
    assert do(replace(SPEC, entries=((0x7FFFFFFD, position + len(LONG)),)), SHORT).placement.grows_by == 0


def test_the_end_of_a_longer_string_is_not_free() -> None:
    # DT_SONAME is the end of a symbol's name, as linkers like to arrange it.
    spec = replace(SPEC, soname="x", defined=(Defined("demo_" + LONG),))
    data = build_elf(spec)
    table = table_of(data)
    start = table.strings.index(LONG.encode())
    shared_end = patch_entry(data, 14, start)
    assert parse(shared_end, "lib.so").soname == LONG
    edited = do(shared_end, SHORT)
    assert edited.placement.grows_by > 0
    assert [symbol.name for symbol in parse_defined(edited.data, "lib.so")] == ["demo_" + LONG]


def test_prelinked_files_keep_their_strings() -> None:
    shared(replace(SPEC, entries=((0x6FFFFEF9, 0),)))


def test_symbols_must_be_counted_with_certainty() -> None:
    shared(replace(SPEC, hash="none", sections=False))
    # DT_GNU_HASH holds no undefined symbols.
    undefined = replace(SPEC, defined=(), undefined=(Undefined("puts"),))
    shared(replace(undefined, sections=False))
    for known in (
        replace(SPEC, hash="none"),
        replace(SPEC, sections=False),
        replace(undefined, sections=False, hash="sysv"),
        undefined,
    ):
        assert do(known, SHORT).placement.grows_by == 0


def test_without_symbols_nobody_else_has_names() -> None:
    data = build_elf(replace(SPEC, defined=(), sections=False, hash="none"))
    table = table_of(data)
    without = patch_entry(data, 6, 0, new_tag=0x70000000)
    assert 6 in table.values
    assert 6 not in table_of(without).values
    assert do(without, SHORT).placement.grows_by == 0
    # A section header that announces symbols all the same contradicts it.
    data = patch_entry(build_elf(SPEC), 6, 0, new_tag=0x70000000)
    assert do(data, SHORT).placement.grows_by > 0


def test_a_table_that_others_use_keeps_its_strings() -> None:
    data = build_elf(SPEC)
    strings = section_index(data, ".dynstr")
    start = table_of(data).locate("DT_STRTAB", 5)
    # Another section refers to the table; section names stand in it; another section lies over it.
    for used in (
        patch_section(data, ".got", "sh_link", strings),
        patch_header(data, "e_shstrndx", strings),
        patch_section(data, ".rodata", "sh_offset", start + 2),
    ):
        assert do(used, SHORT).placement.grows_by > 0
    # .bss has no bytes that could lie over anything.
    nothing = patch_section(patch_section(data, ".rodata", "sh_offset", start + 2), ".rodata", "sh_type", 8)
    assert do(nothing, SHORT).placement.grows_by == 0


def test_new_strings_share_their_ends() -> None:
    edited = do(SPEC, AddNeeded(name="new.so"), AddNeeded(name="libanew.so"), AddNeeded(name="libbnew.so"))
    strings = table_of(edited.data).strings
    assert strings.endswith(b"\0libanew.so\0libbnew.so\0")
    assert parse(edited.data, "lib.so").needed == ("libc.so.6", "new.so", "libanew.so", "libbnew.so")


def test_a_table_without_its_last_nul() -> None:
    data = build_elf(SPEC)
    size = len(table_of(data).strings)
    cut = patch_entry(data, 10, size - 1)
    edited = do(cut, AddNeeded(name="libnew.so"))
    assert table_of(edited.data).strings == table_of(data).strings + b"libnew.so\0"


def test_one_string_in_place_and_one_behind() -> None:
    edited = do(SPEC, SHORT, AddNeeded(name="libnew-with-a-name-that-is-longer-than-the-soname.so"))
    image = parse(edited.data, "lib.so")
    assert image.soname == "libshort.so"
    assert image.needed[-1].startswith("libnew")
    assert LONG.encode() not in table_of(edited.data).strings


def test_the_entries_that_refer_to_strings() -> None:
    """By their names in pyelftools' table, which lacks DT_USED (Solaris, "Dynamic Section")."""
    told = ("NEEDED", "SONAME", "RPATH", "RUNPATH", "CONFIG", "DEPAUDIT", "AUDIT", "AUXILIARY", "FILTER")
    more = ("SUNW_AUXILIARY", "SUNW_FILTER")
    assert {enums.ENUM_D_TAG[f"DT_{name}"] for name in (*told, *more)} | {0x7FFFFFFE} == strings._STRING_TAGS
