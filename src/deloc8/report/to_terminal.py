"""Reports for a terminal: tables and colours, drawn by rich.

Names in a wheel may hold anything: they are escaped, and are never read as rich's markup.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.box import ROUNDED
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from deloc8.report.findings import findings_text
from deloc8.report.model import Barrier
from deloc8.report.to_text import LIBRARIES_HEAD, barrier_head, show_parts, shown_uses
from deloc8.wheel.names import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan", "hint": "cyan"}


def draw(parts: Iterable[RenderableType], *, width: int, color: bool) -> str:
    """What a terminal of some width is sent; without `color`, tables alone."""
    drawn = io.StringIO()
    console = Console(
        file=drawn,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        _environ={},
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    return drawn.getvalue()


def show_parts_drawn(audit: Audit, *, verbose: bool) -> list[RenderableType]:
    """What `show` says of a wheel, with a table for the libraries and one for each barrier."""
    parts: list[RenderableType] = []
    for part in show_parts(audit, verbose=verbose):
        parts += [Text(""), _drawn(part, verbose=verbose)]
    return parts


def _drawn(part: str | Mapping[str, str | None] | Barrier, *, verbose: bool) -> RenderableType:
    if isinstance(part, str):
        return Text(printable_lines(part))
    if not isinstance(part, Barrier):
        return Group(Text(LIBRARIES_HEAD), _table(("external library", "where it is"), _names(part)))
    uses, rest = shown_uses(part, verbose=verbose)
    rows = [(printable(" -> ".join(use.chain)), "\n".join(map(printable, use.texts))) for use in uses]
    table = _table(("file", "what it does"), rows)
    return Group(Text(barrier_head(part)), table, *([Text(rest.strip())] if rest else []))


def _names(libraries: Mapping[str, str | None]) -> list[tuple[str, str]]:
    return [(printable(name), printable(path or "not found")) for name, path in libraries.items()]


def findings_drawn(wheel: str, findings: Sequence[Diagnostic]) -> Text:
    """What `check` says of one wheel, the severities in colour."""
    text = Text(printable_lines(findings_text(wheel, findings).removesuffix("\n")))
    for word, style in _STYLES.items():
        text.highlight_regex(rf"(?m)^ +{word}:", style)
    return text


def policies_drawn(rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """The policies, the best first, each with its other names."""
    return _table(
        ("policy", "other names"), [(printable(name), printable(", ".join(aliases))) for name, aliases in rows]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose cells fold: nothing is left out of a long path."""
    table = Table(box=ROUNDED, header_style="bold", show_lines=False)
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    return table
