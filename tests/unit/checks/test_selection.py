from __future__ import annotations

import pytest

from deloc8.checks.selection import Selection, check_codes
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import UsageError

FOUND = tuple(
    Diagnostic(code=code, severity=severity, subject="x", message="is so")
    for code, severity in (
        ("unused-library", Severity.WARNING),
        ("false-tag", Severity.ERROR),
        ("absolute-rpath", Severity.WARNING),
    )
)


def outcome(*, select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(row.code, row.severity.value) for row in Selection(select=select, ignore=ignore).apply(FOUND)]


def test_errors_come_first() -> None:
    assert outcome() == [("false-tag", "error"), ("absolute-rpath", "warning"), ("unused-library", "warning")]


def test_selected_findings_are_errors() -> None:
    assert outcome(select=("*-rpath",)) == [
        ("absolute-rpath", "error"),
        ("false-tag", "error"),
        ("unused-library", "warning"),
    ]


def test_ignored_findings_are_left_out() -> None:
    assert outcome(ignore=("*-library", "false-tag")) == [("absolute-rpath", "warning")]


def test_a_code_selected_in_full_stays() -> None:
    assert outcome(select=("unused-library",), ignore=("*",)) == [("unused-library", "error")]
    assert outcome(select=("unused-*",), ignore=("*",)) == []


def test_unknown_codes_are_refused() -> None:
    check_codes(("*-rpath", "false-tag"), "--select")
    with pytest.raises(UsageError, match=r"--select: `no-such-\*` is the code of no finding") as caught:
        check_codes(("false-tag", "no-such-*"), "--select")
    assert caught.value.code == "unknown-code"
