"""Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show."""

from __future__ import annotations

from urllib.parse import quote

from deloc8.diagnostic import Severity
from deloc8.text import joined, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.errors import SystemFault
    from deloc8.report.to_json import Json

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif_document(
    checked: Sequence[tuple[Path, Sequence[Diagnostic]]],
    rules: Mapping[str, Severity],
    version: str,
    faults: Sequence[SystemFault] = (),
) -> Json:
    """The document of one run.

    Args:
        checked: Each wheel with its findings.
        rules: All codes, and how severe each is by default.
        version: That of deloc8.
        faults: Why wheels could not be judged.
    """
    numbers = {code: number for number, code in enumerate(rules)}
    driver: Json = {
        "name": "deloc8",
        "version": version,
        "rules": [
            {"id": code, "defaultConfiguration": {"level": _LEVELS[severity]}} for code, severity in rules.items()
        ],
    }
    results = [_result(path, found, numbers) for path, findings in checked for found in findings]
    run: Json = {"tool": {"driver": driver}, "results": results}
    if faults:
        # Without it a reader would take the wheels for sound that have no results (3.20).
        told = [{"level": "error", "message": {"text": _fault_text(fault)}} for fault in faults]
        run["invocations"] = [{"executionSuccessful": False, "toolExecutionNotifications": told}]
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _fault_text(fault: SystemFault) -> str:
    hints = [f"hint: {hint}" for hint in fault.hints]
    return joined(map(printable, (f"{fault.message} [{fault.code}]", *fault.context, *hints)))


def _result(path: Path, found: Diagnostic, numbers: Mapping[str, int]) -> Json:
    value: Json = {"ruleId": found.code}
    if found.code in numbers:
        value["ruleIndex"] = numbers[found.code]
    hints = [f"hint: {hint}" for hint in found.hints]
    value["level"] = _LEVELS[found.severity]
    # Hosts of code show these lines to people.
    text = joined(map(printable, (f"{found.subject}: {found.message}", *found.context, *hints)))
    value["message"] = {"text": text}
    value["locations"] = [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": quote(path.as_posix().encode("utf-8", "surrogateescape"))}
            },
            "logicalLocations": [{"fullyQualifiedName": printable(found.subject)}],
        }
    ]
    return value
