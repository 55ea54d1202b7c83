"""What pyelftools says of an ELF file, in the shapes of deloc8's values; and the ELF files of a machine."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BINDINGS = {"STB_GLOBAL": 1, "STB_WEAK": 2, "STB_LOOS": 10, "STB_GNU_UNIQUE": 10}
_RESERVED_INDEX = {"VER_NDX_LOCAL": 0, "VER_NDX_GLOBAL": 1, "VER_NDX_LORESERVE": 0xFF00, "VER_NDX_ELIMINATE": 0xFF01}

RELATIVE = {62: 8, 3: 8, 183: 1027, 40: 23, 21: 22, 22: 12, 243: 3, 258: 3}  # by e_machine (psABI)
COPY = {62: 5, 3: 5, 183: 1024, 40: 20, 21: 19, 22: 9, 243: 4, 258: 4}

Need = tuple[str, tuple[tuple[str, int, bool], ...]]
Definition = tuple[str, int, bool, tuple[str, ...]]


class Peer(NamedTuple):
    """One file in the words of pyelftools.

    Attributes:
        needed, soname, rpath, runpath: The names of the dynamic section.
        needs: (file, ((version, index, weak), ...)) of DT_VERNEED.
        definitions: (version, index, base, parents) of DT_VERDEF.
        undefined: (name, version, file, weak).
        defined: (name, version, binding, default).
    """

    needed: tuple[str, ...]
    soname: str | None
    rpath: str | None
    runpath: str | None
    needs: tuple[Need, ...]
    definitions: tuple[Definition, ...]
    undefined: tuple[tuple[str, str | None, str | None, bool], ...]
    defined: tuple[tuple[str, str | None, int, bool], ...]


def peer_of(data: bytes) -> Peer:
    """What pyelftools reads from a file that has section headers."""
    elf = ELFFile(io.BytesIO(data))
    texts: dict[str, list[str]] = {"needed": [], "soname": [], "rpath": [], "runpath": []}
    for segment in elf.iter_segments("PT_DYNAMIC"):
        assert isinstance(segment, DynamicSegment)
        for tag in segment.iter_tags():
            kind = str(tag.entry.d_tag).removeprefix("DT_").lower()
            if kind in texts:
                texts[kind].append(str(getattr(tag, kind)))
    sections: dict[str, Any] = {}
    for section in elf.iter_sections():
        sections.setdefault(str(section["sh_type"]), section)
    needs = tuple(_needs(sections.get("SHT_GNU_verneed")))
    definitions = tuple(_definitions(sections.get("SHT_GNU_verdef")))
    symbols = list(_symbols(sections.get("SHT_DYNSYM"), sections.get("SHT_GNU_versym")))
    asked = {index: (version, file) for file, versions in needs for version, index, _ in versions}
    named = {index: version for version, index, base, _ in definitions if not base}
    undefined = tuple(
        (name, *asked.get(number & 0x7FFF, (None, None)), binding == 2)
        for name, binding, here, number in symbols
        if not here
    )
    defined = tuple(
        # A program has its own copy of variables such as stdout: defined here, under the version of another file.
        (name, named.get(number & 0x7FFF, asked.get(number & 0x7FFF, (None,))[0]), binding, number < 0x8000)
        for name, binding, here, number in symbols
        if here and binding
    )
    one = {kind: names[-1] if names else None for kind, names in texts.items()}
    return Peer(
        needed=tuple(texts["needed"]),
        soname=one["soname"],
        rpath=one["rpath"],
        runpath=one["runpath"],
        needs=needs,
        definitions=definitions,
        undefined=undefined,
        defined=defined,
    )


def relocations_of(data: bytes) -> list[tuple[int, int, int, int | None]]:
    """(address, kind, number of the symbol, addend) of each dynamic relocation that is not packed, by pyelftools."""
    segment = next(ELFFile(io.BytesIO(data)).iter_segments("PT_DYNAMIC"))
    assert isinstance(segment, DynamicSegment)
    found: Any = segment.get_relocation_tables()
    tables = {name: table for name, table in found.items() if name in {"REL", "RELA"}}
    return [
        (row["r_offset"], row["r_info_type"], row["r_info_sym"], row["r_addend"] if name == "RELA" else None)
        for name, table in tables.items()
        for row in table.iter_relocations()
    ]


def dynamic_of(data: bytes) -> dict[str, int]:
    """The entries of the dynamic section by their names; of those with one name the last."""
    segment = next(ELFFile(io.BytesIO(data)).iter_segments("PT_DYNAMIC"))
    assert isinstance(segment, DynamicSegment)
    return {str(tag.entry.d_tag): tag.entry.d_val for tag in segment.iter_tags()}


def offset_of(data: bytes, address: int) -> int:
    """Where the byte at an address stands in the file."""
    return int(next(iter(ELFFile(io.BytesIO(data)).address_offsets(address))))


def word_at(data: bytes, address: int) -> int:
    """The word at an address."""
    elf = ELFFile(io.BytesIO(data))
    (offset,) = elf.address_offsets(address)
    code = ("<" if elf.little_endian else ">") + ("I" if elf.elfclass == 32 else "Q")
    return int(struct.unpack_from(code, data, offset)[0])


def packed_of(data: bytes) -> list[int]:
    """The addresses that packed relocations (DT_RELR) relocate, by pyelftools."""
    segment = next(ELFFile(io.BytesIO(data)).iter_segments("PT_DYNAMIC"))
    assert isinstance(segment, DynamicSegment)
    found: Any = segment.get_relocation_tables()
    return [row["r_offset"] for row in found["RELR"].iter_relocations()] if "RELR" in found else []


def _needs(section: Any) -> Iterator[Need]:
    for need, versions in section.iter_versions() if section else ():
        rows = ((v.name, v.entry["vna_other"] & 0x7FFF, bool(v.entry["vna_flags"] & 2)) for v in versions)
        yield need.name, tuple(rows)


def _definitions(section: Any) -> Iterator[Definition]:
    for definition, names in section.iter_versions() if section else ():
        first, *others = [name.name for name in names]
        entry = definition.entry
        yield first, entry["vd_ndx"] & 0x7FFF, bool(entry["vd_flags"] & 1), tuple(others)


def _symbols(section: Any, versions: Any) -> Iterator[tuple[str, int, bool, int]]:
    """(name, binding, whether defined, entry of DT_VERSYM) of each symbol with a name."""
    for number in range(section.num_symbols() if section else 0):
        symbol = section.get_symbol(number)
        if not symbol.name:
            continue
        bind = symbol.entry["st_info"]["bind"]
        version = versions.get_symbol(number).entry["ndx"] if versions else 1
        defined = symbol.entry["st_shndx"] != "SHN_UNDEF"
        # pyelftools gives the name of a number where it knows one.
        binding = bind if isinstance(bind, int) else _BINDINGS.get(bind, 0)
        yield symbol.name, binding, defined, version if isinstance(version, int) else _RESERVED_INDEX[version]


def elf_files(roots: Iterable[Path]) -> list[Path]:
    """Every ELF file below some folders once, the largest first; links are not followed."""
    found: dict[tuple[int, int], tuple[int, Path]] = {}
    for root in roots:
        for path in root.rglob("*"):
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                with path.open("rb") as stream:
                    if stream.read(4) == b"\x7fELF":
                        status = path.stat()
                        found[status.st_dev, status.st_ino] = status.st_size, path
            except PermissionError:
                continue
    return [path for _, path in sorted(found.values(), key=lambda row: (-row[0], row[1]))]


def without_sections(data: bytes) -> bytes:
    """The same file with no section headers announced: e_shoff, e_shnum, e_shstrndx are zero."""
    changed = bytearray(data)
    wide = data[4] == 2
    changed[0x28 if wide else 0x20 : 0x30 if wide else 0x24] = bytes(8 if wide else 4)
    start = 0x3C if wide else 0x30
    changed[start : start + 4] = bytes(4)
    return bytes(changed)
