"""Symbols that files take without a version from libraries of the system, under one policy.

Only a few wheels need it.
"""

from __future__ import annotations

from deloc8.audit.borrowed import late_symbols
from deloc8.audit.match import Provision
from deloc8.audit.violations import Violation, ViolationCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.borrowed import Borrowed
    from deloc8.audit.elffiles import ElfFile
    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.match import Closure
    from deloc8.policy.model import Policy

_FROM_SYSTEM = (None, Provision.SYSTEM, Provision.EXCLUDED)


def taken_from_system(facts: WheelFacts, file: ElfFile, closure: Closure) -> Iterator[Borrowed]:
    """The symbols without versions that a file takes from libraries of the system, and not every release has.

    One of a library that the wheel has, or will have, is not among them.
    """
    for row in facts.borrowed.get(file.path, ()):
        provision = closure.provisions.get((file.path, row.library))
        if provision is None:
            # It comes with another library, or with the file that needs this one.
            others = {found for (_, name), found in closure.provisions.items() if name == row.library}
            provision = next((found for found in (Provision.GRAFT, Provision.INSIDE) if found in others), None)
        if provision in _FROM_SYSTEM:
            yield row


def late_violations(facts: WheelFacts, file: ElfFile, policy: Policy, closure: Closure) -> Iterator[Violation]:
    """A violation for each symbol without a version that came with a later release than the policy promises."""
    for row, told, limit in late_symbols(taken_from_system(facts, file, closure), policy):
        yield Violation(
            code=ViolationCode.RELEASE_TOO_NEW,
            policy=policy.name,
            file=file.label,
            chain=closure.chain(file, facts),
            library=row.library,
            symbol=row.symbol,
            version=told,
            limit=limit,
        )
