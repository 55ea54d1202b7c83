"""The second half of the line, which `fixup` walks: decide, do, prove."""

from __future__ import annotations

from pathlib import Path

from deloc8.audit.facts import gather
from deloc8.audit.notices import files_left_alone
from deloc8.audit.vendor import vendor_folders
from deloc8.dlopen.openings import Confidence
from deloc8.dlopen.python_files import read_sources
from deloc8.errors import PureWheelError, UsageError
from deloc8.paths import file_name
from deloc8.repair.choose import choose
from deloc8.repair.execute import Source, execute, rehearse
from deloc8.repair.foreseen import Contents, add_foreseen
from deloc8.repair.grafting import check_compat, fingerprint
from deloc8.repair.known import Known
from deloc8.repair.lowering.choose import check_edits
from deloc8.repair.model import Outcome
from deloc8.repair.payloads import check_payloads
from deloc8.repair.plan import make_plan
from deloc8.repair.provenance.add import add_provenance
from deloc8.repair.requested import expand, is_pattern, names_to_open, refuse_host_libraries
from deloc8.repair.unmended import add_unmended
from deloc8.repair.verify import Claim, verify
from deloc8.values import replace
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.codec import encoder_name
from deloc8.wheel.record import read_record
from deloc8.wheel.staging import copy, is_same, stage
from deloc8.workflow.audit import DEFAULTS, add_openings, audit_archive, judge_archive, reading_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.audit.images import Look
    from deloc8.audit.verdict import Audit
    from deloc8.loader.sysroot import Sysroot
    from deloc8.paths import StrPath
    from deloc8.policy.model import Policy
    from deloc8.repair.model import Goal, Plan
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.writer import WriteOptions
    from deloc8.workflow.audit import AuditOptions


def plan_repair(path: StrPath, goal: Goal, options: AuditOptions = DEFAULTS) -> Plan:
    """Plan of what `repair_wheel` would do: edits and strips are tried, but no wheel is written.

    >>> plan = plan_repair(wheel, Goal(), AuditOptions(sysroot=root))
    >>> [graft.source for graft in plan.grafts]
    ['/usr/lib/libfoo.so.1']

    Raises:
        InputError: The wheel, a policy file or a library is not sound; PureWheelError where there is nothing to do.
        UnrepairableError: The goal cannot be reached.
        UsageError: The goal names no policy, or two libraries would have one name.
    """
    with open_wheel(path, options.limits) as archive:
        sysroot = options.system
        audit, _ = _audit_for_repair(archive, sysroot, options)
        known = Known.of(archive)
        plan = _plan(audit, goal, archive, sysroot, known)
        plan = rehearse(plan, Source(archive=archive, sysroot=sysroot, known=known))
        archive.refuse_change()
        return plan


def repair_wheel(
    path: StrPath, folder: StrPath, goal: Goal, writing: WriteOptions, options: AuditOptions = DEFAULTS
) -> Outcome:
    """The repaired wheel, proven, in a folder that is made where it is missing.

    It appears whole or not at all: it is written beside its place, read again, proven, and renamed.

    >>> outcome = repair_wheel(wheel, folder, Goal(), WriteOptions(), AuditOptions(sysroot=root))
    >>> outcome.path.parent == folder, outcome.proof.problems
    (True, ())

    Raises:
        InputError: The wheel, a policy file or a library is not sound, or the folder cannot be written to.
        UnrepairableError: The goal cannot be reached.
        UsageError: The goal names no policy, two libraries would have one name, or the result would replace the wheel.
        VerificationError: The result failed its proof and was not kept.
    """
    with open_wheel(path, options.limits) as archive:
        sysroot = options.system
        known = Known.of(archive)
        audit, extra = _audit_for_repair(archive, sysroot, options, known.look)
        plan = _plan(audit, goal, archive, sysroot, known)
        source = Source(archive=archive, sysroot=sysroot, known=known)
        claim = Claim(plan=plan, audit=audit, source=archive, sysroot=sysroot, extra=extra)
        return _write(source, claim, Path(folder), replace(writing, threads=options.threads))


def copy_wheel(path: StrPath, folder: StrPath, options: AuditOptions = DEFAULTS) -> Path:
    """A copy of a wheel that needs no repair, in a folder that is made where it is missing.

    In its own folder the wheel stays as it is.

    >>> copy_wheel(wheel, folder) == folder / wheel.name
    True

    Raises:
        WheelError: It is no sound wheel.
        UsageError: The folder cannot be written to.
        SystemFault: The machine refuses.
    """
    place = Path(folder, file_name(path))
    with open_wheel(path, options.limits) as archive:
        copy(archive, place)
    return place


def _audit_for_repair(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, look: Look | None = None
) -> tuple[Audit, tuple[Policy, ...]]:
    """The verdict with what the wheel opens at run time, and with the libraries on request."""
    if not options.include and not options.include_dlopened:
        return audit_archive(archive, sysroot, options, look)
    arch = None
    reading = replace(reading_of(options), look=look)
    if any(map(is_pattern, options.include)):
        facts = gather(archive, sysroot, options.search, reading=reading)
        arch = facts.arch
        reading = replace(reading, known={file.label: file.image for file in facts.own})
    include = expand(options.include, sysroot, options.search, arch)
    if not options.force:
        refuse_host_libraries(include)
    audit, extra = judge_archive(archive, sysroot, replace(options, include=include), reading)
    audit = add_openings(read_sources(archive, look), audit, sysroot, options)
    if options.include_dlopened:
        names = names_to_open(audit.openings or (), Confidence(options.include_dlopened), sysroot)
        include = (*include, *(name for name in names if name not in include))
        searched = audit
        reading = replace(reading, known={file.label: file.image for file in audit.facts.own})
        audit, extra = judge_archive(archive, sysroot, replace(options, include=include), reading)
        audit = replace(audit, openings=searched.openings, unsearched=searched.unsearched)
    return audit, extra


def _plan(audit: Audit, goal: Goal, archive: WheelArchive, sysroot: Sysroot, known: Known) -> Plan:
    """Decide: which libraries come in, which files are edited and how, which tags the result gets."""
    if audit.is_pure:
        raise PureWheelError(
            f"{audit.facts.name.filename} has no compiled files: there is nothing to repair",
            code="pure-wheel",
            notes=[f"{found.subject} {found.message}" for found in files_left_alone(audit)],
            hints=("to copy such wheels as they are, pass --allow-pure-python-wheel",),
        )
    if goal.strip and audit.facts.arch:
        from deloc8.repair.strip import find_strip  # noqa: PLC0415  it costs others 2 ms, and few want it

        find_strip(audit.facts.arch)
    aim = choose(audit, goal, sysroot)
    vendors = vendor_folders(audit.facts, audit.options.exclude, sysroot)
    plan = make_plan(aim, goal, fingerprint(aim.match.closure.grafts, sysroot), vendors)
    # It is written anew in any case; what was wrong with the old one is reported before.
    plan = replace(plan, notes=(*plan.notes, *read_record(archive).oddities))
    if plan.rewrites:
        check_edits(plan, archive, sysroot, known)
    check_payloads(plan, audit.facts, archive, sysroot, known)
    if plan.compat:
        check_compat(plan.compat, archive)
    plan = add_unmended(plan, aim, archive, known.read)
    plan = add_foreseen(plan, aim, Contents(archive=archive, read=known.read, sysroot=sysroot))
    return add_provenance(plan, goal, audit.facts, archive, sysroot)


def _write(source: Source, claim: Claim, folder: Path, writing: WriteOptions) -> Outcome:
    """Carry out a plan: execute, compare with the old RECORD, verify, and only then put the wheel into its place."""
    plan = claim.plan
    place = folder / plan.target.filename
    for path in (claim.source.path, *writing.spared):
        if is_same(place, path):
            which = "the wheel itself" if path == claim.source.path else f"the input `{path}`"
            raise UsageError(
                f"`{place}` is {which}: the result would replace it",
                code="target-is-source",
                hints=("give another folder with -w",),
            )
    with stage(place) as staged:
        written, notes = execute(plan, source, staged.path, writing)
        proof = verify(claim, staged.path, threads=writing.threads)
        size = staged.path.stat().st_size
        source.archive.refuse_change()
        staged.commit()
    return Outcome(
        path=staged.place,
        sha256=written.sha256,
        size=size,
        plan=replace(plan, notes=(*plan.notes, *notes)) if notes else plan,
        proof=proof,
        encoder=encoder_name(),
    )
