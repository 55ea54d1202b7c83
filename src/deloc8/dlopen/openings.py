"""The libraries that a wheel opens at run time: declared or mentioned in its ELF files, called in its Python files."""

from __future__ import annotations

import enum
import posixpath
from bisect import bisect_left
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice

from deloc8.audit.facts import names_of_libraries
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT, install_path
from deloc8.dlopen.budget import Spent, Unsearched, stopped_at
from deloc8.dlopen.mentions import mentioned_libraries, opens_libraries
from deloc8.elf.read.dynamic import Dynamic
from deloc8.elf.read.notes import dlopen_declarations
from deloc8.errors import InputError
from deloc8.loader.ldconf import library_folders
from deloc8.loader.search import Chain, Located, Search
from deloc8.loader.sysroot import Overlay
from deloc8.patterns import pattern
from deloc8.values import NamedTuple, dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import PolicyMatch
    from deloc8.dlopen.budget import Budget
    from deloc8.dlopen.python_files import Sources
    from deloc8.elf.read.image import ElfImage, Mention
    from deloc8.loader.search import SearchOptions
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.wheel.archive import Member


class Confidence(enum.Enum):
    """How it is known that a library is opened."""

    DECLARED = "declared"
    CALLED = "called"
    MENTIONED = "mentioned"


class Source(enum.Enum):
    """Where an opened library comes from."""

    MEMBER = "member"
    POLICY = "policy"
    SYSTEM = "system"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Result of the first name that leads anywhere.

    Attributes:
        source: Where that library comes from.
        target: The member's path as installed, the whitelisted name or the system's file; None where there is nothing.
    """

    source: Source
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One library, or one of several that do as well, that is opened at run time.

    Attributes:
        place: The member that opens it, or the path of a library that is to be copied in.
        line: The line of the call; None where it is none.
        offset: Where in the file a mentioned name stands; None where it is none.
        names: Names, paths as installed, or a pattern of names (what ``find_library`` looks for); the preferred first.
        confidence: How it is known.
        priority: Of a declaration: ``required``, ``recommended`` or ``suggested``; empty for a call.
        is_optional: Whether a call's failure is caught, or its name may be another one.
        resolution: What it leads to.
    """

    place: str
    line: int | None = None
    offset: int | None = None
    names: tuple[str, ...]
    confidence: Confidence
    priority: str = ""
    is_optional: bool = False
    resolution: Resolution

    @property
    def is_in_vain(self) -> bool:
        """Whether Python asks by name for a library of the wheel: its search does not lead there."""
        return self.is_by_name and self.line is not None and self.resolution.source is Source.MEMBER

    @property
    def is_by_name(self) -> bool:
        """Whether the loader would search for it: its names are neither paths nor patterns."""
        return not any("/" in name or "*" in name for name in self.names)


# Bounds for hostile files: the openings of each kind, and the names of one.
_MOST_OPENINGS = 2000
_MOST_NAMES = 64
_UNITS_PER_LOOKUP = 100
_UNITS_PER_TRIED_PLACE = 5
_CHARACTERS_PER_UNIT = 10  # of a pattern
_WILDCARD = pattern(r"[*?\[]")
_NOTHING = Resolution(source=Source.NOTHING)


class Openings(NamedTuple):
    """Openings of a wheel, as far as it was searched.

    Attributes:
        found: Declarations, then calls, then mentions, each in the order of the archive.
        unsearched: What was not searched, or not to its end.
    """

    found: tuple[Opening, ...]
    unsearched: tuple[Unsearched, ...]


def find_openings(
    sources: Sources, facts: WheelFacts, match: PolicyMatch, sysroot: Sysroot, options: SearchOptions
) -> Openings:
    """Find the libraries that a wheel opens at run time.

    The libraries that are to be copied in count as wheel files do. Beyond 2000 of each kind nothing
    is listed.

    Args:
        sources: The Python files of the wheel.
        facts: Its facts.
        match: The wheel against the policy whose whitelist counts, and by which libraries are copied in.
        sysroot: Where libraries outside the wheel are looked for.
        options: How they are looked for.
    """
    finder = _Finder(facts, match.policy, sysroot, options, sources.budget)
    files = (*facts.own, *match.closure.grafts)
    unsearched = list(sources.unsearched)
    kinds = (
        _declared(files, finder, unsearched),
        _called(sources, facts, finder, unsearched),
        _mentioned(files, finder, unsearched, sysroot),
    )
    found: list[Opening] = []
    for openings in kinds:
        for number, opening in enumerate(openings):
            if number == _MOST_OPENINGS:
                reason = f"what is {opening.confidence.value} from here on is not listed: it is more than 2,000"
                unsearched.append(Unsearched(opening.place, reason))
                break
            found.append(opening)
    return Openings(tuple(found), tuple(unsearched))


def _declared(files: Sequence[ElfFile], finder: _Finder, unsearched: list[Unsearched]) -> Iterator[Opening]:
    for number, file in enumerate(files, 1):
        finder.budget.begin_file()
        try:
            for declaration in dlopen_declarations(file.image.notes):
                yield Opening(
                    place=file.label,
                    names=declaration.sonames[:_MOST_NAMES],
                    confidence=Confidence.DECLARED,
                    priority=declaration.priority,
                    resolution=finder.resolve(declaration.sonames[:_MOST_NAMES], Located(file.path, file.image)),
                )
        except Spent:
            unsearched.append(_not_to_the_end(file.label, len(files) - number, finder.budget))
            if finder.budget.is_spent:
                return


def _called(sources: Sources, facts: WheelFacts, finder: _Finder, unsearched: list[Unsearched]) -> Iterator[Opening]:
    if not sources.openers:
        return
    from deloc8.dlopen.python_calls import Unreadable  # noqa: PLC0415  `ast` costs 10 ms, which few wheels need pay

    for number, member in enumerate(sources.openers, 1):
        finder.budget.begin_file()
        try:
            yield from _called_in(member, sources, facts, finder)
        except Unreadable as error:
            unsearched.append(Unsearched(member.name, str(error)))
        except Spent:
            unsearched.append(_not_to_the_end(member.name, len(sources.openers) - number, finder.budget))
            if finder.budget.is_spent:
                return


def _called_in(member: Member, sources: Sources, facts: WheelFacts, finder: _Finder) -> Iterator[Opening]:
    from deloc8.dlopen.python_calls import opening_calls  # noqa: PLC0415  see above

    path = install_path(member.name, sources.archive.data_folder, facts.environment.links)
    for call in opening_calls(bytes(sources.archive.read(member)), path, finder.budget):
        yield Opening(
            place=member.name,
            line=call.line,
            names=tuple(name.removeprefix(SITE_PACKAGES + "/") for name in call.names),
            confidence=Confidence.CALLED,
            is_optional=call.is_optional,
            resolution=finder.resolve(call.names, None),
        )


def _mentioned(
    files: Sequence[ElfFile], finder: _Finder, unsearched: list[Unsearched], sysroot: Sysroot
) -> Iterator[Opening]:
    for number, file in enumerate(files, 1):
        finder.budget.begin_file()
        try:
            for name, offset in _mentions(file, sysroot):
                if name == posixpath.basename(file.path):
                    continue  # a plugin tells its own name
                yield Opening(
                    place=file.label,
                    offset=offset,
                    names=(name,),
                    confidence=Confidence.MENTIONED,
                    resolution=finder.resolve((name,), Located(file.path, file.image)),
                )
        except Spent:
            unsearched.append(_not_to_the_end(file.label, len(files) - number, finder.budget))
            if finder.budget.is_spent:
                return


def _not_to_the_end(place: str, files_behind: int, budget: Budget) -> Unsearched:
    if budget.is_spent:
        return stopped_at(place, files_behind)
    return Unsearched(place, "it would take too long")


def _mentions(file: ElfFile, sysroot: Sysroot) -> Sequence[Mention]:
    """The names in a file; those of a member were looked for when it was read."""
    if file.member is not None or not opens_libraries(file.image):
        return file.image.mentions
    try:
        with sysroot.look(file.path) as data:
            return mentioned_libraries(data, file.image)
    except InputError:  # who copies it in says so
        return ()


class _Finder:
    """Says what names lead to."""

    def __init__(
        self, facts: WheelFacts, policy: Policy, sysroot: Sysroot, options: SearchOptions, budget: Budget
    ) -> None:
        self.budget = budget
        self._facts = facts
        self._policy = policy
        images = {file.path: file.image for file in facts.own}
        own = names_of_libraries(facts.own, facts.libc, facts.variants)
        self._files = Overlay(sysroot, images, facts.environment)
        libc = facts.libc or options.libc
        self._search = Search(self._files, replace(options, libc=libc), own)
        self._known: dict[tuple[str, str], Resolution] = {}

    def resolve(self, names: tuple[str, ...], asker: Located | None) -> Resolution:
        """Resolve the first name that leads anywhere; None does so as Python, without an RPATH."""
        asker = asker or Located(f"{VIRTUAL_ROOT}/bin/python", _python(self._facts.own[0].image))
        for name in names:
            key = (name, asker.path)
            if key not in self._known:
                self.budget.spend(_UNITS_PER_LOOKUP)
                self._known[key] = self._resolve(name, asker)
            if self._known[key].source is not Source.NOTHING:
                return self._known[key]
        return _NOTHING

    def _resolve(self, name: str, asker: Located) -> Resolution:
        if not name or not name.isprintable():
            return _NOTHING  # no system has such a file, and some names cannot even be asked for
        if name.startswith(VIRTUAL_ROOT + "/"):
            return _member(name) if name in self._facts.members else _NOTHING
        if "*" in name:
            return self._match(name, asker)
        # A relative path is one of the folder that Python happens to run in.
        return _NOTHING if "/" in name and not name.startswith("/") else self._find(name, asker)

    def _find(self, name: str, asker: Located) -> Resolution:
        """Resolve a name as the loader does."""
        if not self._policy.is_unbounded and self._policy.allows_library(name):
            return Resolution(source=Source.POLICY, target=name)
        lookup = self._search.find(name, Chain(asker), self._search.machine_of(asker.image))
        self.budget.spend(len(lookup.tried) * _UNITS_PER_TRIED_PLACE)
        if lookup.path is None:
            return _NOTHING
        real = lookup.real_path or lookup.path
        is_member = real.startswith(VIRTUAL_ROOT + "/")
        return _member(real) if is_member else Resolution(source=Source.SYSTEM, target=lookup.real_path)

    def _match(self, wanted: str, asker: Located) -> Resolution:
        """Resolve a name as `find_library` does: never to a library of the wheel."""
        listed = () if self._policy.is_unbounded else self._whitelist
        for name in self._fitting(wanted, listed):
            return Resolution(source=Source.POLICY, target=name)
        for name in self._fitting(wanted, self._installed):
            found = self._find(name, asker)
            if found.source is Source.SYSTEM:
                return found
        return _NOTHING

    @cached_property
    def _whitelist(self) -> Sequence[str]:
        return sorted(self._policy.libraries)

    @cached_property
    def _installed(self) -> Sequence[str]:
        """The names in the folders of the system's libraries."""
        names: set[str] = set()
        for folder in library_folders(self._files, self._facts.arch):
            names.update(self._files.list(folder))
            self.budget.spend(len(names))
        return sorted(names)

    def _fitting(self, wanted: str, names: Sequence[str]) -> Iterator[str]:
        """Those of sorted names that fit a pattern."""
        start = _WILDCARD.split(wanted, maxsplit=1)[0]
        for name in islice(names, bisect_left(names, start), None):
            if not name.startswith(start):
                return
            self.budget.spend(1 + len(wanted) // _CHARACTERS_PER_UNIT)
            if fnmatchcase(name, wanted):
                yield name


def _member(path: str) -> Resolution:
    return Resolution(source=Source.MEMBER, target=posixpath.normpath(path).removeprefix(SITE_PACKAGES + "/"))


def _python(image: ElfImage) -> ElfImage:
    """An image for the wheel's machine that says nothing of where to look."""
    return replace(image, dynamic=Dynamic(needed=()))
