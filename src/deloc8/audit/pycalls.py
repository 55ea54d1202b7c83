"""Calls in Python source that open a shared library, read from the syntax tree; nothing is run or imported."""

from __future__ import annotations

import ast
import posixpath
import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING

from deloc8.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningCall:
    """One call.

    Attributes:
        line: Where it begins, from 1.
        name: The name or path it opens; for ``find_library`` a pattern of names.
    """

    line: int
    name: str


# Bounds for hostile or generated files: nesting and steps of one file's folding, and the length of a folded text.
_DEEPEST = 40
_MOST_STEPS = 20_000
_LONGEST = 4096

_LIBRARY_ARGUMENT = ("name", "libname")
_OPENERS = frozenset({"ctypes.CDLL", "ctypes.PyDLL", "ctypes.cdll.LoadLibrary", "ctypes.pydll.LoadLibrary"})
_FINDERS = frozenset({"ctypes.util.find_library", "find_library"})
_NUMPY = frozenset({"numpy.ctypeslib.load_library", "ctypeslib.load_library"})
# Names for other systems stand in the same files: a library of Linux has this suffix.
_SHARED_LIBRARY = re.compile(r".*\.so(\.[\w.]+)?", re.DOTALL)
_PATHS = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath"})
_UNCHANGED = frozenset({"str", "os.fspath", "os.fsdecode", "os.path.abspath", "os.path.realpath", "os.path.normpath"})
_UNCHANGED_METHODS = frozenset({"resolve", "absolute", "as_posix"})


def opening_calls(source: bytes, path: str) -> tuple[OpeningCall, ...]:
    """The calls of a Python file that open a library whose name can be read off, in the order of their lines.

    Args:
        source: The file; one that is no UTF-8 or cannot be parsed has none.
        path: Where it is installed: what ``__file__`` will be.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel's warnings are not ours to tell
            tree = ast.parse(source.decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    nodes = tuple(ast.walk(tree))
    folder = _Folder(path, nodes)
    found = {
        (node.lineno, name)
        for node in nodes
        if isinstance(node, ast.Call)
        for name in (_opened(node, folder),)
        if name is not None
    }
    return tuple(OpeningCall(line=line, name=name) for line, name in sorted(found))


def _opened(call: ast.Call, folder: _Folder) -> str | None:
    """What a call opens; None where it opens nothing, or nothing that can be told."""
    function = folder.dotted(call.func)
    is_opener = function in _OPENERS or f"ctypes.{function}" in _OPENERS or function.endswith(".dlopen")
    if not is_opener and function not in _FINDERS and function not in _NUMPY:
        return None
    given = call.args[0] if call.args else _keyword(call, _LIBRARY_ARGUMENT)
    name = folder.fold(given)
    if not name:
        return None
    if function in _FINDERS:
        return f"lib{name}.so*" if re.fullmatch(r"[\w.+-]+", name) else None
    if function in _NUMPY:
        place = folder.fold(call.args[1] if len(call.args) > 1 else _keyword(call, ("loader_path",)))
        if place is None:
            return None
        # numpy takes the folder of a file, and adds the system's suffix.
        place = posixpath.dirname(place) if place.endswith(".py") else place
        name = posixpath.join(place, name if _SHARED_LIBRARY.fullmatch(name) else name + ".so")
    if not _SHARED_LIBRARY.fullmatch(name):
        return None
    plain = posixpath.normpath(name)
    # A path stays one: the loader searches for names without a slash only.
    return plain if "/" in plain or "/" not in name else f"./{plain}"


def _keyword(call: ast.Call, names: Sequence[str]) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg in names), None)


class _Folder:
    """Works out the texts that expressions of one file stand for."""

    def __init__(self, path: str, nodes: Sequence[ast.AST]) -> None:
        self._path = path
        self._aliases = _imported(nodes)
        self._values = _assigned_once(nodes)
        self._steps = 0

    def dotted(self, node: ast.expr) -> str:
        """The full name of a function, such as ``ctypes.cdll.LoadLibrary``; empty where it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            parts.append(self._aliases.get(node.id, node.id))
        elif parts:
            parts.append("")  # of some value: only the last name is known
        return ".".join(reversed(parts))

    def fold(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """The text, or the path, of an expression; None where it cannot be told."""
        self._steps += 1
        if depth > _DEEPEST or self._steps > _MOST_STEPS:
            return None
        text = self._fold(node, depth + 1)
        return None if text is None or len(text) > _LONGEST else text

    def _fold(self, node: ast.expr | None, depth: int) -> str | None:
        if isinstance(node, ast.Name):
            return self._path if node.id == "__file__" else self.fold(self._values.get(node.id), depth)
        if isinstance(node, ast.BinOp):
            return self._operation(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            return self._above(node, depth)
        return self._literal(node, depth)

    def _literal(self, node: ast.expr | None, depth: int) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return self._all(node.values, depth, "")
        if isinstance(node, ast.FormattedValue) and node.format_spec is None and node.conversion in {-1, ord("s")}:
            return self.fold(node.value, depth)
        return None

    def _operation(self, node: ast.BinOp, depth: int) -> str | None:
        if isinstance(node.op, ast.Add):
            return self._all((node.left, node.right), depth, "")
        return self._all((node.left, node.right), depth, "/") if isinstance(node.op, ast.Div) else None

    def _all(self, nodes: Sequence[ast.expr], depth: int, separator: str) -> str | None:
        """The texts of all expressions together, joined as paths where there is a separator."""
        texts = []
        for node in nodes:
            text = self.fold(node, depth)
            if text is None:
                return None
            texts.append(text)
        return posixpath.join(*texts) if separator and texts else "".join(texts)

    def _above(self, node: ast.Attribute | ast.Subscript, depth: int) -> str | None:
        """Of ``path.parent`` and ``path.parents[1]``."""
        if isinstance(node, ast.Attribute):
            text = self.fold(node.value, depth) if node.attr == "parent" else None
            return None if text is None else posixpath.dirname(text)
        value, index = node.value, node.slice
        if not (isinstance(value, ast.Attribute) and value.attr == "parents" and isinstance(index, ast.Constant)):
            return None
        text, number = self.fold(value.value, depth), index.value
        if text is None or not isinstance(number, int) or not 0 <= number < _DEEPEST:
            return None
        for _ in range(number + 1):
            text = posixpath.dirname(text)
        return text

    def _call(self, node: ast.Call, depth: int) -> str | None:
        function, arguments = self.dotted(node.func), node.args
        if function in _PATHS or function == "os.path.join":
            return self._all(arguments, depth, "/")
        if function in _UNCHANGED or function == "os.path.dirname":
            text = self.fold(arguments[0], depth) if arguments else None
            return text if function in _UNCHANGED or text is None else posixpath.dirname(text)
        return self._method(node.func, arguments, depth) if isinstance(node.func, ast.Attribute) else None

    def _method(self, function: ast.Attribute, arguments: Sequence[ast.expr], depth: int) -> str | None:
        if function.attr == "joinpath":
            return self._all((function.value, *arguments), depth, "/")
        return self.fold(function.value, depth) if function.attr in _UNCHANGED_METHODS else None


def _imported(nodes: Sequence[ast.AST]) -> Mapping[str, str]:
    """What the imports of a file call by a name of their own: the full names."""
    aliases = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return aliases


def _assigned_once(nodes: Sequence[ast.AST]) -> Mapping[str, ast.expr]:
    """The values of the names that a file binds at one place only, and there by a plain assignment."""
    bound = Counter(name for node in nodes for name in _bound(node))
    values = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name) and bound[target.id] == 1:
            values[target.id] = value
    return values


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
