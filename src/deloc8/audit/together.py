"""Libraries of one project belong together: what to put into a wheel as a whole, and what two in a process do."""

from __future__ import annotations

from deloc8.policy.load import host_only_reason
from deloc8.policy.releases import BEHIND, PROJECTS
from deloc8.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.violations import Violation

SECOND_GLIB = "second-glib"
SECOND_GLIB_MESSAGE = "is a second glib in a process that has the system's"
SECOND_GLIB_REASONS = (
    "each glib has its own table of types (GType), main context and log: objects of one are unknown to the other",
    "a type that is registered with both, or a library that meets both, makes the process fail or hang",
)
SECOND_GLIB_HINT = "see that nothing else in the process uses the system's glib, such as PyGObject or GTK"


def projects_of(violations: Iterable[Violation]) -> tuple[str, ...]:
    """The projects whose releases are too old for some symbols without versions, sorted."""
    return tuple(sorted({PROJECTS[row.library] for row in violations if row.since and row.library in PROJECTS}))


def whole_project(facts: WheelFacts, project: str) -> tuple[str, ...]:
    """The libraries of a project that a wheel loads and policies take from the system, sorted.

    Empty where one of them must come from the machine that the wheel runs on.
    """
    needed = {row.name for rows in facts.dependencies.values() for row in rows}
    names = {name for name in needed if PROJECTS.get(name) == project}
    for name in sorted(names):
        names.update(behind for behind in BEHIND.get(name, ()) if PROJECTS[behind] == project)
    if any(map(host_only_reason, names)):
        return ()
    return tuple(sorted(names))


def graft_options(names: Iterable[str]) -> str:
    """The options that put libraries into the wheel."""
    return " ".join(f"--graft {quoted(name)}" for name in names)
