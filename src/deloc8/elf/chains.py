"""The version records as they stand in the file: places and raw numbers, for the editor.

`versions` reads the same chains for their meaning; here it matters where each number is kept.
"""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.dynamic import DynamicTable


class NeedVersion(NamedTuple):
    """One Elf_Vernaux.

    Attributes:
        number: The version number (vna_other) by which DT_VERSYM refers to it.
        flags: vna_flags.
        name: vna_name, a position in DT_STRTAB; or the string that is to be found there.
    """

    number: int
    flags: int
    name: int | bytes


class NeedRecord(NamedTuple):
    """One Elf_Verneed and what its Elf_Vernaux say.

    Attributes:
        offset: Where it stands in the file.
        revision: vn_version.
        version_count: vn_cnt, as the file says it.
        file: vn_file, a position in DT_STRTAB; or the string that is to be found there.
        auxiliary: Where its first Elf_Vernaux stands in the file.
        versions: Its Elf_Vernaux.
    """

    offset: int
    revision: int
    version_count: int
    file: int | bytes
    auxiliary: int
    versions: tuple[NeedVersion, ...]


def read_need_records(table: DynamicTable) -> tuple[NeedRecord, ...]:
    """DT_VERNEED, in the order of the file.

    Raises:
        ElfError: A record points outside the file, or there are more than the file can hold.
    """
    values, view = table.values, table.view
    if c.DT_VERNEED not in values:
        return ()
    budget = _Budget(table)
    records = []
    offset = table.locate("DT_VERNEED", c.DT_VERNEED)
    for _ in range(values.get(c.DT_VERNEEDNUM, 0)):
        budget.spend()
        revision, count, file, first, following = view.record(view.layout.verneed, offset)
        place = offset + first
        view.check_range("vn_aux", place, 0)
        versions = []
        for _ in range(count):
            budget.spend()
            _, flags, index, name, step = view.record(view.layout.vernaux, place)
            versions.append(NeedVersion(index & c.VERSYM_VERSION, flags, name))
            if not step:
                break
            place += step
        records.append(NeedRecord(offset, revision, count, file, offset + first, tuple(versions)))
        if not following:
            break
        offset += following
    return tuple(records)


def read_definition_names(table: DynamicTable) -> Iterator[int]:
    """The positions in DT_STRTAB of all names of DT_VERDEF.

    Raises:
        ElfError: A record points outside the file, or there are more than the file can hold.
    """
    values, view = table.values, table.view
    if c.DT_VERDEF not in values:
        return
    budget = _Budget(table)
    offset = table.locate("DT_VERDEF", c.DT_VERDEF)
    for _ in range(values.get(c.DT_VERDEFNUM, 0)):
        budget.spend()
        _, _, _, count, _, first, following = view.record(view.layout.verdef, offset)
        place = offset + first
        for _ in range(count):
            budget.spend()
            name, step = view.record(view.layout.verdaux, place)
            yield name
            if not step:
                break
            place += step
        if not following:
            break
        offset += following


class _Budget:
    """How many records a file of its size can hold; so that records that overlap each other cost no time."""

    def __init__(self, table: DynamicTable) -> None:
        self.table = table
        self.left = table.view.size // table.view.layout.verdaux.size

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.table.view.sick("DT_VERNEED or DT_VERDEF", None, "has more records than the file can hold")
