"""Several wheels at a time, each in one of some processes; the results come in the order of the wheels.

Threads would not do: what is left of the work once the members are inflated is Python's, which runs in one at a time.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO, TypeVar

    Item = TypeVar("Item")
    Result = TypeVar("Result")

__all__ = ["share", "share_of_threads"]


class _Worker(NamedTuple):
    """A process that gives the result of one item after the other."""

    process: int
    questions: BinaryIO
    answers: BinaryIO
    lifeline: BinaryIO

    def let_go(self) -> None:
        """Close all ends of pipes, which ends the process."""
        self.questions.close()
        self.answers.close()
        self.lifeline.close()


def share_of_threads(jobs: int, wheels: int) -> tuple[int, int]:
    """How many processes work on some wheels, and with how many threads each, where `jobs` things may run at a time."""
    processes = max(1, min(jobs, wheels))
    return processes, max(1, jobs // processes)


@contextmanager
def share(task: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Iterator[Result]]:
    """Results of the task, in the order of the items, as `map` gives them, while the block lasts.

    Results must be values that can be pickled. Whatever else happens to a process (the task raises an exception, the
    system ends it for want of memory) happens to its item alone, which is then worked on here, when its turn comes.
    """
    workers: list[_Worker] = []
    try:
        if processes > 1 and len(items) > 1 and hasattr(os, "fork"):
            for _ in range(min(processes, len(items))):
                worker = _try_to_hire(task, items, workers)
                if worker is None:
                    break
                workers.append(worker)
        yield _collect(task, items, workers)
    except BaseException:
        from signal import SIGKILL  # noqa: PLC0415  a single wheel does without it

        for worker in workers:
            os.kill(worker.process, SIGKILL)
        raise
    finally:
        for worker in workers:
            worker.questions.close()
            worker.answers.close()
            os.waitpid(worker.process, 0)
            worker.lifeline.close()


def _try_to_hire(task: Callable[[Item], Result], items: Sequence[Item], others: Sequence[_Worker]) -> _Worker | None:
    """One process more; None where the machine gives none: those that there are do the work, or the first one."""
    try:
        return _hire(task, items, others)
    except OSError:
        return None


def _hire(task: Callable[[Item], Result], items: Sequence[Item], others: Sequence[_Worker]) -> _Worker:
    ends: list[int] = []
    try:
        for _ in range(3):
            ends += os.pipe()
        process = os.fork()
    except OSError:
        for end in ends:
            os.close(end)
        raise
    question, ask, answer, give, life, line = ends
    if process == 0:
        try:
            # Whoever keeps the ends of others keeps those waiting.
            for end in (ask, answer, line):
                os.close(end)
            for other in others:
                other.let_go()
            _live_with_parent(life)
            with open(question, "rb") as questions, open(give, "wb") as answers:  # noqa: PTH123  descriptors
                _serve(task, items, questions, answers)
        finally:
            # Neither the buffers of the first process nor what it does at its end are ours.
            os._exit(0)
    for end in (question, give, life):
        os.close(end)
    return _Worker(process, open(ask, "wb", buffering=0), open(answer, "rb"), open(line, "wb"))  # noqa: PTH123


def _live_with_parent(life: int) -> None:
    """Let the system end this process, whatever it does, once its parent has closed the other end of a pipe or died.

    The system then sends SIGIO (fcntl(2), O_ASYNC), which by default ends a process.
    """
    import fcntl  # noqa: PLC0415  a single wheel does without these
    import signal  # noqa: PLC0415

    from deloc8.cli.signals import release  # noqa: PLC0415

    release()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of an interrupt the first process decides
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(life, 1)
        os._exit(0)  # it ended before


def _serve(task: Callable[[Item], Result], items: Sequence[Item], questions: BinaryIO, answers: BinaryIO) -> None:
    import pickle  # noqa: PLC0415  a single wheel does without it

    for line in questions:
        answers.write(pickle.dumps(task(items[int(line)])))
        answers.flush()


def _collect(task: Callable[[Item], Result], items: Sequence[Item], workers: Sequence[_Worker]) -> Iterator[Result]:
    if not workers:
        yield from map(task, items)
        return
    import pickle  # noqa: PLC0415  a single wheel does without these
    import selectors  # noqa: PLC0415

    waiting = list(reversed(range(len(items))))
    busy: dict[_Worker, int] = {}
    done: dict[int, Result] = {}
    lost: set[int] = set()

    def ask(worker: _Worker) -> None:
        index = waiting.pop()
        busy[worker] = index
        # Where it has ended, the end of its answers will show it.
        with suppress(BrokenPipeError):
            worker.questions.write(b"%d\n" % index)

    with selectors.PollSelector() as selector:  # unlike others it needs no descriptor
        for worker in workers:
            selector.register(worker.answers, selectors.EVENT_READ, worker)
            ask(worker)
        for turn, item in enumerate(items):
            while turn not in done and turn not in lost and busy:
                for key, _ in selector.select():
                    index = busy.pop(key.data)
                    try:
                        done[index] = pickle.load(key.data.answers)  # noqa: S301  our own process wrote it
                    except (EOFError, OSError, pickle.UnpicklingError):
                        lost.add(index)
                        selector.unregister(key.fileobj)
                    else:
                        if waiting:
                            ask(key.data)
            yield done.pop(turn) if turn in done else task(item)
