"""The bytes of changed bindings: versions, names and relocations of undefined symbols, and the hash table of names."""

from __future__ import annotations

import struct

from deloc8.elf import constants as c
from deloc8.elf.edit.joining import is_moved
from deloc8.elf.edit.rebind import sysv_hash
from deloc8.elf.read.symbols import hash_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deloc8.elf.edit.draft import Draft
    from deloc8.elf.read.dynamic import DynamicTable


def binding_writes(table: DynamicTable, draft: Draft, positions: Mapping[bytes, int]) -> Iterator[tuple[int, bytes]]:
    """Changes to the tables of a file: offset and new bytes.

    Args:
        table: The dynamic section.
        draft: The contents that are wanted.
        positions: The positions of new strings in DT_STRTAB.

    Raises:
        ElfError: The hash table of names is unsound.
    """
    order = "<" if table.view.layout.little_endian else ">"
    bindings, record = draft.bindings, table.view.layout.symbol
    if bindings.versym:
        start = table.locate("DT_VERSYM", c.DT_VERSYM)
        for number, index in sorted(bindings.versym.items()):
            yield start + 2 * number, struct.pack(order + "H", index)
    if bindings.names or bindings.weakened:
        start = table.locate("DT_SYMTAB", c.DT_SYMTAB)
        for number, name in sorted(bindings.names.items()):
            yield start + number * record.size + record.offsets["st_name"], struct.pack(order + "I", positions[name])
        for number in sorted(bindings.weakened):
            offset = start + number * record.size + record.offsets["st_info"]
            (info,) = table.view.slice("st_info", offset, 1)
            yield offset, bytes([c.STB_WEAK << 4 | info & 0xF])
    if bindings.names and c.DT_HASH in table.values:
        yield _hash_table(table, bindings.names)
    for offset, content in bindings.patches:
        if not is_moved(draft.joined, offset):
            yield offset, content


def _hash_table(table: DynamicTable, names: Mapping[int, bytes]) -> tuple[int, bytes]:
    """DT_HASH with the same symbols under their new names: offset and bytes."""
    view = table.view
    offset, code = table.locate("DT_HASH", c.DT_HASH), hash_word(table)
    bucket_count, chain_count = view.numbers("DT_HASH", offset, 2, code)
    words = view.numbers("DT_HASH", offset, 2 + bucket_count + chain_count, code)
    buckets, chains = words[2 : 2 + bucket_count], words[2 + bucket_count :]
    hashed: set[int] = set()
    for number in buckets:
        link = number
        while link and link not in hashed:
            if link >= chain_count:
                raise view.sick("DT_HASH", offset, f"leads to symbol {link} of {chain_count}")
            hashed.add(link)
            link = chains[link]
    new_buckets, new_chains = [0] * bucket_count, [0] * chain_count
    record = view.layout.symbol
    start = table.locate("DT_SYMTAB", c.DT_SYMTAB)
    for number in sorted(hashed, reverse=True):  # what is put in last is found first
        name = names.get(number)
        if name is None:
            position = view.numbers("st_name", start + number * record.size + record.offsets["st_name"], 1, "I")[0]
            name = table.string("st_name", position).encode("utf-8", "surrogateescape")
        bucket = sysv_hash(name) % bucket_count
        new_chains[number], new_buckets[bucket] = new_buckets[bucket], number
    order = "<" if view.layout.little_endian else ">"
    return offset, struct.pack(f"{order}{len(words)}{code}", bucket_count, chain_count, *new_buckets, *new_chains)
