"""Wheels that would fill the memory: members, folders, RECORD, ELF files and what they say.

For `show` and `check` the bound is 256 MiB of anonymous memory, for `fixup` that and 1.2 times the largest member; all
with -j1. Wheels just below the limits must be answered within the bound, those above be refused within it.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import MEBIBYTE, Trial

from kit.elf import Defined, NoteSpec, Undefined, build_elf
from kit.wheels import build_wheel
from kit.zips import Entry, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hostile_kit import Tool

BOUND = 256 * MEBIBYTE
_SECONDS = 300
_COMMANDS = ("show", "check", "fixup")
_TAG = "cp311-cp311-linux_x86_64"
_PLAIN = build_elf(soname="libx.so", needed=("libc.so.6",))
_LIBC = "libc.so.6"
_SHOFF, _SHENTSIZE = 40, 58  # of an ELF header of 64 bits
_FOUND = "libfoundbeside.so.1"
_METADATA_HEADS = (
    ("METADATA", b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
    ("WHEEL", b"Wheel-Version: 1.0\n"),
)


def _members(count: int) -> Mapping[str, bytes]:
    return {f"demo/some/folder/of/a/usual/package/d{n % 1000}/file_{n}.txt": b"x" for n in range(count)}


def _folders(count: int) -> Mapping[str, bytes]:
    return {f"demo/{'long' * 40}/{number}/f": b"" for number in range(count)}


def _deep(parts: int) -> Mapping[str, bytes]:
    return {f"{top}/{'a/' * parts}f": b"" for top in "bcd"}


def _deep_and_many() -> Mapping[str, bytes]:
    return {f"demo/{number}/{'a/' * 95}f": b"" for number in range(600)}


def _libraries(count: int, **options: object) -> Mapping[str, bytes]:
    return {f"demo/lib{n}.so": build_elf(None, soname=f"lib{n}.so", needed=(_LIBC,), **options) for n in range(count)}


def _undefined(count: int, version: str | None) -> bytes:
    file = None if version is None else _LIBC
    symbols = (Undefined(f"a_symbol_of_some_length_{number}", version, file) for number in range(count))
    return build_elf(needed=(_LIBC,), undefined=tuple(symbols))


def _chain(count: int, **path: str) -> Mapping[str, bytes]:
    found = {}
    for number in range(count):
        needed = (f"lib{number + 1}.so", "libmissing.so")
        found[f"demo/lib{number}.so"] = build_elf(None, soname=f"lib{number}.so", needed=needed, **path)
    return found


def _zeros(size: int) -> Mapping[str, bytes]:
    # What it needs is copied in, so that it is edited.
    return {"demo/zeros.so": build_elf(needed=(_FOUND,)) + bytes(size)}


def _one(**options: object) -> Mapping[str, bytes]:
    return {"demo/x.so": build_elf(None, **options)}


def _offered(count: int) -> Mapping[str, bytes]:
    return _one(defined=tuple(Defined(f"offered_{number}") for number in range(count)))


def _needed(count: int) -> Mapping[str, bytes]:
    return _one(needed=tuple(f"libmissing{number}.so" for number in range(count)))


def _notes(count: int) -> Mapping[str, bytes]:
    return _one(notes=tuple(NoteSpec("Mine", number, b"12345678") for number in range(count)))


def _headers(count: int) -> Mapping[str, bytes]:
    """Files with so many section headers in all, 60,000 in each but the last."""
    found = {}
    for number, first in enumerate(range(0, count, 60_000)):
        data = build_elf(None, soname=f"lib{number}.so", needed=(_LIBC,), sections=False)
        sections = min(60_000, count - first)
        head = bytearray(data)
        struct.pack_into("<Q", head, _SHOFF, len(data))
        struct.pack_into("<HH", head, _SHENTSIZE, 64, sections)
        found[f"demo/lib{number}.so"] = bytes(head) + bytes(64 * sections)
    return found


def _versions(count: int) -> Mapping[str, bytes]:
    return _one(needed=(_LIBC,), undefined=tuple(Undefined(f"s{n}", f"OWN_{n}", _LIBC) for n in range(count)))


def _long_names(size: int) -> Mapping[str, bytes]:
    """Names of 30,000 bytes, so many bytes in all, in files of one MiB."""
    found = {}
    for number in range(size >> 20):
        names = (f"{number}_{n}_" + "a" * 30_000 for n in range(35))
        found[f"demo/lib{number}.so"] = build_elf(None, undefined=tuple(map(Undefined, names)))
    return found


def _all_at_once(members: int) -> Mapping[str, bytes]:
    """Much of everything, each just below its limit."""
    versions = {f"demo/v/{name}": data for name, data in _versions(40_000).items()}
    return {**_members(members), **_headers(180_000), **versions, **_wanting(150_000)}


def _wanting(count: int, version: str | None = None) -> Mapping[str, bytes]:
    return {"demo/x.so": _undefined(count, version)}


_TOO_NEW = "GLIBC_2.38"
_THIRTY = tuple(Undefined(f"symbol_{number}") for number in range(30))

# What is made of each number; the limits are between the last ones but two.
_GROWING = (
    ("members", _members, (1_000, 40_000, 79_000, 81_000, 200_000)),
    ("folders", _folders, (1_000, 39_000, 41_000)),
    ("parts of a path", _deep, (90, 200, 32_700)),
    ("ELF files", _libraries, (1_000, 9_900, 10_001)),
    ("symbols asked for", _wanting, (10_000, 100_000, 240_000, 260_000, 1_000_000)),
    ("symbols too new", partial(_wanting, version=_TOO_NEW), (10_000, 28_000, 100_000)),
    ("symbols offered", _offered, (100_000, 1_000_000)),
    ("needed libraries", _needed, (1_000, 19_000, 21_000, 60_000)),
    ("notes", _notes, (1_000, 49_000, 60_000)),
    ("section headers", _headers, (10_000, 190_000, 210_000)),
    ("versions", _versions, (1_000, 49_000, 60_000)),
    ("bytes of long names", _long_names, (1 << 20, 30 << 20, 64 << 20)),
    ("members, and much of everything else", _all_at_once, (1_000, 78_000)),
    ("libraries in a chain with RUNPATH", partial(_chain, runpath="$ORIGIN"), (100, 500)),
    ("libraries in a chain with RPATH", partial(_chain, rpath="$ORIGIN"), (100, 200)),
    ("libraries in a chain", _chain, (100, 500)),
    ("bytes of zeros in an ELF file", _zeros, (40 << 20, 300 << 20, 900 << 20)),
)


def _makers() -> Iterator[tuple[str, Callable[[], Mapping[str, bytes]]]]:
    """What makes the members of each wheel, by name."""
    for what, make, counts in _GROWING:
        for count in counts:
            yield f"{count:,} {what}", partial(make, count)
    yield "57,000 folders, 98 deep", _deep_and_many
    yield "2,000 ELF files of 30 symbols", partial(_libraries, 2_000, undefined=_THIRTY)
    yield "a note of 200 MiB", partial(_one, notes=(NoteSpec("Mine", 1, bytes(200 << 20)),))
    yield "300 MiB of zeros that are no ELF file", partial(dict, [("demo/zeros.bin", bytes(300 << 20))])


def _records() -> Iterator[tuple[str, bytes]]:
    """The text of each RECORD, by name."""
    for count in (1_000, 79_000, 81_000, 1_000_000):
        yield f"RECORD of {count:,} absent members", "".join(f"demo/a{n},,\n" for n in range(count)).encode()
    for size in (15, 17, 200):
        yield f"RECORD with a path of {size} MiB", b"a" * (size << 20) + b",,\n"
    yield "RECORD with 15 MiB of columns", b"," * (15 << 20) + b"\n"
    yield "RECORD of 15 MiB of empty lines", b"\n" * (15 << 20)
    yield "RECORD of 15 MiB with a rare letter", "\U00010000".encode() + b"," * (15 << 20) + b"\n"
    row = "demo/{},sha256=jMCeYDpKt0WzRVRDhuN5gnz3YPjz4n7y_4dKJPnJJSg,1\n"
    yield "RECORD of 79,000 hashes", "".join(row.format(number) for number in range(79_000)).encode()


def _metadata(size: int, folder: str = "demo-1.0.dist-info") -> Iterator[tuple[str, bytes]]:
    """Archives whose METADATA or WHEEL has so many bytes."""
    for file, head in (
        ("METADATA", b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
        ("WHEEL", b"Wheel-Version: 1.0\n"),
    ):
        entries = [entry for entry in wheel_entries() if not entry.name.endswith(file.encode())]
        entries.append(Entry(name=f"{folder}/{file}".encode(), data=head + b"a:\n" * (size // 3)))
        entries.append(Entry(name=b"demo/x.so", data=_PLAIN))
        yield f"{file} of {size >> 20} MiB", raw_zip(entries)


def trials(folder: Path) -> Iterator[Trial]:
    """Each wheel, given to each command; it is removed before the next is made."""
    libraries = folder / "libraries"
    libraries.mkdir()
    (libraries / _FOUND).write_bytes(build_elf(soname=_FOUND, needed=(_LIBC,)))
    for name, make in _makers():
        yield from _tried(name, partial(_build, folder, make))
    for name, record in _records():
        yield from _tried(name, partial(_build, folder, lambda: {"demo/x.so": _PLAIN}, record))
    for size in (1, 3, 5, 200):
        for name, archive in _metadata(size << 20):
            path = folder / f"demo-1.0-{_TAG}.whl"
            yield from _tried(name, partial(_write, path, archive))


def _build(folder: Path, make: Callable[[], Mapping[str, bytes]], record: bytes | None = None) -> tuple[Path, int]:
    members = {"demo/x.so": _PLAIN, **make()}
    path = folder / f"demo-1.0-{_TAG}.whl"
    if record is None:
        build_wheel(path, members)
    else:
        build_wheel(path, members, record=record)
    return path, max(map(len, members.values()))


def _write(path: Path, archive: bytes) -> tuple[Path, int]:
    path.write_bytes(archive)
    return path, 0


def _tried(name: str, make: Callable[[], tuple[Path, int]]) -> Iterator[Trial]:
    wheel, largest = make()
    for command in _COMMANDS:
        yield Trial(f"{command} {name}", partial(_judge, wheel=wheel, largest=largest, command=command))


def _judge(tool: Tool, *, wheel: Path, largest: int, command: str) -> str | None:
    words: list[str | Path] = [command, "-j1", wheel, "--add-path", wheel.parent / "libraries"]
    if command == "fixup":
        words += ["-w", wheel.parent / "out"]
    ended = tool.run(*words, before=("prlimit", f"--as={6 << 30}"), seconds=_SECONDS)
    if ended.fault():
        return ended.fault()
    bound = BOUND + (largest * 6 // 5 if command == "fixup" else 0)
    if ended.peak > bound:
        return f"{ended.peak / MEBIBYTE:.0f} MiB, where {bound / MEBIBYTE:.0f} are the bound"
    return None if ended.code in {0, 1} else f"exit code {ended.code}"
