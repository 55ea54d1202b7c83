"""The option that renews the snapshots: `pytest tests/golden --renew`. Read the difference before committing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write the snapshots of tests/golden anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the snapshot of a name, or writes it."""
    # Unknown in a run that does not name this folder.
    renew = request.config.getoption("--renew", default=False)

    def compare(name: str, text: str) -> None:
        file = FOLDER / name
        if renew:
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"tests/golden/{name} is missing: pytest tests/golden --renew"
        assert text == file.read_text("utf-8"), "if the new text is right: pytest tests/golden --renew"

    return compare
