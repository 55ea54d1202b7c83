"""Writes what a plan says, and nothing else."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from threading import Lock

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.edit.writer import edit_owned
from deloc8.elf.read.notes import announced_build_id
from deloc8.errors import InputError, WheelError
from deloc8.faults import changed
from deloc8.repair.grafting import compat_contents, launcher
from deloc8.repair.model import Patch
from deloc8.repair.provenance.licences import add_licence_fields
from deloc8.values import NamedTuple, dataclass, field, replace
from deloc8.wheel.archive import is_large
from deloc8.wheel.metadata import parse_wheel_metadata, retag
from deloc8.wheel.record import check_record, hash_members, hash_of, read_record
from deloc8.wheel.staging import temporary_workroom
from deloc8.wheel.writer import LAST_SECOND, Changes, NewMember, WriteOptions, write_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.known import Known
    from deloc8.repair.model import Graft, Plan
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.record import RecordRow
    from deloc8.wheel.writer import WrittenWheel

    # The new contents of a file, from what gives its old ones; the last is its name for messages.
    _Change: TypeAlias = Callable[[Callable[[], Buffer], Patch | Graft, str], Buffer]

# Permissions of a shared library; installers keep the executable bits of an archive.
_LIBRARY_MODE = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Inputs of a plan: the wheel, the system of its grafts, and what the audit has read."""

    archive: WheelArchive
    sysroot: Sysroot
    known: Known


class Executed(NamedTuple):
    """Written wheel, and what turned out on the way: `notes`, beside those of the plan."""

    wheel: WrittenWheel
    notes: tuple[Diagnostic, ...]


def execute(plan: Plan, source: Source, target: Path, options: WriteOptions) -> Executed:
    """The wheel of a plan, written to a temporary path; the proof and the last rename are the caller's.

    Raises:
        InputError: A library is not what it was when the plan was made.
        WheelError: The wheel's RECORD does not tell what is in it, or somebody has written to the wheel.
        ElfError: A file cannot be edited as planned.
    """
    archive = source.archive
    rows = read_record(archive).rows
    source.known.keep({patch.member for patch in plan.patches})
    reader = _Reader(archive=archive, known=source.known)
    hidden: list[str] = []
    change = _changer(plan, target, hidden)
    replaced, added = _edited(plan, archive, reader, change)
    if plan.compat and plan.compat.member in archive:  # from an earlier repair
        replaced[plan.compat.member] = functools.partial(compat_contents, plan.compat)
    added += _grafts(plan, source.sysroot, reader, change)
    added += _told(plan, source.sysroot, options.source_date_epoch)
    if plan.provenance.licence_fields:
        name = f"{archive.dist_info}/METADATA"
        replaced[name] = _constant(add_licence_fields(bytes(reader.read(name)), plan.provenance.licence_fields))
    if plan.tags is not None:
        name = f"{archive.dist_info}/WHEEL"
        metadata = parse_wheel_metadata(bytes(reader.read(name)))
        replaced[name] = _constant(retag(metadata, plan.tags, platform_specific=True))
    changes = Changes(replaced=replaced, added=tuple(added), hashes=source.known.hashes, turn=reader.turn)
    written = write_wheel(target, archive, changes, options)
    archive.refuse_change()
    changed = frozenset(written.changed)
    unchanged = {row.path: row.hash for row in written.rows if row.path not in changed}
    _refuse_false_record(archive, rows, {**unchanged, **reader.hashes})
    return Executed(written, tuple(map(_hidden_build_id, sorted(hidden))))


def rehearse(plan: Plan, source: Source) -> Plan:
    """A plan with what its execution would tell: its files are stripped and edited, and what they become is dropped.

    Only so is known which files `strip` refuses, and which edits are impossible.

    Raises:
        InputError: Files cannot be stripped or edited as planned; all of them are named.
        SystemFault: There is no folder for temporary files, or no room in it.
    """
    hidden: list[str] = []
    errors = []
    reader = _Reader(archive=source.archive, known=source.known)
    with nullcontext("") if plan.strip is None else temporary_workroom() as folder:
        change = _changer(plan, Path(folder, "rehearsal"), hidden)
        steps: list[Callable[[], Buffer]] = []
        steps += [functools.partial(reader.changed, patch, change) for patch in plan.patches]
        steps += [_grafted(source.sysroot, graft, reader, change) for graft in plan.grafts]
        for step in steps:
            try:
                step()
            except InputError as error:
                errors.append(error)
    if len(errors) > 1:
        raise _all_of(errors)
    if errors:
        raise errors[0]
    return replace(plan, notes=(*plan.notes, *map(_hidden_build_id, sorted(hidden))))


def _all_of(errors: Sequence[InputError]) -> InputError:
    """One error for several files."""
    lines = [f"{error.message}: {'; '.join(error.context)}" for error in errors]
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    return InputError(
        f"{len(errors)} files cannot be stripped or edited as asked",
        code=errors[0].code,
        context=(*lines[:_MOST_SHOWN], *more),
        hints=tuple(dict.fromkeys(hint for error in errors for hint in error.hints)),
    )


def _hidden_build_id(member: str) -> Diagnostic:
    return Diagnostic(
        code="build-id-hidden",
        severity=Severity.WARNING,
        subject=member,
        message="its build id is no longer found in memory, by crash reporters and in core files: "
        "there was no other program header (PT_NOTE) to take for what is new",
    )


def _edited(
    plan: Plan, archive: WheelArchive, reader: _Reader, change: _Change
) -> tuple[dict[str, Callable[[], Buffer]], list[NewMember]]:
    """The members that are edited: in their place, or elsewhere, with a launcher in their place."""
    replaced: dict[str, Callable[[], Buffer]] = {}
    moved = []
    for patch in plan.patches:
        contents = _patched(reader, patch, change)
        member = archive.member(patch.member)
        if patch.moved_to is None:
            replaced[patch.member] = contents
        else:
            replaced[patch.member] = _constant(launcher(patch.moved_to))
            mode = member.mode & 0o777 | 0o111
            moved.append(NewMember(name=patch.moved_to, content=contents, mode=mode, size=member.size))
    return replaced, moved


def _grafts(plan: Plan, sysroot: Sysroot, reader: _Reader, change: _Change) -> Iterator[NewMember]:
    """The libraries that come into the wheel."""
    for graft in plan.grafts:
        contents = _grafted(sysroot, graft, reader, change)
        yield NewMember(name=graft.member, content=contents, mode=_LIBRARY_MODE, size=graft.size)
    if plan.compat and plan.compat.member not in reader.archive:
        contents = functools.partial(compat_contents, plan.compat)
        yield NewMember(name=plan.compat.member, content=contents, mode=_LIBRARY_MODE, size=plan.compat.size)


def _told(plan: Plan, sysroot: Sysroot, moment: int | None) -> Iterator[NewMember]:
    """Members about the grafts: licences, and a bill of materials."""
    for file in plan.provenance.licences:
        yield NewMember(name=file.member, content=_unchanged(sysroot, file.source, file.sha256))
    if plan.provenance.sbom is not None:
        yield NewMember(name=plan.provenance.sbom, content=_sbom(plan, moment))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads the members that will be changed, and keeps the hash of what it has read.

    Of large files, which have temporary ones while they are edited or stripped, there is one at a time.
    """

    archive: WheelArchive
    known: Known
    hashes: dict[str, str] = field(default_factory=dict)
    turn: Lock = field(default_factory=Lock)

    def changed(self, patch: Patch, change: _Change) -> Buffer:
        """The new contents of a member."""
        with self.alone(self.archive.member(patch.member).size):
            return change(functools.partial(self.read, patch.member), patch, patch.member)

    def alone(self, size: int) -> AbstractContextManager[object]:
        """While a file of so many bytes is worked on; where it is large, no other large one is."""
        return self.turn if is_large(size) else nullcontext()

    def read(self, name: str) -> Buffer:
        contents = self.known.take(self.archive, name)
        self.hashes[name] = self.known.hashes.get(name) or hash_of(contents)
        return contents


# The new RECORD is true in any case. What the old one merely leaves out harms nobody; what it says wrong tells that the
# contents are not those that were built.
_FALSE = frozenset({"unlisted-member", "absent-member", "wrong-size", "wrong-hash"})
_MOST_SHOWN = 20


def _refuse_false_record(archive: WheelArchive, rows: Sequence[RecordRow], hashes: Mapping[str, str]) -> None:
    """Raise WheelError where RECORD and the contents of the source disagree; `hashes` are sha256."""
    if any(row.hash and not row.hash.startswith("sha256=") for row in rows):
        hashes = hash_members(archive, rows)
    # Rows of folders should not be there, but say nothing wrong.
    listed = [row for row in rows if not row.path.endswith("/")]
    problems = [problem for problem in check_record(listed, archive.members, hashes) if problem.code in _FALSE]
    if problems:
        lines = [line for problem in problems for line in (problem.message, *(f"  {text}" for text in problem.context))]
        more = [f"and {len(lines) - _MOST_SHOWN} lines more"] if len(lines) > _MOST_SHOWN else []
        raise WheelError(
            f"the RECORD of {archive.name.filename} does not tell what is in it",
            code="record-mismatch",
            context=(*lines[:_MOST_SHOWN], *more),
            hints=problems[0].hints,
        )


def _constant(contents: bytes) -> Callable[[], Buffer]:
    return lambda: contents


def _changer(plan: Plan, wheel: Path, hidden: list[str]) -> _Change:
    """Function that makes the new contents of a file from the old ones.

    `hidden` gets the members whose build id it gives up.
    """
    prepare = _preparer(plan, wheel)

    def change(read: Callable[[], Buffer], target: Patch | Graft, name: str) -> Buffer:
        contents = prepare(read, name)
        before = announced_build_id(contents, name)
        edited = edit_owned(contents, target.edits, name)
        if before and announced_build_id(edited, name) != before:
            hidden.append(target.target if isinstance(target, Patch) else target.member)
        return edited

    return change


def _preparer(plan: Plan, wheel: Path) -> Callable[[Callable[[], Buffer], str], Buffer]:
    """Function that reads a file as it is to be edited."""
    level, arch = plan.strip, plan.policy.arch
    if level is None or arch is None:
        return lambda read, _name: read()
    from deloc8.repair.strip import Stripper, find_strip, strip  # noqa: PLC0415  only where it is asked for

    stripper = Stripper(level=level, tool=find_strip(arch), target=wheel)
    # Stripped first: strip moves what the edits rely on.
    return lambda read, name: strip(read, stripper, name)


def _patched(reader: _Reader, patch: Patch, change: _Change) -> Callable[[], Buffer]:
    return lambda: reader.changed(patch, change)


def _grafted(sysroot: Sysroot, graft: Graft, reader: _Reader, change: _Change) -> Callable[[], Buffer]:
    def contents() -> Buffer:
        with reader.alone(graft.size):
            return change(_unchanged(sysroot, graft.source, graft.sha256), graft, graft.source)

    return contents


def _unchanged(sysroot: Sysroot, path: str, digest: str) -> Callable[[], Buffer]:
    """Function that gives the contents of a file, if they are those that the plan was made for."""

    def contents() -> Buffer:
        found = sysroot.read(path)
        if sha256(found).hexdigest() != digest:
            raise changed(path, "library-changed")
        return found

    return contents


def _sbom(plan: Plan, moment: int | None) -> Callable[[], Buffer]:
    def contents() -> Buffer:
        from deloc8.repair.provenance.sbom import render_sbom  # noqa: PLC0415  beside the work of other threads

        return render_sbom(plan, None if moment is None else min(moment, LAST_SECOND))

    return contents
