"""Members read by several threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from deloc8.audit import images
from deloc8.audit.images import Reading, read_images
from deloc8.errors import WheelError
from deloc8.wheel.archive import LARGE_MEMBER, WheelArchive, open_wheel
from deloc8.wheel.zipformat import Member
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deloc8.wheel.codec import Buffer

TIMEOUT = 20


@pytest.fixture(autouse=True)
def _shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads for however little there is to do."""
    monkeypatch.setattr(images, "_LITTLE", -1)


def member(name: str, size: int) -> Member:
    return Member(name, size, size, 0, 0, 0o644, (2020, 1, 1, 0, 0, 0), 0, 0)


def read_all(read: Callable[[Member], Any], members: Sequence[Member], threads: int) -> list[Any]:
    return list(images._map(read, members, threads))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_results_are_in_the_order_of_the_members(threads: int) -> None:
    members = [member(f"m{number}", size) for number, size in enumerate([5, 9, 1, 7, 3])]
    assert read_all(lambda one: one.name, members, threads) == ["m0", "m1", "m2", "m3", "m4"]


def test_several_threads_work_at_a_time_and_the_largest_members_come_first() -> None:
    # Each waits for another one: alone, nobody would ever come through.
    both = threading.Barrier(2)
    begun = []

    def read(one: Member) -> str:
        begun.append(one.size)
        both.wait(TIMEOUT)
        return one.name

    members = [member(f"m{size}", size) for size in (1, 2, 3, 4)]
    assert read_all(read, members, 2) == ["m1", "m2", "m3", "m4"]
    assert sorted(begun[:2]) == [3, 4]


@pytest.mark.parametrize(("size", "most"), [(10, 1), (4, 3), (LARGE_MEMBER + 1, 1)])
def test_only_so_much_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch, size: int, most: int) -> None:
    # A member takes its size and its compressed size; of a large one, which is mapped, a part.
    monkeypatch.setattr(images, "_BUDGET", 24)
    lock, held, highest = threading.Lock(), 0, 0

    def read(one: Member) -> str:
        nonlocal held, highest
        with lock:
            held += 1
            highest = max(highest, held)
        threading.Event().wait(0.02)
        with lock:
            held -= 1
        return one.name

    members = [member(f"m{number}", size) for number in range(6)]
    assert read_all(read, members, 4) == [one.name for one in members]
    assert 1 <= highest <= most


@pytest.mark.parametrize("threads", [2, 5])
def test_of_several_errors_the_first_in_the_order_of_the_members_is_raised(threads: int) -> None:
    def read(one: Member) -> str:
        if one.size > 1:
            raise WheelError(one.name, code="odd")
        return one.name

    with pytest.raises(WheelError) as caught:
        read_all(read, [member("a", 1), member("b", 2), member("c", 4), member("d", 3)], threads)
    assert caught.value.message == "b"


def test_who_interrupts_the_first_thread_ends_the_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_BUDGET", 1)  # the others wait until the first thread gives back what it holds
    main = threading.main_thread()
    done = []

    def read(one: Member) -> str:
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        threading.Event().wait(0.001)  # so that the first thread has its turn long before all is done
        done.append(one.name)
        return one.name

    members = [member(f"m{number}", 10) for number in range(2000)]
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        read_all(read, members, 3)
    assert threading.active_count() == before
    assert len(done) < len(members)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_member_is_the_error_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    wheel = Scene(tmp_path).wheel({CORE: wants("GLIBC_2.5"), "demo/a.so": wants("GLIBC_2.6")})
    read = WheelArchive.read

    def fail(self: WheelArchive, one: Member) -> Buffer:
        if one.name == "demo/a.so":
            raise WheelError("damaged", code="bad-member-data")
        return read(self, one)

    monkeypatch.setattr(WheelArchive, "read", fail)
    with open_wheel(wheel) as archive, pytest.raises(WheelError, match="damaged"):
        read_images(archive, Reading(threads=threads))
