"""Whatever a wheel holds: what we accept, zipfile reads alike; what we refuse, we refuse with one WheelError."""

from __future__ import annotations

import csv
import io
import tempfile
import time
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.tags import parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from deloc8.errors import WheelError
from deloc8.wheel import codec
from deloc8.wheel.archive import ArchiveLimits, open_wheel
from deloc8.wheel.metadata import parse_core_metadata, parse_wheel_metadata, retag
from deloc8.wheel.names import normalize_name, parse_wheel_name
from deloc8.wheel.paths import collision, path_fault
from deloc8.wheel.record import RecordRow, check_record, hash_members, parse_record, read_record, render_record
from deloc8.wheel.writer import Changes, NewMember, WriteOptions, write_wheel
from kit.wheels import build_wheel
from kit.zips import STORED, Entry, Layout, raw_zip, streamed, wheel_entries, zip64

if TYPE_CHECKING:
    from collections.abc import Iterator

INFO = "demo-1.0.dist-info"


def check_error(error: WheelError, code: str) -> None:
    assert error.code == code
    assert all(line.isprintable() for line in (error.message, *error.context, *error.hints))


# File names: the words of real ones, and letters that make trouble.
WORDS = st.text("aZ_.09+!é", max_size=6)
TAG = st.sampled_from(["py2", "py3", "cp311", "none", "abi3", "any", "linux_x86_64"])
TAGS = st.lists(TAG, min_size=1, max_size=3).map(".".join)
ODD_TAGS = st.text("aZ_.09", max_size=6)  # packaging takes any character
NAMES = st.tuples(
    st.one_of(WORDS, st.sampled_from(["numpy", "Foo.Bar_baz"])),
    st.one_of(WORDS, st.sampled_from(["1.0", "1!2.0rc1.post1.dev2+local.1"])),
    st.one_of(st.just(()), st.tuples(st.text("019ab._", min_size=1, max_size=3))),
    st.one_of(st.tuples(TAGS, TAGS, TAGS), st.tuples(ODD_TAGS, ODD_TAGS, ODD_TAGS)),
).map(lambda parts: "-".join((*parts[:2], *parts[2], *parts[3])) + ".whl")


@given(NAMES)
@example("a-1-py3-none-any.whl")
def test_names_that_packaging_reads_are_read_alike(filename: str) -> None:
    try:
        distribution, _, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return
    if not filename.isascii():
        return  # packaging takes digits of any script in build tags
    name = parse_wheel_name(filename)
    assert normalize_name(name.distribution) == canonicalize_name(name.distribution) == distribution
    assert {str(tag) for tag in tags} == {tag.lower() for tag in name.tags}
    assert (f"{build[0]}{build[1]}" if build else "").lstrip("0") == name.build.lstrip("0")
    assert name.filename == filename


@given(st.one_of(NAMES, st.text().map(lambda text: text + ".whl"), st.text()))
def test_any_name_is_read_or_refused(filename: str) -> None:
    try:
        name = parse_wheel_name(filename)
    except WheelError as error:
        check_error(error, "bad-wheel-name")
        return
    assert name.filename == filename
    assert parse_wheel_name(name.filename) == name
    for tag in name.tags:
        assert {str(one) for one in parse_tag(tag)} == {tag.lower()}


@given(st.text("ab/.\\:C\n\0é", max_size=12))
def test_harmless_paths_stay_below_their_folder(path: str) -> None:
    if path_fault(path) is None:
        base = Path("/base/folder")
        assert (base / path).parts[: len(base.parts)] == base.parts
        assert ".." not in Path(path).parts
        assert str(Path(path)) == path
        assert path.isprintable()


@given(st.lists(st.text("aAb/", min_size=1, max_size=5).filter(lambda path: path_fault(path) is None), max_size=6))
def test_paths_without_a_collision_can_all_be_created(paths: list[str]) -> None:
    found = collision(paths, ())
    with tempfile.TemporaryDirectory() as folder:
        made = True
        for path in paths:
            target = Path(folder, path.lower())  # a file system that knows no case
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch(exist_ok=False)
            except OSError:
                made = False
    assert made == (found is None)


ROW_PATHS = st.text(max_size=20).filter(lambda path: path_fault(path) is None and path.isprintable())
ROWS = st.lists(
    st.builds(RecordRow, ROW_PATHS, st.one_of(st.just(""), st.just("sha256=abc")), st.none() | st.integers(0, 2**60)),
    unique_by=lambda row: row.path,
)


@given(ROWS)
def test_rows_survive_the_round_trip(rows: list[RecordRow]) -> None:
    text = render_record(rows)
    assert parse_record(text, "RECORD") == (tuple(rows), ())
    read = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert [columns[0] for columns in read] == [row.path for row in rows]


@given(st.one_of(st.binary(), st.text('a,"\n\r=0/.').map(str.encode)))
def test_any_record_is_read_or_refused(text: bytes) -> None:
    try:
        rows = parse_record(text, "RECORD").rows
    except WheelError as error:
        check_error(error, "bad-record")
    else:
        assert parse_record(render_record(rows), "RECORD") == (rows, ())


LINES = st.sampled_from(
    [
        "Wheel-Version: 1.0", "Wheel-Version: 2.0", "Tag: py3-none-any", "Tag: py2.py3-none-any", "Tag: x",
        "tag:a-b-c", "Root-Is-Purelib: true", "root-is-purelib: FALSE", "Generator: x", "Build: 1", "", " folded",
        "nonsense", "Tag:",
    ]
)  # fmt: skip
NEW_TAGS = ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64")


@given(st.one_of(st.binary(), st.lists(LINES).map(lambda lines: "\n".join(("Wheel-Version: 1.0", *lines)).encode())))
def test_any_wheel_file_is_read_and_retagged_or_refused(text: bytes) -> None:
    try:
        metadata = parse_wheel_metadata(text)
    except WheelError as error:
        check_error(error, "bad-wheel-metadata")
        return
    new = retag(metadata, NEW_TAGS, platform_specific=True)
    again = parse_wheel_metadata(new)
    assert again.tags == NEW_TAGS
    assert new.lower().count(b"root-is-purelib: false\n") == 1
    assert not again.root_is_purelib
    others = [field for field in metadata.fields if field[0].lower() not in {"tag", "root-is-purelib"}]
    assert [field for field in again.fields if field[0] not in {"Tag", "Root-Is-Purelib"}] == others
    assert retag(again, NEW_TAGS, platform_specific=True) == new


@given(st.one_of(st.binary(), st.text("MetadataVersionNm: -1\n").map(str.encode)))
def test_any_metadata_is_read_or_refused(text: bytes) -> None:
    try:
        parse_core_metadata(text)
    except WheelError as error:
        check_error(error, "bad-metadata")


@contextmanager
def no_libdeflate() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_libdeflate", lambda: None)
        yield


def outcome(raw: bytes, size: int, crc: int) -> bytes | None:
    try:
        framed = bytearray(b"".join((bytes(codec.HEADER), raw, bytes(codec.FOOTER))))
        return bytes(codec.decompress(framed, size, crc))
    except codec.StreamError:
        return None


@given(st.binary(max_size=2000), st.integers(1, 9), st.data())
def test_both_decoders_accept_the_same_streams(data: bytes, level: int, draw: st.DataObject) -> None:
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
    raw = bytearray(encoder.compress(data) + encoder.flush())
    for _ in range(draw.draw(st.integers(0, 2))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] ^= draw.draw(st.integers(1, 255))
    raw += draw.draw(st.sampled_from([b"", b"", b"\0", b"hidden"]))
    size = max(0, len(data) + draw.draw(st.sampled_from([0, 0, 0, -1, 1])))
    decoder = zlib.decompressobj(-15)
    try:
        found = decoder.decompress(bytes(raw))
        sound = decoder.eof and not decoder.unused_data and len(found) == size
    except zlib.error:
        found, sound = b"", False
    crc = zlib.crc32(found)
    expected = found if sound else None
    assert outcome(bytes(raw), size, crc) == expected
    with no_libdeflate():
        assert outcome(bytes(raw), size, crc) == expected
    assert outcome(bytes(raw), size, crc ^ 1) is None


@given(st.binary(max_size=100_000), st.integers(1, 9), st.integers(1, 5000))
def test_chunks_are_a_stream(data: bytes, level: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "CHUNK", max(chunk, len(data) // 50 + 1))
        raw = b"".join(codec.compress_chunk(data, start, level) for start in range(0, len(data), codec.CHUNK))
    if data:
        assert zlib.decompress(raw, -15) == data


TEXT = b"print('hello')\n" * 30
PLAIN = Entry(name=b"demo/plain.py", data=TEXT)
SIZES = {"compressed": 0xFFFFFFFF, "size": 0xFFFFFFFF}
SAMPLE = raw_zip(
    wheel_entries(
        Entry(name=b"demo/", mode=0o40755),
        PLAIN,
        streamed(Entry(name=b"demo/streamed.so", data=b"\x7fELF" + TEXT, mode=0o100755)),
        Entry(name=b"demo/stored.bin", data=TEXT, method=STORED),
        Entry(name="demo/é.py".encode(), data=b"", flags=0x800),
        Entry(name=b"demo/wide", data=TEXT, both={**SIZES, "extra": zip64(len(TEXT), len(PLAIN.packed))}),
    ),
    Layout(end64={}, comment=b"a comment"),
)
LIMITS = ArchiveLimits(total=10 << 20)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The sample with some bytes changed, most of them in headers, or with a piece removed, doubled or moved."""
    data = bytearray(SAMPLE)
    marks = [place for place in range(len(data)) if data.startswith(b"PK", place)]
    for _ in range(draw(st.integers(1, 3))):
        near = draw(st.sampled_from(marks)) + draw(st.integers(0, 60))
        place = min(draw(st.one_of(st.just(near), st.integers(0, len(SAMPLE)))), len(data) - 1)
        kind = draw(st.sampled_from(["flip", "set", "remove", "insert", "copy"]))
        other = draw(st.integers(0, len(data) - 1))
        length = draw(st.integers(1, 30))
        if kind == "flip":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            data[place] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == "remove":
            del data[place : place + length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=30))
        else:
            data[place : place + length] = data[other : other + length]
        if not data:
            break
    return bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def read_all(path: Path) -> dict[str, bytes] | None:
    """The contents of a wheel that we accept; None where it is refused, properly and soon."""
    start = time.monotonic()
    try:
        with open_wheel(path, LIMITS) as archive:
            contents = {member.name: bytes(archive.read(member)) for member in archive.members}
            for member in archive.members:
                assert archive.peek(member) == contents[member.name][:4]
            write_wheel(path.with_name("again.whl"), archive, Changes(), WriteOptions())
    except WheelError as error:
        check_error(error, error.code)
        return None
    finally:
        assert time.monotonic() - start < 2
    return contents


@given(data=st.one_of(damaged(), st.binary(max_size=300)))
@example(data=SAMPLE)
def test_a_damaged_archive_is_refused_or_zipfile_reads_it_alike(folder: Path, data: bytes) -> None:
    path = folder / "demo-1.0-py3-none-any.whl"
    path.write_bytes(data)
    fast = read_all(path)
    with no_libdeflate():  # it takes two reserved codes that zlib and so installers refuse
        contents = read_all(path)
    if contents is None:
        return
    assert fast == contents
    for written in (path, folder / "again.whl"):
        with zipfile.ZipFile(written) as oracle:
            files = [entry for entry in oracle.infolist() if not entry.is_dir()]
            found = {entry.filename: oracle.read(entry) for entry in files}
        rewritten = f"{INFO}/RECORD"
        assert {**found, rewritten: b""} == {**contents, rewritten: b""}


def test_the_sample_is_sound(folder: Path) -> None:
    path = folder / "demo-1.0-py3-none-any.whl"
    path.write_bytes(SAMPLE)
    with open_wheel(path, LIMITS) as archive:
        assert len(archive.members) == 8


MEMBERS = st.dictionaries(
    st.text("abc/é.", min_size=1, max_size=8).filter(lambda path: path_fault(path) is None),
    st.one_of(st.binary(max_size=200), st.binary(min_size=1, max_size=4).map(lambda data: data * 5000)),
    max_size=8,
).filter(lambda members: collision(members, ()) is None)


OPTIONS = st.builds(
    WriteOptions,
    level=st.integers(0, 9),
    threads=st.integers(1, 3),
    source_date_epoch=st.none() | st.integers(),
)


@given(before=MEMBERS, after=MEMBERS, options=OPTIONS)
def test_any_changes_are_written_as_zipfile_reads_them(
    folder: Path, before: dict[str, bytes], after: dict[str, bytes], options: WriteOptions
) -> None:
    if collision({**before, **after}, ()) is not None:
        return
    contents = {name: partial(bytes, data) for name, data in after.items()}
    changes = Changes(
        replaced={name: content for name, content in contents.items() if name in before},
        added=tuple(NewMember(name=name, content=content) for name, content in contents.items() if name not in before),
        removed=frozenset(before.keys() - after.keys()),
    )
    target = folder / "demo-1.0-py3-none-any.whl"
    (folder / "in").mkdir(exist_ok=True)
    with open_wheel(build_wheel(folder / "in", before)) as archive:
        written = write_wheel(target, archive, changes, options)
        single = write_wheel(folder / "single", archive, changes, replace(options, threads=1))
    assert written == single
    with zipfile.ZipFile(target) as oracle:
        assert oracle.testzip() is None
        found = {name: oracle.read(name) for name in oracle.namelist() if not name.startswith(INFO)}
    assert found == after
    with open_wheel(target) as archive:
        rows = read_record(archive).rows
        assert rows == written.rows
        assert check_record(rows, archive.members, hash_members(archive, rows)) == ()
