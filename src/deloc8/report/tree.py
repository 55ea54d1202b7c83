"""Dependency trees as text and as JSON."""

from __future__ import annotations

from deloc8.elf.read.dynamic import LinkKind
from deloc8.text import lines, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.facts import Dependency
    from deloc8.audit.forest import Forest
    from deloc8.report.to_json import Json
    from deloc8.text import Lines

# How the branches are drawn: the two ends of a line to a library and, below it, the lines that go on.
ASCII = (("|-- ", "|   "), ("`-- ", "    "))
LINES = (("├── ", "│   "), ("└── ", "    "))


def tree_text(forest: Forest, *, verbose: bool = False) -> Lines:
    """The trees, a file or library a line, each library's own needs shown once.

    Args:
        forest: What to show.
        verbose: Show every place that was tried, not only for libraries that were not found.
    """
    return lines(tree_lines(forest, ASCII, verbose=verbose))


def tree_lines(forest: Forest, branches: tuple[tuple[str, str], tuple[str, str]], *, verbose: bool) -> Iterator[Lines]:
    """The lines of the trees, drawn with some branches."""
    shown: set[str] = set()
    for root in forest.roots:
        yield printable(forest.files[root].label)
        yield from map(printable, _below(forest, root, branches, shown, verbose=verbose))


def _below(
    forest: Forest, root: str, branches: tuple[tuple[str, str], tuple[str, str]], shown: set[str], *, verbose: bool
) -> Iterator[str]:
    """The lines below one file. A stack replaces recursion: a chain of libraries may be long."""
    stack = [(row, "", last) for row, last in _rows(forest, root, shown)]
    while stack:
        row, indent, last = stack.pop()
        branch, space = branches[last]
        again = row.target in shown and bool(forest.dependencies.get(row.target or ""))
        kind = "" if row.kind is LinkKind.NEEDED else f" [{row.kind.value}]"
        yield f"{indent}{branch}{row.name}{kind} => {_where(row)}{' (shown above)' if again else ''}"
        if verbose or row.target is None:
            for attempt in row.lookup.tried:
                reason = f", {attempt.reason}" if attempt.reason else ""
                yield f"{indent}{space}  tried {attempt.path} ({attempt.origin}): {attempt.result.value}{reason}"
        if row.target is not None:
            stack += [(below, indent + space, end) for below, end in _rows(forest, row.target, shown)]


def _rows(forest: Forest, path: str, shown: set[str]) -> list[tuple[Dependency, bool]]:
    """The needs of a file, the last one first, each with whether it is the last; none if they were shown already."""
    if path in shown:
        return []
    shown.add(path)
    rows = forest.dependencies.get(path, ())
    return [(row, row is rows[-1]) for row in reversed(rows)]


def _where(row: Dependency) -> str:
    if row.target is None:
        return "not found, but optional" if row.kind.is_optional else "not found"
    return f"{row.lookup.path} ({row.lookup.origin})"


def tree_value(forest: Forest) -> Json:
    """The graph behind the trees: every file with its needs."""
    return {
        "path": forest.name,
        "roots": [forest.files[root].label for root in forest.roots],
        "files": [
            {
                "file": file.label,
                "soname": file.image.soname,
                "machine": file.image.arch.value if file.image.arch else None,
                "needed": [_need(forest, row) for row in forest.dependencies.get(path, ())],
            }
            for path, file in forest.files.items()
        ],
    }


def _need(forest: Forest, row: Dependency) -> Json:
    return {
        "name": row.name,
        "kind": row.kind.value,
        "file": None if row.target is None else forest.files[row.target].label,
        "path": row.lookup.path,
        "origin": None if row.lookup.origin is None else str(row.lookup.origin),
        "tried": [
            {
                "path": attempt.path,
                "origin": str(attempt.origin),
                "result": attempt.result.value,
                "reason": attempt.reason and printable(attempt.reason),
            }
            for attempt in row.lookup.tried
        ],
    }
