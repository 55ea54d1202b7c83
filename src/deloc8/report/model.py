"""Content that every output of an audit shows, drawn from the verdict once."""

from __future__ import annotations

import enum
from collections import deque

from deloc8.audit.match import Provision
from deloc8.audit.violations import ViolationCode, describe
from deloc8.patterns import pattern
from deloc8.policy.model import sort_versions, version_key
from deloc8.values import dataclass, field_names, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.explain.why import Use
    from deloc8.policy.model import Policy

# The dynamic loader is among the needed names of many files; it is neither installed for them
# nor grafted.
_LOADER = pattern(r"ld-linux.*\.so\.\d+|ld64\.so\.[12]|ld-musl-.*\.so\.1")


def is_loader(name: str) -> bool:
    """Whether a needed name is the dynamic loader itself."""
    return _LOADER.fullmatch(name) is not None


def versioned_symbols(audit: Audit) -> Mapping[str, tuple[str, ...]]:
    """The versions that the wheel's own files ask of libraries outside it, by needed name."""
    inside = {file.path for file in audit.facts.own}
    versions: dict[str, set[str]] = {}
    for file in audit.facts.own:
        travelling = {row.name for row in audit.facts.dependencies.get(file.path, ()) if row.target in inside}
        for wanted in file.wanted:
            if wanted.library not in travelling and not is_loader(wanted.library):
                versions.setdefault(wanted.library, set()).add(wanted.version)
    return {library: sort_versions(versions[library]) for library in sorted(versions)}


def external_libraries(audit: Audit) -> Mapping[str, str | None]:
    """The libraries outside the wheel that it needs, by needed name: where each was found.

    What the nearest policy takes from the system is named, but what that needs in turn is the system's affair.
    """
    facts = audit.facts
    nearest = _nearest_policy(audit)
    inside = {file.path for file in facts.own}
    found: dict[str, str | None] = {}
    queue = deque(file.path for file in facts.own)
    while queue:
        for row in facts.dependencies.get(queue.popleft(), ()):
            if row.target in inside or row.name in found or is_loader(row.name):
                continue
            if row.target is None and row.kind.is_optional:
                continue
            found[row.name] = row.target
            if row.target is not None and not nearest.allows_library(row.name):
                queue.append(row.target)
    return dict(sorted(found.items()))


def _nearest_policy(audit: Audit) -> Policy:
    """The last policy that gives a tag of its own; else the one before the generic policy, or that alone."""
    matches = audit.matches
    named = [match.policy for match in matches if match.policy.installable and not match.policy.is_unbounded]
    if named:
        return named[-1]
    return matches[-1].policy if len(matches) == 1 else matches[-2].policy


def libraries_to_graft(match: PolicyMatch) -> tuple[str, ...]:
    """The needed names that a policy does not take from the system, found or not."""
    wanted = {Provision.GRAFT, Provision.MISSING}
    return tuple(sorted({name for (_, name), where in match.closure.provisions.items() if where in wanted}))


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftGroup:
    """Tags that require the same libraries inside the wheel.

    Attributes:
        tags: The tags, the nearest first.
        libraries: The needed names.
    """

    tags: tuple[str, ...]
    libraries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """Violations of one file that block a tag.

    Attributes:
        chain: How the file comes into the wheel.
        violations: Its violations.
    """

    chain: tuple[str, ...]
    violations: tuple[Violation, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Violations in words: ``needs stat@GLIBC_2.33 from libc.so.6``, without repetition."""
        return describe(self.violations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """Violations that keep the wheel from some tags, and that no graft can cure.

    Attributes:
        tags: The tags, the nearest first.
        after: The tag whose barrier is part of this one too; None where there is none.
        uses: By file, the shortest way into the wheel first, beyond those that block `after`.
    """

    tags: tuple[str, ...]
    after: str | None
    uses: tuple[FileUse, ...]


def graft_groups(audit: Audit) -> tuple[GraftGroup, ...]:
    """Libraries that better tags require inside the wheel; tags with the same ones are grouped."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for match in _by_distance(audit):
        libraries = libraries_to_graft(match)
        if libraries:
            groups.setdefault(libraries, []).append(match.policy.tags[0])
    return tuple(GraftGroup(tags=tuple(tags), libraries=libraries) for libraries, tags in groups.items())


def barriers(audit: Audit) -> tuple[Barrier, ...]:
    """Barriers of the better tags, the nearest tags first; tags with the same one are grouped."""
    groups: dict[frozenset[Violation], list[str]] = {}
    for match in _by_distance(audit):
        # Two policies require the same when nothing but their own names and limits differs.
        essence = frozenset(_without_policy(violation) for violation in match.violations if not violation.is_curable)
        if essence:
            groups.setdefault(essence, []).append(match.policy.tags[0])
    found: list[Barrier] = []
    shown: list[tuple[frozenset[Violation], str]] = []
    for essence, tags in groups.items():
        parts = [(part, tag) for part, tag in shown if part < essence]
        known, after = max(parts, key=lambda row: len(row[0]), default=(frozenset(), None))
        found.append(Barrier(tags=tuple(tags), after=after, uses=_by_file(essence - known)))
        shown.append((essence, tags[0]))
    return tuple(found)


def _without_policy(violation: Violation) -> Violation:
    ends = violation.code in {ViolationCode.SYMBOL_TOO_NEW, ViolationCode.RELEASE_TOO_NEW}
    return replace(violation, policy="the policy", limit="" if ends else violation.limit)


def reachable_tag(audit: Audit) -> str | None:
    """The best installable tag that `fixup` can reach; None where it can reach none but the generic one."""
    policy = audit.outlook.policy
    return None if policy.is_unbounded else policy.tags[0]


def _by_distance(audit: Audit) -> tuple[PolicyMatch, ...]:
    """The better policies, the nearest first; those that name no wheel are last."""
    return tuple(sorted(audit.better, key=lambda match: not match.policy.installable))


def _by_file(violations: Iterable[Violation]) -> tuple[FileUse, ...]:
    by_chain: dict[tuple[str, ...], list[Violation]] = {}
    for violation in violations:
        by_chain.setdefault(violation.chain, []).append(violation)
    return tuple(
        FileUse(chain=chain, violations=tuple(by_chain[chain]))
        for chain in sorted(by_chain, key=lambda chain: (len(chain), chain))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRow:
    """Symbols of one version of one library that the same files require: a row of a table.

    Attributes:
        symbols: Their names; empty for a version without symbols.
        version: The version; empty where there is none.
        library: The needed name it is required of; empty where the file does not say.
        chains: How the files that require it come into the wheel, the shortest way first.
    """

    symbols: tuple[str, ...]
    version: str
    library: str
    chains: tuple[tuple[str, ...], ...]


def symbol_rows(askings: Iterable[Use | Violation]) -> tuple[SymbolRow, ...]:
    """Rows of required symbols and their users, by library, the newest version first."""
    chains: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
    for row in askings:
        chains.setdefault((row.library or "", row.version or "", row.symbol or ""), set()).add(row.chain)
    groups: dict[tuple[str, str, frozenset[tuple[str, ...]]], list[str]] = {}
    for (library, version, symbol), askers in sorted(chains.items()):
        groups.setdefault((library, version, frozenset(askers)), []).append(symbol)
    rows = [
        SymbolRow(
            symbols=tuple(filter(None, symbols)),
            version=version,
            library=library,
            chains=tuple(sorted(askers, key=lambda chain: (len(chain), chain))),
        )
        for (library, version, askers), symbols in groups.items()
    ]
    rows.sort(key=lambda row: (len(row.chains[0]), row.chains))
    rows.sort(key=lambda row: version_key(row.version), reverse=True)
    return tuple(sorted(rows, key=lambda row: row.library))


_CAPITAL = pattern(r"(?<=[a-z])(?=[A-Z])")


def edit_fields(edit: Edit) -> tuple[str, Mapping[str, str | bool | None]]:
    """The kind of an edit, such as ``set-rpath``, and its fields."""
    values = {name: getattr(edit, name) for name in field_names(edit)}
    shown = {name: value.name.lower() if isinstance(value, enum.Enum) else value for name, value in values.items()}
    return _CAPITAL.sub("-", type(edit).__name__).lower(), shown
