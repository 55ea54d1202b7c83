"""Notices for a packager of what no policy forbids."""

from __future__ import annotations

from deloc8.audit.facts import REQUEST
from deloc8.audit.loading import HEAP_INSTEAD, stack_faults
from deloc8.audit.match import Provision, close, is_named
from deloc8.audit.violations import ViolationCode
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.read.dynamic import LinkKind
from deloc8.policy.load import MINIMAL_SYSTEM_LACKS
from deloc8.policy.model import Family, split_version
from deloc8.policy.releases import PROJECTS
from deloc8.text import quoted
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.facts import Dependency, ElfFile, WheelFacts
    from deloc8.audit.match import Closure, PolicyMatch
    from deloc8.audit.rivals import Rival
    from deloc8.audit.verdict import Audit

# musl has no symbol versions. These functions came after 1.2.0, which is all that musllinux_1_2 promises
# (musl's WHATSNEW); the first release with each.
_MUSL_SINCE = {
    "gettid": (1, 2, 2),
    "reallocarray": (1, 2, 2),
    "pthread_getname_np": (1, 2, 3),
    "qsort_r": (1, 2, 3),
    "preadv2": (1, 2, 5),
    "pwritev2": (1, 2, 5),
    "statx": (1, 2, 5),
}
_MUSL_WITH_RELR = (1, 2, 4)
_UNSEARCHED_TOLD = 10


def notices(audit: Audit, match: PolicyMatch) -> tuple[Diagnostic, ...]:
    """The notices on a wheel that fits, or is brought to fit, one policy.

    Args:
        audit: The verdict on the wheel.
        match: The wheel against that policy.
    """
    return (
        *files_left_alone(audit),
        *_differing(audit),
        *_without_base(audit),
        *_lacking(audit, match),
        *_optional(audit, match),
        *_without_ceiling(audit, match),
        *(_newer_musl(match) if match.policy.family is Family.MUSLLINUX else ()),
        *_stacks(audit, match),
        *_unsearched(audit),
        *_exclusions(audit, match),
        *audit.splits,
    )


def files_left_alone(audit: Audit) -> Iterator[Diagnostic]:
    """The compiled files that are no part of the program; a wheel of pure Python may have some, too."""
    for file in audit.facts.foreign:
        message = f"was not looked at and is left alone: it {file.reason}"
        if file.is_damaged:
            message = "is a damaged compiled file and is left alone, as no loader would take it"
        yield Diagnostic(
            code="damaged-file" if file.is_damaged else "foreign-file",
            severity=Severity.WARNING,
            subject=file.member,
            message=message,
            context=(file.reason,) if file.is_damaged else (),
            hints=("build the wheel again if it is not meant to be damaged",) if file.is_damaged else (),
        )


def _differing(audit: Audit) -> Iterator[Diagnostic]:
    """Libraries of the wheel that differ from the copies that search paths of its files lead to."""
    by_member: dict[str, list[Rival]] = {}
    for rival in audit.facts.rivals:
        by_member.setdefault(rival.member, []).append(rival)
    for member, rivals in by_member.items():
        paths = ", ".join(rival.path for rival in rivals)
        which = "which has" if len(rivals) == 1 else "which have"
        yield Diagnostic(
            code="own-library-differs",
            severity=Severity.WARNING,
            subject=member,
            message=f"is used in place of {paths}, {which} other contents",
            context=tuple(_how_found(audit, rival) for rival in rivals),
            hints=(
                "a process has one library of a name: put the one into the wheel that its files were linked with",
                "or take it out of the wheel, and `deloc8 fixup` copies the other one in",
            ),
        )


def _how_found(audit: Audit, rival: Rival) -> str:
    if rival.asker == REQUEST:
        return f"--include leads to {rival.path}"
    return f"{audit.facts.files[rival.asker].label}: {rival.origin} leads to {rival.path}"


def _without_base(audit: Audit) -> Iterator[Diagnostic]:
    """Libraries for newer processors of which all others get none."""
    facts = audit.facts
    # It can be in another folder of the same search path.
    names = {file.path.rpartition("/")[2] for file in facts.own if file.path not in facts.variants}
    for file in facts.own:
        variant = facts.variants.get(file.path)
        if variant and variant.base.rpartition("/")[2] not in names:
            yield Diagnostic(
                code="no-baseline-library",
                severity=Severity.WARNING,
                subject=file.label,
                message=f"is for processors of level {variant.level}, and the wheel has none of its name for others",
                context=("older processors, and glibc before 2.33, do not look into the folder",),
                hints=("put a build for the baseline beside glibc-hwcaps, under the same name",),
            )


def _lacking(audit: Audit, match: PolicyMatch) -> Iterator[Diagnostic]:
    """Libraries that the policy takes from the system although a minimal one does not have them."""
    users: dict[str, tuple[str, ...]] = {}
    for file in match.closure.files:
        for name in file.image.linked:
            taken = match.closure.provisions.get((file.path, name)) is Provision.SYSTEM
            if taken and name in MINIMAL_SYSTEM_LACKS:
                users.setdefault(name, match.closure.chain(file, audit.facts))
    if users:
        from deloc8.audit.together import graft_options, whole_project  # noqa: PLC0415  few wheels need it
    for name in sorted(users):
        # Those of its project must come into the wheel with it.
        names = whole_project(audit.facts, PROJECTS.get(name, "")) or (name,)
        yield Diagnostic(
            code="minimal-system-lacks",
            severity=Severity.WARNING,
            subject=name,
            message="the policy takes it from the system, but a minimal installation does not have it",
            context=(f"needed by {' -> '.join(users[name])}",),
            hints=(f"to put it into the wheel, pass {graft_options(names)}",),
        )


def _optional(audit: Audit, match: PolicyMatch) -> Iterator[Diagnostic]:
    """Libraries that ld.so loads where they are there, and that are not: without a word, a file does something else."""
    for file in match.closure.files:
        for row in audit.facts.dependencies.get(file.path, ()):
            if match.closure.provisions[file.path, row.name] is Provision.OPTIONAL:
                yield Diagnostic(
                    code="optional-library-missing",
                    severity=Severity.WARNING,
                    subject=file.label,
                    message=f"{_ROLES[row.kind].format(row.name)}; it is neither in the wheel nor found on this system",
                    context=("the loader goes on without it",),
                    hints=(f"name its folder with --add-path, or leave it out with --exclude {quoted(row.name)}",),
                )


_ROLES = {
    LinkKind.AUXILIARY: "prefers the definitions of {} (DT_AUXILIARY)",
    LinkKind.AUDIT: "is watched by {} (DT_AUDIT)",
    LinkKind.DEPAUDIT: "is watched by {} (DT_DEPAUDIT)",
}


def _without_ceiling(audit: Audit, match: PolicyMatch) -> Iterator[Diagnostic]:
    """Versions of system libraries that no policy knows a ceiling for: nobody promises that they are there."""
    if match.policy.is_unbounded:
        return
    seen = set()
    for file in match.closure.files:
        for wanted in file.wanted:
            namespace, number = split_version(wanted.version)
            taken = match.closure.provisions.get((file.path, wanted.library)) is Provision.SYSTEM
            if not taken or not number or namespace in match.policy.ceilings or (wanted.library, namespace) in seen:
                continue
            seen.add((wanted.library, namespace))
            yield Diagnostic(
                code="version-without-ceiling",
                severity=Severity.WARNING,
                subject=wanted.library,
                message=f"no policy says how far its versions {namespace}_... may go",
                context=(f"{wanted.version} is needed by {' -> '.join(match.closure.chain(file, audit.facts))}",),
                hints=(f"to depend on no system's build of it, pass --graft {quoted(wanted.library)}",),
            )


def _newer_musl(match: PolicyMatch) -> Iterator[Diagnostic]:
    """Files that need a musl newer than the first release of the series that the tag names."""
    for file in match.closure.files:
        reasons = musl_needs(file)
        if not reasons:
            continue
        newest = max(reasons.values())
        release = ".".join(map(str, newest))
        yield Diagnostic(
            code="newer-musl",
            severity=Severity.WARNING,
            subject=file.label,
            message=f"needs musl {release}, which is more than {match.policy.name} promises",
            context=tuple(f"{what} came with musl {'.'.join(map(str, since))}" for what, since in reasons.items()),
            hints=("build on an older Alpine, and link without -Wl,-z,pack-relative-relocs",),
        )


def _stacks(audit: Audit, match: PolicyMatch) -> Iterator[Diagnostic]:
    """Libraries that ask for an executable stack, of the wheel and of the grafts."""
    faults = stack_faults(audit.facts)
    way_out = "`deloc8 fixup` clears it"
    if audit.options.keep_executable_stack:
        way_out = "without --keep-executable-stack, `deloc8 fixup` clears it"
    for file in match.closure.files:
        code = faults.get(file.path)
        if code is None:
            continue
        notice = Diagnostic(
            code=code.value,
            severity=Severity.WARNING,
            subject=file.label,
            message="asks for an executable stack; glibc 2.41 and newer refuse to load it",
            hints=(way_out,),
        )
        if code is ViolationCode.EXECUTED_STACK:
            context = ("its code runs there (functions inside functions, of C)",)
            notice = replace(notice, code="executable-stack", context=context, hints=(HEAP_INSTEAD,))
        yield notice


def musl_needs(file: ElfFile) -> dict[str, tuple[int, ...]]:
    """Features of musl that a file uses and the first release of 1.2 lacked.

    Each has the release that brought it.
    """
    reasons: dict[str, tuple[int, ...]] = {
        symbol.name: _MUSL_SINCE[symbol.name]
        for symbol in file.image.undefined
        if not symbol.weak and symbol.version is None and symbol.name in _MUSL_SINCE
    }
    if file.image.dynamic and file.image.dynamic.has_relr:
        reasons["DT_RELR"] = _MUSL_WITH_RELR
    return reasons


def _unsearched(audit: Audit) -> Iterator[Diagnostic]:
    """Warnings of what the search for openings left out; of many such files only some are named."""
    for number, row in enumerate(audit.unsearched[:_UNSEARCHED_TOLD], 1):
        context = [row.reason]
        behind = len(audit.unsearched) - number
        if number == _UNSEARCHED_TOLD and behind:
            context.append(f"so {'was' if behind == 1 else 'were'} {behind:,} more")
        yield Diagnostic(
            code="search-incomplete",
            severity=Severity.WARNING,
            subject=row.place,
            message="was not searched, or not to its end, for libraries that are opened at run time",
            context=tuple(context),
            hints=("look there yourself; `deloc8 fixup --include` copies in what it opens",),
        )


def _exclusions(audit: Audit, match: PolicyMatch) -> Iterator[Diagnostic]:
    """A warning for each glob that left nothing out, and the libraries that only an excluded one needs."""
    facts, exclude = audit.facts, audit.options.exclude
    if not exclude:
        return
    without = close(facts, match.policy, replace(audit.options, exclude=()))
    rows = list(_needed_outside(facts, match, without))
    for glob in exclude:
        if not any(is_named(row, (glob,)) for row in rows):
            yield Diagnostic(
                code="exclude-without-match",
                severity=Severity.WARNING,
                subject=glob,
                message="--exclude matched no library that the wheel needs",
                hints=("check the spelling: the glob is compared with needed names and with paths",),
            )
    kept = {file.path for file in match.closure.grafts}
    kept.update(row.target for row in rows if row.target is not None and is_named(row, exclude))
    for file in without.grafts:
        if file.path not in kept:
            yield Diagnostic(
                code="left-out-with-excluded",
                severity=Severity.WARNING,
                subject=file.path,
                message="is not grafted, because only an excluded library needs it",
            )


def _needed_outside(facts: WheelFacts, match: PolicyMatch, closure: Closure) -> Iterator[Dependency]:
    """Dependencies of the files of a closure that are not in the wheel itself."""
    # The generic policy takes every library from the system, and what that needs is not followed.
    files = facts.files.values() if match.policy.is_unbounded else closure.files
    for file in files:
        for row in facts.dependencies.get(file.path, ()):
            if closure.provisions.get((file.path, row.name)) is not Provision.INSIDE:
                yield row
