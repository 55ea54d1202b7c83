from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import InputError
from deloc8.loader import resolve as module
from deloc8.loader.ldcache import LdCache
from deloc8.loader.resolve import LoadGraph, Resolver, needed_by, resolve
from deloc8.loader.search import SearchOptions, Stage
from deloc8.loader.sysroot import Overlay
from deloc8.target import Libc
from kit.elf import MACHINES, ElfSpec
from kit.ldcache import Row, build_cache
from kit.system import System, image_of

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.target import Arch


@pytest.fixture
def system(tmp_path: Path) -> System:
    """/lib has a, b and c; a needs b and c, b needs c and a, c needs what is not there."""
    system = System(tmp_path)
    system.library("/lib/liba.so.1.0", ElfSpec(soname="liba.so.1", needed=("libb.so.1", "libc8.so.1")))
    system.symlink("/lib/liba.so.1", "liba.so.1.0")
    system.library("/lib/libb.so.1", ElfSpec(soname="libb.so.1", needed=("libc8.so.1", "liba.so.1")))
    system.library("/lib/libc8.so.1", ElfSpec(soname="libc8.so.1", needed=("libgone.so.1",)))
    return system


def paths(graph: LoadGraph) -> list[str]:
    return [loaded.path for loaded in graph.objects]


def test_breadth_first(system: System) -> None:
    graph = system.resolve(ElfSpec(needed=("liba.so.1", "libgone.so.1")))
    assert graph.root == "/app/root.so"
    assert paths(graph) == ["/app/root.so", "/lib/liba.so.1", "/lib/libb.so.1", "/lib/libc8.so.1"]
    assert [loaded.real_path for loaded in graph.objects[:2]] == ["/app/root.so", "/lib/liba.so.1.0"]
    assert [loaded.asked_as for loaded in graph.objects] == ["/app/root.so", "liba.so.1", "libb.so.1", "libc8.so.1"]
    assert [loaded.parent for loaded in graph.objects] == [None, "/app/root.so", "/lib/liba.so.1", "/lib/liba.so.1"]
    assert [(edge.parent, edge.name, edge.target) for edge in graph.edges] == [
        ("/app/root.so", "liba.so.1", "/lib/liba.so.1"),
        ("/app/root.so", "libgone.so.1", None),
        ("/lib/liba.so.1", "libb.so.1", "/lib/libb.so.1"),
        ("/lib/liba.so.1", "libc8.so.1", "/lib/libc8.so.1"),
        ("/lib/libb.so.1", "libc8.so.1", "/lib/libc8.so.1"),
        ("/lib/libb.so.1", "liba.so.1", "/lib/liba.so.1"),
        ("/lib/libc8.so.1", "libgone.so.1", None),
    ]
    assert [edge.lookup.origin.stage for edge in graph.edges if edge.lookup.origin] == [
        Stage.DEFAULT,
        Stage.DEFAULT,
        Stage.DEFAULT,
        Stage.LOADED,
        Stage.LOADED,
    ]


def test_what_is_missing_is_told_once(system: System) -> None:
    graph = system.resolve(ElfSpec(needed=("libnone.so", "libgone.so.1", "liba.so.1")))
    assert [lookup.name for lookup in graph.missing] == ["libnone.so", "libgone.so.1"]
    assert graph.missing[0].tried


def test_chains(system: System) -> None:
    graph = system.resolve(ElfSpec(needed=("liba.so.1",)))
    assert graph.chain("/lib/libc8.so.1") == ("/app/root.so", "/lib/liba.so.1", "/lib/libc8.so.1")
    assert graph.chain("/app/root.so") == ("/app/root.so",)
    assert graph.chain("/lib/libnone.so") == ()
    assert graph.by_path["/lib/libb.so.1"].image.soname == "libb.so.1"


def test_who_needs_what(system: System) -> None:
    image = image_of(ElfSpec(needed=("liba.so.1", "libnone.so")))
    graphs = [resolve(path, image, system.sysroot, SearchOptions()) for path in ("/app/two.so", "/app/one.so")]
    assert needed_by(graphs) == {
        "/lib/liba.so.1.0": ("/app/one.so", "/app/two.so", "/lib/libb.so.1"),
        "/lib/libb.so.1": ("/lib/liba.so.1.0",),
        "/lib/libc8.so.1": ("/lib/liba.so.1.0", "/lib/libb.so.1"),
        "libgone.so.1": ("/lib/libc8.so.1",),
        "libnone.so": ("/app/one.so", "/app/two.so"),
    }


def test_a_root_with_the_wanted_soname_is_the_library(system: System) -> None:
    graph = system.resolve(ElfSpec(soname="libgone.so.1", needed=("libc8.so.1", "libgone.so.1")))
    assert not graph.missing
    assert paths(graph) == ["/app/root.so", "/lib/libc8.so.1"]


def test_one_file_under_two_names(system: System) -> None:
    system.library("/lib/libd.so")
    system.symlink("/lib/libe.so", "libd.so")
    graph = system.resolve(ElfSpec(needed=("libe.so", "libd.so", "libd.so")))
    assert paths(graph) == ["/app/root.so", "/lib/libe.so"]
    assert [edge.target for edge in graph.edges] == ["/lib/libe.so"] * 3


def test_two_files_with_one_soname_through_two_rpaths(system: System) -> None:
    for name in ("one", "two"):
        system.library(f"/{name}/libdup.so", ElfSpec(soname="libdup.so"))
        system.library(f"/lib/lib{name}.so", ElfSpec(needed=("libdup.so",), runpath=f"/{name}"))
    resolver = Resolver(system.sysroot, SearchOptions())
    first = resolver.resolve("/app/x.so", image_of(ElfSpec(needed=("libone.so",))))
    second = resolver.resolve("/app/y.so", image_of(ElfSpec(needed=("libtwo.so", "libone.so"))))
    assert paths(first)[-1] == "/one/libdup.so"
    assert paths(second)[-1] == "/two/libdup.so"


def test_the_loader_is_there_already(system: System) -> None:
    loader = "/lib64/ld-linux-x86-64.so.2"
    system.library(loader, ElfSpec(soname="ld-linux-x86-64.so.2"))
    system.library("/lib/ld-linux-x86-64.so.2", ElfSpec(soname="ld-linux-x86-64.so.2"))
    spec = ElfSpec(needed=("ld-linux-x86-64.so.2", loader), rpath="/lib")
    graph = system.resolve(spec)
    assert paths(graph) == ["/app/root.so", loader]
    assert [edge.lookup.origin and edge.lookup.origin.stage for edge in graph.edges] == [Stage.LOADER, Stage.LOADER]
    by_path = system.resolve(ElfSpec(needed=(loader,)))
    assert by_path.edges[0].lookup.origin == (Stage.LOADER, None)
    elsewhere = system.resolve(replace(spec, interpreter="/lib/ld-linux-x86-64.so.2"))
    assert paths(elsewhere)[1] == "/lib/ld-linux-x86-64.so.2"
    only = system.resolve(ElfSpec(needed=("ld-linux-x86-64.so.2",)), SearchOptions(only_paths=("/opt",)))
    assert [lookup.name for lookup in only.missing] == ["ld-linux-x86-64.so.2"]


def test_a_loader_for_another_machine_does_not_count(system: System) -> None:
    system.library("/lib64/ld-linux-x86-64.so.2", replace(MACHINES["aarch64"], soname="ld-linux-x86-64.so.2"))
    assert system.resolve(ElfSpec(needed=("ld-linux-x86-64.so.2",))).missing


def test_musl_is_its_own_libc_and_knows_names_only(system: System) -> None:
    musl = SearchOptions(libc=Libc.MUSL)
    loader = system.library("/lib/ld-musl-x86_64.so.1", ElfSpec(soname="libc.so"))
    system.library("/lib/libx.so", ElfSpec(soname="libgone.so.1"))
    needed = ("libc.musl-x86_64.so.1", "libpthread.so.0", loader, "libx.so", "/lib/libx.so", "libc8.so.1")
    graph = system.resolve(ElfSpec(needed=needed), musl)
    assert paths(graph) == ["/app/root.so", loader, "/lib/libx.so", "/lib/libc8.so.1"]
    assert [lookup.name for lookup in graph.missing] == ["libgone.so.1"]


def test_members_of_a_wheel(system: System) -> None:
    spec = ElfSpec(needed=("libown.so", "liba.so.1", "libbeside.so"), rpath="$ORIGIN/../libs:$ORIGIN/../../../lib")
    images = {
        "/.wheel/lib/pkg/ext.so": image_of(spec),
        "/.wheel/lib/libs/libown.so": image_of(ElfSpec(soname="libown.so", needed=("libbeside.so",))),
        "/.wheel/lib/pkg/libbeside.so": image_of(ElfSpec(soname="libbeside.so")),
    }
    files = Overlay(system.sysroot, images)
    own = {"libown.so": ["/.wheel/lib/libs/libown.so"], "libbeside.so": ["/.wheel/lib/pkg/libbeside.so"]}
    graph = resolve("/.wheel/lib/pkg/ext.so", images["/.wheel/lib/pkg/ext.so"], files, SearchOptions(), own)
    assert [loaded.real_path for loaded in graph.objects[:4]] == [
        "/.wheel/lib/pkg/ext.so",
        "/.wheel/lib/libs/libown.so",
        "/lib/liba.so.1.0",
        "/.wheel/lib/pkg/libbeside.so",
    ]
    assert paths(graph)[1] == "/.wheel/lib/pkg/../libs/libown.so"
    assert graph.edges[1].lookup.tried[1].path == "/.wheel/lib/pkg/../../../lib/liba.so.1"
    assert graph.edges[1].lookup.tried[1].result.value == "missing"
    assert graph.edges[2].lookup.origin == (Stage.OWN, None)


def test_a_resolver_remembers(system: System) -> None:
    resolver = Resolver(system.sysroot, SearchOptions(library_path=("$ORIGIN",)))
    system.library("/one/libx.so")
    image = image_of(ElfSpec(needed=("liba.so.1", "libx.so")))
    first = resolver.resolve("/one/root.so", image)
    again = resolver.resolve("/one/root.so", image)
    assert again == first
    assert again.edges[0].lookup is first.edges[0].lookup
    other = resolver.resolve("/two/root.so", image)
    assert [lookup.name for lookup in other.missing] == ["libx.so", "libgone.so.1"]


def test_what_all_files_ask_alike_is_searched_once(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.write("/etc/ld.so.cache", build_cache([Row("libx.so", "/cache/libx.so"), Row("liby.so", "/cache/liby.so")]))
    system.library("/cache/libx.so", ElfSpec(needed=("liby.so",)))
    system.library("/cache/liby.so")
    asked = []
    find = LdCache.find

    def found(self: LdCache, name: str, *, arch: Arch | None, hwcaps: tuple[str, ...] = ()) -> str | None:
        asked.append(name)
        return find(self, name, arch=arch, hwcaps=hwcaps)

    monkeypatch.setattr(LdCache, "find", found)
    resolver = Resolver(system.sysroot, SearchOptions())
    spec = ElfSpec(needed=("libx.so", "libx.so"))
    first = resolver.resolve("/one/root.so", image_of(spec))
    other = resolver.resolve("/two/root.so", image_of(spec))
    own = resolver.resolve("/three/root.so", image_of(replace(spec, rpath="$ORIGIN")))
    assert [edge.lookup for edge in first.edges] == [edge.lookup for edge in other.edges]
    assert first.edges[0].lookup is other.edges[0].lookup
    assert first.edges[1].lookup is other.edges[1].lookup  # it was loaded already
    assert own.edges[0].lookup.tried[0].path == "/three/libx.so"
    assert own.edges[0].lookup.path == "/cache/libx.so"
    assert asked == ["libx.so", "liby.so"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (ElfSpec(needed=("libx.so",), rpath="/x"), "/x/libx.so"),
        (ElfSpec(needed=("libx.so",), runpath=""), None),  # it keeps the loader from the RPATH of the root
        (ElfSpec(needed=("libx.so",)), "/top/libx.so"),
    ],
)
def test_what_a_file_says_of_its_search_is_its_own(system: System, spec: ElfSpec, path: str | None) -> None:
    for folder in ("/x", "/top"):
        system.library(f"{folder}/libx.so")
    system.library("/top/liba.so", ElfSpec(needed=("libx.so",)))
    system.library("/top/libb.so", spec)
    resolver = Resolver(system.sysroot, SearchOptions())
    for needed in (("liba.so",), ("libb.so",)):
        graph = resolver.resolve("/app/root.so", image_of(ElfSpec(needed=needed, rpath="/top")))
    assert graph.edges[1].lookup.path == path


def test_another_file_at_the_same_path_is_another_answer(system: System) -> None:
    resolver = Resolver(system.sysroot, SearchOptions())
    for needed in (("root.so",), ("root.so", "root.so")):
        image = image_of(ElfSpec(soname="root.so", needed=needed))
        assert resolver.resolve("/app/root.so", image).edges[0].lookup.image is image


def test_a_search_without_end(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ElfSpec(
        needed=tuple(f"lib{number}.so" for number in range(40)),
        rpath=":".join(f"/folder{number}" for number in range(100)),
    )
    assert len(system.resolve(spec).missing) == 40
    monkeypatch.setattr(module, "_MOST_ATTEMPTS", 1000)
    with pytest.raises(InputError, match="has no end in sight") as caught:
        system.resolve(spec)
    assert caught.value.code == "endless-search"


def test_answers_that_are_remembered_come_to_an_end_too(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"lib{number}.so" for number in range(30))
    for name in names:
        system.library(f"/lib/{name}", ElfSpec(needed=tuple(f"gone{number}.so" for number in range(30))))
    assert len(system.resolve(ElfSpec(needed=names)).missing) == 30
    monkeypatch.setattr(module, "_MOST_ATTEMPTS", 900)
    with pytest.raises(InputError, match="has no end in sight"):
        system.resolve(ElfSpec(needed=names))


def test_a_search_path_of_a_million_entries_is_cut(system: System) -> None:
    system.library("/last/libx.so")
    many = ":".join(f"/f{number}" for number in range(20_000))
    lookup = system.lookup(ElfSpec(needed=("libx.so",), rpath=f"/last:{many}"))
    assert lookup.path == "/last/libx.so"
    lookup = system.lookup(ElfSpec(needed=("libx.so",), runpath=f"{many}:/last"))
    assert not lookup.found
    assert len(lookup.tried) < 10_010
