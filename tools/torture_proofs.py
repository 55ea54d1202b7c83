"""What is proven of an edited ELF file, all of it by other programs: readelf, LIEF, pyelftools, the loader."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lief
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE

from deloc8.machines import arch_of_elf
from kit.editor_check import layout_complaint, names_of, readelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kit.editor_check import Names

lief.logging.disable()
TIME_LIMIT = 120

# Where the numbers of readelf's output stand that say where a table is, and not what is in it.
_PLACES = re.compile(
    r" at offset 0x[0-9a-f]+|^ Addr: 0x[0-9a-f]+ +Offset: 0x[0-9a-f]+ +Link: .*|^  *0x[0-9a-f]+: ", re.MULTILINE
)
_INDEX = re.compile(r" ((?:DEFAULT|PROTECTED|HIDDEN|INTERNAL)(?: +\[[^]]*\])?) +\d+ ")
# Tables that an editor may move or write anew: readelf's reading of them is compared instead of their bytes.
_TABLES = frozenset(
    {"SHT_DYNAMIC", "SHT_STRTAB", "SHT_HASH", "SHT_GNU_HASH", "SHT_DYNSYM", "SHT_NOTE", "SHT_REL", "SHT_RELA"}
    | {"SHT_GNU_verneed", "SHT_GNU_verdef", "SHT_GNU_versym", "SHT_RELR", "SHT_PROGBITS:.interp"}
)
PT_LOAD = "PT_LOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How files of a machine are loaded and stripped here.

    Attributes:
        run: The command before the loader's path, such as an emulator.
        loader: The loader; empty where there is none.
        root: The folder whose libraries the loader finds; "" is this machine's.
        strip: The program that strips its files; empty where there is none.
        is_musl: Whether the loader is musl's.
    """

    run: tuple[str, ...] = ()
    loader: str = ""
    root: str = ""
    strip: str = ""
    is_musl: bool = False


# The emulator of each machine: qemu's name of it. This computer's own needs none.
_EMULATORS = {
    "x86_64": "",
    "i686": "i386",
    "aarch64": "aarch64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


def machine_of(elf: ELFFile, needed: Sequence[str]) -> Machine:
    """What this computer has for the machine and the C library of a file."""
    machine = _machine_of(elf)
    if not any(name == "libc.so" or name.startswith("libc.musl-") for name in needed):
        return machine
    place = Path("/lib/ld-musl-x86_64.so.1")
    is_own = not machine.run and machine.loader and place.exists()
    return replace(machine, run=(), loader=str(place) if is_own else "", root="", is_musl=True)


def _machine_of(elf: ELFFile) -> Machine:
    number = ENUM_E_MACHINE.get(elf["e_machine"], 0)
    arch = arch_of_elf(number, bits=elf.elfclass, little_endian=elf.little_endian, flags=elf["e_flags"])
    if arch is None or arch.value not in _EMULATORS:
        return Machine(strip=shutil.which("llvm-strip") or "")
    qemu, triple, loader = _EMULATORS[arch.value], arch.row.triplet, arch.row.loader_name
    strip = shutil.which(f"{triple}-strip") or shutil.which("llvm-strip") or ""
    if not qemu:
        place = Path("/lib64", loader)
        return Machine(loader=str(place) if place.exists() else "", strip=shutil.which("strip") or strip)
    emulator = shutil.which(f"qemu-{qemu}-static")
    place = Path("/usr", triple, "lib", loader)
    if emulator is None or not place.exists():
        return Machine(strip=strip)
    return Machine(run=(emulator, "-L", f"/usr/{triple}"), loader=str(place), root=f"/usr/{triple}", strip=strip)


class Loaded(NamedTuple):
    """What the loader would do with a file: what it loads, and what it complains of."""

    code: int
    libraries: frozenset[str]
    complaints: tuple[str, ...]


@dataclass
class Subject:
    """An ELF file on disk, read once."""

    path: Path
    machine: Machine = field(default_factory=Machine)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Dynamic symbols, versions and relocations, as readelf shows them, without where they stand."""
        text = _INDEX.sub(r" \1 def ", _PLACES.sub("", "\n".join(self._first[0])))
        return tuple(line for line in text.split("\n") if line.strip() and not line.endswith(" _DYNAMIC"))

    @cached_property
    def complaints(self) -> frozenset[str]:
        """What readelf complains of, without numbers."""
        _, more = readelf(self.path, "-hlSdnuA", "-W")
        return frozenset(re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "N", line) for line in (*self._first[1], *more))

    @cached_property
    def _first(self) -> tuple[list[str], list[str]]:
        return readelf(self.path, "--dyn-syms", "-W", "-V", "-r")

    @cached_property
    def layout(self) -> str:
        """What LIEF holds against it."""
        return layout_complaint(self.path)

    @cached_property
    def loaded(self) -> Loaded:
        """What its loader would load, as `ldd` shows it."""
        found = set()
        complaints = []
        for line in self._listing.stdout.splitlines() + self._listing.stderr.splitlines():
            plain, mapped, _ = line.strip().partition(" (0x")
            place = plain.rpartition(" => ")[2]
            if mapped and place.startswith("/"):
                found.add(self._real(place))
            elif not mapped:
                # A library is told by its name: its place is another one where it has a new name.
                complaints.append(re.sub(r"/\S*/", "", plain.replace(str(self.path), "FILE")))
        return Loaded(self._listing.returncode, frozenset(found), tuple(sorted(complaints)))

    def place_of(self, name: str) -> str | None:
        """Where the loader finds a library that the file needs."""
        found = re.search(rf"^\s*{re.escape(name)} => (/.*) \(0x", self._listing.stdout, re.MULTILINE)
        return self._real(found[1]) if found else None

    @cached_property
    def _listing(self) -> subprocess.CompletedProcess[str]:
        if self.machine.is_musl:
            return self._run([self.machine.loader, "--list", str(self.path)], dict(os.environ))
        # glibc's `--list` ends at the first library that is missing; this names it and goes on.
        emulated = ("-E", "LD_TRACE_LOADED_OBJECTS=1") if self.machine.run else ()
        command = [*self.machine.run, *emulated, self.machine.loader, str(self.path)]
        environ = dict(os.environ) if self.machine.run else {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}
        return self._run(command, environ)

    @staticmethod
    def _run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=TIME_LIMIT, env=environ
        )

    def _real(self, place: str) -> str:
        inside = self.machine.root + place
        return os.path.realpath(inside if self.machine.root and Path(inside).exists() else place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an edited file must be like.

    Attributes:
        names: Its dynamic section.
        renamed: The new names of needed files by their old ones.
        loads: Whether the loader must load the same as for the original.
    """

    names: Names
    renamed: Mapping[str, str]
    loads: bool


def problems(before: Subject, after: Subject, wanted: Wanted) -> Iterator[str]:
    """What is wrong with an edited file, a word for each kind of fault."""
    if names_of(after.path) != wanted.names:
        yield "names"
    if after.complaints - before.complaints:
        yield "readelf"
    if after.layout and after.layout != before.layout:
        yield "LIEF"
    if list(after.tables) != [_rename(line, wanted.renamed) for line in before.tables]:
        yield "tables"
    yield from _differing_segments(before.path, after.path)
    if wanted.loads and before.machine.loader and not loads_alike(before, after, wanted.renamed):
        yield "loader"


def _rename(line: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        line = line.replace(f"File: {old} ", f"File: {new} ")
    return line


def loads_alike(before: Subject, after: Subject, renamed: Mapping[str, str]) -> bool:
    """Whether the loader does the same with both, but for new names."""
    old, new = before.loaded, after.loaded
    told = [_both_named(line, renamed) for line in new.complaints]
    return (old.code, old.libraries, sorted(old.complaints)) == (new.code, new.libraries, sorted(told))


def _both_named(line: str, renamed: Mapping[str, str]) -> str:
    for old, name in renamed.items():
        line = line.replace(name, old)
    return line


class _Segment(NamedTuple):
    """A part of a file that is loaded: from where, to where, with which rights."""

    address: int
    offset: int
    size: int
    memory: int
    flags: int


def _segments(elf: ELFFile) -> list[_Segment]:
    found = []
    for segment in elf.iter_segments():
        if segment["p_type"] == PT_LOAD:
            head = segment.header
            found.append(_Segment(head.p_vaddr, head.p_offset, head.p_filesz, head.p_memsz, head.p_flags))
    return found


class _Section(NamedTuple):
    """What is loaded of a section: from where in the file, to which address."""

    address: int
    offset: int
    size: int


def _contents(elf: ELFFile) -> Iterator[_Section]:
    """All that is loaded beside headers and tables."""
    for section in elf.iter_sections():
        kind = section["sh_type"]
        if section["sh_flags"] & 2 and kind != "SHT_NOBITS" and not {kind, f"{kind}:{section.name}"} & _TABLES:
            yield _Section(section["sh_addr"], section["sh_offset"], section["sh_size"])


def _dynamic_address(elf: ELFFile) -> int:
    return next((int(segment["p_vaddr"]) for segment in elf.iter_segments() if segment["p_type"] == "PT_DYNAMIC"), 0)


class _Move(NamedTuple):
    """Where the dynamic section stood and stands, and the struct code of an address."""

    before: int
    after: int
    code: str


def _differing_segments(before: Path, after: Path) -> Iterator[str]:
    """Whether all that is loaded beside headers and tables is as it was: contents, size, rights."""
    with before.open("rb") as old_file, after.open("rb") as new_file:
        old, new = ELFFile(old_file), ELFFile(new_file)
        code = ("<" if old.little_endian else ">") + ("Q" if old.elfclass == 64 else "I")  # noqa: PLR2004
        move = _Move(_dynamic_address(old), _dynamic_address(new), code)
        segments, loaded = _segments(old), _segments(new)
        old_bytes, new_bytes = before.read_bytes(), after.read_bytes()
        for section in _contents(old):
            start, end = section.address, section.address + section.size
            was, home = _home(start, end, segments), _home(start, end, loaded)
            if home is None or was is None or home.flags != was.flags:
                yield "segments"
                break
            content = old_bytes[section.offset :][: section.size]
            found = new_bytes[start - home.address + home.offset :][: section.size]
            if not _alike(content, found, start, move):
                yield "segments"
                break
        for segment in segments:
            grows = segment.memory > segment.size
            if grows and not any(s.address == segment.address and s.memory >= segment.memory for s in loaded):
                yield "zeros"
        if any(b.address < a.address + a.memory for a, b in pairwise(sorted(loaded))):
            yield "overlap"


def _home(start: int, end: int, segments: Sequence[_Segment]) -> _Segment | None:
    return next((s for s in segments if s.address <= start and end <= s.address + s.size), None)


def _alike(old: bytes, new: bytes, address: int, move: _Move) -> bool:
    """Whether bytes are equal, but for words that point to the dynamic section."""
    if old == new:
        return True
    before, after, code = move
    size = struct.calcsize(code)
    skew = -address % size
    end = skew + (len(old) - skew) // size * size
    if old[:skew] != new[:skew] or old[end:] != new[end:]:
        return False
    words = zip(struct.iter_unpack(code, old[skew:end]), struct.iter_unpack(code, new[skew:end]), strict=True)
    return all(one == two or (one[0], two[0]) == (before, after) for one, two in words)
