"""deloc8 and auditwheel side by side, on a folder of wheels.

    python tools/compare.py FOLDER [--repair MACHINE,...] [--cache DIR] [--fresh]

`make compare WHEELS=FOLDER` calls it.

One row a wheel: the overall tag of `show`, the libraries that the best policy does not take from the system, the
platform part of the name that `fixup` and `repair` give the wheel, and the libraries they graft. Where the two differ,
a cell says `deloc8's | auditwheel's`, and the row is marked: `~` when a rule below explains every difference (its name
stands in the next line, its reason in docs/differences.md), `!` when none does. Wheels are repaired where their machine
is among those of --repair; `all` means every one. The exit code is 1 when a difference is not explained.

Both are run as their users run them, on two wheels at a time. Answers are kept in .cache/compare, or in DIR, by the
wheel's sha256, and asked for anew when deloc8's sources, auditwheel's version or the system's libraries
(/etc/ld.so.cache) have changed; `--fresh` forgets them. `fetch_wheels.py` downloads a collection of published wheels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_rules import NO_ELF, Answer, Case, explain, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
THREADS = 2
TIME_LIMIT = 900
FIELDS = ("tag", "libraries", "name", "grafts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One of the two.

    Attributes:
        name: Its name.
        state: What its answers depend on beside the wheel.
        show: The command that describes a wheel, without the wheel.
        repair: The command that repairs a wheel, without the wheel and the folder.
    """

    name: str
    state: str
    show: tuple[str, ...]
    repair: tuple[str, ...]


def tools() -> tuple[Tool, Tool]:
    """deloc8 and auditwheel, both beside this Python."""
    cache = Path("/etc/ld.so.cache")
    system = hashlib.sha256(cache.read_bytes()).hexdigest() if cache.exists() else ""
    ours = (sys.executable, "-m", "deloc8")
    theirs = str(PROGRAMS / "auditwheel")
    return (
        Tool(
            name="deloc8",
            state=_sources() + system,
            show=(*ours, "show", "--format", "json", "--allow-pure-python-wheel"),
            repair=(*ours, "fixup", "-w"),
        ),
        Tool(
            name="auditwheel",
            state=version("auditwheel") + system,
            show=(theirs, "show", "--json", "--allow-pure-python-wheel"),
            repair=(theirs, "repair", "--plat", "auto", "-w"),
        ),
    )


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted((TOP / "src").rglob("*")):
        if path.suffix in {".py", ".json"}:
            digest.update(str(path.relative_to(TOP)).encode() + path.read_bytes())
    return digest.hexdigest()


def _run(command: Sequence[str]) -> dict[str, Any]:
    """What a command says, how it ends and what it costs: wall and cpu seconds, its children's included."""
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PYTHONPATH": str(TOP / "src")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(["timeout", str(TIME_LIMIT), *command], stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        return {
            "exit": process.returncode,
            "out": out.read().decode(errors="replace"),
            "err": err.read().decode(errors="replace"),
            "wall": round(wall, 3),
            "cpu": round(usage.ru_utime + usage.ru_stime, 3),
        }


def ask(tool: Tool, wheel: Path, place: Path, *, repair: bool) -> dict[str, Any]:
    """What a tool answers to a wheel: its `show`, and its `repair` if that is wanted; kept in a file at `place`."""
    kept: dict[str, Any] = {}
    if place.exists():
        kept = json.loads(place.read_text("utf-8"))
    if kept.get("state") != [tool.state, wheel.name]:
        kept = {"state": [tool.state, wheel.name], "show": _show(tool, wheel)}
    if repair and "repair" not in kept:
        kept["repair"] = _repair(tool, wheel)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(kept), "utf-8")
    return kept


def _show(tool: Tool, wheel: Path) -> dict[str, Any]:
    done = _run([*tool.show, str(wheel)])
    try:
        value = json.loads(done.pop("out"))
    except ValueError:
        value = None
    return {**done, "value": value}


def _repair(tool: Tool, wheel: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        done = _run([*tool.repair, folder, str(wheel)])
        written = list(Path(folder).glob("*.whl"))
        if done["exit"] or len(written) != 1:
            return {**done, "name": None, "grafts": []}
        grafts = sorted(_members(written[0]) - _members(wheel))
        return {
            **done,
            "name": written[0].name,
            "grafts": [name for name in grafts if ".libs/" in name and name[-1] != "/"],
        }


def _members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def our_answer(kept: dict[str, Any]) -> Answer:
    """What deloc8 says."""
    value = kept["show"]["value"]
    if value is None or "error" in value["wheels"][0]:
        code = value["wheels"][0]["error"]["code"] if value else "no answer"
        return Answer(tag=f"error: {code}", raw={"err": kept["show"]["err"]}, repair=kept.get("repair"))
    shown = value["wheels"][0]
    if shown["pure"]:
        return Answer(tag="pure", raw=shown, repair=kept.get("repair"))
    libraries = tuple(shown["policies"][0]["libraries_to_graft"])
    return Answer(tag=shown["overall_tag"], libraries=libraries, raw=shown, repair=kept.get("repair"))


def their_answer(kept: dict[str, Any]) -> Answer:
    """What auditwheel says."""
    shown = kept["show"]["value"]
    if shown is None:
        last = kept["show"]["err"].strip().splitlines()[-1:]
        return Answer(tag=f"error: {''.join(last)[:60]}", raw={"err": kept["show"]["err"]}, repair=kept.get("repair"))
    if shown.get("pure") or "error" in shown:
        return Answer(tag="pure" if shown.get("pure") else NO_ELF, raw=shown, repair=kept.get("repair"))
    libraries = tuple(sorted(shown["external_libs"]))
    return Answer(tag=shown["overall_tag"], libraries=libraries, raw=shown, repair=kept.get("repair"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One wheel, compared.

    Attributes:
        case: The wheel with both answers.
        differences: For each field that differs: the rule that explains it, or None.
    """

    case: Case
    differences: dict[str, str | None]

    @property
    def mark(self) -> str:
        """How the row begins."""
        if not self.differences:
            return "="
        return "!" if None in self.differences.values() else "~"

    def text(self) -> str:
        """The row, and below it the rules."""
        cells = [self.mark, f"{self.case.wheel:<60}"]
        for name in FIELDS:
            if name in self.differences:
                cells.append(" | ".join(self.case.unlike(name)))
            else:
                cells.append(shorten(self.case.ours.cell(name)))
        lines = ["  ".join(cells)]
        for field, rule in self.differences.items():
            lines.append(f"      {field}: {rule or 'NOT EXPLAINED'}")
        return "\n".join(lines)


def compare(case: Case) -> Row:
    """A wheel with what differs, and why."""
    differences: dict[str, str | None] = {}
    for field in FIELDS:
        if getattr(case.ours, field) != getattr(case.theirs, field):
            differences[field] = explain(case, field)
    return Row(case=case, differences=differences)


_MACHINE = re.compile(r"(x86_64|i686|aarch64|armv7l|ppc64le|ppc64|s390x|riscv64|loongarch64|any)(?=[.]whl$)")


def machine_of(wheel: str) -> str:
    """The machine at the end of a wheel's name."""
    found = _MACHINE.search(wheel)
    return found[0] if found else "other"


def run(wheels: Sequence[Path], machines: Sequence[str], cache: Path) -> list[Row]:
    """The wheels, compared; those of some machines (or `all`) are repaired too."""
    ours, theirs = tools()

    def work(wheel: Path) -> Row:
        with wheel.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        repair = "all" in machines or machine_of(wheel.name) in machines
        places = [cache / tool.name / f"{digest.hexdigest()}.json" for tool in (ours, theirs)]
        answers = [ask(tool, wheel, place, repair=repair) for tool, place in zip((ours, theirs), places, strict=True)]
        return compare(Case(wheel=wheel.name, ours=our_answer(answers[0]), theirs=their_answer(answers[1])))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, wheels))


def summary(rows: Sequence[Row]) -> str:
    """How many wheels agree and differ, by machine and by rule."""
    marks = Counter(row.mark for row in rows)
    total = f"{len(rows)} wheels: {marks['=']} equal, {marks['~']} explained, {marks['!']} not explained"
    machines = Counter(machine_of(row.case.wheel) for row in rows)
    rules = Counter(rule or "NOT EXPLAINED" for row in rows for rule in row.differences.values())
    lines = ["", total, "machines: " + ", ".join(f"{name} {count}" for name, count in sorted(machines.items()))]
    lines += [f"  {count:4} {rule}" for rule, count in sorted(rules.items())]
    return "\n".join(lines)


def main() -> int:
    """The exit code: 1 when a difference is not explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--repair", default="x86_64,i686", metavar="MACHINE,...")
    parser.add_argument("--cache", type=Path, default=TOP / ".cache" / "compare", metavar="DIR")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    wheels = sorted(options.folder.glob("*.whl"))
    if not wheels:
        parser.error(f"there are no wheels in {options.folder}")
    if options.fresh:
        shutil.rmtree(options.cache, ignore_errors=True)
    rows = run(wheels, options.repair.split(","), options.cache)
    print("\n".join(row.text() for row in rows))
    print(summary(rows))
    return 1 if any(row.mark == "!" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
