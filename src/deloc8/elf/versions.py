"""Symbol versions: what a file needs of others (DT_VERNEED) and what it defines (DT_VERDEF)."""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.records import Record


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


# DT_VERSYM numbers versions with 15 bits. Names of parents and of files come on top.
_MOST_RECORDS = 1 << 16


def read_version_needs(table: DynamicTable) -> tuple[VersionNeed, ...]:
    """DT_VERNEED, in the order of the file.

    As for ld.so, a chain ends where its next step is zero; DT_VERNEEDNUM and vn_cnt are not asked.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    if c.DT_VERNEED not in table.values:
        return ()
    chains = _Chains(table)
    layout = table.view.layout
    needs = []
    for place, (_, count, file, first, _) in chains.walk(layout.verneed, table.locate("DT_VERNEED", c.DT_VERNEED)):
        versions = [
            NeededVersion(
                name=table.string("vna_name", name, start + layout.vernaux.offsets["vna_name"]),
                index=index & c.VERSYM_VERSION,
                weak=bool(flags & c.VER_FLG_WEAK),
            )
            for start, (_, flags, index, name, _) in chains.walk_some(layout.vernaux, place + first, count)
        ]
        name = table.string("vn_file", file, place + layout.verneed.offsets["vn_file"])
        needs.append(VersionNeed(file=name, versions=tuple(versions)))
    return tuple(needs)


def read_defined_versions(table: DynamicTable) -> tuple[DefinedVersion, ...]:
    """DT_VERDEF, in the order of the file; the chains end as those of DT_VERNEED do.

    Raises:
        ElfError: A record points outside the file, or there are more than versions can be numbered.
    """
    if c.DT_VERDEF not in table.values:
        return ()
    chains = _Chains(table)
    layout = table.view.layout
    definitions = []
    for place, (_, flags, index, count, _, first, _) in chains.walk(
        layout.verdef, table.locate("DT_VERDEF", c.DT_VERDEF)
    ):
        names = [
            table.string("vda_name", name, start + layout.verdaux.offsets["vda_name"])
            for start, (name, _) in chains.walk_some(layout.verdaux, place + first, count)
        ]
        definitions.append(
            DefinedVersion(
                name=names[0] if names else "",
                index=index & c.VERSYM_VERSION,
                base=bool(flags & c.VER_FLG_BASE),
                parents=tuple(names[1:]),
            )
        )
    return tuple(definitions)


class _Chains:
    """Walks chains of records whose last field is the distance to the next one, within one bound for all of them."""

    def __init__(self, table: DynamicTable) -> None:
        self.view = table.view
        self.left = _MOST_RECORDS

    def walk(self, record: Record, offset: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The place and the fields of each record of a chain."""
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

    def walk_some(self, record: Record, offset: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """As `walk`; nothing where the owner of the chain says that it has none."""
        return self.walk(record, offset) if count else iter(())
