"""ld.so.cache: the libraries that ldconfig found, in glibc's format (sysdeps/generic/dl-cache.h)."""

from __future__ import annotations

import struct
from itertools import islice

from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.read.view import Buffer
    from deloc8.target import Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One library of ld.so.cache.

    Attributes:
        flags: The kind of library; the second byte stands for the machine.
        path: Where it is, absolute.
        hwcap: The folder below glibc-hwcaps that it is in, such as ``x86-64-v3``; None for a baseline library.
        legacy: Whether it is in one of the older folders for special processors (``tls``, ``haswell``, ``sse2``).
    """

    flags: int
    path: str
    hwcap: str | None = None
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LdCache:
    """The libraries of an ld.so.cache; several machines may be mixed.

    A cache lists a thousand libraries, of which a wheel asks for three: what it says stays in the file until then.

    Attributes:
        data: The file, from the place that the numbers below count from.
        names: Where the name of each entry stands.
        flags: The flags of each entry.
        paths: Where its path stands.
        levels: Its hwcap.
        hwcaps: The names of the folders below glibc-hwcaps.
    """

    data: bytes = field(repr=False)
    names: tuple[int, ...]
    flags: tuple[int, ...]
    paths: tuple[int, ...]
    levels: tuple[int, ...]
    hwcaps: tuple[str, ...]

    def named(self, name: str) -> Iterator[CacheEntry]:
        """The entries of a soname, in the order of the file."""
        return map(self._entry, self._numbers(name))

    def _numbers(self, name: str) -> Iterator[int]:
        wanted = name.encode("utf-8", "surrogateescape") + b"\0"
        places = set(islice(places_of(self.data, wanted), _MANY))
        if len(places) == _MANY:  # only in a hostile cache
            return (number for number, place in enumerate(self.names) if self.data.startswith(wanted, place))
        return (number for number, place in enumerate(self.names) if place in places)

    def _entry(self, number: int) -> CacheEntry:
        hwcap = self.levels[number]
        named = _is_named(hwcap)
        return CacheEntry(
            flags=self.flags[number],
            path=_string(self.data, self.paths[number]),
            hwcap=self.hwcaps[hwcap & 0xFFFFFFFF] if named else None,
            legacy=bool(hwcap) and not named,
        )

    def find(self, name: str, *, arch: Arch | None, hwcaps: tuple[str, ...] = ()) -> str | None:
        """The path that ld.so takes for a name; `hwcaps` are the folders it may use, the best first.

        For a machine that the policies do not know, every machine's entries are looked at.
        """
        wanted = arch and arch.row.cache_flags
        best: tuple[int, str] | None = None
        for entry in self.named(name):
            if entry.legacy or (wanted and entry.flags not in wanted):
                continue
            if entry.hwcap is None:
                rank = len(hwcaps)
            elif entry.hwcap in hwcaps:
                rank = hwcaps.index(entry.hwcap)
            else:
                continue
            if best is None or rank < best[0]:
                best = (rank, entry.path)
        return best and best[1]


# Bounds for hostile systems. The caches of real ones have a tenth of a mebibyte, and ten hwcaps.
LARGEST = 4 << 20
LONGEST = 4096  # PATH_MAX of Linux: no file can be opened by what is longer
_MOST_HWCAPS = 1024
_MANY = 1000  # places of one name
_OLD_MAGIC = b"ld.so-1.7.0"
_OLD_HEADER_SIZE = 16
_OLD_ENTRY_SIZE = 12
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = "20sIIB3xI12x"  # magic, nlibs, len_strings, flags, extension_offset
_ENTRY = "iIIIQ"  # flags, key, value, osversion, hwcap
_ENDIAN_INVALID = 1
_BYTE_ORDERS = {2: "<", 3: ">"}
_EXTENSION_MAGIC = 0xEAA42174
_TAG_GLIBC_HWCAPS = 1
# The upper half of hwcap: this bit alone, beside the ten bits of an ISA level, says that the lower half is an index
# into the names of the glibc-hwcaps section.
_HWCAP_EXTENSION = 1 << 30
_HWCAP_LEVEL_MASK = (1 << 10) - 1


def read_ld_so_cache(data: Buffer) -> LdCache | None:
    """The libraries of an ld.so.cache, in either byte order; None where it is damaged, too large or another file."""
    if len(data) > LARGEST:
        return None
    try:
        return _read_cache(bytes(data))
    except (struct.error, ValueError):  # a table or a string reaches beyond the end
        return None


def _read_cache(data: bytes) -> LdCache:
    start = _start_of_new_format(data)
    file, data = data, data[start:]
    order = _byte_order(data)
    header = struct.Struct(order + _HEADER)
    _, count, _, _, extension = header.unpack_from(data)
    entry = struct.Struct(order + _ENTRY)
    end = header.size + count * entry.size
    rows = entry.iter_unpack(_slice(data, header.size, end))
    hwcaps = _read_hwcaps(file, order, start, extension) if extension else ()
    flags, names, paths, _, levels = zip(*rows, strict=True) if count else ((),) * 5
    if max((*names, *paths), default=0) > data.rfind(b"\0"):
        raise ValueError("a string reaches beyond the end")
    if any(_is_named(level) and level & 0xFFFFFFFF >= len(hwcaps) for level in set(levels)):
        raise ValueError("an entry names a hwcaps folder that is not listed")
    return LdCache(data=data, names=names, flags=flags, paths=paths, levels=levels, hwcaps=hwcaps)


def _is_named(hwcap: int) -> bool:
    """Whether the hwcap of an entry tells its folder below glibc-hwcaps."""
    return hwcap >> 32 & ~_HWCAP_LEVEL_MASK == _HWCAP_EXTENSION


def _start_of_new_format(data: bytes) -> int:
    if not data.startswith(_OLD_MAGIC):
        return 0
    for order in "<>":
        count: int = struct.unpack_from(order + "I", data, 12)[0]
        end = _OLD_HEADER_SIZE + count * _OLD_ENTRY_SIZE
        # Aligned to 8 bytes; on i386, where a 64-bit number needs no more, to 4.
        for start in (-(-end // 8) * 8, end):
            if data.startswith(_NEW_MAGIC, start):
                return start
    raise ValueError("an old cache that no new one follows")


def _byte_order(data: bytes) -> str:
    if not data.startswith(_NEW_MAGIC):
        raise ValueError("no cache of this format")
    _, count, _, flags, _ = struct.unpack_from("<" + _HEADER, data)
    if flags & 3 == _ENDIAN_INVALID:
        raise ValueError("ldconfig has marked the cache as invalid")
    if flags & 3:
        return _BYTE_ORDERS[flags & 3]
    # Before glibc 2.33 the order was not told: the number of entries is plausible in one order alone.
    return "<" if count * struct.calcsize("<" + _ENTRY) <= len(data) else ">"


def _read_hwcaps(file: bytes, order: str, start: int, extension: int) -> tuple[str, ...]:
    """The names of the glibc-hwcaps section.

    Behind an old cache, offsets of extensions count from the file's beginning, those of strings from the new cache's.
    (glibc 2.36 writes it so and then reads the names from the file's beginning, too: its ld.so ignores such entries.)
    """
    magic, count = struct.unpack_from(order + "II", file, extension)
    if magic != _EXTENSION_MAGIC:
        raise ValueError("no extension directory")
    section = struct.Struct(order + "IIII")
    place = extension + 8
    for tag, _, offset, size in section.iter_unpack(_slice(file, place, place + count * section.size)):
        if tag == _TAG_GLIBC_HWCAPS:
            if size > _MOST_HWCAPS * 4:
                raise ValueError("more hwcaps folders than any system has")
            names = struct.iter_unpack(order + "I", _slice(file, offset, offset + size))
            return tuple(_string(file, start + name) for (name,) in names)
    return ()


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("a table reaches beyond the end")
    return data[start:end]


def _string(data: bytes, start: int) -> str:
    end = data.find(b"\0", start, start + LONGEST)
    if end < 0:
        end = start + LONGEST
    return data[start:end].decode("utf-8", "surrogateescape")


def places_of(data: bytes, wanted: bytes) -> Iterator[int]:
    """Where some bytes stand in others, without overlaps."""
    place = data.find(wanted)
    while place >= 0:
        yield place
        place = data.find(wanted, place + len(wanted))
