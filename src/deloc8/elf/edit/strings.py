"""Where new strings go in DT_STRTAB: where they already stand, into a place that nobody uses any more, or behind it."""

from __future__ import annotations

import struct

from deloc8.elf import constants as c
from deloc8.elf.read.symbols import count_hashed, count_symbols
from deloc8.elf.read.versions import read_definition_records
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from deloc8.elf.edit.draft import Draft
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Section

# Entries of the dynamic section whose value is a position in DT_STRTAB (gABI; the linker guides of GNU and Solaris).
_DT_CONFIG, _DT_USED = 0x6FFFFEFA, 0x7FFFFFFE
_DT_SUNW_AUXILIARY, _DT_SUNW_FILTER = 0x6000000D, 0x6000000F
_STRING_TAGS = frozenset(
    {c.DT_NEEDED, c.DT_SONAME, c.DT_RPATH, c.DT_RUNPATH}
    | {c.DT_FILTER, c.DT_AUXILIARY, c.DT_AUDIT, c.DT_DEPAUDIT}
    | {_DT_CONFIG, _DT_USED, _DT_SUNW_AUXILIARY, _DT_SUNW_FILTER}
)
# prelink's list of libraries refers to DT_STRTAB too.
_DT_GNU_LIBLIST = 0x6FFFFEF9
# The sections whose references to .dynstr are known: .dynamic, .dynsym, .gnu.version_d, .gnu.version_r.
_KNOWN_USERS = frozenset({c.SHT_DYNAMIC, c.SHT_DYNSYM, c.SHT_GNU_VERDEF, c.SHT_GNU_VERNEED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StringPlan:
    """Where each new string goes.

    Attributes:
        positions: The position in DT_STRTAB of each new string.
        overwritten: Bytes of the table that change: position and new contents.
        tail: What is added behind the table.
    """

    positions: Mapping[bytes, int]
    overwritten: tuple[tuple[int, bytes], ...]
    tail: bytes


def place_strings(table: DynamicTable, draft: Draft) -> StringPlan:
    """The places of all strings of a draft that are still open.

    Raises:
        ElfError: The string table, or a table that refers to it, is unsound.
    """
    wanted = draft.texts()
    positions: dict[bytes, int] = {}
    homeless: list[bytes] = []
    for text in wanted:
        found = table.strings.find(text + b"\0")
        if found >= 0:
            positions[text] = found
        else:
            homeless.append(text)
    homeless.sort(key=len, reverse=True)  # so that the end of a longer new string can serve a shorter one
    overwritten: list[tuple[int, bytes]] = []
    chunks = _free_chunks(table, draft, positions.values(), len(homeless[-1])) if homeless else []
    tail = b""
    for text in homeless:
        fitting = [chunk for chunk in chunks if chunk[1] - chunk[0] >= len(text)]
        found = tail.find(text + b"\0")
        if found >= 0:
            positions[text] = len(table.strings) + found
        elif fitting:
            start, end = chunk = min(fitting, key=lambda place: place[1] - place[0])
            chunks.remove(chunk)
            positions[text] = start
            overwritten.append((start, text.ljust(end - start, b"\0")))
        else:
            # The last string of an unsound table may lack its NUL; what is added must not become its end.
            tail = tail or (b"" if table.strings.endswith(b"\0") else b"\0")
            positions[text] = len(table.strings) + len(tail)
            tail += text + b"\0"
    return StringPlan(positions=positions, overwritten=tuple(overwritten), tail=tail)


_Chunk = tuple[int, int]


def _free_chunks(table: DynamicTable, draft: Draft, taken: Iterable[int], shortest: int) -> list[_Chunk]:
    """The strings (start, and the place of their NUL) that an edit sets free and that provably nothing else uses."""
    used = _named_after(draft)
    used.update(taken)
    chunks = {_chunk_around(table.strings, position) for position in _named_before(table, draft) - used}
    chunks = {(start, end) for start, end in chunks if end - start >= shortest}
    if not chunks or not _all_users_known(table):
        return []
    for need in draft.needs_before:
        used.update(version.name for version in need.versions if isinstance(version.name, int))
    for definition in read_definition_records(table):
        used.update(definition.names)
    used.update(_symbol_names(table))
    return sorted(chunk for chunk in chunks if not _is_used(chunk, used))


def _named_before(table: DynamicTable, draft: Draft) -> set[int]:
    """Where the strings begin that the dynamic section and the version records of a file name."""
    found = {value for tag, value in table.entries if tag in _STRING_TAGS}
    found.update(need.file for need in draft.needs_before if isinstance(need.file, int))
    return found


def _named_after(draft: Draft) -> set[int]:
    """The same of the edited file, as far as its strings are those of the old one."""
    named = (value for tag, value in draft.entries if tag in _STRING_TAGS)
    found = {value for value in named if isinstance(value, int)}
    found.update(need.file for need in draft.needs if isinstance(need.file, int))
    return found


def _is_used(chunk: _Chunk, used: Iterable[int]) -> bool:
    """Whether one of some positions is in a string: a shorter name may be the end of a longer one."""
    start, end = chunk
    return any(start <= position < end for position in used)


def _chunk_around(strings: bytes, position: int) -> _Chunk:
    """The whole string that a position lies in: linkers let a name be the end of a longer one."""
    return strings.rfind(b"\0", 0, position) + 1, strings.find(b"\0", position)


def _all_users_known(table: DynamicTable) -> bool:
    """Whether everything that can refer to a string is found by this module."""
    view = table.view
    if _DT_GNU_LIBLIST in table.values or not _knows_all_symbols(table):
        return False
    start = table.locate("DT_STRTAB", c.DT_STRTAB)
    end = start + len(table.strings)
    own = {index for index, section in enumerate(view.sections) if section.offset == start and section.size}
    if view.header.e_shstrndx in own:  # the names of sections are in the same table
        return False
    for index, section in enumerate(view.sections):
        if section.link in own and section.type not in _KNOWN_USERS:
            return False
        if index not in own and _overlaps(section, start, end):
            return False
    return True


def _overlaps(section: Section, start: int, end: int) -> bool:
    """Whether a section has bytes in a stretch of the file."""
    return section.type != c.SHT_NOBITS and section.offset < end and start < section.offset + section.size


def _knows_all_symbols(table: DynamicTable) -> bool:
    """Whether the number of symbols is certain; relocations give only a lower bound."""
    values = table.values
    has_section = any(section.type == c.SHT_DYNSYM for section in table.view.sections)
    if c.DT_SYMTAB not in values:
        return not has_section
    return has_section or c.DT_HASH in values or (c.DT_GNU_HASH in values and bool(count_hashed(table)))


def _symbol_names(table: DynamicTable) -> Iterator[int]:
    """st_name of every dynamic symbol."""
    view = table.view
    count = count_symbols(table)
    for section in view.sections:
        if section.type == c.SHT_DYNSYM:
            count = max(count, section.size // view.layout.symbol.size)
    if count:
        offset = table.locate("DT_SYMTAB", c.DT_SYMTAB)
        record = view.layout.symbol
        raw = view.slice("DT_SYMTAB", offset, count * record.size)
        order = "<" if view.layout.little_endian else ">"
        for (name,) in struct.iter_unpack(f"{order}I{record.size - 4}x", raw):
            yield name
