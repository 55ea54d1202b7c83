"""Text on its way out."""

from __future__ import annotations

import ast
import json
import shlex
import sys
import textwrap
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deloc8
from deloc8.text import filled, indented, joined, json_lines, lines, paragraphs, printable, quoted, without_end
from kit.runners import taken_by

# A word of three hyphens is a mark of Buildkite's.
WORDS = st.text("ab-é.", min_size=1, max_size=80).filter(lambda word: word != "---")
GAPS = st.sampled_from([" ", "  ", "   "])
INDENTS = st.sampled_from(["", "  ", "    ", "  10. "])
# Any text, and such as commands are made of.
HOSTILE = st.text() | st.text("#:-+~^[] \n\t\x1b\xadabcv\u034f\u3000")

# Default_Ignorable_Code_Point (Unicode 16.0, DerivedCoreProperties.txt): what is to be seen as nothing.
IGNORABLE = """
00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8
1BCA0-1BCA3 1D173-1D17A E0000-E0FFF
"""


def ignorable() -> list[str]:
    found = []
    for words in IGNORABLE.split():
        first, _, last = words.partition("-")
        found += [chr(code) for code in range(int(first, 16), int(last or first, 16) + 1)]
    return found


def test_letters_of_all_languages_are_left_as_they_are() -> None:
    assert printable("größer 蟒蛇 \N{SNAKE} é ü 漢 العربية") == "größer 蟒蛇 \N{SNAKE} é ü 漢 العربية"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[0m\n\udcff\u202eb", r"a\x1b[0m\n\udcff\u202eb"),
        ("\t\r\0\x7f", r"\t\r\x00\x7f"),
        ("\x85\x9b\u2028\u2029", r"\x85\x9b\u2028\u2029"),
        ("\u00a0\u3000", r"\xa0\u3000"),
        ("\u200b\u200d\ufeff\xad", r"\u200b\u200d\ufeff\xad"),
        ("\ue000\U0010ffff", r"\ue000\U0010ffff"),
        ("a\ufe0f\U000e0100\u034f\u3164", r"a\ufe0f\U000e0100\u034f\u3164"),
    ],
)
def test_what_a_terminal_would_obey_or_not_show_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_character_that_is_seen_as_nothing_is_left() -> None:
    assert [char for char in ignorable() if printable(char) == char] == []


def test_no_character_of_a_category_that_is_not_seen_is_left() -> None:
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    every = map(chr, range(sys.maxunicode + 1))
    text = "".join(char for char in every if unicodedata.category(char) in unseen)
    assert set(text) & set(printable(text)) == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::error file=a::x", r"  \x3a:error file=a::x"),
        ("x ::stop-commands::y", r"x \x3a:stop-commands::y"),
        (":::", r"\x3a::"),
        ("##[error]x", r"#\x23[error]x"),
        ("a##vso[task.complete]", r"a#\x23vso[task.complete]"),
        ("##teamcity[buildStop]", r"#\x23teamcity[buildStop]"),
        ("###[x] ####", r"#\x23#[x] #\x23#\x23"),
        ("--- a group", r"\x2d-- a group"),
        ("+++ x ~~~ y ^^^ +++", r"\x2b++ x \x7e~~ y \x5e^^ \x2b++"),
        ("std::string a:: --- b", r"std::string a:: \x2d-- b"),
        ("--plat a---b ---- #1 # 2", "--plat a---b ---- #1 # 2"),
    ],
)
def test_what_begins_a_command_of_a_service_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(HOSTILE)
def test_a_line_is_one_line_and_no_service_takes_anything_out_of_it(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert taken_by(shown) == []
    assert printable(shown) == shown


@given(HOSTILE.filter(lambda text: text.isascii() and text.isprintable() and taken_by(text) == []))
def test_a_plain_text_stays_as_it_is_wherever_it_is_not_to_be_broken(text: str) -> None:
    words = text.split(" ")
    if all(taken_by(word) == [] for word in words) and "##" not in text:
        assert printable(text) == text


@given(st.lists(HOSTILE), st.integers(1, 80))
def test_lines_have_an_end_each_wherever_they_are_broken(texts: list[str], width: int) -> None:
    shown = lines(texts)
    assert shown.count("\n") == len(texts)
    for line in shown.split("\n"):
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False):
            assert taken_by(part) == []


def test_parts_are_put_together() -> None:
    one, two = filled("a b"), filled("c")
    assert joined((one, two)) == "a b\nc"
    assert joined((one, two), "") == "a bc"
    assert paragraphs((one, two)) == "a b\n\nc\n"
    assert indented(joined((one, two)), "  ") == "  a b\n  c"
    assert without_end(lines(("a", "b"))) == "a\nb"


# -- sentences in lines, beside the standard library's


@st.composite
def texts(draw: st.DrawFn) -> str:
    first, *others = draw(st.lists(WORDS, min_size=1, max_size=30))
    return first + "".join(draw(GAPS) + word for word in others)


@given(texts(), INDENTS, INDENTS)
def test_lines_are_those_of_the_standard_library(text: str, first: str, following: str) -> None:
    expected = textwrap.fill(
        text, initial_indent=first, subsequent_indent=following, break_long_words=False, break_on_hyphens=False
    )
    assert filled(text, first, following) == expected


def test_a_word_that_just_fits_stays_on_the_line() -> None:
    assert filled("a" * 34 + " " + "b" * 35) == "a" * 34 + " " + "b" * 35
    assert filled("a" * 34 + " " + "b" * 36) == "a" * 34 + "\n" + "b" * 36


def test_a_line_end_in_a_name_begins_no_line() -> None:
    assert filled("one\ntwo") == r"one\ntwo"


def test_no_text_is_an_empty_line() -> None:
    assert filled("") == ""


@given(HOSTILE, INDENTS, INDENTS)
def test_no_line_of_a_sentence_is_a_command(text: str, first: str, following: str) -> None:
    for line in filled(text, first, following).split("\n"):
        assert line.isprintable()
        assert taken_by(line) == []


# -- words of a shell


@given(HOSTILE | st.text("'\"\\\\$`;| ()ab"))
def test_a_name_in_a_hint_is_one_word_of_a_shell(text: str) -> None:
    assert shlex.split(f"deloc8 fixup --exclude {quoted(text)}", posix=True) == ["deloc8", "fixup", "--exclude", text]


# -- JSON


@given(st.dictionaries(HOSTILE, HOSTILE), st.booleans())
def test_json_gives_every_text_back_and_shows_none_that_is_obeyed(value: dict[str, str], is_ascii: bool) -> None:  # noqa: FBT001  a parameter
    shown = json_lines(value, indent=2, is_ascii=is_ascii)
    assert json.loads(shown) == value
    assert not is_ascii or shown.isascii()
    for line in shown.split("\n"):
        assert line.isprintable()
        assert taken_by(line) == []


def test_json_for_people_leaves_letters() -> None:
    value = {"größer": "\x7f\u202e\ufe0f"}
    assert json_lines(value, indent=1, is_ascii=False) == '{\n "größer": "\\u007f\\u202e\\ufe0f"\n}'
    assert json_lines(value, indent=1, is_ascii=True) == '{\n "gr\\u00f6\\u00dfer": "\\u007f\\u202e\\ufe0f"\n}'


# -- the type


# What composes text that has escapes of its own, beside this module.
_MAKERS = {"text.py", "cli/documents.py", "report/to_github.py", "report/to_html.py", "report/to_terminal.py"}


def test_few_modules_say_of_a_text_that_it_is_fit() -> None:
    top = Path(deloc8.__file__).parent
    makers = set()
    for path in top.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Lines", "cast"}:
                makers.add(path.relative_to(top).as_posix())
    assert makers == _MAKERS
