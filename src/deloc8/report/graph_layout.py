"""A picture of a directed graph in layers: the place of each node and edge. Pure geometry.

The steps are those of Sugiyama, Tagawa and Toda (1981): break the cycles, put each node behind all that lead to it,
give long edges a place in every layer they cross, and order the layers so that edges cross little. Edges to one node
share their places, so that the fifty edges to the C library run as one line.
"""

from __future__ import annotations

import itertools

from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NODE_WIDTH = 236
NODE_HEIGHT = 38
_ROW = NODE_HEIGHT + 14
_LANE = 14
_COLUMN = NODE_WIDTH + 64
_MARGIN = 16
_SWEEPS = 6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A picture, in pixels; y grows downwards.

    Attributes:
        width: Of the whole picture.
        height: Of the whole picture.
        places: The upper left corner of each node.
        routes: The points of each edge, from the right side of its node to the left side of the other.
    """

    width: float
    height: float
    places: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


# A node is its number; the place of a long edge in a layer is the number of the node it leads to, and the layer.
_Item = tuple[int, int]


def lay_out(count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """The picture of a graph of `count` nodes; edges are pairs of their numbers."""
    layers = _layers(count, edges)
    paths = [_path(source, target, layers) for source, target in edges]
    rows = _rows(layers, paths)
    links: set[tuple[_Item, _Item]] = set()
    for path in paths:
        if path[0][1] < path[-1][1]:
            links.update(itertools.pairwise(path))
    _order(rows, sorted(links))
    corners, height = _coordinates(rows, layers)
    places = tuple(corners[node, layer] for node, layer in enumerate(layers))
    routes = tuple(_route([corners[item] for item in path], len(path) - 2) for path in paths)
    width = 2 * _MARGIN + max(len(rows) - 1, 0) * _COLUMN + NODE_WIDTH
    return Layout(width=width, height=height, places=places, routes=routes)


def _path(source: int, target: int, layers: Sequence[int]) -> list[_Item]:
    """The items of an edge: its ends, and a lane in each layer between them."""
    lanes = [(target, layer) for layer in range(layers[source] + 1, layers[target])]
    return [(source, layers[source]), *lanes, (target, layers[target])]


def _rows(layers: Sequence[int], paths: Sequence[Sequence[_Item]]) -> list[list[_Item]]:
    """The items of each layer: its nodes, then the lanes that run through it, each once."""
    rows: list[list[_Item]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for node, layer in enumerate(layers):
        rows[layer].append((node, layer))
    seen = {item for row in rows for item in row}
    for path in paths:
        for lane in path[1:-1]:
            if lane not in seen:
                seen.add(lane)
                rows[lane[1]].append(lane)
    return rows


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each node: behind all that lead to it, but for the edges that close a cycle."""
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        targets[source].append(target)
    finished: list[int] = []
    state = [0] * count  # 1: on the way, 2: finished
    forward: list[list[int]] = [[] for _ in range(count)]
    for root in range(count):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(targets[root]))]
        while stack:
            node, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                state[node] = 2
                finished.append(node)
            elif state[following] != 1:
                forward[node].append(following)
                if state[following] == 0:
                    state[following] = 1
                    stack.append((following, iter(targets[following])))
    layers = [0] * count
    for node in reversed(finished):
        for target in forward[node]:
            layers[target] = max(layers[target], layers[node] + 1)
    return layers


def _order(rows: list[list[_Item]], links: Sequence[tuple[_Item, _Item]]) -> None:
    """Order each layer by the middle of the neighbours, forwards and backwards in turn."""
    before: dict[_Item, list[_Item]] = {}
    after: dict[_Item, list[_Item]] = {}
    for left, right in links:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    for sweep in range(_SWEEPS):
        order = rows if sweep % 2 == 0 else rows[::-1]
        neighbours = before if sweep % 2 == 0 else after
        for fixed, row in itertools.pairwise(order):
            height = {item: number / len(fixed) for number, item in enumerate(fixed)}
            own = {item: number / len(row) for number, item in enumerate(row)}
            middle = {}
            for item in row:
                heights = [height[other] for other in neighbours.get(item, ())]
                middle[item] = sum(heights) / len(heights) if heights else own[item]
            row.sort(key=middle.__getitem__)


def _coordinates(rows: Sequence[Sequence[_Item]], layers: Sequence[int]) -> tuple[dict[_Item, Point], float]:
    """The upper left corner of each item, and the height of the picture; every layer is centred."""
    heights = [sum(_height(item, layers) for item in row) for row in rows]
    highest = max(heights, default=0)
    corners = {}
    for layer, (row, own) in enumerate(zip(rows, heights, strict=True)):
        y = _MARGIN + (highest - own) / 2
        for item in row:
            corners[item] = (float(_MARGIN + layer * _COLUMN), y)
            y += _height(item, layers)
    return corners, highest + 2 * _MARGIN


def _height(item: _Item, layers: Sequence[int]) -> int:
    return _ROW if layers[item[0]] == item[1] else _LANE


def _route(corners: Sequence[Point], lanes: int) -> tuple[Point, ...]:
    """The points of an edge by the corners of its items; it crosses a lane from left to right."""
    points = [(corners[0][0] + NODE_WIDTH, corners[0][1] + NODE_HEIGHT / 2)]
    for x, y in corners[1 : 1 + lanes]:
        points += [(x, y + _LANE / 2), (x + NODE_WIDTH, y + _LANE / 2)]
    return (*points, (corners[-1][0], corners[-1][1] + NODE_HEIGHT / 2))
