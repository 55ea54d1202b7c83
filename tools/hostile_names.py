"""Names of members that readers of ZIP archives take in different ways.

Each is refused: `check` ends with 1 and names a code, and `fixup` writes nothing. Names beyond ASCII that all readers
take in one way are accepted, and what `fixup` writes of them is listed by zipfile as by its RECORD.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import Trial

from kit.elf import GLIBC, ElfSpec, build_elf
from kit.scene import CORE, Scene, wants
from kit.wheels import record_hash
from kit.zips import Entry, extra, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hostile_kit import Tool

_NAME = "demo-1.0-py3-none-any.whl"
_RECORD = b"demo-1.0.dist-info/RECORD"
_MARKED = 0x800  # the flag of a name in UTF-8


def _second(name: bytes, other: bytes, *, version: int = 1, wrong: int = 0) -> bytes:
    """The extra field of Info-ZIP with a second name."""
    return extra(0x7075, struct.pack("<BI", version, zlib.crc32(name) ^ wrong) + other)


def _unmarked() -> Iterator[tuple[str, list[Entry]]]:
    texts = ("größe.py", "é.py", "ß.so", "x\u00a0y.py", "αΓ.py", "¥.py")
    for text in texts:
        yield f"cp437 {text}", [Entry(name=b"demo/" + text.encode("cp437"))]
    for text in (*texts, "日本.py", "😀.py", "e\u0301.py"):
        yield f"UTF-8 without its mark {text}", [Entry(name=f"demo/{text}".encode())]
    for encoding, text in (("latin-1", "größe.py"), ("cp1252", "“a”.py"), ("shift_jis", "日本.py"), ("koi8-r", "я.py")):
        yield f"{encoding} {text}", [Entry(name=b"demo/" + text.encode(encoding))]
    for byte in (0x80, 0x9F, 0xA0, 0xC3, 0xE9, 0xFE, 0xFF):
        yield f"byte {byte:#x}", [Entry(name=b"demo/a" + bytes([byte]) + b".py")]
    yield "cp437 folder", [Entry(name=b"dem\x82/", mode=0o40755, method=0)]
    yield "cp437 in a folder", [Entry(name=b"dem\x82/a.py")]
    yield (
        "cp437 with the same name in UTF-8",
        [Entry(name=b"demo/\x82.py", both={"extra": _second(b"demo/\x82.py", "demo/é.py".encode())})],
    )
    yield (
        "cp437 behind a name in UTF-8",
        [
            Entry(name="demo/é.py".encode(), flags=_MARKED),
            Entry(name=b"demo/\x82.py"),
        ],
    )


def _badly_marked() -> Iterator[tuple[str, list[Entry]]]:
    wrong = {
        "lone byte": b"\xff",
        "cut sequence": b"\xc3",
        "overlong slash": b"\xc0\xaf",
        "overlong NUL": b"\xc0\x80",
        "surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "Latin-1": "é".encode("latin-1"),
    }
    for kind, name in wrong.items():
        yield f"marked as UTF-8 with {kind}", [Entry(name=b"demo/" + name + b".py", flags=_MARKED)]
    name = "demo/é.py".encode()
    yield "marked in the directory alone", [Entry(name=name, central={"flags": _MARKED})]
    yield "marked before the member alone", [Entry(name=name, local={"flags": _MARKED})]
    yield "ASCII marked in the directory alone", [Entry(name=b"demo/a.py", central={"flags": _MARKED})]


def _two_names() -> Iterator[tuple[str, list[Entry]]]:
    one, other = b"demo/a.py", b"demo/b.py"
    field: dict[str, int | bytes] = {"extra": _second(one, other)}
    yield "second name", [Entry(name=one, both=field)]
    yield "second name before the member", [Entry(name=one, local=field)]
    yield "second name in the directory", [Entry(name=one, central=field)]
    yield "second name of another checksum", [Entry(name=one, both={"extra": _second(one, other, wrong=1)})]
    yield "second name of another version", [Entry(name=one, both={"extra": _second(one, other, version=2)})]
    yield "second name that is empty", [Entry(name=one, both={"extra": _second(one, b"")})]
    yield "second name that is cut", [Entry(name=one, both={"extra": extra(0x7075, b"\1")})]
    yield "second name that climbs", [Entry(name=one, both={"extra": _second(one, b"../b.py")})]
    yield "second name behind the same one", [Entry(name=one, both={"extra": _second(one, one) + _second(one, other)})]
    yield "other name before the member", [Entry(name=one, local={"name": other})]
    yield "longer name before the member", [Entry(name=one, local={"name": one + b"c"})]
    yield "folder by its attributes", [Entry(name=one, central={"attributes": 0x10})]


def _colliding() -> Iterator[tuple[str, list[Entry]]]:
    pairs = {
        "case": ("a.py", "A.py"),
        "case beyond ASCII": ("ä.py", "Ä.py"),
        "NFC and NFD": ("é.py", "e\u0301.py"),
        "NFC and NFD of Korean": ("\uac00.py", "\u1100\u1161.py"),
        "NFC and NFD and case": ("É.py", "e\u0301.py"),
        "sharp s": ("straße.py", "strasse.py"),
        "Kelvin": ("\u212a.py", "k.py"),
        "Angstrom": ("\u212b.py", "å.py"),
        "long s": ("\u017f.py", "s.py"),
        "joiner": ("a\u200db.py", "ab.py"),
        "soft hyphen": ("a\u00adb.py", "ab.py"),
        "final dot": ("a.py.", "a.py"),
        "final space": ("a.py ", "a.py"),
        "the same": ("a.py", "a.py"),
    }
    for kind, names in pairs.items():
        yield f"two names: {kind}", [Entry(name=f"demo/{name}".encode(), flags=_MARKED) for name in names]
        folders = [Entry(name=f"demo/{name}/x{n}.py".encode(), flags=_MARKED) for n, name in enumerate(names)]
        file = Entry(name=f"demo/{names[1]}".encode(), flags=_MARKED)
        yield f"file and folder: {kind}", [folders[0], file]


def _unsafe() -> Iterator[tuple[str, list[Entry]]]:
    names = ["demo\\a.py", "..\\a.py", "C:a.py", "C:/a.py", "demo/a.py\0.txt", "\0", "demo/\n.py", "demo/\x1b[2J.py"]
    names += ["/etc/a", "//a", "../a", "demo/../../a", "./a", "demo//a", "demo/.", "..", ".", "", "demo/\u2028.py"]
    for name in names:
        yield f"path {name!r}", [Entry(name=name.encode(), flags=_MARKED)]


_REFUSED = (_unmarked, _badly_marked, _two_names, _colliding, _unsafe)

_ACCEPTED = ["größe.py", "e\u0301.py", "日本.py", "😀.py", "a b.py", "ﬁ.py", "a\u00a0b.py", "CON", "a:b.py", "a..py"]


def trials(folder: Path) -> Iterator[Trial]:
    """Each kind of name, given to `check`, `show` and `fixup`."""
    number = 0
    for group in _REFUSED:
        for name, entries in group():
            place = folder / str(number)
            place.mkdir()
            (place / _NAME).write_bytes(raw_zip(_sound_but_for(entries)))
            for command in ("check", "show", "fixup"):
                yield Trial(f"{command} {name}", partial(_judge_refused, place=place, command=command))
            number += 1
    for name in _ACCEPTED:
        place = folder / f"accepted-{number}"
        place.mkdir()
        yield Trial(f"fixup of the name {name}", partial(_judge_accepted, place=place, name=name))
        number += 1


def _sound_but_for(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a wheel whose RECORD has the names of some as zipfile reads them, as far as they can be read."""
    whole = wheel_entries(*entries)
    names = dict.fromkeys(_as_zipfile(entry) for entry in entries if not entry.name.endswith(b"/"))
    rows = "".join(f"{name},{record_hash(b'')},0\n" for name in names)
    others = [entry for entry in wheel_entries() if entry.name != _RECORD]
    kept = "".join(f"{entry.name.decode()},{record_hash(entry.data)},{len(entry.data)}\n" for entry in others)
    record = (rows + kept + _RECORD.decode() + ",,\n").encode()
    return [*whole[:-1], replace(whole[-1], data=record)]


def _as_zipfile(entry: Entry) -> str:
    if entry.flags & _MARKED or entry.name.isascii():
        return entry.name.decode("utf-8", "replace").partition("\0")[0]
    return entry.name.decode("cp437")


def _judge_refused(tool: Tool, *, place: Path, command: str) -> str | None:
    out = place / "out"
    words: list[str | Path] = ["-w", out] if command == "fixup" else []
    ended = tool.run(command, place / _NAME, "--allow-pure-python-wheel", *words)
    if ended.fault():
        return ended.fault()
    if out.exists():
        return "wrote a wheel"
    return None if ended.code == 1 else f"exit code {ended.code}"


def _judge_accepted(tool: Tool, *, place: Path, name: str) -> str | None:
    scene = Scene(place)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    core = build_elf(wants("GLIBC_2.14", needed=("libfoo.so.1",)))
    wheel = scene.wheel({CORE: core, f"demo/{name}": b"pass\n"})
    ended = tool.run("fixup", wheel, "--sysroot", scene.root, "-w", place / "out")
    if ended.fault() or ended.code:
        return ended.fault() or f"exit code {ended.code}"
    (written,) = (place / "out").iterdir()
    with zipfile.ZipFile(written) as archive:
        members = {info.filename: info.flag_bits for info in archive.infolist()}
        record = archive.read("demo-1.0.dist-info/RECORD").decode()
    rows = {row[0] for row in csv.reader(io.StringIO(record))}
    if rows != set(members):
        return "RECORD lists other names than zipfile"
    unmarked = [member for member, flags in members.items() if not member.isascii() and not flags & _MARKED]
    return f"names without a mark: {unmarked}" if unmarked else None
