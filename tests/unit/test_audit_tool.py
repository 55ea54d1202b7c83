"""`make audit`: what becomes of the answers of pip-audit, for which a small program stands here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SOUND = {"name": "one", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "two", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "three", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-2"}]}


@pytest.mark.parametrize(
    ("rows", "code", "told"),
    [
        ([SOUND, UNKNOWN], 0, ["audit: 1 packages looked up, 1 unknown to the index"]),
        (
            [SOUND, BAD],
            1,
            [
                "audit: 2 packages looked up, 0 unknown to the index",
                "three 2.0: PYSEC-1, mended in 2.1",
                "three 2.0: PYSEC-2, mended in no version",
            ],
        ),
        ([UNKNOWN], 0, ["audit: skipped: the index tells nothing of the 1 packages"]),
        (None, 0, ["audit: skipped: ERROR: no network"]),
    ],
)
def test_answers(top: Path, tmp_path: Path, rows: list[dict[str, object]] | None, code: int, told: list[str]) -> None:
    program = tmp_path / "pip-audit"
    answer = "" if rows is None else json.dumps({"dependencies": rows, "fixes": []})
    program.write_text(f"#!/bin/sh\necho 'ERROR: no network' >&2\ncat <<'E'\n{answer}\nE\nexit 1\n")
    program.chmod(0o755)
    command = [sys.executable, str(top / "tools" / "audit.py"), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (code, told, "")
