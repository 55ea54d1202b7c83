from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.repair.provenance.databases.missing import where_it_comes_from
from kit.packages import INFO, apk_database, dpkg_package
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def told(system: System, soname: str, bits: int = 64) -> str | None:
    return where_it_comes_from(soname, system.sysroot, bits=bits)


def test_a_system_without_a_package_database_tells_nothing(system: System) -> None:
    assert told(system, "libyaml-0.so.2") is None


@pytest.mark.parametrize(
    ("soname", "package"),
    [
        # As these packages of Debian 12 are named.
        ("libyaml-0.so.2", "libyaml-0-2"),
        ("libpq.so.5", "libpq5"),
        ("libldap-2.5.so.0", "libldap-2.5-0"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
        ("libX11.so.6", "libx11-6"),
        ("libdb-5.3.so", "libdb5.3"),
    ],
)
def test_debian_names_packages_by_a_rule(system: System, soname: str, package: str) -> None:
    dpkg_package(system, "bash", ["/bin/bash"])
    text = told(system, soname)
    assert text == f"on this distribution the package that has {soname} is usually named {package}"


def test_an_installed_package_that_has_it_elsewhere_is_named(system: System) -> None:
    dpkg_package(system, "bash", ["/bin/bash", "/usr/lib/libpq.so.5.15"])
    dpkg_package(system, "libpq5:i386", ["/usr/lib/i386-linux-gnu/libpq.so.5"])
    system.write(f"{INFO}/broken.list/folder")
    text = told(system, "libpq.so.5")
    path = "/usr/lib/i386-linux-gnu/libpq.so.5"
    assert text == f"the installed package libpq5 has {path}, which was not searched or does not fit"


def test_an_image_without_dpkg_itself_has_checksums(system: System) -> None:
    system.write("/var/lib/dpkg/status.d/libpq5.md5sums", f"{'0' * 32}  opt/lib/libpq.so.5\n")
    assert str(told(system, "libpq.so.5")).startswith("the installed package libpq5 has /opt/lib/libpq.so.5,")


@pytest.mark.parametrize(("bits", "mark"), [(64, "()(64bit)"), (32, "")])
def test_rpm_knows_sonames(system: System, bits: int, mark: str) -> None:
    system.write("/var/lib/rpm/rpmdb.sqlite")
    assert f"`dnf install 'libpq.so.5{mark}'`" in str(told(system, "libpq.so.5", bits))


def test_apk_knows_sonames(system: System) -> None:
    system.write("/lib/apk/db/installed", apk_database({"musl": ["/lib/libc.so"]}))
    assert "`apk add so:libpq.so.5`" in str(told(system, "libpq.so.5"))


@pytest.mark.parametrize("soname", ["libplugin.so", "'; rm x; '.so.1", "/opt/libx.so.1", ""])
def test_names_that_follow_no_rule_tell_nothing(system: System, soname: str) -> None:
    dpkg_package(system, "bash", ["/bin/bash"])
    assert told(system, soname) is None
