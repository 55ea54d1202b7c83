"""One wheel against one policy: what must be grafted, and what no graft can cure."""

from __future__ import annotations

import enum
import fnmatch
from collections import deque
from functools import partial
from itertools import islice

from deloc8.audit.amounts import MOST_VIOLATIONS, too_many
from deloc8.audit.facts import REQUEST
from deloc8.audit.forbidden import forbidden_uses
from deloc8.audit.loading import RELR_MARKER, loader_needs, packed_unmarked, stack_faults
from deloc8.audit.processors import excessive_levels
from deloc8.audit.violations import Violation, ViolationCode
from deloc8.patterns import pattern
from deloc8.policy.model import Family, split_version
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deloc8.audit.facts import Dependency, ElfFile, WantedVersion, WheelFacts
    from deloc8.audit.forbidden import Use
    from deloc8.audit.loading import LoaderNeed
    from deloc8.audit.processors import Excess
    from deloc8.policy.model import Policy

# Every process that loads an extension module has these names already.
_LIBPYTHON = pattern(r"libpython\d+\.\d+[a-z]*\.so(\.\d+)*")


class Provision(enum.Enum):
    """Where a library that a file names comes from, under one policy."""

    SYSTEM = "the system: the policy allows it"
    INSIDE = "the wheel itself"
    EXCLUDED = "elsewhere: left out on request"
    DROPPED = "the Python process: the entry is dropped"
    MISSING = "nowhere: not found"
    OPTIONAL = "nowhere: not found, and the loader goes on without it"
    GRAFT = "a graft"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOptions:
    """Options of the user that depart from the policies.

    Attributes:
        exclude: Globs of libraries, by needed name or by path, that are neither grafted nor missed.
        graft: Globs of libraries that are grafted although the policy takes them from the system.
        check_isa: Whether a processor level above the machine's baseline blocks the policies.
        keep_executable_stack: Whether libraries may require an executable stack, and keep it.
    """

    exclude: tuple[str, ...] = ()
    graft: tuple[str, ...] = ()
    check_isa: bool = True
    keep_executable_stack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """The files that the repaired wheel would hold under one policy, and where each needed library comes from.

    Attributes:
        files: The wheel's own ELF files, then the grafts in the order they are found.
        provisions: For each (path, needed name): where that library comes from.
        parents: For each graft: the file that brought it in first, and by which needed name.
    """

    files: tuple[ElfFile, ...]
    provisions: Mapping[tuple[str, str], Provision]
    parents: Mapping[str, tuple[str, str]]

    @property
    def grafts(self) -> tuple[ElfFile, ...]:
        """The files that would be grafted."""
        return tuple(file for file in self.files if file.member is None)

    def chain(self, file: ElfFile, facts: WheelFacts) -> tuple[str, ...]:
        """How a file comes into the wheel: a member, the needed names that lead on, and the file's own path."""
        names: list[str] = []
        path = file.path
        while path in self.parents:
            path, name = self.parents[path]
            names.append(name)
        return (facts.files[path].label, *reversed(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMatch:
    """One wheel against one policy.

    Attributes:
        policy: The policy.
        closure: The files the wheel would hold under it.
        violations: All that keeps the wheel from it.
    """

    policy: Policy
    closure: Closure
    violations: tuple[Violation, ...]

    @property
    def is_satisfied(self) -> bool:
        """Whether the wheel fits the policy as it is."""
        return not self.violations

    @property
    def is_reachable(self) -> bool:
        """Whether `fixup` can make the wheel fit."""
        return all(violation.is_curable for violation in self.violations)


def match_policies(
    facts: WheelFacts, policies: Sequence[Policy], options: MatchOptions, *, grafted: frozenset[str] = frozenset()
) -> tuple[PolicyMatch, ...]:
    """The wheel against each policy, in their order. Symbols are scanned once for all of them.

    Args:
        facts: The facts of the wheel.
        policies: The policies.
        options: What the user wants otherwise.
        grafted: Paths of libraries that are grafted in any case, although a policy would take them from the system.

    Raises:
        WheelError: Code ``too-many-symbols``: there are too many violations.
    """
    found = _Found(
        uses=forbidden_uses(facts, policies),
        levels=excessive_levels(facts) if options.check_isa else {},
        stacks={} if options.keep_executable_stack else stack_faults(facts),
        packed=packed_unmarked(facts),
        needs=loader_needs(facts),
    )
    closures: dict[object, Closure] = {}
    matches = []
    left = MOST_VIOLATIONS
    for policy in policies:
        key = (policy.family, policy.libraries)
        if key not in closures:
            closures[key] = close(facts, policy, options, grafted=grafted)
        closure = closures[key]
        violations: tuple[Violation, ...] = ()
        if not policy.is_unbounded:
            violations = tuple(islice(_violations(facts, policy, closure, found), left + 1))
        left -= len(violations)
        if left < 0:
            raise too_many(facts.name.filename, f"{MOST_VIOLATIONS} violations of policies")
        matches.append(PolicyMatch(policy=policy, closure=closure, violations=violations))
    return tuple(matches)


def close(
    facts: WheelFacts, policy: Policy, options: MatchOptions, *, grafted: frozenset[str] = frozenset()
) -> Closure:
    """The files the wheel would hold under a policy: its own, and breadth first all that must be grafted."""
    own = {file.path for file in facts.own}
    files = list(facts.own)
    provisions: dict[tuple[str, str], Provision] = {}
    parents: dict[str, tuple[str, str]] = {}
    queue = deque(facts.own)
    if REQUEST in facts.files:
        queue.append(facts.files[REQUEST])
    while queue:
        file = queue.popleft()
        for dependency in facts.dependencies.get(file.path, ()):
            if dependency.target in own:
                provision = Provision.INSIDE
            elif dependency.target in grafted or (file.path == REQUEST and dependency.target is not None):
                provision = Provision.GRAFT
            else:
                provision = _provide(file, dependency, policy, options)
            provisions[file.path, dependency.name] = provision
            target = dependency.target
            if provision is Provision.GRAFT and target is not None and target not in parents:
                parents[target] = (file.path, dependency.name)
                files.append(facts.files[target])
                queue.append(facts.files[target])
    return Closure(files=tuple(files), provisions=provisions, parents=parents)


def _provide(file: ElfFile, dependency: Dependency, policy: Policy, options: MatchOptions) -> Provision:
    """Where a library outside the wheel comes from."""
    if is_named(dependency, options.exclude):
        return Provision.EXCLUDED
    if is_libpython(dependency.name):
        keeps_it = file.image.is_executable or policy.allows_library(dependency.name)
        return Provision.SYSTEM if keeps_it else Provision.DROPPED
    if policy.allows_library(dependency.name) and not is_named(dependency, options.graft):
        return Provision.SYSTEM
    if dependency.target is not None:
        return Provision.GRAFT
    return Provision.OPTIONAL if dependency.kind.is_optional else Provision.MISSING


def is_libpython(name: str) -> bool:
    """Whether a needed name is the Python library itself."""
    return name.startswith("libpython") and _LIBPYTHON.fullmatch(name) is not None


def is_named(dependency: Dependency, globs: Sequence[str]) -> bool:
    """Whether one of some globs names a library, by its needed name or by a path it was found at."""
    if not globs:
        return False
    names = [name for name in (dependency.name, dependency.lookup.path, dependency.lookup.real_path) if name]
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Properties that are looked for in all files once for all policies, by path.

    Attributes:
        uses: The symbols that some policy forbids.
        levels: The processor levels above those that are sure.
        stacks: The kinds of requests for an executable stack.
        packed: The files whose packed relocations an older glibc leaves out.
        needs: What files ask of ld.so that no version shows.
    """

    uses: Mapping[str, tuple[Use, ...]]
    levels: Mapping[str, Excess]
    stacks: Mapping[str, ViolationCode]
    packed: frozenset[str]
    needs: Mapping[str, tuple[LoaderNeed, ...]]


def _violations(facts: WheelFacts, policy: Policy, closure: Closure, found: _Found) -> Iterator[Violation]:
    # A wheel asks ten thousand times for some thirty versions: the policy is asked once for each of them.
    versions = {wanted.version for file in closure.files for wanted in file.wanted}
    refused = {version for version in versions if not policy.allows_version(version)}
    for file in closure.files:
        chain = closure.chain(file, facts)
        yield from _of_libraries(facts, file, policy, closure, chain)
        if file.path in facts.borrowed:
            from deloc8.audit.late import late_violations  # noqa: PLC0415  hardly any wheel needs it

            yield from late_violations(facts, file, policy, closure)
        for wanted in _too_new(file, policy, closure, refused):
            yield from _of_symbols(file, policy, chain, wanted)
        yield from _faults_of_file(file, policy, chain, found)
        yield from _forbidden(file, policy, closure, chain, found.uses.get(file.path, ()))


def _of_libraries(
    facts: WheelFacts, file: ElfFile, policy: Policy, closure: Closure, chain: tuple[str, ...]
) -> Iterator[Violation]:
    """A violation for each library that the policy does not take from the system."""
    for dependency in facts.dependencies.get(file.path, ()):
        provision = closure.provisions[file.path, dependency.name]
        if provision not in _HARMLESS:
            code = _LIBRARY_CODES[provision]
            yield Violation(code=code, policy=policy.name, file=file.label, chain=chain, library=dependency.name)


def _forbidden(
    file: ElfFile, policy: Policy, closure: Closure, chain: tuple[str, ...], uses: Sequence[Use]
) -> Iterator[Violation]:
    """A violation for each use of a symbol that this policy forbids."""
    if not uses:
        return
    violation = partial(Violation, policy=policy.name, file=file.label, chain=chain)
    for code, library, symbol in uses:
        if library is not None:
            if closure.provisions.get((file.path, library)) is not Provision.SYSTEM:
                continue
            if symbol not in policy.forbidden_symbols.get(library, ()):
                continue
        yield violation(code=code, library=library, symbol=symbol)


_FAMILIES_OF_GLIBC = frozenset({Family.MANYLINUX, Family.CUSTOM})


def _faults_of_file(file: ElfFile, policy: Policy, chain: tuple[str, ...], found: _Found) -> Iterator[Violation]:
    """Violations in how a file is loaded with the C library of a policy, whatever its symbols."""
    violation = partial(Violation, policy=policy.name, file=file.label, chain=chain)
    if policy.family in _FAMILIES_OF_GLIBC:
        yield from _faults_for_glibc(file, policy, violation, found)
    if file.path in found.levels:
        version, limit = found.levels[file.path]
        yield violation(code=ViolationCode.ISA_LEVEL, version=version, limit=limit)


def _faults_for_glibc(
    file: ElfFile, policy: Policy, violation: Callable[..., Violation], found: _Found
) -> Iterator[Violation]:
    if file.path in found.stacks:
        yield violation(code=found.stacks[file.path])
    if file.path in found.packed and not policy.allows_version(RELR_MARKER):
        yield violation(code=ViolationCode.RELR_WITHOUT_MARKER, version=RELR_MARKER)
    for need in found.needs.get(file.path, ()):
        if not policy.allows_version(need.version):
            limit = _limit(policy, need.version)
            yield violation(code=ViolationCode.NEWER_LOADER, symbol=need.what, version=need.version, limit=limit)


def _too_new(file: ElfFile, policy: Policy, closure: Closure, refused: set[str]) -> Iterator[WantedVersion]:
    for wanted in file.wanted:
        if wanted.version in refused:
            provision = closure.provisions.get((file.path, wanted.library), Provision.SYSTEM)
            if counts(wanted, provision, policy):
                yield wanted


def _of_symbols(file: ElfFile, policy: Policy, chain: tuple[str, ...], wanted: WantedVersion) -> Iterator[Violation]:
    """A violation for each symbol of a version that is too new: a wheel can have a hundred thousand."""
    label, limit = file.label, _limit(policy, wanted.version)
    for symbol in wanted.symbols or (None,):
        # All fields are given: looking up those that are missing takes longer than all else.
        yield Violation(
            code=ViolationCode.SYMBOL_TOO_NEW,
            policy=policy.name,
            file=label,
            chain=chain,
            library=wanted.library,
            symbol=symbol,
            version=wanted.version,
            limit=limit,
        )


def _limit(policy: Policy, version: str) -> str:
    namespace, _ = split_version(version)
    ceiling = policy.ceilings.get(namespace)
    return f"{namespace}_{ceiling.maximum}" if ceiling and ceiling.maximum else f"no version of {namespace}"


# No set, as in `counts`: nearly all are the first of these, and it is found without a call.
_HARMLESS = (Provision.SYSTEM, Provision.INSIDE, Provision.EXCLUDED, Provision.OPTIONAL)
_LIBRARY_CODES = {
    Provision.GRAFT: ViolationCode.LIBRARY_NOT_ALLOWED,
    Provision.MISSING: ViolationCode.LIBRARY_NOT_FOUND,
    Provision.DROPPED: ViolationCode.LIBPYTHON_NEEDED,
}


def counts(wanted: WantedVersion, provision: Provision, policy: Policy) -> bool:
    """Whether a version binds the wheel to the system.

    A library that will be grafted brings its own versions. One that travels in the wheel under a name that the policy
    allows does not count as such: a process that has the system's library of that name already uses that one.
    """
    if provision is Provision.SYSTEM or provision is Provision.EXCLUDED:  # a set would ask Python for their hashes
        return True
    return provision is Provision.INSIDE and policy.allows_library(wanted.library)
