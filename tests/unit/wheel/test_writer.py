from __future__ import annotations

import hashlib
import os
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import UsageError, WheelError
from deloc8.wheel import archive as archive_module
from deloc8.wheel import codec, writer
from deloc8.wheel.archive import WheelArchive, open_wheel
from deloc8.wheel.record import check_record, hash_members, read_record
from deloc8.wheel.writer import Changes, NewMember, WriteOptions, write_wheel
from deloc8.wheel.zipwriter import ZipWriter
from kit.wheels import DEFAULT_TIME, build_wheel, record_hash
from kit.zips import STORED, Entry, extra, raw_zip, streamed, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deloc8.wheel.zipformat import Member

NAME = "demo-1.0-cp311-cp311-linux_x86_64.whl"
INFO = "demo-1.0.dist-info"
TEXT = b"".join(b"line %d\n" % number for number in range(5000))
FILES = {
    "demo/__init__.py": b"import demo._core\n",
    f"{INFO}/entry_points.txt": b"[console_scripts]\n",  # metadata before code: the order that must not stay
    "demo/_core.so": b"\x7fELF" + TEXT,
    "demo/data.bin": os.urandom(5000),
    "other/x.py": b"",
    f"{INFO}/licenses/LICENSE": b"MIT\n",
}
NOTHING = Changes()
DEFAULTS = WriteOptions()


def constant(data: bytes) -> Callable[[], bytes]:
    return lambda: data


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return build_wheel(tmp_path / "in", FILES, modes={"demo/_core.so": 0o755})


def rewrite(
    source: Path, target: Path, changes: Changes = NOTHING, options: WriteOptions = DEFAULTS
) -> writer.WrittenWheel:
    """Write, and prove what holds of every written wheel."""
    with open_wheel(source) as archive:
        written = write_wheel(target, archive, changes, options)
    with zipfile.ZipFile(target) as oracle:
        assert oracle.testzip() is None
        entries = oracle.infolist()
        rows = {entry.filename: (record_hash(oracle.read(entry)), entry.file_size) for entry in entries}
        assert not any(entry.flag_bits & 8 or entry.is_dir() or entry.extra or entry.comment for entry in entries)
    *_, (record, *nothing) = written.rows
    assert (record, nothing, entries[-1].filename) == (f"{INFO}/RECORD", ["", None], f"{INFO}/RECORD")
    assert [row.path for row in written.rows] == [entry.filename for entry in entries]
    assert {row.path: (row.hash, row.size) for row in written.rows[:-1]} == {
        n: r for n, r in rows.items() if n != record
    }
    in_metadata = [entry.filename.startswith(INFO + "/") for entry in entries]
    assert in_metadata == sorted(in_metadata)
    assert written.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    with open_wheel(target) as archive:
        assert read_record(archive) == (written.rows, ())
        assert check_record(written.rows, archive.members, hash_members(archive, written.rows)) == ()
    return written


def test_unchanged_members_keep_their_bytes_modes_and_times(source: Path, tmp_path: Path) -> None:
    target = tmp_path / NAME
    written = rewrite(source, target)
    assert written.changed == (f"{INFO}/RECORD",)
    with open_wheel(source) as before, open_wheel(target) as after:
        for member in before.members:
            if member.name != f"{INFO}/RECORD":
                copy = after.member(member.name)
                assert copy[:7] == member[:7]
                assert after.raw(copy) == before.raw(member)
    with zipfile.ZipFile(target) as oracle:
        assert oracle.namelist() == [
            "demo/__init__.py",
            "demo/_core.so",
            "demo/data.bin",
            "other/x.py",
            f"{INFO}/METADATA",
            f"{INFO}/WHEEL",
            f"{INFO}/entry_points.txt",
            f"{INFO}/licenses/LICENSE",
            f"{INFO}/RECORD",
        ]
        assert oracle.getinfo("demo/_core.so").external_attr >> 16 == 0o100755
        assert {entry.date_time for entry in oracle.infolist()} == {DEFAULT_TIME}


def test_the_result_is_its_own_fixed_point(source: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / NAME, tmp_path / "in" / NAME.replace("1.0", "1.0.0")
    rewrite(source, once)
    rewrite(once, twice)
    assert once.read_bytes() == twice.read_bytes()


CHANGES = Changes(
    replaced={"demo/_core.so": constant(TEXT * 3), f"{INFO}/WHEEL": constant(b"Wheel-Version: 1.0\n")},
    added=(
        NewMember(name="demo.libs/libz.so.1", content=constant(TEXT), mode=0o755),
        NewMember(name="demo/_extra.so", content=constant(b"")),
        NewMember(name=f"{INFO}/sboms/deloc8.cdx.json", content=constant(b"{}")),
        NewMember(name=f"{INFO}/licenses/zlib.txt", content=constant(b"zlib\n")),
        NewMember(name="demo.libs/libé.so", content=lambda: memoryview(TEXT)),
    ),
    removed=frozenset({"demo/data.bin"}),
)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_changes(source: Path, tmp_path: Path, threads: int) -> None:
    target = tmp_path / NAME
    written = rewrite(source, target, CHANGES, WriteOptions(threads=threads))
    with zipfile.ZipFile(target) as oracle:
        names = oracle.namelist()
        assert names == [
            "demo/__init__.py",
            "demo/_core.so",
            "demo/_extra.so",
            "other/x.py",
            "demo.libs/libz.so.1",
            "demo.libs/libé.so",
            f"{INFO}/METADATA",
            f"{INFO}/WHEEL",
            f"{INFO}/entry_points.txt",
            f"{INFO}/licenses/LICENSE",
            f"{INFO}/licenses/zlib.txt",
            f"{INFO}/sboms/deloc8.cdx.json",
            f"{INFO}/RECORD",
        ]
        assert oracle.read("demo/_core.so") == TEXT * 3
        assert oracle.read("demo.libs/libé.so") == TEXT
        modes = {name: oracle.getinfo(name).external_attr >> 16 for name in names}
    assert modes["demo/_core.so"] == 0o100755
    assert modes["demo.libs/libz.so.1"] == 0o100755
    assert modes["demo/_extra.so"] == 0o100644
    untouched = {"demo/__init__.py", "other/x.py"} | {
        f"{INFO}/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")
    }
    assert written.changed == tuple(name for name in names if name not in untouched)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_bytes_do_not_depend_on_the_threads(source: Path, tmp_path: Path, level: int) -> None:
    results = set()
    for threads in (1, 2, 3, 8):
        written = rewrite(source, tmp_path / NAME, CHANGES, WriteOptions(threads=threads, level=level))
        results.add((written.sha256, written.rows, written.changed))
    assert len(results) == 1


@pytest.fixture
def zlib_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deflate", None)
    monkeypatch.setattr(codec, "_libdeflate", lambda: None)


@pytest.mark.usefixtures("zlib_only")
def test_a_large_member_is_compressed_by_all_threads_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    changes = Changes(
        replaced={"demo/_core.so": lambda: TEXT * 200, "demo/data.bin": lambda: os.urandom(0) + RANDOM},
    )
    results = set()
    for threads in (1, 2, 4):
        written = rewrite(source, tmp_path / NAME, changes, WriteOptions(level=1, threads=threads))
        results.add(written.sha256)
    assert len(results) == 1
    with open_wheel(tmp_path / NAME) as archive:
        assert archive.member("demo/_core.so").compressed_size < len(TEXT) * 200 / 3
        assert archive.member("demo/data.bin").method == STORED


RANDOM = os.urandom(codec.CHUNKED_ABOVE + 1)


def test_level_0_stores_changed_members_and_nothing_else(source: Path, tmp_path: Path) -> None:
    rewrite(source, tmp_path / NAME, CHANGES, WriteOptions(level=0))
    with open_wheel(tmp_path / NAME) as archive:
        stored = {member.name for member in archive.members if member.method == STORED}
        assert "demo/_core.so" in stored
        assert "demo/__init__.py" not in stored


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("work", [(1, 4000), (1, 1 << 30), (3, 4000), (3, 1 << 30)])
def test_all_members_are_compressed_anew_where_that_is_wanted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int, work: tuple[int, int]
) -> None:
    threads, large = work
    monkeypatch.setattr(archive_module, "LARGE_MEMBER", large)
    options = WriteOptions(level=level, all_members=True, threads=threads)
    written = rewrite(source, tmp_path / NAME, NOTHING, options)
    assert written.changed == (f"{INFO}/RECORD",)
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(tmp_path / NAME) as after:
        for entry in before.infolist():
            assert after.read(entry.filename) == before.read(entry) or entry.filename == f"{INFO}/RECORD"
        stored = {entry.filename for entry in after.infolist() if entry.compress_type == zipfile.ZIP_STORED}
        larger = {entry.filename for entry in after.infolist() if entry.compress_size > entry.file_size}
    assert not larger
    assert "demo/data.bin" in stored
    assert ("demo/_core.so" in stored) is (level == 0)
    assert (stored == {*FILES, *(f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD"))}) is (level == 0)


def test_members_that_were_stored_can_be_compressed(tmp_path: Path) -> None:
    """And those that another tool packed badly become smaller."""
    folder = tmp_path / "in"
    folder.mkdir()
    stored = rewrite(build_wheel(folder, FILES), tmp_path / NAME, NOTHING, WriteOptions(level=0, all_members=True))
    again = folder / "again"
    again.mkdir()
    rewrite(tmp_path / NAME, again / NAME, NOTHING, WriteOptions(level=9, all_members=True))
    with open_wheel(again / NAME) as archive:
        assert archive.member("demo/_core.so").compressed_size < len(TEXT) / 3
    assert stored.changed == (f"{INFO}/RECORD",)


def test_what_does_not_shrink_is_stored(source: Path, tmp_path: Path) -> None:
    data = os.urandom(3000)
    rewrite(source, tmp_path / NAME, Changes(replaced={"demo/_core.so": constant(data)}))
    with open_wheel(tmp_path / NAME) as archive:
        member = archive.member("demo/_core.so")
        assert (member.method, member.compressed_size) == (STORED, 3000)


@pytest.mark.parametrize(
    ("epoch", "date_time"),
    [
        (None, (2024, 2, 29, 12, 34, 56)),
        (0, (1980, 1, 1, 0, 0, 0)),
        (-(10**20), (1980, 1, 1, 0, 0, 0)),
        (315532802, (1980, 1, 1, 0, 0, 2)),
        (1700000000, (2023, 11, 14, 22, 13, 20)),
        (1700000001, (2023, 11, 14, 22, 13, 20)),
        (10**20, (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_times(source: Path, tmp_path: Path, epoch: int | None, date_time: tuple[int, ...]) -> None:
    rewrite(source, tmp_path / NAME, CHANGES, WriteOptions(source_date_epoch=epoch))
    with zipfile.ZipFile(tmp_path / NAME) as oracle:
        assert {entry.date_time for entry in oracle.infolist()} == {date_time}


def test_odd_sources_become_plain(tmp_path: Path) -> None:
    entries = wheel_entries(
        Entry(name=b"demo/", mode=0o40755),
        streamed(Entry(name=b"demo/streamed.py", data=TEXT)),
        Entry(name=b"demo/stored.py", data=TEXT, method=STORED),
        Entry(name=b"demo/nomode.py", data=b"x", mode=0),
        Entry(
            name="demo/é.py".encode(),
            flags=0x800,
            data=b"x",
            both={"extra": extra(0x7075, bytes(5) + "demo/é.py".encode())},
        ),
        Entry(name=b"demo/strange_time.py", data=b"x", both={"date": 0, "time": 0xFFFF}),
        Entry(name=f"{INFO}/RECORD.jws".encode(), data=b"{}"),
        Entry(name=f"{INFO}/RECORD.p7s".encode(), data=b"{}"),
    )
    source = tmp_path / "demo-1.0-py3-none-any.whl"
    source.write_bytes(raw_zip(entries))
    rewrite(source, tmp_path / "demo-2-py3-none-any.whl")
    with open_wheel(tmp_path / "demo-2-py3-none-any.whl") as archive:
        names = [member.name for member in archive.members]
        assert names[:5] == [f"demo/{name}.py" for name in ("streamed", "stored", "nomode", "é", "strange_time")]
        assert not any(name.endswith((".jws", ".p7s")) for name in names)
        assert archive.member("demo/nomode.py").mode == 0o100644
        assert archive.member("demo/stored.py").method == STORED
        assert archive.member("demo/strange_time.py").date_time == (1980, 0, 0, 31, 63, 62)


def test_large_unchanged_members_are_proven_piece_by_piece(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = rewrite(source, tmp_path / NAME)
    read = WheelArchive.read

    def small_only(self: WheelArchive, member: Member) -> codec.Buffer:
        assert member.size <= 1000
        return read(self, member)

    monkeypatch.setattr(archive_module, "LARGE_MEMBER", 1000)
    monkeypatch.setattr(WheelArchive, "read", small_only)
    with open_wheel(source) as archive:
        written = write_wheel(tmp_path / NAME, archive, NOTHING, WriteOptions())
    assert written == plain


@pytest.mark.parametrize("threads", [1, 4])
def test_only_so_many_contents_are_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    (tmp_path / "in").mkdir()
    files = {f"demo/{index:03}.so": TEXT for index in range(40)}
    source = build_wheel(tmp_path / "in", files)
    lock = threading.Lock()
    asked: list[str] = []
    most = 0
    add = ZipWriter.add

    def counting(self: ZipWriter, member: Member, data: object) -> None:
        nonlocal most
        with lock:
            most = max(most, len(asked))
            if member.name in asked:
                asked.remove(member.name)
        add(self, member, data)  # type: ignore[arg-type]  # handed on

    def content(name: str) -> Callable[[], bytes]:
        def ask() -> bytes:
            with lock:
                asked.append(name)
            return TEXT

        return ask

    monkeypatch.setattr(ZipWriter, "add", counting)
    rewrite(
        source,
        tmp_path / NAME,
        Changes(replaced={name: content(name) for name in files}),
        WriteOptions(threads=threads),
    )
    assert 1 <= most <= 3 * threads + 2

    most = 0
    monkeypatch.setattr(writer, "_BUDGET", len(TEXT))
    rewrite(
        source,
        tmp_path / NAME,
        Changes(replaced={name: content(name) for name in files}),
        WriteOptions(threads=threads),
    )
    assert 1 <= most <= 3


@pytest.mark.parametrize(("size", "shared"), [(1 << 16, False), (1 << 20, True)])
def test_threads_are_for_more_than_a_little(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, shared: bool
) -> None:
    monkeypatch.setattr(writer, "_LITTLE", 1 << 20)
    workers = set()

    def content() -> bytes:
        workers.add(threading.current_thread())
        return TEXT

    changes = Changes(added=tuple(NewMember(name=f"demo/{n}.so", content=content, size=size) for n in range(8)))
    rewrite(source, tmp_path / NAME, changes, WriteOptions(threads=3))
    assert (workers != {threading.main_thread()}) is shared


@pytest.mark.parametrize("threads", [1, 3])
def test_contents_are_asked_once(source: Path, tmp_path: Path, threads: int) -> None:
    asked = []

    def content() -> bytes:
        asked.append(1)
        return TEXT

    changes = Changes(replaced={"demo/_core.so": content}, added=(NewMember(name="demo/new", content=content),))
    rewrite(source, tmp_path / NAME, changes, WriteOptions(threads=threads))
    assert len(asked) == 2


def failing() -> bytes:
    raise WheelError("no", code="test")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("stands_already", [False, True])
def test_a_failure_leaves_nothing(source: Path, tmp_path: Path, threads: int, stands_already: bool) -> None:  # noqa: FBT001  a parameter
    target = tmp_path / NAME
    if stands_already:
        target.write_bytes(b"made by mkstemp")
    before = threading.active_count()
    changes = Changes(replaced={"demo/data.bin": failing, "demo/_core.so": constant(TEXT)})
    with open_wheel(source) as archive, pytest.raises(WheelError, match="no"):
        write_wheel(target, archive, changes, WriteOptions(threads=threads))
    assert not target.exists()
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [len(TEXT), len(TEXT) * 10], ids=["small", "in a thread"])
def test_a_damaged_unchanged_member_is_not_copied(tmp_path: Path, threads: int, size: int) -> None:
    source = tmp_path / "demo-1.0-py3-none-any.whl"
    data = (TEXT * 10)[:size]
    source.write_bytes(raw_zip(wheel_entries(Entry(name=b"demo/a", data=data, both={"crc": 1}))))
    target = tmp_path / NAME
    with open_wheel(source) as archive, pytest.raises(WheelError) as caught:
        write_wheel(target, archive, NOTHING, WriteOptions(threads=threads))
    assert caught.value.code == "bad-member-data"
    assert not target.exists()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (Changes(replaced={"demo/absent": failing}), "missing-member"),
        (Changes(removed=frozenset({"demo/absent"})), "missing-member"),
        (Changes(added=(NewMember(name="../x", content=failing),)), "unsafe-path"),
        (Changes(added=(NewMember(name="demo/\x1b[0m", content=failing),)), "unsafe-path"),
        (Changes(added=(NewMember(name="demo/_core.so", content=failing),)), "duplicate-member"),
        (Changes(added=(NewMember(name="demo/_CORE.so", content=failing),)), "case-conflict"),
        (Changes(added=(NewMember(name="demo", content=failing),)), "file-and-folder"),
    ],
)
def test_changes_that_cannot_be_are_refused_at_once(source: Path, tmp_path: Path, changes: Changes, code: str) -> None:
    with open_wheel(source) as archive, pytest.raises(WheelError) as caught:
        write_wheel(tmp_path / NAME, archive, changes, WriteOptions())
    assert caught.value.code == code
    assert caught.value.message.isprintable()
    assert not (tmp_path / NAME).exists()


def test_a_removed_member_makes_room_for_another(source: Path, tmp_path: Path) -> None:
    new = NewMember(name="demo/_CORE.so", content=constant(b"x"))
    changes = Changes(added=(new,), removed=frozenset({"demo/_core.so"}))
    assert "demo/_CORE.so" in rewrite(source, tmp_path / NAME, changes).changed


@pytest.mark.parametrize("kind", ["same", "hard link", "symbolic link"])
def test_the_source_is_never_the_target(source: Path, tmp_path: Path, kind: str) -> None:
    target = source if kind == "same" else tmp_path / NAME
    if kind == "hard link":
        target.hardlink_to(source)
    if kind == "symbolic link":
        target.symlink_to(source)
    before = source.read_bytes()
    with open_wheel(source) as archive, pytest.raises(UsageError) as caught:
        write_wheel(target, archive, NOTHING, WriteOptions())
    assert caught.value.code == "target-is-source"
    assert source.read_bytes() == before


def test_a_full_disk(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(_self: ZipWriter) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ZipWriter, "finish", full)
    with open_wheel(source) as archive, pytest.raises(OSError, match="No space left"):
        write_wheel(tmp_path / NAME, archive, NOTHING, WriteOptions())
    assert not (tmp_path / NAME).exists()
