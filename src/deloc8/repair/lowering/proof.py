"""The proof that the relocations of a lowered file are what was planned: both files are read, whoever wrote them.

One after the other, and of the first no more is kept than what the second is compared with: large ones have temporary
files.
"""

from __future__ import annotations

from array import array
from itertools import compress

from deloc8.elf import constants as c
from deloc8.elf.edit.vocabulary import BindToZero, JoinRelocations, UnpackRelocations
from deloc8.elf.read.dynamic import are_apart, read_table
from deloc8.elf.read.relocations import (
    NO_RELOCATION,
    REL,
    RELA,
    WORD,
    Relocations,
    info_shift,
    packed_addresses,
    read_relocations,
    relative_kind,
    shape_of,
    words_at,
)
from deloc8.elf.read.symbols import count_symbols
from deloc8.elf.read.versions import read_version_needs
from deloc8.elf.read.view import View
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Buffer


class Planned(NamedTuple):
    """Relocations that a file must have after its edits.

    Attributes:
        tables: Those of each ordinary table, in their order, by its tag, without those of variables that become zeros.
        packed: The addresses of the packed ones.
        zeros: The addresses where a pointer to a byte of zero must be.
        relative: The kind that adds the load address.
        joined: Whether DT_JMPREL must be where glibc before 2.23 takes it to be.
    """

    tables: Mapping[int, Relocations]
    packed: array[int]
    zeros: frozenset[int]
    relative: int
    joined: bool


def planned_relocations(old: Buffer, edits: Sequence[Edit], name: str) -> Planned:
    """Relocations that a file must have after some edits; `name` is how errors call it.

    Raises:
        ElfError: The file is unsound.
    """
    table = _table(old, name)
    view, relative = table.view, relative_kind(table.view)
    tables, packed = _apart(table), _packed(table)
    constants = {(edit.symbol, edit.old) for edit in edits if isinstance(edit, BindToZero)}
    zeros = _bind_to_zero(table, tables, constants) if constants else frozenset()
    if any(isinstance(edit, UnpackRelocations) for edit in edits):
        unpacked = Relocations(packed, array("Q", [relative]) * len(packed), words_at(view, packed))
        tag = shape_of(view).table
        tables[tag] = Relocations(*map(array.__add__, unpacked, tables[tag])) if tag in tables else unpacked
        packed = array("Q")
    joined = any(isinstance(edit, JoinRelocations | UnpackRelocations) for edit in edits)
    return Planned(tables, packed, zeros, relative, joined)


def _bind_to_zero(
    table: DynamicTable, tables: dict[int, Relocations], constants: set[tuple[str, str]]
) -> frozenset[int]:
    """Take the relocations of some symbols out of the tables; returns the addresses that become constants of zero."""
    shift = info_shift(table.view)
    numbers = _numbers(table, constants)
    if not numbers:
        return frozenset()
    zeros: set[int] = set()
    for tag, rows in tables.items():
        for place, info in enumerate(rows.infos):
            if numbers.get(info >> shift) == rows.addresses[place]:
                rows.infos[place] = NO_RELOCATION
        is_zero = [info >> shift in numbers for info in rows.infos]
        zeros.update(compress(rows.addresses, is_zero))
        tables[tag] = _pick(rows, [not it_is for it_is in is_zero])
    return frozenset(zeros)


def relocation_problems(planned: Planned, new: Buffer, name: str) -> Iterator[str]:
    """Evidence that the relocations of a file are not those that were planned.

    Raises:
        ElfError: The file is unsound.
    """
    table = _table(new, name)
    tables = _apart(table)
    zeros, others = _sorted_out(tables, planned.zeros)
    if _packed(table) != planned.packed:
        yield f"{name}: its packed relocations are not what was planned"
    if _filled(others) != _filled(planned.tables):
        yield f"{name}: its relocations are not what was planned"
    if not _are_zeros(table.view, zeros, planned):
        yield f"{name}: a variable that should be a constant of zero is none"
    if planned.joined and are_apart(table.values):
        yield f"{name}: DT_JMPREL is not where glibc before 2.23 reads it"
    for shape in (RELA, REL):
        infos = tables[shape.table].infos if shape.table in tables else ()
        count = table.values.get(shape.count, 0)
        if not _are_relative(infos, count, planned.relative, info_shift(table.view)):
            yield f"{name}: it says that more of its relocations are relative than are"


_Row = tuple[int, int, int]  # address, information, addend


def _sorted_out(
    tables: Mapping[int, Relocations], zeros: frozenset[int]
) -> tuple[list[_Row], Mapping[int, Relocations]]:
    """The relocations at some addresses, and all others by the tag of their table."""
    found: list[_Row] = []
    others = {}
    for tag, rows in tables.items():
        is_zero = [address in zeros for address in rows.addresses]
        found += compress(zip(*rows, strict=True), is_zero)
        others[tag] = _pick(rows, [not it_is for it_is in is_zero])
    return found, others


def _are_zeros(view: View, rows: Sequence[_Row], planned: Planned) -> bool:
    """Whether some relocations make each of the planned variables a constant of zero, and nothing else."""
    for _, info, addend in rows:
        if info != planned.relative or not _is_zero(view, addend):
            return False
    return {address for address, _, _ in rows} == planned.zeros


def _are_relative(infos: Sequence[int], count: int, relative: int, shift: int) -> bool:
    """Whether so many relocations at the beginning of a table add the load address, as the dynamic section says."""
    mask = (1 << shift) - 1
    return len(infos) >= count and all(info & mask == relative for info in infos[:count])


def _table(data: Buffer, name: str) -> DynamicTable:
    view = View.open(data, name)
    table = read_table(view)
    if table is None:
        raise view.sick("PT_DYNAMIC", None, "is missing")
    return table


def _apart(table: DynamicTable) -> dict[int, Relocations]:
    """The relocations of each table; those that DT_RELA shares with DT_JMPREL are of the latter alone."""
    tables, values = dict(read_relocations(table)), table.values
    shape = shape_of(table.view)
    rows, functions = tables.get(shape.table), tables.get(c.DT_JMPREL)
    if rows is None or functions is None or values.get(c.DT_PLTREL) != shape.table:
        return tables
    distance = values[c.DT_JMPREL] - values[shape.table]
    first = distance // shape.entry_size(table.view)
    if distance >= 0 and first < len(rows.addresses):
        end = first + len(functions.addresses)
        tables[shape.table] = Relocations(*(column[:first] + column[end:] for column in rows))
    return tables


def _packed(table: DynamicTable) -> array[int]:
    return array("Q", packed_addresses(table) if c.DT_RELR in table.values else ())


def _pick(rows: Relocations, wanted: Iterable[bool]) -> Relocations:
    """Some of the rows of a table."""
    chosen = list(wanted)
    return Relocations(*(array("Q", compress(column, chosen)) for column in rows))


def _filled(tables: Mapping[int, Relocations]) -> Mapping[int, Relocations]:
    """The tables that have rows."""
    return {tag: rows for tag, rows in tables.items() if rows.addresses}


def _numbers(table: DynamicTable, constants: set[tuple[str, str]]) -> dict[int, int]:
    """The numbers of the symbols of some names and versions, with the room for the copies among them, else 0."""
    if not {c.DT_SYMTAB, c.DT_VERSYM} <= table.values.keys():
        return {}
    view, record = table.view, table.view.layout.symbol
    versions = {version.index: version.name for need in read_version_needs(table) for version in need.versions}
    versym = view.numbers("DT_VERSYM", table.locate("DT_VERSYM", c.DT_VERSYM), count_symbols(table), "H")
    start = table.locate("DT_SYMTAB", c.DT_SYMTAB)
    word = WORD[view.layout.bits]
    found = {}
    for number, index in enumerate(versym):
        version = versions.get(index & c.VERSYM_VERSION)
        if version is not None and any(old == version for _, old in constants):
            place = start + number * record.size + record.offsets["st_name"]
            if (table.string("st_name", view.numbers("st_name", place, 1, "I")[0], place), version) in constants:
                value = start + number * record.size + record.offsets["st_value"]
                (found[number],) = view.numbers("st_value", value, 1, word)
    return found


def _is_zero(view: View, address: int) -> bool:
    """Whether a byte is zero in the file, and nothing may write to it."""
    homes = [s for s in view.segments if s.type == c.PT_LOAD and s.vaddr <= address < s.vaddr + s.filesz]
    if not homes or homes[0].flags & c.PF_W:
        return False
    return view.data[address - homes[0].vaddr + homes[0].offset] == 0
