"""Notes on libraries left out on request, which a repaired wheel still needs, and on libpython."""

from __future__ import annotations

from deloc8.audit.match import Provision
from deloc8.diagnostic import Diagnostic, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.match import Closure, PolicyMatch

# So many files are named; the rest is counted.
_MOST_FILES = 10


def left_out_notes(match: PolicyMatch) -> Iterator[Diagnostic]:
    """A warning for each library that `--exclude` leaves out, with the files that need it; then what goes.

    Where the policy takes the library from the system anyway, nothing is lost, and it is a note.
    """
    tag = match.policy.tags[0]
    for name, files in _users(match.closure, Provision.EXCLUDED).items():
        is_promised = match.policy.allows_library(name)
        meaning = (
            f"{tag} takes it from the system anyway"
            if is_promised
            else f"{tag} does not promise it: the wheel works only where something else brings it"
        )
        yield Diagnostic(
            code="library-left-out",
            severity=Severity.NOTE if is_promised else Severity.WARNING,
            subject=name,
            message=f"is left out, as --exclude says; {meaning}",
            context=_listed(files),
        )
    for name, files in sorted(_users(match.closure, Provision.DROPPED).items()):
        yield Diagnostic(
            code="libpython-dropped",
            severity=Severity.NOTE,
            subject=name,
            message="extension modules must not need it: the entry is removed, the Python process has these symbols",
            context=_listed(files),
        )


def _users(closure: Closure, provision: Provision) -> dict[str, list[str]]:
    """The needed names that come from somewhere, each with the files that need it."""
    labels = {file.path: file.label for file in closure.files}
    users: dict[str, list[str]] = {}
    for (path, name), found in closure.provisions.items():
        # What is asked for on the command line is no file.
        if found is provision and path in labels:
            users.setdefault(name, []).append(labels[path])
    return users


def _listed(files: list[str]) -> tuple[str, ...]:
    more = len(files) - _MOST_FILES
    lines = [f"needed by {file}" for file in files[:_MOST_FILES]]
    return (*lines, f"and by {more} more files") if more > 0 else tuple(lines)
