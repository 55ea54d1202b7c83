"""Findings, and how many of them are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deloc8 import diagnostic as module
from deloc8.diagnostic import Diagnostic, Severity, few_of_each
from deloc8.wheel.record import RecordRow, check_record

if TYPE_CHECKING:
    import pytest


def finding(code: str, number: int) -> Diagnostic:
    return Diagnostic(
        code=code, severity=Severity.WARNING, subject=f"f{number}", message="is bad", context=("why",), hints=("do",)
    )


def test_of_each_code_the_first_findings_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_CODE", 2)
    few = [finding("a", 1), finding("b", 1), finding("a", 2), finding("b", 2)]
    assert list(few_of_each(few)) == few
    *listed, more = few_of_each([*few, finding("a", 3), finding("a", 4)])
    assert listed == few
    assert (more.code, more.severity) == ("a", Severity.WARNING)
    assert more.message == "2 more findings like these are not listed, the last of them on `f4`"


def test_a_record_that_is_wrong_everywhere_has_a_bounded_answer() -> None:
    rows = [RecordRow(f"f{number}", "sha256=x", 1) for number in range(5000)]
    found = check_record(rows, (), {})
    assert len(found) == module.MOST_OF_A_CODE + 1
    assert found[-1].message.startswith("4000 more")
    assert {one.code for one in found} == {"absent-member"}
