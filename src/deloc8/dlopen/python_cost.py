"""Cost of parsing a Python file, by a scan of its bytes: `ast.parse` cannot be interrupted.

Measured with CPython 3.10 to 3.13 on 90 kinds of hostile files. Memory and time follow the number of tokens: at most
1.6 kB and 2.4 microseconds for each, with a syntax error at the end, behind which all is parsed a second time. Before
3.12 each part of an f-string is looked for from its beginning, too: quadratic. Python 3.10 ends in a crash where an
expression is nested 100,000 deep, which needs more tokens.
"""

from __future__ import annotations

from itertools import islice

from deloc8.patterns import pattern

_MOST_TOKENS = 1 << 16  # the largest of real files that open libraries have 43,000
_MOST_TEXT_STEPS = 3 << 29  # bytes walked over for the parts of f-strings: half a second
_UNITS_PER_TOKEN = 3
_TEXT_STEPS_PER_UNIT = 2048

_TEXT = (
    rb"(?:'''[\s\S]*?'''"
    rb'|"""[\s\S]*?"""'
    rb"|'[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'"
    rb'|"[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*")'
)
_WORD_OR_SIGN = rb"[\w\x80-\xff]+|\n|[^\s\w\x80-\xff]"
# The only groups: a comment, and a text with gaps.
_TOKEN = pattern(
    rb"(#[^\n]*)|((?:[rR]?[fFtT]|[fFtT][rR])" + _TEXT + rb")|[rRbBuU]{0,2}" + _TEXT + rb"|" + _WORD_OR_SIGN
)
_COMMENT = 1
_ANY_TOKEN = pattern(_WORD_OR_SIGN)
# Since Python 3.12 the end of a text with gaps is another one where a gap has quotes, braces or a comment.
_PLAIN_GAPS = pattern(rb"""[rRfFtT]+['"]+[^{}'"]*(?:\{[^{}'"#]*\}[^{}'"]*)*['"]+""")


class TooComplex(Exception):  # noqa: N818  it is no error of the wheel or of deloc8, and never leaves the search
    """A file is not worth the time and the memory of parsing it; the words for a reader."""


def parsing_units(source: bytes) -> int:
    """The units of `Budget` that parsing a file with line ends of LF costs at most.

    Raises:
        TooComplex: They are too many for one file.
    """
    tokens, steps = 0, 0
    for match in _TOKEN.finditer(source):
        if match.lastindex is None:
            tokens += 1
        elif match.lastindex != _COMMENT:
            text = match[0]
            is_plain = _PLAIN_GAPS.fullmatch(text) is not None
            if not is_plain:
                # Where it ends depends on the version: all that follows is counted, texts and comments too.
                text = source[match.start() :]
            tokens += _count(text)
            steps += text.count(b"{") * len(text)
            if not is_plain:
                break
        if tokens > _MOST_TOKENS:
            break
    if tokens > _MOST_TOKENS:
        raise TooComplex(f"it has more than {_MOST_TOKENS:,} words and signs")
    if steps > _MOST_TEXT_STEPS:
        raise TooComplex("it has too many gaps in long texts")
    return tokens * _UNITS_PER_TOKEN + steps // _TEXT_STEPS_PER_UNIT


def _count(source: bytes) -> int:
    """The words and signs of a text, counted no further than one file may have."""
    return sum(1 for _ in islice(_ANY_TOKEN.finditer(source), _MOST_TOKENS + 1))
