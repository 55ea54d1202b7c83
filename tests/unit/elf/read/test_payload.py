"""Data behind the ELF part of a file: kept where its format survives, else the edit is refused."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import SetRpath, SetSoname
from deloc8.elf.edit.writer import check_payload, edit, edit_owned
from deloc8.elf.read.image import parse
from deloc8.elf.read.kinds import UNKNOWN, Anchor
from deloc8.elf.read.payload import join, read_payload
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, ElfSpec, build_elf
from kit.payloads import CONTENTS, KEPT, REFUSED, make_zip, sbcl, zip_from_archive, zip_from_file

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.read.payload import Payload

SPEC = ElfSpec(soname="libdemo.so", spare_headers=1)
ELF = build_elf(SPEC)
EDIT = SetRpath(path="$ORIGIN/../demo.libs")
SHORTER = SetSoname(soname="demo.so")


def payload_of(data: bytes) -> Payload | None:
    return read_payload(View.open(data, "program"))


def kept(name: str, elf: bytes = ELF) -> bytes:
    return elf + KEPT[name](len(elf))


def with_appimage_mark(elf: bytes) -> bytes:
    return elf[:8] + b"AI\x02" + elf[11:]


def test_the_elf_part_ends_with_the_last_of_its_tables() -> None:
    assert payload_of(ELF) is None
    assert View.open(ELF, "program").elf_end == len(ELF)
    assert View.open(build_elf(replace(SPEC, sections=False)), "program").headers_end == 0
    for spec in (SPEC, replace(SPEC, sections=False), *(replace(each, spare_headers=1) for each in MACHINES.values())):
        elf = build_elf(spec)
        found = payload_of(elf + CONTENTS)
        assert found is not None
        assert (found.start, found.size, found.kind) == (len(elf), len(CONTENTS), UNKNOWN)


@pytest.mark.parametrize("size", [1, 7, 4096, (1 << 20) + 5])
def test_zeros_are_no_payload(size: int) -> None:
    assert payload_of(ELF + bytes(size)) is None
    edited = edit(ELF + bytes(size), [EDIT], "program").data
    assert parse(edited, "program").dynamic == parse(edit(ELF, [EDIT], "program").data, "program").dynamic
    assert payload_of(ELF + bytes(size) + b"x") is not None


def without_table(elf: bytes) -> bytes:
    """The file, whose header announces no section headers."""
    return elf[:40] + bytes(8) + elf[48:60] + bytes(4) + elf[64:]


def test_sections_whose_table_is_not_announced_are_no_payload() -> None:
    hidden = without_table(ELF)
    assert View.open(hidden, "program").elf_end < len(hidden)
    assert payload_of(hidden) is None
    assert read_payload(View.open(memoryview(hidden), "program")) is None
    assert parse(edit(hidden, [EDIT], "program").data, "program").dynamic is not None
    # Nor do other bytes behind it become sections.
    for more in (CONTENTS, bytes(64) + CONTENTS[:64], b"x" * 64 * 1001):
        found = payload_of(hidden + more)
        assert found is not None
        assert found.kind is UNKNOWN


def test_an_image_says_whether_there_is_a_payload() -> None:
    assert not parse(ELF, "program").has_payload
    assert not parse(ELF + b"\0", "program").has_payload
    assert parse(ELF + b"\0" + b"x", "program").has_payload


def test_a_section_without_contents_takes_no_room() -> None:
    elf = bytearray(ELF)
    view = View.open(ELF, "program")
    record = view.layout.section_header
    place = view.header.e_shoff + 2 * record.size
    # SHT_NOBITS, with an offset behind the end of the file.
    struct.pack_into("<I", elf, place + record.offsets["sh_type"], 8)
    struct.pack_into("<Q", elf, place + record.offsets["sh_offset"], len(ELF) + 999)
    assert View.open(elf, "program").elf_end == len(ELF)


@pytest.mark.parametrize("name", KEPT)
def test_a_payload_that_survives(name: str) -> None:
    before = kept(name)
    found = payload_of(before)
    assert found is not None
    assert found.kind.name == name.partition(",")[0]
    edited = edit(before, [EDIT], "program").data
    assert broken_invariants(edited, "program") == ()
    image = parse(edited, "program")
    assert image.dynamic is not None
    assert image.dynamic.rpath == EDIT.path
    # What is written for the new place is what the tool would have written there.
    shift = len(edited) - len(before)
    assert shift % 0x10000 == 0
    assert shift > 0
    wanted = KEPT[name](len(ELF) + shift)
    assert edited.endswith(wanted.lstrip(b"\0"))
    assert edit_owned(bytearray(before), [EDIT], "program") == edited
    assert edit(edited, [EDIT], "program").data is edited


@pytest.mark.parametrize("name", KEPT)
def test_a_payload_survives_a_second_edit(name: str) -> None:
    longer = replace_path(EDIT, "$ORIGIN/../" + "long" * 99)
    once = edit(kept(name), [EDIT], "program").data
    twice = edit(once, [longer], "program").data
    found = payload_of(twice)
    assert found is not None
    assert found.kind.name == name.partition(",")[0]
    assert twice.endswith(KEPT[name](len(ELF) + len(twice) - len(kept(name))).lstrip(b"\0"))


def replace_path(step: SetRpath, path: str) -> SetRpath:
    return SetRpath(path=path, kind=step.kind)


@pytest.mark.parametrize("machine", ["s390x", "ppc64"])
def test_a_core_of_the_other_byte_order(machine: str) -> None:
    elf = build_elf(replace(MACHINES[machine], spare_headers=1))
    before = elf + sbcl(len(elf), ">")
    edited = edit(before, [EDIT], "program").data
    assert edited.endswith(sbcl(len(elf) + len(edited) - len(before), ">").lstrip(b"\0"))


@pytest.mark.parametrize(
    "damaged",
    [
        b"x" * 8 + sbcl(0)[-8:],  # the position is none
        sbcl(0)[-8:],
        b"more" + sbcl(len(ELF) + 4),
        b"more" + make_zip(),
        b"more" + zip_from_file(len(ELF) + 4),
        CONTENTS + b"\n---- Bun? ----\n" + bytes(8),
        make_zip()[:-30] + make_zip()[-22:],
        make_zip() + b"more",
        make_zip()[:-10],
        make_zip()[:-6] + struct.pack("<I", 1 << 20) + b"\0\0",  # a directory before the file
    ],
)
def test_what_only_resembles_a_format_is_unknown(damaged: bytes) -> None:
    found = payload_of(ELF + damaged)
    assert found is not None
    assert found.kind is UNKNOWN


def test_an_empty_archive_is_one_too() -> None:
    found = payload_of(ELF + b"PK\5\6" + bytes(18))
    assert found is not None
    assert found.kind.name == "ZIP archive"


def test_a_directory_whose_entries_are_none() -> None:
    data = bytearray(ELF + zip_from_file(len(ELF)))
    data[data.index(b"PK\1\2") + 2] = 7
    found = payload_of(bytes(data))
    assert found is not None
    assert found.kind is UNKNOWN


def test_the_zip_archive_is_read_as_before() -> None:
    for make in (zip_from_archive, zip_from_file):
        edited = edit(ELF + make(len(ELF)), [EDIT], "program").data
        with zipfile.ZipFile(io.BytesIO(edited)) as archive:
            assert archive.testzip() is None
            assert archive.read("one.txt") == CONTENTS
            offsets = [entry.header_offset for entry in archive.infolist()]
        assert all(edited[offset : offset + 4] == b"PK\3\4" for offset in offsets)


@pytest.mark.parametrize("name", REFUSED)
def test_an_edit_that_would_move_other_payloads_is_refused(name: str) -> None:
    before = ELF + REFUSED[name]
    for contents in (before, bytearray(before)):
        with pytest.raises(ElfError, match="`program` cannot be edited") as caught:
            edit_owned(contents, [EDIT], "program")
        assert contents == before
        assert caught.value.code == "edit-impossible"
        assert name in caught.value.context[0]
        assert f"{len(REFUSED[name])} bytes of data behind its ELF part" in caught.value.context[0]
        assert "--exclude" in caught.value.hints[0]


def test_whether_a_payload_survives_can_be_asked_before() -> None:
    check_payload(ELF, [EDIT], "program")
    check_payload(kept("core of SBCL"), [EDIT], "program")
    check_payload(ELF + CONTENTS, [SHORTER], "program")
    with pytest.raises(ElfError, match="`program` cannot be edited"):
        check_payload(ELF + CONTENTS, [EDIT], "program")


def test_the_bundle_of_dotnet_is_told_by_its_mark() -> None:
    mark = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")
    with pytest.raises(ElfError, match="cannot be edited") as caught:
        edit(build_elf(replace(SPEC, payload=mark)) + CONTENTS, [EDIT], "program")
    assert "single-file bundle of .NET" in caught.value.context[0]


def test_a_large_zip_archive_is_refused() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive, archive.open("one.txt", "w", force_zip64=True) as file:
        file.write(CONTENTS)
    plain = written.getvalue()
    locator = b"PK\6\7" + bytes(16)
    end = plain[-22:]
    for data in (plain[:-22] + locator + end, plain[:-6] + b"\xff" * 4 + plain[-2:]):
        with pytest.raises(ElfError, match="cannot be edited") as caught:
            edit(ELF + data, [EDIT], "program")
        assert "ZIP archive with ZIP64 records" in caught.value.context[0]


@pytest.mark.parametrize("name", [*KEPT, *REFUSED])
def test_an_edit_in_place_leaves_any_payload_where_it_is(name: str) -> None:
    before = kept(name) if name in KEPT else ELF + REFUSED[name]
    edited = edit(before, [SHORTER], "program").data
    assert edited[len(ELF) :] == before[len(ELF) :]
    assert edited[: len(ELF)] == edit(ELF, [SHORTER], "program").data
    assert edit_owned(bytearray(before), [SHORTER], "program") == edited


def test_behind_the_section_headers_stays_behind_them() -> None:
    for spec in (SPEC, replace(MACHINES["s390x"], spare_headers=1), replace(MACHINES["i686"], spare_headers=1)):
        elf = with_appimage_mark(build_elf(spec))
        found = payload_of(elf + CONTENTS)
        assert found is not None
        assert found.kind.anchor is Anchor.HEADERS
        edited = elf + CONTENTS
        for path in ("$ORIGIN/../demo.libs", "$ORIGIN/../" + "more" * 50):
            edited = edit(edited, [SetRpath(path=path)], "program").data
            view = View.open(edited, "program")
            assert edited[view.headers_end :] == CONTENTS
            assert broken_invariants(edited, "program") == ()
            assert len(view.sections) == len(View.open(elf, "program").sections)


def test_a_part_that_ends_with_its_headers_is_joined_as_it_is() -> None:
    data = with_appimage_mark(ELF) + CONTENTS
    found = payload_of(data)
    assert found is not None
    assert join(data[: len(ELF)], data, found, "program") == data


def test_a_payload_apart_from_the_section_headers_is_unknown() -> None:
    found = payload_of(with_appimage_mark(build_elf(replace(SPEC, sections=False))) + CONTENTS)
    assert found is not None
    assert found.kind is UNKNOWN


def test_a_smaller_elf_part_brings_the_payload_nearer() -> None:
    elf = build_elf(replace(SPEC, payload=b"debug" * 0x10000))
    before = elf + sbcl(len(elf))
    found = payload_of(before)
    assert found is not None
    joined = bytes(join(ELF, before, found, "program"))
    shift = len(joined) - len(before)
    assert shift % 0x10000 == 0
    assert shift < 0
    assert joined.startswith(ELF)
    assert joined.endswith(sbcl(len(elf) + shift).lstrip(b"\0"))


def test_positions_without_room_are_refused() -> None:
    data = bytearray(ELF + zip_from_file(len(ELF)))
    entry = data.rindex(b"PK\1\2")
    struct.pack_into("<I", data, entry + 42, 0xFFFFFFF0)
    with pytest.raises(ElfError, match="cannot be edited") as caught:
        edit(bytes(data), [EDIT], "program")
    assert "no room" in caught.value.context[0]


def test_any_buffer_with_a_payload_will_do(tmp_path: Path) -> None:
    before = kept("core of SBCL")
    wanted = edit(before, [EDIT], "program")
    assert edit(memoryview(before), [EDIT], "program") == wanted
    path = tmp_path / "program"
    path.write_bytes(before)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert edit(mapped, [EDIT], "program") == wanted
    assert mapped.closed
