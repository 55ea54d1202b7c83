"""Members read by several threads, within bounds of memory and of temporary files."""

from __future__ import annotations

from threading import Condition, Thread

from deloc8.threads import start
from deloc8.wheel.archive import is_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from deloc8.wheel.archive import Member

    T = TypeVar("T")

_BUDGET = 32 << 20  # bytes of members that may be in memory at a time, but one member always may
_MAPPED_SHARE = 16  # a large member is read into a file; this part of it, its symbols and their names, is looked at


def read_members(read: Callable[[Member], T], members: Sequence[Member], threads: int) -> list[T]:
    """Return the result of `read` for each member.

    Of several exceptions the first in the order of the members is raised.

    Temporary files never have more bytes than the largest member, which is read last of those that have one: who keeps
    it keeps it beside no other. (The module for such work, `concurrent.futures`, takes longer to import than a wheel
    of ten megabytes to read.)
    """
    work = _Work(members)

    def run() -> None:
        while (member := work.begin()) is not None:
            try:
                results[member] = read(member)
            except Exception as error:  # noqa: BLE001  raised below
                errors[member] = error
            work.end(member)

    results: dict[Member, T] = {}
    errors: dict[Member, Exception] = {}
    helpers: Sequence[Thread] = ()
    try:
        helpers = start([Thread(target=run) for _ in range(min(threads, len(members)) - 1)])
        run()
    finally:
        work.stop()  # where the user has interrupted this thread, the others need not go on
        for helper in helpers:
            helper.join()
    for member in members:
        if member in errors:
            raise errors[member]
    return [results[member] for member in members]


class _Work:
    """The members that are still to be read, and what those that are being read take."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._turn = Condition()
        self._waiting = sorted(members, key=_priority)
        self._largest = max((_costs(member)[1] for member in members), default=0)
        self._memory = 0
        self._files = 0

    def begin(self) -> Member | None:
        """The next member that there is room for; None where all have begun."""
        with self._turn:
            while self._waiting:
                for place in reversed(range(len(self._waiting))):
                    memory, file = _costs(self._waiting[place])
                    if not self._memory or (self._memory + memory <= _BUDGET and self._files + file <= self._largest):
                        self._memory += memory
                        self._files += file
                        return self._waiting.pop(place)
                self._turn.wait()
            return None

    def end(self, member: Member) -> None:
        """A member has been read."""
        memory, file = _costs(member)
        with self._turn:
            self._memory -= memory
            self._files -= file
            self._turn.notify_all()

    def stop(self) -> None:
        """Let nothing begin any more."""
        with self._turn:
            self._waiting.clear()
            self._turn.notify_all()


def _priority(member: Member) -> tuple[bool, int]:
    """Priority of a member; the highest begins first.

    Those with files begin first, the largest of them last; then the longest work.
    """
    return (True, -member.size) if is_large(member.size) else (False, member.size)


def _costs(member: Member) -> tuple[int, int]:
    """The bytes of memory and of temporary files that the contents of a member take."""
    if is_large(member.size):
        return member.size // _MAPPED_SHARE, member.size
    return member.size + member.compressed_size, 0
