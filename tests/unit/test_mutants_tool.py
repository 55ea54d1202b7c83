"""tools/mutants.py: which changes count, and which tests shall notice them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture(scope="module")
def tool(top: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", top / "tools" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


def test_types_alone_are_no_change(tool: ModuleType) -> None:
    source = "def f(a: int | None) -> int | None:\n    b: int | None = a\n    return b\n"
    assert not tool.is_another(source, source.replace("|", "+"))
    assert tool.is_another(source, source.replace("return b", "return a"))
    assert not tool.is_another(source, source.replace("return b", "return not ="))
    guarded = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import a\n"
    assert not tool.is_another(guarded, guarded.replace("if", "if not"))
    assert not tool.is_another(guarded, guarded.replace("False", "True"))
    assert tool.is_another("CHECKING = False\n", "CHECKING = True\n")


def test_the_lines_of_a_change(tool: ModuleType) -> None:
    assert tool.changed_lines("a\nb\nc\n", "a\nB\nc\n") == ("-b", "+B")


def test_a_change_is_noticed_or_not(tool: ModuleType, tmp_path: Path) -> None:
    module, tests = tmp_path / "src/deloc8/elf/one.py", tmp_path / "tests/unit/elf"
    module.parent.mkdir(parents=True)
    tests.mkdir(parents=True)
    module.write_text("NUMBER = 1\n")
    code = "import pathlib\n\ndef test():\n    assert '2' not in pathlib.Path('src/deloc8/elf/one.py').read_text()\n"
    (tests / "test_one.py").write_text(code)
    (tmp_path / "tests/unit/test_values.py").write_text("def test():\n    pass\n")
    for name in ("editor", "reader"):
        (tmp_path / f"tests/property/test_{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"tests/property/test_{name}.py").write_text("def test():\n    pass\n")
    assert tool.tests_of("src/deloc8/elf/one.py", tmp_path)[0] == ["tests/unit/elf/test_one.py"]
    for number, noticed in ((2, True), (3, False)):
        mutant = tool.Mutant("src/deloc8/elf/one.py", f"NUMBER = {number}\n", ())
        assert tool.is_noticed(mutant, tmp_path) is noticed
    assert module.read_text() == "NUMBER = 1\n"


SUMS = """LIMIT = 10

def twice(number: int) -> int:
    return 2 * number

def spare(number: int) -> int:
    return number + 1

class Sum:
    def small(self, number: int) -> bool:
        return number < LIMIT
"""
TESTS = """from deloc8.sums import Sum, spare, twice

def test_twice():
    assert twice(3) == 6

def test_all():
    assert spare(1) and Sum().small(9) and not Sum().small(10)
"""


CHANGES = [
    ("2 * number", "3 * number", "noticed"),
    ("number + 1", "number + 2", "left"),
    ("number < LIMIT", "number <= LIMIT", "noticed"),
    ("number < LIMIT", "number < LIMIT + 0", "left"),
    ("return 2 * number", "while 1: pass", "noticed"),
    ("LIMIT = 10", "LIMIT = 11", "elsewhere"),
    ("def twice(number: int)", "def twice(number: int = 1)", "elsewhere"),
]


def test_changes_in_forks(top: Path, tmp_path: Path) -> None:
    package = tmp_path / "src/deloc8"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sums.py").write_text(SUMS)
    (tmp_path / "test_sums.py").write_text(TESTS)
    rows, report = tmp_path / "rows", tmp_path / "report"
    changed = [{"module": "src/deloc8/sums.py", "source": SUMS.replace(old, new)} for old, new, _ in CHANGES]
    rows.write_text(json.dumps(changed))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "mutants_plugin"]
    command += ["--mutants", str(rows), "--mutants-report", str(report), "--mutants-seconds", "5", "test_sums.py"]
    path = os.pathsep.join((str(tmp_path / "src"), str(top / "tools")))
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True)
    outcomes = sorted(json.loads(line) for line in report.read_text().splitlines())
    assert outcomes == [[number, outcome] for number, (_, _, outcome) in enumerate(CHANGES)]
