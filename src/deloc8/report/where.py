"""Where a wheel runs, as text and as JSON."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from deloc8.audit.compat import compatibility
from deloc8.wheel.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.compat import Compatibility, Standing
    from deloc8.audit.verdict import Audit
    from deloc8.report.to_json import Json


def where_text(audit: Audit, *, verbose: bool = False) -> str:
    """The distributions that a wheel runs on, a line for each family; empty where none is known for its C library.

    Args:
        audit: The verdict on the wheel.
        verbose: Tell every release.
    """
    found = compatibility(audit)
    if not found.standings:
        return ""
    if found.tag is not None:
        subject = f'As `deloc8 fixup` makes it for "{found.tag}", the wheel runs'
    elif audit.best.policy.is_unbounded:
        subject = "Beside the libraries that it needs, the wheel as it stands runs"
    else:
        subject = "As it stands, the wheel runs"
    lines = [textwrap.fill(f"{subject} on these distributions, by what their libc and C++ runtime offer:"), ""]
    lines += _families(found)
    if verbose:
        lines += ["", "Of all releases that are known:", "", *map(_release, found.standings)]
    return "\n".join(lines)


def _families(found: Compatibility) -> Iterator[str]:
    told = None
    for row in found.kins:
        alike = f" ({', '.join(row.kin.alike)} alike)" if row.kin.alike else ""
        text = f"{row.kin.title} {row.since} and newer{alike}" if row.since else ""
        if row.before is not None and row.lacks is not None:
            number = row.before.version if row.since else row.before.name
            text += "; " if text else ""
            if row.doubtful:
                text += f"what {number} offers of {row.lacks.what} is not known"
            else:
                text += f"not {number}" + (", for the same reason" if row.lacks == told else f": {row.lacks}")
                told = row.lacks
        yield _indented(text)


def _release(standing: Standing) -> str:
    release = standing.release
    dates = [f"supported until {release.eol}"] if release.eol else []
    dates += [f"by some until {release.extended_eol}"] if release.extended_eol else []
    if standing.lacks is None:
        answer = "yes"
    else:
        answer = f"no, {standing.lacks.subject}" if standing.runs is False else f"unknown, {standing.lacks.subject}"
    return printable("  " + "; ".join([f"{release.name}: {answer}", *dates]))


def _indented(text: str) -> str:
    return textwrap.fill(
        printable(text),
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def where_value(audit: Audit) -> Json:
    """The same for programs: every release that is known."""
    found = compatibility(audit)
    return {
        "repaired_to": found.tag,
        "releases": [
            {
                "name": standing.release.name,
                "runs": standing.runs,
                "lacks": standing.lacks.subject if standing.lacks else None,
                "eol": standing.release.eol,
                "extended_eol": standing.release.extended_eol,
            }
            for standing in found.standings
        ],
    }
