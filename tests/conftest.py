"""What every test stands on: an environment that says nothing, and the places of large things."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

TOP = Path(__file__).resolve().parent.parent

# What would change deloc8's behaviour, or the words of the tools it is compared with.
_UNWANTED = ("AUDITWHEEL_", "DELOC8_", "LD_", "LC_")
_UNWANTED_NAMES = frozenset({"SOURCE_DATE_EPOCH", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "LANGUAGE", "LANG"})

_LARGE = {
    "DELOC8_WHEELS": TOP.parent / "shared" / "wheels",
    "DELOC8_RUNTIMES": TOP.parent / "shared" / "runtimes",
}
_given: dict[str, Path] = {}


def pytest_configure() -> None:
    for name, default in _LARGE.items():
        if given := os.environ.get(name):
            _given[name] = Path(given).resolve()
        elif default.is_dir():
            _given[name] = default
    for name in list(os.environ):
        if name.startswith(_UNWANTED) or name in _UNWANTED_NAMES:
            del os.environ[name]
    os.environ["LC_ALL"] = "C.UTF-8"
    # The workers of pytest-xdist start from this process's environment and find the same places.
    os.environ.update({name: str(path) for name, path in _given.items()})


# A busy machine must not fail a test; and in a CI run the same examples are tried every time.
_patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("developer", _patient)
hypothesis.settings.register_profile("ci", _patient, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


@pytest.fixture(scope="session")
def top() -> Path:
    """The top folder of the repository."""
    return TOP


@pytest.fixture(scope="session")
def wheels_folder() -> Path:
    """The folder of the eight real, unrepaired wheels; the test is skipped without it."""
    return _large("DELOC8_WHEELS", "real unrepaired wheels")


@pytest.fixture(scope="session")
def runtimes_folder() -> Path:
    """The folder of the old glibc and of the Pythons for it and for musl; the test is skipped without it."""
    return _large("DELOC8_RUNTIMES", "C runtimes of other systems")


def _large(name: str, what: str) -> Path:
    if name not in _given:
        pytest.skip(f"{name} names no folder of {what}")
    return _given[name]
