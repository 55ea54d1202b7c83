from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.provenance.databases import dpkg
from kit.packages import INFO, dpkg_package
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.provenance.databases.answer import Answer

LIBPQ = "/usr/lib/x86_64-linux-gnu/libpq.so.5.15"


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def search(system: System, *paths: str) -> Answer:
    return dpkg.search({path: path for path in paths}, system.sysroot)


def test_a_system_without_dpkg_has_no_such_database(system: System) -> None:
    answer = search(system, LIBPQ)
    assert (answer.present, dict(answer.owners), answer.faults) == (False, {}, ())


def test_the_package_whose_list_has_the_path_owns_it(system: System) -> None:
    dpkg_package(system, "libpq5:amd64", [LIBPQ])
    dpkg_package(system, "other", ["/usr/lib/other.so"])
    answer = search(system, LIBPQ)
    owner = answer.owners[LIBPQ]
    assert (owner.name, owner.version, owner.arch) == ("libpq5", "1.0-1", "amd64")
    assert owner.licences == ("/usr/share/doc/libpq5/copyright",)
    assert answer.present
    assert not answer.faults


def test_a_part_of_a_line_is_no_match(system: System) -> None:
    dpkg_package(system, "libpq5", [LIBPQ + "/more", f"/opt{LIBPQ}"])
    answer = search(system, LIBPQ)
    assert answer.present
    assert not answer.owners


def test_packages_with_quite_other_names_are_found_too(system: System) -> None:
    dpkg_package(system, "openldap", ["/usr/lib/liblber-2.5.so.0"])
    dpkg_package(system, "bash", ["/bin/bash"])
    assert search(system, "/usr/lib/liblber-2.5.so.0").owners["/usr/lib/liblber-2.5.so.0"].name == "openldap"


def test_lists_of_other_packages_are_not_opened_once_all_is_found(system: System) -> None:
    dpkg_package(system, "libgssapi-krb5-2:amd64", ["/usr/lib/libgssapi_krb5.so.2.2"])
    dpkg_package(system, "libpqxx-7", ["/usr/lib/libpqxx.so"])
    dpkg_package(system, "libpq5", [LIBPQ])
    (system.top / "usr").mkdir()
    for name in ("aaa", "libpqxx-7", "zzz"):
        path = system.top / f"{INFO[1:]}/{name}.list"
        path.unlink(missing_ok=True)
        path.mkdir()  # would be a fault if it was opened
    answer = search(system, LIBPQ, "/usr/lib/libgssapi_krb5.so.2.2")
    assert {path: owner.name for path, owner in answer.owners.items()} == {
        LIBPQ: "libpq5",
        "/usr/lib/libgssapi_krb5.so.2.2": "libgssapi-krb5-2",
    }
    assert not answer.faults


def test_every_spelling_stands_for_its_file(system: System) -> None:
    dpkg_package(system, "libcom-err2", ["/lib/libcom_err.so.2.1"])
    spellings = {"/usr/lib/libcom_err.so.2.1": "file", "/lib/libcom_err.so.2.1": "file"}
    assert dpkg.search(spellings, system.sysroot).owners["file"].name == "libcom-err2"


def test_versions_of_two_architectures_are_told_apart(system: System) -> None:
    for arch, version in (("i386", "1.0"), ("amd64", "2.0")):
        stanza = f"Package: libz1\nArchitecture: {arch}\nVersion: {version}\nDescription: Version: 3.0\n"
        dpkg_package(system, f"libz1:{arch}", [f"/usr/lib/{arch}/libz.so.1"], stanza)
    answer = search(system, "/usr/lib/amd64/libz.so.1", "/usr/lib/i386/libz.so.1")
    assert answer.owners["/usr/lib/amd64/libz.so.1"].version == "2.0"
    assert answer.owners["/usr/lib/i386/libz.so.1"].version == "1.0"


def test_a_longer_field_or_a_continued_line_is_no_head_of_a_stanza(system: System) -> None:
    decoy = "X-Package: libpq5\nVersion: 9\n Version: 8\n\nPackage: libpq5-dev\nVersion: 7\n\n"
    dpkg_package(system, "libpq5", [LIBPQ], decoy + "Package: libpq5\n Version: 6\nVersion: 5\nArchitecture: all\n")
    assert search(system, LIBPQ).owners[LIBPQ].version == "5"


def test_a_package_that_the_status_does_not_know_has_no_version(system: System) -> None:
    dpkg_package(system, "libpq5:amd64", [LIBPQ], "Package: other\nVersion: 1\n")
    owner = search(system, LIBPQ).owners[LIBPQ]
    assert (owner.name, owner.version, owner.arch) == ("libpq5", "", "amd64")


def test_a_status_cut_off_in_the_stanza_still_counts(system: System) -> None:
    dpkg_package(system, "libpq5", [LIBPQ])
    system.write("/var/lib/dpkg/status", "Package: libpq5\nVersion: 4")
    assert search(system, LIBPQ).owners[LIBPQ].version == "4"


def test_a_missing_status_and_an_unreadable_list_are_faults_and_no_errors(system: System) -> None:
    dpkg_package(system, "xyz", [LIBPQ])
    (system.top / "var/lib/dpkg/status").unlink()
    (system.top / f"{INFO[1:]}/libpq5.list").mkdir()
    answer = search(system, LIBPQ)
    assert answer.owners[LIBPQ].name == "xyz"
    assert [fault.split("`")[1] for fault in answer.faults] == [f"{INFO}/libpq5.list", "/var/lib/dpkg/status"]


def test_images_without_dpkg_have_a_stanza_and_checksums_for_each_package(system: System) -> None:
    system.write("/var/lib/dpkg/status.d/libssl3", "Package: libssl3\nVersion: 3.0\nArchitecture: arm64\n")
    system.write(
        "/var/lib/dpkg/status.d/libssl3.md5sums",
        "d41d8cd98f00b204e9800998ecf8427e  usr/lib/libcrypto.so.3\nd41d8cd98f00b204e9800998ecf8427e  usr/lib/e.so\n",
    )
    answer = search(system, "/usr/lib/libcrypto.so.3", "/lib/e.so")
    owner = answer.owners["/usr/lib/libcrypto.so.3"]
    assert (owner.name, owner.version, owner.arch) == ("libssl3", "3.0", "arm64")
    assert "/lib/e.so" not in answer.owners
    assert answer.present


def test_names_that_are_no_utf8_are_found(system: System) -> None:
    odd = b"/usr/lib/lib\xff.so.1"
    system.write(f"{INFO}/odd.list", b"/.\n" + odd + b"\n")
    path = odd.decode("utf-8", "surrogateescape")
    assert search(system, path).owners[path].name == "odd"


def test_no_list_is_opened_for_folders_that_belong_to_no_package(system: System) -> None:
    (system.top / f"{INFO[1:]}/liba.list").mkdir(parents=True)  # would be a fault if it was opened
    answer = search(system, *(f"/{folder}/liba.so" for folder in ("usr/local/lib", "home/me", "root", "tmp/build")))
    assert (answer.present, dict(answer.owners), answer.faults) == (True, {}, ())


def test_one_package_can_own_files_in_several_folders(system: System) -> None:
    files = ["/usr/lib/liba.so", "/usr/lib/sub/liba.so", "/opt/liba.so"]
    dpkg_package(system, "many", [files[0], files[2]])
    dpkg_package(system, "more", [files[1]])
    owners = search(system, *files).owners
    assert [owners[file].name for file in files] == ["many", "more", "many"]


@pytest.mark.parametrize(
    ("field", "origin"),
    [
        # Debian Policy, section 5.6.1: none where both names are equal; a version where that differs.
        ("", "libxext6"),
        ("Source: libxext\n", "libxext"),
        ("Source: libxext (2:1.3.4-1)\n", "libxext"),
    ],
)
def test_the_source_package_is_told(system: System, field: str, origin: str) -> None:
    path = "/usr/lib/x86_64-linux-gnu/libXext.so.6"
    stanza = f"Package: libxext6\nStatus: install ok installed\nArchitecture: amd64\n{field}Version: 2:1.3.4-1+b1\n"
    dpkg_package(system, "libxext6:amd64", [path], stanza)
    assert search(system, path).owners[path].origin == origin


def test_a_status_in_which_a_package_stands_without_end_takes_little_time(system: System) -> None:
    dpkg_package(system, "libpq5:amd64", [LIBPQ])
    system.write("/var/lib/dpkg/status", b"Package: libpq5\nArchitecture: i386\n" * 500_000)
    start = process_time()
    assert search(system, LIBPQ).owners[LIBPQ].version == ""
    system.write("/var/lib/dpkg/status", b"Package: libpq5\nArchitecture: i386\n\n" * 70)
    system = System(system.top)
    assert search(system, LIBPQ).owners[LIBPQ].version == ""
    assert process_time() - start < 5
