"""Regular expressions that wait."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deloc8.patterns import pattern


def test_a_pattern_is_compiled_once_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[Any, ...]] = []
    original = re.compile

    def compile_(*arguments: Any) -> Any:
        compiled.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(re, "compile", compile_)
    words = pattern(r"W(or)d", re.IGNORECASE)
    assert compiled == []
    match = words.fullmatch("wORd")
    assert match is not None
    assert match[1] == "OR"
    assert words.fullmatch("words") is None
    assert compiled == [(r"W(or)d", re.IGNORECASE)]


def test_a_wrong_pattern_says_so_when_it_is_used() -> None:
    wrong = pattern("(")
    with pytest.raises(re.error):
        wrong.search("")
