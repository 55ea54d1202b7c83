"""Modules for the stable ABI of Python that use more than it has."""

from __future__ import annotations

from deloc8.checks.evidence import finding
from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deloc8.audit.facts import ElfFile
    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic

_STABLE = frozenset({"abi3", "abi3t"})
_PYTHON = pattern(r"cp3([0-9]{1,3})")
_OLDEST = 2  # the stable ABI came with Python 3.2


def check_stable_abi(evidence: Evidence) -> Iterator[Diagnostic]:
    """Python's symbols outside the stable ABI, or younger in it than the python tag, in a wheel with an abi3 tag."""
    name = evidence.audit.facts.name
    if not _STABLE.intersection(name.abis):
        return
    minors = [int(match[1]) for match in map(_PYTHON.fullmatch, name.pythons) if match]
    oldest = min(minors, default=_OLDEST)
    since = _stable_since()
    inside = {symbol for file in evidence.audit.facts.own for symbol in evidence.defined[file.path]}
    for file in evidence.libraries:
        used = [symbol for symbol in _symbols_of_python(file) if symbol not in inside]
        outside = [symbol for symbol in used if symbol not in since]
        younger = [f"{symbol} (since 3.{since[symbol]})" for symbol in used if since.get(symbol, 0) > oldest]
        if outside:
            yield finding(
                "outside-stable-abi",
                file.label,
                "uses Python symbols that the stable ABI does not have",
                tuple(sorted(outside)),
                ("compile with Py_LIMITED_API defined, or build a wheel for each Python",),
            )
        if younger:
            yield finding(
                "stable-abi-too-new",
                file.label,
                f"uses Python symbols that came into the stable ABI after Python 3.{oldest}, which the tag names",
                tuple(sorted(younger)),
                ("give the wheel the python tag of the newest of them, or do without them",),
            )


def _symbols_of_python(file: ElfFile) -> Iterator[str]:
    """The symbols of Python that a file cannot do without."""
    for symbol in file.image.undefined:
        if symbol.name.startswith(("Py", "_Py")) and not symbol.weak:
            yield symbol.name


def _stable_since() -> Mapping[str, int]:
    """For each symbol of the stable ABI the minor version of Python 3 that brought it."""
    from abi3info import DATAS, FUNCTIONS  # noqa: PLC0415  only wheels for the stable ABI need the tables

    rows = (*FUNCTIONS.values(), *DATAS.values())
    return {row.symbol.name: row.added.minor for row in rows}
