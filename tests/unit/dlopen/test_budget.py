"""The work that the search for openings may cost."""

from __future__ import annotations

import pytest

from deloc8.dlopen import budget as module
from deloc8.dlopen.budget import Budget, Spent


def test_work_is_counted_until_it_is_used_up() -> None:
    budget = Budget(100)
    budget.spend(60)
    assert (budget.left, budget.is_spent) == (40, False)
    budget.spend(40)
    with pytest.raises(Spent):
        budget.spend(1)
    assert budget.is_spent


def test_a_file_may_use_up_its_part_and_the_next_has_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_UNITS_OF_ONE_FILE", 30)
    budget = Budget(100)
    for left in (69, 38, 7):
        budget.begin_file()
        with pytest.raises(Spent):
            budget.spend(31)
        assert (budget.left, budget.is_spent) == (left, False)
    budget.begin_file()
    budget.spend(7)
    with pytest.raises(Spent):
        budget.spend(1)
    assert budget.is_spent


def test_the_clock_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    looks = []

    def clock() -> float:
        looks.append(now[0])
        return now[0]

    monkeypatch.setattr(module, "thread_time", clock)
    budget = Budget(1_000_000, seconds=3)
    for _ in range(1000):
        budget.spend(100)
    assert len(looks) < 20  # asking it costs more than most of what is counted
    now[0] = 8.5
    with pytest.raises(Spent):
        spend_all(budget)
    assert budget.is_spent
    assert budget.left > 0


def spend_all(budget: Budget) -> None:
    while True:
        budget.spend(100)
