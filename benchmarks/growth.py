"""How the cost of deloc8 grows with the size of a wheel, and with the number of wheels."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from statistics import linear_regression
from typing import TYPE_CHECKING

from material import in_child, packed, synthetic
from measure import FailedError, Sample, in_turn, measure, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

GROWTH_HEAD = ("", "cpu s", "wall s", "peak MB", "disk MB", "by size")
MANY_HEAD = ("", "cpu s", "wall s", "peak MB", "disk MB", "wall: ratio")
MEMBERS = (1_000, 3_000, 10_000, 30_000, 75_000)
MEGABYTES = (20, 60, 200, 600, 2_000)
POINTERS = (20_000, 60_000, 200_000, 600_000, 2_000_000)
QUICK_SIZES = 3
LOWER = ("fixup", "--plat", "manylinux_2_17_x86_64", "--lower-glibc", "-w", "{folder}")
MANY = 100  # wheels in a folder


def growth(cache: Path, deloc8: str, *, quick: bool, rounds: int) -> Iterator[tuple[str, ...]]:
    """The lines of the second table: wheels of growing size, and below each curve how it grows."""
    last = QUICK_SIZES if quick else None
    wheels = {}
    for count in MEMBERS[:last]:
        wheels[count], _ = in_child(partial(synthetic, cache, elf_bytes=50_000, files=count))
    curve = measure_growth(wheels, deloc8, rounds)
    for count, sample in curve:
        yield grown(f"show {count:,} members", count, sample, "us of cpu for a member")
    yield slope("members", curve)
    wheels = {}
    for megabytes in MEGABYTES[:last]:
        pieces = max(1, megabytes // 100)
        size = megabytes * 1_000_000
        wheels[megabytes * 1000], _ = in_child(partial(synthetic, cache, elf_bytes=size, files=10, elf_files=pieces))
    curve = measure_growth(wheels, deloc8, rounds)
    for kilobytes, sample in curve:
        yield grown(f"show {kilobytes // 1000:,} MB of ELF", kilobytes, sample, "us of cpu for a kB")
    yield slope("bytes of ELF", curve)
    wheels = {count: in_child(partial(packed, cache, count)) for count in POINTERS[:last]}
    curve = measure_growth(wheels, deloc8, rounds, LOWER)
    for count, sample in curve:
        yield grown(f"lower {count:,} packed", count, sample, "us of cpu for a relocation")
    yield slope("packed relocations", curve)


def measure_growth(
    wheels: Mapping[int, Path], deloc8: str, rounds: int, words: Sequence[str] = ("show",)
) -> list[tuple[int, Sample]]:
    """The medians of a command for wheels of several sizes."""
    measures = {
        str(size): partial(measure, (deloc8, *words, str(path)), {}, writes="{folder}" in words)
        for size, path in wheels.items()
    }
    return list(zip(wheels, in_turn(measures, rounds).values(), strict=True))


def grown(title: str, count: int, sample: Sample, unit: str) -> tuple[str, ...]:
    """One line of the second table."""
    return (title, *figures(sample), f"{1e6 * sample.cpu / count:.2f} {unit}")


def figures(sample: Sample) -> tuple[str, ...]:
    """The cells that the tables of one tool have in common."""
    return (f"{sample.cpu:.3f}", f"{sample.wall:.3f}", f"{sample.peak:.0f}", f"{sample.disk:.1f}")


def slope(title: str, curve: Sequence[tuple[int, Sample]]) -> tuple[str, ...]:
    """How much each size costs, by a straight line through all, and how far the worst point is off.

    The line is the one of least squares where a second counts for the less the larger the size is, or the largest one
    alone would say where it goes: that of `cost / size` over `1 / size`.
    """
    sizes, costs = [count for count, _ in curve], [sample.cpu for _, sample in curve]
    pairs = list(zip(sizes, costs, strict=True))
    each, start = linear_regression([1 / size for size in sizes], [cost / size for size, cost in pairs])[::-1]
    off = max(abs(each * size + start - cost) / cost for size, cost in pairs)
    largest, before = curve[-1], curve[-2]
    step = largest[0] / before[0]
    words = f"last step: size {step:.2f} times, cpu {largest[1].cpu / before[1].cpu:.2f}"
    peak = f"peak {largest[1].peak / before[1].peak:.2f}"
    return (
        f"growth with {title}",
        *("",) * 4,
        f"{words}, {peak}; start {start:.3f} s, {1e6 * each:.2f} us each, worst point {off:.0%} off",
    )


def many(cache: Path, deloc8: str, *, quick: bool) -> Iterator[tuple[str, ...]]:
    """The lines of the fourth table: a folder of wheels, with one process and with all processors.

    Raises:
        FailedError: The two did not say the same.
    """
    material = []
    for number in range(MANY):
        path, _ = in_child(partial(synthetic, cache, elf_bytes=500_000 + number, files=50, elf_files=5))
        material.append(str(path))
    for command in ("show", "check"):
        commands = {
            f"-j{jobs}": (deloc8, command, *material, "--format", "json", "-j", str(jobs))
            for jobs in sorted({1, os.cpu_count() or 1})
        }
        done = [subprocess.run(words, capture_output=True, check=False) for words in commands.values()]
        if len({(process.returncode, process.stdout) for process in done}) > 1:
            raise FailedError(f"{command} of {MANY} wheels: with one process it says something else")
        measures = {
            option: partial(measure, words, {}, writes=False, code=done[0].returncode)
            for option, words in commands.items()
        }
        found = in_turn(measures, 1 if quick else 3)
        for option, sample in found.items():
            yield (f"{command} {MANY} wheels, {option}", *figures(sample), ratio(found["-j1"].wall, sample.wall))
