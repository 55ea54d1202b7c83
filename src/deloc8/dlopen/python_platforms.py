"""Which tests of a Python file hold on Linux: the other branch is for other systems."""

from __future__ import annotations

import ast
import re

from deloc8.patterns import pattern
from deloc8.values import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# A test is one of the system by the names and texts in it; all other tests are not looked into.
_NAME = pattern(r"win|linux|darwin|mac|osx|posix|unix|platform", re.IGNORECASE)
_TEXT = pattern(r"(win|linux|darwin|mac|osx|posix|unix|nt|cygwin|msys|java|free|bsd|aix|sun|ios).*", re.IGNORECASE)
_DEEPEST = 20


class Values(Protocol):
    """Source of the values of expressions."""

    def single(self, node: ast.expr, scope: ast.AST | None) -> str | None:
        """The text of an expression that has only one."""

    def only(self, node: ast.expr, scope: ast.AST | None) -> ast.expr:
        """The value of a name that has only one; any other expression as it is."""

    def spend(self, units: int) -> None:
        """Count work that is done with these."""


def holds(test: ast.expr, scope: ast.AST | None, values: Values, depth: int = 0) -> bool | None:
    """Whether a test of the system holds on Linux; None for every other test."""
    values.spend(1)
    if depth > _DEEPEST:
        return None
    if isinstance(test, (ast.Name, ast.Attribute)):
        return _flag(test, scope, values, depth)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        known = holds(test.operand, scope, values, depth + 1)
        return None if known is None else not known
    if isinstance(test, ast.BoolOp):
        rows = [holds(value, scope, values, depth + 1) for value in test.values]
        decides = isinstance(test.op, ast.Or)
        return decides if decides in rows else None if None in rows else not decides
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compare(test, scope, values)
    return _starts(test, scope, values) if isinstance(test, ast.Call) else None


def _flag(test: ast.Name | ast.Attribute, scope: ast.AST | None, values: Values, depth: int) -> bool | None:
    name = test.id if isinstance(test, ast.Name) else test.attr
    if name == "TYPE_CHECKING":
        return False
    if isinstance(test, ast.Attribute) or not _NAME.search(name):
        return None
    only = values.only(test, scope)
    return None if only is test else holds(only, scope, values, depth + 1)


def _compare(test: ast.Compare, scope: ast.AST | None, values: Values) -> bool | None:
    operator, right = test.ops[0], test.comparators[0]
    listed = right.elts if isinstance(right, (ast.Tuple, ast.List, ast.Set)) else None
    texts = _texts([test.left, *([right] if listed is None else listed)], scope, values)
    if texts is None:
        return None
    text, *others = texts
    if isinstance(operator, (ast.Eq, ast.NotEq)) and listed is None:
        return (text == others[0]) is isinstance(operator, ast.Eq)
    if isinstance(operator, (ast.In, ast.NotIn)):
        is_in = text in others[0] if listed is None else text in others
        return is_in is isinstance(operator, ast.In)
    return None


def _starts(test: ast.Call, scope: ast.AST | None, values: Values) -> bool | None:
    if not (isinstance(test.func, ast.Attribute) and test.func.attr in {"startswith", "endswith"} and test.args):
        return None
    first = test.args[0]
    texts = _texts([test.func.value, *(first.elts if isinstance(first, ast.Tuple) else [first])], scope, values)
    if texts is None:
        return None
    text, *ends = texts
    return text.startswith(tuple(ends)) if test.func.attr == "startswith" else text.endswith(tuple(ends))


def _texts(nodes: Sequence[ast.expr], scope: ast.AST | None, values: Values) -> list[str] | None:
    """The texts of expressions, if one of them is the name of a system and all can be told."""
    values.spend(len(nodes))
    constants = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if not any(map(_TEXT.fullmatch, constants)):
        return None
    texts = [values.single(node, scope) for node in nodes]
    known = [text for text in texts if text is not None]
    return known if len(known) == len(texts) else None
