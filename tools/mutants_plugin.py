"""A plugin of pytest: makes changes of the code one at a time, each in a fork, and runs the tests that see it.

    pytest -p mutants_plugin --mutants FILE --mutants-report FILE TESTS

First every test runs once, unchanged, and must pass; coverage.py tells which lines it runs. Then for each change of
FILE (JSON: module and changed source) a fork of this process gets the changed functions, and runs the tests that ran
one of their changed lines, the quickest first. A line of JSON in the report gives the number of a change and what came
of it: `noticed`, `left`, or `elsewhere` where a fork is too late: what runs on import has changed, or what an object
keeps (cached_property).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2
IMPORTED = """
import coverage, importlib, json, pathlib, sys
watcher = coverage.Coverage(data_file=None, source=["src/deloc8"], config_file=False)
watcher.start()
for path in sorted(pathlib.Path("src/deloc8").rglob("*.py")):
    if path.name != "__main__.py":
        importlib.import_module(".".join(path.with_suffix("").parts[1:]))
watcher.stop()
data = watcher.get_data()
print(json.dumps({name: data.lines(name) for name in data.measured_files()}))
"""
NOTICED = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two files, and a bound."""
    parser.addoption("--mutants", type=Path)
    parser.addoption("--mutants-report", type=Path)
    parser.addoption("--mutants-seconds", type=int, default=120, help="for the tests of one change")


@dataclass(slots=True)
class Change:
    """One change, with the functions that differ, by name and line; None where it is more than functions."""

    number: int
    module: str
    source: str
    functions: dict[tuple[str, int], CodeType] | None
    lines: set[int]


@dataclass(slots=True)
class Seen:
    """What the unchanged run showed: which tests ran a line, and how long each takes."""

    tests: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def own(code: CodeType) -> CodeType:
    """A code object without those inside it, and without columns, which differ where what is inside is longer."""
    consts = tuple(None if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_consts=consts, co_linetable=b"")


def inner(code: CodeType) -> Iterator[CodeType]:
    """The code objects inside one."""
    return (one for one in code.co_consts if isinstance(one, CodeType))


def is_function(code: CodeType) -> bool:
    """Whether it is the body of a function; a class's and a module's run on import."""
    return bool(code.co_flags & 2)  # CO_NEWLOCALS, which class bodies lack


def changed_functions(before: CodeType, after: CodeType) -> dict[tuple[str, int], CodeType] | None:
    """The outermost functions that differ; None where what runs on import differs."""
    if own(before) != own(after):
        return None
    pairs = list(zip(inner(before), inner(after), strict=True))
    found: dict[tuple[str, int], CodeType] = {}
    for one, other in pairs:
        if one == other:
            continue
        if is_function(one):
            found[one.co_name, one.co_firstlineno] = other
        elif (deeper := changed_functions(one, other)) is None:
            return None
        else:
            found |= deeper
    return found


def changed_lines(before: str, after: str) -> set[int]:
    """The lines of the source before, counted from 1, that differ; and the ones around them, in one statement."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) != len(new):
        return set(range(1, len(old) + 1))
    return {number for number, (one, other) in enumerate(zip(old, new, strict=True), 1) if one != other}


def body_lines(change: Change) -> set[int]:
    """The lines of the changed functions, without the line of `def`, which runs on import anyway."""
    codes = list((change.functions or {}).values())
    found: set[int] = set()
    while codes:
        code = codes.pop()
        found.update(line for _, _, line in code.co_lines() if line and line != code.co_firstlineno)
        codes += inner(code)
    return found


def read_changes(path: Path) -> list[Change]:
    """The changes, each compiled."""
    changes: list[Change] = []
    for number, row in enumerate(json.loads(path.read_text("utf-8"))):
        place = Path(row["module"]).resolve()
        before = place.read_text("utf-8")
        codes = [compile(source, str(place), "exec", dont_inherit=True) for source in (before, row["source"])]
        functions = changed_functions(*codes)
        changes.append(Change(number, str(place), row["source"], functions, changed_lines(before, row["source"])))
    return changes


def run(item: pytest.Item) -> None:
    """Run a test; what is made once for the session stays."""
    # pytest asks the next test for nothing else, and takes down what that one does not stand on.
    following: Any = SimpleNamespace(listchain=lambda: [item.session])
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def caches() -> list[Any]:
    """What remembers results in the modules of deloc8 that are loaded."""
    modules = [module for name, module in sys.modules.items() if name.startswith("deloc8.")]
    return [one for module in modules for one in list(vars(module).values()) if hasattr(one, "cache_clear")]


def run_on_import() -> set[tuple[str, int]]:
    """The lines of deloc8 that run when it is imported: file and number."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    return {(file, line) for file, lines in json.loads(done.stdout).items() for line in lines}


def watch(session: pytest.Session) -> Seen:
    """Run each test once, and see what it runs."""
    seen = Seen()
    watcher = coverage.Coverage(data_file=None, source=["src/deloc8"], config_file=False, branch=False)
    watcher.start()
    for item in session.items:
        # Or a line that fills a cache would be known to the first test alone that needs it.
        for cache in caches():
            cache.cache_clear()
        watcher.switch_context(item.nodeid)
        begin = time.monotonic()
        run(item)
        seen.seconds[item.nodeid] = time.monotonic() - begin
        if session.testsfailed:
            raise pytest.UsageError(f"{item.nodeid} fails without a change")
    watcher.stop()
    data = watcher.get_data()
    for file in data.measured_files():
        for line, names in data.contexts_by_lineno(file).items():
            seen.tests[file, line] = set(names)
    return seen


def tests_for(change: Change, seen: Seen) -> set[str]:
    """The tests that ran a changed line; those of a function's lines where the line itself is not counted."""
    found = set[str]().union(*(seen.tests.get((change.module, line), ()) for line in change.lines))
    for code in (change.functions or {}).values():
        # A line inside a statement of several lines is counted by its first one.
        if not found:
            lines = {line for _, _, line in code.co_lines() if line}
            found = found.union(*(seen.tests.get((change.module, line), ()) for line in lines))
    return found


def place_of(function: FunctionType) -> tuple[str, str, int]:
    """File, name and line of a function."""
    return function.__code__.co_filename, function.__code__.co_name, function.__code__.co_firstlineno


@dataclass(frozen=True, slots=True)
class Loaded:
    """The functions of this process, by file, name and line, and those whose results are kept in objects."""

    functions: dict[tuple[str, str, int], list[FunctionType]]
    kept: frozenset[tuple[str, str, int]]

    @classmethod
    def now(cls) -> Loaded:
        """Those of deloc8 that the tests have loaded."""
        functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        kept = set()
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                functions.setdefault(place_of(one), []).append(one)
            elif isinstance(one, cached_property) and isinstance(one.func, FunctionType):
                kept.add(place_of(one.func))
        return cls(functions, frozenset(kept))

    def apply(self, change: Change) -> bool:
        """Give the functions of this process the changed code; whether all of them are there."""
        for (name, line), code in (change.functions or {}).items():
            found = self.functions.get((change.module, name, line))
            if not found or (change.module, name, line) in self.kept:
                return False
            for function in found:
                function.__code__ = code
        # What an unchanged function has found before would hide the change.
        for cache in caches():
            cache.cache_clear()
        return True


def run_changed(session: pytest.Session, loaded: Loaded, change: Change, items: list[pytest.Item]) -> int:
    """In a fork: the exit code, 1 where a test notices."""
    signal.alarm(session.config.option.mutants_seconds)
    session.config.pluginmanager.unregister(name="terminalreporter")
    if not loaded.apply(change):
        return 2
    for item in items:
        run(item)
        if session.testsfailed:
            return NOTICED
    return 0


@dataclass(slots=True)
class Pool:
    """The forks at work."""

    session: pytest.Session
    loaded: Loaded
    report: Any
    at_work: dict[int, int] = field(default_factory=dict)

    def start(self, change: Change, items: list[pytest.Item]) -> None:
        """Begin with a change as soon as there is room."""
        while len(self.at_work) >= WORKERS:
            self.wait()
        if child := os.fork():
            self.at_work[child] = change.number
            return
        code = 3
        try:
            code = run_changed(self.session, self.loaded, change, items)
        except BaseException:  # noqa: BLE001  a change may do anything, and it is noticed
            code = NOTICED
        finally:
            os._exit(code)

    def wait(self) -> None:
        """Take one that is done."""
        child, status = os.wait()
        if child in self.at_work:
            code = os.waitstatus_to_exitcode(status)
            # One that dies of a signal hung, or fell.
            self.say(self.at_work.pop(child), {0: "left", 2: "elsewhere"}.get(code, "noticed"))

    def say(self, number: int, outcome: str) -> None:
        """Write what came of a change."""
        print(json.dumps([number, outcome]), file=self.report, flush=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """The tests unchanged, then each change."""
    options = session.config.option
    changes = read_changes(options.mutants)
    seen = watch(session)
    loaded, early = Loaded.now(), run_on_import()
    sys.stdout.flush()
    with options.mutants_report.open("a", encoding="utf-8") as report:
        pool = Pool(session, loaded, report)
        for change in changes:
            names = tests_for(change, seen)
            if not change.functions or any((change.module, line) in early for line in body_lines(change)):
                pool.say(change.number, "elsewhere")
                continue
            items = [one for one in session.items if one.nodeid in names]
            items.sort(key=lambda one: seen.seconds[one.nodeid])
            pool.start(change, items)
        while pool.at_work:
            pool.wait()
    return True
