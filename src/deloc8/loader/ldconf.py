"""What a system tells its loader: ld.so.cache, ld.so.conf, musl's path file, and the folders that are built in.

The cache's format is glibc's (sysdeps/generic/dl-cache.h), as ldconfig writes it.
"""

from __future__ import annotations

import fnmatch
import re
import struct

from deloc8.errors import InputError
from deloc8.machines import LIB_NAMES_OF_UNKNOWN, ROWS
from deloc8.patterns import pattern
from deloc8.target import Libc
from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deloc8.elf.view import Buffer
    from deloc8.loader.sysroot import Files
    from deloc8.target import Arch

LD_SO_CACHE = "/etc/ld.so.cache"
LD_SO_CONF = "/etc/ld.so.conf"

_LARGEST = 16 << 20  # bytes of what is read here: loaders have 200 kB, caches of whole distributions 1 MB


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

    def named(self, name: str) -> tuple[CacheEntry, ...]:
        """The entries of a soname, in the order of the file."""
        wanted = name.encode("utf-8", "surrogateescape") + b"\0"
        places: set[int] = set()
        place = self.data.find(wanted)
        while place >= 0:
            places.add(place)
            place = self.data.find(wanted, place + 1)
        return tuple(self._entry(number) for number, place in enumerate(self.names) if place in places)

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
    """The libraries of an ld.so.cache, in either byte order; None where it is damaged or of an unknown format."""
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
            names = struct.iter_unpack(order + "I", _slice(file, offset, offset + size))
            return tuple(_string(file, start + name) for (name,) in names)
    return ()


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("a table reaches beyond the end")
    return data[start:end]


def _string(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode("utf-8", "surrogateescape")


def read_ld_so_conf(files: Files, path: str = LD_SO_CONF) -> tuple[str, ...]:
    """The folders of an ld.so.conf and of the files that it includes, in order, each once; none where it is missing."""
    folders: dict[str, None] = {}
    seen: set[str] = set()
    # Each item is a stretch of lines with the folder its relative patterns begin at; a file is read once, so that
    # includes which run in a circle end.
    pending: list[tuple[Iterator[str], str]] = [_open_conf(files, path, seen)]
    while pending:
        lines, base = pending[-1]
        line = next(lines, None)
        if line is None:
            pending.pop()
            continue
        word, *rest = line.partition("#")[0].split(maxsplit=1) or ("",)
        if word == "include":
            included = [found for pattern in " ".join(rest).split() for found in _glob(files, base, pattern)]
            pending.extend(_open_conf(files, found, seen) for found in reversed(included))
        elif word and word != "hwcap":
            # Old files tell the kind of library after an equals sign: /usr/lib=libc5.
            folder = line.partition("#")[0].strip().partition("=")[0].rstrip("/")
            folders[folder or "/"] = None
    return tuple(folder for folder in folders if folder.startswith("/"))


def _open_conf(files: Files, path: str, seen: set[str]) -> tuple[Iterator[str], str]:
    real = files.real_path(path)
    if real is None or real in seen:
        return iter(()), ""
    seen.add(real)
    return iter(_read_text(files, path).splitlines()), path.rpartition("/")[0]


def _read_text(files: Files, path: str) -> str:
    return _read_bytes(files, path).decode("utf-8", "surrogateescape")


def _read_bytes(files: Files, path: str) -> bytes:
    """The contents of a file; none where it cannot be read or is none of its kind: a loader goes on without, too."""
    try:
        return bytes(files.read(path, _LARGEST))
    except InputError:
        return b""


def _glob(files: Files, base: str, pattern: str) -> list[str]:
    """The paths that match a pattern, sorted; wildcards may stand in every part."""
    start, *parts = (pattern if pattern.startswith("/") else f"{base}/{pattern}").split("/")
    found = [start]
    for part in parts:
        if any(character in part for character in "*?["):
            matches = re.compile(fnmatch.translate(part)).match
            found = [
                f"{folder}/{name}"
                for folder in found
                for name in files.list(folder or "/")
                if matches(name) and (not name.startswith(".") or part.startswith("."))
            ]
        else:
            found = [f"{folder}/{part}" for folder in found]
    return found


def read_cache_of(files: Files) -> LdCache | None:
    """The ld.so.cache of a system; None where it has none, or a damaged one."""
    return read_ld_so_cache(_read_bytes(files, LD_SO_CACHE))


def read_musl_path(files: Files, loader: str) -> tuple[str, ...] | None:
    """The folders of the ld-musl-ARCH.path that belongs to a loader, set apart by newlines or colons.

    None where there is no such file; it stands in `etc` beside the folder of the loader (ldso/dynlink.c).
    """
    prefix, _, name = loader.rsplit("/", 2)
    path = f"{prefix}/etc/{name.removesuffix('.so.1')}.path"
    if files.real_path(path) is None:
        return None
    return unique(folder for folder in re.split(r"[:\n]", _read_text(files, path)) if folder)


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """The items in their order, each once."""
    return tuple(dict.fromkeys(items))


def loader_path(arch: Arch | None, libc: Libc) -> str | None:
    """Where the loader of a machine stands; None where that is unknown, and for Android."""
    if arch is None or libc is Libc.ANDROID:
        return None
    if libc is Libc.GLIBC:
        return arch.row.loader
    return arch.row.musl_loader


def libc_of_system(files: Files, arch: Arch) -> Libc:
    """The C library of a system: musl where it has a loader of musl's for a machine and none of glibc's; else glibc."""
    loaders = {libc: loader_path(arch, libc) for libc in (Libc.GLIBC, Libc.MUSL)}
    there = {libc for libc, path in loaders.items() if path and files.real_path(path) is not None}
    return Libc.MUSL if there == {Libc.MUSL} else Libc.GLIBC


_PREFIXES = ("", "/usr", "/usr/local")

MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")

# system_dirs of elf/dl-load.c: strings with a slash at both ends, one after the other. A pattern that begins with one
# certain character is tried where that stands, and nowhere else.
_FOLDER_IN_LOADER = rb"/[!-9;-~]*lib[!-9;-~]*/\0"
_FOLDERS_IN_LOADER = pattern(_FOLDER_IN_LOADER + rb"(?:" + _FOLDER_IN_LOADER + rb")*")


def default_folders(files: Files, loader: str | None, arch: Arch | None) -> tuple[str, ...]:
    """The folders that glibc's loader searches last, in its order.

    Each distribution builds its own into ld.so, so they are read from there. Without a loader in the file system they
    are those of every distribution: the multiarch folders of Debian, then lib64, then lib.
    """
    if loader is not None and files.real_path(loader) is not None:
        runs = _FOLDERS_IN_LOADER.findall(_read_bytes(files, loader))
        if runs:
            # The linker may have merged the tail of the list with other strings: the longest is the list itself.
            longest: bytes = max(runs, key=len)
            return unique(folder.rstrip("/") for folder in longest.decode().split("\0") if folder)
    return tuple(f"{prefix}/{name}" for name in lib_names(arch) for prefix in ("", "/usr"))


def lib_names(arch: Arch | None) -> tuple[str, ...]:
    """What `$LIB` may stand for: the folders of libraries that distributions have below `/` and `/usr`."""
    return arch.row.lib_names if arch else LIB_NAMES_OF_UNKNOWN


def library_folders(files: Files, arch: Arch | None) -> tuple[str, ...]:
    """The folders that hold the libraries of a system: to list them, not to say what the loader finds there.

    They are those that are built into the loader, those of ld.so.conf, and the usual ones of every distribution, which
    below /usr/local only ld.so.conf leads to. For a machine that is not known they are those of all machines.
    """
    rows = (arch.row,) if arch else ROWS
    folders = [*default_folders(files, loader_path(arch, Libc.GLIBC), arch), *read_ld_so_conf(files)]
    for row in rows:
        folders += [f"{prefix}/{name}" for name in row.lib_names for prefix in _PREFIXES]
    return unique(folders)
