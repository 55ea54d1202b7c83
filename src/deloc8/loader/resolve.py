"""Graph of the objects that the loader would load for a file, in the loader's own order."""

from __future__ import annotations

from functools import cached_property

from deloc8.elf.read.dynamic import LinkKind
from deloc8.errors import InputError
from deloc8.loader.libc import find_libc, is_of_kernel, libc_of
from deloc8.loader.search import Chain, Located, Lookup, Machine, Origin, Search, SearchOptions, Stage
from deloc8.target import Libc
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from deloc8.elf.read.dynamic import Link
    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.sysroot import Files
    from deloc8.loader.tokens import Tokens

# `find_libc` and `libc_of` are wanted wherever a graph is resolved: they are found here as well.
__all__ = ["Edge", "LoadGraph", "LoadedObject", "Resolver", "find_libc", "libc_of", "needed_by", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedObject:
    """One file that is loaded.

    Attributes:
        path: Where it is, as the loader writes it.
        real_path: The same without symlinks and dots: what identifies the file.
        image: The file.
        asked_as: The name that it was first asked for, tokens replaced; for the root its path.
        parent: The path of the object that asked for it first; None for the root.
    """

    path: str
    real_path: str
    image: ElfImage
    asked_as: str
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One DT_NEEDED entry, or another that names a library to load.

    Attributes:
        parent: The path of the object that has it.
        name: The entry as written; of a list of audit libraries one name.
        lookup: What became of it.
        target: The path of the object that it leads to; None where nothing was found.
        kind: Which entry it is.
    """

    parent: str
    name: str
    lookup: Lookup
    target: str | None
    kind: LinkKind = LinkKind.NEEDED


@dataclass(frozen=True, kw_only=True)
class LoadGraph:
    """Objects that are loaded for a root object, and the entries that name them.

    Attributes:
        root: The path of the root.
        objects: All that is loaded, in the order in which ld.so searches them for symbols: breadth first, the root
            before all others, but what a filter names before the filter. Libraries that only audit come last.
        edges: Every entry of them that names a library, in the order in which the loader looks at them; without the
            kernel's own library, which is in every process.
    """

    root: str
    objects: tuple[LoadedObject, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def missing(self) -> tuple[Lookup, ...]:
        """The names that were not found though they must be, each once, with everything that was tried."""
        failures = [edge for edge in reversed(self.edges) if edge.target is None]
        failed = {edge.name: edge.lookup for edge in failures if not edge.kind.is_optional}
        return tuple(reversed(failed.values()))

    @cached_property
    def by_path(self) -> Mapping[str, LoadedObject]:
        """The objects by their paths."""
        return {loaded.path: loaded for loaded in self.objects}

    def chain(self, path: str) -> tuple[str, ...]:
        """The chain of paths by which an object was asked for first; empty where it is not loaded."""
        # Breadth first, that is one of the shortest, unless a filter comes in between.
        chain: list[str] = []
        step: str | None = path if path in self.by_path else None
        while step is not None:
            chain.append(step)
            step = self.by_path[step].parent
        return tuple(reversed(chain))


def resolve(
    path: str, image: ElfImage, files: Files, options: SearchOptions, own: Mapping[str, Sequence[str]] | None = None
) -> LoadGraph:
    """Resolve one file: all that is loaded for it.

    For many files of one wheel use a `Resolver`, which remembers.

    Args:
        path: Where the file is or will be, absolute; `$ORIGIN` is its folder.
        image: The file.
        files: Where to look for libraries.
        options: How to look for them.
        own: The names of libraries of the same wheel, with the paths of each.

    Raises:
        InputError: The search would not end in reasonable time (`endless-search`), or the loader's own search would
            not end (`filter-circle`).
    """
    return Resolver(files, options, own).resolve(path, image)


class Resolver:
    """Resolves one file after another in the same file system, with the same options."""

    def __init__(self, files: Files, options: SearchOptions, own: Mapping[str, Sequence[str]] | None = None) -> None:
        """As for `resolve`."""
        self._files = files
        self._options = options
        self._search = Search(files, options, own or {})
        self._loaded: dict[tuple[str, str], Lookup] = {}

    def tokens(self, path: str, image: ElfImage) -> Tokens:
        """Values of the tokens in the search path of a file."""
        return self._search.tokens(Located(path, image), self._search.machine_of(image))

    def resolve(self, path: str, image: ElfImage) -> LoadGraph:
        """Resolve one file: all that is loaded for it.

        Raises:
            InputError: As for `resolve` of this module.
        """
        loading = _Loading(self._files, self._options.libc, self._search, self._loaded)
        return loading.load(path, image)


_FILTERS = frozenset({LinkKind.FILTER, LinkKind.AUXILIARY})

# One graph may look at this many places. The largest real ones need a few ten thousand.
_MOST_ATTEMPTS = 500_000

# The libraries that musl's loader is itself, by the beginning of their names (ldso/dynlink.c, load_library).
_MUSL_ITSELF = tuple(f"lib{part}." for part in ("c", "pthread", "rt", "m", "dl", "util", "xnet"))


class _Loading:
    """One graph while it grows; `loaded` are the answers of other graphs for names of what was loaded already."""

    def __init__(self, files: Files, libc: Libc, search: Search, loaded: dict[tuple[str, str], Lookup]) -> None:
        self._files = files
        self._libc = libc
        self._search = search
        self._loaded = loaded
        self._objects: list[LoadedObject] = []
        self._edges: list[Edge] = []
        self._limit = search.attempts + _MOST_ATTEMPTS
        self._followed: set[str] = set()
        self._chains: dict[str, Chain] = {}
        self._by_name: dict[str, LoadedObject] = {}
        self._by_identity: dict[Hashable, LoadedObject] = {}

    def load(self, path: str, image: ElfImage) -> LoadGraph:
        machine = self._search.machine_of(image)
        real = self._files.real_path(path) or path
        root = LoadedObject(path=path, real_path=real, image=image, asked_as=path, parent=None)
        self._add(root)
        self._load_all(machine)
        if self._libc is Libc.GLIBC and image.audits:
            for link in image.audits:
                self._load_audit(link, root, machine)
        return LoadGraph(root=path, objects=tuple(self._objects), edges=tuple(self._edges))

    def _load_all(self, machine: Machine) -> None:
        """Follow the entries of all objects; they become more meanwhile (`_dl_map_object_deps` in elf/dl-deps.c)."""
        place = 0
        while place < len(self._objects):
            parent = self._objects[place]
            if parent.path in self._followed:
                place += 1
                continue
            self._followed.add(parent.path)
            for name in parent.image.needed:
                self._follow(LinkKind.NEEDED, name, parent, machine)
            # musl and Android know no filters.
            if self._libc is Libc.GLIBC and parent.image.filters:
                self._load_filtees(parent, place, machine)
        filtees = [edge for edge in self._edges if edge.kind in _FILTERS]
        if filtees:
            from deloc8.loader.circles import refuse_circles  # noqa: PLC0415  hardly any file is a filter

            refuse_circles(filtees)

    def _load_filtees(self, parent: LoadedObject, place: int, machine: Machine) -> None:
        """Load what a filter names, and search it just before the filter, unless it is searched earlier already."""
        objects = self._objects
        for link in dict.fromkeys(parent.image.filters):
            target = self._follow(*link, parent, machine)
            # A new one is the last.
            behind = (at for at in range(len(objects) - 1, place, -1) if objects[at] is target)
            found = next(behind, None)
            if found is not None:
                objects.insert(place, objects.pop(found))
                place += 1

    def _follow(self, kind: LinkKind, name: str, parent: LoadedObject, machine: Machine) -> LoadedObject | None:
        if is_of_kernel(name, machine.arch, self._libc):
            return None
        lookup, target = self._need(name, parent, machine)
        target_path = None if target is None else target.path
        self._edges.append(Edge(parent=parent.path, name=name, lookup=lookup, target=target_path, kind=kind))
        if self._search.attempts > self._limit:
            raise InputError(
                f"the search for the libraries of `{self._chains[parent.path].root.path}` has no end in sight",
                code="endless-search",
                context=(f"{len(self._edges)} names were looked for in over {_MOST_ATTEMPTS} places",),
                hints=("look at the DT_NEEDED, DT_RPATH and DT_RUNPATH entries with `readelf -d`",),
            )
        return target

    def _load_audit(self, link: Link, root: LoadedObject, machine: Machine) -> None:
        """Load a library that audits a program: into a namespace of its own, so that nothing is loaded already."""
        space = _Loading(self._files, self._libc, self._search, self._loaded)
        space._limit = self._limit
        space._chains[root.path] = self._chains[root.path]
        space._follow(*link, root, machine)
        space._load_all(machine)
        known = {loaded.path for loaded in self._objects}
        self._objects += [loaded for loaded in space._objects if loaded.path not in known]
        self._edges += space._edges

    def _need(self, name: str, parent: LoadedObject, machine: Machine) -> tuple[Lookup, LoadedObject | None]:
        chain = self._chains[parent.path]
        asked = self._search.asked_as(name, chain.asker, machine)
        if asked is None:
            return self._search.find(name, chain, machine), None
        known = self._by_name.get(asked)
        if known is not None:
            return self._again(name, known), known
        if machine.loader is not None and self._is_loader(asked, machine.loader):
            path, image = machine.loader
            lookup = Lookup(
                name=name,
                path=path,
                real_path=self._files.real_path(path),
                image=image,
                origin=Origin(Stage.LOADER),
            )
        else:
            lookup = self._search.find(name, chain, machine)
        return lookup, self._enter(lookup, asked, parent)

    def _again(self, name: str, known: LoadedObject) -> Lookup:
        """The answer for a name of what is loaded already: the same in every graph, and needed by most files."""
        lookup = self._loaded.get((name, known.path))
        if lookup is None or lookup.image is not known.image:
            lookup = self._loaded[name, known.path] = Lookup(
                name=name,
                path=known.path,
                real_path=known.real_path,
                image=known.image,
                origin=Origin(Stage.LOADED),
            )
        return lookup

    def _is_loader(self, name: str, loader: Located) -> bool:
        if self._libc is Libc.MUSL:
            return name == loader.path or name.startswith(_MUSL_ITSELF)
        return name in {loader.path, loader.image.soname}

    def _enter(self, lookup: Lookup, asked: str, parent: LoadedObject) -> LoadedObject | None:
        """The object that a lookup leads to, loaded now if it is not yet."""
        if lookup.path is None or lookup.image is None:
            return None
        loaded = self._by_identity.get(self._files.identity(lookup.path))
        if loaded is None:
            real = lookup.real_path or lookup.path
            loaded = LoadedObject(
                path=lookup.path, real_path=real, image=lookup.image, asked_as=asked, parent=parent.path
            )
            self._add(loaded)
        # musl gives a name only to what was found by a name.
        if self._libc is not Libc.MUSL or "/" not in asked:
            self._by_name.setdefault(asked, loaded)
        return loaded

    def _add(self, loaded: LoadedObject) -> None:
        self._objects.append(loaded)
        above = None if loaded.parent is None else self._chains[loaded.parent]
        self._chains[loaded.path] = Chain(Located(loaded.path, loaded.image), above)
        self._by_identity[self._files.identity(loaded.path)] = loaded
        # musl does not look at sonames (ldso/dynlink.c, load_library).
        if self._libc is not Libc.MUSL and loaded.image.soname is not None:
            self._by_name.setdefault(loaded.image.soname, loaded)


def needed_by(graphs: Iterable[LoadGraph]) -> Mapping[str, tuple[str, ...]]:
    """Files that need each library, sorted.

    A library is given by its real path, or by its name where it was not found; the files that need
    it by their real paths, too.
    """
    askers: dict[str, set[str]] = {}
    for graph in graphs:
        for edge in graph.edges:
            subject = edge.name if edge.target is None else graph.by_path[edge.target].real_path
            askers.setdefault(subject, set()).add(graph.by_path[edge.parent].real_path)
    return {subject: tuple(sorted(askers[subject])) for subject in sorted(askers)}
