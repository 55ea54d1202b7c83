"""Edited files for those who look at a crash: the build id in memory, eu-elflint, and files joined by eu-unstrip."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edits import AddNeeded, SetRpath, SetSoname
from deloc8.elf.writer import edit
from kit.compile import Toolchain, build
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.edits import Edit

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


def test_debug_information_made_before_the_edit_is_still_found(tmp_path: Path) -> None:
    """As of a distribution's library: debuggers go by the build id, and by addresses, which have not changed."""
    original = tmp_path / "liboriginal.so"
    shutil.copyfile(build(LIBRARY, Toolchain("gcc"), options=("-g",)), original)
    subprocess.run([require("eu-strip", "elfutils"), "-f", str(tmp_path / "debug"), str(original)], check=True)
    after = edited(original, tmp_path / "libedited.so")
    symbols = subprocess.check_output([require("readelf", "binutils"), "--dyn-syms", "-W", str(after)], text=True)
    (address,) = (line.split()[1] for line in symbols.splitlines() if line.endswith(" thrice"))
    command = [require("eu-addr2line", "elfutils"), "-f", "-e", str(after), "0x" + address]
    assert subprocess.check_output(command, text=True).splitlines()[0] == "thrice"
    where = subprocess.check_output([*command[:1], *command[2:]], text=True)
    assert ":5:" in where, where
