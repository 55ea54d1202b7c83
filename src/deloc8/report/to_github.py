"""Findings as workflow commands of GitHub Actions, which shows them as annotations.

The escapes are those of actions/toolkit (packages/core/src/command.ts), which the runner takes back: what a name holds
ends neither a property nor the command. Each line of an annotation is fit for a log, too, before it is escaped.
"""

from __future__ import annotations

from deloc8.diagnostic import Severity
from deloc8.text import Lines, joined, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def github_lines(path: Path, findings: Sequence[Diagnostic]) -> Lines:
    """One line for each finding on a wheel."""
    lines = []
    for found in findings:
        hints = [f"hint: {hint}" for hint in found.hints]
        text = joined(map(printable, (f"{found.subject}: {found.message}", *found.context, *hints)))
        properties = (
            f"file={_property(printable(path.as_posix()))},title={_property(printable(f'{path.name}: {found.code}'))}"
        )
        lines.append(f"::{_COMMANDS[found.severity]} {properties}::{_data(text)}\n")
    return Lines("".join(lines))


def _data(text: Lines) -> str:
    """A text without what would end the command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: Lines) -> str:
    """The same for a property, which ends at a comma or a colon."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
