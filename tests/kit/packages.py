"""Package databases for tests, written after the descriptions of their formats, with the standard library alone."""

from __future__ import annotations

import posixpath
import sqlite3
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kit.system import System

INFO = "/var/lib/dpkg/info"


def dpkg_package(system: System, name: str, files: Sequence[str], stanza: str | None = None) -> None:
    """Install a package: its list, and its stanza appended to the status file; `name` may end with `:arch`."""
    system.write(f"{INFO}/{name}.list", "".join(f"{line}\n" for line in ("/.", *files)))
    bare, _, arch = name.partition(":")
    text = f"Package: {bare}\nStatus: install ok installed\nArchitecture: {arch or 'amd64'}\nVersion: 1.0-1\n"
    status = system.top / "var/lib/dpkg/status"
    before = status.read_text() if status.exists() else ""
    system.write("/var/lib/dpkg/status", f"{before}{text if stanza is None else stanza}\n")


def apk_database(packages: Mapping[str, Sequence[str]]) -> str:
    """The file `installed` of some packages, each with its files."""
    stanzas = []
    for name, files in packages.items():
        lines = ["C:Q1AAAA=", f"P:{name}", "V:1.2-r3", "A:x86_64", "L:MIT"]
        folders: dict[str, list[str]] = {}
        for file in files:
            folders.setdefault(posixpath.dirname(file)[1:], []).append(posixpath.basename(file))
        for folder, inside in folders.items():
            lines += [f"F:{folder}", *(line for file in inside for line in (f"R:{file}", "Z:Q1BBBB="))]
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas) + "\n"


@dataclass(frozen=True, kw_only=True)
class Rpm:
    """A package for an rpm database; `flags` holds the flags of those files that have any."""

    name: str = "libtiny"
    version: str = "1.5"
    release: str = "3.test"
    arch: str = "x86_64"
    epoch: int | None = None
    files: tuple[str, ...] = ("/usr/lib64/libtiny.so.1",)
    flags: Mapping[str, int] = field(default_factory=dict)


def rpm_entries(package: Rpm) -> list[tuple[int, int, int, bytes]]:
    """Tag, type, count and data of everything that a header says of a package."""
    texts = ((1000, package.name), (1001, package.version), (1002, package.release), (1022, package.arch))
    entries = [(tag, 6, 1, text.encode() + b"\0") for tag, text in texts]
    if package.epoch is not None:
        entries.append((1003, 4, 1, struct.pack(">I", package.epoch)))
    folders = list(dict.fromkeys(posixpath.dirname(file) + "/" for file in package.files))
    count = len(package.files)
    flags = [package.flags.get(file, 0) for file in package.files]
    indexes = [folders.index(posixpath.dirname(file) + "/") for file in package.files]
    entries += [
        (1037, 4, count, struct.pack(f">{count}I", *flags)),
        (1116, 4, count, struct.pack(f">{count}I", *indexes)),
        (1117, 8, count, b"".join(posixpath.basename(file).encode() + b"\0" for file in package.files)),
        (1118, 8, len(folders), b"".join(folder.encode() + b"\0" for folder in folders)),
    ]
    return entries


def rpm_header(entries: Iterable[tuple[int, int, int, bytes]]) -> bytes:
    """A header of tag, type, count and data each: index and store, without the magic number of package files."""
    index, store = b"", b""
    number = 0
    for tag, kind, count, data in entries:
        store += b"\0" * (-len(store) % 4)
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
        number += 1
    return struct.pack(">II", number, len(store)) + index + store


def rpm_blob(package: Rpm) -> bytes:
    """The header of a package."""
    return rpm_header(rpm_entries(package))


def sqlite_database(path: Path, packages: Sequence[Rpm]) -> None:
    """An rpmdb.sqlite with the two tables that say who owns a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.execute("CREATE TABLE Basenames (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
    for number, package in enumerate(packages, 1):
        connection.execute("INSERT INTO Packages VALUES (?, ?)", (number, rpm_blob(package)))
        rows = [(posixpath.basename(file), number, index) for index, file in enumerate(package.files)]
        connection.executemany("INSERT INTO Basenames VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()


def ndb_database(blobs: Sequence[bytes]) -> bytes:
    """A Packages.db: a page of slots, then the blobs in blocks of 16 bytes."""
    slots, body = b"", b""
    for number, blob in enumerate(blobs, 1):
        packed = struct.pack("<4sIII", b"BlbS", number, 0, len(blob)) + blob
        packed += b"\0" * (-(len(packed) + 12) % 16) + struct.pack("<II4s", 0, len(blob), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, (4096 + len(body)) // 16, len(packed) // 16)
        body += packed
    empty = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    head = struct.pack("<4sIIIIIII", b"RpmP", 0, 1, 1, len(blobs) + 1, 0, 0, 0) + slots
    return head + empty * ((4096 - len(head)) // 16) + body


BDB_PAGE = 4096


def bdb_page(order: str, kind: int, body: bytes, **numbers: int) -> bytes:
    """One page of a Berkeley DB file; `numbers`: following, entries, length."""
    following, entries, length = (numbers.get(key, 0) for key in ("following", "entries", "length"))
    head = struct.pack(f"{order}QIIIHHBB", 0, 0, 0, following, entries, length, 0, kind)
    return (head + body).ljust(BDB_PAGE, b"\0")


def bdb_database(blobs: Sequence[bytes], order: str = "<") -> bytes:
    """A Packages file: a hash table with one page of pairs; each value fills overflow pages of its own."""
    meta = bytearray(BDB_PAGE)
    struct.pack_into(f"{order}II", meta, 12, 0x061561, 9)
    struct.pack_into(f"{order}I", meta, 20, BDB_PAGE)
    meta[25] = 8
    pages: list[bytes] = []
    place, offsets, items = BDB_PAGE, [], {}
    room = BDB_PAGE - 26
    for number, blob in enumerate(blobs, 1):
        first = 2 + len(pages)
        parts = [blob[start : start + room] for start in range(0, len(blob), room)]
        for index, part in enumerate(parts):
            following = first + index + 1 if index + 1 < len(parts) else 0
            pages.append(bdb_page(order, 7, part, following=following, entries=1, length=len(part)))
        for item in (b"\1" + struct.pack(f"{order}I", number), struct.pack(f"{order}B3xII", 3, first, len(blob))):
            place -= len(item)
            offsets.append(place)
            items[place] = item
    table = bytearray(bdb_page(order, 13, struct.pack(f"{order}{len(offsets)}H", *offsets), entries=len(offsets)))
    for start, item in items.items():
        table[start : start + len(item)] = item
    return bytes(meta) + bytes(table) + b"".join(pages)
