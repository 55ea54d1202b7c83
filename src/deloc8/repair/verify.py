"""The proof: the written wheel is read again, as a stranger would, and compared with its plan."""

from __future__ import annotations

import posixpath
from functools import partial

from deloc8.audit.facts import found_beforehand, gather, names_of_libraries
from deloc8.audit.images import Reading
from deloc8.audit.layout import SITE_PACKAGES
from deloc8.audit.loading import stack_fault
from deloc8.audit.match import match_policies
from deloc8.audit.verdict import judge
from deloc8.audit.violations import describe
from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import BindToZero, ClearExecutableStack, JoinRelocations, UnpackRelocations
from deloc8.elf.read.image import parse_defined
from deloc8.errors import ElfError, VerificationError, WheelError
from deloc8.loader.own import are_one_library
from deloc8.loader.search import Chain, Located, Search, SearchOptions
from deloc8.loader.sysroot import Overlay
from deloc8.repair.editproof import means_as_planned, name_problems
from deloc8.repair.grafting import compat_contents, launcher
from deloc8.repair.model import Check, Proof
from deloc8.repair.provenance.add import provenance_problems
from deloc8.repair.searchpaths import reaches
from deloc8.repair.tagproof import name_of_wheel_problems, tag_problems
from deloc8.repair.unmended import tag_errors
from deloc8.values import dataclass, field, replace
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.metadata import parse_wheel_metadata
from deloc8.wheel.record import SIGNATURES, check_record, hash_members, hash_of, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from deloc8.audit.facts import WheelFacts
    from deloc8.audit.match import MatchOptions
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import ViolationCode
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.repair.model import Patch, Plan
    from deloc8.wheel.archive import Member, WheelArchive
    from deloc8.wheel.metadata import WheelMetadata

# A system that offers no library: what is found there is found inside the wheel.
# The tokens of search paths differ between systems: it is found without them.
_NOTHING = SearchOptions(only_paths=(), knows_tokens=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Claim of a written wheel: its plan, and what that rests on.

    Attributes:
        plan: The plan it was written by.
        audit: The verdict that the plan rests on.
        source: The wheel as it was.
        sysroot: The system that its grafts came from.
        extra: Policies of the user.
    """

    plan: Plan
    audit: Audit
    source: WheelArchive
    sysroot: Sysroot
    extra: tuple[Policy, ...] = ()


def verify(claim: Claim, path: Path, *, threads: int = 1) -> Proof:
    """The proof that the wheel written to a path is what its plan says.

    Raises:
        VerificationError: It is not; every contradiction is named.
    """
    try:
        with open_wheel(path, claim.source.limits, name=claim.plan.target) as written:
            checks = _checks(claim, written, threads)
    except (WheelError, ElfError) as error:
        checks = (Check(name="the wheel can be read", problems=(error.message, *error.context)),)
    proof = Proof(checks=checks)
    if proof.problems:
        raise VerificationError(
            f"the repaired wheel {claim.plan.target.filename} failed its proof and was not kept",
            code="proof-failed",
            context=proof.problems,
            hints=("this is a defect of deloc8: please report it, with the wheel if you can",),
        )
    return proof


def _checks(claim: Claim, written: WheelArchive, threads: int) -> tuple[Check, ...]:
    plan = claim.plan
    seen = _Seen(edited=frozenset(file.target for file in plan.patches) | {graft.member for graft in plan.grafts})
    before = _read_before(claim, written)
    known = claim.audit.facts
    images = {file.label: file.image for file in known.own if file.label in before}
    # What the audit passed over in the source, it would pass over again: the bytes are the same.
    others = frozenset(before) - {file.label for file in known.own} - {file.member for file in known.foreign}
    reading = Reading(threads=threads, look=seen.look, known=images, others=others)
    facts = gather(written, claim.sysroot, _NOTHING, reading=reading)
    seen.hashes.update(before)
    judged = judge(facts, claim.extra, _options(claim))
    steps = (
        ("RECORD and contents agree", _record(written, seen)),
        ("nothing else has changed", _unchanged(claim, written)),
        ("every edit is there", _edits(claim, facts)),
        ("relocations are what was planned", _relocations(claim, written)),
        ("data behind the ELF part of a file is kept", _payloads(claim, facts, written)),
        ("the compatibility library is deloc8's own", _compat(plan, written)),
        ("every edited file is fit to be loaded", _layout(claim, written, seen)),
        ("every needed library is found", _needed(claim, facts)),
        ("no graft is a second copy of a library of the wheel", _second_copies(claim)),
        ("every library on request is found by who opens it", _opened(claim, facts)),
        ("the tags are true and agree", tag_problems(plan, judged, _wheel_file(written))),
        ("check finds no error of a tag that was not told", tag_errors(plan, judged, _wheel_file(written))),
        ("it is told where every graft comes from", provenance_problems(plan, claim.source, written)),
        ("installers read the same tags from its name", name_of_wheel_problems(plan)),
    )
    return tuple(Check(name=name, problems=tuple(_with_fault(problems))) for name, problems in steps)


def _read_before(claim: Claim, written: WheelArchive) -> dict[str, str]:
    """The hash of each member whose bytes, as they are packed, are those of the source, so that it says nothing new.

    They have been unpacked when the source was read. The hashes are those of its RECORD, with which its contents were
    compared before; where it has none by sha256, or somebody has written to the source, all is read again.
    """
    source = claim.source
    if source.has_changed:
        return {}
    hashes = {row.path: row.hash.rstrip("=") for row in read_record(source).rows if row.hash.startswith("sha256=")}
    edited = {patch.member for patch in claim.plan.patches}
    return {
        member.name: hashes[member.name]
        for member in source.members
        if member.name in hashes and member.name not in edited and source.is_copied(member, written)
    }


def _with_fault(problems: Iterator[str]) -> Iterator[str]:
    """The problems; one that keeps the search from going on is the last of them."""
    try:
        yield from problems
    except (WheelError, ElfError) as error:
        yield from (error.message, *error.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Facts about the contents of ELF members, found out while these are in memory.

    Attributes:
        edited: The members whose layout is looked at.
        hashes: The hash of each ELF member.
        problems: Of each edited one: what a loader could stumble over.
    """

    edited: frozenset[str]
    hashes: dict[str, str] = field(default_factory=dict)
    problems: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def look(self, member: Member, contents: Buffer) -> None:
        if member.name in self.edited:
            self.problems[member.name] = broken_invariants(contents, member.name)
        self.hashes[member.name] = hash_of(contents)


def _record(written: WheelArchive, seen: _Seen) -> Iterator[str]:
    record = read_record(written)
    hashes = hash_members(written, record.rows, seen.hashes)
    for problem in (*record.oddities, *check_record(record.rows, written.members, hashes)):
        yield problem.message


def _unchanged(claim: Claim, written: WheelArchive) -> Iterator[str]:
    """Members that the plan does not name must be there with the same contents and mode; no others may come."""
    before = {member.name: member for member in claim.source.members}
    after = {member.name: member for member in written.members}
    signatures = {f"{claim.source.dist_info}/{name}" for name in SIGNATURES}
    for name in sorted(before.keys() - after.keys() - signatures):
        yield f"{name} is lost"
    for name in sorted(after.keys() - before.keys() - _may_come(claim.plan)):
        yield f"{name} has come from nowhere"
    may_change = _may_change(claim)
    for name in sorted(before.keys() & after.keys()):
        yield from _changes(before[name], after[name], may_change=name in may_change)
    for patch in claim.plan.patches:
        if patch.moved_to and not _is_launcher(written, patch):
            yield f"{patch.member} does not start {patch.moved_to}"


def _may_change(claim: Claim) -> set[str]:
    """The members whose contents the plan changes."""
    plan = claim.plan
    rewritten = ["RECORD"]
    if plan.tags is not None:
        rewritten.append("WHEEL")
    if plan.provenance.licence_fields:
        rewritten.append("METADATA")
    names = {patch.member for patch in plan.patches}
    names.update(f"{claim.source.dist_info}/{name}" for name in rewritten)
    return names


def _may_come(plan: Plan) -> set[str]:
    """The members that the plan adds."""
    names = {graft.member for graft in plan.grafts}
    names.update(patch.target for patch in plan.patches)
    names.update(file.member for file in plan.provenance.licences)
    if plan.compat:
        names.add(plan.compat.member)
    if plan.provenance.sbom:
        names.add(plan.provenance.sbom)
    return names


def _changes(old: Member, new: Member, *, may_change: bool) -> Iterator[str]:
    """Evidence that a member is not the one that it was."""
    if not may_change and (new.crc, new.size) != (old.crc, old.size):
        yield f"{old.name} has changed"
    # A member without a mode gets one.
    if old.mode and (new.mode ^ old.mode) & 0o777:
        yield f"{old.name} has other permissions"


def _is_launcher(written: WheelArchive, patch: Patch) -> bool:
    if patch.target not in written or patch.member not in written:
        return False
    script = written.read(written.member(patch.member))
    return script == launcher(patch.target) and bool(written.member(patch.target).mode & 0o100)


def _edits(claim: Claim, facts: WheelFacts) -> Iterator[str]:
    now = {file.label: file.image for file in facts.own}
    before = claim.audit.facts.files
    by_member = {file.label: file.image for file in claim.audit.facts.own}
    planned = [(patch.target, by_member[patch.member], patch.edits) for patch in claim.plan.patches]
    planned += [(graft.member, before[graft.source].image, graft.edits) for graft in claim.plan.grafts]
    for member, image, edits in planned:
        if member not in now:
            yield f"{member} is not there as an ELF file for the wheel's machine"
        elif problems := name_problems(now[member], image, edits):
            yield from (f"{member} {problem}" for problem in problems)
        elif not means_as_planned(now[member], image, edits):
            yield f"{member}: its symbols or versions are not what was planned"
        elif stack_fault(now[member]) is not _stack_after(image, edits):
            yield f"{member}: its stack is not what was planned"


def _stack_after(image: ElfImage, edits: Sequence[Edit]) -> ViolationCode | None:
    """How a file must ask for an executable stack after some edits; None where it must not."""
    is_cleared = any(isinstance(edit, ClearExecutableStack) for edit in edits)
    return None if is_cleared else stack_fault(image)


def _relocations(claim: Claim, written: WheelArchive) -> Iterator[str]:
    """Whether edits that change relocations have changed those that they are about, and no others."""
    source, sysroot = claim.source, claim.sysroot
    files = [(patch.target, patch.edits, partial(_member, source, patch.member)) for patch in claim.plan.patches]
    files += [(graft.member, graft.edits, partial(sysroot.read, graft.source)) for graft in claim.plan.grafts]
    for member, edits, old in files:
        if any(isinstance(edit, BindToZero | JoinRelocations | UnpackRelocations) for edit in edits):
            from deloc8.repair.lowering import proof as lowerproof  # noqa: PLC0415  few wheels are lowered

            planned = lowerproof.planned_relocations(old(), edits, member)
            yield from lowerproof.relocation_problems(planned, _member(written, member), member)


def _payloads(claim: Claim, facts: WheelFacts, written: WheelArchive) -> Iterator[str]:
    """Whether the data that a program carries behind its ELF part is still there, where the program looks for it."""
    source, sysroot = claim.source, claim.sysroot
    now = {file.label: file.image for file in facts.own}
    by_member = {file.label: file.image for file in claim.audit.facts.own}
    files = [
        (patch.target, by_member[patch.member], partial(_member, source, patch.member)) for patch in claim.plan.patches
    ]
    files += [
        (graft.member, claim.audit.facts.files[graft.source].image, partial(sysroot.read, graft.source))
        for graft in claim.plan.grafts
    ]
    for member, image, old in files:
        if image.has_payload or (member in now and now[member].has_payload):
            from deloc8.repair.payloadproof import payload_problems  # noqa: PLC0415  few files have one

            yield from payload_problems(old(), _member(written, member), member)


def _member(archive: WheelArchive, name: str) -> Buffer:
    return archive.read(archive.member(name))


def _compat(plan: Plan, written: WheelArchive) -> Iterator[str]:
    """Whether the library of functions that older releases of glibc lack is there, and has what files take from it."""
    if plan.compat is None:
        return
    contents = bytes(written.read(written.member(plan.compat.member)))
    if contents != compat_contents(plan.compat):
        yield f"{plan.compat.member} is not the library of deloc8 under its new name"
    offered = {symbol.name for symbol in parse_defined(contents, plan.compat.member)}
    yield from (f"{plan.compat.member} lacks {name}" for name in plan.compat.functions if name not in offered)
    yield from (f"{plan.compat.member}: {line}" for line in broken_invariants(contents, plan.compat.member))


def _layout(claim: Claim, written: WheelArchive, seen: _Seen) -> Iterator[str]:
    def problems(member: str, old: Callable[[], tuple[str, ...]]) -> Iterator[str]:
        new = seen.problems.get(member)
        if new is None:
            new = broken_invariants(written.read(written.member(member)), member)
        before = old() if new else ()
        yield from (f"{member}: {problem}" for problem in new if problem not in before)

    source, sysroot = claim.source, claim.sysroot
    for patch in claim.plan.patches:
        name = patch.member
        yield from problems(patch.target, partial(_broken, source.read, source.member(name), name))
    for graft in claim.plan.grafts:
        yield from problems(graft.member, partial(_broken, sysroot.read, graft.source, graft.source))


def _broken(read: Callable[[Any], Buffer], place: Member | str, name: str) -> tuple[str, ...]:
    return broken_invariants(read(place), name)


def _options(claim: Claim) -> MatchOptions:
    """The options of the audit; what was to be grafted travels in the wheel now."""
    return replace(claim.audit.options, graft=())


def _needed(claim: Claim, facts: WheelFacts) -> Iterator[str]:
    """Every needed library travels in the wheel, is the system's by the policy, or was left out on request."""
    (match,) = match_policies(facts, (claim.plan.policy,), _options(claim))
    for violation in match.violations:
        yield f"{violation.file}: {describe((violation,))[0]}"
    grafted = {graft.new_name for graft in claim.plan.grafts}
    grafted |= {claim.plan.compat.new_name} if claim.plan.compat else set()
    for file in facts.own:
        for dependency in facts.dependencies.get(file.path, ()):
            if dependency.target is not None and found_beforehand(dependency):
                # Right where the policy takes it from the system, or no folder leads to it.
                near = reaches(posixpath.dirname(file.path), posixpath.dirname(dependency.target))
                if near and not claim.plan.policy.allows_library(dependency.name):
                    yield f"{file.label} does not find {dependency.name}, though the wheel has it"
            elif dependency.target is None and posixpath.basename(dependency.name) in grafted:
                yield f"{file.label} does not find the graft {dependency.name}"
    yield from _optional(claim, facts)


def _optional(claim: Claim, facts: WheelFacts) -> Iterator[str]:
    """Libraries of the wheel that a file can be loaded without, so that only the proof misses them."""
    before = claim.audit.facts
    moved = {patch.member: patch.target for patch in claim.plan.patches}
    now = {file.label: file.path for file in facts.own}
    inside = {file.path for file in before.own}
    for file in before.own:
        for row in before.dependencies.get(file.path, ()):
            if row.target in inside and row.kind.is_optional:
                rows = facts.dependencies.get(now.get(moved.get(file.label, file.label), ""), ())
                found = {other.name for other in rows if other.target is not None}
                if found.isdisjoint({row.name, posixpath.basename(row.target or "")}):
                    yield f"{file.label} does not find {row.name}, though the wheel has it"


def _second_copies(claim: Claim) -> Iterator[str]:
    """One process would have the state of such a library twice: in the wheel's file, and in the graft."""
    facts = claim.audit.facts
    own = names_of_libraries(facts.own, facts.libc, facts.variants)
    for graft in claim.plan.grafts:
        for path in own.get(graft.soname or "", ()):
            if are_one_library(facts.files[path].image.soname, graft.soname):
                yield f"{graft.member} is a copy of {graft.soname}, which the wheel has in {facts.files[path].label}"


def _opened(claim: Claim, facts: WheelFacts) -> Iterator[str]:
    """The names that stay as they are in the code lead, by the search path of who opens them, to the grafts."""
    own = {file.label: file for file in facts.own}
    moved = {patch.member: patch.target for patch in claim.plan.patches}
    files = Overlay(claim.sysroot, {file.path: file.image for file in facts.own}, facts.environment)
    search = Search(files, replace(_NOTHING, libc=facts.libc or _NOTHING.libc), {})
    for graft in claim.plan.grafts:
        for opener in graft.openers:
            file = own[moved.get(opener, opener)]
            lookup = search.find(graft.new_name, Chain(Located(file.path, file.image)), search.machine_of(file.image))
            if lookup.real_path != f"{SITE_PACKAGES}/{graft.member}":
                yield f"{file.label} does not find {graft.new_name}, which it shall open"


def _wheel_file(written: WheelArchive) -> WheelMetadata:
    return parse_wheel_metadata(bytes(written.read(written.member(f"{written.dist_info}/WHEEL"))))
