"""The ELF reader against pyelftools, on every ELF file of the machine; and against itself without section headers."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("elftools", reason="pyelftools is not installed: it is what the reader is compared with")

from deloc8.elf.read.image import parse
from kit.pyelf import elf_files
from kit.reader_check import compare
from kit.require import require

ROOTS = (Path("/usr/lib"), Path("/usr/bin"), Path(sysconfig.get_path("platlib")))


def test_every_elf_file_of_the_machine(record_testsuite_property: Callable[[str, object], None]) -> None:
    paths = [str(path) for path in elf_files(ROOTS)]
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 8)) as pool:
        results = list(pool.imap_unordered(compare, paths, chunksize=4))
    counts = {
        "files": len(results),
        "dynamic": sum(result.dynamic for result in results),
        "undefined": sum(result.undefined for result in results),
        "defined": sum(result.defined for result in results),
        "different": sum(bool(result.differences) for result in results),
    }
    print(f"compared with pyelftools: {counts}")  # noqa: T201  the counts are what is reported of this test
    for name, count in counts.items():
        record_testsuite_property(f"reader-{name}", count)
    assert [(result.path, result.differences) for result in results if result.differences] == []
    assert counts["files"] == len(paths)
    assert counts["dynamic"] > 0
    assert counts["undefined"] > counts["dynamic"]


@pytest.mark.parametrize(
    ("program", "package", "arguments"),
    [
        ("objcopy", "binutils", ("--only-keep-debug", "{source}", "{target}")),
        ("eu-strip", "elfutils", ("-f", "{target}", "-o", "{target}.rest", "{source}")),
    ],
)
def test_debug_information_taken_apart(program: str, package: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    # Its program headers speak of contents that are in the library alone.
    require(program, package)
    source = next(path for path in elf_files(ROOTS[-1:]) if ".so" in path.name and path.stat().st_size < 1 << 20)
    target = tmp_path / "library.debug"
    subprocess.run([program, *(a.format(source=source, target=target) for a in arguments)], check=True)
    image = parse(target.read_bytes(), "library.debug")
    library = parse(source.read_bytes(), "library")
    assert library.needed
    assert image.needed == ()
    assert image.undefined == ()
    assert (image.machine, image.type, len(image.segments)) == (library.machine, library.type, len(library.segments))
    assert set(image.notes) <= set(library.notes)
