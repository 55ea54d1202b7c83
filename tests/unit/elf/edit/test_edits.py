"""The edit vocabulary."""

from __future__ import annotations

import dataclasses

import pytest

from deloc8.elf.edit.vocabulary import AddNeeded, ClearExecutableStack, RpathKind, SetRpath, SetSoname
from deloc8.elf.refusals import impossible


def test_edits_are_values() -> None:
    assert SetSoname(soname="a") == SetSoname(soname="a") != SetSoname(soname="b")
    assert len({AddNeeded(name="a"), AddNeeded(name="a", first=False), AddNeeded(name="a", first=True)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        SetSoname(soname="a").soname = "b"  # type: ignore[misc]
    assert repr(ClearExecutableStack()) == "ClearExecutableStack()"


def test_rpath_kinds_are_tags() -> None:
    # DT_RPATH and DT_RUNPATH of the System V gABI, figure 5-10.
    assert (RpathKind.RPATH.value, RpathKind.RUNPATH.value) == (15, 29)
    assert SetRpath(path="x").kind is RpathKind.RPATH


def test_impossible() -> None:
    error = impossible("lib.so", "it is a poem", "write it in C")
    assert (error.code, error.message) == ("edit-impossible", "`lib.so` cannot be edited as asked")
    assert (error.context, error.hints) == (("it is a poem",), ("write it in C",))
