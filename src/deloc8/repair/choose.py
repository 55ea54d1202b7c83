"""Which policy a repair aims at, and why another one cannot be reached."""

from __future__ import annotations

import posixpath

from deloc8.audit.advice import advice_for_repair, is_of_cxx_runtime
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.audit.verdict import Truth, find_tag, judge_again, plain_lie
from deloc8.audit.violations import ViolationCode, describe
from deloc8.errors import UnrepairableError, UsageError
from deloc8.loader.search import Result, Stage
from deloc8.patterns import pattern
from deloc8.policy.model import version_key
from deloc8.repair.lowering.choose import NO_LOWERING, Lowering, is_lowerable, lower, lowered_facts
from deloc8.repair.model import AUTO
from deloc8.repair.provenance.databases.missing import where_it_comes_from
from deloc8.repair.wholes import ways_by_grafting
from deloc8.target import Libc, parse_platform_tag
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.match import Closure, PolicyMatch
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.audit.violations import Violation
    from deloc8.loader.search import Attempt
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.repair.model import Goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Aim of a repair.

    Attributes:
        audit: The verdict on the wheel; where symbols are lowered, as they will be.
        match: The policy to reach.
        lowering: The symbols that are bound to older versions of glibc.
    """

    audit: Audit
    match: PolicyMatch
    lowering: Lowering = NO_LOWERING


def choose(audit: Audit, goal: Goal, sysroot: Sysroot) -> Aim:
    """Choose the aim of the repair.

    Of the policies that can be reached, ``auto`` takes those with the fewest grafts, and of these the best; for an
    Android wheel it takes the one of its tag.

    Args:
        audit: The verdict on the wheel.
        goal: What the user wants.
        sysroot: The system; its package database may know where a missing library comes from.

    Raises:
        UsageError: No policy has the required name, or nothing could be lowered for it.
        UnrepairableError: It, or any, cannot be reached; says why. Or the file name contradicts the compiled files, and
            no tag is required.
    """
    if goal.platform == AUTO:
        _refuse_contradiction(audit)
    match = _aim_at(audit, goal)
    aim = _lowered(audit, match, goal) if goal.lower_glibc else Aim(audit=audit, match=match)
    if not aim.match.is_reachable:
        raise unrepairable(audit, aim, goal, sysroot)
    if is_blind(match.policy, aim.match.closure):
        raise _no_runpath(audit, aim.match)
    return aim


def _aim_at(audit: Audit, goal: Goal) -> PolicyMatch:
    if goal.platform != AUTO:
        return audit.match(find_tag(audit, goal.platform))
    claimed = [tag for tag in audit.facts.name.platforms if tag.startswith("android_")]
    if audit.facts.libc is Libc.ANDROID and claimed:
        # The level is a promise of the build (PEP 738): nothing in the files tells it.
        return audit.match(find_tag(audit, claimed[0]))
    named = [match for match in audit.matches if match.policy.installable and not match.policy.is_unbounded]
    if not named:
        raise _no_policy(audit)
    reachable = [match for match in named if match.is_reachable and not is_blind(match.policy, match.closure)]
    return min(reachable, key=lambda match: len(match.closure.grafts), default=named[-1])


def _refuse_contradiction(audit: Audit) -> None:
    """Raise UnrepairableError where every tag of the name is for another machine, C library or system than the files.

    Which of the two is right only the user knows: perhaps the build picked up files of another build.
    """
    claims = audit.claims
    if any(claim.tag == "any" or not _is_about_other_files(audit, claim) for claim in claims):
        return
    facts = audit.facts
    arch = facts.arch.value if facts.arch else "no known machine"
    libc = facts.libc.value if facts.libc else "no known C library"
    best = audit.outlook.policy.tags[0]
    raise UnrepairableError(
        f"{facts.name.filename}: its name contradicts its compiled files",
        code="name-contradicts-files",
        context=(
            f"the name says {', '.join(claim.tag for claim in claims)}",
            f"the files are for {arch} and {libc}, such as `{facts.own[0].label}`",
        ),
        hints=(
            "build the wheel again if its files come from another build",
            f"if the files are right, name the tag: --plat {best}",
        ),
    )


def _is_about_other_files(audit: Audit, claim: Claim) -> bool:
    if claim.truth is Truth.NOT_JUDGED:
        return True
    parsed = parse_platform_tag(claim.tag)
    if parsed.arch is None:
        # Of a machine that the policies do not know nothing can be said.
        return False
    return bool(plain_lie(audit.facts, claim.tag))


def _lowered(audit: Audit, match: PolicyMatch, goal: Goal) -> Aim:
    """The aim once all symbols are bound to older versions that can be; those that cannot stay violations."""
    if goal.platform == AUTO:
        raise UsageError(
            "--lower-glibc lowers a wheel to the tag that --plat names, and none is named",
            code="lower-without-plat",
            hints=("name the tag, for example --plat manylinux_2_17_x86_64",),
        )
    if audit.facts.libc is not Libc.GLIBC:
        raise UsageError(
            f"--lower-glibc is about glibc; {audit.facts.name.filename} is bound to another C library",
            code="lower-without-glibc",
            hints=("leave the option out",),
        )
    lowering = lower(audit.facts, match, allow_differs=goal.allow_differs)
    after = judge_again(audit, lowered_facts(audit.facts, lowering))
    return Aim(audit=after, match=after.match(match.policy), lowering=lowering)


# bionic, android-changes-for-ndk-developers.md: "Support for runtime linker search paths".
_ANDROID_WITH_RUNPATH = 24
_ANDROID_NAME = pattern(r"android_([0-9]+)")


def is_blind(policy: Policy, closure: Closure) -> bool:
    """Whether a policy's loader reads no search paths, so that it would not find the grafts."""
    name = _ANDROID_NAME.fullmatch(policy.name)
    return bool(name and int(name[1]) < _ANDROID_WITH_RUNPATH and closure.grafts)


def _no_runpath(audit: Audit, match: PolicyMatch) -> UnrepairableError:
    wanted = match.policy.tags[0].replace(match.policy.name, f"android_{_ANDROID_WITH_RUNPATH}")
    return UnrepairableError(
        f"{audit.facts.name.filename}: the loader of {match.policy.name} would not find libraries in the wheel",
        code="no-runpath",
        context=(
            f"to be grafted: {', '.join(file.path for file in match.closure.grafts)}",
            f"DT_RUNPATH is read from API level {_ANDROID_WITH_RUNPATH} on, and DT_RPATH never",
        ),
        hints=(f"build for API level {_ANDROID_WITH_RUNPATH}, or raise the tag with --plat {wanted}",),
    )


def _no_policy(audit: Audit) -> UnrepairableError:
    tag = audit.best.policy.tags[0]
    return UnrepairableError(
        f"{audit.facts.name.filename}: there is no policy for its machine and C library",
        code="no-policy",
        context=(f"such wheels can only be {tag}",),
        hints=(f"to put libraries into it and keep that tag, pass --plat {tag} and name each of them with --graft",),
    )


def unrepairable(audit: Audit, aim: Aim, goal: Goal, sysroot: Sysroot) -> UnrepairableError:
    """The error that says why a policy cannot be reached: every violation that nothing cures."""
    blocking = [violation for violation in aim.match.violations if not violation.is_curable]
    tag = aim.match.policy.tags[0]
    by_file: dict[str, list[Violation]] = {}
    for violation in blocking:
        by_file.setdefault(violation.file, []).append(violation)
    subject = f"`{blocking[0].file}` does" if len(by_file) == 1 else f"{len(by_file)} files of the wheel do"
    about_lowering, ways_out = _about_lowering(audit, aim, goal)
    hints = [*ways_out, *ways_by_grafting(aim, goal), *map(advice_for_repair, blocking)]
    return UnrepairableError(
        f"{subject} not fit {tag}",
        code=blocking[0].code.value,
        context=[*_reasons_by_file(by_file, audit.facts), *_other_tags(audit), *about_lowering],
        hints=(*_sources(audit, blocking, sysroot), *dict.fromkeys(hints)),
    )


def _reasons_by_file(by_file: Mapping[str, Sequence[Violation]], facts: WheelFacts) -> Iterator[str]:
    """Violations of each file; indented below its name where several files have some.

    The name is there, too, where a library brought the file in.
    """
    are_several = len(by_file) > 1
    for violations in by_file.values():
        chain = violations[0].chain
        if are_several or len(chain) > 1:
            yield f"{' -> '.join(chain)}:"
        for line in _lines(violations, facts):
            yield f"  {line}" if are_several else line


def _other_tags(audit: Audit) -> Iterator[str]:
    """The tag that the wheel fits, and the best that a repair can reach."""
    yield f"the wheel as it stands fits {audit.best.policy.tags[0]}"
    for other in audit.matches:
        if other.is_reachable and other.policy.installable and not other.policy.is_unbounded:
            yield f"the best tag that fixup can reach is {other.policy.tags[0]}"
            return


def _about_lowering(audit: Audit, aim: Aim, goal: Goal) -> tuple[list[str], list[str]]:
    """Lines of context, and hints: what lowering could do for a wheel, or why it does not suffice."""
    if audit.facts.libc is not Libc.GLIBC:
        return [], []
    lowering = aim.lowering if goal.lower_glibc else lower(audit.facts, aim.match, allow_differs=False)
    if not lowering.all_rewrites and not lowering.refused:
        return [], []
    context = _reasons(lowering) if goal.lower_glibc else [_share(lowering)]
    hints = []
    if any(refusal.could_differ for refusal in lowering.refused):
        hints.append("admit symbols that behave a little differently with --allow differs")
    best = _best_lowered(audit, allow_differs=goal.allow_differs)
    if best:
        context.append(f"the best tag that --lower-glibc can reach is {best}")
        policy = aim.match.policy
        is_enough = policy.installable and not lowering.refused and _only_too_new(aim.match)
        tag = policy.tags[0] if is_enough else best
        hints.append(f"let deloc8 do so: fixup --plat {tag} --lower-glibc")
    return context, hints


def _reasons(lowering: Lowering) -> list[str]:
    """Why symbols cannot be lowered, each reason once."""
    reasons = []
    for refusal in lowering.refused:
        symbol, version = refusal.violation.symbol, refusal.violation.version
        name = f"{symbol}@{version}" if symbol else f"{version}"
        reasons.append(f"{name} cannot be lowered: {refusal.reason}")
    return list(dict.fromkeys(reasons))


def _share(lowering: Lowering) -> str:
    """How many of the symbols that are too new can be lowered."""
    symbols = {(row.symbol, row.version) for row in lowering.all_rewrites}
    others = {(row.violation.symbol or "", row.violation.version or "") for row in lowering.refused}
    return _how_many(len(symbols - others), len(symbols | others))


def _only_too_new(match: PolicyMatch) -> bool:
    """Whether lowering can cure all that no graft cures."""
    blocking = (violation for violation in match.violations if not violation.is_curable)
    return all(map(is_lowerable, blocking))


def _how_many(lowered: int, total: int) -> str:
    if total == 1:
        return f"the symbol of glibc that is too new can{'' if lowered else 'not'} be lowered"
    count = "none" if not lowered else str(lowered) if lowered < total else "all"
    return f"{count} of the {total} symbols of glibc that are too new can be lowered"


def _best_lowered(audit: Audit, *, allow_differs: bool) -> str | None:
    """The best tag that a wheel can have once it is lowered; None where lowering helps to none."""
    for match in audit.matches:
        blocking = [violation for violation in match.violations if not violation.is_curable]
        if not match.policy.installable or match.policy.is_unbounded or is_blind(match.policy, match.closure):
            continue
        if not blocking:
            return None
        if all(is_lowerable(violation) for violation in blocking):
            lowering = lower(audit.facts, match, allow_differs=allow_differs)
            if not lowering.refused:
                return match.policy.tags[0]
    return None


def _sources(audit: Audit, blocking: Sequence[Violation], sysroot: Sysroot) -> tuple[str, ...]:
    """Which packages usually have the libraries that were not found, a line each."""
    names = {
        violation.library
        for violation in blocking
        if violation.code is ViolationCode.LIBRARY_NOT_FOUND and violation.library
    }
    bits = audit.facts.arch.bits if audit.facts.arch else 64
    lines = (where_it_comes_from(name, sysroot, bits=bits) for name in sorted(names)[:_SOURCES_SHOWN])
    return tuple(line for line in lines if line)


def _lines(violations: Sequence[Violation], facts: WheelFacts) -> Iterator[str]:
    """Violations of one file, a line each; those of a missing library with the searched places."""
    missing = [violation for violation in violations if violation.code is ViolationCode.LIBRARY_NOT_FOUND]
    mangled = [violation for violation in violations if is_of_cxx_runtime(violation)]
    newest = sorted(mangled, key=lambda violation: version_key(violation.version or ""))[-_MANGLED_SHOWN:]
    passed_over = [*missing, *(violation for violation in mangled if violation not in newest)]
    yield from describe(violation for violation in violations if violation not in passed_over)
    if len(mangled) > len(newest):
        yield f"  and {len(mangled) - len(newest)} more of {newest[0].library}"
    for violation in missing:
        yield from describe((violation,))
        tried = _tried(violation, facts)
        if tried:
            yield f"  tried: {', '.join(tried)}"


# One is enough to bar a tag, and few can read them.
_MANGLED_SHOWN = 4
_SOURCES_SHOWN = 20  # each is looked for in all lists of the system's packages

_TRIED_SHOWN = 8
_PASSED_OVER = frozenset({Result.NOT_ELF, Result.OTHER_MACHINE, Result.OTHER_LIBC, Result.UNREADABLE})


def _tried(violation: Violation, facts: WheelFacts) -> tuple[str, ...]:
    path = next(file.path for file in facts.files.values() if file.label == violation.file)
    lookup = next(row.lookup for row in facts.dependencies[path] if row.name == violation.library)
    # What was there and was passed over comes first: it is most likely what the user means.
    tried = sorted(lookup.tried, key=lambda attempt: attempt.result not in _PASSED_OVER)
    folders = tuple(dict.fromkeys(_place(attempt) for attempt in tried))
    more = len(folders) - _TRIED_SHOWN
    return folders if more <= 0 else (*folders[:_TRIED_SHOWN], f"and {more} more folders")


def _place(attempt: Attempt) -> str:
    """Where an attempt looked, as the user knows it."""
    if attempt.result in _PASSED_OVER:
        reason = f": {attempt.reason}" if attempt.result is Result.UNREADABLE and attempt.reason else ""
        return f"{attempt.path} ({attempt.result.value}{reason})"
    if attempt.origin.stage is Stage.CACHE:
        return attempt.path
    folder = posixpath.dirname(attempt.path) or attempt.path
    if not f"{folder}/".startswith(VIRTUAL_ROOT + "/"):
        return folder
    inside = posixpath.relpath(folder, SITE_PACKAGES)
    if inside == ".":
        return "the wheel's own top folder"
    if not inside.startswith("../"):
        return f"the wheel's own {inside}"
    return f"<environment>{posixpath.normpath(folder)[len(VIRTUAL_ROOT) :]}"
