from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deloc8.cli.console import Console
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import WheelError
from deloc8.report.findings import findings_text, findings_value
from deloc8.report.to_github import github_lines
from deloc8.report.to_json import error_value
from deloc8.report.to_sarif import sarif_document
from deloc8.report.to_terminal import draw, findings_drawn
from deloc8.text import json_lines
from kit.runners import read_lines, taken_by

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


# -- findings of a stranger: lines are ours, whatever they hold

HOSTILE = st.text() | st.text("#:-+[] \n\r\x1b\u2028%,abv")
FINDINGS = st.builds(
    Diagnostic,
    code=st.just("odd"),
    severity=st.sampled_from(Severity),
    subject=HOSTILE,
    message=HOSTILE,
    context=st.lists(HOSTILE, max_size=3).map(tuple),
    hints=st.lists(HOSTILE, max_size=2).map(tuple),
)


def assert_lines(text: str, count: int) -> None:
    lines = read_lines(text)
    assert len(lines) == count + 1
    for line in lines:
        assert line.isprintable()
        assert taken_by(line) == []


@given(HOSTILE, FINDINGS)
def test_findings_in_text_have_a_line_for_each_sentence(name: str, found: Diagnostic) -> None:
    count = 2 + len(found.context) + len(found.hints)
    assert_lines(findings_text(name, (found,)), count)
    assert_lines(findings_text(name, ()), 1)
    drawn = draw([findings_drawn(name, (found,))], width=40, color=True)
    assert_lines(re.sub(r"\x1b\[[\d;]*m", "", drawn), count)


@given(HOSTILE, FINDINGS)
def test_an_annotation_is_one_command_of_ours(name: str, found: Diagnostic) -> None:
    lines = read_lines(github_lines(Path(f"dist/{name}x"), (found,)))
    assert len(lines) == 2
    command = re.fullmatch(r"::(?:error|warning|notice) file=([^:,]*),title=([^:,]*)::(.*)", lines[0])
    assert command
    assert lines[0].isprintable()
    assert command[3].count("%0A") == len(found.context) + len(found.hints)
    for escape in ("%0D", "%0A"):
        assert escape not in command[1] + command[2]


@given(FINDINGS)
def test_sentences_of_findings_for_programs_are_one_line_each(found: Diagnostic) -> None:
    value = findings_value("a.whl", (found,))
    (row,) = json.loads(json_lines(value, indent=2))["findings"]
    assert row["subject"] == found.subject
    for sentence in (row["message"], *row["context"], *row["hints"]):
        assert_lines(sentence, 0)
    sarif = json.loads(json_lines(sarif_document([(PATH, (found,))], {}, "1"), indent=2))
    (result,) = sarif["runs"][0]["results"]
    assert_lines(result["message"]["text"], len(found.context) + len(found.hints))
    assert_lines(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], 0)


@given(HOSTILE, st.lists(HOSTILE, max_size=3), st.lists(HOSTILE, max_size=2), FINDINGS)
def test_an_error_has_a_line_for_each_sentence(
    message: str, context: list[str], hints: list[str], found: Diagnostic
) -> None:
    error = WheelError(message, code="odd", context=context, notes=hints, hints=hints)
    stream = io.StringIO()
    console = Console(out=io.StringIO(), err=stream, environ={})
    console.error(error)
    console.diagnostic(found)
    console.say(message)
    count = 1 + len(context) + bool(hints) + 2 * len(hints) + 1 + len(found.context) + len(found.hints) + 1
    assert_lines(stream.getvalue(), count)
    value = error_value(error)
    for sentences in (value["context"], value["notes"], value["hints"]):
        assert isinstance(sentences, list)
        for sentence in sentences:
            assert_lines(sentence, 0)
