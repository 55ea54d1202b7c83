from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import SystemFault
from deloc8.repair.provenance.databases import rpm
from kit.nofiles import NO_FILES
from kit.packages import Rpm, bdb_database, ndb_database, rpm_blob, sqlite_database
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.provenance.databases.answer import Answer

PACKAGES = [
    Rpm(name="libother", files=("/opt/libtiny.so.1", "/usr/lib64/libother.so.1")),
    Rpm(name="libtiny", files=("/usr/lib64/libtiny.so.1", "/usr/lib64/libtiny.so")),
    Rpm(name="files", files=()),
]
NEW, OLD = "usr/lib/sysimage/rpm", "var/lib/rpm"


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def write(system: System, kind: str, folder: str = OLD) -> Path:
    path = system.top / folder / kind
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = [rpm_blob(package) for package in PACKAGES]
    if kind == "rpmdb.sqlite":
        sqlite_database(path, PACKAGES)
    else:
        path.write_bytes(ndb_database(blobs) if kind == "Packages.db" else bdb_database(blobs))
    return path


def search(system: System, *paths: str) -> Answer:
    return rpm.search({path: path for path in paths}, system.sysroot)


def test_a_system_without_rpm_has_no_such_database(system: System) -> None:
    assert not search(system, "/usr/lib64/libtiny.so.1").present


@pytest.mark.parametrize("kind", ["rpmdb.sqlite", "Packages.db", "Packages"])
@pytest.mark.parametrize("folder", [NEW, OLD])
def test_the_package_with_the_path_owns_it(system: System, kind: str, folder: str) -> None:
    write(system, kind, folder)
    answer = search(system, "/usr/lib64/libtiny.so.1", "/opt/libtiny.so.1", "/usr/lib/libtiny.so.1")
    assert answer.present
    assert not answer.faults
    assert {path: owner.name for path, owner in answer.owners.items()} == {
        "/usr/lib64/libtiny.so.1": "libtiny",
        "/opt/libtiny.so.1": "libother",
    }


def test_the_newest_kind_counts_where_old_ones_were_left(system: System) -> None:
    write(system, "rpmdb.sqlite")
    (system.top / OLD / "Packages").write_bytes(b"left over")
    assert not search(system, "/usr/lib64/libtiny.so.1").faults


def test_nothing_is_written_beside_a_settled_database(system: System) -> None:
    path = write(system, "rpmdb.sqlite")
    (path.parent / "rpmdb.sqlite-wal").touch()
    before = sorted(path.parent.iterdir())
    assert search(system, "/usr/lib64/libtiny.so.1").owners
    assert sorted(path.parent.iterdir()) == before


def test_what_stands_in_the_journal_alone_counts(system: System) -> None:
    path = write(system, "rpmdb.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    package = Rpm(name="libnew", files=("/usr/lib64/libnew.so",))
    connection.execute("INSERT INTO Packages VALUES (9, ?)", (rpm_blob(package),))
    connection.execute("INSERT INTO Basenames VALUES ('libnew.so', 9, 0)")
    connection.commit()
    before = {place.name: (place.read_bytes(), place.stat().st_mtime_ns) for place in path.parent.iterdir()}
    try:
        assert search(system, "/usr/lib64/libnew.so").owners["/usr/lib64/libnew.so"].name == "libnew"
        # Neither into the database nor beside it is anything written.
        assert {place.name: (place.read_bytes(), place.stat().st_mtime_ns) for place in path.parent.iterdir()} == before
    finally:
        connection.close()


def test_nothing_is_written_beside_a_database_that_was_left_with_its_journal(system: System) -> None:
    path = write(system, "rpmdb.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("INSERT INTO Packages VALUES (9, ?)", (rpm_blob(Rpm(name="libnew")),))
    connection.execute("INSERT INTO Basenames VALUES ('libnew.so', 9, 0)")
    connection.commit()
    left = System(system.top / "left")
    for ending in ("", "-wal"):
        left.write(f"/{OLD}/rpmdb.sqlite{ending}", path.with_name(path.name + ending).read_bytes())
    connection.close()
    search(left, "/usr/lib64/libnew.so")
    assert sorted(place.name for place in (left.top / OLD).iterdir()) == ["rpmdb.sqlite", "rpmdb.sqlite-wal"]


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_database_without_end_is_not_copied_to_its_end(system: System, ending: str) -> None:
    path = write(system, "rpmdb.sqlite")
    path.with_name("rpmdb.sqlite-wal").write_bytes(b"journal")
    with path.with_name(f"rpmdb.sqlite{ending}").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rpm, "LARGEST", 1 << 20)
        answer = search(system, "/usr/lib64/libtiny.so.1")
    assert f"{path.name}{ending} more than 1048576 bytes" in answer.faults[0]


def test_names_that_are_no_utf8_harm_nobody(system: System) -> None:
    write(system, "rpmdb.sqlite")
    answer = search(system, "/usr/lib64/lib\udcff.so", "/usr/lib64/libtiny.so.1")
    assert list(answer.owners) == ["/usr/lib64/libtiny.so.1"]


def test_a_longer_name_is_another_one(system: System) -> None:
    blob = rpm_blob(Rpm(files=("/usr/lib64/mylibtiny.so.1",)))
    system.write(f"/{OLD}/Packages.db", ndb_database([blob]))
    answer = search(system, "/usr/lib64/libtiny.so.1")
    assert not answer.owners
    assert not answer.faults


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        ("rpmdb.sqlite", b"no database at all, but long enough to be looked at" * 40),
        ("rpmdb.sqlite", b""),
        ("Packages.db", b"no"),
        ("Packages", b"no"),
    ],
)
def test_a_damaged_database_is_a_fault(system: System, kind: str, contents: bytes) -> None:
    system.write(f"/{OLD}/{kind}", contents)
    answer = search(system, "/usr/lib64/libtiny.so.1")
    assert answer.present
    assert not answer.owners
    assert answer.faults[0].startswith(f"the rpm database /{OLD}/{kind} cannot be read: ")


def test_a_database_that_is_a_folder_is_a_fault(system: System) -> None:
    (system.top / OLD / "Packages").mkdir(parents=True)
    assert len(search(system, "/usr/lib64/libtiny.so.1").faults) == 1


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "pipe behind a link", "socket"])
def test_sqlite_never_opens_what_is_no_file(system: System, ending: str, kind: str) -> None:
    path = write(system, "rpmdb.sqlite")
    place = path.with_name(path.name + ending)
    place.unlink(missing_ok=True)
    NO_FILES[kind](place)
    answer = search(system, "/usr/lib64/libtiny.so.1")
    assert not answer.owners
    assert answer.faults == (
        f"the rpm database /{OLD}/rpmdb.sqlite cannot be read: `/{OLD}/rpmdb.sqlite{ending}` cannot be read",
    )


def test_a_damaged_package_does_not_hide_the_others(system: System) -> None:
    path = write(system, "rpmdb.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE Packages SET blob = x'00' WHERE hnum = 1")
    connection.execute("INSERT INTO Packages VALUES (7, 'text')")
    connection.execute("INSERT INTO Basenames VALUES ('libtiny.so.1', 7, 0)")
    connection.commit()
    connection.close()
    answer = search(system, "/usr/lib64/libtiny.so.1", "/opt/libtiny.so.1")
    assert list(answer.owners) == ["/usr/lib64/libtiny.so.1"]
    assert answer.faults == (f"the rpm database /{OLD}/rpmdb.sqlite has a damaged package: it is too short",)


def test_a_python_without_sqlite_says_so(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    write(system, "rpmdb.sqlite")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    (fault,) = search(system, "/usr/lib64/libtiny.so.1").faults
    assert fault.endswith("cannot be read: this Python has no module sqlite3")


@pytest.mark.parametrize("words", ["disk I/O error", "unable to open database file", "out of memory"])
def test_a_database_that_the_machine_does_not_read_is_a_fault(
    system: System, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    write(system, "rpmdb.sqlite")

    def connect(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError(words)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(SystemFault) as caught:
        search(system, "/usr/lib64/libtiny.so.1")
    assert words in caught.value.context[0]
