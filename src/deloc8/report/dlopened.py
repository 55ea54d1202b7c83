"""The libraries that a wheel opens at run time, for the reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deloc8.audit.dlopen import Source
from deloc8.wheel.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.dlopen import Opening, Resolution

# So many are told; -v tells all.
_OPENINGS_SHOWN = 20

_WHERE = {
    Source.MEMBER: "in the wheel: {}",
    Source.POLICY: "taken from the system, as the policy allows: {}",
    Source.SYSTEM: "found on this system: {}",
    Source.NOTHING: "not found",
}


def opening_place(opening: Opening) -> str:
    """Where a library is opened: the member, and the line of a call."""
    return opening.place if opening.line is None else f"{opening.place}:{opening.line}"


def openings_text(openings: Sequence[Opening], *, verbose: bool) -> str:
    """The paragraph of `show`, each opening in two lines; empty where there is none."""
    if not openings:
        return ""
    lines = ["The following libraries are opened at run time:"]
    shown = openings if verbose else openings[:_OPENINGS_SHOWN]
    for opening in shown:
        how = f"{opening.confidence.value}, {opening.priority}" if opening.priority else opening.confidence.value
        lines.append(f"  {printable(opening_place(opening))} opens {printable(' or '.join(opening.names))} ({how})")
        lines.append(f"    {printable(opening_source(opening.resolution))}")
    if len(openings) > len(shown):
        lines.append(f"  and {len(openings) - len(shown)} more (-v shows all)")
    return "\n".join(lines)


def opening_source(resolution: Resolution) -> str:
    """Where an opened library comes from, in words."""
    return _WHERE[resolution.source].format(resolution.target)


def opening_value(opening: Opening) -> dict[str, object]:
    """One opening, for JSON."""
    return {
        "file": opening.place,
        "line": opening.line,
        "names": list(opening.names),
        "confidence": opening.confidence.value,
        "priority": opening.priority or None,
        "resolves_to": opening.resolution.source.value,
        "target": opening.resolution.target,
    }
