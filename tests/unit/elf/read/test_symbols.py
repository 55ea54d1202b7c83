"""Dynamic symbols: how many there are, what is asked and what is offered."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.image import parse, parse_defined_names
from deloc8.elf.read.symbols import (
    DefinedSymbol,
    UndefinedSymbol,
    count_hashed,
    count_symbols,
    read_defined,
    read_defined_names,
    read_undefined,
)
from deloc8.elf.read.versions import read_defined_versions, read_version_needs
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf, build_with_places

if TYPE_CHECKING:
    from kit.elf_spec import Hash

DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_RELSZ = 4, 5, 6, 7, 8, 18
DT_PLTRELSZ, DT_PLTREL, DT_JMPREL = 2, 20, 23
DT_GNU_HASH, DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0

UNDEFINED = (
    Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
    Undefined("__gmon_start__", weak=True),
    Undefined("PyModule_Create2"),
    Undefined("pow", "GLIBC_2.29", "libm.so.6", weak=True),
)
DEFINED = (
    Defined("one", "DEMO_1"),
    Defined("two", "DEMO_2", binding=2),
    Defined("two", "DEMO_1", hidden=True),
    Defined("PyInit_demo"),
    Defined("unique", binding=10),
)
FULL = ElfSpec(soname="libdemo.so.1", undefined=UNDEFINED, defined=DEFINED)
HASHES: tuple[Hash, ...] = ("gnu", "sysv", "both")


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def undefined_of(data: bytes) -> tuple[UndefinedSymbol, ...]:
    table = table_of(data)
    return read_undefined(table, read_version_needs(table))


def defined_of(data: bytes) -> tuple[DefinedSymbol, ...]:
    """The defined symbols, of which the shorter way gives the names."""
    table = table_of(data)
    symbols = read_defined(table, read_defined_versions(table), read_version_needs(table))
    assert read_defined_names(table) == {symbol.name for symbol in symbols}
    return symbols


def refusal(data: bytes) -> str:
    with pytest.raises(ElfError) as caught:
        undefined_of(data)
    with pytest.raises(ElfError):
        defined_of(data)
    return caught.value.context[0]


def changed(data: bytes, offset: int, code: str, *values: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(code, copy, offset, *values)
    return bytes(copy)


@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("hash_table", HASHES)
@pytest.mark.parametrize("machine", MACHINES)
def test_both_sets(machine: str, hash_table: Hash, sections: bool) -> None:  # noqa: FBT001  a parameter of the test
    spec = replace(MACHINES[machine], soname="libdemo.so.1", undefined=UNDEFINED, defined=DEFINED)
    data = build_elf(spec, hash=hash_table, sections=sections)
    assert undefined_of(data) == tuple(UndefinedSymbol(*symbol) for symbol in UNDEFINED)
    expected = [DefinedSymbol(name, version, binding, not hidden) for name, version, binding, hidden in DEFINED]
    assert sorted(defined_of(data), key=str) == sorted(expected, key=str)
    assert count_symbols(table_of(data)) == 1 + len(UNDEFINED) + len(DEFINED)


@pytest.mark.parametrize("hash_table", ["gnu", "none"])
@pytest.mark.parametrize("machine", MACHINES)
def test_undefined_alone(machine: str, hash_table: Hash) -> None:
    # DT_GNU_HASH has no defined symbol to count from: the section header tells, and without it the relocations.
    spec = replace(MACHINES[machine], undefined=UNDEFINED, hash=hash_table)
    expected = tuple(UndefinedSymbol(*symbol) for symbol in UNDEFINED)
    for sections in (True, False):
        data = build_elf(spec, sections=sections)
        assert undefined_of(data) == expected
        assert defined_of(data) == ()
    assert count_hashed(table_of(build_elf(spec, hash="gnu"))) == 0


def test_nothing_tells_their_number() -> None:
    data = build_elf(undefined=UNDEFINED, hash="none", sections=False, relocations=False)
    assert count_symbols(table_of(data)) == 0
    assert undefined_of(data) == ()
    assert defined_of(data) == ()


def test_section_header_of_another_table_does_not_count() -> None:
    data, places = build_with_places(ElfSpec(undefined=UNDEFINED))
    row = struct.unpack_from("<Q", data, 0x28)[0] + 64 * (1 + list(places).index(".dynsym"))
    # sh_addr; the relocations tell the same number
    assert len(undefined_of(changed(data, row + 16, "<QQQ", 8, places[".dynsym"], 24))) == len(UNDEFINED)


@pytest.mark.parametrize(("plt_kind", "has_addend"), [(DT_RELA, True), (17, False)])
@pytest.mark.parametrize("machine", ["x86_64", "s390x", "i686"])
def test_relocations_of_the_procedure_linkage_table(machine: str, plt_kind: int, has_addend: bool) -> None:  # noqa: FBT001
    base = replace(MACHINES[machine], undefined=UNDEFINED, hash="none", sections=False, relocations=False)
    order, word = "<" if base.little_endian else ">", "I" if base.bits == 32 else "Q"
    shift = 8 if base.bits == 32 else 32
    rows = [(0, number << shift | 7, 0)[: 3 if has_addend else 2] for number in (1, 4, 2)]
    payload = b"".join(struct.pack(f"{order}{len(row)}{word}", *row) for row in rows)
    place = build_with_places(replace(base, payload=payload, entries=((0, 0),) * 3))[1][".rodata"]
    entries = ((DT_JMPREL, place), (DT_PLTRELSZ, len(payload)), (DT_PLTREL, plt_kind))
    assert len(undefined_of(build_elf(base, payload=payload, entries=entries))) == len(UNDEFINED)


def test_empty_relocation_tables_tell_nothing() -> None:
    data = build_elf(undefined=UNDEFINED, hash="none", sections=False, entries=((DT_RELASZ, 0),))
    assert undefined_of(data) == ()
    data = build_elf(undefined=UNDEFINED, hash="none", sections=False, entries=((DT_RELASZ, 7),))
    assert undefined_of(data) == ()


def test_no_symbol_table() -> None:
    data, places = build_with_places(FULL)
    offset = places[".dynamic"]
    while struct.unpack_from("<Q", data, offset)[0] != DT_SYMTAB:
        offset += 16
    bare = changed(data, offset, "<Q", 0x6FFFFE00)
    assert undefined_of(bare) == ()
    assert defined_of(bare) == ()


def test_library_without_symbols() -> None:
    assert undefined_of(build_elf()) == ()
    assert defined_of(build_elf(undefined=UNDEFINED)) == ()
    assert undefined_of(build_elf(defined=DEFINED)) == ()


def test_without_versions() -> None:
    data = build_elf(undefined=(Undefined("puts"),), defined=(Defined("one"),))
    assert undefined_of(data) == (UndefinedSymbol("puts", None, None, weak=False),)
    assert defined_of(data) == (DefinedSymbol("one", None, 1, default=True),)


@pytest.mark.parametrize(("binding", "weak"), [(1, False), (2, True), (3, False), (6, False), (10, False)])
@pytest.mark.parametrize("version", [None, "GLIBC_2.2.5"])
def test_one_binding_is_weak(binding: int, weak: bool, version: str | None) -> None:  # noqa: FBT001  a parameter
    file = version and "libc.so.6"
    data, places = build_with_places(ElfSpec(undefined=(Undefined("puts", version, file),)))
    data = changed(data, places[".dynsym"] + 24 + 4, "B", binding << 4 | 2)
    assert undefined_of(data) == (UndefinedSymbol("puts", version, file, weak=weak),)


def test_number_without_a_version() -> None:
    # ld.so takes the symbol as one without a version.
    data, places = build_with_places(FULL)
    lost = changed(data, places[".gnu.version"] + 2, "<H", 77)
    assert undefined_of(lost)[0] == UndefinedSymbol("memcpy", None, None, weak=False)


def test_copy_of_a_variable_has_the_version_of_its_origin() -> None:
    # A program that uses stdout defines a copy of it, under the version of libc.so.6.
    data, places = build_with_places(
        ElfSpec(defined=(Defined("stdout"),), needs=(NeedSpec("libc.so.6", "GLIBC_2.2.5"),))
    )
    copied = changed(data, places[".gnu.version"] + 2, "<H", 2)
    assert defined_of(copied) == (DefinedSymbol("stdout", "GLIBC_2.2.5", 1, default=True),)


def test_local_and_nameless_symbols_are_left_out() -> None:
    data, places = build_with_places(ElfSpec(undefined=UNDEFINED, defined=DEFINED))
    first_defined = places[".dynsym"] + 24 * (1 + len(UNDEFINED))
    assert len(defined_of(changed(data, first_defined + 4, "<B", 1))) == len(DEFINED) - 1
    assert len(defined_of(changed(data, first_defined, "<I", 0))) == len(DEFINED) - 1
    assert len(undefined_of(changed(data, places[".dynsym"] + 24, "<I", 0))) == len(UNDEFINED) - 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((DT_HASH, 2**64 - 8), "DT_HASH at offset 0x{:x} points to address 0xfffffffffffffff8"),
        ((DT_SYMTAB, 1 << 50), "DT_SYMTAB at offset 0x{:x} points to address"),
        ((DT_VERSYM, 1 << 50), "DT_VERSYM at offset 0x{:x} points to address"),
    ],
)
def test_tables_astray(entry: tuple[int, int], message: str) -> None:
    data, places = build_with_places(replace(FULL, hash="both", entries=(entry,), spare_nulls=0))
    table = table_of(data)
    last = places[".dynamic"] + 16 * (len(table.entries) - 1) + 8
    assert refusal(data).startswith(message.format(last))


def test_hash_table_that_lies() -> None:
    data, places = build_with_places(replace(FULL, hash="sysv"))
    assert refusal(changed(data, places[".hash"] + 4, "<I", 0xFFFFFFFF)).startswith("DT_SYMTAB at offset")
    data, places = build_with_places(replace(MACHINES["s390x"], undefined=UNDEFINED, hash="sysv"))
    assert refusal(changed(data, places[".hash"] + 8, ">Q", 2**64 - 1)).startswith("DT_SYMTAB at offset")


def test_version_numbers_cut_short() -> None:
    data = build_elf(FULL, sections=False)
    # Two bytes before the end of what is loaded
    assert refusal(build_elf(FULL, sections=False, entries=((DT_VERSYM, 0x1000 + len(data) + 16 - 2),))).startswith(
        f"DT_VERSYM at offset 0x{len(data) + 16 - 2:x} reaches to"
    )


@pytest.mark.parametrize(("field", "value"), [(0, 0xFFFFFFFF), (8, 0xFFFFFFFF)])
def test_gnu_hash_counts_that_lie(field: int, value: int) -> None:
    data, places = build_with_places(FULL)
    assert refusal(changed(data, places[".gnu.hash"] + field, "<I", value)).startswith("the buckets of DT_GNU_HASH at")


def test_gnu_hash_bucket_that_lies() -> None:
    data, places = build_with_places(FULL)
    bucket = places[".gnu.hash"] + 16 + 8
    assert refusal(changed(data, bucket, "<I", 0x7FFFFFFF)).startswith("DT_GNU_HASH at offset")


def test_gnu_hash_chain_without_end() -> None:
    # One bucket, and a chain that nothing ends before the file does.
    table = struct.pack("<IIIIQI", 1, 1, 1, 6, 0, 1)
    payload = table + struct.pack("<I", 2) * 400_000
    place = build_with_places(replace(FULL, payload=payload, entries=((0, 0),)))[1][".rodata"]
    data = build_elf(FULL, payload=payload, entries=((DT_GNU_HASH, place),), sections=False)
    assert "the file cannot hold them" in refusal(data)
    # and one that the file's end cuts off
    spec = replace(FULL, payload=payload[:-8], entries=((DT_GNU_HASH, place),), sections=False)
    tail = changed(build_elf(spec), place + 4, "<I", 0)
    high = changed(tail, place + 24, "<I", (len(tail) - place - 28) // 4)
    assert refusal(high)


def test_gnu_hash_whose_last_bucket_is_below_the_first_symbol() -> None:
    data, places = build_with_places(replace(FULL, sections=True))
    assert count_hashed(table_of(changed(data, places[".gnu.hash"] + 4, "<I", 1000))) == 0


def test_long_chain() -> None:
    # All in one bucket: the chain is longer than what is read at a time.
    many = tuple(Defined(f"symbol_{number}") for number in range(3000))
    data, places = build_with_places(ElfSpec(defined=many, sections=False))
    head = places[".gnu.hash"]
    count = struct.unpack_from("<I", data, head)[0]
    assert len(defined_of(data)) == 3000
    chains = head + 16 + 8 + 4 * count
    merged = bytearray(changed(data, head + 24, f"<{count}I", *([1] * count)))
    for place in range(chains, chains + 4 * 2999, 4):
        merged[place] &= 0xFE
    assert len(defined_of(bytes(merged))) == 3000


def test_relocation_table_astray() -> None:
    base = ElfSpec(undefined=UNDEFINED, hash="none", sections=False)
    assert refusal(replaced(base, (DT_RELA, 1 << 50))).startswith("DT_RELA at offset")
    assert refusal(replaced(base, (DT_RELASZ, 1 << 50))).startswith("the table of DT_RELA at offset")


def replaced(spec: ElfSpec, entry: tuple[int, int]) -> bytes:
    return build_elf(spec, entries=(entry,))


def test_name_outside_the_string_table() -> None:
    data, places = build_with_places(FULL)
    second = places[".dynsym"] + 2 * 24
    with pytest.raises(ElfError) as caught:
        undefined_of(changed(data, second, "<I", 0x7FFFFFFF))
    assert caught.value.context[0].startswith(f"st_name at offset 0x{second:x} names the string at 2147483647")


def test_names_that_overlap_are_bounded() -> None:
    # 2,000 names of 1 MB each, all of them ends of one string
    long = "x" * 1_000_000
    many = tuple(Undefined(f"s{number}") for number in range(2_000))
    data, places = build_with_places(ElfSpec(undefined=(Undefined(long), *many), relocations=False))
    lie = bytearray(data)
    for number in range(2, 2_002):
        struct.pack_into("<I", lie, places[".dynsym"] + 24 * number, 1)
    with pytest.raises(ElfError) as caught:
        undefined_of(bytes(lie))
    assert caught.value.context[0].endswith("names one of very many strings that overlap each other")


def test_relocations_that_tell_nothing_count_nothing() -> None:
    nothing = ElfSpec(undefined=UNDEFINED, hash="none", sections=False)
    assert count_symbols(table_of(build_elf(nothing, entries=((DT_RELASZ, 7),)))) == 0
    without_size = build_elf(nothing, relocations=False, entries=((DT_RELA, 1 << 40),))
    assert count_symbols(table_of(without_size)) == 0


def test_a_chain_may_end_with_the_file_and_not_later() -> None:
    data, places = build_with_places(ElfSpec(defined=(Defined("one"),), payload=bytes(100_000), sections=False))
    data = data.ljust(-(-len(data) // 4) * 4, b"\0")
    data = changed(data, len(data) - 4, "<I", 1)
    buckets, first, bloom, _ = struct.unpack_from("<4I", data, places[".gnu.hash"])
    bucket = places[".gnu.hash"] + 16 + 8 * bloom
    behind = first + (len(data) - bucket - 4 * buckets) // 4
    assert count_hashed(table_of(changed(data, bucket, "<I", behind - 1))) == behind
    with pytest.raises(ElfError, match="not a sound"):
        count_hashed(table_of(changed(data, bucket, "<I", behind)))


MANY = [Undefined(f"u{number}") for number in range(5)]


def test_tables_beyond_the_limits_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ElfSpec(undefined=tuple(MANY), defined=(Defined("mine"),))
    data = build_elf(spec)
    monkeypatch.setattr("deloc8.elf.read.symbols._MANY", 3)
    count = len(MANY) + 2  # the first symbol of a table has no name
    monkeypatch.setattr("deloc8.elf.read.symbols._MOST_SYMBOLS", count)
    monkeypatch.setattr("deloc8.elf.read.symbols._MOST_UNDEFINED", len(MANY))
    assert len(parse(data, "x").undefined) == len(MANY)
    monkeypatch.setattr("deloc8.elf.read.symbols._MOST_UNDEFINED", len(MANY) - 1)
    with pytest.raises(ElfError, match="sound") as caught:
        parse(data, "x")
    assert "has 5 undefined symbols; the limit is 4" in caught.value.context[0]
    monkeypatch.setattr("deloc8.elf.read.symbols._MOST_SYMBOLS", count - 1)
    with pytest.raises(ElfError) as caught:
        parse(data, "x")
    assert f"has {count} symbols; the limit is {count - 1}" in caught.value.context[0]


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_of_the_defined_names_those_that_are_wanted_are_read(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    data = build_elf(ElfSpec(undefined=tuple(MANY), defined=tuple(Defined(name) for name in "abcde")))
    monkeypatch.setattr("deloc8.elf.read.symbols._MANY", at_once)
    assert parse_defined_names(data, "x") == set("abcde")
    assert parse_defined_names(data, "x", frozenset({"b", "d", "u1"})) == {"b", "d"}
    # That it offers something can still be seen.
    assert len(parse_defined_names(data, "x", frozenset({"none"}))) == 1
    assert parse_defined_names(build_elf(ElfSpec(undefined=tuple(MANY))), "x", frozenset({"u1"})) == set()
