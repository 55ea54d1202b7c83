"""The edit vocabulary: what can be changed in an ELF file, as data.

All edits of a file are applied together, in their order, in one pass (`writer.edit`). An edit that is already true
changes nothing.
"""

from __future__ import annotations

import enum

from deloc8.elf import constants as c
from deloc8.values import dataclass


class RpathKind(enum.Enum):
    """Which of the two search path entries; the value is its d_tag."""

    RPATH = c.DT_RPATH
    RUNPATH = c.DT_RUNPATH


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSoname:
    """DT_SONAME becomes `soname`, whether there was one or not."""

    soname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceNeeded:
    """DT_NEEDED `old` becomes `new`, and with it the file name of its version record (vn_file).

    DT_FILTER and DT_AUXILIARY `old` do so too: the loader takes them for one name.
    """

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceAudit:
    """`old` becomes `new` in the lists of DT_AUDIT and DT_DEPAUDIT."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNeeded:
    """DT_NEEDED `name` exists; where `first`, it stands before all others."""

    name: str
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNeeded:
    """DT_NEEDED `name` is gone, DT_FILTER and DT_AUXILIARY `name` too, and its version record.

    Impossible while symbols are bound to versions of that file.
    """

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRpath:
    """There is one search path entry, of this kind; `path` is its text, entries separated by colons."""

    path: str
    kind: RpathKind = RpathKind.RPATH


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRpath:
    """There is neither DT_RPATH nor DT_RUNPATH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearExecutableStack:
    """PT_GNU_STACK asks for no executable stack; added where its absence would ask for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindVersion:
    """The undefined symbol `symbol` of version `old` asks for `version` of `library`, and DT_NEEDED has that library.

    Where `name` is given, it asks for it by that name.
    """

    symbol: str
    old: str
    version: str
    library: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DropVersion:
    """The undefined symbol `symbol` of version `old` asks for no version, and takes what has its name.

    Where `name` is given, it asks for that name.
    """

    symbol: str
    old: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BindToZero:
    """The variable `symbol` of version `old` is a constant of one zero byte in the file itself.

    Impossible where anything but pointers to it refers to the variable.
    """

    symbol: str
    old: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackRelocations:
    """Relative relocations are not packed (DT_RELR), and the version that says so is not needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRelocations:
    """DT_JMPREL follows DT_RELA (or DT_REL) directly, or is its end, as glibc before 2.23 takes for granted."""


VersionEdit = BindVersion | DropVersion | BindToZero | UnpackRelocations | JoinRelocations
DynamicEdit = SetSoname | ReplaceNeeded | ReplaceAudit | AddNeeded | RemoveNeeded | SetRpath | RemoveRpath
Edit = DynamicEdit | VersionEdit | ClearExecutableStack
