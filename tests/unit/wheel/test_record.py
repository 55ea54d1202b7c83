from __future__ import annotations

import csv
import hashlib
import io
import mmap
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.errors import WheelError
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.record import (
    RecordRow,
    check_record,
    hash_members,
    hash_of,
    needs_no_hash,
    parse_record,
    read_record,
    render_record,
)
from kit.wheels import Record, build_wheel, record_hash

if TYPE_CHECKING:
    from pathlib import Path

INFO = "demo-1.0.dist-info"


def test_hashes_are_written_as_the_specification_says() -> None:
    # The digest of no bytes (FIPS 180-4), in URL-safe base64.
    assert hash_of(b"") == "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert hash_of(bytearray(b"abc")) == record_hash(b"abc")
    assert hash_of(b"", "sha512").startswith("sha512=z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-D")


ROWS = (
    RecordRow("demo/a.py", "sha256=abc", 12),
    RecordRow('demo/odd, "quoted".py', "sha512=def", 0),
    RecordRow("demo/é.py", "sha256=abc", None),
    RecordRow(f"{INFO}/RECORD", "", None),
)


def test_rows_survive_the_round_trip_and_csv_reads_them() -> None:
    text = render_record(ROWS)
    assert parse_record(text, "RECORD") == (ROWS, ())
    assert parse_record(bytearray(text), "RECORD") == (ROWS, ())
    columns = [[row.path, row.hash, "" if row.size is None else str(row.size)] for row in ROWS]
    assert list(csv.reader(io.StringIO(text.decode(), newline=""))) == columns


def test_line_endings_empty_lines_and_folders_are_forgiven() -> None:
    rows = parse_record(b"a,sha256=x,1\r\n\r\nb,,\nfolder/,,\nc,sha256=y,3", "RECORD").rows
    assert [row.path for row in rows] == ["a", "b", "folder/", "c"]


@pytest.mark.parametrize(
    ("text", "path", "digest", "said"),
    [
        (b"\xef\xbb\xbfa,sha256=x,1\n", "a", "sha256=x", ["byte order mark"]),
        (b"./a,sha256=x,1\n", "a", "sha256=x", ["begin with ./"]),
        (b"./a/b,,\n", "a/b", "", ["begin with ./"]),
        (b"a,sha256=b'x-_==',1\n", "a", "sha256=x-_==", ["bytes of Python"]),
        (b"\xef\xbb\xbf./a,sha512=b'x',\n./b,md5=b'y',\n", "a", "sha512=x", ["mark", "./", "bytes"]),
        (b".a,sha256=x,1\n", ".a", "sha256=x", []),
    ],
)
def test_what_older_tools_wrote_is_read_as_it_is_meant(text: bytes, path: str, digest: str, said: list[str]) -> None:
    """And written anew as the specification wants it."""
    rows, oddities = parse_record(text, f"{INFO}/RECORD")
    assert (rows[0].path, rows[0].hash) == (path, digest)
    assert [(found.code, found.severity) for found in oddities] == [("odd-record", Severity.WARNING)] * len(said)
    for found, words in zip(oddities, said, strict=True):
        assert words in found.message
    assert parse_record(render_record(rows), f"{INFO}/RECORD") == (rows, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"./,,\n", "empty"),
        (b"././a,,\n", "line 1 has a path"),
        (b"./../a,,\n", "climbs"),
        (b".//etc/passwd,,\n", "absolute"),
        (b"./a,,\na,,\n", "line 2 lists `a` again"),
        (b"a,sha256=b'x\x27,1\nb,sha256=b\x27y,2\n", "of other characters"),
        (b"a,\xef\xbb\xbfsha256=x,1\n", "of other characters"),
        (b"\xff,,\n", "UTF-8"),
        (b"a,b\n", "line 1 has 2 columns"),
        (b"a,,\nb,,,\n", "line 2 has 4 columns"),
        (b'"a\n', "line 1"),
        (b'"a"b,,\n', "line 1"),
        (b"/etc/passwd,sha256=x,1\n", "absolute"),
        (b"a,,\n../x,,\n", "line 2 has a path that climbs"),
        (b"a\\b,,\n", "backslash"),
        (b"a\x1b[0m,,\n", "control"),
        (b",,\n", "empty"),
        (b"a,,\na,,\n", "line 2 lists `a` again"),
        (b"a,sha256,1\n", "without the name"),
        (b'a,",\n],CS=",\n', "of other characters"),
        (b'a,"sha256=abc\n../../x,,",\n', "of other characters"),
        (b"a,=abc,\n", "of other characters"),
        (b"a,,one\n", "no number"),
        (b"a,,-1\n", "no number"),
        (b"a,," + b"9" * 5000 + b"\n", "no number"),
        ("a,,²\n".encode(), "no number"),
        (b"a" * 200_000 + b",,\n", "line"),
    ],
)
def test_a_bad_record_says_what_is_wrong(text: bytes, what: str) -> None:
    with pytest.raises(WheelError) as caught:
        parse_record(text, f"{INFO}/RECORD")
    assert caught.value.code == "bad-record"
    assert what in caught.value.context[0]
    assert INFO in caught.value.message
    assert caught.value.context[0].isprintable()


def test_a_giant_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deloc8.wheel.record.LARGEST_RECORD", 12)
    with pytest.raises(WheelError, match="RECORD") as caught:
        parse_record(b"a,sha256=x,1\n", "RECORD")
    assert "the limit is 12" in caught.value.context[0]
    assert len(parse_record(b"a,sha256=x,1", "RECORD").rows) == 1


def test_a_record_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deloc8.wheel.record.MOST_MEMBERS", 3)
    assert len(parse_record(b"a,,\nb,,\nc,,\n", "RECORD").rows) == 3
    with pytest.raises(WheelError) as caught:
        parse_record(b"a,,\nb,,\nc,,\nd,,\n", "RECORD")
    assert caught.value.code == "bad-record"
    assert caught.value.context == ("it has more than 3 rows",)


@pytest.mark.parametrize("place", [0, 7, 8, 9, 15, 20])
def test_a_byte_that_is_no_text_is_found_in_any_window(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr("deloc8.wheel.record._WINDOW", 8)
    text = "aé,,\nbé,,\ncé,,\ndé,,\n".encode()
    assert [row.path for row in parse_record(text, "RECORD").rows] == ["aé", "bé", "cé", "dé"]
    with pytest.raises(WheelError) as caught:
        parse_record(text[:place] + b"\xff" + text[place:], "RECORD")
    with pytest.raises(UnicodeDecodeError) as expected:
        (text[:place] + b"\xff" + text[place:]).decode()
    assert caught.value.context[0].endswith(f"at byte {expected.value.start}")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{INFO}/RECORD", True),
        (f"{INFO}/RECORD.jws", True),
        (f"{INFO}/RECORD.p7s", True),
        (f"{INFO}/WHEEL", False),
        (f"vendor/{INFO}/RECORD", False),
        ("demo/RECORD", False),
        ("RECORD", False),
    ],
)
def test_only_record_and_its_signatures_need_no_hash(path: str, expected: bool) -> None:  # noqa: FBT001  a parameter
    assert needs_no_hash(path) is expected


FILES = {"demo/a.py": b"a = 1\n", "demo/b.py": b"b = 2\n"}


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("good", []),
        ("wrong-hash", [("wrong-hash", "demo/a.py")]),
        ("wrong-size", [("wrong-size", "demo/a.py")]),
        ("unlisted", [("unlisted-member", "demo/a.py")]),
    ],
)
def test_differences_between_record_and_archive(tmp_path: Path, record: Record, found: list[tuple[str, str]]) -> None:
    with open_wheel(build_wheel(tmp_path, FILES, record=record)) as archive:
        rows = read_record(archive).rows
        differences = check_record(rows, archive.members, hash_members(archive, rows))
    assert [(difference.code, difference.subject) for difference in differences] == found
    assert all(difference.severity is Severity.ERROR for difference in differences)


def test_every_difference_is_told(tmp_path: Path) -> None:
    with open_wheel(build_wheel(tmp_path, {**FILES, f"{INFO}/RECORD.jws": b"{}", "demo/c.py": b"c"})) as archive:
        sha512 = "sha512=" + record_hash(b"")  # wrong, and not what it says it is
        rows = (
            RecordRow("demo/a.py", "md5=abc", 6),
            RecordRow("demo/b.py", "", 6),
            RecordRow("demo/c.py", sha512, None),
            RecordRow("demo/gone.py", "sha256=abc", 1),
            RecordRow(f"{INFO}/RECORD.p7s", "", None),
            RecordRow(f"{INFO}/RECORD", "sha256=abc", 1),
        )
        differences = check_record(rows, archive.members, hash_members(archive, rows))
    assert sorted((difference.code, difference.subject) for difference in differences) == [
        ("absent-member", "demo/gone.py"),
        ("missing-hash", "demo/b.py"),
        ("record-hash", f"{INFO}/RECORD"),
        ("unlisted-member", f"{INFO}/METADATA"),
        ("unlisted-member", f"{INFO}/WHEEL"),
        ("weak-hash", "demo/a.py"),
        ("wrong-hash", "demo/c.py"),
    ]


def test_mapped_contents_have_the_same_hash(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    place = tmp_path / "large"
    place.write_bytes(data)
    with place.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert hash_of(mapped) == record_hash(data)
        assert mapped[:] == data  # what was hashed can still be read


def test_known_hashes_are_not_computed_again(tmp_path: Path) -> None:
    with open_wheel(build_wheel(tmp_path, FILES)) as archive:
        rows = (RecordRow("demo/a.py", "sha256=", 1), RecordRow("demo/b.py", "sha512=", 1))
        hashes = hash_members(archive, rows, {"demo/a.py": "known", "demo/b.py": "known"})
    assert hashes["demo/a.py"] == "known"
    assert hashes["demo/b.py"] == hash_of(FILES["demo/b.py"], "sha512")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_all_hashes_of_the_specification_are_compared(tmp_path: Path, algorithm: str) -> None:
    with open_wheel(build_wheel(tmp_path, FILES)) as archive:
        rows = tuple(
            RecordRow(name, hash_of(data, algorithm) + "==", len(data))
            for name, data in FILES.items()  # padding is forgiven
        )
        members = [archive.member(name) for name in FILES]
        hashes = hash_members(archive, rows)
    assert hashes["demo/a.py"].startswith(f"{algorithm}=")
    assert check_record(rows, members, hashes) == ()
    assert len(hashlib.new(algorithm).digest()) * 8 == int(algorithm.removeprefix("sha"))


def test_hashes_that_are_not_known_are_not_compared(tmp_path: Path) -> None:
    with open_wheel(build_wheel(tmp_path, FILES, record="wrong-hash")) as archive:
        assert check_record(read_record(archive).rows, archive.members, {}) == ()


def test_messages_escape_what_a_terminal_would_obey() -> None:
    (difference,) = check_record([RecordRow("a\x1b[0m", "sha256=x", 1)], [], {})
    assert difference.message.isprintable()
    assert difference.subject == "a\\x1b[0m"
