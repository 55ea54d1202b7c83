from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.forest import Forest, forest_of_wheel
from deloc8.report.tree import tree_text, tree_value
from kit.elf import DT_AUDIT, DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, GLIBC, MACHINES, ElfSpec
from kit.scene import CORE, Scene
from kit.system import image_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def forest(tmp_path: Path) -> Forest:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/liba.so", ElfSpec(soname="liba.so", needed=("libb.so", GLIBC)))
    scene.system.library("/usr/lib/libb.so", ElfSpec(soname="libb.so", needed=("liba.so",)))
    audit = scene.audit({CORE: ElfSpec(needed=("liba.so", "libno.so", "libb.so", GLIBC)), "demo/lone.so": ElfSpec()})
    return forest_of_wheel(audit.facts)


def test_each_library_shows_its_needs_once(forest: Forest) -> None:
    lines = [line for line in tree_text(forest).splitlines() if " tried " not in line]
    assert lines == [
        "demo/_core.so",
        "|-- liba.so => /usr/lib/liba.so (default folders)",
        "|   |-- libb.so => /usr/lib/libb.so (already loaded)",
        "|   |   `-- liba.so => /usr/lib/liba.so (already loaded) (shown above)",
        "|   `-- libc.so.6 => /usr/lib/libc.so.6 (already loaded)",
        "|-- libno.so => not found",
        "|-- libb.so => /usr/lib/libb.so (default folders) (shown above)",
        "`-- libc.so.6 => /usr/lib/libc.so.6 (default folders)",
        "demo/lone.so",
    ]


def test_where_a_missing_library_was_looked_for_is_told_and_all_else_on_request(forest: Forest) -> None:
    tried = "|     tried /usr/lib/libno.so (default folders): missing"
    assert tried in tree_text(forest).splitlines()
    assert "tried /usr/lib/liba.so" not in tree_text(forest)
    assert "|     tried /usr/lib/liba.so (default folders): found" in tree_text(forest, verbose=True).splitlines()


def test_a_reason_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    audit = scene.judge(ElfSpec(needed=("libno.so",), rpath="relative"))
    assert (
        "      tried relative (RPATH of /.wheel/lib/pythonX.Y/site-packages/demo/_core.so): not searched, it means the "
        "current folder, wherever that is at run time"
    ) in tree_text(forest_of_wheel(audit.facts)).splitlines()


def test_a_long_chain_of_libraries_is_no_recursion(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(1100):
        needed = (f"lib{number + 1}.so",)
        scene.system.library(f"/usr/lib/lib{number}.so", ElfSpec(soname=f"lib{number}.so", needed=needed))
    audit = scene.judge(ElfSpec(needed=("lib0.so",)))
    assert "lib1100.so => not found" in tree_text(forest_of_wheel(audit.facts))


def test_names_stay_in_their_line(tmp_path: Path) -> None:
    text = tree_text(forest_of_wheel(Scene(tmp_path).judge(ElfSpec(needed=("lib\nfake => /found\x1b[2J",))).facts))
    assert not any(line.startswith("fake") for line in text.split("\n"))
    assert r"lib\nfake => /found\x1b[2J => not found" in text


def test_the_graph_behind_the_trees(forest: Forest) -> None:
    value = json.loads(json.dumps(tree_value(forest)))
    assert value["path"] == "demo-1.0-cp311-cp311-linux_x86_64.whl"
    assert value["roots"] == [CORE, "demo/lone.so"]
    files = {file["file"]: file for file in value["files"]}
    assert set(files) == {CORE, "demo/lone.so", "/usr/lib/liba.so", "/usr/lib/libb.so", "/usr/lib/libc.so.6"}
    assert (files["/usr/lib/liba.so"]["soname"], files["/usr/lib/liba.so"]["machine"]) == ("liba.so", "x86_64")
    found, missing = files[CORE]["needed"][:2]
    assert (found["name"], found["file"], found["path"]) == ("liba.so", "/usr/lib/liba.so", "/usr/lib/liba.so")
    assert found["origin"] == "default folders"
    assert (missing["name"], missing["file"], missing["path"], missing["origin"]) == ("libno.so", None, None, None)
    tried = {"path": "/usr/lib/libno.so", "origin": "default folders", "result": "missing", "reason": ""}
    assert tried in missing["tried"]


def test_a_file_for_an_unknown_machine_has_none(forest: Forest) -> None:
    path, file = next(iter(forest.files.items()))
    odd = replace(file, image=image_of(MACHINES["s390"]))
    value = tree_value(replace(forest, files={**forest.files, path: odd}))
    assert json.loads(json.dumps(value))["files"][0]["machine"] is None


def test_what_is_named_otherwise_than_by_needed_is_marked(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for name in ("libone.so", "libtwo.so", "libwatch.so"):
        scene.system.library(f"/usr/lib/{name}", ElfSpec(soname=name))
    links = ((DT_FILTER, "libone.so"), (DT_AUXILIARY, "libtwo.so"), (DT_AUXILIARY, "libno.so"))
    program = ElfSpec(
        needed=(GLIBC,),
        interpreter="/lib64/ld-linux-x86-64.so.2",
        links=(*links, (DT_AUDIT, "libwatch.so"), (DT_DEPAUDIT, "libgone.so")),
    )
    forest = forest_of_wheel(scene.audit({"demo-1.0.data/scripts/run": program}).facts)
    assert [line for line in tree_text(forest).splitlines() if " tried " not in line][1:] == [
        "|-- libc.so.6 => /usr/lib/libc.so.6 (default folders)",
        "|-- libone.so [filter] => /usr/lib/libone.so (default folders)",
        "|-- libtwo.so [auxiliary] => /usr/lib/libtwo.so (default folders)",
        "|-- libno.so [auxiliary] => not found, but optional",
        "|-- libwatch.so [audit] => /usr/lib/libwatch.so (default folders)",
        "`-- libgone.so [depaudit] => not found, but optional",
    ]
    rows = tree_value(forest)["files"][0]["needed"]  # type: ignore[index]
    kinds = [(row["name"], row["kind"]) for row in rows]
    assert kinds == [
        ("libc.so.6", "needed"),
        ("libone.so", "filter"),
        ("libtwo.so", "auxiliary"),
        ("libno.so", "auxiliary"),
        ("libwatch.so", "audit"),
        ("libgone.so", "depaudit"),
    ]
    assert forest.missing == ()
