"""The dependency graph of a wheel as a picture: its nodes, each with the way that leads to it, and its edges."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass  # noqa: TID251  it changes

from deloc8.audit.match import Provision
from deloc8.report.graph_layout import NODE_HEIGHT, NODE_WIDTH, lay_out
from deloc8.report.model import is_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.audit.match import Closure, PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.report.graph_layout import Point

# So many characters of a name fit into a node.
_FITTING = 31

# Kinds of nodes, by where the policy takes them from; files of the wheel itself are "inside".
_KINDS = {
    Provision.SYSTEM: "system",
    Provision.EXCLUDED: "excluded",
    Provision.DROPPED: "python",
    Provision.MISSING: "missing",
    Provision.OPTIONAL: "missing",
}
MEANINGS = {
    "inside": "in the wheel",
    "graft": "fixup copies it into the wheel",
    "missing": "not found",
    "excluded": "left out on request",
    "python": "the Python process has it",
    "system": "taken from the system",
}
"""Meanings of the kinds of nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One file or library.

    Attributes:
        name: The member of a file of the wheel, else the needed name.
        label: The name as far as it fits.
        kind: A key of MEANINGS.
        place: Where it is; None where it was not found.
        chain: The names on the shortest way to it, its own the last.
        nodes: The numbers of the nodes of that way.
        edges: The numbers of its edges.
        x: Of its upper left corner.
        y: The same.
    """

    name: str
    label: str
    kind: str
    place: str | None
    chain: tuple[str, ...]
    nodes: tuple[int, ...]
    edges: tuple[int, ...]
    x: float
    y: float

    @property
    def meaning(self) -> str:
        """Meaning of the kind."""
        return MEANINGS[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The picture.

    Attributes:
        nodes: The files of the wheel first.
        paths: The path of each edge, in the words of SVG.
        width: Of the whole, in pixels.
        height: The same.
    """

    nodes: tuple[Node, ...]
    paths: tuple[str, ...]
    width: float
    height: float
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


@dataclass(slots=True)
class _Draft:
    """A graph without places: (name, kind, place) of each node by its key, and the edges."""

    rows: dict[str, tuple[str, str, str | None]]
    edges: dict[tuple[str, str], None]


def draw(audit: Audit, match: PolicyMatch) -> Graph:
    """The picture of what a wheel loads under one policy; what a library of the system loads is the system's affair."""
    draft = _draft(audit, match)
    numbers = {key: number for number, key in enumerate(draft.rows)}
    edges = [(numbers[source], numbers[target]) for source, target in draft.edges]
    ways = _ways(len(numbers), edges)
    layout = lay_out(len(numbers), edges)
    index = {edge: number for number, edge in enumerate(edges)}
    rows = list(draft.rows.values())
    nodes = []
    for (name, kind, place), way, (x, y) in zip(rows, ways, layout.places, strict=True):
        steps = itertools.pairwise(way)
        nodes.append(
            Node(
                name=name,
                label=shorten(name),
                kind=kind,
                place=place,
                chain=tuple(rows[number][0] for number in way),
                nodes=way,
                edges=tuple(index[step] for step in steps),
                x=x,
                y=y,
            )
        )
    paths = tuple(map(_path, layout.routes))
    return Graph(nodes=tuple(nodes), paths=paths, width=layout.width, height=layout.height)


def _draft(audit: Audit, match: PolicyMatch) -> _Draft:
    rows = dict(_nodes_of_wheel(audit, match.closure))
    edges: dict[tuple[str, str], None] = {}
    for file in match.closure.files:
        for row in audit.facts.dependencies.get(file.path, ()):
            if is_loader(row.name):
                continue
            kind = _KINDS.get(match.closure.provisions[file.path, row.name])
            if match.policy.is_unbounded and row.target is None:
                kind = "missing"  # no policy promises that the system has it
            # A needed name has no slash at its front, so it is no path of a file.
            key = row.target if kind is None and row.target is not None else f"needed {row.name}"
            if kind is not None:
                rows.setdefault(key, (row.name, kind, row.target))
            if key != file.path:
                edges[file.path, key] = None
    return _Draft(rows, edges)


def _nodes_of_wheel(audit: Audit, closure: Closure) -> Iterator[tuple[str, tuple[str, str, str | None]]]:
    """The files of the wheel and the grafts, by path: the name, the kind and the place of each node."""
    own = {file.path for file in audit.facts.own}
    for file in closure.files:
        if file.path in own:
            yield file.path, (file.label, "inside", "in the wheel")
        else:
            _, name = closure.parents[file.path]
            yield file.path, (name, "graft", file.path)


def _ways(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The shortest way to each node from those that nothing leads to, or from the first of a cycle."""
    targets: dict[int, list[int]] = {}
    for source, target in edges:
        targets.setdefault(source, []).append(target)
    reached = {target for _, target in edges}
    ways: dict[int, tuple[int, ...]] = {}
    for starts in ([node for node in range(count) if node not in reached], *([node] for node in range(count))):
        fresh = [node for node in starts if node not in ways]
        ways.update({node: (node,) for node in fresh})
        _spread(fresh, targets, ways)
    return [ways[node] for node in range(count)]


def _spread(starts: Sequence[int], targets: Mapping[int, Sequence[int]], ways: dict[int, tuple[int, ...]]) -> None:
    queue = deque(starts)
    while queue:
        node = queue.popleft()
        for target in targets.get(node, ()):
            if target not in ways:
                ways[target] = (*ways[node], target)
                queue.append(target)


def shorten(name: str) -> str:
    """A name as far as it fits into a node: of a long one the end of the file name counts most."""
    if len(name) <= _FITTING:
        return name
    base = name.rpartition("/")[2] or name
    if len(base) < _FITTING:
        return f"\N{HORIZONTAL ELLIPSIS}{name[1 - _FITTING :]}"
    half = _FITTING // 2
    return f"{base[:half]}\N{HORIZONTAL ELLIPSIS}{base[-half:]}"


def _path(route: Sequence[Point]) -> str:
    """An edge as a path of SVG: curves between the layers, straight lines across them."""
    (x, y), *rest = route
    parts = [f"M{x:g} {y:g}"]
    for number, (right, lower) in enumerate(rest):
        if number % 2 == 0:
            middle = (x + right) / 2
            parts.append(f"C{middle:g} {y:g} {middle:g} {lower:g} {right:g} {lower:g}")
        else:
            parts.append(f"H{right:g}")
        x, y = right, lower
    return " ".join(parts)
