"""Symbols that bar a policy whatever their version: those that it forbids, and those that few builds of Python have."""

from __future__ import annotations

from deloc8.audit.violations import ViolationCode
from deloc8.patterns import pattern
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.elf.read.symbols import UndefinedSymbol
    from deloc8.policy.model import Policy

    # The kind, the library (None where it is Python itself), the symbol.
    Use = tuple[ViolationCode, str | None, str]

# Modules for other builds of the same Python cannot find these (PEP 513, "UCS-2 vs UCS-4 builds" and "fpectl builds vs.
# no fpectl builds").
_UCS2_PREFIX = "PyUnicodeUCS2_"
_PYFPE_NAMES = frozenset({"PyFPE_jbuf", "PyFPE_dummy", "PyFPE_counter"})
# A wheel whose ABI tag says that it is for narrow builds may use what only they have: `cp27m`, other than `cp27mu`.
_NARROW_ABI = pattern(r"cp(2[0-9]|3[0-2])d?m?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """The symbols that are searched for.

    Attributes:
        forbidden: By library: the symbols that some policy forbids.
        is_narrow: Whether the wheel is for narrow builds of Python only.
    """

    forbidden: Mapping[str, AbstractSet[str]]
    is_narrow: bool

    def uses_of(self, file: ElfFile, inside: AbstractSet[str]) -> Iterator[Use]:
        """The uses of one file; `inside` are the symbols that libraries of the wheel define for it."""
        libraries = [library for library in file.image.linked if library in self.forbidden]
        for symbol in file.image.undefined:
            if symbol.name.startswith(_UCS2_PREFIX):
                if not self.is_narrow:
                    yield ViolationCode.UCS2, None, symbol.name
            elif symbol.name in _PYFPE_NAMES:
                yield ViolationCode.PYFPE, None, symbol.name
            # A file can do without what it refers to weakly.
            elif not symbol.weak:
                yield from self._forbidden(symbol, libraries, inside)

    def _forbidden(self, symbol: UndefinedSymbol, libraries: Sequence[str], inside: AbstractSet[str]) -> Iterator[Use]:
        if symbol.version is None and symbol.name in inside:
            return
        for library in libraries:
            may_be_its_own = symbol.file is None or symbol.file == library
            if may_be_its_own and symbol.name in self.forbidden[library]:
                yield ViolationCode.FORBIDDEN_SYMBOL, library, symbol.name


def forbidden_uses(facts: WheelFacts, policies: Sequence[Policy]) -> Mapping[str, tuple[Use, ...]]:
    """For each file: the symbols that some policy forbids, or that only some builds of Python have.

    A weak reference does not count: the file can do without. Nor does a name that a library of the wheel defines.
    """
    search = _Search(
        forbidden=_union(policies),
        is_narrow=all(_NARROW_ABI.fullmatch(abi) for abi in facts.name.abis),
    )
    watched = _PYFPE_NAMES.union(*search.forbidden.values())
    uses = {}
    for file in facts.files.values():
        names = [symbol.name for symbol in file.image.undefined]
        if watched.isdisjoint(names) and _UCS2_PREFIX not in "\n".join(names):
            continue  # hardly any file has one of these
        found = tuple(search.uses_of(file, _defined_inside(file, facts)))
        if found:
            uses[file.path] = found
    return uses


def _union(policies: Sequence[Policy]) -> Mapping[str, AbstractSet[str]]:
    """By library: the symbols that at least one of some policies forbids."""
    union: dict[str, set[str]] = {}
    for policy in policies:
        for library, symbols in policy.forbidden_symbols.items():
            union.setdefault(library, set()).update(symbols)
    return union


def _defined_inside(file: ElfFile, facts: WheelFacts) -> AbstractSet[str]:
    """The symbols that the libraries of the wheel define which a file needs."""
    found: set[str] = set()
    if not facts.definitions:
        return found
    for row in facts.dependencies.get(file.path, ()):
        if row.target is not None:
            found.update(facts.definitions.get(row.target, ()))
    return found
