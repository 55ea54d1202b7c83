"""The rows of machines beside what compilers, dpkg and the C library's header say."""

from __future__ import annotations

import io
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from deloc8.elf.read.image import parse
from deloc8.machines import ROWS, MachineRow
from kit.compile import PROGRAM, Toolchain, build, build_dependency
from kit.require import require

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.arch.value)


def compiler(row: MachineRow) -> str:
    """GNU's compiler for a machine; the test is skipped without it."""
    return require(f"{row.triplet}-gcc", f"gcc-{row.triplet.replace('_', '-')}")


@every_row
def test_the_compiler_of_a_machine_names_it_alike(row: MachineRow) -> None:
    def said(option: str) -> str:
        return subprocess.run([compiler(row), option], capture_output=True, text=True, check=True).stdout.strip()

    assert said("-dumpmachine") == row.triplet
    assert said("-print-multiarch") == row.multiarch


@every_row
def test_what_the_compiler_of_a_machine_builds_is_its_file(row: MachineRow) -> None:
    compiler(row)
    toolchain = Toolchain(f"{row.triplet}-gcc")
    inputs = (build_dependency(toolchain),)
    program = build(PROGRAM, toolchain, kind="pie", options=("-Wl,--hash-style=sysv",), inputs=inputs).read_bytes()
    image = parse(program, "program")
    assert image.arch is row.arch
    assert image.interpreter == row.loader
    elf = ELFFile(io.BytesIO(program))
    assert (elf.elfclass, elf.little_endian) == (row.bits, row.little_endian)
    # The linker aligns segments to the largest page that a kernel may use.
    assert max(segment["p_align"] for segment in elf.iter_segments("PT_LOAD")) == row.largest_page
    relocations = [section for section in elf.iter_sections() if isinstance(section, RelocationSection)]
    assert {section.is_RELA() for section in relocations} == {row.has_addends}
    kinds = {entry["r_info_type"] for section in relocations for entry in section.iter_relocations()}
    assert row.relative in kinds
    assert row.pointers & kinds
    (hashed,) = elf.iter_sections("SHT_HASH")
    assert hashed["sh_entsize"] * 8 == row.hash_bits


@every_row
def test_dpkg_names_the_machine_alike(row: MachineRow) -> None:
    dpkg = require("dpkg-architecture", "Debian: dpkg-dev")
    command = [dpkg, f"-a{row.debian}", "-qDEB_HOST_MULTIARCH"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unknown" in ended.stderr.lower():
        pytest.skip(f"this dpkg does not know {row.debian}")
    assert ended.stdout.strip() == row.multiarch


@every_row
def test_cross_tools_have_the_name_that_strip_is_looked_for_by(row: MachineRow) -> None:
    path = shutil.which(f"{row.triplet}-strip")
    if path is None:
        pytest.skip(f"needs {row.triplet}-strip (Debian: binutils-{row.triplet.replace('_', '-')})")
    said = subprocess.run([path, "--info"], capture_output=True, text=True, check=True).stdout
    order = "little" if row.little_endian else "big"
    assert f"elf{row.bits}-" in said
    assert f"(header {order} endian, data {order} endian)" in said
