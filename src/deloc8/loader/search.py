"""The search for one library by its name: the loader's stages in their order, and a record of every place tried.

The order is that of glibc's `_dl_map_object` (elf/dl-load.c) and of musl's `load_library` (ldso/dynlink.c).
"""

from __future__ import annotations

import re
from functools import cached_property

from deloc8.elf.read.image import ElfImage
from deloc8.loader import ldconf
from deloc8.loader.libc import find_libc
from deloc8.loader.lookup import Attempt, Located, Lookup, Machine, Origin, Result, SearchOptions, Stage
from deloc8.loader.memory import Chain, Inquiry, Memory
from deloc8.loader.own import OwnLibraries, are_one_build, are_one_library, by_nearness
from deloc8.loader.sysroot import Fault
from deloc8.loader.tokens import Tokens, expand, expand_for_musl, folder_of, search_path
from deloc8.target import Libc
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from deloc8.loader.ldcache import LdCache
    from deloc8.loader.sysroot import Files, NoImage
    from deloc8.target import Arch

# The values of `lookup` are this module's vocabulary: they are found here as well.
__all__ = [
    "Attempt",
    "Chain",
    "Located",
    "Lookup",
    "Machine",
    "Origin",
    "Result",
    "Search",
    "SearchOptions",
    "Stage",
    "expand",
]


class _Query(NamedTuple):
    """A name, what can be asked about those who ask for it, and for which machine it is."""

    name: str
    inquiry: Inquiry
    machine: Machine


class _Candidate(NamedTuple):
    """A place to look at; one with a result is only noted."""

    path: str
    origin: Origin
    result: Result | None = None
    reason: str = ""


_RESULT_OF_FAULT = {
    Fault.MISSING: Result.MISSING,
    Fault.NOT_ELF: Result.NOT_ELF,
    Fault.UNREADABLE: Result.UNREADABLE,
}


def _kind(image: ElfImage) -> tuple[int, int, bool]:
    return image.machine, image.bits, image.little_endian


# No real search path has as many entries; what follows them is left in one piece, which no folder is called.
_MOST_FOLDERS = 10_000

_StageSearch: TypeAlias = "Callable[[_Query], Iterator[_Candidate]]"


class Search:
    """A search in one file system, with one set of options; remembers every outcome and the system's configuration.

    Attributes:
        attempts: How many places have been looked at so far; an answer that is remembered counts as one.
    """

    def __init__(self, files: Files, options: SearchOptions, own: Mapping[str, Sequence[str]]) -> None:
        """`own` maps the names of libraries of the same wheel to their paths."""
        self.attempts = 0
        self._files = files
        self._options = options
        self._own = OwnLibraries(own)
        self._machines: dict[object, Machine] = {}
        self._memory = Memory()
        self._cached_paths: dict[tuple[str, Arch | None], str | None] = {}
        self._expanded: dict[object, str | None] = {}

    def machine_of(self, image: ElfImage) -> Machine:
        """The machine of a root object, with the loader that it asks for, else the usual one."""
        key = (_kind(image), image.arch, image.interpreter)
        machine = self._machines.get(key)
        if machine is None:
            loader = self._loader_of(image)
            path = loader.path if loader else None
            machine = self._machines[key] = Machine(
                kind=key[0],
                arch=image.arch,
                loader=loader if self._options.only_paths is None else None,
                defaults=ldconf.default_folders(self._files, path, image.arch)
                if self._options.libc is Libc.GLIBC
                else (),
            )
        return machine

    def _loader_of(self, image: ElfImage) -> Located | None:
        if self._options.libc is Libc.ANDROID:
            return None
        for path in (image.interpreter, ldconf.loader_path(image.arch, self._options.libc)):
            loader = self._files.image(path) if path else None
            if path and isinstance(loader, ElfImage) and _kind(loader) == _kind(image):
                return Located(path, loader)
        return None

    def find(self, name: str, chain: Chain, machine: Machine) -> Lookup:
        """Look up a name; `chain` leads from the object that requires it up to the root.

        That a name is already loaded is not this function's matter.
        """
        self.attempts += 1
        loader = machine.loader and machine.loader.path
        key: Hashable = (name, machine.kind, machine.arch, loader, machine.defaults)
        lookup = self._memory.recall(key, self._inquire(chain))
        if lookup is None:
            query = _Query(name, self._inquire(chain), machine)
            lookup = self._find(query)
            self._memory.keep(key, query.inquiry, lookup)
            self.attempts += len(lookup.tried)
        return lookup

    def _inquire(self, chain: Chain) -> Inquiry:
        counts = _counts_for_musl if self._options.libc is Libc.MUSL else _counts_for_glibc
        return Inquiry(chain, counts, self._own.covers)

    def asked_as(self, name: str, asker: Located, machine: Machine) -> str | None:
        """A DT_NEEDED entry as the loader reads it; None where a token in it stands for nothing known.

        glibc replaces tokens there, too, before anything else: the same entry means another file in another folder.
        """
        if self._options.libc is not Libc.GLIBC or "$" not in name:
            return name
        return expand(name, self.tokens(asker, machine))

    def _find(self, query: _Query) -> Lookup:
        tried: list[Attempt] = []
        instead: Located | None = None
        for path, origin, noted, reason in self._candidates(query):
            if noted is not None:
                tried.append(Attempt(path, origin, noted, reason))
                continue
            if instead and (origin.stage is Stage.OWN or not self._own.covers(path)):
                continue  # only a search path that leads into the wheel knows better
            image = self._files.image(path)
            result, why = self._judge(image, query.machine)
            if isinstance(image, ElfImage) and result is Result.FOUND:
                instead = self._own_instead(path, image, query)
                if instead is None:
                    tried.append(Attempt(path, origin, result, why))
                    return self._found(query, path, image, tried)
                result = Result.OUTSIDE
            tried.append(Attempt(path, origin, result, why))
        if instead is None:
            return Lookup(name=query.name, tried=tuple(tried))
        tried.append(Attempt(instead.path, Origin(Stage.OWN), Result.FOUND))
        return self._found(query, instead.path, instead.image, tried)

    def _own_instead(self, path: str, image: ElfImage, query: _Query) -> Located | None:
        """The wheel's own library where it wins over a file that was found outside of the wheel."""
        fit: list[Located] = []
        for own in self._nearest(self._own.instead_of(path, (query.name, image.soname)), query):
            other = self._files.image(own)
            if not isinstance(other, ElfImage) or not are_one_library(other.soname, image.soname):
                continue
            if self._judge(other, query.machine)[0] is Result.FOUND:
                fit.append(Located(own, other))
        equal = [own for own in fit if are_one_build(own.image, image)]
        return next(iter(equal or fit), None)

    def _nearest(self, paths: Sequence[str], query: _Query) -> Sequence[str]:
        """Paths of the wheel, the nearest to who asks first."""
        return by_nearness(paths, query.inquiry.near()) if len(paths) > 1 else paths

    def _found(self, query: _Query, path: str, image: ElfImage, tried: list[Attempt]) -> Lookup:
        return Lookup(
            name=query.name,
            path=path,
            real_path=self._files.real_path(path),
            image=image,
            origin=tried[-1].origin,
            tried=tuple(tried),
        )

    def _judge(self, image: ElfImage | NoImage, machine: Machine) -> tuple[Result, str]:
        if not isinstance(image, ElfImage):
            return _RESULT_OF_FAULT[image.fault], image.reason
        if _kind(image) != machine.kind:
            return Result.OTHER_MACHINE, ""
        return (Result.FOUND if find_libc(image) in {None, self._options.libc} else Result.OTHER_LIBC), ""

    def _candidates(self, query: _Query) -> Iterator[_Candidate]:
        path: str | None = query.name
        if "/" in query.name or "$" in query.name:
            path = self.asked_as(query.name, query.inquiry.asker(), query.machine)
        if path is None or "/" in path:
            origin = Origin(Stage.NEEDED_PATH, query.inquiry.asker().path)
            yield _skipped(query.name, path, origin) or _Candidate(path or "", origin)
            if path is not None and not self._own.covers(path):
                yield from self._own_file(query)
            return
        for stage in self._stages(query.name):
            yield from stage(query)

    def _stages(self, name: str) -> list[_StageSearch]:
        libc = self._options.libc
        stages: list[_StageSearch] = [self._added]
        if libc is Libc.GLIBC:
            stages += [self._rpath_chain, self._library_path, self._runpath]
            system: list[_StageSearch] = [self._configured, self._built_in]
        elif libc is Libc.MUSL:
            stages += [self._library_path, self._musl_rpaths]
            system = [self._musl_folders]
        else:
            stages += [self._library_path, self._runpath]
            system = []
        if self._own.named(name):
            # The package loads it beforehand, and what is loaded wins over every search outside of the wheel. Which
            # of several copies is loaded nobody knows, so the search paths that lead into the wheel speak first.
            stages = [*(stage for stage in stages if stage != self._library_path), self._own_file]
        return stages + (system if self._options.only_paths is None else [self._only])

    def _added(self, query: _Query) -> Iterator[_Candidate]:
        return self._in_folders(query, self._options.add_paths, Origin(Stage.ADD_PATH))

    def _only(self, query: _Query) -> Iterator[_Candidate]:
        return self._in_folders(query, self._options.only_paths or (), Origin(Stage.ONLY_PATHS))

    def _library_path(self, query: _Query) -> Iterator[_Candidate]:
        folders: Iterable[str] = self._options.loader_path
        if self._options.libc is Libc.GLIBC:
            return self._in_entries(query, folders, None, Origin(Stage.LIBRARY_PATH))
        return self._in_folders(query, folders, Origin(Stage.LIBRARY_PATH))

    def _rpath_chain(self, query: _Query) -> Iterator[_Candidate]:
        """DT_RPATH of the asking object and of those that led to it, unless the asking object has a DT_RUNPATH."""
        if query.inquiry.runpath() is not None:
            return
        for owner in query.inquiry.owners():
            yield from self._in_entries(query, _entries(owner), owner, Origin(Stage.RPATH, owner.path))

    def _runpath(self, query: _Query) -> Iterator[_Candidate]:
        if query.inquiry.runpath():
            owner = query.inquiry.asker()
            yield from self._in_entries(query, _entries(owner), owner, Origin(Stage.RUNPATH, owner.path))

    def _musl_rpaths(self, query: _Query) -> Iterator[_Candidate]:
        """DT_RUNPATH, else DT_RPATH, of the asking object and of those that led to it."""
        for owner in query.inquiry.owners():
            stage = Stage.RUNPATH if owner.image.dynamic and owner.image.dynamic.runpath is not None else Stage.RPATH
            origin = Origin(stage, owner.path)
            path = search_path(owner.image) or ""
            expanded = expand_for_musl(path, folder_of(owner.path))
            if expanded is None:
                yield _Candidate(path, origin, Result.SKIPPED, "musl ignores a path with a token it does not know")
            else:
                folders = [folder for folder in re.split("[:\n]", expanded, maxsplit=_MOST_FOLDERS) if folder]
                yield from self._in_folders(query, folders, origin)

    def _own_file(self, query: _Query) -> Iterator[_Candidate]:
        for path in self._nearest(self._own.named(query.name), query):
            yield _Candidate(path, Origin(Stage.OWN))

    def _musl_folders(self, query: _Query) -> Iterator[_Candidate]:
        found = query.machine.loader
        loader = found.path if found else ldconf.loader_path(query.machine.arch, Libc.MUSL)
        configured = None if loader is None else ldconf.read_musl_path(self._files, loader)
        if configured is None:
            return self._in_folders(query, ldconf.MUSL_FOLDERS, Origin(Stage.DEFAULT))
        return self._in_folders(query, configured, Origin(Stage.CONF))

    @cached_property
    def _cache(self) -> LdCache | None:
        return ldconf.read_cache_of(self._files)

    @cached_property
    def _conf(self) -> tuple[str, ...]:
        return ldconf.read_ld_so_conf(self._files)

    def _configured(self, query: _Query) -> Iterator[_Candidate]:
        """The entry of ld.so.cache; where there is no sound cache, the folders of ld.so.conf that it is made from."""
        origin = Origin(Stage.CACHE)
        if self._cache is None:
            if self._files.real_path(ldconf.LD_SO_CACHE) is not None:
                yield _Candidate(ldconf.LD_SO_CACHE, origin, Result.UNREADABLE, "damaged: ld.so.conf is used instead")
            for candidate in self._in_folders(query, self._conf, Origin(Stage.CONF)):
                yield _unless_default(candidate, query)
            return
        key = (query.name, query.machine.arch)
        if key not in self._cached_paths:  # the same few names are asked for by nearly every file
            self._cached_paths[key] = self._cache.find(key[0], arch=key[1], hwcaps=self._options.hwcaps)
        path = self._cached_paths[key]
        if path is None:
            yield _Candidate(ldconf.LD_SO_CACHE, origin, Result.MISSING, "it has no entry of this name")
        else:
            yield _unless_default(_Candidate(path, origin), query)

    def _built_in(self, query: _Query) -> Iterator[_Candidate]:
        candidates = self._in_folders(query, query.machine.defaults, Origin(Stage.DEFAULT))
        return (_unless_default(candidate, query) for candidate in candidates)

    def tokens(self, owner: Located, machine: Machine) -> Tokens:
        """Values of the tokens in the search path of a file."""
        lib = None
        if self._options.libc is Libc.ANDROID and machine.arch:
            lib = "lib64" if machine.arch.bits == 64 else "lib"  # noqa: PLR2004  kLibPath in bionic's linker.cpp
        elif machine.defaults:
            # glibc's $LIB is its first folder, on Debian with the multiarch part.
            lib = machine.defaults[0].removeprefix("/usr").lstrip("/")
        platform = self._options.platform or (machine.arch and machine.arch.row.platform)
        return Tokens(origin=folder_of(owner.path), lib=lib, platform=platform)

    def _expand(self, entry: str, owner: Located, machine: Machine) -> str | None:
        """An entry of a search path without its tokens; whatever a file brings along is looked for by its entries."""
        key = (entry, owner.path, machine.kind, machine.arch is None, machine.defaults)
        if key not in self._expanded:
            tokens = self.tokens(owner, machine)
            known = tokens if self._options.knows_tokens else Tokens(origin=tokens.origin)
            self._expanded[key] = expand(entry, known)
        return self._expanded[key]

    def _in_entries(
        self, query: _Query, entries: Iterable[str], owner: Located | None, origin: Origin
    ) -> Iterator[_Candidate]:
        """The candidates of search path entries that may have tokens, of a file or, where it is None, of the root."""
        folders = []
        for entry in entries:
            folder: str | None = entry
            if "$" in entry:
                folder = self._expand(entry, owner or query.inquiry.root(), query.machine)
            skipped = _skipped(entry, folder, origin)
            if skipped:
                yield skipped
            else:
                folders.append(folder or "")
        yield from self._in_folders(query, folders, origin)

    def _in_folders(self, query: _Query, folders: Iterable[str], origin: Origin) -> Iterator[_Candidate]:
        for folder in ldconf.unique(folders):
            skipped = _skipped(folder, folder, origin)
            if skipped:
                yield skipped
                continue
            base = folder.rstrip("/")
            if self._options.libc is Libc.GLIBC:
                is_own = self._options.own_hwcaps and self._own.covers(f"{base}/")
                for hwcap in self._options.own_hwcaps if is_own else self._options.hwcaps:
                    yield _Candidate(f"{base}/glibc-hwcaps/{hwcap}/{query.name}", origin)
            yield _Candidate(f"{base}/{query.name}", origin, None, "")  # defaults would cost more than the rest


def _counts_for_glibc(image: ElfImage) -> bool:
    """Whether a search path counts for what the libraries of its file ask for: DT_RPATH does, DT_RUNPATH does not."""
    dynamic = image.dynamic
    return dynamic is not None and bool(dynamic.rpath) and dynamic.runpath is None


def _counts_for_musl(image: ElfImage) -> bool:
    """The same for musl, for which both do."""
    return bool(search_path(image))


def _entries(owner: Located) -> list[str]:
    return (search_path(owner.image) or "").split(":", _MOST_FOLDERS)


def _skipped(entry: str, expanded: str | None, origin: Origin) -> _Candidate | None:
    """The note that an entry is not searched; None where it is."""
    if expanded is None:
        return _Candidate(entry, origin, Result.SKIPPED, "nobody can say what its token stands for")
    if not expanded.startswith("/"):
        return _Candidate(entry, origin, Result.SKIPPED, "it means the current folder, wherever that is at run time")
    return None


def _unless_default(candidate: _Candidate, query: _Query) -> _Candidate:
    """The candidate, unless the asking object refuses the built-in folders (DF_1_NODEFLIB) and it stands in one."""
    folders = tuple(f"{folder}/" for folder in query.machine.defaults)
    if candidate.path.startswith(folders) and query.inquiry.refuses_defaults():
        return _Candidate(candidate.path, candidate.origin, Result.SKIPPED, "DF_1_NODEFLIB forbids it")
    return candidate
