"""Filters that name each other in a circle, of which ld.so finds no end."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from deloc8.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.loader.resolve import Edge

_MOST_LINES = 10


def refuse_circles(filtees: Sequence[Edge]) -> None:
    """Raise InputError where filters name each other in a circle (`filter-circle`).

    ld.so moves what a filter names before the filter, and looks at its entries again (elf/dl-deps.c,
    `_dl_map_object_deps`): in a circle each is moved before the other until the stack is used up. A filter that names
    itself is before itself already, and what a filter names may need the filter.

    Args:
        filtees: The entries of DT_FILTER and DT_AUXILIARY of all that is loaded.
    """
    named: dict[str, list[str]] = {}
    for edge in filtees:
        if edge.target not in {None, edge.parent}:
            named.setdefault(edge.parent, []).append(str(edge.target))
    try:
        TopologicalSorter(named).prepare()
    except CycleError as error:
        _, circle = error.args
        # Each is named by the one behind it.
        raise _endless(list(reversed(circle))) from None


def _endless(circle: list[str]) -> InputError:
    """The error for a circle of paths; the last is the first again."""
    names = [path.rpartition("/")[2] for path in circle]
    lines = [f"`{filter_}` names `{filtee}`" for filter_, filtee in pairwise(names)]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = [f"and so on, {len(lines)} files in all"]
    return InputError(
        f"`{names[0]}` cannot be loaded: it is a filter in a circle, and ld.so of glibc crashes on it",
        code="filter-circle",
        context=tuple(lines),
        hints=("link one of them without --filter (-F) and --auxiliary (-f); `readelf -d` shows what each names",),
    )
