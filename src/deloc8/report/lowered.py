"""The symbols that a repair binds to older versions of glibc, as rows for every kind of output."""

from __future__ import annotations

from deloc8.policy.model import version_key
from deloc8.repair.model import RewriteKind
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.repair.model import CompatGraft, Plan, Rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredRow:
    """One symbol and all files that ask for it.

    Attributes:
        before: Such as ``pthread_create@GLIBC_2.34 of libc.so.6``.
        after: What it becomes, such as ``pthread_create@GLIBC_2.2.5 of libpthread.so.0``.
        kind: The class, such as ``moved``.
        reason: Why it is right, and where it differs.
        files: The files that require it.
    """

    before: str
    after: str
    kind: str
    reason: str
    files: tuple[str, ...]


def lowered_rows(plan: Plan) -> tuple[LoweredRow, ...]:
    """The rows of a plan, by class in the order of `RewriteKind`, then by version and symbol."""
    groups: dict[tuple[str, str, RewriteKind], list[Rewrite]] = {}
    for rewrite in plan.rewrites:
        groups.setdefault((rewrite.version, rewrite.symbol, rewrite.kind), []).append(rewrite)
    order = list(RewriteKind)
    keys = sorted(groups, key=lambda key: (order.index(key[2]), version_key(key[0]), key[1]))
    return tuple(_row(groups[key], plan) for key in keys)


def _row(rewrites: Sequence[Rewrite], plan: Plan) -> LoweredRow:
    first = rewrites[0]
    name = f"{first.symbol}@{first.version}" if first.symbol else first.version
    return LoweredRow(
        before=f"{name} of {first.library}" if first.library else _BEFORE[first.kind],
        after=_after(first, plan),
        kind=first.kind.value,
        reason=first.reason,
        files=tuple(rewrite.file for rewrite in rewrites),
    )


_BEFORE = {
    RewriteKind.PACKED: "packed relocations without a marker",
    RewriteKind.JOINED: "DT_JMPREL apart from the other relocations",
}


def _after(rewrite: Rewrite, plan: Plan) -> str:
    if rewrite.to_version is not None:
        return f"{rewrite.to_symbol}@{rewrite.to_version} of {rewrite.to_library}"
    if rewrite.kind is RewriteKind.CODE and plan.compat:
        if rewrite.to_symbol != rewrite.symbol:
            return f"{rewrite.to_symbol} of {plan.compat.member}"
        return f"{rewrite.to_symbol} of the system, or else of {plan.compat.member}"
    return _AFTER[rewrite.kind]


_AFTER = {
    RewriteKind.WEAK: "the symbol without a version",
    RewriteKind.CONSTANT: "a constant of the file itself",
    RewriteKind.PACKED: "relocations that are not packed",
    RewriteKind.JOINED: "DT_JMPREL directly behind them",
}


def lowered_lines(plan: Plan, *, verbose: bool) -> list[str]:
    """The symbols in lines; `verbose` adds the files and the reason of each."""
    lines = []
    for row in lowered_rows(plan):
        lines.append(f"Lowering: {row.before} -> {row.after} ({row.kind})")
        if verbose:
            lines += [f"  {row.reason}", *(f"  in {file}" for file in row.files)]
    if plan.compat:
        lines.append(f"Adding: {compat_text(plan, plan.compat)}")
    return lines


def compat_text(plan: Plan, compat: CompatGraft) -> str:
    """The compatibility library and what it is for; functions with names of their own are taken on every system."""
    renamed = {rewrite.to_symbol for rewrite in plan.rewrites if rewrite.to_symbol != rewrite.symbol}
    lacking = [name for name in compat.functions if name not in renamed]
    always = [name for name in compat.functions if name in renamed]
    parts = []
    if lacking:
        parts.append(f"for systems that lack {', '.join(lacking)}")
    if always:
        parts.append(f"for {', '.join(always)}")
    return f"{compat.member}, {', and '.join(parts)}"
