"""Findings as text and as JSON."""

from __future__ import annotations

from deloc8.diagnostic import Severity
from deloc8.text import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.diagnostic import Diagnostic
    from deloc8.report.to_json import Json
    from deloc8.text import Lines


def findings_text(wheel: str, findings: Sequence[Diagnostic]) -> Lines:
    """Report of `check` on one wheel: the most severe finding first, as the findings come."""
    if not findings:
        return lines([f"{wheel}: all that it claims is true"])
    rows = [f"{wheel}: {_count(findings)}"]
    for found in findings:
        rows.append(f"  {found.severity.value}: {found.subject}: {found.message} [{found.code}]")
        rows += [f"    {line}" for line in found.context]
        rows += [f"    hint: {hint}" for hint in found.hints]
    return lines(rows)


def _count(findings: Sequence[Diagnostic]) -> str:
    parts = []
    for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE):
        number = sum(found.severity is severity for found in findings)
        if number:
            parts.append(f"{number} {severity.value}{'' if number == 1 else 's'}")
    return ", ".join(parts)


def findings_value(wheel: str, findings: Sequence[Diagnostic]) -> Json:
    """The same for programs."""
    from deloc8.report.to_json import diagnostic_value  # noqa: PLC0415  only for this output

    return {
        "wheel": wheel,
        "passed": all(found.severity is not Severity.ERROR for found in findings),
        "findings": [diagnostic_value(found) for found in findings],
    }
