"""Why a library, a symbol, a version or a tag matters to a wheel: who asks for it, what it bars, and the ways out."""

from __future__ import annotations

import enum
import fnmatch
from collections import deque

from deloc8.audit.verdict import find_tag
from deloc8.audit.violations import ViolationCode
from deloc8.errors import UsageError
from deloc8.explain.ways import ways_out
from deloc8.policy.model import split_version, version_key
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile
    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation
    from deloc8.dlopen.openings import Opening
    from deloc8.elf.read.dynamic import LinkKind


class SubjectKind(enum.Enum):
    """Kinds of subjects of a question."""

    LIBRARY = "library"
    SYMBOL = "symbol"
    VERSION = "version"
    TAG = "tag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One file that asks for the subject.

    Attributes:
        chain: How the file comes to be loaded: a member of the wheel, then needed names.
        file: The file itself: a member, or the path of a library of the system.
        library: The needed name it asks of; None where it does not say (a symbol without a version).
        symbol: The symbol; None for a library, and for a version without symbols.
        version: The version; None where there is none.
        found: For a library: where it was found; None where it was not.
        link: For a library: which entry of the file names it.
    """

    chain: tuple[str, ...]
    file: str
    library: str | None = None
    symbol: str | None = None
    version: str | None = None
    found: str | None = None
    link: LinkKind | None = None

    @property
    def names_symbol(self) -> bool:
        """Whether it is about a symbol or a version, and not about a library as a whole."""
        return self.symbol is not None or self.version is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer about one subject.

    Attributes:
        subject: As it was asked; a tag by its full name.
        kind: What it is.
        uses: The files that require it, the shortest way into the wheel first; empty for a tag.
        violations: What it does that blocks tags; for a tag: what blocks it, a graft's cure
            included.
        bars: The tags that it blocks and no graft can cure, the nearest first.
        inside_for: The tags that want it inside the wheel, the nearest first; for a tag: itself, if it wants grafts.
        ways: The ways out, the one of least effort first; empty where nothing is blocked.
        openings: For a library: where it is opened at run time, or may be.
    """

    subject: str
    kind: SubjectKind
    uses: tuple[Use, ...]
    violations: tuple[Violation, ...]
    bars: tuple[str, ...]
    inside_for: tuple[str, ...]
    ways: tuple[str, ...]
    openings: tuple[Opening, ...] = ()


def explain(audit: Audit, subject: str) -> Answer:
    """Explain a library (needed name, path or glob), a symbol, a version or a tag.

    A version that no file requires means all newer ones of its namespace.

    Args:
        audit: The verdict on the wheel.
        subject: What is asked about.

    Raises:
        UsageError: The wheel has to do with nothing of that name, or the tag is for another machine.
    """
    match = _tag(audit, subject)
    if match is not None:
        return _of_tag(audit, match)
    uses = sorted(_all_uses(audit), key=lambda use: (len(use.chain), use.chain, use.library or "", use.symbol or ""))
    for kind, select in (
        (SubjectKind.VERSION, _versions),
        (SubjectKind.SYMBOL, _symbols),
        (SubjectKind.LIBRARY, _libraries),
    ):
        found = select(subject, uses)
        openings = _openings(audit, subject) if kind is SubjectKind.LIBRARY else ()
        if found or openings:
            answer, nearest = _of_uses(audit, subject, kind, found)
            ways = ways_out(audit, nearest, answer.violations) if nearest else ()
            return replace(answer, ways=ways, openings=openings)
    raise _unknown(audit, subject, uses)


def _tag(audit: Audit, subject: str) -> PolicyMatch | None:
    try:
        return audit.match(find_tag(audit, subject))
    except UsageError as error:
        if error.code != "unknown-platform":
            raise
        return None


# -- who asks for what


def _all_uses(audit: Audit) -> Iterator[Use]:
    """All that any file asks for: libraries of every file that is loaded, symbols of those that would travel."""
    chains = _chains(audit)
    for path, chain in chains.items():
        file = audit.facts.files[path]
        for row in audit.facts.dependencies.get(path, ()):
            yield Use(chain=chain, file=file.label, library=row.name, found=row.target, link=row.kind)
    travelling: dict[str, tuple[ElfFile, tuple[str, ...]]] = {}
    for match in audit.matches:
        if match.policy.installable:
            for file in match.closure.files:
                travelling.setdefault(file.path, (file, match.closure.chain(file, audit.facts)))
    for file, chain in travelling.values():
        borrowed = {row.symbol: row.library for row in audit.facts.borrowed.get(file.path, ())}
        for symbol in file.image.undefined:
            library = symbol.file or borrowed.get(symbol.name)
            yield Use(chain=chain, file=file.label, library=library, symbol=symbol.name, version=symbol.version)
        for wanted in file.wanted:
            if not wanted.symbols:
                yield Use(chain=chain, file=file.label, library=wanted.library, version=wanted.version)


def _chains(audit: Audit) -> Mapping[str, tuple[str, ...]]:
    """The shortest way from a member of the wheel to each file that is loaded."""
    chains: dict[str, tuple[str, ...]] = {file.path: (file.label,) for file in audit.facts.own}
    queue: deque[str] = deque(chains)
    while queue:
        path = queue.popleft()
        for row in audit.facts.dependencies.get(path, ()):
            if row.target is not None and row.target not in chains:
                chains[row.target] = (*chains[path], row.name)
                queue.append(row.target)
    return chains


def _versions(subject: str, uses: Sequence[Use]) -> tuple[Use, ...]:
    exact = tuple(use for use in uses if use.version == subject)
    if exact:
        return exact
    namespace, number = split_version(subject)
    return tuple(
        use
        for use in uses
        if number
        and use.version is not None
        and split_version(use.version)[0] == namespace
        and version_key(use.version) > version_key(subject)
    )


def _symbols(subject: str, uses: Sequence[Use]) -> tuple[Use, ...]:
    # `name@@version` is how readelf and nm write a definition.
    name, _, version = subject.replace("@@", "@").partition("@")
    return tuple(use for use in uses if use.symbol == name and (not version or use.version == version))


def _libraries(subject: str, uses: Sequence[Use]) -> tuple[Use, ...]:
    return tuple(
        use
        for use in uses
        if not use.names_symbol and any(_is_meant(name, subject) for name in (use.library, use.found) if name)
    )


def _is_meant(name: str, subject: str) -> bool:
    """Whether a name is the one asked about, or fits the glob; a name may have a bracket."""
    return name == subject or fnmatch.fnmatchcase(name, subject)


def _openings(audit: Audit, subject: str) -> tuple[Opening, ...]:
    """Where a library is opened; the names that are looked for may be patterns themselves."""
    return tuple(
        opening
        for opening in audit.openings or ()
        if any(
            _is_meant(name, subject) or ("*" in name and fnmatch.fnmatchcase(subject, name))
            for name in (*opening.names, *filter(None, [opening.resolution.target]))
        )
    )


def _unknown(audit: Audit, subject: str, uses: Sequence[Use]) -> UsageError:
    import difflib  # noqa: PLC0415  only for a fault

    # A comparison takes time that grows with the lengths of both.
    names = sorted(name for name in _known_names(audit, uses) if len(name) <= _LONGEST_COMPARED)
    close = difflib.get_close_matches(subject[:_LONGEST_COMPARED], names, n=3)
    hints = []
    if close:
        hints.append(f"did you mean {' or '.join(f'`{name}`' for name in close)}?")
    return UsageError(
        f"{audit.facts.name.filename} has to do with no library, symbol, version or tag called `{subject}`",
        code="unknown-subject",
        hints=hints,
    )


_LONGEST_COMPARED = 100


def _known_names(audit: Audit, uses: Sequence[Use]) -> set[str]:
    """All that could have been meant."""
    names: set[str] = set()
    for use in uses:
        names.update(filter(None, (use.library, use.symbol, use.version)))
    for opening in audit.openings or ():
        names.update(opening.names)
    for match in audit.matches:
        names.update(match.policy.tags)
    return names


# -- what it bars


def _of_tag(audit: Audit, match: PolicyMatch) -> Answer:
    tag = match.policy.tags[0]
    return Answer(
        subject=tag,
        kind=SubjectKind.TAG,
        uses=(),
        violations=match.violations,
        bars=() if match.is_reachable else (tag,),
        inside_for=(tag,) if any(_is_graft(row) for row in match.violations) else (),
        ways=ways_out(audit, match, match.violations),
    )


def _is_graft(violation: Violation) -> bool:
    return violation.code is ViolationCode.LIBRARY_NOT_ALLOWED


def _of_uses(audit: Audit, subject: str, kind: SubjectKind, uses: tuple[Use, ...]) -> tuple[Answer, PolicyMatch | None]:
    """The answer without ways out, and the policy that these are about; None where nothing is barred."""
    concerns = _concern(kind, uses)
    bars, inside_for = [], []
    nearest: PolicyMatch | None = None
    violations: tuple[Violation, ...] = ()
    for match in sorted(audit.better, key=lambda match: not match.policy.installable):
        rows = tuple(filter(concerns, match.violations))
        if _has_blocking(rows):
            bars.append(match.policy.tags[0])
        if any(map(_is_graft, rows)):
            inside_for.append(match.policy.tags[0])
        # The ways out are about the nearest tag that is barred; else about the nearest that wants a graft.
        is_better = _has_blocking(rows) and not _has_blocking(violations)
        if rows and (nearest is None or is_better):
            nearest, violations = match, rows
    answer = Answer(
        subject=subject,
        kind=kind,
        uses=uses,
        violations=violations,
        bars=tuple(bars),
        inside_for=tuple(inside_for),
        ways=(),
    )
    return answer, nearest


def _has_blocking(violations: Sequence[Violation]) -> bool:
    """Whether a graft cannot cure all of some violations."""
    return any(not violation.is_curable for violation in violations)


def _concern(kind: SubjectKind, uses: tuple[Use, ...]) -> Callable[[Violation], bool]:
    """Whether a violation is about what was asked; for a library also: whether that library brings it in."""
    if kind is SubjectKind.LIBRARY:
        names = {use.library for use in uses}
        codes = {
            ViolationCode.LIBRARY_NOT_ALLOWED,
            ViolationCode.LIBRARY_NOT_FOUND,
            ViolationCode.LIBPYTHON_NEEDED,
            # Its symbols are known by no version that could be asked about.
            ViolationCode.RELEASE_TOO_NEW,
        }
        return lambda row: (row.library in names and row.code in codes) or not names.isdisjoint(row.chain[1:])
    asked = {(use.file, use.symbol, use.version) for use in uses}
    named = {(use.file, use.symbol) for use in uses if use.symbol}
    plain = {
        ViolationCode.FORBIDDEN_SYMBOL,
        ViolationCode.RELEASE_TOO_NEW,
        ViolationCode.UCS2,
        ViolationCode.PYFPE,
    }
    return lambda row: (
        (row.file, row.symbol, row.version) in asked if row.code not in plain else (row.file, row.symbol) in named
    )
