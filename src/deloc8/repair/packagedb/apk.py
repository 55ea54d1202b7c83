"""The database of apk (Alpine): one text file with a stanza for each package."""

from __future__ import annotations

import posixpath

from deloc8.errors import InputError
from deloc8.repair.packagedb.answer import LARGEST, Answer, Installed, fault, text

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
    wanted = b"F:" + folder[1:].encode("utf-8", "surrogateescape")
    line = b"\nR:" + name.encode("utf-8", "surrogateescape") + b"\n"
    place = database.find(line)
    while place >= 0:
        start = database.rfind(b"\nF:", 0, place + 1) + 1
        if database[start : database.find(b"\n", start)] == wanted:
            return _package(database, start)
        place = database.find(line, place + 1)
    return None


def _package(database: bytes, place: int) -> Installed | None:
    """The package whose stanza a place belongs to."""
    lines = text(database[database.rfind(b"\n\n", 0, place) + 1 : place]).split("\n")
    fields = {line[0]: line[2:] for line in lines if line[1:2] == ":"}
    if not fields.get("P"):
        return None
    return Installed(
        name=fields["P"], version=fields.get("V", ""), arch=fields.get("A", ""), origin=fields.get("o", "")
    )
