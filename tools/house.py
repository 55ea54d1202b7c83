"""Measures how the code is written: density, length, comments, imports, words.

    python tools/house.py [FOLDER] [--modules] [--functions] [--write]

`make lint` calls it: what is worse than `tools/house.toml` allows is an error. The limits are what is reached; with
`--write` they are written anew where something has become better, never where it has become worse.

Branches are counted as CONTRIBUTING.md says: 1 for a function, and 1 for each `if`, loop, `and`, `or`, conditional
expression, clause of a comprehension, `except`, `assert` and `case` in it. The lines of its body count without its
docstring. Functions inside of others count for both.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TOP = Path(__file__).resolve().parent.parent
LIMITS = TOP / "tools" / "house.toml"
MOST_BRANCHES = 12  # of a function
DENSEST = 40.0  # branches of a module for 100 lines of its functions
LONGEST_LINE = 100
_ONE_BRANCH = (ast.If, ast.For, ast.While, ast.IfExp, ast.ExceptHandler, ast.Assert, ast.match_case)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NOT_FOR_READERS = ("# noqa", "# type:", "# pragma")
_OVERUSED = re.compile(
    r"\b(stands?|asks? for|asked for|tells?|told|nobody|everybody|bars?|barred|sick|comes? by|brought along|outlook"
    r"|travelling|beforehand|whereabouts|sets? free)\b",
    re.IGNORECASE,
)
"""Words for which CONTRIBUTING.md names better ones."""
_RELATIVE = re.compile(r"(What|Who|Whose|Nothing|Nobody|Everybody)\b")


@dataclass(frozen=True)
class Function:
    """One function: its name, its branches, and the lines of its body."""

    name: str
    branches: int
    lines: int


@dataclass(frozen=True)
class Module:
    """The counts of one module."""

    name: str
    functions: Sequence[Function]
    lines: int
    code: int
    comments: int
    long_lines: int
    comprehensions: int
    inner_imports: int
    relative_docstrings: int
    overused_words: int

    @property
    def density(self) -> float:
        """Branches for 100 lines of function bodies."""
        lines = sum(function.lines for function in self.functions)
        branches = sum(function.branches for function in self.functions)
        return 100 * branches / lines if lines else 0.0


@dataclass
class Problems:
    """Figures that are worse than their limit, and the limits that could be lower."""

    worse: list[str] = field(default_factory=list)
    better: list[str] = field(default_factory=list)

    def compare(self, name: str, figure: float, limit: float) -> None:
        """Note a figure that is not its limit; the lower the better."""
        if figure > limit:
            self.worse.append(f"{name}: {figure:g}, allowed are {limit:g}")
        if figure < limit:
            self.better.append(name)


def branches_of(function: ast.AST) -> int:
    """The branches of a function."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, _ONE_BRANCH):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
    return count


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    docstring = ast.get_docstring(node, clean=False)
    words = 0 if docstring is None else docstring.count("\n") + 1
    last = node.end_lineno or node.lineno
    lines = max(1, last - node.body[0].lineno + 1 - words)
    return Function(name=node.name, branches=branches_of(node), lines=lines)


def _comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token.string for token in tokens if token.type == tokenize.COMMENT)
    return [comment for comment in comments if not comment.startswith(_NOT_FOR_READERS)]


def read_module(path: Path, name: str) -> Module:
    """The counts of a module."""
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    functions = [node for node in nodes if isinstance(node, _FUNCTIONS)]
    imports = [
        inner
        for function in functions
        for inner in ast.walk(function)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    ]
    documented = [node for node in nodes if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Module))]
    docstrings = [ast.get_docstring(node) or "" for node in documented]
    comments = _comments(text)
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return Module(
        name=name,
        functions=[_function(node) for node in functions],
        lines=text.count("\n"),
        code=len(lines),
        comments=len(comments),
        long_lines=sum(len(line) > LONGEST_LINE for line in lines),
        comprehensions=sum(isinstance(node, _COMPREHENSIONS) for node in nodes),
        inner_imports=len(imports),
        relative_docstrings=sum(_RELATIVE.match(docstring) is not None for docstring in docstrings),
        overused_words=sum(len(_OVERUSED.findall(words)) for words in (*docstrings, *comments)),
    )


def read_modules(folder: Path) -> list[Module]:
    """The counts of all modules below a folder."""
    return [read_module(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.py"))]


def figures(modules: Sequence[Module]) -> Mapping[str, float]:
    """The figures of all modules together; the lower the better."""
    functions = [function for module in modules for function in module.functions]
    branches = sum(function.branches for function in functions)
    bodies = sum(function.lines for function in functions)
    code = sum(module.code for module in modules)
    lines = sum(module.lines for module in modules)
    return {
        "branches for 100 lines of function bodies": round(100 * branches / bodies, 1),
        "functions with more than 12 branches": sum(function.branches > MOST_BRANCHES for function in functions),
        "comprehensions for 1000 lines": round(1000 * sum(module.comprehensions for module in modules) / code, 1),
        "lines over 100 characters": sum(module.long_lines for module in modules),
        "imports inside functions": sum(module.inner_imports for module in modules),
        "docstrings that begin with What, Who or Nothing": sum(module.relative_docstrings for module in modules),
        "overused words in docstrings and comments": sum(module.overused_words for module in modules),
        "lines of the largest module": max(module.lines for module in modules),
        "lines without a comment, of 1000": round(1000 - 1000 * sum(module.comments for module in modules) / lines, 1),
    }


def compare(modules: Sequence[Module], limits: Mapping[str, Mapping[str, float]]) -> Problems:
    """What is worse than allowed: the figures of the whole, dense modules, functions with many branches."""
    problems = Problems()
    for name, figure in figures(modules).items():
        problems.compare(name, figure, limits["whole"][name])
    for module in modules:
        allowed = limits["modules"].get(module.name, DENSEST)
        problems.compare(f"{module.name}: branches for 100 lines", round(module.density, 1), allowed)
        for function in module.functions:
            name = f"{module.name}:{function.name}"
            problems.compare(f"{name}: branches", function.branches, limits["functions"].get(name, MOST_BRANCHES))
    return problems


def limits_text(modules: Sequence[Module]) -> str:
    """The file of limits that the figures of today would make."""
    return "\n".join(_limit_lines(modules)) + "\n"


def _limit_lines(modules: Sequence[Module]) -> Iterator[str]:
    yield "# What tools/house.py allows: what is reached today. A figure may fall; none may rise."
    yield "[whole]"
    for name, figure in figures(modules).items():
        yield f'"{name}" = {figure}'
    yield ""
    yield f"# Modules with more than {DENSEST:g} branches for 100 lines of their functions."
    yield "[modules]"
    for module in modules:
        if module.density > DENSEST:
            yield f'"{module.name}" = {module.density:.1f}'
    yield ""
    yield f"# Functions with more than {MOST_BRANCHES} branches."
    yield "[functions]"
    for name, branches in sorted(_most_of_each_name(modules).items()):
        yield f'"{name}" = {branches}'


def _most_of_each_name(modules: Sequence[Module]) -> Mapping[str, int]:
    """The functions with too many branches; where two of a module have one name, the worse counts."""
    found: dict[str, int] = {}
    for module in modules:
        for function in module.functions:
            name = f"{module.name}:{function.name}"
            if function.branches > MOST_BRANCHES:
                found[name] = max(found.get(name, 0), function.branches)
    return found


def read_limits(text: str) -> Mapping[str, Mapping[str, float]]:
    """The tables of a file of limits."""
    return tomllib.loads(text)


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Measure how the code is written.")
    parser.add_argument("folder", nargs="?", type=Path, default=TOP / "src" / "deloc8")
    parser.add_argument("--modules", action="store_true", help="print the modules, the densest first")
    parser.add_argument("--functions", action="store_true", help="print the functions, those with most branches first")
    parser.add_argument("--write", action="store_true", help="write the limits anew where nothing is worse")
    arguments = parser.parse_args(argv)
    modules = read_modules(arguments.folder)
    for name, figure in figures(modules).items():
        print(f"{figure:8g}  {name}")
    if arguments.modules:
        for module in sorted(modules, key=lambda module: -module.density):
            print(f"{module.density:8.1f}  {module.name}")
    if arguments.functions:
        rows = [(function, module) for module in modules for function in module.functions]
        for function, module in sorted(rows, key=lambda row: -row[0].branches):
            print(f"{function.branches:8} branches in {function.lines:3} lines  {module.name}:{function.name}")
    if arguments.folder != TOP / "src" / "deloc8":
        return 0
    limits = read_limits(LIMITS.read_text(encoding="utf-8")) if LIMITS.exists() else {}
    problems = compare(modules, limits) if limits else Problems()
    for problem in problems.worse:
        print(f"worse: {problem}", file=sys.stderr)
    if arguments.write and not problems.worse:
        LIMITS.write_text(limits_text(modules), encoding="utf-8")
    return 1 if problems.worse else 0


if __name__ == "__main__":
    sys.exit(main())
