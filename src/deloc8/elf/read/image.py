"""One ELF file as a value: everything that an audit asks, read in one pass over its headers and dynamic section."""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.elf.read.dynamic import Dynamic, read_dynamic, read_table
from deloc8.elf.read.notes import Note, read_notes
from deloc8.elf.read.symbols import (
    DefinedSymbol,
    UndefinedSymbol,
    read_copied,
    read_defined,
    read_defined_names,
    read_undefined,
)
from deloc8.elf.read.versions import DefinedVersion, VersionNeed, read_defined_versions, read_version_needs
from deloc8.elf.read.view import View
from deloc8.target import arch_of_elf
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.dynamic import Link
    from deloc8.elf.read.view import Readable, Section, Segment
    from deloc8.target import Arch


class Mention(NamedTuple):
    """The name of a library among the constants of a file, and the offset at which it is first."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfImage:
    """One ELF file.

    Attributes:
        bits: 32 or 64.
        little_endian: The byte order.
        machine: e_machine.
        flags: e_flags.
        type: e_type; ET_DYN for libraries and position-independent programs.
        segments: The program headers.
        sections: The section headers; empty where the file has none.
        interpreter: PT_INTERP, the loader that a program asks for.
        dynamic: The names and flags of PT_DYNAMIC; None where there is none (a static program, an object file).
        version_needs: The versions needed of other files.
        defined_versions: The versions that the file defines.
        undefined: The symbols it asks of others.
        notes: Its notes.
        mentions: Names of libraries among its constants; empty where nobody looked.
        copied: The variables of others that a program has copies of; they count as asked for, too.
        has_payload: Whether data follows its ELF part.
        runs_stack: Whether it asks for an executable stack, and its code is seen to run there.
    """

    bits: int
    little_endian: bool
    machine: int
    flags: int
    type: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    interpreter: str | None
    dynamic: Dynamic | None
    version_needs: tuple[VersionNeed, ...]
    defined_versions: tuple[DefinedVersion, ...]
    undefined: tuple[UndefinedSymbol, ...]
    notes: tuple[Note, ...]
    mentions: tuple[Mention, ...] = ()
    copied: tuple[UndefinedSymbol, ...] = ()
    runs_stack: bool = False
    has_payload: bool = False

    @property
    def arch(self) -> Arch | None:
        """The machine; None where the policies know none like it."""
        return arch_of_elf(self.machine, bits=self.bits, little_endian=self.little_endian, flags=self.flags)

    @property
    def needed(self) -> tuple[str, ...]:
        """DT_NEEDED; empty for a static program."""
        return self.dynamic.needed if self.dynamic else ()

    @property
    def filters(self) -> tuple[Link, ...]:
        """DT_FILTER and DT_AUXILIARY."""
        return self.dynamic.filters if self.dynamic else ()

    @property
    def audits(self) -> tuple[Link, ...]:
        """The names of DT_AUDIT and DT_DEPAUDIT of a program; ld.so does not look at those of a library."""
        return self.dynamic.audits if self.dynamic and self.dynamic.audits and self.is_executable else ()

    @property
    def linked(self) -> tuple[str, ...]:
        """The libraries that the file takes symbols from: DT_NEEDED, DT_FILTER and DT_AUXILIARY, each once."""
        filters = self.filters
        return tuple(dict.fromkeys([*self.needed, *(link.name for link in filters)])) if filters else self.needed

    @property
    def soname(self) -> str | None:
        """DT_SONAME."""
        return self.dynamic.soname if self.dynamic else None

    @property
    def is_executable(self) -> bool:
        """Whether it is a program: not a shared library, an object file or a core dump."""
        if self.type == c.ET_EXEC:
            return True
        if self.type != c.ET_DYN:
            return False
        # A library can carry PT_INTERP too (libc.so.6 does); DF_1_PIE tells them apart where linkers set it.
        is_pie = bool(self.dynamic and self.dynamic.flags_1 & c.DF_1_PIE)
        return is_pie or (self.interpreter is not None and self.soname is None)


def parse(data: Readable, name: str) -> ElfImage:
    """The image of a file's bytes; `name` is how errors call the file.

    Raises:
        ElfError: The file is cut short or contradicts itself; says which field at which offset.
    """
    return parse_counted(data, name)[0]


def parse_counted(data: Readable, name: str) -> tuple[ElfImage, int]:
    """The image of a file's bytes, and how many bytes of names were read from its string table for it.

    Raises:
        ElfError: As for `parse`.
    """
    view = View.open(data, name)
    table = read_table(view)
    needs = read_version_needs(table) if table else ()
    interpreter = _read_interpreter(view)
    image = ElfImage(
        bits=view.layout.bits,
        little_endian=view.layout.little_endian,
        machine=view.header.e_machine,
        flags=view.header.e_flags,
        type=view.header.e_type,
        segments=view.segments,
        sections=view.sections,
        interpreter=interpreter,
        dynamic=read_dynamic(table) if table else None,
        version_needs=needs,
        defined_versions=read_defined_versions(table) if table else (),
        undefined=read_undefined(table, needs) if table else (),
        notes=read_notes(view),
        copied=read_copied(table, needs) if table and interpreter else (),
        runs_stack=table is not None and _runs_stack(view),
        has_payload=view.has_payload,
    )
    return image, table.names_read if table else 0


def parse_defined(data: Readable, name: str) -> tuple[DefinedSymbol, ...]:
    """The symbols that a file offers; apart from `parse`, because few questions need them and they can be many.

    Raises:
        ElfError: As for `parse`.
    """
    table = read_table(View.open(data, name))
    return read_defined(table, read_defined_versions(table), read_version_needs(table)) if table else ()


def _runs_stack(view: View) -> bool:
    """Whether a file asks for an executable stack, by PT_GNU_STACK or for want of it, and its code runs there."""
    flags = [segment.flags for segment in view.segments if segment.type == c.PT_GNU_STACK]
    if flags and not flags[-1] & c.PF_X:
        return False
    from deloc8.elf.read.trampolines import writes_trampolines  # noqa: PLC0415  few files ask for one

    return writes_trampolines(view)


def parse_defined_names(data: Readable, name: str, wanted: frozenset[str] | None = None) -> frozenset[str]:
    """The names of the symbols that a file offers, of whatever version; `wanted` as for `read_defined_names`.

    Raises:
        ElfError: As for `parse`.
    """
    table = read_table(View.open(data, name))
    return read_defined_names(table, wanted) if table else frozenset()


def _read_interpreter(view: View) -> str | None:
    for segment in view.segments:
        if segment.type == c.PT_INTERP and segment.filesz:
            raw = view.slice("PT_INTERP", segment.offset, segment.filesz)
            return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    return None
