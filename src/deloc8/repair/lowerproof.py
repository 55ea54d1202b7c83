"""The proof that the relocations of a lowered file are what was planned: both files are read, whoever wrote them."""

from __future__ import annotations

from collections import Counter

from deloc8.elf import constants as c
from deloc8.elf.dynamic import read_table
from deloc8.elf.edits import BindToZero, UnpackRelocations
from deloc8.elf.relocations import Relocation, packed_addresses, read_relocations, relative_kind, word_at
from deloc8.elf.symbols import count_symbols
from deloc8.elf.versions import read_version_needs
from deloc8.elf.view import View
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.elf.dynamic import DynamicTable
    from deloc8.elf.edits import Edit
    from deloc8.elf.view import Buffer


class _File(NamedTuple):
    table: DynamicTable
    relocations: tuple[Relocation, ...]
    packed: tuple[int, ...]


def relocation_problems(old: Buffer, new: Buffer, edits: Sequence[Edit], name: str) -> Iterator[str]:
    """What speaks against the relocations of a file being the old ones after some edits.

    Raises:
        ElfError: One of the files is unsound.
    """
    before, after = _read(old, name), _read(new, name)
    relative = relative_kind(before.table.view)
    constants = {(edit.symbol, edit.old) for edit in edits if isinstance(edit, BindToZero)}
    numbers = _numbers(before, constants) if constants else frozenset()
    unpacks = any(isinstance(edit, UnpackRelocations) for edit in edits)
    kept = [row for row in before.relocations if row.symbol not in numbers]
    if unpacks:
        view = before.table.view
        kept += [Relocation(place, relative, 0, word_at(view, place)) for place in before.packed]
    if after.packed != (() if unpacks else before.packed):
        yield f"{name}: its packed relocations are not what was planned"
    freed = {row.address for row in before.relocations if row.symbol in numbers}
    found = [row for row in after.relocations if row.address not in freed]
    if Counter(found) != Counter(kept):
        yield f"{name}: its relocations are not what was planned"
    zeros = [row for row in after.relocations if row.address in freed]
    sound = [row for row in zeros if (row.kind, row.symbol) == (relative, 0) and _is_zero(after.table.view, row.addend)]
    if {row.address for row in sound} != freed or len(sound) != len(zeros):
        yield f"{name}: a variable that should be a constant of zero is none"
    leading = after.relocations[: after.table.values.get(c.DT_RELACOUNT, after.table.values.get(c.DT_RELCOUNT, 0))]
    if any(row.kind != relative for row in leading):
        yield f"{name}: it says that more of its relocations are relative than are"


def _read(data: Buffer, name: str) -> _File:
    view = View.open(data, name)
    table = read_table(view)
    if table is None:
        raise view.sick("PT_DYNAMIC", None, "is missing")
    packed = tuple(packed_addresses(table)) if c.DT_RELR in table.values else ()
    return _File(table, read_relocations(table), packed)


def _numbers(file: _File, constants: set[tuple[str, str]]) -> frozenset[int]:
    """The numbers of the symbols of some names and versions."""
    table = file.table
    view, record = table.view, table.view.layout.symbol
    versions = {version.index: version.name for need in read_version_needs(table) for version in need.versions}
    versym = view.numbers("DT_VERSYM", table.locate("DT_VERSYM", c.DT_VERSYM), count_symbols(table), "H")
    start = table.locate("DT_SYMTAB", c.DT_SYMTAB)
    found = set()
    for number, index in enumerate(versym):
        version = versions.get(index & c.VERSYM_VERSION)
        if version is not None and any(old == version for _, old in constants):
            place = start + number * record.size + record.offsets["st_name"]
            if (table.string("st_name", view.numbers("st_name", place, 1, "I")[0], place), version) in constants:
                found.add(number)
    return frozenset(found)


def _is_zero(view: View, address: int | None) -> bool:
    """Whether a byte is zero in the file, and nothing may write to it."""
    homes = [s for s in view.segments if s.type == c.PT_LOAD and s.vaddr <= (address or 0) < s.vaddr + s.filesz]
    if address is None or not homes or homes[0].flags & c.PF_W:
        return False
    return view.data[address - homes[0].vaddr + homes[0].offset] == 0
