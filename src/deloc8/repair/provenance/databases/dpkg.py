"""The database of dpkg (Debian and its kin): lists of files, and one status file or one for each package."""

from __future__ import annotations

import posixpath
import re

from deloc8.errors import InputError
from deloc8.repair.provenance.databases.answer import LARGEST, LONGEST_STANZA, Answer, Installed, fault, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deloc8.loader.sysroot import Sysroot

_LISTS = "/var/lib/dpkg/info"
_STATUS = "/var/lib/dpkg/status"
_MOST_MACHINES = 64  # for which one package is installed; Debian is built for twenty
# Images without dpkg itself (distroless) have a folder of stanzas and checksums instead.
_STANZAS = "/var/lib/dpkg/status.d"
# What is the users' and the administrator's, and what comes and goes (FHS 3.0, sections 3.8, 3.11, 3.12, 3.14, 3.15,
# 3.17, 3.18, 4.9 and 5.15): no package may put files there (Debian Policy, section 9.1).
_PRIVATE = ("home", "media", "mnt", "root", "run", "srv", "tmp", "usr/local", "var/tmp")
_NOBODYS = tuple(f"/{folder}/" for folder in _PRIVATE)


def search(spellings: Mapping[str, str], sysroot: Sysroot) -> Answer:
    """The packages of files.

    Args:
        spellings: Paths that a file may be known by, each with the path that stands for the file in the answer.
        sysroot: The system.
    """
    places = lists(sysroot)
    if not places:
        return Answer()
    faults: list[str] = []
    found = _lists_of_files(spellings, places, sysroot, faults)
    packages = _packages(found.values(), sysroot, faults)
    owners = {file: packages[place] for file, place in found.items()}
    return Answer(present=True, owners=owners, faults=tuple(faults))


def _lists_of_files(
    spellings: Mapping[str, str], places: Sequence[str], sysroot: Sysroot, faults: list[str]
) -> Mapping[str, str]:
    """The list that each file is in, where one is; `faults` gets those of unreadable lists."""
    pending = {path: file for path, file in spellings.items() if not path.startswith(_NOBODYS)}
    folders = _by_folder(pending)
    found: dict[str, str] = {}
    for place in _likely_first(places, pending):
        if not pending:
            break
        listed = _listed(folders, _read(place, sysroot, faults), place)
        if listed:
            owned = {pending[path] for path in listed}
            found.update(dict.fromkeys(owned, place))
            pending = {path: file for path, file in pending.items() if file not in owned}
            folders = _by_folder(pending)
    return found


def _packages(places: Iterable[str], sysroot: Sysroot, faults: list[str]) -> Mapping[str, Installed]:
    """The packages of some lists of files, by list; `faults` gets those of unreadable status files."""
    texts: dict[str, bytes] = {}
    packages = {}
    for place in sorted(set(places)):
        status = _status_file(place)
        # As a rule all packages share one status file of some megabytes.
        if status not in texts:
            texts[status] = _read(status, sysroot, faults)
        packages[place] = _package(place, texts[status])
    return packages


def _read(path: str, sysroot: Sysroot, faults: list[str]) -> bytes:
    """The contents of a file; nothing, and a line more in `faults`, where it cannot be read."""
    try:
        return bytes(sysroot.read(path, LARGEST))
    except InputError as error:
        faults.append(fault(error))
        return b""


def lists(sysroot: Sysroot) -> list[str]:
    """The lists of files of the installed packages, by path; none where there is no dpkg."""
    found = _files_in(_LISTS, ".list", sysroot)
    return found + _files_in(_STANZAS, ".md5sums", sysroot)


def _files_in(folder: str, ending: str, sysroot: Sysroot) -> list[str]:
    """The files of a folder whose names have an ending."""
    return [f"{folder}/{name}" for name in sysroot.list(folder) if name.endswith(ending)]


def holders(name: str, sysroot: Sysroot) -> tuple[tuple[str, str], ...]:
    """The installed packages that have a file of some name in whatever folder, each with the file's path."""
    wanted = re.compile(rb"^(?:[0-9a-f]{32} +)?/?(\S*/" + re.escape(_encoded(name)) + rb")$", re.MULTILINE)
    found = []
    for place in lists(sysroot):
        try:
            match = wanted.search(bytes(sysroot.read(place, LARGEST)))
        except InputError:  # another list may have it
            continue
        if match:
            package = posixpath.basename(place).rpartition(".")[0].partition(":")[0]
            found.append((package, "/" + text(match[1])))
    return tuple(found)


def _by_folder(paths: Iterable[str]) -> Mapping[bytes, Sequence[str]]:
    """The paths by the folder that a line about them names: `usr/lib/`."""
    folders: dict[bytes, list[str]] = {}
    for path in paths:
        folders.setdefault(_encoded(f"{posixpath.dirname(path)[1:]}/"), []).append(path)
    return folders


def _listed(folders: Mapping[bytes, Sequence[str]], listing: bytes, place: str) -> list[str]:
    """Those of some paths, by folder, that a list has."""
    # Lines are `/usr/lib/...` in a list, `CHECKSUM  usr/lib/...` in a file of checksums.
    head, skipped = ("\n", 0) if place.endswith(".list") else ("  ", 1)
    # Most lists have nothing in most folders: many libraries of one cost little more than one.
    return [
        path
        for folder, paths in folders.items()
        if len(paths) == 1 or folder in listing
        for path in paths
        if _encoded(f"{head}{path[skipped:]}\n") in listing
    ]


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _likely_first(lists: Sequence[str], paths: Iterable[str]) -> list[str]:
    """The lists, those first whose package is named after one of the libraries (Debian Policy, section 8.1)."""
    stems = set()
    for path in paths:
        stem = posixpath.basename(path).partition(".so")[0].lower().replace("_", "-")
        stems.add(re.escape(stem))
    # `libpq5` is a name after libpq, `libpqxx-7` is not.
    likely = re.compile(f"(?:{'|'.join(sorted(stems))})(?![a-z])")
    return sorted(lists, key=lambda place: not likely.match(place, place.rindex("/") + 1))


def _status_file(place: str) -> str:
    return _STATUS if place.startswith(_LISTS) else place.removesuffix(".md5sums")


def _package(place: str, status: bytes) -> Installed:
    """The package of a list of files; its own name tells it where the status does not."""
    name, _, arch = posixpath.basename(place).rpartition(".")[0].partition(":")
    fields = _stanza(status, name if place.startswith(_LISTS) else "", arch)
    name = fields.get("Package", name)
    return Installed(
        name=name,
        version=fields.get("Version", ""),
        arch=fields.get("Architecture", arch),
        # Where it has another version than the package, that stands behind it in brackets; where it has the same name
        # and version, there is no such field (Debian Policy, section 5.6.1).
        origin=fields.get("Source", name).split(" ", 1)[0],
        licences=(f"/usr/share/doc/{name}/copyright",),
    )


def _stanza(status: bytes, name: str, arch: str) -> Mapping[str, str]:
    """The fields of a package in a status file; of the first one where `name` is empty."""
    head = b"Package: " + (_encoded(name) + b"\n" if name else b"")
    place = status.find(head)
    tried = 0
    while place >= 0:
        starts_line = place == 0 or status[place - 1 : place] == b"\n"
        fields = _fields(status, place) if starts_line else {}
        tried += starts_line
        if starts_line and arch in {"", fields.get("Architecture", "")}:
            return fields
        place = status.find(head, place + 1) if tried < _MOST_MACHINES else -1
    return {}


def _fields(status: bytes, place: int) -> Mapping[str, str]:
    end = status.find(b"\n\n", place, place + LONGEST_STANZA)
    lines = text(status[place : end if end >= 0 else place + LONGEST_STANZA]).split("\n")
    return dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))
