"""Which policy a repair aims at, and why another one cannot be reached."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from deloc8.audit.facts import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.audit.match import ViolationCode, describe
from deloc8.audit.verdict import find_tag
from deloc8.errors import UnrepairableError
from deloc8.loader.search import Result, Stage
from deloc8.repair.model import AUTO
from deloc8.repair.packagedb.missing import where_it_comes_from
from deloc8.target import Libc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.match import Closure, PolicyMatch, Violation
    from deloc8.audit.verdict import Audit
    from deloc8.loader.search import Attempt
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.repair.model import Goal


def choose(audit: Audit, goal: Goal, sysroot: Sysroot) -> PolicyMatch:
    """The policy that the repair aims at.

    Of the policies that can be reached, ``auto`` takes those with the fewest grafts, and of these the best; for an
    Android wheel it takes the one of its tag.

    Args:
        audit: The verdict on the wheel.
        goal: What the user wants.
        sysroot: The system; its package database may know where a missing library comes from.

    Raises:
        UsageError: No policy has the name that is asked for.
        UnrepairableError: It, or any, cannot be reached; says why.
    """
    claimed = [tag for tag in audit.facts.name.platforms if tag.startswith("android_")]
    if goal.platform == AUTO and audit.facts.libc is Libc.ANDROID and claimed:
        # The level is a promise of the build (PEP 738): nothing in the files tells it.
        match = audit.match(find_tag(audit, claimed[0]))
    elif goal.platform == AUTO:
        named = [match for match in audit.matches if match.policy.installable and not match.policy.is_unbounded]
        reachable = [match for match in named if match.is_reachable and not is_blind(match.policy, match.closure)]
        if reachable:
            return min(reachable, key=lambda match: len(match.closure.grafts))
        if not named:
            raise _no_policy(audit)
        match = named[-1]
    else:
        match = audit.match(find_tag(audit, goal.platform))
    if not match.is_reachable:
        raise unrepairable(audit, match, sysroot)
    if is_blind(match.policy, match.closure):
        raise _no_runpath(audit, match)
    return match


# bionic, android-changes-for-ndk-developers.md: "Support for runtime linker search paths".
_ANDROID_WITH_RUNPATH = 24
_ANDROID_NAME = re.compile(r"android_([0-9]+)")


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


def unrepairable(audit: Audit, match: PolicyMatch, sysroot: Sysroot) -> UnrepairableError:
    """The error that says why a policy cannot be reached: every violation that no graft cures."""
    blocking = [violation for violation in match.violations if not violation.is_curable]
    tag = match.policy.tags[0]
    reachable = [
        other.policy.tags[0]
        for other in audit.matches
        if other.is_reachable and other.policy.installable and not other.policy.is_unbounded
    ]
    by_file: dict[str, list[Violation]] = {}
    for violation in blocking:
        by_file.setdefault(violation.file, []).append(violation)
    subject = f"`{blocking[0].file}` does" if len(by_file) == 1 else f"{len(by_file)} files of the wheel do"
    context = []
    for file, violations in by_file.items():
        if len(by_file) > 1 or len(violations[0].chain) > 1:
            context.append(f"{' -> '.join(violations[0].chain)}:" if len(violations[0].chain) > 1 else f"{file}:")
        context += [f"  {line}" if len(by_file) > 1 else line for line in _lines(violations, audit.facts)]
    context.append(f"the wheel as it stands fits {audit.best.policy.tags[0]}")
    if reachable:
        context.append(f"the best tag that fixup can reach is {reachable[0]}")
    hints = (_HINTS[violation.code].format(policy=violation.policy) for violation in blocking)
    return UnrepairableError(
        f"{subject} not fit {tag}",
        code=blocking[0].code.value,
        context=context,
        hints=(*_sources(audit, blocking, sysroot), *dict.fromkeys(hints)),
    )


def _sources(audit: Audit, blocking: Sequence[Violation], sysroot: Sysroot) -> tuple[str, ...]:
    """Which packages usually have the libraries that were not found, a line each."""
    names = {
        violation.library
        for violation in blocking
        if violation.code is ViolationCode.LIBRARY_NOT_FOUND and violation.library
    }
    bits = audit.facts.arch.bits if audit.facts.arch else 64
    lines = (where_it_comes_from(name, sysroot, bits=bits) for name in sorted(names))
    return tuple(line for line in lines if line)


def _lines(violations: Sequence[Violation], facts: WheelFacts) -> tuple[str, ...]:
    """What one file does, a line each; for a library that was not found, where it was looked for."""
    missing = [violation for violation in violations if violation.code is ViolationCode.LIBRARY_NOT_FOUND]
    lines = list(describe(violation for violation in violations if violation not in missing))
    for violation in missing:
        lines += describe((violation,))
        tried = _tried(violation, facts)
        if tried:
            lines.append(f"  tried: {', '.join(tried)}")
    return tuple(lines)


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
    if folder == VIRTUAL_ROOT or folder.startswith(VIRTUAL_ROOT + "/"):
        inside = posixpath.relpath(folder, SITE_PACKAGES)
        return "the wheel's own top folder" if inside == "." else f"the wheel's own {inside}"
    return folder


_HINTS = {
    ViolationCode.SYMBOL_TOO_NEW: "build on an older distribution, for example in a {policy} image",
    ViolationCode.LIBRARY_NOT_FOUND: (
        "install the library, or name its folder with --add-path or LD_LIBRARY_PATH; if it is meant to come from "
        "elsewhere, leave it out with --exclude"
    ),
    ViolationCode.FORBIDDEN_SYMBOL: (
        "the symbol is private to some builds of that library: link the library statically, or graft it with --graft"
    ),
    ViolationCode.ISA_LEVEL: (
        "build for the baseline (no -march above x86-64), or, if the code checks the processor itself before it uses "
        "the instructions, pass --disable-isa-ext-check"
    ),
    ViolationCode.UCS2: "build with a wide-unicode (UCS4) Python",
    ViolationCode.PYFPE: "build with a Python that was not configured with fpectl",
}
