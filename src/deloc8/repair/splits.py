"""Libraries of one source package of which the wheel has some, and the system is to have the others."""

from __future__ import annotations

import posixpath
from collections import defaultdict

from deloc8.audit.together import graft_options, whole_project
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.loader.libc import is_beside_glibc, is_c_library
from deloc8.policy.releases import COMPANIONS, PROJECTS, WITHOUT_VERSIONS, project_of
from deloc8.repair.provenance.owners import Library, find_owners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.verdict import Audit
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.model import Package


def left_outside(inside: Iterable[str], facts: WheelFacts) -> Mapping[str, str]:
    """The libraries that files need and that stay outside the wheel, by path: the name each is needed by.

    The C library counts only where a file is built from the same sources.

    Args:
        inside: The paths of the files that the wheel has or will have.
        facts: The facts of the wheel.
    """
    paths = dict.fromkeys(inside)
    rows = (row for path in paths for row in facts.dependencies.get(path, ()))
    outside = {row.target: row.name for row in rows if row.target is not None and row.target not in paths}
    if any(is_beside_glibc(posixpath.basename(path)) for path in paths):
        return outside
    # Nothing else has a part in the package of the C library, and nearly every wheel needs that.
    return {path: name for path, name in outside.items() if not is_c_library(name)}


def owners_of(paths: Sequence[str], facts: WheelFacts, sysroot: Sysroot) -> Mapping[str, Package]:
    """The packages of some libraries of the system, by path."""
    found_as: dict[str, dict[str, None]] = {path: {} for path in paths}
    for rows in facts.dependencies.values():
        for row in rows:
            if row.target in found_as and row.lookup.path is not None:
                found_as[row.target][row.lookup.path] = None
    libraries = [
        Library(path=path, found_as=tuple(found_as[path]), notes=facts.files[path].image.notes) for path in paths
    ]
    return find_owners(libraries, sysroot)


def find_splits(audit: Audit, sysroot: Sysroot) -> tuple[Diagnostic, ...]:
    """Notes on packages that the best reachable policy splits.

    A search for the packages of all grafts takes a fifth of the time of `show`. What policies take from the system is
    built by few projects, whose libraries are known by name: only of theirs the packages are searched for.
    """
    facts, closure = audit.facts, audit.outlook.closure
    outside = left_outside((file.path for file in closure.files), facts)
    grafts = {file.path: _name(file) for file in closure.grafts}
    projects = set(map(project_of, outside.values()))
    if all(projects):
        grafts = {path: name for path, name in grafts.items() if project_of(name) in projects}
        both = set(map(project_of, grafts.values()))
        outside = {path: name for path, name in outside.items() if project_of(name) in both}
    if not grafts:
        return ()
    owners = owners_of((*grafts, *outside), facts, sysroot)
    return tuple(split_notes(facts, tuple(grafts), outside, owners))


def _name(file: ElfFile) -> str:
    """The soname of a library, or else the name of its file."""
    return file.image.soname or posixpath.basename(file.path)


def split_notes(
    facts: WheelFacts, grafts: Sequence[str], outside: Mapping[str, str], owners: Mapping[str, Package]
) -> Iterator[Diagnostic]:
    """A warning or a note for each source package that has a graft and a library that stays outside.

    Args:
        facts: The facts of the wheel.
        grafts: The paths of the grafts.
        outside: See `left_outside`.
        owners: The package of each of them.
    """
    inside: dict[str, list[str]] = defaultdict(list)
    for path in grafts:
        name = _name(facts.files[path])
        inside[_origin(name, owners[path])].append(name)
    others: dict[str, list[str]] = defaultdict(list)
    for path, name in outside.items():
        others[_origin(name, owners[path])].append(name)
    for origin in sorted(inside.keys() & others.keys() - {""}):
        yield _split(facts, origin, sorted(inside[origin]), sorted(others[origin]))


def _origin(name: str, owner: Package) -> str:
    """The source package of a library, under the name of the project where that is known; empty where it is not."""
    return PROJECTS.get(name) or COMPANIONS.get(name) or owner.origin


def _split(facts: WheelFacts, origin: str, names: Sequence[str], others: Sequence[str]) -> Diagnostic:
    loose = [name for name in others if name in WITHOUT_VERSIONS]
    projects = sorted({PROJECTS[name] for name in loose})
    whole = [name for project in projects for name in whole_project(facts, project)]
    rest = ", ".join(others)
    if not loose:
        reason = "they were built together; their symbols have versions, which the loader compares"
    else:
        reason = "they were built together, and no version says which releases fit each other"
    hint = f"to put all of it into the wheel, pass {graft_options(whole)}" if whole else ""
    return Diagnostic(
        code="split-package",
        severity=Severity.WARNING if loose else Severity.NOTE,
        subject=", ".join(names),
        message=f"a part of the source package {origin} comes into the wheel; the system is to provide {rest}",
        context=(reason,),
        hints=(hint,) if hint else (),
    )
