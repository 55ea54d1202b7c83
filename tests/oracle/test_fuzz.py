"""A short run of `make fuzz`, beginning with the files in tests/fuzz: the inputs are the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kit.fuzzing import TARGETS, seeds

if TYPE_CHECKING:
    from pathlib import Path


def run(top: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(top / "tools" / "fuzz.py"), *arguments]
    # Coverage would make it several times slower, and an input may take two seconds.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environ = {**kept, "PYTHONPATH": str(top / "tests")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_bytes(top: Path, target: str) -> None:
    done = run(top, target, "--engine", "mutate", "--seconds", "1", "--seed", "0")
    assert done.returncode == 0, done.stdout
    assert "held" in done.stdout


def test_an_input_that_fails_is_told(top: Path) -> None:
    """Without any time at all every input takes too long."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz; fuzz.LONGEST_TIME = -1.0; "
        "sys.argv[1:] = ['cache', '--child', 'mutate', '--seconds', '1']; fuzz.main()"
    )
    command = [sys.executable, "-c", code, str(top / "tools")]
    environ = {**os.environ, "PYTHONPATH": str(top / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 1
    assert "AssertionError: took" in done.stderr
    failed = top / "build" / "fuzz" / "cache-failed"
    assert failed.exists()
    failed.unlink()


def test_what_the_first_call_alone_takes_is_not_the_time_of_an_input(top: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz, kit.fuzzing, time; fuzz.LONGEST_TIME = 0.5; "
        "calls = []; kit.fuzzing.TARGETS['cache'] = lambda data: calls.append(data) or [0 for _ in iter("
        "lambda: len(calls) == 1 and time.process_time() < 2, False)]; "
        "sys.argv[1:] = ['cache', '--child', 'mutate', '--seconds', '0.1']; sys.exit(fuzz.main())"
    )
    command = [sys.executable, "-c", code, str(top / "tools")]
    environ = {**os.environ, "PYTHONPATH": str(top / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "executed" in done.stdout


def test_a_loop_without_an_end_is_told(top: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz, itertools; fuzz.LONGEST_TIME = 0.2; "
        "fuzz.limited(lambda data: [None for _ in itertools.count() if False])(b'')"
    )
    command = [sys.executable, "-c", code, str(top / "tools")]
    environ = {**os.environ, "PYTHONPATH": str(top / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=60)
    assert done.returncode == 1
    assert "AssertionError: does not end within 0.2 s" in done.stderr


def test_the_corpus_begins_with_files_made_here(top: Path) -> None:
    for target, files in seeds().items():
        kept = [path.read_bytes() for path in sorted((top / "tests" / "fuzz" / target).iterdir())]
        assert set(files) <= set(kept), target
    size = sum(path.stat().st_size for path in (top / "tests" / "fuzz").rglob("*"))
    assert size < 600_000
