"""Edited files for those who look at a crash: the build id in memory, eu-elflint, and files joined by eu-unstrip."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edits import AddNeeded, SetRpath, SetSoname
from deloc8.elf.writer import edit
from kit.compile import GCC_LINKERS, Toolchain, build
from kit.require import require

if TYPE_CHECKING:
    from deloc8.elf.edits import Edit

EDITS: tuple[Edit, ...] = (SetSoname(soname="libdemo-0a1b2c3d.so"), SetRpath(path="$ORIGIN/../demo.libs"))
# .dynamic of lld has no room for these, and moves.
MORE: tuple[Edit, ...] = (*EDITS, *(AddNeeded(name="libm.so.6") for _ in range(1)), AddNeeded(name="libdl.so.2"))
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
