"""The libraries that a wheel opens at run time: declared or mentioned in its ELF files, called in its Python files."""

from __future__ import annotations

import enum
import posixpath
from fnmatch import fnmatchcase
from itertools import islice

from deloc8.audit.facts import names_of_libraries
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT, install_path
from deloc8.elf.dynamic import Dynamic
from deloc8.elf.mentions import mentioned_libraries, opens_libraries
from deloc8.elf.notes import dlopen_declarations
from deloc8.errors import InputError
from deloc8.loader.ldconf import library_folders
from deloc8.loader.search import Located, Search
from deloc8.loader.sysroot import Overlay
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.sources import Sources
    from deloc8.elf.image import ElfImage
    from deloc8.elf.mentions import Mention
    from deloc8.loader.search import SearchOptions
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy


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
    """What the first name leads to that leads anywhere.

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
_NOTHING = Resolution(source=Source.NOTHING)


def find_openings(
    sources: Sources, facts: WheelFacts, match: PolicyMatch, sysroot: Sysroot, options: SearchOptions
) -> tuple[Opening, ...]:
    """What a wheel opens at run time: declarations, then calls, then mentions, each in the order of the archive.

    The libraries that are to be copied in count as the wheel's own files do. Beyond 2000 of each nothing is told.

    Args:
        sources: The Python files of the wheel.
        facts: Its facts.
        match: The wheel against the policy whose whitelist counts, and by which libraries are copied in.
        sysroot: Where libraries outside the wheel are looked for.
        options: How they are looked for.
    """
    finder = _Finder(facts, match.policy, sysroot, options)
    files = (*facts.own, *match.closure.grafts)
    kinds = (_declared(files, finder), _called(sources, facts, finder), _mentioned(files, finder, sysroot))
    return tuple(opening for openings in kinds for opening in islice(openings, _MOST_OPENINGS))


def _declared(files: Sequence[ElfFile], finder: _Finder) -> Iterator[Opening]:
    for file in files:
        for declaration in dlopen_declarations(file.image.notes):
            yield Opening(
                place=file.label,
                names=declaration.sonames[:_MOST_NAMES],
                confidence=Confidence.DECLARED,
                priority=declaration.priority,
                resolution=finder.resolve(declaration.sonames[:_MOST_NAMES], Located(file.path, file.image)),
            )


def _called(sources: Sources, facts: WheelFacts, finder: _Finder) -> Iterator[Opening]:
    links = facts.environment.links
    for member in sources.openers:
        from deloc8.audit.pycalls import opening_calls  # noqa: PLC0415  `ast` costs 10 ms, which few wheels need pay

        path = install_path(member.name, sources.archive.data_folder, links)
        for call in opening_calls(bytes(sources.archive.read(member)), path):
            yield Opening(
                place=member.name,
                line=call.line,
                names=tuple(name.removeprefix(SITE_PACKAGES + "/") for name in call.names),
                confidence=Confidence.CALLED,
                is_optional=call.is_optional,
                resolution=finder.resolve(call.names, None),
            )


def _mentioned(files: Sequence[ElfFile], finder: _Finder, sysroot: Sysroot) -> Iterator[Opening]:
    for file in files:
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


def _mentions(file: ElfFile, sysroot: Sysroot) -> Sequence[Mention]:
    """The names in a file; those of a member were looked for when it was read."""
    if file.member is not None or not opens_libraries(file.image):
        return file.image.mentions
    try:
        return mentioned_libraries(sysroot.look(file.path), file.image)
    except InputError:  # who copies it in says so
        return ()


class _Finder:
    """Says what names lead to."""

    def __init__(self, facts: WheelFacts, policy: Policy, sysroot: Sysroot, options: SearchOptions) -> None:
        self._facts = facts
        self._policy = policy
        images = {file.path: file.image for file in facts.own}
        own = names_of_libraries(facts.own, facts.libc, facts.variants)
        self._files = Overlay(sysroot, images, facts.environment)
        libc = facts.libc or options.libc
        self._search = Search(self._files, replace(options, libc=libc), own)
        self._known: dict[tuple[str, str], Resolution] = {}

    def resolve(self, names: tuple[str, ...], asker: Located | None) -> Resolution:
        """What the first of the names leads to that leads anywhere; None asks as Python does, without an RPATH."""
        asker = asker or Located(f"{VIRTUAL_ROOT}/bin/python", _python(self._facts.own[0].image))
        for name in names:
            key = (name, asker.path)
            if key not in self._known:
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
        """What the loader finds."""
        if not self._policy.is_unbounded and self._policy.allows_library(name):
            return Resolution(source=Source.POLICY, target=name)
        lookup = self._search.find(name, (asker,), self._search.machine_of(asker.image))
        if lookup.path is None:
            return _NOTHING
        real = lookup.real_path or lookup.path
        is_member = real.startswith(VIRTUAL_ROOT + "/")
        return _member(real) if is_member else Resolution(source=Source.SYSTEM, target=lookup.real_path)

    def _match(self, pattern: str, asker: Located) -> Resolution:
        """What `find_library` finds: never a library of the wheel."""
        listed = () if self._policy.is_unbounded else sorted(self._policy.libraries)
        for name in listed:
            if fnmatchcase(name, pattern):
                return Resolution(source=Source.POLICY, target=name)
        folders = library_folders(self._files, self._facts.arch)
        for name in sorted({name for folder in folders for name in self._files.list(folder)}):
            if fnmatchcase(name, pattern):
                found = self._find(name, asker)
                if found.source is Source.SYSTEM:
                    return found
        return _NOTHING


def _member(path: str) -> Resolution:
    return Resolution(source=Source.MEMBER, target=posixpath.normpath(path).removeprefix(SITE_PACKAGES + "/"))


def _python(image: ElfImage) -> ElfImage:
    """An image for the wheel's machine that says nothing of where to look."""
    return replace(image, dynamic=Dynamic(needed=()))
