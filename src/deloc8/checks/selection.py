"""Which findings count: chosen by code, on the command line or in pyproject.toml."""

from __future__ import annotations

import fnmatch

from deloc8.checks.table import RULES, sort_findings
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import UsageError
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Treatment of the findings that the user has chosen.

    Attributes:
        select: Codes, or globs of codes, that count as errors.
        ignore: Codes, or globs of codes, that are left out; a code that `select` names in full stays.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def apply(self, findings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        """The findings that count, as severe as the user has it, the most severe first."""
        kept = []
        for found in findings:
            if found.code not in self.select and _is_named(found.code, self.ignore):
                continue
            selected = _is_named(found.code, self.select)
            kept.append(replace(found, severity=Severity.ERROR) if selected else found)
        return sort_findings(tuple(kept))


def check_codes(globs: Sequence[str], source: str) -> None:
    """Refuse codes that do not exist; `source` is the option or the key that names them.

    Raises:
        UsageError: A glob matches no code.
    """
    for glob in globs:
        if not any(fnmatch.fnmatchcase(rule.code, glob) for rule in RULES):
            raise UsageError(
                f"{source}: `{glob}` is the code of no finding",
                code="unknown-code",
                hints=("the codes stand in brackets behind the findings, and in docs/diagnostics",),
            )


def _is_named(code: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(code, glob) for glob in globs)
