"""Executable stacks in a repair: cleared and told, or left on request; packed relocations without their marker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.elf import constants as c
from deloc8.elf.edit.vocabulary import ClearExecutableStack, UnpackRelocations
from deloc8.errors import UnrepairableError, VerificationError
from deloc8.explain.why import explain
from deloc8.repair import execute
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.bench import EXT, Bench, codes, graft, image
from kit.elf import GLIBC, ElfSpec

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = "/usr/lib64/liba.so.1"
LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def stack_of(wheel: Path, member: str) -> list[int]:
    return [segment.flags for segment in image(wheel, member).segments if segment.type == c.PT_GNU_STACK]


@pytest.mark.parametrize("stack", [7, None])
@pytest.mark.parametrize("plat", ["auto", "manylinux_2_17", "linux"])
def test_the_stacks_of_wheel_files_and_grafts_are_cleared_and_it_is_told(
    bench: Bench, stack: int | None, plat: str
) -> None:
    bench.library(LIBRARY, needed=(GLIBC,), gnu_stack=stack)
    wheel = bench.extension(needed=("liba.so.1", GLIBC), gnu_stack=stack)
    outcome = bench.repair(wheel, platform=plat)
    member = EXT
    (patch,) = outcome.plan.patches
    assert ClearExecutableStack() in patch.edits
    if plat != "linux":
        copy = graft(outcome.plan, LIBRARY)
        assert copy.edits[-1] == ClearExecutableStack()
        assert stack_of(outcome.path, copy.member) == [6]
        assert codes(outcome.plan)["executable-stack-cleared"] == [member, LIBRARY]
    assert stack_of(outcome.path, member) == [6]
    notes = [note for note in outcome.plan.notes if note.code == "executable-stack-cleared"]
    assert {note.severity for note in notes} == {Severity.WARNING}
    assert "--keep-executable-stack" in notes[0].hints[0]
    assert not {"executable-stack", "missing-stack-header"} & set(codes(outcome.plan))


def test_a_claim_that_was_untrue_for_its_stack_alone_stays(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(needed=(GLIBC,), gnu_stack=7)}, tags=("cp311-cp311-manylinux_2_28_x86_64",))
    plan = bench.plan(wheel)
    assert "manylinux_2_28_x86_64" in plan.target.platforms
    assert "manylinux_2_5_x86_64" in plan.target.platforms
    assert "false-tag-dropped" not in codes(plan)


def test_stacks_are_left_on_request_and_that_is_told(bench: Bench) -> None:
    bench.library(LIBRARY, needed=(GLIBC,), gnu_stack=7)
    wheel = bench.extension(needed=("liba.so.1", GLIBC), gnu_stack=None)
    outcome = bench.repair(wheel, keep_executable_stack=True)
    assert stack_of(outcome.path, EXT) == []
    assert stack_of(outcome.path, graft(outcome.plan, LIBRARY).member) == [7]
    told = codes(outcome.plan)
    assert (told["missing-stack-header"], told["executable-stack"]) == ([EXT], [LIBRARY])
    assert "executable-stack-cleared" not in told
    assert "manylinux_2_5_x86_64" in outcome.path.name


def test_programs_and_other_c_libraries_keep_theirs(bench: Bench) -> None:
    program = ElfSpec(needed=(GLIBC,), interpreter=LOADER, gnu_stack=7)
    assert bench.plan(bench.wheel({"demo/run": program})).is_empty
    assert bench.plan(bench.extension(needed=("libc.musl-x86_64.so.1",), gnu_stack=7)).is_empty


@pytest.mark.parametrize("stack", [7, None])
def test_a_stack_that_was_not_cleared_fails_the_proof(
    bench: Bench, stack: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "edit_owned", lambda data, _edits, _name: data)
    with pytest.raises(VerificationError) as caught:
        bench.repair(bench.extension(needed=(GLIBC,), gnu_stack=stack))
    assert f"{EXT}: its stack is not what was planned" in caught.value.context
    assert bench.left == ["no folder"]


# -- code that runs on its stack

NESTED = b"\x66\xc7\x44\x24\x0e\x49\xba\xc7\x44\x24\x18\x49\xff\xe3\x90"


@pytest.mark.parametrize("stack", [7, None])
def test_a_stack_that_is_used_is_never_cleared(bench: Bench, stack: int | None) -> None:
    """Cleared, the library would be loaded everywhere and crash at the first call."""
    wheel = bench.extension(needed=(GLIBC,), gnu_stack=stack, payload=NESTED)
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(wheel)
    assert caught.value.code == "executed-stack"
    assert "runs it there" in caught.value.context[0]
    assert "--keep-executable-stack" in caught.value.hints[0]
    for options in ({"platform": "linux"}, {"keep_executable_stack": True}):
        plan = bench.plan(wheel, **options)
        assert plan.patches == ()
        assert codes(plan) == {"executable-stack": [EXT]}
        (note,) = plan.notes
        assert (note.severity, note.context) == (
            Severity.WARNING,
            ("its code runs there (functions inside functions, of C)",),
        )


def test_beside_one_that_is_used_another_is_cleared(bench: Bench) -> None:
    other = ElfSpec(needed=(GLIBC,), gnu_stack=7)
    wheel = bench.wheel({EXT: ElfSpec(needed=(GLIBC,), gnu_stack=7, payload=NESTED), "demo/b.so": other})
    plan = bench.plan(wheel, platform="linux")
    assert [patch.member for patch in plan.patches] == ["demo/b.so"]
    assert codes(plan) == {"executable-stack": [EXT], "executable-stack-cleared": ["demo/b.so"]}


def test_its_ways_out_are_told(bench: Bench) -> None:
    wheel = bench.extension(needed=(GLIBC,), gnu_stack=7, payload=NESTED)
    ways = explain(bench.audit(wheel), "manylinux_2_17").ways
    assert "do without functions inside functions, or compile with -ftrampoline-impl=heap of gcc 14" in ways
    (found,) = check_wheel(wheel, AuditOptions(sysroot=bench.system.top))
    assert (found.code, found.context) == (
        "executable-stack",
        ("its code runs there (functions inside functions, of C)",),
    )


# -- packed relocations


def test_without_a_tag_the_wheel_gets_one_of_glibc_2_36(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(needed=(GLIBC,), relr=True))
    assert outcome.path.name == "demo-1.0-cp311-cp311-manylinux_2_36_x86_64.whl"


def test_an_older_tag_is_refused_and_the_way_out_is_told(bench: Bench) -> None:
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(bench.extension(needed=(GLIBC,), relr=True), platform="manylinux_2_17")
    error = caught.value
    assert error.code == "relr-without-marker"
    assert "glibc before 2.36" in error.context[0]
    assert "let deloc8 do so: fixup --plat manylinux_2_17_x86_64 --lower-glibc" in error.hints
    assert "link with -Wl,-z,nopack-relative-relocs" in error.hints


def test_lowering_unpacks_wheel_files_and_grafts_without_the_marker(bench: Bench) -> None:
    bench.library(LIBRARY, needed=(GLIBC,), relr=True)
    wheel = bench.extension(needed=("liba.so.1", GLIBC), relr=True)
    outcome = bench.repair(wheel, platform="manylinux_2_17", lower_glibc=True)
    (patch,) = outcome.plan.patches
    assert UnpackRelocations() in patch.edits
    for member in (EXT, graft(outcome.plan, LIBRARY).member):
        dynamic = image(outcome.path, member).dynamic
        assert dynamic is not None
        assert not dynamic.has_relr
    assert "manylinux_2_17_x86_64" in outcome.path.name


def test_both_at_once(bench: Bench) -> None:
    wheel = bench.wheel({EXT: replace(ElfSpec(needed=(GLIBC,)), relr=True, gnu_stack=7)})
    outcome = bench.repair(wheel, platform="manylinux_2_17", lower_glibc=True)
    assert stack_of(outcome.path, EXT) == [6]
    assert "manylinux_2_17_x86_64" in outcome.path.name
