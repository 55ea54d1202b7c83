from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8 import files
from deloc8.files import NotAFileError, fill, is_pipe, open_file, read_file, read_given, stamp
from kit.command import uncovered
from kit.nofiles import NO_FILES, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READERS: dict[str, Callable[[Path], object]] = {
    "open_file": open_file,
    "read_file": lambda path: read_file(path, 10),
    "read_given": lambda path: read_given(path, 10),
}


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Fail where a test leaves descriptors open."""
    open_ones = Path("/proc/self/fd")
    before = len(list(open_ones.iterdir()))
    yield
    assert len(list(open_ones.iterdir())) == before


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_an_error_that_says_what_it_is(tmp_path: Path, reader: str, kind: str) -> None:
    place = tmp_path / "file"
    NO_FILES[kind](place)
    with pytest.raises(NotAFileError) as caught:
        READERS[reader](place)
    piped = reader == "read_given" and "pipe" in kind
    assert caught.value.strerror == ("it is a pipe that no process writes to" if piped else WORDS[kind])
    assert caught.value.errno == (errno.EISDIR if kind == "folder" else errno.EINVAL)


@pytest.mark.parametrize("kind", sorted(set(NO_FILES) - {"folder"}))
def test_what_is_no_file_is_not_even_opened(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Opening a watchdog starts it, and opening a tape rewinds it.
    NO_FILES[kind](tmp_path / "file")

    def refuse(path: object, flags: int) -> int:
        raise AssertionError(f"{path} opened with {flags}")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotAFileError):
        open_file(tmp_path / "file")


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    place.touch()
    real = os.stat

    def replace(path: object) -> os.stat_result:
        status = real(str(path))
        place.unlink()
        os.mkfifo(place)
        return status

    monkeypatch.setattr(os, "stat", replace)
    with pytest.raises(NotAFileError, match="named pipe"):
        open_file(place)
    monkeypatch.undo()


@pytest.mark.parametrize("reader", READERS)
def test_other_errors_are_those_of_the_system(tmp_path: Path, reader: str) -> None:
    with pytest.raises(FileNotFoundError):
        READERS[reader](tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        READERS[reader](tmp_path / "file/below")
    with pytest.raises(ValueError, match="null byte"):
        READERS[reader](tmp_path / "nul\0")


@pytest.mark.parametrize("reader", [read_file, read_given])
@pytest.mark.parametrize("size", [0, 9, 10])
def test_contents_up_to_the_bound_are_whole(tmp_path: Path, reader: Callable[[Path, int], bytes], size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    assert reader(tmp_path / "file", 10) == bytes(size)


@pytest.mark.parametrize("reader", [read_file, read_given])
def test_nothing_is_read_beyond_the_bound_and_one_byte(
    tmp_path: Path, reader: Callable[[Path, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    asked: list[int] = []
    real = os.read

    def count(descriptor: int, size: int) -> bytes:
        asked.append(size)
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", count)
    assert len(reader(tmp_path / "file", 1 << 20)) == (1 << 20) + 1
    assert sum(asked) == (1 << 20) + 1


def test_a_file_of_proc_is_read_though_it_tells_no_size() -> None:
    status = read_file("/proc/self/status", 1 << 20)
    assert Path("/proc/self/status").stat().st_size == 0
    assert f"Pid:\t{os.getpid()}\n".encode() in status


def test_a_link_to_a_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 10) == b"text"


# -- pipes that the user names


READING = """\
import sys
from deloc8.files import read_given
try:
    print(read_given(sys.argv[1], int(sys.argv[2])).decode(), end="")
except OSError as error:
    print("OSError", error.strerror)
"""


def given_by(source: str, most: int = 1 << 20) -> str:
    """What a process prints that reads the file of its first argument, as bash names it."""
    words = ["bash", "-c", f'exec "$0" -c "$1" {source} {most}', sys.executable, READING]
    ended = subprocess.run(words, capture_output=True, check=True, text=True, timeout=60, env=uncovered())
    return ended.stdout


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<(echo text)", "text\n"),
        ("<(echo one; sleep 0.5; echo two)", "one\ntwo\n"),
        ("/dev/stdin < <(echo text)", "text\n"),
        ("/dev/stdin <<< text", "text\n"),
        ("<(true)", "OSError it is a pipe that no process writes to\n"),
        ("/dev/stdin < /dev/null", "OSError it is a device\n"),
    ],
)
def test_the_pipes_of_a_shell_are_read(source: str, expected: str) -> None:
    assert given_by(source) == expected


def test_a_pipe_without_end_is_read_up_to_the_bound() -> None:
    assert given_by("<(yes)", 9) == "y\n" * 5


def test_a_pipe_through_which_nothing_comes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe")
    # Open for both, it has a writer, which does not write.
    writing = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(NotAFileError, match="through which nothing came for"):
            read_given(tmp_path / "pipe", 10)
    finally:
        os.close(writing)


def test_what_comes_late_through_a_pipe_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writing = os.open(tmp_path / "pipe", os.O_RDWR)

    def write() -> None:
        # The reader has found nothing and waits; it is told of the end when this one has closed the pipe.
        select.select([], [], [], 0.1)
        os.write(writing, b"late")
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    assert read_given(tmp_path / "pipe", 10) == b"late"
    thread.join()


def test_more_than_the_bound_in_a_pipe_stays_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    both = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        os.write(both, b"0123456789")
        assert read_given(tmp_path / "pipe", 4) == b"01234"
        assert os.read(both, 10) == b"56789"
    finally:
        os.close(both)


def test_which_paths_lead_to_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").touch()
    assert [is_pipe(tmp_path / name) for name in ("pipe", "link", "file", "none", "nul\0")] == [True, True] + [
        False
    ] * 3


def test_room_is_filled_as_far_as_the_file_goes(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(data)
    descriptor, _ = open_file(tmp_path / "file")
    try:
        room = bytearray(len(data))
        assert fill(memoryview(room), descriptor, 0) == len(data)
        assert room == data
        assert fill(memoryview(room), descriptor, 5) == len(data) - 5
        assert room[:-5] == data[5:]
        assert fill(memoryview(room), descriptor, len(data)) == 0
    finally:
        os.close(descriptor)


def test_a_stamp_notices_what_a_set_back_time_hides(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"1")
    before = place.stat()
    time.sleep(0.02)  # longer than the step of the clock of the file system
    place.write_bytes(b"2")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert place.stat().st_mtime_ns == before.st_mtime_ns
    assert stamp(place.stat()) != stamp(before)
