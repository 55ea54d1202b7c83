"""Properties that a loader takes for granted in an ELF file: checked in every edited file."""

from __future__ import annotations

from itertools import pairwise

from deloc8.elf import constants as c
from deloc8.elf.edit.rebind import sysv_hash
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.relocations import REL, RELA
from deloc8.elf.read.symbols import count_symbols
from deloc8.elf.read.versions import (
    read_defined_versions,
    read_need_hashes,
    read_need_records,
    read_version_needs,
)
from deloc8.elf.read.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Buffer, Segment


def broken_invariants(data: Buffer, name: str) -> tuple[str, ...]:
    """Faults that a loader could stumble over, a line each; none for a file that is fit to be loaded.

    Source: System V gABI, chapter 5 ("Program Header", "Dynamic Section"), and what glibc and musl rely on.

    Raises:
        ElfError: The file cannot even be read.
    """
    view = View.open(data, name)
    table = read_table(view)
    return (*_segments(view), *(_dynamic(table) if table else ()))


def _segments(view: View) -> Iterator[str]:
    """Faults of the program headers."""
    loads = [segment for segment in view.segments if segment.type == c.PT_LOAD]
    yield from _loads(loads)

    for segment in view.segments:
        if segment.type == c.PT_PHDR and segment.offset != view.header.e_phoff:
            yield f"PT_PHDR says 0x{segment.offset:x}, the program headers stand at 0x{view.header.e_phoff:x}"
        if segment.type in _MAPPED and segment.memsz:
            yield from _mapped(segment, loads)

    if loads and not _has_headers(view, loads):
        yield "the program headers are not part of any PT_LOAD"


def _loads(loads: Sequence[Segment]) -> Iterator[str]:
    """Faults of the order and the alignment of PT_LOADs."""
    for before, after in pairwise(loads):
        if after.vaddr < before.vaddr + before.memsz:
            yield f"the PT_LOAD at 0x{after.vaddr:x} does not follow the one at 0x{before.vaddr:x}"

    for load in loads:
        if load.align > 1 and (load.offset - load.vaddr) % load.align:
            what = f"p_offset and p_vaddr differ modulo p_align 0x{load.align:x}"
            yield f"the PT_LOAD at 0x{load.vaddr:x}: {what}"


_MAPPED = frozenset({c.PT_DYNAMIC, c.PT_TLS, c.PT_GNU_RELRO, c.PT_PHDR})


def _has_headers(view: View, loads: Sequence[Segment]) -> bool:
    """Whether one of some segments has all program headers."""
    start = view.header.e_phoff
    end = start + len(view.segments) * view.layout.program_header.size
    return any(load.offset <= start and end <= load.offset + load.filesz for load in loads)


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
    yield from _versions(table)
    yield from _relocations(table)
    for section in table.view.sections:
        if section.type == c.SHT_DYNAMIC and section.offset != table.offset:
            yield f"the header of .dynamic says 0x{section.offset:x}, PT_DYNAMIC says 0x{table.offset:x}"


def _versions(table: DynamicTable) -> Iterator[str]:
    """Faults in symbol versions that ld.so does not check for, or asserts the absence of."""
    values = table.values
    has_records = c.DT_VERNEED in values or c.DT_VERDEF in values
    if has_records != (c.DT_VERSYM in values):
        yield "DT_VERSYM, and DT_VERNEED or DT_VERDEF: one is there without the other"
        return
    for name, value in read_need_hashes(table):
        if sysv_hash(name.encode("utf-8", "surrogateescape")) != value:
            yield f"the version {name} is looked for by a hash that is not its own"
    if any(need.revision != 1 for need in read_need_records(table)):
        yield "DT_VERNEED is of another revision than 1"
    if has_records:
        highest = _highest_number(table)
        if highest > max(_known_numbers(table), default=0) and highest > c.VER_NDX_GLOBAL:
            yield f"DT_VERSYM has the number {highest}, which is beyond all versions"


def _highest_number(table: DynamicTable) -> int:
    """The highest number of a version that a symbol has; 0 where there is no symbol."""
    start = table.locate("DT_VERSYM", c.DT_VERSYM)
    numbers = table.view.numbers("DT_VERSYM", start, count_symbols(table), "H")
    return max((number & c.VERSYM_VERSION for number in numbers), default=0)


def _known_numbers(table: DynamicTable) -> set[int]:
    """The numbers that the records of versions give."""
    known = {definition.index for definition in read_defined_versions(table)}
    for need in read_version_needs(table):
        known.update(version.index for version in need.versions)
    return known


def _relocations(table: DynamicTable) -> Iterator[str]:
    values = table.values
    if c.DT_PLTREL in values and not {c.DT_JMPREL, c.DT_PLTRELSZ} <= values.keys():
        yield "DT_PLTREL is there without DT_JMPREL or DT_PLTRELSZ"
    for shape in (RELA, REL):
        if shape.table in values and values.get(shape.entry) != shape.entry_size(table.view):
            yield f"an entry of the relocations of type {shape.table} has another size than ld.so takes for granted"
