"""What a loader takes for granted of an ELF file: checked of every file that deloc8 has edited."""

from __future__ import annotations

from itertools import pairwise

from deloc8.elf import constants as c
from deloc8.elf.dynamic import read_table
from deloc8.elf.versions import read_version_needs
from deloc8.elf.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.view import Buffer, Segment


def broken_invariants(data: Buffer, name: str) -> tuple[str, ...]:
    """What a loader could stumble over, a line each; empty for a file that is fit to be loaded.

    Source: System V gABI, chapter 5 ("Program Header", "Dynamic Section"), and what glibc and musl rely on.

    Raises:
        ElfError: The file cannot even be read.
    """
    view = View.open(data, name)
    table = read_table(view)
    return (*_segments(view), *(_dynamic(table) if table else ()))


def _segments(view: View) -> Iterator[str]:
    loads = [segment for segment in view.segments if segment.type == c.PT_LOAD]
    for before, after in pairwise(loads):
        if after.vaddr < before.vaddr + before.memsz:
            yield f"the PT_LOAD at 0x{after.vaddr:x} does not follow the one at 0x{before.vaddr:x}"
    for load in loads:
        if load.align > 1 and (load.offset - load.vaddr) % load.align:
            yield f"the PT_LOAD at 0x{load.vaddr:x}: p_offset and p_vaddr differ modulo p_align 0x{load.align:x}"
    headers_size = len(view.segments) * view.layout.program_header.size
    for segment in view.segments:
        if segment.type == c.PT_PHDR and segment.offset != view.header.e_phoff:
            yield f"PT_PHDR says 0x{segment.offset:x}, the program headers stand at 0x{view.header.e_phoff:x}"
        if segment.type in {c.PT_DYNAMIC, c.PT_TLS, c.PT_GNU_RELRO, c.PT_PHDR} and segment.memsz:
            yield from _mapped(segment, loads)
    if loads and not any(
        load.offset <= view.header.e_phoff and view.header.e_phoff + headers_size <= load.offset + load.filesz
        for load in loads
    ):
        yield "the program headers are not part of any PT_LOAD"


def _mapped(segment: Segment, loads: list[Segment]) -> Iterator[str]:
    home = [load for load in loads if load.vaddr <= segment.vaddr < load.vaddr + load.memsz]
    if not home:
        yield f"the segment of type 0x{segment.type:x} at 0x{segment.vaddr:x} is not part of any PT_LOAD"
    elif segment.filesz and segment.vaddr - home[0].vaddr != segment.offset - home[0].offset:
        yield f"the segment of type 0x{segment.type:x} at 0x{segment.vaddr:x} stands apart from its PT_LOAD in the file"


def _dynamic(table: DynamicTable) -> Iterator[str]:
    strings = table.strings
    if strings and strings[-1]:
        yield "DT_STRTAB does not end with a NUL"
    needed = {table.string("DT_NEEDED", value) for tag, value in table.entries if tag in c.LIBRARY_TAGS}
    for need in read_version_needs(table):
        if need.file not in needed:
            yield f"versions are needed of {need.file}, which is not among DT_NEEDED"
    for section in table.view.sections:
        if section.type == c.SHT_DYNAMIC and section.offset != table.offset:
            yield f"the header of .dynamic says 0x{section.offset:x}, PT_DYNAMIC says 0x{table.offset:x}"
