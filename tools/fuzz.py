"""Feeds hostile bytes to every reader of deloc8, and tells how many were tried.

    PYTHONPATH=tests python tools/fuzz.py [TARGET ...] [--seconds N] [--engine atheris|mutate] [--keep]

`make fuzz SECONDS=600` calls it for all targets of tests/kit/fuzzing.py. An input fails that ends in another exception
than the promised error, that takes more than two seconds of the processor, or that makes the process larger than
512 MiB.
Atheris looks for new paths through the code, beginning with tests/fuzz/TARGET and what earlier runs left in
build/fuzz/TARGET; where it is not installed, or with `--engine mutate`, the files are changed at random. A failing
input stays in build/fuzz. `--keep` puts the smallest set of inputs that reach all that is known into tests/fuzz. The
exit code is 1 where an input failed.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOP = Path(__file__).resolve().parent.parent
CORPUS = TOP / "tests" / "fuzz"
WORK = TOP / "build" / "fuzz"
NAMES = ("elf", "editor", "edits", "zip", "inflate", "record", "wheel", "policy", "cache", "python")
LONGEST_TIME = 2.0
MOST_MEMORY = 512  # MiB
LARGEST = 8192
HANG = 1200  # seconds by the clock of the wall: for what no signal ends, on a machine that may pause its jobs
KEPT = 40


def limited(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The same function, which also fails where it takes too long; a loop without an end is left by a signal."""

    def leave(_signal: int, _frame: object) -> None:
        raise AssertionError(f"does not end within {LONGEST_TIME} s")

    signal.signal(signal.SIGPROF, leave)

    def run(data: bytes) -> None:
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, max(LONGEST_TIME, 0.01))
        try:
            function(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        spent = time.process_time() - start
        if spent > LONGEST_TIME:
            raise AssertionError(f"took {spent:.1f} s")

    return run


def warmed(function: Callable[[bytes], None], inputs: Sequence[bytes]) -> Callable[[bytes], None]:
    """The same function, once called: tables that a library makes for its first caller are not an input's time."""
    function(inputs[0])
    return function


def corpus_of(name: str) -> list[bytes]:
    """The inputs to begin with: those kept in the repository."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """An input changed at random, once to six times."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(changed) + 1)
        size = chance.choice((1, 1, 2, 4, 8, chance.randint(1, 64)))
        match chance.randrange(6):
            case 0:
                changed[place : place + size] = chance.randbytes(size)
            case 1:
                changed[place : place + size] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF))]) * size
            case 2:
                del changed[place : place + size]
            case 3:
                changed[place:place] = chance.randbytes(size)
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                changed[place : place + size] = other[start : start + size]
            case _:
                value = chance.choice((0, 1, len(changed), len(changed) - place, 1 << 31, (1 << 32) - 1))
                changed[place : place + 4] = (value & 0xFFFFFFFF).to_bytes(4, chance.choice(("little", "big")))
    return bytes(changed[:LARGEST])


def run_mutating(name: str, seconds: float, seed: int) -> int:
    """The exit code of a run without Atheris; the inputs of one seed are always the same."""
    from kit.fuzzing import TARGETS  # noqa: PLC0415  Atheris must be there first, where it is used

    inputs = corpus_of(name)
    function = limited(warmed(TARGETS[name], inputs))
    chance = random.Random(seed)  # noqa: S311  no secret
    end, count = time.monotonic() + seconds, 0
    data = b""
    try:
        for data in inputs:
            function(data)
            count += 1
        while time.monotonic() < end:
            data = mutate(chance.choice(inputs), chance, inputs)
            function(data)
            count += 1
    except BaseException:
        WORK.mkdir(parents=True, exist_ok=True)
        (WORK / f"{name}-failed").write_bytes(data)
        print(f"the input is {WORK / f'{name}-failed'}", file=sys.stderr)
        raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"executed {count} peak {peak}")
    return 0 if peak <= MOST_MEMORY else 1


def run_atheris(name: str, seconds: float) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415  not every Python has it

    with atheris.instrument_imports(include=["deloc8"]):
        from kit.fuzzing import TARGETS  # noqa: PLC0415
    work = WORK / name
    work.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={int(seconds)}", f"-timeout={HANG}", f"-rss_limit_mb={MOST_MEMORY}"]
    options += [f"-max_len={LARGEST}", "-print_final_stats=1", f"-artifact_prefix={WORK}/{name}-failed-"]
    atheris.Setup(
        [sys.argv[0], *options, str(work), str(CORPUS / name)], limited(warmed(TARGETS[name], corpus_of(name)))
    )
    atheris.Fuzz()


def keep(name: str) -> None:
    """Put the smallest inputs that reach all known paths into the repository, as far as they are few."""
    import atheris  # noqa: PLC0415  as above

    with atheris.instrument_imports(include=["deloc8"]):
        from kit.fuzzing import TARGETS, seeds  # noqa: PLC0415
    target = CORPUS / name
    target.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()[name]):
        (target / f"seed-{number:02}").write_bytes(data)
    merged = WORK / f"{name}-merged"
    merged.mkdir(parents=True, exist_ok=True)
    (WORK / name).mkdir(exist_ok=True)
    atheris.Setup([sys.argv[0], "-merge=1", str(merged), str(target), str(WORK / name)], TARGETS[name])
    atheris.Fuzz()


def report(name: str, engine: str, seconds: float, seed: int) -> bool:
    """Run one target in a process of its own and tell what came of it; whether it held."""
    command = [sys.executable, __file__, name, "--child", engine, "--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    count = re.search(r"executed (\d+)|number_of_executed_units: +(\d+)", said)
    peak = re.search(r"peak (\d+)|peak_rss_mb: +(\d+)", said)
    held = done.returncode == 0 and count is not None
    numbers = [next(filter(None, found.groups())) if found else "?" for found in (count, peak)]
    told = "held" if held else "FAILED"
    print(f"{name:8} {engine:8} {numbers[0]:>10} inputs, at most {numbers[1]:>4} MiB: {told}", flush=True)
    if not held:
        print(said[-6000:])
    return held


def main() -> int:
    """The exit code: 1 where an input failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of the engine `mutate`")
    parser.add_argument("--engine", choices=["atheris", "mutate"])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--child", choices=["atheris", "mutate", "keep"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "mutate":
        return run_mutating(options.targets[0], options.seconds, options.seed)
    if options.child == "atheris":
        run_atheris(options.targets[0], options.seconds)
    if options.child == "keep":
        keep(options.targets[0])
    engine = options.engine or ("atheris" if find_spec("atheris") else "mutate")
    if find_spec("atheris") is None:
        print("atheris is not installed (PyPI: atheris): the inputs are changed at random")
    names = options.targets or NAMES
    if options.keep:
        for name in names:
            subprocess.run([sys.executable, __file__, name, "--child", "keep"], check=True)
            kept = sorted((WORK / f"{name}-merged").iterdir(), key=lambda path: path.stat().st_size)[:KEPT]
            for path in kept:
                (CORPUS / name / path.name).write_bytes(path.read_bytes())
    held = [report(name, engine, options.seconds, options.seed) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
