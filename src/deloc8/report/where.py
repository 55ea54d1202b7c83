"""Where a wheel runs, as text and as JSON."""

from __future__ import annotations

from deloc8.audit.distributions import compatibility
from deloc8.text import NOTHING, filled, joined, printable
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.distributions import Compatibility, Standing
    from deloc8.audit.verdict import Audit
    from deloc8.report.to_json import Json
    from deloc8.text import Lines


def where_text(audit: Audit, *, verbose: bool = False) -> Lines:
    """The distributions that a wheel runs on, a line for each family; empty where none is known for its C library.

    Args:
        audit: The verdict on the wheel.
        verbose: Show every release.
    """
    found = whereabouts(audit)
    return NOTHING if found is None else whereabouts_text(found, verbose=verbose)


# The sentence over the releases.
RELEASES_HEAD = printable("Of all releases that are known:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a wheel runs, and the sentence over it."""

    head: Lines
    found: Compatibility


def whereabouts_text(where: Whereabouts, *, verbose: bool) -> Lines:
    """The sentence, and a line for each family; with `verbose` one for each release too."""
    parts = [where.head, NOTHING, *map(_family_line, family_rows(where.found))]
    if verbose:
        parts += [NOTHING, RELEASES_HEAD, NOTHING, *map(_release, where.found.standings)]
    return joined(parts)


def whereabouts(audit: Audit) -> Whereabouts | None:
    """Where a wheel runs; None where no release with its C library is known."""
    found = compatibility(audit)
    if not found.standings:
        return None
    if found.tag is not None:
        subject = f'As `deloc8 fixup` makes it for "{found.tag}", the wheel runs'
    elif audit.best.policy.is_unbounded:
        subject = "Beside the libraries that it needs, the wheel as it stands runs"
    else:
        subject = "As it stands, the wheel runs"
    head = filled(f"{subject} on these distributions, by what their libc and C++ runtime offer:")
    return Whereabouts(head=head, found=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRow:
    """Distributions that are shown in one line.

    Attributes:
        title: Their name.
        alike: Those beside the first that are named, in brackets; empty where there are none.
        since: From which release on they fit; empty where none does.
        end: The last release that does not fit, and why; empty where all fit.
    """

    title: str
    alike: str
    since: str
    end: str


def family_rows(found: Compatibility) -> Iterator[FamilyRow]:
    """The families of distributions, each with where it begins to fit and what is in the way before."""
    told = None
    for row in found.kins:
        end = ""
        if row.before is not None and row.lacks is not None:
            number = row.before.version if row.since else row.before.name
            if row.doubtful:
                end = f"what {number} offers of {row.lacks.what} is not known"
            else:
                end = f"not {number}" + (", for the same reason" if row.lacks == told else f": {row.lacks}")
                told = row.lacks
        yield FamilyRow(
            title=row.kin.title,
            alike=f"({', '.join(row.kin.alike)} alike)" if row.kin.alike else "",
            since=f"{row.since} and newer" if row.since else "",
            end=end,
        )


def _family_line(row: FamilyRow) -> Lines:
    fits = " ".join(filter(None, (row.title, row.since, row.alike))) if row.since else ""
    return filled("; ".join(filter(None, (fits, row.end))), "  ", "    ")


def _release(standing: Standing) -> Lines:
    answer, dates = release_texts(standing)
    return printable("  " + "; ".join([f"{standing.release.name}: {answer}", *dates]))


def release_texts(standing: Standing) -> tuple[str, tuple[str, ...]]:
    """Whether a wheel runs on a release, in words, and until when that release is supported."""
    release = standing.release
    dates = [f"supported until {release.eol}"] if release.eol else []
    dates += [f"by some until {release.extended_eol}"] if release.extended_eol else []
    if standing.lacks is None:
        answer = "yes"
    else:
        answer = f"no, {standing.lacks.subject}" if standing.runs is False else f"unknown, {standing.lacks.subject}"
    return answer, tuple(dates)


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
