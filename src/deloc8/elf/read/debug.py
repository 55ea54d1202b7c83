"""How much of an ELF file is debug information."""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.elf.read.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.view import Buffer

_PREFIXES = (b".debug_", b".zdebug_")


def debug_size(data: Buffer, name: str) -> int:
    """The bytes that sections with debug information take in a file; `name` is how errors call it.

    A section that is loaded does not count: `.debug_gdb_scripts` of Rust is a few bytes of data.

    Raises:
        ElfError: The headers are no ELF headers, or point outside the file.
    """
    view = View.open(data, name)
    if view.header.e_shstrndx >= len(view.sections):
        return 0
    table = view.sections[view.header.e_shstrndx]
    names = bytes(data[table.offset : table.offset + table.size])
    return sum(
        section.size
        for section in view.sections
        if section.type != c.SHT_NOBITS
        and not section.flags & c.SHF_ALLOC
        and names.startswith(_PREFIXES, section.name)
    )
