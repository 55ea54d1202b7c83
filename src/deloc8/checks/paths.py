"""Search paths that lead to the build machine, to the current folder, or through a folder that is missing."""

from __future__ import annotations

from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.checks.evidence import finding, listed
from deloc8.loader.tokens import begins_at_origin, expand, folder_of
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.facts import ElfFile
    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic


def check_search_paths(evidence: Evidence) -> Iterator[Diagnostic]:
    """RPATH and RUNPATH entries that lead out of the wheel, or to wherever the process runs, or nowhere."""
    for file in evidence.audit.facts.own:
        entries = _entries(file)
        yield from _absolute(evidence, file, entries)
        yield from _relative(file, entries)
        yield from _interrupted(evidence, file, entries)


def _entries(file: ElfFile) -> tuple[str, ...]:
    """The entries of both search paths; one without any text is no search path at all."""
    dynamic = file.image.dynamic
    texts = (dynamic.rpath, dynamic.runpath) if dynamic else ()
    return tuple(dict.fromkeys(entry for text in texts if text for entry in text.split(":")))


def _absolute(evidence: Evidence, file: ElfFile, entries: tuple[str, ...]) -> Iterator[Diagnostic]:
    vendors = evidence.vendors.get(file.path, {})
    # What was left out by --exclude may come from a folder of its vendor.
    meant = {entry for entry, vendor in vendors.items() if not vendor.fault}
    absolute = tuple(entry for entry in entries if entry.startswith("/") and not begins_at_origin(entry.lstrip("/")))
    others = tuple(entry for entry in absolute if entry not in meant)
    if others:
        yield finding(
            "absolute-rpath",
            file.label,
            f"searches folders of the machine that built it: {listed(others)}",
            (),
            ("`deloc8 fixup` removes them; it keeps those in which libraries left out by --exclude were found",),
        )


def _relative(file: ElfFile, entries: tuple[str, ...]) -> Iterator[Diagnostic]:
    relative = tuple(entry for entry in entries if not entry.startswith("/") and not begins_at_origin(entry))
    if relative:
        yield finding(
            "relative-rpath",
            file.label,
            "searches the folder in which the process happens to stand",
            (f"its search path has {listed(tuple(entry or 'an empty entry' for entry in relative))}",),
            ("write $ORIGIN/... for folders beside the file",),
        )


def _interrupted(evidence: Evidence, file: ElfFile, entries: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Entries that go through a missing folder to one of the wheel, to which no other entry leads."""
    facts = evidence.audit.facts
    shelves = {folder_of(other.path) for other in facts.own}
    reached: set[str] = set()
    broken: dict[str, tuple[str, str]] = {}
    for entry in entries:
        text = expand(entry, replace(facts.tokens, origin=folder_of(file.path)))
        trail = facts.environment.walk(text) if text else None
        if trail is None:
            continue
        if not trail.missing:
            reached.add(trail.folder)
        elif trail.folder in shelves:
            broken[entry] = trail.folder, trail.missing[0]
    lost = {entry: missing for entry, (folder, missing) in broken.items() if folder not in reached}
    if lost:
        yield finding(
            "rpath-missing-folder",
            file.label,
            f"its search path goes through folders that the wheel does not have: {listed(tuple(lost))}",
            tuple(f"{_name(missing)} is missing" for missing in dict.fromkeys(lost.values())),
            ("`deloc8 fixup` writes the entries that lead there directly",),
        )


def _name(folder: str) -> str:
    """A folder as it is called in a wheel, or in the environment around it."""
    inside = folder.removeprefix(SITE_PACKAGES + "/")
    return inside if inside != folder else f"<environment>{folder[len(VIRTUAL_ROOT) :]}"
