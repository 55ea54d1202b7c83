"""Changes the code at random places, one at a time, and tells which changes no test notices.

    python tools/mutants.py [--count N] [--seed N] [MODULE ...]        (`make mutants COUNT=N` calls it)

Needs cosmic-ray (PyPI), which knows the changes: an operator, a number or a word for another. The modules are those of
src/deloc8/elf and src/deloc8/repair where none is named. All happens in a copy in build/mutants: the tests of the
module run first, then those of its package. What is left is printed as a line before and after the change; the exit
code is 1 where anything is.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
WORK = TOP / "build" / "mutants"
PACKAGES = ("elf", "repair")
LONGEST = 600  # seconds for the tests of one change
# Two operators of which one is never meant for the other are no likely mistake: `+` for `<<`, `is` for `<`.
UNLIKELY = re.compile(
    r"ReplaceBinaryOperator_(Add|Sub|Mul|FloorDiv|Div|Mod|BitAnd|BitOr|BitXor|LShift|RShift|Pow)_"
    r"(?!Sub|Add|Mul|BitAnd|BitOr|LShift|RShift)|_Is$|_IsNot$|RemoveDecorator|ReplaceComparisonOperator_Is"
)
# The tests of modules that have no file of their own.
TESTS = {
    **dict.fromkeys(("rebind", "bindings", "relocations"), ("version_edits",)),
    "layout": ("layout", "version_edits", "slots"),
    "plan": ("plan", "tags", "lowering"),
    "grafting": ("grafting", "execute"),
    "verify": ("verify", "sabotage"),
}


class Mutant(NamedTuple):
    """One change: the module, below the top folder, its source with the change, and the lines that differ."""

    module: str
    source: str
    lines: tuple[str, ...]


class _WithoutTypes(ast.NodeTransformer):
    """Takes out what only a type checker reads."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        self.generic_visit(node)
        node.annotation = ast.Constant(0)
        return node

    def visit_If(self, node: ast.If) -> ast.If | None:
        if any(isinstance(part, ast.Name) and part.id == "TYPE_CHECKING" for part in ast.walk(node.test)):
            return None
        self.generic_visit(node)
        return node


def meaning(source: str) -> str:
    """What a source says to the interpreter; the same for two that differ in types alone."""
    return ast.dump(_WithoutTypes().visit(ast.parse(source)))


def is_another(source: str, changed: str) -> bool:
    """Whether a change gives another program; what cannot be parsed is none."""
    try:
        return meaning(changed) != meaning(source)
    except SyntaxError:
        return False


def changed_lines(before: str, after: str) -> tuple[str, ...]:
    """The lines that differ, each behind - or +."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return tuple(line for line in lines if line[:1] in {"-", "+"} and line[:3] not in {"---", "+++"})


def mutants_of(module: Path, chance: random.Random, count: int) -> list[Mutant]:
    """Some changes of a module, drawn at random."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path  # noqa: PLC0415  not everyone has it
    from cosmic_ray.mutating import mutate_code  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator, operator_names  # noqa: PLC0415

    tree, source = get_ast_from_path(module), module.read_text("utf-8")
    kinds = [get_operator(name) for name in sorted(operator_names()) if not UNLIKELY.search(name)]
    operators = [kind() for kind in kinds if not kind.arguments()]
    places = [
        (operator, number)
        for operator in operators
        for number, _ in enumerate([place for node in ast_nodes(tree) for place in operator.mutation_positions(node)])
    ]
    chance.shuffle(places)
    found: list[Mutant] = []
    for operator, number in places:
        if len(found) == count:
            break
        changed = mutate_code(source, operator, number)
        if changed is not None and is_another(source, changed):
            name = module.relative_to(TOP).as_posix()
            found.append(Mutant(name, changed, changed_lines(source, changed)))
    return found


def tests_of(module: str, folder: Path) -> list[list[str]]:
    """The tests that shall notice a change of a module, in the order in which they run."""
    package, name = Path(module).parts[2], Path(module).stem
    unit = f"tests/unit/{package}"
    own = [f"{unit}/test_{test}.py" for test in TESTS.get(name, (name,))]
    first = [path for path in own if (folder / path).exists()]
    more = ["tests/property/test_editor.py", "tests/property/test_reader.py"] if package == "elf" else []
    return [*([first] if first else []), [unit, "tests/unit/test_values.py"], *([more] if more else [])]


def is_noticed(mutant: Mutant, folder: Path) -> bool:
    """Whether a test in a copy of the repository fails once a change is made there."""
    path = folder / mutant.module
    original = path.read_text("utf-8")
    environ = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    path.write_text(mutant.source, "utf-8")
    try:
        for tests in tests_of(mutant.module, folder):
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
            done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False, timeout=LONGEST)
            if done.returncode:
                return True
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(original, "utf-8")
    return False


def copy() -> Path:
    """A fresh copy of what the tests need."""
    shutil.rmtree(WORK, ignore_errors=True)
    leave_out = shutil.ignore_patterns("__pycache__", ".*", "build", "dist")
    shutil.copytree(TOP, WORK, ignore=leave_out, symlinks=True)
    return WORK


def main() -> int:
    """The exit code: 1 where a change went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", type=Path, metavar="MODULE")
    parser.add_argument("--count", type=int, default=4, help="how many changes of each module")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if find_spec("cosmic_ray") is None:
        parser.error("cosmic-ray is not installed: call `make mutants`")
    named = [path.resolve() for path in options.modules]
    modules = named or [p for name in PACKAGES for p in sorted((TOP / "src" / "deloc8" / name).rglob("*.py"))]
    folder, chance = copy(), random.Random(options.seed)  # noqa: S311  no secret
    mutants = [mutant for module in modules for mutant in mutants_of(module, chance, options.count)]
    left = 0
    for mutant in mutants:
        if not is_noticed(mutant, folder):
            left += 1
            print("\n".join((f"{mutant.module}: no test notices", *mutant.lines)), flush=True)
    print(f"{len(mutants)} changes, {len(mutants) - left} of them noticed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
