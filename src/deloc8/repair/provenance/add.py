"""Where the grafts of a plan come from, and what tells it in the wheel: a bill of materials and licence files."""

from __future__ import annotations

from hashlib import sha256

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.repair.model import Provenance
from deloc8.repair.provenance import licences as licenses
from deloc8.repair.provenance import sbom
from deloc8.repair.provenance.member_names import TakenNames
from deloc8.repair.splits import left_outside, owners_of, split_notes
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.facts import WheelFacts
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.model import Goal, Graft, Plan
    from deloc8.wheel.archive import WheelArchive


def add_provenance(plan: Plan, goal: Goal, facts: WheelFacts, archive: WheelArchive, sysroot: Sysroot) -> Plan:
    """The plan with the owner of each graft, and with the members that tell them.

    Args:
        plan: What is grafted.
        goal: Which of the members are wanted.
        facts: What the plan rests on.
        archive: The wheel as it is.
        sysroot: The system that the grafts come from.
    """
    if not plan.grafts and plan.compat is None:
        return plan
    sources = [graft.source for graft in plan.grafts]
    outside = left_outside((*sources, *(file.path for file in facts.own)), facts)
    owners = owners_of((*sources, *outside), facts, sysroot)
    grafts = tuple(replace(graft, owner=owners[graft.source]) for graft in plan.grafts)
    info, taken = archive.dist_info, TakenNames(member.name for member in archive.members)
    licences = licenses.find_licences(grafts, sysroot, info, taken) if goal.licences else ()
    provenance = Provenance(
        sbom=taken.claim(f"{info}/{sbom.FOLDER}/deloc8", ".cdx.json") if goal.sbom else None,
        licences=licences,
        licence_fields=tuple(file.member.removeprefix(f"{info}/{licenses.FOLDER}/") for file in licences)
        if licenses.knows_licence_files(_metadata(archive))
        else (),
    )
    notes = (*plan.notes, *split_notes(facts, sources, outside, owners), *_unknown(grafts))
    return replace(plan, grafts=grafts, provenance=provenance, notes=notes)


def _unknown(grafts: tuple[Graft, ...]) -> Iterator[Diagnostic]:
    unknown = [graft for graft in grafts if not graft.owner.is_known]
    if unknown:
        yield Diagnostic(
            code="unknown-package",
            severity=Severity.NOTE,
            subject=unknown[0].source,
            message="belongs to no known package"
            if len(unknown) == 1
            else f"this and {len(unknown) - 1} more grafted libraries belong to no known package",
            context=tuple(f"{graft.source}: {graft.owner.reason}" for graft in unknown),
            hints=("add what is known of them and their licences to the project's own metadata",),
        )


def _metadata(archive: WheelArchive) -> bytes:
    return bytes(archive.read(archive.member(f"{archive.dist_info}/METADATA")))


def provenance_problems(plan: Plan, source: WheelArchive, written: WheelArchive) -> Iterator[str]:
    """Evidence that a wheel lacks planned records of its grafts, or has METADATA changed elsewhere."""
    provenance = plan.provenance
    yield from licenses.licence_field_problems(_metadata(source), _metadata(written), provenance.licence_fields)
    for file in provenance.licences:
        if sha256(written.read(written.member(file.member))).hexdigest() != file.sha256:
            yield f"{file.member} is not what {file.source} is"
    if provenance.sbom is not None:
        yield from sbom.sbom_problems(bytes(written.read(written.member(provenance.sbom))), plan)
