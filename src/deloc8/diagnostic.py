"""One finding as data; every output renders the same values."""

from __future__ import annotations

import enum

from deloc8.values import dataclass


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
