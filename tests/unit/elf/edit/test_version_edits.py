"""Edits of versions, read back by pyelftools."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from deloc8.elf.edit.draft import make_draft
from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.joining import joined_bytes
from deloc8.elf.edit.layout import place
from deloc8.elf.edit.rebind import sysv_hash
from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import (
    BindToZero,
    BindVersion,
    DropVersion,
    RemoveNeeded,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
    UnpackRelocations,
)
from deloc8.elf.edit.writer import apply_placement, edit
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.image import parse
from deloc8.elf.read.symbols import UndefinedSymbol
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from deloc8.repair.lowering.proof import planned_relocations, relocation_problems
from kit import elf_spec
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import make_copy, patch_entry, patch_header, patch_number, patch_segment
from kit.pyelf import COPY, RELATIVE, dynamic_of, peer_of, relocations_of, word_at

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit

PT_LOAD = 1
DT_VERNEED, DT_VERNEEDNUM, DT_VERSYM, DT_HASH = 0x6FFFFFFE, 0x6FFFFFFF, 0x6FFFFFF0, 4
DT_RELA, DT_RELASZ, DT_REL, DT_RELSZ, DT_RELACOUNT, DT_RELCOUNT, DT_RELR = 7, 8, 17, 18, 0x6FFFFFF9, 0x6FFFFFFA, 36
REL_MACHINES = {3, 40}
TABLE_MACHINES = [name for name in MACHINES if name != "s390"]

CREATE = Undefined("pthread_create", "GLIBC_2.34", "libc.so.6")
FCNTL = Undefined("fcntl64", "GLIBC_2.28", "libc.so.6")
PUTS = Undefined("puts", "GLIBC_2.2.5", "libc.so.6")
STAT = Undefined("stat", "GLIBC_2.33", "libc.so.6")
SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
RICH = ElfSpec(
    soname="libdemo.so",
    needed=("libm.so.6", "libc.so.6"),
    undefined=(PUTS, CREATE, FCNTL, STAT, SINGLE, Undefined("exp", "GLIBC_2.29", "libm.so.6"), Undefined("free_name")),
    defined=(Defined("demo", "DEMO_1"), Defined("demo_two", "DEMO_2")),
    hash="both",
    spare_headers=1,
)
MOVED = BindVersion(symbol="pthread_create", old="GLIBC_2.34", version="GLIBC_2.2.5", library="libpthread.so.0")
SAME = BindVersion(symbol="fcntl64", old="GLIBC_2.28", version="GLIBC_2.2.5", library="libc.so.6", name="fcntl")
OLD_EXP = BindVersion(symbol="exp", old="GLIBC_2.29", version="GLIBC_2.2.5", library="libm.so.6")
DROPPED = DropVersion(symbol="stat", old="GLIBC_2.33")
ZERO = BindToZero(symbol="__libc_single_threaded", old="GLIBC_2.32")


def for_machine(machine: str, spec: ElfSpec = RICH) -> ElfSpec:
    base = MACHINES[machine]
    return replace(
        spec, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags, align=base.align
    )


def section_of(data: bytes, name: str) -> Any:
    """A section, by pyelftools, whose types say little of it."""
    return ELFFile(io.BytesIO(data)).get_section_by_name(name)


def refused(data: bytes, *edits: Edit) -> str:
    with pytest.raises(ElfError) as caught:
        edit(data, edits, "lib.so")
    assert caught.value.code == "edit-impossible"
    return " ".join(caught.value.context)


@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("machine", TABLE_MACHINES)
def test_symbols_are_bound_to_other_versions(machine: str, *, sections: bool) -> None:
    data = build_elf(replace(for_machine(machine), sections=sections))
    edited = edit(data, [MOVED, SAME, OLD_EXP, DROPPED], "lib.so").data
    if sections:
        before, after = peer_of(data), peer_of(edited)
        assert after.needed == ("libm.so.6", "libc.so.6", "libpthread.so.0")
        assert after.undefined == (
            ("puts", "GLIBC_2.2.5", "libc.so.6", False),
            ("pthread_create", "GLIBC_2.2.5", "libpthread.so.0", False),
            ("fcntl", "GLIBC_2.2.5", "libc.so.6", False),
            ("stat", None, None, False),
            ("__libc_single_threaded", "GLIBC_2.32", "libc.so.6", False),
            ("exp", "GLIBC_2.2.5", "libm.so.6", False),
            ("free_name", None, None, False),
        )
        assert {(file, name) for file, versions in [(f, v) for f, v in after.needs] for name, _, _ in versions} == {
            ("libc.so.6", "GLIBC_2.2.5"),
            ("libc.so.6", "GLIBC_2.32"),
            ("libm.so.6", "GLIBC_2.2.5"),
            ("libpthread.so.0", "GLIBC_2.2.5"),
        }
        assert (after.defined, after.definitions) == (before.defined, before.definitions)
    # Without section headers pyelftools finds no symbols; then the file must read as its twin does.
    twin = edit(build_elf(for_machine(machine)), [MOVED, SAME, OLD_EXP, DROPPED], "lib.so").data
    assert (parse(edited, "").undefined, parse(edited, "").version_needs) == (
        parse(twin, "").undefined,
        parse(twin, "").version_needs,
    )
    assert broken_invariants(edited, "lib.so") == ()
    assert dynamic_of(edited)["DT_VERNEEDNUM"] == 3
    again = edit(edited, [MOVED, SAME, OLD_EXP, DROPPED], "lib.so")
    assert again.data == edited
    assert again.placement.slot is Slot.NONE


def test_what_follows_the_versions_stays_where_they_do_not_fit() -> None:
    """Version records that move leave the bytes of their old place, and those behind it, as they are."""
    data = build_elf(RICH)
    start = section_offset(data, ".gnu.version_r")
    room = section_of(data, ".gnu.version_r")["sh_size"]
    edits = (MOVED, replace(SAME, library="liba.so"), replace(OLD_EXP, library="libb.so"), DROPPED)
    edited = edit(data, edits, "lib.so").data
    assert section_offset(edited, ".gnu.version_r") >= len(data)
    behind = data[start + room : start + room + 64]
    assert edited[start + room : start + room + 64] == behind != bytes(64)


def test_versions_that_fit_stay_where_they_are() -> None:
    """A version that nobody asks for any more makes room for the new one: no table moves."""
    data = build_elf(RICH)
    edited = edit(data, [OLD_EXP], "lib.so")
    assert edited.placement.slot is Slot.NONE
    assert dynamic_of(edited.data)["DT_VERNEED"] == dynamic_of(data)["DT_VERNEED"]
    needs = dict(peer_of(edited.data).needs)
    assert [name for name, _, _ in needs["libm.so.6"]] == ["GLIBC_2.2.5"]


def test_a_new_version_has_the_next_number() -> None:
    """As linkers count: one after the other, behind those that are defined."""
    numbers = [index for _, versions in peer_of(build_elf(RICH)).needs for _, index, _ in versions]
    numbers += [index for _, index, _, _ in peer_of(build_elf(RICH)).definitions]
    edited = edit(build_elf(RICH), [MOVED, replace(SAME, version="GLIBC_2.5")], "lib.so").data
    new = {index for _, versions in peer_of(edited).needs for _, index, _ in versions} - set(numbers)
    assert new == {max(numbers) + 1, max(numbers) + 2}


def test_new_records_are_as_a_linker_writes_them() -> None:
    """Of revision 1, and no version marked as weak or as base (LSB, "Symbol Versioning")."""
    edited = edit(build_elf(RICH), [MOVED, replace(SAME, version="GLIBC_2.5")], "lib.so").data
    section = section_of(edited, ".gnu.version_r")
    records = [(need.entry, [aux.entry for aux in versions]) for need, versions in section.iter_versions()]
    assert {need["vn_version"] for need, _ in records} == {1}
    assert {aux["vna_flags"] for _, versions in records for aux in versions} == {0}
    assert [need["vn_cnt"] for need, _ in records] == [len(versions) for _, versions in records]


def test_records_without_versions_are_unlinked() -> None:
    spec = replace(RICH, undefined=(PUTS, Undefined("exp", "GLIBC_2.29", "libm.so.6"), CREATE))
    edited = edit(build_elf(spec), [DropVersion(symbol="exp", old="GLIBC_2.29")], "lib.so").data
    assert [file for file, _ in peer_of(edited).needs] == ["libc.so.6"]
    assert dynamic_of(edited)["DT_VERNEEDNUM"] == 1
    section = section_of(edited, ".gnu.version_r")
    assert section.header.sh_info == 1
    everything = [DropVersion(symbol="exp", old="GLIBC_2.29"), DropVersion(symbol="puts", old="GLIBC_2.2.5")]
    everything.append(DropVersion(symbol="pthread_create", old="GLIBC_2.34"))
    bare = edit(build_elf(replace(spec, defined=())), everything, "lib.so").data
    assert not {"DT_VERNEED", "DT_VERNEEDNUM", "DT_VERSYM"} & dynamic_of(bare).keys()
    assert [symbol[:2] for symbol in peer_of(bare).undefined] == [
        ("puts", None),
        ("exp", None),
        ("pthread_create", None),
    ]


def test_a_version_that_another_symbol_asks_for_stays() -> None:
    spec = replace(RICH, undefined=(CREATE, Undefined("dlopen", "GLIBC_2.34", "libc.so.6")))
    edited = edit(build_elf(spec), [MOVED], "lib.so").data
    needs = {file: [name for name, _, _ in versions] for file, versions in peer_of(edited).needs}
    assert needs == {"libc.so.6": ["GLIBC_2.34"], "libpthread.so.0": ["GLIBC_2.2.5"]}


def test_a_version_that_no_symbol_asked_for_stays() -> None:
    spec = replace(RICH, undefined=(CREATE,), needs=(NeedSpec("libc.so.6", "GLIBC_2.5", weak=True),))
    edited = edit(build_elf(spec), [MOVED], "lib.so").data
    needs = {file: [(name, weak) for name, _, weak in versions] for file, versions in peer_of(edited).needs}
    assert needs == {"libc.so.6": [("GLIBC_2.5", True)], "libpthread.so.0": [("GLIBC_2.2.5", False)]}


def test_a_weak_reference_stays_weak() -> None:
    spec = replace(RICH, undefined=(PUTS, replace_weak(CREATE), replace_weak(STAT)))
    edited = edit(build_elf(spec), [MOVED, DROPPED], "lib.so").data
    assert peer_of(edited).undefined[1:] == (
        ("pthread_create", "GLIBC_2.2.5", "libpthread.so.0", True),
        ("stat", None, None, True),
    )


def replace_weak(symbol: Undefined) -> Undefined:
    return symbol._replace(weak=True)


def test_a_reference_without_a_version_may_have_another_name() -> None:
    edited = edit(build_elf(RICH), [replace(DROPPED, name="deloc8_stat")], "lib.so").data
    assert peer_of(edited).undefined[3] == ("deloc8_stat", None, None, False)


@pytest.mark.parametrize("name", ["a_name_before_it", "stat", "z_name_behind_it"])
def test_a_new_name_is_taken_whatever_it_is(name: str) -> None:
    edited = edit(build_elf(RICH), [replace(DROPPED, name=name), replace(SAME, name=name)], "lib.so").data
    assert [peer_of(edited).undefined[number][0] for number in (2, 3)] == [name, name]


def test_the_old_name_is_not_there_any_more() -> None:
    assert "`stat@GLIBC_2.33`" in refused(build_elf(RICH), replace(SAME, symbol="stat", old="GLIBC_2.33"), DROPPED)
    same_version = replace(DROPPED, symbol="fcntl64", old="GLIBC_2.28")
    assert "`fcntl64@GLIBC_2.28`" in refused(build_elf(RICH), replace(SAME, version="GLIBC_2.28"), same_version)


def test_version_numbers_of_a_library_that_is_needed_already() -> None:
    spec = replace(RICH, needed=("libpthread.so.0", "libc.so.6"))
    spec = replace(spec, undefined=(*RICH.undefined[:5], Undefined("sem_wait", "GLIBC_2.2.5", "libpthread.so.0")))
    edited = edit(build_elf(spec), [MOVED], "lib.so").data
    after = peer_of(edited)
    assert after.needed == ("libpthread.so.0", "libc.so.6")
    (versions,) = (versions for file, versions in after.needs if file == "libpthread.so.0")
    assert [name for name, _, _ in versions] == ["GLIBC_2.2.5"]
    assert after.undefined[1] == ("pthread_create", "GLIBC_2.2.5", "libpthread.so.0", False)


@pytest.mark.parametrize("machine", ["x86_64", "s390x", "armv7l"])
def test_the_hash_table_knows_new_names(machine: str) -> None:
    """DT_HASH holds undefined symbols too; pyelftools finds by it."""
    edited = edit(build_elf(replace(for_machine(machine), hash="sysv")), [SAME], "lib.so").data
    if machine == "s390x":  # pyelftools does not know its words of 64 bits
        words = struct.unpack_from(">2Q", edited, parse_hash(edited))
        assert words[1] == len(RICH.undefined) + len(RICH.defined) + 1
        return
    section = section_of(edited, ".hash")
    assert section.get_symbol("fcntl")["st_name"]
    assert section.get_symbol("puts")["st_name"]
    assert section.get_symbol("demo")["st_name"]
    assert section.get_symbol("fcntl64") is None


def parse_hash(data: bytes) -> int:
    elf = ELFFile(io.BytesIO(data))
    return int(next(iter(elf.address_offsets(dynamic_of(data)["DT_HASH"]))))


@pytest.mark.parametrize("count", [1, 2, 3, 97])
def test_a_hash_table_of_any_number_of_buckets(count: int) -> None:
    """Each symbol is found by its name, as ld.so looks for it (gABI, "Hash Table Section")."""
    names = ["", *(symbol.name for symbol in RICH.undefined), *(symbol.name for symbol in RICH.defined)]
    buckets, chains = [0] * count, [0] * len(names)
    for number, name in reversed(list(enumerate(names[1:], 1))):
        place_of_name = sysv_hash(name.encode()) % count
        chains[number], buckets[place_of_name] = buckets[place_of_name], number
    payload = struct.pack(f"<{2 + count + len(names)}I", count, len(names), *buckets, *chains)
    data = build_elf(replace(RICH, hash="sysv", payload=payload))
    data = patch_entry(data, DT_HASH, section_address(data, ".rodata"))
    edited = edit(data, [SAME], "lib.so").data
    start = parse_hash(edited)
    words = struct.unpack_from(f"<{2 + count + len(names)}I", edited, start)
    assert words[:2] == (count, len(names))
    assert words[2 + count] == 0  # of the symbol that is none
    for number, name in enumerate(["fcntl" if name == "fcntl64" else name for name in names[1:]], 1):
        link, found = words[2 + elf_spec.sysv_hash(name) % count], []
        while link:
            found.append(link)
            link = words[2 + count + link]
        assert number in found
        # In their order: a lookup without a version takes the first of several with one name.
        assert found == sorted(found)


def test_a_hash_table_that_leads_astray() -> None:
    data = build_elf(replace(RICH, hash="both"))
    bucket = parse_hash(data) + 8
    symbols = len(RICH.undefined) + len(RICH.defined) + 1
    for number in (symbols, 4000):
        with pytest.raises(ElfError, match="not a sound ELF"):
            edit(patch_number(data, bucket, 4, number), [SAME], "lib.so")


def test_a_ring_in_the_hash_table_ends() -> None:
    data = build_elf(replace(RICH, hash="both"))
    place_of_table = parse_hash(data)
    buckets = struct.unpack_from("<I", data, place_of_table)[0]
    first = struct.unpack_from("<I", data, place_of_table + 8)[0]
    ring = patch_number(data, place_of_table + 8 + 4 * buckets + 4 * first, 4, first)
    assert peer_of(edit(ring, [SAME], "lib.so").data).undefined[2][0] == "fcntl"


@pytest.mark.parametrize("name", ["", "a", "pthread_create", "GLIBC_2.2.5", "x" * 200])
def test_the_hash_of_a_name(name: str) -> None:
    assert sysv_hash(name.encode()) == elf_spec.sysv_hash(name)


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_symbols_that_are_not_there() -> None:
    data = build_elf(RICH)
    assert "`dlopen@GLIBC_2.34`" in refused(data, replace(MOVED, symbol="dlopen"))
    assert "`stat@GLIBC_2.34`" in refused(data, replace(DROPPED, old="GLIBC_2.34"))
    assert "`stat64@GLIBC_2.33`" in refused(data, replace(ZERO, symbol="stat64", old="GLIBC_2.33"))
    bare = patch_entry(data, 6, 0, new_tag=0x6FFFFEF8)  # no DT_SYMTAB
    assert "`stat@GLIBC_2.33`" in refused(bare, DROPPED)
    unversioned = build_elf(replace(RICH, undefined=(Undefined("puts"),), defined=()))
    assert "`stat@GLIBC_2.33`" in refused(unversioned, DROPPED)
    without = edit(unversioned, [DropVersion(symbol="puts", old="GLIBC_2.2.5")], "lib.so").data
    assert without == unversioned
    assert "holds a NUL byte" in refused(data, replace(MOVED, version="A\0"))
    assert "is empty" in refused(data, replace(SAME, name=None, library=""))


def test_the_copy_of_a_variable_is_no_reference() -> None:
    """A program has its own copy of a variable such as `stdout`: defined here, under the version of another file."""
    data = build_elf(RICH)
    index = next(index for _, versions in peer_of(data).needs for name, index, _ in versions if name == "GLIBC_2.34")
    number = len(RICH.undefined) + 1
    data = patch_number(data, section_offset(data, ".gnu.version") + 2 * number, 2, index)
    name, version, *_ = peer_of(data).defined[0]
    assert version == "GLIBC_2.34"
    assert f"`{name}@GLIBC_2.34`" in refused(data, replace(MOVED, symbol=name))


def test_all_numbers_are_taken() -> None:
    data = build_elf(RICH)
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    first = table.locate("DT_VERNEED", DT_VERNEED)
    full = patch_number(data, first + 16 + 6, 2, 0x7FFF)  # vna_other
    assert "all numbers of versions are in use" in refused(full, replace(OLD_EXP, version="GLIBC_2.1"))
    almost = patch_number(data, first + 16 + 6, 2, 0x7FFE)
    edited = edit(almost, [replace(OLD_EXP, version="GLIBC_2.1")], "lib.so").data
    assert 0x7FFF in {index for _, versions in peer_of(edited).needs for _, index, _ in versions}


# -- a variable that becomes a constant --------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", TABLE_MACHINES)
def test_a_variable_becomes_a_zero_byte(machine: str) -> None:
    data = build_elf(for_machine(machine))
    edited = edit(data, [ZERO], "lib.so").data
    number = 1 + RICH.undefined.index(SINGLE)
    before, after = relocations_of(data), relocations_of(edited)
    ((address, _, _, _),) = (row for row in before if row[2] == number)
    ((_, kind, symbol, addend),) = (row for row in after if row[0] == address)
    assert (kind, symbol) == (RELATIVE[MACHINES[machine].machine], 0)
    assert [row for row in after if row[0] != address] == [row for row in before if row[0] != address]
    target = word_at(edited, address) if addend is None else addend
    (offset,) = ELFFile(io.BytesIO(edited)).address_offsets(target)
    assert edited[offset] == 0
    assert offset == 15  # the padding of e_ident
    name, version, file, weak = peer_of(edited).undefined[number - 1]
    assert (name, version, file, weak) == ("__libc_single_threaded", None, None, True)
    assert "GLIBC_2.32" not in {name for _, versions in peer_of(edited).needs for name, _, _ in versions}
    assert edit(edited, [ZERO], "lib.so").data == edited


def test_a_variable_that_is_copied_cannot_become_a_constant() -> None:
    data = build_elf(RICH)
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    place_of_entry = table.locate("DT_RELA", DT_RELA) + 24 * RICH.undefined.index(SINGLE)
    copied = patch_number(data, place_of_entry + 8, 4, 5)  # R_X86_64_COPY
    assert "relocation 5, which is no plain pointer" in refused(copied, ZERO)
    shifted = patch_number(data, place_of_entry + 16, 8, 1)  # r_addend
    assert "is no plain pointer" in refused(shifted, ZERO)
    jump = patch_entry(data, DT_RELA, table.values[DT_RELA], new_tag=23)  # DT_JMPREL
    jump = patch_entry(jump, DT_RELASZ, table.values[DT_RELASZ], new_tag=2)  # DT_PLTRELSZ
    jump = patch_entry(jump, 9, DT_RELA, new_tag=20)  # DT_PLTREL says RELA
    edited = edit(jump, [ZERO], "lib.so").data
    assert peer_of(edited).undefined[4] == ("__libc_single_threaded", None, None, True)


def program_with_copy(machine: str) -> bytes:
    """A program with room for the variable, as linkers make them."""
    spec = for_machine(machine, replace(RICH, soname=None, interpreter="/lib/ld.so", defined=()))
    return make_copy(build_elf(spec), RICH.undefined.index(SINGLE))


@pytest.mark.parametrize("machine", TABLE_MACHINES)
def test_the_copy_of_a_variable_becomes_a_constant_too(machine: str) -> None:
    """The room for it is zero, and nothing fills it; it stays defined, for others to find."""
    data = program_with_copy(machine)
    number = 1 + RICH.undefined.index(SINGLE)
    assert parse(data, "prog").copied == (UndefinedSymbol(*SINGLE),)
    edited = edit(data, [ZERO], "prog").data
    before, after = relocations_of(data), relocations_of(edited)
    ((address, kind, _, _),) = (row for row in before if row[2] == number)
    assert kind == COPY[MACHINES[machine].machine]
    assert [row[1:3] for row in after if row[0] == address] == [(0, 0)]
    assert [row for row in after if row[0] != address] == [row for row in before if row[0] != address]
    assert parse(edited, "prog").copied == ()
    assert peer_of(edited).defined == (("__libc_single_threaded", None, 1, True),)
    assert "GLIBC_2.32" not in {name for _, versions in peer_of(edited).needs for name, _, _ in versions}
    planned = planned_relocations(data, [ZERO], "prog")
    assert list(relocation_problems(planned, edited, "prog")) == []
    assert list(relocation_problems(planned, data, "prog")) == ["prog: its relocations are not what was planned"]


@pytest.mark.parametrize("machine", ["x86_64", "i686"])
def test_a_copy_with_contents_of_its_own_is_no_constant(machine: str) -> None:
    data = program_with_copy(machine)
    number = 1 + RICH.undefined.index(SINGLE)
    ((address, _, _, _),) = (row for row in relocations_of(data) if row[2] == number)
    (offset,) = ELFFile(io.BytesIO(data)).address_offsets(address)
    assert "which is no plain pointer" in refused(patch_number(data, offset, 1, 1), ZERO)


def test_a_library_has_no_copies_of_variables() -> None:
    """Only the linker of a program makes room for them."""
    data = make_copy(build_elf(RICH), RICH.undefined.index(SINGLE))
    assert parse(data, "lib.so").copied == ()


def test_a_program_without_versions_has_no_copies_to_speak_of() -> None:
    for undefined in ((), (Undefined("stdout"),)):
        assert parse(build_elf(interpreter="/lib/ld.so", undefined=undefined), "prog").copied == ()


def test_what_becomes_a_constant_keeps_the_type_of_its_symbol() -> None:
    """Bound weakly (2), and still a variable (STT_OBJECT, 1)."""
    data = build_elf(RICH)
    number = 1 + RICH.undefined.index(SINGLE)
    data = patch_number(data, section_offset(data, ".dynsym") + 24 * number + 4, 1, 0x11)  # st_info
    edited = edit(data, [ZERO], "lib.so").data
    symbol = section_of(edited, ".dynsym").get_symbol(number)
    assert symbol["st_info"] == {"bind": "STB_WEAK", "type": "STT_OBJECT"}


def test_a_variable_that_nothing_refers_to() -> None:
    data = build_elf(replace(RICH, relocations=False))
    edited = edit(data, [ZERO], "lib.so").data
    assert peer_of(edited).undefined[4] == ("__libc_single_threaded", None, None, True)


def test_no_byte_that_is_sure_to_stay_zero() -> None:
    data = build_elf(RICH)
    assert "no byte that is sure to stay zero" in refused(patch_number(data, 15, 1, 7), ZERO)
    outside = patch_segment(data, PT_LOAD, "p_offset", 0x40)
    with pytest.raises(ElfError):
        edit(outside, [ZERO], "lib.so")


def test_the_relocations_of_an_unknown_machine() -> None:
    data = patch_header(build_elf(RICH), "e_machine", 8)  # MIPS
    assert "the relocations of machine 8 are not known" in refused(data, ZERO)


# -- packed relocations ------------------------------------------------------------------------------------------------

PACKED = replace(RICH, relr=True, needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),))


@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("machine", TABLE_MACHINES)
def test_packed_relocations_are_unpacked(machine: str, *, sections: bool, has_table: bool) -> None:
    spec = replace(for_machine(machine, PACKED), sections=sections, relocations=has_table)
    data = build_elf(spec)
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    rel = spec.machine in REL_MACHINES
    first, *rest = relocations_of(edited)
    assert first[1:3] == (RELATIVE[spec.machine], 0)
    assert first[3] == (None if rel else word_at(data, first[0]))
    assert word_at(edited, first[0]) == word_at(data, first[0])
    assert rest == (relocations_of(data) if has_table else [])
    said = dynamic_of(edited)
    assert not {"DT_RELR", "DT_RELRSZ", "DT_RELRENT"} & said.keys()
    assert said["DT_RELSZ" if rel else "DT_RELASZ"] == (len(rest) + 1) * spec.bits // 8 * (2 if rel else 3)
    if not has_table:
        assert said["DT_RELCOUNT" if rel else "DT_RELACOUNT"] == 1
    if has_table or sections:
        assert said["DT_REL" if rel else "DT_RELA"] % 8 == 0
    if sections:
        old, new = (list(ELFFile(io.BytesIO(file)).iter_sections()) for file in (data, edited))
        changed = {a.name for a, b in zip(old, new, strict=True) if a["sh_type"] != b["sh_type"]}
        assert changed == {".relr.dyn"}
        kinds = {section["sh_type"] for section in ELFFile(io.BytesIO(edited)).iter_sections()}
        assert "SHT_RELR" not in kinds
        assert "GLIBC_ABI_DT_RELR" not in {n for _, versions in peer_of(edited).needs for n, _, _ in versions}
    assert broken_invariants(edited, "lib.so") == ()
    assert edit(edited, [UnpackRelocations()], "lib.so").data == edited


def test_a_constant_beside_unpacked_relocations() -> None:
    """Where relocations have no addend, the word that they relocate changes, too."""
    data = build_elf(for_machine("i686", PACKED))
    edited = edit(data, [ZERO, UnpackRelocations()], "lib.so").data
    number = 1 + RICH.undefined.index(SINGLE)
    ((address, _, _, _),) = (row for row in relocations_of(data) if row[2] == number)
    assert word_at(edited, address) == 15
    assert [row[1:3] for row in relocations_of(edited) if row[0] == address] == [(8, 0)]


@pytest.mark.parametrize("place_in_table", [0, 3, 5])
def test_a_constant_wherever_it_stands_in_the_table(place_in_table: int) -> None:
    """The first, a middle and the last of the relocations that unpacked ones are joined to."""
    symbol = RICH.undefined[place_in_table]
    data = build_elf(replace(PACKED, undefined=RICH.undefined[:6]))
    zero = BindToZero(symbol=symbol.name, old=symbol.version or "")
    edited = edit(data, [zero, UnpackRelocations()], "lib.so").data
    before = relocations_of(data)
    ((address, *_),) = (row for row in before if row[2] == place_in_table + 1)
    assert [row[1:] for row in relocations_of(edited) if row[0] == address] == [(8, 0, 15)]
    assert [row for row in relocations_of(edited)[1:] if row[0] != address] == [r for r in before if r[0] != address]


def test_a_constant_whose_word_stands_right_behind_the_table() -> None:
    """Where relocations have no addends, the word is written too, though the table before it moves."""
    data = build_elf(for_machine("i686", PACKED))
    number = 1 + RICH.undefined.index(SINGLE)
    (place_in_table,) = (index for index, row in enumerate(relocations_of(data)) if row[2] == number)
    behind = dynamic_of(data)["DT_REL"] + dynamic_of(data)["DT_RELSZ"]
    data = patch_number(data, section_offset(data, ".rel.dyn") + 8 * place_in_table, 4, behind)
    data = patch_number(data, View.open(data, "").offset_of("", behind), 4, 0)
    edited = edit(data, [ZERO, UnpackRelocations()], "lib.so").data
    assert word_at(edited, behind) == 15
    # And is no part of what moves.
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    draft = make_draft(table, [ZERO, UnpackRelocations()])
    assert draft.joined is not None
    assert len(joined_bytes(table, draft.joined, draft.bindings.patches)) == dynamic_of(edited)["DT_RELSZ"]


def test_bitmaps_of_packed_relocations() -> None:
    """An address, then a word whose set bits count on from it (gABI, DT_RELR)."""
    data = build_elf(replace(PACKED, relocations=True))
    got = section_address(data, ".got")
    relr = section_offset(data, ".relr.dyn")
    # .relr.dyn is one word in the kit: take over the word behind it, which is padding or unused.
    grown = patch_entry(data, 35, 16)  # DT_RELRSZ
    grown = patch_number(patch_number(grown, relr, 8, got), relr + 8, 8, 0b1011)
    edited = edit(grown, [UnpackRelocations()], "lib.so").data
    relative = [row[0] for row in relocations_of(edited) if row[1] == 8]
    assert relative == [got, got + 8, got + 24]


def section_address(data: bytes, name: str) -> int:
    return int(section_of(data, name)["sh_addr"])


def section_offset(data: bytes, name: str) -> int:
    return int(section_of(data, name)["sh_offset"])


def test_packed_relocations_without_a_size_are_none() -> None:
    """Nothing is relocated, and nothing is written over what stands at their address."""
    data = patch_entry(build_elf(replace(PACKED, relocations=False)), 35, 8, new_tag=0x70000035)
    edited = edit(data, [UnpackRelocations()], "lib.so")
    assert relocations_of(edited.data) == []
    place_of_table = section_offset(data, ".relr.dyn")
    assert edited.data[place_of_table : place_of_table + 8] == data[place_of_table : place_of_table + 8]


def test_the_last_word_of_a_file_is_relocated() -> None:
    data = build_elf(replace(PACKED, sections=False))
    segments = [segment for segment in parse(data, "").segments if segment.type == PT_LOAD]
    last = max(segments, key=lambda segment: segment.offset + segment.filesz)
    end = last.offset + last.filesz
    place_of_table = View.open(data, "").offset_of("DT_RELR", dynamic_of(data)["DT_RELR"])
    data = patch_number(data[:end], place_of_table, 8, last.vaddr + last.filesz - 8)
    edited = edit(data, [UnpackRelocations()], "lib.so").data
    assert relocations_of(edited)[0] == (
        last.vaddr + last.filesz - 8,
        8,
        0,
        word_at(data, last.vaddr + last.filesz - 8),
    )


def test_more_packed_relocations_than_words() -> None:
    """Pairs of an address and a full bitmap, over and over the same words."""
    data = build_elf(replace(PACKED, payload=bytes(8192)))
    table, home = section_offset(data, ".rodata"), section_address(data, ".rodata")
    pairs = struct.pack("<2Q", home, (1 << 64) - 1) * 100
    data = data[:table] + pairs + data[table + len(pairs) :]
    data = patch_entry(patch_entry(data, DT_RELR, home), 35, len(pairs))
    with pytest.raises(ElfError) as caught:
        edit(data, [UnpackRelocations()], "lib.so")
    assert "relocates more words than the file has" in caught.value.context[0]


def test_everything_at_once() -> None:
    edits = (
        SetSoname(soname="libdemo-0123abcd-with-a-longer-name.so"),
        ReplaceNeeded(old="libm.so.6", new="libm-0123abcd.so.6"),
        *(MOVED, SAME, DROPPED, ZERO, UnpackRelocations()),
        SetRpath(path="$ORIGIN/../demo.libs", kind=RpathKind.RPATH),
    )
    data = build_elf(PACKED)
    edited = edit(data, edits, "lib.so").data
    after = peer_of(edited)
    assert after.needed == ("libm-0123abcd.so.6", "libc.so.6", "libpthread.so.0")
    assert (after.soname, after.rpath) == ("libdemo-0123abcd-with-a-longer-name.so", "$ORIGIN/../demo.libs")
    assert ("exp", "GLIBC_2.29", "libm-0123abcd.so.6", False) in after.undefined
    assert broken_invariants(edited, "lib.so") == ()
    number = 1 + RICH.undefined.index(SINGLE)
    assert all(row[2] != number for row in relocations_of(edited))
    assert len(relocations_of(edited)) == len(RICH.undefined) + 1
    assert edit(edited, edits, "lib.so").data == edited
    once_more = edit(edited, [OLD_EXP_RENAMED, SetSoname(soname="libdemo-" + "x" * 60)], "lib.so")
    assert once_more.placement.slot in {Slot.EXTENDED, Slot.REUSED}
    assert peer_of(once_more.data).undefined[5] == ("exp", "GLIBC_2.2.5", "libm-0123abcd.so.6", False)


OLD_EXP_RENAMED = replace(OLD_EXP, library="libm-0123abcd.so.6")


def test_the_versions_table_is_moved_again_with_its_segment() -> None:
    data = edit(build_elf(RICH), [MOVED], "lib.so").data
    more = [replace(SAME, version="GLIBC_2.5", library="librt.so.1"), replace(OLD_EXP, library="libother.so.1")]
    edited = edit(data, more, "lib.so")
    assert edited.placement.slot is Slot.REUSED
    files = [file for file, _ in peer_of(edited.data).needs]
    assert sorted(files) == ["libc.so.6", "libother.so.1", "libpthread.so.0", "librt.so.1"]
    assert broken_invariants(edited.data, "lib.so") == ()


def test_a_needed_library_can_go_once_nothing_is_bound_to_it() -> None:
    spec = replace(RICH, undefined=(PUTS, Undefined("exp", "GLIBC_2.29", "libm.so.6")))
    edited = edit(build_elf(spec), [replace(OLD_EXP, library="libc.so.6")], "lib.so").data
    edited = edit(edited, [RemoveNeeded(name="libm.so.6")], "lib.so").data
    assert peer_of(edited).needed == ("libc.so.6",)


def test_what_is_bound_counts_as_it_stands_then() -> None:
    """Edits are done one after the other: a library is needed once a symbol is bound to it, and not once it is not."""
    spec = replace(RICH, undefined=(PUTS, Undefined("exp", "GLIBC_2.29", "libm.so.6")))
    edited = edit(build_elf(spec), [replace(OLD_EXP, library="libc.so.6"), RemoveNeeded(name="libm.so.6")], "lib.so")
    assert peer_of(edited.data).needed == ("libc.so.6",)
    assert [file for file, _ in peer_of(edited.data).needs] == ["libc.so.6"]
    why = refused(build_elf(spec), replace(OLD_EXP, library="libother.so"), RemoveNeeded(name="libother.so"))
    assert "1 symbols ask for versions of it" in why


def test_relocations_stay_where_they_are_when_none_were_packed() -> None:
    data = build_elf(RICH)
    view = View.open(data, "lib.so")
    table = read_table(view)
    assert table is not None
    draft = make_draft(table, [MOVED])
    assert draft.joined is None
    placement = place(view, [MOVED])
    assert apply_placement(data, placement) == edit(data, [MOVED], "lib.so").data


@pytest.mark.parametrize("change", [DROPPED, SAME, ZERO], ids=lambda change: type(change).__name__)
def test_without_versions_of_symbols_none_asks_for_one(change: BindVersion | DropVersion | BindToZero) -> None:
    """Not even where DT_VERNEED gives a version the number that says that there is none."""
    data = patch_entry(build_elf(RICH), DT_VERSYM, 0, new_tag=0x7000_0035)
    place = data.index(struct.pack("<IH", sysv_hash(change.old.encode()), 0))
    for damaged in (data, patch_number(data, place + 6, 2, 1)):
        if isinstance(change, BindVersion):
            with pytest.raises(ElfError, match=r"lib\.so") as caught:
                edit(damaged, [change], "lib.so")
            assert caught.value.code == "edit-impossible"
        else:
            assert edit(damaged, [change], "lib.so").data == damaged
