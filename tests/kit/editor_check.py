"""What other programs say of an edited ELF file."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.elf.edit.layout import Placement


class Names(NamedTuple):
    """The names of a dynamic section, in pyelftools' reading."""

    needed: tuple[str, ...]
    soname: str | None
    rpath: str | None
    runpath: str | None


def names_of(path: Path) -> Names:
    with path.open("rb") as file:
        (dynamic,) = [s for s in ELFFile(file).iter_segments() if isinstance(s, DynamicSegment)]
        found: dict[str, list[str]] = {}
        for tag in dynamic.iter_tags():
            for attribute in ("needed", "soname", "rpath", "runpath"):
                if hasattr(tag, attribute):
                    found.setdefault(attribute, []).append(getattr(tag, attribute))
    single = {key: values[-1] for key, values in found.items()}
    needed = tuple(found.get("needed", ()))
    return Names(needed, single.get("soname"), single.get("rpath"), single.get("runpath"))


def readelf(path: Path, *options: str) -> tuple[list[str], list[str]]:
    """The output and the complaints of readelf, without the file's name."""
    command = [require("readelf", "binutils"), *options, path.name]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=path.parent)
    name = re.compile(rf"(?<!\w){re.escape(path.name)}:")  # a file may be called `gs`, which ends `Flags:`
    return name.sub("", result.stdout).splitlines(), name.sub("", result.stderr).splitlines()


def layout_complaint(path: Path) -> str:
    """What LIEF holds against the layout of a file; empty where it is content."""
    lief = pytest.importorskip("lief", reason="needs the layout checker of LIEF (PyPI: lief)")
    lief.logging.disable()
    binary = lief.ELF.parse(str(path))
    assert binary is not None
    sound, complaint = lief.ELF.check_layout(binary)
    return "" if sound else complaint or "unsound"


def check_bytes(before: bytes, after: bytes, placement: Placement) -> None:
    """Every byte is as it was, or as the placement says."""
    end = 0
    for offset, content in placement.writes:
        assert before[end:offset] == after[end:offset]
        assert after[offset : offset + len(content)] == content
        end = offset + len(content)
    assert before[end:] == after[end : len(before)]
    assert after[len(before) :] == placement.appended


# Where a table is, and not what is in it.
_PLACES = re.compile(r" at offset 0x[0-9a-f]+|^ Addr: 0x[0-9a-f]+ +Offset: 0x[0-9a-f]+ ")
# Symbols of what may move: the dynamic section, a note, and where data begins in a section (of ARM).
_FOLLOWERS = (" _DYNAMIC", " __abi_tag", " $d")


def check_tables(before: Path, after: Path, renamed: Mapping[str, str]) -> None:
    """Symbols, versions and relocations are as they were, but for renamed files and the symbols of what has moved."""

    def tables(path: Path) -> list[str]:
        lines, _ = readelf(path, "-sW", "-V", "-rW")
        kept = [line for line in lines if not line.endswith(_FOLLOWERS) and " SECTION " not in line]
        return [_PLACES.sub("", line) for line in kept]

    def rename(line: str) -> str:
        for old, new in renamed.items():
            line = line.replace(f"File: {old} ", f"File: {new} ")
        return line

    assert list(map(rename, tables(before))) == tables(after)
    assert places_in_sections(before) == places_in_sections(after)


def places_in_sections(path: Path) -> dict[tuple[str, int], int]:
    """Where in its section each symbol is, by the name of the table and the number of the symbol."""
    found = {}
    with path.open("rb") as file:
        elf = ELFFile(file)
        addresses = [(section["sh_addr"], section["sh_size"]) for section in elf.iter_sections()]
        for table in elf.iter_sections():
            symbols = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
            for number, symbol in enumerate(symbols):
                home = symbol["st_shndx"]
                address, size = addresses[home] if isinstance(home, int) else (0, 0)
                if address <= symbol["st_value"] < address + size:
                    found[table.name, number] = symbol["st_value"] - address
    return found


def check_peace(before: Path, after: Path) -> None:
    """Neither readelf nor LIEF holds anything against the edited file that it did not hold against the original."""
    assert set(readelf(after, "-aW")[1]) <= set(readelf(before, "-aW")[1])
    complaint = layout_complaint(after)
    assert not complaint or complaint == layout_complaint(before)
