"""Which package a library belongs to: what the library says itself, else what the system's databases say."""

from __future__ import annotations

import posixpath
import re

from deloc8.elf.read.notes import package_metadata
from deloc8.errors import InputError
from deloc8.repair.model import Package, PackageSource
from deloc8.repair.provenance.databases import apk, dpkg, rpm
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from deloc8.elf.read.notes import Note
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.provenance.databases.answer import Answer, Installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library whose package is looked for.

    Attributes:
        path: Its real path.
        found_as: The paths that the loader found it at, symlinks and all.
        notes: Its ELF notes.
    """

    path: str
    found_as: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


# A system can have several: Debian packages rpm, and rpm packages dpkg.
_DATABASES: Sequence[tuple[PackageSource, Callable[[Mapping[str, str], Sysroot], Answer]]] = (
    (PackageSource.DPKG, dpkg.search),
    (PackageSource.RPM, rpm.search),
    (PackageSource.APK, apk.search),
)

# purl-spec, types-doc: how each database's packages are called there.
_PURL_TYPES = {PackageSource.DPKG: "deb", PackageSource.RPM: "rpm", PackageSource.APK: "apk"}
# Vendors that purl-spec calls otherwise than os-release does.
_NAMESPACES = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}
# Types of `.note.package` that purl-spec has under the same name.
_NOTE_TYPES = frozenset({"deb", "rpm", "apk", "alpm"})

_LICENCES = "/usr/share/licenses"
_LARGEST = 1 << 20  # bytes of an os-release; those of all systems have a thousandth


def find_owners(libraries: Sequence[Library], sysroot: Sysroot) -> Mapping[str, Package]:
    """The package of each library, by path; one that nobody knows is unknown and says why."""
    spelled = {spelling: library.path for library in libraries for spelling in _spellings(library, sysroot)}
    owners: dict[str, Package] = {}
    asked: list[str] = []
    faults: list[str] = []
    system = _os_release(sysroot)
    for source, search in _DATABASES:
        missing = {spelling: path for spelling, path in spelled.items() if path not in owners}
        if not missing:
            break
        answer = search(missing, sysroot)
        if answer.present:
            asked.append(source.value)
        faults += answer.faults
        for path, installed in answer.owners.items():
            owners[path] = _package(installed, source, system, sysroot)
    reason = f"no package of {' or '.join(asked)} has it" if asked else "the system has no package database"
    nobody = Package(reason="; ".join([reason, *faults]))
    return {library.path: _self_named(library, owners.get(library.path, nobody), sysroot) for library in libraries}


def _spellings(library: Library, sysroot: Sysroot) -> Iterable[str]:
    """The paths that a database may know a library by: other names of its folder, never of the file itself.

    A symlink to the file proves nothing: its package may have meant it to lead elsewhere.
    """
    folder, name = posixpath.split(library.path)
    yield library.path
    for found in map(posixpath.normpath, library.found_as):
        if sysroot.real_path(posixpath.dirname(found)) == folder:
            yield posixpath.join(posixpath.dirname(found), name)
    # Packages may speak of `/lib` where the system has a symlink from it to `/usr/lib`, and the other way round.
    if library.path.startswith(("/lib", "/usr/lib")):
        other = library.path[len("/usr") :] if library.path.startswith("/usr") else f"/usr{library.path}"
        if sysroot.real_path(other) in {None, library.path}:
            yield other


def _package(installed: Installed, source: PackageSource, system: Mapping[str, str], sysroot: Sysroot) -> Package:
    """The package of a database's answer."""
    vendor, release = system.get("ID", ""), system.get("VERSION_ID", "")
    return Package(
        name=installed.name,
        version=installed.version,
        purl=_purl(
            (_PURL_TYPES[source], _NAMESPACES.get(vendor, vendor), installed.name, installed.version),
            {
                "arch": installed.arch,
                "distro": f"{vendor}-{release}" if vendor and release else "",
                "epoch": installed.epoch,
            },
        ),
        source=source,
        origin=installed.origin or installed.name,
        licences=_present([*installed.licences, *_custom(installed.name, sysroot)], sysroot),
    )


def _self_named(library: Library, owner: Package, sysroot: Sysroot) -> Package:
    """The package that a library names itself (UAPI.8); the owner that was found where it names none.

    The note tells the source package, the database the one that was installed: its licence files are the nearest.
    """
    said = package_metadata(library.notes)
    kind, name, version = (said.get(key, "") for key in ("type", "name", "version"))
    if not (kind and name and version):
        return owner
    vendor, release = said.get("os", ""), said.get("osVersion", "")
    if not vendor and said.get("osCpe", "").startswith("cpe:/o:"):
        # CPE 2.2: cpe:/o:VENDOR:PRODUCT:VERSION
        vendor, release = ([*said["osCpe"].split(":")[3:5], "", ""])[:2]
    return replace(
        owner,
        name=name,
        version=version,
        purl=_purl(
            (kind, _NAMESPACES.get(vendor, vendor), name, version),
            {"arch": said.get("architecture", ""), "distro": f"{vendor}-{release}" if vendor and release else ""},
        )
        if kind in _NOTE_TYPES
        else "",
        source=PackageSource.NOTE,
        origin=owner.origin or name,
        licences=owner.licences or _present([f"/usr/share/doc/{name}/copyright", *_custom(name, sysroot)], sysroot),
        reason="",
    )


def _custom(name: str, sysroot: Sysroot) -> list[str]:
    """The files in a package's folder of licences."""
    folder = f"{_LICENCES}/{name}"
    return [f"{folder}/{file}" for file in sysroot.list(folder)]


def _present(paths: Iterable[str], sysroot: Sysroot) -> tuple[str, ...]:
    """The files among the paths, each once; a name with dots in its place could lead anywhere."""
    return tuple(path for path in dict.fromkeys(paths) if posixpath.normpath(path) == path and sysroot.real_path(path))


def _purl(parts: tuple[str, str, str, str], qualifiers: Mapping[str, str]) -> str:
    """A package URL; qualifiers without a value are left out.

    Args:
        parts: Type, namespace, name and version; namespace and version may be empty.
        qualifiers: In the order of their names.
    """
    kind, namespace, name, version = parts
    path = "/".join(_quote(part) for part in (namespace.lower(), name) if part)
    given = "&".join(f"{key}={_quote(value)}" for key, value in qualifiers.items() if value)
    return f"pkg:{kind}/{path}" + (f"@{_quote(version)}" if version else "") + (f"?{given}" if given else "")


def _quote(text: str) -> str:
    """Percent-encoding as purl-spec wants it: unreserved characters and the colon stand for themselves."""
    return re.sub(
        rb"[^A-Za-z0-9._~:-]", lambda match: b"%%%02X" % match[0][0], text.encode("utf-8", "replace")
    ).decode()


def _os_release(sysroot: Sysroot) -> Mapping[str, str]:
    """The values of os-release, where there is one (os-release(5))."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = bytes(sysroot.read(path, _LARGEST)).decode("utf-8", "replace").splitlines()
        except InputError:
            continue
        pairs = (line.partition("=") for line in lines)
        return {key: value.strip().strip("\"'") for key, _, value in pairs}
    return {}
