"""The fixed-size records of ELF, declared once for both classes and both byte orders.

Each table lists the fields in their order in the file, as the System V gABI (chapters 4 and 5) and the Linux
Standard Base (symbol versioning) name them. ``W`` stands for a word as wide as a pointer.
"""

from __future__ import annotations

import struct
from functools import cached_property

from deloc8.values import dataclass

# A 64-bit symbol and program header have their fields in another order, so those two have a table for each class.
_FILE_HEADER = (
    ("e_ident", "16s"),
    ("e_type", "H"),
    ("e_machine", "H"),
    ("e_version", "I"),
    ("e_entry", "W"),
    ("e_phoff", "W"),
    ("e_shoff", "W"),
    ("e_flags", "I"),
    ("e_ehsize", "H"),
    ("e_phentsize", "H"),
    ("e_phnum", "H"),
    ("e_shentsize", "H"),
    ("e_shnum", "H"),
    ("e_shstrndx", "H"),
)
_PROGRAM_HEADER = {
    32: (
        ("p_type", "I"),
        ("p_offset", "I"),
        ("p_vaddr", "I"),
        ("p_paddr", "I"),
        ("p_filesz", "I"),
        ("p_memsz", "I"),
        ("p_flags", "I"),
        ("p_align", "I"),
    ),
    64: (
        ("p_type", "I"),
        ("p_flags", "I"),
        ("p_offset", "Q"),
        ("p_vaddr", "Q"),
        ("p_paddr", "Q"),
        ("p_filesz", "Q"),
        ("p_memsz", "Q"),
        ("p_align", "Q"),
    ),
}
_SECTION_HEADER = (
    ("sh_name", "I"),
    ("sh_type", "I"),
    ("sh_flags", "W"),
    ("sh_addr", "W"),
    ("sh_offset", "W"),
    ("sh_size", "W"),
    ("sh_link", "I"),
    ("sh_info", "I"),
    ("sh_addralign", "W"),
    ("sh_entsize", "W"),
)
_DYNAMIC = (("d_tag", "W"), ("d_val", "W"))
_SYMBOL = {
    32: (
        ("st_name", "I"),
        ("st_value", "I"),
        ("st_size", "I"),
        ("st_info", "B"),
        ("st_other", "B"),
        ("st_shndx", "H"),
    ),
    64: (
        ("st_name", "I"),
        ("st_info", "B"),
        ("st_other", "B"),
        ("st_shndx", "H"),
        ("st_value", "Q"),
        ("st_size", "Q"),
    ),
}
_VERNEED = (("vn_version", "H"), ("vn_cnt", "H"), ("vn_file", "I"), ("vn_aux", "I"), ("vn_next", "I"))
_VERNAUX = (("vna_hash", "I"), ("vna_flags", "H"), ("vna_other", "H"), ("vna_name", "I"), ("vna_next", "I"))
_VERDEF = (
    ("vd_version", "H"),
    ("vd_flags", "H"),
    ("vd_ndx", "H"),
    ("vd_cnt", "H"),
    ("vd_hash", "I"),
    ("vd_aux", "I"),
    ("vd_next", "I"),
)
_VERDAUX = (("vda_name", "I"), ("vda_next", "I"))
_NOTE = (("n_namesz", "I"), ("n_descsz", "I"), ("n_type", "I"))


class Record:
    """The layout of one kind of record in one class and byte order."""

    def __init__(self, name: str, fields: tuple[tuple[str, str], ...], *, order: str, word: str) -> None:
        codes = [code.replace("W", word) for _, code in fields]
        self.name = name
        self.struct = struct.Struct(order + "".join(codes))
        self.size = self.struct.size
        self.fields = tuple(field for field, _ in fields)
        self.codes = dict(zip(self.fields, codes, strict=True))
        self.offsets = {field: struct.calcsize(order + "".join(codes[:i])) for i, field in enumerate(self.fields)}


@dataclass(frozen=True)
class Layout:
    """All record layouts of one class (32 or 64 bits) and byte order."""

    bits: int
    little_endian: bool

    def _record(self, name: str, fields: tuple[tuple[str, str], ...]) -> Record:
        return Record(name, fields, order="<" if self.little_endian else ">", word={32: "I", 64: "Q"}[self.bits])

    @cached_property
    def file_header(self) -> Record:
        """Elf_Ehdr."""
        return self._record("file header", _FILE_HEADER)

    @cached_property
    def program_header(self) -> Record:
        """Elf_Phdr."""
        return self._record("program header", _PROGRAM_HEADER[self.bits])

    @cached_property
    def section_header(self) -> Record:
        """Elf_Shdr."""
        return self._record("section header", _SECTION_HEADER)

    @cached_property
    def dynamic(self) -> Record:
        """Elf_Dyn; the tag is read as an unsigned number."""
        return self._record("dynamic entry", _DYNAMIC)

    @cached_property
    def symbol(self) -> Record:
        """Elf_Sym."""
        return self._record("symbol", _SYMBOL[self.bits])

    @cached_property
    def verneed(self) -> Record:
        """Elf_Verneed."""
        return self._record("version need", _VERNEED)

    @cached_property
    def vernaux(self) -> Record:
        """Elf_Vernaux."""
        return self._record("needed version", _VERNAUX)

    @cached_property
    def verdef(self) -> Record:
        """Elf_Verdef."""
        return self._record("version definition", _VERDEF)

    @cached_property
    def verdaux(self) -> Record:
        """Elf_Verdaux."""
        return self._record("version name", _VERDAUX)

    @cached_property
    def note(self) -> Record:
        """Elf_Nhdr; its words have 32 bits in both classes."""
        return self._record("note header", _NOTE)


LAYOUTS = {(bits, little): Layout(bits=bits, little_endian=little) for bits in (32, 64) for little in (True, False)}
