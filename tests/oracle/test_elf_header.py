"""The numbers of the specification, beside those of the C library's header file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deloc8.elf import constants
from deloc8.elf.read.relocations import NO_RELOCATION
from deloc8.machines import ROWS

# Of the Linux Standard Base and of UAPI.12, which that header does not tell; and of the psABI, which older ones lack.
TOLD_ELSEWHERE = {"VERSYM_VERSION": 0x7FFF, "NT_FDO_DLOPEN_METADATA": 0x407C0C0A, "DT_X86_64_PLT": 0x70000000}


def number(text: str) -> int:
    base, _, shift = text.strip("()").partition("<<")
    return int(base, 0) << int(shift or "0", 0)


def test_the_numbers_are_those_of_the_c_library() -> None:
    header = Path("/usr/include/elf.h")
    if not header.exists():
        pytest.skip("needs /usr/include/elf.h (Debian: libc6-dev)")
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    found = re.findall(r"^#\s*define\s+(\w+)[ \t]+(\S.*)$", text, re.MULTILINE)
    said = {name.upper(): value.strip() for name, value in found}
    ours = {name: value for name, value in vars(constants).items() if isinstance(value, int) and name.isupper()}
    told = {name: number(said[name]) for name in ours.keys() - TOLD_ELSEWHERE.keys()}
    assert ours == {**told, **TOLD_ELSEWHERE}


# Of each machine the name in the middle of its relocations, and the one that stores a whole pointer.
NAMES = {
    *{(62, "X86_64", "64"), (3, "386", "32"), (183, "AARCH64", "ABS64"), (40, "ARM", "ABS32")},
    *{(21, "PPC64", "ADDR64"), (22, "390", "64"), (243, "RISCV", "64"), (258, "LARCH", "64")},
}


def test_the_numbers_of_relocations() -> None:
    """By their names in the header file of the C library."""
    header = Path("/usr/include/elf.h")
    if not header.exists():
        pytest.skip("needs /usr/include/elf.h (Debian: libc6-dev)")
    said = dict(re.findall(r"#define\s+(R_\w+)\s+(\w+)", header.read_text()))
    known = {row.number: row for row in ROWS}
    assert known.keys() == {machine for machine, _, _ in NAMES}
    for machine, name, pointer in NAMES:
        found = [said.get(f"R_{name}_{kind}", "") for kind in ("RELATIVE", "NONE", "GLOB_DAT", pointer)]
        relative, nothing, *pointers = [int(said.get(number, number) or 0) for number in found]
        assert (known[machine].relative, known[machine].pointers) == (relative, frozenset(pointers) - {0})
        assert nothing == NO_RELOCATION
