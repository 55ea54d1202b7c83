from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import RemoveRpath
from deloc8.repair.model import Check, Goal, Patch, Proof
from kit.bench import EXT, Bench

if TYPE_CHECKING:
    from deloc8.repair.model import Plan


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_goal_without_wishes_is_the_best_tag_under_the_usual_names() -> None:
    goal = Goal()
    assert (goal.platform, goal.library_suffix, goal.update_tags, goal.only_platform) == ("auto", ".libs", True, False)
    assert goal.no_mangle == ()
    assert (goal.sbom, goal.licences) == (True, True)
    assert (goal.strip, goal.lower_glibc, goal.allow_differs) == (None, False, False)


def test_a_patch_goes_where_its_member_is_or_moves() -> None:
    assert Patch(member="a", edits=(RemoveRpath(),)).target == "a"
    assert Patch(member="a", edits=(), moved_to="b").target == "b"


def test_a_proof_has_the_problems_of_all_its_checks() -> None:
    checks = (Check(name="a", problems=("1", "2")), Check(name="b", problems=()), Check(name="c", problems=("3",)))
    assert Proof(checks=checks).problems == ("1", "2", "3")
    assert Proof(checks=checks[1:2]).problems == ()


def test_a_plan_is_empty_where_no_file_changes(bench: Bench) -> None:
    def plan(**options: object) -> Plan:
        return bench.plan(bench.extension(**options))

    bench.library("/usr/lib64/liba.so.1")
    assert plan().is_empty
    assert not plan(needed=("liba.so.1",)).is_empty
    assert not plan(rpath="/build").is_empty


def test_an_outcome_tells_what_was_written(bench: Bench) -> None:
    wheel = bench.extension()
    outcome = bench.repair(wheel)
    assert outcome.path.parent == bench.out
    assert outcome.path.name == outcome.plan.target.filename
    assert outcome.size == outcome.path.stat().st_size
    assert outcome.plan == bench.plan(wheel)
    assert outcome.encoder
    assert isinstance(outcome.path, Path)
    assert EXT in {file.member for file in bench.audit(outcome.path).facts.own}
