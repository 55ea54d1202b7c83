"""What glibc 2.17 does with the relocation tables of a file, after its elf/dynamic-link.h and elf/do-rel.h."""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from kit.pyelf import dynamic_of

_REL_MACHINES = {"EM_386", "EM_ARM"}


class Walk(NamedTuple):
    """One relocation that ld.so does: its bytes, and whether it is left until the function is called."""

    entry: bytes
    lazy: bool


def walk(data: bytes, *, lazy: bool) -> list[Walk]:
    """The relocations in their order; AssertionError where ld.so would ask too much of the file."""
    elf = ELFFile(io.BytesIO(data))
    said = dynamic_of(data)
    name = "REL" if elf["e_machine"] in _REL_MACHINES else "RELA"
    word = elf.elfclass // 8
    size_of_one = word * (2 if name == "REL" else 3)
    start, size, functions, functions_size = 0, 0, 0, 0
    if f"DT_{name}" in said:
        assert said[f"DT_{name}ENT"] == size_of_one
        start, size = said[f"DT_{name}"], said[f"DT_{name}SZ"]
    if "DT_PLTREL" in said:
        assert said["DT_PLTREL"] == (17 if name == "REL" else 7)
        functions, functions_size = said["DT_JMPREL"], said["DT_PLTRELSZ"]
        if start + size == functions + functions_size:
            size -= functions_size
        if not lazy and size:
            size += functions_size
            functions_size = 0
    rows = [Walk(row, lazy=False) for row in _rows(data, start, size, size_of_one)]
    return rows + [Walk(row, lazy=lazy) for row in _rows(data, functions, functions_size, size_of_one)]


def _rows(data: bytes, start: int, size: int, size_of_one: int) -> list[bytes]:
    if not size:
        return []
    offset = next(iter(ELFFile(io.BytesIO(data)).address_offsets(start, size)))
    return [data[offset + place : offset + place + size_of_one] for place in range(0, size, size_of_one)]


def functions_of(data: bytes) -> list[bytes]:
    """The entries of DT_JMPREL, by pyelftools."""
    elf = ELFFile(io.BytesIO(data))
    segment = next(elf.iter_segments("PT_DYNAMIC"))
    assert isinstance(segment, DynamicSegment)
    table = segment.get_relocation_tables().get("JMPREL")
    if table is None:
        return []
    word = ("<" if elf.little_endian else ">") + ("I" if elf.elfclass == 32 else "Q")
    fields = ("r_offset", "r_info", "r_addend") if table.is_RELA() else ("r_offset", "r_info")
    return [b"".join(struct.pack(word, row[field]) for field in fields) for row in table.iter_relocations()]
