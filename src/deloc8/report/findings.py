"""Findings as text and as JSON."""

from __future__ import annotations

from deloc8.diagnostic import Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.diagnostic import Diagnostic
    from deloc8.report.to_json import Json


def findings_text(wheel: str, findings: Sequence[Diagnostic]) -> str:
    """What `check` says of one wheel: the most severe finding first, as the findings come."""
    if not findings:
        return f"{wheel}: all that it claims is true\n"
    lines = [f"{wheel}: {_count(findings)}"]
    for found in findings:
        lines.append(f"  {found.severity.value}: {found.subject}: {found.message} [{found.code}]")
        lines += [f"    {line}" for line in found.context]
        lines += [f"    hint: {hint}" for hint in found.hints]
    return "".join(f"{line}\n" for line in lines)


def _count(findings: Sequence[Diagnostic]) -> str:
    parts = []
    for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE):
        number = sum(found.severity is severity for found in findings)
        if number:
            parts.append(f"{number} {severity.value}{'' if number == 1 else 's'}")
    return ", ".join(parts)


def findings_value(wheel: str, findings: Sequence[Diagnostic]) -> Json:
    """The same for programs."""
    return {
        "wheel": wheel,
        "passed": all(found.severity is not Severity.ERROR for found in findings),
        "findings": [
            {
                "code": found.code,
                "severity": found.severity.value,
                "subject": found.subject,
                "message": found.message,
                "context": list(found.context),
                "hints": list(found.hints),
            }
            for found in findings
        ],
    }
