"""The JSON document of a command on wheels, written one wheel after the other: a thousand would fill the memory."""

from __future__ import annotations

from deloc8.cli.shared import emit
from deloc8.report.to_json import document
from deloc8.text import NOTHING, Lines, indented, joined, json_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from deloc8.cli.console import Console
    from deloc8.report.to_json import Json

_INDENT = 2
_END = "]\n}"  # of a document whose list of wheels is empty


def wheel_lines(value: Json) -> Lines:
    """A wheel as it is written in its document."""
    return indented(json_lines(value, indent=_INDENT), " " * (2 * _INDENT))


class Document:
    """A document that grows; the bytes are those of `to_json.document` as a whole.

    To stdout each wheel is written at once. A file of `-o` appears whole, so that its text is kept until then.
    """

    def __init__(self, command: str, options: argparse.Namespace, console: Console) -> None:
        self._options = options
        self._console = console
        self._kept: list[Lines] = []
        empty = json_lines(document(command, []), indent=_INDENT)
        self._before = Lines(empty.removesuffix(_END) + "\n")

    def add(self, wheel: Lines) -> None:
        """Write one more wheel, as `wheel_lines` gives it."""
        self._write(joined((self._before, wheel), ""))
        self._before = Lines(",\n")

    def end(self) -> None:
        """Write what is behind the last wheel."""
        self._write(Lines("\n" + " " * _INDENT + _END + "\n"))
        if self._options.output is not None:
            emit(self._options, self._console, joined(self._kept, NOTHING))

    def _write(self, text: Lines) -> None:
        if self._options.output is None:
            self._console.data(text)
        else:
            self._kept.append(text)
