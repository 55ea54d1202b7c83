"""The platform tags of the file name against the binaries."""

from __future__ import annotations

from deloc8.audit.advice import ADVICE, ADVICE_ON_MARKERS, MARKER
from deloc8.audit.loading import STACK_CODES
from deloc8.audit.notices import files_left_alone, notices
from deloc8.audit.violations import ViolationCode, describe
from deloc8.checks.evidence import finding
from deloc8.policy.model import number_key, split_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deloc8.audit.violations import Violation
    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic


def check_platform_tags(evidence: Evidence) -> Iterator[Diagnostic]:
    """Tags that cannot be true whatever the binaries ask for: another machine, another C library, no such policy."""
    for claim in evidence.audit.false_claims:
        if not claim.violations:
            yield finding(
                "false-tag",
                claim.tag,
                f"the file name claims {claim.tag}, which is not true",
                (claim.reason,),
                ("`deloc8 show` tells which tag the wheel fits",),
            )


_MESSAGES = {
    "symbol-too-new": "needs newer versions of system libraries than {tag} promises",
    MARKER: "needs a feature of the C library that {tag} does not promise",
    "release-too-new": "needs newer releases of system libraries than {tag} promises",
    "library-not-allowed": "needs a library that is neither in the wheel nor promised by {tag}",
    "forbidden-symbol": "uses symbols that {tag} forbids",
    "isa-level": "needs a newer processor than {tag} promises",
    "ucs2": "is for narrow-unicode builds of Python only, which the tags do not say",
    "relr-without-marker": "has packed relocations, which the oldest glibc of {tag} does not apply",
    "newer-loader": "needs a newer ld.so than {tag} promises",
    "pyfpe": "is for builds of Python with fpectl only, which the tags do not say",
}

# Other checks look for these, whatever the wheel claims.
_UNDER_EVERY_TAG = STACK_CODES | {ViolationCode.LIBPYTHON_NEEDED}

_OTHER_CODES = {ViolationCode.LIBRARY_NOT_FOUND: "library-not-allowed"}


def check_violations(evidence: Evidence) -> Iterator[Diagnostic]:
    """Violations of the wheel's strictest tag by wheel files: one finding a file and kind."""
    claim, match = evidence.claim, evidence.match
    if claim is None or match is None:
        return
    own = {file.label for file in evidence.audit.facts.own}
    # What a graft would need is no business of the wheel as it is.
    yield from violation_findings(claim.tag, (row for row in match.violations if row.file in own))


def violation_findings(tag: str, violations: Iterable[Violation]) -> Iterator[Diagnostic]:
    """The findings on a tag that some violations contradict."""
    groups: dict[tuple[str, str], list[Violation]] = {}
    for violation in violations:
        if violation.code not in _UNDER_EVERY_TAG:
            groups.setdefault((_code(violation), violation.file), []).append(violation)
    for (code, file), rows in groups.items():
        hint = ADVICE_ON_MARKERS if code == MARKER else ADVICE[rows[0].code].check
        yield finding(code, file, _MESSAGES[code].format(tag=tag), describe(rows), (hint,) if hint else ())


def _code(violation: Violation) -> str:
    if violation.code is ViolationCode.SYMBOL_TOO_NEW and violation.symbol is None:
        _, number = split_version(violation.version or "")
        if number_key(number) is None:
            return MARKER
    return _OTHER_CODES.get(violation.code, violation.code.value)


def check_notices(evidence: Evidence) -> Iterator[Diagnostic]:
    """Notices that `show` prints as well."""
    if evidence.match is None:
        yield from files_left_alone(evidence.audit)
    else:
        for notice in notices(evidence.audit, evidence.match):
            # Findings on the user's own options are no findings on the wheel.
            if notice.code in NOTICES:
                yield notice


NOTICES = frozenset(
    {
        "damaged-file",
        "foreign-file",
        "minimal-system-lacks",
        "newer-musl",
        "no-baseline-library",
        "optional-library-missing",
        "own-library-differs",
        "search-incomplete",
        "version-without-ceiling",
    }
)
