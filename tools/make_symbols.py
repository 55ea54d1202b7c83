"""Write the tables that say with which release of a library each of its symbols came.

    python tools/make_symbols.py PACKAGES src/deloc8/policy/data/symbols

fetches Debian's packages with apt, into the folder PACKAGES. The libraries are those that policies take from the system
though their symbols have no versions (`deloc8.policy.releases.PROJECTS`).

Debian keeps a list of the symbols of a library in the package itself (deb-symbols(5)), each with the version of the
package that had it first. Where the releases of Debian say different versions, the lowest counts, for a higher one says
that a symbol does more since; but not the version of that very release: the symbol was added to it by an update, and
other distributions do not have it there. Packages without such a list are compared: what the oldest release defines was
there from the beginning, the rest came with the first release that has it.

Versions of packages become those of the projects: without the epoch, the revision and what Debian adds. A development
release of glib (2.81.1) or X.Org (1.2.99.901) becomes the stable one that it leads to, for no distribution has the
former.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from lowering_packages import MIRROR, RELEASES, private_apt

from deloc8.policy.model import number_key
from deloc8.policy.releases import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUITES = tuple(RELEASES.values())

PACKAGES = {
    "glib": ("libglib2.0-0t64", "libglib2.0-0"),
    "libX11": ("libx11-6",),
    "libXext": ("libxext6",),
    "libXrender": ("libxrender1",),
    "libICE": ("libice6",),
    "libSM": ("libsm6",),
    "libglvnd": ("libgl1",),
    "expat": ("libexpat1",),
    "zlib": ("zlib1g",),
}
"""The packages of each project; the first that a release has is the one with the libraries."""

# What every release has that any policy is about (CentOS 5 and 6; expat is taken from the system since CentOS 6).
# Debian's own lists begin later for some: they say 0.
BASE = {"glib": "2.12", "libX11": "1.0.3", "libXext": "1.0.1", "expat": "2.0.1", "zlib": "1.2.3"}

# Where sections begin and end, and what runs first and last: every library has them, for itself.
_LINKERS = frozenset({"__bss_start", "_edata", "_end", "_init", "_fini"})

# What X.Org publishes before a release.
_PRERELEASE = re.compile(r"(\d+)\.(\d+)\.99(\..*)?")


def upstream(version: str) -> str:
    """The release of a project that the version of a Debian package is of; empty for ``0``: always there.

    >>> [upstream(version) for version in ("2:1.2.99.901", "2.81.1-1", "1:1.3.dfsg+really1.3.2", "2.1~beta3", "0")]
    ['1.3', '2.82', '1.3.2', '2.1', '']
    """
    number = version.partition(":")[2] or version
    number = number.partition("+really")[2] or number
    number = re.split(r"[-~+]|\.dfsg", number)[0]
    if number == "0":
        return ""
    if found := _PRERELEASE.fullmatch(number):
        return f"{found[1]}.{int(found[2]) + 1}"
    return number


def stable_glib(number: str) -> str:
    """The stable release of glib that one leads to: those with an odd second number are on the way."""
    parts = number.split(".")
    if len(parts) > 1 and int(parts[1]) % 2:
        return f"{parts[0]}.{int(parts[1]) + 1}"
    return number


def release_of(project: str, symbol_version: str, package_version: str) -> str:
    """The release that brought a symbol; empty where every policy's systems have it."""
    number = upstream(package_version)
    if project == "glib" and number:
        number = stable_glib(number)
    # Its versions are named after its releases; Debian noted some late.
    if project == "zlib" and symbol_version.startswith("ZLIB_"):
        number = symbol_version.removeprefix("ZLIB_")
    return "" if key(number) <= key(BASE.get(project, "0")) else re.sub(r"(\.0)+$", "", number)


def key(number: str) -> tuple[tuple[int, ...], str]:
    """The order of releases, that of an empty one first."""
    return number_key(number) or ((), "")


def listed(text: str) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a list of symbols: soname, symbol, its version and that of the package."""
    soname = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith(" ") and len(words) > 1:
            symbol, _, version = words[0].rpartition("@")
            yield soname, symbol, version, words[1]
        elif line[:1] not in {"", " ", "|", "*", "#"}:
            soname = words[0]


def fetch(suite: str, project: str, folder: Path, mirror: str) -> Path:
    """The folder of an unpacked package: `DEBIAN` holds its control files."""
    options = private_apt(folder / f"apt-{suite}-amd64", suite, "amd64", mirror)
    unpacked = folder / f"{suite}-{project}"
    if not unpacked.exists():
        part = folder / f"{suite}-{project}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for package in PACKAGES[project]:
            command = ["apt-get", "-qq", *options, "download", package]
            if subprocess.run(command, cwd=part, check=False, stderr=subprocess.DEVNULL).returncode == 0:
                break
        (archive,) = part.glob("*.deb")
        subprocess.run(["dpkg-deb", "-R", archive, part / "root"], check=True)
        archive.unlink()
        (part / "root").rename(unpacked)
        part.rmdir()
    return unpacked


def package_version(folder: Path) -> str:
    """The version that the control file of a package says."""
    control = (folder / "DEBIAN" / "control").read_text("utf-8")
    return next(line.removeprefix("Version: ") for line in control.splitlines() if line.startswith("Version: "))


def defined(folder: Path, soname: str) -> set[str]:
    """The symbols that a library of an unpacked package defines."""
    path = next(iter(folder.rglob(soname)))
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        return {
            symbol.name
            for symbol in table.iter_symbols()  # type: ignore[union-attr]
            # A version is listed too, with SHN_ABS.
            if symbol["st_shndx"] not in {"SHN_UNDEF", "SHN_ABS"}
            and symbol.name not in _LINKERS
            and symbol["st_info"]["bind"] != "STB_LOCAL"
        } - {""}


def since(project: str, soname: str, folders: list[Path]) -> dict[str, str]:
    """The release of each symbol of a library, from unpacked packages, the oldest first."""
    found: dict[str, str] = {}
    for folder in reversed(folders):
        own = release_of(project, "", package_version(folder))
        symbols = folder / "DEBIAN" / "symbols"
        rows = listed(symbols.read_text("utf-8")) if symbols.exists() else ()
        for library, symbol, version, noted in rows:
            if library == soname and symbol != version:  # a version itself is listed as `V@V`
                release = release_of(project, version, noted)
                known = found.setdefault(symbol, release)
                if key(release) < key(known) and release != own:
                    found[symbol] = release
    # What no list has, because there is none or it leaves out what programs should not use.
    for folder in folders:
        first = "" if folder is folders[0] else release_of(project, "", package_version(folder))
        for symbol in defined(folder, soname):
            found.setdefault(symbol, first)
    return found


def to_json(project: str, last: str, releases: Mapping[str, str]) -> str:
    """The table of a library: a line for each release, so that a change is a short difference."""
    groups: dict[str, list[str]] = {}
    for symbol, release in sorted(releases.items()):
        groups.setdefault(release, []).append(symbol)
    lines = [f"  {json.dumps(release)}: {json.dumps(' '.join(groups[release]))}" for release in sorted(groups, key=key)]
    head = f'{{\n "project": {json.dumps(project)},\n "last": {json.dumps(last)},\n "since": {{\n'
    return head + ",\n".join(lines) + "\n }\n}\n"


def table(soname: str, folder: Path, mirror: str = MIRROR) -> str:
    """The table of a library, as the package carries it."""
    project = PROJECTS[soname]
    folders = [fetch(suite, project, folder, mirror) for suite in SUITES]
    last = release_of(project, "", package_version(folders[-1]))
    return to_json(project, last, since(project, soname, folders))


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description="Write the tables of the releases that brought symbols.")
    parser.add_argument("packages", type=Path, help="folder for what is fetched")
    parser.add_argument("tables", type=Path, help="folder of the tables")
    parser.add_argument("--mirror", default=MIRROR, help="a mirror of Debian")
    options = parser.parse_args()
    options.packages.mkdir(parents=True, exist_ok=True)
    for soname in PROJECTS:
        (options.tables / f"{soname}.json").write_text(table(soname, options.packages, options.mirror), "utf-8")


if __name__ == "__main__":
    main()
