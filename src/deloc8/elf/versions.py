"""Symbol versions: what a file needs of others (DT_VERNEED) and what it defines (DT_VERDEF)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deloc8.elf import constants as c

if TYPE_CHECKING:
    from deloc8.elf.dynamic import DynamicTable


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


def read_version_needs(table: DynamicTable) -> tuple[VersionNeed, ...]:
    """DT_VERNEED, in the order of the file.

    Raises:
        ElfError: A record points outside the file, or the chain runs in a circle.
    """
    values = table.values
    if c.DT_VERNEED not in values:
        return ()
    view = table.view
    offset = view.offset_of("DT_VERNEED", values[c.DT_VERNEED])
    needs = []
    for _ in range(_bounded(table, "DT_VERNEEDNUM", values.get(c.DT_VERNEEDNUM, 0))):
        _, count, file, first, following = view.record(view.layout.verneed, offset)
        versions = []
        place = offset + first
        for _ in range(count):
            _, flags, index, name, step = view.record(view.layout.vernaux, place)
            versions.append(
                NeededVersion(
                    name=table.string("vna_name", name),
                    index=index & c.VERSYM_VERSION,
                    weak=bool(flags & c.VER_FLG_WEAK),
                )
            )
            if not step:
                break
            place += step
        needs.append(VersionNeed(file=table.string("vn_file", file), versions=tuple(versions)))
        if not following:
            break
        offset += following
    return tuple(needs)


def read_defined_versions(table: DynamicTable) -> tuple[DefinedVersion, ...]:
    """DT_VERDEF, in the order of the file.

    Raises:
        ElfError: A record points outside the file, or there are more than the file can hold.
    """
    values = table.values
    if c.DT_VERDEF not in values:
        return ()
    view = table.view
    offset = view.offset_of("DT_VERDEF", values[c.DT_VERDEF])
    definitions = []
    for _ in range(_bounded(table, "DT_VERDEFNUM", values.get(c.DT_VERDEFNUM, 0))):
        _, flags, index, count, _, first, following = view.record(view.layout.verdef, offset)
        names = []
        place = offset + first
        for _ in range(count):
            name, step = view.record(view.layout.verdaux, place)
            names.append(table.string("vda_name", name))
            if not step:
                break
            place += step
        definitions.append(
            DefinedVersion(
                name=names[0] if names else "",
                index=index & c.VERSYM_VERSION,
                base=bool(flags & c.VER_FLG_BASE),
                parents=tuple(names[1:]),
            )
        )
        if not following:
            break
        offset += following
    return tuple(definitions)


def _bounded(table: DynamicTable, field: str, count: int) -> int:
    """The count itself, unless the file is too small for it; so that a lie costs no time."""
    if count * table.view.layout.verneed.size > table.view.size:
        raise table.view.sick(field, None, f"announces {count} records, more than the file can hold")
    return count
