"""Which symbols of a too-recent glibc can be bound to older ones, so that a wheel fits a policy.

Nothing is lowered further than the policy needs it. Pure: from violations and tables to rewrites and edits.
"""

from __future__ import annotations

from deloc8.audit.facts import WantedVersion, wanted_versions
from deloc8.audit.loading import TABLES_APART
from deloc8.audit.violations import ViolationCode
from deloc8.elf.edit.layout import place
from deloc8.elf.edit.vocabulary import BindToZero, BindVersion, DropVersion, JoinRelocations, UnpackRelocations
from deloc8.elf.read.symbols import UndefinedSymbol
from deloc8.elf.read.versions import NeededVersion, VersionNeed
from deloc8.elf.read.view import View
from deloc8.policy.model import split_version
from deloc8.repair.lowering.compat_library import SONAME, provided, replacement
from deloc8.repair.lowering.table import LoweringClass, load_table
from deloc8.repair.model import Rewrite, RewriteKind
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.violations import Violation
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.dynamic import Dynamic
    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.repair.known import Known
    from deloc8.repair.lowering.table import LoweringTable, Way
    from deloc8.repair.model import Plan
    from deloc8.target import Arch
    from deloc8.wheel.archive import WheelArchive

# One byte that is only read; 0 means "perhaps there are several threads" (glibc manual, "Single-Threaded").
_SINGLE_THREADED = "__libc_single_threaded"
_RELR_VERSION = "GLIBC_ABI_DT_RELR"
# Its addresses are equal in newer releases, and prove nothing: the tables leave it out.
_NO_WAY = {"__libc_start_main": "a program; the version tells glibc who runs the program's own initialisers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A symbol that cannot be lowered.

    Attributes:
        violation: What it bars.
        reason: Why not, in a few words.
        could_differ: Whether it can, if small differences are allowed.
    """

    violation: Violation
    reason: str
    could_differ: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """Rewrites of the symbols that are too new for a policy, and refusals.

    Attributes:
        rewrites: By the path of each file, what is bound to an older version.
        refused: What cannot be.
    """

    rewrites: Mapping[str, tuple[Rewrite, ...]]
    refused: tuple[Refusal, ...]

    @property
    def all_rewrites(self) -> tuple[Rewrite, ...]:
        """Those of all files."""
        return tuple(rewrite for rewrites in self.rewrites.values() for rewrite in rewrites)

    def edits(self, path: str) -> tuple[Edit, ...]:
        """The edits of one file."""
        return tuple(_edit(rewrite) for rewrite in self.rewrites.get(path, ()))

    def functions(self, path: str | None = None) -> tuple[str, ...]:
        """The functions that one file, or any, takes from the compatibility library, sorted."""
        rewrites = self.all_rewrites if path is None else self.rewrites.get(path, ())
        return tuple(sorted({rewrite.to_symbol for rewrite in rewrites if rewrite.kind is RewriteKind.CODE}))


NO_LOWERING = Lowering(rewrites={}, refused=())


def is_lowerable(violation: Violation) -> bool:
    """Whether a violation is of the kind that lowering is about: a symbol of glibc, or a marker, that is too new."""
    if violation.code is ViolationCode.RELR_WITHOUT_MARKER or _has_tables_apart(violation):
        return True
    return violation.code is ViolationCode.SYMBOL_TOO_NEW and split_version(violation.version or "")[0] == "GLIBC"


def _has_tables_apart(violation: Violation) -> bool:
    return violation.code is ViolationCode.NEWER_LOADER and violation.symbol == TABLES_APART.what


def lower(facts: WheelFacts, match: PolicyMatch, *, allow_differs: bool) -> Lowering:
    """Find what can be done about the symbols that are too new for a policy.

    Args:
        facts: The facts of the wheel.
        match: The wheel against the policy.
        allow_differs: Whether a symbol may be bound to one that behaves a little differently.
    """
    violations = [violation for violation in match.violations if is_lowerable(violation)]
    if not violations or facts.arch is None:
        return NO_LOWERING
    chooser = _Chooser(
        policy=match.policy,
        arch=facts.arch,
        table=load_table(facts.arch),
        allow_differs=allow_differs,
    )
    files = {file.label: file for file in match.closure.files}
    rewrites: dict[str, list[Rewrite]] = {}
    refused = []
    for violation in violations:
        file = files[violation.file]
        found = chooser.choose(file, violation)
        if isinstance(found, Refusal):
            refused.append(found)
        else:
            rewrites.setdefault(file.path, []).append(found)
    return Lowering(rewrites={path: tuple(rows) for path, rows in rewrites.items()}, refused=tuple(refused))


@dataclass(frozen=True, kw_only=True)
class _Chooser:
    policy: Policy
    arch: Arch
    table: LoweringTable | None
    allow_differs: bool

    def choose(self, file: ElfFile, violation: Violation) -> Rewrite | Refusal:
        symbol, version = violation.symbol, violation.version or ""
        if _has_tables_apart(violation):
            reason = "the relocations are the same, in the place where older releases take them to be"
            return _rewrite(violation, RewriteKind.JOINED, reason)
        if symbol is not None:
            return self.choose_way(file, violation, symbol)
        if version == _RELR_VERSION:
            return _rewrite(violation, RewriteKind.PACKED, "the relocations are the same, only not packed")
        return Refusal(violation=violation, reason="a promise about the file that cannot be taken back")

    def choose_way(self, file: ElfFile, violation: Violation, symbol: str) -> Rewrite | Refusal:
        """The nearest of the ways of a symbol; one that differs only where it is allowed and there is no other."""
        ways = []
        if self.table:
            ways = [way for way in self.table.ways(symbol, violation.version or "") if self.fits(way)]
        near = next((way for way in ways if way.kind is not LoweringClass.DIFFERS), None)
        if near is not None:
            return _by_way(violation, near)
        found = self.without_version(file, violation, symbol)
        if found is not None:
            return found
        if not ways:
            return Refusal(violation=violation, reason=_NO_WAY.get(symbol, "no older version does the same"))
        if self.allow_differs:
            return _by_way(violation, ways[0])
        reason = f"{ways[0].to_symbol}@{ways[0].to_version} differs: {ways[0].reason}"
        return Refusal(violation=violation, reason=reason, could_differ=True)

    def without_version(self, file: ElfFile, violation: Violation, symbol: str) -> Rewrite | None:
        """The rewrite of a symbol for which no older version will do; None where there is none."""
        if symbol == _SINGLE_THREADED:
            reason = "a constant that says that there may be several threads, which is always right"
            return _rewrite(violation, RewriteKind.CONSTANT, reason)
        # A weak reference too: a file that could do without the function takes another path where it is missing.
        function = replacement(self.arch, symbol, violation.version or "")
        if function and self.policy.allows_version(function.needs):
            rewrite = _rewrite(violation, RewriteKind.CODE, function.description)
            return replace(rewrite, to_symbol=function.name)
        is_single = self.table is not None and self.table.single_version(symbol)
        if is_single and _is_weak(file.image, symbol, violation.version or ""):
            reason = "a weak reference: the file does without the symbol where the system lacks it"
            return _rewrite(violation, RewriteKind.WEAK, reason)
        return None

    def fits(self, way: Way) -> bool:
        return self.policy.allows_version(way.to_version) and self.policy.allows_library(way.library)


def _is_weak(image: ElfImage, symbol: str, version: str) -> bool:
    found = [known.weak for known in image.undefined if (known.name, known.version) == (symbol, version)]
    return bool(found) and all(found)


def _by_way(violation: Violation, way: Way) -> Rewrite:
    rewrite = _rewrite(violation, RewriteKind(way.kind.value), way.reason)
    return replace(rewrite, to_symbol=way.to_symbol, to_version=way.to_version, to_library=way.library)


def _rewrite(violation: Violation, kind: RewriteKind, reason: str) -> Rewrite:
    symbol = violation.symbol or ""
    return Rewrite(
        file=violation.file,
        symbol=symbol,
        version=violation.version or "",
        library=violation.library or "",
        to_symbol=symbol,
        to_version=None,
        to_library=None,
        kind=kind,
        reason=reason,
    )


def _edit(rewrite: Rewrite) -> Edit:
    if rewrite.kind is RewriteKind.PACKED:
        return UnpackRelocations()
    if rewrite.kind is RewriteKind.JOINED:
        return JoinRelocations()
    if rewrite.kind is RewriteKind.CONSTANT:
        return BindToZero(symbol=rewrite.symbol, old=rewrite.version)
    name = None if rewrite.to_symbol == rewrite.symbol else rewrite.to_symbol
    if rewrite.to_version is None or rewrite.to_library is None:
        return DropVersion(symbol=rewrite.symbol, old=rewrite.version, name=name)
    return BindVersion(
        symbol=rewrite.symbol,
        old=rewrite.version,
        version=rewrite.to_version,
        library=rewrite.to_library,
        name=name,
    )


# -- what is true once the files are lowered --------------------------------------------------------------------------


def lowered_facts(facts: WheelFacts, lowering: Lowering) -> WheelFacts:
    """The facts of the wheel as they will be once its files are lowered; the verdict on them decides about tags."""
    files = dict(facts.files)
    for path, rewrites in lowering.rewrites.items():
        image = lowered_image(files[path].image, [_edit(rewrite) for rewrite in rewrites])
        added = set(lowering.functions(path))
        # Where the system lacks it, the wheel has it.
        undefined = tuple(
            symbol._replace(file=SONAME) if symbol.version is None and symbol.name in added else symbol
            for symbol in image.undefined
        )
        image = replace(image, undefined=undefined)
        wanted = (*wanted_versions(image), *_wanted_by_compat(facts.arch, added))
        files[path] = replace(files[path], image=image, wanted=wanted)
    return replace(facts, files=files, own=tuple(files[file.path] for file in facts.own))


def _wanted_by_compat(arch: Arch | None, functions: Collection[str]) -> tuple[WantedVersion, ...]:
    """Versions that a file needs because these functions of the compatibility library do."""
    if arch is None or not functions:
        return ()
    versions = {provided(arch)[name].needs for name in functions}
    return tuple(WantedVersion(library="libc.so.6", version=version, symbols=()) for version in sorted(versions))


_LOWERING = (BindVersion, DropVersion, BindToZero, UnpackRelocations, JoinRelocations)


def _copies_after(image: ElfImage, edits: Sequence[Edit]) -> tuple[UndefinedSymbol, ...]:
    """The variables that a program still copies: not those that become constants of its own."""
    constants = {(edit.symbol, edit.old) for edit in edits if isinstance(edit, BindToZero)}
    return tuple(symbol for symbol in image.copied if (symbol.name, symbol.version) not in constants)


def lowered_image(image: ElfImage, edits: Sequence[Edit]) -> ElfImage:
    """The image of a file after the edits of versions: symbols, versions and needed names."""
    if not any(isinstance(edit, _LOWERING) for edit in edits):
        return image
    undefined = list(image.undefined)
    copied = _copies_after(image, edits)
    left = _versions_of(symbol for symbol in image.copied if symbol not in copied)
    for edit in edits:
        if isinstance(edit, BindVersion | DropVersion | BindToZero):
            left |= _rebind(undefined, edit)
        elif isinstance(edit, UnpackRelocations):
            left.update((need.file, _RELR_VERSION) for need in image.version_needs)
    used = _versions_of((*undefined, *copied))
    return replace(
        image,
        undefined=tuple(undefined),
        copied=copied,
        version_needs=_needs_after(image.version_needs, left - used, used),
        dynamic=_dynamic_after(image.dynamic, edits),
    )


def _versions_of(symbols: Iterable[UndefinedSymbol]) -> set[tuple[str, str]]:
    """The libraries and versions that some symbols are bound to."""
    return {(symbol.file or "", symbol.version or "") for symbol in symbols}


def _dynamic_after(dynamic: Dynamic | None, edits: Sequence[Edit]) -> Dynamic | None:
    """The dynamic section after the edits of relocations."""
    if dynamic is None:
        return None
    # Where relocations are unpacked, the tables are written anew, side by side.
    if any(isinstance(edit, UnpackRelocations) for edit in edits):
        return replace(dynamic, has_relr=False, has_tables_apart=False)
    if any(isinstance(edit, JoinRelocations) for edit in edits):
        return replace(dynamic, has_tables_apart=False)
    return dynamic


def _rebind(undefined: list[UndefinedSymbol], edit: BindVersion | DropVersion | BindToZero) -> set[tuple[str, str]]:
    """Change the symbols that an edit binds elsewhere; returns the files and versions that they leave."""
    left = set()
    after = _bound(edit)
    for number, symbol in enumerate(undefined):
        if (symbol.name, symbol.version) == (edit.symbol, edit.old):
            left.add((symbol.file or "", edit.old))
            undefined[number] = after(symbol)
    return left


def _bound(edit: BindVersion | DropVersion | BindToZero) -> Callable[[UndefinedSymbol], UndefinedSymbol]:
    """Function that makes of a symbol what it is after an edit."""
    if isinstance(edit, BindToZero):
        return lambda symbol: UndefinedSymbol(symbol.name, None, None, weak=True)
    version, library = (edit.version, edit.library) if isinstance(edit, BindVersion) else (None, None)
    return lambda symbol: UndefinedSymbol(edit.name or symbol.name, version, library, symbol.weak)


def _needs_after(
    needs: Sequence[VersionNeed], gone: set[tuple[str, str]], used: set[tuple[str, str]]
) -> tuple[VersionNeed, ...]:
    """The version records without the versions that nobody asks for any more, and with new ones."""
    versions: dict[str, list[NeededVersion]] = {}
    for need in needs:
        kept = [version for version in need.versions if (need.file, version.name) not in gone]
        versions.setdefault(need.file, []).extend(kept)
    for file, version in sorted(used):
        if file and version not in {known.name for known in versions.setdefault(file, [])}:
            versions[file].append(NeededVersion(name=version, index=0, weak=False))
    return tuple(VersionNeed(file=file, versions=tuple(rows)) for file, rows in versions.items() if rows)


def check_edits(plan: Plan, archive: WheelArchive, sysroot: Sysroot, known: Known) -> None:
    """Raise ElfError where a file cannot be lowered as planned, before anything is written.

    Whether nothing but pointers refers to a variable, only the file itself can tell.
    """
    for patch in plan.patches:
        if any(isinstance(edit, _NEED_A_LOOK) for edit in patch.edits):
            place(View.open(known.read(archive, patch.member), patch.member), patch.edits)
    for graft in plan.grafts:
        if any(isinstance(edit, _NEED_A_LOOK) for edit in graft.edits):
            place(View.open(sysroot.read(graft.source), graft.source), graft.edits)


_NEED_A_LOOK = (BindToZero, UnpackRelocations, JoinRelocations)
