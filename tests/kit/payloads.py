"""What programs carry behind their ELF part, as their tools write it, for tests without those tools."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTENTS = b"the contents \x00\x01\x02" * 9


def sbcl(start: int, order: str = "<") -> bytes:
    """A core on the next page, and the position of it."""
    magic = struct.pack(f"{order}Q", 0x5342434C)
    padding = -start % 4096
    return bytes(padding) + magic + CONTENTS + struct.pack(f"{order}Q", start + padding) + magic


def bun(start: int) -> bytes:
    """Modules, offsets, the trailer and the size of the file."""
    data = CONTENTS + struct.pack("<QIII", len(CONTENTS), 0, 9, 0) + b"\n---- Bun! ----\n"
    return data + struct.pack("<Q", start + len(data) + 8)


def bun_of_another_size(start: int) -> bytes:
    """The size is that of the modules alone."""
    return bun(start)[:-8] + struct.pack("<Q", 4711)


def pyinstaller(_: int) -> bytes:
    """An archive with its cookie, and a few bytes behind it."""
    cookie = b"MEI\x0c\x0b\x0a\x0b\x0e" + struct.pack(">IIII", len(CONTENTS) + 88, 0, 9, 311)
    return CONTENTS + cookie + b"libpython3.11.so".ljust(64, b"\0") + b"tail"


def ocaml(_: int) -> bytes:
    """One section, the table of it, and the magic."""
    return CONTENTS + b"CODE" + struct.pack(">II", len(CONTENTS), 1) + b"Caml1999X030"


def par(_: int) -> bytes:
    """An archive, the distance to it, and the magic."""
    return CONTENTS + struct.pack(">I", len(CONTENTS)) + b"\nPAR.pm\n"


def make_zip(comment: bytes = b"") -> bytes:
    """An archive of two files."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("one.txt", CONTENTS)
        archive.writestr("two/three.txt", b"3")
        archive.comment = comment
    return written.getvalue()


def zip_from_archive(_: int) -> bytes:
    """An archive whose offsets count from its own start, as `cat` makes it."""
    return make_zip(b"a comment")


def zip_from_file(start: int) -> bytes:
    """An archive whose offsets count from the start of the file, as `zip -A` makes it."""
    written = io.BytesIO(b"x" * start)
    written.seek(0, io.SEEK_END)
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr("one.txt", CONTENTS)
        archive.writestr("two/three.txt", b"3")
    return written.getvalue()[start:]


KEPT: Mapping[str, Callable[[int], bytes]] = {
    "core of SBCL": sbcl,
    "modules of Bun": bun,
    "modules of Bun, of another size": bun_of_another_size,
    "archive of PyInstaller": pyinstaller,
    "bytecode of OCaml": ocaml,
    "archive of Perl's PAR": par,
    "ZIP archive": zip_from_archive,
    "ZIP archive, counted from the start": zip_from_file,
}
"""Payloads that survive, by name: each for the offset at which it begins."""

REFUSED: Mapping[str, bytes] = {
    "unknown format": CONTENTS,
    "signature of a kernel module": CONTENTS + b"~Module signature appended~\n",
    "script of srlua": CONTENTS + b"%%glue:L" + struct.pack("<QQ", 1, 2),
    "module of Neko": CONTENTS + b"NEKO" + struct.pack("<I", 77),
    "modules of Deno": CONTENTS + b"d3n0l4nd" + struct.pack(">QQ", 1, 2),
}
"""Payloads that do not survive, by name."""
