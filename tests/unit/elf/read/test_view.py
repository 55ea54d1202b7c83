"""Headers, and the checks that every read passes through."""

from __future__ import annotations

import mmap
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8 import values
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import ET_REL, MACHINES, ElfSpec, build_elf, build_with_places

if TYPE_CHECKING:
    from pathlib import Path


def refused(data: bytes) -> str:
    with pytest.raises(ElfError) as caught:
        View.open(data, "lib.so")
    assert caught.value.code == "bad-elf"
    assert caught.value.message == "`lib.so` is not a sound ELF file"
    return caught.value.context[0]


def changed(data: bytes, offset: int, code: str, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(code, copy, offset, value)
    return bytes(copy)


@pytest.mark.parametrize("machine", MACHINES)
def test_headers_of_every_machine(machine: str) -> None:
    spec = MACHINES[machine]
    view = View.open(build_elf(spec), "lib.so")
    assert (view.layout.bits, view.layout.little_endian) == (spec.bits, spec.little_endian)
    assert (view.header.e_machine, view.header.e_flags, view.header.e_type) == (spec.machine, spec.flags, spec.type)
    loads = [segment for segment in view.segments if segment.type == 1]
    assert [segment.flags for segment in loads] == [4, 6]
    assert all(segment.align == spec.align for segment in loads)
    assert all((segment.vaddr - segment.offset) % spec.align == 0 for segment in loads)
    assert view.sections[0].type == 0


def test_sections_are_as_many_as_were_built() -> None:
    data, places = build_with_places(ElfSpec(needed=("libc.so.6",)))
    view = View.open(data, "lib.so")
    offsets = [section.offset for section in view.sections[1:-1]]
    assert offsets == list(places.values())


def test_any_buffer(tmp_path: Path) -> None:
    data = build_elf()
    file = tmp_path / "lib.so"
    file.write_bytes(data)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        views = [View.open(buffer, "lib.so") for buffer in (data, bytearray(data), memoryview(data), mapped)]
        assert len({view.segments for view in views}) == 1
        assert [view.slice("e_ident", 0, 4) for view in views] == [b"\x7fELF"] * 4
        assert {view.size for view in views} == {len(data)}


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(8), b"!<arch>\n" + bytes(60)])
def test_no_elf_magic(data: bytes) -> None:
    assert refused(data) == "e_ident at offset 0x0 does not begin with the ELF magic bytes and 12 more"


def test_identification() -> None:
    data = build_elf()
    assert refused(changed(data, 4, "B", 3)) == "EI_CLASS at offset 0x4 is 3, neither 32 nor 64 bit"
    assert refused(changed(data, 5, "B", 0)) == "EI_DATA at offset 0x5 is 0, neither little nor big endian"
    assert refused(data[:63]) == "the file header at offset 0x0 needs 64 bytes, the file has 63"
    assert refused(build_elf(MACHINES["i686"])[:40]) == "the file header at offset 0x0 needs 52 bytes, the file has 40"


def test_program_headers_outside() -> None:
    data = build_elf(sections=False)
    end = 1 << 40
    context = refused(changed(data, 0x20, "<Q", end))
    assert context == (
        f"e_phoff at offset 0x20 says that 4 program headers end at 0x{end + 4 * 56:x}, "
        f"the file ends at 0x{len(data):x}"
    )
    assert refused(changed(data, 0x36, "<H", 32)) == "e_phentsize at offset 0x36 is 32, not 56"
    assert refused(changed(data, 0x36, "<H", 64)) == "e_phentsize at offset 0x36 is 64, not 56"


def test_no_program_headers() -> None:
    assert View.open(build_elf(type=ET_REL), "x.o").segments == ()


def test_extended_number_of_program_headers() -> None:
    data = build_elf()
    announced = changed(data, 0x38, "<H", 0xFFFF)
    section_table = struct.unpack_from("<Q", data, 0x28)[0]
    # sh_info of section header 0 holds the true number
    assert len(View.open(changed(announced, section_table + 44, "<I", 4), "lib.so").segments) == 4
    assert "announces 4294967295 program headers" in refused(changed(announced, section_table + 44, "<I", 0xFFFFFFFF))
    without = changed(build_elf(sections=False), 0x38, "<H", 0xFFFF)
    assert refused(without).startswith("e_phoff at offset 0x20 says that 65535 program headers end at")


def test_extended_number_of_sections() -> None:
    data = build_elf()
    section_table = struct.unpack_from("<Q", data, 0x28)[0]
    count = struct.unpack_from("<H", data, 0x3C)[0]
    extended = changed(data, 0x3C, "<H", 0)
    # sh_size of section header 0 holds the true number
    view = View.open(changed(extended, section_table + 32, "<Q", count), "lib.so")
    assert view.sections[1:] == View.open(data, "lib.so").sections[1:]
    context = refused(changed(extended, section_table + 32, "<Q", 1 << 60))
    assert context == f"e_shnum at offset 0x3c announces {1 << 60} section headers, more than any file has"


def test_section_headers_outside() -> None:
    data = build_elf()
    assert refused(data[:-1]).startswith("e_shoff at offset 0x28 says that")
    assert refused(changed(data, 0x3A, "<H", 40)) == "e_shentsize at offset 0x3a is 40, not 64"
    assert refused(changed(data, 0x3A, "<H", 80)) == "e_shentsize at offset 0x3a is 80, not 64"


def test_cut_within_a_segment() -> None:
    data = build_elf(sections=False, spare_nulls=40)
    assert refused(data[:-1]) == (
        f"p_filesz of program header 1 at offset 0x{64 + 56 + 32:x} reaches to 0x{len(data):x}, "
        f"the file ends at 0x{len(data) - 1:x}"
    )


def test_segment_without_contents_may_begin_anywhere() -> None:
    # objcopy --only-keep-debug leaves such a header for .data
    data = build_elf(sections=False, dynamic=False)
    grown = changed(changed(data, 64 + 8, "<Q", 1 << 40), 64 + 32, "<Q", 0)
    assert View.open(grown, "lib.debug").segments[0].offset == 1 << 40


def test_debug_companion_is_known_by_its_dynamic_section() -> None:
    data, places = build_with_places(ElfSpec())
    assert not View.open(data, "lib.so").is_debug_companion
    section_table = struct.unpack_from("<Q", data, 0x28)[0]
    row = section_table + 64 * (1 + list(places).index(".dynamic"))
    companion = changed(data, row + 4, "<I", 8)
    assert View.open(companion, "lib.debug").is_debug_companion
    # its PT_LOADs still speak of the contents that were taken away
    beyond = changed(companion, 64 + 32, "<Q", 1 << 30)
    assert View.open(beyond, "lib.debug").segments[0].filesz == 1 << 30
    assert not View.open(build_elf(dynamic=False), "lib.so").is_debug_companion


def test_address_to_offset() -> None:
    spec = replace(MACHINES["aarch64"], needed=("libc.so.6",))
    data, places = build_with_places(spec)
    view = View.open(data, "lib.so")
    assert view.offset_of("DT_HASH", places[".gnu.hash"]) == places[".gnu.hash"]
    # The writable segment stands one page further in memory than in the file.
    assert view.offset_of("PT_DYNAMIC", places[".dynamic"] + 0x10000) == places[".dynamic"]
    for address in (0x8000, 2**64 - 1, 2**64):
        with pytest.raises(ElfError) as caught:
            view.offset_of("DT_STRTAB", address, lambda: 0x123)
        assert caught.value.context == (
            f"DT_STRTAB at offset 0x123 points to address 0x{address:x}, where no PT_LOAD has file contents",
        )


def test_reads_are_checked() -> None:
    data = build_elf()
    view = View.open(data, "lib.so")
    assert view.numbers("n", 0, 2, "H") == struct.unpack_from("<2H", data)
    assert view.numbers("n", len(data), 0, "Q") == ()
    assert view.record(view.layout.note, 0) == struct.unpack_from("<3I", data)
    end = len(data)
    for read in (
        lambda: view.slice("x", end - 3, 4),
        lambda: view.numbers("x", end - 3, 1, "I"),
        lambda: view.check_range("x", end - 3, 4),
    ):
        with pytest.raises(ElfError) as caught:
            read()
        assert caught.value.context == (
            f"x at offset 0x{end - 3:x} reaches to 0x{end + 1:x}, the file ends at 0x{end:x}",
        )
    with pytest.raises(ElfError, match="`lib"):
        view.record(view.layout.symbol, end - 23)


def test_error_without_a_place() -> None:
    error = View.open(build_elf(), "lib.so").sick("DT_SONAME", None, "is odd")
    assert error.context == ("DT_SONAME is odd",)
    assert error.hints


def test_only_a_load_brings_contents_to_an_address() -> None:
    view = View.open(build_elf(), "x")
    for kind in (0, 2, 4):  # PT_NULL, PT_DYNAMIC, PT_NOTE before the PT_LOAD, over the same addresses
        other = view.segments[0]._replace(type=kind, offset=0x40)
        assert values.replace(view, segments=(other, *view.segments)).offset_of("DT_HASH", 0x10) == 0x10


def test_an_identification_is_16_bytes() -> None:
    assert refused(build_elf()[:16]) == "the file header at offset 0x0 needs 64 bytes, the file has 16"
