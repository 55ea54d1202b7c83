"""Threads, as many as the machine gives: the work is the same with fewer."""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor
    from threading import Thread


def start(helpers: Sequence[Thread]) -> Sequence[Thread]:
    """Start threads, and return those that the machine gave."""
    for count, helper in enumerate(helpers):
        try:
            helper.start()
        except RuntimeError:
            return helpers[:count]
    return helpers


@contextmanager
def executor(threads: int) -> Iterator[Executor | None]:
    """Threads to share the work, None where one is enough, or where the machine gives no other.

    What has not begun when an error comes never begins.
    """
    if threads <= 1:
        yield None
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  slow to import, and not always needed

    class Pool(ThreadPoolExecutor):
        def _adjust_thread_count(self) -> None:
            """Start one more thread; without it the work waits for one of the others (a method of all Pythons)."""
            try:
                super()._adjust_thread_count()
            except RuntimeError:
                if not self._threads:
                    raise

    pool = Pool(threads)
    try:
        yield pool if _has_one(pool) else None
    finally:
        pool.shutdown(cancel_futures=True)


def _has_one(pool: Executor) -> bool:
    """Whether there is a thread, which is started now."""
    try:
        pool.submit(int)
    except RuntimeError:
        return False
    return True
