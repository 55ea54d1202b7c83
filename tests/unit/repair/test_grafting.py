from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deloc8.audit.facts import ElfFile
from deloc8.elf.read.image import parse
from deloc8.errors import InputError, UsageError
from deloc8.repair.grafting import (
    Fingerprint,
    _tree_hash,
    fingerprint,
    launcher,
)
from kit.bench import Bench, graft, image, names
from kit.elf import ElfSpec, build_elf

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.model import Plan

LIB = "/usr/lib64"
ONE, TWO = "demo/one.so", "demo/two.so"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def new_names(plan: Plan) -> dict[str, str]:
    return {graft.source: graft.new_name for graft in plan.grafts}


# -- names ---------------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_the_hash_and_the_size_of_what_was_read(bench: Bench) -> None:
    path = bench.library(f"{LIB}/liba.so.1")
    data = (bench.system.top / path[1:]).read_bytes()
    file = ElfFile(path=path, member=None, image=parse(data, path), wanted=())
    found = fingerprint([file], bench.system.sysroot)
    assert found == {path: Fingerprint(sha256=hashlib.sha256(data).hexdigest(), size=len(data))}


def test_a_library_that_vanishes_before_it_is_read_is_named(bench: Bench) -> None:
    path = bench.library(f"{LIB}/liba.so.1")
    sysroot = bench.system.sysroot
    file = ElfFile(path=path, member=None, image=parse(build_elf(), path), wanted=())
    (bench.system.top / path[1:]).unlink()
    with pytest.raises(InputError, match=path) as caught:
        fingerprint([file], sysroot)
    assert caught.value.code == "unreadable-library"


@pytest.mark.parametrize(
    ("file_name", "before", "after"),
    [
        ("liba.so", "liba-", ".so"),
        ("liba.so.1.2.3", "liba-", ".so.1.2.3"),
        ("liba-2.5.so.0", "liba-2.5-", ".so.0"),
        ("plugin", "plugin-", ""),
    ],
)
def test_the_hash_stands_before_the_ending(bench: Bench, file_name: str, before: str, after: str) -> None:
    bench.library(f"{LIB}/{file_name}")
    plan = bench.plan(bench.extension(needed=(file_name,)))
    (name,) = new_names(plan).values()
    assert name.startswith(before)
    assert name.endswith(after)
    digits = name[len(before) : len(name) - len(after)]
    assert len(digits) == 8
    assert int(digits, 16) >= 0


def test_the_name_is_that_of_the_file_behind_the_symlink(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1.2.3", soname="liba.so.1")
    bench.system.symlink(f"{LIB}/liba.so.1", "liba.so.1.2.3")
    (found,) = bench.plan(bench.extension(needed=("liba.so.1",))).grafts
    assert found.source == f"{LIB}/liba.so.1.2.3"
    assert found.soname == "liba.so.1"
    assert found.new_name.endswith(".so.1.2.3")


def test_the_name_changes_with_the_contents(bench: Bench) -> None:
    wheel = bench.extension(needed=("liba.so.1",))
    bench.library(f"{LIB}/liba.so.1")
    first = new_names(bench.plan(wheel))
    assert new_names(bench.plan(wheel)) == first
    bench.library(f"{LIB}/liba.so.1", payload=b"another build")
    assert new_names(bench.plan(wheel)) != first


def test_the_name_changes_with_what_the_library_brings_along_however_far(bench: Bench) -> None:
    wheel = bench.extension(needed=("liba.so.1",))
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1",))
    bench.library(f"{LIB}/libb.so.1", needed=("libc1.so.1",))
    bench.library(f"{LIB}/libc1.so.1")
    first = new_names(bench.plan(wheel))
    bench.library(f"{LIB}/libc1.so.1", payload=b"another build")
    second = new_names(bench.plan(wheel))
    assert set(first) == {f"{LIB}/liba.so.1", f"{LIB}/libb.so.1", f"{LIB}/libc1.so.1"}
    assert all(first[path] != second[path] for path in first)


def test_circles_of_libraries_have_names_too(bench: Bench) -> None:
    wheel = bench.extension(needed=("liba.so.1",))
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1", "liba.so.1"))
    bench.library(f"{LIB}/libb.so.1", needed=("liba.so.1",))
    first = new_names(bench.plan(wheel))
    assert len(set(first.values())) == 2
    bench.library(f"{LIB}/libb.so.1", needed=("liba.so.1",), payload=b"another build")
    second = new_names(bench.plan(wheel))
    assert all(first[path] != second[path] for path in first)
    result = bench.repair(wheel).path
    member = graft(bench.plan(wheel), f"{LIB}/liba.so.1").member
    name_a, name_b = second[f"{LIB}/liba.so.1"], second[f"{LIB}/libb.so.1"]
    assert names(image(result, member)) == ((name_b, name_a), name_a, "$ORIGIN", None)


def two_extensions(bench: Bench, **needed_by_both: object) -> Path:
    """A wheel whose two modules look for their libraries in two folders of the build machine."""
    spec = replace(ElfSpec(), **needed_by_both)  # type: ignore[arg-type]
    return bench.wheel({ONE: replace(spec, rpath="/opt/one"), TWO: replace(spec, rpath="/opt/two")})


def test_equal_trees_share_one_copy(bench: Bench) -> None:
    for folder in ("/opt/one", "/opt/two"):
        bench.library(f"{folder}/liba.so.1", needed=("libb.so.1",), rpath="$ORIGIN")
        bench.library(f"{folder}/libb.so.1")
    plan = bench.plan(two_extensions(bench, needed=("liba.so.1",)))
    assert [graft.soname for graft in plan.grafts] == ["liba.so.1", "libb.so.1"]
    result = bench.repair(two_extensions(bench, needed=("liba.so.1",))).path
    assert names(image(result, ONE)) == names(image(result, TWO))


def test_equal_files_with_unequal_trees_never_meet(bench: Bench) -> None:
    for folder, payload in (("/opt/one", b"one"), ("/opt/two", b"two")):
        bench.library(f"{folder}/liba.so.1", needed=("libb.so.1",), rpath="$ORIGIN")
        bench.library(f"{folder}/libb.so.1", payload=payload)
    plan = bench.plan(two_extensions(bench, needed=("liba.so.1",)))
    found = new_names(plan)
    assert len(set(found.values())) == len(found) == 4
    assert graft(plan, "/opt/one/liba.so.1").sha256 == graft(plan, "/opt/two/liba.so.1").sha256


def test_two_libraries_with_one_soname_found_by_different_rpaths_are_both_grafted(bench: Bench) -> None:
    bench.library("/opt/one/liba.so.1", payload=b"one")
    bench.library("/opt/two/liba.so.1", payload=b"two")
    outcome = bench.repair(two_extensions(bench, needed=("liba.so.1",)))
    found = new_names(outcome.plan)
    assert len(set(found.values())) == 2
    for member, source in ((ONE, "/opt/one/liba.so.1"), (TWO, "/opt/two/liba.so.1")):
        assert names(image(outcome.path, member))[0] == (found[source],)
        assert names(image(outcome.path, graft(outcome.plan, source).member))[1] == found[source]


# Small graphs: for each file its contents, and where each of its needed names leads.
_graphs = st.lists(
    st.tuples(st.sampled_from("ab"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 4), max_size=2)),
    min_size=5,
    max_size=5,
)


def unrolled(graph: list[tuple[str, dict[str, int]]], node: int, depth: int) -> object:
    """The tree below a file, so many steps deep."""
    content, edges = graph[node]
    if not depth:
        return content
    return content, tuple((name, unrolled(graph, edges[name], depth - 1)) for name in sorted(edges))


@given(_graphs)
def test_names_differ_just_where_trees_differ(graph: list[tuple[str, dict[str, int]]]) -> None:
    edges = {str(i): tuple((name, str(to)) for name, to in sorted(row.items())) for i, (_, row) in enumerate(graph)}
    prints = {str(i): Fingerprint(sha256=content, size=1) for i, (content, _) in enumerate(graph)}
    hashes = [_tree_hash(str(i), edges, prints) for i in range(5)]
    # Trees of five files that agree for five steps agree for ever.
    trees = [unrolled(graph, i, 5) for i in range(5)]
    for one in range(5):
        for other in range(one):
            assert (hashes[one] == hashes[other]) == (trees[one] == trees[other])


# -- names that stay -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glob", ["liba.so.1", "liba.so.1.2", "/usr/lib64/liba.so.1.2", "liba*", "/usr/*"])
def test_no_mangle_keeps_the_soname(bench: Bench, glob: str) -> None:
    bench.library(f"{LIB}/liba.so.1.2", soname="liba.so.1")
    bench.system.symlink(f"{LIB}/liba.so.1", "liba.so.1.2")
    bench.library(f"{LIB}/libother.so.1")
    outcome = bench.repair(bench.extension(needed=("liba.so.1", "libother.so.1")), no_mangle=(glob,))
    kept = graft(outcome.plan, f"{LIB}/liba.so.1.2")
    assert kept.member == "demo.libs/liba.so.1"
    assert kept.edits == ()
    other = [found.new_name for found in outcome.plan.grafts if found.soname == "libother.so.1"]
    assert (other[0] == "libother.so.1") == (glob == "/usr/*")
    assert names(image(outcome.path, "demo/_core.cpython-311-x86_64-linux-gnu.so"))[0] == ("liba.so.1", *other)


def test_no_mangle_takes_the_file_name_where_there_is_no_soname(bench: Bench) -> None:
    bench.library(f"{LIB}/plugin.so", soname=None)
    (found,) = bench.repair(bench.extension(needed=("plugin.so",)), no_mangle=("plugin*",)).plan.grafts
    assert (found.soname, found.new_name) == (None, "plugin.so")


def test_two_libraries_cannot_both_keep_one_name(bench: Bench) -> None:
    bench.library("/opt/one/liba.so.1", payload=b"one")
    bench.library("/opt/two/liba.so.1", payload=b"two")
    with pytest.raises(UsageError, match=r"`liba\.so\.1`") as caught:
        bench.repair(two_extensions(bench, needed=("liba.so.1",)), no_mangle=("liba*",))
    assert caught.value.code == "same-name"
    assert caught.value.context == ("/opt/one/liba.so.1", "/opt/two/liba.so.1")
    assert bench.left == ["no folder"]


def test_a_glob_for_one_of_them_parts_them(bench: Bench) -> None:
    bench.library("/opt/one/liba.so.1", payload=b"one")
    bench.library("/opt/two/liba.so.1", payload=b"two")
    plan = bench.plan(two_extensions(bench, needed=("liba.so.1",)), no_mangle=("/opt/one/*",))
    found = new_names(plan)
    assert found["/opt/one/liba.so.1"] == "liba.so.1"
    assert found["/opt/two/liba.so.1"] != "liba.so.1"


# -- the launcher --------------------------------------------------------------------------------------------------


def run_launcher(folder: Path, member: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "launcher"
    script.write_bytes(launcher(member))
    command = [sys.executable, str(script), *arguments]
    environ = {"PYTHONPATH": f"{folder / 'empty'}:{folder / 'site'}"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


def test_the_launcher_starts_the_program_wherever_modules_are(tmp_path: Path) -> None:
    program = tmp_path / "site" / "demo.scripts" / "it's"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$0 $1-$2"\nexit 7\n')
    program.chmod(0o755)
    done = run_launcher(tmp_path, "demo.scripts/it's", "one", "two three")
    assert (done.stdout, done.stderr, done.returncode) == (f"{program} one-two three\n", "", 7)


def test_a_launcher_without_its_program_says_so(tmp_path: Path) -> None:
    done = run_launcher(tmp_path, "demo.scripts/gone")
    assert (done.stdout, done.stderr, done.returncode) == ("", "demo.scripts/gone is in no folder of sys.path\n", 1)


def test_a_launcher_is_what_installers_take_for_a_python_script() -> None:
    assert launcher("demo.scripts/x").startswith(b"#!python\n")
