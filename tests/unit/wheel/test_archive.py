from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import threading
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import SystemFault, WheelError
from deloc8.wheel import archive as archive_module
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.names import parse_wheel_name
from kit.wheels import build_wheel
from kit.zips import DEFLATED, STORED, Entry, raw_deflate, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"
TEXT = b"".join(b"line %d\n" % number for number in range(5000))
FILES = {"demo/a.py": TEXT, "demo/b.so": b"\x7fELF" + bytes(5000), "demo/empty": b"", "demo/two": b"ab"}


def write(folder: Path, *entries: Entry) -> Path:
    path = folder / NAME
    path.write_bytes(raw_zip(wheel_entries(*entries)))
    return path


def test_what_a_wheel_says_of_itself(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, FILES, name="De.mo", version="1!2.0", modes={"demo/b.so": 0o755})
    with open_wheel(path) as archive:
        assert archive.path == path
        assert archive.name == parse_wheel_name(path.name)
        assert archive.dist_info == "De.mo-1!2.0.dist-info"
        assert archive.data_folder == "De.mo-1!2.0.data"
        assert [member.name for member in archive.members][:4] == list(FILES)
        assert "demo/a.py" in archive
        assert "demo" not in archive
        assert None not in archive
        member = archive.member("demo/b.so")
        assert (member.size, member.mode) == (5004, 0o100755)
        assert member is archive.members[1]
        with pytest.raises(WheelError) as caught:
            archive.member("demo/c.so")
        assert caught.value.code == "missing-member"


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_copy_has_the_same_bytes_to_the_last(tmp_path: Path, size: int) -> None:
    entry = Entry(name=b"demo/data", data=os.urandom(size), method=STORED)
    (tmp_path / "copy").mkdir()
    with open_wheel(write(tmp_path, entry)) as archive, open_wheel(write(tmp_path / "copy", entry)) as copy:
        member, twin = archive.member("demo/data"), copy.member("demo/data")
        assert archive.is_copied(member, copy)
        assert not archive.is_copied(archive.member(f"{INFO}/WHEEL")._replace(name="demo/gone"), copy)
        for other in (member._replace(crc=1), member._replace(size=1), member._replace(method=DEFLATED)):
            assert not archive.is_copied(other, copy)
        assert not archive.is_copied(member._replace(compressed_size=1), copy)
        with Path(copy.path).open("r+b") as file:  # both archives still tell the same checksum
            file.seek(twin.data_offset + size - 1)
            file.write(bytes([entry.data[-1] ^ 1]))
        assert not archive.is_copied(member, copy)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("name", FILES)
def test_contents(tmp_path: Path, name: str, method: int) -> None:
    with open_wheel(
        write(tmp_path, *(Entry(name=n.encode(), data=d, method=method) for n, d in FILES.items()))
    ) as archive:
        member = archive.member(name)
        data = FILES[name]
        assert bytes(archive.read(member)) == data
        assert b"".join(archive.pieces(member)) == data
        assert archive.peek(member) == data[:4]
        assert archive.peek(member, 3000) == data[:3000]
        raw = archive.raw(member)
        assert raw == (data if method == STORED else raw_deflate(data))
        assert b"".join(archive.iter_raw(member)) == raw


def test_peek_reads_a_few_hundred_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(100_000)
    with open_wheel(write(tmp_path, Entry(name=b"demo/random", data=b"\x7fELF" + data))) as archive:
        read = os.pread
        sizes: list[int] = []

        def counting(descriptor: int, size: int, offset: int) -> bytes:
            sizes.append(size)
            return read(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", counting)
        assert archive.peek(archive.member("demo/random")) == b"\x7fELF"
        assert sum(sizes) <= 320
        assert archive.peek(archive.member("demo/random"), 50_000) == b"\x7fELF" + data[:49_996]
        assert sum(sizes) < 150_000


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_large_members_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int) -> None:
    monkeypatch.setattr(archive_module, "LARGE_MEMBER", len(TEXT) - 1)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    entries = [Entry(name=n.encode(), data=d, method=method) for n, d in FILES.items()]
    with open_wheel(write(tmp_path, *entries)) as archive:
        large = archive.read(archive.member("demo/a.py"))
        assert not isinstance(archive.read(archive.member("demo/b.so")), mmap.mmap)
    assert isinstance(large, mmap.mmap)
    assert large[:] == TEXT  # though the archive is closed
    with pytest.raises(TypeError):
        large[0] = 1
    assert list((tmp_path / "temporary").iterdir()) == []


DAMAGED = {
    "checksum": Entry(name=b"demo/a", data=TEXT, both={"crc": 1}),
    "checksum, stored": Entry(name=b"demo/a", data=TEXT, method=STORED, both={"crc": 1}),
    "more than announced": Entry(name=b"demo/a", data=TEXT, both={"size": len(TEXT) - 1}),
    "less than announced": Entry(name=b"demo/a", data=TEXT, both={"size": len(TEXT) + 1}),
    "hidden bytes": Entry(name=b"demo/a", data=TEXT, stream=raw_deflate(TEXT) + b"hidden"),
    "cut": Entry(name=b"demo/a", data=TEXT, stream=raw_deflate(TEXT)[:-5]),
    "no stream": Entry(name=b"demo/a", data=TEXT, stream=b"\xff" * 2000),
}
TOLERATED_BY_ZIPFILE = [DAMAGED["less than announced"], DAMAGED["hidden bytes"]]


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["mapped", "whole"])
@pytest.mark.parametrize("entry", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Entry, large: int) -> None:
    monkeypatch.setattr(archive_module, "LARGE_MEMBER", large)
    with open_wheel(write(tmp_path, entry)) as archive:
        member = archive.member("demo/a")
        with pytest.raises(WheelError) as caught:
            archive.read(member)
        assert caught.value.code == "bad-member-data"
        assert "demo/a" in caught.value.message
        with pytest.raises(WheelError):
            for _ in archive.pieces(member):
                pass
    if entry not in TOLERATED_BY_ZIPFILE:
        with zipfile.ZipFile(tmp_path / NAME) as oracle, pytest.raises((zipfile.BadZipFile, zlib.error, EOFError)):
            oracle.read("demo/a")


def test_peek_into_a_damaged_member(tmp_path: Path) -> None:
    with open_wheel(write(tmp_path, DAMAGED["no stream"])) as archive, pytest.raises(WheelError) as caught:
        archive.peek(archive.member("demo/a"))
    assert caught.value.code == "bad-member-data"


def test_a_wheel_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, Entry(name=b"demo/a", data=TEXT))
    with open_wheel(path) as archive:
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(SystemFault) as caught:
            archive.read(archive.member("demo/a"))
    assert caught.value.code == "wheel-changed"


def test_reads_that_the_system_cuts_short_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, fill = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: read(fd, min(size, 7), offset))
    monkeypatch.setattr(os, "preadv", lambda fd, rooms, offset: fill(fd, [rooms[0][:7]], offset))
    with open_wheel(write(tmp_path, Entry(name=b"demo/a", data=TEXT))) as archive:
        assert bytes(archive.read(archive.member("demo/a"))) == TEXT


def test_threads_may_read_at_the_same_time(tmp_path: Path) -> None:
    contents = {f"demo/{index}": os.urandom(1000) * 20 for index in range(50)}
    wrong: list[str] = []
    with open_wheel(build_wheel(tmp_path, contents)) as archive:

        def read_all() -> None:
            wrong.extend(name for name, data in contents.items() if archive.read(archive.member(name)) != data)

        threads = [threading.Thread(target=read_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_closing_twice_harms_nobody(tmp_path: Path) -> None:
    archive = open_wheel(build_wheel(tmp_path, FILES))
    archive.close()
    other = os.open(os.devnull, os.O_RDONLY)  # takes the number of the closed file
    archive.close()
    os.fstat(other)
    os.close(other)
    with pytest.raises(SystemFault) as caught:
        archive.read(archive.members[0])
    assert "Bad file descriptor" in caught.value.context[0]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe-1-py3-none-any.whl")
    (tmp_path / "folder-1-py3-none-any.whl").mkdir()
    (tmp_path / "loop-1-py3-none-any.whl").symlink_to("loop-1-py3-none-any.whl")
    for name in ("pipe", "folder", "loop", "absent"):
        with pytest.raises(WheelError) as caught:
            open_wheel(tmp_path / f"{name}-1-py3-none-any.whl")
        assert caught.value.code == "unreadable-wheel"
        assert name in caught.value.message


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("call", ["open", "fstat"])
def test_a_wheel_that_the_machine_does_not_open_is_no_bad_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = build_wheel(tmp_path, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(SystemFault) as caught:
            open_wheel(path)
    assert caught.value.code == "read-failed"
    assert caught.value.context == (f"{path}: Input/output error (EIO)",)


@pytest.mark.parametrize("calls", [["pread"], ["pread", "preadv"], ["preadv"]])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_read_that_fails_is_no_damaged_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int, calls: list[str]
) -> None:
    entries = [Entry(name=n.encode(), data=d, method=method) for n, d in FILES.items()]
    with open_wheel(write(tmp_path, *entries)) as archive:
        for call in calls:
            monkeypatch.setattr(os, call, refuse)
        reads: dict[str, list[Callable[[], object]]] = {
            "pread": [lambda: archive.peek(archive.members[0]), lambda: archive.raw(archive.members[0])],
            "preadv": [lambda: archive._source.read_into(memoryview(bytearray(9)), 0)],
        }
        for read in (read for call in calls for read in reads[call]):
            with pytest.raises(SystemFault) as caught:
                read()
            assert caught.value.code == "read-failed"


def test_a_change_that_cannot_be_looked_for_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_wheel(build_wheel(tmp_path, FILES)) as archive:
        assert not archive.has_changed
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", refuse)
            with pytest.raises(SystemFault):
                _ = archive.has_changed


def test_a_file_that_cannot_be_closed_was_read_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = open_wheel(build_wheel(tmp_path, FILES))
    honest = os.close

    def fail(descriptor: int) -> None:
        honest(descriptor)
        refuse()

    monkeypatch.setattr(os, "close", fail)
    archive.close()
    archive.close()


def test_the_whole_file_comes_in_pieces(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, {"demo/random": os.urandom(600_000)})
    with open_wheel(path) as archive:
        pieces = list(archive.whole())
    assert len(pieces) > 1
    assert b"".join(pieces) == path.read_bytes()


def test_a_path_that_is_none_is_an_unreadable_wheel() -> None:
    with pytest.raises(WheelError) as caught:
        open_wheel("a\0b-1-py3-none-any.whl", name=parse_wheel_name("demo-1.0-py3-none-any.whl"))
    assert caught.value.code == "unreadable-wheel"


def test_the_name_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(WheelError) as caught:
        open_wheel(tmp_path / "demo.zip")
    assert caught.value.code == "bad-wheel-name"


def test_a_wheel_under_a_name_that_it_will_have(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, FILES).rename(tmp_path / "temporary.tmp")
    name = parse_wheel_name("demo-1.0-py3-none-any.whl")
    with open_wheel(path, name=name) as archive:
        assert archive.name is name


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["demo/a.py"], "missing-dist-info"),
        (["demo/a.py", "vendor/x.dist-info/WHEEL"], "missing-dist-info"),
        ([f"{INFO}/METADATA", f"{INFO}/RECORD"], "missing-wheel-file"),
        ([f"{INFO}/WHEEL", f"{INFO}/RECORD"], "missing-metadata"),
        ([f"{INFO}/WHEEL", f"{INFO}/METADATA"], "missing-record"),
        ([f"{INFO}/WHEEL", f"{INFO}/METADATA", f"{INFO}/sub/RECORD"], "missing-record"),
        ([f"{INFO}/WHEEL", "other-1.0.dist-info/WHEEL"], "several-dist-info"),
        (["other-1.0.dist-info/WHEEL"], "dist-info-mismatch"),
        (["demo.dist-info/WHEEL"], "dist-info-mismatch"),
    ],
)
def test_the_files_that_make_a_wheel(tmp_path: Path, names: list[str], code: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(raw_zip([Entry(name=name.encode()) for name in names]))
    with pytest.raises(WheelError) as caught:
        open_wheel(path)
    assert caught.value.code == code


@pytest.mark.parametrize("folder", ["Demo_pkg-1.0.dist-info", "demo.pkg-1.0.0.dist-info", "demo-pkg-1.0.dist-info"])
def test_other_spellings_of_the_name_are_its_equals(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "demo_pkg-1.0-py3-none-any.whl"
    path.write_bytes(raw_zip(wheel_entries(folder=folder)))
    with open_wheel(path) as archive:
        assert archive.dist_info == folder


def test_a_file_that_ends_like_the_folder_does_not_count(tmp_path: Path) -> None:
    with open_wheel(write(tmp_path, Entry(name=b"x.dist-info"), Entry(name=b"vendor/y.dist-info/z"))) as archive:
        assert archive.dist_info == INFO


def test_importing_the_archive_imports_little() -> None:
    heavy = "zipfile csv email tempfile concurrent.futures json packaging subprocess hashlib deflate"
    code = f"import sys, deloc8.wheel.archive; print(*[name for name in {heavy.split()} if name in sys.modules])"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ.get("PATH", "")}
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.split() == []
