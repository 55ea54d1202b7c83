"""Edits of real libraries: those of this machine, and the extension modules of this Python's packages."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import ReplaceNeeded, RpathKind, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.image import ElfImage, parse, parse_defined
from deloc8.errors import ElfError
from kit.compile import Toolchain, build
from kit.editor_check import check_bytes, check_peace, check_tables, names_of
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.edit.writer import Edited

HOST = Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or "")
PACKAGES = Path(sysconfig.get_path("platlib"))
SAMPLE = 1000
LARGEST = 40_000_000
SHARES = 4  # the files are dealt out to so many tests, for several workers
RPATH = "$ORIGIN/../sample.libs"
OPENER = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **paths) {
    void *library = dlopen(paths[count - 1], RTLD_NOW);
    printf("%s\n", library ? "opened" : dlerror());
    fflush(stdout);
    return 0;
}
"""


def is_library(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not 64 < path.stat().st_size <= LARGEST:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def corpus() -> list[Path]:
    host = [path for path in sorted(HOST.glob("*.so*")) if is_library(path)]
    step = max(len(host) // SAMPLE, 1)
    modules = [path for path in sorted(PACKAGES.rglob("*.so*")) if is_library(path)]
    return host[::step][:SAMPLE] + modules


def edits_of(image: ElfImage) -> tuple[Edit, ...]:
    replaced = (ReplaceNeeded(old=name, new="libnew-0a1b2c3d-" + name) for name in dict.fromkeys(image.needed[:2]))
    return SetSoname(soname="libsample-0a1b2c3d.so.1"), *replaced, SetRpath(path=RPATH)


def renamed(edits: tuple[Edit, ...]) -> dict[str, str]:
    return {edit.old: edit.new for edit in edits if isinstance(edit, ReplaceNeeded)}


def check_reading(before: bytes, after: bytes, names: dict[str, str]) -> None:
    """Our own reader finds nothing else changed."""
    old, new = parse(before, "before"), parse(after, "after")
    assert new.dynamic is not None
    assert new.needed == tuple(names.get(name, name) for name in old.needed)
    assert (new.soname, new.dynamic.rpath, new.dynamic.runpath) == ("libsample-0a1b2c3d.so.1", RPATH, None)
    assert [(n.file, n.versions) for n in new.version_needs] == [
        (names.get(n.file, n.file), n.versions) for n in old.version_needs
    ]
    assert [s._replace(file=names.get(s.file or "", s.file)) for s in old.undefined] == list(new.undefined)
    assert parse_defined(before, "before") == parse_defined(after, "after")
    assert (new.defined_versions, new.notes) == (old.defined_versions, old.notes)
    assert set(broken_invariants(after, "after")) <= set(broken_invariants(before, "before"))


def edited_corpus(share: int, counts: Counter[str]) -> Iterator[tuple[Path, bytes, Edited, dict[str, str]]]:
    for path in corpus()[share::SHARES]:
        before = path.read_bytes()
        edits = edits_of(parse(before, path.name))
        try:
            edited = edit(before, edits, path.name)
        except ElfError as error:
            counts[f"refused: {error.context[0]}"] += 1
            continue
        counts["edited"] += 1
        counts[edited.placement.slot.name] += 1
        yield path, before, edited, renamed(edits)


@pytest.mark.parametrize("share", range(SHARES))
def test_real_libraries(share: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("readelf", "binutils")
    counts: Counter[str] = Counter()
    failures = []
    after = tmp_path / "edited.so"
    for path, before, edited, names in edited_corpus(share, counts):
        after.write_bytes(edited.data)
        try:
            check_bytes(before, edited.data, edited.placement)
            check_reading(before, edited.data, names)
            check_peace(path, after)
            check_tables(path, after, names)
            assert names_of(after).soname == "libsample-0a1b2c3d.so.1"
            assert edit(edited.data, edits_of(parse(before, path.name))[:1], path.name).data is edited.data
        except AssertionError as failure:
            failures.append(f"{path}: {failure}")
    with capsys.disabled():
        print(f"\nedited libraries, share {share + 1} of {SHARES}: {dict(counts)}, failed {len(failures)}")  # noqa: T201  the counts are what the test is run for
    assert not failures
    assert counts["edited"] > 10
    assert sum(counts[key] for key in counts if key.startswith("refused")) == 0


def opened(opener: Path, library: Path) -> str:
    result = subprocess.run([str(opener), str(library)], capture_output=True, text=True, errors="replace", check=False)
    told = re.sub(r"==[0-9]+==", "==", result.stderr)  # sanitizers begin with the number of their process
    return f"{result.returncode} {result.stdout}{told}".replace(str(library), "library")


def listed(library: Path) -> tuple[int, list[str]]:
    """What ld.so says it would load; paths alone, since addresses differ from run to run."""
    (loader,) = list(Path("/lib64").glob("ld-linux-*.so.2"))[:1] or pytest.skip("needs a glibc loader in /lib64")
    result = subprocess.run([str(loader), "--list", str(library)], capture_output=True, text=True, check=False)
    return result.returncode, sorted(line.split(" (0x")[0].strip() for line in result.stdout.splitlines())


def longer_search_path(library: Path) -> SetRpath:
    """The search path of a library and one more folder: without its own one, libpulse would not find its libraries."""
    dynamic = parse(library.read_bytes(), library.name).dynamic
    assert dynamic
    kind = RpathKind.RPATH if dynamic.runpath is None else RpathKind.RUNPATH
    return SetRpath(path=":".join(filter(None, (dynamic.runpath or dynamic.rpath, "/nowhere/at/all"))), kind=kind)


def test_the_real_loader_opens_them(tmp_path: Path) -> None:
    """Each library is opened as it was, edited, and stripped after that; a name is added to its needs or not."""
    require("strip", "binutils")
    opener = build(OPENER, Toolchain("gcc"), kind="pie")
    libraries = [path for path in sorted(HOST.glob("*.so*")) if is_library(path)]
    libraries = libraries[:: max(len(libraries) // 60, 1)]
    outcomes: Counter[str] = Counter()
    for path in libraries:
        # In a folder of its own, under its own name: some libraries look for files beside themselves.
        before, after, bare = (tmp_path / name for name in ("before.so", "after.so", "bare.so"))
        before.write_bytes(path.read_bytes())
        edits = (SetSoname(soname="libsample-0a1b2c3d.so.1"), longer_search_path(path))
        after.write_bytes(edit(path.read_bytes(), edits, path.name).data)
        subprocess.run(["strip", "-s", str(after), "-o", str(bare)], check=True, capture_output=True)
        expected = opened(opener, before)
        assert opened(opener, after) == expected, path
        assert opened(opener, bare) == expected, path
        assert listed(before) == listed(after) == listed(bare), path
        outcomes["opened" if expected.startswith("0 opened") else "not opened, edited or not"] += 1
    assert outcomes["opened"] > len(libraries) // 2, outcomes
