"""One finding as data; every output renders the same values."""

from __future__ import annotations

import enum

from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Severity(enum.Enum):
    """How much a finding matters."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: Stable name of the kind of finding, kebab-case.
        severity: How much it matters.
        subject: What it is about: a member of the wheel, a soname, a tag.
        message: One line without a final full stop.
        context: Lines that say where and why.
        hints: What the user can do, in the order of effort.
    """

    code: str
    severity: Severity
    subject: str
    message: str
    context: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


MOST_OF_A_CODE = 1000
"""How many findings of one code are listed."""


def few_of_each(findings: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The first findings of each code, and how many more there are: a wheel can have a hundred thousand of one kind."""
    counts: dict[str, int] = {}
    last: dict[str, Diagnostic] = {}
    for found in findings:
        counts[found.code] = counts.get(found.code, 0) + 1
        if counts[found.code] <= MOST_OF_A_CODE:
            yield found
        else:
            last[found.code] = found
    for code, found in last.items():
        more = counts[code] - MOST_OF_A_CODE
        message = f"{more} more findings like these are not listed, the last of them on `{found.subject}`"
        yield replace(found, message=message, context=(), hints=())
