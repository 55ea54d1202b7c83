"""The loader on inputs nobody would think of."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from deloc8.elf.constants import DF_1_NODEFLIB
from deloc8.loader.ldcache import read_ld_so_cache
from deloc8.loader.ldconf import read_ld_so_conf
from deloc8.loader.memory import Memory
from deloc8.loader.own import own_names
from deloc8.loader.resolve import Resolver, resolve
from deloc8.loader.search import Located, SearchOptions
from deloc8.loader.sysroot import Overlay, Sysroot
from deloc8.loader.tokens import Tokens, expand
from deloc8.target import Arch, Libc
from kit.elf import ElfSpec
from kit.ldcache import Row, build_cache
from kit.system import System, image_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from deloc8.loader.memory import Inquiry
    from deloc8.loader.search import Lookup

SOUND = build_cache(
    [Row("libz.so.1", "/lib/hw/libz.so.1", hwcap=1 << 62), Row("libz.so.1", "/lib/libz.so.1"), Row("x", "/x", flags=3)],
    ["x86-64-v3"],
)


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(SOUND)))
def test_any_cache_is_read_or_refused(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(SOUND)
    for place, value in changes:
        data[place] = value
    for damaged in (bytes(data), bytes(data[:length]), b"ld.so-1.7.0" + bytes(data)):
        cache = read_ld_so_cache(damaged)
        if cache is not None:
            found = cache.find("libz.so.1", arch=Arch.X86_64)
            assert found is None or found.encode("utf-8", "surrogateescape") in damaged


@given(st.binary(max_size=300))
def test_any_bytes_are_no_cache(data: bytes) -> None:
    assert read_ld_so_cache(data) is None
    assert read_ld_so_cache(b"glibc-ld.so.cache1.1" + bytes(28)) is not None


CONF_WORDS = [
    "include",
    "hwcap",
    "#",
    "/",
    "/etc",
    "*",
    "ld.so.conf",
    "x",
    " ",
    "\n",
    "..",
    "[",
    "]",
    "?",
    "=",
    "\0",
    "é",
]


@given(st.lists(st.sampled_from(CONF_WORDS), max_size=20), st.lists(st.sampled_from(CONF_WORDS), max_size=20))
@settings(max_examples=100)
def test_any_ld_so_conf_ends(first: list[str], second: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder))
        system.write("/etc/ld.so.conf", "".join(first) + "\ninclude x")
        system.write("/etc/x", "".join(second) + "\ninclude *")
        folders = read_ld_so_conf(system.sysroot)
    assert all(entry.startswith("/") for entry in folders)
    assert len(set(folders)) == len(folders)


@given(st.text("$ORIGNLB{}/a", max_size=30))
def test_what_has_no_token_stays(entry: str) -> None:
    expanded = expand(entry, Tokens(origin="@", lib="%", platform="&"))
    assert expanded is not None
    if not {"@", "%"} & set(expanded):
        assert expanded == entry
    else:
        assert expanded.replace("@", "").replace("%", "") != entry


NAMES = ["a", "b", "c"]
PATHS = st.lists(st.sampled_from([*NAMES, "..", ".", ""]), min_size=1, max_size=5).map("/".join)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans(), PATHS), max_size=6), PATHS)
@settings(max_examples=200)
def test_real_paths_are_the_kernels(links: list[tuple[str, str, bool, str]], path: str) -> None:
    top = Path(tempfile.mkdtemp())
    try:
        for name in NAMES:
            (top / name).mkdir()
        (top / "a" / "a").touch()
        for folder, name, absolute, target in links:
            with contextlib.suppress(FileExistsError):
                (top / folder / name).symlink_to(f"{top if absolute else '.'}/{target}")
        asked = f"{top}/{path}"
        expected = os.path.realpath(asked) if os.path.exists(asked) else None  # noqa: PTH110 - Path drops dots
        assert Sysroot().real_path(asked) == expected
    finally:
        shutil.rmtree(top)


LIBRARIES = [f"lib{letter}.so" for letter in "abcdef"]
SPECS = st.builds(
    ElfSpec,
    soname=st.sampled_from([None, *LIBRARIES]),
    needed=st.lists(st.sampled_from([*LIBRARIES, "/w/x/liba.so", "$ORIGIN/../y/libb.so"]), max_size=4).map(tuple),
    rpath=st.sampled_from([None, "", "$ORIGIN", "$ORIGIN/../x:$ORIGIN/../y", "$ORIGIN/../x/../x/../y", ":/w/y"]),
    runpath=st.sampled_from([None, None, "", "$ORIGIN", "/w/x"]),
)


@given(
    st.dictionaries(st.tuples(st.sampled_from("xy"), st.sampled_from(LIBRARIES)), SPECS, min_size=1, max_size=8),
    SPECS,
    st.sampled_from(Libc),
)
@settings(max_examples=150)
def test_graphs_hold_together(specs: dict[tuple[str, str], ElfSpec], root: ElfSpec, libc: Libc) -> None:
    images = {f"/w/{folder}/{name}": image_of(spec) for (folder, name), spec in specs.items()}
    images["/w/x/root.so"] = image_of(root)
    files = Overlay(Sysroot("/nowhere"), images)
    graph = resolve("/w/x/root.so", images["/w/x/root.so"], files, SearchOptions(libc=libc))
    loaded = {item.path: item for item in graph.objects}
    # Each file is loaded once, and everything but the root is needed by something that is loaded before it.
    assert len({item.real_path for item in graph.objects}) == len(graph.objects) == len(loaded)
    order = list(loaded)
    for item in graph.objects[1:]:
        assert item.parent is not None
        assert order.index(item.parent) < order.index(item.path)
        assert images[item.real_path] is item.image
        chain = graph.chain(item.path)
        assert chain[0] == "/w/x/root.so"
        steps = {(edge.parent, edge.target) for edge in graph.edges}
        assert set(pairwise(chain)) <= steps
    # Every entry of every loaded file is an edge, and every edge is found or has everything that was tried.
    assert [(edge.parent, edge.name) for edge in graph.edges] == [
        (item.path, name) for item in graph.objects for name in item.image.needed
    ]
    for edge in graph.edges:
        assert (edge.target is None) is not edge.lookup.found
        assert edge.target is None or edge.target in loaded


SEARCHED = [f"lib{letter}.so" for letter in "abc"]
ASKERS = st.builds(
    ElfSpec,
    soname=st.sampled_from([None, *SEARCHED]),
    needed=st.lists(st.sampled_from([*SEARCHED, "libmissing.so", "$ORIGIN/liba.so"]), max_size=4).map(tuple),
    rpath=st.sampled_from([None, None, "", "$ORIGIN", "/w/x:/w/y", "$ORIGIN/../y"]),
    runpath=st.sampled_from([None, None, None, "", "$ORIGIN", "/w/x"]),
    dt_flags_1=st.sampled_from([0, 0, DF_1_NODEFLIB]),
)
PLACES = [f"{folder}/{name}" for folder in ("/w/x", "/w/y", "/w/z/deep", "/usr/lib", "/out") for name in SEARCHED]


class Forgetful(Memory):
    """A memory that has forgotten every answer."""

    def recall(self, key: Hashable, inquiry: Inquiry) -> Lookup | None:
        """The answer is never known."""
        del key, inquiry
        return None


@given(
    st.dictionaries(st.sampled_from(PLACES), ASKERS, min_size=2, max_size=12),
    st.sampled_from(Libc),
    st.sampled_from([(), ("/out",), ("$ORIGIN", "/out"), ("$ORIGIN/../z/deep",)]),
    st.sampled_from([None, ("/out",), ("/usr/lib", "/out")]),
)
@settings(max_examples=300)
def test_what_is_remembered_is_what_a_search_finds(
    specs: dict[str, ElfSpec], libc: Libc, library_path: tuple[str, ...], only_paths: tuple[str, ...] | None
) -> None:
    images = {path: image_of(spec) for path, spec in specs.items()}
    files = Overlay(Sysroot("/nowhere"), images)
    own = own_names([Located(path, image) for path, image in images.items() if path.startswith("/w/")], libc)
    options = SearchOptions(libc=libc, library_path=library_path, only_paths=only_paths)
    remembers = Resolver(files, options, own)
    for path, image in images.items():
        forgets = Resolver(files, options, own)
        forgets._search._memory = Forgetful()
        assert remembers.resolve(path, image) == forgets.resolve(path, image)
