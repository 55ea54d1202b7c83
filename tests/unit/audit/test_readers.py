"""Members read by several threads."""

from __future__ import annotations

import queue
import threading

import pytest

from deloc8.audit import readers
from deloc8.audit.readers import read_members
from deloc8.errors import WheelError
from deloc8.wheel import archive
from deloc8.wheel.zipformat import Member

TIMEOUT = 20


def member(name: str, size: int) -> Member:
    return Member(name, size, size, 0, 0, 0o644, (2020, 1, 1, 0, 0, 0), 0, 0)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_results_are_in_the_order_of_the_members(threads: int) -> None:
    members = [member(f"m{number}", size) for number, size in enumerate([5, 9, 1, 7, 3])]
    assert read_members(lambda one: one.name, members, threads) == ["m0", "m1", "m2", "m3", "m4"]


def test_several_threads_work_at_a_time_and_the_largest_members_come_first() -> None:
    # Each waits for another one: alone, nobody would ever come through.
    both = threading.Barrier(2)
    begun = []

    def read(one: Member) -> str:
        begun.append(one.size)
        both.wait(TIMEOUT)
        return one.name

    members = [member(f"m{size}", size) for size in (1, 2, 3, 4)]
    assert read_members(read, members, 2) == ["m1", "m2", "m3", "m4"]
    assert sorted(begun[:2]) == [3, 4]


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ((5, 5, 5), 5),  # one after the other
        ((2, 1, 3), 3),  # two beside each other
        ((4, 2, 1, 1), 4),
    ],
)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_temporary_files_take_no_more_than_the_largest_member_does(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], most: int, threads: int
) -> None:
    monkeypatch.setattr(archive, "LARGE_MEMBER", 0)
    monkeypatch.setattr(readers, "_MAPPED_SHARE", 1)
    lock, held, highest, order = threading.Lock(), 0, 0, []

    def read(one: Member) -> str:
        nonlocal held, highest
        with lock:
            order.append(one.size)
            held += one.size
            highest = max(highest, held)
        threading.Event().wait(0.02)
        with lock:
            held -= one.size
        return one.name

    members = [member(f"m{number}", size) for number, size in enumerate(sizes)]
    assert read_members(read, members, threads) == [one.name for one in members]
    assert highest == most
    assert order[-1] == max(sizes)  # whoever keeps it keeps it alone


def test_small_members_are_read_beside_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGE_MEMBER", 5)
    both = threading.Barrier(2)

    def read(one: Member) -> str:
        if one.size in {7, 4}:  # the second large one has to wait, a small one does not
            both.wait(TIMEOUT)
        return one.name

    members = [member(f"m{size}", size) for size in (4, 3, 7, 8)]
    assert read_members(read, members, 2) == ["m4", "m3", "m7", "m8"]


@pytest.mark.parametrize(
    ("sizes", "first", "large"),
    [
        ((6, 6, 6), 2, 100),  # in memory twice: as they are and compressed
        ((7, 6, 6), 1, 100),
        ((50, 6, 6), 1, 100),  # more than there is room for, but alone
        ((8, 8, 8, 8), 1, 7),  # files, of which only the largest may be there
        ((8, 8, 8, 8), 1, 8),  # none is large
        ((60, 4, 4), 1, 50),  # of a large one, half is looked at
    ],
)
def test_as_many_begin_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], first: int, large: int
) -> None:
    monkeypatch.setattr(readers, "_BUDGET", 24)
    monkeypatch.setattr(readers, "_MAPPED_SHARE", 2)
    monkeypatch.setattr(archive, "LARGE_MEMBER", large)
    work = readers._Work([member(f"m{number}", size) for number, size in enumerate(sizes)])
    begun: queue.Queue[Member | None] = queue.Queue()

    def run() -> None:
        while True:
            found = work.begin()
            begun.put(found)
            if found is None:
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    under_way = [begun.get(timeout=TIMEOUT) for _ in range(first)]
    thread.join(0.05)
    assert begun.empty()
    seen = list(under_way)
    while len(seen) < len(sizes):
        done = under_way.pop(0)
        assert done is not None
        work.end(done)
        under_way.append(begun.get(timeout=TIMEOUT))
        seen.append(under_way[-1])
    assert begun.get(timeout=TIMEOUT) is None
    assert sorted(one.size for one in seen if one) == sorted(sizes)


@pytest.mark.parametrize("threads", [1, 4])
def test_nothing_to_read_is_no_result(threads: int) -> None:
    assert read_members(lambda one: one.name, [], threads) == []


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_of_several_errors_the_first_in_the_order_of_the_members_is_raised(threads: int) -> None:
    def read(one: Member) -> str:
        if one.size > 1:
            raise WheelError(one.name, code="odd")
        return one.name

    with pytest.raises(WheelError) as caught:
        read_members(read, [member("a", 1), member("b", 2), member("c", 4), member("d", 3)], threads)
    assert caught.value.message == "b"


def test_who_interrupts_the_first_thread_ends_the_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_BUDGET", 1)  # the others wait for what the first thread holds
    main, began = threading.main_thread(), threading.Event()
    done = []

    class Late(threading.Thread):
        def run(self) -> None:
            assert began.wait(TIMEOUT)
            super().run()

    def read(one: Member) -> str:
        if threading.current_thread() is main:
            began.set()
            threading.Event().wait(0.05)
            raise KeyboardInterrupt
        done.append(one.name)
        return one.name

    monkeypatch.setattr(readers, "Thread", Late)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        read_members(read, [member(f"m{number}", 10) for number in range(20)], 3)
    assert threading.active_count() == before
    assert done == []
