from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deloc8.report.graph_layout import NODE_HEIGHT, NODE_WIDTH, Layout, lay_out


def test_an_empty_graph_is_an_empty_picture() -> None:
    picture = lay_out(0, [])
    assert (picture.places, picture.routes) == ((), ())
    assert picture.width > 0


def test_layers_follow_the_longest_way() -> None:
    picture = lay_out(4, [(0, 1), (1, 2), (0, 2), (3, 2)])
    columns = [x for x, _ in picture.places]
    assert columns[0] == columns[3] < columns[1] < columns[2]


def test_long_edges_to_one_node_share_their_lane() -> None:
    picture = lay_out(5, [(0, 1), (1, 2), (2, 3), (0, 3), (4, 3)])
    (first, second) = (picture.routes[3], picture.routes[4])
    assert len(first) == len(second) == 6
    assert first[1:] == second[1:]


def test_cycles_are_drawn_too() -> None:
    picture = lay_out(3, [(0, 1), (1, 2), (2, 0), (1, 0)])
    columns = [x for x, _ in picture.places]
    assert columns == sorted(set(columns))
    assert picture.routes[2] == (
        (columns[2] + NODE_WIDTH, picture.places[2][1] + NODE_HEIGHT / 2),
        (columns[0], picture.places[0][1] + NODE_HEIGHT / 2),
    )


@pytest.mark.parametrize("crossing", [[(0, 3), (1, 2)]])
def test_crossings_are_removed(crossing: list[tuple[int, int]]) -> None:
    picture = lay_out(4, crossing)
    lines = [(route[0][1], route[-1][1]) for route in picture.routes]
    assert (lines[0][0] - lines[1][0]) * (lines[0][1] - lines[1][1]) > 0


@given(
    st.integers(1, 20).flatmap(
        lambda count: st.tuples(
            st.just(count), st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60)
        )
    )
)
def test_nodes_never_overlap_and_stand_inside(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, edges = graph
    picture: Layout = lay_out(count, sorted(edge for edge in edges if edge[0] != edge[1]))
    for x, y in picture.places:
        assert 0 <= x <= picture.width - NODE_WIDTH
        assert 0 <= y <= picture.height - NODE_HEIGHT
    for (x, y), (right, lower) in combinations(picture.places, 2):
        assert abs(x - right) >= NODE_WIDTH or abs(y - lower) >= NODE_HEIGHT
    assert all(0 <= y <= picture.height for route in picture.routes for _, y in route)


def test_a_long_chain_needs_no_recursion() -> None:
    assert lay_out(3000, [(number, number + 1) for number in range(2999)]).width > 3000 * NODE_WIDTH
