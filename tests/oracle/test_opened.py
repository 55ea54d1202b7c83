"""Libraries that are opened at run time, with gcc, the real loader and Python's own ctypes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.workflow.audit import AuditOptions, audit_wheel
from kit.require import require
from kit.shop import EXT, INIT, Shop, run

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.model import Outcome

OPENER = """
#include <dlfcn.h>
int call(void) {
    void *library = dlopen("libdemo_a.so.1", RTLD_NOW);
    int (*a)(void) = library ? (int (*)(void)) dlsym(library, "a") : 0;
    return a ? a() : -1;
}
"""
CODE = """\
import ctypes

def answer():
    return ctypes.CDLL("libdemo_a.so.1").a()
"""
BY_MODULE = "import ctypes, glob; print(ctypes.CDLL(glob.glob('demo/_core*')[0]).call())"
BY_PYTHON = "import demo.lib; print(demo.lib.answer())"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def wheel(shop: Shop) -> Path:
    shop.chain()
    members = {"demo/__init__.py": b"", "demo/lib.py": CODE.encode(), EXT: shop.extension(INIT + OPENER, "-ldl")}
    return shop.wheel(members)


@pytest.fixture
def outcome(shop: Shop, wheel: Path) -> Outcome:
    repaired = shop.repair(wheel, add_paths=(str(shop.libraries),), include_dlopened="called")
    shop.hide_libraries()
    return repaired


def test_a_module_finds_what_it_opens_by_name(shop: Shop, wheel: Path, outcome: Outcome) -> None:
    without = run([sys.executable, "-c", BY_MODULE], cwd=shop.unpack(wheel))
    assert without.stdout == "-1\n"
    found = run([sys.executable, "-c", BY_MODULE], cwd=shop.unpack(outcome.path))
    assert (found.stdout, found.stderr) == ("42\n", "")


def test_the_two_lines_of_python_work_where_they_are_said_to_stand(shop: Shop, outcome: Outcome) -> None:
    folder = shop.unpack(outcome.path)
    without = run([sys.executable, "-c", BY_PYTHON], cwd=folder)
    assert "libdemo_a.so.1: cannot open shared object file" in without.stderr
    (note,) = (note for note in outcome.plan.notes if note.code == "opened-by-python")
    assert note.subject == "demo/lib.py, line 4"
    assert (folder / "demo/lib.py").read_text("utf-8") == CODE  # not ours to change
    (folder / "demo/lib.py").write_text("\n".join([*note.context, CODE]), "utf-8")
    found = run([sys.executable, "-c", BY_PYTHON], cwd=folder)
    assert (found.stdout, found.stderr) == ("42\n", "")


def test_strings_sees_mentioned_names_at_the_same_places(shop: Shop, wheel: Path) -> None:
    file = shop.unpack(wheel) / EXT
    command = [require("strings", "Debian: binutils"), "-a", "-t", "d", "-n", "4", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    places = {name: int(place) for place, name in (line.split(None, 1) for line in lines)}
    (mention,) = (row for row in audit_wheel(wheel, AuditOptions()).openings or () if row.offset is not None)
    assert mention.names == ("libdemo_a.so.1",)
    assert mention.offset == places["libdemo_a.so.1"]
