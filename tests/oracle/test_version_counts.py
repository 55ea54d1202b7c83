"""Counts of version records that disagree with the chains, put to the real ld.so: it follows the chains.

readelf goes by the counts, so before an edit it prints less than ld.so checks, and after it the same.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import BindVersion, SetRpath
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.versions import read_defined_versions, read_version_needs
from kit.compile import Toolchain, build
from kit.editor_check import readelf
from kit.version_counts import HEADER_LIES, LIES, MISSING, Lie, table_of

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit

LIBRARY = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int old(int x) {
    char text[40];
    snprintf(text, sizeof text, "%d", x);
    char *copy = malloc(40);
    memcpy(copy, text, strlen(text) + 1);
    return atoi(copy);
}
int fresh(int x) { return (int)pow(x, 2) + (int)exp(0.0 * x) + (int)sin(0.0 * x); }
"""
PROGRAM = r"""
#include <stdio.h>
int old(int);
int fresh(int);
int main(void) { printf("%d %d\n", old(7), fresh(5)); return 0; }
"""
SCRIPT = "OWN_1 { global: old; local: *; };\nOWN_2 { global: fresh; } OWN_1;\n"
EVERY = {**LIES, **HEADER_LIES, **MISSING}
LINKERS = ["bfd", "lld", "mold"]
EDITS: dict[str, list[Edit]] = {
    "search path": [SetRpath(path="$ORIGIN/" + "x" * 200)],
    "older version": [BindVersion(symbol="pow", old="GLIBC_2.29", version="GLIBC_2.2.5", library="libm.so.6")],
}


@pytest.fixture(scope="module", params=LINKERS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The library, and the program that needs it."""
    script = tmp_path_factory.mktemp("script") / "own.map"
    script.write_text(SCRIPT)
    options = (f"-Wl,--version-script={script}", "-fno-builtin")
    libraries = ("-Wl,--no-as-needed", "-Wl,--push-state", "-lm", "-Wl,--pop-state")
    toolchain = Toolchain("gcc", request.param)
    library = build(LIBRARY, toolchain, options=(*options, *libraries))
    return library.read_bytes(), build(PROGRAM, toolchain, kind="pie", inputs=(library,))


_CHECK = re.compile(r"checking for version `(\S+)' in file \S*?([^/\s]+) \[0\] required by file \S*?([^/\s]+) \[0\]")


def run(program: Path, library: bytes, folder: Path, *, now: bool) -> tuple[str, list[tuple[str, str, str]]]:
    """What the program prints, and the versions that ld.so checks: version, file, and who requires it."""
    (folder / "libdemo.so").write_bytes(library)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "LD_DEBUG": "versions"}
    if now:
        environment["LD_BIND_NOW"] = "1"
    ended = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, _CHECK.findall(ended.stderr)


@pytest.mark.parametrize("now", [True, False], ids=["now", "lazy"])
@pytest.mark.parametrize("lie", EVERY.values(), ids=EVERY)
def test_ld_so_checks_what_is_chained_whatever_is_counted(
    built: tuple[bytes, Path],
    lie: Lie,
    tmp_path: Path,
    now: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    library, program = built
    lying = lie(library)
    if lying == library:
        pytest.skip("the linker writes that very count: lld and mold know no parents of versions")
    said, checks = run(program, lying, tmp_path, now=now)
    assert said == "7 26\n"
    assert {version for version, file, _ in checks if file == "libdemo.so"} == {"OWN_1", "OWN_2"}
    # ld.so has checked exactly what is read here, of every library.
    required = [(version, file) for version, file, asker in checks if asker == "libdemo.so"]
    read = [(version.name, need.file) for need in read_version_needs(table_of(lying)) for version in need.versions]
    assert sorted(required) == sorted(read)
    assert len({file for _, file in read}) > 1
    assert [version.name for version in read_defined_versions(table_of(lying))] == ["libdemo.so", "OWN_1", "OWN_2"]


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("lie", EVERY.values(), ids=EVERY)
def test_what_is_edited_loads_and_readelf_agrees_with_it(
    built: tuple[bytes, Path], lie: Lie, edits: list[Edit], tmp_path: Path
) -> None:
    library, program = built
    edited, wanted = edit(lie(library), edits, "lib.so").data, edit(library, edits, "lib.so").data
    for now in (True, False):
        assert run(program, edited, tmp_path, now=now) == run(program, wanted, tmp_path, now=now)
    if lie not in MISSING.values():
        assert versions_of(edited, tmp_path) == versions_of(wanted, tmp_path)


def versions_of(data: bytes, folder: Path) -> list[str]:
    """The names and indices that readelf prints of version records."""
    file = folder / "file.so"
    file.write_bytes(data)
    return [line.partition(":")[2] for line in readelf(file, "-VW")[0] if "Name: " in line or "Parent" in line]


@pytest.mark.parametrize("lie", ["first vn_cnt 1", "first vn_cnt 0", "sh_info of .gnu.version_r 1"])
def test_readelf_goes_by_the_counts(built: tuple[bytes, Path], lie: str, tmp_path: Path) -> None:
    """Therefore it is no witness of what ld.so does with such a file."""
    library, _ = built
    assert len(versions_of(EVERY[lie](library), tmp_path)) < len(versions_of(library, tmp_path))
