"""Reports for a terminal: tables and colours, drawn by rich.

Names in a wheel may hold anything: they are escaped, and are never read as rich's markup.
"""

from __future__ import annotations

import io

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deloc8.audit.violations import Violation, ViolationCode, describe
from deloc8.report.findings import findings_text
from deloc8.report.model import Barrier, symbol_rows
from deloc8.report.to_text import LIBRARIES_HEAD, barrier_head, show_parts, shown_uses
from deloc8.report.tree import LINES, tree_lines
from deloc8.report.where import RELEASES_HEAD, Whereabouts, family_rows, release_texts
from deloc8.report.why import why_parts
from deloc8.text import NOTHING, Lines, joined, printable, without_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from deloc8.audit.forest import Forest
    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic
    from deloc8.explain.why import Answer, Use
    from deloc8.report import why
    from deloc8.report.model import SymbolRow
    from deloc8.report.to_text import Part

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan", "hint": "cyan"}
_NOT_FOUND = printable("not found")


def draw(parts: Iterable[RenderableType], *, width: int, color: bool) -> Lines:
    """Text that a terminal of some width is sent; without `color`, tables alone."""
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
    return Lines(drawn.getvalue())


# -- show


def show_parts_drawn(audit: Audit, *, verbose: bool) -> list[RenderableType]:
    """Report of `show` on a wheel: tables of the libraries, of each barrier and of where it runs."""
    parts: list[RenderableType] = []
    for part in show_parts(audit, verbose=verbose):
        parts += [Text(""), *_drawn(part, verbose=verbose)]
    return parts


def _drawn(part: Part, *, verbose: bool) -> Iterator[RenderableType]:
    if isinstance(part, str):
        yield shown(part)
    elif isinstance(part, Whereabouts):
        yield from _where(part, verbose=verbose)
    elif isinstance(part, Barrier):
        uses, rest = shown_uses(part, verbose=verbose)
        yield shown(barrier_head(part))
        yield from _barred([row for use in uses for row in use.violations])
        if rest:
            yield shown(printable(rest.strip()))
    else:
        yield shown(LIBRARIES_HEAD)
        yield table(("external library", "where it is"), _places(part))


def shown(text: Lines, style: str = "") -> Text:
    """A text outside of tables: rich takes nothing in it for markup, and breaks no line of it."""
    return Text(text, style=style)


def _places(libraries: Mapping[str, str | None]) -> list[tuple[str, Text]]:
    return [(name, _place(path)) for name, path in libraries.items()]


def _place(path: str | None) -> Text:
    """Where a library is; that it is nowhere, in red."""
    return shown(_NOT_FOUND, "red") if path is None else shown(printable(path))


def _barred(violations: Sequence[Violation]) -> Iterator[RenderableType]:
    """A table of the symbols that are too new, and one of all else that files do."""
    symbols = [row for row in violations if row.code is ViolationCode.SYMBOL_TOO_NEW]
    if symbols:
        yield _symbols(symbol_rows(symbols))
    others: dict[tuple[str, ...], list[Violation]] = {}
    for row in violations:
        if row.code is not ViolationCode.SYMBOL_TOO_NEW:
            others.setdefault(row.chain, []).append(row)
    if others:
        rows = [(stacked(steps(chain)), stacked(describe(found))) for chain, found in others.items()]
        yield table(("file", "what it does"), rows)


def _symbols(rows: Iterable[SymbolRow]) -> Table:
    """Table of required symbols with the files that require them."""
    cells = [
        (
            ", ".join(row.symbols),
            shown(printable(row.version), "yellow"),
            row.library,
            stacked(step for chain in row.chains for step in steps(chain)),
        )
        for row in rows
    ]
    return table(("symbol", "version", "library", "used by"), cells, lines=True)


def steps(chain: Sequence[str]) -> Iterator[str]:
    """How a file comes into the wheel, each step in its line: names of libraries are long."""
    yield chain[0]
    yield from (f"-> {name}" for name in chain[1:])


def _where(where: Whereabouts, *, verbose: bool) -> Iterator[RenderableType]:
    rows = [
        (
            " ".join(filter(None, (row.title, row.alike))),
            shown(printable(row.since), "green") if row.since else shown(printable("none"), "red"),
            row.end,
        )
        for row in family_rows(where.found)
    ]
    yield shown(where.head)
    yield table(("distribution", "it runs on", "and before that"), rows)
    if verbose:
        releases = []
        for standing in where.found.standings:
            answer, dates = release_texts(standing)
            style = "green" if standing.runs else "yellow" if standing.runs is None else "red"
            releases.append((standing.release.name, shown(printable(answer), style), ", ".join(dates)))
        yield shown(joined((NOTHING, RELEASES_HEAD)))
        yield table(("release", "it runs", "supported"), releases)


# -- the other commands


def why_parts_drawn(wheel: str, answer: Answer) -> Iterator[RenderableType]:
    """Answer of `why`, with tables of the subject's users and of what blocks a tag."""
    for number, part in enumerate(why_parts(wheel, answer)):
        if number:
            yield Text("")
        yield from _why_drawn(part)


def _why_drawn(part: why.Part) -> Iterator[RenderableType]:
    if isinstance(part, str):
        yield shown(part)
        return
    yield from _barred([row for row in part if isinstance(row, Violation)])
    uses = [row for row in part if not isinstance(row, Violation)]
    symbols = [use for use in uses if use.names_symbol]
    libraries = [use for use in uses if not use.names_symbol]
    if symbols:
        yield _symbols(symbol_rows(symbols))
    if libraries:
        yield table(("library", "where it is", "needed by"), _needed(libraries), lines=True)


def _needed(uses: Sequence[Use]) -> list[tuple[str, Text, Text]]:
    """Rows of needed libraries, by name and place found, with the files that need each."""
    chains: dict[tuple[str, str | None], list[str]] = {}
    for use in uses:
        chains.setdefault((use.library or "", use.found), []).extend(steps(use.chain))
    return [(name, _place(found), stacked(rows)) for (name, found), rows in chains.items()]


def tree_drawn(forest: Forest, *, verbose: bool) -> Text:
    """The trees, with lines for branches; what was not found in red."""
    text = shown(joined(tree_lines(forest, LINES, verbose=verbose)))
    text.highlight_regex(r"(?m)[│├└─]", "dim")
    text.highlight_regex(r"(?m)=> not found$", "red")
    text.highlight_regex(r"(?m) \([^()]*\)$|^.* tried .*$", "dim")
    return text


def findings_drawn(wheel: str, findings: Sequence[Diagnostic]) -> Text:
    """Report of `check` on one wheel, the severities in colour."""
    text = shown(without_end(findings_text(wheel, findings)))
    for word, style in _STYLES.items():
        text.highlight_regex(rf"(?m)^ +{word}:", style)
    return text


def policies_drawn(rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """The policies, the best first, each with its other names."""
    return table(("policy", "other names"), [(name, ", ".join(aliases)) for name, aliases in rows])


def table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]], *, lines: bool = False) -> Table:
    """A table whose cells fold: nothing is left out of a long path. Plain strings are escaped here.

    Args:
        heads: The names of the columns.
        rows: The cells.
        lines: Whether a line is drawn between two rows.
    """
    drawn = Table(box=ROUNDED, header_style="bold", show_lines=lines)
    for head in heads:
        drawn.add_column(shown(printable(head)), overflow="fold")
    for row in rows:
        drawn.add_row(*(shown(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    return drawn


def stacked(lines: Iterable[str]) -> Text:
    """A cell of several lines; a line end in a name begins none."""
    return shown(joined(map(printable, lines)))
