"""Archives that are odd but sound, and archives that must be refused: every field of the headers is lied in once."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import WheelError
from deloc8.wheel.archive import ArchiveLimits, open_wheel
from kit.zips import STORED, Entry, Fields, Layout, extra, raw_zip, streamed, wheel_entries, zip64

if TYPE_CHECKING:
    from pathlib import Path

FULL = 0xFFFFFFFF
PLAIN = Entry(name=b"demo/a.py", data=b"print()\n" * 20)
EMPTY = Entry(name=b"demo/empty.py")
CRC, PACKED, SIZE = PLAIN.truth
WIDE = zip64(SIZE, PACKED)


def utf8_path(name: str) -> bytes:
    """The extra field of Info-ZIP that gives a name in UTF-8."""
    return extra(0x7075, b"\1" + bytes(4) + name.encode())


SOUND = {
    "plain": [PLAIN],
    "stored": [replace(PLAIN, method=STORED)],
    "empty": [EMPTY, replace(EMPTY, name=b"demo/other.py", method=STORED)],
    "descriptor": [streamed(PLAIN), streamed(EMPTY)],
    "descriptor of 64 bits": [streamed(PLAIN, wide=True), streamed(replace(EMPTY, name=b"b"), wide=True)],
    "descriptor without signature": [streamed(PLAIN, signature=False), streamed(EMPTY, signature=False)],
    "wide descriptor without signature": [streamed(PLAIN, wide=True, signature=False)],
    "descriptor, truth in the local header": [replace(streamed(PLAIN), local={})],
    "descriptor and ZIP64": [
        streamed(replace(PLAIN, local={"extra": zip64(0, 0)}), wide=True),
        streamed(replace(PLAIN, name=b"b", local={"compressed": FULL, "size": FULL, "extra": zip64(0, 0)}), wide=True),
    ],
    "ZIP64 in the local header only": [replace(PLAIN, local={"compressed": FULL, "size": FULL, "extra": WIDE})],
    "ZIP64 in both headers": [replace(PLAIN, both={"compressed": FULL, "size": FULL, "extra": WIDE})],
    "ZIP64 for one number": [replace(PLAIN, central={"size": FULL, "extra": zip64(SIZE)})],
    "ZIP64 for the offset": [replace(PLAIN, central={"offset": FULL, "extra": zip64(0)})],
    "ZIP64 without need": [replace(PLAIN, both={"extra": WIDE})],
    "ZIP64 empty": [replace(PLAIN, both={"extra": zip64()})],
    "extra fields": [replace(PLAIN, local={"extra": extra(0x5455, bytes(33))}, central={"extra": extra(0x5455, b"x")})],
    "UTF-8 path repeated": [replace(PLAIN, both={"extra": utf8_path("demo/a.py")})],
    "newest version": [replace(PLAIN, both={"version": 63})],
    "level bits": [replace(PLAIN, local={"flags": 6}, central={"flags": 2})],
    "comment of a member": [replace(PLAIN, central={"comment": b"hello"})],
    "mode unknown": [replace(PLAIN, mode=0)],
    "UTF-8 name": [replace(PLAIN, name="demo/é.py".encode(), flags=0x800)],
    "UTF-8 name, and the same once more": [
        replace(PLAIN, name="demo/é.py".encode(), flags=0x800, both={"extra": utf8_path("demo/é.py")})
    ],
    "UTF-8 that is ASCII": [replace(PLAIN, flags=0x800)],
    "folder": [Entry(name=b"demo/", mode=0o40755, method=STORED), PLAIN],
    "folder with 2 bytes of nothing": [Entry(name=b"demo/", mode=0o40755), PLAIN],
}


@pytest.mark.parametrize("entries", SOUND.values(), ids=SOUND.keys())
def test_odd_but_sound_archives_are_read_as_zipfile_reads_them(tmp_path: Path, entries: list[Entry]) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(raw_zip(wheel_entries(*entries)))
    with open_wheel(path) as archive, zipfile.ZipFile(path) as oracle:
        files = [entry for entry in oracle.infolist() if not entry.is_dir()]
        assert [member.name for member in archive.members] == [entry.filename for entry in files]
        for member, entry in zip(archive.members, files, strict=True):
            assert bytes(archive.read(member)) == oracle.read(entry)
            assert member.size == entry.file_size
            assert member.compressed_size == entry.compress_size
            assert member.crc == entry.CRC
            assert member.method == entry.compress_type
            assert member.mode == entry.external_attr >> 16
            assert member.date_time == entry.date_time
            assert member.header_offset == entry.header_offset


@pytest.mark.parametrize(
    "layout",
    [
        Layout(comment=b"signed, sealed"),
        Layout(end64={}),
        Layout(end64={}, end={"count": 0xFFFF, "here": 0xFFFF, "size": FULL, "offset": FULL}),
        Layout(end64={}, locator={"disks": 0}),
    ],
    ids=["comment", "ZIP64 without need", "ZIP64 alone knows", "no disks"],
)
def test_odd_but_sound_ends_are_read(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(raw_zip(wheel_entries(PLAIN), layout))
    with open_wheel(path) as archive, zipfile.ZipFile(path) as oracle:
        assert [member.name for member in archive.members] == oracle.namelist()


GOOD = raw_zip(wheel_entries(PLAIN))


def wheel(*entries: Entry, layout: Layout | None = None) -> bytes:
    return raw_zip(wheel_entries(*entries), layout or Layout())


def entry(name: str, **fields: int) -> Entry:
    return Entry(name=name.encode(), data=b"x", flags=0x800, **fields)  # type: ignore[arg-type]  # all of them numbers


_LAST = GOOD.rfind(b"PK\1\2") + 28
LAST_NAME_TOO_LONG = GOOD[:_LAST] + b"\xff\xff" + GOOD[_LAST + 2 :]

UNSOUND: dict[str, tuple[str, bytes]] = {
    "empty file": ("not-a-zip", b""),
    "text": ("not-a-zip", b"Hello, world\n" * 100),
    "gzip": ("not-a-zip", b"\x1f\x8b\x08" + bytes(100)),
    "cut in the directory": ("truncated-archive", GOOD[:-60]),
    "cut in the end record": ("truncated-archive", GOOD[:-1]),
    "cut in the members": ("truncated-archive", GOOD[:100]),
    "cut in the comment": ("truncated-archive", wheel(layout=Layout(comment=b"abc"))[:-1]),
    "directory reaches beyond the end": ("truncated-archive", wheel(layout=Layout(end={"size": 5000}))),
    "trailing data": ("trailing-data", GOOD + b"x"),
    "trailing archive": ("leading-data", GOOD + GOOD),
    "trailing data of 64 KiB": ("truncated-archive", GOOD + bytes(70000)),
    "leading data": ("leading-data", b"#!/bin/sh\n" + GOOD),
    "leading data with true offsets": ("leading-data", wheel(PLAIN, layout=Layout(prefix=b"#!/bin/sh\n"))),
    "gap between members": ("hidden-data", wheel(PLAIN, replace(PLAIN, name=b"b", before=b"secret"))),
    "gap before the directory": ("hidden-data", wheel(PLAIN, layout=Layout(before_directory=b"secret"))),
    "gap behind the directory": ("hidden-data", wheel(PLAIN, layout=Layout(behind_directory=b"secret"))),
    "end record names disk 1": ("multi-disk-archive", wheel(layout=Layout(end={"disk": 1}))),
    "directory on disk 1": ("multi-disk-archive", wheel(layout=Layout(end={"first_disk": 1}))),
    "records elsewhere": ("multi-disk-archive", wheel(layout=Layout(end={"here": 1}))),
    "member on disk 1": ("multi-disk-archive", wheel(replace(PLAIN, central={"disk": 1}))),
    "locator names disk 1": ("multi-disk-archive", wheel(layout=Layout(end64={}, locator={"disk": 1}))),
    "locator knows 2 disks": ("multi-disk-archive", wheel(layout=Layout(end64={}, locator={"disks": 2}))),
    "ZIP64 record names disk 1": ("multi-disk-archive", wheel(layout=Layout(end64={"disk": 1}))),
    "ZIP64 record: directory on disk 1": ("multi-disk-archive", wheel(layout=Layout(end64={"first_disk": 1}))),
    "ZIP64 record: records elsewhere": ("multi-disk-archive", wheel(layout=Layout(end64={"here": 1}))),
    "locator points elsewhere": ("bad-zip64", wheel(layout=Layout(end64={}, locator={"offset": 0}))),
    "locator points beyond the end": ("bad-zip64", wheel(layout=Layout(end64={}, locator={"offset": 1 << 60}))),
    "ZIP64 record is none": ("bad-zip64", wheel(layout=Layout(end64={"signature": b"PK\6\5"}))),
    "ZIP64 record has more fields": ("bad-zip64", wheel(layout=Layout(end64={"length": 99}))),
    "ZIP64 record: other count": ("bad-zip64", wheel(layout=Layout(end64={"count": 9, "here": 9}))),
    "ZIP64 record: other size": ("bad-zip64", wheel(layout=Layout(end64={"size": 9}))),
    "ZIP64 record: other offset": ("bad-zip64", wheel(layout=Layout(end64={"offset": 9}))),
    "count too large": ("bad-directory", wheel(layout=Layout(end={"count": 9, "here": 9}))),
    "count too small": ("bad-directory", wheel(layout=Layout(end={"count": 2, "here": 2}))),
    "size too small": ("hidden-data", wheel(layout=Layout(end={"size": 10}))),
    "record without signature": ("bad-directory", wheel(replace(PLAIN, central={"signature": b"PK\1\3"}))),
    "directory cut in a record": ("bad-directory", LAST_NAME_TOO_LONG),
    "encrypted": ("encrypted-member", wheel(replace(PLAIN, flags=1))),
    "strongly encrypted": ("encrypted-member", wheel(replace(PLAIN, flags=1 << 6))),
    "masked headers": ("encrypted-member", wheel(replace(PLAIN, flags=1 << 13))),
    "bzip2": ("unsupported-compression", wheel(replace(PLAIN, method=12))),
    "zstandard": ("unsupported-compression", wheel(replace(PLAIN, method=93))),
    "version of the future": ("unsupported-compression", wheel(replace(PLAIN, central={"version": 64}))),
    "patched data": ("unsupported-compression", wheel(replace(PLAIN, flags=1 << 5))),
    "stored with two sizes": ("bad-member-size", wheel(replace(PLAIN, method=STORED, both={"size": SIZE + 1}))),
    "more than deflate can do": ("bad-member-size", wheel(replace(PLAIN, both={"size": 1_000_000}))),
    "other name": ("header-mismatch", wheel(replace(PLAIN, local={"name": b"demo/b.py"}))),
    "longer name": ("header-mismatch", wheel(replace(PLAIN, local={"name": b"demo/a.pyc"}))),
    "other method": ("header-mismatch", wheel(replace(PLAIN, local={"method": STORED}))),
    "other flags": ("header-mismatch", wheel(replace(PLAIN, local={"flags": 0x800}))),
    "other checksum": ("header-mismatch", wheel(replace(PLAIN, local={"crc": 1}))),
    "other size": ("header-mismatch", wheel(replace(PLAIN, local={"size": SIZE + 1}))),
    "other compressed size": ("header-mismatch", wheel(replace(PLAIN, local={"compressed": PACKED - 1}))),
    "zeros without a descriptor": ("header-mismatch", wheel(replace(streamed(PLAIN), flags=0))),
    "no local header": ("header-mismatch", wheel(replace(PLAIN, local={"signature": b"PK\3\5"}))),
    "descriptor lies": ("header-mismatch", wheel(replace(streamed(PLAIN), behind=b"PK\7\10" + bytes(12)))),
    "descriptor missing": ("header-mismatch", wheel(replace(streamed(PLAIN), behind=b""))),
    "descriptor cut by the directory": (
        "header-mismatch",
        raw_zip([*wheel_entries(), replace(streamed(PLAIN), behind=b"PK\7\10")]),
    ),
    "flag of UTF-8 in the directory alone": ("header-mismatch", wheel(replace(PLAIN, central={"flags": 0x800}))),
    "two names": ("header-mismatch", wheel(replace(PLAIN, both={"extra": utf8_path("demo/b.py")}))),
    "two names, one before the member": (
        "header-mismatch",
        wheel(replace(PLAIN, local={"extra": utf8_path("demo/b.py")})),
    ),
    "two names, one in the directory": (
        "header-mismatch",
        wheel(replace(PLAIN, central={"extra": utf8_path("demo/b.py")})),
    ),
    "two names, one with another checksum": (
        "header-mismatch",
        wheel(replace(PLAIN, both={"extra": extra(0x7075, bytes(5) + b"demo/b.py")})),
    ),
    "two names, one empty": ("header-mismatch", wheel(replace(PLAIN, both={"extra": utf8_path("")}))),
    "name of code page 437": ("ambiguous-name", wheel(replace(PLAIN, name=b"demo/\x82.py"))),
    "UTF-8 that is not marked": ("ambiguous-name", wheel(replace(PLAIN, name="demo/é.py".encode()))),
    "neither of both": ("ambiguous-name", wheel(replace(PLAIN, name=b"demo/\xff.py"))),
    "code page 437 with its name in UTF-8": (
        "ambiguous-name",
        wheel(replace(PLAIN, name=b"demo/\x82.py", both={"extra": utf8_path("demo/é.py")})),
    ),
    "folder of code page 437": ("ambiguous-name", wheel(Entry(name=b"dem\x82/", mode=0o40755, method=STORED))),
    "longer than UTF-8 allows": ("unsafe-path", wheel(Entry(name=b"demo/\xc0\xaf.py", flags=0x800))),
    "half of a pair of UTF-16": ("unsafe-path", wheel(Entry(name=b"demo/\xed\xa0\x80.py", flags=0x800))),
    "damaged extra field": ("bad-header", wheel(replace(PLAIN, both={"extra": b"\1\0\x10\0"}))),
    "odd bytes among extra fields": ("bad-header", wheel(replace(PLAIN, local={"extra": b"\1"}))),
    "ZIP64 field of odd length": ("bad-zip64", wheel(replace(PLAIN, both={"extra": extra(1, bytes(7))}))),
    "two ZIP64 fields": ("bad-zip64", wheel(replace(PLAIN, both={"extra": WIDE + WIDE}))),
    "ZIP64 field missing": ("bad-zip64", wheel(replace(PLAIN, central={"size": FULL}))),
    "ZIP64 field too short": (
        "bad-zip64",
        wheel(replace(PLAIN, central={"size": FULL, "compressed": FULL, "extra": zip64(SIZE)})),
    ),
    "ZIP64 field too long": ("bad-zip64", wheel(replace(PLAIN, central={"size": FULL, "extra": WIDE}))),
    "ZIP64 field contradicts": ("bad-zip64", wheel(replace(PLAIN, central={"extra": zip64(SIZE + 1)}))),
    "ZIP64 size lies": (
        "header-mismatch",
        wheel(replace(PLAIN, local={"size": FULL, "compressed": FULL, "extra": zip64(SIZE + 1, PACKED)})),
    ),
    "ZIP64 sizes beyond the end": (
        "overlapping-members",
        wheel(replace(PLAIN, both={"size": FULL, "compressed": FULL, "extra": zip64(1 << 40, 1 << 40)})),
    ),
    "two members in one place": (
        "overlapping-members",
        wheel(PLAIN, replace(PLAIN, before=b"", central={"offset": 0})),
    ),
    "member inside another": (
        "overlapping-members",
        wheel(
            Entry(name=b"outer", data=raw_zip([PLAIN]), method=STORED),
            replace(PLAIN, central={"offset": 30 + len(b"outer")}),
        ),
    ),
    "member reaches into the directory": ("overlapping-members", wheel(replace(PLAIN, both={"compressed": 5000}))),
    "member begins in the directory": ("overlapping-members", wheel(replace(PLAIN, central={"offset": 570}))),
    "member begins beyond the end": ("overlapping-members", wheel(replace(PLAIN, central={"offset": FULL - 1}))),
    "name that is no UTF-8": ("unsafe-path", wheel(Entry(name=b"demo/\xff.py", flags=0x800))),
    "path that climbs": ("unsafe-path", wheel(entry("../../etc/passwd"))),
    "path that climbs later": ("unsafe-path", wheel(entry("demo/../../x"))),
    "absolute path": ("unsafe-path", wheel(entry("/etc/passwd"))),
    "backslash": ("unsafe-path", wheel(entry("demo\\a.py"))),
    "drive": ("unsafe-path", wheel(entry("C:demo/a.py"))),
    "NUL": ("unsafe-path", wheel(entry("demo/a.py\0.txt"))),
    "newline": ("unsafe-path", wheel(entry("demo/a\n.py"))),
    "terminal escape": ("unsafe-path", wheel(entry("demo/\x1b[31m.py"))),
    "empty name": ("unsafe-path", wheel(entry(""))),
    "dot": ("unsafe-path", wheel(entry("./demo/a.py"))),
    "empty part": ("unsafe-path", wheel(entry("demo//a.py"))),
    "folder that climbs": ("unsafe-path", wheel(Entry(name=b"../", mode=0o40755))),
    "folder that is the root": ("unsafe-path", wheel(Entry(name=b"/", mode=0o40755))),
    "symbolic link": ("symlink-member", wheel(entry("demo/link", mode=0o120777))),
    "symbolic link as a folder": ("symlink-member", wheel(Entry(name=b"demo/", mode=0o120777))),
    "device": ("special-member", wheel(entry("demo/null", mode=0o20666))),
    "named pipe": ("special-member", wheel(entry("demo/pipe", mode=0o10666))),
    "file with the mode of a folder": ("special-member", wheel(entry("demo/a", mode=0o40755))),
    "folder with the mode of a file": ("special-member", wheel(Entry(name=b"demo/", mode=0o100644))),
    "file with the attribute of a folder": ("special-member", wheel(replace(PLAIN, central={"attributes": 0x10}))),
    "folder with contents": ("special-member", wheel(Entry(name=b"demo/", data=b"x", mode=0o40755))),
    "duplicate": ("duplicate-member", wheel(PLAIN, PLAIN)),
    "duplicate of one letter": ("duplicate-member", wheel(entry("a"), entry("a"))),
    "duplicate folder": ("duplicate-member", wheel(*[Entry(name=b"demo/", mode=0o40755)] * 2)),
    "names that differ by case": ("case-conflict", wheel(entry("demo/a.py"), entry("Demo/A.py"))),
    "file that is a folder": ("file-and-folder", wheel(entry("demo"), PLAIN)),
    "file that is a folder, by case": ("file-and-folder", wheel(entry("DEMO"), PLAIN)),
    "file that is a folder's entry": ("file-and-folder", wheel(entry("a"), Entry(name=b"a/", mode=0o40755))),
    "file that is above a folder's entry": ("file-and-folder", wheel(entry("a"), Entry(name=b"a/b/", mode=0o40755))),
}


@pytest.mark.parametrize(("code", "data"), UNSOUND.values(), ids=UNSOUND.keys())
def test_unsound_archives_are_refused_with_one_error(tmp_path: Path, code: str, data: bytes) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(data)
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  counted, not walked
    with pytest.raises(WheelError) as caught:
        open_wheel(path)
    assert caught.value.code == code, caught.value.message
    assert "demo-1.0-py3-none-any.whl" in caught.value.message
    assert all(line.isprintable() for line in (caught.value.message, *caught.value.context, *caught.value.hints))
    assert len(os.listdir("/proc/self/fd")) == open_files  # noqa: PTH208  counted, not walked
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_wheel_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    for length in range(len(GOOD)):
        path.write_bytes(GOOD[:length])
        with pytest.raises(WheelError) as caught:
            open_wheel(path)
        assert caught.value.code in {"not-a-zip", "truncated-archive"}, length


BOMB = [Entry(name=f"demo/{index}".encode(), data=bytes(300_000)) for index in range(4)]


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("too-many-members", ArchiveLimits(members=6)),
        ("too-many-members", ArchiveLimits(directory=100)),
        ("too-many-members", ArchiveLimits(folders=1)),
        ("compression-bomb", ArchiveLimits(total=1_200_000)),
        ("compression-bomb", ArchiveLimits(ratio=100, ratio_from=1_200_000)),
    ],
)
def test_archives_beyond_the_limits_are_refused(tmp_path: Path, code: str, limits: ArchiveLimits) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(wheel(*BOMB))
    with pytest.raises(WheelError) as caught:
        open_wheel(path, limits)
    assert caught.value.code == code


def test_archives_within_the_limits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(wheel(*BOMB))
    limits = ArchiveLimits(members=7, directory=1000, folders=2, total=1_300_000, ratio=1000, ratio_from=0)
    with open_wheel(path, limits) as archive:
        assert len(archive.members) == 7


def test_a_million_members_are_refused_before_the_directory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(
        wheel(layout=Layout(end64={"count": 10**6 + 1, "here": 10**6 + 1}, end={"count": 0xFFFF, "here": 0xFFFF}))
    )
    with pytest.raises(WheelError) as caught:
        open_wheel(path)
    assert caught.value.code == "too-many-members"


def test_folders_that_are_entries_of_their_own_count(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(wheel(Entry(name=b"a/", mode=0o40755), Entry(name=b"a/b/", mode=0o40755)))
    with open_wheel(path, ArchiveLimits(folders=3)) as archive:
        assert len(archive.members) == 3
    with pytest.raises(WheelError) as caught:
        open_wheel(path, ArchiveLimits(folders=2))
    assert caught.value.code == "too-many-members"


@pytest.mark.parametrize(
    ("file", "code", "limit"),
    [
        ("WHEEL", "bad-wheel-metadata", 1 << 20),
        ("METADATA", "bad-metadata", 1 << 20),
        ("RECORD", "bad-record", 16 << 20),
    ],
)
def test_giant_files_of_metadata_are_refused_before_they_are_unpacked(
    tmp_path: Path, file: str, code: str, limit: int
) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    for size in (limit, limit + 1):
        entries = wheel_entries()
        place = next(n for n, entry in enumerate(entries) if entry.name.endswith(file.encode()))
        # The stream is too short for what it announces: whoever unpacked it would find that out.
        stream = bytes(limit // 1000)
        entries[place] = Entry(name=entries[place].name, stream=stream, both={"size": size})
        path.write_bytes(raw_zip(entries))
        if size == limit:
            with open_wheel(path) as archive:
                assert archive.member(f"{archive.dist_info}/{file}").size == limit
        else:
            with pytest.raises(WheelError, match=f"{file} of {size} bytes; the limit is {limit}") as caught:
                open_wheel(path)
            assert caught.value.code == code


def test_a_real_bomb_is_refused_by_default(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    gigabyte: Fields = {"size": 1 << 30}
    bomb = [Entry(name=name, stream=bytes(1_100_000), both=gigabyte) for name in (b"one", b"two")]
    path.write_bytes(wheel(*bomb))
    with pytest.raises(WheelError) as caught:
        open_wheel(path)
    assert caught.value.code == "compression-bomb"


def test_the_oracle_reads_the_good_wheel(tmp_path: Path) -> None:
    # All refusals above start from this archive: it must be beyond doubt.
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(GOOD)
    with zipfile.ZipFile(path) as oracle:
        assert oracle.testzip() is None
    open_wheel(path).close()
