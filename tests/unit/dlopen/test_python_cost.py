"""The cost of parsing a Python file, beside what CPython's own tokenizer and parser say."""

from __future__ import annotations

import ast
import io
import tokenize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deloc8.dlopen import python_cost as pycost
from deloc8.dlopen.python_cost import TooComplex, parsing_units

UNITS_PER_TOKEN = 3
# Of these most kinds of texts, nested ones too, can be put together.
PIECES = st.sampled_from(
    [
        *("a", "1", " ", "\n", "(", ")", ",", "=", "+", ".", ";", ":", "[", "]", "-", "\u00e9", "\\", "\\\n"),
        *("f", "r", "b", "rb", "t", "'", '"', "'''", '"""', "{", "}", "{{", "}}", "#", "# '\n", "{a}", "{a!r:>{b}}"),
        *(
            "f'{a}'",
            'f"',
            "f'''",
            "f'{', '}'",
            "x='",
            "lambda:a",
            "a if b else c",
            "f'{f\"{a}\"}'",
            "\\'",
            "\\N{DIGIT ONE}",
        ),
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
@example('f\'{"\'""" + [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a] + \'"""}\'')  # from Python 3.12 on one text
@example("f'\"}}{ {\"' + [a,a,a,a,a,a,a,a] + '\"}'")
@example("f'''{a #}'''\n+ (a, a, a, a, a, a, a, a)}'''")
def test_no_tree_has_many_more_nodes_than_there_are_tokens(source: str) -> None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    nodes = sum(hasattr(node, "lineno") for node in ast.walk(tree))
    assert nodes <= 2 * (parsing_units(source.encode()) // UNITS_PER_TOKEN) + 1


@given(st.lists(st.sampled_from(["a", "'x'", "12", " ", "\n", "+", "->", "'\\''", "#c\n", "rb'\"'", "(", ")", ","])))
def test_no_token_is_missed(pieces: list[str]) -> None:
    source = "".join(f"{piece} " for piece in pieces)
    counted = parsing_units(source.encode()) // UNITS_PER_TOKEN
    names = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP, tokenize.NEWLINE, tokenize.NL)
    found = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            found += token.type in names and bool(token.string)
    except (tokenize.TokenError, IndentationError):  # an open bracket
        pass
    assert found <= counted


@pytest.mark.parametrize(
    ("source", "tokens"),
    [
        (b"", 0),
        (b"a = 'a b c'  # d e f\n", 4),
        (b"x = '''a\nb'''\n", 4),
        (b"x = 'a\n", 5),  # it does not end: two signs, two words, a line
        (b"'\\''\n", 2),
        (b"f'a {b} c'", 8),
        (b"f'{b}' '{c d}'", 7),
        (b"f'{b}' if '{c d}'#e", 8),
        (b"f'{b[\"c d\"]}' + 'x y'#e", 19),
    ],
)
def test_words_and_signs_are_counted(source: bytes, tokens: int) -> None:
    assert parsing_units(source) // UNITS_PER_TOKEN == tokens


def test_a_file_with_so_many_is_not_parsed() -> None:
    assert parsing_units(b"a;" * 32_768) == 65_536 * UNITS_PER_TOKEN
    for source in (b"a;" * 32_768 + b"a", b"'" * 1 + b"\n" * 65_536, b"f'{\"\"}'" + b"# a" * 40_000):
        with pytest.raises(TooComplex, match="65,536 words"):
            parsing_units(source)
    assert parsing_units(b"'" + b"a " * 400_000 + b"'#" + b"a " * 100_000) == UNITS_PER_TOKEN


def test_gaps_in_long_texts_cost_more_than_they_have_tokens() -> None:
    gap, many = b"{a}", 15_000
    short = parsing_units(b" ".join([b"f'%b'" % gap] * 5000))
    assert short == 5000 * 6 * UNITS_PER_TOKEN + 5000 * 6 // 2048
    tokens = 3 * many + 3
    long = parsing_units(b"f'%b'" % (gap * many))
    assert long == tokens * UNITS_PER_TOKEN + many * (3 * many + 3) // 2048
    with pytest.raises(TooComplex, match="gaps"):
        parsing_units(b"f'%b%b'" % (gap * many, b"x" * 100_000))


def test_the_limits_are_those_that_are_documented() -> None:
    assert pycost._MOST_TOKENS == 65_536
