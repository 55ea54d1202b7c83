from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.provenance.databases.rpmfiles import BadDatabase, bdb_headers, having, ndb_headers
from kit.packages import BDB_PAGE, bdb_database, bdb_page, ndb_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOBS = [b"first" * 10, bytes(range(256)) * 40, b"third"]


def test_every_blob_of_ndb_is_told() -> None:
    assert list(ndb_headers(ndb_database(BLOBS))) == BLOBS


def test_a_slot_that_is_free_hides_none_behind_it() -> None:
    """A removed package leaves its slot empty (rpm's lib/backend/ndb/rpmpkg.c)."""
    assert list(ndb_headers(patched(NDB, 32 + 16, "<4sIII", b"Slot", 0, 0, 0))) == [BLOBS[0], BLOBS[2]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_blob_of_berkeley_db_is_told(order: str) -> None:
    assert list(bdb_headers(bdb_database(BLOBS, order))) == BLOBS


def pair(value: bytes, at: int = 3000, kind: int = 13, entries: int = 2) -> bytes:
    """A database whose one page of pairs has a value at an offset, below a key."""
    page = bytearray(bdb_page("<", kind, struct.pack("<2H", BDB_PAGE - 5, at), entries=entries))
    page[at : at + len(value)] = value
    return bdb_database([])[:BDB_PAGE] + bytes(page[:BDB_PAGE])


def test_small_values_stand_beside_their_keys() -> None:
    value = b"\1" + b"x" * (BDB_PAGE - 5 - 3000 - 1)
    assert list(bdb_headers(pair(value))) == [value[1:]]
    assert list(bdb_headers(pair(value, kind=2))) == [value[1:]]


def test_other_pages_and_other_items_hold_no_header() -> None:
    assert list(bdb_headers(pair(b"\1abc", kind=5))) == []
    assert list(bdb_headers(pair(b"\2abc"))) == []  # a duplicate
    assert list(bdb_headers(pair(b"", at=BDB_PAGE - 9))) == []


def test_an_overflow_chain_of_several_pages_may_be_longer_than_needed() -> None:
    database = bdb_database([b"a" * 5000])
    (value,) = bdb_headers(database)
    assert value == b"a" * 5000


def patched(data: bytes, place: int, layout: str, *values: int | bytes) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, place, *values)
    return bytes(changed)


NDB = ndb_database(BLOBS)
BDB = bdb_database(BLOBS)
FIRST_OVERFLOW = 2 * BDB_PAGE


@pytest.mark.parametrize(
    ("read", "data", "why"),
    [
        (ndb_headers, b"", "RpmP"),
        (ndb_headers, b"x" * 100, "RpmP"),
        (ndb_headers, patched(NDB, 12, "<I", 1 << 30), "slots are cut off"),
        (ndb_headers, patched(NDB, 64, "<4s", b"Tolb"), "no slot at offset 64"),
        (ndb_headers, patched(NDB, 40, "<I", 1 << 28), "offset 32 leads beyond the end"),
        (ndb_headers, patched(NDB, 36, "<I", 9), "the package at offset"),
        (ndb_headers, patched(NDB, 4096, "<4s", b"Blob"), "the package at offset"),
        (ndb_headers, patched(NDB, 4096 + 12, "<I", 1 << 31), "the package at offset"),
        (bdb_headers, b"", "no hash table"),
        (bdb_headers, BDB[:20], "no hash table"),
        (bdb_headers, patched(BDB, 12, "<I", 0x053162), "no hash table"),
        (bdb_headers, patched(BDB, 20, "<I", 0), "pages have 0 bytes"),
        (bdb_headers, patched(BDB, 20, "<I", 1 << 20), "pages have 1048576 bytes"),
        (bdb_headers, patched(BDB, BDB_PAGE + 20, "<H", 60000), "too many entries"),
        (bdb_headers, patched(BDB, FIRST_OVERFLOW + 25, "<B", 5), "page 2 is no overflow page"),
        (bdb_headers, patched(BDB, FIRST_OVERFLOW + 25, "<B", 13), "page 2 is no overflow page"),
        (bdb_headers, BDB[:FIRST_OVERFLOW], "page 2 is no overflow page"),
        (bdb_headers, patched(BDB, FIRST_OVERFLOW + 22, "<H", 0), "is empty"),
        (bdb_headers, patched(BDB, FIRST_OVERFLOW + 22, "<H", 7), "a value is cut off"),
        (bdb_headers, pair(struct.pack("<B3xII", 3, 1, 1 << 30)), "larger than the database"),
        (bdb_headers, pair(struct.pack("<B3xII", 3, 0, 10)), "a value is cut off"),
    ],
)
def test_a_damaged_database_says_why(read: Callable[[bytes], Iterator[bytes]], data: bytes, why: str) -> None:
    with pytest.raises(BadDatabase, match=why):
        list(read(data))


@pytest.mark.parametrize("cut", [10, 33, 4097, 5000])
def test_an_overflow_chain_that_runs_in_a_circle_ends(cut: int) -> None:
    page = bdb_page("<", 7, b"z" * 100, following=2, length=100)
    head = pair(struct.pack("<B3xII", 3, 2, cut))
    data = head + page
    try:
        (value,) = bdb_headers(data)
    except BadDatabase:
        assert cut % 100
    else:
        assert value == b"z" * cut


def test_only_headers_with_the_bytes_of_a_name_are_told() -> None:
    headers = [b"\0liba.so\0", b"\0libb.so\0", b"liba.soX"]
    assert list(having(headers, [b"liba.so", b"libc.so"], 1000)) == headers[:1]


def test_packages_with_more_bytes_than_their_database_overlap() -> None:
    with pytest.raises(BadDatabase, match="overlap"):
        list(having([b"x" * 60, b"y" * 60], [b"a"], 100))
