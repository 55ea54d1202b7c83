"""A document that is written wheel by wheel has the bytes of the whole."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import documents
from deloc8.cli.console import Console
from deloc8.cli.documents import Document, wheel_lines
from deloc8.report.to_json import document

if TYPE_CHECKING:
    from deloc8.text import Lines

WHEELS: list[dict[str, object]] = [
    {"wheel": "a\nb", "list": [1, {"c": []}], "no": {}},
    {"wheel": "ü::error::##[x]"},
    {"wheel": "c"},
]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("output", [None, "report.json"])
def test_the_bytes_are_those_of_the_whole(count: int, output: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[str] = []
    monkeypatch.setattr(Console, "data", lambda _, text: pieces.append(text))

    def emit(options: argparse.Namespace, console: Console, text: Lines) -> None:
        assert options.output == output
        console.data(text)

    monkeypatch.setattr(documents, "emit", emit)
    growing = Document("show", argparse.Namespace(output=output), Console.__new__(Console))
    for number, wheel in enumerate(WHEELS[:count], 1):
        growing.add(wheel_lines(wheel))
        # To stdout each wheel goes at once; a file appears whole.
        assert len(pieces) == (number if output is None else 0)
    growing.end()
    assert len(pieces) == (count + 1 if output is None else 1)
    assert "".join(pieces).replace("#\\u0023", "##") == json.dumps(document("show", WHEELS[:count]), indent=2) + "\n"
