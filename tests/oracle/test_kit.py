"""The ELF files that tests build: readelf, pyelftools and the real loader take them for what they claim to be."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("elftools", reason="pyelftools is not installed: it is what the built files are compared with")

from kit.elf import (
    ET_EXEC,
    ET_REL,
    MACHINES,
    Defined,
    ElfSpec,
    NeedSpec,
    NoteSpec,
    Undefined,
    build_elf,
)
from kit.pyelf import peer_of
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

    from kit.elf_spec import Hash

HASHES: tuple[Hash, ...] = ("gnu", "sysv", "both", "none")
CHOICES = {
    "empty": ElfSpec(),
    "library": ElfSpec(
        needed=("libc.so.6", "libz.so.1"),
        soname="libdemo.so.1",
        rpath="/opt/lib",
        runpath="$ORIGIN",
        undefined=(
            Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
            Undefined("PyModule_Create2", weak=True),
            Undefined("inflate", "ZLIB_1", "libz.so.1"),
        ),
        needs=(NeedSpec("libc.so.6", "GLIBC_2.34", weak=True),),
        defined=(Defined("one", "DEMO_1"), Defined("two", "DEMO_2", 2, hidden=True), Defined("three", binding=10)),
        parents=(("DEMO_1", ()), ("DEMO_2", ("DEMO_1",))),
        notes=(NoteSpec("GNU", 3, bytes(range(20))), NoteSpec("FDO", 0xCAFE1A7E, b'{"type": "deb"}\0')),
        relr=True,
        textrel=True,
        dt_flags=8,
        dt_flags_1=1,
    ),
    "program": ElfSpec(
        type=ET_EXEC,
        needed=("libc.so.6",),
        undefined=(Undefined("puts"),),
        interpreter="/lib/ld.so",
        gnu_stack=7,
        spare_headers=2,
        payload=bytes(5000),
    ),
    "static": ElfSpec(type=ET_EXEC, dynamic=False, gnu_stack=None, notes=(NoteSpec("GNU", 3, b"\x01\x02\x03\x04"),)),
    "object": ElfSpec(type=ET_REL),
}


def spec_of(machine: str, choice: str, hash_table: Hash) -> ElfSpec:
    base = MACHINES[machine]
    return replace(
        CHOICES[choice],
        bits=base.bits,
        little_endian=base.little_endian,
        machine=base.machine,
        flags=base.flags,
        align=base.align,
        hash=hash_table,
    )


def readelf(path: Path, *options: str) -> str:
    program = require("readelf", "binutils")
    done = subprocess.run([program, *options, str(path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "Warning" not in done.stdout
    assert "corrupt" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("hash_table", HASHES)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("machine", MACHINES)
def test_readelf_has_no_complaint(machine: str, choice: str, hash_table: Hash, tmp_path: Path) -> None:
    spec = spec_of(machine, choice, hash_table)
    file = tmp_path / "built"
    file.write_bytes(build_elf(spec))
    text = readelf(file, "-aW")
    assert re.findall(r"\(NEEDED\) +Shared library: \[(.*)\]", text) == list(spec.needed if spec.dynamic else ())
    assert ("(RELR)" in text) == spec.relr
    for symbol in spec.undefined if spec.dynamic else ():
        assert re.search(rf"UND {symbol.name}(@{symbol.version} \(\d+\))?$", text, re.MULTILINE)
    # Without section headers readelf counts the symbols by the hash tables, and some files have none.
    if hash_table in {"sysv", "both"}:
        file.write_bytes(build_elf(spec, sections=False))
        readelf(file, "-lrW")
        readelf(file, "-dVsW", "--use-dynamic") if spec.dynamic and spec.type != ET_REL else None


@pytest.mark.parametrize("hash_table", HASHES)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("machine", MACHINES)
def test_pyelftools_reads_what_was_asked_for(machine: str, choice: str, hash_table: Hash) -> None:
    spec = spec_of(machine, choice, hash_table)
    peer = peer_of(build_elf(spec))
    if spec.type == ET_REL or not spec.dynamic:
        spec = ElfSpec()
    assert peer.needed == spec.needed
    assert (peer.soname, peer.rpath, peer.runpath) == (spec.soname, spec.rpath, spec.runpath)
    assert peer.undefined == tuple(tuple(symbol) for symbol in spec.undefined)
    assert set(peer.defined) == {(s.name, s.version, s.binding, not s.hidden) for s in spec.defined}
    asked = {(file, version, weak) for file, versions in peer.needs for version, _, weak in versions}
    expected = {(s.file, s.version, False) for s in spec.undefined if s.version}
    assert asked == expected | {tuple(need) for need in spec.needs}
    parents = {name: above for name, _, base, above in peer.definitions if not base}
    assert parents == dict(spec.parents)


@pytest.mark.parametrize("relr", [True, False])
@pytest.mark.parametrize("hash_table", ["gnu", "sysv", "both"])
def test_the_real_loader_loads_them(hash_table: Hash, relr: bool, tmp_path: Path) -> None:  # noqa: FBT001
    if (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"):
        pytest.skip("needs glibc on x86_64: the file is built for its loader")
    if relr and tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 36):
        pytest.skip("needs glibc 2.36, the first that knows DT_RELR")
    file = tmp_path / f"libkit{hash_table}{relr}.so"
    file.write_bytes(
        build_elf(
            soname=file.name,
            needed=("libc.so.6",),
            undefined=(Undefined("memcpy", "GLIBC_2.14", "libc.so.6"), Undefined("kit_nowhere", weak=True)),
            defined=(Defined("kit_one", "KIT_1"), Defined("kit_two", "KIT_1", hidden=True), Defined("kit_three")),
            needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),) if relr else (),
            hash=hash_table,
            relr=relr,
            payload=b"payload\0",
        )
    )
    library = ctypes.CDLL(str(file))
    text = ctypes.c_char * 7
    assert text.in_dll(library, "kit_one").value == b"payload"
    assert text.in_dll(library, "kit_three").value == b"payload"
    with pytest.raises(ValueError, match="undefined symbol"):
        text.in_dll(library, "kit_two")  # its version is hidden from a reference without one


def test_the_real_loader_asks_for_the_versions(tmp_path: Path) -> None:
    if (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"):
        pytest.skip("needs glibc on x86_64: the file is built for its loader")
    file = tmp_path / "libkitfuture.so"
    file.write_bytes(build_elf(needed=("libc.so.6",), needs=(NeedSpec("libc.so.6", "GLIBC_9.99"),)))
    with pytest.raises(OSError, match=r"GLIBC_9\.99"):
        ctypes.CDLL(str(file))
