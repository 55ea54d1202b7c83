"""Tries hostile inputs and faults on the command, from outside, and counts what is broken.

    PYTHONPATH=tests python tools/hostile.py [CLASS ...] [--deloc8 EXECUTABLE] [--costs] [--every N]

`make hostile` calls it. A class is a module `hostile_CLASS.py` beside this file whose `trials(folder)` yields the
trials of one kind of input; the first line of its docstring is its title in the table. Each trial runs the executable
as a stranger would, and says what is broken, if anything is. `--deloc8` names another installation, such as an older
one, for comparison; `--costs` prints cpu and the highest anonymous memory of each trial. The exit code is 1 where
something is broken.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hostile_kit import MEBIBYTE, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent


def classes() -> list[str]:
    """The names of all classes of trials."""
    found = (path.stem.removeprefix("hostile_") for path in HERE.glob("hostile_*.py"))
    return sorted(name for name in found if name != "kit")


def try_class(name: str, executable: str, *, costs: bool, every: int) -> tuple[int, int]:
    """Make the trials of a class, and print what is broken and the row of the class.

    Returns:
        How many were tried, and how many are broken.
    """
    module = importlib.import_module(f"hostile_{name}")
    title = (module.__doc__ or name).splitlines()[0].rstrip(".")
    tried = 0
    broken = 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for number, trial in enumerate(module.trials(Path(folder))):
            if number % every:
                continue
            tool = Tool(executable)
            problem = trial.judge(tool)
            tried += 1
            if problem is not None:
                broken += 1
                print(f"  {name}: {trial.name}: {problem}", flush=True)
            if costs and tool.runs:
                cpu = max(run.cpu for run in tool.runs)
                peak = max(run.peak for run in tool.runs)
                print(f"  {name}: {trial.name}: {cpu:.2f} s, {peak / MEBIBYTE:.0f} MiB", flush=True)
    print(f"| {title} | {tried:,} | {broken:,} |", flush=True)
    return tried, broken


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Try hostile inputs and faults on deloc8, from outside.")
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=f"of {', '.join(classes())} (default: all)")
    default = Path(sys.executable).with_name("deloc8")
    parser.add_argument("--deloc8", default=str(default), metavar="EXECUTABLE", help="default: the one beside Python")
    parser.add_argument("--costs", action="store_true", help="print cpu and memory of each trial")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try only one of N")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.classes) - set(classes()))
    if unknown:
        parser.error(f"no such class: {', '.join(unknown)}")
    print("| class | tried | broken |\n|---|--:|--:|", flush=True)
    broken = 0
    for name in arguments.classes or classes():
        broken += try_class(name, arguments.deloc8, costs=arguments.costs, every=arguments.every)[1]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
