from __future__ import annotations

import struct

from deloc8.elf.read.debug import debug_size
from kit.elf import ElfSpec, build_elf
from kit.faults import with_debug


def test_a_plain_file_has_none() -> None:
    assert debug_size(build_elf(), "a.so") == 0


def test_a_file_without_section_headers_shows_none() -> None:
    assert debug_size(build_elf(ElfSpec(sections=False)), "a.so") == 0


def test_the_bytes_of_its_sections() -> None:
    assert debug_size(with_debug(build_elf(), 1234), "a.so") == 1234
    assert debug_size(with_debug(build_elf(), 99, b".zdebug_line"), "a.so") == 99
    assert debug_size(with_debug(build_elf(), 99, b".debugger"), "a.so") == 0


def test_debug_information_of_whatever_kind_counts_but_not_what_takes_no_room() -> None:
    data = with_debug(build_elf(), 99)
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    for kind, size in ((1, 99), (0x7000001E, 99), (8, 0)):  # SHT_PROGBITS, SHT_MIPS_DWARF, SHT_NOBITS
        changed = bytearray(data)
        struct.pack_into("<I", changed, table + 64 * (count - 2) + 4, kind)
        assert debug_size(bytes(changed), "a.so") == size


def test_sections_that_are_loaded_do_not_count() -> None:
    assert debug_size(with_debug(build_elf(), 99, b".debug_gdb_scripts", flags=2), "a.so") == 0


def test_a_name_table_that_is_nowhere_names_nothing() -> None:
    data = bytearray(with_debug(build_elf(), 99))
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    struct.pack_into("<Q", data, table + 64 * (count - 1) + 24, 1 << 40)  # sh_offset
    assert debug_size(bytes(data), "a.so") == 0
