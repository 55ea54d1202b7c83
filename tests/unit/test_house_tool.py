"""The tool that measures how the code is written."""

from __future__ import annotations

import ast
import importlib.util
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

MODULE = '''"""What it is: nobody knows."""

import os


def busy(values):  # a comment, and one that does not count below
    """Tells it.

    More.
    """
    import re

    x = [value for value in values if value]  # noqa: E501
    if x and values or os:
        return re
    return 1 if x else 2


class Empty:
    """Nothing."""
'''


@pytest.fixture(scope="module")
def house(top: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", top / "tools" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("body", "branches"),
    [
        ("pass", 1),
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("for a in b: pass", 2),
        ("while a: pass", 2),
        ("return a and b and c or d", 4),
        ("return a if b else c", 2),
        ("return [a for b in c for a in b if a if b]", 5),
        ("try: pass\n except A: pass\n except B: pass", 3),
        ("assert a", 2),
        ("match a:\n  case 1: pass\n  case _: pass", 3),
        ("def g():\n  if a: pass", 2),
    ],
)
def test_each_kind_of_branch_is_counted(house: ModuleType, body: str, branches: int) -> None:
    assert house.branches_of(ast.parse(f"def f():\n {body}").body[0]) == branches


def test_a_module_is_measured(house: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(MODULE + f"VALUE = '{'x' * 100}'\n")
    module = house.read_module(path, "module.py")
    assert module.functions == [house.Function(name="busy", branches=7, lines=6)]
    assert round(module.density, 1) == 116.7
    assert (module.comments, module.long_lines, module.comprehensions, module.inner_imports) == (1, 1, 1, 1)
    assert (module.relative_docstrings, module.overused_words) == (2, 2)


def test_a_figure_that_has_become_worse_is_an_error(house: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(MODULE)
    modules = house.read_modules(tmp_path)
    limits = house.read_limits(house.limits_text(modules))
    assert house.compare(modules, limits).worse == []
    for name in limits["whole"]:
        stricter = {**limits, "whole": {**limits["whole"], name: limits["whole"][name] - 1}}
        (worse,) = house.compare(modules, stricter).worse
        assert worse.startswith(name)


def test_a_dense_module_and_a_function_with_many_branches_are_errors(house: ModuleType, tmp_path: Path) -> None:
    lines = "\n".join(f"    if values[{number}]: return {number}" for number in range(13))
    (tmp_path / "a.py").write_text(f"def f(values):\n{lines}\n")
    modules = house.read_modules(tmp_path)
    limits = house.read_limits(house.limits_text(modules))
    assert (limits["modules"], limits["functions"]) == ({"a.py": 107.7}, {"a.py:f": 14})
    worse = house.compare(modules, {**limits, "modules": {}, "functions": {}}).worse
    assert worse == ["a.py: branches for 100 lines: 107.7, allowed are 40", "a.py:f: branches: 14, allowed are 12"]


def test_limits_are_written_anew_only_where_nothing_is_worse(
    house: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "src" / "deloc8"
    source.mkdir(parents=True)
    (source / "a.py").write_text(MODULE)
    limits = tmp_path / "house.toml"
    monkeypatch.setattr(house, "TOP", tmp_path)
    monkeypatch.setattr(house, "LIMITS", limits)
    assert house.main([str(source), "--write", "--modules", "--functions"]) == 0
    first = limits.read_text()
    (source / "b.py").write_text(MODULE)
    assert house.main([str(source), "--write"]) == 1
    assert "worse: docstrings that begin" in capsys.readouterr().err
    assert limits.read_text() == first
    (source / "b.py").unlink()
    (source / "a.py").write_text(MODULE.replace("Nothing.", "Empty."))
    assert house.main([str(source), "--write"]) == 0
    assert limits.read_text() != first
    assert house.main([str(tmp_path)]) == 0
