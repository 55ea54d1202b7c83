"""Contents of the dynamic section and the version records after the edits.

The positions of new strings are still open.
"""

from __future__ import annotations

from deloc8.elf import constants as c
from deloc8.elf.edit.joining import Joined, join, joined_entries
from deloc8.elf.edit.rebind import RELR_MARKER, Rebinder
from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindToZero,
    BindVersion,
    ClearExecutableStack,
    DropVersion,
    JoinRelocations,
    RemoveNeeded,
    RemoveRpath,
    ReplaceAudit,
    ReplaceNeeded,
    SetRpath,
    SetSoname,
    UnpackRelocations,
)
from deloc8.elf.read.dynamic import are_apart
from deloc8.elf.read.relocations import zero_patches
from deloc8.elf.read.versions import NeedRecord, read_definition_records, read_need_records
from deloc8.elf.refusals import impossible
from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.errors import ElfError

Value = int | bytes
"""A number as it stands in the file, or a string whose position in DT_STRTAB is still open."""

_AUDIT_TAGS = frozenset({c.DT_AUDIT, c.DT_DEPAUDIT})
_RPATH_TAGS = frozenset({c.DT_RPATH, c.DT_RUNPATH})
_VERNEED_TAGS = frozenset({c.DT_VERNEED, c.DT_VERNEEDNUM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The wanted contents.

    Attributes:
        entries: Tags and values of the dynamic section, without the DT_NULL at the end.
        needs: The version records that stay, with their wanted file names.
        needs_before: The version records as they stand in the file.
        bindings: What symbols ask for, where that changes.
        joined: The relocation tables, where they are put elsewhere.
    """

    entries: tuple[tuple[int, Value], ...]
    needs: tuple[NeedRecord, ...]
    needs_before: tuple[NeedRecord, ...]
    bindings: Bindings
    joined: Joined | None = None

    def texts(self) -> tuple[bytes, ...]:
        """The strings whose position in DT_STRTAB is still open, each once."""
        values: list[Value] = [value for _, value in self.entries]
        for need in self.needs:
            values += [need.file, *(version.name for version in need.versions)]
        values += self.bindings.names.values()
        return tuple(dict.fromkeys(value for value in values if isinstance(value, bytes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindings:
    """Changed requirements of undefined symbols.

    Attributes:
        is_changed: Whether DT_VERNEED is written anew.
        versym: New entries of DT_VERSYM, by the number of the symbol.
        names: New names, by the number of the symbol.
        weakened: The numbers of symbols whose absence is no error any more.
        patches: New bytes of relocations: offset and contents.
    """

    is_changed: bool = False
    versym: Mapping[int, int] = field(default_factory=dict)
    names: Mapping[int, bytes] = field(default_factory=dict)
    weakened: frozenset[int] = frozenset()
    patches: tuple[tuple[int, bytes], ...] = ()


def make_draft(table: DynamicTable, edits: Sequence[Edit]) -> Draft:
    """Draft a dynamic section as the edits, one after the other, leave it.

    Raises:
        ElfError: An edit is impossible (`edit-impossible`), or the file is unsound.
    """
    drafter = _Drafter(table)
    for edit in edits:
        _STEPS[type(edit)](drafter, edit)
    drafter.settle_relocations()
    drafter.settle_versions()
    rebinder = drafter.rebinder
    return Draft(
        entries=tuple(drafter.entries),
        needs=tuple(drafter.needs),
        needs_before=drafter.needs_before,
        bindings=Bindings(
            is_changed=rebinder.is_changed,
            versym=rebinder.versym,
            names=rebinder.names,
            weakened=frozenset(rebinder.weakened),
            patches=tuple(drafter.patches),
        ),
        joined=drafter.joined,
    )


class _Drafter:
    def __init__(self, table: DynamicTable) -> None:
        self.table = table
        self.entries: list[tuple[int, Value]] = list(table.entries)
        self.needs_before = read_need_records(table)
        self.needs = [need._replace(version_count=len(need.versions)) for need in self.needs_before]
        self.rebinder = Rebinder(table, self.needs)
        self.patches: list[tuple[int, bytes]] = []
        self.unpacks = self.joins = False
        self.joined: Joined | None = None

    def text(self, field: str, value: Value) -> bytes:
        return value if isinstance(value, bytes) else encode(self.table, self.table.string(field, value))

    def needed(self) -> list[bytes]:
        return [self.text("DT_NEEDED", value) for tag, value in self.entries if tag == c.DT_NEEDED]

    def set_soname(self, edit: SetSoname) -> None:
        soname = checked(self.table, "soname", edit.soname)
        places = [i for i, (tag, _) in enumerate(self.entries) if tag == c.DT_SONAME]
        for place in places:
            self.set_text(place, c.DT_SONAME, soname)
        if not places:
            self.entries.append((c.DT_SONAME, soname))

    def set_text(self, place: int, tag: int, wanted: bytes) -> None:
        """Give an entry a tag and a text; the same text stays where it is."""
        _, value = self.entries[place]
        self.entries[place] = (tag, value if self.text("d_val", value) == wanted else wanted)

    def replace_needed(self, edit: ReplaceNeeded) -> None:
        old, new = encode(self.table, edit.old), checked(self.table, "needed name", edit.new)
        named = [self.text("d_val", value) for tag, value in self.entries if tag in c.LIBRARY_TAGS]
        if old not in named and new not in named:
            raise impossible(
                self.table.view.name,
                f"DT_NEEDED `{edit.old}` cannot be replaced: there is none",
                "`readelf -d` lists what the file needs",
            )
        for place, (tag, value) in enumerate(self.entries):
            if tag in c.LIBRARY_TAGS and self.text("d_val", value) == old:
                self.set_text(place, tag, new)
        for place, need in enumerate(self.needs):
            if self.text("vn_file", need.file) == old:
                self.needs[place] = need._replace(file=need.file if old == new else new)

    def replace_audit(self, edit: ReplaceAudit) -> None:
        old, new = encode(self.table, edit.old), checked(self.table, "audit library", edit.new)
        lists = {
            place: self.text("d_val", value).split(b":")
            for place, (tag, value) in enumerate(self.entries)
            if tag in _AUDIT_TAGS
        }
        if not any(old in names or new in names for names in lists.values()):
            raise impossible(
                self.table.view.name,
                f"the audit library `{edit.old}` cannot be replaced: there is none",
                "`readelf -d` lists what the file names",
            )
        for place, names in lists.items():
            renamed = [new if name == old else name for name in names]
            self.set_text(place, self.entries[place][0], b":".join(renamed))

    def add_needed(self, edit: AddNeeded) -> None:
        name = checked(self.table, "needed name", edit.name)
        needed = self.needed()
        if needed[:1] == [name] if edit.first else name in needed:
            return
        places = [i for i, (tag, _) in enumerate(self.entries) if tag == c.DT_NEEDED]
        values: list[Value] = [self.entries[place][1] for place in places]
        if name in needed:
            values.insert(0, values.pop(needed.index(name)))
        else:
            values.insert(0 if edit.first else len(values), name)
        # Only values change places: nothing else of the dynamic section moves.
        for place, value in zip(places, values, strict=False):
            self.entries[place] = (c.DT_NEEDED, value)
        self.entries += [(c.DT_NEEDED, value) for value in values[len(places) :]]

    def remove_needed(self, edit: RemoveNeeded) -> None:
        name = encode(self.table, edit.name)
        self.entries = [
            (tag, value)
            for tag, value in self.entries
            if tag not in c.LIBRARY_TAGS or self.text("d_val", value) != name
        ]
        gone = [need for need in self.needs if self.text("vn_file", need.file) == name]
        self.check_unused(edit.name, gone)
        self.needs[:] = [need for need in self.needs if need not in gone]

    def check_unused(self, name: str, gone: Sequence[NeedRecord]) -> None:
        indices = {version.number for need in gone for version in need.versions}
        bound = self.rebinder.count_bound(indices) if indices else 0
        if bound:
            raise impossible(
                self.table.view.name,
                f"DT_NEEDED `{name}` cannot be removed: {bound} symbols ask for versions of it",
                "relink without that library, or leave it",
            )

    def bind_version(self, edit: BindVersion) -> None:
        name, old = encode(self.table, edit.symbol), encode(self.table, edit.old)
        wanted = checked(self.table, "symbol name", edit.name or edit.symbol)
        version = checked(self.table, "version", edit.version)
        library = checked(self.table, "needed name", edit.library)
        numbers = self.rebinder.find(name, old)
        if not numbers and not self.rebinder.find(wanted, version, library):
            raise _unbound(self.table, edit.symbol, edit.old)
        self.rebinder.bind(numbers, version, library)
        if wanted != name:
            self.rebinder.rename(numbers, wanted)
        self.add_needed(AddNeeded(name=edit.library))

    def drop_version(self, edit: DropVersion) -> None:
        name, old = encode(self.table, edit.symbol), encode(self.table, edit.old)
        wanted = checked(self.table, "symbol name", edit.name or edit.symbol)
        numbers = self.rebinder.find(name, old)
        if not numbers and not self.rebinder.find_unversioned(wanted):
            raise _unbound(self.table, edit.symbol, edit.old)
        self.rebinder.unbind(numbers)
        if wanted != name:
            self.rebinder.rename(numbers, wanted)

    def bind_to_zero(self, edit: BindToZero) -> None:
        name = encode(self.table, edit.symbol)
        version = encode(self.table, edit.old)
        numbers, copies = self.rebinder.find(name, version), self.rebinder.copies_of(name, version)
        if not numbers and not copies and not self.rebinder.find_unversioned(name):
            raise _unbound(self.table, edit.symbol, edit.old)
        self.patches += zero_patches(self.table, numbers, edit.symbol, copies=copies)
        self.rebinder.unbind([*numbers, *copies])
        # Nothing refers to the symbol any more; who still lists it shall not miss it.
        self.rebinder.weakened.update(numbers)

    def unpack_relocations(self, _: UnpackRelocations) -> None:
        self.unpacks = True
        self.rebinder.drop_marker(RELR_MARKER)

    def join_relocations(self, _: JoinRelocations) -> None:
        self.joins = True

    def settle_relocations(self) -> None:
        """Put the relocation tables elsewhere, once, where any edit needs that."""
        has_packed = c.DT_RELR in self.table.values
        if (self.unpacks and has_packed) or (self.joins and are_apart(self.table.values)):
            self.joined = join(self.table, unpacks=self.unpacks and has_packed)
            self.entries = joined_entries(self.table, self.entries, self.joined)

    def settle_versions(self) -> None:
        """Make the dynamic section agree with the version records that are left."""
        self.rebinder.settle()
        counts = {c.DT_VERNEEDNUM: len(self.needs), c.DT_VERDEFNUM: len(read_definition_records(self.table))}
        self.entries = [(tag, counts.get(tag, value)) for tag, value in self.entries]
        if self.needs or not self.needs_before:
            return
        # Without any version record ld.so has no table of versions, and must not look one up through DT_VERSYM.
        unwanted = _VERNEED_TAGS if c.DT_VERDEF in self.table.values else _VERNEED_TAGS | {c.DT_VERSYM}
        self.entries = [(tag, value) for tag, value in self.entries if tag not in unwanted]

    def set_rpath(self, edit: SetRpath) -> None:
        path = checked(self.table, "search path", edit.path)
        places = [i for i, (tag, _) in enumerate(self.entries) if tag in _RPATH_TAGS]
        if not places:
            self.entries.append((edit.kind.value, path))
            return
        self.set_text(places[0], edit.kind.value, path)
        for place in reversed(places[1:]):
            del self.entries[place]

    def remove_rpath(self, _: RemoveRpath) -> None:
        self.entries = [(tag, value) for tag, value in self.entries if tag not in _RPATH_TAGS]

    def clear_executable_stack(self, _: ClearExecutableStack) -> None:
        """Leave the dynamic section as it is: that edit changes a program header."""


_STEPS: Mapping[type[Edit], Callable[[_Drafter, Any], None]] = {
    SetSoname: _Drafter.set_soname,
    ReplaceNeeded: _Drafter.replace_needed,
    ReplaceAudit: _Drafter.replace_audit,
    AddNeeded: _Drafter.add_needed,
    RemoveNeeded: _Drafter.remove_needed,
    SetRpath: _Drafter.set_rpath,
    RemoveRpath: _Drafter.remove_rpath,
    ClearExecutableStack: _Drafter.clear_executable_stack,
    BindVersion: _Drafter.bind_version,
    DropVersion: _Drafter.drop_version,
    BindToZero: _Drafter.bind_to_zero,
    UnpackRelocations: _Drafter.unpack_relocations,
    JoinRelocations: _Drafter.join_relocations,
}


def _unbound(table: DynamicTable, symbol: str, version: str) -> ElfError:
    """The error of an edit of a symbol that the file does not ask for."""
    return impossible(
        table.view.name,
        f"`{symbol}@{version}` cannot be bound anew: the file does not ask for it",
        "`readelf --dyn-syms` lists what the file asks for",
    )


def encode(table: DynamicTable, text: str) -> bytes:
    """The bytes of a name; surrogates stand for bytes that are no UTF-8.

    Raises:
        ElfError: No bytes can stand for it (`edit-impossible`).
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        why = f"the name {text!a} has no bytes: it holds half of a surrogate pair"
        raise impossible(table.view.name, why, "write the name in UTF-8") from None


def checked(table: DynamicTable, what: str, text: str) -> bytes:
    """The bytes of a new string.

    Raises:
        ElfError: It is empty or holds a NUL, and so cannot stand in DT_STRTAB (`edit-impossible`).
    """
    raw = encode(table, text)
    if not raw or b"\0" in raw:
        fault = "is empty" if not raw else "holds a NUL byte"
        raise impossible(
            table.view.name, f"the new {what} {text!a} {fault}", f"give a {what} of one or more characters"
        )
    return raw
