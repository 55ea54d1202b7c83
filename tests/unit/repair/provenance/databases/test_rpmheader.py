from __future__ import annotations

import struct

import pytest

from deloc8.repair.provenance.databases.rpmheader import BadHeader, RpmPackage, read_header
from kit.packages import Rpm, rpm_blob, rpm_entries, rpm_header

TINY = Rpm(
    epoch=2,
    files=("/usr/lib64/libtiny.so.1", "/usr/share/licenses/libtiny/MIT", "/usr/share/doc/libtiny/COPYING"),
    flags={"/usr/share/licenses/libtiny/MIT": 1 << 7, "/usr/lib64/libtiny.so.1": 1 << 4},
)
NAMES = (b"libtiny.so.1",)


def read(blob: bytes) -> RpmPackage:
    found = read_header(blob, NAMES)
    assert found
    return found


def changed(tag: int, kind: int, count: int, data: bytes) -> bytes:
    """The header of TINY with one entry replaced."""
    return rpm_header([(tag, kind, count, data) if entry[0] == tag else entry for entry in rpm_entries(TINY)])


def without(tag: int) -> bytes:
    return rpm_header([entry for entry in rpm_entries(TINY) if entry[0] != tag])


def test_a_header_tells_package_and_files() -> None:
    found = read(rpm_blob(TINY))
    assert found.files == TINY.files
    owner = found.installed
    assert (owner.name, owner.version, owner.arch, owner.epoch) == ("libtiny", "1.5-3.test", "x86_64", "2")
    assert owner.licences == ("/usr/share/licenses/libtiny/MIT",)


def test_a_package_without_the_files_is_none() -> None:
    assert read_header(rpm_blob(TINY), (b"libother.so",)) is None
    assert read_header(rpm_blob(Rpm(files=())), NAMES) is None


def test_a_package_without_epoch_and_flags() -> None:
    package = Rpm(files=(*Rpm().files, "/usr/share/doc/x-1.0/LICENCE.txt", "/usr/share/doc/x-1.0/README"))
    blob = rpm_header([entry for entry in rpm_entries(package) if entry[0] != 1037])
    owner = read(blob).installed
    assert owner.epoch == ""
    assert owner.licences == ("/usr/share/doc/x-1.0/LICENCE.txt",)


def test_an_epoch_of_zero_is_told() -> None:
    assert read(rpm_blob(Rpm(epoch=0))).installed.epoch == "0"


def test_a_package_may_lack_all_but_its_name() -> None:
    entries = [entry for entry in rpm_entries(TINY) if entry[0] in {1000, 1116, 1117, 1118}]
    owner = read(rpm_header(entries)).installed
    assert (owner.name, owner.version, owner.arch) == ("libtiny", "", "")


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "too short"),
        (b"\0\0\0\1\0\0", "too short"),
        (rpm_blob(TINY)[:-1], "cut off"),
        (b"\xff" * 64, "cut off"),
        (struct.pack(">IIIIII", 1, 0, 1117, 8, 1, 1), "tag 1117 lies outside"),
        (changed(1117, 4, 3, b"\0" * 12), "tag 1117 has the type 4"),
        (changed(1116, 8, 3, b"a\0b\0c\0"), "tag 1116 has the type 8"),
        (changed(1118, 8, 1 << 31, b"/\0"), "more strings than there are bytes"),
        (changed(1118, 8, 100, b"/\0"), "fewer strings"),
        (changed(1116, 4, 1 << 29, b"\0" * 12), "tag 1116 reaches beyond the end"),
        (changed(1116, 4, 2, b"\0" * 8), "list of files"),
        (changed(1116, 4, 3, b"\0\0\0\x09" * 3), "list of files"),
        (without(1000), "no name"),
        (without(1118), "list of files"),
    ],
)
def test_what_is_no_header_says_why(blob: bytes, why: str) -> None:
    with pytest.raises(BadHeader, match=why):
        read_header(blob, NAMES)


@pytest.mark.parametrize(
    ("source", "origin"), [("glib2-2.56.4-161.el8.src.rpm", "glib2"), ("gcc-c++-x-1-2.src.rpm", "gcc-c++-x")]
)
def test_the_source_package_is_told(source: str, origin: str) -> None:
    """RPMTAG_SOURCERPM is 1044, a string (rpm, rpmtag.h)."""
    entries = [*rpm_entries(Rpm()), (1044, 6, 1, source.encode() + b"\0")]
    package = read_header(rpm_header(sorted(entries)), [b"libtiny.so.1"])
    assert package is not None
    assert package.installed.origin == origin


def test_a_header_larger_than_any_real_one_is_none() -> None:
    with pytest.raises(BadHeader, match="too large"):
        read_header(bytes((16 << 20) + 1), [b"a"])
