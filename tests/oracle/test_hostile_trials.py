"""A short run of `make hostile`: some trials of each class."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.require import require

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CLASSES = sorted(
    path.stem.removeprefix("hostile_") for path in TOOLS.glob("hostile_*.py") if path.stem != "hostile_kit"
)
EVERY = {
    "streams": 41,
    "signals": 23,
    "faulty": 41,
    "faults": 131,
    "mapped": 41,
    "forged": 41,
    "memory": 61,
    "nofiles": 23,
    "outputs": 23,
    "python": 41,
    "settings": 23,
}
"""One of so many trials is made: a whole class takes up to some minutes."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / "hostile.py"), *arguments]
    environ = {**os.environ, "PYTHONPATH": str(TOOLS.parent / "tests")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_is_broken(name: str) -> None:
    if name in {"faults", "signals"}:
        require("strace", "Debian: strace")
    done = run(name, "--every", str(EVERY.get(name, 11)))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.splitlines()[-1].endswith("| 0 |")


def test_what_is_broken_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "deloc8"
    broken.write_text("#!/bin/sh\necho 'Traceback (most recent call last)' >&2\necho 'OSError: none' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = run("faulty", "--every", "100", "--deloc8", str(broken), "--costs")
    assert done.returncode == 1
    assert "faulty: show" in done.stdout
    assert "traceback: OSError: none" in done.stdout
    assert " MiB" in done.stdout
    assert not done.stdout.splitlines()[-1].endswith("| 0 |")


def test_a_class_that_does_not_exist_is_named() -> None:
    done = run("nothing")
    assert done.returncode == 2
    assert "no such class: nothing" in done.stderr
