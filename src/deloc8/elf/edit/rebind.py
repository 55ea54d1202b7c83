"""Requirements of undefined symbols, rewritten: other versions, other libraries, other names.

Source of the rules: the Linux Standard Base ("Symbol Versioning"), and glibc's elf/dl-version.c and elf/dl-lookup.c.
Before glibc 2.30 the file name of a version record counts as well; and every such file must be loaded.
"""

from __future__ import annotations

from operator import itemgetter

from deloc8.elf import constants as c
from deloc8.elf.read.symbols import count_symbols
from deloc8.elf.read.versions import NeedRecord, NeedVersion, read_defined_versions
from deloc8.elf.refusals import impossible
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from deloc8.elf.read.dynamic import DynamicTable

# The marker by which a file with packed relocations keeps older loaders from running it.
RELR_MARKER = b"GLIBC_ABI_DT_RELR"


class _Symbol(NamedTuple):
    """A symbol with a name: its number, and fields of its record."""

    number: int
    name: int
    section: int
    value: int


def _named_symbols(table: DynamicTable, count: int) -> list[_Symbol]:
    """The symbols of DT_SYMTAB that have a name."""
    record = table.view.layout.symbol
    raw = table.view.slice("DT_SYMTAB", table.locate("DT_SYMTAB", c.DT_SYMTAB), count * record.size)
    name_at = record.fields.index("st_name")
    fields = itemgetter(name_at, record.fields.index("st_shndx"), record.fields.index("st_value"))
    rows = enumerate(record.struct.iter_unpack(raw))
    return [_Symbol(number, *fields(row)) for number, row in rows if row[name_at]]


class Rebinder:
    """The version records, and the numbers by which symbols refer to them, while they change.

    Attributes:
        needs: The version records; texts instead of positions where anything is new.
        versym: The new entries of DT_VERSYM, by the number of the symbol.
        names: The new names of symbols, by their number.
        copies: Where the room for a variable of others is that a program has a copy of, by the number of its symbol.
        weakened: The numbers of the symbols that must not be missed.
        is_changed: Whether DT_VERNEED must be written anew.
    """

    def __init__(self, table: DynamicTable, needs: list[NeedRecord]) -> None:
        self.table = table
        self.needs = needs
        self.versym: dict[int, int] = {}
        self.names: dict[int, bytes] = {}
        self.copies: dict[int, int] = {}
        self.weakened: set[int] = set()
        self.is_changed = False
        self._before: tuple[int, ...] = ()
        self._symbols: dict[bytes, list[int]] | None = None
        self._left: set[int] = set()

    def text(self, value: int | bytes) -> bytes:
        """A string that is new, or stands at a position of DT_STRTAB."""
        if isinstance(value, bytes):
            return value
        return self.table.string("a version record", value).encode("utf-8", "surrogateescape")

    def find(self, name: bytes, version: bytes, library: bytes | None = None) -> list[int]:
        """The numbers of the undefined symbols of a name and version, of whatever or of one library."""
        return [number for number in self._asked(name, version, library) if number not in self.copies]

    def copies_of(self, name: bytes, version: bytes) -> dict[int, int]:
        """Those of `copies` that have a name and version."""
        numbers = self._asked(name, version)
        return {number: self.copies[number] for number in numbers if number in self.copies}

    def _asked(self, name: bytes, version: bytes, library: bytes | None = None) -> list[int]:
        indices = {
            entry.number
            for need in self.needs
            if library is None or self.text(need.file) == library
            for entry in need.versions
            if self.text(entry.name) == version
        }
        numbers = self._undefined().get(name, [])
        if not self._before:  # without DT_VERSYM none asks for a version, whatever numbers the records give them
            return []
        return [number for number in numbers if self._version_of(number) & c.VERSYM_VERSION in indices]

    def find_unversioned(self, name: bytes) -> list[int]:
        """The numbers of the undefined symbols of a name that ask for no version."""
        numbers = [number for number in self._undefined().get(name, []) if number not in self.copies]
        return [number for number in numbers if self._version_of(number) & c.VERSYM_VERSION == c.VER_NDX_GLOBAL]

    def count_bound(self, indices: Collection[int]) -> int:
        """How many symbols ask for some versions, by their numbers, as things stand now."""
        self._undefined()
        return sum(self._version_of(number) & c.VERSYM_VERSION in indices for number in range(len(self._before)))

    def bind(self, numbers: Iterable[int], version: bytes, library: bytes) -> None:
        """Let symbols ask for a version of a library, which DT_NEEDED must have."""
        index = self._index_of(version, library)
        self._refer(numbers, index)

    def unbind(self, numbers: Iterable[int]) -> None:
        """Let symbols ask for no version."""
        self._refer(numbers, c.VER_NDX_GLOBAL)

    def rename(self, numbers: Iterable[int], name: bytes) -> None:
        """Let symbols ask for another name."""
        for number in numbers:
            for known in self._undefined().values():
                if number in known:
                    known.remove(number)
            self._undefined().setdefault(name, []).append(number)
            self.names[number] = name

    def drop_marker(self, version: bytes) -> None:
        """Need no version of a name that no symbol refers to."""
        for place, need in enumerate(self.needs):
            kept = tuple(entry for entry in need.versions if self.text(entry.name) != version)
            if kept != need.versions:
                self.needs[place] = need._replace(versions=kept)
                self.is_changed = True

    def settle(self) -> None:
        """Drop the versions that symbols have left, and the records without versions: loaders walk those too."""
        used = {self._version_of(number) & c.VERSYM_VERSION for number in range(len(self._before))}
        gone = self._left - used
        if self.is_changed:
            kept = []
            for need in self.needs:
                versions = tuple(entry for entry in need.versions if entry.number not in gone)
                kept += [need._replace(versions=versions)] * bool(versions)
            self.needs[:] = kept

    def _version_of(self, number: int) -> int:
        return self.versym.get(number, self._before[number] if self._before else c.VER_NDX_GLOBAL)

    def _undefined(self) -> dict[bytes, list[int]]:
        if self._symbols is None:
            self._symbols = self._read()
        return self._symbols

    def _read(self) -> dict[bytes, list[int]]:
        table = self.table
        count = count_symbols(table)
        if not count:
            return {}
        symbols = _named_symbols(table, count)
        rows = [symbol for symbol in symbols if symbol.section == c.SHN_UNDEF]
        if c.DT_VERSYM in table.values:
            self._before = table.view.numbers("DT_VERSYM", table.locate("DT_VERSYM", c.DT_VERSYM), count, "H")
            copied = self._copied(symbols, self._before)
            self.copies = {symbol.number: symbol.value for symbol in copied}
            rows += copied
        found: dict[bytes, list[int]] = {}
        names = table.names("st_name", [symbol.name for symbol in rows], lambda _: None)
        for symbol, name in zip(rows, names, strict=True):
            found.setdefault(name.encode("utf-8", "surrogateescape"), []).append(symbol.number)
        return found

    def _copied(self, symbols: Sequence[_Symbol], versym: Sequence[int]) -> list[_Symbol]:
        """The symbols that the file defines under a version of another: its copies of variables."""
        wanted = {entry.number for need in self.needs for entry in need.versions}
        defined = (symbol for symbol in symbols if symbol.section != c.SHN_UNDEF)
        return [symbol for symbol in defined if versym[symbol.number] & c.VERSYM_VERSION in wanted]

    def _refer(self, numbers: Iterable[int], index: int) -> None:
        for number in numbers:
            self._left.add(self._version_of(number) & c.VERSYM_VERSION)
            self.versym[number] = index
            self.is_changed = True

    def _index_of(self, version: bytes, library: bytes) -> int:
        """The number of a version of a library; a new one where the file has not asked for it yet."""
        for place, need in enumerate(self.needs):
            if self.text(need.file) != library:
                continue
            for entry in need.versions:
                if self.text(entry.name) == version:
                    return entry.number
            fresh = NeedVersion(self._free_index(), 0, version)
            self.needs[place] = need._replace(versions=(*need.versions, fresh))
            return fresh.number
        fresh = NeedVersion(self._free_index(), 0, version)
        self.needs.append(NeedRecord(0, 1, 1, library, 0, (fresh,)))
        return fresh.number

    def _free_index(self) -> int:
        taken = [entry.number for need in self.needs for entry in need.versions]
        taken += [definition.index for definition in read_defined_versions(self.table)]
        index = max([c.VER_NDX_GLOBAL, *taken]) + 1
        if index > c.VERSYM_VERSION:
            raise impossible(self.table.view.name, "all numbers of versions are in use", "link it anew")
        return index


def sysv_hash(name: bytes) -> int:
    """The hash of a name by which DT_HASH and version records find it (System V gABI, "Hash Table Section")."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value


def pack_needs(table: DynamicTable, needs: Sequence[NeedRecord], positions: Mapping[bytes, int]) -> bytes:
    """DT_VERNEED of some records, each directly followed by its versions; `positions` is where new strings stand."""
    need_record, version_record = table.view.layout.verneed, table.view.layout.vernaux

    def position(value: int | bytes) -> int:
        return positions[value] if isinstance(value, bytes) else value

    parts = []
    for place, need in enumerate(needs):
        size = need_record.size + len(need.versions) * version_record.size
        step = size if place + 1 < len(needs) else 0
        fields = (need.revision, len(need.versions), position(need.file), need_record.size, step)
        parts.append(need_record.struct.pack(*fields))
        for count, (number, flags, name) in enumerate(need.versions, 1):
            step = version_record.size if count < len(need.versions) else 0
            where = position(name)
            text = name if isinstance(name, bytes) else _bytes_at(table, where)
            parts.append(version_record.struct.pack(sysv_hash(text), flags, number, where, step))
    return b"".join(parts)


def _bytes_at(table: DynamicTable, position: int) -> bytes:
    return table.string("vna_name", position).encode("utf-8", "surrogateescape")


def size_of_needs(table: DynamicTable, needs: Iterable[NeedRecord]) -> int:
    """The bytes that `pack_needs` makes of some records."""
    layout = table.view.layout
    return sum(layout.verneed.size + len(need.versions) * layout.vernaux.size for need in needs)
