from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deloc8.loader.folders import FolderTree, ancestors, folders_of

if TYPE_CHECKING:
    from pathlib import Path

TREE = FolderTree(top="/w", folders=folders_of(["/w/bin/x", "/w/lib/python/pkg/core.so"]), links={"/w/lib64": "/w/lib"})


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/w/lib", "/w/lib"),
        ("/w/lib/", "/w/lib"),
        ("//w/./lib//python/.", "/w/lib/python"),
        ("/w/lib64/python", "/w/lib/python"),
        ("/w/lib64/..", "/w"),
        ("/w/bin/../lib", "/w/lib"),
        ("/w/sbin/../lib", None),
        ("/w/lib/python/pkg/core.so/../../python", None),  # a file is not a folder
        ("/w/a/b/../../lib", None),
        ("/w/missing", None),
        ("/w/..", None),
        ("/w/../w/lib", None),
        ("/x/../w/lib", None),
        ("/wide", None),
    ],
)
def test_the_folder_that_a_path_leads_to(path: str, folder: str | None) -> None:
    assert TREE.find(path) == folder


def test_what_is_missing_on_the_way_is_told() -> None:
    trail = TREE.walk("/w/a/b/../../lib/c")
    assert trail is not None
    assert trail.folder == "/w/lib/c"
    assert trail.missing == ("/w/a", "/w/a/b", "/w/lib/c")
    assert TREE.walk("/w/a/b/../../lib/c") is trail
    assert "/w/lib" in TREE
    assert "/w/lib64" not in TREE


def test_a_tree_without_a_top_begins_at_the_root() -> None:
    tree = FolderTree(top="", folders=folders_of(["/a/b/x"]))
    assert (tree.find("/a/b/.."), tree.find("/../a/b"), tree.find("/")) == ("/a", "/a/b", "")
    assert ancestors(["/a/b"]) == {"", "/a", "/a/b"}


PARTS = st.sampled_from(["lib", "lib64", "bin", "pkg", "missing", "..", ".", ""])


@given(st.lists(PARTS, max_size=8))
def test_the_kernel_walks_alike(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    top = _on_disk(tmp_path_factory.getbasetemp() / "walked")
    tree = FolderTree(
        top=str(top), folders=folders_of([f"{top}/lib/pkg/x", f"{top}/bin/x"]), links={f"{top}/lib64": f"{top}/lib"}
    )
    path = "/".join([str(top), *parts])
    try:
        real = os.path.realpath(path, strict=True)
    except OSError:
        real = None
    inside = itertools.accumulate(parts, lambda depth, part: depth + _step(part), initial=0)
    if real is not None and min(inside) < 0:
        real = None  # it has left the top folder, where the tree knows nothing
    assert tree.find(path) == real


def _step(part: str) -> int:
    return -1 if part == ".." else int(part not in {".", ""})


def _on_disk(top: Path) -> Path:
    (top / "lib/pkg").mkdir(parents=True, exist_ok=True)
    (top / "bin").mkdir(exist_ok=True)
    if not (top / "lib64").exists():
        (top / "lib64").symlink_to("lib")
    return top
