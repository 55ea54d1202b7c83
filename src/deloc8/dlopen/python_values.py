"""Values of expressions of a Python file on Linux: their texts, read off its syntax tree."""

from __future__ import annotations

import ast
import posixpath
import re
from itertools import product

from deloc8.dlopen.python_platforms import holds
from deloc8.dlopen.python_tree import SourceTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from deloc8.dlopen.budget import Budget
    from deloc8.dlopen.python_tree import Binding, Place

Texts = tuple["str | None", ...]
"""The texts that an expression may be; None stands for those that cannot be told."""

UNKNOWN: Texts = (None,)

# Bounds for hostile or generated files: nesting, the texts of an expression, the length of one, and the parts of the
# name of a function.
_DEEPEST = 40
_MOST_TEXTS = 8
_LONGEST = 4096
_MOST_PARTS = 20
_UNITS_PER_FOLD = 3

_PATHS = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath"})
_UNCHANGED = frozenset({"str", "os.fspath", "os.fsdecode", "os.path.abspath", "os.path.realpath", "os.path.normpath"})
_UNCHANGED_METHODS = frozenset({"resolve", "absolute", "as_posix"})
_FINDERS = frozenset({"ctypes.util.find_library", "find_library"})
_SETTINGS = frozenset({"os.environ.get", "os.getenv"})
# What these are on Linux.
_CONSTANTS = {"sys.platform": "linux", "os.name": "posix", "os.sep": "/"}
_ANSWERS = {"platform.system": "Linux"}


class Folder:
    """Works out the texts that expressions of one file stand for.

    Raises:
        SyntaxError: It is no Python; see `SourceTree`.
        Spent: The work is used up; all methods may raise it.
    """

    def __init__(self, source: bytes, path: str, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        self._depth = 0
        self._bindings: dict[str, Sequence[Binding]] = {}
        self._aliases: Mapping[str, str] = {}
        self._tree = SourceTree(source, budget)
        self._aliases = self._imported()

    def find(self, words: Collection[str]) -> Iterator[tuple[ast.AST, Place]]:
        """The nodes around some words, and around other names that imports give to functions of these names.

        Branches of other systems are left out.
        """
        others = [name for name, full in self._aliases.items() if full.rpartition(".")[2] in words]
        return self._tree.find({*words, *others}, self._holds)

    def spend(self, units: int) -> None:
        """Count work that is done with what this gives."""
        self._budget.spend(units)

    def dotted(self, node: ast.expr) -> str:
        """The full name of a function, such as ``ctypes.cdll.LoadLibrary``; empty where it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < _MOST_PARTS:
            parts.append(node.attr)
            node = node.value
        self._budget.spend(len(parts))
        if isinstance(node, ast.Name):
            parts.append(self._aliases.get(node.id, node.id))
        elif parts:
            parts.append("")  # of some value: only the last name is known
        return ".".join(reversed(parts))

    def fold(self, node: ast.expr | None, scope: ast.AST | None) -> Texts:
        """The texts, or paths, that an expression may be."""
        self._budget.spend(_UNITS_PER_FOLD)
        if node is None or self._depth > _DEEPEST:
            return UNKNOWN
        self._depth += 1
        try:
            texts = self._fold(node, scope)
        finally:
            self._depth -= 1
        return _bounded(texts)

    @staticmethod
    def found_by(texts: Texts) -> Texts:
        """The patterns of names that ``find_library`` looks for."""
        return tuple(f"lib{text}.so*" if text and re.fullmatch(r"[\w.+-]+", text) else None for text in texts)

    def _fold(self, node: ast.expr, scope: ast.AST | None) -> Texts:
        if isinstance(node, ast.Name):
            constant = self._path if node.id == "__file__" else _CONSTANTS.get(self._aliases.get(node.id, ""))
            return self._named(node, scope) if constant is None else (constant,)
        if isinstance(node, ast.BinOp):
            return self._operation(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            return self._part(node, scope)
        branches: Sequence[ast.expr] = ()
        if isinstance(node, ast.IfExp):
            known = holds(node.test, scope, self)
            branches = [node.body] * (known is not False) + [node.orelse] * (known is not True)
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            branches = node.values
        return tuple(text for branch in branches for text in self.fold(branch, scope)) or self._literal(node, scope)

    def _literal(self, node: ast.expr, scope: ast.AST | None) -> Texts:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return (node.value,)
        if isinstance(node, ast.JoinedStr):
            return self._all(node.values, scope, "".join)
        if isinstance(node, ast.FormattedValue) and node.format_spec is None and node.conversion in {-1, ord("s")}:
            return self.fold(node.value, scope)
        return UNKNOWN

    def _operation(self, node: ast.BinOp, scope: ast.AST | None) -> Texts:
        sides = (node.left, node.right)
        if isinstance(node.op, ast.Add):
            return self._all(sides, scope, "".join)
        if isinstance(node.op, ast.Div):
            return self._all(sides, scope, _joined)
        if isinstance(node.op, ast.Mod):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            return self._all((node.left, *values), scope, lambda texts: _filled(texts, "%s"))
        return UNKNOWN

    def _all(
        self, nodes: Sequence[ast.expr], scope: ast.AST | None, join: Callable[[Sequence[str]], str | None]
    ) -> Texts:
        """Join the texts of all expressions, each with each."""
        rows = [self.fold(node, scope) for node in nodes]
        made: list[str | None] = []
        for texts in product(*rows):
            self._budget.spend(len(texts))
            known = [text for text in texts if text is not None]
            fits = len(known) == len(texts) and sum(map(len, known)) <= _LONGEST
            made.append(join(known) if fits else None)
            if len(made) > _MOST_TEXTS:
                made.append(None)
                break
        return tuple(made)

    def _part(self, node: ast.Attribute | ast.Subscript, scope: ast.AST | None) -> Texts:
        """Of ``path.parent``, ``path.parents[1]``, ``sys.platform`` and ``{...}[sys.platform]``."""
        if isinstance(node, ast.Attribute):
            constant = _CONSTANTS.get(self.dotted(node))
            if constant is not None or node.attr != "parent":
                return (constant,)
            return tuple(text and posixpath.dirname(text) for text in self.fold(node.value, scope))
        value, index = node.value, node.slice
        if not (isinstance(value, ast.Attribute) and value.attr == "parents" and isinstance(index, ast.Constant)):
            return self._entry(value, index, scope)
        number = index.value
        if not isinstance(number, int) or not 0 <= number < _DEEPEST:
            return UNKNOWN
        return tuple(_above(text, number + 1) for text in self.fold(value.value, scope))

    def _entry(self, value: ast.expr, key: ast.expr, scope: ast.AST | None) -> Texts:
        """Texts that a table has under a key."""
        table = self.only(value, scope)
        keys = self.fold(key, scope)
        if not isinstance(table, ast.Dict) or None in keys:
            return UNKNOWN
        found = [
            text
            for name, entry in zip(table.keys, table.values, strict=True)
            if name is not None and not set(self.fold(name, scope)).isdisjoint(keys)
            for text in self.fold(entry, scope)
        ]
        return tuple(found) or UNKNOWN

    def only(self, node: ast.expr, scope: ast.AST | None) -> ast.expr:
        """The value of a name that has only one; any other expression as it is."""
        if isinstance(node, ast.Name):
            bindings = self._visible(node, scope)
            if len(bindings) == 1 and bindings[0].value is not None and not bindings[0].is_each:
                return bindings[0].value
        return node

    def _call(self, node: ast.Call, scope: ast.AST | None) -> Texts:
        function, arguments = self.dotted(node.func), node.args
        if function in _PATHS or function == "os.path.join":
            return self._all(arguments, scope, _joined) if arguments else UNKNOWN
        if function in _UNCHANGED or function == "os.path.dirname":
            texts = self.fold(arguments[0], scope) if arguments else UNKNOWN
            return texts if function in _UNCHANGED else tuple(text and posixpath.dirname(text) for text in texts)
        if function in _FINDERS:
            return self.found_by(self.fold(arguments[0], scope) if arguments else UNKNOWN)
        if function in _SETTINGS:
            return (None, *(self.fold(arguments[1], scope) if len(arguments) > 1 else ()))
        if function in _ANSWERS:
            return (_ANSWERS[function],)
        return self._method(node.func, arguments, scope) if isinstance(node.func, ast.Attribute) else UNKNOWN

    def _method(self, function: ast.Attribute, arguments: Sequence[ast.expr], scope: ast.AST | None) -> Texts:
        if function.attr == "joinpath":
            return self._all((function.value, *arguments), scope, _joined)
        if function.attr == "with_name" and arguments:
            return self._all((function.value, arguments[0]), scope, lambda texts: _beside(*texts))
        if function.attr == "format":
            return self._all((function.value, *arguments), scope, lambda texts: _filled(texts, "{}"))
        if function.attr == "get" and arguments:
            return self._entry(function.value, arguments[0], scope)
        if function.attr in {"lower", "upper"}:
            return tuple(text and getattr(text, function.attr)() for text in self.fold(function.value, scope))
        return self.fold(function.value, scope) if function.attr in _UNCHANGED_METHODS else UNKNOWN

    # -- names

    def _named(self, node: ast.Name, scope: ast.AST | None) -> Texts:
        """The texts of a name: of what is given to it before, in the innermost scope that gives anything."""
        texts: list[str | None] = []
        for row in self._visible(node, scope):
            if row.value is None:
                texts.append(None)
                continue
            around = self._tree.parents.get(row.place.scope) if row.outer and row.place.scope else row.place.scope
            items = [row.value]
            if row.is_each:
                listed = self.only(row.value, around)
                items = list(listed.elts) if isinstance(listed, (ast.Tuple, ast.List, ast.Set)) else []
            texts += [text for item in items[:_MOST_TEXTS] for text in self.fold(item, around)] or [None]
        return tuple(dict.fromkeys(texts)) or UNKNOWN

    def _visible(self, node: ast.Name, scope: ast.AST | None) -> Sequence[Binding]:
        rows = self._bindings_of(node.id)
        home = scope
        self._budget.spend(1 + len(rows))
        while home is not None and not any(row.place.scope is home for row in rows):
            home = self._tree.parents.get(home)
            self._budget.spend(1 + len(rows))
        found = sorted((row for row in rows if row.place.scope is home), key=lambda row: row.line)
        if home is scope:  # what comes later has not been yet
            found = [row for row in found if row.line < node.lineno + (row.is_each or row.outer)]
        sure = [number for number, row in enumerate(found) if not row.place.conditional]
        return found[sure[-1] :] if sure and home is scope else found

    def _bindings_of(self, name: str) -> Sequence[Binding]:
        if name not in self._bindings:
            self._bindings[name] = ()  # the way to a name may ask for it again
            self._bindings[name] = self._tree.bindings(name, self._holds)
        return self._bindings[name]

    def _imported(self) -> Mapping[str, str]:
        """Full names of what the imports of the file call by a name of their own, by that name."""
        aliases = {}
        for node, _ in self._tree.find({"import"}, self._holds):
            if isinstance(node, ast.Import):
                aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                aliases.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        return aliases

    # -- what holds on Linux

    def single(self, node: ast.expr, scope: ast.AST | None) -> str | None:
        """The text of an expression that has only one."""
        texts = self.fold(node, scope)
        return texts[0] if len(texts) == 1 else None

    def _holds(self, test: ast.expr, place: Place) -> bool | None:
        self._budget.spend(1)
        if self._depth > _DEEPEST:
            return None
        self._depth += 1
        try:
            return holds(test, place.scope, self)
        finally:
            self._depth -= 1


def _bounded(texts: Texts) -> Texts:
    kept = tuple(dict.fromkeys(None if text is None or len(text) > _LONGEST else text for text in texts))
    return kept if len(kept) <= _MOST_TEXTS else (*kept[:_MOST_TEXTS], None)


def _joined(texts: Sequence[str]) -> str:
    return posixpath.join(*texts)


def _beside(path: str, name: str) -> str:
    return posixpath.join(posixpath.dirname(path), name)


def _above(path: str | None, steps: int = 1) -> str | None:
    for _ in range(steps):
        path = path and posixpath.dirname(path)
    return path


def _filled(texts: Sequence[str], gap: str) -> str | None:
    """A pattern, the first text, with the others in its gaps; None where it has others, or another number of them."""
    pieces = texts[0].split(gap)
    if len(pieces) != len(texts) or any(char in piece for piece in pieces for char in gap.strip("s")):
        return None
    return pieces[0] + "".join(value + piece for value, piece in zip(texts[1:], pieces[1:], strict=True))
