"""The first half of the line, which `show` walks: open, read, resolve, gather, judge."""

from __future__ import annotations

from deloc8.audit.facts import gather
from deloc8.audit.images import Reading
from deloc8.audit.match import MatchOptions
from deloc8.audit.verdict import Audit, judge
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from deloc8.paths import file_name
from deloc8.policy.files import read_policy_files
from deloc8.values import dataclass, replace
from deloc8.wheel.archive import ArchiveLimits, open_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.audit.forest import Forest
    from deloc8.audit.images import Look
    from deloc8.dlopen.python_files import Sources
    from deloc8.paths import StrPath
    from deloc8.policy.files import PolicyText
    from deloc8.policy.model import Policy
    from deloc8.wheel.archive import WheelArchive


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
        check_isa: Whether a processor level above the baseline blocks a policy.
        keep_executable_stack: Whether libraries may require an executable stack, and keep it.
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
        """Options of the search for libraries."""
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
        """Options of the match with the policies."""
        return MatchOptions(
            exclude=self.exclude,
            graft=self.graft,
            check_isa=self.check_isa,
            keep_executable_stack=self.keep_executable_stack,
        )


DEFAULTS = AuditOptions()
"""A wheel looked at on this machine, with nothing left out."""


def audit_wheel(path: StrPath, options: AuditOptions = DEFAULTS) -> Audit:
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
        audit, _ = audit_archive(archive, options.system, options)
        archive.refuse_change()
    if audit.may_split:
        from deloc8.repair.splits import find_splits  # noqa: PLC0415  many wheels need no library but the C library

        audit = replace(audit, splits=find_splits(audit, options.system))
    return audit


def dependency_forest(path: StrPath, options: AuditOptions = DEFAULTS) -> Forest:
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


def audit_archive(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, look: Look | None = None
) -> tuple[Audit, tuple[Policy, ...]]:
    """The verdict, with what the wheel opens at run time."""
    reading = replace(reading_of(options), look=look)
    if not options.dlopen:
        return judge_archive(archive, sysroot, options, reading)
    from deloc8.dlopen.python_files import read_sources  # noqa: PLC0415  only where it is asked for

    # First, for then the first bytes of the same files need not be read.
    sources = read_sources(archive, look)
    audit, extra = judge_archive(archive, sysroot, options, replace(reading, others=sources.harmless))
    return add_openings(sources, audit, sysroot, options), extra


def judge_archive(
    archive: WheelArchive, sysroot: Sysroot, options: AuditOptions, reading: Reading
) -> tuple[Audit, tuple[Policy, ...]]:
    """The verdict without what the wheel opens at run time, and the policies of the user's files."""
    facts = gather(archive, sysroot, options.search, include=options.include, reading=reading)
    extra = read_policy_files(options.policy_files, facts.arch) if facts.arch else ()
    return judge(facts, extra, options.match), extra


def add_openings(sources: Sources, audit: Audit, sysroot: Sysroot, options: AuditOptions) -> Audit:
    """The verdict with what the wheel opens at run time."""
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


def reading_of(options: AuditOptions) -> Reading:
    """How the members of a wheel are read."""
    return Reading(threads=options.threads, mentions=options.dlopen)
