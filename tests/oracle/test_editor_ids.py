"""Edited files for those who look at a crash: the build id in memory, eu-elflint, and files joined by eu-unstrip."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import AddNeeded, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from kit.compile import Toolchain, build
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit

EDITS: tuple[Edit, ...] = (SetSoname(soname="libdemo-0a1b2c3d.so"), SetRpath(path="$ORIGIN/../demo.libs"))
# .dynamic of lld has no room for these, and moves.
MORE: tuple[Edit, ...] = (*EDITS, AddNeeded(name="libm.so.6"), AddNeeded(name="libdl.so.2"))
LINKERS = [Toolchain("gcc", linker) for linker in ("bfd", "gold", "lld", "mold")]
LIBRARY = r"""
#include <stdlib.h>
static int helper(int number) { return number * 3; }
int twice(int number) { return abs(helper(number)) + 2; }
int thrice(int number) { return twice(number) + helper(number); }
int more(int number) { return thrice(number) + twice(number); }
"""
# Prints the build id that the program headers of a loaded library lead to, as crash reporters find it.
FINDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static int look(struct dl_phdr_info *info, size_t size, void *wanted) {
    (void)size;
    if (!strstr(info->dlpi_name, wanted))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *head = &info->dlpi_phdr[i];
        if (head->p_type != PT_NOTE)
            continue;
        const char *place = (const char *)info->dlpi_addr + head->p_vaddr, *end = place + head->p_memsz;
        while (place < end) {
            const ElfW(Nhdr) *note = (const void *)place;
            const unsigned char *text = (const void *)(place + sizeof *note + ((note->n_namesz + 3) & -4u));
            if (note->n_type == NT_GNU_BUILD_ID && !strcmp(place + sizeof *note, "GNU"))
                for (unsigned j = 0; j < note->n_descsz; j++)
                    printf("%02x", text[j]);
            place = (const char *)text + ((note->n_descsz + 3) & -4u);
        }
    }
    return 1;
}

int main(int count, char **paths) {
    (void)count;
    for (int mode = RTLD_LAZY; mode <= RTLD_NOW; mode++) {
        void *library = dlopen(paths[1], mode);
        if (!library)
            return puts(dlerror()), 1;
        int (*twice)(int) = (int (*)(int))dlsym(library, "twice");
        if (twice(2) != 8)
            return puts("wrong"), 1;
    }
    dl_iterate_phdr(look, strrchr(paths[1], '/') + 1);
    return 0;
}
"""


def build_id_of(path: Path) -> str:
    """As readelf shows it."""
    shown = subprocess.check_output([require("readelf", "binutils"), "-nW", str(path)], text=True)
    return shown.partition("Build ID: ")[2].split()[0]


def edited(original: Path, target: Path, edits: tuple[Edit, ...] = EDITS) -> Path:
    target.write_bytes(edit(original.read_bytes(), edits, original.name).data)
    return target


def findings(path: Path) -> set[str]:
    """What eu-elflint holds against a file.

    It takes a slot of a relocation for as large as the symbol that is bound to it (`check_one_reloc`), and so complains
    of slots that are followed by a read-only segment.
    """
    command = [require("eu-elflint", "elfutils"), "--gnu-ld", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {line for line in done.stdout.splitlines() if "read-only section modified" not in line}


@pytest.mark.parametrize("edits", [EDITS, MORE], ids=["names", "more"])
@pytest.mark.parametrize("strip", ["", "strip -g", "strip -s", "llvm-strip -s", "eu-strip", "objcopy --strip-all"])
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_the_build_id_is_found_in_memory(
    linker: Toolchain, strip: str, edits: tuple[Edit, ...], tmp_path: Path
) -> None:
    """By a program that walks the program headers of what ld.so has loaded, lazily and at once."""
    original = build(LIBRARY, linker, options=("-Wl,--build-id=sha1", "-g"))
    after = edited(original, tmp_path / "libedited.so", edits)
    if strip:
        program, *options = strip.split()
        require(program, {"l": "llvm", "e": "elfutils"}.get(program[0], "binutils"))
        bare = tmp_path / "libbare.so"
        target = [str(bare)] if program == "objcopy" else ["-o", str(bare)]
        subprocess.run([program, *options, str(after), *target], check=True, capture_output=True)
        after = bare
    finder = build(FINDER, Toolchain("gcc"), kind="pie")
    for path in (original, after):
        assert subprocess.check_output([str(finder), str(path)], text=True) == build_id_of(original)
    again = edited(after, tmp_path / "libagain.so", (SetSoname(soname="libagain-and-again-0a1b2c3d.so"),))
    assert subprocess.check_output([str(finder), str(again)], text=True) == build_id_of(original)


@pytest.mark.parametrize("edits", [EDITS, MORE], ids=["names", "more"])
@pytest.mark.parametrize("options", [(), ("-Wl,--emit-relocs",)], ids=["default", "section symbols"])
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_eu_elflint_finds_nothing_new(
    linker: Toolchain, options: tuple[str, ...], edits: tuple[Edit, ...], tmp_path: Path
) -> None:
    """With --emit-relocs .symtab has a symbol of each section, as those of older linkers always have."""
    original = build(LIBRARY, linker, options=("-g", "-Wl,--build-id=sha1", *options))
    assert findings(edited(original, tmp_path / "edited.so", edits)) <= findings(original)


@pytest.mark.parametrize("edits", [EDITS, MORE], ids=["names", "more"])
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_eu_unstrip_joins_what_eu_strip_took_apart(linker: Toolchain, edits: tuple[Edit, ...], tmp_path: Path) -> None:
    """The joined file has the debug information, and the real addresses of all functions."""
    original = build(LIBRARY, linker, options=("-g", "-Wl,--build-id=sha1"))
    after = edited(original, tmp_path / "libedited.so", edits)
    debug, joined = tmp_path / "debug", tmp_path / "libjoined.so"
    subprocess.run([require("eu-strip", "elfutils"), "-f", str(debug), str(after)], check=True)
    subprocess.run([require("eu-unstrip", "elfutils"), str(after), str(debug), "-o", str(joined)], check=True)
    shown = [
        subprocess.check_output(
            [require("readelf", "binutils"), "--debug-dump=decodedline", "-W", str(path)], text=True
        )
        for path in (original, joined)
    ]
    lines = [[line.split()[:3] for line in text.splitlines() if " 0x" in line] for text in shown]
    assert lines[0] == lines[1] != []
    assert ctypes.CDLL(str(joined)).twice(2) == 8
    assert build_id_of(joined) == build_id_of(original)


# -- debug information that was made before the edit, as a distribution's

GDB = ("gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A library, its debug information in a folder of build ids as of /usr/lib/debug, and the edited library."""

    whole: Path
    bare: Path
    debug: Path
    edited: Path
    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The library whole, without its debug information, and edited."""
        return self.whole, self.bare, self.edited

    @property
    def addresses(self) -> list[str]:
        """Where its functions begin."""
        shown = subprocess.check_output(
            [require("readelf", "binutils"), "--dyn-syms", "-W", str(self.edited)], text=True
        )
        names = ("twice", "thrice", "more")
        found = {line.split()[-1]: line.split()[1] for line in shown.splitlines() if line.endswith(names)}
        return [f"0x{found[name]}" for name in names]


@pytest.fixture(params=[EDITS, MORE], ids=["names", "more"])
def edits(request: pytest.FixtureRequest) -> tuple[Edit, ...]:
    found: tuple[Edit, ...] = request.param
    return found


@pytest.fixture(params=["eu-strip", "objcopy"])
def taken_by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LINKERS, ids=lambda toolchain: toolchain.linker)
def parted(request: pytest.FixtureRequest, taken_by: str, edits: tuple[Edit, ...], tmp_path: Path) -> Parted:
    whole = build(LIBRARY, request.param, options=("-g", "-Wl,--build-id=sha1"))
    build_id = build_id_of(whole)
    bare, folder = tmp_path / "libbare.so", tmp_path / "debug"
    debug = folder / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    if taken_by == "eu-strip":
        subprocess.run([require("eu-strip", "elfutils"), "-f", str(debug), "-o", str(bare), str(whole)], check=True)
    else:
        require("objcopy", "binutils")
        subprocess.run(["objcopy", "--only-keep-debug", str(whole), str(debug)], check=True)
        subprocess.run(["strip", "-s", "-o", str(bare), str(whole)], check=True)
    target = edited(bare, tmp_path / "libedited.so", edits)
    return Parted(whole=whole, bare=bare, debug=debug, edited=target, folder=folder)


def test_gdb_finds_it_by_the_build_id(parted: Parted) -> None:
    require("gdb", "gdb")
    words = [word for address in parted.addresses for word in ("-ex", f"info line *{address}")]
    where = ("-iex", f"set debug-file-directory {parted.folder}")
    told = {
        path: subprocess.check_output([*GDB, *where, *words, str(path)], text=True)
        for path in (parted.bare, parted.edited)
    }
    assert told[parted.bare] == told[parted.edited]
    assert told[parted.edited].count("Line ") == len(parted.addresses)


def test_gdb_shows_lines_of_a_running_process(parted: Parted) -> None:
    require("gdb", "gdb")
    finder = build(FINDER, Toolchain("gcc"), kind="pie")
    where = ("-iex", f"set debug-file-directory {parted.folder}", "-iex", "set breakpoint pending on")
    words = ("-ex", "break helper", "-ex", "run", "-ex", "backtrace 2")
    command = [*GDB, *where, *words, "--args", str(finder), str(parted.edited)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "ptrace" in done.stderr:
        pytest.skip("needs the right to trace a process")
    frames = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert "helper (number=2) at " in frames[0] + frames[1], done.stdout + done.stderr
    assert any(" twice (number=2) at " in line for line in frames)


def test_elfutils_find_it_by_the_build_id(parted: Parted) -> None:
    """eu-addr2line, as eu-stack and perf, which ask the same library."""
    where = f"--debuginfo-path={parted.folder}"
    command = [require("eu-addr2line", "elfutils"), "-f", where, "-e"]
    told = {path: subprocess.check_output([*command, str(path), *parted.addresses], text=True) for path in parted.files}
    assert told[parted.bare] == told[parted.edited] == told[parted.whole]
    assert [line.split()[-1] for line in told[parted.edited].splitlines()[::2]] == ["twice", "thrice", "more"]


@pytest.mark.parametrize("program", ["addr2line", "eu-addr2line", "llvm-symbolizer"])
def test_addresses_are_those_of_the_debug_file(parted: Parted, program: str) -> None:
    """As a symbol server answers for what a crash reporter sends: a build id, and addresses in the library."""
    require(program, {"a": "binutils", "e": "elfutils", "l": "llvm"}[program[0]])
    told = subprocess.check_output([program, "-f", "-e", str(parted.debug), *parted.addresses], text=True)
    assert told == subprocess.check_output([program, "-f", "-e", str(parted.whole), *parted.addresses], text=True)
    assert "thrice" in told
    assert "??" not in told


def test_eu_unstrip_refuses_it_and_joins_before_the_edit(parted: Parted, taken_by: str, tmp_path: Path) -> None:
    """It looks for each section at its old address, in its old size; what it writes for the original can be edited."""
    joined = tmp_path / "libjoined.so"
    command = [require("eu-unstrip", "elfutils"), "-o", str(joined)]
    done = subprocess.run(
        [*command, str(parted.edited), str(parted.debug)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot find matching section for [" in done.stderr
    assert "'.dynstr'" in done.stderr
    if taken_by == "objcopy":
        return  # eu-unstrip wants debug files of eu-strip: those of objcopy have other flags of sections
    joined.unlink(missing_ok=True)
    subprocess.run([*command, str(parted.bare), str(parted.debug)], check=True)
    after = edited(joined, tmp_path / "libafter.so")
    shown = subprocess.check_output(["eu-addr2line", "-f", "-e", str(after), *parted.addresses], text=True)
    assert [line.split()[-1] for line in shown.splitlines()[::2]] == ["twice", "thrice", "more"]
    assert "?" not in shown
