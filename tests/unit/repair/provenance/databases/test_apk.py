from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.provenance.databases import apk
from kit.packages import apk_database
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = apk_database(
    {
        "musl": ("/lib/ld-musl-x86_64.so.1",),
        "other": ("/usr/share/libz.so.1", "/usr/lib/libzz.so.1"),
        "zlib": ("/usr/lib/libz.so.1", "/usr/lib/libz.so.1.3"),
    }
)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_system_without_apk_has_no_such_database(system: System) -> None:
    assert not apk.search({"/usr/lib/libz.so.1": "x"}, system.sysroot).present


@pytest.mark.parametrize("place", ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"])
def test_the_package_with_the_file_in_the_folder_owns_it(system: System, place: str) -> None:
    system.write(place, DATABASE)
    wanted = {"/usr/lib/libz.so.1": "z", "/lib/ld-musl-x86_64.so.1": "m", "/usr/lib/libq.so": "q"}
    answer = apk.search(wanted, system.sysroot)
    assert answer.present
    assert {file: (owner.name, owner.version, owner.arch) for file, owner in answer.owners.items()} == {
        "z": ("zlib", "1.2-r3", "x86_64"),
        "m": ("musl", "1.2-r3", "x86_64"),
    }


@pytest.mark.parametrize(
    "text",
    ["", "\nR:libz.so.1\n", "P:\nV:1\nF:usr/lib\nR:libz.so.1\n", "C:x\nF:usr/lib\nR:libz.so.1\n", "F:usr/lib\nR:li"],
)
def test_a_damaged_database_owns_nothing(system: System, text: str) -> None:
    system.write("/lib/apk/db/installed", text)
    answer = apk.search({"/usr/lib/libz.so.1": "z"}, system.sysroot)
    assert answer.present
    assert not answer.owners


def test_a_database_that_cannot_be_read_is_a_fault(system: System) -> None:
    (system.top / "lib/apk/db/installed").mkdir(parents=True)
    (fault,) = apk.search({"/usr/lib/libz.so.1": "z"}, system.sysroot).faults
    assert "`/lib/apk/db/installed` cannot be read" in fault
    assert "folder" in fault


def test_the_source_package_is_told(tmp_path: Path) -> None:
    """apk-installed's field `o`, the origin; it stands where the name stands, above the files."""
    system = System(tmp_path)
    text = apk_database({"libgcc": ("/usr/lib/libgcc_s.so.1",)}).replace("V:", "o:gcc\nV:")
    system.write("/lib/apk/db/installed", text)
    paths = ("/usr/lib/libgcc_s.so.1",)
    answer = apk.search({path: path for path in paths}, system.sysroot)
    assert answer.owners[paths[0]].origin == "gcc"


def test_a_database_in_which_all_is_one_folder_takes_linear_time(system: System) -> None:
    line = b"R:libz.so.1\n"
    system.write("/lib/apk/db/installed", b"P:a\nF:usr/lib\nR:x\nF:etc\n" + line * 300_000)
    start = process_time()
    assert not apk.search({"/usr/lib/libz.so.1": "x"}, system.sysroot).owners
    assert process_time() - start < 2


def test_a_folder_of_two_packages_is_looked_into_twice(system: System) -> None:
    database = apk_database({"a": ("/usr/lib/liba.so",), "b": ("/usr/lib/libb.so", "/lib/c"), "c": ("/usr/lib/libc",)})
    system.write("/lib/apk/db/installed", database)
    answer = apk.search({f"/usr/lib/{name}": name for name in ("liba.so", "libb.so", "libc", "c")}, system.sysroot)
    assert {file: owner.name for file, owner in answer.owners.items()} == {"liba.so": "a", "libb.so": "b", "libc": "c"}


def test_fields_behind_a_mebibyte_of_a_stanza_do_not_count(system: System) -> None:
    system.write("/lib/apk/db/installed", b"P:a\n" + b"D:x\n" * (1 << 18) + b"V:1\nF:usr/lib\nR:libz.so.1\n\n")
    owner = apk.search({"/usr/lib/libz.so.1": "x"}, system.sysroot).owners["x"]
    assert (owner.name, owner.version) == ("a", "")
