"""`benchmarks/instructions.py`, run as `.ci/run` does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def gate(top: Path, *arguments: str | Path, path: str = os.environ["PATH"]) -> tuple[int, str]:
    """Return its exit code and what it printed."""
    command = [sys.executable, str(top / "benchmarks" / "instructions.py"), *map(str, arguments)]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=300)
    assert not done.stderr
    return done.returncode, done.stdout
