"""Reports as JSON: versioned, sorted, stable. These functions give values; `cli` writes them.

Names and paths are given as they are. Sentences are for people, and programs print them line by
line: a name in one is shown as everywhere else, so that each stays one line.
"""

from __future__ import annotations

from deloc8.audit.notices import files_left_alone, notices
from deloc8.report.dlopened import opening_value
from deloc8.report.model import edit_fields, external_libraries, libraries_to_graft, versioned_symbols
from deloc8.report.where import where_value
from deloc8.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.audit.violations import Violation
    from deloc8.diagnostic import Diagnostic
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.errors import Deloc8Error
    from deloc8.repair.model import CompatGraft, Graft, Outcome, Package, Patch, Plan, Rewrite

SCHEMA = 1
"""The version of every document; it grows when a key changes its meaning or goes, not when one comes."""

Json = dict[str, object]


def document(command: str, wheels: Sequence[Json]) -> Json:
    """The document of one command."""
    return {"schema": SCHEMA, "command": command, "wheels": list(wheels)}


def error_document(command: str | None, error: Deloc8Error) -> Json:
    """The document of a command that could not even begin."""
    return {"schema": SCHEMA, "command": command, "error": error_value(error)}


def error_value(error: Deloc8Error) -> Json:
    """An error."""
    return {
        "code": error.code,
        "message": printable(error.message),
        "context": sentences(error.context),
        "notes": sentences(error.notes),
        "hints": sentences(error.hints),
    }


def sentences(texts: Sequence[str]) -> list[str]:
    """Some texts for people, each one line."""
    return [printable(text) for text in texts]


def failed_wheel(wheel: str, error: Deloc8Error) -> Json:
    """A wheel that could not be worked on."""
    return {"wheel": wheel, "error": error_value(error)}


def audit_value(audit: Audit) -> Json:
    """Report of `show` on one wheel."""
    facts = audit.facts
    common: Json = {
        "wheel": facts.name.filename,
        "pure": audit.is_pure,
        "overall_tag": None if audit.is_pure else audit.best.policy.tags[0],
        "claimed_tags": [_claim(claim) for claim in audit.claims],
        "machine": facts.arch.value if facts.arch else None,
        "libc": facts.libc.value if facts.libc else None,
    }
    if audit.is_pure:
        alone = [diagnostic_value(notice) for notice in files_left_alone(audit)]
        return {**common, "notices": alone} if alone else common
    return {
        **common,
        "versioned_symbols": {library: list(versions) for library, versions in versioned_symbols(audit).items()},
        "external_libraries": dict(external_libraries(audit)),
        "notices": [diagnostic_value(notice) for notice in notices(audit, audit.outlook)],
        "policies": [_policy(match) for match in audit.matches],
        "distributions": where_value(audit),
        "dlopened": None if audit.openings is None else [opening_value(opening) for opening in audit.openings],
    }


def _claim(claim: Claim) -> Json:
    return {"tag": claim.tag, "truth": claim.truth.value, "reason": printable(claim.reason)}


def _policy(match: PolicyMatch) -> Json:
    return {
        "name": match.policy.tags[0],
        "aliases": list(match.policy.tags[1:]),
        "satisfied": match.is_satisfied,
        "reachable": match.is_reachable,
        "libraries_to_graft": list(libraries_to_graft(match)),
        "violations": [_violation(violation) for violation in match.violations],
    }


def _violation(violation: Violation) -> Json:
    return {
        "code": violation.code.value,
        "file": violation.file,
        "symbol": violation.symbol,
        "version": None if violation.since else violation.version,
        "since": violation.since,
        "library": violation.library,
        "chain": list(violation.chain),
    }


def plan_value(plan: Plan) -> Json:
    """Plan of a repair, done or not."""
    return {
        "wheel": plan.source.filename,
        "result": plan.target.filename,
        "policy": plan.policy.tags[0],
        "tags": None if plan.tags is None else list(plan.tags),
        "strip": plan.strip.value if plan.strip else None,
        "grafts": [_graft(graft) for graft in plan.grafts],
        "patches": [_patch(patch) for patch in plan.patches],
        "rewrites": [_rewrite(rewrite) for rewrite in plan.rewrites],
        "compat": _compat(plan.compat) if plan.compat else None,
        "sbom": plan.provenance.sbom,
        "licences": [{"source": file.source, "member": file.member} for file in plan.provenance.licences],
        "licence_fields": list(plan.provenance.licence_fields),
        "notes": [diagnostic_value(note) for note in plan.notes],
    }


def outcome_value(outcome: Outcome) -> Json:
    """Result of a repair: its plan, and the wheel that was written."""
    return {
        **plan_value(outcome.plan),
        "output": str(outcome.path),
        "sha256": outcome.sha256,
        "size": outcome.size,
        "encoder": outcome.encoder,
        "proven": [check.name for check in outcome.proof.checks],
    }


def _graft(graft: Graft) -> Json:
    return {
        "source": graft.source,
        "sha256": graft.sha256,
        "size": graft.size,
        "soname": graft.soname,
        "member": graft.member,
        "new_name": graft.new_name,
        "chain": list(graft.chain),
        "edits": _edits(graft.edits),
        "package": _package(graft.owner),
        "openers": list(graft.openers),
    }


def _rewrite(rewrite: Rewrite) -> Json:
    return {
        "file": rewrite.file,
        "symbol": rewrite.symbol or None,
        "from": rewrite.version,
        "library": rewrite.library,
        "to_symbol": rewrite.to_symbol or None,
        "to": rewrite.to_version,
        "to_library": rewrite.to_library,
        "class": rewrite.kind.value,
        "reason": rewrite.reason,
    }


def _compat(graft: CompatGraft) -> Json:
    return {
        "sha256": graft.sha256,
        "size": graft.size,
        "member": graft.member,
        "new_name": graft.new_name,
        "functions": list(graft.functions),
    }


def _package(package: Package) -> Json:
    return {
        "source": package.source.value,
        "name": package.name or None,
        "version": package.version or None,
        "purl": package.purl or None,
        "reason": printable(package.reason) or None,
    }


def _patch(patch: Patch) -> Json:
    return {"member": patch.member, "moved_to": patch.moved_to, "edits": _edits(patch.edits)}


def _edits(edits: Sequence[Edit]) -> list[Json]:
    described = [edit_fields(edit) for edit in edits]
    return [{"edit": kind, **values} for kind, values in described]


def diagnostic_value(diagnostic: Diagnostic) -> Json:
    """One finding."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "subject": diagnostic.subject,
        "message": printable(diagnostic.message),
        "context": sentences(diagnostic.context),
        "hints": sentences(diagnostic.hints),
    }
