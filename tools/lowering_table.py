"""Write the tables that say to which older version a symbol of glibc can be bound.

    python tools/lowering_table.py PACKAGES src/deloc8/repair/data/lowering

fetches Debian's packages of glibc with apt, into the folder PACKAGES, and writes a table for each machine. With
`--machine` only those that are named; with `--no-way` it also tells the symbols above a version that have no way.

Four classes:

- moved: two versions of one name have the same address in every release that has both in one library;
- same: the same, for two names;
- superset and differs: said by hand, each with its reason, in lowering_reviewed.toml beside this file. There stand
  also the names whose equal addresses prove nothing.

Data and thread-local variables have no way: a program may hold a copy of a variable (R_*_COPY), under the one version
it was linked with, and a second version would then be another variable. The one exception is said by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowering_packages import MACHINES, MIRROR, read_machine, version_key

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lowering_packages import Libraries, Name

REVIEWED = Path(__file__).parent / "lowering_reviewed.toml"

CLASSES = ("moved", "same", "superset", "differs")
"""The classes, surest first."""


# No platform tag asks for an older glibc than 2.5.
_LOWEST = (2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way: a symbol and version, what it can be bound to, and why."""

    old: Name
    new: Name
    kind: str
    reason: str


class Reviewed:
    """What was decided by hand, for one machine."""

    def __init__(self, machine: str, file: Path = REVIEWED) -> None:
        self._machine = machine
        self._entries = tomllib.loads(file.read_text("utf-8"))
        self._never = [pair for entry in self._holding("never") for pair in _pairs(entry)]
        self.homes = {
            (symbol, version): str(entry["library"])
            for entry in self._holding("home")
            for symbol in entry["symbols"].split()
            for version in entry["versions"].split()
        }

    def _holding(self, part: str) -> list[dict[str, Any]]:
        return [entry for entry in self._entries[part] if self._machine in entry.get("machines", MACHINES)]

    def allows(self, new: Name, old: Name) -> bool:
        """Whether equal addresses of two names are believed."""
        return not any(fnmatchcase(new[0], symbol) and fnmatchcase(old[0], target) for symbol, target in self._never)

    def ways(self, names: Mapping[str, Sequence[str]]) -> Iterator[Row]:
        """The ways that are said by hand: to the highest version of the target below the symbol's own."""
        for entry in self._holding("way"):
            for symbol, target in _pairs(entry):
                for version in names.get(symbol, ()):
                    older = [known for known in names.get(target, ()) if version_key(known) < version_key(version)]
                    if older and entry.get("version", version) == version:
                        yield Row(
                            new=(symbol, version), old=(target, older[-1]), kind=entry["class"], reason=entry["reason"]
                        )


def _pairs(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The symbols of an entry, each with the name that it is bound to."""
    for word in entry["symbols"].split():
        symbol, _, target = word.partition("=")
        yield symbol, target or symbol


def _unlike(name: str, symbol: str) -> tuple[int, int, str]:
    """What the names of one function are ordered by: first those that begin and end like the symbol."""
    return -_alike(name, symbol) - _alike(name[::-1], symbol[::-1]), len(name), name


def _alike(one: str, other: str) -> int:
    """How many letters two names begin with together."""
    return next(
        (count for count, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


class Table:
    """The table of one machine, in the making."""

    def __init__(self, libraries: Sequence[Libraries], reviewed: Reviewed) -> None:
        self.libraries = libraries
        self.reviewed = reviewed
        names: dict[str, set[str]] = defaultdict(set)
        for release in libraries:
            for defined in release.definitions.values():
                for symbol, version in defined:
                    names[symbol].add(version)
        self.names = {symbol: sorted(names[symbol], key=version_key) for symbol in sorted(names)}
        # Every library that defines anything defines the base version.
        self.base = libraries[0].versions["libc.so.6"][0]

    def is_proven(self, new: Name, old: Name) -> bool:
        """Whether both are one address wherever a library has both, and some library has them."""
        seen = [
            defined[new].address == defined[old].address and defined[new].kind == defined[old].kind
            for release in self.libraries
            for defined in release.definitions.values()
            if new in defined and old in defined
        ]
        return bool(seen) and all(seen)

    def proven(self) -> Iterator[Row]:
        """The ways that addresses prove."""
        last = self.libraries[-1].release
        among: dict[Name, set[Name]] = defaultdict(set)
        for release in self.libraries:
            for defined in release.definitions.values():
                places: dict[object, list[Name]] = defaultdict(list)
                for name, definition in defined.items():
                    if definition.is_code:
                        places[definition].append(name)
                for together in places.values():
                    for new in together:
                        among[new].update(old for old in together if version_key(old[1]) < version_key(new[1]))
        for new, others in sorted(among.items()):
            true = sorted(old for old in others if self.is_proven(new, old) and self.reviewed.allows(new, old))
            for old in (old for old in true if old[0] == new[0]):
                yield Row(new=new, old=old, kind="moved", reason=f"one function under both versions in glibc {last}")
            # The names of others are asked only where the symbol's own name has no older version.
            if true and self.names[new[0]][0] == new[1]:
                old = min(true, key=lambda old: (version_key(old[1]), *_unlike(old[0], new[0])))
                yield Row(new=new, old=old, kind="same", reason=f"two names of one function in glibc {last}")

    def rows(self) -> list[Row]:
        """All ways, with those that two of them make together."""
        rows: dict[tuple[Name, Name], Row] = {}
        for row in (*self.proven(), *self.reviewed.ways(self.names)):
            if version_key(row.new[1]) <= _LOWEST:
                continue
            known = rows.get((row.new, row.old))
            if known is None or CLASSES.index(row.kind) < CLASSES.index(known.kind):
                rows[row.new, row.old] = row
        more = True
        while more:
            more = False
            by_new = defaultdict(list)
            for row in rows.values():
                by_new[row.new].append(row)
            for first in list(rows.values()):
                for second in by_new[first.old]:
                    joined = max(first, second, key=lambda row: CLASSES.index(row.kind))
                    known = rows.get((first.new, second.old))
                    if known is None or CLASSES.index(joined.kind) < CLASSES.index(known.kind):
                        row = Row(new=first.new, old=second.old, kind=joined.kind, reason=joined.reason)
                        rows[row.new, row.old] = row
                        more = True
        return sorted(
            rows.values(), key=lambda row: (version_key(row.new[1]), row.new, version_key(row.old[1]), row.old)
        )

    def home(self, name: Name) -> str | None:
        """The library in which an old version is asked for: where the oldest release that has it has it."""
        if name in self.reviewed.homes:
            return self.reviewed.homes[name]
        return next((homes[0] for release in self.libraries if (homes := release.homes(name))), None)

    def later_home(self, name: Name) -> str | None:
        """The library in which the newest release has it; None where that has it no more."""
        return next(iter(self.libraries[-1].homes(name)), None)

    def single(self) -> dict[str, list[str]]:
        """The symbols that have one version, and that above the base; by version."""
        found: dict[str, list[str]] = defaultdict(list)
        for symbol, versions in self.names.items():
            if len(versions) == 1 and versions[0] != self.base:
                found[versions[0]].append(symbol)
        return {version: found[version] for version in sorted(found, key=version_key)}

    def no_way(self, above: str) -> list[Name]:
        """The symbols above a version that have no way to it or below."""
        limit = version_key(above)
        have = {row.new for row in self.rows() if version_key(row.old[1]) <= limit}
        names = [(symbol, version) for symbol, versions in self.names.items() for version in versions]
        last = [name for name in names if version_key(name[1]) > limit and name not in have]
        return sorted(last, key=lambda name: (version_key(name[1]), name))


def to_json(table: Table) -> str:
    """The table as the package carries it: a line for each group of ways, so that a change is a short difference."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in table.rows():
        home, later = table.home(row.old), table.later_home(row.old)
        if home is None or later is None:
            continue
        word = row.new[0] if row.new[0] == row.old[0] else f"{row.new[0]}={row.old[0]}"
        groups[row.kind, row.new[1], row.old[1], home, later, row.reason].append(word)
    order = sorted(groups, key=lambda key: (CLASSES.index(key[0]), version_key(key[1]), version_key(key[2]), key))
    value = {
        "releases": " ".join(release.release for release in table.libraries),
        "base": table.base,
        "versions": {soname: " ".join(known) for soname, known in sorted(table.libraries[0].versions.items())},
        "ways": [[*key, " ".join(groups[key])] for key in order],
        "single": {version: " ".join(symbols) for version, symbols in table.single().items()},
    }
    return _lines(value) + "\n"


def _lines(value: Mapping[str, Any]) -> str:
    parts = []
    for key, part in value.items():
        if isinstance(part, dict):
            inner = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(text)}" for name, text in part.items())
            parts.append(f"{json.dumps(key)}: {{\n  {inner}\n }}")
        elif isinstance(part, list):
            parts.append(f"{json.dumps(key)}: [\n  " + ",\n  ".join(map(json.dumps, part)) + "\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(part)}")
    return "{\n " + ",\n ".join(parts) + "\n}"


def count(rows: Iterable[Row]) -> str:
    """How many ways there are of each class."""
    kinds = [row.kind for row in rows]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in CLASSES)


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description="Write the tables of older symbol versions.")
    parser.add_argument("packages", type=Path, help="folder for what is fetched")
    parser.add_argument("tables", type=Path, help="folder of the tables")
    parser.add_argument("--machine", action="append", choices=MACHINES, help="only this machine; repeatable")
    parser.add_argument("--mirror", default=MIRROR, help="a mirror of Debian")
    parser.add_argument("--no-way", metavar="VERSION", help="tell the symbols above it that have no way to it")
    options = parser.parse_args()
    options.packages.mkdir(parents=True, exist_ok=True)
    for machine in options.machine or MACHINES:
        table = Table(read_machine(machine, options.packages, mirror=options.mirror), Reviewed(machine))
        (options.tables / f"{machine}.json").write_text(to_json(table), "utf-8")
        print(f"{machine}: {count(table.rows())}")
        if options.no_way:
            print(*(f"  {symbol}@{version}" for symbol, version in table.no_way(options.no_way)), sep="\n")


if __name__ == "__main__":
    main()
