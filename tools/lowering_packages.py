"""The C libraries of Debian releases, fetched with apt, and which versions of which symbols they define."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elftools.elf.elffile import ELFFile

from deloc8.machines import ROWS, Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

RELEASES = {"2.31": "bullseye", "2.36": "bookworm", "2.41": "trixie", "2.43": "forky"}
"""The release of Debian for each glibc: the last before libc's libraries became one, and those after.

The last is not out yet. When it has a newer glibc, say so here, or name a mirror that still has this one.
"""

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Every release has packages of these machines; of the others, those for cross compilers hold the same libraries.
_RELEASED = frozenset({"x86_64", "i686", "aarch64", "armv7l"})
MACHINES = tuple(row.arch.value for row in ROWS)


def _package(machine: str) -> tuple[str, str]:
    """The package of a machine's C library, and Debian's name of the machine that it is for."""
    debian = Arch(machine).row.debian
    return ("libc6", debian) if machine in _RELEASED else (f"libc6-{debian}-cross", "amd64")


# LoongArch came with glibc 2.36, and only the last release has a package for it.
_FIRST_RELEASE = {"loongarch64": "2.41"}

# For debuggers, for malloc's debugging, for NIS (which is another project now), and an empty relic.
_NOT_ASKED = ("libthread_db.so.1", "libc_malloc_debug.so.0", "libnsl.so.1", "libBrokenLocale.so.1")

# A marker that keeps an old version name alive in a library that is empty.
_PLACEHOLDER = "_version_placeholder"

_PREFIX = "GLIBC_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One version of a symbol in one library.

    Attributes:
        address: st_value.
        kind: The type of the symbol, such as ``STT_FUNC``; an indirect function is ``STT_LOOS``.
    """

    address: int
    kind: str

    @property
    def is_code(self) -> bool:
        """Whether it is a function: no data, no thread-local variable."""
        return self.kind in {"STT_FUNC", "STT_LOOS", "STT_GNU_IFUNC"}


Name = tuple[str, str]
"""A symbol and its version, without `GLIBC_`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The libraries of one glibc on one machine.

    Attributes:
        release: The glibc, such as ``2.31``.
        versions: The versions that each library defines, oldest first, by soname.
        definitions: What each library defines, by soname.
    """

    release: str
    versions: Mapping[str, tuple[str, ...]]
    definitions: Mapping[str, Mapping[Name, Definition]]

    def homes(self, name: Name) -> list[str]:
        """The sonames of the libraries that define it, libc.so.6 first."""
        homes = [soname for soname, defined in self.definitions.items() if name in defined]
        return sorted(homes, key=lambda soname: (soname != "libc.so.6", soname))


class OtherReleaseError(Exception):
    """Debian's release has another glibc than the one that was asked for."""


def version_key(version: str) -> tuple[int, ...]:
    """What versions are ordered by."""
    return tuple(map(int, version.split(".")))


def read_machine(machine: str, folder: Path, *, mirror: str = MIRROR) -> list[Libraries]:
    """The C libraries of a machine, oldest first; the packages are fetched into the folder unless they are there."""
    first = _FIRST_RELEASE.get(machine, "0")
    releases = [release for release in RELEASES if version_key(release) >= version_key(first)]
    return [read_libraries(release, fetch(machine, release, folder, mirror=mirror)) for release in releases]


def fetch(machine: str, release: str, folder: Path, *, mirror: str = MIRROR) -> Path:
    """The folder into which the C library of a machine is unpacked.

    Raises:
        OtherReleaseError: The release has another glibc by now.
        subprocess.CalledProcessError: apt cannot fetch the package.
    """
    package, debian = _package(machine)
    suite = RELEASES[release]
    unpacked = folder / f"{suite}-{machine}"
    if not unpacked.exists():
        options = private_apt(folder / f"apt-{suite}-{debian}", suite, debian, mirror)
        fetched = folder / f"{suite}-{machine}.part"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        subprocess.run(["apt-get", "-qq", *options, "download", package], cwd=fetched, check=True)
        (archive,) = fetched.glob("*.deb")
        # libc6_2.43-7_amd64.deb
        if not archive.name.startswith(f"{package}_{release}-"):
            raise OtherReleaseError(f"{suite} has {archive.name}, and no glibc {release} any more")
        subprocess.run(["dpkg-deb", "-x", archive, fetched / "root"], check=True)
        archive.unlink()
        fetched.rename(unpacked)
    return unpacked


def private_apt(folder: Path, suite: str, debian: str, mirror: str) -> list[str]:
    """The options by which apt uses lists of its own in the folder, and leaves those of this machine alone."""
    folder = folder.resolve()
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": folder / "parts",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": debian,
        "APT::Architectures": debian,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    updated = folder / "updated"
    if not updated.exists():
        for name in ("parts", "lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n", "utf-8")
        (folder / "status").touch()
        subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
        updated.touch()
    return options


def read_libraries(release: str, folder: Path) -> Libraries:
    """The C libraries below a folder."""
    (libc,) = {path.parent for path in folder.rglob("libc.so.6")}
    versions, definitions = {}, {}
    for path in sorted({path.resolve() for path in libc.glob("*.so*") if path.is_file()}):
        with path.open("rb") as file:
            library = _Library(ELFFile(file))
            if library.soname and library.versions and library.soname not in _NOT_ASKED:
                definitions[library.soname] = dict(library.definitions())
                versions[library.soname] = tuple(sorted(library.versions.values(), key=version_key))
    return Libraries(release=release, versions=versions, definitions=definitions)


class _Library:
    """One library, as pyelftools reads it."""

    def __init__(self, elf: ELFFile) -> None:
        self.elf = elf
        self.soname = next((tag.soname for tag in self._entries(".dynamic", "iter_tags") if hasattr(tag, "soname")), "")
        numbered = {
            version["vd_ndx"]: next(names).name for version, names in self._entries(".gnu.version_d", "iter_versions")
        }
        self.versions: dict[int, str] = {
            index: name.removeprefix(_PREFIX)
            for index, name in numbered.items()
            # GLIBC_PRIVATE and GLIBC_ABI_DT_RELR are promises to nobody, and no numbers.
            if name.startswith(_PREFIX) and name.removeprefix(_PREFIX).replace(".", "").isdigit()
        }

    def _entries(self, section: str, method: str) -> Iterable[Any]:
        found: Any = self.elf.get_section_by_name(section)
        return getattr(found, method)() if found else ()

    def definitions(self) -> Iterator[tuple[Name, Definition]]:
        """Every symbol that it defines under a numbered version."""
        table: Any = self.elf.get_section_by_name(".gnu.version")
        for number, symbol in enumerate(self._entries(".dynsym", "iter_symbols")):
            # The names of the versions are symbols too, with SHN_ABS.
            if symbol["st_shndx"] in {"SHN_UNDEF", "SHN_ABS"} or symbol.name.endswith(_PLACEHOLDER):
                continue
            index = table.get_symbol(number)["ndx"]
            version = self.versions.get(index & 0x7FFF) if isinstance(index, int) else None
            if version:
                definition = Definition(address=symbol["st_value"], kind=symbol["st_info"]["type"])
                yield (symbol.name, version), definition
