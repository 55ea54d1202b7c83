from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit.violations import ViolationCode
from deloc8.checks.table import ERRORS_OF_TAGS, RULES, sort_findings
from deloc8.report.findings import findings_text
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.faults import FAULTS, SOUND, TAG, core, scene_for_checks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_wheel_has_just_its_fault_and_the_page_shows_it(top: Path, tmp_path: Path, code: str) -> None:
    scene = scene_for_checks(tmp_path)
    wheel = FAULTS[code](scene)
    found = check_wheel(wheel, AuditOptions(sysroot=scene.root))
    assert [finding.code for finding in found] == [code], found
    (rule,) = (rule for rule in RULES if rule.code == code)
    assert found[0].severity is rule.severity
    assert found[0].subject
    assert not found[0].message.endswith(".")
    page = (top / "docs" / "diagnostics" / f"{code}.md").read_text("utf-8")
    assert findings_text(wheel.name, sort_findings(found)).replace(str(tmp_path), "/dist") in page


def test_a_sound_wheel_has_none(tmp_path: Path) -> None:
    scene = scene_for_checks(tmp_path)
    assert check_wheel(core(SOUND, TAG)(scene), AuditOptions(sysroot=scene.root)) == ()


def test_every_code_has_a_fault_wheel_and_a_page(top: Path) -> None:
    codes = [rule.code for rule in RULES]
    assert sorted(codes) == sorted(set(codes))
    assert sorted(FAULTS) == sorted(codes)
    pages = {page.stem for page in (top / "docs" / "diagnostics").glob("*.md")}
    assert pages - {"index"} == set(codes)


def test_every_page_begins_with_its_code_and_says_what_the_user_asks(top: Path) -> None:
    for rule in RULES:
        text = (top / "docs" / "diagnostics" / f"{rule.code}.md").read_text("utf-8")
        assert text.startswith(f"# {rule.code}\n")
        assert f"**{rule.severity.value.capitalize()}**" in text
        assert f"[{rule.code}]" in text
        for heading in ("## Why it matters", "## What it looks like", "## How to fix it", "## How to ignore it"):
            assert heading in text, f"{rule.code} has no {heading}"


def test_every_violation_is_an_error_of_a_tag() -> None:
    """What keeps `show` and `fixup` from a tag, `check` calls an error of it, under the same or a wider name."""
    wider = {"library-not-found": "library-not-allowed", "executed-stack": "executable-stack"}
    codes = {wider.get(code.value, code.value) for code in ViolationCode}
    assert codes - ERRORS_OF_TAGS == set()
    assert ERRORS_OF_TAGS - codes == {"false-tag", "tags-differ", "marker-too-new"}
