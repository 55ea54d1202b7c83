from __future__ import annotations

import threading
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from deloc8.threads import executor, start

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the machine give so many threads and no more."""

    def allow(most: int) -> None:
        honest, left = Thread.start, [most]

        def start(self: Thread) -> None:
            if not left[0]:
                raise RuntimeError("can't start new thread")
            left[0] -= 1
            honest(self)

        monkeypatch.setattr(Thread, "start", start)

    return allow


@pytest.mark.parametrize("most", [0, 1, 3, 9])
def test_threads_start_as_far_as_there_are_some(allow: Callable[[int], None], most: int) -> None:
    allow(most)
    done: list[int] = []
    helpers = start([Thread(target=done.append, args=(number,)) for number in range(4)])
    for helper in helpers:
        helper.join()
    assert len(helpers) == min(4, most)
    assert sorted(done) == list(range(len(helpers)))


@pytest.mark.parametrize("most", [1, 2, 9])
def test_work_is_done_by_the_threads_that_there_are(allow: Callable[[int], None], most: int) -> None:
    allow(most)
    before = threading.active_count()
    with executor(4) as pool:
        assert pool is not None
        futures = [pool.submit(pow, number, 2) for number in range(50)]
        assert list(pool.map(abs, range(-50, 0))) == list(range(50, 0, -1))
    assert [future.result() for future in futures] == [number**2 for number in range(50)]
    assert threading.active_count() == before


def test_without_any_thread_there_is_no_executor(allow: Callable[[int], None]) -> None:
    allow(0)
    with executor(4) as pool:
        assert pool is None


def test_one_thread_is_the_callers() -> None:
    with executor(1) as pool:
        assert pool is None
