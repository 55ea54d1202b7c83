"""The two lines of the design, `show` and `fixup`: the only module that knows all the stages."""

from __future__ import annotations

from deloc8.audit.facts import gather
from deloc8.audit.images import Reading
from deloc8.audit.match import MatchOptions
from deloc8.audit.verdict import Audit, judge
from deloc8.errors import InputError, PolicyError, PureWheelError, UsageError
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from deloc8.paths import file_name
from deloc8.policy.files import read_policy_files
from deloc8.values import dataclass, replace
from deloc8.wheel.archive import ArchiveLimits, open_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.forest import Forest
    from deloc8.audit.images import Look
    from deloc8.diagnostic import Diagnostic
    from deloc8.dlopen.python_files import Sources
    from deloc8.paths import StrPath
    from deloc8.policy.files import PolicyText
    from deloc8.policy.model import Policy
    from deloc8.repair.execute import Source
    from deloc8.repair.known import Known
    from deloc8.repair.model import Goal, Outcome, Plan
    from deloc8.repair.verify import Claim
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.writer import WriteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How a wheel is looked at.

    Attributes:
        sysroot: The root of the system whose libraries it needs.
        library_path: Folders searched as LD_LIBRARY_PATH is.
        environment_path: Those of this machine's LD_LIBRARY_PATH, searched after them; for Android they do not count.
        add_paths: Folders searched before everything else.
        only_paths: Folders searched instead of the system's own; None: the system's own.
        exclude: Globs of libraries that are left out, by needed name or by path.
        include: Libraries that are grafted though nothing needs them, by name, path or glob.
        include_dlopened: Which libraries that are opened at run time are grafted: ``declared`` ones, or ``called``
            ones too; empty for none.
        force: Whether even libraries of the machine's drivers are grafted on request.
        graft: Globs of libraries that are grafted although a policy takes them from the system.
        check_isa: Whether a processor level above the baseline bars a policy.
        keep_executable_stack: Whether libraries may ask for an executable stack, and keep it.
        dlopen: Whether the libraries are looked for that it opens at run time.
        policy_files: Policies of the user, in the shape of the built-in `linux_pybe1_core`.
        output: Device and inode of the file that a report goes to: it is an error to find it among what is read.
        threads: How many members are worked on at a time.
        limits: How large a wheel may be.
    """

    sysroot: StrPath = "/"
    library_path: tuple[str, ...] = ()
    environment_path: tuple[str, ...] = ()
    add_paths: tuple[str, ...] = ()
    only_paths: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    include_dlopened: str = ""
    force: bool = False
    graft: tuple[str, ...] = ()
    check_isa: bool = True
    keep_executable_stack: bool = False
    dlopen: bool = True
    policy_files: tuple[StrPath | PolicyText, ...] = ()
    output: tuple[int, int] | None = None
    threads: int = 1
    limits: ArchiveLimits = ArchiveLimits()

    @property
    def search(self) -> SearchOptions:
        """What of this concerns the search for libraries."""
        return SearchOptions(
            library_path=self.library_path,
            environment_path=self.environment_path,
            add_paths=self.add_paths,
            only_paths=self.only_paths,
        )

    @property
    def system(self) -> Sysroot:
        """A fresh look at the system."""
        return Sysroot(self.sysroot, self.output)

    @property
    def match(self) -> MatchOptions:
        """What of this concerns the policies."""
        return MatchOptions(
            exclude=self.exclude,
            graft=self.graft,
            check_isa=self.check_isa,
            keep_executable_stack=self.keep_executable_stack,
        )


_DEFAULTS = AuditOptions()


def audit_wheel(path: StrPath, options: AuditOptions = _DEFAULTS) -> Audit:
    """The verdict on a wheel.

    >>> audit = audit_wheel(wheel, AuditOptions(sysroot=root))
    >>> audit.best.policy.name
    'linux'
    >>> audit.outlook.policy.name
    'manylinux_2_5'

    Raises:
        WheelError: It is no sound wheel.
        ElfError: One of its ELF files is not sound.
        PolicyError: A policy file is not sound.
    """
    with open_wheel(path, options.limits) as archive:
        audit, _ = _audit_whole(archive, options.system, options)
        archive.refuse_change()
    if audit.may_split:
        from deloc8.repair.splits import find_splits  # noqa: PLC0415  many wheels need no library but the C library

        audit = replace(audit, splits=find_splits(audit, options.system))
    return audit


def check_wheel(path: StrPath, options: AuditOptions = _DEFAULTS) -> tuple[Diagnostic, ...]:
    """Every finding on a wheel; one that cannot be read is a finding too.

    >>> [finding.code for finding in check_wheel(wheel, AuditOptions(sysroot=root))]
    []

    Raises:
        PolicyError: A policy file is not sound.
    """
    from deloc8.checks.evidence import gather_evidence  # noqa: PLC0415  other commands do without these
    from deloc8.checks.table import as_finding, check_contents, run_checks  # noqa: PLC0415

    findings: tuple[Diagnostic, ...] = ()
    try:
        with open_wheel(path, options.limits) as archive:
            findings = check_contents(archive)
            sysroot = options.system
            audit, _ = _audit_whole(archive, sysroot, options)
            findings = (*findings, *run_checks(gather_evidence(archive, audit, sysroot)))
            archive.refuse_change()
            return findings
    except PolicyError:
        raise
    except InputError as error:
        return (*findings, as_finding(error, file_name(path)))


def dependency_forest(path: StrPath, options: AuditOptions = _DEFAULTS) -> Forest:
    """The dependency trees of a wheel, an ELF file or a folder.

    >>> forest = dependency_forest(wheel, AuditOptions(sysroot=root))
    >>> [row.name for row in forest.dependencies[forest.roots[0]]]
    ['libfoo.so.1', 'libc.so.6']

    Raises:
        InputError: It is none of these, or not a sound one.
    """
    from pathlib import Path  # noqa: PLC0415  other commands do without these

    from deloc8.audit.forest import forest_of_files, forest_of_wheel  # noqa: PLC0415

    if file_name(path).endswith(".whl"):
        return forest_of_wheel(audit_wheel(path, replace(options, dlopen=False)).facts)
    return forest_of_files(Path(path), Path(options.sysroot), options.search, options.output)


def plan_repair(path: StrPath, goal: Goal, options: AuditOptions = _DEFAULTS) -> Plan:
    """What `repair_wheel` would do: its edits, and strips, are tried, but no wheel is written.

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
        from deloc8.repair.known import Known  # noqa: PLC0415  `show` does without it

        known = Known.of(archive)
        plan = _plan(audit, goal, archive, sysroot, known)
        from deloc8.repair.execute import Source, rehearse  # noqa: PLC0415  not where the goal cannot be reached

        plan = rehearse(plan, Source(archive=archive, sysroot=sysroot, known=known))
        archive.refuse_change()
        return plan


def repair_wheel(
    path: StrPath, folder: StrPath, goal: Goal, writing: WriteOptions, options: AuditOptions = _DEFAULTS
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
        from pathlib import Path  # noqa: PLC0415  `show` does without these

        from deloc8.repair.known import Known  # noqa: PLC0415  the same

        known = Known.of(archive)
        audit, extra = _audit_for_repair(archive, sysroot, options, known.look)
        plan = _plan(audit, goal, archive, sysroot, known)
        from deloc8.repair.execute import Source  # noqa: PLC0415  not where the goal cannot be reached
        from deloc8.repair.verify import Claim  # noqa: PLC0415

        source = Source(archive=archive, sysroot=sysroot, known=known)
        claim = Claim(plan=plan, audit=audit, source=archive, sysroot=sysroot, extra=extra)
        return _write(source, claim, Path(folder), replace(writing, threads=options.threads))


def _reading(options: AuditOptions) -> Reading:
    return Reading(threads=options.threads, mentions=options.dlopen)


def _audit(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, reading: Reading
) -> tuple[Audit, tuple[Policy, ...]]:
    facts = gather(archive, sysroot, options.search, include=options.include, reading=reading)
    extra = read_policy_files(options.policy_files, facts.arch) if facts.arch else ()
    return judge(facts, extra, options.match), extra


def _audit_for_repair(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, look: Look | None = None
) -> tuple[Audit, tuple[Policy, ...]]:
    """The verdict with what the wheel opens at run time, and with the libraries on request."""
    if not options.include and not options.include_dlopened:
        return _audit_whole(archive, sysroot, options, look)
    from deloc8.dlopen.openings import Confidence  # noqa: PLC0415  only where it is asked for
    from deloc8.dlopen.python_files import read_sources  # noqa: PLC0415
    from deloc8.repair.requested import expand, is_pattern, names_to_open, refuse_host_libraries  # noqa: PLC0415

    arch = None
    reading = replace(_reading(options), look=look)
    if any(map(is_pattern, options.include)):
        facts = gather(archive, sysroot, options.search, reading=reading)
        arch = facts.arch
        reading = replace(reading, known={file.label: file.image for file in facts.own})
    include = expand(options.include, sysroot, options.search, arch)
    if not options.force:
        refuse_host_libraries(include)
    audit, extra = _audit(archive, sysroot, replace(options, include=include), reading)
    audit = _with_openings(read_sources(archive, look), audit, sysroot, options)
    if options.include_dlopened:
        names = names_to_open(audit.openings or (), Confidence(options.include_dlopened), sysroot)
        include = (*include, *(name for name in names if name not in include))
        searched = audit
        reading = replace(reading, known={file.label: file.image for file in audit.facts.own})
        audit, extra = _audit(archive, sysroot, replace(options, include=include), reading)
        audit = replace(audit, openings=searched.openings, unsearched=searched.unsearched)
    return audit, extra


def _audit_whole(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, look: Look | None = None
) -> tuple[Audit, tuple[Policy, ...]]:
    """The verdict, with what the wheel opens at run time."""
    reading = replace(_reading(options), look=look)
    if not options.dlopen:
        return _audit(archive, sysroot, options, reading)
    from deloc8.dlopen.python_files import read_sources  # noqa: PLC0415  only where it is asked for

    # First, for then nobody needs to look at the first bytes of the same files.
    sources = read_sources(archive, look)
    audit, extra = _audit(archive, sysroot, options, replace(reading, others=sources.harmless))
    return _with_openings(sources, audit, sysroot, options), extra


def _with_openings(sources: Sources, audit: Audit, sysroot: Sysroot, options: AuditOptions) -> Audit:
    if audit.is_pure:
        return audit
    from deloc8.dlopen.openings import find_openings  # noqa: PLC0415  only where it is asked for

    # The generic policy takes everything from the system: whose whitelist counts, the nearest named one says.
    named = [match for match in audit.matches if match.policy.installable and not match.policy.is_unbounded]
    match = named[-1] if named and audit.outlook.policy.is_unbounded else audit.outlook
    openings, unsearched = find_openings(sources, audit.facts, match, sysroot, options.search)
    if any(file.is_damaged for file in audit.facts.foreign):
        from deloc8.audit.left_alone import refuse_opened  # noqa: PLC0415  hardly any wheel has some

        refuse_opened(audit.facts.foreign, (name for opening in openings for name in opening.names))
    return replace(audit, openings=openings, unsearched=unsearched)


def _plan(audit: Audit, goal: Goal, archive: WheelArchive, sysroot: Sysroot, known: Known) -> Plan:
    from deloc8.audit.notices import files_left_alone  # noqa: PLC0415  `show` has it already
    from deloc8.audit.vendor import vendor_folders  # noqa: PLC0415  `show` does without these
    from deloc8.repair.choose import choose  # noqa: PLC0415
    from deloc8.repair.foreseen import Contents, add_foreseen  # noqa: PLC0415
    from deloc8.repair.grafting import check_compat, fingerprint  # noqa: PLC0415
    from deloc8.repair.payloads import check_payloads  # noqa: PLC0415
    from deloc8.repair.plan import make_plan  # noqa: PLC0415
    from deloc8.repair.provenance.add import add_provenance  # noqa: PLC0415
    from deloc8.repair.unmended import add_unmended  # noqa: PLC0415
    from deloc8.wheel.record import read_record  # noqa: PLC0415

    if audit.is_pure:
        raise PureWheelError(
            f"{audit.facts.name.filename} has no compiled files: there is nothing to repair",
            code="pure-wheel",
            notes=[f"{found.subject} {found.message}" for found in files_left_alone(audit)],
            hints=("to copy such wheels as they are, pass --allow-pure-python-wheel",),
        )
    if goal.strip and audit.facts.arch:
        from deloc8.repair.strip import find_strip  # noqa: PLC0415  only where it is asked for

        find_strip(audit.facts.arch)
    aim = choose(audit, goal, sysroot)
    vendors = vendor_folders(audit.facts, audit.options.exclude, sysroot)
    plan = make_plan(aim, goal, fingerprint(aim.match.closure.grafts, sysroot), vendors)
    # It is written anew in any case; what was wrong with the old one is told before.
    plan = replace(plan, notes=(*plan.notes, *read_record(archive).oddities))
    if plan.rewrites:
        from deloc8.repair.lowering.choose import check_edits  # noqa: PLC0415

        check_edits(plan, archive, sysroot, known)
    check_payloads(plan, audit.facts, archive, sysroot, known)
    if plan.compat:
        check_compat(plan.compat, archive)
    plan = add_unmended(plan, aim, archive, known.read)
    plan = add_foreseen(plan, aim, Contents(archive=archive, read=known.read, sysroot=sysroot))
    return add_provenance(plan, goal, audit.facts, archive, sysroot)


def _write(source: Source, claim: Claim, folder: Path, writing: WriteOptions) -> Outcome:
    """Carry out a plan: execute, compare with the old RECORD, verify, and only then put the wheel into its place."""
    from deloc8.repair.execute import execute  # noqa: PLC0415
    from deloc8.repair.model import Outcome  # noqa: PLC0415
    from deloc8.repair.verify import verify  # noqa: PLC0415
    from deloc8.wheel.codec import encoder_name  # noqa: PLC0415
    from deloc8.wheel.staging import is_same, stage  # noqa: PLC0415

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


def copy_wheel(path: StrPath, folder: StrPath, options: AuditOptions = _DEFAULTS) -> Path:
    """A copy of a wheel that needs no repair, in a folder that is made where it is missing.

    In its own folder the wheel stays as it is.

    >>> copy_wheel(wheel, folder) == folder / wheel.name
    True

    Raises:
        WheelError: It is no sound wheel.
        UsageError: The folder cannot be written to.
        SystemFault: The machine refuses.
    """
    from pathlib import Path  # noqa: PLC0415  only pure wheels are copied

    from deloc8.wheel.staging import copy  # noqa: PLC0415  the same

    place = Path(folder, file_name(path))
    with open_wheel(path, options.limits) as archive:
        copy(archive, place)
    return place
