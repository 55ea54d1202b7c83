"""The dynamic section: what an ELF file says to the dynamic loader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from deloc8.elf import constants as c

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.elf.view import View


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
    """

    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    flags: int = 0
    flags_1: int = 0
    has_relr: bool = False
    has_textrel: bool = False


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
        """The contents of DT_STRTAB."""
        address = self.values.get(c.DT_STRTAB)
        if address is None:
            return b""
        offset = self.view.offset_of("DT_STRTAB", address)
        return self.view.slice("DT_STRSZ", offset, self.values.get(c.DT_STRSZ, 0))

    def string(self, field: str, position: int) -> str:
        """The NUL-terminated string at a position of DT_STRTAB; bytes that are no UTF-8 become surrogates.

        Raises:
            ElfError: The position or the string's end lies outside the table.
        """
        strings = self.strings
        end = strings.find(b"\0", position) if position < len(strings) else -1
        if end < 0:
            what = f"names the string at {position}, outside of DT_STRTAB ({len(strings)} bytes)"
            raise self.view.sick(field, None, what)
        return strings[position:end].decode("utf-8", "surrogateescape")


def read_table(view: View) -> DynamicTable | None:
    """The raw dynamic section; None where the file has none (static programs, object files).

    Raises:
        ElfError: PT_DYNAMIC points outside the file.
    """
    segments = [segment for segment in view.segments if segment.type == c.PT_DYNAMIC and segment.filesz]
    if not segments:
        return None
    segment = segments[-1]  # ld.so takes the last as well
    record = view.layout.dynamic
    capacity = segment.filesz // record.size
    raw = view.slice("PT_DYNAMIC", segment.offset, capacity * record.size)
    entries: list[tuple[int, int]] = []
    for tag, value in record.struct.iter_unpack(raw):
        if tag == c.DT_NULL:
            break
        entries.append((tag, value))
    return DynamicTable(view, segment.offset, capacity, tuple(entries))


def read_dynamic(table: DynamicTable) -> Dynamic:
    """The names and flags of a dynamic section.

    Raises:
        ElfError: A name lies outside the string table.
    """
    values = table.values

    def name(tag: int, field: str) -> str | None:
        return table.string(field, values[tag]) if tag in values else None

    flags = values.get(c.DT_FLAGS, 0)
    return Dynamic(
        needed=tuple(table.string("DT_NEEDED", value) for tag, value in table.entries if tag == c.DT_NEEDED),
        soname=name(c.DT_SONAME, "DT_SONAME"),
        rpath=name(c.DT_RPATH, "DT_RPATH"),
        runpath=name(c.DT_RUNPATH, "DT_RUNPATH"),
        flags=flags,
        flags_1=values.get(c.DT_FLAGS_1, 0),
        has_relr=c.DT_RELR in values,
        has_textrel=c.DT_TEXTREL in values or bool(flags & c.DF_TEXTREL),
    )
