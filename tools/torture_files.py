"""Which files `torture.py` works on: those of this machine, and the members of wheels."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from kit.editor_check import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

KINDS = (b"\2\0", b"\3\0", b"\0\2", b"\0\3")  # ET_EXEC and ET_DYN in both byte orders


def elf_files(roots: Iterable[Path]) -> Iterator[Path]:
    """Every ELF file that a loader loads below some folders; links are not followed."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                path = Path(folder, name)
                if not path.is_symlink() and path.is_file() and is_loadable(path):
                    yield path


def is_loadable(path: Path) -> bool:
    """Whether a file is an ELF file, and neither an object file nor a core."""
    try:
        with path.open("rb") as file:
            head = file.read(18)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and head[16:18] in KINDS


def unpack(wheels: Sequence[Path], folder: Path) -> None:
    """The wheels, each in a folder of its own."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / wheel.name)


def unique(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each contents once, with their hash."""
    seen = set()
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.digest() not in seen:
            seen.add(digest.digest())
            yield path, digest.hexdigest()


def can_be_opened(path: Path) -> bool:
    """Whether a file is a shared library of this machine's kind."""
    with path.open("rb") as file, Path("/proc/self/exe").open("rb") as own:
        elf, host = ELFFile(file), ELFFile(own)
        same = (elf["e_machine"], elf.elfclass, elf["e_type"]) == (host["e_machine"], host.elfclass, "ET_DYN")
        kinds = {segment["p_type"] for segment in elf.iter_segments()}
    if not same or "PT_DYNAMIC" not in kinds or "PT_INTERP" in kinds:
        return False
    return not any(name.startswith("libc.musl") for name in names_of(path).needed)


def has_dynamic(elf: ELFFile) -> bool:
    """Whether a file has a dynamic section with contents; that of a file of debug information has none."""
    dynamic = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_DYNAMIC"]
    return bool(dynamic) and not any(
        section["sh_type"] == "SHT_NOBITS" and section["sh_addr"] == dynamic[0]["p_vaddr"]
        for section in elf.iter_sections()
    )
