"""The database of apk (Alpine): one text file with a stanza for each package."""

from __future__ import annotations

import posixpath

from deloc8.errors import InputError
from deloc8.repair.provenance.databases.answer import LARGEST, LONGEST_STANZA, Answer, Installed, fault, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.loader.sysroot import Sysroot

# apk 3 of systems with a merged /usr has it below /usr.
_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def search(spellings: Mapping[str, str], sysroot: Sysroot) -> Answer:
    """The packages of files.

    Args:
        spellings: Paths that a file may be known by, each with the path that stands for the file in the answer.
        sysroot: The system.
    """
    place = database(sysroot)
    if place is None:
        return Answer()
    try:
        stanzas = bytes(sysroot.read(place, LARGEST))
    except InputError as error:
        return Answer(present=True, faults=(fault(error),))
    owners = {}
    for path, file in spellings.items():
        owner = _owner(stanzas, path)
        if owner:
            owners[file] = owner
    return Answer(present=True, owners=owners)


def database(sysroot: Sysroot) -> str | None:
    """The path of the database; None where there is none."""
    return next((path for path in _DATABASES if sysroot.real_path(path)), None)


def _owner(database: bytes, path: str) -> Installed | None:
    """The package with a file: its line is `R:` and the name, below a line `F:` with the folder."""
    folder, name = posixpath.split(path)
    head = b"\nF:" + folder[1:].encode("utf-8", "surrogateescape") + b"\n"
    line = b"\nR:" + name.encode("utf-8", "surrogateescape") + b"\n"
    start = database.find(head)
    while start >= 0:
        # What is in the folder stands before the next one, that of the next package included.
        inside = start + len(head) - 1
        end = database.find(b"\nF:", inside)
        end = len(database) if end < 0 else end + 1
        if database.find(line, inside, end) >= 0:
            return _package(database, start)
        start = database.find(head, inside)
    return None


def _package(database: bytes, place: int) -> Installed | None:
    """The package whose stanza a place belongs to."""
    start = database.rfind(b"\n\n", 0, place) + 1
    lines = text(database[start : min(place, start + LONGEST_STANZA)]).split("\n")
    fields = {line[0]: line[2:] for line in lines if line[1:2] == ":"}
    if not fields.get("P"):
        return None
    return Installed(
        name=fields["P"], version=fields.get("V", ""), arch=fields.get("A", ""), origin=fields.get("o", "")
    )
