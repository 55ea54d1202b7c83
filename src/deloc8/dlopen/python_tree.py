"""The syntax tree of a Python file, of which only the parts are visited that some lines lead to.

A walk over a whole tree costs more than all else that is done with a wheel. The few calls that open a library, and the
names that these ask about, stand on few lines.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_left

from deloc8.dlopen.python_cost import parsing_units
from deloc8.patterns import pattern
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from deloc8.dlopen.budget import Budget

    Truth = Callable[[ast.expr, "Place"], bool | None]
    """Whether the test of a branch holds on Linux; None where that is not known."""

_WORD = pattern(rb"\w+")
_UNITS_PER_VISIT = 3
_BYTES_PER_UNIT = 8  # of words that are put into a table
# What is raised where a library cannot be opened, and the classes above it.
_CAUGHT = frozenset({"OSError", "EnvironmentError", "IOError", "Exception", "BaseException", "FileNotFoundError"})


class Place(NamedTuple):
    """Where a node stands.

    Attributes:
        scope: The innermost function around it; None for the module.
        guarded: Whether a failure is caught, and the program goes on.
        conditional: Whether its function, or the module, may end without running it.
    """

    scope: ast.AST | None = None
    guarded: bool = False
    conditional: bool = False


class Binding(NamedTuple):
    """Value that one place gives a name.

    Attributes:
        line: Where.
        place: The scope and the conditions of it.
        value: The expression; None for one that says nothing.
        is_each: Whether the name becomes each item of it, one after the other.
        outer: Whether the value is in the scope around that of the name: a default.
    """

    line: int
    place: Place
    value: ast.expr | None
    is_each: bool = False
    outer: bool = False


class SourceTree:
    """A parsed file.

    It refers to nothing that refers to it: a tree costs a hundred times the file, and the command runs without the
    collector that would free a circle.

    Raises:
        SyntaxError: It is no Python; ValueError, RecursionError and MemoryError come up too.
        TooComplex: It is not parsed.
        Spent: The work is used up.
    """

    def __init__(self, source: bytes, budget: Budget) -> None:
        # The lines of the tree: the compiler knows all three ends of a line.
        self._text = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._budget = budget
        self.parents: dict[ast.AST, ast.AST | None] = {}
        budget.spend(parsing_units(self._text))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel's warnings are not ours to tell
            self._tree = ast.parse(self._text.decode("utf-8-sig"))
        budget.spend(len(self._text) // _BYTES_PER_UNIT)
        self._lines = self._lines_by_word()

    def _lines_by_word(self) -> dict[bytes, list[int]]:
        """The lines that each word is on, in their order, those in texts and comments too."""
        found: dict[bytes, list[int]] = {}
        for number, line in enumerate(self._text.split(b"\n"), 1):
            for word in _WORD.findall(line):
                if word in found:
                    found[word].append(number)
                else:
                    found[word] = [number]
        return found

    def find(self, words: Collection[str], truth: Truth) -> Iterator[tuple[ast.AST, Place]]:
        """The nodes around some words, branches that do not hold left out."""
        lines = sorted({line for word in words for line in self._lines.get(word.encode(), ())})
        self._budget.spend(1 + len(words) + len(lines))
        stack: list[tuple[ast.AST, Place]] = [(self._tree, Place())] if lines else []
        while stack:
            node, place = stack.pop()
            yield node, place
            parts = list(self._parts(node, place, truth))
            self._budget.spend(_UNITS_PER_VISIT + len(parts))
            whole = isinstance(node, ast.JoinedStr)  # before Python 3.12 the lines inside one are wrong
            stack += [row for row in parts if whole or _touches(row[0], lines)]

    def bindings(self, name: str, truth: Truth) -> list[Binding]:
        """Every place that gives something to a name."""
        found: list[Binding] = []
        handled: set[int] = set()
        shared: set[ast.AST | None] = set()
        for node, place in self.find({name}, truth):
            if isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names:
                shared.add(place.scope)
            for target, value, is_each in _givings(node):
                if isinstance(target, ast.Name) and target.id == name:
                    handled.add(id(target))
                    found.append(Binding(target.lineno, place, value, is_each))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                found += _defaults(node, name)
            if _binds(node, name) and id(node) not in handled:
                may_be_default = place._replace(conditional=place.conditional or isinstance(node, ast.arg))
                found.append(Binding(node.lineno, may_be_default, None))  # type: ignore[attr-defined]
        return [row._replace(place=Place(None)) if row.place.scope in shared else row for row in found]

    def _parts(self, node: ast.AST, place: Place, truth: Truth) -> Iterator[tuple[ast.AST, Place]]:
        """The nodes right below one, each with its place."""
        if isinstance(node, (ast.If, ast.IfExp)):
            yield from _branches(node, place, truth)
        elif isinstance(node, ast.Try):
            inner = place._replace(guarded=place.guarded or any(map(_goes_on, node.handlers)), conditional=True)
            yield from ((part, inner) for part in node.body)
            outer = place._replace(conditional=True)
            yield from ((part, outer) for part in (*node.handlers, *node.orelse))
            yield from ((part, place) for part in node.finalbody)
        elif isinstance(node, ast.With) and any(map(_suppresses, node.items)):
            inner = place._replace(guarded=True, conditional=True)
            yield from ((part, inner) for part in ast.iter_child_nodes(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            self.parents[node] = place.scope
            yield from ((part, Place(node)) for part in ast.iter_child_nodes(node))
        else:
            is_branch = isinstance(node, (ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Match))
            inner = place._replace(conditional=True) if is_branch else place
            yield from ((part, inner) for part in ast.iter_child_nodes(node))


def _branches(node: ast.If | ast.IfExp, place: Place, truth: Truth) -> Iterator[tuple[ast.AST, Place]]:
    yield node.test, place
    known = truth(node.test, place)
    inner = place if known is not None else place._replace(conditional=True)
    for is_taken, branch in ((True, node.body), (False, node.orelse)):
        if known in {None, is_taken}:
            yield from ((part, inner) for part in (branch if isinstance(branch, list) else [branch]))


def _touches(node: ast.AST, lines: Sequence[int]) -> bool:
    """Whether a node stands on one of some lines; what has no lines of its own may."""
    first = getattr(node, "lineno", None)
    if first is None:
        return True
    for decorator in getattr(node, "decorator_list", ()):
        first = min(first, decorator.lineno)
    place = bisect_left(lines, first)
    return place < len(lines) and lines[place] <= (node.end_lineno or first)  # type: ignore[attr-defined]  # as lineno


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches what opening a library raises, and does not end in another error."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    is_caught = handler.type is None or not names.isdisjoint(_CAUGHT)
    return is_caught and not isinstance(handler.body[-1], ast.Raise)


def _suppresses(item: ast.withitem) -> bool:
    """Whether it is ``contextlib.suppress(OSError)``."""
    call = item.context_expr
    if not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "suppress" and any(isinstance(kind, ast.Name) and kind.id in _CAUGHT for kind in call.args)


def _givings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """The targets that a node gives a value, or each item of one."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value, False) for target in node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value, False
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        yield node.target, node.iter, True


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, name: str) -> Iterator[Binding]:
    """Default value of a parameter of a function."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = zip([*positional, *given.kwonlyargs], [*defaults, *given.defaults, *given.kw_defaults], strict=True)
    for argument, default in pairs:
        if argument.arg == name and default is not None:
            yield Binding(node.lineno, Place(node, conditional=True), default, outer=True)


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node gives a name something that cannot be told."""
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.arg):
        return node.arg == name
    if isinstance(node, ast.alias):
        return (node.asname or node.name) == name
    return (
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)) and node.name == name
    )
