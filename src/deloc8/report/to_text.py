"""Reports as plain text."""

from __future__ import annotations

from deloc8.audit.notices import files_left_alone, notices
from deloc8.policy.model import sort_versions
from deloc8.report.dlopened import openings_text
from deloc8.report.model import (
    Barrier,
    barriers,
    edit_fields,
    external_libraries,
    graft_groups,
    reachable_tag,
    versioned_symbols,
)
from deloc8.report.where import Whereabouts, whereabouts, whereabouts_text
from deloc8.text import NOTHING, filled, indented, joined, json_lines, lines, paragraphs, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.repair.model import Package, Plan
    from deloc8.report.model import FileUse
    from deloc8.text import Lines

# Short enough for a line.
LIBRARIES_HEAD = printable("The following external shared libraries are required by the wheel:")
# So many files are shown for each blocked tag; -v shows all.
_FILES_SHOWN = 3


def show_text(audit: Audit, *, verbose: bool = False) -> Lines:
    """Report of `show` on a wheel: its contents and what blocks better tags, ready to print."""
    return paragraphs(_paragraph(part, verbose=verbose) for part in show_parts(audit, verbose=verbose))


# A sentence, the external libraries, a barrier, or where the wheel runs.
Part: TypeAlias = "Lines | Mapping[str, str | None] | Barrier | Whereabouts"


def _paragraph(part: Part, *, verbose: bool) -> Lines:
    if isinstance(part, str):
        return part
    if isinstance(part, Whereabouts):
        return whereabouts_text(part, verbose=verbose)
    if isinstance(part, Barrier):
        return _barrier(part, verbose=verbose)
    return joined((LIBRARIES_HEAD, json_lines(part, indent=4, is_ascii=False)))


def show_parts(audit: Audit, *, verbose: bool) -> Iterator[Part]:
    """Report of `show` on a wheel, in its parts."""
    if audit.is_pure:
        yield filled(f"{audit.facts.name.filename} has no compiled files: it runs wherever Python does.")
        yield from _notices(files_left_alone(audit))
    else:
        yield from _compiled_parts(audit, verbose=verbose)


def _notices(found: Iterable[Diagnostic]) -> Iterator[Lines]:
    for notice in found:
        facts = "; ".join([f"{notice.subject}: {notice.message}", *notice.context])
        yield filled(" ".join([f"{facts}.", *(f"({hint})" for hint in notice.hints)]))


def _compiled_parts(audit: Audit, *, verbose: bool) -> Iterator[Part]:
    # These sentences come first, in this order, because programs read them; see the command line's contract.
    yield filled(
        f'{audit.facts.name.filename} is consistent with the following platform tag: "{audit.best.policy.tags[0]}".'
    )
    yield _versions_part(audit)
    yield external_libraries(audit) or filled("The wheel requires no external shared libraries.")
    yield from _graft_parts(audit)
    for claim in audit.false_claims:
        yield filled(f'The wheel claims the platform tag "{claim.tag}", which is not true: {claim.reason}.')
    yield from barriers(audit)
    yield from _notices(notices(audit, audit.outlook))
    yield from _other_policies(audit)
    where = whereabouts(audit)
    if where:
        yield where
    opened = openings_text(audit.openings or (), verbose=verbose)
    if opened:
        yield opened


def _versions_part(audit: Audit) -> Part:
    versions = sort_versions(version for group in versioned_symbols(audit).values() for version in group)
    if not versions:
        return filled("The wheel references no external versioned symbols in system-provided shared libraries.")
    return filled(
        "The wheel references the following external versioned symbols in system-provided shared libraries: "
        f"{', '.join(versions)}."
    )


def _graft_parts(audit: Audit) -> Iterator[Part]:
    for group in graft_groups(audit):
        head = (
            f"In order to achieve the {_tags(group.tags)} the following shared library dependencies will need to be "
            "relocated inside the wheel:"
        )
        yield joined((filled(head), filled(", ".join(group.libraries))), "\n\n")


def _other_policies(audit: Audit) -> Iterator[Part]:
    """The policies that give no tag, and the tag that a repair can reach."""
    kept = [match.policy.name for match in audit.matches if match.is_satisfied and not match.policy.installable]
    if kept:
        noun = "policy" if len(kept) == 1 else "policies"
        names = ", ".join(f'"{name}"' for name in kept)
        yield filled(f"The wheel keeps to the {noun} {names} as well.")
    reachable = reachable_tag(audit)
    if reachable and reachable != audit.best.policy.tags[0]:
        yield filled(f'`deloc8 fixup` can reach the platform tag "{reachable}".')


def _tags(tags: Sequence[str]) -> str:
    names = ", ".join(f'"{tag}"' for tag in tags)
    return f"platform tag {names}" if len(tags) == 1 else f"platform tags {names}"


def barrier_head(barrier: Barrier) -> Lines:
    """The sentence over a barrier."""
    verb = "is" if len(barrier.tags) == 1 else "are"
    also = f'what bars "{barrier.after}", and by ' if barrier.after else ""
    return filled(f"The {_tags(barrier.tags)} {verb} barred by {also}what these files do:")


def shown_uses(barrier: Barrier, *, verbose: bool) -> tuple[Sequence[FileUse], Lines]:
    """The files that are shown, and a line on the others; empty where there are none."""
    shown = barrier.uses if verbose else barrier.uses[:_FILES_SHOWN]
    more = len(barrier.uses) - len(shown)
    return shown, printable(f"  and {more} more files (-v shows all)" if more else "")


def _barrier(barrier: Barrier, *, verbose: bool) -> Lines:
    parts = [barrier_head(barrier), NOTHING]
    shown, rest = shown_uses(barrier, verbose=verbose)
    for use in shown:
        parts.append(printable(f"  {' -> '.join(use.chain)}"))
        parts += [indented(filled(text), "    ") for text in use.texts]
    if rest:
        parts.append(rest)
    return joined(parts)


def plan_text(plan: Plan, *, verbose: bool = False) -> Lines:
    """Steps of a repair, a line each; `verbose` adds reason and files to lowered symbols."""
    from deloc8.elf.edit.vocabulary import RemoveNeeded, RemoveRpath, SetRpath  # noqa: PLC0415  other commands do without
    from deloc8.report.lowered import lowered_lines  # noqa: PLC0415

    rows = [f"Grafting: {graft.source}" for graft in plan.grafts]
    for patch in plan.patches:
        if any(isinstance(edit, SetRpath) for edit in patch.edits):
            rows.append(f"Setting RPATH: {patch.target}")
        elif any(isinstance(edit, RemoveRpath) for edit in patch.edits):
            rows.append(f"Removing RPATH: {patch.target}")
        else:
            rows.append(f"Changing: {patch.target}")
    for name, edits in _edits_by_file(plan):
        rows += [f"Removing {edit.name}: {name}" for edit in edits if isinstance(edit, RemoveNeeded)]
    return lines([*rows, *lowered_lines(plan, verbose=verbose)])


def _edits_by_file(plan: Plan) -> Iterator[tuple[str, Sequence[Edit]]]:
    """The edits of each file of the written wheel, by its name there."""
    for patch in plan.patches:
        yield patch.target, patch.edits
    for graft in plan.grafts:
        yield graft.member, graft.edits


def edit_text(edit: Edit) -> str:
    """One edit in words, such as ``replace-needed old=libfoo.so.1 new=libfoo-0123abcd.so.1``."""
    kind, fields = edit_fields(edit)
    return " ".join([kind, *(f"{name}={value}" for name, value in fields.items() if value is not None)])


def full_plan_text(plan: Plan, folder: Path) -> Lines:
    """Everything that a repair would do, for `--dry-run`."""
    rows = []
    for graft in plan.grafts:
        rows += [
            f"Would graft: {graft.source}",
            f"  as {graft.member}",
            f"  needed by {' -> '.join(graft.chain)}",
            *(f"  found by {opener}, which opens libraries" for opener in graft.openers),
            f"  {owner_text(graft.owner)}",
            *(f"  {edit_text(edit)}" for edit in graft.edits),
        ]
    for patch in plan.patches:
        rows.append(f"Would change: {patch.member}")
        rows += [f"  move to {patch.moved_to}"] if patch.moved_to else []
        rows += [f"  {edit_text(edit)}" for edit in patch.edits]
    return lines([*rows, *rest_of_plan(plan, folder)])


def rest_of_plan(plan: Plan, folder: Path, *, lowered: bool = True) -> list[str]:
    """Steps of a planned repair beside its grafts and edits, with or without lowered symbols."""
    from deloc8.report.lowered import lowered_lines  # noqa: PLC0415

    rows = lowered_lines(plan, verbose=True) if lowered else []
    told = plan.provenance
    for file in told.licences:
        rows += [f"Would copy the licence: {file.source}", f"  as {file.member}"]
    rows += [f"Would write a bill of materials: {told.sbom}"] if told.sbom else []
    if plan.strip:
        rows.append(f"Would strip all of these: {plan.strip.value}")
    if plan.tags is not None:
        rows.append(f"Would set the tags: {', '.join(plan.tags)}")
    return [*rows, "", f"Would write: {folder / plan.target.filename}"]


def owner_text(owner: Package) -> str:
    """Which package a library is of, in words."""
    if not owner.is_known:
        return f"of an unknown package: {owner.reason}" if owner.reason else "of an unknown package"
    return f"of the package {' '.join(filter(None, (owner.name, owner.version)))} ({owner.source.value})"


def written_text(path: Path) -> Lines:
    """The last lines of a repair."""
    return lines(("", f"Fixed-up wheel written to {path}", "Done!"))


def copied_text(path: Path, *, would: bool) -> Lines:
    """The only line on a wheel that needs no repair."""
    return lines([f"{'Would copy' if would else 'Copied'} a wheel without compiled files to {path}"])


def policies_text(rows: Sequence[tuple[str, Sequence[str]]]) -> Lines:
    """The policies, the best first, each with its other names."""
    return lines(f"{name} ({', '.join(aliases)})" if aliases else name for name, aliases in rows)
