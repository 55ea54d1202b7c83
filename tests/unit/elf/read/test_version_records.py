"""Version records whose counts disagree with their chains: read as ld.so reads them, and mended by every edit.

glibc's elf/dl-version.c asks neither DT_VERNEEDNUM, DT_VERDEFNUM, vn_cnt nor vd_cnt: it goes on until the next step is
zero. readelf and pyelftools go by the counts, so pyelftools tells whether those that are written are right.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import BindVersion, DropVersion, Edit, RemoveNeeded, ReplaceNeeded, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.versions import (
    read_defined_versions,
    read_definition_records,
    read_need_records,
    read_version_needs,
)
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import patch_entry, patch_number
from kit.pyelf import dynamic_of, peer_of
from kit.version_counts import HEADER_LIES, LIES, MISSING, Lie, definition_count, need_count, table_of

if TYPE_CHECKING:
    from deloc8.elf.read.dynamic import DynamicTable

SPEC = ElfSpec(
    soname="libown.so",
    needed=("liba.so", "libb.so"),
    undefined=(
        Undefined("one", "A_1", "liba.so"),
        Undefined("two", "A_2", "liba.so"),
        Undefined("b", "B_1", "libb.so"),
    ),
    needs=(NeedSpec("liba.so", "A_3"),),
    defined=(Defined("own", "OWN_1"), Defined("other", "OWN_2")),
    parents=(("OWN_1", ()), ("OWN_2", ("OWN_1",))),
)


def name(table: DynamicTable, position: int | bytes) -> str:
    assert isinstance(position, int)
    return table.string("name", position)


EDITS: dict[str, list[Edit]] = {
    "short search path": [SetRpath(path="$ORIGIN")],
    "long search path": [SetRpath(path="$ORIGIN/" + "x" * 300)],
    "soname": [SetSoname(soname="libown-12345678.so")],
    "needed name": [ReplaceNeeded(old="liba.so", new="liba-12345678.so")],
    "other version": [BindVersion(symbol="two", old="A_2", version="A_1", library="liba.so")],
    "new version": [BindVersion(symbol="two", old="A_2", version="A_0", library="liba.so")],
    "version of another library": [BindVersion(symbol="two", old="A_2", version="B_0", library="libb.so")],
    "no version": [DropVersion(symbol="two", old="A_2")],
}


def of_machine(machine: str) -> bytes:
    return build_elf(
        replace(
            MACHINES[machine],
            soname=SPEC.soname,
            needed=SPEC.needed,
            undefined=SPEC.undefined,
            needs=SPEC.needs,
            defined=SPEC.defined,
            parents=SPEC.parents,
        )
    )


# -- reading -----------------------------------------------------------------------------------------------------------


def test_need_records() -> None:
    table = table_of(build_elf(SPEC))
    records = read_need_records(table)
    assert [(name(table, r.file), r.version_count, [name(table, v.name) for v in r.versions]) for r in records] == [
        ("liba.so", 3, ["A_1", "A_2", "A_3"]),
        ("libb.so", 1, ["B_1"]),
    ]
    assert [tuple(v.number for v in record.versions) for record in records] == [(4, 5, 6), (7,)]
    assert all(record.revision == 1 for record in records)


def test_definition_records() -> None:
    table = table_of(build_elf(SPEC))
    records = read_definition_records(table)
    assert [(record.name_count, [name(table, text) for text in record.names]) for record in records] == [
        (1, ["libown.so"]),
        (1, ["OWN_1"]),
        (2, ["OWN_2", "OWN_1"]),
    ]


def test_no_versions() -> None:
    table = table_of(build_elf())
    assert read_need_records(table) == ()
    assert read_definition_records(table) == ()


@pytest.mark.parametrize("lie", {**LIES, **HEADER_LIES, **MISSING}.values(), ids=[*LIES, *HEADER_LIES, *MISSING])
@pytest.mark.parametrize("machine", ["x86_64", "armv7l", "s390x"])
def test_a_count_that_lies_changes_nothing_that_is_read(machine: str, lie: Lie) -> None:
    sound = of_machine(machine)
    before, after = table_of(sound), table_of(lie(sound))
    assert read_version_needs(after) == read_version_needs(before)
    assert read_defined_versions(after) == read_defined_versions(before)
    uncounted = [record._replace(version_count=0) for record in read_need_records(after)]
    assert uncounted == [record._replace(version_count=0) for record in read_need_records(before)]
    names = [record.names for record in read_definition_records(after)]
    assert names == [record.names for record in read_definition_records(before)]


def test_a_record_has_at_least_one_entry_whatever_its_count_says() -> None:
    """So does ld.so: it looks at the first Vernaux and the first Verdaux before it asks for the next one."""
    data = definition_count(0, 0)(need_count(1, 0)(build_elf(SPEC)))
    table = table_of(data)
    assert [version.name for version in read_version_needs(table)[1].versions] == ["B_1"]
    assert read_defined_versions(table)[0].name == "libown.so"


# -- editing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("lie", {**LIES, **HEADER_LIES}.values(), ids=[*LIES, *HEADER_LIES])
def test_every_edit_writes_the_counts_that_are_true(lie: Lie, edits: list[Edit]) -> None:
    sound = build_elf(SPEC)
    assert lie(sound) != sound
    wanted = edit(sound, edits, "lib.so").data
    assert edit(lie(sound), edits, "lib.so").data == wanted
    # pyelftools, which goes by the counts, finds in it what the edits do not change.
    assert peer_of(wanted).definitions[1:] == peer_of(sound).definitions[1:]
    assert len(peer_of(wanted).needs) == dynamic_of(wanted)["DT_VERNEEDNUM"]


@pytest.mark.parametrize("lie", {**LIES, **HEADER_LIES}.values(), ids=[*LIES, *HEADER_LIES])
def test_a_record_that_nothing_is_left_of_goes(lie: Lie) -> None:
    edits: list[Edit] = [DropVersion(symbol="b", old="B_1"), RemoveNeeded(name="libb.so")]
    sound = build_elf(SPEC)
    edited = edit(lie(sound), edits, "lib.so").data
    assert peer_of(edited) == peer_of(edit(sound, edits, "lib.so").data)
    assert [file for file, _ in peer_of(edited).needs] == ["liba.so"]
    assert dynamic_of(edited)["DT_VERNEEDNUM"] == 1


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("machine", ["armv7l", "s390x"])
def test_the_counts_are_written_in_the_words_of_every_machine(machine: str, lie: Lie) -> None:
    sound = of_machine(machine)
    for edits in (EDITS["long search path"], EDITS["new version"]):
        assert edit(lie(sound), edits, "lib.so").data == edit(sound, edits, "lib.so").data


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_files_without_section_headers_are_edited_alike(lie: Lie, edits: list[Edit]) -> None:
    sound = build_elf(replace(SPEC, sections=False))
    assert edit(lie(sound), edits, "lib.so").data == edit(sound, edits, "lib.so").data


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_a_count_that_is_missing_stays_missing(missing: Lie, edits: list[Edit]) -> None:
    sound = build_elf(SPEC)
    edited, wanted = edit(missing(sound), edits, "lib.so").data, edit(sound, edits, "lib.so").data
    assert peer_of(edited) == peer_of(wanted)
    (tag,) = dynamic_of(sound).keys() - dynamic_of(missing(sound)).keys()
    assert tag not in dynamic_of(edited)


def test_records_apart_from_each_other_are_not_written_over_what_is_between() -> None:
    """Where no section header tells the size of DT_VERNEED, it ends at the first gap."""
    undefined = (*SPEC.undefined, Undefined("more", "A_1", "liba.so"))
    data = build_elf(replace(SPEC, sections=False, undefined=undefined, payload=b"\xee" * 256))
    first, second = read_need_records(table_of(data))
    head, tail = data[first.offset : second.offset], data[second.offset : second.auxiliary + 16]
    place, gap = data.index(b"\xee" * 256), 48
    spread = head + b"\xee" * gap + tail
    data = data[:place] + spread + data[place + len(spread) :]
    data = patch_number(data, place + 12, 4, len(head) + gap)  # vn_next
    data = patch_entry(data, 0x6FFFFFFE, place)  # DT_VERNEED
    edited = edit(data, [BindVersion(symbol="more", old="A_1", version="A_0", library="liba.so")], "lib.so").data
    names = [version.name for need in read_version_needs(table_of(edited)) for version in need.versions]
    assert names == ["A_1", "A_2", "A_3", "A_0", "B_1"]
    assert edited[place + len(head) : place + len(head) + gap] == b"\xee" * gap


# -- bounds ------------------------------------------------------------------------------------------------------------

TOO_MANY = "is one of more than 65536, which cannot all have a number"


def test_records_that_overlap_each_other_are_too_many() -> None:
    # Read from any word of this tail on, a record says that the next one stands four bytes further.
    tail = (4).to_bytes(4, "little") * (1 << 18)
    data = build_elf(SPEC)
    need, definition, end = read_need_records(table_of(data))[0], read_definition_records(table_of(data))[0], len(data)
    for lie, read in (
        (patch_number(data, need.offset + 8, 4, end - need.offset), read_need_records),  # vn_aux
        (patch_number(data, definition.offset + 12, 4, end - definition.offset), read_definition_records),  # vd_aux
    ):
        with pytest.raises(ElfError) as caught:
            read(table_of(lie + tail))
        assert caught.value.context[0].endswith(TOO_MANY)


def test_records_beyond_the_end() -> None:
    data = build_elf(SPEC)
    need, definition = read_need_records(table_of(data))[0], read_definition_records(table_of(data))[0]
    for place in (need.offset + 8, need.offset + 12):  # vn_aux, vn_next
        with pytest.raises(ElfError, match="not a sound"):
            read_need_records(table_of(patch_number(data, place, 4, 0x7FFFFFFF)))
    for place in (definition.offset + 12, definition.offset + 16):  # vd_aux, vd_next
        with pytest.raises(ElfError, match="not a sound"):
            read_definition_records(table_of(patch_number(data, place, 4, 0x7FFFFFFF)))


def test_a_record_may_have_as_many_names_as_there_is_room_for() -> None:
    count = 60_000
    data = build_elf(SPEC)
    definition = read_definition_records(table_of(data))[0].offset
    names = struct.pack("<II", 1, 8) * (count - 1) + struct.pack("<II", 1, 0)
    data = patch_number(data, definition + 12, 4, len(data) - definition) + names  # vd_aux
    data = patch_number(data, definition + 16, 4, 0)  # vd_next
    assert [len(record.names) for record in read_definition_records(table_of(data))] == [count]
