"""Write requirements/: the version and the SHA-256 of every file of every package that the project installs.

    python tools/lock.py [--keep]        (`make lock` calls it; uv must be installed, see requirements/lock.txt)

There is one file for deloc8's own requirements, one for each extra, and one for each dependency group of pyproject.toml
that is not made of other groups. A package has the same version in all of them. The files hold for every Python from
3.10 up and for every machine; at the end it is proven that those of x86_64 and aarch64 can be installed from wheels.

Without --keep every version is the newest that is at least a week old: a release that was stolen is often found and
withdrawn within days. With --keep the versions stay where pyproject.toml still admits them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "requirements"
PROJECT = "deloc8"
PATIENCE = "1 week"

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
# These have no wheels for some of them: what needs them says so where it cannot be installed.
NOT_PROVEN = ("fuzz", "mutants")

# What must not be in a lock: the place where the machine that made it found a package.
PLACE = re.compile(r"\w+://|^-|\bfile:|@\s*/", re.MULTILINE)
PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)
HEADER = "# Written by `make lock` from pyproject.toml; CONTRIBUTING.md says how it is used.\n"


class Pin(NamedTuple):
    """One version of a package in a lock.

    Attributes:
        name: The normalized name.
        version: The only version that is installed.
        marker: Where the pin holds; empty where it always does.
        hashes: SHA-256 of each file that may be installed.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def sources() -> dict[str, list[str]]:
    """The options with which uv reads the requirements of each file, by the name of the file."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))
    found = {PROJECT: ["pyproject.toml"]}
    for extra in project["project"]["optional-dependencies"]:
        found[extra] = ["pyproject.toml", "--extra", extra]
    for group, members in project["dependency-groups"].items():
        if all(isinstance(member, str) for member in members):
            found[group] = ["--group", group]
    return found


def read_lock(text: str) -> list[Pin]:
    """The pins of a lock.

    Raises:
        ValueError: A line is not a version with hashes, or names a place.
    """
    if place := PLACE.search(text):
        raise ValueError(f"a lock names no place: {place[0]!r}")
    lines = text.replace("\\\n", " ").splitlines()
    pins = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        match = PIN.fullmatch(" ".join(line.split()))
        if match is None:
            raise ValueError(f"not a version with hashes: {line[:80]}")
        hashes = tuple(match["hashes"].split())
        pins.append(Pin(match["name"], match["version"], match["marker"] or "", hashes))
    return pins


def uv(*arguments: str | Path) -> None:
    """Run uv.

    Raises:
        subprocess.CalledProcessError: It failed, and has said why.
    """
    program = Path(sys.executable).with_name("uv")
    subprocess.run([program, "--quiet", "--no-progress", *arguments], cwd=TOP, check=True)


def resolve(options: list[str], output: Path, *more: str | Path) -> None:
    """Write the file that pins what the options name."""
    command = ["pip", "compile", "--universal", "--python-version", PYTHONS[0], "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    uv(*command, "--output-file", output, *more, *options)


def prove(files: list[Path]) -> None:
    """Show that the files can be installed together from wheels, on every Python and machine that they are used on."""
    options = [option for file in files for option in ("--requirement", file)]
    for machine in MACHINES:
        for python in PYTHONS:
            command = ["pip", "install", "--dry-run", "--require-hashes", "--only-binary", ":all:"]
            command += ["--python-version", python, "--python-platform", f"{machine}-manylinux_2_28"]
            with tempfile.TemporaryDirectory() as target:
                uv(*command, "--target", target, *options)


def lock(*, keep: bool) -> None:
    """Write the files anew, all or none."""
    named = sources()
    choice = [] if keep else ["--upgrade", "--exclude-newer", PATIENCE]
    with tempfile.TemporaryDirectory() as scratch:
        everything = Path(scratch) / "everything"
        # What is there is what uv prefers, unless it shall upgrade.
        kept = {pin[:3] for file in sorted(FOLDER.glob("*.txt")) for pin in read_lock(file.read_text("utf-8"))}
        lines = [f"{name}=={version}{f' ; {marker}' if marker else ''}\n" for name, version, marker in sorted(kept)]
        everything.write_text("".join(lines), "utf-8")
        groups = [option for options in named.values() if "--group" in options for option in options]
        resolve(["pyproject.toml", "--all-extras", *groups], everything, *choice)
        for name, options in named.items():
            resolve(options, Path(scratch) / f"{name}.txt", "--constraints", everything)
        prove([Path(scratch) / f"{name}.txt" for name in named if name not in NOT_PROVEN])
        write(named, Path(scratch))


def write(named: dict[str, list[str]], folder: Path) -> None:
    """Put the files of a folder in place of those that are there."""
    texts = {}
    for name in named:
        text = (folder / f"{name}.txt").read_text("utf-8")
        read_lock(text)
        texts[f"{name}.txt"] = HEADER + text
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        if old.name not in texts:
            old.unlink()
    for file_name, text in texts.items():
        (FOLDER / file_name).write_text(text, "utf-8")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Lock what the project installs.")
    parser.add_argument("--keep", action="store_true", help="keep the versions that are locked now")
    try:
        lock(keep=parser.parse_args().keep)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
