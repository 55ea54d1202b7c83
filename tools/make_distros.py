"""Write the table of distributions that the package carries.

Run after the facts have changed, with a copy of the facts file:

    python tools/make_distros.py distros.json src/deloc8/audit/data

The facts hold a row for each release. Where `measured` is true, the figures were read from the distribution's own
packages: the highest versions that its libc, libstdc++ and libgcc_s define, and whether its loader takes DT_RELR. The
other rows, and the dates of all, were compiled from what the distributions publish: release notes and package lists.

The table is read by `deloc8.audit.compat`. It has a line for each release: what it offers (null: not known), from when
to when it is supported, and whether it is one of the main line (not a development branch, nor a release between two
that are supported for long).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

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


def main() -> None:
    """Write the table."""
    facts, folder = map(Path, sys.argv[1:])
    lines = ",\n  ".join(json.dumps(release(row)) for row in json.loads(facts.read_text("utf-8")))
    table = f'{{\n "source": {json.dumps(SOURCE)},\n "releases": [\n  {lines}\n ]\n}}\n'
    (folder / "distros.json").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
