"""Small ELF files for tests, written without deloc8's own reader or record tables.

    data = build_elf(ElfSpec(soname="libdemo.so.1", needed=("libc.so.6",),
                             undefined=(Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),)))
    other = build_elf(replace(MACHINES["s390x"], needed=("libz.so.1",)))

Two PT_LOAD segments: headers and tables (read only), then .dynamic and one word for each undefined symbol (writable).
Every undefined symbol has a relocation, so the real loader looks it up. There is no machine code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kit.elf_spec import (
    ABI_TAG,
    DT_AUDIT,
    DT_AUXILIARY,
    DT_DEPAUDIT,
    DT_FILTER,
    ET_DYN,
    ET_EXEC,
    ET_REL,
    GLIBC,
    MACHINES,
    STB_GLOBAL,
    STB_GNU_UNIQUE,
    STB_WEAK,
    Defined,
    ElfSpec,
    NeedSpec,
    NoteSpec,
    Undefined,
    gnu_hash,
    sysv_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    # d_tag and d_val, or what gives d_val once all addresses are known
    _Entries = list[tuple[int, int | Callable[[], int]]]

__all__ = ["DT_AUDIT", "DT_AUXILIARY", "DT_DEPAUDIT", "DT_FILTER"]
__all__ += ["ET_DYN", "ET_EXEC", "ET_REL", "GLIBC", "MACHINES", "STB_GLOBAL", "STB_GNU_UNIQUE", "STB_WEAK"]
__all__ += ["ABI_TAG", "Defined", "ElfSpec", "NeedSpec", "NoteSpec", "Undefined", "build_elf", "build_with_places"]
__all__ += ["gnu_hash", "sysv_hash"]

# The relocation that stores the address of a symbol in a word, and the machines that keep addends there (REL).
_STORE_ADDRESS = {62: 6, 3: 6, 183: 1025, 40: 21, 21: 20, 22: 10, 243: 2, 258: 2}
_BIND_FUNCTION = {62: 7, 3: 7, 183: 1026, 40: 22, 21: 21, 22: 11, 243: 5, 258: 5}
_REL_MACHINES = {3, 40}


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(1)
        self.known = {"": 0}

    def add(self, text: str) -> int:
        if text not in self.known:
            self.known[text] = len(self.data)
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return self.known[text]


@dataclass(slots=True, kw_only=True)
class _Part:
    """A section to be; `make` gives its bytes once all addresses are known."""

    name: str
    type: int
    size: int
    make: Callable[[], bytes]
    flags: int = 2
    align: int = 8
    entry_size: int = 0
    link: str = ""
    info: int = 0
    offset: int = 0
    address: int = 0


class _Builder:
    def __init__(self, spec: ElfSpec) -> None:
        self.spec = spec
        self.order = "<" if spec.little_endian else ">"
        self.word = "I" if spec.bits == 32 else "Q"
        self.word_size = spec.bits // 8
        self.strings = _Strings()
        self.parts: list[_Part] = []
        self.base = 0x400000 if spec.type == ET_EXEC else 0

    def pack(self, codes: str, *values: int) -> bytes:
        return struct.pack(self.order + codes.replace("W", self.word), *values)

    def words(self, values: Iterable[int], code: str = "I") -> bytes:
        numbers = list(values)
        return struct.pack(f"{self.order}{len(numbers)}{code}", *numbers)

    def add(self, part: _Part) -> None:
        self.parts.append(part)

    def fixed(self, name: str, kind: int, data: bytes, **options: int) -> None:
        self.add(_Part(name=name, type=kind, size=len(data), make=lambda: data, **options))  # type: ignore[arg-type]

    def part(self, name: str) -> _Part:
        return next(part for part in self.parts if part.name == name)

    def address(self, name: str) -> int:
        return self.part(name).address

    def index(self, name: str) -> int:
        return 1 + next(i for i, part in enumerate(self.parts) if part.name == name)

    # -- the contents ---------------------------------------------------------------------------------------------

    def build(self) -> bytes:
        spec = self.spec
        if spec.interpreter is not None:
            self.fixed(".interp", 1, spec.interpreter.encode() + b"\0", align=1)
        self.add_notes()
        self.fixed(".rodata", 1, spec.payload)
        if spec.dynamic and spec.type != ET_REL:
            self.add_dynamic()
        return self.assemble()

    def add_notes(self) -> None:
        properties = [note for note in self.spec.notes if (note.owner, note.type) == ("GNU", 5)]
        others = [note for note in self.spec.notes if (note.owner, note.type) != ("GNU", 5)]
        for name, notes, align in ((".note.gnu.property", properties, self.word_size), (".note.kit", others, 4)):
            data = b""
            for owner, kind, description in notes:
                raw = owner.encode() + b"\0"
                data += self.pack("III", len(raw), len(description), kind) + raw
                data += bytes(-len(data) % align) + description
                data += bytes(-len(data) % align)
            if data:
                self.fixed(name, 7, data, align=align)

    def add_dynamic(self) -> None:
        spec = self.spec
        entries: _Entries = []
        entries += [(1, self.strings.add(name)) for name in spec.needed]
        for tag, text in ((14, spec.soname), (15, spec.rpath), (29, spec.runpath)):
            if text is not None:
                entries.append((tag, self.strings.add(text)))
        entries += [(tag, self.strings.add(text)) for tag, text in spec.links]
        buckets = len(spec.defined) // 2 + 1
        defined = sorted(spec.defined, key=lambda symbol: gnu_hash(symbol.name) % buckets)
        names = [*(symbol.name for symbol in spec.undefined), *(symbol.name for symbol in defined)]
        if spec.hash in {"sysv", "both"}:
            wide = spec.machine == 22 and spec.bits == 64
            data, size = self.sysv_table(names, "Q" if wide else "I"), 8 if wide else 4
            self.add(_Part(name=".hash", type=5, size=len(data), make=lambda: data, entry_size=size, link=".dynsym"))
            entries.append((4, lambda: self.address(".hash")))
        if spec.hash in {"gnu", "both"}:
            table = self.gnu_table([symbol.name for symbol in defined], len(spec.undefined) + 1, buckets)
            self.add(_Part(name=".gnu.hash", type=0x6FFFFFF6, size=len(table), make=lambda: table, link=".dynsym"))
            entries.append((0x6FFFFEF5, lambda: self.address(".gnu.hash")))
        entries += self.add_symbols(defined)
        entries += self.add_versions(defined)
        self.add(_Part(name=".dynstr", type=3, size=0, make=lambda: bytes(self.strings.data), align=1))
        entries += [(5, lambda: self.address(".dynstr")), (10, lambda: len(self.strings.data))]
        entries += self.add_relocations()
        if spec.textrel:
            entries.append((22, 0))
        entries += [(tag, value) for tag, value in ((30, spec.dt_flags), (0x6FFFFFFB, spec.dt_flags_1)) if value]
        entries += spec.entries
        entries += [(0, 0)] * (1 + spec.spare_nulls)
        self.part(".dynstr").size = len(self.strings.data)
        size = self.word_size * 2

        def table_of_entries() -> bytes:
            pairs = ((tag, value if isinstance(value, int) else value()) for tag, value in entries)
            return b"".join(self.pack("WW", *pair) for pair in pairs)

        self.add(_Part(name=".dynamic", type=6, size=len(entries) * size, make=table_of_entries, flags=3,
                       entry_size=size, link=".dynstr"))  # fmt: skip
        slots = len(spec.undefined) + 1
        self.add(_Part(name=".got", type=1, size=slots * self.word_size, flags=3, entry_size=self.word_size,
                       make=lambda: self.words([self.address(".rodata")] + [0] * (slots - 1), self.word)))  # fmt: skip

    def sysv_table(self, names: Sequence[str], code: str) -> bytes:
        count = len(names) // 2 + 1
        buckets, chains = [0] * count, [0] * (len(names) + 1)
        for number, name in enumerate(names, 1):
            place = sysv_hash(name) % count
            chains[number], buckets[place] = buckets[place], number
        return self.words([count, len(chains), *buckets, *chains], code)

    def gnu_table(self, names: Sequence[str], first: int, count: int) -> bytes:
        hashes = [gnu_hash(name) for name in names]
        bloom, shift = 0, 6
        buckets, chains = [0] * count, []
        for number, value in enumerate(hashes):
            bloom |= 1 << value % self.spec.bits | 1 << (value >> shift) % self.spec.bits
            place = value % count
            buckets[place] = buckets[place] or first + number
            last = number + 1 == len(hashes) or hashes[number + 1] % count != place
            chains.append(value & ~1 | last)
        # GNU ld writes 1 for the first symbol where none is hashed.
        head = self.words([count, first if names else 1, 1, shift])
        return head + self.words([bloom], self.word) + self.words(buckets) + self.words(chains)

    def add_symbols(self, defined: Sequence[Defined]) -> _Entries:
        rows = [(0, 0, 0)]
        rows += [(self.strings.add(s.name), (STB_WEAK if s.weak else STB_GLOBAL) << 4, 0) for s in self.spec.undefined]
        rows += [(self.strings.add(s.name), s.binding << 4 | 1, 1) for s in defined]
        size = 16 if self.spec.bits == 32 else 24

        def table() -> bytes:
            address, section = self.address(".rodata"), self.index(".rodata")
            data = bytearray()
            for name, kind, there in rows:
                value, length, home = (address, 4, section) if there else (0, 0, 0)
                if self.spec.bits == 32:
                    data += self.pack("IIIBBH", name, value, length, kind, 0, home)
                else:
                    data += self.pack("IBBHQQ", name, kind, 0, home, value, length)
            return bytes(data)

        self.add(_Part(name=".dynsym", type=11, size=len(rows) * size, make=table, entry_size=size,
                       link=".dynstr", info=1))  # fmt: skip
        return [(6, lambda: self.address(".dynsym")), (11, size)]

    def add_versions(self, defined: Sequence[Defined]) -> _Entries:
        spec = self.spec
        parents = dict(spec.parents)
        own = list(dict.fromkeys([*parents, *(symbol.version for symbol in defined if symbol.version)]))
        needs: dict[str, dict[str, bool]] = {}
        for symbol in spec.undefined:
            if symbol.version and symbol.file:
                needs.setdefault(symbol.file, {}).setdefault(symbol.version, False)
        for file, version, weak in spec.needs:
            needs.setdefault(file, {})[version] = weak
        entries: _Entries = []
        if not own and not needs:
            return entries
        own_index = {version: number for number, version in enumerate(own, 2)}
        pairs = [(file, version) for file, versions in needs.items() for version in versions]
        need_index = {pair: number for number, pair in enumerate(pairs, 2 + len(own))}
        versym = [0]
        versym += [need_index[s.file, s.version] if s.file and s.version else 1 for s in spec.undefined]
        versym += [(own_index[s.version] if s.version else 1) | (0x8000 if s.hidden else 0) for s in defined]
        self.add(_Part(name=".gnu.version", type=0x6FFFFFFF, size=2 * len(versym), align=2, entry_size=2,
                       link=".dynsym", make=lambda: self.words(versym, "H")))  # fmt: skip
        entries.append((0x6FFFFFF0, lambda: self.address(".gnu.version")))
        if own:
            rows = [(name, number, 0, parents.get(name, ())) for name, number in own_index.items()]
            table = self.verdef([(spec.soname or "base", 1, 1, ()), *rows])
            self.add(_Part(name=".gnu.version_d", type=0x6FFFFFFD, size=len(table), make=lambda: table,
                           link=".dynstr", info=len(own) + 1))  # fmt: skip
            entries += [(0x6FFFFFFC, lambda: self.address(".gnu.version_d")), (0x6FFFFFFD, len(own) + 1)]
        if needs:
            records = self.verneed(needs, need_index)
            self.add(_Part(name=".gnu.version_r", type=0x6FFFFFFE, size=len(records), make=lambda: records,
                           link=".dynstr", info=len(needs)))  # fmt: skip
            entries += [(0x6FFFFFFE, lambda: self.address(".gnu.version_r")), (0x6FFFFFFF, len(needs))]
        return entries

    def verdef(self, definitions: Sequence[tuple[str, int, int, Sequence[str]]]) -> bytes:
        data = b""
        for name, number, flags, parents in definitions:
            names = (name, *parents)
            following = 0 if number == len(definitions) else 20 + 8 * len(names)
            data += self.pack("HHHHIII", 1, flags, number, len(names), sysv_hash(name), 20, following)
            for position, text in enumerate(names, 1):
                data += self.pack("II", self.strings.add(text), 0 if position == len(names) else 8)
        return data

    def verneed(self, needs: Mapping[str, Mapping[str, bool]], numbers: Mapping[tuple[str, str], int]) -> bytes:
        data = b""
        for position, (file, versions) in enumerate(needs.items(), 1):
            following = 0 if position == len(needs) else 16 + 16 * len(versions)
            data += self.pack("HHIII", 1, len(versions), self.strings.add(file), 16, following)
            for place, (version, weak) in enumerate(versions.items(), 1):
                step = 0 if place == len(versions) else 16
                number, name = numbers[file, version], self.strings.add(version)
                data += self.pack("IHHII", sysv_hash(version), 2 if weak else 0, number, name, step)
        return data

    def add_relocations(self) -> _Entries:
        spec = self.spec
        entries: _Entries = []
        if spec.relocations and spec.undefined:
            entries += self.add_ordinary()
        if spec.relr:
            size_of_one = self.word_size
            self.add(_Part(name=".relr.dyn", type=19, size=size_of_one, entry_size=size_of_one,
                           make=lambda: self.pack("W", self.address(".got"))))  # fmt: skip
            entries += [(36, lambda: self.address(".relr.dyn")), (35, size_of_one), (37, size_of_one)]
        return entries

    def add_ordinary(self) -> _Entries:
        """DT_RELA or DT_REL, and DT_JMPREL where the spec says."""
        spec, rel = self.spec, self.spec.machine in _REL_MACHINES
        size = self.word_size * (2 if rel else 3)
        tags = (17, 18, 19) if rel else (7, 8, 9)
        name = ".rel" if rel else ".rela"
        count = len(spec.undefined)
        first = {"none": count, "start": 0, "middle": 1}.get(spec.functions, count - 2)
        within = spec.functions in {"start", "middle", "end"}
        numbers = range(1, count + 1)

        def table(rows: Sequence[int]) -> bytes:
            data, slot = bytearray(), self.address(".got")
            for number in rows:
                kinds = _BIND_FUNCTION if first <= number - 1 < first + 2 else _STORE_ADDRESS
                symbol = number << (8 if spec.bits == 32 else 32)
                data += self.pack("WW", slot + number * self.word_size, symbol | kinds[spec.machine])
                data += b"" if rel else self.pack("W", 0)
            return bytes(data)

        def part(name: str, rows: Sequence[int]) -> _Part:
            return _Part(name=name, type=9 if rel else 4, size=size * len(rows), make=lambda: table(rows),
                         entry_size=size, link=".dynsym")  # fmt: skip

        gap = _Part(name=".gap", type=1, size=16, make=lambda: b"\xff" * 16)
        others = part(name + ".dyn", numbers if within else numbers[:first])
        parts = [others]
        if spec.functions in {"behind", "apart", "before"}:
            functions = part(name + ".plt", numbers[first:])
            parts = {
                "behind": [others, functions],
                "apart": [others, gap, functions],
                "before": [functions, gap, others],
            }[spec.functions]
        for one in parts:
            self.add(one)
        entries: _Entries = [(tags[0], lambda: self.address(others.name)), (tags[1], others.size), (tags[2], size)]
        if spec.functions != "none":
            start = (others.name, first * size) if within else (name + ".plt", 0)
            entries += [(23, lambda: self.address(start[0]) + start[1]), (2, 2 * size), (20, tags[0])]
        return entries

    # -- the file -------------------------------------------------------------------------------------------------

    def assemble(self) -> bytes:
        spec = self.spec
        header_size, segment_size = (52, 32) if spec.bits == 32 else (64, 56)
        kinds = self.segment_kinds()
        place = header_size + len(kinds) * segment_size
        address = self.base
        writable = False
        for part in self.parts:
            if part.flags & 1 and not writable:
                # A new segment starts on a page of its own in memory, congruent to its place in the file.
                address, writable = address + spec.align, True
            place += -place % part.align
            part.offset, part.address = place, address + place
            place += part.size
        data = bytearray(place)
        for part in self.parts:
            data[part.offset : part.offset + part.size] = part.make()
        section_offset, section_count = 0, 0
        if spec.sections:
            section_offset, section_count = self.append_sections(data)
        ident = b"\x7fELF" + bytes([spec.bits // 32, 1 if spec.little_endian else 2, 1]) + bytes(9)
        entry = self.address(".rodata") if spec.interpreter or spec.type == ET_EXEC else 0
        header = ident + self.pack(
            "HHIWWWIHHHHHH", spec.type, spec.machine, 1, entry, header_size if kinds else 0, section_offset, spec.flags,
            header_size, segment_size if kinds else 0, len(kinds), 40 if spec.bits == 32 else 64,
            section_count, max(section_count - 1, 0),
        )  # fmt: skip
        data[: len(header)] = header
        table = b"".join(self.segment(kind, header_size, len(kinds) * segment_size) for kind in kinds)
        data[header_size : header_size + len(table)] = table
        return bytes(data)

    def segment_kinds(self) -> list[str]:
        spec = self.spec
        if spec.type == ET_REL:
            return []
        names = {part.name for part in self.parts}
        kinds = ["phdr", ".interp"] if spec.interpreter is not None else []
        kinds += ["read"] + (["write", ".dynamic"] if ".dynamic" in names else [])
        kinds += [".note.gnu.property", "property"] if ".note.gnu.property" in names else []
        kinds += [".note.kit"] if ".note.kit" in names else []
        kinds += ["stack"] if spec.gnu_stack is not None else []
        return kinds + ["null"] * spec.spare_headers

    def segment(self, kind: str, header_size: int, table_size: int) -> bytes:
        types = {"phdr": 6, ".interp": 3, "read": 1, "write": 1, ".dynamic": 2, "property": 0x6474E553,
                 "stack": 0x6474E551, "null": 0}  # fmt: skip
        flags, align = 4, 8
        offset = address = size = 0
        if kind == "phdr":
            offset, address, size = header_size, self.base + header_size, table_size
        elif kind in {"read", "write"}:
            parts = [part for part in self.parts if bool(part.flags & 1) == (kind == "write")]
            offset, address = (parts[0].offset, parts[0].address) if kind == "write" else (0, self.base)
            size, align, flags = parts[-1].offset + parts[-1].size - offset, self.spec.align, 4 | (kind == "write") * 2
        elif kind == "stack":
            flags, align = self.spec.gnu_stack or 0, 16
        elif kind == "null":
            flags = align = 0
        else:
            part = self.part(".note.gnu.property" if kind == "property" else kind)
            offset, address, size, align = part.offset, part.address, part.size, part.align
            flags = 6 if kind == ".dynamic" else 4
        number = types.get(kind, 4)
        if self.spec.bits == 32:
            return self.pack("8I", number, offset, address, address, size, size, flags, align)
        return self.pack("IIQQQQQQ", number, flags, offset, address, address, size, size, align)

    def append_sections(self, data: bytearray) -> tuple[int, int]:
        names = _Strings()
        # (name, type, flags, address, offset, size, link, info, alignment, entry size)
        rows = [(0,) * 10]
        for part in self.parts:
            address = 0 if self.spec.type == ET_REL else part.address
            link = self.index(part.link) if part.link else 0
            rows.append((names.add(part.name), part.type, part.flags, address, part.offset, part.size, link, part.info,
                         part.align, part.entry_size))  # fmt: skip
        name = names.add(".shstrtab")
        rows.append((name, 3, 0, 0, len(data), len(names.data), 0, 0, 1, 0))
        data += names.data
        data += bytes(-len(data) % 8)
        offset = len(data)
        for row in rows:
            data += self.pack("IIWWWWIIWW", *row)
        return offset, len(rows)


def build_elf(spec: ElfSpec | None = None, **options: object) -> bytes:
    """The bytes of an ELF file: `spec` (else the defaults of `ElfSpec`) with the fields of `options` replaced."""
    return build_with_places(replace(spec or ElfSpec(), **options))[0]  # type: ignore[arg-type]


def build_with_places(spec: ElfSpec) -> tuple[bytes, Mapping[str, int]]:
    """The bytes of an ELF file, and where each section begins in it (also where it has no section headers)."""
    builder = _Builder(spec)
    return builder.build(), {part.name: part.offset for part in builder.parts}
