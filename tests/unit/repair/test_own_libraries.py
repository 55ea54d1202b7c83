"""Libraries that the wheel has itself, while search paths of the build machine lead to copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import notices
from deloc8.elf.edit.vocabulary import ReplaceNeeded, RpathKind, SetRpath
from deloc8.errors import VerificationError
from deloc8.loader.own import OwnLibraries
from kit.bench import EXT, Bench
from kit.elf import Defined, ElfSpec, NoteSpec, build_elf

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic

GLIBC = "libc.so.6"
BUILD = "/build/lib"
OWN = "demo/lib/libx.so.1"
X = ElfSpec(soname="libx.so.1", defined=(Defined("x"),))
USER = ElfSpec(needed=("libx.so.1", GLIBC), runpath=BUILD)
NEWER = ElfSpec(soname="libx.so.1", defined=(Defined("x"), Defined("y")))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.library("/usr/lib/libc.so.6")
    return found


def differing(bench: Bench, wheel: Path) -> tuple[Diagnostic, ...]:
    audit = bench.audit(wheel)
    found = tuple(row for row in notices(audit, audit.outlook) if row.code == "own-library-differs")
    planned = tuple(note for note in bench.plan(wheel).notes if note.code == "own-library-differs")
    assert planned == found
    return found


def test_no_second_copy_is_grafted_and_the_own_one_is_found_by_a_search_path(bench: Bench) -> None:
    bench.system.library(f"{BUILD}/libx.so.1", X)
    wheel = bench.wheel({EXT: USER, OWN: X})
    outcome = bench.repair(wheel)
    assert outcome.plan.grafts == ()
    assert [(patch.member, patch.edits) for patch in outcome.plan.patches] == [
        (EXT, (SetRpath(path="$ORIGIN/lib", kind=RpathKind.RPATH),))
    ]
    assert differing(bench, wheel) == ()


def test_a_file_name_that_is_not_the_soname_is_needed_instead(bench: Bench) -> None:
    bench.system.library(f"{BUILD}/libx.so.1", X)
    wheel = bench.wheel({EXT: USER, "demo/lib/own.so": X})
    (patch,) = bench.repair(wheel).plan.patches
    assert patch.edits[0] == ReplaceNeeded(old="libx.so.1", new="own.so")


def test_other_contents_are_told_once_for_each_library(bench: Bench) -> None:
    bench.system.library(f"{BUILD}/libx.so.1", NEWER)
    bench.system.library("/other/libx.so.1", ElfSpec(soname="libx.so.1"))
    bench.system.symlink("/link", BUILD)
    wheel = bench.wheel(
        {
            EXT: USER,
            "demo/a.so": USER,
            "demo/b.so": ElfSpec(needed=("libx.so.1", GLIBC), rpath="/other"),
            "demo/c.so": ElfSpec(needed=("libx.so.1", GLIBC), rpath="/link:$ORIGIN/../demo/lib"),
            OWN: X,
        }
    )
    (notice,) = differing(bench, wheel)
    assert notice.subject == OWN
    assert notice.message == f"is used in place of {BUILD}/libx.so.1, /other/libx.so.1, which have other contents"
    assert notice.context == (
        f"{EXT}: RUNPATH leads to {BUILD}/libx.so.1",
        "demo/b.so: RPATH leads to /other/libx.so.1",
    )


def test_a_build_id_tells_which_files_are_one_library(bench: Bench) -> None:
    def build(number: int, *symbols: str) -> ElfSpec:
        note = NoteSpec("GNU", 3, bytes([number]) * 20)
        return ElfSpec(soname="libx.so.1", notes=(note,), defined=tuple(map(Defined, symbols)))

    bench.system.library(f"{BUILD}/libx.so.1", build(1, "x", "for_debuggers"))
    assert differing(bench, bench.wheel({EXT: USER, OWN: build(1, "x")})) == ()
    assert len(differing(bench, bench.wheel({EXT: USER, OWN: build(2, "x")}))) == 1
    assert len(differing(bench, bench.wheel({EXT: USER, OWN: X}))) == 1


def test_what_is_asked_for_by_its_path_is_not_grafted_beside_the_own_library(bench: Bench) -> None:
    bench.system.library(f"{BUILD}/libx.so.1", NEWER)
    wheel = bench.wheel({EXT: ElfSpec(needed=("libx.so.1", GLIBC), rpath="$ORIGIN/lib"), OWN: X})
    plan = bench.plan(wheel, include=(f"{BUILD}/libx.so.1",))
    assert plan.grafts == ()
    (notice,) = (note for note in plan.notes if note.code == "own-library-differs")
    assert notice.context == (f"--include leads to {BUILD}/libx.so.1",)


def test_a_file_of_the_same_name_that_calls_itself_otherwise_keeps_no_library_out(bench: Bench) -> None:
    bench.system.library(f"{BUILD}/libx.so.1", X)
    wheel = bench.wheel({EXT: USER, "demo/plugins/libx.so.1": ElfSpec(soname="plugin.so")})
    (graft,) = bench.repair(wheel).plan.grafts
    assert graft.soname == "libx.so.1"


def test_the_proof_refuses_a_graft_that_is_a_second_copy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnLibraries, "instead_of", lambda *_: ())
    bench.system.library(f"{BUILD}/libx.so.1", X)
    wheel = bench.wheel({EXT: USER, OWN: build_elf(X)})
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel)
    (problem,) = caught.value.context
    assert problem.startswith("demo.libs/libx-")
    assert problem.endswith(f"is a copy of libx.so.1, which the wheel has in {OWN}")


def test_the_own_library_is_found_before_a_vendor_folder_that_stays(bench: Bench) -> None:
    """On the machine that it runs on the folder may have a copy, too."""
    for name in ("libx.so.1", "libvendor.so.1"):
        bench.library(f"/opt/vendor/lib/{name}")
    user = ElfSpec(needed=("libx.so.1", "libvendor.so.1", GLIBC), runpath="/opt/vendor/lib")
    wheel = bench.wheel({EXT: user, OWN: ElfSpec(soname="libx.so.1")})
    (patch,) = bench.repair(wheel, exclude=("libvendor.so.1",)).plan.patches
    (edit,) = patch.edits
    assert isinstance(edit, SetRpath)
    assert edit.path == "$ORIGIN/lib:/opt/vendor/lib"
