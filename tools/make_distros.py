"""Write the table of distributions that the package carries.

Run after the facts have changed, with a copy of the facts file:

    python tools/make_distros.py distros.json src/deloc8

The facts hold a row for each release. Where `measured` is true, the figures were read from the distribution's own
packages: the highest versions that its libc, libstdc++ and libgcc_s define, and whether its loader takes DT_RELR. The
other rows, and the dates of all, were compiled from what the distributions publish: release notes and package lists.
The releases of other libraries stand in library_releases.toml beside this file.

`audit/data/distros.json` is read by `deloc8.audit.distributions`. It has a line for each release: what it offers
(null: not known), from when to when it is supported, and whether it is one of the main line (not a development
branch, nor a release between two that are supported for long). `policy/data/libraries.json` is read by
`deloc8.policy.releases`: the releases of libraries that the reference system of each policy has, and each
distribution.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIBRARIES = Path(__file__).parent / "library_releases.toml"

SOURCE = (
    "measured: the versions that the release's own libc, libstdc++ and libgcc_s define; otherwise, and for the dates: "
    "release notes and package lists of the distribution"
)
FIGURES = {"GLIBC": "glibc", "GLIBCXX": "glibcxx_max", "CXXABI": "cxxabi_max", "GCC": "gcc_s_max", "musl": "musl"}


def is_main(distro: str, version: str) -> bool:
    """Whether a release is of the main line."""
    if distro == "Ubuntu":
        return re.fullmatch(r"\d[02468]\.04", version) is not None
    return re.search(r"testing|unstable|rolling", version) is None


def library_releases(reviewed: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The releases of libraries by the distribution's name and number, such as ``Debian 12``."""
    found = {}
    for group in reviewed["releases"]:
        for version, libraries in group.items():
            if version != "distros":
                found.update({f"{distro} {version}": libraries for distro in group["distros"]})
    return found


def promised(reviewed: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The release of each project by the glibc of the policies; it never falls from one policy to a newer one."""
    releases = library_releases(reviewed)
    table: dict[str, dict[str, str]] = {}
    for glibc, reference in reviewed["references"].items():
        for project, number in releases[reference].items():
            rows = table.setdefault(project, {})
            last = next(reversed(rows.values()), "0")
            if number_key(number) > number_key(last):
                rows[glibc] = number
    return table


def number_key(number: str) -> tuple[int, ...]:
    """What release numbers are ordered by."""
    return tuple(map(int, number.split(".")))


def release(row: dict[str, Any]) -> dict[str, Any]:
    """A release as the table has it."""
    # A rolling distribution may have two: the older one is the safe reading.
    offers = {namespace: row[key].partition("/")[0] for namespace, key in FIGURES.items() if row.get(key)}
    if row.get("dt_relr") is not None:
        offers["DT_RELR"] = row["dt_relr"]
    # The support of some has no end yet: the facts say "false".
    dates = {key: None if row.get(key) in {None, "false"} else row[key] for key in ("released", "eol", "extended_eol")}
    name = {"distro": row["distro"], "version": row["version"]}
    return name | {"offers": offers} | dates | {"main": is_main(**name), "measured": row["measured"]}


def _lines(part: dict[str, dict[str, str]]) -> str:
    """A part of a table, a line for each key."""
    lines = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in part.items())
    return f"{{\n  {lines}\n }}"


def main() -> None:
    """Write the tables."""
    facts, package = map(Path, sys.argv[1:])
    reviewed = tomllib.loads(LIBRARIES.read_text("utf-8"))
    lines = ",\n  ".join(json.dumps(release(row)) for row in json.loads(facts.read_text("utf-8")))
    table = f'{{\n "source": {json.dumps(SOURCE)},\n "releases": [\n  {lines}\n ]\n}}\n'
    (package / "audit" / "data" / "distros.json").write_text(table, encoding="utf-8")
    parts = {"promised": promised(reviewed), "releases": library_releases(reviewed)}
    table = ",\n ".join(f"{json.dumps(name)}: {_lines(part)}" for name, part in parts.items())
    (package / "policy" / "data" / "libraries.json").write_text(f"{{\n {table}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
