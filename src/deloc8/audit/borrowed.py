"""Symbols without versions that files take from libraries of the system, and the release that brought each.

Only those are told that not every release has. A file does not say in which library such a symbol is: the first of the
libraries that are loaded with it has it, in the loader's order (breadth first from what is opened).
"""

from __future__ import annotations

from collections import deque
from functools import cached_property

from deloc8.elf.read.dynamic import LinkKind
from deloc8.elf.read.image import parse_defined
from deloc8.policy.model import number_key
from deloc8.policy.releases import BEHIND, PROJECTS, promised_release, symbol_table
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from deloc8.audit.elffiles import Dependency, ElfFile
    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.wheel.archive import WheelArchive


# Where the parts of a library begin and end, and what runs first and last: most have these, and they tell nothing.
_OF_EVERY_LIBRARY = frozenset(
    # The last four: on Arm machines.
    ("__bss_start", "_edata", "_end", "_fini", "_init", "__bss_end__", "__bss_start__", "__end__", "_bss_end__")
)


class Borrowed(NamedTuple):
    """A symbol that a file takes from a library by its name alone.

    Attributes:
        library: The library, by the name it is needed by.
        symbol: The symbol.
        since: The first release of the library's project that has it; None where that is newer than all that are known.
    """

    library: str
    symbol: str
    since: str | None


def is_in_release(row: Borrowed, release: str) -> bool:
    """Whether a release of the library's project has a symbol."""
    since, offered = number_key(row.since or ""), number_key(release)
    return since is not None and offered is not None and since <= offered


def told_release(row: Borrowed) -> str:
    """The release that brought a symbol, such as ``glib 2.70``."""
    table = symbol_table(row.library)
    return f"{table.project} {row.since}" if row.since else f"newer than {table.project} {table.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Files that are loaded together.

    Attributes:
        files: All files by path.
        dependencies: What each needs, by path and needed name.
        request: The path of the file that seems to need what the user requests.
    """

    files: Mapping[str, ElfFile]
    dependencies: Mapping[str, Mapping[str, Dependency]]
    request: str

    @property
    def roots(self) -> tuple[str, ...]:
        """The paths of what is opened at run time: any file of the wheel, and the libraries that the user asks for."""
        own = [path for path, file in self.files.items() if file.member is not None and path != self.request]
        requested = (row.target for row in self.dependencies.get(self.request, {}).values())
        return (*own, *filter(None, requested))


def find_borrowed(archive: WheelArchive, sysroot: Sysroot, loading: Loading) -> Mapping[str, tuple[Borrowed, ...]]:
    """The symbols of each file that not every release of their library has, by path; files without any are left out.

    Raises:
        InputError: A library that must be looked into cannot be read.
        ElfError: The symbols of a file are not sound.
    """
    needed = {name for rows in loading.dependencies.values() for name in rows}
    libraries = _with_behind(needed & PROJECTS.keys())

    def read(path: str) -> Buffer:
        member = loading.files[path].member
        return archive.read(archive.member(member)) if member else sysroot.read(path)

    search = _Search(loading, libraries, read)
    found = {path: search.of(file) for path, file in loading.files.items()}
    return {path: rows for path, rows in found.items() if rows}


def _with_behind(names: Iterable[str]) -> frozenset[str]:
    found = set(names)
    for name in names:
        found.update(BEHIND.get(name, ()))
    return frozenset(found)


def late_symbols(rows: Iterable[Borrowed], policy: Policy) -> Iterator[tuple[Borrowed, str, str]]:
    """The symbols of later releases of a library than a policy promises: the release of each, and what is promised.

    One that the policy forbids is private to some builds of the library: no release has it for all.
    """
    for row in rows:
        if row.symbol in policy.forbidden_symbols.get(row.library, ()):
            continue
        project = PROJECTS[row.library]
        promised = promised_release(policy, project)
        if promised is not None and not is_in_release(row, promised):
            yield row, told_release(row), f"{project} {promised}"


class _Search:
    """The search in one wheel; what takes time is done where a file has a symbol in question."""

    def __init__(self, loading: Loading, libraries: frozenset[str], read: Callable[[str], Buffer]) -> None:
        self._loading = loading
        self._read = read
        self._tables = {name: symbol_table(name).since for name in sorted(libraries)}
        self._later = {name for table in self._tables.values() for name, since in table.items() if since}
        self._known = {name for table in self._tables.values() for name in table}
        self._defined: dict[str, frozenset[str]] = {}
        self._answers: dict[tuple[str, str], Borrowed | None] = {}

    def of(self, file: ElfFile) -> tuple[Borrowed, ...]:
        """The symbols of one file. One that it can do without does not count."""
        names = [name for name, version, _, weak in file.image.undefined if version is None and not weak]
        found: set[Borrowed] = set()
        for name in names:
            if name in self._later or (name not in self._known and name in self._unlisted):
                found.update(filter(None, [self._taken(file, name)]))
        return tuple(sorted(found, key=lambda row: (row.library, row.symbol)))

    @cached_property
    def _unlisted(self) -> frozenset[str]:
        """The symbols that the libraries of this system define and the tables do not know: they are newer.

        Where a library has versions, a symbol that is new has one.
        """
        found: set[str] = set()
        for rows in self._loading.dependencies.values():
            for name, row in rows.items():
                if name in self._tables and row.target and not self._loading.files[row.target].image.defined_versions:
                    found.update(self._definitions(row.target))
        return frozenset(found - self._known - _OF_EVERY_LIBRARY)

    def _taken(self, file: ElfFile, symbol: str) -> Borrowed | None:
        """Where a file takes a symbol from, if not every release has it there."""
        if file.image.soname in PROJECTS:
            # Libraries of one project are bound to each other.
            return self._answer(file.path, symbol)
        answers = (self._answer(root, symbol) for root in self._openers.get(file.path, ()))
        return next(filter(None, answers), None)

    @cached_property
    def _openers(self) -> Mapping[str, Sequence[str]]:
        """The roots that bring each file, by its path."""
        found: dict[str, list[str]] = {}
        for root in self._loading.roots:
            for path in {target for _, target in self._scope(root) if target}:
                found.setdefault(path, []).append(root)
        return found

    def _answer(self, root: str, symbol: str) -> Borrowed | None:
        """Where a symbol is found by what is loaded from a root."""
        key = root, symbol
        if key not in self._answers:
            self._answers[key] = self._look(root, symbol)
        return self._answers[key]

    def _look(self, root: str, symbol: str) -> Borrowed | None:
        for name, target in self._scope(root):
            table = self._tables.get(name)
            if table is not None and symbol in table:
                since = table[symbol]
                return Borrowed(name, symbol, since) if since else None
            if target and symbol in self._definitions(target):
                return Borrowed(name, symbol, None) if table is not None else None
        return None

    def _scope(self, root: str) -> Sequence[tuple[str, str | None]]:
        """Libraries that are loaded with a file, breadth first: needed name and path of each.

        The path is None where a library was not found. A filtee is searched just before its filter;
        audit libraries are in a namespace of their own.
        """
        scope: list[tuple[str, str | None]] = [("", root)]
        queue: deque[tuple[str, str | None]] = deque(scope)
        seen: set[str] = {root}
        while queue:
            asker = queue.popleft()
            for step, is_before in self._below(*asker):
                key = step[1] or step[0]
                if key in seen:
                    continue
                seen.add(key)
                queue.append(step)
                scope.insert(scope.index(asker) if is_before else len(scope), step)
        return scope

    def _below(self, name: str, target: str | None) -> Iterator[tuple[tuple[str, str | None], bool]]:
        """Libraries that a library brings with it, each with whether it is searched before it."""
        if target is None:
            # What it would bring is known even where it was not found.
            yield from (((behind, None), False) for behind in BEHIND.get(name, ()))
            return
        for below, row in self._loading.dependencies.get(target, {}).items():
            if not row.kind.is_audit:
                yield (below, row.target), row.kind is not LinkKind.NEEDED

    def _definitions(self, path: str) -> frozenset[str]:
        if path not in self._defined:
            symbols = parse_defined(self._read(path), self._loading.files[path].label)
            self._defined[path] = frozenset([symbol.name for symbol in symbols])
        return self._defined[path]
