"""Violations of a policy by a wheel, as data and in words."""

from __future__ import annotations

import enum

from deloc8.policy.model import number_key, version_key
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ViolationCode(enum.Enum):
    """Kinds of violations of a policy by a wheel."""

    LIBRARY_NOT_ALLOWED = "library-not-allowed"
    LIBRARY_NOT_FOUND = "library-not-found"
    LIBPYTHON_NEEDED = "libpython-needed"
    SYMBOL_TOO_NEW = "symbol-too-new"
    RELEASE_TOO_NEW = "release-too-new"
    FORBIDDEN_SYMBOL = "forbidden-symbol"
    ISA_LEVEL = "isa-level"
    UCS2 = "ucs2"
    PYFPE = "pyfpe"
    RELR_WITHOUT_MARKER = "relr-without-marker"
    NEWER_LOADER = "newer-loader"
    EXECUTABLE_STACK = "executable-stack"
    MISSING_STACK_HEADER = "missing-stack-header"
    EXECUTED_STACK = "executed-stack"


# A graft cures the first, dropping the DT_NEEDED entry the second, clearing a flag the stacks; nothing the others.
CURABLE = frozenset(
    {
        ViolationCode.LIBRARY_NOT_ALLOWED,
        ViolationCode.LIBPYTHON_NEEDED,
        ViolationCode.EXECUTABLE_STACK,
        ViolationCode.MISSING_STACK_HEADER,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that keeps a wheel from a policy.

    Attributes:
        code: What kind of thing.
        policy: The policy's name.
        file: The file that does it: a member of the wheel, or the path of a library that would be grafted.
        chain: How that file comes into the wheel: from a member, by needed names, to the file itself.
        library: The library concerned, by its needed name.
        symbol: The symbol concerned; None for a version without symbols.
        version: Its version; of a symbol without one, the release that brought it, such as ``glib 2.70``.
        limit: What the policy allows instead, in a few words.
    """

    code: ViolationCode
    policy: str
    file: str
    chain: tuple[str, ...]
    library: str | None = None
    symbol: str | None = None
    version: str | None = None
    limit: str = ""

    @property
    def since(self) -> str | None:
        """The release that brought a symbol without a version; None for others."""
        return self.version if self.code is ViolationCode.RELEASE_TOO_NEW else None

    @property
    def is_curable(self) -> bool:
        """Whether `fixup` can remove it."""
        return self.code in CURABLE


def describe(violations: Iterable[Violation]) -> tuple[str, ...]:
    """Describe the violations of one file, in lines without its name.

    All symbols of a library have one line, and all else has one each.
    """
    symbols: dict[tuple[str | None, str, str], dict[tuple[object, ...], Violation]] = {}
    others: set[str] = set()
    for violation in violations:
        if violation.code in _TOO_NEW:
            rows = symbols.setdefault((violation.library, violation.policy, violation.code.value), {})
            rows[version_key(violation.version or ""), violation.symbol or ""] = violation
        else:
            text = _DESCRIPTIONS[violation.code]
            others.add(text.format(**{name: getattr(violation, name) for name in _DESCRIBED}))
    lines = []
    for (library, policy, _), rows in sorted(symbols.items(), key=str):
        sorted_rows = [rows[key] for key in sorted(rows)]
        names = _names(sorted_rows)
        limits = ", ".join(dict.fromkeys(row.limit for row in sorted_rows))
        lines.append(f"needs {names} from {library}" + (f"; {policy} ends at {limits}" if limits else ""))
    return (*lines, *sorted(others))


_TOO_NEW = frozenset({ViolationCode.SYMBOL_TOO_NEW, ViolationCode.RELEASE_TOO_NEW})


# One of the newest is enough to bar a tag; of a library without versions an old policy lacks a hundred.
_SHOWN = 6


def _names(rows: Sequence[Violation]) -> str:
    """The symbols with their versions; of those without, the newest with the releases that brought them."""
    if rows[0].code is ViolationCode.SYMBOL_TOO_NEW:
        return ", ".join(f"{row.symbol}@{row.version}" if row.symbol else f"{row.version}" for row in rows)
    newest = sorted(rows, key=lambda row: release_key(row.since or ""), reverse=True)
    names = [f"{row.symbol} ({row.since})" for row in newest[:_SHOWN]]
    more = len(rows) - len(names)
    return f"{', '.join(names)} and {more} more" if more else ", ".join(names)


def release_key(since: str) -> tuple[bool, tuple[tuple[int, ...], str]]:
    """The order of `Violation.since`: by number, those beyond all that are known last."""
    return since.startswith("newer "), number_key(since.rpartition(" ")[2]) or ((), "")


_DESCRIBED = ("symbol", "library", "version", "limit", "policy")
_DESCRIPTIONS = {
    ViolationCode.LIBRARY_NOT_ALLOWED: "needs {library}, which {policy} does not take from the system",
    ViolationCode.LIBRARY_NOT_FOUND: "needs {library}, which is neither in the wheel nor found on this system",
    ViolationCode.LIBPYTHON_NEEDED: "needs {library}; the Python process has it already",
    ViolationCode.FORBIDDEN_SYMBOL: "uses `{symbol}` of {library}, which {policy} forbids",
    ViolationCode.ISA_LEVEL: "needs a processor of level {version}; {policy} promises {limit} only",
    ViolationCode.UCS2: "uses `{symbol}`, which only a narrow-unicode (UCS2) build of Python has",
    ViolationCode.PYFPE: "uses `{symbol}`, which only a Python built with fpectl has",
    ViolationCode.RELR_WITHOUT_MARKER: (
        "has packed relocations (DT_RELR) and does not require {version}: glibc before 2.36 loads it, does not apply "
        "them, and crashes"
    ),
    ViolationCode.NEWER_LOADER: (
        "needs the ld.so of {version} for its {symbol}, which older ones read otherwise; {policy} ends at {limit}"
    ),
    ViolationCode.EXECUTABLE_STACK: "asks for an executable stack; glibc 2.41 and newer refuse to load it",
    ViolationCode.MISSING_STACK_HEADER: (
        "does not say that its stack need not be executable (it has no PT_GNU_STACK); glibc 2.41 and newer refuse to "
        "load it"
    ),
    ViolationCode.EXECUTED_STACK: (
        "puts code on its stack and runs it there (functions inside functions, of C); glibc 2.41 and newer refuse to "
        "load it"
    ),
}
