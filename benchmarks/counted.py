"""The work whose instructions are counted; `instructions.py` runs it below valgrind.

    counted.py WORK FOLDER

WORK is `start` (import what `show` needs, and judge one small wheel), `reading` (the ELF files of a wheel, and the
archive itself, again and again) or `judging` (its facts against all policies, again and again); `prepare` makes the
wheel and the system that they look at.
"""

from __future__ import annotations

import os
import sys

# Nothing is imported here that what is counted does not import: `start` counts all that the command pays for.
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPEATS = {"reading": 6, "judging": 2}
SYMBOLS, FILES, PLAIN_FILES = 1200, 6, 200


def prepare(place: str) -> None:
    """Make a wheel with some extension modules and a system with the library that they need."""
    from pathlib import Path

    from kit.elf import GLIBC, ElfSpec, Undefined
    from kit.scene import Scene, wants

    folder = Path(place)
    scene = Scene(folder)
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.2.5", "GLIBC_2.28", soname="libfoo.so.1"))
    versions = ("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.28", "GLIBC_2.34")
    asked = tuple(Undefined(f"symbol{number}", versions[number % 4], GLIBC) for number in range(SYMBOLS))
    spec = ElfSpec(needed=("libfoo.so.1", GLIBC), undefined=asked)
    members = {f"demo/module{number}.so": spec for number in range(FILES)}
    plain = {f"demo/part{number}.py": b"name = 1\n" * 40 for number in range(PLAIN_FILES)}
    scene.wheel({**members, **plain})
    Scene(folder / "small").wheel({"demo/_core.so": wants("GLIBC_2.2.5")})


def wheel_in(folder: str) -> str:
    """The path of the only wheel in a folder."""
    (name,) = (name for name in os.listdir(folder) if name.endswith(".whl"))
    return os.path.join(folder, name)


def start(place: str) -> None:
    """What every `show` pays."""
    from deloc8.cli import main

    small = os.path.join(place, "small")
    if main(["show", "-j1", "--sysroot", os.path.join(small, "root"), wheel_in(small)]):
        raise SystemExit("show failed")


def reading(place: str) -> None:
    """Archives and ELF files read."""
    from deloc8.audit.images import Reading, read_images
    from deloc8.wheel.archive import open_wheel

    wheel = wheel_in(place)
    for _ in range(REPEATS["reading"]):
        with open_wheel(wheel) as archive:
            read_images(archive, Reading(mentions=True))


def judging(place: str) -> None:
    """Facts judged; that they are gathered once is a small part of it."""
    from deloc8.audit.facts import gather
    from deloc8.audit.verdict import judge
    from deloc8.loader.search import SearchOptions
    from deloc8.loader.sysroot import Sysroot
    from deloc8.wheel.archive import open_wheel

    with open_wheel(wheel_in(place)) as archive:
        facts = gather(archive, Sysroot(os.path.join(place, "root")), SearchOptions())
    for _ in range(REPEATS["judging"]):
        judge(facts)


if __name__ == "__main__":
    # No folder of packages is searched: what is installed there, such as a faster codec, must not count.
    sys.path[:0] = [os.path.join(TOP, "src"), os.path.join(TOP, "tests")]
    {"prepare": prepare, "start": start, "reading": reading, "judging": judging}[sys.argv[1]](sys.argv[2])
