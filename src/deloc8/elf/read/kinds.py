"""The formats of data behind the ELF part of a file: how each is recognized, and how its program finds it.

Each format that is kept was tried with a real program: docs/explanation/editor.md names it, and where the format is
described.
"""

from __future__ import annotations

import enum
import struct

from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from deloc8.elf.read.view import View


class Anchor(enum.Enum):
    """Origins from which the position of a payload is counted; the value says it in words."""

    END = "found from the end of the file"
    START = "found by its distance from the start of the file"
    HEADERS = "found where the section headers end"
    WHOLE = "made over all bytes before it"
    UNKNOWN = "found in an unknown way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One format of payload.

    Attributes:
        name: Its name for messages.
        anchor: How it is found.
        kept: Whether it survives that the ELF part before it changes size.
    """

    name: str
    anchor: Anchor
    kept: bool = False


class Pointer(NamedTuple):
    """A number that counts from the start of the file: where it is in the file, and its struct code."""

    offset: int
    code: str


SBCL = Kind(name="core of SBCL", anchor=Anchor.START, kept=True)
BUN = Kind(name="modules of Bun", anchor=Anchor.END, kept=True)
PYINSTALLER = Kind(name="archive of PyInstaller", anchor=Anchor.END, kept=True)
OCAML = Kind(name="bytecode of OCaml", anchor=Anchor.END, kept=True)
PAR = Kind(name="archive of Perl's PAR", anchor=Anchor.END, kept=True)
ZIP = Kind(name="ZIP archive", anchor=Anchor.END, kept=True)
ZIP_FROM_START = Kind(name="ZIP archive", anchor=Anchor.START, kept=True)
LARGE_ZIP = Kind(name="ZIP archive with ZIP64 records", anchor=Anchor.START)
APPIMAGE = Kind(name="file system of AppImage", anchor=Anchor.HEADERS, kept=True)
DOTNET = Kind(name="single-file bundle of .NET", anchor=Anchor.START)
DENO = Kind(name="modules of Deno", anchor=Anchor.START)
NEKO = Kind(name="module of Neko", anchor=Anchor.START)
SRLUA = Kind(name="script of srlua", anchor=Anchor.START)
SIGNATURE = Kind(name="signature of a kernel module", anchor=Anchor.WHOLE)
UNKNOWN = Kind(name="unknown format", anchor=Anchor.UNKNOWN)

Found = tuple[Kind, tuple[Pointer, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A file, and where the payload begins in it."""

    view: View
    start: int

    def last(self, size: int) -> bytes:
        """The last bytes of the payload, at most so many."""
        return bytes(self.view.data[max(self.start, self.view.size - size) :])

    def at(self, offset: int, size: int) -> bytes:
        """Some bytes at an offset of the file; none before the payload."""
        return bytes(self.view.data[offset : offset + size]) if offset >= self.start else b""

    def is_first(self, offset: int) -> bool:
        """Whether the payload has nothing but padding before an offset."""
        return not bytes(self.view.data[self.start : offset]).strip(b"\0")


def recognize(tail: Tail) -> Found:
    """The format of a payload, and its numbers that count from the start of the file."""
    for finder in _FINDERS:
        found = finder(tail)
        if found is not None:
            return found
    return UNKNOWN, ()


# SBCL, src/runtime/coreparse.c: the last words are where the core begins, and the magic that it begins with.
_CORE_MAGIC = 0x5342434C


def _sbcl(tail: Tail) -> Found | None:
    order = "<" if tail.view.layout.little_endian else ">"
    magic = struct.pack(f"{order}Q", _CORE_MAGIC)
    end = tail.last(16)
    if len(end) < 16 or end[8:] != magic:  # noqa: PLR2004  two words
        return None
    (core,) = struct.unpack(f"{order}Q", end[:8])
    if tail.at(core, 8) != magic or not tail.is_first(core):
        return None
    return SBCL, (Pointer(tail.view.size - 16, f"{order}Q"),)


# Bun 1.2, src/StandaloneModuleGraph.zig: offsets, trailer, size of the whole file; later versions have a section.
_BUN_TRAILER = b"\n---- Bun! ----\n"


def _bun(tail: Tail) -> Found | None:
    end = tail.last(24)
    if end[:16] != _BUN_TRAILER:
        return None
    (total,) = struct.unpack("<Q", end[16:])
    # The program only takes it for a limit; where it is the size of the file, it shall stay so.
    is_size = total == tail.view.size
    return BUN, (Pointer(tail.view.size - 8, "<Q"),) if is_size else ()


# PyInstaller, bootloader/src/pyi_archive.c: the cookie is searched backwards, and has the length of the archive.
_COOKIE_MAGIC = b"MEI\x0c\x0b\x0a\x0b\x0e"
_COOKIE_SEARCH = 8192


def _pyinstaller(tail: Tail) -> Found | None:
    return (PYINSTALLER, ()) if _COOKIE_MAGIC in tail.last(_COOKIE_SEARCH) else None


# OCaml, runtime/startup_byt.c: number of sections and a magic; the table before it has their sizes, last to first.
def _ocaml(tail: Tail) -> Found | None:
    return (OCAML, ()) if tail.last(12).startswith(b"Caml1999X") else None


# PAR::Packer, script/par.pl: the magic, and before it the distance to the archive.
def _par(tail: Tail) -> Found | None:
    return (PAR, ()) if tail.last(8) == b"\nPAR.pm\n" else None


# AppImage, type2-runtime, src/runtime/runtime.c: `AI` and the type in e_ident, the file system behind the ELF part.
def _appimage(tail: Tail) -> Found | None:
    header = tail.view.header
    size = tail.view.layout.section_header.size
    behind_headers = header.e_shoff + len(tail.view.sections) * size == tail.start
    return (APPIMAGE, ()) if header.e_ident[8:11] == b"AI\x02" and behind_headers else None


# Projects whose payloads are not kept: where a mark is from the end of the file on.
_MARKS = (
    (28, b"~Module signature appended~\n", SIGNATURE),  # Linux, include/linux/module_signature.h
    (24, b"%%glue:L", SRLUA),  # srlua, glue.h
    (16, b"%%glue:L", SRLUA),
    (8, b"NEKO", NEKO),  # Neko, vm/main.c
    # Deno, cli/standalone.rs: one to five positions behind the magic; later versions have a note.
    (16, b"d3n0l4nd", DENO),
    (24, b"d3n0l4nd", DENO),
    (40, b"d3n0l4nd", DENO),
    (48, b"d3n0l4nd", DENO),
)


def _marked(tail: Tail) -> Found | None:
    for distance, mark, kind in _MARKS:
        if tail.last(distance).startswith(mark):
            return kind, ()
    return None


# .NET, src/native/corehost/apphost/bundle_marker.cpp: these bytes follow the position of the bundle, in the data.
_BUNDLE_MARK = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")


def _dotnet(tail: Tail) -> Found | None:
    data = bytes(tail.view.data[: tail.start])
    return (DOTNET, ()) if _BUNDLE_MARK in data else None


# ZIP, APPNOTE.TXT 4.3: the end of the central directory, which a comment of up to 64 KiB can follow.
_END_SIZE = 22
_ENTRY_SIZE = 46
_LONGEST_COMMENT = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF


def _zip(tail: Tail) -> Found | None:
    end = tail.last(_END_SIZE + _LONGEST_COMMENT)
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) - place < _END_SIZE:
        return None
    count, size, offset, comment = struct.unpack_from("<HIIH", end, place + 10)
    if place + _END_SIZE + comment != len(end):
        return None
    record = tail.view.size - len(end) + place
    if _IN_ZIP64 in {size, offset} or tail.at(record - 20, 4) == b"PK\6\7":
        return LARGE_ZIP, ()
    # Where the archive begins, if its offsets count from there.
    base = record - size - offset
    places = _local_offsets(tail, record - size, count)
    if base < 0 or places is None or not _begins_with(tail, base, places):
        return None
    if base:
        # Whoever reads it finds its beginning from its end.
        return ZIP, ()
    return ZIP_FROM_START, (*places, Pointer(record + 16, "<I"))


def _local_offsets(tail: Tail, offset: int, count: int) -> tuple[Pointer, ...] | None:
    """Where the entries of a central directory say where their files are; None where it is none."""
    places = []
    for _ in range(count):
        entry = tail.at(offset, _ENTRY_SIZE)
        if len(entry) < _ENTRY_SIZE or entry[:4] != b"PK\1\2":
            return None
        places.append(Pointer(offset + 42, "<I"))
        offset += _ENTRY_SIZE + sum(struct.unpack_from("<HHH", entry, 28))
    return tuple(places)


def _begins_with(tail: Tail, base: int, places: tuple[Pointer, ...]) -> bool:
    """Whether the files of an archive are all that is before its directory."""
    data = tail.view.data
    offsets = [
        struct.unpack(place.code, data[place.offset : place.offset + struct.calcsize(place.code)])[0]
        for place in places
    ]
    return not offsets or tail.is_first(base + min(offsets))


# The most certain ones first; a search through the whole file is the last.
_FINDERS: tuple[Callable[[Tail], Found | None], ...] = (
    _appimage,
    _sbcl,
    _bun,
    _ocaml,
    _par,
    _marked,
    _zip,
    _pyinstaller,
    _dotnet,
)
