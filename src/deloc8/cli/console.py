"""The streams: data to stdout, everything else to stderr, each with colour or without."""

from __future__ import annotations

from deloc8.text import printable
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from deloc8.cli.streams import Stream
    from deloc8.diagnostic import Diagnostic
    from deloc8.errors import Deloc8Error
    from deloc8.text import Lines

# SGR parameters of ECMA-48: bold red, bold yellow, bold cyan.
_STYLES = {"error": "1;31", "warning": "1;33", "note": "1;36", "hint": "1;36"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Where a command speaks.

    Attributes:
        out: For data.
        err: For everything else.
        environ: The variables, among them NO_COLOR and FORCE_COLOR.
        color: ``auto``, ``always`` or ``never``.
        verbosity: -1 quiet, 0, 1 (-v), 2 (-vv).
    """

    out: TextIO | Stream
    err: TextIO | Stream
    environ: Mapping[str, str]
    color: str = "auto"
    verbosity: int = 0

    def data(self, text: Lines) -> None:
        """Write data to stdout, at once."""
        self.out.write(text)
        self.out.flush()

    def has_color(self) -> bool:
        """Whether stdout gets colours."""
        return self._has_color(self.out)

    def say(self, text: str) -> None:
        """Write one line for the user to stderr."""
        self.err.write(printable(text) + "\n")

    def error(self, error: Deloc8Error) -> None:
        """Show an error: what, where and why, then what to do."""
        self._headed("error", f"{error.message} [{error.code}]")
        for line in error.context:
            self.say(f"  {line}")
        if error.notes or error.hints:
            self.say("")
        for note in error.notes:
            self._headed("note", note)
        for hint in error.hints:
            self._headed("hint", hint)

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        """Show a finding."""
        head = f"{diagnostic.subject}: {diagnostic.message} [{diagnostic.code}]"
        self._headed(diagnostic.severity.value, head)
        for line in diagnostic.context:
            self.say(f"  {line}")
        for hint in diagnostic.hints:
            self._headed("hint", hint)

    def _headed(self, head: str, text: str) -> None:
        shown = f"\x1b[{_STYLES[head]}m{head}:\x1b[0m" if self._has_color(self.err) else f"{head}:"
        self.err.write(f"{shown} {printable(text)}\n")

    def _has_color(self, stream: TextIO | Stream) -> bool:
        """Whether a stream gets colours: as asked; else by NO_COLOR and FORCE_COLOR; else if it is a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if self.environ.get("NO_COLOR"):
            return False
        return bool(self.environ.get("FORCE_COLOR")) or stream.isatty()
