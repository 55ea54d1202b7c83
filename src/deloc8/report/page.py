"""Content of an HTML page on one wheel, as plain values for its template."""

from __future__ import annotations

from deloc8.audit.notices import notices
from deloc8.audit.violations import ViolationCode
from deloc8.elf.edit.vocabulary import AddNeeded, BindVersion, RemoveNeeded, RemoveRpath, ReplaceNeeded, SetRpath
from deloc8.elf.read.dynamic import Dynamic
from deloc8.policy.model import version_key
from deloc8.repair.model import Outcome
from deloc8.report.graph import draw
from deloc8.report.lowered import lowered_rows
from deloc8.report.model import barriers, libraries_to_graft, reachable_tag
from deloc8.report.to_text import edit_text
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.diagnostic import Diagnostic
    from deloc8.dlopen.openings import Opening
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.errors import Deloc8Error
    from deloc8.repair.model import Graft, Plan
    from deloc8.report.graph import Graph
    from deloc8.report.lowered import LoweredRow
    from deloc8.report.model import Barrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Result of the work on one wheel.

    Attributes:
        name: Its file name.
        audit: The verdict; None where there is an error.
        error: Why there is none, or why it could not be repaired.
        repair: What a repair does to it, or did.
    """

    name: str
    audit: Audit | None = None
    error: Deloc8Error | None = None
    repair: Plan | Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Tags of one status, with what the wheel would need for them.

    Attributes:
        tags: The best first.
        aliases: Their other names.
        status: ``fits``, ``reachable`` or ``barred``.
        libraries: What must be copied into the wheel.
        barrier: What blocks them; None where nothing does.
    """

    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    status: str
    libraries: tuple[str, ...]
    barrier: Barrier | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRow:
    """One versioned symbol that a file of the wheel, or a graft, takes from a library.

    Attributes:
        symbol: Its name; empty for a version without symbols.
        version: Its version.
        library: The needed name of the library.
        files: The files that use it.
        barred: The tags that it blocks, the nearest first.
    """

    symbol: str
    version: str
    library: str
    files: tuple[str, ...]
    barred: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing before and after a repair."""

    what: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRow:
    """One patched file: its needed names and search path before and after, and the edits in words."""

    member: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    edits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Before and after.

    Attributes:
        is_done: Whether the wheel was written, or this is only a plan.
        changes: What differs of the wheel as a whole.
        grafts: The libraries copied in.
        patches: The files of the wheel that were edited.
        lowered: The symbols that were bound to older versions of glibc.
        proven: What was proven of the result.
        notes: What the user should know.
    """

    is_done: bool
    changes: tuple[Change, ...]
    grafts: tuple[Graft, ...]
    patches: tuple[PatchRow, ...]
    lowered: tuple[LoweredRow, ...]
    proven: tuple[str, ...]
    notes: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPage:
    """One wheel with compiled files.

    Attributes:
        tag: The best tag that it fits as it is.
        is_generic: Whether that tag promises nothing.
        reachable: The best tag that `fixup` can bring it to; None where that is none but the generic one, or `tag`.
        claims: The tags of its file name, judged.
        rungs: The ladder of tags, the best first.
        graph: What it loads.
        policy: The tag under which the graph is drawn.
        symbols: The versioned symbols it uses.
        notices: What a packager should know.
        openings: What it opens at run time; None where that was not examined.
    """

    tag: str
    is_generic: bool
    reachable: str | None
    claims: tuple[Claim, ...]
    rungs: tuple[Rung, ...]
    graph: Graph
    policy: str
    symbols: tuple[SymbolRow, ...]
    notices: tuple[Diagnostic, ...]
    openings: tuple[Opening, ...] | None


def wheel_page(audit: Audit, plan: Plan | None = None) -> WheelPage:
    """Page of a wheel with compiled files; the graph is that of a repair's policy, if any."""
    match = audit.outlook if plan is None else audit.match(plan.policy)
    tag = audit.best.policy.tags[0]
    reachable = reachable_tag(audit)
    return WheelPage(
        tag=tag,
        is_generic=audit.best.policy.is_unbounded,
        reachable=None if reachable == tag else reachable,
        claims=audit.claims,
        rungs=_rungs(audit),
        graph=draw(audit, match),
        policy=match.policy.tags[0],
        symbols=_symbols(audit, match),
        notices=notices(audit, match),
        openings=audit.openings,
    )


def _rungs(audit: Audit) -> tuple[Rung, ...]:
    by_tag = {tag: barrier for barrier in barriers(audit) for tag in barrier.tags}
    rungs: list[Rung] = []
    for match in audit.matches:
        status = "fits" if match.is_satisfied else "reachable" if match.is_reachable else "barred"
        tags = match.policy.tags
        rung = Rung(
            tags=tags[:1],
            aliases=tags[1:],
            status=status,
            libraries=libraries_to_graft(match),
            barrier=by_tag.get(tags[0]),
        )
        last = rungs[-1] if rungs else None
        if last and _essence(last) == _essence(rung):
            rungs[-1] = Rung(
                tags=(*last.tags, *rung.tags),
                aliases=(*last.aliases, *rung.aliases),
                status=status,
                libraries=rung.libraries,
                barrier=rung.barrier,
            )
        else:
            rungs.append(rung)
    return tuple(rungs)


def _essence(rung: Rung) -> tuple[object, ...]:
    return rung.status, rung.libraries, rung.barrier and rung.barrier.tags


def _symbols(audit: Audit, match: PolicyMatch) -> tuple[SymbolRow, ...]:
    barred = _tags_barred_by_symbols(audit)
    files = _files_by_symbol(audit, match)

    def tags(key: tuple[str, str, str]) -> tuple[str, ...]:
        return tuple(barred.get(key, ()))

    # The symbol that blocks most tags comes first: it is what the reader looks for.
    order = sorted(files, key=lambda key: (-len(tags(key)), key[0], version_key(key[1]), key[2]))
    return tuple(
        SymbolRow(symbol=symbol, version=version, library=library, files=tuple(files[key]), barred=tags(key))
        for key in order
        for library, version, symbol in [key]
    )


def _tags_barred_by_symbols(audit: Audit) -> Mapping[tuple[str, str, str], Collection[str]]:
    """By library, version and symbol: the tags that it is too new for; a version without symbols has an empty one."""
    barred: dict[tuple[str, str, str], dict[str, None]] = {}
    for better in audit.better:
        for violation in better.violations:
            if violation.code is ViolationCode.SYMBOL_TOO_NEW:
                key = (violation.library or "", violation.version or "", violation.symbol or "")
                barred.setdefault(key, {})[better.policy.tags[0]] = None
    return barred


def _files_by_symbol(audit: Audit, match: PolicyMatch) -> Mapping[tuple[str, str, str], Sequence[str]]:
    """By library, version and symbol: the files that ask the system for it."""
    inside = {file.path for file in match.closure.files}
    files: dict[tuple[str, str, str], list[str]] = {}
    for file in match.closure.files:
        bundled = {row.name for row in audit.facts.dependencies.get(file.path, ()) if row.target in inside}
        for wanted in file.wanted:
            if wanted.library not in bundled:
                for symbol in wanted.symbols or ("",):
                    files.setdefault((wanted.library, wanted.version, symbol), []).append(file.label)
    return files


def repair_page(audit: Audit, repair: Plan | Outcome) -> Repair:
    """Before and after a repair."""
    plan, outcome = (repair.plan, repair) if isinstance(repair, Outcome) else (repair, None)
    images = {file.label: file.image for file in audit.facts.own}
    patches = []
    for patch in plan.patches:
        dynamic = images[patch.member].dynamic or Dynamic()
        needed = images[patch.member].linked
        path = dynamic.rpath if dynamic.runpath is None else dynamic.runpath
        after = _needed_after(needed, patch.edits)
        patches.append(
            PatchRow(
                member=patch.member,
                before=(*needed, *_search_path(path)),
                after=(*after, *_search_path(_path_after(path, patch.edits))),
                edits=(*([f"move to {patch.moved_to}"] if patch.moved_to else []), *map(edit_text, patch.edits)),
            )
        )
    return Repair(
        is_done=outcome is not None,
        changes=_changes(audit, plan, outcome),
        grafts=plan.grafts,
        patches=tuple(patches),
        lowered=lowered_rows(plan),
        proven=tuple(check.name for check in outcome.proof.checks) if outcome else (),
        notes=plan.notes,
    )


def _changes(audit: Audit, plan: Plan, outcome: Outcome | None) -> tuple[Change, ...]:
    wanted = libraries_to_graft(audit.match(plan.policy))
    rows = [
        Change(what="File name", before=(plan.source.filename,), after=(plan.target.filename,)),
        Change(what="Platform tag", before=(audit.best.policy.tags[0],), after=(plan.policy.tags[0],)),
        Change(
            what="Tags of the WHEEL file",
            before=audit.facts.metadata_tags,
            after=audit.facts.metadata_tags if plan.tags is None else plan.tags,
        ),
        Change(what="Needed from outside, though the tag does not promise it", before=wanted, after=()),
        Change(what="Libraries copied in", before=(), after=_copied_in(plan)),
    ]
    if outcome:
        rows.append(Change(what="Written to", before=(), after=(str(outcome.path), f"sha256 {outcome.sha256}")))
    return tuple(rows)


def _copied_in(plan: Plan) -> tuple[str, ...]:
    return (*(graft.member for graft in plan.grafts), *([plan.compat.member] if plan.compat else []))


def _needed_after(needed: Sequence[str], edits: Sequence[Edit]) -> Sequence[str]:
    names = list(needed)
    for edit in edits:
        if isinstance(edit, ReplaceNeeded):
            names = [edit.new if name == edit.old else name for name in names]
        elif isinstance(edit, RemoveNeeded):
            names = [name for name in names if name != edit.name]
        elif isinstance(edit, BindVersion) and edit.library not in names:
            names = [*names, edit.library]
        elif isinstance(edit, AddNeeded):
            names = [edit.name, *names] if edit.first else [*names, edit.name]
    return names


def _path_after(path: str | None, edits: Sequence[Edit]) -> str | None:
    for edit in edits:
        if isinstance(edit, SetRpath):
            path = edit.path
        elif isinstance(edit, RemoveRpath):
            path = None
    return path


def _search_path(path: str | None) -> tuple[str, ...]:
    return () if path is None else (f"search path {path}",)
