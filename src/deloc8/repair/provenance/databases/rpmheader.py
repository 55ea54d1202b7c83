"""The header of an rpm package as databases hold it (RPM's documentation, "RPM V4 Package format", Header)."""

from __future__ import annotations

import re
import struct

from deloc8.patterns import pattern
from deloc8.repair.provenance.databases.answer import Installed, text
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    _Entries = Mapping[int, tuple[int, int, int]]

# Big endian: the number of index entries and the size of the store; then entries of tag, type, offset and count.
_INTRO = struct.Struct(">II")
_ENTRY = struct.Struct(">IIII")

_LARGEST = 16 << 20  # bytes; a package with 25,000 files has a third

RPMTAG_NAME = 1000
RPMTAG_VERSION = 1001
RPMTAG_RELEASE = 1002
RPMTAG_EPOCH = 1003
RPMTAG_ARCH = 1022
RPMTAG_FILEFLAGS = 1037
RPMTAG_SOURCERPM = 1044
RPMTAG_DIRINDEXES = 1116
RPMTAG_BASENAMES = 1117
RPMTAG_DIRNAMES = 1118

RPM_INT32_TYPE = 4
RPM_STRING_TYPE = 6
RPM_STRING_ARRAY_TYPE = 8

RPMFILE_LICENSE = 1 << 7

# Old packages have their licences among the documentation, unmarked.
_LICENCE_DOCUMENT = pattern(r"/usr/share/doc/.*/(?:copying|copyright|licen[cs]e|notice)[^/]*", re.IGNORECASE)


class BadHeader(ValueError):  # noqa: N818  internal: every reader turns it into a fault of its answer
    """A blob is no header; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmPackage:
    """Package of a header.

    Attributes:
        installed: The package.
        files: The paths of its files.
    """

    installed: Installed
    files: tuple[str, ...]


def read_header(blob: bytes, names: Iterable[bytes]) -> RpmPackage | None:
    """The package of a header, where it has files of these names; None where it has none.

    Raises:
        BadHeader: The blob is no header.
    """
    entries = _entries(blob)
    basenames = _strings(blob, entries, RPMTAG_BASENAMES)
    if not set(names).intersection(basenames):
        return None
    folders = _strings(blob, entries, RPMTAG_DIRNAMES)
    indexes = _numbers(blob, entries, RPMTAG_DIRINDEXES)
    flags = _numbers(blob, entries, RPMTAG_FILEFLAGS)
    files = _paths(folders, indexes, basenames)
    installed = _installed(blob, entries, _licences(files, flags))
    return RpmPackage(installed=installed, files=files)


def _paths(folders: Sequence[bytes], indexes: Sequence[int], basenames: Sequence[bytes]) -> tuple[str, ...]:
    """The paths of files, whose folders are given by numbers."""
    if len(indexes) != len(basenames) or max(indexes) >= len(folders):
        raise BadHeader("its list of files does not fit together")
    paths = (folders[index] + name for index, name in zip(indexes, basenames, strict=True))
    return tuple(path.decode("utf-8", "surrogateescape") for path in paths)


def _licences(files: Sequence[str], flags: Sequence[int]) -> tuple[str, ...]:
    """The licence files of a package: those that are marked, or else those with a usual name."""
    marked = [
        file
        for file, flag in zip(files, flags)  # noqa: B905  flags may be missing
        if flag & RPMFILE_LICENSE
    ]
    return tuple(marked or filter(_LICENCE_DOCUMENT.fullmatch, files))


def _installed(blob: bytes, entries: _Entries, licences: tuple[str, ...]) -> Installed:
    """The package that the tags of a header describe."""
    name = _first(blob, entries, RPMTAG_NAME)
    version = _first(blob, entries, RPMTAG_VERSION)
    release = _first(blob, entries, RPMTAG_RELEASE)
    arch = _first(blob, entries, RPMTAG_ARCH)
    source = _first(blob, entries, RPMTAG_SOURCERPM)
    if not name:
        raise BadHeader("it has no name")
    return Installed(
        name=name,
        version="-".join(filter(None, (version, release))),
        arch=arch,
        epoch="".join(map(str, _numbers(blob, entries, RPMTAG_EPOCH)[:1])),
        # NAME-VERSION-RELEASE.src.rpm
        origin=source.rsplit("-", 2)[0],
        licences=licences,
    )


def _first(blob: bytes, entries: _Entries, tag: int) -> str:
    """The first string of a tag; empty where it has none."""
    return text(next(iter(_strings(blob, entries, tag)), b""))


def _entries(blob: bytes) -> _Entries:
    """Type, offset in the blob and count of each tag; the first entry of a tag counts."""
    if len(blob) < _INTRO.size:
        raise BadHeader("it is too short")
    if len(blob) > _LARGEST:
        raise BadHeader("it is too large")
    count, size = _INTRO.unpack_from(blob)
    store = _INTRO.size + count * _ENTRY.size
    if store + size > len(blob):
        raise BadHeader("it is cut off")
    entries: dict[int, tuple[int, int, int]] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(blob[_INTRO.size : store]):
        if offset > size:
            raise BadHeader(f"tag {tag} lies outside")
        entries.setdefault(tag, (kind, store + offset, number))
    return entries


def _strings(blob: bytes, entries: _Entries, tag: int) -> list[bytes]:
    kind, place, count = entries.get(tag, (RPM_STRING_ARRAY_TYPE, 0, 0))
    if kind not in {RPM_STRING_TYPE, RPM_STRING_ARRAY_TYPE}:
        raise BadHeader(f"tag {tag} has the type {kind}, not one of strings")
    if count > len(blob):
        raise BadHeader(f"tag {tag} has more strings than there are bytes")
    strings = blob[place:].split(b"\0", count)[:count] if count else []
    if len(strings) < count:
        raise BadHeader(f"tag {tag} has fewer strings than announced")
    return strings


def _numbers(blob: bytes, entries: _Entries, tag: int) -> tuple[int, ...]:
    kind, place, count = entries.get(tag, (RPM_INT32_TYPE, 0, 0))
    if kind != RPM_INT32_TYPE:
        raise BadHeader(f"tag {tag} has the type {kind}, not one of numbers")
    if place + 4 * count > len(blob):
        raise BadHeader(f"tag {tag} reaches beyond the end")
    return struct.unpack_from(f">{count}I", blob, place)
