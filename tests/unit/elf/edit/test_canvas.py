"""Collecting changes."""

from __future__ import annotations

import pytest

from deloc8.elf.edit.canvas import Canvas, pack_segment
from deloc8.elf.edit.pieces import Move, Piece, Role
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import MACHINES, build_elf


def canvas() -> Canvas:
    return Canvas(View.open(build_elf(), "lib.so"))


def test_changes_are_sorted_and_real() -> None:
    paper = canvas()
    paper.write(20, b"zz")
    paper.overwrite(10, b"yy")
    paper.write(0, b"\x7fELF")
    assert paper.changes() == ((10, b"yy"), (20, b"zz"))
    assert paper.appended() == b""


def test_changes_that_meet() -> None:
    paper = canvas()
    paper.write(20, b"abcd")
    paper.write(23, b"abcd")
    with pytest.raises(ElfError) as caught:
        paper.changes()
    assert "overlaps another table" in caught.value.context[0]


def test_changes_beyond_the_end() -> None:
    with pytest.raises(ElfError):
        canvas().write(1 << 20, b"a")


def test_a_change_of_a_moved_piece_lands_in_its_new_place() -> None:
    view = View.open(build_elf(), "lib.so")
    paper = Canvas(view)
    piece = Piece(Role.COPY, 100, 100, 8, 1, None)
    paper.move([Move(piece, view.size + 3, 0x5000, 8)], [b"12345678"])
    paper.write(102, b"ab")
    paper.write(108, b"?!")
    paper.overwrite(100, b"ov")
    assert paper.appended() == b"\0\0\x0012ab5678"
    assert paper.changes() == ((100, b"ov"), (108, b"?!"))


@pytest.mark.parametrize("machine", MACHINES)
def test_headers_written_as_they_were_are_no_change(machine: str) -> None:
    view = View.open(build_elf(MACHINES[machine]), "lib.so")
    paper = Canvas(view)
    paper.write_segments(view.header.e_phoff, view.segments)
    paper.write_sections(view.sections)
    paper.write_field(view.layout.file_header, 0, "e_phnum", len(view.segments))
    assert paper.changes() == ()
    size = view.layout.program_header.size
    start = view.header.e_phoff
    assert pack_segment(view, view.segments[0]) == bytes(view.data[start : start + size])
    paper.write_field(view.layout.file_header, 0, "e_phnum", 3)
    assert paper.changes() == (
        (44 if view.layout.bits == 32 else 56, b"\3\0" if view.layout.little_endian else b"\0\3"),
    )
