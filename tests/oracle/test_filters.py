"""Filters, auxiliary and audit libraries of real linkers: what ld.so loads, and what a repaired wheel does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edits import AddNeeded, ReplaceNeeded, SetRpath, SetSoname
from deloc8.elf.image import parse
from deloc8.elf.writer import edit
from deloc8.loader.resolve import resolve
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from kit.require import require
from kit.shop import EXT, Shop, dynamic, python_header, run

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

LINKERS = ("bfd", "gold", "lld", "mold")
KINDS = {"-F": "FILTER", "-f": "AUXILIARY"}
PACKAGES = {"bfd": "binutils", "gold": "binutils", "lld": "lld", "mold": "mold"}
CODE = "from demo import _core; print(_core.answer())"
IMPORT: list[str | Path] = [sys.executable, "-c", CODE]

# What `fast` says comes first; `slow` says something else, and has what `fast` has not.
FAST = "int deep(void); int f(void) { return deep(); }\n"
DEEP = "int deep(void) { return 1; }\n"
SLOW = "int f(void) { return 100; } int g(void) { return 1000; }\n"
MODULE = r"""
#include <Python.h>
int f(void), g(void);
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(f() + g()); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
PROGRAM = r"""
#include <stdio.h>
int f(void), g(void);
int main(void) { printf("%d\n", f() + g()); return 0; }
"""
WATCH = r"""
#include <stdio.h>
int deep(void);
unsigned la_version(unsigned version) { printf("watched %d\n", deep()); fflush(stdout); return version; }
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def use(linker: str) -> str:
    require(f"ld.{linker}" if linker != "mold" else "mold", f"Debian: {PACKAGES[linker]}")
    return f"-fuse-ld={linker}"


def slow(shop: Shop, *options: str | Path) -> Path:
    """The filter: a library that names `libfast.so.1`."""
    return shop.library("libslow.so.1", SLOW, *options)


def fast(shop: Shop) -> Path:
    """The filtee, which needs a library itself."""
    return shop.library("libfast.so.1", FAST, shop.library("libdeep.so.1", DEEP))


def rpath(path: Path) -> str:
    return f"-Wl,-rpath,{path.parent}"


def answer_of(shop: Shop, wheel: Path) -> tuple[str, int]:
    done = run(IMPORT, cwd=shop.unpack(wheel))
    return done.stdout, done.returncode


def start(program: Path) -> CompletedProcess[str]:
    program.chmod(0o755)
    return run([program])


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("option", KINDS)
def test_a_repaired_wheel_answers_as_it_did_where_it_was_built(shop: Shop, linker: str, option: str) -> None:
    filtee = fast(shop)
    library = slow(shop, use(linker), f"-Wl,{option},libfast.so.1", rpath(filtee))
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: shop.extension(MODULE, python_header(), library)})
    assert answer_of(shop, wheel) == ("1001\n", 0)
    outcome = shop.repair(wheel)
    shop.hide_libraries()
    assert answer_of(shop, outcome.path) == ("1001\n", 0)
    assert answer_of(shop, wheel)[1] != 0
    grafts = {graft.soname: graft for graft in outcome.plan.grafts}
    assert set(grafts) == {"libslow.so.1", "libfast.so.1", "libdeep.so.1"}
    seen = dynamic(shop.unpack(outcome.path) / grafts["libslow.so.1"].member)
    assert seen[KINDS[option]] == [grafts["libfast.so.1"].new_name]
    assert seen["RPATH"] == ["$ORIGIN"]


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("option", KINDS)
def test_an_extension_module_may_be_the_filter(shop: Shop, linker: str, option: str) -> None:
    source = f"{MODULE}\nint f(void) {{ return 100; }} int g(void) {{ return 1000; }}\n"
    options = (python_header(), use(linker), f"-Wl,{option},libfast.so.1", rpath(fast(shop)))
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: shop.extension(source, *options)})
    assert answer_of(shop, wheel) == ("1001\n", 0)
    repaired = shop.repair(wheel).path
    shop.hide_libraries()
    assert answer_of(shop, repaired) == ("1001\n", 0)


def test_a_missing_auxiliary_library_changes_the_answer_and_nothing_else(shop: Shop) -> None:
    library = slow(shop, "-Wl,-f,libfast.so.1")
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: shop.extension(MODULE, python_header(), library)})
    assert answer_of(shop, wheel) == ("1100\n", 0)
    outcome = shop.repair(wheel)
    assert [note.code for note in outcome.plan.notes if "libfast" in note.message] == ["optional-library-missing"]
    shop.hide_libraries()
    assert answer_of(shop, outcome.path) == ("1100\n", 0)


def test_what_is_left_out_stays_named_and_is_found_elsewhere(shop: Shop) -> None:
    filtee = fast(shop)
    library = slow(shop, "-Wl,-f,libfast.so.1", rpath(filtee))
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: shop.extension(MODULE, python_header(), library)})
    outcome = shop.repair(wheel, exclude=("libfast.so.1",))
    (graft,) = outcome.plan.grafts
    assert dynamic(shop.unpack(outcome.path) / graft.member)["AUXILIARY"] == ["libfast.so.1"]
    command: list[str | Path] = ["env", f"LD_LIBRARY_PATH={filtee.parent}", *IMPORT]
    assert run(command, cwd=shop.unpack(outcome.path)).stdout == "1001\n"
    shop.hide_libraries()
    assert answer_of(shop, outcome.path) == ("1100\n", 0)


@pytest.mark.parametrize("option", KINDS)
def test_a_filtee_of_the_policy_comes_from_the_system(shop: Shop, option: str) -> None:
    library = slow(shop, f"-Wl,{option},libm.so.6")
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: shop.extension(MODULE, python_header(), library)})
    outcome = shop.repair(wheel)
    (graft,) = outcome.plan.grafts
    assert dynamic(shop.unpack(outcome.path) / graft.member)[KINDS[option]] == ["libm.so.6"]
    shop.hide_libraries()
    assert answer_of(shop, outcome.path) == ("1100\n", 0)


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
@pytest.mark.parametrize("option", ["--audit", "--depaudit"])
def test_a_program_is_watched_after_the_repair_as_before(shop: Shop, option: str, tags: str) -> None:
    watch = shop.library("libwatch.so", WATCH, shop.library("libdeep.so.1", DEEP))
    library = slow(shop)
    options = (f"-Wl,{tags}", f"-Wl,{option}=libwatch.so:libgone.so", rpath(watch), library)
    script = "demo-1.0.data/scripts/demo-answer"
    wheel = shop.wheel({script: shop.program(PROGRAM, *options)}, modes={script: 0o755})
    before = start(shop.unpack(wheel) / script)
    if "watched" not in before.stdout:
        pytest.skip("needs glibc 2.32, which looks at DT_AUDIT and DT_DEPAUDIT")
    assert before.stdout == "watched 1\n1100\n"
    outcome = shop.repair(wheel)
    shop.hide_libraries()
    program = next(patch.target for patch in outcome.plan.patches)
    after = start(shop.unpack(outcome.path) / program)
    assert (after.stdout, after.returncode) == (before.stdout, 0)
    assert "libwatch" not in after.stderr
    assert "libgone.so" in after.stderr  # ld.so prints an error and goes on


# -- the loader and the editor


@pytest.mark.parametrize(
    "options",
    [
        ("-Wl,-f,libfast.so.1",),
        ("-Wl,-F,libfast.so.1",),
        ("-Wl,-f,libgone.so", "-Wl,-f,libdeep.so.1", "-Wl,-f,libfast.so.1"),
        ("-Wl,-f,libfast.so.1", "-Wl,-F,libdeep.so.1"),
        ("-Wl,-F,$ORIGIN/libfast.so.1",),
        ("-Wl,-F,libc.so.6",),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_search_order_is_that_of_the_loader(shop: Shop, options: tuple[str, ...], *, first: bool) -> None:
    filtee = fast(shop)
    library = slow(shop, *options, rpath(filtee))
    needed = (library, filtee) if first else (filtee, library)
    shop.program(PROGRAM, "-Wl,--no-as-needed", *needed)
    program = shop.top / "objects" / f"{shop.count}"
    done = run(["env", "LD_DEBUG=scopes", program])
    scope = next(line.partition(" scope 0: ")[2].split() for line in done.stderr.splitlines() if " scope 0: " in line)
    graph = resolve(str(program), parse(program.read_bytes(), "program"), Sysroot(shop.top.root), SearchOptions())
    assert [loaded.path for loaded in graph.objects] == [path for path in scope if "vdso" not in path][: len(scope)]


@pytest.mark.parametrize("linker", LINKERS)
def test_readelf_sees_the_same_names_after_any_edit_but_the_new_one(shop: Shop, linker: str) -> None:
    library = slow(shop, use(linker), "-Wl,-F,libone.so", "-Wl,-f,libtwo.so", fast(shop))
    before = dynamic(library)
    edits = (
        SetSoname(soname="libslow-with-a-much-longer-name-than-before-01234567.so.1"),
        SetRpath(path="$ORIGIN/../somewhere/that/has/no/room/in/the/table"),
        AddNeeded(name="libanother-with-a-long-name.so.2"),
        ReplaceNeeded(old="libone.so", new="libone-with-a-name-that-is-longer.so"),
    )
    library.write_bytes(edit(library.read_bytes(), edits, "libslow.so.1").data)
    after = dynamic(library)
    assert after.pop("FILTER") == ["libone-with-a-name-that-is-longer.so"]
    assert after.get("AUXILIARY") == before.get("AUXILIARY")
    assert [*before.get("NEEDED", []), "libanother-with-a-long-name.so.2"] == after["NEEDED"]
