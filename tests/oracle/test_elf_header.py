"""The numbers of the specification, beside those of the C library's header file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deloc8.elf import constants

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
