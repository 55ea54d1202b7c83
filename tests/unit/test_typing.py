"""A program that uses deloc8 as a library passes mypy --strict."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from pathlib import Path

import deloc8


def repair(wheel: Path) -> str:
    options = deloc8.AuditOptions(threads=2)
    audit: deloc8.Audit = deloc8.audit_wheel(wheel, options)
    plan: deloc8.Plan = deloc8.plan_repair(wheel, deloc8.Goal(platform=audit.outlook.policy.name), options)
    try:
        outcome = deloc8.repair_wheel(wheel, Path("out"), deloc8.Goal(), deloc8.WriteOptions(), options)
    except deloc8.Deloc8Error as error:
        return f"{error.code}: {error.message}"
    return f"{plan.target.filename} {outcome.sha256}"
"""


@pytest.mark.parametrize(
    ("change", "fault"), [(("threads=2", "threads=2"), ""), (("threads=2", "threads='2'"), "[arg-type]")]
)
def test_user_program(change: tuple[str, str], fault: str, top: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("needs mypy (the group lint) to judge the types")
    (tmp_path / "program.py").write_text(PROGRAM.replace(*change), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "program.py"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(top / "src")}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, fault in ended.stdout) == (1 if fault else 0, True), ended.stdout + ended.stderr
