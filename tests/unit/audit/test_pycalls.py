from __future__ import annotations

import textwrap

import pytest

from deloc8.audit.pycalls import OpeningCall, opening_calls

PATH = "/site/demo/lib.py"


def names(source: str) -> list[str]:
    return [" or ".join(call.names) for call in opening_calls(textwrap.dedent(source).encode(), PATH)]


def test_calls_are_told_with_their_lines() -> None:
    source = b"import ctypes\nctypes.PyDLL('libb.so.2')\n\nctypes.CDLL(\n  'liba.so.1')\n"
    assert opening_calls(source, PATH) == (
        OpeningCall(line=2, names=("libb.so.2",)),
        OpeningCall(line=4, names=("liba.so.1",)),
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
            "LOOP",
            "HALF",
            "ARGUMENT",
        ),
        *("''", "os.path.join()", "[A][0]", "BARE", "PAIR", "X.y", "(lambda: A)()"),
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
    assert opening_calls(b"\xef\xbb\xbfimport ctypes\nctypes.CDLL('liba.so')", PATH)[0].names[0] == "liba.so"


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


IMPORTS = """\
import os, platform, sys
from ctypes import CDLL
from ctypes.util import find_library
from pathlib import Path
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # one of several, of which the file takes one
        ("CDLL('liba.so' if A else 'libb.so')", "liba.so or libb.so"),
        ("CDLL(find_library('a') or 'liba.so.1')", "liba.so* or liba.so.1"),
        ("for name in ('liba.so.2', 'liba.so.1'):\n    CDLL(name)", "liba.so.2 or liba.so.1"),
        ("NAMES = ['liba.so.2', X, 'liba.so.1']\n[CDLL(name) for name in NAMES]", "liba.so.2 or liba.so.1"),
        ("for name in NOBODY:\n    CDLL(name)", None),
        ("name = 'liba.so'\nif A:\n    name = 'libb.so'\nCDLL(name)", "liba.so or libb.so"),
        ("name = 'liba.so'\nname = 'libb.so'\nCDLL(name)\nname = 'libc.so'", "libb.so"),
        ("name = X\nif not name:\n    name = 'liba.so'\nCDLL(name)", "liba.so"),
        ("name = 'a'\nname += '.so'\nCDLL(name)", None),
        ("CDLL(os.environ.get('A', 'liba.so'))", "liba.so"),
        ("CDLL(os.getenv('A'))", None),
        ("CDLL(os.getenv('A') or 'liba.so')", "liba.so"),
        # names belong to their function
        ("def f():\n    name = 'liba.so'\n    CDLL(name)\ndef g():\n    name = X", "liba.so"),
        ("name = 'liba.so'\ndef f():\n    CDLL(name)\nname = name", "liba.so"),
        ("def f():\n    name = 'liba.so'\n    def g():\n        CDLL(name)", "liba.so"),
        ("def f():\n    global name\n    name = 'liba.so'\ndef g():\n    CDLL(name)", "liba.so"),
        ("def f(name='liba.so'):\n    CDLL(name)", "liba.so"),
        ("def f(*, name='liba.so', other):\n    CDLL(name)", "liba.so"),
        ("NAME = 'liba.so'\ndef f(name=NAME, /):\n    CDLL(name)", "liba.so"),
        ("f = lambda name='liba.so': CDLL(name)", "liba.so"),
        ("def f(name):\n    CDLL(name)", None),
        ("if (name := 'liba.so'):\n    CDLL(name)", "liba.so"),
        ("try:\n    pass\nexcept E as name:\n    CDLL(name)", None),
        ("import name\nCDLL(name)", None),
        ("def name(): pass\nCDLL(name)", None),
        # texts
        ("CDLL('lib%s.so.%s' % ('a', '1'))", "liba.so.1"),
        ("CDLL('lib%s.so' % 'a')", "liba.so"),
        ("CDLL('lib%d.so' % 1)", None),
        ("CDLL('lib{}.so'.format('a'))", "liba.so"),
        ("CDLL('lib{0}.so'.format('a'))", None),
        ("CDLL('LIBA.SO'.lower())", "liba.so"),
        ("CDLL({'linux': 'liba.so', 'win32': 'b.so', **X}[sys.platform])", "liba.so"),
        ("T = {'linux': 'liba.so'}\nCDLL(T.get(sys.platform))", "liba.so"),
        ("T = {'linux': 'liba.so'}\nCDLL(T[X])", None),
        ("T = {'win32': 'liba.so'}\nCDLL(T[sys.platform])", None),
        ("CDLL('lib' + {'Linux': 'a'}[platform.system()] + '.so')", "liba.so"),
        ("CDLL(Path(__file__).with_name('liba.so'))", "/site/demo/liba.so"),
        ("CDLL(os.path.dirname(__file__) + os.sep + 'liba.so')", "/site/demo/liba.so"),
        ("from sys import platform as p\nCDLL('lib' + p + '.so')", "liblinux.so"),
        ("CDLL(find_library())", None),
        ("CDLL(joined('liba.so'))", None),
    ],
)
def test_values_of_expressions(code: str, expected: str | None) -> None:
    found = names(IMPORTS + code)
    alone = [name for name in found if name != "liba.so*"]  # what `find_library` looks for is told by itself too
    assert alone == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    "test",
    [
        "sys.platform == 'win32'",
        "sys.platform != 'linux'",
        "'win' in sys.platform",
        "sys.platform in ('win32', 'cygwin')",
        "sys.platform not in ['linux', 'linux2']",
        "sys.platform.startswith('win')",
        "sys.platform.startswith(('win', 'darwin'))",
        "os.name == 'nt'",
        "platform.system() == 'Windows'",
        "platform.system().lower() == 'darwin'",
        "not sys.platform.startswith('linux')",
        "A and sys.platform == 'win32'",
        "sys.platform == 'win32' or os.name == 'nt'",
        "IS_WINDOWS",
        "not ON_LINUX",
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
        "system == 'Windows'",
        "platform.system().lower().endswith('bsd')",
    ],
)
def test_what_only_other_systems_run_is_left_out(test: str) -> None:
    head = IMPORTS + "IS_WINDOWS = sys.platform == 'win32'\nON_LINUX = not IS_WINDOWS\nsystem = platform.system()\n"
    assert names(f"{head}if {test}:\n    CDLL('liba.so')\nelse:\n    CDLL('libb.so')\n") == ["libb.so"]
    assert names(f"{head}CDLL('liba.so' if {test} else 'libb.so')") == ["libb.so"]
    assert names(f"{head}if {test}:\n    name = 'liba.so'\nelse:\n    name = 'libb.so'\nCDLL(name)") == ["libb.so"]


@pytest.mark.parametrize(
    "test",
    [
        "A",
        "window",
        "self.window",
        "A == 'linux'",
        "sys.platform == B",
        "sys.platform < 'linux'",
        "sys.platform == ('linux', 'win32')",
        "1 < 2 < 3",
        "sys.platform.strip('win')",
        "sys.platform.startswith()",
        "sys.platform.startswith(A)",
        "f(A)",
        "not A",
        "A or sys.platform == 'win32'",
        "-A",
        "A if A else A",
        "not " * 60 + "IS_WINDOWS",
        "posix1",
    ],
)
def test_other_tests_are_not_looked_into(test: str) -> None:
    head = IMPORTS + "IS_WINDOWS = sys.platform == 'win32'\n"
    head += "".join(f"posix{number} = posix{number + 1}\n" for number in range(60, 0, -1))
    assert names(f"{head}if {test}:\n    CDLL('liba.so')\nelse:\n    CDLL('libb.so')\n") == ["liba.so", "libb.so"]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    CDLL('liba.so')\nexcept OSError:\n    pass",
        "try:\n    CDLL('liba.so')\nexcept (AttributeError, OSError) as error:\n    print(error)",
        "try:\n    CDLL('liba.so')\nexcept:\n    lib = None",
        "with contextlib.suppress(OSError):\n    CDLL('liba.so')",
        "with suppress(Exception):\n    CDLL('liba.so')",
        "def f(name='liba.so'):\n    CDLL(name)",
        "CDLL(os.environ.get('A', 'liba.so'))",
    ],
)
def test_what_may_fail_is_optional(code: str) -> None:
    (call,) = opening_calls(f"{IMPORTS}{code}\n".encode(), PATH)
    assert call.is_optional


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    CDLL('liba.so')\nexcept OSError:\n    raise ImportError",
        "try:\n    CDLL('liba.so')\nexcept ValueError:\n    pass",
        "try:\n    pass\nexcept OSError:\n    CDLL('liba.so')",
        "try:\n    pass\nfinally:\n    CDLL('liba.so')",
        "try:\n    def f():\n        CDLL('liba.so')\nexcept OSError:\n    pass",
        "with suppress(KeyError):\n    CDLL('liba.so')",
        "with open('x'), lock:\n    CDLL('liba.so')",
        "with makers[0]():\n    CDLL('liba.so')",
        "@decorated(\n  CDLL('liba.so'))\nclass A: pass",
    ],
)
def test_what_ends_the_program_is_not(code: str) -> None:
    (call,) = opening_calls(f"{IMPORTS}{code}\n".encode(), PATH)
    assert not call.is_optional


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_the_compiler(end: str) -> None:
    source = end.join(["from ctypes import CDLL", "x = '''", "", "'''", "CDLL('liba.so')", ""])
    assert opening_calls(source.encode(), PATH) == (OpeningCall(line=5, names=("liba.so",)),)


def test_calls_in_texts_with_gaps_are_found() -> None:
    assert names("from ctypes import CDLL\nx = f'''\n{CDLL(\"liba.so\")}\n'''") == ["liba.so"]


def test_so_many_names_are_told_of_one_call() -> None:
    listed = [f"lib{number}.so" for number in range(20)]
    (call,) = opening_calls(f"{IMPORTS}for name in {listed}:\n    CDLL(name)".encode(), PATH)
    assert call.names == tuple(listed[:8])
    code = "A = 'a' if X else 'b'\nCDLL(A + (A if X else 'c') + A + A + '.so')"
    (call,) = opening_calls(f"{IMPORTS}{code}".encode(), PATH)
    assert len(call.names) <= 9
    assert call.is_optional


def test_hostile_files_end() -> None:
    flags = [f"win{number} = win{number + 1} and win{number + 2}" for number in range(3000)]
    calls = ["if win0 and win1:\n    CDLL('liba.so')" for _ in range(3000)]
    opening_calls("\n".join([IMPORTS, *flags, *calls]).encode(), PATH)
    nested = [f"if win{number + 1}:\n    win{number} = 'win'" for number in range(3000)]
    assert names("\n".join([IMPORTS, *nested, "if win0:\n    CDLL('liba.so')"])) == ["liba.so"]
    wide = "\n".join([IMPORTS, *(f"CDLL(('a', [{', '.join('x' * 60)}]), x)" for _ in range(4000))])
    assert opening_calls(wide.encode(), PATH) == ()
