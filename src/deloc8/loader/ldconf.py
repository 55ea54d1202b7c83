"""Configuration of a loader: ld.so.cache, ld.so.conf, musl's path file, and built-in folders."""

from __future__ import annotations

import fnmatch
import re
from itertools import islice

from deloc8.errors import InputError
from deloc8.loader.ldcache import LARGEST, LONGEST, places_of, read_ld_so_cache
from deloc8.machines import LIB_NAMES_OF_UNKNOWN, ROWS
from deloc8.patterns import pattern
from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deloc8.loader.ldcache import LdCache
    from deloc8.loader.sysroot import Files
    from deloc8.target import Arch

LD_SO_CACHE = "/etc/ld.so.cache"
LD_SO_CONF = "/etc/ld.so.conf"


def read_ld_so_conf(files: Files, path: str = LD_SO_CONF) -> tuple[str, ...]:
    """The folders of an ld.so.conf and of the files that it includes, in order, each once; none where it is missing."""
    conf = _Conf(files)
    folders: dict[str, None] = {}
    # Each item is a stretch of lines with the folder its relative patterns begin at.
    pending: list[tuple[Iterator[str], str]] = [conf.open(path)]
    while pending and len(folders) < _MOST_CONF_FOLDERS:
        lines, base = pending[-1]
        line = next(lines, None)
        if line is None:
            pending.pop()
            continue
        word, *rest = line.partition("#")[0].split(maxsplit=1) or ("",)
        if word == "include":
            opened = conf.include(base, " ".join(rest))
            pending.extend(reversed(opened))
        elif word and word != "hwcap":
            # Old files give the kind of library after an equals sign: /usr/lib=libc5.
            folder = line.partition("#")[0].strip().partition("=")[0].rstrip("/")
            folders[folder or "/"] = None
    return tuple(folder for folder in folders if folder.startswith("/"))


# Bounds for hostile systems, of one ld.so.conf with what it includes: bytes, names compared with patterns, folders.
_MOST_CONF_BYTES = 1 << 20
_MOST_CONF_NAMES = 100_000
_MOST_CONF_FOLDERS = 10_000


class _Conf:
    """The files of one ld.so.conf: each is read once, so that includes that run in a circle end."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: set[str] = set()
        self._bytes = _MOST_CONF_BYTES
        self._names = _MOST_CONF_NAMES

    def open(self, path: str) -> tuple[Iterator[str], str]:
        """The lines of a file, and its folder; no lines where it cannot be read or has been."""
        real = self._files.real_path(path)
        if real is None or real in self._seen:
            return iter(()), ""
        self._seen.add(real)
        text = _read_text(self._files, path, self._bytes)
        self._bytes -= len(text)
        return iter(text.splitlines()), path.rpartition("/")[0]

    def include(self, base: str, patterns: str) -> list[tuple[Iterator[str], str]]:
        """The files that match any of some patterns, opened; relative ones begin at a folder."""
        included = []
        for wanted in patterns.split():
            included.extend(self._glob(base, wanted))
        return [self.open(found) for found in included]

    def _glob(self, base: str, pattern: str) -> list[str]:
        """The paths that match a pattern, sorted; wildcards may be in every part."""
        start, *parts = (pattern if pattern.startswith("/") else f"{base}/{pattern}").split("/")
        found = [start]
        for part in parts:
            if any(character in part for character in "*?["):
                found = [f"{folder}/{name}" for folder in found for name in self._matching(folder or "/", part)]
            else:
                found = [f"{folder}/{part}" for folder in found]
        return found

    def _matching(self, folder: str, part: str) -> Iterator[str]:
        """The names in a folder that match one part of a pattern."""
        matches = re.compile(fnmatch.translate(part)).match
        names = self._files.list(folder)[: self._names] if self._names else ()
        self._names -= len(names)
        return (name for name in names if matches(name) and (not name.startswith(".") or part.startswith(".")))


def _read_text(files: Files, path: str, most: int) -> str:
    return _read_bytes(files, path, most).decode("utf-8", "surrogateescape")


def _read_bytes(files: Files, path: str, most: int) -> bytes:
    """The contents of a file; none where it cannot be read or is none of its kind: a loader goes on without, too."""
    try:
        return bytes(files.read(path, most))
    except InputError:
        return b""


def read_cache_of(files: Files) -> LdCache | None:
    """The ld.so.cache of a system; None where it has none, or a damaged one."""
    return read_ld_so_cache(_read_bytes(files, LD_SO_CACHE, LARGEST))


def read_musl_path(files: Files, loader: str) -> tuple[str, ...] | None:
    """The folders of the ld-musl-ARCH.path that belongs to a loader, set apart by newlines or colons.

    None where there is no such file; it stands in `etc` beside the folder of the loader (ldso/dynlink.c).
    """
    prefix, _, name = loader.rsplit("/", 2)
    path = f"{prefix}/etc/{name.removesuffix('.so.1')}.path"
    if files.real_path(path) is None:
        return None
    return unique(folder for folder in re.split(r"[:\n]", _read_text(files, path, _MOST_CONF_BYTES)) if folder)


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

_LARGEST_LOADER = 4 << 20  # bytes; real ones have a twentieth
_MOST_STRINGS = 100_000
_SLASH = ord("/")
# What folders are written with, from the end of one to its beginning.
_WRITTEN = pattern(rb"[!-9;-~]*")


def default_folders(files: Files, loader: str | None, arch: Arch | None) -> tuple[str, ...]:
    """The folders that glibc's loader searches last, in its order.

    Each distribution builds its own into ld.so, so they are read from there. Without a loader in the file system they
    are those of every distribution: the multiarch folders of Debian, then lib64, then lib.
    """
    if loader is not None and files.real_path(loader) is not None:
        folders = _folders_in_loader(_read_bytes(files, loader, _LARGEST_LOADER))
        if folders:
            return unique(folder.rstrip("/") for folder in folders)
    return tuple(f"{prefix}/{name}" for name in lib_names(arch) for prefix in ("", "/usr"))


def _folders_in_loader(data: bytes) -> Sequence[str]:
    """system_dirs of elf/dl-load.c: strings with a slash at both ends, one after the other, in which `lib` stands.

    The linker may have merged the tail of the list with other strings: the longest is the list itself. One regular
    expression for the whole would take cubic time.
    """
    longest = range(0)
    begin, end = 0, 0  # of the strings that follow each other up to here, the last one with its NUL
    for place in islice(places_of(data, b"/\0"), _MOST_STRINGS):
        written = _WRITTEN.match(data[max(end, place + 1 - LONGEST) : place + 1][::-1])
        start = place + 1 - (written.end() if written else 0)
        if start > end or begin == end or data[start] != _SLASH:
            begin = start = data.find(b"/", start)
        end = place + 2
        if data.find(b"lib", start + 1, place) < 0:
            begin = end
        longest = max(longest, range(begin, end), key=len)
    return [folder.decode() for folder in data[longest.start : longest.stop].split(b"\0")[:-1]]


def lib_names(arch: Arch | None) -> tuple[str, ...]:
    """Possible values of `$LIB`: the library folders that distributions have below `/` and `/usr`."""
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
