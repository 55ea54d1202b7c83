"""The database of rpm (Fedora, Red Hat, SUSE and their kin), of any of its three kinds."""

from __future__ import annotations

import posixpath

from deloc8.errors import InputError
from deloc8.repair.provenance.databases.answer import LARGEST, Answer, Installed
from deloc8.repair.provenance.databases.rpmfiles import BadDatabase, bdb_headers, having, ndb_headers, sqlite_headers
from deloc8.repair.provenance.databases.rpmheader import BadHeader, read_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.loader.sysroot import Sysroot

_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_SQLITE, _NDB, _BDB = "rpmdb.sqlite", "Packages.db", "Packages"
_JOURNAL = "-wal"
_BESIDE = (_JOURNAL, "-shm", "-journal")  # endings of the files that SQLite has beside a database


def search(spellings: Mapping[str, str], sysroot: Sysroot) -> Answer:
    """The packages of files.

    Args:
        spellings: Paths that a file may be known by, each with the path that stands for the file in the answer.
        sysroot: The system.
    """
    place = database(sysroot)
    if place is None:
        return Answer()
    names = sorted({posixpath.basename(path).encode("utf-8", "surrogateescape") for path in spellings})
    owners: dict[str, Installed] = {}
    faults = []
    try:
        for header in _headers(place, names, sysroot):
            try:
                package = read_header(header, names)
            except BadHeader as error:
                faults.append(f"the rpm database {place} has a damaged package: {error}")
                continue
            if package:
                known = spellings.keys() & package.files
                owners |= {spellings[path]: package.installed for path in known}
    except (BadDatabase, InputError) as error:
        faults.append(f"the rpm database {place} cannot be read: {error}")
    return Answer(present=True, owners=owners, faults=tuple(faults))


def database(sysroot: Sysroot) -> str | None:
    """The path of the database; None where there is none."""
    kinds = (_SQLITE, _NDB, _BDB)
    return next((f"{folder}/{kind}" for folder in _FOLDERS for kind in kinds if kind in sysroot.list(folder)), None)


def _headers(place: str, names: Sequence[bytes], sysroot: Sysroot) -> Iterator[bytes]:
    if place.endswith(_SQLITE):
        yield from _sqlite_headers(place, names, sysroot)
        return
    with sysroot.look(place) as data:
        yield from having(ndb_headers(data) if place.endswith(_NDB) else bdb_headers(data), names, len(data))


def _sqlite_headers(place: str, names: Sequence[bytes], sysroot: Sysroot) -> Iterator[bytes]:
    # SQLite opens whatever has these names: what is no file must be an error before.
    beside = {name: place + name for name in _BESIDE if sysroot.real_path(place + name)}
    begins = {name: next(sysroot.pieces(path), b"") for name, path in {"": place, **beside}.items()}
    if not begins.get(_JOURNAL):
        yield from sqlite_headers(sysroot.host_path(place), names)
        return

    import tempfile  # noqa: PLC0415  hardly ever
    from pathlib import Path  # noqa: PLC0415  the same

    # What the database does not hold yet SQLite would write into it, or beside it: that is done to a copy.
    with tempfile.TemporaryDirectory(prefix="deloc8-") as folder:
        copy = Path(folder, _SQLITE)
        for ending in ("", _JOURNAL):
            with copy.with_name(_SQLITE + ending).open("wb") as file:
                for piece in sysroot.pieces(place + ending):
                    file.write(piece)
                    if file.tell() > LARGEST:
                        raise BadDatabase(f"it has a journal, and {place}{ending} more than {LARGEST} bytes")
        yield from sqlite_headers(copy, names, is_settled=False)
