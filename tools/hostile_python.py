"""Python files that cost more than they are long, by show, check and fixup.

Each file opens one library by its name. It is found, or the command says that the file was not searched; either within
ten seconds of the processor and 256 MiB. Each kind is tried as one file, and as eight.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import MEBIBYTE, Trial

from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostile_kit import Tool

    from kit.elf import ElfSpec

_MOST_SECONDS = 10.0
_MOST_MEMORY = 256 * MEBIBYTE
_COPIES = 8
_LARGEST = 1 << 20  # bytes of a file that is searched
_ANSWERS = (b"libsentinel.so.1", b"search-incomplete", b"was not searched, or not to its end")
_HEAD = (
    "import os, sys, platform, ctypes, ctypes.util\nfrom ctypes import CDLL\nfrom pathlib import Path\n"
    "CDLL('libsentinel.so.1')\n"
)


def _filled(part: str, begin: str = "", end: str = "") -> str:
    """A file of a mebibyte, of one part again and again."""
    return begin + part * ((_LARGEST - len(_HEAD) - len(begin) - len(end) - 1) // len(part.encode())) + end


def _numbered(pattern: str, count: int) -> str:
    return "".join(pattern.replace("N+1", str(number + 1)).replace("N", str(number)) for number in range(count))


# What the parser and the tree cost.
_PARSED = {
    "gaps of an f-string": _filled("{a}", "CDLL(f'", ".so')"),
    "gaps with line ends": _filled("{a}\n", "x = f'''", "'''"),
    "gaps in a long text": "x = f'" + "{a}" * 20_000 + "x" * 900_000 + "'\n",
    "nested gaps": _filled("{a:{b}}", "x = f'", "'"),
    "gaps with functions": _filled("{(lambda:a)}", "x = f'", "'"),
    "gaps, and an error": _filled("{a}", "x = f'", "' b"),
    "gaps that hide code": _filled("a,", 'x = f\'{"\'""" + [', '] + \'"""}\'\n'),
    "many f-strings": _filled("f'{a}' ", "x = (", ")"),
    "zeros": _filled("0,", "x = [", "]"),
    "zeros on lines": _filled("0\n"),
    "names on lines": _filled("a\n"),
    "names behind semicolons": _filled("a;"),
    "names of other letters": _filled("\ufb01\n"),
    "names, and an error": _filled("a\n", end="print a b\n"),
    "a list, and an error": _filled("a,", "x = [", "] b\n"),
    "brackets, and an error": _filled("(" * 150 + "a" + ")" * 150 + "\n", end="a b\n"),
    "tables, and an error": _filled("{a:" * 150 + "a" + "}" * 150 + "\n", end="a b\n"),
    "calls on lines": _filled("a()\n"),
    "signs": _filled("-----a\n"),
    "empty tuples": _filled("(),", "x = [", "]"),
    "empty lists": _filled("[],", "x = [", "]"),
    "slices": _filled("a[:],", "x = [", "]"),
    "loops in lists": _filled("[a for a in a],", "x = [", "]"),
    "a long comparison": _filled("<a", "x = a", "\n"),
    "assignments": _filled("a=", end="0\n"),
    "texts one after the other": _filled("'a' ", "x = (", ")"),
    "bytes one after the other": _filled("b'a' ", "x = (", ")"),
    "wrong escapes": _filled("'\\d'\n"),
    "wrong escapes in one text": _filled("\\d", "x = '", "'"),
    "names of characters": _filled("\\N{DIGIT ONE}", "x = '", "'"),
    "long numbers": _filled("9" * 4299 + ",", "x = [", "]"),
    "one number": _filled("9", "x = ", "\n"),
    "one hexadecimal number": _filled("f", "x = 0x", "\n"),
    "one broken number": _filled("9", "x = 1.", "e308\n"),
    "a chain of attributes": _filled(".b", "a", "\n"),
    "a chain of calls": _filled("()", "a", "\n"),
    "a sum": _filled("+1", "x = 1", "\n"),
    "a sum of texts": _filled("+'a'", "x = 'a'", "\n"),
    "elif": _filled("elif a:0\n", "if a:0\n"),
    "conditions": _filled("0 if a else ", "x = ", "0\n"),
    "functions in functions": _filled("lambda:", "x = ", "0\n"),
    "not": _filled("not ", "x = ", "0\n"),
    "decorators": _filled("@a\n", end="def f(): 0\n"),
    "open brackets": _filled("(", "x = "),
    "nested blocks": "".join(" " * depth + "if a:\n" for depth in range(99)) + " " * 99 + "0\n",
    "cases": _filled("|0", "match a:\n case 0", ":0\n"),
    "words in a text": "x = '''" + _numbered("wordN ", 90_000) + "'''\n",
    "words in comments": _numbered("# wordN\n", 80_000),
    "backslashes": _filled("\\\n", "x = ", "0\n"),
    "form feeds": _filled("\f\n"),
    "carriage returns": _filled("a\r"),
    "NUL": "x = 1\n\0\n",
    "no UTF-8": "x = 1\n# \udcff\n",
    "another encoding": "# coding: utf-7\nx = 1\n",
}

# What the search in the tree costs.
_SEARCHED = {
    "aliases": _numbered("from ctypes import CDLL as cN\ncN('libN.so')\n", 20_000),
    "fewer aliases": _numbered("from ctypes import CDLL as cN\ncN('libN.so')\n", 4000),
    "one import of aliases": "from ctypes import "
    + _numbered("CDLL as cN, ", 9000)
    + "x\n"
    + _numbered("cN('a')\n", 6000),
    "products of joins": "a0 = 'a'\n" + _numbered("aN+1 = os.path.join(aN, aN, aN)\n", 39) + "CDLL(a39 + '.so')\n",
    "a wide join": "a = 'a' if x else 'b'\n" + ("CDLL(os.path.join(" + "a, " * 9000 + "'x.so'))\n") * 2,
    "wide joins of long texts": f"a = '{'a' * 2000}' if x else 'b'\n"
    + _numbered("CDLL(os.path.join(" + "a, " * 200 + "'N.so'))\n", 100),
    "products of formats": "a0 = 'a' if x else 'b'\n"
    + _numbered("aN+1 = '{}{}'.format(aN, aN)\n", 39)
    + "CDLL(a39 + '.so')\n",
    "products of sums": "a0 = 'a'\n" + _numbered("aN+1 = aN + aN\n", 39) + "CDLL(a39 + '.so')\n",
    "products of choices": "a0 = 'a'\n" + _numbered("aN+1 = aN or aN or 'bN'\n", 39) + "CDLL(a39 + '.so')\n",
    "products of gaps": "a0 = 'a'\n" + _numbered("aN+1 = f'{aN}{aN}'\n", 39) + "CDLL(a39 + '.so')\n",
    "a chain of names": "if " + _numbered("winN or ", 15_000) + "win:\n    CDLL('a.so')\n",
    "a chain of one name": "win0 = win1\n" * 5000 + "if " + "win0 or " * 5000 + "win:\n    CDLL('a.so')\n",
    "flags of flags": _numbered("winN = winN+1\n", 3000)
    + "if "
    + _numbered("winN or ", 3000)
    + "win:\n    CDLL('a.so')\n",
    "twice flags of flags": _numbered("winN = winN+1 and winN\n", 3000)
    + "if win0 and win1:\n    CDLL('a.so')\n" * 3000,
    "a name given often": "a = 1\n" * 9000 + "CDLL(a)\n" * 4500,
    "many names": _numbered("aN = 'N.so'\nCDLL(aN)\n", 5000),
    "a table": "t = {" + _numbered("'N': 'x.so', ", 9000) + "}\n" + _numbered("CDLL(t['N'])\n", 2000),
    "a loop over names": "for a in [" + _numbered("'N.so', ", 9000) + "]:\n" + "    CDLL(a)\n" * 2000,
    "a long test": "if sys.platform in ("
    + _numbered("'linuxN', ", 9000)
    + "):\n"
    + _numbered("    CDLL('N.so')\n", 2000),
    "a dotted name": "CDLL" + ".b()" * 9000 + "\n",
    "a name of many calls": "a" + ".dlopen('a.so')" * 400 + "\n",
    "nested functions": "a = 'x.so'\n"
    + "".join(" " * depth + "def f():\n" for depth in range(95))
    + (" " * 95 + "CDLL(a)\n") * 9000,
    "shared names": _numbered("def fN():\n    global a\n    a = 'N.so'\n    CDLL(a)\n", 3000),
    "nested tests": _numbered("winN = " + "not " * 18 + "winN+1\n", 60) + "if win0:\n    CDLL('a.so')\n",
    "names looked for": _numbered("ctypes.util.find_library('aN')\n", 6000),
    "patterns": _numbered("CDLL('" + "*a" * 20 + "N.so*')\n", 2000),
    "names of the loader": _numbered("CDLL('libN.so.1')\n", 6000),
    "words that are no calls": _filled("CDLL ", "#"),
}


def trials(folder: Path) -> Iterator[Trial]:
    """Each kind, as one file and as eight, given to three commands."""
    sources = {**_PARSED, **_SEARCHED}
    for number, (name, source) in enumerate(sources.items()):
        for copies in (1, _COPIES):
            place = folder / f"{number}-{copies}"
            place.mkdir()
            scene = Scene(place)
            contents = (_HEAD + source).encode("utf-8", "surrogateescape")
            members: dict[str, ElfSpec | bytes] = {CORE: wants("GLIBC_2.5")}
            members.update((f"demo/m{copy}.py", contents) for copy in range(copies))
            wheel = scene.wheel(members)
            for command in ("show", "check", "fixup"):
                title = f"{command} {name}" + (f", {copies} files" if copies > 1 else "")
                yield Trial(title, partial(_judge, scene=scene, wheel=wheel, command=command))


def _judge(tool: Tool, *, scene: Scene, wheel: Path, command: str) -> str | None:
    words: list[str | Path] = [command, wheel, "--sysroot", scene.root, "-j1"]
    if command == "fixup":
        words += ["-w", scene.folder / "out", "-v"]
    ended = tool.run(*words, seconds=120)
    if ended.fault():
        return ended.fault()
    if ended.code not in {0, 1}:
        return f"exit code {ended.code}"
    if not any(answer in ended.out + ended.err for answer in _ANSWERS):
        return "neither lists the library nor says what it has not searched"
    if ended.cpu > _MOST_SECONDS:
        return f"{ended.cpu:.1f} s of the processor"
    if ended.peak > _MOST_MEMORY:
        return f"{ended.peak / MEBIBYTE:.0f} MiB"
    return None
