"""Changes the code, one place at a time, and tells which changes no test notices.

    python tools/mutants.py [--count N | --all] [--seed N] [MODULE ...]        (`make mutants COUNT=N` calls it)

Needs cosmic-ray (PyPI), which knows the changes: an operator, a number or a word for another. The modules are those of
src/deloc8/elf and src/deloc8/repair where none is named; of each N changes are drawn at random, or each place is
changed in the ways of OPPOSITE. All happens in copies in build. A change inside of functions is made in a fork of one
run of pytest (mutants_plugin.py), any other in the file, for which the tests of the module run first, then those of
its package.

What no test notices is printed as a line before and after the change, unless tools/mutants.json lists it with the
reason why no test must notice. Where every place of all modules was changed, what is listed there and was no such
change is printed too. The exit code is 1 where anything is printed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parent.parent
WORK = TOP / "build" / "mutants"
EXPLAINED = TOP / "tools" / "mutants.json"
PACKAGES = ("elf", "repair")
WORKERS = 2
ALL = sys.maxsize
LONGEST = 600  # seconds for the tests of one change
# Two operators of which one is never meant for the other are no likely mistake: `+` for `<<`, `is` for `<`.
UNLIKELY = re.compile(
    r"ReplaceBinaryOperator_(Add|Sub|Mul|FloorDiv|Div|Mod|BitAnd|BitOr|BitXor|LShift|RShift|Pow)_"
    r"(?!Sub|Add|Mul|BitAnd|BitOr|LShift|RShift)|_Is$|_IsNot$|RemoveDecorator|ReplaceComparisonOperator_Is"
)
# Of the operators that may stand for another, the one that is its opposite or its neighbour: what --all takes.
OPPOSITE = re.compile(
    r"^(?!core/Replace(Binary|Comparison|Unary)Operator)|Operator_(Add_Sub|Sub_Add|Mul_Add|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul|"
    r"BitAnd_BitOr|BitOr_BitAnd|BitXor_BitOr|LShift_RShift|RShift_LShift|Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|"
    r"Delete_Not|Delete_USub|Delete_Invert)$"
)
# The tests of modules that have no file of their own.
TESTS = {
    **dict.fromkeys(("rebind", "bindings", "relocations"), ("version_edits",)),
    "layout": ("layout", "version_edits", "slots"),
    "plan": ("plan", "tags", "lowering"),
    "grafting": ("grafting", "execute"),
    "verify": ("verify", "sabotage"),
    "editproof": ("editproof", "verify", "sabotage"),
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

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        return None if any(ast.unparse(target) == "TYPE_CHECKING" for target in node.targets) else node

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
    names = [name for name in sorted(operator_names()) if not UNLIKELY.search(name)]
    kinds = [get_operator(name) for name in names if count < ALL or OPPOSITE.search(name)]
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


def in_forks(mutants: list[Mutant], folder: Path) -> dict[int, str]:
    """What came of each change that can be made in a fork, by its number: noticed or left."""
    rows, report = folder / "mutants.rows", folder / "mutants.report"
    rows.write_text(json.dumps([{"module": one.module, "source": one.source} for one in mutants]), "utf-8")
    report.write_text("", "utf-8")
    tests = [f"tests/unit/{package}" for package in PACKAGES]
    tests += ["tests/unit/test_values.py", "tests/property/test_editor.py", "tests/property/test_reader.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "mutants_plugin"]
    command += ["--mutants", str(rows), "--mutants-report", str(report), *tests]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder / "src"), str(folder / "tools"))), "CI": "1"}
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.PIPE, check=True)
    outcomes = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {number: outcome for number, outcome in outcomes if outcome != "elsewhere"}


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


def whether_left(mutants: list[Mutant], outcomes: dict[int, str], folder: Path) -> Iterator[bool]:
    """Of each change whether no test notices; those that no fork could tell are tried in copies of the repository."""
    copies: Queue[Path] = Queue()
    for number in range(WORKERS):
        copies.put(folder if number == 0 else copy(f"{WORK.name}-{number}"))

    def try_one(number: int) -> bool:
        if number in outcomes:
            return outcomes[number] == "left"
        place = copies.get()
        try:
            return not is_noticed(mutants[number], place)
        finally:
            copies.put(place)

    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(try_one, range(len(mutants)))


def copy(name: str = WORK.name) -> Path:
    """A fresh copy of what the tests need, in build."""
    folder = WORK.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    leave_out = shutil.ignore_patterns("__pycache__", ".*", "build", "dist")
    shutil.copytree(TOP, folder, ignore=leave_out, symlinks=True)
    return folder


def explained() -> set[tuple[str, ...]]:
    """The changes that no test must notice: a module and the lines that differ."""
    reasons = json.loads(EXPLAINED.read_text("utf-8")) if EXPLAINED.exists() else {}
    return {tuple(change) for changes in reasons.values() for change in changes}


def main() -> int:
    """The exit code: 1 where a change went unnoticed, and nothing says why that is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", type=Path, metavar="MODULE")
    parser.add_argument("--count", type=int, default=4, help="how many changes of each module")
    parser.add_argument("--all", action="store_const", dest="count", const=ALL, help="every place")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if find_spec("cosmic_ray") is None:
        parser.error("cosmic-ray is not installed: call `make mutants`")
    named = [path.resolve() for path in options.modules]
    modules = named or [p for name in PACKAGES for p in sorted((TOP / "src" / "deloc8" / name).rglob("*.py"))]
    folder, chance = copy(), random.Random(options.seed)  # noqa: S311  no secret
    mutants = [mutant for module in modules for mutant in mutants_of(module, chance, options.count)]
    outcomes, known = in_forks(mutants, folder), explained()
    left = well = 0
    needless = set(known) if options.count == ALL and not named else set()
    for mutant, is_left in zip(mutants, whether_left(mutants, outcomes, folder), strict=True):
        change = (mutant.module, *mutant.lines)
        if is_left and change in known:
            well += 1
            needless.discard(change)
        elif is_left:
            left += 1
            print("\n".join((f"{mutant.module}: no test notices", *mutant.lines)), flush=True)
    for module, *lines in sorted(needless):
        print("\n".join((f"{module}: explained, but a test notices, or there is no such change", *lines)))
    print(f"{len(mutants)} changes: {len(mutants) - left - well} noticed, {well} explained, {left} left")
    return 1 if left or needless else 0


if __name__ == "__main__":
    sys.exit(main())
