"""Answers of searches are found again by what they depended on."""

from __future__ import annotations

import pytest

from deloc8.loader import memory as module
from deloc8.loader.memory import Chain, Inquiry, Memory
from deloc8.loader.resolve import Resolver
from deloc8.loader.search import Located, Lookup, Search, SearchOptions
from deloc8.loader.sysroot import Overlay, Sysroot
from deloc8.target import Libc
from kit.elf import ElfSpec
from kit.system import image_of

LENGTH = 40


def chained(**path: str) -> Overlay:
    """Libraries of which each needs the next, each with a search path."""
    images = {}
    for number in range(LENGTH):
        spec = ElfSpec(soname=f"lib{number}.so", needed=(f"lib{number + 1}.so",), **path)  # type: ignore[arg-type]
        images[f"/w/lib{number}.so"] = image_of(spec)
    return Overlay(Sysroot("/nowhere"), images)


def count_searches(files: Overlay, libc: Libc, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many searches it takes to resolve each library."""
    searches = 0
    find = Search._find

    def counted(self: Search, query: object) -> Lookup:
        nonlocal searches
        searches += 1
        return find(self, query)  # type: ignore[arg-type]

    monkeypatch.setattr(Search, "_find", counted)
    resolver = Resolver(files, SearchOptions(libc=libc))
    for number in range(LENGTH):
        image = files.image(f"/w/lib{number}.so")
        resolver.resolve(f"/w/lib{number}.so", image)  # type: ignore[arg-type]
    return searches


@pytest.mark.parametrize("path", ["runpath", "rpath"])
@pytest.mark.parametrize("libc", [Libc.GLIBC, Libc.MUSL])
def test_a_chain_takes_a_search_for_each_name_that_is_found(
    path: str, libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = count_searches(chained(**{path: "$ORIGIN"}), libc, monkeypatch)
    # The last name is not found, and all whose search paths count have been looked at: by each root others.
    missing = 1 if (path, libc) == ("runpath", Libc.GLIBC) else LENGTH
    assert searches == LENGTH - 1 + missing


def test_too_many_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 3)
    asker = Located("/w/a.so", image_of(ElfSpec()))

    def inquire() -> Inquiry:
        return Inquiry(Chain(asker), lambda _: False, lambda _: False)

    memory = Memory()
    for name in "abcd":
        memory.keep(name, inquire(), Lookup(name=name))
    assert memory.recall("a", inquire()) is not None
    memory.keep("e", inquire(), Lookup(name="e"))
    assert memory.recall("a", inquire()) is None
    assert memory.recall("e", inquire()) == Lookup(name="e")


def test_the_nearest_file_of_the_wheel_counts_where_a_library_of_the_system_asks() -> None:
    plain = image_of(ElfSpec())
    system = image_of(ElfSpec(soname="libsystem.so", needed=("libtwice.so",)))
    images = {f"/w/{folder}/libtwice.so": image_of(ElfSpec(soname="libtwice.so")) for folder in "xy"}
    files = Overlay(Sysroot("/nowhere"), {**images, "/out/libsystem.so": system})
    search = Search(files, SearchOptions(), {"libtwice.so": sorted(images)})
    machine = search.machine_of(plain)
    for folder in "yx":
        root = Chain(Located(f"/w/{folder}/root.so", plain))
        lookup = search.find("libtwice.so", Chain(Located("/out/libsystem.so", system), root), machine)
        assert lookup.path == f"/w/{folder}/libtwice.so"
    alone = search.find("libtwice.so", Chain(Located("/out/libsystem.so", system)), machine)
    assert alone.path in images
