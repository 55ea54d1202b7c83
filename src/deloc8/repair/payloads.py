"""Whether a plan leaves the data that programs carry behind their ELF part where they find it."""

from __future__ import annotations

from deloc8.elf.edit.writer import check_payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.audit.facts import WheelFacts
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.known import Known
    from deloc8.repair.model import Plan
    from deloc8.wheel.archive import WheelArchive


def check_payloads(plan: Plan, facts: WheelFacts, archive: WheelArchive, sysroot: Sysroot, known: Known) -> None:
    """Raise ElfError where an edit would break a payload, before anything is written.

    What `--strip` does to a file is known only once it has run: `execute.rehearse` lets it.
    """
    own = {file.label: file.image for file in facts.own}
    for patch in plan.patches:
        if own[patch.member].has_payload and plan.strip is None:
            check_payload(known.read(archive, patch.member), patch.edits, patch.member)
    for graft in plan.grafts:
        if facts.files[graft.source].image.has_payload and plan.strip is None:
            check_payload(sysroot.read(graft.source), graft.edits, graft.source)
