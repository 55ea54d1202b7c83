"""The tables that say to which older version a symbol of glibc can be bound, one for each machine.

They are written by tools/lowering_table.py from Debian's packages of glibc.
"""

from __future__ import annotations

import enum
from functools import cache
from pathlib import Path

from deloc8.policy.model import version_key
from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    from deloc8.target import Arch

__all__ = ["LoweringClass", "LoweringTable", "Way", "load_table"]

_DATA = Path(__file__).parent.parent / "data" / "lowering"
_PREFIX = "GLIBC_"


class LoweringClass(enum.Enum):
    """How near the older version comes to the newer one, the surest first.

    MOVED: the same function; only its library and its version have changed.
    SAME: another name of the same function.
    SUPERSET: another function, which keeps every promise of the newer one.
    DIFFERS: another function, with a small, known difference.
    """

    MOVED = "moved"
    SAME = "same"
    SUPERSET = "superset"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An older symbol to which a reference can be bound.

    Attributes:
        symbol: The symbol as it is asked for.
        version: Its version, such as ``GLIBC_2.34``.
        to_symbol: What can be asked for in its place; often the same name.
        to_version: The version of that, an older one.
        library: The library that must be asked for it, such as ``libpthread.so.0``: where it was before most
            libraries of glibc became one in 2.34. Later releases have a library of this name, and the version in it.
        later_library: The library that defines it in the newest glibc that the table knows.
        kind: How near it comes.
        reason: Why it may be taken, or how it differs.
    """

    symbol: str
    version: str
    to_symbol: str
    to_version: str
    library: str
    later_library: str
    kind: LoweringClass
    reason: str


if TYPE_CHECKING:

    class _Data(TypedDict):
        """A table as it is stored; versions are without ``GLIBC_``, and names stand in one text, between spaces.

        A row of `ways` holds class, version, older version, library, later library, reason and symbols
        (``fcntl64=fcntl`` where the name changes).
        """

        releases: str
        base: str
        versions: dict[str, str]
        ways: list[tuple[str, str, str, str, str, str, str]]
        single: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweringTable:
    """Table of glibc's symbols on one machine.

    Attributes:
        machine: The machine.
        base_version: The oldest version there, such as ``GLIBC_2.2.5``.
        libraries: The versions that each library defined before most of them became one (in 2.31), by soname.
    """

    machine: Arch
    base_version: str
    libraries: Mapping[str, frozenset[str]]
    _ways: Mapping[tuple[str, str], tuple[Way, ...]] = field(repr=False)
    _single: frozenset[str] = field(repr=False)

    def ways(self, symbol: str, version: str) -> tuple[Way, ...]:
        """The older symbols to which this one can be bound.

        From the highest version down; where two have the same one, the surest first.
        """
        return self._ways.get((symbol, version), ())

    def every_way(self) -> tuple[Way, ...]:
        """All ways of the machine, in the order of the table."""
        return tuple(way for found in self._ways.values() for way in found)

    def single_version(self, symbol: str) -> bool:
        """Whether the symbol has one version in every glibc that the table knows, and that above the base version.

        A weak reference to such a symbol may drop its version: ld.so then takes what there is.
        """
        return symbol in self._single

    def home(self, version: str) -> tuple[str, ...]:
        """The libraries that defined a version before most of them became one, libc.so.6 first."""
        homes = [soname for soname, versions in self.libraries.items() if version in versions]
        return tuple(sorted(homes, key=lambda soname: (soname != "libc.so.6", soname)))


@cache
def load_table(arch: Arch) -> LoweringTable | None:
    """The table of a machine; None where there is none."""
    import json  # noqa: PLC0415 # only who lowers pays for it

    file = _DATA / f"{arch.value}.json"
    if not file.exists():
        return None
    data: _Data = json.loads(file.read_text("utf-8"))
    ways: dict[tuple[str, str], list[Way]] = {}
    for row in data["ways"]:
        for way in _ways_of(row):
            ways.setdefault((way.symbol, way.version), []).append(way)
    return LoweringTable(
        machine=arch,
        base_version=_PREFIX + data["base"],
        libraries={
            soname: frozenset(_PREFIX + version for version in versions.split())
            for soname, versions in data["versions"].items()
        },
        _ways={name: tuple(sorted(found, key=_order, reverse=True)) for name, found in ways.items()},
        _single=frozenset(symbol for symbols in data["single"].values() for symbol in symbols.split()),
    )


def _ways_of(row: tuple[str, str, str, str, str, str, str]) -> list[Way]:
    kind, version, older, library, later_library, reason, symbols = row
    ways = []
    for word in symbols.split():
        symbol, _, target = word.partition("=")
        way = Way(
            symbol=symbol,
            version=_PREFIX + version,
            to_symbol=target or symbol,
            to_version=_PREFIX + older,
            library=library,
            later_library=later_library,
            kind=LoweringClass(kind),
            reason=reason,
        )
        ways.append(way)
    return ways


_SURENESS = {kind: -place for place, kind in enumerate(LoweringClass)}


def _order(way: Way) -> tuple[object, int]:
    return version_key(way.to_version), _SURENESS[way.kind]
