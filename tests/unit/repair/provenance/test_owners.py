from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from packageurl import PackageURL

from deloc8.elf.read.notes import Note
from deloc8.repair.model import Package, PackageSource
from deloc8.repair.provenance.owners import Library, find_owners
from kit.packages import INFO, Rpm, apk_database, dpkg_package, ndb_database, rpm_blob
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

LIBPQ = "/usr/lib/libpq.so.5.15"


@pytest.fixture
def system(tmp_path: Path) -> System:
    system = System(tmp_path)
    system.write("/etc/os-release", 'NAME="Debian"\n# comment\nID=debian\nVERSION_ID="12"\n')
    return system


def owner(system: System, path: str = LIBPQ, *, found_as: tuple[str, ...] = (), note: object = None) -> Package:
    notes = (Note(owner="FDO", type=0xCAFE1A7E, description=json.dumps(note).encode() + b"\0"),) if note else ()
    library = Library(path=path, found_as=found_as, notes=notes)
    return find_owners([library], system.sysroot)[path]


def test_dpkg_knows_the_owner(system: System) -> None:
    system.write(LIBPQ)
    system.write("/usr/share/doc/libpq5/copyright", "Copyright")
    dpkg_package(system, "libpq5:amd64", [LIBPQ])
    found = owner(system)
    assert found == Package(
        name="libpq5",
        version="1.0-1",
        purl="pkg:deb/debian/libpq5@1.0-1?arch=amd64&distro=debian-12",
        source=PackageSource.DPKG,
        origin="libpq5",
        licences=("/usr/share/doc/libpq5/copyright",),
    )
    assert found.is_known


def test_rpm_knows_the_owner(system: System) -> None:
    licence = "/usr/share/licenses/libtiny/MIT"
    for place in (licence, "/usr/share/licenses/libtiny/unmarked"):
        system.write(place)
    package = Rpm(epoch=2, files=("/usr/lib64/libtiny.so.1", licence, licence + ".gone"))
    package = Rpm(epoch=2, files=package.files, flags={licence: 128, licence + ".gone": 128})
    system.write("/usr/lib/sysimage/rpm/Packages.db", ndb_database([rpm_blob(package)]))
    system.write("/etc/os-release", "ID='rhel'\nVERSION_ID=9.4\n")
    found = owner(system, "/usr/lib64/libtiny.so.1")
    assert found.source is PackageSource.RPM
    assert found.purl == "pkg:rpm/redhat/libtiny@1.5-3.test?arch=x86_64&distro=rhel-9.4&epoch=2"
    assert found.licences == (licence, "/usr/share/licenses/libtiny/unmarked")


def test_apk_knows_the_owner(system: System) -> None:
    system.write("/lib/apk/db/installed", apk_database({"zlib": ("/usr/lib/libz.so.1.3",)}))
    (system.top / "etc/os-release").unlink()
    system.write("/usr/lib/os-release", "ID=alpine\n")
    found = owner(system, "/usr/lib/libz.so.1.3")
    assert found.source is PackageSource.APK
    assert found.purl == "pkg:apk/alpine/zlib@1.2-r3?arch=x86_64"


def test_several_databases_are_asked_in_turn(system: System) -> None:
    dpkg_package(system, "libpq5", [LIBPQ])
    system.write("/lib/apk/db/installed", apk_database({"zlib": ("/usr/lib/libz.so.1.3", LIBPQ)}))
    libraries = [Library(path=path) for path in (LIBPQ, "/usr/lib/libz.so.1.3", "/opt/lib.so")]
    found = find_owners(libraries, system.sysroot)
    assert [package.source for package in found.values()] == [
        PackageSource.DPKG,
        PackageSource.APK,
        PackageSource.UNKNOWN,
    ]
    assert found["/opt/lib.so"].reason == "no package of dpkg or apk has it"
    assert not found["/opt/lib.so"].is_known


def test_without_a_database_the_owner_is_unknown_and_says_so(system: System) -> None:
    assert owner(system) == Package(reason="the system has no package database")


def test_a_damaged_database_is_told_with_the_unknown_owner(system: System) -> None:
    system.write("/var/lib/rpm/Packages", b"no")
    reason = owner(system).reason
    assert reason.startswith("no package of rpm has it; the rpm database /var/lib/rpm/Packages cannot be read")


@pytest.mark.parametrize(
    ("real", "listed"), [("/usr/lib/libz.so", "/lib/libz.so"), ("/lib/libz.so", "/usr/lib/libz.so")]
)
def test_lib_and_usr_lib_are_one_where_they_are_merged(system: System, real: str, listed: str) -> None:
    system.write(real)
    link = system.top / listed.rpartition("/")[0][1:]
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("usr/lib" if listed.startswith("/lib") else "../lib")
    dpkg_package(system, "libz", [listed])
    assert owner(system, real).name == "libz"


def test_lib_and_usr_lib_are_two_where_they_are_not_merged(system: System) -> None:
    for path in ("/lib/libz.so", "/usr/lib/libz.so"):
        system.write(path)
    dpkg_package(system, "libz", ["/lib/libz.so"])
    assert not owner(system, "/usr/lib/libz.so").is_known
    assert owner(system, "/lib/libz.so").is_known


def test_a_folder_is_known_by_the_symlink_that_the_loader_came_through(system: System) -> None:
    system.write("/opt/big-1.2/lib/libbig.so.1.2")
    system.symlink("/opt/big", "big-1.2")
    system.symlink("/opt/big-1.2/lib/libbig.so.1", "libbig.so.1.2")
    dpkg_package(system, "big", ["/opt/big/lib/libbig.so.1.2"])
    assert owner(system, "/opt/big-1.2/lib/libbig.so.1.2").name == ""
    found_as = ("/usr/../opt/big/lib/libbig.so.1",)
    assert owner(system, "/opt/big-1.2/lib/libbig.so.1.2", found_as=found_as).name == "big"


def test_a_symlink_of_a_package_does_not_own_what_it_leads_to(system: System) -> None:
    system.write("/opt/own/libz.so.1")
    system.symlink("/usr/lib/libz.so.1", "/opt/own/libz.so.1")
    dpkg_package(system, "libz", ["/usr/lib/libz.so.1"])
    assert not owner(system, "/opt/own/libz.so.1", found_as=("/usr/lib/libz.so.1",)).is_known
    # Nor from a folder whose name comes before that of the real one.
    dpkg_package(system, "another", ["/data/libz.so.1"])
    system.symlink("/data/libz.so.1", "/opt/own/libz.so.1")
    assert not owner(system, "/opt/own/libz.so.1", found_as=("/data/libz.so.1",)).is_known


NOTE = {"type": "rpm", "os": "fedora", "osVersion": "40", "name": "e2fsprogs", "version": "1.47-5.fc40"}


def test_a_library_that_names_its_package_is_believed(system: System) -> None:
    found = owner(system, note={**NOTE, "architecture": "x86_64"})
    assert found.source is PackageSource.NOTE
    assert (found.name, found.version, found.reason) == ("e2fsprogs", "1.47-5.fc40", "")
    assert found.purl == "pkg:rpm/fedora/e2fsprogs@1.47-5.fc40?arch=x86_64&distro=fedora-40"


def test_the_licences_are_those_of_the_installed_package(system: System) -> None:
    licence = "/usr/share/licenses/libcom_err/NOTICE"
    for place in (licence, "/usr/share/licenses/e2fsprogs/NOTICE", "/usr/share/doc/e2fsprogs/copyright"):
        system.write(place)
    alone = owner(system, note=NOTE)
    assert alone.licences == ("/usr/share/doc/e2fsprogs/copyright", "/usr/share/licenses/e2fsprogs/NOTICE")
    package = Rpm(name="libcom_err", files=(LIBPQ, licence), flags={licence: 128})
    system.write("/var/lib/rpm/Packages.db", ndb_database([rpm_blob(package)]))
    installed = owner(system, note=NOTE)
    assert (installed.name, installed.licences) == ("e2fsprogs", (licence,))


@pytest.mark.parametrize(
    ("changes", "purl"),
    [
        (
            {"os": "", "osCpe": "cpe:/o:fedoraproject:fedora:41"},
            "pkg:rpm/fedora/e2fsprogs@1.47-5.fc40?distro=fedora-41",
        ),
        ({"os": "", "osCpe": "cpe:/o:x"}, "pkg:rpm/e2fsprogs@1.47-5.fc40"),
        ({"os": "", "osCpe": "nonsense:/:/:/:/"}, "pkg:rpm/e2fsprogs@1.47-5.fc40"),
        ({"osVersion": ""}, "pkg:rpm/fedora/e2fsprogs@1.47-5.fc40"),
        ({"type": "flatpak"}, ""),
        ({"name": "a b/c\u00e9"}, "pkg:rpm/fedora/a%20b%2Fc%C3%A9@1.47-5.fc40?distro=fedora-40"),
        ({"name": "\ud800"}, "pkg:rpm/fedora/%3F@1.47-5.fc40?distro=fedora-40"),
    ],
)
def test_notes_of_other_makes(system: System, changes: dict[str, str], purl: str) -> None:
    found = owner(system, note={**NOTE, **changes})
    assert found.source is PackageSource.NOTE
    assert found.purl == purl


@pytest.mark.parametrize("missing", ["type", "name", "version"])
def test_a_note_without_what_names_a_package_says_nothing(system: System, missing: str) -> None:
    dpkg_package(system, "libpq5", [LIBPQ])
    assert owner(system, note={**NOTE, missing: ""}).name == "libpq5"


@pytest.mark.parametrize("name", [".", "..", "../../../etc", "/etc", "x\0"])
def test_a_name_that_leads_elsewhere_finds_no_licences(system: System, name: str) -> None:
    for folder in ("/usr/share", "/usr/share/doc", "/etc"):
        system.write(f"{folder}/copyright")
    system.write("/usr/share/licenses/x/y")
    assert owner(system, note={**NOTE, "name": name}).licences == ()


@pytest.mark.parametrize("version", ["2:6.2+dfsg~1-1.1", "1.0 beta", "\u00fc"])
def test_purls_are_what_others_read_and_write(system: System, version: str) -> None:
    stanza = f"Package: libpq5\nArchitecture: amd64\nVersion: {version}\n"
    dpkg_package(system, "libpq5", [LIBPQ], stanza)
    system.write("/etc/os-release", "ID=opensuse-leap\nVERSION_ID=15.6\n")
    purl = owner(system).purl
    parsed = PackageURL.from_string(purl)
    assert (parsed.type, parsed.namespace, parsed.name, parsed.version) == ("deb", "opensuse", "libpq5", version)
    assert parsed.qualifiers == {"arch": "amd64", "distro": "opensuse-leap-15.6"}
    assert parsed.to_string() == purl


def test_a_package_without_version_or_system_has_a_short_purl(system: System) -> None:
    (system.top / "etc/os-release").unlink()
    system.write(f"{INFO}/libpq5.list", f"/.\n{LIBPQ}\n")
    assert owner(system).purl == "pkg:deb/libpq5"
