"""The command line, run inside the test or as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from deloc8.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    import pytest


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)


class Command:
    """Runs commands in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str | Path) -> Result:
        """How a command ends; nothing but an exit code may come out of it."""
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        return Result(code, out, err)


# By what coverage measures other processes, too.
COVERAGE = [name for name in os.environ if name.startswith(("COVERAGE_", "COV_CORE_"))]


def uncovered() -> dict[str, str]:
    """The environment without the measuring of coverage: what is to be killed would leave its file in pieces."""
    return {name: value for name, value in os.environ.items() if name not in COVERAGE}


def program(*arguments: str | Path) -> list[str]:
    """The command line of deloc8 as a program of its own."""
    return [sys.executable, "-m", "deloc8", *map(str, arguments)]


def run_program(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> Result:
    """How deloc8 ends as a program of its own."""
    run = subprocess.run(
        program(*arguments), capture_output=True, check=False, env={**os.environ, **(environ or {})}, timeout=60
    )
    return Result(run.returncode, run.stdout.decode(), run.stderr.decode())
