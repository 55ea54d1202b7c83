"""The dynamic section: what an ELF file says to the dynamic loader."""

from __future__ import annotations

import enum
from functools import cached_property

from deloc8.elf import constants as c
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from deloc8.elf.read.view import View


class LinkKind(enum.Enum):
    """Which entry names a library to load, the one that binds most first; the values are for reports.

    What DT_AUXILIARY, DT_AUDIT and DT_DEPAUDIT name may be missing: ld.so goes on without it.
    """

    NEEDED = "needed"
    FILTER = "filter"
    AUXILIARY = "auxiliary"
    AUDIT = "audit"
    DEPAUDIT = "depaudit"

    @property
    def is_optional(self) -> bool:
        """Whether the loader goes on where the library is missing."""
        return self in _OPTIONAL

    @property
    def is_audit(self) -> bool:
        """Whether the library watches the loader from a namespace of its own."""
        return self in _AUDIT


_AUDIT = frozenset({LinkKind.AUDIT, LinkKind.DEPAUDIT})
_OPTIONAL = _AUDIT | {LinkKind.AUXILIARY}


class Link(NamedTuple):
    """A library that is loaded, and the kind of the entry that names it."""

    kind: LinkKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamic:
    """The entries of PT_DYNAMIC that concern names and flags.

    Attributes:
        needed: DT_NEEDED, in their order.
        soname: DT_SONAME.
        rpath: DT_RPATH, as it stands in the file.
        runpath: DT_RUNPATH, as it stands in the file.
        flags: DT_FLAGS.
        flags_1: DT_FLAGS_1.
        has_relr: Whether relative relocations are packed (DT_RELR).
        has_textrel: Whether relocations change read-only code (DT_TEXTREL or DF_TEXTREL).
        filters: DT_FILTER and DT_AUXILIARY, in their order: libraries that are searched before this file.
        audits: The names in the lists of DT_AUDIT and DT_DEPAUDIT.
        has_tables_apart: Whether DT_JMPREL is not where glibc before 2.23 takes it to be.
        marks_plt: Whether there is the tag that on x86-64 is DT_X86_64_PLT: relocations of functions say where their
            PLT entry is.
    """

    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    flags: int = 0
    flags_1: int = 0
    has_relr: bool = False
    has_textrel: bool = False
    filters: tuple[Link, ...] = ()
    audits: tuple[Link, ...] = ()
    has_tables_apart: bool = False
    marks_plt: bool = False


@dataclass(frozen=True)
class DynamicTable:
    """The raw dynamic section: where it stands and its entries as pairs of tag and value.

    Attributes:
        view: The file.
        offset: Where the table begins in the file.
        capacity: How many entries PT_DYNAMIC has room for.
        entries: The entries before the first DT_NULL.
    """

    view: View
    offset: int
    capacity: int
    entries: tuple[tuple[int, int], ...]

    @cached_property
    def values(self) -> Mapping[int, int]:
        """The value of each tag; of a tag that occurs twice the last counts, as for ld.so."""
        return dict(self.entries)

    @cached_property
    def strings(self) -> bytes:
        """The contents of DT_STRTAB; empty where there is none.

        Raises:
            ElfError: The table reaches beyond the end of the file, or its size is not said.
        """
        offset, size = self._strings_range
        return self.view.slice(_STRING_TABLE, offset, size)

    @cached_property
    def _strings_range(self) -> tuple[int, int]:
        """Where DT_STRTAB begins, and its size."""
        if c.DT_STRTAB not in self.values:
            return 0, 0
        offset = self.locate("DT_STRTAB", c.DT_STRTAB)
        if c.DT_STRSZ not in self.values:
            raise self.view.sick("DT_STRTAB", self.value_offset(c.DT_STRTAB), "comes without DT_STRSZ")
        self.view.check_range(_STRING_TABLE, offset, self.values[c.DT_STRSZ])
        return offset, self.values[c.DT_STRSZ]

    def value_offset(self, tag: int) -> int:
        """Where the value of a tag stands in the file.

        Raises:
            ValueError: There is no entry with that tag.
        """
        record = self.view.layout.dynamic
        last = len(self.entries) - 1 - [known for known, _ in reversed(self.entries)].index(tag)
        return self.offset + last * record.size + record.offsets["d_val"]

    def locate(self, field: str, tag: int) -> int:
        """Where the table that a tag points to begins in the file.

        Raises:
            ElfError: It points to an address without file contents.
            KeyError: There is no entry with that tag.
        """
        address = self.values[tag]
        return self.view.offset_of(field, address, lambda: self.value_offset(tag))

    def string(self, field: str, position: int, place: int | None = None) -> str:
        """The NUL-terminated string at a position of DT_STRTAB; bytes that are no UTF-8 become surrogates.

        Args:
            field: What a message calls the number that names the position.
            position: The position.
            place: Where that number stands in the file.

        Raises:
            ElfError: The position or the string's end lies outside the table.
        """
        return self.names(field, (position,), lambda _: place)[0]

    def names(self, field: str, positions: Sequence[int], place: Callable[[int], int | None]) -> list[str]:
        """The strings at many positions, as `string` reads one; `place` tells where the n-th position stands.

        Raises:
            ElfError: As for `string`; or the strings overlap each other thousandfold.
        """
        strings, zero, base, size = self._haystack
        left = self._budget.left
        find, limit = strings.find, base + size
        names: list[Any] = []
        for position in positions:
            start = base + position
            end = find(zero, start, limit)
            if end < 0:
                what = f"names the string at {position}, outside of DT_STRTAB ({size} bytes)"
                raise self.view.sick(field, place(len(names)), what)
            left -= end - start
            if left < 0:
                what = "names one of very many strings that overlap each other"
                raise self.view.sick(field, place(len(names)), what)
            names.append(strings[start:end])
        self._budget.left = left
        if zero == b"\0":
            return [name.decode("utf-8", "surrogateescape") for name in names]
        if strings.isascii():
            return names
        return [name.encode("latin-1").decode("utf-8", "surrogateescape") for name in names]

    @cached_property
    def _haystack(self) -> tuple[Any, str | bytes, int, int]:
        """Source of names: bytes or text, its zero, where the string table begins in it, the table's size.

        Of a large table few names are wanted, as a rule: they are read in place.
        """
        offset, size = self._strings_range
        data = self.view.data
        if size <= _LARGE_STRINGS or isinstance(data, memoryview):
            # One character for each byte, so that positions stay what they are and a name is a plain slice.
            return self.strings.decode("latin-1"), "\0", 0, size
        return data, b"\0", offset, size

    @property
    def names_read(self) -> int:
        """The bytes of all names that were read so far; one that was read twice counts twice."""
        return self._budget.whole - self._budget.left

    @cached_property
    def _budget(self) -> _Budget:
        return _Budget(max(self._strings_range[1] * _STRINGS_FACTOR, _STRINGS_FLOOR))


class _Budget:
    """How many bytes of names may still be read from one string table.

    Names share their endings, but not thousandfold: a table where they do would cost time and memory without end.
    """

    __slots__ = ("left", "whole")

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self.left = whole


_STRING_TABLE = "the string table of DT_STRTAB and DT_STRSZ"
_LARGE_STRINGS = 4 << 20
_STRINGS_FACTOR = 8
_STRINGS_FLOOR = 1 << 24
# Linkers write some thirty entries, and one for each needed library.
_MOST_ENTRIES = 1 << 16


def read_table(view: View) -> DynamicTable | None:
    """The raw dynamic section; None where the file has none (static programs, object files, debug information).

    Raises:
        ElfError: PT_DYNAMIC points outside the file.
    """
    indices = [index for index, s in enumerate(view.segments) if s.type == c.PT_DYNAMIC and s.filesz]
    if not indices or view.is_debug_companion:
        return None
    index = indices[-1]  # ld.so takes the last as well
    segment = view.segments[index]
    header = view.layout.program_header
    place = view.header.e_phoff + index * header.size
    # ld.so looks at the address and never at p_offset.
    offset = view.offset_of("p_vaddr of PT_DYNAMIC", segment.vaddr, lambda: place + header.offsets["p_vaddr"])
    record = view.layout.dynamic
    capacity = segment.filesz // record.size
    raw = view.slice("PT_DYNAMIC", offset, capacity * record.size)
    entries: list[tuple[int, int]] = []
    for tag, value in record.struct.iter_unpack(raw):
        if tag == c.DT_NULL:
            break
        entries.append((tag, value))
        if len(entries) > _MOST_ENTRIES:
            what = f"has more than {_MOST_ENTRIES} entries before DT_NULL"
            raise view.sick("PT_DYNAMIC", offset, what)
    return DynamicTable(view, offset, capacity, tuple(entries))


def read_dynamic(table: DynamicTable) -> Dynamic:
    """The names and flags of a dynamic section.

    Raises:
        ElfError: A name lies outside the string table.
    """
    values = table.values

    def name(tag: int, field: str) -> str | None:
        return table.names(field, (values[tag],), lambda _: table.value_offset(tag))[0] if tag in values else None

    flags = values.get(c.DT_FLAGS, 0)
    # Hardly any file has one of these.
    others = () if _LINKS.keys().isdisjoint(values) else _read_links(table)
    return Dynamic(
        needed=_read_needed(table),
        soname=name(c.DT_SONAME, "DT_SONAME"),
        rpath=name(c.DT_RPATH, "DT_RPATH"),
        runpath=name(c.DT_RUNPATH, "DT_RUNPATH"),
        flags=flags,
        flags_1=values.get(c.DT_FLAGS_1, 0),
        has_relr=c.DT_RELR in values,
        has_textrel=c.DT_TEXTREL in values or bool(flags & c.DF_TEXTREL),
        filters=tuple(link for link in others if not link.kind.is_audit),
        audits=tuple(link for link in others if link.kind.is_audit),
        has_tables_apart=c.DT_JMPREL in values and are_apart(values),
        marks_plt=c.DT_X86_64_PLT in values,
    )


def _read_needed(table: DynamicTable) -> tuple[str, ...]:
    """The names of DT_NEEDED, in the order of the file."""
    record = table.view.layout.dynamic
    values = []
    places = []
    for index, (tag, value) in enumerate(table.entries):
        if tag == c.DT_NEEDED:
            values.append(value)
            places.append(table.offset + index * record.size + record.offsets["d_val"])
    return tuple(table.names("DT_NEEDED", values, places.__getitem__))


# The entries beside DT_NEEDED that name libraries to load; their names in messages.
_LINKS = {
    c.DT_FILTER: (LinkKind.FILTER, "DT_FILTER"),
    c.DT_AUXILIARY: (LinkKind.AUXILIARY, "DT_AUXILIARY"),
    c.DT_AUDIT: (LinkKind.AUDIT, "DT_AUDIT"),
    c.DT_DEPAUDIT: (LinkKind.DEPAUDIT, "DT_DEPAUDIT"),
}
_MANY = frozenset({c.DT_FILTER, c.DT_AUXILIARY})


def _read_links(table: DynamicTable) -> tuple[Link, ...]:
    """The libraries that entries other than DT_NEEDED name.

    A filter without a name is the main program (its name is empty for ld.so), which is always there.
    """
    record = table.view.layout.dynamic
    links = []
    for index, (tag, value) in enumerate(table.entries):
        # Of several lists of audit libraries ld.so takes the last; a filter may have many filtees.
        if tag in _LINKS and (tag in _MANY or table.values[tag] == value):
            kind, field = _LINKS[tag]
            text = table.string(field, value, table.offset + index * record.size + record.offsets["d_val"])
            names = text.split(":") if kind.is_audit else [text]
            links += [Link(kind, name) for name in names if name]
    return tuple(links)


_SIZES = {c.DT_RELA: c.DT_RELASZ, c.DT_REL: c.DT_RELSZ}


def are_apart(values: Mapping[int, int]) -> bool:
    """Whether glibc before 2.23 reads past the end of DT_RELA (or DT_REL) when it binds at once.

    It does not where DT_JMPREL is the end of DT_RELA, or follows it.
    """
    kind, size = values.get(c.DT_PLTREL, 0), values.get(c.DT_PLTRELSZ, 0)
    others = values.get(_SIZES.get(kind, kind), 0)
    if not size or not others or not {kind, c.DT_JMPREL} <= values.keys():
        return False
    end = values[kind] + others
    return end not in {values[c.DT_JMPREL], values[c.DT_JMPREL] + size}
