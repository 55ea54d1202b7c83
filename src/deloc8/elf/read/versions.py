"""Symbol versions: what a file needs of others (DT_VERNEED) and what it defines (DT_VERDEF).

The records are read as ld.so reads them (glibc, elf/dl-version.c): a chain ends where its next step is zero, and every
record has at least one entry of its own. DT_VERNEEDNUM, DT_VERDEFNUM, vn_cnt and vd_cnt are not asked; binutils and
Android's linker go by them, so the editor lets them say what the chains do.
"""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.records import Record
    from deloc8.elf.read.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededVersion:
    """One version that must exist in another file.

    Attributes:
        name: Such as ``GLIBC_2.17``.
        index: The number by which DT_VERSYM refers to it.
        weak: VER_FLG_WEAK: its absence is no error.
    """

    name: str
    index: int
    weak: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNeed:
    """The versions needed of one file; `file` is one of the needed names."""

    file: str
    versions: tuple[NeededVersion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedVersion:
    """One version that this file defines.

    Attributes:
        name: Such as ``GLIBC_2.17``; for the base definition the soname.
        index: The number by which DT_VERSYM refers to it.
        base: VER_FLG_BASE: it stands for the file itself.
        parents: The versions that it follows on.
    """

    name: str
    index: int
    base: bool
    parents: tuple[str, ...]


class NeedVersion(NamedTuple):
    """One Elf_Vernaux, for the editor.

    Attributes:
        number: The version number (vna_other) by which DT_VERSYM refers to it.
        flags: vna_flags.
        name: vna_name, a position in DT_STRTAB; or the string that is to be found there.
    """

    number: int
    flags: int
    name: int | bytes


class NeedRecord(NamedTuple):
    """One Elf_Verneed and its Elf_Vernaux, for the editor.

    Attributes:
        offset: Where it stands in the file.
        revision: vn_version.
        version_count: vn_cnt, as the file says it.
        file: vn_file, a position in DT_STRTAB; or the string that is to be found there.
        auxiliary: Where its first Elf_Vernaux stands in the file.
        versions: Its Elf_Vernaux.
    """

    offset: int
    revision: int
    version_count: int
    file: int | bytes
    auxiliary: int
    versions: tuple[NeedVersion, ...]


class DefinitionRecord(NamedTuple):
    """One Elf_Verdef and its Elf_Verdaux, for the editor.

    Attributes:
        offset: Where it stands in the file.
        name_count: vd_cnt, as the file says it.
        names: vda_name of each Elf_Verdaux, a position in DT_STRTAB.
    """

    offset: int
    name_count: int
    names: tuple[int, ...]


def read_version_needs(table: DynamicTable) -> tuple[VersionNeed, ...]:
    """DT_VERNEED, in the order of the file.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    layout = table.view.layout
    needs = []
    for place, (_, _, file, _, _), entries in _needs(table):
        versions = [
            NeededVersion(
                name=table.string("vna_name", name, start + layout.vernaux.offsets["vna_name"]),
                index=index & c.VERSYM_VERSION,
                weak=bool(flags & c.VER_FLG_WEAK),
            )
            for start, (_, flags, index, name, _) in entries
        ]
        name = table.string("vn_file", file, place + layout.verneed.offsets["vn_file"])
        needs.append(VersionNeed(file=name, versions=tuple(versions)))
    return tuple(needs)


def read_need_records(table: DynamicTable) -> tuple[NeedRecord, ...]:
    """DT_VERNEED, in the order of the file: places and raw numbers.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    records = []
    for place, (revision, count, file, first, _), entries in _needs(table):
        versions = [NeedVersion(index & c.VERSYM_VERSION, flags, name) for _, (_, flags, index, name, _) in entries]
        records.append(NeedRecord(place, revision, count, file, place + first, tuple(versions)))
    return tuple(records)


def read_need_hashes(table: DynamicTable) -> tuple[tuple[str, int], ...]:
    """The needed versions, each with its vna_hash: ld.so compares that before the name.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    found = []
    for _, _, entries in _needs(table):
        for _, (value, _, _, name, _) in entries:
            found.append((table.string("vna_name", name), value))
    return tuple(found)


def read_defined_versions(table: DynamicTable) -> tuple[DefinedVersion, ...]:
    """DT_VERDEF, in the order of the file.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    name_place = table.view.layout.verdaux.offsets["vda_name"]
    definitions = []
    for _, (_, flags, index, _, _, _, _), entries in _definitions(table):
        name, *parents = [table.string("vda_name", text, start + name_place) for start, (text, _) in entries]
        definitions.append(
            DefinedVersion(
                name=name,
                index=index & c.VERSYM_VERSION,
                base=bool(flags & c.VER_FLG_BASE),
                parents=tuple(parents),
            )
        )
    return tuple(definitions)


def read_definition_records(table: DynamicTable) -> tuple[DefinitionRecord, ...]:
    """DT_VERDEF, in the order of the file: places and raw numbers.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    records = []
    for place, (_, _, _, count, _, _, _), entries in _definitions(table):
        names = [name for _, (name, _) in entries]
        records.append(DefinitionRecord(place, count, tuple(names)))
    return tuple(records)


_Row = tuple[int, tuple[int, ...]]
"""The place of a record in the file, and its fields."""

_Owner = tuple[int, tuple[int, ...], list[_Row]]
"""The same of a record that has entries of its own, and these."""


def _needs(table: DynamicTable) -> Iterator[_Owner]:
    if c.DT_VERNEED in table.values:
        layout = table.view.layout
        yield from _walk(table, table.locate("DT_VERNEED", c.DT_VERNEED), layout.verneed, layout.vernaux)


def _definitions(table: DynamicTable) -> Iterator[_Owner]:
    if c.DT_VERDEF in table.values:
        layout = table.view.layout
        yield from _walk(table, table.locate("DT_VERDEF", c.DT_VERDEF), layout.verdef, layout.verdaux)


def _walk(table: DynamicTable, start: int, owner: Record, entry: Record) -> Iterator[_Owner]:
    """The records of a table; of both kinds the last two fields lead to the first entry and to the next record."""
    chains = _Chains(table.view)
    for place, fields in chains.walk(owner, start):
        yield place, fields, list(chains.walk(entry, place + fields[-2]))


# DT_VERSYM numbers versions with 15 bits. Names of parents and of files come on top.
_MOST_RECORDS = 1 << 16


class _Chains:
    """Walks chains of records whose last field is the distance to the next one, within one bound for all of them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.left = _MOST_RECORDS

    def walk(self, record: Record, offset: int) -> Iterator[_Row]:
        """The records of a chain."""
        while True:
            self.left -= 1
            if self.left < 0:
                what = f"is one of more than {_MOST_RECORDS}, which cannot all have a number"
                raise self.view.sick(f"the {record.name}", offset, what)
            fields = self.view.record(record, offset)
            yield offset, fields
            if not fields[-1]:
                return
            offset += fields[-1]
