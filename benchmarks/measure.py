"""What one process costs: cpu, wall time, memory, temporary disk, and the size of its output."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_INTERVAL = 0.02  # seconds between two looks at the disk
LONG = 8.0  # the first process of a command counts, and is enough, when it takes so many seconds
FEWEST = 3  # processes of a command that takes less


class Sample(NamedTuple):
    """Seconds of cpu and wall time; MB of memory, temporary disk and output, each at its highest."""

    cpu: float
    wall: float
    peak: float
    disk: float
    output: float


class FailedError(Exception):
    """A command failed, or left no output."""


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    return Sample(*(statistics.median(column) for column in zip(*samples, strict=True)))


def ratio(theirs: float, ours: float) -> str:
    """How much better a figure is."""
    return f"{theirs / ours:.2f}" if ours else ""


def measure(
    command: Sequence[str], variables: Mapping[str, str], *, writes: bool, watches_disk: bool = False, code: int = 0
) -> Sample:
    """What a command cost; `{folder}` in it becomes a new folder, in which it leaves one file if it `writes`.

    Raises:
        FailedError: It did not do its job.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as top, tempfile.TemporaryFile() as words:
        output, temporary = Path(top) / "out", Path(top) / "tmp"
        output.mkdir()
        temporary.mkdir()
        # Nothing of the caller's Python may show: PYTHONDONTWRITEBYTECODE alone doubles the time of a start.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DELOC8", "LD_"))}
        environment = {**kept, **variables, "TMPDIR": str(temporary)}
        placed = [word.replace("{folder}", str(output)) for word in command]
        start = time.perf_counter()
        process = subprocess.Popen(placed, stdout=words, stderr=words, stdin=subprocess.DEVNULL, env=environment)
        with _watched(process.pid, Path(top), enabled=watches_disk) as highest:
            # Counts the children that the process has waited for, too.
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        written = list(output.iterdir())
        if process.returncode != code or len(written) != int(writes):
            words.seek(0)
            last = words.read().decode(errors="replace").strip().splitlines()[-2:]
            told = f"exit {process.returncode}, {len(written)} files: {' '.join(last)}"
            raise FailedError(f"{' '.join(command)}: {told}")
        size = sum(path.stat().st_size for path in written)
        disk = max(0, max(highest) - size) if writes else max(highest)
        cpu = usage.ru_utime + usage.ru_stime
        return Sample(cpu=cpu, wall=wall, peak=usage.ru_maxrss / 1e3, disk=disk / 1e6, output=size / 1e6)


def in_turn(measures: Mapping[str, Callable[..., Sample]], rounds: int, seconds: float = math.inf) -> dict[str, Sample]:
    """The medians of several commands, measured A B C A B C, so that a slow while of the machine meets all of them.

    Their disk is watched in a first round, which counts for a command that takes long: to be watched slows a short one
    more.

    Args:
        measures: `measure` for each command, without `watches_disk`.
        rounds: So many follow the first one.
        seconds: When these are over, only what has not been measured often enough is measured.

    Raises:
        FailedError: A command did not do its job.
    """
    started = time.perf_counter()
    firsts = {name: once(watches_disk=True) for name, once in measures.items()}
    samples = {name: [first] if first.wall >= LONG else [] for name, first in firsts.items()}
    for number in range(rounds):
        for name, once in measures.items():
            lacking = number < FEWEST and firsts[name].wall < LONG
            if lacking or time.perf_counter() - started <= seconds:
                samples[name].append(once())
    return {name: median(found)._replace(disk=firsts[name].disk) for name, found in samples.items()}


@contextlib.contextmanager
def _watched(pid: int, top: Path, *, enabled: bool) -> Iterator[list[int]]:
    """The bytes on disk in a folder and in the deleted files of a process and its children, as often as looked at."""
    highest = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            highest.append(_in_folder(top) + sum(_deleted(pid).values()))

    thread = threading.Thread(target=watch, daemon=True)
    if enabled:
        thread.start()
    try:
        yield highest
    finally:
        ended.set()
        if enabled:
            thread.join()


def _in_folder(top: Path) -> int:
    total = 0
    for folder, _, files in os.walk(top):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118  called very often
    return total


def _deleted(pid: int) -> dict[tuple[int, int], int]:
    """The bytes of files that a process holds open or mapped, though they have no name any more, by inode."""
    found: dict[tuple[int, int], int] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = entry.stat()
                if status.st_nlink == 0 and status.st_size:
                    found[os.major(status.st_dev) << 8 | os.minor(status.st_dev), status.st_ino] = (
                        status.st_blocks * 512
                    )
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if line.endswith("(deleted)") and "/bench-" in line:
                places, _, _, device, inode, *_ = line.split()
                start, end = (int(place, 16) for place in places.split("-"))
                major, minor = (int(part, 16) for part in device.split(":"))
                found.setdefault((major << 8 | minor, int(inode)), end - start)
    return found
