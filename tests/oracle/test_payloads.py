"""Programs that carry data behind their ELF part still find it, edited and stripped by the real strip."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import AddNeeded, SetRpath
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.payload import read_payload
from deloc8.elf.read.view import View
from deloc8.errors import ElfError, InputError
from deloc8.repair.model import StripLevel
from deloc8.repair.payloadproof import payload_problems
from deloc8.repair.strip import Stripper, strip
from kit.compile import Toolchain, build
from kit.payload_programs import PROGRAMS, SAYS, appimage, output_of, unpacked_appimage
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit
    from kit.compile import Kind

# libm.so.6 is everywhere, so the real loader has a new name to find.
EDITS: tuple[tuple[Edit, ...], ...] = (
    (SetRpath(path="$ORIGIN/../demo.libs"), AddNeeded(name="libm.so.6")),
    (SetRpath(path="$ORIGIN/../" + "longer" * 50),),
)
# The ways to find a payload: from the last words, by the position that the last one holds, behind the section headers.
READER = r"""
#include <elf.h>
#include <stdio.h>
int main(void) {
    static char data[6];
    Elf64_Ehdr header;
    long place = 0;
    FILE *self = fopen("/proc/self/exe", "rb");
#if defined FROM_END
    fseek(self, -16, SEEK_END);
#elif defined FROM_START
    fseek(self, -8, SEEK_END);
    fread(&place, 8, 1, self);
    fseek(self, place, SEEK_SET);
#else
    fread(&header, sizeof header, 1, self);
    fseek(self, header.e_shoff + header.e_shentsize * header.e_shnum, SEEK_SET);
#endif
    fread(data, 1, 5, self);
    puts(data);
    return 0;
}
"""
WAYS = ("FROM_END", "FROM_START", "BEHIND_HEADERS")
KINDS: tuple[Kind, ...] = ("pie", "static-address")
LINKERS = ("bfd", "gold", "lld", "mold")


def stripped(contents: bytes, folder: Path, level: StripLevel = StripLevel.ALL) -> bytes:
    tool = require("strip", "Debian: binutils")
    return bytes(strip(lambda: contents, Stripper(level=level, tool=tool, target=folder / "out"), "program"))


def check(program: Path, contents: bytes, arguments: tuple[str, ...] = (), says: str = SAYS) -> None:
    """The program with new contents prints what it should."""
    program.unlink()
    program.write_bytes(contents)
    program.chmod(0o755)
    assert says in output_of(program, *arguments)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_real_program_finds_its_data(name: str, tmp_path: Path) -> None:
    make, arguments = PROGRAMS[name]
    program = make(tmp_path)
    assert SAYS in output_of(program, *arguments)
    before = program.read_bytes()

    edited = before
    for edits in EDITS:
        edited = edit(edited, edits, "program").data
        check(program, edited, arguments)
    assert list(payload_problems(before, edited, "program")) == []

    for level in StripLevel:
        smaller = stripped(before, tmp_path, level)
        check(program, smaller, arguments)
        check(program, edit(smaller, EDITS[0], "program").data, arguments)
    check(program, stripped(edited, tmp_path), arguments)


def test_the_runtime_of_an_appimage_finds_its_file_system(tmp_path: Path) -> None:
    """A real one, published in a wheel; its runtime looks behind the section headers."""
    program = appimage(tmp_path)
    before = program.read_bytes()
    files = unpacked_appimage(program, tmp_path / "before")
    assert len(files) > 50

    edited = before
    for edits in EDITS:
        edited = edit(edited, edits, "program").data
    assert list(payload_problems(before, edited, "program")) == []
    smaller = stripped(before, tmp_path)
    results = {
        "edited": edited,
        "stripped": smaller,
        "stripped and edited": edit(smaller, EDITS[0], "program").data,
        "edited and stripped": stripped(edited, tmp_path),
        "without debug information": stripped(before, tmp_path, StripLevel.DEBUG),
    }
    for name, contents in results.items():
        program.unlink()
        program.write_bytes(contents)
        program.chmod(0o755)
        assert unpacked_appimage(program, tmp_path / name) == files, name


def make_reader(way: str, payload: bytes, kind: Kind, linker: str = "bfd") -> bytes:
    program = build(READER, Toolchain("gcc", linker), kind=kind, options=(f"-D{way}", "-g"))
    contents = program.read_bytes()
    position = len(contents).to_bytes(8, "little")
    return contents + payload + bytes(3) + position


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_behind_the_section_headers_stays_there(kind: Kind, linker: str, tmp_path: Path) -> None:
    """As in the runtime of AppImage, which has this mark."""
    contents = make_reader("BEHIND_HEADERS", b"found", kind, linker)
    contents = contents[:8] + b"AI\x02" + contents[11:]
    program = tmp_path / "program"
    program.touch()
    check(program, contents, says="found")
    edited = contents
    for edits in EDITS:
        edited = edit(edited, edits, "program").data
        check(program, edited, says="found")
    smaller = stripped(contents, tmp_path)
    check(program, smaller, says="found")
    check(program, edit(smaller, EDITS[0], "program").data, says="found")
    check(program, stripped(edited, tmp_path), says="found")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_format_that_is_unknown_stays_or_is_refused(way: str, kind: Kind, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch()
    contents = make_reader(way, b"found", kind)
    check(program, contents, says="found")
    found = read_payload(View.open(contents, "program"))
    assert found is not None
    assert (found.size, found.kind.name) == (16, "unknown format")
    with pytest.raises(ElfError, match="cannot be edited") as caught:
        edit(contents, EDITS[0], "program")
    assert "16 bytes of data behind its ELF part (unknown format" in caught.value.context[0]
    with pytest.raises(InputError, match="could not be stripped"):
        stripped(contents, tmp_path)
    # A search path that is a name which the file has is no reason to grow: all stays where it is.
    in_place = edit(contents, [SetRpath(path="libc.so.6")], "program").data
    assert len(in_place) == len(contents)
    check(program, in_place, says="found")


@pytest.mark.parametrize(("tool", "package"), [("strip", "binutils"), ("llvm-strip", "llvm")])
def test_a_section_that_is_not_loaded_is_not_stripped(tool: str, package: str, tmp_path: Path) -> None:
    """PyInstaller and Nuitka put their data into one, by objcopy."""
    program, data = tmp_path / "program", tmp_path / "data"
    data.write_bytes(b"the data of the program")
    source = build(READER, Toolchain("gcc"), kind="pie", options=("-g",))
    objcopy = require("objcopy", "Debian: binutils")
    subprocess.run([objcopy, "--add-section", f"pydata={data}", source, program], check=True)
    stripper = Stripper(level=StripLevel.ALL, tool=require(tool, f"Debian: {package}"), target=tmp_path / "out")
    smaller = bytes(strip(program.read_bytes, stripper, "program"))
    assert len(smaller) < program.stat().st_size
    assert data.read_bytes() in smaller
