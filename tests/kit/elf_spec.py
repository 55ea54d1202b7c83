"""What a synthetic ELF file shall hold; `kit.elf` builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Hash = Literal["gnu", "sysv", "both", "none"]
Functions = Literal["none", "behind", "apart", "before", "end", "middle", "start"]

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 1, 2, 10
GLIBC = "libc.so.6"
# glibc's elf.h
DT_DEPAUDIT, DT_AUDIT, DT_AUXILIARY, DT_FILTER = 0x6FFFFEFB, 0x6FFFFEFC, 0x7FFFFFFD, 0x7FFFFFFF


class Undefined(NamedTuple):
    """A symbol asked of others; with a version it also asks `file` for that version."""

    name: str
    version: str | None = None
    file: str | None = None
    weak: bool = False


class Defined(NamedTuple):
    """A symbol offered; `hidden` makes its version one that only a reference with that version binds to."""

    name: str
    version: str | None = None
    binding: int = STB_GLOBAL
    hidden: bool = False


class NoteSpec(NamedTuple):
    """A note; GNU property notes (owner GNU, type 5) get a segment of their own, as linkers give them."""

    owner: str
    type: int
    description: bytes


class NeedSpec(NamedTuple):
    """A version asked of a file though no symbol uses it; or one whose weak flag (VER_FLG_WEAK) shall be set."""

    file: str
    version: str
    weak: bool = False


ABI_TAG = NoteSpec("GNU", 1, bytes(16))
"""A note in whose place the editor puts a new segment: a program without room for one cannot be edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfSpec:
    """What the file shall hold; the defaults make an empty x86_64 library.

    Attributes:
        bits, little_endian, machine, flags, type: The file header: class, byte order, e_machine, e_flags, e_type
            (ET_REL has no segments, and no dynamic section).
        dynamic: False for a static program: no dynamic section, no symbols.
        needed, soname, rpath, runpath: DT_NEEDED and so on.
        undefined, defined: The dynamic symbols. Their versions make DT_VERNEED, DT_VERDEF and DT_VERSYM.
        needs: More versions for DT_VERNEED.
        parents: For a defined version the ones it follows on.
        hash: Which hash tables there are.
        relocations: Whether each undefined symbol has a relocation.
        functions: Where DT_JMPREL is, with the relocations of two of the undefined symbols: directly behind the others,
            apart from them, before them; or within DT_RELA, at its end, start or in the middle.
        sections: Whether there are section headers.
        interpreter: PT_INTERP.
        notes: PT_NOTE.
        gnu_stack: p_flags of PT_GNU_STACK (6 read and write, 7 executable too); None leaves the header out.
        align: p_align of the PT_LOADs; offsets and addresses obey it.
        relr: Whether there is a packed relative relocation (DT_RELR).
        textrel: Whether there is a DT_TEXTREL.
        dt_flags, dt_flags_1: DT_FLAGS and DT_FLAGS_1, left out where zero. DF_1_PIE is 0x08000000.
        entries: More entries of the dynamic section, pairs of d_tag and d_val.
        links: More entries whose value is a name, pairs of d_tag and name: DT_FILTER and its like.
        spare_nulls: How many DT_NULL follow the last one.
        spare_headers: How many PT_NULL program headers there are.
        payload: The contents of .rodata, where the defined symbols point.
    """

    bits: int = 64
    little_endian: bool = True
    machine: int = 62
    flags: int = 0
    type: int = ET_DYN
    dynamic: bool = True
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    undefined: tuple[Undefined, ...] = ()
    defined: tuple[Defined, ...] = ()
    needs: tuple[NeedSpec, ...] = ()
    parents: tuple[tuple[str, tuple[str, ...]], ...] = ()
    hash: Hash = "gnu"
    relocations: bool = True
    functions: Functions = "none"
    sections: bool = True
    interpreter: str | None = None
    notes: tuple[NoteSpec, ...] = ()
    gnu_stack: int | None = 6
    align: int = 0x1000
    relr: bool = False
    textrel: bool = False
    dt_flags: int = 0
    dt_flags_1: int = 0
    entries: tuple[tuple[int, int], ...] = ()
    links: tuple[tuple[int, str], ...] = ()
    spare_nulls: int = 4
    spare_headers: int = 0
    payload: bytes = b"deloc8!\0"


# The names are those of platform tags.
MACHINES: Mapping[str, ElfSpec] = {
    "x86_64": ElfSpec(),
    "i686": ElfSpec(bits=32, machine=3),
    "aarch64": ElfSpec(machine=183, align=0x10000),
    "armv7l": ElfSpec(bits=32, machine=40, flags=0x05000400),
    "ppc64le": ElfSpec(machine=21, flags=2, align=0x10000),
    "ppc64": ElfSpec(machine=21, flags=1, little_endian=False, align=0x10000),
    "s390x": ElfSpec(machine=22, little_endian=False),
    "riscv64": ElfSpec(machine=243, flags=5),
    "loongarch64": ElfSpec(machine=258, flags=0x43, align=0x10000),
    "s390": ElfSpec(bits=32, machine=22, little_endian=False),
}


def sysv_hash(name: str) -> int:
    """The hash of DT_HASH and of version records (System V gABI, chapter 5)."""
    value = 0
    for byte in name.encode("utf-8", "surrogateescape"):
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF


def gnu_hash(name: str) -> int:
    """The hash of DT_GNU_HASH: Bernstein's, times 33 from 5381."""
    value = 5381
    for byte in name.encode("utf-8", "surrogateescape"):
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
