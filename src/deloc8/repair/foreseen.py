"""Findings that `check` will have on the repaired wheel and the repair does not change.

They are computed on the files that it will have.
"""

from __future__ import annotations

from deloc8.audit.match import is_libpython
from deloc8.checks.evidence import Evidence, listed, names_asked_for, process_libraries
from deloc8.checks.table import find_some
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.dlopen.openings import Confidence, Source
from deloc8.elf.read.image import parse_defined_names
from deloc8.errors import InputError
from deloc8.policy.load import host_only_reason
from deloc8.values import dataclass, replace
from deloc8.wheel.metadata import parse_wheel_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deloc8.audit.facts import WheelFacts
    from deloc8.dlopen.openings import Opening
    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.choose import Aim
    from deloc8.repair.model import Plan
    from deloc8.wheel.archive import WheelArchive

# Whether the files that a wheel will have are loaded and do their work.
_OF_ALL_FILES = frozenset(
    {
        *("host-only-library", "second-openmp-runtime", "text-relocations", "small-page-alignment"),
        "dlopened-library-missing",
    }
)
# Of the wheel's own files alone: the plan speaks of grafts itself, and gives them names of their own.
_OF_OWN_FILES = frozenset({"duplicate-library", "second-cpp-runtime", "second-glib"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Sources of contents: the wheel as it is, what reads a member of it, and the system."""

    archive: WheelArchive
    read: Callable[[WheelArchive, str], Buffer]
    sysroot: Sysroot


def add_foreseen(plan: Plan, aim: Aim, contents: Contents) -> Plan:
    """A plan whose notes say, each once, what `check` will find in the repaired wheel though it can be loaded badly.

    Args:
        plan: The plan.
        aim: What it rests on.
        contents: What is in the files.
    """
    known = set(map(_key, plan.notes))
    new = []
    for found in (*_findings(plan, aim, contents), *_mentions(plan, aim)):
        if _key(found) not in known:
            known.add(_key(found))
            new.append(found)
    return replace(plan, notes=(*plan.notes, *new)) if new else plan


def _key(note: Diagnostic) -> tuple[str, str, str]:
    """Key of a note: two notes with the same key are one for the reader."""
    return note.code, note.subject, note.message


def _findings(plan: Plan, aim: Aim, contents: Contents) -> Iterator[Diagnostic]:
    own = _evidence(aim, contents)
    yield from find_some(own, _OF_OWN_FILES)
    facts = replace(aim.audit.facts, own=aim.match.closure.files)
    openings = tuple(_openings_left(plan, aim))
    planned = replace(own, audit=replace(aim.audit, facts=facts, openings=openings))
    yield from find_some(planned, _OF_ALL_FILES)
    try:
        yield from find_some(planned, {"undefined-symbol"})
    except InputError:  # a library of the system that cannot be read, which need not be copied in
        return


def _evidence(aim: Aim, contents: Contents) -> Evidence:
    archive, facts = contents.archive, aim.audit.facts
    members = {file.path: archive.member(file.label) for file in facts.own}
    return Evidence(
        audit=aim.audit,
        claim=None,
        match=None,
        wheel=parse_wheel_metadata(archive.read(archive.member(f"{archive.dist_info}/WHEEL"))),
        core=None,
        defined=_Definitions(facts, contents),
        debug={},
        contents={path: (member.size, member.crc) for path, member in members.items()},
        vendors={},
        process=process_libraries(facts, contents.sysroot),
    )


class _Definitions(dict[str, frozenset[str]]):
    """The names that each file offers, by path, read when they are asked for: those of most files never are."""

    def __init__(self, facts: WheelFacts, contents: Contents) -> None:
        """The facts of a wheel, and what gives the contents of its files."""
        super().__init__()
        self._files = facts.files
        self._contents = contents
        self._wanted = names_asked_for(facts)

    def __contains__(self, path: object) -> bool:
        # Images were taken of all of them, so they are there.
        return isinstance(path, str)

    def __missing__(self, path: str) -> frozenset[str]:
        contents = self._contents
        member = self._files[path].member if path in self._files else None
        if member is not None:
            self[path] = parse_defined_names(contents.read(contents.archive, member), path, self._wanted)
        else:
            with contents.sysroot.look(path) as data:
                self[path] = parse_defined_names(data, path, self._wanted)
        return self[path]


def _openings_left(plan: Plan, aim: Aim) -> Iterator[Opening]:
    """Openings in files of the repaired wheel whose library does not come into it on request."""
    places = {file.label for file in aim.match.closure.files}
    names = {graft.new_name for graft in plan.grafts}
    for opening in aim.audit.openings or ():
        is_there = opening.line is not None or opening.place in places
        if is_there and names.isdisjoint(opening.names) and not _is_promised(opening, aim):
            yield opening


def _is_promised(opening: Opening, aim: Aim) -> bool:
    """Whether the policy that the repair aims at takes the library from the system."""
    policy = aim.match.policy
    return not policy.is_unbounded and any(map(policy.allows_library, opening.names))


def _mentions(plan: Plan, aim: Aim) -> Iterator[Diagnostic]:
    """A note for each file that has names of libraries among its constants, which it may open or not."""
    names: dict[str, list[str]] = {}
    for opening in _openings_left(plan, aim):
        is_missing = opening.resolution.source in {Source.SYSTEM, Source.NOTHING}
        if opening.confidence is Confidence.MENTIONED and is_missing and opening.is_by_name:
            names.setdefault(opening.place, []).extend(opening.names)
    for place, mentioned in names.items():
        others = tuple(name for name in dict.fromkeys(mentioned) if not (host_only_reason(name) or is_libpython(name)))
        if others:
            yield Diagnostic(
                code="libraries-mentioned",
                severity=Severity.NOTE,
                subject=place,
                message=f"may open {listed(others)} at run time, which the wheel does not have and no policy promises",
                hints=("if it does, and cannot do without, put it into the wheel with --include",),
            )
