"""Version needs and definitions."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from deloc8.elf.read.dynamic import DynamicTable, read_table
from deloc8.elf.read.versions import (
    DefinedVersion,
    NeededVersion,
    VersionNeed,
    read_defined_versions,
    read_version_needs,
)
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf, build_with_places

DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF

NEEDING = ElfSpec(
    needed=("libm.so.6", "libc.so.6"),
    undefined=(
        Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
        Undefined("pow", "GLIBC_2.29", "libm.so.6"),
        Undefined("free", "GLIBC_2.2.5", "libc.so.6"),
        Undefined("malloc", "GLIBC_2.2.5", "libc.so.6"),
    ),
    needs=(NeedSpec("libc.so.6", "GLIBC_2.34", weak=True),),
)
DEFINING = ElfSpec(
    soname="libdemo.so.1",
    defined=(Defined("one", "DEMO_1"), Defined("two", "DEMO_2")),
    parents=(("DEMO_1", ()), ("DEMO_2", ("DEMO_1",))),
)


def table_of(data: bytes) -> DynamicTable:
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    return table


def changed(data: bytes, offset: int, code: str, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(code, copy, offset, value)
    return bytes(copy)


def refusal(data: bytes) -> str:
    table = table_of(data)
    with pytest.raises(ElfError) as caught:
        (read_version_needs(table), read_defined_versions(table))
    return caught.value.context[0]


@pytest.mark.parametrize("machine", MACHINES)
def test_needs(machine: str) -> None:
    base = MACHINES[machine]
    spec = replace(base, needed=NEEDING.needed, undefined=NEEDING.undefined, needs=NEEDING.needs)
    assert read_version_needs(table_of(build_elf(spec))) == (
        VersionNeed(
            file="libc.so.6",
            versions=(
                NeededVersion(name="GLIBC_2.14", index=2, weak=False),
                NeededVersion(name="GLIBC_2.2.5", index=3, weak=False),
                NeededVersion(name="GLIBC_2.34", index=4, weak=True),
            ),
        ),
        VersionNeed(file="libm.so.6", versions=(NeededVersion(name="GLIBC_2.29", index=5, weak=False),)),
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_definitions(machine: str) -> None:
    base = MACHINES[machine]
    spec = replace(base, soname=DEFINING.soname, defined=DEFINING.defined, parents=DEFINING.parents)
    assert read_defined_versions(table_of(build_elf(spec))) == (
        DefinedVersion(name="libdemo.so.1", index=1, base=True, parents=()),
        DefinedVersion(name="DEMO_1", index=2, base=False, parents=()),
        DefinedVersion(name="DEMO_2", index=3, base=False, parents=("DEMO_1",)),
    )


def test_no_versions() -> None:
    table = table_of(build_elf())
    assert read_version_needs(table) == ()
    assert read_defined_versions(table) == ()


@pytest.mark.parametrize("count", [0, 1, 1 << 40])
def test_chains_end_where_ld_so_ends_them(count: int) -> None:
    needing, defining = build_elf(NEEDING), build_elf(DEFINING)
    counted = build_elf(NEEDING, entries=((DT_VERNEEDNUM, count),))
    assert read_version_needs(table_of(counted)) == read_version_needs(table_of(needing))
    counted = build_elf(DEFINING, entries=((DT_VERDEFNUM, count),))
    assert read_defined_versions(table_of(counted)) == read_defined_versions(table_of(defining))


def test_tables_astray() -> None:
    assert "points to address 0xffffffffffffffff" in refusal(build_elf(NEEDING, entries=((DT_VERNEED, 2**64 - 1),)))
    assert refusal(build_elf(NEEDING, entries=((DT_VERNEED, 2**64 - 1),))).startswith("DT_VERNEED at offset 0x")
    assert refusal(build_elf(DEFINING, entries=((DT_VERDEF, 2**63),))).startswith("DT_VERDEF at offset 0x")


@pytest.mark.parametrize(
    ("spec", "section", "field", "message"),
    [
        (NEEDING, ".gnu.version_r", 4, "vn_file at offset 0x{:x} names the string at 2147483647"),
        (NEEDING, ".gnu.version_r", 16 + 8, "vna_name at offset 0x{:x} names the string at 2147483647"),
        (NEEDING, ".gnu.version_r", 8, "needed version at offset 0x"),
        (NEEDING, ".gnu.version_r", 16 + 12, "needed version at offset 0x"),
        (NEEDING, ".gnu.version_r", 12, "version need at offset 0x"),
        (DEFINING, ".gnu.version_d", 12, "version name at offset 0x"),
        (DEFINING, ".gnu.version_d", 16, "version definition at offset 0x"),
        (DEFINING, ".gnu.version_d", 20, "vda_name at offset 0x{:x} names the string at 2147483647"),
        (DEFINING, ".gnu.version_d", 24, "version name at offset 0x"),
    ],
)
def test_fields_that_lie(spec: ElfSpec, section: str, field: int, message: str) -> None:
    data, places = build_with_places(spec)
    place = places[section] + field
    assert refusal(changed(data, place, "<I", 0x7FFFFFFF)).startswith(message.format(place))


def chained(length: int, step: int) -> bytes:
    """Version needs in a chain of `length` records, each with a chain of its own to the end of them."""
    record = struct.pack("<HHIII", 1, 0xFFFF, 1, step, step)
    return b"".join([record[:16]] * length)


def test_overlapping_chains_are_bounded() -> None:
    # Each of 20,000 records has all the later ones as its own: 200 million steps.
    data, places = build_with_places(
        replace(NEEDING, payload=chained(20_000, 16) + bytes(16), entries=((DT_VERNEED, 1 << 40),))
    )
    place = places[".rodata"]
    aimed = build_elf(NEEDING, payload=chained(20_000, 16) + bytes(16), entries=((DT_VERNEED, place),))
    assert len(aimed) == len(data)
    assert refusal(aimed).endswith("is one of more than 65536, which cannot all have a number")


@pytest.mark.parametrize(("names", "is_read"), [(65_535, True), (65_536, False)])
def test_as_many_records_as_security_promises(names: int, is_read: bool) -> None:  # noqa: FBT001
    """65,536 version records are read: a definition and its names."""
    definition = struct.pack("<HHHHIII", 1, 0, 5, 1, 0, 20, 0)
    payload = definition + struct.pack("<II", 1, 8) * (names - 1) + struct.pack("<II", 1, 0)
    _, places = build_with_places(replace(NEEDING, payload=payload, entries=((DT_VERDEF, 1 << 40),)))
    data = build_elf(NEEDING, payload=payload, entries=((DT_VERDEF, places[".rodata"]),))
    if is_read:
        (found,) = read_defined_versions(table_of(data))
        assert len(found.parents) == names - 1
    else:
        assert refusal(data).endswith("is one of more than 65536, which cannot all have a number")
