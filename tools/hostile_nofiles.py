"""Pipes, devices, sockets and folders in the place of files; and numbers that are none.

Each ends at once: with one error that names the file, or, for a file of the system that a loader does without, with a
sound answer. Nothing without end is read to its end.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import MEBIBYTE, Trial

from kit.elf import GLIBC, ElfSpec
from kit.nofiles import NO_FILES
from kit.packages import INFO, Rpm, apk_database, dpkg_package, ndb_database, rpm_blob, sqlite_database
from kit.scene import CORE, Scene, wants
from kit.zips import raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hostile_kit import Ended, Tool

_LIBRARY = "/usr/lib/libfoo.so.1"
_SECONDS = 25  # a pipe that is given is waited for ten
_MOST_MEMORY = 256 * MEBIBYTE
_HUGE = 1 << 40


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_HUGE)


def _terminal(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


_KINDS: Mapping[str, Callable[[Path], None]] = {
    **NO_FILES,
    "device of random bytes": lambda path: path.symlink_to("/dev/urandom"),
    "full device": lambda path: path.symlink_to("/dev/full"),
    "terminals": _terminal,
    "file without end": _sparse,
    "link to itself": lambda path: path.symlink_to(path.name),
}

# In a root of our own: links to devices lead to nothing there.
_INSIDE = ("folder", "pipe", "pipe behind a link", "socket", "device without end", "file without end", "link to itself")

_SYSTEM = (
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/one.conf",
    "/etc/ld.so.cache",
    "/lib64/ld-linux-x86-64.so.2",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/var/lib/dpkg/status",
    f"{INFO}/libfoo1.list",
    f"{INFO}/other.md5sums",
    "/lib/apk/db/installed",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite-wal",
    "/var/lib/rpm/rpmdb.sqlite-shm",
    "/var/lib/rpm/rpmdb.sqlite-journal",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/usr/share/doc/libfoo1/copyright",
    "/usr/share/common-licenses/GPL-2",
    "/usr/share/licenses/libfoo1/COPYING",
    "/usr/local/lib/libfoo.so.1",
    "/usr/lib/libc.so.6",
    "/usr/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1",
)


def _scene(place: Path) -> tuple[Scene, Path]:
    """A system that dpkg knows, and a wheel that needs a library of it."""
    place.mkdir(parents=True)
    scene = Scene(place)
    scene.system.library(_LIBRARY, ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    dpkg_package(scene.system, "libfoo1", [_LIBRARY])
    scene.system.write("/usr/share/doc/libfoo1/copyright", "see /usr/share/common-licenses/GPL-2")
    scene.system.write("/usr/share/common-licenses/GPL-2", "GPL")
    return scene, scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})


def trials(folder: Path) -> Iterator[Trial]:
    """What is no file, in each place where a file is read."""
    for kind in _KINDS:
        for command in ("show", "check", "fixup", "why", "tree"):
            yield Trial(f"{command} of a wheel: {kind}", partial(_wheel, folder=folder, kind=kind, command=command))
        for command in ("show", "check", "fixup", "why"):
            yield Trial(f"{command} --policy: {kind}", partial(_policy, folder=folder, kind=kind, command=command))
        yield Trial(f"tree of a path: {kind}", partial(_tree, folder=folder, kind=kind))
        yield Trial(f"pyproject.toml: {kind}", partial(_config, folder=folder, kind=kind))
        yield Trial(f"--include: {kind}", partial(_include, folder=folder, kind=kind))
        yield Trial(f"--sysroot: {kind}", partial(_root, folder=folder, kind=kind))
    yield Trial("tree of a folder with all of them", partial(_tree_of_all, folder=folder))
    for name in _SYSTEM:
        for kind in _INSIDE:
            yield Trial(f"{name}: {kind}", partial(_system, folder=folder, name=name, kind=kind))
    yield Trial("--policy: a pipe whose writer is silent", partial(_silent, folder=folder))
    yield Trial("--policy: a pipe without end", partial(_endless, folder=folder))
    yield from _numbers(folder)


def _fresh(folder: Path, *words: str) -> Path:
    return folder / "".join(char if char.isalnum() else "-" for char in "-".join(words))


def _refused(ended: Ended, *, codes: tuple[int, ...] = (1, 2)) -> str | None:
    if ended.fault():
        return ended.fault()
    if ended.code not in codes:
        return f"exit code {ended.code}"
    if not ended.err and not ended.out:
        return "says nothing"
    return _memory(ended)


def _memory(ended: Ended) -> str | None:
    return f"{ended.peak // MEBIBYTE} MiB" if ended.peak > _MOST_MEMORY else None


def _wheel(tool: Tool, *, folder: Path, kind: str, command: str) -> str | None:
    place = _fresh(folder, command, kind)
    place.mkdir()
    wheel = place / "demo-1.0-cp311-cp311-linux_x86_64.whl"
    _KINDS[kind](wheel)
    subject = ["libfoo.so.1"] if command == "why" else []
    return _refused(tool.run(command, wheel, *subject, cwd=place, seconds=_SECONDS), codes=(1,))


def _policy(tool: Tool, *, folder: Path, kind: str, command: str) -> str | None:
    scene, wheel = _scene(_fresh(folder, "policy", command, kind))
    policy = scene.folder / "policy.json"
    _KINDS[kind](policy)
    subject = ["libfoo.so.1"] if command == "why" else []
    words: list[str | Path] = [command, wheel, *subject, "--policy", policy, "--sysroot", scene.root]
    return _refused(tool.run(*words, cwd=scene.folder, seconds=_SECONDS))


def _tree(tool: Tool, *, folder: Path, kind: str) -> str | None:
    place = _fresh(folder, "tree-of", kind)
    place.mkdir()
    _KINDS[kind](place / "path")
    return _refused(tool.run("tree", place / "path", cwd=place, seconds=_SECONDS))


def _tree_of_all(tool: Tool, *, folder: Path) -> str | None:
    scene, _ = _scene(_fresh(folder, "tree-of-all"))
    place = scene.folder / "all"
    place.mkdir()
    for kind, make in _KINDS.items():
        make(place / kind)
    shutil.copy(scene.root / _LIBRARY[1:], place)
    ended = tool.run("tree", place, "--sysroot", scene.root, seconds=_SECONDS)
    return ended.fault() or (f"exit code {ended.code}" if ended.code else _memory(ended))


def _config(tool: Tool, *, folder: Path, kind: str) -> str | None:
    scene, wheel = _scene(_fresh(folder, "config", kind))
    _KINDS[kind](scene.folder / "pyproject.toml")
    words = ("check", wheel, "--sysroot", scene.root)
    return _refused(tool.run(*words, cwd=scene.folder, seconds=_SECONDS), codes=(2,))


def _include(tool: Tool, *, folder: Path, kind: str) -> str | None:
    scene, wheel = _scene(_fresh(folder, "include", kind))
    (scene.root / "opt").mkdir()
    _KINDS[kind](scene.root / "opt/libbar.so")
    words = ("fixup", wheel, "--sysroot", scene.root, "--include", scene.root / "opt/libbar.so", "-w", scene.folder)
    return _refused(tool.run(*words, seconds=_SECONDS))


def _root(tool: Tool, *, folder: Path, kind: str) -> str | None:
    if kind == "folder":
        return None
    scene, wheel = _scene(_fresh(folder, "root", kind))
    _KINDS[kind](scene.folder / "other")
    return _refused(tool.run("show", wheel, "--sysroot", scene.folder / "other", seconds=_SECONDS), codes=(2,))


def _system(tool: Tool, *, folder: Path, name: str, kind: str) -> str | None:
    scene, wheel = _scene(_fresh(folder, name, kind))
    path = scene.root / name[1:]
    if "/rpm/" in name or "/apk/" in name:
        shutil.rmtree(scene.root / "var/lib/dpkg")
        _databases(scene, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    _KINDS[kind](path)
    if name.startswith("/etc/ld.so.conf.d"):
        scene.system.write("/etc/ld.so.conf", "include ld.so.conf.d/*\n")
    ended = tool.run("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", seconds=_SECONDS)
    if ended.fault():
        return ended.fault()
    if ended.code not in {0, 1}:
        return f"exit code {ended.code}"
    return _memory(ended)


def _databases(scene: Scene, path: Path) -> None:
    package = Rpm(files=(_LIBRARY,))
    if "rpmdb.sqlite-" in path.name:
        sqlite_database(path.with_name("rpmdb.sqlite"), [package])
    elif path.name == "Packages":
        scene.system.write("/usr/lib/sysimage/rpm/none", "")
    elif path.name == "installed":
        scene.system.write("/usr/lib/apk/db/installed", apk_database({"libfoo": [_LIBRARY]}))
    else:
        scene.system.write("/var/lib/rpm/Packages", ndb_database([rpm_blob(package)]))


def _silent(tool: Tool, *, folder: Path) -> str | None:
    scene, wheel = _scene(_fresh(folder, "silent"))
    words = ("show", wheel, "--policy", "/dev/stdin", "--sysroot", scene.root)
    return _refused(_fed(tool, words, ["sleep", "60"]), codes=(1, 2, 4))


def _endless(tool: Tool, *, folder: Path) -> str | None:
    scene, wheel = _scene(_fresh(folder, "endless"))
    words = ("show", wheel, "--policy", "/dev/stdin", "--sysroot", scene.root)
    return _refused(_fed(tool, words, ["yes"]))


def _fed(tool: Tool, words: Sequence[str | Path], command: Sequence[str]) -> Ended:
    """How a run ends whose stdin is the output of another command."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as feeding:
        try:
            return tool.run(*words, stdin=feeding.stdout or subprocess.DEVNULL, seconds=_SECONDS)
        finally:
            feeding.kill()


# -- numbers

_NO_NUMBERS = (
    "-1",
    " ",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    "1_0",
    "x",
    "\u0665",
    "\u00b2",
    "\uff11",
    "9" * 5000,
    "1\n",
)
_TOO_LARGE = (str(1 << 31), str(1 << 32), str((1 << 63) - 1), str(1 << 63), str(1 << 64))


def _numbers(folder: Path) -> Iterator[Trial]:
    options = {
        "-j": ("0", "10000", str(10**9)),
        "-z": ("10", "99"),
        "--max-unpacked": ("0", str(1 << 51), str(1 << 64)),
        "--source-date-epoch": ("4354819200", str((1 << 63) - 1), str(1 << 63)),
    }
    for option, more in options.items():
        for text in (*_NO_NUMBERS, *more):
            word = f"{option}={text}" if option.startswith("--") else f"{option}{text}"
            yield Trial(f"{option} {text[:30]!r}", partial(_number, folder=folder, words=(word,), environ={}))
    variables = {
        "SOURCE_DATE_EPOCH": ("4354819200", str((1 << 63) - 1), str(1 << 63), "1700000000000"),
        "AUDITWHEEL_ZIP_COMPRESSION_LEVEL": ("10", *_TOO_LARGE),
    }
    for variable, more in variables.items():
        for text in (*_NO_NUMBERS, *more):
            yield Trial(
                f"{variable}={text[:30]!r}", partial(_number, folder=folder, words=(), environ={variable: text})
            )
    for text in ("0", "1", "315532799", "315532800", "4354819198", "4354819199"):
        yield Trial(f"SOURCE_DATE_EPOCH={text}", partial(_moment, folder=folder, text=text))
    for text in (*_NO_NUMBERS, *_TOO_LARGE, "0", "1"):
        for variable in ("COLUMNS", "LINES"):
            yield Trial(f"{variable}={text[:30]!r}", partial(_width, folder=folder, environ={variable: text}))


def _number(tool: Tool, *, folder: Path, words: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    place = _fresh(folder, "numbers")
    if not place.exists():
        _scene(place)
    (wheel,) = place.glob("*.whl")
    run: list[str | Path] = ["fixup", wheel, "--sysroot", place / "root", "-w", place / "out", *words]
    return _refused(tool.run(*run, environ=environ, seconds=_SECONDS), codes=(2,))


def _moment(tool: Tool, *, folder: Path, text: str) -> str | None:
    scene, wheel = _scene(_fresh(folder, "moment", text))
    words = ("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out")
    ended = tool.run(*words, environ={"SOURCE_DATE_EPOCH": text}, seconds=_SECONDS)
    return ended.fault() or (f"exit code {ended.code}" if ended.code else None)


def _width(tool: Tool, *, folder: Path, environ: Mapping[str, str]) -> str | None:
    place = _fresh(folder, "width")
    if not place.exists():
        place.mkdir()
        (place / "demo-1.0-py3-none-any.whl").write_bytes(raw_zip(wheel_entries()))
    words = ("show", place / "demo-1.0-py3-none-any.whl", "--allow-pure-python-wheel")
    ended = tool.run(*words, environ=environ, seconds=_SECONDS)
    return ended.fault() or (f"exit code {ended.code}" if ended.code else _memory(ended))
