"""A bounds-checked view of the bytes of one ELF file: the only code that touches raw offsets while reading."""

from __future__ import annotations

import struct
from functools import cached_property
from itertools import repeat

from deloc8.elf import constants as c
from deloc8.elf.read.records import LAYOUTS, Layout, Record
from deloc8.errors import ElfError
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    import re
    from collections.abc import Callable
    from typing import Protocol, TypeAlias, overload

    from typing_extensions import Self

    Buffer = bytes | bytearray | memoryview | mmap.mmap

    class Parts(Protocol):
        """A file of which only the parts that are asked for are read, such as `loader.partial.PartialFile`."""

        def __len__(self) -> int: ...

        @overload
        def __getitem__(self, key: int) -> int: ...

        @overload
        def __getitem__(self, key: slice) -> bytes: ...

        def find(self, part: bytes, start: int, end: int) -> int: ...  # noqa: D102  as of bytes

        def rfind(self, part: bytes, start: int, end: int) -> int: ...  # noqa: D102  the same

    Readable: TypeAlias = Buffer | Parts


class Header(NamedTuple):
    """Elf_Ehdr, the fields under their own names."""

    e_ident: bytes
    e_type: int
    e_machine: int
    e_version: int
    e_entry: int
    e_phoff: int
    e_shoff: int
    e_flags: int
    e_ehsize: int
    e_phentsize: int
    e_phnum: int
    e_shentsize: int
    e_shnum: int
    e_shstrndx: int


class Segment(NamedTuple):
    """One program header; offsets, addresses and sizes in bytes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Section(NamedTuple):
    """One section header; offsets, addresses and sizes in bytes."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int


_IDENT_SIZE = 16
_WITHOUT_CONTENTS = frozenset({c.SHT_NULL, c.SHT_NOBITS})
_CHUNK = 1 << 20
_LONGEST_MATCH = 64
_TYPES = {"H": 2, "I": 4, "Q": 8}
# Far above what any linker writes; it keeps a file of nothing but headers from filling the memory.
_MOST_HEADERS = 1 << 16


@dataclass(frozen=True)
class View:
    """The bytes of an ELF file with its headers taken apart.

    Attributes:
        data: The whole file.
        name: How messages call the file.
        layout: The record layouts of the file's class and byte order.
        header: The file header.
        segments: The program headers, in their order.
        sections: The section headers, in their order; empty where the file has none.
    """

    data: Readable
    name: str
    layout: Layout
    header: Header
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]

    @classmethod
    def open(cls, data: Readable, name: str) -> Self:
        """The view of a file's bytes.

        Raises:
            ElfError: The headers are no ELF headers, or point outside the file.
        """
        layout = _layout_of(data, name)
        record = layout.file_header
        if len(data) < record.size:
            raise sick(name, "the file header", 0, f"needs {record.size} bytes, the file has {len(data)}")
        header = Header._make(record.struct.unpack(data[: record.size]))
        sections = _read_sections(data, name, header)
        segments = _read_segments(data, name, header, sections)
        view = cls(data, name, layout, header, segments, sections)
        if not view.is_debug_companion:
            _check_loads(view)
        return view

    @property
    def size(self) -> int:
        """The length of the file in bytes."""
        return len(self.data)

    @cached_property
    def is_debug_companion(self) -> bool:
        """Whether it holds debug information alone: the headers of a library whose contents were taken away.

        Such files come from `objcopy --only-keep-debug` and `eu-strip -f`; their .dynamic is SHT_NOBITS.
        """
        places = {segment.vaddr for segment in self.segments if segment.type == c.PT_DYNAMIC}
        return any(s.type == c.SHT_NOBITS and s.size and s.addr in places for s in self.sections) if places else False

    @property
    def headers_end(self) -> int:
        """Where the table of section headers ends; 0 where there is none."""
        return self.header.e_shoff + len(self.sections) * self.layout.section_header.size

    @property
    def elf_end(self) -> int:
        """Where the last of headers, segments and sections ends; what follows belongs to the program alone."""
        layout = self.layout
        end = self.header.e_phoff + len(self.segments) * layout.program_header.size
        end = max(end, self.headers_end, layout.file_header.size)
        for segment in self.segments:
            end = max(end, segment.offset + segment.filesz)
        for section in self.sections:
            if section.type not in _WITHOUT_CONTENTS:
                end = max(end, section.offset + section.size)
        return end

    @property
    def has_payload(self) -> bool:
        """Whether anything but zeros is behind the ELF part."""
        if self.headers_end == self.size:  # as linkers write it
            return False
        places = range(self.elf_end, self.size, _CHUNK)
        return any(bytes(self.data[place : place + _CHUNK]).strip(b"\0") for place in places)

    def slice(self, field: str, offset: int, size: int) -> bytes:
        """A copy of some bytes; `field` is what a message calls the thing that points there.

        Raises:
            ElfError: They reach beyond the end of the file.
        """
        self.check_range(field, offset, size)
        return bytes(self.data[offset : offset + size])

    def check_range(self, field: str, offset: int, size: int) -> None:
        """Raise ElfError where a range reaches beyond the end of the file."""
        if offset + size > len(self.data):
            raise self.sick(field, offset, f"reaches to 0x{offset + size:x}, the file ends at 0x{len(self.data):x}")

    def numbers(self, field: str, offset: int, count: int, code: str) -> tuple[int, ...]:
        """An array of numbers of one struct code (H, I or Q).

        Raises:
            ElfError: It reaches beyond the end of the file.
        """
        self.check_range(field, offset, count * _TYPES[code])
        order = "<" if self.layout.little_endian else ">"
        return struct.unpack(f"{order}{count}{code}", self.data[offset : offset + count * _TYPES[code]])

    def record(self, record: Record, offset: int) -> tuple[int, ...]:
        """The fields of one record.

        Raises:
            ElfError: It reaches beyond the end of the file.
        """
        self.check_range(record.name, offset, record.size)
        return record.struct.unpack(self.data[offset : offset + record.size])

    def has(self, pattern: re.Pattern[bytes], start: int, end: int) -> bool:
        """Whether a pattern of at most `_LONGEST_MATCH` bytes matches within a range."""
        for place in range(start, end, _CHUNK):
            if pattern.search(self.data[place : min(place + _CHUNK + _LONGEST_MATCH, end)]):
                return True
        return False

    def offset_of(self, field: str, address: int, place: Callable[[], int | None] = lambda: None) -> int:
        """Where the bytes at a virtual address stand in the file; `place` tells where the field itself stands.

        Raises:
            ElfError: No PT_LOAD brings file contents to that address.
        """
        for segment in self.segments:
            if segment.type == c.PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
                return address - segment.vaddr + segment.offset
        raise self.sick(field, place(), f"points to address 0x{address:x}, where no PT_LOAD has file contents")

    def sick(self, field: str, offset: int | None, what: str) -> ElfError:
        """The error that says what is wrong with a field."""
        return sick(self.name, field, offset, what)


def would_load(data: Readable, name: str) -> bool:
    """Whether a dynamic loader would take a file that is not sound: what it maps is there.

    It reads the file header, the program headers and PT_DYNAMIC, and nothing else of a file that it maps.
    """
    try:
        layout = _layout_of(data, name)
        header = Header._make(layout.file_header.struct.unpack(data[: layout.file_header.size]))
        segments = _read_segments(data, name, header, ())
    except (ElfError, struct.error):
        return False
    mapped = [segment for segment in segments if segment.type in {c.PT_LOAD, c.PT_DYNAMIC}]
    is_dynamic = any(segment.type == c.PT_DYNAMIC for segment in mapped)
    is_whole = all(segment.offset + segment.filesz <= len(data) for segment in mapped)
    return header.e_type in {c.ET_DYN, c.ET_EXEC} and is_dynamic and is_whole


def sick(name: str, field: str, offset: int | None, what: str) -> ElfError:
    """The error that says which field of a file, at which offset, is unsound."""
    where = "" if offset is None else f" at offset 0x{offset:x}"
    return ElfError(
        f"`{name}` is not a sound ELF file",
        code="bad-elf",
        context=(f"{field}{where} {what}",),
        hints=("the file may be cut short or damaged: build or download it again",),
    )


def _layout_of(data: Readable, name: str) -> Layout:
    if len(data) < _IDENT_SIZE or data[:4] != c.ELF_MAGIC:
        raise sick(name, "e_ident", 0, "does not begin with the ELF magic bytes and 12 more")
    bits = {c.ELFCLASS32: 32, c.ELFCLASS64: 64}.get(data[c.EI_CLASS])
    if bits is None:
        raise sick(name, "EI_CLASS", c.EI_CLASS, f"is {data[c.EI_CLASS]}, neither 32 nor 64 bit")
    little = {c.ELFDATA2LSB: True, c.ELFDATA2MSB: False}.get(data[c.EI_DATA])
    if little is None:
        raise sick(name, "EI_DATA", c.EI_DATA, f"is {data[c.EI_DATA]}, neither little nor big endian")
    return LAYOUTS[bits, little]


def _read_table(data: Readable, name: str, header: Header, prefix: str, count: int) -> tuple[bytes, Record]:
    """The raw table of program headers (prefix "e_ph") or section headers ("e_sh"), and the layout of its rows."""
    layout = _layout_of(data, name)
    record = layout.program_header if prefix == "e_ph" else layout.section_header
    places = layout.file_header.offsets
    offset: int = getattr(header, f"{prefix}off")
    entry_size: int = getattr(header, f"{prefix}entsize")
    if entry_size != record.size:
        raise sick(name, f"{prefix}entsize", places[f"{prefix}entsize"], f"is {entry_size}, not {record.size}")
    if count > _MOST_HEADERS:
        what = f"announces {count} {record.name}s, more than any file has"
        raise sick(name, f"{prefix}num", places[f"{prefix}num"], what)
    end = offset + count * entry_size
    if end > len(data):
        what = f"says that {count} {record.name}s end at 0x{end:x}, the file ends at 0x{len(data):x}"
        raise sick(name, f"{prefix}off", places[f"{prefix}off"], what)
    return bytes(data[offset:end]), record


def _read_sections(data: Readable, name: str, header: Header) -> tuple[Section, ...]:
    if not header.e_shoff:
        return ()
    count = header.e_shnum
    if not count:  # the true number stands in sh_size of section header 0
        first, record = _read_table(data, name, header, "e_sh", 1)
        count = Section._make(record.struct.unpack(first)).size
    table, record = _read_table(data, name, header, "e_sh", count)
    return tuple(map(tuple.__new__, repeat(Section), record.struct.iter_unpack(table)))


def _read_segments(data: Readable, name: str, header: Header, sections: tuple[Section, ...]) -> tuple[Segment, ...]:
    count = header.e_phnum
    if not count:
        return ()
    if count == c.PN_XNUM and sections:
        count = sections[0].info
    table, record = _read_table(data, name, header, "e_ph", count)
    rows = record.struct.iter_unpack(table)
    if record.fields[1] == "p_flags":  # the 64-bit order of fields is that of Segment
        return tuple(map(tuple.__new__, repeat(Segment), rows))
    return tuple(Segment(t, fl, o, v, p, fs, ms, a) for t, o, v, p, fs, ms, fl, a in rows)


def _check_loads(view: View) -> None:
    """Raise ElfError where a PT_LOAD reaches beyond the end of the file: it was cut short."""
    record = view.layout.program_header
    for index, segment in enumerate(view.segments):
        # Without contents the offset means nothing.
        if segment.type == c.PT_LOAD and segment.filesz and segment.offset + segment.filesz > view.size:
            place = view.header.e_phoff + index * record.size + record.offsets["p_filesz"]
            what = f"reaches to 0x{segment.offset + segment.filesz:x}, the file ends at 0x{view.size:x}"
            raise view.sick(f"p_filesz of program header {index}", place, what)
