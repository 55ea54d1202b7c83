"""Tell how far `--lower-glibc` brings the wheels of a folder, as tables in Markdown.

    python tools/lowering_counts.py FOLDER

The wheels are unrepaired, and their libraries are those of this machine. Nothing is written. For each of the old tags
the least that is needed stands in the first table: nothing, the option, `--allow differs`, grafts of libraries that
the policy would take from the system. The second tells what becomes of the symbols of glibc for the oldest tag.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deloc8 import AuditOptions, audit_wheel
from deloc8.audit.verdict import find_tag, judge_again
from deloc8.audit.violations import ViolationCode
from deloc8.repair.lowering.choose import is_lowerable, lower, lowered_facts
from deloc8.target import Libc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation
    from deloc8.policy.model import Policy
    from deloc8.repair.lowering.choose import Lowering

TAGS = ("manylinux_2_17", "manylinux_2_28", "manylinux_2_31")
AS_IT_IS, BY_OPTION, WITH_DIFFERS, NEVER = "as it is", "the option", "+ differs", "no"


class Attempt(NamedTuple):
    """One way to a tag.

    Attributes:
        grafts: The libraries that are grafted although the policy takes them from the system.
        lowering: What becomes of the symbols of glibc.
        barred: What bars the tag all the same.
    """

    grafts: tuple[str, ...]
    lowering: Lowering
    barred: tuple[Violation, ...]


def policy_of(audit: Audit, name: str) -> Policy:
    """The policy of a name, for the machine of a wheel."""
    machine = audit.facts.arch.value if audit.facts.arch else ""
    return find_tag(audit, f"{name}_{machine}")


def attempt(wheel: Path, name: str, *, grafts: tuple[str, ...] = (), differs: bool = False) -> Attempt:
    """What `fixup --lower-glibc` would do for a tag; `differs` admits the class of that name."""
    audit = audit_wheel(wheel, AuditOptions(graft=grafts, dlopen=False))
    policy = policy_of(audit, name)
    lowering = lower(audit.facts, audit.match(policy), allow_differs=differs)
    after = judge_again(audit, lowered_facts(audit.facts, lowering)).match(policy)
    return Attempt(grafts, lowering, tuple(row for row in after.violations if not row.is_curable))


def with_grafts(wheel: Path, name: str, *, differs: bool) -> Attempt:
    """The same with every library that is too old on systems of the tag, and of those that these need in turn."""
    found = attempt(wheel, name, differs=differs)
    while True:
        old = {
            row.library for row in found.barred if row.code is ViolationCode.SYMBOL_TOO_NEW and not is_lowerable(row)
        }
        more = tuple(sorted(library for library in old if library and library not in found.grafts))
        if not more:
            return found
        found = attempt(wheel, name, grafts=(*found.grafts, *more), differs=differs)


def least(wheel: Path, name: str) -> str:
    """The least that brings a wheel to a tag, in words."""
    audit = audit_wheel(wheel, AuditOptions(dlopen=False))
    if audit.match(policy_of(audit, name)).is_reachable:
        return AS_IT_IS
    if not attempt(wheel, name).barred:
        return BY_OPTION
    if not attempt(wheel, name, differs=True).barred:
        return WITH_DIFFERS
    for differs in (False, True):
        found = with_grafts(wheel, name, differs=differs)
        if not found.barred:
            return (f"{WITH_DIFFERS}, " if differs else "+ ") + ", ".join(found.grafts)
    return NEVER


def quoted(words: Sequence[str]) -> str:
    """Words as code."""
    return ", ".join(f"`{word}`" for word in words) or "none"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rewritten(wheel: Path) -> list[str]:
    """What becomes of the symbols for the oldest tag, with all grafts that it needs: a row of the second table."""
    found = with_grafts(wheel, TAGS[0], differs=False)
    lowering = found.lowering
    kinds = {(row.symbol, row.version): row.kind.value for row in lowering.all_rewrites}
    counts = Counter(kinds.values())
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())) or "none"
    refused = sorted({f"{row.violation.symbol or ''}@{row.violation.version}".lstrip("@") for row in lowering.refused})
    code = quoted(lowering.functions())
    return [project(wheel), told, code, quoted(refused)]


def project(wheel: Path) -> str:
    """The project and the version of a wheel."""
    return " ".join(wheel.name.split("-")[:2])


def is_for_glibc(wheel: Path) -> bool:
    """Whether a wheel has compiled files that are bound to glibc."""
    facts = audit_wheel(wheel, AuditOptions(dlopen=False)).facts
    return facts.arch is not None and facts.libc is Libc.GLIBC


def main() -> None:
    """Read the arguments and print the tables."""
    if len(sys.argv) != 2:  # noqa: PLR2004  the program and the folder
        sys.exit(__doc__)
    wheels = [wheel for wheel in sorted(Path(sys.argv[1]).glob("*.whl")) if is_for_glibc(wheel)]
    rows = []
    for wheel in wheels:
        best = audit_wheel(wheel, AuditOptions(dlopen=False)).outlook.policy.name
        rows.append([project(wheel), best, *(least(wheel, name) for name in TAGS)])
    print(table(["wheel", "best tag without", *TAGS], rows))
    print()
    for place, name in enumerate(TAGS, 2):
        words = [row[place] for row in rows]
        reached = {
            "without the option": sum(word == AS_IT_IS for word in words),
            "with it": sum(word in {AS_IT_IS, BY_OPTION} for word in words),
            "with differs too": sum(word in {AS_IT_IS, BY_OPTION, WITH_DIFFERS} for word in words),
            "with grafts too": sum(word != NEVER for word in words),
        }
        print(f"{name}, of {len(rows)}: {', '.join(f'{count} {how}' for how, count in reached.items())}")
    print()
    print(table(["wheel", "rewritten", "functions that travel", "refused without differs"], map(rewritten, wheels)))


if __name__ == "__main__":
    main()
