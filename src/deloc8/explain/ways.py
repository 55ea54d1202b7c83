"""The ways out of what bars a tag, the one of least effort first."""

from __future__ import annotations

from deloc8.audit.advice import CXX_NAMESPACES, OTHER_PYTHON, WAYS_WITH_CXX, ways_by_code
from deloc8.audit.loading import STACK_CODES
from deloc8.audit.together import graft_options, projects_of, whole_project
from deloc8.audit.violations import ViolationCode
from deloc8.policy.load import HINT_ON_GLIBC, is_of_glibc
from deloc8.policy.model import split_version
from deloc8.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation

_LIMITED = frozenset({ViolationCode.SYMBOL_TOO_NEW, ViolationCode.RELEASE_TOO_NEW})
_OF_PYTHON = frozenset({ViolationCode.UCS2, ViolationCode.PYFPE})
# What `--lower-glibc` may help against.
_LOWERED = frozenset({ViolationCode.SYMBOL_TOO_NEW, ViolationCode.RELR_WITHOUT_MARKER, ViolationCode.NEWER_LOADER})


def ways_out(audit: Audit, match: PolicyMatch, violations: Sequence[Violation]) -> tuple[str, ...]:
    """Ways to reach a tag, or the best that can be reached, the least effort first.

    Args:
        audit: The verdict on the wheel.
        match: The wheel against the policy of the tag.
        violations: What of its violations the question is about.
    """
    if violations and match.is_reachable:
        return (f"let `deloc8 fixup --plat {match.policy.tags[0]}` {_cures(violations)}",)
    blocking = [row for row in violations if not row.is_curable]
    return (
        *_ways_by_tag(audit, blocking),
        *_ways_by_option(blocking),
        *_ways_by_lowering(audit, match, blocking),
        *_ways_by_project(audit, blocking),
        *_ways_by_building(match, blocking),
    )


def _cures(violations: Sequence[Violation]) -> str:
    """Actions of a repair against what it can cure."""
    codes = {row.code for row in violations}
    cures = []
    if ViolationCode.LIBRARY_NOT_ALLOWED in codes:
        cures.append("put the libraries into the wheel")
    if ViolationCode.LIBPYTHON_NEEDED in codes:
        cures.append("remove the entry of libpython")
    if not codes.isdisjoint(STACK_CODES):
        cures.append("clear the executable stacks")
    return " and ".join(cures)


def _ways_by_tag(audit: Audit, blocking: Sequence[Violation]) -> Iterator[str]:
    """Another tag that the wheel has, or that a repair gives it."""
    reachable = audit.outlook.policy
    if blocking and not reachable.is_unbounded:
        verb = "take" if audit.outlook.is_satisfied else "let `deloc8 fixup` reach"
        yield f"{verb} the tag {reachable.tags[0]}, if that is enough"


def _ways_by_option(blocking: Sequence[Violation]) -> Iterator[str]:
    """Ways by an option of the command line, or of the build."""
    missing = {row.library for row in blocking if row.code is ViolationCode.LIBRARY_NOT_FOUND and row.library}
    if missing:
        yield f"install {', '.join(sorted(missing))}, or name the folder with --add-path"
    yield from ways_by_code(blocking)
    forbidden = {row.library for row in blocking if row.code is ViolationCode.FORBIDDEN_SYMBOL}
    if any(map(is_of_glibc, forbidden)):
        yield HINT_ON_GLIBC
    if not all(map(is_of_glibc, forbidden)):
        yield "put the library whose symbol is forbidden into the wheel with --graft"


def _ways_by_lowering(audit: Audit, match: PolicyMatch, blocking: Sequence[Violation]) -> tuple[str, ...]:
    if not any(row.code in _LOWERED for row in blocking):
        return ()
    from deloc8.explain.remedy import ways_by_lowering  # noqa: PLC0415  most answers do without

    return ways_by_lowering(audit, match, blocking)


def _ways_by_project(audit: Audit, blocking: Sequence[Violation]) -> Iterator[str]:
    """Ways around libraries without versions that are too old.

    They are to have all libraries of a project in the wheel.
    """
    for project in projects_of(blocking):
        names = whole_project(audit.facts, project)
        if names:
            options = graft_options(names)
            yield f"put all of {project} into the wheel, where a process can have two of it, with {options}"


def _ways_by_building(match: PolicyMatch, blocking: Sequence[Violation]) -> Iterator[str]:
    """Another build, of the wheel or of the libraries of the system whose own needs bar the tag."""
    rows_of_libraries = [row for row in blocking if len(row.chain) > 1]
    brought = sorted({row.chain[1] for row in rows_of_libraries})
    if brought and len(rows_of_libraries) == len(blocking):
        options = " ".join(f"--exclude {quoted(name)}" for name in brought)
        yield f"leave out what brings them, with {options}: users must have these libraries then"
    limits = sorted({row.limit for row in blocking if row.code in _LIMITED and row.limit})
    if limits:
        also = f", {', '.join(brought)} included" if brought else ""
        yield f"build on a system that ends at {', '.join(limits)}, as a {match.policy.name} image does{also}"
    if brought:
        yield f"link {', '.join(brought)} statically, from a build for such a system"
    namespaces = {split_version(row.version or "")[0] for row in blocking}
    if not namespaces.isdisjoint(CXX_NAMESPACES):
        yield from WAYS_WITH_CXX
    if any(row.code in _OF_PYTHON for row in blocking):
        yield OTHER_PYTHON
