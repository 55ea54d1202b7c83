"""What show says of real wheels, beside what `auditwheel show` says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from deloc8.report.model import external_libraries, libraries_to_graft, versioned_symbols
from deloc8.workflow.audit import audit_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.audit.verdict import Audit

pytest.importorskip("auditwheel", reason="auditwheel is not installed: its reports are what is compared")

WHEELS = ["cffi", "lmdb", "lxml", "mysqlclient", "numpy", "pillow", "psycopg2", "pyyaml"]


@pytest.fixture(params=WHEELS)
def wheel(request: pytest.FixtureRequest, wheels_folder: Path) -> Path:
    (path,) = wheels_folder.glob(f"{request.param}-*.whl")
    return path


@cache
def theirs(wheel: Path) -> Mapping[str, Any]:
    """The report of auditwheel."""
    command = [sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    report: Mapping[str, Any] = json.loads(run.stdout)
    return report


@cache
def ours(wheel: Path) -> Audit:
    return audit_wheel(wheel)


def test_the_tag_of_the_wheel_as_it_is(wheel: Path) -> None:
    assert ours(wheel).best.policy.tags[0] == theirs(wheel)["overall_tag"]


def test_the_tag_that_its_symbols_allow(wheel: Path) -> None:
    assert ours(wheel).outlook.policy.tags[0] == theirs(wheel)["sym_tag"]


def test_the_external_libraries(wheel: Path) -> None:
    found = external_libraries(ours(wheel))
    foreign = {name: os.path.realpath(path) for name, path in theirs(wheel)["external_libs"].items()}
    assert {name: found.get(name) for name in foreign} == foreign
    # The seed's list holds the libraries of the system, too; auditwheel leaves out what its policies allow.
    policy = ours(wheel).outlook.policy
    assert {name for name in found if not policy.allows_library(name)} == set(foreign)


def test_what_must_be_grafted_for_each_tag(wheel: Path) -> None:
    upgrades = theirs(wheel)["policy_upgrades"]
    policies = {match.policy.tags[0]: match for match in ours(wheel).matches}
    wanted = {tag: libraries_to_graft(match) for tag, match in policies.items()}
    for tag, upgrade in upgrades.items():
        assert wanted[tag] == tuple(sorted(upgrade["libs_to_eliminate"])), tag
    # The seed's own policy is not one of theirs, and they print none for a wheel that already has the best tag.
    rest = {tag for tag, names in wanted.items() if names} - set(upgrades)
    assert rest <= {"linux_pybe1_core_x86_64"}


def test_versions_of_the_wheels_own_files_are_among_theirs(wheel: Path) -> None:
    found, reported = versioned_symbols(ours(wheel)), theirs(wheel)["versioned_symbols"]
    for library, versions in found.items():
        assert set(versions) <= set(reported[library]), library
    # They report what the libraries to graft ask for, too.
    asked: dict[str, set[str]] = {}
    for file in ours(wheel).outlook.closure.files:
        for wanted in file.wanted:
            asked.setdefault(wanted.library, set()).add(wanted.version)
    loader = "ld-linux-x86-64.so.2"  # they do not count its versions
    assert {name: set(versions) for name, versions in reported.items()} == {
        name: versions for name, versions in asked.items() if name != loader
    }
