from __future__ import annotations

import textwrap

import pytest

from deloc8.audit.pycalls import OpeningCall, opening_calls

PATH = "/site/demo/lib.py"


def names(source: str) -> list[str]:
    return [call.name for call in opening_calls(textwrap.dedent(source).encode(), PATH)]


def test_calls_are_told_with_their_lines() -> None:
    source = b"import ctypes\nctypes.PyDLL('libb.so.2')\n\nctypes.CDLL(\n  'liba.so.1')\n"
    assert opening_calls(source, PATH) == (
        OpeningCall(line=2, name="libb.so.2"),
        OpeningCall(line=4, name="liba.so.1"),
    )


@pytest.mark.parametrize(
    "source",
    [
        "import ctypes as c\nc.CDLL('liba.so')",
        "from ctypes import CDLL as Load\nLoad(name='liba.so')",
        "from ctypes import *\ncdll.LoadLibrary('liba.so')",
        "import ctypes\nctypes.pydll.LoadLibrary('liba.so')",
        "from cffi import FFI\nffi = FFI()\nffi.dlopen('liba.so')",
        "from cffi import FFI\nFFI().dlopen('liba.so')",
        "import ctypes\nNAME: str = 'liba'\nctypes.CDLL(f'{NAME}.so')",
        "import ctypes\nctypes.CDLL('lib' + f\"{'a'!s}.so\")",
    ],
)
def test_how_a_library_is_opened(source: str) -> None:
    assert names(source) == ["liba.so"]


@pytest.mark.parametrize(
    "source",
    [
        "import os, ctypes\nctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'a', 'x.so'))",
        "import ctypes\nfrom pathlib import Path\nA = Path(__file__).resolve().parent\nctypes.CDLL(str(A / 'a/x.so'))",
        "import ctypes\nimport pathlib as p\nctypes.CDLL(p.Path(__file__).parents[0].joinpath('a', 'x.so'))",
        "import numpy as np\nnp.ctypeslib.load_library('x', A())\nnp.ctypeslib.load_library('a/x', __file__)",
        "from numpy import ctypeslib\nctypeslib.load_library('a/x.so', loader_path='/site/demo')",
    ],
)
def test_paths_are_folded(source: str) -> None:
    assert names(source) == ["/site/demo/a/x.so"]


def test_what_is_looked_for_is_a_pattern() -> None:
    assert names("from ctypes.util import find_library\nfind_library('usb-1.0')\nfind_library('a*/b')") == [
        "libusb-1.0.so*"
    ]


@pytest.mark.parametrize(
    "argument",
    [
        *("", "None", "'kernel32.dll'", "'liba.dylib'", "b'liba.so'", "name", "f'{1:x}.so'", "f'{A!r}.so'", "A * 2"),
        *("A - 'x'", "A['x']", "A.parents[B]", "B.parents[0]", "A.parents['x']", "A.parents[-1]", "A.name", "B.parent"),
        *(
            "os.path.dirname()",
            "os.path.dirname(B)",
            "str(B)",
            "A.upper()",
            "g(A)",
            "TWICE",
            "LOOP",
            "HALF",
            "ARGUMENT",
        ),
        *("'liba.so' if A else 'libb.so'", "''", "os.path.join()", "[A][0]", "BARE", "PAIR", "X.y", "(lambda: A)()"),
    ],
)
def test_what_cannot_be_told_is_no_finding(argument: str) -> None:
    source = f"""
        import ctypes, os
        from . import X
        A = 'a.so'
        B = os.environ['B']
        BARE: str
        PAIR, HALF = A, A
        X.y = A
        TWICE = A
        TWICE = 'b.so'
        LOOP = LOOP + A
        class C:
            async def f(self, ARGUMENT=A): pass
        one = two = A
        ctypes.CDLL({argument})
    """
    assert names(source) == []


def test_numpy_without_a_folder_is_no_finding() -> None:
    assert names("import numpy\nnumpy.ctypeslib.load_library('liba')") == []


@pytest.mark.parametrize(
    "source",
    [
        b"import ctypes\nctypes.CDLL('liba.so'\n",
        b"# \xe9\nimport ctypes\nctypes.CDLL('liba.so')\n",
        b"import ctypes\0\nctypes.CDLL('liba.so')\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"x = " + b"-" * 100_000 + b"1",
        b"x = " + b"'a'+" * 50_000 + b"'b'\nimport ctypes\nctypes.CDLL(x)",
    ],
)
def test_files_that_cannot_be_read_are_passed_over(source: bytes) -> None:
    assert opening_calls(source, PATH) == ()


def test_a_byte_order_mark_is_no_part_of_the_source() -> None:
    assert opening_calls(b"\xef\xbb\xbfimport ctypes\nctypes.CDLL('liba.so')", PATH)[0].name == "liba.so"


def test_warnings_of_the_source_are_not_told() -> None:
    assert names(r"""
        import ctypes
        x = '\d' is 1
        ctypes.CDLL('liba.so')
    """) == ["liba.so"]


def test_texts_that_double_and_double_end() -> None:
    lines = ["import ctypes", "a0 = 'x' * 1", "b0 = 'x.so'"]
    lines += [f"b{n + 1} = b{n} + b{n}" for n in range(39)]
    assert names("\n".join([*lines, "ctypes.CDLL(b39)"])) == []
    lines = ["import ctypes", "b0 = ''", *(f"b{n + 1} = b{n} + b{n}" for n in range(15))]
    assert names("\n".join([*lines, "ctypes.CDLL(b15 + 'liba.so')"])) == []
