"""Version records whose counts disagree with their chains: what may be wrong with a file, by name."""

from __future__ import annotations

from collections.abc import Callable

from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.versions import read_definition_records, read_need_records
from deloc8.elf.read.view import View
from kit.patch import patch_entry, patch_number, patch_section

Lie = Callable[[bytes], bytes]

DT_VERNEEDNUM, DT_VERDEFNUM = 0x6FFFFFFF, 0x6FFFFFFD
_OTHER_TAG = 0x7000_0035


def table_of(data: bytes) -> DynamicTable:
    """The dynamic section of a file that has one."""
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def need_count(record: int, count: int) -> Lie:
    """Changes vn_cnt of a record."""
    return lambda data: patch_number(data, read_need_records(table_of(data))[record].offset + 2, 2, count)


def definition_count(record: int, count: int) -> Lie:
    """Changes vd_cnt of a record."""
    return lambda data: patch_number(data, read_definition_records(table_of(data))[record].offset + 6, 2, count)


def entry(tag: int, count: int) -> Lie:
    """Changes DT_VERNEEDNUM or DT_VERDEFNUM."""
    return lambda data: patch_entry(data, tag, count)


def without(tag: int) -> Lie:
    """Takes DT_VERNEEDNUM or DT_VERDEFNUM away."""
    return lambda data: patch_entry(data, tag, 0, new_tag=_OTHER_TAG)


def header(section: str, count: int) -> Lie:
    """Changes sh_info of a section."""
    return lambda data: patch_section(data, section, "sh_info", count)


def all_at_once(data: bytes) -> bytes:
    """The file with everything that counts changed."""
    for lie in (entry(DT_VERNEEDNUM, 1), need_count(0, 1), entry(DT_VERDEFNUM, 1), definition_count(-1, 1)):
        data = lie(data)
    return data


LIES: dict[str, Lie] = {
    **{f"DT_VERNEEDNUM {count}": entry(DT_VERNEEDNUM, count) for count in (0, 1, 9, 1 << 20)},
    **{f"DT_VERDEFNUM {count}": entry(DT_VERDEFNUM, count) for count in (0, 1, 9, 1 << 20)},
    **{f"first vn_cnt {count}": need_count(0, count) for count in (0, 1, 9, 0xFFFF)},
    **{f"last vn_cnt {count}": need_count(-1, count) for count in (0, 9)},
    **{f"first vd_cnt {count}": definition_count(0, count) for count in (0, 9)},
    **{f"last vd_cnt {count}": definition_count(-1, count) for count in (0, 1, 9, 0xFFFF)},
    "all": all_at_once,
}
"""Counts in the segments that say too little, too much, and nothing."""

HEADER_LIES: dict[str, Lie] = {
    f"sh_info of {section} {count}": header(section, count)
    for section in (".gnu.version_r", ".gnu.version_d")
    for count in (0, 1, 9)
}
"""The same in section headers."""

MISSING: dict[str, Lie] = {"no DT_VERNEEDNUM": without(DT_VERNEEDNUM), "no DT_VERDEFNUM": without(DT_VERDEFNUM)}
"""Counts that are missing."""
