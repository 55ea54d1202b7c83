"""Build what a release consists of, into dist/ and build/release/.

    python tools/dist.py        (`make dist` calls it)

dist/ gets the sdist, and the wheel that is built from it; build/release/ their bill of materials and SHA256SUMS. The
wheel is built a second time from this folder itself: where the two differ, the exit code is 1. Equal sources and the
locked tools give equal bytes, on every machine and at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DIST = TOP / "dist"
RELEASE = TOP / "build" / "release"

# The moment that hatchling takes by itself: a clone, an sdist and a release agree, and nobody must know a date.
MOMENT = "1580601600"


def build(source: Path, output: Path, *options: str) -> None:
    """Run `build`, with the tools that are installed."""
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", output, *options, source]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": MOMENT}
    # Its report goes to stderr, so that stdout has nothing but the hashes.
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def bill_of_materials(wheel: Path) -> bytes:
    """The one that the wheel carries."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".dist-info/sboms/" in name)
        return archive.read(name)


def main() -> int:
    """The exit code: 1 where the sdist builds another wheel than the sources that it is made of."""
    for folder in (DIST, RELEASE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    build(TOP, DIST)
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")

    with tempfile.TemporaryDirectory() as scratch:
        build(TOP, Path(scratch), "--wheel")
        (direct,) = Path(scratch).iterdir()
        if (direct.name, direct.read_bytes()) != (wheel.name, wheel.read_bytes()):
            print(f"dist: {sdist.name} builds another wheel than the sources that it is made of", file=sys.stderr)
            return 1

    name_and_version = sdist.name.removesuffix(".tar.gz")
    bill = RELEASE / f"{name_and_version}.cdx.json"
    bill.write_bytes(bill_of_materials(wheel))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (wheel, sdist, bill)]
    (RELEASE / "SHA256SUMS").write_text("".join(sums), "utf-8")
    print("".join(sums), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
