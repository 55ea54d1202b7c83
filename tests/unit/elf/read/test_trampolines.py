"""Trampolines: what gcc 12 wrote for each machine (tests/oracle/test_trampolines.py compiles anew)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deloc8.elf.read.image import parse
from kit.elf import MACHINES, ElfSpec, build_elf

# A few instructions of a function that takes the address of a function inside it.
PIECES = {
    "x86_64": bytes.fromhex("66c742440449bb 66c744240e49ba c744241849ffe390"),
    "i686": bytes.fromhex("c644240cb9 8954240d 8d4c2420 c6442411e9"),
    "aarch64": bytes.fromhex("5f2403d5 b1000058 d2000058 20021fd6"),
    "armv7l": bytes.fromhex("dff804c0 dff804f0 00000000"),
    "s390x": bytes.fromhex("0d10eb01100e000407f1"),
    "ppc64le": bytes.fromhex("1000a3f8 1800c3f8 a603897c ac1f007c"),
}


def runs_stack(machine: str, **changes: object) -> bool:
    spec = replace(MACHINES[machine], payload=bytes(12) + PIECES[machine] + bytes(4))
    return parse(build_elf(replace(spec, **changes)), "lib.so").runs_stack  # type: ignore[arg-type]  # its fields


@pytest.mark.parametrize("machine", PIECES)
def test_trampolines_are_seen_where_the_stack_is_executable(machine: str) -> None:
    assert runs_stack(machine, gnu_stack=7)
    assert not runs_stack(machine, gnu_stack=6)


@pytest.mark.parametrize("machine", PIECES)
def test_without_a_header_too(machine: str) -> None:
    assert runs_stack(machine, gnu_stack=None)


@pytest.mark.parametrize("machine", PIECES)
def test_no_part_of_them_is_enough(machine: str) -> None:
    half = PIECES[machine][: len(PIECES[machine]) // 2]
    assert not runs_stack(machine, gnu_stack=7, payload=half + bytes(40))


def test_machines_without_a_pattern_and_unknown_ones() -> None:
    every = b"".join(PIECES.values())
    riscv = replace(MACHINES["riscv64"], payload=every, gnu_stack=7)
    assert not parse(build_elf(riscv), "lib.so").runs_stack
    assert not parse(build_elf(ElfSpec(machine=99, payload=every, gnu_stack=7)), "lib.so").runs_stack
