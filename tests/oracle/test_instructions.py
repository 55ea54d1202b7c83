"""The gate of `benchmarks/instructions.py` with the real valgrind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kit.instructions import gate
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path


def test_counts_repeat_and_the_gate_shuts(top: Path, tmp_path: Path) -> None:
    require("valgrind", "Debian: valgrind")
    figures = tmp_path / "figures.json"
    code, told = gate(top, "--figures", figures, "--only", "start")
    assert code == 0
    assert "skipped: there are figures for 0 builds of Python, but none for this one" in told
    code, told = gate(top, "--figures", figures, "--only", "start", "--renew")
    assert code == 0, told
    ((build, counts),) = json.loads(figures.read_text()).items()
    # An interpreter that does nothing takes more than ten million.
    assert counts["start"] > 10_000_000
    code, told = gate(top, "--figures", figures, "--only", "start")
    assert code == 0, told
    (line,) = told.splitlines()
    assert abs(int(line.split()[2].replace(",", "")) / counts["start"] - 1) < 0.003
    figures.write_text(json.dumps({build: {"start": int(counts["start"] / 1.12)}}))
    code, told = gate(top, "--figures", figures, "--only", "start")
    assert code == 1
    assert "FAILED: more than 10%" in told
    assert "python benchmarks/instructions.py --renew" in told
