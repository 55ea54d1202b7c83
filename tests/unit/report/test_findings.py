from __future__ import annotations

from pathlib import Path

import pytest

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.report.findings import findings_text, findings_value
from deloc8.report.to_github import github_lines
from deloc8.report.to_sarif import sarif_document

ERROR = Diagnostic(
    code="false-tag",
    severity=Severity.ERROR,
    subject="any",
    message="is not true",
    context=("50 % of it, or\rless",),
    hints=("rename it", "or not"),
)
WARNING = Diagnostic(code="unused-library", severity=Severity.WARNING, subject="a.so", message="needs too much")
NOTE = Diagnostic(code="odd", severity=Severity.NOTE, subject="b.so", message="is odd")
PATH = Path("dist/a b,c-1.0-py3-none-any.whl")


def test_text() -> None:
    assert findings_text("a.whl", (ERROR, WARNING, WARNING)) == (
        "a.whl: 1 error, 2 warnings\n"
        "  error: any: is not true [false-tag]\n"
        "    50 % of it, or\\rless\n"
        "    hint: rename it\n"
        "    hint: or not\n"
        "  warning: a.so: needs too much [unused-library]\n"
        "  warning: a.so: needs too much [unused-library]\n"
    )
    assert findings_text("a.whl", ()) == "a.whl: all that it claims is true\n"


@pytest.mark.parametrize(("findings", "passed"), [((ERROR, NOTE), False), ((WARNING, NOTE), True), ((), True)])
def test_json(findings: tuple[Diagnostic, ...], *, passed: bool) -> None:
    value = findings_value("a.whl", findings)
    assert (value["wheel"], value["passed"]) == ("a.whl", passed)
    rows = value["findings"]
    assert isinstance(rows, list)
    assert [row["code"] for row in rows] == [found.code for found in findings]


def test_annotations_escape_what_would_end_them() -> None:
    # https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    where = "file=dist/a b%2Cc-1.0-py3-none-any.whl,title=a b%2Cc-1.0-py3-none-any.whl%3A"
    assert github_lines(PATH, (ERROR, WARNING, NOTE)).splitlines() == [
        f"::error {where} false-tag::any: is not true%0A50 %25 of it, or\\rless%0Ahint: rename it%0Ahint: or not",
        f"::warning {where} unused-library::a.so: needs too much",
        f"::notice {where} odd::b.so: is odd",
    ]


def test_sarif() -> None:
    rules = {"unused-library": Severity.WARNING, "false-tag": Severity.ERROR}
    document = sarif_document([(PATH, (ERROR,)), (Path("b.whl"), (WARNING, NOTE))], rules, "1.2.3")
    assert document == {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "deloc8",
                        "version": "1.2.3",
                        "rules": [
                            {"id": "unused-library", "defaultConfiguration": {"level": "warning"}},
                            {"id": "false-tag", "defaultConfiguration": {"level": "error"}},
                        ],
                    }
                },
                "results": [
                    {
                        "ruleId": "false-tag",
                        "ruleIndex": 1,
                        "level": "error",
                        "message": {"text": "any: is not true\n50 % of it, or\\rless\nhint: rename it\nhint: or not"},
                        "locations": [location("dist/a%20b%2Cc-1.0-py3-none-any.whl", "any")],
                    },
                    {
                        "ruleId": "unused-library",
                        "ruleIndex": 0,
                        "level": "warning",
                        "message": {"text": "a.so: needs too much"},
                        "locations": [location("b.whl", "a.so")],
                    },
                    {
                        "ruleId": "odd",
                        "level": "note",
                        "message": {"text": "b.so: is odd"},
                        "locations": [location("b.whl", "b.so")],
                    },
                ],
            }
        ],
    }


def location(uri: str, name: str) -> dict[str, object]:
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri}},
        "logicalLocations": [{"fullyQualifiedName": name}],
    }
