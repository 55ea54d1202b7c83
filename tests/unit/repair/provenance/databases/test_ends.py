"""Package databases up to their last byte: what just fits, and what is one too many."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.model import Graft, Package
from deloc8.repair.provenance.databases import apk, dpkg
from deloc8.repair.provenance.databases.missing import where_it_comes_from
from deloc8.repair.provenance.databases.rpmfiles import BadDatabase, bdb_headers, ndb_headers
from deloc8.repair.provenance.databases.rpmheader import BadHeader, read_header
from deloc8.repair.provenance.licences import find_licences
from deloc8.repair.provenance.member_names import TakenNames
from kit.packages import Rpm, dpkg_package, ndb_database, rpm_entries, rpm_header
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


# -- ndb (rpm's lib/backend/ndb/rpmpkg.c) --------------------------------------------------------------------------


def test_an_ndb_without_packages() -> None:
    assert list(ndb_headers(struct.pack("<4s3I", b"RpmP", 0, 1, 0))) == []
    assert list(ndb_headers(ndb_database([]))) == []
    with pytest.raises(BadDatabase):
        list(ndb_headers(struct.pack("<4s3I", b"RpmP", 0, 1, 0)[:-1]))
    with pytest.raises(BadDatabase, match="cut off"):
        list(ndb_headers(ndb_database([])[:-1]))


def test_a_page_of_ndb_has_room_for_254_packages() -> None:
    blobs = [b"%d" % number for number in range(254)]
    assert list(ndb_headers(ndb_database(blobs))) == blobs


def test_the_last_blob_of_ndb_may_end_with_the_file() -> None:
    for last in (b"last", b""):
        data = ndb_database([b"first", last])
        start = data.rindex(b"BlbS")
        assert list(ndb_headers(data[: start + 16 + len(last)])) == [b"first", last]
        for missing in range(1, 16 + len(last)):
            with pytest.raises(BadDatabase):
                list(ndb_headers(data[: start + 16 + len(last) - missing]))


# -- Berkeley DB (src/dbinc/db_page.h) -----------------------------------------------------------------------------


def meta(page_size: int) -> bytearray:
    page = bytearray(max(page_size, 512))
    struct.pack_into("<2I", page, 12, 0x061561, 9)
    struct.pack_into("<I", page, 20, page_size)
    return page


def hash_page(page_size: int, offsets: list[int], items: dict[int, bytes]) -> bytearray:
    page = bytearray(page_size)
    struct.pack_into("<H", page, 20, len(offsets))
    page[25] = 13
    struct.pack_into(f"<{len(offsets)}H", page, 26, *offsets)
    for place, item in items.items():
        page[place : place + len(item)] = item
    return page


def overflow(page_size: int, following: int, content: bytes) -> bytearray:
    page = bytearray(page_size)
    struct.pack_into("<I2H", page, 16, following, 1, len(content))
    page[25] = 7
    page[26 : 26 + len(content)] = content
    return page


def off_page(number: int, size: int) -> bytes:
    return struct.pack("<B3xII", 3, number, size)


@pytest.mark.parametrize("power", range(7, 19))
def test_pages_of_berkeley_db_have_512_bytes_to_64_kibibytes(power: int) -> None:
    data = bytes(meta(1 << power))
    if 9 <= power <= 16:
        assert list(bdb_headers(data)) == []
    else:
        with pytest.raises(BadDatabase, match=f"its pages have {1 << power} bytes"):
            list(bdb_headers(data))
    assert list(bdb_headers(bytes(meta(512)[:24]))) == []
    with pytest.raises(BadDatabase):
        list(bdb_headers(bytes(meta(512)[:23])))


def test_values_in_and_beside_their_page() -> None:
    small, large = b"\1" + b"header of a small package", off_page(2, 487)
    place = 512 - len(large)  # what ends with the page
    first = place - 1
    second = first - len(small)
    offsets = [511, place, first, second]
    page = hash_page(512, offsets, {place: large, second: small})
    pages = [overflow(512, 3, b"x" * 486), overflow(512, 0, b"y")]
    data = bytes(meta(512) + page + pages[0] + pages[1])
    assert list(bdb_headers(data)) == [b"x" * 486 + b"y", small[1:]]
    # A page that is cut off is none.
    assert list(bdb_headers(bytes(meta(512) + page)[:-1])) == []


def test_a_value_that_the_page_does_not_hold_hides_none_behind_it() -> None:
    small = b"\1" + b"header of a small package"
    for bad in (501, 511, 600, 65535):
        page = hash_page(512, [511, bad, 440, 440 - len(small)], {440 - len(small): small, 501: off_page(2, 5)})
        assert list(bdb_headers(bytes(meta(512) + page + bytes(512)))) == [small[1:]]


def test_as_many_entries_as_a_page_can_have() -> None:
    most = (512 - 26) // 2
    for count in (0, 1, 2, most - 1, most):
        assert list(bdb_headers(bytes(meta(512) + hash_page(512, [0] * count, {})))) == []
    full = hash_page(512, [0] * most, {})
    struct.pack_into("<H", full, 20, most + 1)
    with pytest.raises(BadDatabase, match="too many entries"):
        list(bdb_headers(bytes(meta(512) + full + bytes(512))))


def test_an_empty_page_of_an_overflow_chain_ends_it() -> None:
    page = hash_page(512, [511, 500], {500: off_page(2, 600)})
    chain = overflow(512, 3, b"x" * 486) + overflow(512, 3, b"")
    with pytest.raises(BadDatabase, match="is empty"):
        list(bdb_headers(bytes(meta(512) + page + chain)))


# -- the header ----------------------------------------------------------------------------------------------------


def test_a_header_of_nothing_has_no_files() -> None:
    assert read_header(struct.pack(">II", 0, 0), [b"libtiny.so.1"]) is None
    with pytest.raises(BadHeader):
        read_header(bytes(7), [b"libtiny.so.1"])


def test_a_folder_that_is_one_too_many() -> None:
    entries = [entry for entry in rpm_entries(Rpm()) if entry[0] != 1116]
    for index, is_sound in ((0, True), (1, False), (2, False)):
        blob = rpm_header([*entries, (1116, 4, 1, struct.pack(">I", index))])
        if is_sound:
            assert read_header(blob, [b"libtiny.so.1"]) is not None
        else:
            with pytest.raises(BadHeader, match="does not fit together"):
                read_header(blob, [b"libtiny.so.1"])


def test_numbers_may_end_with_the_header_and_not_behind_it() -> None:
    files = tuple(f"/usr/lib64/lib{number}.so" for number in range(5))
    entries = [entry for entry in rpm_entries(Rpm(files=files)) if entry[0] != 1116]
    flags = struct.pack(">5I", 0, 0, 0, 0, 0)
    package = read_header(rpm_header([*entries, (1116, 4, 5, flags)]), [b"lib0.so"])
    assert package is not None
    assert package.files == files
    for length in (16, 4, 0):
        with pytest.raises(BadHeader, match="reaches beyond the end"):
            read_header(rpm_header([*entries, (1116, 4, 5, flags[:length])]), [b"lib0.so"])


def test_what_a_header_does_not_say_is_empty() -> None:
    entries = [entry for entry in rpm_entries(Rpm()) if entry[0] not in {1001, 1002, 1022}]
    package = read_header(rpm_header(entries), [b"libtiny.so.1"])
    assert package is not None
    assert (package.installed.name, package.installed.version, package.installed.arch) == ("libtiny", "", "")


# -- dpkg and apk --------------------------------------------------------------------------------------------------


def test_several_libraries_of_one_image_without_dpkg(system: System) -> None:
    stanza = "Package: two\nVersion: 1\nArchitecture: amd64\n"
    system.write("/var/lib/dpkg/status.d/two", stanza)
    sums = "".join(f"{'0' * 32}  usr/lib/{name}\n" for name in ("liba.so.1", "libb.so.1"))
    system.write("/var/lib/dpkg/status.d/two.md5sums", sums)
    paths = ("/usr/lib/liba.so.1", "/usr/lib/libb.so.1")
    owners = dpkg.search({path: path for path in paths}, system.sysroot).owners
    assert {path: owner.name for path, owner in owners.items()} == dict.fromkeys(paths, "two")


def test_of_two_packages_that_have_a_library_the_first_is_named(system: System) -> None:
    for name in ("alpha", "beta"):
        dpkg_package(system, name, [f"/opt/{name}/libgone.so.1"])
    told = where_it_comes_from("libgone.so.1", system.sysroot, bits=64)
    assert told is not None
    assert "the installed package alpha has /opt/alpha/libgone.so.1" in told


def test_a_package_of_apk_has_the_fields_of_its_own_stanza(system: System) -> None:
    text = "P:one\nV:1\nA:x86_64\nF:usr/lib\nR:liba.so\n\nP:two\nF:usr/lib\nR:libb.so\n\n"
    system.write("/lib/apk/db/installed", text)
    owners = apk.search({path: path for path in ("/usr/lib/liba.so", "/usr/lib/libb.so")}, system.sysroot).owners
    assert [(owner.name, owner.version, owner.arch) for owner in owners.values()] == [
        ("one", "1", "x86_64"),
        ("two", "", ""),
    ]


def test_a_database_of_apk_that_cannot_be_read_is_there(system: System) -> None:
    (system.top / "lib/apk/db/installed").mkdir(parents=True)
    answer = apk.search({"/usr/lib/liba.so": "/usr/lib/liba.so"}, system.sysroot)
    assert answer.present
    assert len(answer.faults) == 1


# -- licences ------------------------------------------------------------------------------------------------------


def test_a_licence_that_cannot_be_read_keeps_no_other_one_back(system: System) -> None:
    common = "/usr/share/common-licenses"
    system.write("/usr/share/doc/one/copyright", f"See {common}/Gone, {common}/GPL-2 and {common}/MPL-1.1.")
    for name in ("GPL-2", "MPL-1.1"):
        system.write(f"{common}/{name}", name)
    places = ("/usr/share/doc/gone/copyright", "/usr/share/doc/one/copyright")
    owner = Package(name="one", licences=places)
    graft = Graft(
        source="/usr/lib/one.so",
        sha256="00",
        size=1,
        soname=None,
        new_name="one",
        member="demo.libs/one",
        chain=(),
        edits=(),
        owner=owner,
    )
    found = find_licences([graft], system.sysroot, "demo-1.0.dist-info", TakenNames([]))
    assert [file.source for file in found] == [places[1], f"{common}/GPL-2", f"{common}/MPL-1.1"]
