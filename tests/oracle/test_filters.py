"""Filters, auxiliary and audit libraries of real linkers: what ld.so loads, and what a repaired wheel does."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import AddNeeded, ReplaceNeeded, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.image import parse
from deloc8.errors import InputError
from deloc8.loader.resolve import resolve
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from deloc8.workflow.audit import audit_wheel
from kit.command import run_program
from kit.compile import build, zig
from kit.glibc import glibc
from kit.require import require
from kit.runtimes import extract
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


# -- circles

NEEDED = "needed"
# Which libraries name which, with which option; the first is opened.
CIRCLES = {
    "two": (("-F", "one", "two"), ("-F", "two", "one")),
    "auxiliary": (("-f", "one", "two"), ("-f", "two", "one")),
    "mixed": (("-f", "one", "two"), ("-F", "two", "one")),
    "three": (("-F", "one", "two"), ("-F", "two", "three"), ("-F", "three", "one")),
    "behind": (("-F", "one", "two"), ("-f", "two", "three"), ("-F", "three", "two")),
    "needed": ((NEEDED, "one", "two"), ("-F", "two", "three"), ("-F", "three", "two")),
}
SOUND = {
    "itself": (("-F", "one", "one"),),
    "itself, auxiliary": (("-f", "one", "one"),),
    "chain": (("-F", "one", "two"), ("-f", "two", "three")),
    "needs its filter": (("-F", "one", "two"), (NEEDED, "two", "one")),
    "auxiliary": (("-f", "one", "two"),),
    "a gap": (("-f", "one", "gone"), ("-f", "two", "one")),
    "needed": ((NEEDED, "one", "two"), ("-F", "two", "three")),
    "one for two": (("-F", "one", "three"), (NEEDED, "one", "two"), ("-F", "two", "three")),
}
# Before 2.32 ld.so ends with an assertion when a filter itself is opened.
OPENED = {
    "chain": ("one", "DT_FILTER"),
    "needs its filter": ("one", "DT_FILTER"),
    "one for two": ("one", "DT_FILTER"),
    "auxiliary": ("one", "DT_AUXILIARY"),
    "a gap": ("two", "DT_AUXILIARY"),
}
RELEASES = ("2.17", "2.31", "2.36", "2.41", "2.43")
OPENER = r"""
#include <dlfcn.h>
int main(int count, char **words) {
    return count > 1 && !dlopen(words[1], RTLD_NOW);
}
"""
CRASH = -signal.SIGSEGV


def build_filters(shop: Shop, links: tuple[tuple[str, str, str], ...]) -> Path:
    """The first of some libraries; the others are beside it."""
    names = dict.fromkeys(name for _, *pair in links for name in pair if name != "gone")
    for name in [*names, *names]:  # once more, when what is needed is there
        options: list[str | Path] = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN"]
        for kind, at, to in links:
            path = shop.libraries / f"lib{to}.so"
            if at == name and kind != NEEDED:
                options.append(f"-Wl,{kind},lib{to}.so")
            elif at == name and path.exists():
                options.append(path)
        shop.compile(f"libraries/lib{name}.so", "int f(void) { return 1; }\n", f"-Wl,-soname,lib{name}.so", *options)
    return shop.libraries / f"lib{next(iter(names))}.so"


def libraries_of(release: str, request: pytest.FixtureRequest, folder: Path) -> Path:
    if release == "2.17":
        archive = request.getfixturevalue("runtimes_folder") / "glibc217-runtime-x86_64.tar.xz"
        return extract(archive, folder) / "lib"
    return glibc("x86_64", release).folder


def exit_codes(first: Path, libc: Path) -> tuple[int, int]:
    """How a program ends that opens a library, and one that starts with it; with the loader and libc of a folder."""
    opener = build(OPENER, zig("x86_64-linux-gnu.2.17"), kind="pie")
    loader = next(path for path in (libc / "ld-2.17.so", libc / "ld-linux-x86-64.so.2") if path.exists())
    command: list[str | Path] = [loader, "--library-path", f"{libc}:{first.parent}", opener]
    opened, started = run([*command, first]), run(["env", f"LD_PRELOAD={first}", *command])
    assert not started.stderr
    assert not opened.stderr or "Assertion `map->l_searchlist.r_list[0] == map' failed" in opened.stderr
    return opened.returncode, started.returncode


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", CIRCLES)
def test_ld_so_crashes_on_a_circle_of_filters(
    shop: Shop, kind: str, release: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = build_filters(shop, CIRCLES[kind])
    assert exit_codes(first, libraries_of(release, request, tmp_path / "libc")) == (CRASH, CRASH)
    with pytest.raises(InputError, match="filter in a circle"):
        resolve(str(first), parse(first.read_bytes(), "first"), Sysroot(shop.top.root), SearchOptions())


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", SOUND)
def test_ld_so_loads_filters_without_a_circle(
    shop: Shop, kind: str, release: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = build_filters(shop, SOUND[kind])
    is_refused = "one" in OPENED.get(kind, ()) and release in {"2.17", "2.31"}
    wanted = (127, 0) if is_refused else (0, 0)
    assert exit_codes(first, libraries_of(release, request, tmp_path / "libc")) == wanted
    graph = resolve(str(first), parse(first.read_bytes(), "first"), Sysroot(shop.top.root), SearchOptions())
    assert not graph.missing


@pytest.mark.parametrize("kind", SOUND)
def test_a_filter_that_is_opened_needs_the_release_that_opens_it(shop: Shop, kind: str) -> None:
    build_filters(shop, SOUND[kind])
    inside = {f"demo/{path.name}": path.read_bytes() for path in shop.libraries.iterdir()}
    (match,) = (match for match in audit_wheel(shop.wheel(inside)).matches if match.policy.name == "manylinux_2_31")
    found = [(row.file, row.symbol) for row in match.violations if row.version == "GLIBC_2.32"]
    assert found == [(f"demo/lib{name}.so", tag) for name, tag in filter(None, [OPENED.get(kind)])]


@pytest.mark.parametrize("kind", CIRCLES)
@pytest.mark.parametrize("place", ["wheel", "graft"])
def test_every_command_refuses_a_circle(shop: Shop, kind: str, place: str) -> None:
    """In the wheel, and in what would be grafted."""
    first = build_filters(shop, CIRCLES[kind])
    needs = shop.extension(MODULE, python_header(), "-Wl,--no-as-needed", first)
    inside = {f"demo/{path.name}": path.read_bytes() for path in shop.libraries.iterdir()}
    wheel = shop.wheel({"demo/__init__.py": b"", **(inside if place == "wheel" else {EXT: needs})})
    for command in ("show", "check", "tree"):
        ended = run_program(command, wheel)
        assert ended.code == 1
        assert "[filter-circle]" in ended.out + ended.err
    ended = run_program("fixup", wheel, "-w", shop.top / "out")
    assert (ended.code, (shop.top / "out").exists()) == (1, False)
    assert "[filter-circle]" in ended.err


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
