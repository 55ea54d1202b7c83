"""Sentences in lines, beside the standard library's."""

from __future__ import annotations

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from deloc8.report.lines import filled

WORDS = st.text("ab-é.", min_size=1, max_size=80)
GAPS = st.sampled_from([" ", "  ", "   "])
INDENTS = st.sampled_from(["", "  ", "    ", "  10. "])


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
