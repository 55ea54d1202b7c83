from __future__ import annotations

import ast
import gc
import sys
import textwrap
from time import process_time

import pytest

from deloc8.dlopen.budget import Budget, Spent
from deloc8.dlopen.python_calls import OpeningCall, Unreadable, opening_calls
from deloc8.dlopen.python_values import Folder

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


VERSION = ".".join(map(str, sys.version_info[:2]))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"import ctypes\nctypes.CDLL('liba.so'\n", f"it is not valid for Python {VERSION} (line 2)"),
        (b"# \xe9\nimport ctypes\nctypes.CDLL('liba.so')\n", "it is not UTF-8"),
        (b"import ctypes\0\nctypes.CDLL('liba.so')\n", f"it is not valid for Python {VERSION}"),
        (b"x = " + b"(" * 5000 + b")" * 5000, f"it is not valid for Python {VERSION} (line 1)"),
        (b"x = " + b"-" * 50_000 + b"1", "it is nested too deeply"),
        (b"x = " + b"'a'+" * 50_000 + b"'b'\nctypes.CDLL(x)", "it has more than 65,536 words and signs"),
        (b"x = f'" + b"{a}" * 15_000 + b"x" * 100_000 + b"'", "it has too many gaps in long texts"),
    ],
)
def test_files_that_cannot_be_searched_say_why(source: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        opening_calls(source, PATH)
    assert str(caught.value) == reason


def test_a_test_nested_deeper_than_the_interpreter_goes_ends_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(Folder, "fold", fail)
    with pytest.raises(Unreadable, match="nested too deeply"):
        opening_calls(b"import ctypes\nctypes.CDLL('liba.so')", PATH)


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
    with pytest.raises(Spent):
        names("\n".join([*lines, "ctypes.CDLL(b39)"]))
    lines = ["import ctypes", "b0 = 'x'", *(f"b{n + 1} = b{n} + b{n}" for n in range(13))]
    assert names("\n".join([*lines, "ctypes.CDLL(b13 + 'liba.so')"])) == []  # longer than any path


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


# Each of these took more than five seconds, or did not end in a minute.
WORK = {
    "products of joins": ["a0 = 'a'", *(f"a{n + 1} = os.path.join(a{n}, a{n}, a{n})" for n in range(35)), "CDLL(a35)"],
    "a chain of names": ["".join(["if ", " or ".join(f"win{n}" for n in range(15_000)), ":"]), "    CDLL('liba.so')"],
    "a name given often": ["a = 1\n" * 9000, *(["CDLL(a)"] * 4000)],
    "many names": [f"a{n} = 'x.so'\nCDLL(a{n})" for n in range(4500)],
    "flags of flags": [
        *(f"win{n} = win{n + 1} and win{n + 2}" for n in range(3000)),
        *(["if win0 and win1:\n    CDLL('liba.so')"] * 3000),
    ],
    "a large table": ["t = {" + ", ".join(f"{n}: 'x'" for n in range(9000)) + "}", *(["CDLL(t['a'])"] * 2000)],
    "shared names": [f"def f{n}():\n    global a\n    a = 'x.so'\n    CDLL(a)" for n in range(3000)],
    "nested functions": [
        *(" " * depth + "def f():" for depth in range(95)),
        *([" " * 95 + "CDLL(a)"] * 9000),
        *("a = 1" for _ in range(50)),
    ],
}


@pytest.mark.parametrize("kind", WORK)
def test_hostile_files_end_in_counted_work(kind: str) -> None:
    source = "\n".join([IMPORTS, *WORK[kind]]).encode()
    ended = []
    for _ in range(2):
        budget = Budget(400_000)
        start = process_time()
        with pytest.raises(Spent):
            opening_calls(source, PATH, budget)
        assert process_time() - start < 5  # a second is usual
        ended.append(budget.left)
    assert ended[0] == ended[1] < 0  # the same work in every run


def test_many_aliases_are_found() -> None:
    aliases = "\n".join(f"from ctypes import CDLL as c{n}\nc{n}('lib{n}.so')" for n in range(3000))
    assert names(aliases) == [f"lib{n}.so" for n in range(3000)]


def test_long_chains_of_attributes_are_no_function() -> None:
    assert names(IMPORTS + "CDLL" + ".b" * 300 + "('liba.so')\n") == []


def test_nested_flags_are_read() -> None:
    nested = [f"if win{number + 1}:\n    win{number} = 'win'" for number in range(3000)]
    assert names("\n".join([IMPORTS, *nested, "if win0:\n    CDLL('liba.so')"])) == ["liba.so"]


def test_what_is_no_text_costs_little() -> None:
    wide = "\n".join([IMPORTS, *(f"CDLL(('a', [{', '.join('x' * 60)}]), x)" for _ in range(400))])
    assert opening_calls(wide.encode(), PATH) == ()


def test_trees_are_freed_without_the_collector() -> None:
    source = f"{IMPORTS}NAME = 'liba'\nCDLL(NAME + '.so')\n".encode()
    opening_calls(source, PATH)
    gc.collect()
    # Others may keep trees of their own: Hypothesis keeps those of lambdas.
    others = {id(thing) for thing in gc.get_objects() if isinstance(thing, ast.AST)}
    gc.disable()
    try:
        opening_calls(source, PATH)
        with pytest.raises(Unreadable):
            opening_calls(source + b"(", PATH)
        with pytest.raises(Spent):
            opening_calls(source, PATH, Budget(100))
        kept = [thing for thing in gc.get_objects() if isinstance(thing, ast.AST) and id(thing) not in others]
    finally:
        gc.enable()
    # The interpreter keeps one of each operator and context.
    assert not [node for node in kept if hasattr(node, "lineno")]
