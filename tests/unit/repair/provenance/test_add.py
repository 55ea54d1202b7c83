from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deloc8.cli import main
from deloc8.diagnostic import Severity
from deloc8.errors import SystemFault, VerificationError
from deloc8.loader.sysroot import Sysroot
from deloc8.repair import execute
from deloc8.repair.model import Goal, PackageSource, Provenance
from deloc8.repair.provenance import add as provenance
from deloc8.repair.provenance.add import add_provenance, provenance_problems
from deloc8.report.to_json import plan_value
from deloc8.report.to_text import full_plan_text
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.writer import WriteOptions
from kit.bench import EXT, Bench, contents
from kit.elf import ElfSpec
from kit.packages import dpkg_package

if TYPE_CHECKING:
    from deloc8.repair.model import Plan

INFO = "demo-1.0.dist-info"
METADATA = f"{INFO}/METADATA"
SBOM = f"{INFO}/sboms/deloc8.cdx.json"
LIBA, LIBB = "/usr/lib64/liba.so.1", "/usr/lib64/libb.so.1"
NEW = b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nLicense-File: LICENSE\n\nText\n"
ON: Any = {"sbom": True, "licences": True}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A system with two libraries, of which dpkg knows one."""
    bench = Bench(tmp_path)
    bench.library(LIBA)
    bench.library(LIBB)
    dpkg_package(bench.system, "liba1", [LIBA])
    bench.system.write("/usr/share/doc/liba1/copyright", "Copyright A")
    return bench


def wheel(bench: Bench, *needed: str, **members: bytes) -> Path:
    named = {f"{INFO}/{name}": data for name, data in members.items()}
    return bench.wheel({EXT: ElfSpec(needed=needed), METADATA: NEW, **named})


def test_a_plan_tells_who_owns_the_grafts(bench: Bench) -> None:
    plan = bench.plan(wheel(bench, "liba.so.1", "libb.so.1", "libc.so.6"), **ON)
    owners = {graft.source: graft.owner for graft in plan.grafts}
    assert (owners[LIBA].name, owners[LIBA].source) == ("liba1", PackageSource.DPKG)
    assert owners[LIBB].source is PackageSource.UNKNOWN
    assert plan.provenance.sbom == SBOM
    assert [(file.source, file.member) for file in plan.provenance.licences] == [
        ("/usr/share/doc/liba1/copyright", f"{INFO}/licenses/liba1/copyright")
    ]
    assert plan.provenance.licence_fields == ("liba1/copyright",)


def test_unknown_owners_are_one_note(bench: Bench) -> None:
    bench.library("/usr/lib64/libc9.so.1")
    plans = [
        bench.plan(wheel(bench, *needed), **ON)
        for needed in (("liba.so.1",), ("liba.so.1", "libb.so.1"), ("libb.so.1", "libc9.so.1"))
    ]
    notes = [[note for note in plan.notes if note.code == "unknown-package"] for plan in plans]
    assert notes[0] == []
    assert [(note.severity, note.subject, note.message) for note in (*notes[1], *notes[2])] == [
        (Severity.NOTE, LIBB, "belongs to no known package"),
        (Severity.NOTE, LIBB, "this and 1 more grafted libraries belong to no known package"),
    ]
    assert notes[2][0].context == (
        f"{LIBB}: no package of dpkg has it",
        "/usr/lib64/libc9.so.1: no package of dpkg has it",
    )


def test_a_plan_without_grafts_tells_nothing(bench: Bench) -> None:
    plan = bench.plan(wheel(bench), **ON)
    assert plan.provenance == Provenance()
    assert "unknown-package" not in {note.code for note in plan.notes}


def test_the_repaired_wheel_tells_it(bench: Bench) -> None:
    source = wheel(bench, "liba.so.1", "libb.so.1")
    outcome = bench.repair(source, **ON)
    found = contents(outcome.path)
    assert found[f"{INFO}/licenses/liba1/copyright"] == b"Copyright A"
    assert found[METADATA] == NEW.replace(b"License-File", b"License-File: liba1/copyright\nLicense-File", 1)
    listed = json.loads(found[SBOM])["components"]
    assert {row["bom-ref"] for row in listed} == {graft.member for graft in outcome.plan.grafts}
    assert "it is told where every graft comes from" in {check.name for check in outcome.proof.checks}


def test_each_part_can_be_left_out(bench: Bench) -> None:
    source = wheel(bench, "liba.so.1")
    without_sbom = contents(bench.repair(source, sbom=False, licences=True).path)
    without_licences = contents(bench.repair(source, sbom=True, licences=False).path)
    assert {SBOM, f"{INFO}/licenses/liba1/copyright"} - set(without_sbom) == {SBOM}
    assert {SBOM, f"{INFO}/licenses/liba1/copyright"} - set(without_licences) == {f"{INFO}/licenses/liba1/copyright"}
    assert without_licences[METADATA] == NEW
    neither = bench.repair(source, sbom=False, licences=False)
    assert not {name for name in contents(neither.path) if "/sboms/" in name or "/licenses/" in name}
    assert neither.plan.grafts[0].owner.name == "liba1"


def test_old_metadata_gets_no_fields_but_the_files_come(bench: Bench) -> None:
    old = NEW.replace(b"2.4", b"2.3")
    source = bench.wheel({EXT: ElfSpec(needed=("liba.so.1",)), METADATA: old})
    found = contents(bench.repair(source, **ON).path)
    assert found[METADATA] == old
    assert f"{INFO}/licenses/liba1/copyright" in found


def test_bills_of_materials_of_the_wheel_stay(bench: Bench) -> None:
    theirs = {"sboms/deloc8.cdx.json": b"{}", "sboms/other.spdx.json": b"[]"}
    source = bench.wheel(
        {EXT: ElfSpec(needed=("liba.so.1",)), **{f"{INFO}/{name}": data for name, data in theirs.items()}}
    )
    outcome = bench.repair(source, **ON)
    found = contents(outcome.path)
    assert {name: found[f"{INFO}/{name}"] for name in theirs} == theirs
    assert outcome.plan.provenance.sbom == f"{INFO}/sboms/deloc8-2.cdx.json"


def test_a_repaired_wheel_can_be_repaired_again(bench: Bench) -> None:
    first = bench.repair(wheel(bench, "liba.so.1"), **ON)
    again = bench.dist / first.path.name
    first.path.rename(again)
    second = bench.repair(again, **ON)
    assert not second.plan.grafts
    assert second.plan.provenance == Provenance()


def test_two_repairs_give_the_same_bytes(bench: Bench) -> None:
    source = wheel(bench, "liba.so.1", "libb.so.1")
    first, second = (bench.repair(source, threads=threads, **ON).sha256 for threads in (1, 4))
    assert first == second


def test_the_time_of_the_bill_is_the_given_one(bench: Bench) -> None:
    outcome = bench.repair(wheel(bench, "liba.so.1"), WriteOptions(source_date_epoch=1_000_000_000), **ON)
    document = json.loads(contents(outcome.path)[SBOM])
    assert document["metadata"]["timestamp"].startswith("2001-09-09T01:46:40")


def test_a_time_that_no_archive_can_have_is_the_last_that_it_can(bench: Bench) -> None:
    outcome = bench.repair(wheel(bench, "liba.so.1"), WriteOptions(source_date_epoch=2**63 - 1), **ON)
    document = json.loads(contents(outcome.path)[SBOM])
    assert document["metadata"]["timestamp"].startswith("2107-12-31T23:59:58")


def test_a_licence_that_changes_meanwhile_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    source = wheel(bench, "liba.so.1")
    before = provenance.add_provenance

    def change(*arguments: Any) -> Plan:
        plan = before(*arguments)
        bench.system.write("/usr/share/doc/liba1/copyright", "Copyright B")
        return plan

    monkeypatch.setattr("deloc8.workflow.repair.add_provenance", change)
    with pytest.raises(SystemFault, match="was written to while") as caught:
        bench.repair(source, **ON)
    assert caught.value.code == "library-changed"
    assert bench.left == ["no folder"]


def test_dry_run_shows_it_in_text_and_json(bench: Bench) -> None:
    plan = bench.plan(wheel(bench, "liba.so.1", "libb.so.1"), **ON)
    text = full_plan_text(plan, Path("out"))
    assert "  of the package liba1 1.0-1 (dpkg)\n" in text
    assert "  of an unknown package: no package of dpkg has it\n" in text
    assert f"Would copy the licence: /usr/share/doc/liba1/copyright\n  as {INFO}/licenses/liba1/copyright\n" in text
    assert f"Would write a bill of materials: {SBOM}\n" in text
    value: Any = plan_value(plan)
    assert {row["source"]: row["package"] for row in value["grafts"]} == {
        LIBA: {
            "source": "dpkg",
            "name": "liba1",
            "version": "1.0-1",
            "purl": "pkg:deb/liba1@1.0-1?arch=amd64",
            "reason": None,
        },
        LIBB: {
            "source": "unknown",
            "name": None,
            "version": None,
            "purl": None,
            "reason": "no package of dpkg has it",
        },
    }
    assert value["sbom"] == SBOM
    assert value["licences"] == [
        {"source": "/usr/share/doc/liba1/copyright", "member": f"{INFO}/licenses/liba1/copyright"}
    ]
    assert value["licence_fields"] == ["liba1/copyright"]


def test_what_was_never_asked_is_unknown_without_a_reason(bench: Bench) -> None:
    plan = bench.plan(wheel(bench, "libb.so.1"))
    plan = replace(plan, grafts=tuple(replace(graft, owner=replace(graft.owner, reason="")) for graft in plan.grafts))
    assert "  of an unknown package\n" in full_plan_text(plan, Path("out"))


def test_what_is_not_as_planned_is_a_problem(bench: Bench) -> None:
    source = wheel(bench, "liba.so.1")
    outcome = bench.repair(source, **ON)
    told = outcome.plan.provenance
    lying = replace(
        outcome.plan,
        grafts=tuple(replace(graft, sha256="0" * 64) for graft in outcome.plan.grafts),
        provenance=replace(
            told,
            licences=tuple(replace(file, sha256="0" * 64) for file in told.licences),
            licence_fields=("other",),
        ),
    )
    with open_wheel(source) as before, open_wheel(outcome.path) as after:
        assert list(provenance_problems(outcome.plan, before, after)) == []
        assert list(provenance_problems(lying, before, after)) == [
            "METADATA does not name the licence file other",
            "METADATA has changed beyond its License-File lines",
            f"{INFO}/licenses/liba1/copyright is not what /usr/share/doc/liba1/copyright is",
            f"the bill of materials does not list {outcome.plan.grafts[0].member}",
        ]


@pytest.mark.parametrize("spoilt", ["METADATA", "SBOM"])
def test_a_wheel_that_tells_something_else_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    source = wheel(bench, "liba.so.1")
    if spoilt == "METADATA":
        monkeypatch.setattr(execute, "add_licence_fields", lambda metadata, _: metadata + b"More")
    else:
        monkeypatch.setattr("deloc8.repair.provenance.sbom.render_sbom", lambda *_: b"{}")
    with pytest.raises(VerificationError) as caught:
        bench.repair(source, **ON)
    assert any(("METADATA" if spoilt == "METADATA" else "bill of materials") in line for line in caught.value.context)
    assert bench.left == ["no folder"]


def test_the_paths_that_the_loader_took_are_known(bench: Bench) -> None:
    bench.library("/opt/big-1.2/lib/libbig.so.1")
    bench.system.symlink("/opt/big", "big-1.2")
    dpkg_package(bench.system, "big", ["/opt/big/lib/libbig.so.1"])
    plan = bench.plan(wheel(bench, "libbig.so.1"), add_paths=("/opt/big/lib",), **ON)
    (graft,) = plan.grafts
    assert (graft.source, graft.owner.name) == ("/opt/big-1.2/lib/libbig.so.1", "big")


def test_add_provenance_leaves_the_rest_of_a_plan_as_it_is(bench: Bench) -> None:
    source = wheel(bench, "libb.so.1", "liba.so.1")
    plan = bench.plan(source)
    audit = bench.audit(source)
    with open_wheel(source) as archive:
        told = add_provenance(plan, Goal(), audit.facts, archive, Sysroot(bench.system.top))
    assert replace(told, provenance=plan.provenance, notes=plan.notes) == plan


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {SBOM, f"{INFO}/licenses/liba1/copyright"}),
        (("--no-sbom",), {f"{INFO}/licenses/liba1/copyright"}),
        (("--no-licenses",), {SBOM}),
        (("--no-sbom", "--no-licenses"), set()),
    ],
)
def test_options_of_fixup_leave_it_out(bench: Bench, options: tuple[str, ...], expected: set[str]) -> None:
    source = wheel(bench, "liba.so.1")
    assert main(["fixup", str(source), "-w", str(bench.out), "--sysroot", str(bench.system.top), *options]) == 0
    (written,) = bench.out.iterdir()
    assert {name for name in contents(written) if "/sboms/" in name or "/licenses/" in name} == expected
