"""The ELF reader against pyelftools, on every ELF file of the machine; and against itself without section headers."""

from __future__ import annotations

import multiprocessing
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("elftools", reason="pyelftools is not installed: it is what the reader is compared with")

from kit.pyelf import elf_files
from kit.reader_check import compare

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
