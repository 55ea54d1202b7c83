"""Write the tables of the policies that the package carries.

Run after the facts have changed, with a copy of the facts file:

    python tools/make_policies.py policies.json src/deloc8/policy/data

The facts hold `known_versions[machine][namespace]` and the policies, each with all of its libraries and forbidden
symbols. The tables hold the same in a shorter shape, one file per family, read by `deloc8.policy.load`:

- a policy names only the libraries that the one before it has not (a whitelist never shrinks);
- it names its forbidden symbols only where they differ from those of the policy before it;
- a ceiling is a list: the highest number or null, then the versions allowed beside the numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FAMILIES = ("manylinux", "musllinux", "android")


def shorten(policies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The policies of one family, each told by its difference from the one before."""
    libraries: list[str] = []
    forbidden: dict[str, list[str]] = {}
    rows = []
    for policy in policies:
        lost = set(libraries) - set(policy["libraries"])
        if lost:
            sys.exit(f"{policy['name']} lacks libraries of the policy before it: {sorted(lost)}")
        row = {
            "name": policy["name"],
            "aliases": policy["aliases"],
            "more_libraries": [library for library in policy["libraries"] if library not in libraries],
        }
        if policy["forbidden_symbols"] != forbidden:
            row["forbidden_symbols"] = policy["forbidden_symbols"]
        row["ceilings"] = {
            machine: {name: [ceiling["max"], *ceiling.get("also", ())] for name, ceiling in ceilings.items()}
            for machine, ceilings in policy["ceilings"].items()
        }
        rows.append(row)
        libraries, forbidden = policy["libraries"], policy["forbidden_symbols"]
    return rows


def to_text(value: object, indent: str = "") -> str:
    """JSON with a line for each list and each machine, so that a change of the facts is a short difference."""
    if isinstance(value, dict) and "GLIBC" not in value and value:
        inner = indent + " "
        items = [f"{inner}{json.dumps(key)}: {to_text(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(indent + " " + to_text(item, indent + " ") for item in value) + f"\n{indent}]"
    return json.dumps(value)


def main() -> None:
    """Write one table per family."""
    facts_file, folder = map(Path, sys.argv[1:])
    facts = json.loads(facts_file.read_text("utf-8"))
    for family in FAMILIES:
        rows = shorten([policy for policy in facts["policies"] if policy["family"] == family])
        used = {name for row in rows for ceilings in row["ceilings"].values() for name in ceilings}
        known = {
            machine: {name: versions for name, versions in namespaces.items() if name in used}
            for machine, namespaces in facts["known_versions"].items()
            if used
        }
        table = {"known_versions": known, "policies": rows}
        (folder / f"{family}.json").write_text(to_text(table) + "\n", "utf-8")


if __name__ == "__main__":
    main()
