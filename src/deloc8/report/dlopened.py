"""The libraries that a wheel opens at run time, for the reports."""

from __future__ import annotations

from deloc8.dlopen.openings import Confidence, Source
from deloc8.text import NOTHING, joined, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.dlopen.openings import Opening, Resolution
    from deloc8.text import Lines

# So many are shown; -v shows all.
_OPENINGS_SHOWN = 20

_WHERE = {
    Source.MEMBER: "in the wheel: {}",
    Source.POLICY: "taken from the system, as the policy allows: {}",
    Source.SYSTEM: "found on this system: {}",
    Source.NOTHING: "not found",
}


def opening_place(opening: Opening) -> str:
    """Where a library is opened: the member, and the line of a call or the offset of a name."""
    if opening.offset is not None:
        return f"{opening.place} at {opening.offset:#x}"
    return opening.place if opening.line is None else f"{opening.place}:{opening.line}"


def opening_known(opening: Opening) -> str:
    """How it is known, in words: ``called``, ``called, may fail``, ``declared, required``."""
    more = "may fail" if opening.is_optional else opening.priority
    return f"{opening.confidence.value}, {more}" if more else opening.confidence.value


def openings_text(openings: Sequence[Opening], *, verbose: bool) -> Lines:
    """The paragraph of `show`, each opening in two lines; empty where there is none."""
    if not openings:
        return NOTHING
    rows = ["The following libraries are opened at run time, or may be:"]
    shown = openings if verbose else openings[:_OPENINGS_SHOWN]
    for opening in shown:
        names = " or ".join(opening.names)
        verb = "mentions" if opening.confidence is Confidence.MENTIONED else "opens"
        rows.append(f"  {opening_place(opening)} {verb} {names} ({opening_known(opening)})")
        rows.append(f"    {opening_source(opening.resolution)}")
    if len(openings) > len(shown):
        rows.append(f"  and {len(openings) - len(shown)} more (-v shows all)")
    return joined(map(printable, rows))


def opening_source(resolution: Resolution) -> str:
    """Where an opened library comes from, in words."""
    return _WHERE[resolution.source].format(resolution.target)


def opening_value(opening: Opening) -> dict[str, object]:
    """One opening, for JSON."""
    return {
        "file": opening.place,
        "line": opening.line,
        "offset": opening.offset,
        "names": list(opening.names),
        "confidence": opening.confidence.value,
        "priority": opening.priority or None,
        "optional": opening.is_optional,
        "resolves_to": opening.resolution.source.value,
        "target": opening.resolution.target,
    }
