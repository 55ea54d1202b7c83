"""Licence files of the packages that grafts come from, copied into the wheel and named in its METADATA."""

from __future__ import annotations

import posixpath
import re
from hashlib import sha256

from deloc8.errors import InputError
from deloc8.patterns import pattern
from deloc8.repair.model import LicenceFile
from deloc8.repair.provenance.member_names import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.model import Graft, Package
    from deloc8.repair.provenance.member_names import TakenNames

_LARGEST = 16 << 20  # bytes; a larger file is no licence: those of browsers have a tenth of it

FOLDER = "licenses"
"""The folder of licence files in .dist-info (PEP 639)."""

# Debian's copyright files name the texts of common licences instead of quoting them (Debian Policy, section 12.5).
_COMMON = "/usr/share/common-licenses"
_REFERENCE = pattern(rb"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9])")
_CUSTOM = pattern(r"/usr/share/(?:doc|licenses)/[^/]+/(.+)")

_VERSION_FIELD = pattern(
    rb"^Metadata-Version:[ \t]*(\d{1,9})\.(\d{1,9})[ \t]*(\r\n|\n|\r)(?![ \t])", re.IGNORECASE | re.MULTILINE
)
_LICENSE_FILE_FIELD = pattern(rb"^License-File:", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE = pattern(rb"^[ \t]*\r?$", re.MULTILINE)
# PEP 639: the version of METADATA that brought License-File.
_SINCE = (2, 4)


def find_licences(
    grafts: Sequence[Graft], sysroot: Sysroot, dist_info: str, taken: TakenNames
) -> tuple[LicenceFile, ...]:
    """The licence files of the grafts' packages, those of each source package in a folder of its name.

    The packages that are built from one source mostly have the same files: of equal ones the first is copied. Those
    that cannot be read are left out, and so are all where the wheel has a file in the place of their folder.

    Args:
        grafts: With their owners.
        sysroot: The system that the packages are installed on.
        dist_info: The folder of the wheel's metadata.
        taken: The names of its members; the new ones are added.
    """
    files = []
    common: dict[str, None] = {}
    copied: set[tuple[str, str]] = set()
    for folder, source in _sources_of(grafts):
        contents = _contents(source, sysroot)
        if contents is None:
            continue
        key = (folder, sha256(contents).hexdigest())
        if key in copied:
            continue
        copied.add(key)
        member = taken.claim(f"{dist_info}/{FOLDER}/{folder}", f"/{_plain_name(source)}")
        if member:
            files.append(_licence_file(source, contents, member))
            common.update(dict.fromkeys(name.decode() for name in _REFERENCE.findall(contents)))
    # GPL is a symlink to the newest GPL: both are one file here.
    for source in dict.fromkeys(sysroot.real_path(f"{_COMMON}/{name}") or "" for name in common):
        contents = _contents(source, sysroot)
        if contents is None:
            continue
        member = taken.claim(f"{dist_info}/{FOLDER}/common-licenses", f"/{plain(posixpath.basename(source))}")
        if member:
            files.append(_licence_file(source, contents, member))
    return tuple(files)


def _sources_of(grafts: Sequence[Graft]) -> Iterable[tuple[str, str]]:
    """The licence files of the owners of some grafts, each once: its folder in the wheel, and its path."""
    pairs = ((_folder(graft.owner), path) for graft in grafts for path in graft.owner.licences)
    return dict.fromkeys(pairs)


def _contents(path: str, sysroot: Sysroot) -> bytes | None:
    """The contents of a file; None where it cannot be read."""
    try:
        return bytes(sysroot.read(path, _LARGEST))
    except InputError:
        return None


def _plain_name(path: str) -> str:
    """The name in the wheel of a licence file: what follows the folder of its package, else its own name."""
    custom = _CUSTOM.fullmatch(path)
    parts = (custom[1] if custom else posixpath.basename(path)).split("/")
    return "/".join(map(plain, parts))


def _folder(owner: Package) -> str:
    return plain(owner.origin or owner.name)


def _licence_file(source: str, contents: Buffer, member: str) -> LicenceFile:
    return LicenceFile(source=source, sha256=sha256(contents).hexdigest(), member=member)


def knows_licence_files(metadata: bytes) -> bool:
    """Whether a METADATA file is of a version that has the field License-File."""
    field = _VERSION_FIELD.search(_head(metadata))
    return field is not None and (int(field[1]), int(field[2])) >= _SINCE


def add_licence_fields(metadata: bytes, values: Sequence[str]) -> bytes:
    """A METADATA file with more License-File lines; everything else stays byte for byte.

    They stand before the first line of that field, else behind Metadata-Version: no line between fields is safer to
    find. The file must be of a version that has the field.
    """
    head = _head(metadata)
    version = _VERSION_FIELD.search(head)
    if version is None or not values:
        return metadata
    first = _LICENSE_FILE_FIELD.search(head)
    place = first.start() if first else version.end()
    lines = [b"License-File: " + value.encode() + version[3] for value in values]
    return metadata[:place] + b"".join(lines) + metadata[place:]


def licence_field_problems(old: bytes, new: bytes, values: Sequence[str]) -> Iterator[str]:
    """Evidence that `new` is not just `old` with a License-File line for each value."""
    # Found another way than the lines were put in: a fault there shall not hide itself.
    left = new.splitlines(keepends=True)
    stripped = [line.strip() for line in left]
    for value in values:
        line = b"License-File: " + value.encode()
        if line in stripped and b"" not in stripped[: stripped.index(line)]:
            place = stripped.index(line)
            del left[place], stripped[place]
        else:
            yield f"METADATA does not name the licence file {value}"
    if b"".join(left) != old:
        yield "METADATA has changed beyond its License-File lines"


def _head(metadata: bytes) -> bytes:
    """The fields of a METADATA file, without the description that may follow them."""
    blank = _BLANK_LINE.search(metadata)
    return metadata[: blank.start()] if blank else metadata
