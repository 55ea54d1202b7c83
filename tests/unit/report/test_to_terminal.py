from __future__ import annotations

import pytest

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.report.to_terminal import findings_drawn


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x1b[2K"])
def test_a_hostile_name_begins_no_line_of_findings(end: str) -> None:
    name = f"demo/a{end}  error: forged [forged].so"
    finding = Diagnostic(code="debug-sections", severity=Severity.NOTE, subject=name, message="has debug sections")
    drawn = findings_drawn("demo-1.0-py3-none-any.whl", [finding])
    lines = drawn.plain.split("\n")
    assert len(lines) == 2
    assert lines[1].isprintable()
    assert lines[1].startswith("  note: demo/a\\")
