"""One judge: of what `fixup` wrote, `check` with the same options finds no error that was not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deloc8.checks.table import ERRORS_OF_TAGS
from deloc8.diagnostic import Severity
from deloc8.errors import Deloc8Error, VerificationError
from deloc8.repair.model import Goal
from deloc8.values import replace
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from deloc8.workflow.repair import plan_repair, repair_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.model import Outcome

_PLAIN = Goal(sbom=False, licences=False)


def errors_of(wheel: Path, options: AuditOptions) -> dict[tuple[str, str], str]:
    """The errors that `check` finds: the message by code and subject. It has no options of what comes into a wheel."""
    settings = replace(options, graft=(), include=(), include_dlopened="")
    found = check_wheel(wheel, settings)
    return {(each.code, each.subject): each.message for each in found if each.severity is Severity.ERROR}


def repair_and_check(
    wheel: Path, folder: Path, goal: Goal = _PLAIN, options: AuditOptions | None = None
) -> Outcome | None:
    """What came of a repair, once `check` has found nothing that was not told; None where it is refused.

    Args:
        wheel: The wheel.
        folder: Where the repaired one goes.
        goal: What is asked for.
        options: The options of both commands.
    """
    settings = options or AuditOptions()
    try:
        outcome = repair_wheel(wheel, folder, goal, WriteOptions(), settings)
    except VerificationError:
        raise
    except Deloc8Error:
        return None
    planned = plan_repair(wheel, goal, settings)
    told = {(note.code, note.subject) for note in outcome.plan.notes if note.severity is Severity.WARNING}
    assert told == {(note.code, note.subject) for note in planned.notes if note.severity is Severity.WARNING}
    left = errors_of(outcome.path, settings)
    # What keeps a wheel from being read as a whole is told of its file.
    whole = {code for code, subject in left if subject == outcome.path.name}
    assert whole <= {code for code, _ in told}
    untold = {key: message for key, message in left.items() if key not in told and key[0] not in whole}
    assert not untold
    if outcome.plan.tags is not None:
        assert not {key for key in left if key[0] in ERRORS_OF_TAGS}
    return outcome
