"""What `check` finds in real files, beside what readelf and abi3audit see in them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.elf import Undefined, build_elf
from kit.faults import SOUND, scene_for_checks
from kit.require import require
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

READELF = require("readelf", "Debian: binutils")
GCC = require("gcc", "Debian: gcc")

PLATFORM = "manylinux_2_17_x86_64"


def readelf(path: Path, *options: str) -> str:
    ended = subprocess.run([READELF, *options, path], capture_output=True, text=True, check=True, timeout=60)
    return ended.stdout


def expected(path: Path) -> set[str]:
    """The codes of what readelf shows in one file."""
    headers, dynamic, sections = readelf(path, "-lW"), readelf(path, "-dW"), readelf(path, "-SW")
    found = set()
    stack = re.search(r"^ *GNU_STACK .* ([RWE ]{3}) 0x", headers, re.MULTILINE)
    if stack is None:
        found.add("missing-stack-header")
    elif "E" in stack[1]:
        found.add("executable-stack")
    if min(int(align, 16) for align in re.findall(r"^ *LOAD .* (0x[0-9a-f]+)$", headers, re.MULTILINE)) < 0x1000:
        found.add("small-page-alignment")
    if "TEXTREL" in dynamic:
        found.add("text-relocations")
    rows = re.findall(r"\] \.z?debug_\S+ +(?!NOBITS)\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", sections)
    if sum(int(size, 16) for size in rows) > 16384:
        found.add("debug-sections")
    for paths in re.findall(r"(?:rpath|runpath): \[(.*)\]", dynamic):
        found |= {"absolute-rpath" for entry in paths.split(":") if entry.startswith("/")}
    return found


SEEN_BY_READELF = frozenset(
    {
        *("missing-stack-header", "executable-stack", "small-page-alignment", "text-relocations", "debug-sections"),
        "absolute-rpath",
    }
)


def compare(wheel: Path, folder: Path) -> int:
    """How many findings readelf and `check` agree on; they disagree on none."""
    ours: dict[str, set[str]] = {}
    for found in check_wheel(wheel, AuditOptions()):
        if found.code in SEEN_BY_READELF:
            ours.setdefault(found.subject, set()).add(found.code)
    theirs: dict[str, set[str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if data.startswith(b"\x7fELF"):
                (folder / "file").write_bytes(data)
                codes = expected(folder / "file")
                if codes:
                    theirs[name] = codes
    assert ours == theirs
    return sum(map(len, theirs.values()))


def test_real_wheels_beside_readelf(wheels_folder: Path, tmp_path: Path) -> None:
    wheels = sorted(wheels_folder.glob("*.whl"))
    assert sum(compare(wheel, tmp_path) for wheel in wheels) > 0


LINKED: dict[str, tuple[str, ...]] = {
    "plain": ("-fPIC",),
    "stack": ("-fPIC", "-Wl,-z,execstack"),
    "no-stack": ("-fPIC", "-Wl,-z,norelro", "-Wl,--no-ld-generated-unwind-info"),
    "textrel": ("-fPIC", "-Wl,-z,notext", "-x", "assembler"),
    "debug": ("-fPIC", "-g3"),
    "rpath": ("-fPIC", "-Wl,-rpath,/opt/lib:$ORIGIN", "-Wl,--disable-new-dtags"),
    "runpath": ("-fPIC", "-Wl,-rpath,/opt/lib", "-Wl,--enable-new-dtags"),
    "pages": ("-fPIC", "-Wl,-z,max-page-size=1024", "-Wl,-z,common-page-size=1024"),
}
C_SOURCE = "#include <stdio.h>\n" + "".join(f'int f{n}(int x) {{ return printf("%d", x + {n}); }}\n' for n in range(99))
ASSEMBLER = ".text\n.globl f\nf: .quad f\n.section .note.GNU-stack\n"


def test_what_gcc_links_beside_readelf(tmp_path: Path) -> None:
    members = {}
    for name, options in LINKED.items():
        source = tmp_path / (f"{name}.s" if "assembler" in options else f"{name}.c")
        source.write_text(ASSEMBLER if "assembler" in options else C_SOURCE)
        library = tmp_path / f"{name}.so"
        command: list[str | Path] = [
            GCC,
            "-shared",
            *(option for option in options if option not in {"-x", "assembler"}),
        ]
        subprocess.run([*command, source, "-o", library], check=True, capture_output=True, timeout=60)
        members[f"demo/{name}.so"] = library.read_bytes()
    wheel = build_wheel(tmp_path, members, tags=("cp311-cp311-linux_x86_64",))
    assert compare(wheel, tmp_path) >= 6


def audit_abi3(wheel: Path) -> tuple[set[str], set[str]]:
    """The symbols that abi3audit finds outside the stable ABI, and those it finds too new in it."""
    pytest.importorskip("abi3audit", reason="PyPI: abi3audit judges modules for the stable ABI")
    command: list[str | Path] = [sys.executable, "-m", "abi3audit", "--report", wheel]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
    (spec,) = json.loads(ended.stdout)["specs"].values()
    results = [row["result"] for row in spec["wheel"]]
    return (
        {symbol for result in results for symbol in result["non_abi3_symbols"]},
        {symbol for result in results for symbol in result["future_abi3_objects"]},
    )


SYMBOLS = (
    *("PyList_New", "PyType_GetName", "PyFrame_GetLasti", "_PyObject_GC_New", "_Py_Dealloc", "PyUnicode_AsUTF8"),
    *(
        "PyUnicode_AsUTF8AndSize",
        "PyBuffer_Release",
        "PyObject_Vectorcall",
        "PyExc_EncodingWarning",
        "Pymine",
        "printf",
    ),
)


@pytest.mark.parametrize("python", ["cp32", "cp39", "cp311", "cp313"])
def test_the_stable_abi_beside_abi3audit(tmp_path: Path, python: str) -> None:
    scene = scene_for_checks(tmp_path)
    spec = replace(SOUND, undefined=(*SOUND.undefined, *(Undefined(name) for name in SYMBOLS)))
    wheel: Sequence[str] = (f"{python}-abi3-{PLATFORM}",)
    path = build_wheel(scene.folder, {"demo/_core.abi3.so": build_elf(spec)}, tags=wheel)
    outside, younger = audit_abi3(path)
    found = {row.code: row.context for row in check_wheel(path, AuditOptions(sysroot=scene.root))}
    assert set(found.get("outside-stable-abi", ())) == outside
    assert {line.partition(" ")[0] for line in found.get("stable-abi-too-new", ())} == younger
    assert outside
