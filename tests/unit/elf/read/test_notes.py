"""Notes: found through segments and sections, once each; and what the known ones say."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.read.image import parse
from deloc8.elf.read.notes import (
    Declaration,
    Note,
    build_id,
    dlopen_declarations,
    package_metadata,
    read_notes,
    x86_isa_level,
)
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import ET_REL, MACHINES, ElfSpec, NoteSpec, build_elf, build_with_places
from kit.patch import patch_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

PT_NOTE = 4
BUILD_ID = NoteSpec("GNU", 3, bytes(range(20)))
PACKAGE = NoteSpec("FDO", 0xCAFE1A7E, b'{"type": "deb", "name": "zlib", "osVersion": 12}\0')
ODD_SIZE = NoteSpec("Go", 4, b"abcde")


def property_note(needed: int, *, bits: int = 64, before: bytes = b"") -> NoteSpec:
    """A GNU property note with GNU_PROPERTY_X86_ISA_1_NEEDED."""
    padding = bytes(4) if bits == 64 else b""
    return NoteSpec("GNU", 5, before + struct.pack("<III", 0xC0008002, 4, needed) + padding)


def notes_of(data: bytes) -> tuple[Note, ...]:
    return read_notes(View.open(data, "lib.so"))


def values(notes: Sequence[NoteSpec]) -> tuple[Note, ...]:
    return tuple(Note(owner=owner, type=kind, description=description) for owner, kind, description in notes)


def refusal(data: bytes) -> str:
    with pytest.raises(ElfError) as caught:
        notes_of(data)
    return caught.value.context[0]


def changed(data: bytes, offset: int, code: str, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(code, copy, offset, value)
    return bytes(copy)


@pytest.mark.parametrize("sections", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
def test_notes_of_every_machine(machine: str, sections: bool) -> None:  # noqa: FBT001  a parameter of the test
    base = MACHINES[machine]
    first = property_note(1, bits=base.bits)
    data = build_elf(base, notes=(BUILD_ID, ODD_SIZE, first, PACKAGE), sections=sections)
    assert notes_of(data) == values([first, BUILD_ID, ODD_SIZE, PACKAGE])


def test_a_note_of_nothing_but_its_header_at_the_end() -> None:
    data = build_elf(ElfSpec(notes=(NoteSpec("x", 7, b""),), sections=False))
    (segment,) = [segment for segment in View.open(data, "lib.so").segments if segment.type == PT_NOTE]
    data = changed(data, segment.offset, "<I", 0)
    assert notes_of(patch_segment(data, PT_NOTE, "p_filesz", 12)) == values([NoteSpec("", 7, b"")])
    assert notes_of(patch_segment(data, PT_NOTE, "p_filesz", 11)) == ()


def test_sections_of_an_object_file() -> None:
    assert notes_of(build_elf(type=ET_REL, notes=(BUILD_ID,))) == values([BUILD_ID])


def test_none() -> None:
    assert notes_of(build_elf()) == ()


def test_debug_companion_has_them_where_its_sections_say() -> None:
    data, places = build_with_places(ElfSpec(notes=(BUILD_ID,)))
    row = struct.unpack_from("<Q", data, 0x28)[0] + 64 * (1 + list(places).index(".dynamic"))
    companion = changed(data, row + 4, "<I", 8)
    segment = next(place for place in range(64, 400, 56) if struct.unpack_from("<I", companion, place)[0] == 4)
    assert notes_of(changed(companion, segment + 8, "<Q", 1 << 40)) == values([BUILD_ID])


# Published wheels have PT_NOTE segments that point at other data since patchelf moved the notes.
@pytest.mark.parametrize(("field", "size"), [(0, 0xFFFFFFFF), (0, 61), (4, 0xFFFFFFFF), (4, 57)])
def test_what_reaches_too_far_is_no_note_and_nothing_after_it_is(field: int, size: int) -> None:
    data, places = build_with_places(ElfSpec(notes=(PACKAGE, BUILD_ID, BUILD_ID)))
    second = data.index(b"GNU\0", places[".note.kit"]) - 12
    assert notes_of(changed(data, second + field, "<I", size)) == values([PACKAGE])


def test_owner_without_padding_and_description() -> None:
    # Nothing follows the owner: its padding may be missing too.
    payload = struct.pack("<III", 5, 0, 9) + b"kit5\0"
    data, places = build_with_places(ElfSpec(notes=(BUILD_ID,), payload=payload, sections=False))
    segment = next(place for place in range(64, 400, 56) if struct.unpack_from("<I", data, place)[0] == 4)
    aimed = bytearray(changed(data, segment + 8, "<Q", places[".rodata"]))
    struct.pack_into("<Q", aimed, segment + 32, len(payload))
    assert notes_of(bytes(aimed)) == values([NoteSpec("kit5", 9, b"")])


@pytest.mark.parametrize("owner", ["GNU", "FDO"])
@pytest.mark.parametrize("kind", [3, 0xCAFE1A7E])
def test_notes_behind_properties_stand_as_mold_puts_them(owner: str, kind: int) -> None:
    """Aligned to 4, in one segment with properties that are aligned to 8."""

    def note(name: str, number: int, description: bytes, align: int) -> bytes:
        padded = description + bytes(-len(description) % align)
        return struct.pack("<III", len(name) + 1, len(description), number) + name.encode() + b"\0" + padded

    properties = property_note(1)
    payload = (
        note("GNU", 5, properties.description, 8) + note(owner, kind, bytes(20), 4) + note(owner, kind, b"abcd", 4)
    )
    data, places = build_with_places(ElfSpec(notes=(BUILD_ID,), payload=payload, sections=False))
    segment = next(place for place in range(64, 400, 56) if struct.unpack_from("<I", data, place)[0] == 4)
    aimed = bytearray(changed(data, segment + 8, "<Q", places[".rodata"]))
    struct.pack_into("<Q", aimed, segment + 32, len(payload))
    struct.pack_into("<Q", aimed, segment + 48, 8)
    wanted = [properties, NoteSpec(owner, kind, bytes(20)), NoteSpec(owner, kind, b"abcd")]
    assert notes_of(bytes(aimed)) == values(wanted)


def test_segment_beyond_the_file() -> None:
    data = build_elf(notes=(BUILD_ID,), sections=False)
    segment = next(place for place in range(64, 400, 56) if struct.unpack_from("<I", data, place)[0] == 4)
    assert refusal(changed(data, segment + 8, "<Q", 1 << 40)).startswith("a note segment at offset 0x10000000000")


def test_many_segments_that_overlap_are_bounded() -> None:
    # 2,000 program headers, each over nearly the same 10,000 notes: 20 million to walk.
    payload = (struct.pack("<III", 0, 0, 1)) * 10_000
    spec = ElfSpec(spare_headers=2000, payload=payload, dynamic=False, sections=False)
    data, places = build_with_places(spec)
    lie = bytearray(data)
    for number in range(2000):
        start = places[".rodata"] + 12 * number
        header = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, places[".rodata"] + len(payload) - start, 0, 4)
        place = 64 + 56 * (2 + number)
        lie[place : place + 56] = header
    assert refusal(bytes(lie)).endswith("is one of very many that overlap each other")


@pytest.mark.parametrize(("count", "is_read"), [(65_536, True), (65_537, False)])
def test_as_many_notes_as_security_promises(count: int, is_read: bool) -> None:  # noqa: FBT001
    spec = ElfSpec(spare_headers=1, payload=struct.pack("<III", 0, 0, 1) * count, dynamic=False, sections=False)
    data, places = build_with_places(spec)
    header = struct.pack("<IIQQQQQQ", 4, 4, places[".rodata"], 0, 0, 12 * count, 0, 4)
    lie = data[: 64 + 56 * 2] + header + data[64 + 56 * 3 :]
    if is_read:
        assert len(notes_of(lie)) == count
    else:
        assert refusal(lie).endswith("is one of very many that overlap each other")


def test_descriptions_that_overlap_are_bounded() -> None:
    # Each of 1,000 notes has all that follows as its description.
    count = 1000
    payload = b"".join(struct.pack("<III", 0, 12 * (count - number - 1), 1) for number in range(count))
    data, places = build_with_places(ElfSpec(spare_headers=count, payload=payload, dynamic=False, sections=False))
    lie = bytearray(data)
    for number in range(count):
        start = places[".rodata"] + 12 * number
        place = 64 + 56 * (2 + number)
        lie[place : place + 56] = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, 12 * (count - number), 0, 4)
    assert refusal(bytes(lie)).endswith("is one of very many that overlap each other")


def test_build_id() -> None:
    assert build_id(values([ODD_SIZE, BUILD_ID])) == "000102030405060708090a0b0c0d0e0f10111213"
    assert build_id(values([ODD_SIZE, NoteSpec("FDO", 3, b"x")])) is None


@pytest.mark.parametrize(("needed", "level"), [(0, None), (1, 1), (3, 2), (7, 3), (4, 3), (15, 4), (16, 4)])
@pytest.mark.parametrize("bits", [32, 64])
def test_x86_level(bits: int, needed: int, level: int | None) -> None:
    notes = values([BUILD_ID, property_note(needed, bits=bits)])
    assert x86_isa_level(notes, bits=bits) == level


def test_x86_level_after_another_property() -> None:
    other = struct.pack("<III", 0xC0000002, 4, 3)
    assert x86_isa_level(values([property_note(7, before=other + bytes(4))]), bits=64) == 3
    assert x86_isa_level(values([property_note(7, before=other, bits=32)]), bits=32) == 3


def test_x86_level_is_not_said() -> None:
    assert x86_isa_level((), bits=64) is None
    assert x86_isa_level(values([NoteSpec("FDO", 5, property_note(1).description)]), bits=64) is None
    for kind in (3, 6):  # a build id that looks like properties, and a type of the future
        assert x86_isa_level(values([NoteSpec("GNU", kind, property_note(7).description)]), bits=64) is None
    cut = property_note(7).description[:10]
    assert x86_isa_level(values([NoteSpec("GNU", 5, cut)]), bits=64) is None
    empty = struct.pack("<II", 0xC0008002, 0)
    assert x86_isa_level(values([NoteSpec("GNU", 5, empty)]), bits=64) is None


def test_package() -> None:
    assert package_metadata(values([BUILD_ID, PACKAGE])) == {"type": "deb", "name": "zlib"}
    assert package_metadata(values([BUILD_ID])) == {}
    for owner in ("ADO", "GDO", "fdo", ""):  # the type means something with its owner only (gABI, "Note Section")
        assert package_metadata(values([PACKAGE._replace(owner=owner)])) == {}


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1]", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 10_000],
)
def test_package_that_is_no_json_object(text: bytes) -> None:
    broken = NoteSpec("FDO", 0xCAFE1A7E, text)
    assert package_metadata(values([broken])) == {}
    # A second one is read all the same.
    assert package_metadata(values([broken, PACKAGE]))["name"] == "zlib"


def test_package_in_a_file() -> None:
    document = {"type": "rpm", "name": "grün"}
    note = NoteSpec("FDO", 0xCAFE1A7E, json.dumps(document).encode())
    spec = replace(MACHINES["s390x"], notes=(note,))
    assert package_metadata(notes_of(build_elf(spec))) == document


DLOPEN = NoteSpec("FDO", 0x407C0C0A, b'[{"soname": ["libz.so.1"], "priority": "required"}, {"soname": ["liba.so"]}]\0')


def test_what_is_opened_at_run_time() -> None:
    """UAPI.12: one note with a list of objects; the priority is `recommended` where nothing is said."""
    found = [Declaration(sonames=("libz.so.1",), priority="required")]
    found.append(Declaration(sonames=("liba.so",), priority="recommended"))
    assert dlopen_declarations(values([BUILD_ID, PACKAGE, DLOPEN])) == tuple(found)
    for other in (DLOPEN._replace(owner="GNU"), DLOPEN._replace(type=0xCAFE1A7E), DLOPEN._replace(description=b"{}")):
        assert dlopen_declarations(values([other])) == ()
    for odd in (b'[{"soname": "liba.so"}]', b'[{"soname": [1]}]', b'["liba.so"]', b"[{}]", b"[", b""):
        assert dlopen_declarations(values([DLOPEN._replace(description=odd)])) == ()


def test_the_beginning_of_a_long_description_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deloc8.elf.read.notes._LONGEST_DESCRIPTION", 8)
    data = build_elf(notes=(NoteSpec("NODE", 1, b"12345678"), NoteSpec("NODE", 2, b"123456789")))
    notes = [note.description for note in parse(data, "x").notes if note.owner == "NODE"]
    assert notes == [b"12345678", b"12345678"]
