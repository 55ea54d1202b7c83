"""RECORD: which files a wheel holds, with their hashes (Recording installed projects, "The RECORD file")."""

from __future__ import annotations

import base64
import hashlib
import mmap
from codecs import BOM_UTF8, utf_8_decode
from types import MappingProxyType

from deloc8.diagnostic import Diagnostic, Severity, few_of_each
from deloc8.errors import WheelError
from deloc8.patterns import pattern
from deloc8.text import printable
from deloc8.values import NamedTuple
from deloc8.wheel.limits import LARGEST_RECORD, MOST_MEMBERS
from deloc8.wheel.paths import path_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.codec import Buffer
    from deloc8.wheel.zipformat import Member

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Files beside RECORD that sign it: obsolete, without a row, and untrue after any change."""

_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})  # the specification wants sha256 or better
# Of whatever algorithm: what is no part of these could stand for rows of its own where it is written again.
_HASH = pattern(r"[A-Za-z0-9_.-]+=[A-Za-z0-9_=+/-]*")
# The hash as a Python 3 program writes it that formats bytes.
_HASH_OF_BYTES = pattern(r"([A-Za-z0-9_.-]+=)b'([A-Za-z0-9_=+/-]*)'")
_COLUMNS = 3
_WINDOW = 1 << 20


class RecordRow(NamedTuple):
    """One row.

    Attributes:
        path: The member.
        hash: Algorithm and digest, such as ``sha256=2jmj7l5rSw0yVb_vlWAYkK_YBwk``; empty where there is none.
        size: Bytes of its contents; None where the row tells none.
    """

    path: str
    hash: str
    size: int | None


class Record(NamedTuple):
    """A RECORD as it is meant.

    Attributes:
        rows: Its rows, as the specification wants them written.
        oddities: How it is written otherwise, a warning for each kind.
    """

    rows: tuple[RecordRow, ...]
    oddities: tuple[Diagnostic, ...]


def needs_no_hash(path: str) -> bool:
    """Whether a path is RECORD itself or one of its signatures."""
    folder, _, file = path.rpartition("/")
    return folder.endswith(".dist-info") and "/" not in folder and (file == "RECORD" or file in SIGNATURES)


def hash_of(data: Buffer, algorithm: str = "sha256") -> str:
    """The hash column for some contents: algorithm, equals sign, URL-safe base64 without padding."""
    hasher = hashlib.new(algorithm)
    if isinstance(data, mmap.mmap):
        # What was hashed shall not count as memory: it can be mapped again.
        for start in range(0, len(data), _WINDOW):
            hasher.update(data[start : start + _WINDOW])
            data.madvise(mmap.MADV_DONTNEED, start, min(_WINDOW, len(data) - start))
    else:
        hasher.update(data)
    return hash_text(hasher.digest(), algorithm)


def hash_text(digest: bytes, algorithm: str = "sha256") -> str:
    """The hash column for a digest."""
    return f"{algorithm}={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def parse_record(data: Buffer, name: str) -> Record:
    """A RECORD; `name` is how errors call it.

    A byte order mark, paths that begin with ``./`` and hashes written as ``b'...'`` are read as they are meant:
    installers accept the first two, and older tools wrote all of them.

    Raises:
        WheelError: Code ``bad-record``: it is no table of paths, hashes and sizes, or has paths that no wheel may
            have; says which line.
    """
    import csv  # noqa: PLC0415  only some commands read RECORD
    import io  # noqa: PLC0415  the same

    if len(data) > LARGEST_RECORD:
        raise _bad_record(name, f"it has {len(data)} bytes; the limit is {LARGEST_RECORD}")
    _check_text(data, name)
    rows: dict[str, RecordRow] = {}
    odd: dict[str, str] = {}
    # Decoded line by line: as one text it could take four times the bytes of the file.
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    if data[: len(BOM_UTF8)] == BOM_UTF8:
        lines.read(1)
        odd["begins with a byte order mark"] = ""
    reader = csv.reader(lines, strict=True)
    try:
        for columns in reader:
            if columns:
                row = _row(_as_meant(columns, odd), reader.line_num, name)
                if row.path in rows:
                    raise _bad_record(name, f"line {reader.line_num} lists `{row.path}` again")
                if len(rows) == MOST_MEMBERS:
                    raise _bad_record(name, f"it has more than {MOST_MEMBERS} rows")
                rows[row.path] = row
    except csv.Error as error:
        raise _bad_record(name, f"line {reader.line_num}: {error}") from None
    return Record(tuple(rows.values()), tuple(_oddity(name, *found) for found in odd.items()))


def _check_text(data: Buffer, name: str) -> None:
    place = 0
    while place < len(data):
        piece = data[place : place + _WINDOW]
        try:
            _, used = utf_8_decode(piece, "strict", place + _WINDOW >= len(data))
        except UnicodeDecodeError as error:
            what = f"it is no text in UTF-8: {error.reason} at byte {place + error.start}"
            raise _bad_record(name, what) from None
        place += used


def _as_meant(columns: list[str], odd: dict[str, str]) -> list[str]:
    """The columns of a row, mended; `odd` gets the first example of each kind of oddity."""
    if columns[0].startswith("./"):
        odd.setdefault("has paths that begin with ./", columns[0])
        columns[0] = columns[0][2:]
    quoted = _HASH_OF_BYTES.fullmatch(columns[1]) if len(columns) > 1 else None
    if quoted:
        odd.setdefault("has hashes that are written as bytes of Python", columns[1])
        columns[1] = quoted[1] + quoted[2]
    return columns


def _oddity(name: str, what: str, example: str) -> Diagnostic:
    return Diagnostic(
        code="odd-record",
        severity=Severity.WARNING,
        subject=printable(name),
        message=f"{what}, which not every installer reads",
        context=(printable(f"such as `{example}`"),) if example else (),
        hints=("`deloc8 fixup` writes RECORD anew, and so does `python -m wheel pack`",),
    )


def _row(columns: Sequence[str], line: int, name: str) -> RecordRow:
    if len(columns) != _COLUMNS:
        raise _bad_record(name, f"line {line} has {len(columns)} columns, not {_COLUMNS}")
    path, digest, size = columns
    fault = path_fault(path.removesuffix("/"))  # rows of folders should not be there, but harm nobody
    if fault:
        raise _bad_record(name, f"line {line} has a path that {fault}: `{path}`")
    if digest and "=" not in digest:
        raise _bad_record(name, f"line {line} has a hash without the name of its algorithm: `{digest}`")
    if digest and not _HASH.fullmatch(digest):
        raise _bad_record(name, f"line {line} has a hash of other characters than hashes have: `{digest}`")
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):  # noqa: PLR2004  2**64 has 20 digits
        raise _bad_record(name, f"line {line} has a size that is no number: `{size}`")
    return RecordRow(path, digest, int(size) if size else None)


def render_record(rows: Iterable[RecordRow]) -> bytes:
    """The text of a RECORD with these rows."""
    lines = []
    for path, digest, size in rows:
        quoted = '"' + path.replace('"', '""') + '"' if '"' in path or "," in path else path
        lines.append(f"{quoted},{digest},{'' if size is None else size}\n")
    return "".join(lines).encode()


def read_record(archive: WheelArchive) -> Record:
    """The RECORD of a wheel.

    Raises:
        WheelError: As for `parse_record`, or the member is damaged.
    """
    name = f"{archive.dist_info}/RECORD"
    return parse_record(archive.read(archive.member(name)), name)


def hash_members(
    archive: WheelArchive, rows: Iterable[RecordRow], known: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The true hash of every member, each by the algorithm that its row uses; every byte is read.

    Args:
        archive: The wheel.
        rows: The rows of its RECORD.
        known: Hashes by sha256 of members that have been read already.

    Raises:
        WheelError: A member is damaged.
    """
    algorithms = {row.path: row.hash.partition("=")[0] for row in rows}
    hashes = {}
    for member in archive.members:
        algorithm = algorithms.get(member.name, "")
        hasher = hashlib.new(algorithm if algorithm in _ALGORITHMS else "sha256")
        if member.name in known and hasher.name == "sha256":
            hashes[member.name] = known[member.name]
            continue
        for piece in archive.pieces(member):
            hasher.update(piece)
        hashes[member.name] = hash_text(hasher.digest(), hasher.name)
    return hashes


def check_record(
    rows: Iterable[RecordRow], members: Iterable[Member], hashes: Mapping[str, str]
) -> tuple[Diagnostic, ...]:
    """The differences between RECORD and what the archive holds; of each kind the first, and how many more there are.

    Args:
        rows: The rows of RECORD.
        members: What the archive holds.
        hashes: True hashes by path, as `hash_members` finds them; the hashes of other members are not compared.
    """
    return tuple(few_of_each(_all_differences(rows, members, hashes)))


def _all_differences(
    rows: Iterable[RecordRow], members: Iterable[Member], hashes: Mapping[str, str]
) -> Iterator[Diagnostic]:
    by_path = {row.path: row for row in rows}
    for member in members:
        row = by_path.pop(member.name, None)
        if row is not None:
            for difference in _differences(row, member, hashes):
                yield _difference(member.name, *difference)
        elif not needs_no_hash(member.name):
            yield _difference(member.name, "unlisted-member", "is in the wheel, but not in RECORD")
    for path in by_path:
        if not needs_no_hash(path):
            yield _difference(path, "absent-member", "is in RECORD, but not in the wheel")


def _differences(row: RecordRow, member: Member, hashes: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    if needs_no_hash(row.path):
        if row.hash:
            yield "record-hash", "has a hash in RECORD, which cannot be known when RECORD is written"
        return
    if row.size is not None and row.size != member.size:
        yield "wrong-size", "has another size than RECORD says", f"RECORD: {row.size}", f"the wheel: {member.size}"
    algorithm, _, digest = row.hash.partition("=")
    truth = hashes.get(row.path)
    if not row.hash:
        yield "missing-hash", "has no hash in RECORD"
    elif algorithm not in _ALGORITHMS:
        yield "weak-hash", f"has a hash in RECORD that installers refuse: {algorithm}", "sha256 or better is wanted"
    elif truth is not None and truth != f"{algorithm}={digest.rstrip('=')}":
        yield "wrong-hash", "has another hash than RECORD says", f"RECORD: {row.hash}", f"the wheel: {truth}"


def _difference(path: str, code: str, what: str, *context: str) -> Diagnostic:
    return Diagnostic(
        code=code,
        severity=Severity.ERROR,
        subject=printable(path),
        message=printable(f"`{path}` {what}"),
        context=tuple(printable(line) for line in context),
        hints=("build the wheel again; whoever changes a wheel must write its RECORD anew",),
    )


def _bad_record(name: str, what: str) -> WheelError:
    return WheelError(
        f"`{printable(name)}` is not a sound RECORD",
        code="bad-record",
        context=(printable(what),),
        hints=("build or download the wheel again; nothing was changed",),
    )
