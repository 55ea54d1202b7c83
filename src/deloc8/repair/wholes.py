"""Projects that come into a wheel as a whole, or stay with the system as a whole: a half of each is a danger."""

from __future__ import annotations

import posixpath

from deloc8.audit.match import match_policies
from deloc8.audit.together import (
    SECOND_GLIB,
    SECOND_GLIB_HINT,
    SECOND_GLIB_MESSAGE,
    SECOND_GLIB_REASONS,
    graft_options,
    projects_of,
    whole_project,
)
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.policy.releases import PROJECTS
from deloc8.repair.lowering.choose import is_lowerable
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.match import PolicyMatch
    from deloc8.repair.choose import Aim
    from deloc8.repair.model import Goal


def ways_by_grafting(aim: Aim, goal: Goal) -> tuple[str, ...]:
    """How a wheel does without a newer release of libraries of the system: with all libraries of their projects.

    Empty where no release is too old, and where a library must come from the machine the wheel runs on.
    """
    projects = projects_of(aim.match.violations)
    wholes = [whole_project(aim.audit.facts, project) for project in projects]
    names = [name for whole in wholes for name in whole]
    if not projects or not all(wholes):
        return ()
    options = replace(aim.audit.options, graft=(*aim.audit.options.graft, *names))
    (match,) = match_policies(aim.audit.facts, (aim.match.policy,), options)
    if projects_of(match.violations):
        return ()
    blocking = [row for row in match.violations if not row.is_curable]
    lowered = " --lower-glibc" if goal.lower_glibc or any(map(is_lowerable, blocking)) else ""
    command = f"fixup --plat {match.policy.tags[0]}{lowered} {graft_options(names)}"
    rest = "" if all(map(is_lowerable, blocking)) else " (and see the hints on the rest)"
    whole = " and ".join(projects)
    return (f"put all of {whole} into the wheel, where a process can have two of it: {command}{rest}",)


def second_glib_warning(match: PolicyMatch) -> Iterator[Diagnostic]:
    """A warning where grafts are a second glib in a process that has the system's."""
    names = [file.image.soname or posixpath.basename(file.path) for file in match.closure.grafts]
    parts = [name for name in names if PROJECTS.get(name) == "glib" and match.policy.allows_library(name)]
    if parts:
        yield Diagnostic(
            code=SECOND_GLIB,
            severity=Severity.WARNING,
            subject=", ".join(sorted(parts)),
            message=SECOND_GLIB_MESSAGE,
            context=SECOND_GLIB_REASONS,
            hints=(SECOND_GLIB_HINT,),
        )
