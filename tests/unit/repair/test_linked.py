"""Wheels whose files name filters, auxiliary and audit libraries: what is copied in, renamed, refused and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit import writer
from deloc8.elf.edit.vocabulary import RemoveRpath, ReplaceAudit, ReplaceNeeded, SetRpath
from deloc8.elf.read.dynamic import Link, LinkKind
from deloc8.errors import UnrepairableError, VerificationError
from deloc8.repair import execute
from kit.bench import EXT, Bench, codes, image
from kit.elf import DT_AUDIT, DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, GLIBC, ElfSpec, Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.edit.writer import Edited
    from deloc8.elf.read.view import Buffer

KINDS = {DT_FILTER: LinkKind.FILTER, DT_AUXILIARY: LinkKind.AUXILIARY}
MUSL = "libc.musl-x86_64.so.1"
PROGRAM = "demo-1.0.data/scripts/run"
INTERPRETER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A system with liba.so.1, which needs libb.so.1, and libw.so."""
    bench = Bench(tmp_path)
    bench.library("/usr/lib/libc.so.6")
    bench.system.library("/usr/lib/liba.so.1", ElfSpec(soname="liba.so.1", needed=("libb.so.1",)))
    bench.library("/usr/lib/libb.so.1")
    bench.library("/usr/lib/libw.so")
    bench.library("/usr/lib/libm.so.6")
    return bench


def filters_of(wheel: Path, member: str) -> tuple[Link, ...]:
    dynamic = image(wheel, member).dynamic
    assert dynamic is not None
    return dynamic.filters


@pytest.mark.parametrize("tag", KINDS)
def test_what_a_filter_names_is_copied_in_and_the_entry_renamed(bench: Bench, tag: int) -> None:
    wheel = bench.extension(needed=(GLIBC,), links=((tag, "liba.so.1"),))
    outcome = bench.repair(wheel)
    assert {graft.source for graft in outcome.plan.grafts} == {"/usr/lib/liba.so.1", "/usr/lib/libb.so.1"}
    new = next(graft.new_name for graft in outcome.plan.grafts if graft.soname == "liba.so.1")
    (patch,) = outcome.plan.patches
    assert patch.edits == (ReplaceNeeded(old="liba.so.1", new=new), SetRpath(path="$ORIGIN/../demo.libs"))
    assert filters_of(outcome.path, EXT) == (Link(KINDS[tag], new),)
    assert image(outcome.path, EXT).needed == (GLIBC,)


@pytest.mark.parametrize("tag", KINDS)
def test_a_graft_may_be_a_filter_itself(bench: Bench, tag: int) -> None:
    bench.system.library("/usr/lib/libf.so.1", ElfSpec(soname="libf.so.1", links=((tag, "libb.so.1"),)))
    outcome = bench.repair(bench.extension(needed=("libf.so.1",)))
    first, second = outcome.plan.grafts
    assert filters_of(outcome.path, first.member) == (Link(KINDS[tag], second.new_name),)
    dynamic = image(outcome.path, first.member).dynamic
    assert dynamic is not None
    assert dynamic.rpath == "$ORIGIN"


def test_a_name_that_is_needed_and_a_filter_becomes_one_graft(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(needed=("libb.so.1",), links=((DT_AUXILIARY, "libb.so.1"),)))
    (graft,) = outcome.plan.grafts
    assert image(outcome.path, EXT).needed == (graft.new_name,)
    assert filters_of(outcome.path, EXT) == (Link(LinkKind.AUXILIARY, graft.new_name),)


def test_a_missing_filter_is_refused(bench: Bench) -> None:
    with pytest.raises(UnrepairableError) as caught:
        bench.plan(bench.extension(needed=(GLIBC,), links=((DT_FILTER, "libgone.so.1"),)))
    assert any("libgone.so.1, which is neither in the wheel nor found" in line for line in caught.value.context)


@pytest.mark.parametrize("needed", [(), ("libgone.so.1",)])
def test_a_missing_auxiliary_library_is_a_warning_unless_it_is_needed_too(
    bench: Bench, needed: tuple[str, ...]
) -> None:
    wheel = bench.extension(needed=(GLIBC, *needed), links=((DT_AUXILIARY, "libgone.so.1"),))
    if needed:
        with pytest.raises(UnrepairableError):
            bench.plan(wheel)
        return
    outcome = bench.repair(wheel)
    (note,) = outcome.plan.notes
    assert (note.code, note.subject) == ("optional-library-missing", EXT)
    assert note.message.startswith("prefers the definitions of libgone.so.1 (DT_AUXILIARY)")
    assert filters_of(outcome.path, EXT) == (Link(LinkKind.AUXILIARY, "libgone.so.1"),)


@pytest.mark.parametrize("tag", KINDS)
def test_an_excluded_filtee_and_one_of_the_policy_stay_as_they_are(bench: Bench, tag: int) -> None:
    wheel = bench.extension(needed=(GLIBC,), links=((tag, "libm.so.6"), (tag, "libb.so.1")))
    plan = bench.plan(wheel, exclude=("libb.so.1",))
    assert (plan.grafts, plan.patches, codes(plan)) == ((), (), {"library-left-out": ["libb.so.1"]})


@pytest.mark.parametrize("tag", KINDS)
def test_the_python_library_is_dropped_as_a_filtee_too(bench: Bench, tag: int) -> None:
    outcome = bench.repair(bench.extension(needed=(GLIBC,), links=((tag, "libpython3.11.so.1.0"),)))
    assert filters_of(outcome.path, EXT) == ()


def test_musl_looks_at_no_filter(bench: Bench) -> None:
    wheel = bench.extension(needed=(MUSL,), links=((DT_FILTER, "libgone.so.1"), (DT_AUXILIARY, "libb.so.1")))
    plan = bench.plan(wheel)
    assert (plan.grafts, plan.patches, plan.notes) == ((), (), ())


@pytest.mark.parametrize("tag", KINDS)
def test_a_symbol_that_a_policy_forbids_is_forbidden_to_take_from_a_filtee(bench: Bench, tag: int) -> None:
    wheel = bench.extension(needed=(GLIBC,), links=((tag, "libz.so.1"),), undefined=(Undefined("_tr_init"),))
    match = next(match for match in bench.audit(wheel).matches if match.policy.name == "manylinux_2_17")
    assert [row.code.value for row in match.violations] == ["forbidden-symbol"]


# -- libraries of the wheel


@pytest.mark.parametrize("tag", KINDS)
def test_a_filtee_of_the_wheel_is_found_by_the_path_that_fixup_writes(bench: Bench, tag: int) -> None:
    spec = ElfSpec(needed=(GLIBC,), links=((tag, "libfast.so"),))
    wheel = bench.wheel({EXT: spec, "demo/lib/libfast.so": ElfSpec(soname="libfast.so")})
    dynamic = image(bench.repair(wheel).path, EXT).dynamic
    assert dynamic is not None
    assert dynamic.rpath == "$ORIGIN/lib"


def sabotage(monkeypatch: pytest.MonkeyPatch, *unwanted: type[Edit], more: tuple[Edit, ...] = ()) -> None:
    """Leave some edits out when files are written, and do others."""

    def edit(data: bytearray, edits: Sequence[Edit], name: str) -> Edited | Buffer:
        kept = [step for step in edits if not isinstance(step, unwanted)]
        return writer.edit_owned(data, (*kept, *(more if name == EXT else ())), name)

    monkeypatch.setattr(execute, "edit_owned", edit)


def failed(bench: Bench, wheel: Path) -> str:
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel)
    return "\n".join(caught.value.context)


@pytest.mark.parametrize("tag", KINDS)
def test_the_proof_misses_a_filter_that_was_not_renamed(
    bench: Bench, tag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = bench.extension(needed=(GLIBC,), links=((tag, "libb.so.1"),))
    sabotage(monkeypatch, ReplaceNeeded)
    assert f"{EXT} has filters (Link(kind=<LinkKind.{KINDS[tag].name}" in failed(bench, wheel)


@pytest.mark.parametrize("tag", KINDS)
def test_the_proof_misses_a_graft_that_only_an_optional_entry_names(
    bench: Bench, tag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = bench.extension(needed=(GLIBC,), links=((tag, "libb.so.1"),))
    sabotage(monkeypatch, SetRpath)
    (graft,) = bench.plan(wheel).grafts
    assert f"{EXT} does not find {graft.new_name}, though the wheel has it" in failed(bench, wheel)


def test_the_proof_misses_an_auxiliary_library_of_the_wheel(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ElfSpec(needed=("libb.so.1", GLIBC), links=((DT_AUXILIARY, "$ORIGIN/libfast.so"),), runpath="$ORIGIN")
    wheel = bench.wheel({EXT: spec, "demo/libfast.so": ElfSpec(soname="libfast.so")})
    bench.repair(wheel)
    sabotage(monkeypatch, more=(ReplaceNeeded(old="$ORIGIN/libfast.so", new="$ORIGIN/libslow.so"), RemoveRpath()))
    assert f"{EXT} does not find $ORIGIN/libfast.so, though the wheel has it" in failed(bench, wheel)


# -- audit libraries


def program(*links: tuple[int, str]) -> ElfSpec:
    return ElfSpec(needed=(GLIBC,), interpreter=INTERPRETER, links=links, spare_headers=1)


def test_audit_libraries_of_a_program_are_copied_in_and_renamed(bench: Bench) -> None:
    wheel = bench.wheel({PROGRAM: program((DT_AUDIT, "libw.so:libgone.so"), (DT_DEPAUDIT, "libw.so"))})
    outcome = bench.repair(wheel)
    (graft,) = outcome.plan.grafts
    (patch,) = outcome.plan.patches
    assert patch.edits[0] == ReplaceAudit(old="libw.so", new=graft.new_name)
    dynamic = image(outcome.path, patch.target).dynamic
    assert dynamic is not None
    assert dynamic.audits == (
        Link(LinkKind.AUDIT, graft.new_name),
        Link(LinkKind.AUDIT, "libgone.so"),
        Link(LinkKind.DEPAUDIT, graft.new_name),
    )
    missing = [note.message for note in outcome.plan.notes if note.code == "optional-library-missing"]
    assert missing == ["is watched by libgone.so (DT_AUDIT); it is neither in the wheel nor found on this system"]


def test_those_of_an_extension_module_stay_as_they_are(bench: Bench) -> None:
    wheel = bench.extension(needed=("libw.so", GLIBC), links=((DT_AUDIT, "libw.so:libgone.so"),))
    outcome = bench.repair(wheel)
    dynamic = image(outcome.path, EXT).dynamic
    assert dynamic is not None
    assert dynamic.audits == (Link(LinkKind.AUDIT, "libw.so"), Link(LinkKind.AUDIT, "libgone.so"))


def test_the_proof_misses_an_audit_library_that_was_not_renamed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch, ReplaceAudit)
    assert "has audits (" in failed(bench, bench.wheel({PROGRAM: program((DT_AUDIT, "libw.so"))}))
