"""Trials of a command of deloc8 from outside: how one is run, what it costs, and what is broken whatever it was."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

_INTERVAL = 0.004  # seconds between two looks at the memory
_ANONYMOUS = ("RssAnon:", "RssShmem:")  # of /proc/PID/status, in kB; what is mapped from files is not counted
MEBIBYTE = 1 << 20


class Ended(NamedTuple):
    """A command that has ended.

    Attributes:
        code: The exit code; below 0 the signal that ended it.
        out: Bytes of stdout, where the trial did not lead it elsewhere.
        err: The same of stderr.
        cpu: Seconds, its children's too.
        peak: Bytes of anonymous memory at the highest, its children's too, as often as looked at.
        timed_out: It did not end in the given time and was killed.
    """

    code: int
    out: bytes
    err: bytes
    cpu: float
    peak: int
    timed_out: bool

    def fault(self) -> str | None:
        """A fault that no trial allows: a traceback, a death, a run without end."""
        if self.timed_out:
            return "does not end"
        if b"Traceback (most recent call last)" in self.err + self.out:
            return "traceback: " + self.err.decode(errors="replace").strip().splitlines()[-1][:200]
        if self.code < 0:
            return f"ended by signal {-self.code}"
        if self.code in {3, 120}:
            return f"exit code {self.code}"
        return None


class Tool:
    """The executable under trial; it keeps what each run cost."""

    def __init__(self, executable: str) -> None:
        self.executable = executable
        self.runs: list[Ended] = []

    def start(  # noqa: PLR0913  the streams and limits of a process
        self,
        words: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start the command, for a trial that does something to the process while it runs.

        Args:
            words: The words behind the name of the command.
            cwd: The folder in which it runs.
            stdin: As of `subprocess.Popen`, and so the other streams.
            stdout: See above.
            stderr: See above.
            environ: Variables to add; no other variable of deloc8, Python or the loader is handed on.
            before: A command that runs it: `strace`, `prlimit`, `sh -c`.
        """
        # Coverage would measure what is run, and make it several times slower.
        unwanted = ("PYTHON", "DELOC8", "AUDITWHEEL", "LD_", "GITHUB_", "COV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        command = [*before, self.executable, *map(str, words)]
        return subprocess.Popen(
            command, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, env={**kept, **(environ or {})}
        )

    def run(  # noqa: PLR0913  the streams and limits of a process
        self,
        *words: str | Path,
        cwd: Path | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        seconds: float = 120,
    ) -> Ended:
        """Run the command to its end, or kill it when the seconds are over. Arguments: see `start`."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.start(
                words,
                cwd=cwd,
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err if stderr is None else stderr,
                environ=environ,
                before=before,
            )
            with _watched(process, seconds) as watch:
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            ended = Ended(
                process.returncode,
                out.read(64 * MEBIBYTE),
                err.read(64 * MEBIBYTE),
                usage.ru_utime + usage.ru_stime,
                watch.peak,
                watch.timed_out,
            )
        self.runs.append(ended)
        return ended


class Trial(NamedTuple):
    """One input: its name, and a function that gives the words for what is broken, or None."""

    name: str
    judge: Callable[[Tool], str | None]


class _Watch:
    peak = 0
    timed_out = False


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes], seconds: float) -> Iterator[_Watch]:
    watch = _Watch()
    ended = threading.Event()
    deadline = time.monotonic() + seconds

    def look() -> None:
        while not ended.wait(_INTERVAL):
            watch.peak = max(watch.peak, sum(map(_anonymous, _family(process.pid))))
            if time.monotonic() > deadline:
                watch.timed_out = True
                for member in _family(process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(member, 9)
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def _family(pid: int) -> list[int]:
    """A process and its descendants, as the kernel lists them."""
    found = [pid]
    for member in found:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{member}/task/{member}/children").read_text(encoding="ascii")
            found += map(int, children.split())
    return found


def _anonymous(pid: int) -> int:
    """Bytes of memory of one process that no file stands behind."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith(_ANONYMOUS)]
    return 1024 * sum(int(words[1]) for words in lines)
