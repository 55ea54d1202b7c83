"""Edited bytes."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from deloc8.elf.edit.layout import Placement
from deloc8.elf.edit.vocabulary import RpathKind, SetRpath, SetSoname
from deloc8.elf.edit.writer import apply_placement, edit, edit_owned
from kit.elf import ElfSpec, build_elf

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = build_elf(ElfSpec(soname="libdemo.so", spare_headers=1))
EDIT = SetSoname(soname="libdemo-with-a-new-name.so")


def test_writes_and_what_is_appended() -> None:
    placement = Placement(writes=((1, b"BC"), (5, b"F")), appended=b"XY")
    assert apply_placement(b"abcdefg", placement) == b"aBCdeFgXY"
    assert apply_placement(b"abc", Placement(appended=b"d")) == b"abcd"


def test_nothing_to_do_gives_the_same_bytes() -> None:
    assert apply_placement(LIBRARY, Placement()) is LIBRARY
    assert apply_placement(bytearray(LIBRARY), Placement()) == LIBRARY
    assert edit(LIBRARY, (), "lib.so").data is LIBRARY


def test_any_buffer_will_do(tmp_path: Path) -> None:
    wanted = edit(LIBRARY, [EDIT], "lib.so")
    assert wanted.notes == wanted.placement.notes == ()
    assert edit(bytearray(LIBRARY), [EDIT], "lib.so") == wanted
    assert edit(memoryview(LIBRARY), [EDIT], "lib.so") == wanted
    path = tmp_path / "lib.so"
    path.write_bytes(LIBRARY)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert edit(mapped, [EDIT], "lib.so") == wanted
    assert mapped.closed  # nothing holds on to it
    assert path.read_bytes() == LIBRARY


def test_an_edit_in_place_gives_the_same_bytes() -> None:
    edits = (SetSoname(soname="libother.so.1"), SetRpath(path="$ORIGIN/../demo.libs", kind=RpathKind.RPATH))
    before = build_elf(ElfSpec(soname="libdemo.so.1", needed=("libc.so.6",)))
    contents = bytearray(before)
    assert edit_owned(contents, edits, "lib.so") is contents
    assert contents == edit(before, edits, "lib.so").data == edit_owned(before, edits, "lib.so")
    assert contents != before
