"""The command line: argv, environment and streams; everything else is a value that other layers made."""

from __future__ import annotations

import sys

from deloc8 import __version__

_VERSION = "--version"
_REFUSED_BY_THE_MACHINE = 4  # as in `cli.shared`, which may be what cannot be loaded
_INTERRUPTED = 130  # the same

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def command() -> NoReturn:
    """The process of the command `deloc8`: `main`, without the costs of a program that runs for long.

    What is left is for the system, which frees it at once; the interpreter takes its objects apart one by one, and the
    collector of cycles walks through them again and again, though there are none to speak of: a seventh of the time of
    `show` on a small wheel. `python -m deloc8` has neither, so that a profiler can be put around it.
    """
    import atexit  # noqa: PLC0415  for a process, not for `main`
    import gc  # noqa: PLC0415
    import os  # noqa: PLC0415

    gc.disable()
    code = process()
    # As at any other end: what waits for it (the clearing up of a pool, the coverage of a test), then the streams.
    atexit._run_exitfuncs()  # noqa: SLF001  the interpreter's own call of them is what is left out
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # what was ours is written or lost already, and the code stays that of the work
    os._exit(code)


def process() -> int:
    """Return the exit code of the command line of this process."""
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        from deloc8.cli.streams import occupy_closed  # noqa: PLC0415  hardly ever

        occupy_closed()
    try:
        return _run(sys.argv[1:], is_process=True)
    except KeyboardInterrupt:
        return _INTERRUPTED  # in the midst of an import
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # the same, while a class is made; see `faults.translated`
            return _INTERRUPTED
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one command.

    0 done, 1 the wheel, 2 the command line, 3 a defect of deloc8, 4 the machine refused, 130 interrupted.
    """
    return _run(sys.argv[1:] if argv is None else argv, is_process=False)


def _run(argv: Sequence[str], *, is_process: bool) -> int:
    arguments = list(argv)
    if arguments == [_VERSION]:  # the one answer that must not wait for any import
        try:
            # Unlike a write, it does no harm where stdout is closed.
            print(f"deloc8 {__version__}", flush=True)  # noqa: T201  see above
        except (OSError, ValueError):
            pass  # reported below, as for every command
        else:
            return 0
    try:
        from deloc8.cli.commands import run  # noqa: PLC0415  see above
    except (ImportError, OSError, MemoryError) as error:
        return _unloaded(error)
    return run(arguments, is_process=is_process)


def _unloaded(error: Exception) -> int:
    """The exit code where deloc8 cannot be read from its place, reported without any part of it."""
    # A path in it can hold anything; `deloc8.text`, which knows what to do with that, may be what cannot be loaded.
    reason = ascii(str(error) or type(error).__name__)[1:-1].replace("##", "#\\x23")
    try:  # noqa: SIM105  no import may be needed here
        print(f"error: deloc8 could not be loaded [broken-installation]\n  {reason}", file=sys.stderr)  # noqa: T201
    except OSError:
        pass
    return _REFUSED_BY_THE_MACHINE
