"""Answers of package databases, and limits of what is read of one."""

from __future__ import annotations

from types import MappingProxyType

from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.errors import InputError

LARGEST = 64 << 20
"""Bytes of a list or a database in text; that of a system with ten thousand packages has a fifth."""

LONGEST_STANZA = 1 << 20
"""Bytes of the fields of a package in text; the longest, of dependencies and descriptions, have a twentieth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package as its database describes it.

    Attributes:
        name: Its name.
        version: Its version with the release; empty where the database does not tell.
        arch: The distribution's name of the machine; empty where the database does not tell.
        epoch: Of an rpm package; empty where it has none, and for others, whose version holds it.
        origin: The source package it was built from; empty where the database does not tell.
        licences: Paths of its licence files, as the database or custom has them; they need not be there.
    """

    name: str
    version: str
    arch: str
    epoch: str = ""
    origin: str = ""
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer of one kind of database about some files.

    Attributes:
        present: Whether the system has such a database.
        owners: The package of each file that belongs to one.
        faults: What could not be read, a line each.
    """

    present: bool = False
    owners: Mapping[str, Installed] = field(default_factory=lambda: MappingProxyType({}))
    faults: tuple[str, ...] = ()


def text(data: bytes) -> str:
    """The text of some bytes of a database; what is no UTF-8 is replaced."""
    return bytes(data).decode("utf-8", "replace")


def fault(error: InputError) -> str:
    """One line on a file that cannot be read."""
    return ": ".join([error.message, *error.context])
