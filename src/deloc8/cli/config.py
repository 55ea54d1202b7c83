"""`[tool.deloc8]` in the pyproject.toml of the current folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from deloc8.errors import UsageError
from deloc8.faults import refuse_fault
from deloc8.files import read_file
from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = Path("pyproject.toml")
_KEYS = ("select", "ignore")
_LARGEST = 1 << 20  # bytes; those of large projects have a tenth of it
# Keys with more parts take quadratic time: a minute for fifty thousand parts. Those of tools have five.
_DEEPEST = 100
_PART = r"""(?:[\w-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\n]*')"""
_DEEP_KEY = pattern(rf"""(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{_DEEPEST}}}""")


def read_config() -> Mapping[str, tuple[str, ...]]:
    """The codes of each key, `select` and `ignore`; empty where there is no file, no table or no such key.

    Raises:
        UsageError: The file cannot be read, or the table has something else; says which key.
    """
    try:
        contents = read_file(_FILE, _LARGEST)
    except FileNotFoundError:
        return dict.fromkeys(_KEYS, ())
    except OSError as error:
        refuse_fault(error, _FILE)
        raise _bad("it cannot be read", error.strerror or str(error)) from None
    if len(contents) > _LARGEST:
        raise _bad("it is too large", f"wanted: up to {_LARGEST} bytes")
    try:
        text = contents.decode()
    except UnicodeDecodeError as error:
        raise _bad("it cannot be read", str(error)) from None
    document = _parsed(text)
    tool = document.get("tool", {})
    table = tool.get("deloc8", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise _bad("tool.deloc8 is no table")
    for key, value in table.items():
        if key not in _KEYS:
            raise _bad(f"tool.deloc8.{key} is unknown", f"the keys are {' and '.join(_KEYS)}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _bad(f"tool.deloc8.{key} is no list of texts")
    return {key: tuple(table.get(key, ())) for key in _KEYS}


def _parsed(text: str) -> Mapping[str, object]:
    if _DEEP_KEY.search(text):
        raise _bad("it is nested too deeply", f"wanted: keys of up to {_DEEPEST} parts")
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        document: Mapping[str, object] = toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad("it is no TOML", str(error)) from None
    return document


def _bad(what: str, *context: str) -> UsageError:
    return UsageError(f"{_FILE}: {what}", code="bad-config", context=context)
