"""`tools/limits.py`: what it measures of a wheel, and which wheel it asks pip for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kit.wheels import build_wheel

TOOL = Path(__file__).resolve().parents[2] / "tools" / "limits.py"


def measured(*wheels: Path) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and the cells of each row by the first one."""
    ended = subprocess.run([sys.executable, TOOL, *wheels], capture_output=True, text=True, check=False)
    lines = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line.startswith("| ")]
    return ended.returncode, {line[0]: line[1:] for line in lines}


def test_the_largest_values_of_wheels_are_printed(tmp_path: Path) -> None:
    few = build_wheel(tmp_path, {"demo/a/b/c.py": b"x" * 50}, name="few")
    many = build_wheel(tmp_path, {f"demo/{n}.so": b"" for n in range(5)}, name="many")
    code, rows = measured(few, many)
    assert code == 0
    assert rows["members"] == ["8", many.name, "80,000", "10000.0"]
    assert rows["RECORD rows"][:2] == ["9", many.name]
    assert rows["deepest path"][:2] == ["4", few.name]
    assert rows["largest Python file"][:2] == ["50", few.name]
    assert rows["files named like libraries"][:2] == ["5", many.name]


def test_a_wheel_beyond_a_limit_is_a_failure(tmp_path: Path) -> None:
    deep = build_wheel(tmp_path, {"a/" * 100 + "f": b""})
    assert measured(deep)[0] == 1
    assert measured(tmp_path / "missing-1.0-py3-none-any.whl")[0] == 1
