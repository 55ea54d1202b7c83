"""`benchmarks/instructions.py`: the gate of `.ci/run` counts what it should, and shuts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from kit.instructions import gate

if TYPE_CHECKING:
    from pathlib import Path


def test_each_kind_of_work_counts(top: Path, tmp_path: Path) -> None:
    """With a small program in the place of valgrind, which runs the work and tells a sum of its own."""
    counted = tmp_path / "valgrind"
    counted.write_text('#!/bin/sh\nshift 2\n"$@" || exit\necho "==1== Collected : 1000" >&2\n')
    counted.chmod(0o755)
    figures = tmp_path / "figures.json"
    path = f"{tmp_path}:{os.environ['PATH']}"
    code, told = gate(top, "--figures", figures, "--renew", path=path)
    assert code == 0, told
    ((build, counts),) = json.loads(figures.read_text()).items()
    assert counts == {"start": 1000, "reading": 1000, "judging": 1000}
    for known, expected in ((910, 0), (909, 1)):
        figures.write_text(json.dumps({build: counts | {"judging": known}}))
        code, told = gate(top, "--figures", figures, path=path)
        assert code == expected, told
        assert f"judging: 1,000 ({1000 / known - 1:+.2%} of the committed {known})" in told
    figures.write_text(json.dumps({build: counts | {"reading": 1100}}))
    code, told = gate(top, "--figures", figures, path=path)
    assert code == 0
    assert "fewer than committed" in told


def test_work_that_fails_shuts_the_gate(top: Path, tmp_path: Path) -> None:
    broken = tmp_path / "valgrind"
    broken.write_text("#!/bin/sh\necho gone >&2\nexit 7\n")
    broken.chmod(0o755)
    command = [sys.executable, str(top / "benchmarks" / "instructions.py"), "--renew", "--only", "start"]
    words = [*command, "--figures", str(tmp_path / "figures.json")]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "exit 7\ngone" in done.stderr
    assert not (tmp_path / "figures.json").exists()


def test_without_valgrind_it_says_so(top: Path, tmp_path: Path) -> None:
    assert gate(top, path=str(tmp_path)) == (0, "instructions: skipped: valgrind is not installed\n")
