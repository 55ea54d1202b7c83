"""The dynamic section: names, flags, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from deloc8.elf.read.dynamic import Dynamic, DynamicTable, read_dynamic, read_table
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, ElfSpec, build_elf, build_with_places

DT_STRTAB, DT_STRSZ, DT_SONAME, DT_NEEDED = 5, 10, 14, 1


@pytest.fixture(autouse=True, params=["read whole", "read where they stand"])
def _way_of_reading_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds for small string tables and for large ones, which are read otherwise."""
    if request.param != "read whole":
        monkeypatch.setattr("deloc8.elf.read.dynamic._LARGE_STRINGS", -1)


def table_of(spec: ElfSpec) -> DynamicTable:
    table = read_table(View.open(build_elf(spec), "lib.so"))
    assert table is not None
    return table


def refusal(spec: ElfSpec) -> str:
    with pytest.raises(ElfError) as caught:
        read_dynamic(table_of(spec))
    return caught.value.context[0]


@pytest.mark.parametrize("machine", MACHINES)
def test_names_and_flags(machine: str) -> None:
    spec = replace(
        MACHINES[machine],
        needed=("libz.so.1", "libc.so.6"),
        soname="libdemo.so.1",
        rpath="/opt/lib",
        runpath="$ORIGIN/../lib:",
        dt_flags=8,
        dt_flags_1=0x08000001,
        relr=True,
        textrel=True,
    )
    assert read_dynamic(table_of(spec)) == Dynamic(
        needed=("libz.so.1", "libc.so.6"),
        soname="libdemo.so.1",
        rpath="/opt/lib",
        runpath="$ORIGIN/../lib:",
        flags=8,
        flags_1=0x08000001,
        has_relr=True,
        has_textrel=True,
    )


def test_nothing_said() -> None:
    assert read_dynamic(table_of(ElfSpec(hash="none"))) == Dynamic()


def test_textrel_flag() -> None:
    assert read_dynamic(table_of(ElfSpec(dt_flags=4))).has_textrel
    assert not read_dynamic(table_of(ElfSpec(dt_flags=8))).has_textrel


def test_the_last_of_two_counts() -> None:
    spec = ElfSpec(soname="one", needed=("two",))
    (position,) = [value for tag, value in table_of(spec).entries if tag == DT_NEEDED]
    assert read_dynamic(table_of(replace(spec, entries=((DT_SONAME, position),)))).soname == "two"


def test_no_dynamic_section() -> None:
    assert read_table(View.open(build_elf(dynamic=False), "prog")) is None


def test_debug_companion_has_none() -> None:
    data, places = build_with_places(ElfSpec(needed=("libc.so.6",)))
    row = struct.unpack_from("<Q", data, 0x28)[0] + 64 * (1 + list(places).index(".dynamic"))
    companion = data[: row + 4] + struct.pack("<I", 8) + data[row + 8 :]
    assert read_table(View.open(companion, "lib.debug")) is None


def test_capacity_counts_the_spare_entries() -> None:
    spec = ElfSpec(needed=("libc.so.6",), spare_nulls=7)
    data, places = build_with_places(spec)
    table = table_of(spec)
    assert table.offset == places[".dynamic"]
    assert table.capacity == len(table.entries) + 8
    assert table.entries[0][0] == DT_NEEDED
    assert data[table.offset + 16 * len(table.entries) :][: 16 * 8] == bytes(16 * 8)


def test_size_that_is_no_multiple_of_an_entry() -> None:
    data = build_elf(needed=("libc.so.6",), sections=False)
    header = 64 + 2 * 56  # PT_DYNAMIC stands third
    size = struct.unpack_from("<Q", data, header + 32)[0]
    odd = data[: header + 32] + struct.pack("<Q", size - 5) + data[header + 40 :]
    table = read_table(View.open(odd, "lib.so"))
    assert table is not None
    assert table.capacity == size // 16 - 1
    assert read_dynamic(table).needed == ("libc.so.6",)


def test_the_address_counts_not_the_offset() -> None:
    # As for ld.so: p_offset of PT_DYNAMIC is never asked.
    data = build_elf(needed=("libc.so.6",), sections=False)
    header = 64 + 2 * 56
    lie = data[: header + 8] + bytes(8) + data[header + 16 :]
    table = read_table(View.open(lie, "lib.so"))
    assert table is not None
    assert read_dynamic(table).needed == ("libc.so.6",)
    astray = data[: header + 16] + struct.pack("<Q", 1 << 50) + data[header + 24 :]
    with pytest.raises(ElfError) as caught:
        read_table(View.open(astray, "lib.so"))
    assert caught.value.context[0].startswith(f"p_vaddr of PT_DYNAMIC at offset 0x{header + 16:x} points to address")


def test_size_beyond_the_file() -> None:
    data = build_elf(sections=False)
    header = 64 + 2 * 56
    lie = data[: header + 32] + struct.pack("<Q", 1 << 50) + data[header + 40 :]
    with pytest.raises(ElfError) as caught:
        read_table(View.open(lie, "lib.so"))
    assert caught.value.context[0].startswith("PT_DYNAMIC at offset")


def test_no_end_mark_is_no_fault() -> None:
    data, places = build_with_places(ElfSpec(needed=("libc.so.6",), spare_nulls=0, sections=False))
    header = 64 + 2 * 56
    size = struct.unpack_from("<Q", data, header + 32)[0]
    cut = data[: header + 32] + struct.pack("<Q", size - 16) + data[header + 40 :]
    table = read_table(View.open(cut, "lib.so"))
    assert table is not None
    assert table.capacity == len(table.entries) == size // 16 - 1
    assert table.offset == places[".dynamic"]


def test_too_many_entries() -> None:
    with pytest.raises(ElfError) as caught:
        table_of(ElfSpec(entries=((0x6FFFFE00, 1),) * (1 << 16)))
    assert "has more than 65536 entries before DT_NULL" in caught.value.context[0]


def test_string_table_astray() -> None:
    spec = ElfSpec(needed=("libc.so.6",))
    table = table_of(replace(spec, entries=((DT_STRTAB, 1 << 60),)))
    place = table.offset + 16 * (len(table.entries) - 1) + 8
    assert refusal(replace(spec, entries=((DT_STRTAB, 1 << 60),))) == (
        f"DT_STRTAB at offset 0x{place:x} points to address 0x{1 << 60:x}, where no PT_LOAD has file contents"
    )


def test_string_table_too_long() -> None:
    assert refusal(ElfSpec(needed=("libc.so.6",), entries=((DT_STRSZ, 1 << 60),))).startswith(
        "the string table of DT_STRTAB and DT_STRSZ at offset"
    )


def test_string_table_too_short() -> None:
    spec = ElfSpec(needed=("libc.so.6",), entries=((DT_STRSZ, 5),))
    table = table_of(spec)
    assert refusal(spec) == (
        f"DT_NEEDED at offset 0x{table.offset + 8:x} names the string at 1, outside of DT_STRTAB (5 bytes)"
    )
    # The string begins within the table and does not end there.
    assert "names the string at 1, outside of DT_STRTAB (2 bytes)" in refusal(replace(spec, entries=((DT_STRSZ, 2),)))


def test_name_outside_the_string_table() -> None:
    table = table_of(ElfSpec(soname="x", entries=((DT_SONAME, 1 << 40),)))
    place = table.offset + 16 * (len(table.entries) - 1) + 8
    with pytest.raises(ElfError) as caught:
        read_dynamic(table)
    assert caught.value.context[0].startswith(f"DT_SONAME at offset 0x{place:x} names the string at {1 << 40}")


def without(tag: int, data: bytes, offset: int) -> bytes:
    """The file with another tag's number in place of one."""
    while struct.unpack_from("<Q", data, offset)[0] != tag:
        offset += 16
    return data[:offset] + struct.pack("<Q", 0x6FFFFE00) + data[offset + 8 :]


def test_string_table_missing() -> None:
    data, places = build_with_places(ElfSpec(needed=("libc.so.6",)))
    table = read_table(View.open(without(DT_STRTAB, data, places[".dynamic"]), "lib.so"))
    assert table is not None
    assert table.strings == b""
    with pytest.raises(ElfError):
        read_dynamic(table)
    table = read_table(View.open(without(DT_STRSZ, data, places[".dynamic"]), "lib.so"))
    assert table is not None
    with pytest.raises(ElfError) as caught:
        read_dynamic(table)
    assert caught.value.context[0].endswith("comes without DT_STRSZ")


def test_names_that_are_no_ascii() -> None:
    spec = ElfSpec(needed=("libc.so.6", "libgrün.so", "lib\udcff.so"), soname="libé.so")
    dynamic = read_dynamic(table_of(spec))
    assert dynamic.needed == ("libc.so.6", "libgrün.so", "lib\udcff.so")
    assert dynamic.soname == "libé.so"


def test_one_string() -> None:
    table = table_of(ElfSpec(soname="libdemo.so.1"))
    (position,) = [value for tag, value in table.entries if tag == DT_SONAME]
    assert table.string("DT_SONAME", position) == "libdemo.so.1"
    assert table.string("DT_SONAME", position + 3) == "demo.so.1"
    with pytest.raises(ElfError) as caught:
        table.string("DT_SONAME", 99)
    assert caught.value.context[0].startswith("DT_SONAME names the string at 99")


def test_overlapping_names_are_bounded() -> None:
    # 60,000 times a name of 1 MB would be 60 GB.
    spec = ElfSpec(soname="x" * 1_000_000)
    (position,) = [value for tag, value in table_of(spec).entries if tag == DT_SONAME]
    lie = replace(spec, entries=((DT_NEEDED, position),) * 60_000)
    assert refusal(lie).endswith("names one of very many strings that overlap each other")
