"""Published wheels that tests use or run: named by their hash, and nothing else is accepted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
if str(TOP / "tools") not in sys.path:
    sys.path.append(str(TOP / "tools"))

from fetch_wheels import FetchError, Row, fetch  # noqa: E402  it is in a folder of scripts


def published(filename: str, sha256: str, folder: Path) -> Path:
    """A wheel of the package index, downloaded where the folder has it not; the test is skipped where that fails."""
    name, version = filename.split("-")[:2]
    row = Row(name=name, version=version, filename=filename, sha256=sha256)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(row, folder)
    except FetchError as error:
        pytest.skip(f"needs {filename} from the package index: {error}")
    return folder / filename
