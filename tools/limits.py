"""Measures published wheels against the limits of the input: the largest value of each kind that is really used.

    python tools/limits.py [WHEEL ...] [--locked] [--numerous] [--save FILE]

WHEEL is a file, or a requirement such as `numpy==2.0.0`. `--locked` adds the wheels of tools/compare_wheels.json, and
`--numerous` those that tools/limits_wheels.txt names: the ones of the index with the most members that we know of. pip
says where a wheel is, as it is configured here; of a wheel of an index only the directory of the archive and the files
of its metadata are read, by HTTP ranges. Prints a table: what is limited, the largest value seen, in which wheel, the
limit, and how many times the value it is. The exit code is 1 where a wheel exceeds a limit or could not be measured.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from deloc8.wheel import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Buffer

HERE = Path(__file__).resolve().parent
LOCKED = HERE / "compare_wheels.json"
NUMEROUS = HERE / "limits_wheels.txt"
THREADS = 4
BLOCK = 1 << 18  # bytes of one request
# A wheel of any kind will do where no file name says which one is meant.
ANY = ("--python-version", "3.12", *(f"--platform={tag}" for tag in ("manylinux_2_28_x86_64", "manylinux2014_x86_64")))


class MeasureError(Exception):
    """A wheel could not be measured."""


class Remote(io.RawIOBase):
    """A file behind a URL, read by ranges."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = 0
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:  # noqa: S310  https, by pip
            self._size = int(answer.headers["Content-Length"])

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, room: Buffer) -> int:
        """See `io.RawIOBase.readinto`."""
        view = memoryview(room).cast("B")
        end = min(self._place + len(view), self._size)
        if end <= self._place:
            return 0
        wanted = {"Range": f"bytes={self._place}-{end - 1}"}
        with urllib.request.urlopen(urllib.request.Request(self._url, headers=wanted)) as answer:  # noqa: S310
            whole = answer.status != HTTPStatus.PARTIAL_CONTENT  # of some small files
            data = answer.read()
        data = data[self._place : end] if whole else data
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


class Wheel(NamedTuple):
    """A wheel: its file name, and what is measured of it."""

    name: str
    values: Mapping[str, int]


def measure(name: str, file: io.BufferedIOBase) -> Wheel:
    """The values of one wheel."""
    archive = zipfile.ZipFile(cast("IO[bytes]", file))
    members = [member for member in archive.infolist() if not member.is_dir()]
    metadata = {}
    for member in members:
        folder, _, last = member.filename.rpartition("/")
        if folder.endswith(".dist-info") and "/" not in folder:
            metadata[last] = member
    record = archive.read(metadata["RECORD"]).decode("utf-8", "replace")
    names = [member.filename for member in members]
    folders: set[str] = set()
    for path in names:
        parts = path.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    elf = [path for path in names if ".so" in path.rpartition("/")[2]]
    python = [member.file_size for member in members if member.filename.endswith(".py")]
    values = {
        "members": len(archive.infolist()),
        "directory bytes": file.seek(0, io.SEEK_END) - archive.start_dir,
        "longest path": max(len(path.encode()) for path in names),
        "deepest path": max(path.count("/") for path in names) + 1,
        "folders": len(folders),
        "RECORD bytes": metadata["RECORD"].file_size,
        "RECORD rows": record.count("\n") + 1,
        "longest line of RECORD": max(len(line) for line in record.splitlines()),
        "WHEEL bytes": metadata["WHEEL"].file_size,
        "METADATA bytes": metadata["METADATA"].file_size,
        "extra fields of one member": max(len(member.extra) for member in members),
        "files named like libraries": len(elf),
        "largest member": max(member.file_size for member in members),
        "largest Python file": max(python, default=0),
        "bytes of Python files": sum(python),
    }
    return Wheel(name, values)


def located(words: Sequence[str], requirement: str) -> str:
    """The URL of the wheel that pip would take."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    command += ["--report=-", "--target=unused", "--only-binary=:all:", *words, requirement]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        raise MeasureError(lines[-1] if lines else "pip failed")
    url: str = json.loads(ended.stdout)["install"][0]["download_info"]["url"]
    return url


def measure_remote(requirement: str, words: Sequence[str] = ANY) -> Wheel:
    """The values of a wheel of the index."""
    url = located(words, requirement)
    with io.BufferedReader(Remote(url), BLOCK) as file:
        return measure(url.rpartition("/")[2], file)


def measure_local(path: Path) -> Wheel:
    """The values of a wheel on disk."""
    with path.open("rb") as file:
        return measure(path.name, file)


def words_for(filename: str) -> list[str]:
    """The words that lead pip to one of several wheels of a release."""
    python, abi, platform = filename.removesuffix(".whl").rsplit("-", 3)[1:]
    python = python.rpartition(".")[2]
    words = [f"--python-version={python[2:]}", f"--implementation={python[:2]}"]
    words += [f"--abi={one}" for one in abi.split(".")]
    return [*words, *(f"--platform={one}" for one in platform.split("."))]


def jobs(arguments: argparse.Namespace) -> dict[str, Callable[[], Wheel]]:
    """What measures each wheel that is wanted, by its file name or requirement."""
    wanted: dict[str, Callable[[], Wheel]] = {}
    for word in arguments.wheels:
        is_file = word.endswith(".whl")
        wanted[word] = partial(measure_local, Path(word)) if is_file else partial(measure_remote, word)
    if arguments.locked:
        for row in json.loads(LOCKED.read_text("utf-8")):
            requirement = f"{row['name']}=={row['version']}"
            wanted[row["filename"]] = partial(measure_remote, requirement, words_for(row["filename"]))
    if arguments.numerous:
        for name in NUMEROUS.read_text("utf-8").split():
            wanted[name] = partial(measure_remote, name)
    return wanted


def attempt(job: Callable[[], Wheel]) -> Wheel | Exception:
    """The values of one wheel, or why there are none."""
    try:
        return job()
    except (MeasureError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return error


# Where there is a limit of the same kind.
LIMITS = {
    "members": limits.MOST_MEMBERS,
    "directory bytes": limits.LARGEST_DIRECTORY,
    "longest path": limits.LONGEST_PATH,
    "deepest path": limits.DEEPEST_PATH,
    "folders": limits.MOST_FOLDERS,
    "RECORD bytes": limits.LARGEST_RECORD,
    "RECORD rows": limits.MOST_MEMBERS,
    "WHEEL bytes": limits.LARGEST_WHEEL,
    "METADATA bytes": limits.LARGEST_METADATA,
}


def table(wheels: Sequence[Wheel]) -> tuple[list[str], int]:
    """The lines of the table, and how many limits are exceeded."""
    lines = ["| what | largest seen | in | limit | times |", "|---|--:|---|--:|--:|"]
    exceeded = 0
    for kind in wheels[0].values:
        largest = max(wheels, key=partial(_value, kind=kind))
        value = largest.values[kind]
        row = f"| {kind} | {value:,} | {largest.name} |"
        limit = LIMITS.get(kind)
        if limit is None:
            lines.append(f"{row} | |")
        else:
            lines.append(f"{row} {limit:,} | {limit / max(value, 1):.1f} |")
            exceeded += value > limit
    return lines, exceeded


def _value(wheel: Wheel, kind: str) -> int:
    return wheel.values[kind]


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheels", nargs="*", metavar="WHEEL")
    parser.add_argument("--locked", action="store_true")
    parser.add_argument("--numerous", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    wanted = jobs(arguments)
    with ThreadPoolExecutor(THREADS) as threads:
        results = dict(zip(wanted, threads.map(attempt, wanted.values()), strict=True))
    measured = []
    failed = 0
    for name, result in results.items():
        if isinstance(result, Wheel):
            measured.append(result)
        else:
            failed += 1
            print(f"{name}: {result}", file=sys.stderr)
    if arguments.save:
        rows = {wheel.name: wheel.values for wheel in measured}
        arguments.save.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print(f"{len(measured)} wheels")
    lines, exceeded = table(measured)
    print("\n".join(lines))
    return 1 if failed or exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
