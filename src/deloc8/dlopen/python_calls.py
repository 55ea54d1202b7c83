"""Calls in Python source that open a shared library, read from the syntax tree; nothing is run or imported."""

from __future__ import annotations

import ast
import posixpath
import re
import sys

from deloc8.dlopen.budget import Budget
from deloc8.dlopen.python_cost import TooComplex
from deloc8.dlopen.python_values import Folder
from deloc8.patterns import pattern
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.dlopen.python_tree import Place
    from deloc8.dlopen.python_values import Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningCall:
    """One call.

    Attributes:
        line: Where it begins, from 1.
        names: The name or path it opens, or one of several that it may open; for ``find_library`` a pattern of names.
        is_optional: Whether the file copes without: the failure is caught, or the name may be another one.
    """

    line: int
    names: tuple[str, ...]
    is_optional: bool = False


_WORDS = frozenset({"dlopen", "CDLL", "PyDLL", "LoadLibrary", "find_library", "load_library"})
_LIBRARY_ARGUMENT = ("name", "libname")
_OPENERS = frozenset({"ctypes.CDLL", "ctypes.PyDLL", "ctypes.cdll.LoadLibrary", "ctypes.pydll.LoadLibrary"})
_FINDERS = frozenset({"ctypes.util.find_library", "find_library"})
_NUMPY = frozenset({"numpy.ctypeslib.load_library", "ctypeslib.load_library"})
# Names for other systems stand in the same files: a library of Linux has this suffix.
_SHARED_LIBRARY = pattern(r".*\.so(\.[\w.]+)?\*?", re.DOTALL)


class Unreadable(Exception):  # noqa: N818  it is no error of the wheel, and never leaves the search
    """A file that cannot be searched; the words for a reader."""


def opening_calls(source: bytes, path: str, budget: Budget | None = None) -> tuple[OpeningCall, ...]:
    """The calls of a Python file that open a library whose name can be read off, in the order of their lines.

    What only other systems run is left out.

    Args:
        source: The file.
        path: Where it is installed: what ``__file__`` will be.
        budget: What the search may cost; None: what is usual.

    Raises:
        Unreadable: It is no UTF-8, cannot be parsed, or is nested too deeply.
        Spent: The work is used up.
    """
    try:
        return _calls(Folder(source, path, budget or Budget()))
    except TooComplex as error:
        reason = str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = f"it is not valid for Python {sys.version_info[0]}.{sys.version_info[1]}{line}"
    except (RecursionError, MemoryError):  # the parser raises either
        reason = "it is nested too deeply"
    raise Unreadable(reason)


def _calls(folder: Folder) -> tuple[OpeningCall, ...]:
    found: dict[tuple[int, tuple[str, ...]], bool] = {}
    for node, place in folder.find(_WORDS):
        if not isinstance(node, ast.Call):
            continue
        texts = _opened(node, place, folder)
        names = tuple(dict.fromkeys(text for text in texts if text is not None))
        if names:
            key = (node.lineno, names)
            found[key] = found.get(key, True) and (place.guarded or None in texts)
    return tuple(
        OpeningCall(line=line, names=names, is_optional=is_optional)
        for (line, names), is_optional in sorted(found.items())
    )


def _opened(call: ast.Call, place: Place, folder: Folder) -> Texts:
    """Libraries that a call may open; empty where it opens none."""
    function = folder.dotted(call.func)
    is_opener = function in _OPENERS or f"ctypes.{function}" in _OPENERS or function.endswith(".dlopen")
    if not is_opener and function not in _FINDERS and function not in _NUMPY:
        return ()
    texts = folder.fold(_argument(call, 0, _LIBRARY_ARGUMENT), place.scope)
    if function in _FINDERS:
        return folder.found_by(texts)
    if function in _NUMPY:
        folders = folder.fold(_argument(call, 1, ("loader_path",)), place.scope)
        texts = tuple(_in_folder(text, other) for text in texts for other in folders)
    return tuple(_library(text) for text in texts if text is None or _SHARED_LIBRARY.fullmatch(text))


def _argument(call: ast.Call, number: int, names: Sequence[str]) -> ast.expr | None:
    if len(call.args) > number:
        return call.args[number]
    return next((keyword.value for keyword in call.keywords if keyword.arg in names), None)


def _in_folder(name: str | None, place: str | None) -> str | None:
    """Path that numpy opens: it takes the folder of a file, and adds the system's suffix."""
    if not name or place is None:
        return None
    place = posixpath.dirname(place) if place.endswith(".py") else place
    return posixpath.join(place, name if _SHARED_LIBRARY.fullmatch(name) else name + ".so")


def _library(name: str | None) -> str | None:
    if name is None:
        return None
    plain = posixpath.normpath(name)
    # A path stays one: the loader searches for names without a slash only.
    return plain if "/" in plain or "/" not in name else f"./{plain}"
