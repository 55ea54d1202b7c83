"""The compatibility library as the package has it, beside what is built."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from compat import build
from elftools.elf.elffile import ELFFile

from deloc8.errors import UnrepairableError
from deloc8.repair.lowering import compat_library as compatlib
from deloc8.repair.lowering.compat_library import SONAME, library, provided
from deloc8.target import Arch
from kit.command import run_program
from kit.compat_library import MACHINES, TOP, compat_library
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

every_machine = pytest.mark.parametrize("arch", [Arch(name) for name in MACHINES], ids=lambda arch: arch.value)


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("GLIBC_").split("."))


def test_the_versions_are_those_of_glibc() -> None:
    """As `readelf` shows them in Debian's packages of glibc for these machines."""
    functions = provided(Arch.X86_64)
    assert functions["stat"].since == "GLIBC_2.33"
    assert functions["getrandom"].since == "GLIBC_2.25"
    assert functions["pthread_cond_clockwait"].since == "GLIBC_2.30"
    assert functions["thrd_create"].since == "GLIBC_2.28"
    assert functions["__issignaling"].since == "GLIBC_2.18"
    assert functions["arc4random"].needs == "GLIBC_2.17"
    assert functions["reallocarray"].name == "reallocarray"
    # glibc came to riscv64 with 2.27: getrandom was there from the begin.
    assert "getrandom" not in provided(Arch.RISCV64)
    assert provided(Arch.RISCV64)["stat"].since == "GLIBC_2.33"
    assert set(provided(Arch.LOONGARCH64)) & {"stat", "strlcpy"} == {"strlcpy"}


@every_machine
def test_each_function_is_newer_than_what_the_library_needs(arch: Arch) -> None:
    functions = provided(arch)
    for name, function in functions.items():
        assert function.name == name
        assert function.description
        assert number(function.since) > number(function.needs)


@every_machine
def test_the_library_exports_what_the_table_says(arch: Arch) -> None:
    with compat_library(arch.value).open("rb") as stream:
        elf: Any = ELFFile(stream)
        symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())
    exported = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"}
    assert exported == set(provided(arch))
    assert {symbol["st_info"]["type"] for symbol in symbols if symbol.name in exported} == {"STT_FUNC"}


@every_machine
def test_the_library_needs_glibc_alone(arch: Arch) -> None:
    """And no later one than the table says; its own symbols have no version."""
    with compat_library(arch.value).open("rb") as stream:
        elf: Any = ELFFile(stream)
        needs = elf.get_section_by_name(".gnu.version_r")
        asked = {version.name for _, versions in needs.iter_versions() for version in versions}
        tags = list(elf.get_section_by_name(".dynamic").iter_tags())
        assert elf.get_section_by_name(".gnu.version_d") is None
    needed = {tag.needed for tag in tags if tag["d_tag"] == "DT_NEEDED"}
    assert all(re.fullmatch(r"(libc|libpthread|libdl|ld-linux.*|ld64)\.so\.\d", name) for name in needed), needed
    assert max(asked, key=number) == next(iter(provided(arch).values())).needs
    assert [tag.soname for tag in tags if tag["d_tag"] == "DT_SONAME"] == [SONAME]
    assert not {tag["d_tag"] for tag in tags} & {"DT_RPATH", "DT_RUNPATH", "DT_TEXTREL", "DT_INIT", "DT_INIT_ARRAY"}


@every_machine
def test_the_library_is_small_and_lies_on_large_pages(arch: Arch) -> None:
    library = compat_library(arch.value)
    assert library.stat().st_size < 200_000
    with library.open("rb") as stream:
        elf: Any = ELFFile(stream)
        segments = list(elf.iter_segments())
        sections = {section.name for section in elf.iter_sections()}
    for segment in segments:
        if segment["p_type"] == "PT_LOAD":
            assert segment["p_align"] >= arch.largest_page
            assert (segment["p_vaddr"] - segment["p_offset"]) % segment["p_align"] == 0
            assert segment["p_flags"] & 3 != 3
    (stack,) = (segment for segment in segments if segment["p_type"] == "PT_GNU_STACK")
    assert stack["p_flags"] & 1 == 0
    assert not {name for name in sections if name.startswith((".debug", ".symtab", ".note.gnu.build-id"))}


@every_machine
def test_the_library_fits_the_first_platform_tag_of_its_machine(arch: Arch, tmp_path: Path) -> None:
    members = {"demo/libcompat.so": compat_library(arch.value).read_bytes()}
    wheel = build_wheel(tmp_path, members, tags=(f"py3-none-linux_{arch.value}",))
    (shown,) = run_program("show", wheel, "--format", "json").json["wheels"]
    needs = next(iter(provided(arch).values())).needs.removeprefix("GLIBC_").replace(".", "_")
    # The first policy of the table for riscv64 is not that of its first glibc.
    first = {Arch.RISCV64: "2_31"}.get(arch, needs)
    assert f"manylinux_{first}_{arch.value}" in shown["overall_tag"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_two_builds_have_the_same_bytes(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in another folder, and without what the compiler remembers."""
    first = compat_library(machine).read_bytes()
    copied = tmp_path / "elsewhere" / "src"
    copied.mkdir(parents=True)
    for path in (TOP / "compat" / "src").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "HERE", copied.parent)
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "cache"))
    build.build(machine, build.exports(machine), tmp_path / "again.so")
    assert (tmp_path / "again.so").read_bytes() == first


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
def test_the_library_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, packed: bool) -> None:
    built = compat_library("x86_64").read_bytes()
    (tmp_path / "compat").mkdir()
    if packed:
        (tmp_path / "compat" / "x86_64.so.zlib").write_bytes(zlib.compress(built))
        (tmp_path / "compat" / "x86_64.so").write_bytes(b"one of an older build")
    else:
        (tmp_path / "compat" / "x86_64.so").write_bytes(built)
    provided(Arch.X86_64)  # the table is known before its folder changes
    monkeypatch.setattr(compatlib, "_DATA", tmp_path)
    assert library(Arch.X86_64) == built


def test_a_library_that_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provided(Arch.AARCH64)
    monkeypatch.setattr(compatlib, "_DATA", tmp_path)
    with pytest.raises(UnrepairableError, match="aarch64 has not been built") as caught:
        library(Arch.AARCH64)
    assert caught.value.code == "compat-library-missing"
    assert str(tmp_path / "compat" / "aarch64.so.zlib") in caught.value.context[0]
    assert "make compat" in caught.value.hints[0]


def test_a_machine_without_a_library() -> None:
    assert provided(Arch.PPC64) == {}
    with pytest.raises(UnrepairableError, match="no compatibility library for ppc64") as caught:
        library(Arch.PPC64)
    assert caught.value.code == "compat-library-missing"
    assert "x86_64" in caught.value.context[0]
