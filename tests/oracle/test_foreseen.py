"""Wheels that cannot be imported, or that miss what they open, beside what Python makes of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.workflow.audit import AuditOptions, audit_wheel
from kit.shop import EXT, INIT, Shop, python_header, run

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.model import Outcome

OLD = "int crypto_old(void) { return 1; }\n"
NEW = OLD + "int crypto_new(void) { return 2; }\n"
MODULE = """
#include <Python.h>
#include <math.h>
int crypto_old(void), crypto_new(void);
static PyObject *ask(PyObject *self, PyObject *x) {
    return PyLong_FromLong(crypto_old() + crypto_new() + (long)floor(PyFloat_AsDouble(x)));
}
static PyMethodDef methods[] = {{"ask", ask, METH_O, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
IMPORT = "import demo._core as core; print(core.ask(40.5))"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def told(outcome: Outcome) -> dict[str, str]:
    """The warnings by their codes; each code once."""
    notes = [note for note in outcome.plan.notes if note.severity is Severity.WARNING]
    assert len({note.code for note in notes}) == len(notes)
    return {note.code: note.message for note in notes}


@pytest.mark.parametrize("flags", ["-Wl,-z,now", "-Wl,-z,lazy"])
@pytest.mark.parametrize("is_old", [True, False])
def test_a_library_that_is_too_old_is_told_just_where_the_import_fails(shop: Shop, flags: str, *, is_old: bool) -> None:
    """As of PyNaCl: it was built beside a newer libsodium than the one that is grafted; floor is Python's own libm."""
    library = shop.library("libcrypto_demo.so.1", NEW)
    module = shop.extension(MODULE, python_header(), library, flags)
    if is_old:
        shop.library("libcrypto_demo.so.1", OLD)
    outcome = shop.repair(shop.wheel({"demo/__init__.py": b"", EXT: module}))
    shop.hide_libraries()
    done = run([sys.executable, "-c", IMPORT], cwd=shop.unpack(outcome.path))
    if not is_old:
        assert (done.stdout, told(outcome)) == ("43\n", {})
        return
    assert "undefined symbol: crypto_new" in done.stderr
    assert told(outcome)["undefined-symbol"].endswith(": crypto_new")


@pytest.mark.parametrize("is_old", [True, False])
def test_a_version_that_a_graft_lacks_is_told_just_where_the_import_fails(shop: Shop, *, is_old: bool) -> None:
    """The symbol is there, under another version: only ld.so's look at the versions tells."""
    script = shop.top / "versions.map"
    script.write_text("DEMO_2 { crypto_old; crypto_new; };\n", encoding="ascii")
    library = shop.library("libcrypto_demo.so.1", NEW, f"-Wl,--version-script={script}")
    module = shop.extension(MODULE, python_header(), library)
    if is_old:
        script.write_text("DEMO_1 { crypto_old; crypto_new; };\n", encoding="ascii")
        shop.library("libcrypto_demo.so.1", NEW, f"-Wl,--version-script={script}")
    outcome = shop.repair(shop.wheel({"demo/__init__.py": b"", EXT: module}))
    shop.hide_libraries()
    done = run([sys.executable, "-c", IMPORT], cwd=shop.unpack(outcome.path))
    if not is_old:
        assert (done.stdout, told(outcome)) == ("43\n", {})
        return
    assert "version `DEMO_2' not found" in done.stderr
    assert told(outcome)["undefined-symbol"].endswith(": DEMO_2")


OPENER = """
#include <dlfcn.h>
int opens(void) { return dlopen("libdemo_plugin.so.9", RTLD_NOW) != 0; }
"""


def test_what_a_graft_opens_is_shown_before_the_repair_as_after_it(shop: Shop) -> None:
    library = shop.library("libdemo_opener.so.1", OPENER)
    module = shop.extension(INIT + "int opens(void); int call(void) { return opens(); }", library)
    wheel = shop.wheel({"demo/__init__.py": b"", EXT: module})
    (before,) = audit_wheel(wheel).openings or ()
    assert (before.place, before.names) == (str(library), ("libdemo_plugin.so.9",))
    outcome = shop.repair(wheel)
    (after,) = audit_wheel(outcome.path, AuditOptions()).openings or ()
    assert (after.place, after.names) == (outcome.plan.grafts[0].member, before.names)
    (note,) = [note for note in outcome.plan.notes if note.code == "libraries-mentioned"]
    assert note.subject == str(library)
    assert "libdemo_plugin.so.9" in note.message
