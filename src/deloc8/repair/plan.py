"""From a verdict and a goal to a plan: pure data, nothing is read or written here."""

from __future__ import annotations

import posixpath
from functools import cached_property

from deloc8.audit.facts import REQUEST, found_beforehand
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.audit.match import Provision, match_policies
from deloc8.audit.notices import notices
from deloc8.audit.verdict import Truth, find_tag
from deloc8.audit.violations import describe
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.edit.vocabulary import AddNeeded, RemoveNeeded, ReplaceAudit, ReplaceNeeded, RpathKind, SetSoname
from deloc8.errors import UnrepairableError, UsageError
from deloc8.repair import grafting, searchpaths
from deloc8.repair.choose import is_blind
from deloc8.repair.left_out import left_out_notes
from deloc8.repair.model import Graft, Patch, Plan
from deloc8.repair.requested import OPENED, opened_notes, opens
from deloc8.repair.stacks import stack_edits, stack_notes
from deloc8.repair.wholes import second_glib_warning
from deloc8.target import Libc
from deloc8.values import dataclass, replace
from deloc8.wheel.paths import path_fault
from deloc8.wheel.record import SIGNATURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import Closure, PolicyMatch
    from deloc8.audit.vendor import VendorFolder
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.policy.model import Policy
    from deloc8.repair.choose import Aim
    from deloc8.repair.grafting import Fingerprint
    from deloc8.repair.lowering.choose import Lowering
    from deloc8.repair.model import CompatGraft, Goal

_SCRIPTS = VIRTUAL_ROOT + "/bin/"


def make_plan(
    aim: Aim,
    goal: Goal,
    fingerprints: Mapping[str, Fingerprint],
    vendors: Mapping[str, Mapping[str, VendorFolder]],
) -> Plan:
    """The plan that brings a wheel to a policy.

    Args:
        aim: The policy to reach, and the symbols to lower for it, as `choose` chose them.
        goal: What the user wants.
        fingerprints: Of every library that will be grafted, by path.
        vendors: The folders of the system that search paths may keep, by the path of the file and the entry.

    Raises:
        UsageError: Two libraries would have one name, or a graft would have a name that cannot be.
        UnrepairableError: A file that needs a graft stands where it could not find it, or the compatibility library
            is needed and there is none.
    """
    audit, match = aim.audit, aim.match
    facts, closure = audit.facts, match.closure
    names = grafting.name_grafts(closure, facts, fingerprints, goal.no_mangle)
    _refuse_system_names(facts, match, names)
    builder = _Builder(
        facts=facts,
        closure=closure,
        names=names,
        library_folder=_library_folder(facts, goal),
        ground=searchpaths.Ground(facts=facts, vendors=vendors),
        requested=frozenset(target for _, target in grafting.graft_edges(REQUEST, closure, facts)),
        lowering=aim.lowering,
        stacks=stack_edits(audit),
    )
    grafts = {names[file.path]: builder.graft(file, fingerprints[file.path]) for file in closure.grafts}
    patches = [patch for patch in map(builder.patch, facts.own) if patch.edits or patch.moved_to or goal.strip]
    platforms = _platforms(audit, goal, match)
    target = replace(facts.name, platforms=platforms)
    return Plan(
        source=facts.name,
        target=target,
        policy=match.policy,
        tags=target.tags if goal.update_tags and match.policy.installable else None,
        grafts=tuple(grafts.values()),
        patches=tuple(patches),
        exclude=audit.options.exclude,
        strip=goal.strip,
        notes=(*_notes(audit, match, platforms), *builder.notes(patches), *opened_notes(audit, tuple(grafts.values()))),
        rewrites=aim.lowering.all_rewrites,
        compat=builder.compat,
    )


def _library_folder(facts: WheelFacts, goal: Goal) -> str:
    folder = f"{facts.name.distribution}{goal.library_suffix}"
    fault = path_fault(folder)
    if fault:
        raise UsageError(
            f"`{folder}` cannot be the folder of the grafts: it {fault}",
            code="bad-library-folder",
            hints=("give -L a suffix such as .libs",),
        )
    return folder


def _refuse_system_names(facts: WheelFacts, match: PolicyMatch, names: Mapping[str, str]) -> None:
    """Raise UsageError where a graft would keep a name that the policy takes from the system.

    A process that has the system's library of that name already would use that one in the wheel's place.
    """
    for file in match.closure.files:
        for needed, target in grafting.graft_edges(file.path, match.closure, facts):
            if names[target] == needed and match.policy.allows_library(needed) and not match.policy.is_unbounded:
                raise UsageError(
                    f"`{needed}` cannot be grafted under its own name",
                    code="system-name",
                    context=(f"{match.policy.name} takes it from the system, and a process may have that one already",),
                    hints=("graft it without --no-mangle, or leave it to the system",),
                )


@dataclass(frozen=True, kw_only=True)
class _Builder:
    """Builder of grafts and patches, with what the edits of every file depend on."""

    facts: WheelFacts
    closure: Closure
    names: Mapping[str, str]
    library_folder: str
    ground: searchpaths.Ground
    requested: frozenset[str]
    lowering: Lowering
    stacks: Mapping[str, tuple[Edit, ...]]

    @cached_property
    def compat(self) -> CompatGraft | None:
        """The library of functions that older releases of glibc lack, where a file needs one of them."""
        functions, arch = self.lowering.functions(), self.facts.arch
        if not functions or arch is None:
            return None
        return grafting.compat_graft(arch, self.library_folder, functions)

    def home(self, path: str) -> str:
        """The folder of a graft, as installed."""
        folder = f"{SITE_PACKAGES}/{self.library_folder}"
        return f"{folder}/{OPENED}" if path in self.requested else folder

    def graft(self, file: ElfFile, source: Fingerprint) -> Graft:
        name, home = self.names[file.path], self.home(file.path)
        member = f"{home.removeprefix(SITE_PACKAGES + '/')}/{name}"
        if f"{SITE_PACKAGES}/{member}" in self.facts.members:
            raise grafting.same_name(member, file.path)
        fault = path_fault(member)
        if fault:
            raise grafting.unsafe_name(member, fault, file.path)
        edits: list[Edit] = [] if file.image.soname == name else [SetSoname(soname=name)]
        edits += [*self._needed(file), *self._lowered(file)]
        installed = replace(file, path=f"{home}/{name}")
        entries = searchpaths.graft_entries(file, home, self._wanted_folders(file), self.ground)
        edits += searchpaths.rpath_edits(installed, entries, self._kind)
        edits += self.stacks.get(file.path, ())
        return Graft(
            source=file.path,
            sha256=source.sha256,
            size=source.size,
            soname=file.image.soname,
            new_name=name,
            member=member,
            chain=self.closure.chain(file, self.facts),
            edits=tuple(edits),
            openers=tuple(own.label for own in self.facts.own if home in self._opened_folders(own))
            if file.path in self.requested
            else (),
        )

    def patch(self, file: ElfFile) -> Patch:
        needed = [*self._needed(file), *self._lowered(file)]
        wanted = self._wanted_folders(file)
        kind = self._kind if wanted else searchpaths.kind_of(file, self._kind)
        path_edits = searchpaths.rpath_edits(file, self._run_paths[file.path].entries, kind)
        edits = (*needed, *path_edits, *self.stacks.get(file.path, ()))
        return Patch(member=file.label, edits=edits, moved_to=self._moved_to(file))

    @cached_property
    def _run_paths(self) -> Mapping[str, searchpaths.RunPath]:
        """The search folders of each file of the wheel after the repair."""
        paths = {}
        for file in self.facts.own:
            moved_to = self._moved_to(file)
            new_path = f"{SITE_PACKAGES}/{moved_to}" if moved_to else None
            wanted = self._wanted_folders(file)
            paths[file.path] = searchpaths.new_run_path(file, wanted, self.ground, new_path=new_path)
        return paths

    def _moved_to(self, file: ElfFile) -> str | None:
        """The member that a program becomes which cannot find what it needs from its place; None where it stays.

        Raises:
            UnrepairableError: It is no program.
        """
        origin = posixpath.dirname(file.path)
        if all(searchpaths.reaches(origin, folder) for folder in self._wanted_folders(file)):
            return None
        if _is_program(file):
            return f"{self.facts.name.distribution}.scripts/{file.path[len(_SCRIPTS) :]}"
        raise UnrepairableError(
            f"`{file.label}` needs libraries of the wheel, but an installer puts it where it cannot find them",
            code="no-way-to-grafts",
            context=("from scripts and data, the way to platlib has the version of Python in it",),
            hints=("install the file into the package's own folder",),
        )

    @property
    def _kind(self) -> RpathKind:
        # DT_RPATH is inherited by what a file loads, and wins over LD_LIBRARY_PATH; Android knows DT_RUNPATH only.
        return RpathKind.RUNPATH if self.facts.libc is Libc.ANDROID else RpathKind.RPATH

    def _needed(self, file: ElfFile) -> list[Edit]:
        edits: list[Edit] = []
        for name, target in grafting.graft_edges(file.path, self.closure, self.facts):
            edits += _renamed(file, name, self.names[target])
        # No symlink of a wheel leads from a soname to a file with another name.
        for name, target in self._beforehand(file):
            edits += _renamed(file, name, posixpath.basename(target))
        edits += [
            RemoveNeeded(name=dependency.name)
            for dependency in self.facts.dependencies.get(file.path, ())
            if self.closure.provisions[file.path, dependency.name] is Provision.DROPPED
        ]
        return edits

    def _lowered(self, file: ElfFile) -> list[Edit]:
        """The edits that bind symbols to older versions; what may be missing is looked for last."""
        edits = list(self.lowering.edits(file.path))
        if self.compat and self.lowering.functions(file.path):
            edits.append(AddNeeded(name=self.compat.new_name))
        return edits

    def _beforehand(self, file: ElfFile) -> Iterator[tuple[str, str]]:
        """The needed names that no search folder leads to, though one could, each with the path in the wheel.

        Such a library is found only if code of the wheel loads it first, and from a graft not even that is sure.
        """
        for dependency in self.facts.dependencies.get(file.path, ()):
            name, target = dependency.name, dependency.target
            if self.closure.provisions[file.path, name] is not Provision.INSIDE or target is None:
                continue
            if (file.member is None or found_beforehand(dependency)) and _can_reach(file, posixpath.dirname(target)):
                yield name, target

    def _wanted_folders(self, file: ElfFile) -> tuple[str, ...]:
        """The folders that a file must search, in the order of its needed names."""
        folders: dict[str, None] = {}
        beforehand = dict(self._beforehand(file))
        for dependency in self.facts.dependencies.get(file.path, ()):
            if self.closure.provisions[file.path, dependency.name] is Provision.GRAFT:
                folders[self.home(dependency.target or "")] = None
            elif dependency.name in beforehand:
                folders[posixpath.dirname(beforehand[dependency.name])] = None
        if self.lowering.functions(file.path):
            folders[f"{SITE_PACKAGES}/{self.library_folder}"] = None
        folders.update(dict.fromkeys(self._opened_folders(file)))
        return tuple(folders)

    def _opened_folders(self, file: ElfFile) -> tuple[str, ...]:
        """The folder of the libraries on request, for a file that may open them."""
        home = self.home(min(self.requested, default=""))
        return (home,) if self.requested and opens(file) and _can_reach(file, home) else ()

    def notes(self, patches: Sequence[Patch]) -> tuple[Diagnostic, ...]:
        found: list[Diagnostic] = []
        for file in self.facts.own:
            found += searchpaths.path_notes(file.label, self._run_paths[file.path])
        found += [
            Diagnostic(
                code="program-moved",
                severity=Severity.NOTE,
                subject=patch.member,
                message=f"the program moves to {patch.moved_to}; a launcher takes its place",
            )
            for patch in patches
            if patch.moved_to
        ]
        return tuple(found)


def _renamed(file: ElfFile, old: str, new: str) -> Iterator[Edit]:
    """The edits that let a file load a library by another name; nothing where it has that name."""
    if old != new and old in file.image.linked:
        yield ReplaceNeeded(old=old, new=new)
    if old != new and any(link.name == old for link in file.image.audits):
        yield ReplaceAudit(old=old, new=new)


def _is_program(file: ElfFile) -> bool:
    """Whether it can move, and a launcher take its place."""
    return file.path.startswith(_SCRIPTS) and file.image.is_executable


def _can_reach(file: ElfFile, folder: str) -> bool:
    """Whether search folders, or a move, can lead a file to a folder of the wheel."""
    origin = SITE_PACKAGES if file.member is None else file.path
    return searchpaths.reaches(origin, folder) or _is_program(file)


def _platforms(audit: Audit, goal: Goal, match: PolicyMatch) -> tuple[str, ...]:
    """The platform tags of the new name, sorted as the specification wants ("Compressed tag sets")."""
    if not goal.update_tags or not match.policy.installable:
        return audit.facts.name.platforms
    tags = list(match.policy.tags)
    if not goal.only_platform:
        better = _best_after(audit, match)
        tags = [*better.tags, *tags] if better else tags
    if not match.policy.is_unbounded:
        tags += _old_tags(audit, match)
    return tuple(sorted(set(tags)))


def _best_after(audit: Audit, match: PolicyMatch) -> Policy | None:
    """The best policy, better than the one asked for, that the repaired wheel fits as well."""
    policies = (other.policy for other in audit.matches)
    better = (
        policy
        for policy in policies
        if policy.installable and policy.family is match.policy.family and _numbers(policy) < _numbers(match.policy)
    )
    return next((policy for policy in better if fits_after(audit, match, policy)), None)


def _numbers(policy: Policy) -> tuple[int, ...]:
    """The numbers in a policy's name: (2, 17) for manylinux_2_17."""
    return tuple(int(part) for part in policy.name.split("_") if part.isdecimal())


def fits_after(audit: Audit, match: PolicyMatch, policy: Policy) -> bool:
    """Whether the wheel fits a policy once it is repaired for another one."""
    grafted = frozenset(file.path for file in match.closure.grafts)
    (other,) = match_policies(audit.facts, (policy,), audit.options, grafted=grafted)
    return (
        other.is_reachable
        and not is_blind(policy, match.closure)
        and all(file.path in grafted for file in other.closure.grafts)
    )


def _old_tags(audit: Audit, match: PolicyMatch) -> list[str]:
    """The tags of the old name that stay true; `linux_...` says nothing beside a better one."""
    return [claim.tag for claim in audit.claims if _stays(audit, match, claim)]


def _stays(audit: Audit, match: PolicyMatch, claim: Claim) -> bool:
    if claim.truth is Truth.NOT_JUDGED:
        return True
    if claim.tag == "any" or claim.tag.startswith("linux_"):
        return False
    if claim.truth is Truth.TRUE:
        return True
    return bool(claim.violations) and fits_after(audit, match, find_tag(audit, claim.tag))


def _notes(audit: Audit, match: PolicyMatch, platforms: Sequence[str]) -> list[Diagnostic]:
    closure = match.closure
    notes = [
        Diagnostic(
            code="false-tag-dropped",
            severity=Severity.NOTE,
            subject=claim.tag,
            message="the old tag is dropped, because it is not true",
            context=(claim.reason, *describe(claim.violations)),
        )
        for claim in audit.false_claims
        if claim.tag not in platforms
    ]
    notes += [*stack_notes(audit, closure, notices(audit, match)), *grafting.runtime_warnings(match)]
    notes += second_glib_warning(match)
    notes += left_out_notes(match)
    notes += [
        Diagnostic(
            code="signature-dropped",
            severity=Severity.NOTE,
            subject=posixpath.basename(path),
            message="signatures of RECORD are obsolete, and untrue after any change",
        )
        for path in sorted(audit.facts.members)
        if path.endswith(tuple(f".dist-info/{name}" for name in SIGNATURES))
    ]
    return notes
