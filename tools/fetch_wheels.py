"""Download the published wheels that `make compare` was run on.

    python tools/fetch_wheels.py FOLDER
    python tools/fetch_wheels.py FOLDER --add NAME==VERSION PYTHON-ABI-PLATFORM

The first form downloads every wheel of tools/compare_wheels.json (name, version, file name, sha256) that FOLDER has
not, through pip as it is configured here, and accepts no other contents. The second form adds one wheel to the list:
PYTHON is such as cp311, ABI such as cp311, abi3 or none, and PLATFORM a tag of the wheel, or one of `glibc-MACHINE`
and `musl-MACHINE` for the best wheel of that kind. The exit code is 1 when a wheel could not be had.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

LIST = Path(__file__).resolve().parent / "compare_wheels.json"
THREADS = 2

# What `glibc` and `musl` may mean: every tag of the kind, the newest first, as pip prefers them.
NEWEST_GLIBC, OLDEST_GLIBC = 41, 5
OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


class Row(TypedDict):
    """One wheel of the list."""

    name: str
    version: str
    filename: str
    sha256: str


class FetchError(Exception):
    """A wheel could not be had."""


def platforms(kind: str) -> list[str]:
    """The platform tags that a kind stands for; a tag stands for itself."""
    libc, dash, machine = kind.partition("-")
    if not dash:
        return [kind]
    if libc == "musl":
        return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    names = []
    for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1):
        names += [f"manylinux_2_{minor}"] + ([OLD_NAMES[minor]] if minor in OLD_NAMES else [])
    return [f"{name}_{machine}" for name in names]


def download(requirement: str, tag: str, folder: Path) -> Path:
    """The one wheel that pip downloads into an empty folder.

    Raises:
        FetchError: There is none; says what pip says.
    """
    python, abi, kind = tag.split("-", 2)
    # A tag set such as "py2.py3" is as good as its last member; pip asks for digits, and "py3" means any 3.x.
    last = python.split(".")[-1]
    version = {"3": "3.11", "2": "2.7"}.get(last[2:], last[2:])
    command = [sys.executable, "-m", "pip", "--quiet", "download", "--dest", str(folder)]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", version]
    command += ["--implementation", "cp" if last.startswith("py") else last[:2]]
    command += [f"--abi={name}" for name in abi.split(".")]
    command += [f"--platform={name}" for part in kind.split(".") for name in platforms(part)]
    # Only a requirement in a file can carry the hash that the download must have.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirement + "\n")
        file.flush()
        done = subprocess.run([*command, "--requirement", file.name], capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise FetchError(f"{requirement} ({tag}): {said[-1] if said else 'no wheel'}")
    return found[0]


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(row: Row, folder: Path) -> None:
    """Download one wheel of the list, unless the folder has it.

    Raises:
        FetchError: It is not to be had, or has other contents.
    """
    place = folder / row["filename"]
    if place.exists() and sha256(place) == row["sha256"]:
        return
    tag = "-".join(row["filename"][: -len(".whl")].split("-")[-3:])
    requirement = f"{row['name']}=={row['version']} --hash=sha256:{row['sha256']}"
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = download(requirement, tag, Path(temporary))
        if path.name != row["filename"] or sha256(path) != row["sha256"]:
            raise FetchError(f"{row['filename']}: the download is {path.name} with another hash")
        path.replace(place)


def add(requirement: str, tag: str, folder: Path) -> Row:
    """Download a wheel; the row that the list must have for it.

    Raises:
        FetchError: There is none.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = download(requirement, tag, Path(temporary))
        version = path.name.split("-")[1]
        row = Row(name=requirement.split("==", maxsplit=1)[0], version=version, filename=path.name, sha256=sha256(path))
        path.replace(folder / path.name)
    return row


def read_list() -> list[Row]:
    """The list of wheels."""
    rows: list[Row] = json.loads(LIST.read_text("utf-8")) if LIST.exists() else []
    return rows


def write_list(rows: list[Row]) -> None:
    """Write the list, a wheel a line, sorted by file name."""
    by_name = {row["filename"]: row for row in rows}
    lines = ",\n".join(json.dumps(by_name[name]) for name in sorted(by_name, key=str.lower))
    LIST.write_text(f"[\n{lines}\n]\n", "utf-8")


def main() -> int:
    """The exit code: 1 when a wheel could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--add", nargs=2, action="append", default=[], metavar=("NAME==VERSION", "TAG"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failures = []
    if options.add:
        rows = read_list()
        for requirement, tag in options.add:
            try:
                row = add(requirement, tag, options.folder)
            except FetchError as error:
                failures.append(str(error))
            else:
                rows.append(row)
                print(row["filename"], flush=True)
        write_list(rows)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            futures = [pool.submit(fetch, row, options.folder) for row in read_list()]
        failures += [str(future.exception()) for future in futures if future.exception()]
        print(f"{len(futures) - len(failures)} of {len(futures)} wheels are in {options.folder}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
