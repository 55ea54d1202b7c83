"""Openings: whatever a Python file or an ELF file holds, there is an answer, and it says what stands there."""

from __future__ import annotations

import posixpath
import types

from hypothesis import given
from hypothesis import strategies as st

from deloc8.dlopen.mentions import mentioned_libraries
from deloc8.dlopen.python_calls import Unreadable, opening_calls
from deloc8.elf.read.image import parse
from kit.elf import ElfSpec, build_elf

WORDS: tuple[str, ...] = (
    "CDLL(",
    "find_library(",
    "ctypes.",
    "'liba.so'",
    "'lib%s.so'",
    "x",
    "y",
    "=",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "%",
)
WORDS += (
    "if ",
    "else",
    "sys.platform",
    "'win32'",
    "==",
    "in ",
    "for ",
    "def f(",
    "lambda ",
    "try:",
    "except OSError:",
    "pass",
)
WORDS += (
    "\n",
    "\n  ",
    "\r",
    "f'{x}.so'",
    "os.path.join(",
    "+",
    "/",
    "global x",
    "import ctypes",
    "\x0c",
    "é",
    "@",
    "raise",
)


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_text_has_an_answer(words: list[str]) -> None:
    try:
        calls = opening_calls("".join(words).encode(), "/site/demo/lib.py")
    except Unreadable:
        return
    for call in calls:
        assert call.names
        assert 1 <= call.line <= sum(map(words.count, ("\n", "\n  ", "\r"))) + 1


NAMES = st.sampled_from(["liba.so", "libb.so.1", "dir/libc.so"])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """Expressions that are texts, of names that stand for texts."""
    if not depth:
        return draw(st.sampled_from(["'lib'", "'a'", "NAME", "'.so'"]))
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    form = draw(
        st.sampled_from(
            [
                "{0} + {1}",
                "f'{{{0!s}}}x'",
                "('%s.%s' % ({0}, {1}))",
                "'{{}}-{{}}'.format({0}, {1})",
                "os.path.join({0}, {1})",
            ]
        )
    )
    # Quotes of one kind cannot be nested in an f-string before Python 3.12.
    return f"({form.format(left, right)})" if "f'" not in form else f"({left})"


@given(expressions())
def test_texts_are_those_that_python_makes(expression: str) -> None:
    source = f"import ctypes, os\nNAME = 'n'\nTEXT = {expression} + '.so'\nctypes.CDLL(TEXT)\n"
    opened: list[str] = []
    fake = types.SimpleNamespace(CDLL=opened.append)
    exec(source.replace("import ctypes, os", "import os"), {"ctypes": fake})  # noqa: S102  our own expressions
    calls = opening_calls(source.encode(), "/site/demo/lib.py")

    assert [call.names for call in calls] == [(posixpath.normpath(name),) for name in opened]


@given(
    st.lists(
        st.binary(max_size=12) | st.sampled_from([b"liba.so\0", b"\0libb.so.1\0", b"\0", b".so", b"@"]), max_size=20
    )
)
def test_mentions_stand_where_they_are_said_to(pieces: list[bytes]) -> None:
    data = build_elf(ElfSpec(payload=b"".join(pieces)))
    for name, offset in mentioned_libraries(data, parse(data, "a.so")):
        assert data[offset : offset + len(name) + 1] == name.encode() + b"\0"
