"""The record tables: sizes and places as the specifications print them."""

from __future__ import annotations

import pytest

from deloc8.elf.read.records import LAYOUTS


@pytest.mark.parametrize(
    ("record", "size_32", "size_64"),
    [
        ("file_header", 52, 64),
        ("program_header", 32, 56),
        ("section_header", 40, 64),
        ("dynamic", 8, 16),
        ("symbol", 16, 24),
        ("verneed", 16, 16),
        ("vernaux", 16, 16),
        ("verdef", 20, 20),
        ("verdaux", 8, 8),
        ("note", 12, 12),
    ],
)
def test_sizes(record: str, size_32: int, size_64: int) -> None:
    for little_endian in (True, False):
        assert getattr(LAYOUTS[32, little_endian], record).size == size_32
        assert getattr(LAYOUTS[64, little_endian], record).size == size_64


def test_places_of_fields() -> None:
    assert LAYOUTS[64, True].program_header.offsets["p_flags"] == 4
    assert LAYOUTS[32, True].program_header.offsets["p_flags"] == 24
    assert LAYOUTS[64, True].symbol.offsets["st_info"] == 4
    assert LAYOUTS[32, True].symbol.offsets["st_info"] == 12
    assert LAYOUTS[64, True].file_header.offsets["e_shoff"] == 0x28
    assert LAYOUTS[32, True].file_header.offsets["e_shoff"] == 0x20


def test_byte_order() -> None:
    assert LAYOUTS[32, True].dynamic.struct.unpack(b"\x01\0\0\0\x02\0\0\0") == (1, 2)
    assert LAYOUTS[32, False].dynamic.struct.unpack(b"\0\0\0\x01\0\0\0\x02") == (1, 2)
