"""Dynamic relocations: read them, and point references to a variable somewhere else.

Source for DT_RELR: the gABI, chapter "Dynamic Section".
"""

from __future__ import annotations

import struct
import sys
from array import array

from deloc8.elf import constants as c
from deloc8.elf.refusals import impossible
from deloc8.machines import has_addends, row_by_number
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import View
    from deloc8.machines import MachineRow


WORD = {32: "I", 64: "Q"}  # the code of a word for `struct` and for `array`, which has it of the same size


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of relocation table.

    Attributes:
        table: The tag that leads to it.
        size: The tag of its size in bytes.
        entry: The tag of the size of an entry.
        count: The tag that counts the relative relocations at its beginning.
        section: The type of its section header.
        words: How many words an entry has.
    """

    table: int
    size: int
    entry: int
    count: int
    section: int
    words: int

    def entry_size(self, view: View) -> int:
        """The bytes of an entry."""
        return self.words * view.layout.bits // 8


RELA = Shape(table=c.DT_RELA, size=c.DT_RELASZ, entry=c.DT_RELAENT, count=c.DT_RELACOUNT, section=c.SHT_RELA, words=3)
REL = Shape(table=c.DT_REL, size=c.DT_RELSZ, entry=c.DT_RELENT, count=c.DT_RELCOUNT, section=c.SHT_REL, words=2)


def shape_of(view: View) -> Shape:
    """The kind of relocations that a file's machine has."""
    return RELA if has_addends(view.header.e_machine) else REL


def _row(view: View) -> MachineRow:
    """The numbers of the relocations of a file's machine."""
    row = row_by_number(view.header.e_machine, view.layout.bits)
    if row is None:
        why = f"the relocations of machine {view.header.e_machine} are not known"
        raise impossible(view.name, why, "link it anew on an older system")
    return row


def _tables(table: DynamicTable) -> Iterator[tuple[int, Shape, int, int]]:
    """The relocation tables: the tag that leads to each, its kind, offset and size."""
    values = table.values
    rows = [
        (RELA, "DT_RELA", c.DT_RELA, c.DT_RELASZ),
        (REL, "DT_REL", c.DT_REL, c.DT_RELSZ),
        (RELA if values.get(c.DT_PLTREL) == c.DT_RELA else REL, "DT_JMPREL", c.DT_JMPREL, c.DT_PLTRELSZ),
    ]
    for shape, field, tag, size_tag in rows:
        if tag in values and values.get(size_tag, 0):
            yield tag, shape, table.locate(field, tag), values[size_tag]


def _columns(view: View, shape: Shape, start: int, size: int) -> tuple[array[int], array[int], array[int] | None]:
    """The fields of all entries of a table: r_offset, r_info, and r_addend; None where they have none.

    Raises:
        ElfError: The table reaches beyond the end of the file.
    """
    entry = shape.entry_size(view)
    words = array(WORD[view.layout.bits], view.slice("a relocation table", start, size // entry * entry))
    if view.layout.little_endian != (sys.byteorder == "little"):
        words.byteswap()
    addresses, infos = array("Q", words[:: shape.words]), array("Q", words[1 :: shape.words])
    return addresses, infos, array("Q", words[2 :: shape.words]) if shape is RELA else None


NO_WORD = (1 << 64) - 1
"""Addend where the file has none; only 32-bit machines have relocations without addends."""


class Relocations(NamedTuple):
    """The entries of one relocation table, field by field: a file may have millions.

    Attributes:
        addresses: What is relocated.
        infos: How, and with which symbol: r_info, which `info_shift` takes apart.
        addends: What is added: of the entry, or the word at the address; NO_WORD where the file has no such word.
    """

    addresses: array[int]
    infos: array[int]
    addends: array[int]


def read_relocations(table: DynamicTable) -> Mapping[int, Relocations]:
    """The relocations of the ordinary tables, by the tag that leads to each: DT_RELA, DT_REL or DT_JMPREL.

    Raises:
        ElfError: A table reaches beyond the end of the file.
    """
    found = {}
    for tag, shape, start, size in _tables(table):
        addresses, infos, addends = _columns(table.view, shape, start, size)
        found[tag] = Relocations(addresses, infos, words_at(table.view, addresses) if addends is None else addends)
    return found


NO_RELOCATION = 0
"""r_info of an entry that does nothing, R_*_NONE: 0 on every machine."""


def info_shift(view: View) -> int:
    """By how many bits r_info must be shifted to give the number of the symbol; those below are the kind."""
    return 32 if view.layout.bits == 64 else 8  # noqa: PLR2004  the widths are what they are


def relative_kind(view: View) -> int:
    """The number of the relocation that adds the load address.

    Raises:
        ElfError: The machine's relocations are not known.
    """
    return _row(view).relative


def words_at(view: View, addresses: Iterable[int]) -> array[int]:
    """The words at some addresses; NO_WORD where the file has no contents for one."""
    loads = [segment for segment in view.segments if segment.type == c.PT_LOAD]
    word = struct.Struct(_order(view) + WORD[view.layout.bits])
    found = array("Q")
    data = memoryview(view.data)  # type: ignore[arg-type] # relocations are read of whole files alone
    home = None  # as a rule the segment of the last address is that of the next
    for address in addresses:
        if home is None or not 0 <= address - home.vaddr < home.filesz:
            home = next((load for load in loads if 0 <= address - load.vaddr < load.filesz), None)
        offset = view.size if home is None else address - home.vaddr + home.offset
        found.append(word.unpack_from(data, offset)[0] if offset + word.size <= view.size else NO_WORD)
    return found


def zero_patches(
    table: DynamicTable, numbers: list[int], name: str, *, copies: Mapping[int, int]
) -> tuple[tuple[int, bytes], ...]:
    """Patches that let every pointer to some symbols point to a zero byte: offsets and new bytes.

    Of `copies`, the variables that a program has room for, with its address, the room is never filled: it is zero.

    Raises:
        ElfError: Anything else refers to one of them, or the file has no byte that is sure to stay zero.
    """
    view, shift, wanted = table.view, info_shift(table.view), frozenset((*numbers, *copies))
    machine = _row(view)
    zero = _zero_address(view)
    patches: dict[int, bytes] = {}
    for _, shape, start, size in _tables(table):
        addresses, infos, addends = _columns(view, shape, start, size)
        for row in [row for row, info in enumerate(infos) if info >> shift in wanted]:
            address, kind = addresses[row], infos[row] & (1 << shift) - 1
            place = start + row * shape.entry_size(view)
            if copies.get(infos[row] >> shift) == address and words_at(view, [address])[0] in {0, NO_WORD}:
                patches[place] = _pack_words(view, *(address, NO_RELOCATION, 0)[: shape.words])
                continue
            addend = word_at(view, address)[1] if addends is None else addends[row]
            if kind not in machine.pointers or addend:
                why = f"`{name}` is referred to by relocation {kind}, which is no plain pointer"
                raise impossible(view.name, why, "compile it with -fPIC, or link it on an older system")
            patches[place] = _pack_words(view, *(address, machine.relative, zero)[: shape.words])
            if shape is REL:
                where, _ = word_at(view, address)
                patches[where] = _pack_words(view, zero)
    return tuple(patches.items())


def word_at(view: View, address: int) -> tuple[int, int]:
    """Where the word at an address stands in the file, and its value.

    Raises:
        ElfError: The file has no contents there.
    """
    offset = view.offset_of("r_offset", address)
    return offset, view.numbers("a relocated word", offset, 1, WORD[view.layout.bits])[0]


def _order(view: View) -> str:
    return "<" if view.layout.little_endian else ">"


def _pack_words(view: View, *values: int) -> bytes:
    return struct.pack(f"{_order(view)}{len(values)}{WORD[view.layout.bits]}", *values)


# The last byte of e_ident is padding, which the gABI keeps zero; nothing that edits files moves it.
_LAST_OF_IDENT = 15


def _zero_address(view: View) -> int:
    loads = [segment for segment in view.segments if segment.type == c.PT_LOAD]
    homes = [load for load in loads if load.offset <= _LAST_OF_IDENT < load.offset + load.filesz]
    if homes and view.data[_LAST_OF_IDENT] == 0:
        return homes[0].vaddr + _LAST_OF_IDENT - homes[0].offset
    why = "its file header is not part of a segment, so that there is no byte that is sure to stay zero"
    raise impossible(view.name, why, "link it on an older system")


def packed_addresses(table: DynamicTable) -> Iterator[int]:
    """The addresses that DT_RELR relocates.

    Raises:
        ElfError: The table reaches beyond the end of the file, or has more entries than the file has words.
    """
    view, width = table.view, table.view.layout.bits // 8
    offset, size = table.locate("DT_RELR", c.DT_RELR), table.values.get(c.DT_RELRSZ, 0)
    left = view.size // width
    where = 0
    for word in view.numbers("DT_RELR", offset, size // width, WORD[width * 8]):
        addresses = [word] if not word & 1 else [where + i * width for i in range(width * 8 - 1) if word >> (i + 1) & 1]
        where = where + (width * 8 - 1) * width if word & 1 else word + width
        left -= len(addresses)
        if left < 0:
            raise view.sick("DT_RELR", offset, "relocates more words than the file has")
        yield from addresses
