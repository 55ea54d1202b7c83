"""tools/mutants.py: which changes count, and which tests shall notice them."""

from __future__ import annotations

import importlib.util
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
    guarded = "if TYPE_CHECKING:\n    import a\n"
    assert not tool.is_another(guarded, guarded.replace("if", "if not"))


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
