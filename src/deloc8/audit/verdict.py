"""Facts against every policy: the best tag, what bars the better ones, and whether the wheel's own claims are true."""

from __future__ import annotations

import enum
from contextlib import suppress

from deloc8.audit.loading import STACK_CODES
from deloc8.audit.match import MatchOptions, PolicyMatch, Provision, match_policies
from deloc8.errors import UsageError
from deloc8.loader.libc import is_c_library, libc_of
from deloc8.policy.load import LAST_MINOR, builtin_policies, find_policy, manylinux_policy
from deloc8.policy.model import Family, number_key, split_version
from deloc8.target import Libc, parse_platform_tag
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.violations import Violation
    from deloc8.diagnostic import Diagnostic
    from deloc8.dlopen.budget import Unsearched
    from deloc8.dlopen.openings import Opening
    from deloc8.policy.model import Policy
    from deloc8.target import Arch


class Truth(enum.Enum):
    """Judgement of a claimed tag."""

    TRUE = "true"
    FALSE = "false"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One platform tag of the file name.

    Attributes:
        tag: The tag.
        truth: Whether the wheel keeps what it promises; tags of other systems are not judged.
        reason: Why it is false, or not judged, in one line.
        violations: What contradicts it.
    """

    tag: str
    truth: Truth
    reason: str = ""
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The verdict on a wheel.

    Attributes:
        facts: What it rests on.
        options: What the user wanted otherwise than the policies say.
        matches: The wheel against each policy, the best policy (the one that most machines satisfy) first.
        claims: The platform tags of the file name, judged.
        openings: What the wheel opens at run time; None where nobody looked.
        unsearched: What was not searched for these, or not to its end.
        splits: What is told of source packages of which the best reachable policy grafts a part only.
    """

    facts: WheelFacts
    options: MatchOptions
    matches: tuple[PolicyMatch, ...]
    claims: tuple[Claim, ...]
    openings: tuple[Opening, ...] | None = None
    unsearched: tuple[Unsearched, ...] = ()
    splits: tuple[Diagnostic, ...] = ()

    @property
    def is_pure(self) -> bool:
        """Whether there is nothing to judge: the wheel has no compiled file for a known machine."""
        return not self.matches

    @property
    def best(self) -> PolicyMatch:
        """The best installable policy that the wheel fits as it is; the generic `linux` fits always."""
        return next(match for match in self.matches if match.is_satisfied and match.policy.installable)

    @property
    def outlook(self) -> PolicyMatch:
        """The best installable policy that the wheel fits or `fixup` can bring it to."""
        named = (match for match in self.matches if match.policy.installable and match.is_reachable)
        return min(named, key=lambda match: match.policy.is_unbounded)

    @property
    def may_split(self) -> bool:
        """Whether the best reachable policy grafts libraries and leaves others outside, besides the C library.

        They may be of one source package; only the package database of the system knows.
        """
        if self.is_pure or not self.outlook.closure.grafts:
            return False
        outside = {Provision.SYSTEM, Provision.EXCLUDED}
        provisions = self.outlook.closure.provisions.items()
        return any(provision in outside and not is_c_library(name) for (_, name), provision in provisions)

    @property
    def better(self) -> tuple[PolicyMatch, ...]:
        """The policies that the wheel does not fit, the nearest first."""
        return tuple(reversed([match for match in self.matches if not match.is_satisfied]))

    def blocking(self, policy: Policy) -> tuple[Violation, ...]:
        """Violations that keep the wheel from a policy and that no graft can cure."""
        match = self.match(policy)
        return tuple(violation for violation in match.violations if not violation.is_curable)

    def match(self, policy: Policy) -> PolicyMatch:
        """The wheel against one policy; computed where it is not among the usual ones."""
        for match in self.matches:
            if match.policy.name == policy.name:
                return match
        return match_policies(self.facts, (policy,), self.options)[0]

    @property
    def false_claims(self) -> tuple[Claim, ...]:
        """The claimed tags that are not true."""
        return tuple(claim for claim in self.claims if claim.truth is Truth.FALSE)


def judge(facts: WheelFacts, extra: Sequence[Policy] = (), options: MatchOptions | None = None) -> Audit:
    """The verdict on a wheel.

    Args:
        facts: The facts of the wheel.
        extra: Policies of the user, tried before the generic `linux`.
        options: What the user wants otherwise than the policies say.
    """
    options = options or MatchOptions()
    if facts.arch is None:
        claims = tuple(Claim(tag=tag, truth=Truth.TRUE) for tag in facts.name.platforms)
        return Audit(facts=facts, options=options, matches=(), claims=claims)
    policies = policies_for(facts, extra)
    matches = match_policies(facts, policies, options)
    audit = Audit(facts=facts, options=options, matches=matches, claims=())
    claims = tuple(_judge_claim(audit, tag) for tag in facts.name.platforms)
    return Audit(facts=facts, options=options, matches=matches, claims=claims)


def judge_again(audit: Audit, facts: WheelFacts) -> Audit:
    """The verdict of the same policies on changed facts of the same wheel."""
    matches = match_policies(facts, [match.policy for match in audit.matches], audit.options)
    again = replace(audit, facts=facts, matches=matches, claims=(), splits=())
    claims = tuple(_judge_claim(again, claim.tag) for claim in audit.claims)
    return replace(again, claims=claims)


def policies_for(facts: WheelFacts, extra: Sequence[Policy] = ()) -> tuple[Policy, ...]:
    """The policies for a wheel's machine and C library, best first, the generic `linux` last.

    The table of policies ends at some glibc; a wheel that needs newer ones is measured against the tags of just those
    as well (PEP 600 defines manylinux_2_N for every N).
    """
    arch, libc = facts.arch, facts.libc
    if arch is None or libc is None:
        return ()
    *named, generic = (policy for policy in builtin_policies(arch, libc) if _can_be_told(policy, facts))
    if libc is Libc.GLIBC:
        newest = max(policy_minor(policy) for policy in named)
        place = next(number for number, policy in enumerate(named, 1) if policy_minor(policy) == newest)
        named[place:place] = [manylinux_policy(minor, arch) for minor in _newer_glibcs(facts, newest)]
    if libc is Libc.ANDROID:
        named = _claimed_levels(facts, named, arch) or named
    # A policy of the user comes last, unless it has the name of a built-in one: then it stands in for that one.
    own = {policy.name: policy for policy in extra}
    named = [own.pop(policy.name, policy) for policy in named]
    return (*named, *own.values(), generic)


def _claimed_levels(facts: WheelFacts, table: Sequence[Policy], arch: Arch) -> list[Policy]:
    """The Android levels that the wheel claims, as far as there are policies for them, the oldest first.

    The level is a promise of the build (PEP 738): no file shows that it would do with an older one.
    """
    claimed = []
    for tag in facts.name.platforms:
        if parse_platform_tag(tag).libc is Libc.ANDROID:
            with suppress(UsageError):
                claimed.append(find_policy(tag, table, arch))
    return sorted(claimed, key=lambda policy: int(policy.name.rpartition("_")[2]))


def _can_be_told(policy: Policy, facts: WheelFacts) -> bool:
    """Whether a wheel's files can show that they fit a policy.

    musl has no symbol versions, so no file shows that it does without what musl 1.2 brought: musllinux_1_1 is believed
    only where the wheel claims it.
    """
    return policy.name != _UNPROVABLE or any(tag.startswith(_UNPROVABLE) for tag in facts.name.platforms)


_UNPROVABLE = "musllinux_1_1"


def policy_minor(policy: Policy) -> int:
    """The N of manylinux_2_N; 0 for other policies."""
    return int(policy.name.rsplit("_", 1)[1]) if policy.family is Family.MANYLINUX else 0


# glibc added these marker versions in 2.42 and 2.43; the later one is the safe reading.
_GLIBC_OF_NEWEST_MARKERS = 43
_GLIBC_MAJOR = 2
_OLDER_MARKERS = frozenset({"ABI_DT_RELR"})


# More tags than these are of no use; a hostile wheel could ask for hundreds.
_MOST_NEWER = 16


def _newer_glibcs(facts: WheelFacts, newest: int) -> Sequence[int]:
    """The minor numbers, ascending, of the glibcs beyond the table that files ask for, as far as a tag can name them.

    Which of the files will be grafted is not known here: each of the numbers can become the wheel's own.
    """
    minors = set()
    for file in facts.files.values():
        for wanted in file.wanted:
            namespace, number = split_version(wanted.version)
            if namespace != "GLIBC":
                continue
            parts, _ = number_key(number) or ((), "")
            if len(parts) > 1 and parts[0] == _GLIBC_MAJOR and parts[1] <= LAST_MINOR:
                minors.add(parts[1])
            elif number.startswith("ABI_") and number not in _OLDER_MARKERS:
                minors.add(_GLIBC_OF_NEWEST_MARKERS)
    return sorted(minor for minor in minors if minor > newest)[-_MOST_NEWER:]


def _judge_claim(audit: Audit, tag: str) -> Claim:
    if not tag.startswith(("linux_", "manylinux", "musllinux", "android")) and tag != "any":
        return Claim(tag=tag, truth=Truth.NOT_JUDGED, reason="a tag of another system")
    lie = plain_lie(audit.facts, tag)
    if lie:
        return Claim(tag=tag, truth=Truth.FALSE, reason=lie)
    try:
        policy = find_tag(audit, tag)
    except UsageError as error:
        return Claim(tag=tag, truth=Truth.FALSE, reason=error.message)
    violations = audit.match(policy).violations
    if violations:
        return Claim(tag=tag, truth=Truth.FALSE, reason=_reason(violations), violations=violations)
    return Claim(tag=tag, truth=Truth.TRUE)


def _reason(violations: Sequence[Violation]) -> str:
    """Why a tag is false that violations contradict, in one line."""
    if all(violation.code in STACK_CODES for violation in violations):
        return "glibc 2.41 and newer refuse to load libraries that ask for an executable stack"
    return "the compiled files need more"


def plain_lie(facts: WheelFacts, tag: str) -> str:
    """Why a tag cannot be true whatever a policy says; empty where it may be."""
    parsed = parse_platform_tag(tag)
    if tag == "any":
        return "the wheel holds compiled files"
    if parsed.arch is not facts.arch:
        return f"the compiled files are for {facts.arch.value if facts.arch else 'no known machine'}"
    if parsed.libc is not None and parsed.libc is not facts.libc and _shows_libc(facts):
        return f"the compiled files were linked against {facts.libc.value if facts.libc else 'no known C library'}"
    return ""


def _shows_libc(facts: WheelFacts) -> bool:
    """Whether any file is bound to a C library; static programs are not, and run beside every one."""
    return any(file.image.needed or libc_of(file.image, file.label) for file in facts.own)


def find_tag(audit: Audit, text: str) -> Policy:
    """The policy that a tag or policy name means, for the wheel's machine.

    Raises:
        UsageError: No policy has that name, or it is for another machine.
    """
    policies = [match.policy for match in audit.matches]
    arch = audit.facts.arch
    if arch is None:
        raise UsageError(f"`{text}` cannot be judged: the wheel has no compiled files", code="pure-wheel")
    libc = parse_platform_tag(text).libc
    if libc is not None and libc is not audit.facts.libc and not _shows_libc(audit.facts):
        policies += builtin_policies(arch, libc)
    return find_policy(text, policies, arch)
