"""Filters and audit libraries in the load graph, as glibc loads them (elf/dl-deps.c, elf/rtld.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.elf.read.dynamic import LinkKind
from deloc8.errors import InputError
from deloc8.loader.search import SearchOptions, Stage
from deloc8.target import Libc
from kit.elf import DT_AUDIT, DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, ElfSpec
from kit.system import System

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.loader.resolve import LoadGraph

KINDS = {DT_FILTER: LinkKind.FILTER, DT_AUXILIARY: LinkKind.AUXILIARY}


@pytest.fixture
def system(tmp_path: Path) -> System:
    """/lib has a and b, which need nothing."""
    system = System(tmp_path)
    system.library("/lib/liba.so", ElfSpec(soname="liba.so"))
    system.library("/lib/libb.so", ElfSpec(soname="libb.so"))
    return system


def names(graph: LoadGraph) -> list[str]:
    return [loaded.path.rpartition("/")[2] for loaded in graph.objects]


@pytest.mark.parametrize("tag", KINDS)
def test_what_a_filter_names_is_searched_before_the_filter(system: System, tag: int) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((tag, "liba.so"),)))
    graph = system.resolve(ElfSpec(needed=("libf.so", "libb.so")))
    assert names(graph) == ["root.so", "liba.so", "libf.so", "libb.so"]
    assert [(edge.name, edge.kind, edge.target) for edge in graph.edges] == [
        ("libf.so", LinkKind.NEEDED, "/lib/libf.so"),
        ("libb.so", LinkKind.NEEDED, "/lib/libb.so"),
        ("liba.so", KINDS[tag], "/lib/liba.so"),
    ]
    assert graph.chain("/lib/liba.so") == ("/app/root.so", "/lib/libf.so", "/lib/liba.so")


def test_several_are_searched_in_the_order_of_their_entries(system: System) -> None:
    graph = system.resolve(ElfSpec(links=((DT_AUXILIARY, "libb.so"), (DT_FILTER, "liba.so"))))
    assert (graph.root, names(graph)) == ("/app/root.so", ["libb.so", "liba.so", "root.so"])


def test_what_is_searched_later_moves_before_the_filter(system: System) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((DT_FILTER, "libb.so"),)))
    graph = system.resolve(ElfSpec(needed=("libf.so", "liba.so", "libb.so")))
    assert names(graph) == ["root.so", "libb.so", "libf.so", "liba.so"]


def test_what_is_searched_earlier_stays(system: System) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((DT_FILTER, "liba.so"),)))
    graph = system.resolve(ElfSpec(needed=("liba.so", "libb.so", "libf.so")))
    assert names(graph) == ["root.so", "liba.so", "libb.so", "libf.so"]


def test_what_a_filtee_needs_is_loaded_too_and_comes_last(system: System) -> None:
    system.library("/lib/libdeep.so", ElfSpec(soname="libdeep.so", needed=("liba.so",)))
    graph = system.resolve(ElfSpec(needed=("libb.so",), links=((DT_AUXILIARY, "libdeep.so"),)))
    assert names(graph) == ["libdeep.so", "root.so", "libb.so", "liba.so"]


@pytest.mark.parametrize("tag", KINDS)
def test_a_filter_may_name_itself(system: System, tag: int) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((tag, "libf.so"),)))
    graph = system.resolve(ElfSpec(soname="libroot.so", links=((tag, "libf.so"), (tag, "libroot.so"))))
    assert names(graph) == ["libf.so", "root.so"]


@pytest.mark.parametrize("tag", KINDS)
def test_what_a_filter_names_may_need_the_filter(system: System, tag: int) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", needed=("libroot.so",)))
    graph = system.resolve(ElfSpec(soname="libroot.so", links=((tag, "libf.so"),)))
    assert names(graph) == ["libf.so", "root.so"]


def circle(system: System, *tags: int) -> None:
    """Filters f0, f1 and so on, of which each names the next, and the last the first."""
    for number, tag in enumerate(tags):
        following = f"libf{(number + 1) % len(tags)}.so"
        system.library(f"/lib/libf{number}.so", ElfSpec(soname=f"libf{number}.so", links=((tag, following),)))


@pytest.mark.parametrize(
    "tags",
    [
        (DT_FILTER, DT_FILTER),
        (DT_AUXILIARY, DT_AUXILIARY),
        (DT_FILTER, DT_AUXILIARY),
        (DT_FILTER, DT_AUXILIARY, DT_FILTER),
        (DT_AUXILIARY,) * 5,
    ],
)
@pytest.mark.parametrize(
    "root",
    [
        ElfSpec(needed=("libf0.so",)),
        ElfSpec(needed=("libb.so", "libf1.so", "libf0.so")),
        ElfSpec(links=((DT_FILTER, "libf1.so"),)),
        ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", links=((DT_AUDIT, "libf0.so"),)),
    ],
    ids=["needed", "both needed", "filtered", "audit"],
)
def test_a_circle_of_filters_is_refused(system: System, root: ElfSpec, tags: tuple[int, ...]) -> None:
    circle(system, *tags)
    with pytest.raises(InputError, match="is a filter in a circle") as caught:
        system.resolve(root)
    assert caught.value.code == "filter-circle"
    assert caught.value.hints
    told = sorted(caught.value.context)
    size = len(tags)
    assert told == sorted(f"`libf{number}.so` names `libf{(number + 1) % size}.so`" for number in range(size))


def test_of_a_long_circle_the_beginning_is_told(system: System) -> None:
    circle(system, *(DT_FILTER,) * 50)
    with pytest.raises(InputError) as caught:
        system.resolve(ElfSpec(needed=("libf0.so",)))
    assert len(caught.value.context) == 10
    assert caught.value.context[-1] == "and so on, 50 files in all"


def test_a_circle_that_the_root_closes(system: System) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((DT_FILTER, "libroot.so"),)))
    with pytest.raises(InputError, match="filter in a circle"):
        system.resolve(ElfSpec(soname="libroot.so", links=((DT_FILTER, "libf.so"),)))


@pytest.mark.parametrize("missing", ["libgone.so", "/gone/libf1.so"])
def test_a_circle_with_a_gap_is_none(system: System, missing: str) -> None:
    """An auxiliary library that is not there is not followed."""
    system.library("/lib/libf0.so", ElfSpec(soname="libf0.so", links=((DT_AUXILIARY, missing),)))
    system.library("/lib/libf1.so", ElfSpec(soname="libf1.so", links=((DT_AUXILIARY, "libf0.so"),)))
    graph = system.resolve(ElfSpec(needed=("libf1.so",)))
    assert names(graph) == ["root.so", "libf0.so", "libf1.so"]


@pytest.mark.parametrize("libc", [Libc.MUSL, Libc.ANDROID])
def test_other_loaders_know_no_circle(system: System, libc: Libc) -> None:
    circle(system, DT_FILTER, DT_AUXILIARY)
    graph = system.resolve(ElfSpec(needed=("libf0.so",)), SearchOptions(libc=libc))
    assert "libf1.so" not in names(graph)


def test_they_are_found_by_the_search_path_of_the_filter(system: System) -> None:
    system.library("/opt/libc8.so", ElfSpec(soname="libc8.so"))
    by_path = system.resolve(ElfSpec(runpath="/opt", links=((DT_FILTER, "libc8.so"),)))
    assert by_path.edges[0].lookup.origin == (Stage.RUNPATH, "/app/root.so")
    system.library("/app/lib/libd.so")
    by_token = system.resolve(ElfSpec(links=((DT_AUXILIARY, "$ORIGIN/lib/libd.so"),)))
    assert by_token.edges[0].target == "/app/lib/libd.so"


def test_only_what_must_be_there_is_missing(system: System) -> None:
    system.library("/lib/libneedy.so", ElfSpec(soname="libneedy.so", needed=("libgone.so",)))
    links = ((DT_AUXILIARY, "libx.so"), (DT_FILTER, "liby.so"), (DT_AUXILIARY, "libneedy.so"))
    graph = system.resolve(ElfSpec(links=links))
    assert [lookup.name for lookup in graph.missing] == ["liby.so", "libgone.so"]
    assert [edge.name for edge in graph.edges if edge.target is None] == ["libx.so", "liby.so", "libgone.so"]


@pytest.mark.parametrize("libc", [Libc.MUSL, Libc.ANDROID])
def test_other_loaders_know_none_of_them(system: System, libc: Libc) -> None:
    links = ((DT_AUXILIARY, "liba.so"), (DT_FILTER, "libgone.so"), (DT_AUDIT, "libb.so"))
    graph = system.resolve(ElfSpec(interpreter="/lib/ld.so", links=links), SearchOptions(libc=libc))
    assert (names(graph), graph.edges) == (["root.so"], ())


# -- audit libraries


def program(*links: tuple[int, str], needed: tuple[str, ...] = ()) -> ElfSpec:
    return ElfSpec(interpreter="/lib64/ld-linux-x86-64.so.2", links=links, needed=needed)


def test_audit_libraries_of_a_program_are_loaded_by_its_search_path(system: System) -> None:
    system.library("/app/sub/libw.so", ElfSpec(soname="libw.so", needed=("libb.so",)))
    spec = program((DT_AUDIT, "$ORIGIN/sub/libw.so:libnone.so"), (DT_DEPAUDIT, "liba.so"))
    graph = system.resolve(spec)
    assert names(graph) == ["root.so", "libw.so", "libb.so", "liba.so"]
    assert [(edge.name, edge.kind) for edge in graph.edges] == [
        ("$ORIGIN/sub/libw.so", LinkKind.AUDIT),
        ("libb.so", LinkKind.NEEDED),
        ("libnone.so", LinkKind.AUDIT),
        ("liba.so", LinkKind.DEPAUDIT),
    ]
    assert graph.missing == ()
    assert graph.chain("/lib/libb.so") == ("/app/root.so", "/app/sub/libw.so", "/lib/libb.so")


def test_they_are_in_a_namespace_where_nothing_is_loaded(system: System) -> None:
    system.library("/one/libdup.so", ElfSpec(soname="libdup.so"))
    system.library("/two/libdup.so", ElfSpec(soname="libdup.so"))
    system.library("/lib/libp.so", ElfSpec(soname="libp.so", needed=("libdup.so",), runpath="/one"))
    system.library("/lib/libw.so", ElfSpec(soname="libw.so", needed=("libdup.so", "liba.so"), runpath="/two"))
    graph = system.resolve(program((DT_AUDIT, "libw.so"), needed=("libp.so", "liba.so")))
    assert [loaded.path for loaded in graph.objects] == [
        "/app/root.so",
        "/lib/libp.so",
        "/lib/liba.so",
        "/one/libdup.so",
        "/lib/libw.so",
        "/two/libdup.so",
    ]


def test_those_of_a_library_are_not_looked_at(system: System) -> None:
    system.library("/lib/libf.so", ElfSpec(soname="libf.so", links=((DT_AUDIT, "liba.so"), (DT_DEPAUDIT, "libb.so"))))
    assert names(system.resolve(ElfSpec(links=((DT_AUDIT, "liba.so"),), needed=("libf.so",)))) == ["root.so", "libf.so"]
    assert names(system.resolve(program(needed=("libf.so",)))) == ["root.so", "libf.so"]
