"""Repaired wheels at work: gcc and ld.so, readelf, pip, and what auditwheel says of them."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.model import Goal, StripLevel
from kit.bench import contents
from kit.shop import (
    CALL_A,
    EXT,
    INFO,
    INIT,
    LIB_A,
    LIB_B,
    READELF,
    STAT,
    TWO,
    Shop,
    auditwheel,
    dynamic,
    python_header,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

MODULE = r"""
#include <Python.h>
int a(void);
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(a()); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
PROGRAM = r"""
#include <stdio.h>
int a(void);
int main(int count, char **words) {
    for (int i = 1; i < count; i++) printf("%s ", words[i]);
    printf("%d\n", a());
    return 3;
}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def chain_wheel(shop: Shop) -> Path:
    a = shop.chain()
    module = shop.extension(MODULE, python_header(), a)
    program = shop.program(PROGRAM, a)
    script = "demo-1.0.data/scripts/demo-answer"
    members = {"demo/__init__.py": b"from demo._core import answer\n", EXT: module, script: program}
    return shop.wheel(members, modes={EXT: 0o755, script: 0o755})


def test_a_chain_of_libraries_is_repaired_and_imported(shop: Shop, chain_wheel: Path) -> None:
    assert run([sys.executable, "-c", "import demo"], cwd=shop.unpack(chain_wheel)).returncode == 0
    outcome = shop.repair(chain_wheel)
    shop.hide_libraries()
    code = "import demo; print(demo.answer())"
    assert "libdemo_a.so.1" in run([sys.executable, "-c", code], cwd=shop.unpack(chain_wheel)).stderr
    done = run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path))
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_readelf_sees_the_names_and_paths_of_the_plan(shop: Shop, chain_wheel: Path) -> None:
    outcome = shop.repair(chain_wheel)
    folder = shop.unpack(outcome.path)
    a, b = outcome.plan.grafts
    module, program = dynamic(folder / EXT), dynamic(folder / "demo.scripts" / "demo-answer")
    for found in (module, program):
        assert found["NEEDED"][0] == a.new_name
        assert found["RPATH"] == ["$ORIGIN/../demo.libs"]
        assert "RUNPATH" not in found
    lib_a, lib_b = dynamic(folder / a.member), dynamic(folder / b.member)
    assert (lib_a["SONAME"], lib_b["SONAME"]) == ([a.new_name], [b.new_name])
    assert lib_a["NEEDED"] == [b.new_name]
    assert lib_a["RPATH"] == ["$ORIGIN"]
    assert "RPATH" not in lib_b


def test_auditwheel_reads_the_tag_that_is_claimed(shop: Shop, chain_wheel: Path) -> None:
    for wheel in (shop.repair(chain_wheel).path, shop.repair(shop.wheel({EXT: shop.extension(STAT)})).path):
        done, _ = auditwheel("show", wheel)
        assert done.returncode == 0, done.stderr
        tag = re.search(r'tag:\s+"(\w+)"', done.stdout)
        assert tag is not None
        assert tag[1] in wheel.name
        assert "manylinux" in tag[1]


def test_it_is_installed_by_pip_and_its_program_starts(shop: Shop, chain_wheel: Path) -> None:
    if find_spec("pip") is None or find_spec("venv") is None:
        pytest.skip("needs pip and venv, to install what was repaired")
    wheel = shop.repair(chain_wheel).path
    shop.hide_libraries()
    assert run([sys.executable, "-m", "zipfile", "-t", wheel]).returncode == 0
    environment = shop.top / "environment"
    assert run([sys.executable, "-m", "venv", "--without-pip", environment]).returncode == 0
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    done = run([*pip, "install", "--no-index", "--no-deps", wheel])
    assert done.returncode == 0, done.stderr
    assert run([*pip, "check"]).stdout == "No broken requirements found.\n"
    program = run([environment / "bin" / "demo-answer", "six", "times seven"], cwd=shop.top)
    assert (program.stdout, program.stderr, program.returncode) == ("six times seven 42\n", "", 3)
    done = run([environment / "bin" / "python", "-c", "import demo; print(demo.answer())"], cwd=shop.top)
    assert done.stdout == "42\n"
    assert run([*pip, "uninstall", "--yes", "demo"]).returncode == 0
    left = [path for path in environment.rglob("*") if "demo" in path.name]
    assert left == []


def test_two_libraries_with_one_soname_serve_their_own_modules(shop: Shop) -> None:
    call = "int x(void); int call(void) { return x(); }\n"
    members = {}
    for member, number in ((EXT, 1), (TWO, 2)):
        lib = shop.library(f"{number}/libdemo_x.so.1", f"int x(void) {{ return {number}; }}\n")
        members[member] = shop.extension(INIT + call, lib)
    outcome = shop.repair(shop.wheel(members))
    shop.hide_libraries()
    folder = shop.unpack(outcome.path)
    code = f"import ctypes; print([ctypes.CDLL(path).call() for path in ({f'./{EXT}'!r}, {f'./{TWO}'!r})])"
    assert run([sys.executable, "-c", code], cwd=folder).stdout == "[1, 2]\n"
    assert len({graft.new_name for graft in outcome.plan.grafts}) == 2


def test_circles_of_libraries_are_loaded(shop: Shop) -> None:
    b = shop.library("libdemo_b.so.1", LIB_B)
    a = shop.library("libdemo_a.so.1", LIB_A, b)
    shop.library("libdemo_b.so.1", "int a(void); int b(void) { return 40; } int c(void) { return a(); }\n", a)
    outcome = shop.repair(
        shop.wheel({EXT: shop.extension(CALL_A, a, f"-Wl,-rpath-link,{a.parent}")}), library_path=(str(a.parent),)
    )
    shop.hide_libraries()
    code = f"import ctypes; print(ctypes.CDLL({f'./{EXT}'!r}).call())"
    assert run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path)).stdout == "42\n"
    assert len(outcome.plan.grafts) == 2


def test_a_library_of_the_wheel_with_another_file_name_is_found(shop: Shop) -> None:
    b = shop.library("libdemo_b.so.1", LIB_B)
    module = shop.extension(INIT + "int b(void); int call(void) { return b(); }\n", b)
    outcome = shop.repair(shop.wheel({EXT: module, "demo/lib/libdemo_b.so": b.read_bytes()}), only_paths=())
    shop.hide_libraries()
    code = f"import ctypes; print(ctypes.CDLL({f'./{EXT}'!r}).call())"
    assert run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path)).stdout == "40\n"


def test_what_is_stripped_still_works(shop: Shop, chain_wheel: Path) -> None:
    plain = shop.repair(chain_wheel)
    stripped = shop.repair(chain_wheel, Goal(strip=StripLevel.ALL))
    shop.hide_libraries()
    assert stripped.size < plain.size
    folder = shop.unpack(stripped.path)
    done = run([sys.executable, "-c", "import demo; print(demo.answer())"], cwd=folder)
    assert (done.stdout, done.stderr) == ("42\n", "")
    sections = run([READELF, "-SW", folder / EXT]).stdout
    assert ".symtab" not in sections


def test_unchanged_members_are_the_same_bytes(shop: Shop, chain_wheel: Path) -> None:
    outcome = shop.repair(chain_wheel)
    old, new = contents(chain_wheel), contents(outcome.path)
    assert old["demo/__init__.py"] == new["demo/__init__.py"]
    assert old[f"{INFO}/METADATA"] == new[f"{INFO}/METADATA"]
