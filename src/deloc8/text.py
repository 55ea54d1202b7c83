r"""Text on its way out: what comes from a stranger is made fit for a line here, and nowhere else.

A name in a wheel, a library, a package database, a policy, a path or a variable may hold anything: line ends, escapes
of a terminal, characters that nobody sees or that turn the text around, commands that a service takes out of its log.
Here it becomes one line in which each of these is shown as an escape, such as ``\n`` or ``\x1b``.

`Lines` is the type of what may be written: only functions of this module make it of a text, and `Console` takes
nothing else, so that a text which has not been here does not pass the type checker.
"""

from __future__ import annotations

from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NewType

    Lines = NewType("Lines", str)
else:
    Lines = str

# As the lines of auditwheel.
_WIDTH = 70

# Characters that Python counts as printable, and that no font shows: of Default_Ignorable_Code_Point (Unicode,
# DerivedCoreProperties.txt) those that are letters or marks. .NET, in which runners are written, leaves them out where
# it compares: a command may hide behind them.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_VARIATIONS = (("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"))

# What services take out of a log. Two `#` may be anywhere in a line: `##[...]` for GitHub (its actions/runner,
# ActionCommand.TryParse), `##vso[...]` for that of Azure Pipelines, `##teamcity[...]`. The others begin a line, blanks
# before them or not: `::name ...::` for GitHub (TryParseV2), and the heads of groups in a log of Buildkite. They are
# escaped at the beginning of every word, so that no line that is broken at a space begins with one.
_ANYWHERE = "##"
_FIRST = pattern(r"(?:^|(?<= ))(?=::|(?:---|\+\+\+|~~~|\^\^\^)(?: |$)).")
_MARKS = (_ANYWHERE, "::", "---", "+++", "~~~", "^^^")

NOTHING = Lines("")


def printable(text: str) -> Lines:
    r"""The text as one line that neither a terminal nor a service obeys; what was printable before stays as it is.

    What is not visible is shown as an escape (``\x1b``), and so is a character of what begins a command: of
    ``::error::`` the first (``\x3a:error::``), of ``##[error]`` the second (``#\x23[error]``). ``std::string`` stays.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if _is_visible(char) else _escape(char) for char in text)
    for mark in _MARKS:
        if mark in text:
            text = text.replace(_ANYWHERE, _ANYWHERE[0] + _hexadecimal(_ANYWHERE[1]))
            return Lines(_FIRST.sub(lambda found: _hexadecimal(found[0]), text))
    return Lines(text)


def _is_visible(char: str) -> bool:
    return char.isprintable() and char not in _UNSEEN and not any(low <= char <= high for low, high in _VARIATIONS)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _hexadecimal(char: str) -> str:
    return f"\\x{ord(char):02x}"


def lines(texts: Iterable[str]) -> Lines:
    """A line for each text, with its end."""
    return Lines("".join(f"{printable(text)}\n" for text in texts))


def joined(parts: Iterable[Lines], between: str = "\n") -> Lines:
    """Parts that are fit, with line ends or spaces of ours between them."""
    return Lines(between.join(parts))


def paragraphs(parts: Iterable[Lines]) -> Lines:
    """Parts with an empty line between them, and the end of the last line."""
    return Lines("\n\n".join(parts) + "\n")


def without_end(text: Lines) -> Lines:
    """Lines without the end of the last one."""
    return Lines(text.removesuffix("\n"))


def indented(part: Lines, indent: str) -> Lines:
    """A part with blanks before each of its lines."""
    return Lines("\n".join(indent + line for line in part.split("\n")))


def filled(text: str, first: str = "", following: str = "") -> Lines:
    """A text in lines of at most 70 characters, broken at spaces only: a longer word has a line of its own.

    What the standard library's `textwrap.fill` makes of it without breaking words; its import alone would take a
    fiftieth of the time of a small wheel.

    Args:
        text: One paragraph. What is not printable in it is shown as an escape: a line end in a name must not begin one.
        first: What the first line begins with.
        following: What the others begin with.
    """
    words = iter(printable(text).split(" "))
    line, gap = first + next(words), " "
    filled_lines = []
    for word in words:
        if not word:
            gap += " "
            continue
        if len(line) + len(gap) + len(word) <= _WIDTH:
            line += gap + word
        else:
            filled_lines.append(line)
            line = following + word
        gap = " "
    return Lines("\n".join([*filled_lines, line]))


def quoted(text: str) -> str:
    """The text as one word for a shell: where a hint is copied, no name may become a command."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def json_lines(value: object, *, indent: int, is_ascii: bool = True, is_sorted: bool = False) -> Lines:
    """A value as JSON, without a line end behind it.

    JSON has escapes of its own: a program that reads them gets every text as it was.

    Args:
        value: What `json.dumps` takes.
        indent: Blanks for each level.
        is_ascii: Escape the letters of other languages, too: such a text survives every encoding.
        is_sorted: Sort the keys of each object.
    """
    import json  # noqa: PLC0415  not for every output

    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii, sort_keys=is_sorted)
    # Line ends are ours here: those of values are escaped already.
    if not (text.isascii() and text.replace("\n", "").isprintable()):
        text = "".join(char if char == "\n" or _is_visible(char) else json.dumps(char)[1:-1] for char in text)
    return Lines(text.replace(_ANYWHERE, f"{_ANYWHERE[0]}\\u{ord(_ANYWHERE[1]):04x}"))
