"""Errors that `check` finds and that a repair does not mend, and the proof that it leaves no others of a tag."""

from __future__ import annotations

from deloc8.audit.match import Provision, is_libpython, match_policies
from deloc8.audit.verdict import Truth, find_tag
from deloc8.audit.violations import Violation, ViolationCode
from deloc8.checks.evidence import Evidence, strictest
from deloc8.checks.promises import violation_findings
from deloc8.checks.table import ERRORS_OF_TAGS, as_finding, find_errors, find_some
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.read.image import parse_defined
from deloc8.errors import WheelError
from deloc8.values import replace
from deloc8.wheel.metadata import parse_core_metadata, parse_wheel_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.elf.read.view import Buffer
    from deloc8.repair.choose import Aim
    from deloc8.repair.model import Plan
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.metadata import CoreMetadata, WheelMetadata

    Read = Callable[[WheelArchive, str], Buffer]

_LIBPYTHON = "libpython-needed"


def add_unmended(plan: Plan, aim: Aim, archive: WheelArchive, read: Read) -> Plan:
    """A plan whose notes repeat, as warnings, the errors of the wheel that it does not mend.

    Args:
        plan: The plan.
        aim: What it rests on.
        archive: The wheel as it is.
        read: What reads a member of it.
    """
    found = tuple(replace(each, severity=Severity.WARNING) for each in _unmended(plan, aim, archive, read))
    return replace(plan, notes=(*plan.notes, *found)) if found else plan


def _unmended(plan: Plan, aim: Aim, archive: WheelArchive, read: Read) -> Iterator[Diagnostic]:
    folder = archive.dist_info
    wheel = parse_wheel_metadata(archive.read(archive.member(f"{folder}/WHEEL")))
    core: CoreMetadata | None = None
    try:
        core = parse_core_metadata(archive.read(archive.member(f"{folder}/METADATA")))
    except WheelError as error:
        yield as_finding(error, f"{folder}/METADATA")
    evidence = _evidence(aim.audit, wheel, core, _defined(aim.audit, archive, read))
    keeps_tags = plan.tags is None
    for found in find_errors(evidence):
        if found.code not in ERRORS_OF_TAGS or (keeps_tags and found.code in {"false-tag", "tags-differ"}):
            yield found
    yield from (found for found in find_some(evidence, {_LIBPYTHON}) if _keeps_libpython(aim, found.subject))
    if keeps_tags:
        yield from _violations_left(plan, aim)


def _evidence(
    audit: Audit, wheel: WheelMetadata, core: CoreMetadata | None, defined: Mapping[str, frozenset[str]]
) -> Evidence:
    claim, match = strictest(audit)
    return Evidence(
        audit=audit,
        claim=claim,
        match=match,
        wheel=wheel,
        core=core,
        defined=defined,
        debug={},
        contents={},
        vendors={},
    )


def _defined(audit: Audit, archive: WheelArchive, read: Read) -> Mapping[str, frozenset[str]]:
    """The names that the wheel's own files define; empty where no check asks for them."""
    if not any(abi.startswith("abi3") for abi in audit.facts.name.abis):
        return {}
    found = {}
    for file in audit.facts.own:
        symbols = parse_defined(read(archive, file.label), file.label)
        found[file.path] = frozenset(symbol.name for symbol in symbols)
    return found


def _keeps_libpython(aim: Aim, member: str) -> bool:
    """Whether a file of the wheel needs libpython after the repair, too."""
    path = next(file.path for file in aim.audit.facts.own if file.label == member)
    names = [row.name for row in aim.audit.facts.dependencies[path] if is_libpython(row.name)]
    return any(aim.match.closure.provisions[path, name] is not Provision.DROPPED for name in names)


def _violations_left(plan: Plan, aim: Aim) -> Iterator[Diagnostic]:
    """Violations in the repaired files of the tags of a file name that does not change."""
    members = {graft.source: graft.member for graft in plan.grafts}
    members.update({patch.member: patch.target for patch in plan.patches})
    seen = set()
    for claim in aim.audit.claims:
        if claim.truth is not Truth.FALSE or not claim.violations:
            continue
        left = [replace(row, file=members.get(row.file, row.file)) for row in _left(aim, claim)]
        for found in violation_findings(claim.tag, left):
            if (found.code, found.subject) not in seen:
                seen.add((found.code, found.subject))
                yield found


def _left(aim: Aim, claim: Claim) -> Iterator[Violation]:
    """Violations that contradict a claim after the repair, too."""
    policy = find_tag(aim.audit, claim.tag)
    grafted = frozenset(file.path for file in aim.match.closure.grafts)
    (match,) = match_policies(aim.audit.facts, (policy,), aim.audit.options, grafted=grafted)
    for row in match.violations:
        if not _is_cured(row, match, grafted):
            yield row


def _is_cured(violation: Violation, match: PolicyMatch, grafted: frozenset[str]) -> bool:
    """Whether the repair cures a violation of a policy that it does not aim at."""
    if violation.code is not ViolationCode.LIBRARY_NOT_ALLOWED:
        return violation.is_curable
    # Another policy may want more libraries in the wheel than come in.
    return all(file.path in grafted for file in match.closure.grafts)


def tag_errors(plan: Plan, audit: Audit, wheel: WheelMetadata) -> Iterator[str]:
    """The errors of a tag that `check` finds in a written wheel and that its plan does not tell of.

    Args:
        plan: The plan.
        audit: The verdict on the written wheel.
        wheel: Its WHEEL file.
    """
    told = {note.code for note in plan.notes}
    for found in find_errors(_evidence(audit, wheel, None, {}), ERRORS_OF_TAGS):
        if found.code not in told:
            yield f"{found.subject} {found.message} ({found.code})"
