"""Asks pip-audit whether a known vulnerability concerns a package of requirements/.

    python tools/audit.py

`make audit` calls it. Where pip-audit has no network, and where the index tells nothing of vulnerabilities, that is
said, and the exit code is 0. It is 1 where there is a vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TIME_LIMIT = 600


def main(program: str) -> int:
    """The exit code: 1 where a package has a known vulnerability."""
    command = [program, "--require-hashes", "--disable-pip"]
    for file in sorted((TOP / "requirements").glob("*.txt")):
        command += ["--requirement", str(file)]
    command += ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: skipped: {(done.stderr.strip().splitlines() or ['pip-audit says nothing'])[-1]}")
        return 0
    known = [row for row in rows if "skip_reason" not in row]
    if not known:
        print(f"audit: skipped: the index tells nothing of the {len(rows)} packages")
        return 0
    print(f"audit: {len(known)} packages looked up, {len(rows) - len(known)} unknown to the index")
    found = [(row, vulnerability) for row in known for vulnerability in row["vulns"]]
    for row, vulnerability in found:
        fixed = ", ".join(vulnerability.get("fix_versions", [])) or "no version"
        print(f"{row['name']} {row['version']}: {vulnerability['id']}, mended in {fixed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else str(Path(sys.executable).parent / "pip-audit")))
