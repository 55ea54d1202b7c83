"""What each command imports: a start that nobody feels stays so only where a new import is meant.

`imports.txt` beside this file holds the expectation. A new line there is a decision: does every run of the command need
that module, or can it be imported where it is used?
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

EXPECTATION = Path(__file__).with_name("imports.txt")

# Modules of the standard library that cost a start, or that bring others that do. Left out are those that the standard
# library imports by itself in some Pythons and not in others (inspect, typing, platform, urllib.parse...).
COSTLY = {
    "argparse",
    "asyncio",
    "bz2",
    "concurrent.futures",
    "configparser",
    "csv",
    "ctypes",
    "difflib",
    "email",
    "gzip",
    "hashlib",
    "http",
    "importlib.metadata",
    "logging",
    "lzma",
    "multiprocessing",
    "pathlib",
    "pickle",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "subprocess",
    "tarfile",
    "tempfile",
    "unittest",
    "urllib.request",
    "uuid",
    "xml",
    "zipfile",
    "zlib",
}
# In some environments only: an extra, and a module of the standard library under the name it had before Python 3.11.
VARYING = {"deflate", "isal", "tomli"}
if sys.version_info < (3, 11):  # `platform` imports it there
    VARYING.add("subprocess")

CHILD = """
import sys
before = set(sys.modules)
from deloc8.cli import main
code = main(sys.argv[2:])
imported = sorted(set(sys.modules) - before)
import json
with open(sys.argv[1], "w") as file:
    json.dump([code, imported], file)
"""

COMMANDS = {
    "--version": ["--version"],
    "show": ["show", "{wheel}", "--sysroot", "{root}"],
    # What the bill of materials needs is the choice of the package that writes it, and changes with that.
    "fixup": ["fixup", "{wheel}", "--sysroot", "{root}", "-w", "{out}", "--no-sbom"],
    "check": ["check", "{wheel}"],
    "why": ["why", "{wheel}", "libfoo.so.1", "--sysroot", "{root}"],
    "tree": ["tree", "{wheel}", "--sysroot", "{root}"],
    "policies": ["policies"],
}


def of_note(modules: list[str]) -> set[str]:
    """Ours by their full names, others' by their packages, and what is costly of the standard library."""
    found = set()
    for module in modules:
        top = module.partition(".")[0]
        if top == "deloc8":
            found.add(module)
        elif top not in sys.stdlib_module_names:
            found.add(top)
        elif module in COSTLY:
            found.add(module)
    return found - VARYING


def expected(command: str) -> set[str]:
    """The modules in whose line of the expectation the command stands."""
    lines = EXPECTATION.read_text("utf-8").splitlines()
    pairs = [line.split(": ") for line in lines if line and not line.startswith("#")]
    return {module for module, commands in pairs if command in commands.split()}


def imported(folder: Path, command: str) -> set[str]:
    """What a process of its own imports for the command, on a wheel with one library to graft."""
    scene = Scene(folder)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    places = {"wheel": scene.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))}), "root": scene.root}
    words = [word.format(**places, out=folder / "out") for word in COMMANDS[command]]
    # Coverage measures child processes, and imports much of the standard library for that.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    answer = folder / "imported.json"
    run = [sys.executable, "-I", "-c", CHILD, str(answer), *words]
    subprocess.run(run, check=True, capture_output=True, cwd=folder, env=environment, timeout=60)
    code, modules = json.loads(answer.read_text("utf-8"))
    assert code == 0
    return of_note(modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_what_is_expected_and_no_more(tmp_path: Path, command: str) -> None:
    found, wanted = imported(tmp_path, command), expected(command) - VARYING
    assert sorted(found - wanted) == [], f"{command} imports more: is it needed? then say so in imports.txt"
    assert sorted(wanted - found) == [], f"{command} imports less: take it out of imports.txt"


def test_a_new_import_is_seen() -> None:
    new = ["deloc8.new", "attr._make", "email", "_attr_of_c", "posixpath", "json"]
    assert of_note(new) == {"deloc8.new", "attr", "email", "_attr_of_c"}
