"""Remedies by lowering the glibc for what blocks a tag, in words.

`why` prints these ways out beside its own.
"""

from __future__ import annotations

from deloc8.audit.verdict import judge_again
from deloc8.repair.lowering.choose import is_lowerable, lower, lowered_facts
from deloc8.repair.model import RewriteKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation
    from deloc8.repair.model import Rewrite

_MOST_TOLD = 6


def ways_by_lowering(audit: Audit, match: PolicyMatch, violations: Sequence[Violation]) -> tuple[str, ...]:
    """How `fixup --lower-glibc` helps a wheel over symbols that bar a tag, and whether that is enough, in a sentence.

    Empty where it does not help.

    Args:
        audit: The verdict on the wheel.
        match: The wheel against the policy of the tag.
        violations: What bars it and is asked about.
    """
    asked = {(row.file, row.symbol or "", row.version) for row in violations if is_lowerable(row)}
    lowering = lower(audit.facts, match, allow_differs=True)
    told = [row for row in lowering.all_rewrites if (row.file, row.symbol, row.version) in asked]
    if not told:
        return ()
    tag = match.policy.tags[0]
    # The option is one for the whole wheel.
    differs = any(row.kind is RewriteKind.DIFFERS for row in lowering.all_rewrites)
    option = "--lower-glibc --allow differs" if differs else "--lower-glibc"
    if judge_again(audit, lowered_facts(audit.facts, lowering)).match(match.policy).is_reachable:
        return (f"let `deloc8 fixup --plat {tag} {option}` make the wheel do without {_names(told)}",)
    return (f"`{option}` makes the wheel do without {_names(told)}; the rest of what bars {tag} needs another way",)


def _names(rewrites: Sequence[Rewrite]) -> str:
    """The symbols with their classes, each once; first those whose class must be allowed."""
    rows = sorted(rewrites, key=lambda row: row.kind is not RewriteKind.DIFFERS)
    names = list(
        dict.fromkeys(f"{f'{row.symbol}@' if row.symbol else ''}{row.version} ({row.kind.value})" for row in rows)
    )
    more = len(names) - _MOST_TOLD
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_TOLD])} and {more} more"
