"""The plan and the result of a repair, drawn for a terminal."""

from __future__ import annotations

from deloc8.repair.model import Outcome
from deloc8.report.lowered import compat_text, lowered_rows
from deloc8.report.to_terminal import shown, stacked, steps, table
from deloc8.report.to_text import edit_text, owner_text, rest_of_plan, written_text
from deloc8.text import printable, without_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType
    from rich.text import Text

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.repair.model import Graft, Plan


def repair_drawn(repair: Plan | Outcome, folder: Path) -> Iterator[RenderableType]:
    """Drawing of a repair, planned or done: tables of grafts and edits, and the wheel's place.

    Args:
        repair: The plan of a dry run, or the outcome.
        folder: Where the planned wheel would go.
    """
    if isinstance(repair, Outcome):
        yield from _tables(repair.plan, would="")
        yield shown(without_end(written_text(repair.path)), "green")
        return
    yield from _tables(repair, would="would be ")
    yield stacked(rest_of_plan(repair, folder, lowered=False))


def _tables(plan: Plan, *, would: str) -> Iterator[RenderableType]:
    if plan.grafts:
        rows = [(graft.source, graft.member, _askers(graft), _package(graft)) for graft in plan.grafts]
        yield table((f"{would}grafted", "as", "needed by", "package"), rows, lines=True)
    rows_of_edits = [(patch.member, _edits(patch.edits, patch.moved_to)) for patch in plan.patches]
    rows_of_edits += [(graft.member, _edits(graft.edits, None)) for graft in plan.grafts if graft.edits]
    if rows_of_edits:
        yield table((f"{would}changed", "how"), rows_of_edits, lines=True)
    lowered = [(row.before, row.after, row.kind, row.reason, stacked(row.files)) for row in lowered_rows(plan)]
    if lowered:
        yield table((f"{would}lowered", "to", "class", "why", "in"), lowered, lines=True)
    if plan.compat:
        yield shown(printable(f"{would}added: {compat_text(plan, plan.compat)}"))


def _askers(graft: Graft) -> Text:
    return stacked([*steps(graft.chain), *(f"found by {opener}" for opener in graft.openers)])


def _package(graft: Graft) -> str:
    return owner_text(graft.owner).removeprefix("of ").removeprefix("the package ")


def _edits(edits: Sequence[Edit], moved_to: str | None) -> Text:
    return stacked([*([f"move to {moved_to}"] if moved_to else []), *map(edit_text, edits)])
