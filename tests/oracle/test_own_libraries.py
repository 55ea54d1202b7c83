"""Wheels that have a library themselves while a search path of the build machine leads to a copy: one state or two."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import notices
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.check import check_wheel
from kit.compile import build, zig
from kit.require import require
from kit.shop import EXT, INIT, Shop, dynamic, python_header, run

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.repair.model import Outcome

COUNTER = "static int count = 40; int next_count(void) { return ++count; }\n"
OTHER = "static int count = 140; int next_count(void) { return ++count; }\n"
ASK = INIT + "int next_count(void); int call(void) { return next_count(); }\n"
OWN = "demo/lib/libcount.so.1"


MODULE = r"""
#include <Python.h>
int next_count(void);
static PyObject *ask(PyObject *self, PyObject *none) { return PyLong_FromLong(next_count()); }
static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
PACKAGE = b"""import ctypes, os
library = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "lib", "libcount.so.1"))
from demo._core import ask
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def count(folder: Path, *paths: str) -> str:
    """Open files in this order, in one process, and count once by each that has the function."""
    code = (
        "import ctypes, sys\n"
        "for path in sys.argv[1:]:\n"
        "    library = ctypes.CDLL(path)\n"
        "    print(library.call() if '_core' in path else library.next_count(), end=' ')\n"
    )
    done = run([sys.executable, "-c", code, *(f"./{path}" for path in paths)], cwd=folder)
    assert done.stderr == ""
    return done.stdout.strip()


def is_one(shop: Shop, outcome: Outcome, own: str = OWN) -> None:
    """The repaired wheel has one copy, whether the library is opened first, last, or by the extension alone."""
    shop.hide_libraries()
    folder = shop.unpack(outcome.path)
    assert outcome.plan.grafts == ()
    assert count(folder, own, EXT) == "41 42"
    assert count(folder, EXT, own) == "41 42"
    assert count(folder, EXT) == "41"


def test_a_package_that_opens_its_library_first_is_imported(shop: Shop) -> None:
    library = shop.library("libcount.so.1", COUNTER)
    module = shop.extension(MODULE, python_header(), library)
    wheel = shop.wheel({"demo/__init__.py": PACKAGE, EXT: module, OWN: library.read_bytes()})
    code = "import demo; print(demo.library.next_count(), demo.ask())"
    assert run([sys.executable, "-c", code], cwd=shop.unpack(wheel)).stdout == "41 42\n"
    outcome = shop.repair(wheel)
    shop.hide_libraries()
    done = run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path))
    assert (done.stdout, done.stderr) == ("41 42\n", "")


def told(outcome: Outcome) -> list[tuple[str, str]]:
    return [(note.code, note.subject) for note in outcome.plan.notes if note.code == "own-library-differs"]


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_the_copy_of_the_build_folder_is_not_grafted(shop: Shop, tags: str) -> None:
    library = shop.library("libcount.so.1", COUNTER)
    wheel = shop.wheel({EXT: shop.extension(ASK, library, f"-Wl,{tags}"), OWN: library.read_bytes()})
    assert count(shop.unpack(wheel), OWN, EXT) == "41 42"
    outcome = shop.repair(wheel)
    assert told(outcome) == []
    is_one(shop, outcome)


def test_a_copy_of_another_build_is_told(shop: Shop) -> None:
    """The older build is in the wheel, and the extension was linked with a newer one."""
    library = shop.library("libcount.so.1", OTHER)
    older = shop.compile("older/libcount.so.1", COUNTER, "-Wl,-soname,libcount.so.1")
    wheel = shop.wheel({EXT: shop.extension(ASK, library), OWN: older.read_bytes()})
    (notice,) = [row for row in notices_of(wheel) if row.code == "own-library-differs"]
    assert str(library) in notice.message
    assert notice.context == (f"{EXT}: RUNPATH leads to {library}",)
    outcome = shop.repair(wheel)
    assert told(outcome) == [("own-library-differs", OWN)]
    is_one(shop, outcome)


def test_a_stripped_copy_of_one_build_is_no_other_library(shop: Shop) -> None:
    library = shop.library("libcount.so.1", COUNTER, "-g", "-Wl,--build-id")
    stripped = shop.compile("stripped/libcount.so.1", COUNTER, "-g", "-Wl,--build-id", "-Wl,-soname,libcount.so.1")
    run(["strip", stripped])
    assert stripped.read_bytes() != library.read_bytes()
    outcome = shop.repair(shop.wheel({EXT: shop.extension(ASK, library), OWN: stripped.read_bytes()}))
    assert told(outcome) == []
    is_one(shop, outcome)


@pytest.mark.parametrize("build_id", ["--build-id=none", "--build-id=sha1"])
def test_contents_are_compared_with_and_without_a_build_id(shop: Shop, build_id: str) -> None:
    library = shop.library("libcount.so.1", OTHER, f"-Wl,{build_id}")
    older = shop.compile("older/libcount.so.1", COUNTER, "-Wl,-soname,libcount.so.1", f"-Wl,{build_id}")
    extension = shop.extension(ASK, library)
    assert told(shop.repair(shop.wheel({EXT: extension, OWN: older.read_bytes()}))) == [("own-library-differs", OWN)]
    assert told(shop.repair(shop.wheel({EXT: extension, OWN: library.read_bytes()}))) == []


def test_a_file_name_that_is_not_the_soname(shop: Shop) -> None:
    library = shop.library("libcount.so.1", COUNTER)
    own = "demo/lib/libcount-custom.so"
    outcome = shop.repair(shop.wheel({EXT: shop.extension(ASK, library), own: library.read_bytes()}))
    assert dynamic(shop.unpack(outcome.path) / EXT)["NEEDED"][0] == "libcount-custom.so"
    is_one(shop, outcome, own)


def test_three_names_of_one_library(shop: Shop) -> None:
    """A wheel has no symlinks: the one with the needed name is taken, whatever the others are called."""
    library = shop.library("libcount.so.1", COUNTER)
    contents = library.read_bytes()
    copies = {f"demo/lib/libcount.so{end}": contents for end in ("", ".1", ".1.2")}
    outcome = shop.repair(shop.wheel({EXT: shop.extension(ASK, library), **copies}))
    is_one(shop, outcome)
    for copy in copies:
        assert count(shop.unpack(outcome.path), copy, EXT) == "41 42"


def test_a_library_that_is_needed_by_another_name_than_its_soname(shop: Shop) -> None:
    """The name without a version: what was linked had no soname yet."""
    library = shop.library("libcount.so", COUNTER, "-Wl,-soname,")
    extension = shop.extension(ASK, library)
    shop.library("libcount.so", COUNTER, "-Wl,-soname,libcount.so.1")
    outcome = shop.repair(shop.wheel({EXT: extension, OWN: library.read_bytes()}))
    is_one(shop, outcome)


def test_a_library_that_is_needed_by_its_path(shop: Shop) -> None:
    library = shop.compile("libraries/libcount.so.1", COUNTER)
    extension = shop.extension(ASK, library)
    outcome = shop.repair(shop.wheel({EXT: extension, OWN: library.read_bytes()}))
    is_one(shop, outcome)


def test_a_graft_that_needs_it_finds_the_library_of_the_wheel(shop: Shop) -> None:
    library = shop.library("libcount.so.1", COUNTER)
    between = shop.library(
        "libbetween.so.1", "int next_count(void); int between(void) { return next_count(); }", library
    )
    extension = shop.extension(INIT + "int between(void); int call(void) { return between(); }", between)
    outcome = shop.repair(shop.wheel({EXT: extension, OWN: library.read_bytes()}))
    shop.hide_libraries()
    (graft,) = outcome.plan.grafts
    assert graft.soname == "libbetween.so.1"
    folder = shop.unpack(outcome.path)
    assert (count(folder, OWN, EXT), count(folder, EXT, OWN)) == ("41 42", "41 42")


def test_folders_that_the_user_names_do_not_win_either(shop: Shop) -> None:
    library = shop.library("libcount.so.1", COUNTER)
    extension = shop.compile("plain.so", ASK, library).read_bytes()
    wheel = shop.wheel({EXT: extension, OWN: library.read_bytes()})
    folder = str(library.parent)
    outcome = shop.repair(
        wheel, add_paths=(folder,), library_path=(folder,), only_paths=(folder,), graft=("libcount.so.1",)
    )
    is_one(shop, outcome)


def test_a_library_on_request_that_the_wheel_has_is_not_copied_in_again(shop: Shop) -> None:
    library = shop.library("libcount.so.1", OTHER)
    older = shop.compile("older/libcount.so.1", COUNTER, "-Wl,-soname,libcount.so.1")
    wheel = shop.wheel({EXT: shop.extension(ASK, library), OWN: older.read_bytes()})
    for name in (str(library), "libcount.so.1"):
        outcome = shop.repair(wheel, include=(name,))
        assert outcome.plan.grafts == ()
        assert told(outcome) == [("own-library-differs", OWN)]
        shutil.rmtree(wheel.parent / "repaired")
    is_one(shop, shop.repair(wheel, include=(str(library),)))


@pytest.mark.parametrize(("second", "answers"), [(OTHER, "41 42"), (COUNTER, "41 42")])
def test_of_two_libraries_with_one_soname_a_process_has_the_first(shop: Shop, second: str, answers: str) -> None:
    members = {}
    for name, source in (("a", COUNTER), ("b", second)):
        library = shop.library(f"{name}/libcount.so.1", source)
        members[f"demo/{name}/libcount.so.1"] = library.read_bytes()
        members[f"demo/{name}/_core.so"] = shop.compile(f"{name}.so", ASK, library, "-Wl,-rpath,$ORIGIN").read_bytes()
    wheel = shop.wheel(members)
    assert count(shop.unpack(wheel), "demo/a/_core.so", "demo/b/_core.so") == answers
    (found,) = [row for row in check_wheel(wheel) if row.code == "duplicate-library"]
    assert ("all that need libcount.so.1 get the one that is loaded first" in found.message) is (second == OTHER)


def notices_of(wheel: Path) -> tuple[Diagnostic, ...]:
    audit = audit_wheel(wheel, AuditOptions())
    return notices(audit, audit.outlook)


COUNT_BY_PATH = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **paths) {
    for (int i = 1; i < count; i++) {
        void *library = dlopen(paths[i], RTLD_NOW);
        const char *name = strstr(paths[i], "_core") ? "call" : "next_count";
        int (*function)(void) = library ? (int (*)(void))dlsym(library, name) : 0;
        if (!function) { printf("%s\n", dlerror()); return 1; }
        printf("%d ", function());
    }
    return 0;
}
"""


@pytest.mark.parametrize("own", ["demo/lib/libcount.so.1", "demo/lib/own.so"])
def test_on_musl_the_own_library_is_found_by_its_file_name(shop: Shop, own: str) -> None:
    """musl reads no soname: what is loaded by its path answers for no name, so a search path must lead to that file."""
    require("/lib/ld-musl-x86_64.so.1", "Debian: musl")
    chain = zig("x86_64-linux-musl")
    built = build(COUNTER, chain, options=("-Wl,-soname,libcount.so.1",))
    library = shop.top / "libraries" / "libcount.so.1"
    library.parent.mkdir()
    shutil.copy(built, library)
    extension = build(ASK, chain, options=(f"-Wl,-rpath,{library.parent}",), inputs=(library,))
    main = build(COUNT_BY_PATH, chain, kind="pie")
    suffix = "cpython-311-x86_64-linux-musl.so"
    members = {f"demo/_core.{suffix}": extension.read_bytes(), own: library.read_bytes()}
    wheel = shop.wheel(members, tags=("cp311-cp311-linux_x86_64",))

    def answers(folder: Path, *names: str) -> str:
        return run([main, *(folder / name for name in names)]).stdout.strip()

    core = f"demo/_core.{suffix}"
    assert answers(shop.unpack(wheel), own, core) == "41 41"
    outcome = shop.repair(wheel)
    assert outcome.plan.grafts == ()
    shop.hide_libraries()
    folder = shop.unpack(outcome.path)
    assert [answers(folder, own, core), answers(folder, core, own), answers(folder, core)] == ["41 42", "41 42", "41"]
