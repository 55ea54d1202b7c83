"""What is undone where a process ends in the midst of its work, and when."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from deloc8 import ending

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def steady() -> Iterator[None]:
    """A lock of the test: once the end has begun, it is not let go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ending, "STEADY", threading.RLock())
        patch.setattr(ending, "_PREPARING", [])
        yield


def test_what_is_noted_is_undone_the_last_first_while_its_block_lasts() -> None:
    done: list[str] = []
    with ending.undone_by(lambda: done.append("outer")):
        with ending.undone_by(lambda: done.append("gone")):
            pass
        with ending.undone_by(lambda: done.append("inner")):
            ending.undo_all()
    assert done == ["inner", "outer"]
    ending.undo_all()
    assert done == ["inner", "outer"]


def test_what_fails_keeps_nothing_else_from_being_undone() -> None:
    done: list[str] = []
    with ending.undone_by(lambda: done.append("first")), ending.undone_by(lambda: done[1]):
        ending.undo_all()
    assert done == ["first"]


def test_a_block_that_fails_is_forgotten_too() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), ending.undone_by(lambda: done.append("late")):
        raise KeyboardInterrupt
    ending.undo_all()
    assert done == []


def test_what_prepares_is_called_before_the_first_and_only_once() -> None:
    done: list[str] = []
    ending.prepared_by(lambda: done.append("prepared"))
    assert done == []
    for _ in range(2):
        with ending.undone_by(lambda: None):
            done.append("noted")
    assert done == ["prepared", "noted", "noted"]


def test_no_other_thread_makes_anything_once_the_end_has_begun() -> None:
    ending.undo_all()
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(ending.STEADY.acquire(timeout=0.05)))
    thread.start()
    thread.join()
    assert got == [False]
