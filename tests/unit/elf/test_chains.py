"""Version records as they stand in the file."""

from __future__ import annotations

import struct

import pytest

from deloc8.elf.chains import read_definition_names, read_need_records
from deloc8.elf.dynamic import DynamicTable, read_table
from deloc8.elf.view import View
from deloc8.errors import ElfError
from kit.elf import ElfSpec, NeedSpec, build_elf
from kit.patch import patch_entry, patch_number

SPEC = ElfSpec(
    needed=("liba.so", "libb.so"),
    needs=(NeedSpec("liba.so", "A_1"), NeedSpec("liba.so", "A_2"), NeedSpec("libb.so", "B_1")),
    parents=(("OWN_1", ()), ("OWN_2", ("OWN_1",))),
)
DT_VERNEEDNUM, DT_VERDEFNUM = 0x6FFFFFFF, 0x6FFFFFFD


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def name(table: DynamicTable, position: int | bytes) -> str:
    assert isinstance(position, int)
    return table.string("name", position)


def test_need_records() -> None:
    table = table_of(build_elf(SPEC))
    records = read_need_records(table)
    assert [(name(table, r.file), r.version_count, [name(table, v.name) for v in r.versions]) for r in records] == [
        ("liba.so", 2, ["A_1", "A_2"]),
        ("libb.so", 1, ["B_1"]),
    ]
    assert [tuple(v.number for v in record.versions) for record in records] == [(4, 5), (6,)]
    assert all(record.revision == 1 for record in records)


def test_definition_names() -> None:
    table = table_of(build_elf(SPEC))
    names = [name(table, position) for position in read_definition_names(table)]
    assert names[-3:] == ["OWN_1", "OWN_2", "OWN_1"]


def test_no_versions() -> None:
    table = table_of(build_elf())
    assert read_need_records(table) == ()
    assert list(read_definition_names(table)) == []


def test_the_chains_may_end_before_their_counts() -> None:
    data = patch_entry(patch_entry(build_elf(SPEC), DT_VERNEEDNUM, 9), DT_VERDEFNUM, 9)
    records = read_need_records(table_of(data))
    assert len(records) == 2
    data = patch_number(data, records[1].offset + 2, 2, 9)  # vn_cnt
    assert read_need_records(table_of(data))[1].versions == records[1].versions
    before = list(read_definition_names(table_of(build_elf(SPEC))))
    assert list(read_definition_names(table_of(data))) == before


def test_the_counts_may_end_before_the_chains() -> None:
    data = patch_entry(patch_entry(build_elf(SPEC), DT_VERNEEDNUM, 1), DT_VERDEFNUM, 1)
    table = table_of(data)
    assert len(read_need_records(table)) == 1
    assert len(list(read_definition_names(table))) == 1
    data = patch_number(data, read_need_records(table)[0].offset + 2, 2, 0)  # vn_cnt
    assert read_need_records(table_of(data))[0].versions == ()
    data = patch_number(data, table.locate("DT_VERDEF", 0x6FFFFFFC) + 6, 2, 0)  # vd_cnt
    assert list(read_definition_names(table_of(data))) == []


def test_records_without_a_count_are_none() -> None:
    data = patch_entry(build_elf(SPEC), DT_VERNEEDNUM, 0, new_tag=0x7000_0035)
    assert read_need_records(table_of(data)) == ()
    data = patch_entry(build_elf(SPEC), DT_VERDEFNUM, 0, new_tag=0x7000_0035)
    assert list(read_definition_names(table_of(data))) == []


def test_the_names_of_one_record_may_end_before_their_count() -> None:
    data = build_elf(SPEC)
    before = list(read_definition_names(table_of(data)))
    first, second = read_need_records(table_of(data))
    for record, wanted in ((first, 2), (second, 1)):
        counted = patch_number(data, record.offset + 2, 2, 5)  # vn_cnt
        assert [len(r.versions) for r in read_need_records(table_of(counted)) if r.offset == record.offset] == [wanted]
    definition = table_of(data).locate("DT_VERDEF", 0x6FFFFFFC)
    assert list(read_definition_names(table_of(patch_number(data, definition + 6, 2, 5)))) == before  # vd_cnt


def test_records_that_overlap_each_other_are_too_many() -> None:
    # Read from any word of this tail on, a record says that the next one stands four bytes further.
    tail = (4).to_bytes(4, "little") * (1 << 16)
    data = build_elf(SPEC)
    (need, _), end = read_need_records(table_of(data)), len(data)
    data = patch_number(data, need.offset + 2, 2, 0xFFFF)  # vn_cnt
    with pytest.raises(ElfError) as caught:
        read_need_records(table_of(patch_number(data, need.offset + 8, 4, end - need.offset) + tail))  # vn_aux
    assert caught.value.context == ("DT_VERNEED or DT_VERDEF has more records than the file can hold",)

    definition = table_of(data).locate("DT_VERDEF", 0x6FFFFFFC)
    data = patch_number(data, definition + 6, 2, 0xFFFF)  # vd_cnt
    data = patch_number(data, definition + 12, 4, end - definition) + tail  # vd_aux
    with pytest.raises(ElfError, match="not a sound"):
        list(read_definition_names(table_of(data)))


def test_records_beyond_the_end() -> None:
    data = build_elf(SPEC)
    first, _ = read_need_records(table_of(data))
    for field in (8, 12):  # vn_aux, vn_next
        with pytest.raises(ElfError, match="not a sound"):
            read_need_records(table_of(patch_number(data, first.offset + field, 4, 0x7FFFFFFF)))


def test_a_file_may_be_full_of_records() -> None:
    """As many as there is room for (8 bytes each) are no lie."""
    count = 60_000
    data = build_elf(SPEC)
    definition = table_of(data).locate("DT_VERDEF", 0x6FFFFFFC)
    names = struct.pack("<II", 1, 8) * (count - 1) + struct.pack("<II", 1, 0)
    data = patch_number(data, definition + 6, 2, count)  # vd_cnt
    data = patch_number(data, definition + 12, 4, len(data) - definition) + names  # vd_aux
    data = patch_number(data, definition + 16, 4, 0)  # vd_next
    assert len(list(read_definition_names(table_of(data)))) == count


def test_an_empty_record_may_not_lead_beyond_the_end() -> None:
    data = build_elf(SPEC)
    first, _ = read_need_records(table_of(data))
    data = patch_number(data, first.offset + 2, 2, 0)  # vn_cnt
    for more, is_read in ((0, True), (1, False)):
        lie = patch_number(data, first.offset + 8, 4, len(data) + more - first.offset)  # vn_aux
        if is_read:
            assert read_need_records(table_of(lie))[0].versions == ()
        else:
            with pytest.raises(ElfError, match="not a sound"):
                read_need_records(table_of(lie))
