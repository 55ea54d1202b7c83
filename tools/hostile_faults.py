"""Faults of the machine: reads, writes, room, memory, threads, descriptors.

Each command meets a fault in its midst: a system call that fails (strace injects it), a limit of the system, a folder
that is full, missing or read-only. It may end well, or with exit code 4 and one error; where the fault is one of a
path that was named, with 1 or 2. An answer must be the right one, and nothing may be left.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostile_kit import Trial

from kit.elf import GLIBC, ElfSpec, build_elf
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hostile_kit import Ended, Tool

_MEBIBYTE = 1 << 20
_REFUSED = 4  # the exit code
_NOT_LOADED = 127  # of ld.so and of shells
_BEFORE_PYTHON = b"<no Python frame>"
_LARGE = 33 * _MEBIBYTE  # such members pass through a temporary file
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp", "/usr/tmp")))  # noqa: S108  where Python looks
_MOUNTS = {"full": "size=2m"}  # as tmpfs takes them
_NOBODY = 65_000  # a user without any process, so that a limit of processes means what it says

# The calls that a run makes, with errors that each of them may give.
_CALLS = {
    "openat": ("EIO", "ESTALE", "ENFILE", "EMFILE", "ENOMEM"),
    "read": ("EIO", "ESTALE"),
    "pread64": ("EIO", "ESTALE", "ENOMEM"),
    "preadv": ("EIO", "ESTALE"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "EFBIG"),
    "newfstatat": ("EIO", "ESTALE", "ENOMEM"),
    "fstat": ("EIO", "ESTALE"),
    "readlink": ("EIO", "ESTALE", "ENOMEM"),
    "getdents64": ("EIO", "ESTALE"),
    "mmap": ("ENOMEM", "ENODEV"),
    "rename": ("ENOSPC", "EIO"),
    "unlink": ("EIO",),
    "mkdir": ("ENOSPC", "EIO", "EDQUOT"),
    "flock": ("ENOLCK", "ENOSYS", "EIO"),
    "close": ("EIO",),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM", "ENOSYS"),
    "vfork": ("EAGAIN",),
    "fork": ("EAGAIN", "ENOMEM"),
    "pipe2": ("EMFILE", "ENFILE"),
    "lseek": ("EIO",),
}


class _Place(NamedTuple):
    """A small system and its wheels."""

    scene: Scene
    wheels: tuple[Path, ...]

    def words(self, command: str, out: Path, *more: str) -> list[str | Path]:
        """The words of a command on the wheels."""
        wheels = self.wheels[:1] if command == "why" else self.wheels
        words: list[str | Path] = [command, *wheels, "--sysroot", self.scene.root, *more]
        if command == "why":
            words.insert(2, "libfoo.so.1")
        if command == "fixup":
            words += ["-w", out, "--no-sbom"]
        return words


_COMMANDS = ("show", "check", "fixup", "why", "tree")


def trials(folder: Path) -> Iterator[Trial]:
    """Limits and folders first, then every call that a run makes."""
    small = _place(folder / "small", 4000)
    large = _place(folder / "large", _LARGE)
    for command in _COMMANDS:
        yield from _folders(command, large, folder)
        yield from _limits(command, small, large, folder)
        yield from _places(command, small, folder)
    if shutil.which("strace"):
        for command in _COMMANDS:
            yield from _injected(command, small, folder)
            yield from _injected(command, large, folder, most=3)


def _place(folder: Path, size: int) -> _Place:
    """A system with a library, and two wheels that need it; the modules have so many bytes of data."""
    folder.mkdir()
    scene = Scene(folder)
    library = ElfSpec(soname="libfoo.so.1", needed=(GLIBC,))
    scene.system.library("/usr/lib/libfoo.so.1", library)
    scene.system.library("/usr/lib/liblarge.so.1", ElfSpec(soname="liblarge.so.1", payload=bytes(_MEBIBYTE)))
    scene.system.write("/etc/ld.so.conf", "/opt/lib\n")
    module = build_elf(wants("GLIBC_2.5", needed=("libfoo.so.1", "liblarge.so.1"))) + bytes(size)
    python = b'import ctypes\nctypes.CDLL("libfoo.so.1")\n'
    wheels = [scene.wheel({CORE: module, "demo/a.py": python}, name=name) for name in ("first", "second")]
    return _Place(scene, tuple(wheels))


# -- what is judged


def _clean(folder: Path) -> Path:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    return out


def _problem(ended: Ended, codes: Sequence[int], out: Path, expected: Ended | None = None) -> str | None:
    """Say what is broken about a run that met a fault."""
    if ended.code == _NOT_LOADED or _BEFORE_PYTHON in ended.err:
        return None  # the fault has met the interpreter before deloc8 began
    if ended.fault():
        return ended.fault()
    left = [path.name for path in out.iterdir()] if out.exists() else []
    rules = {
        f"exit code {ended.code}": ended.code not in codes,
        "exit code 4 without an error": ended.code == _REFUSED and b"error: " not in ended.err,
        "a temporary file is left": any(name.startswith(".deloc8-") for name in left),
        "another answer, and exit code 0": ended.code == 0 and expected is not None and ended.out != expected.out,
    }
    return next((words for words, is_broken in rules.items() if is_broken), None)


_known: dict[tuple[str, str, Path], tuple[Ended, dict[str, bytes]]] = {}


def _sound(tool: Tool, place: _Place, command: str, out: Path) -> tuple[Ended, dict[str, bytes]]:
    """How the command ends without a fault, and what it writes."""
    key = tool.executable, command, place.wheels[0]
    if key not in _known:
        ended = tool.run(*place.words(command, out))
        written = {path.name: path.read_bytes() for path in out.iterdir()} if out.exists() else {}
        shutil.rmtree(out, ignore_errors=True)
        _known[key] = ended, written
    return _known[key]


# -- folders for temporary files


def _folders(command: str, place: _Place, folder: Path) -> Iterator[Trial]:
    for kind in ("full", "missing", "read-only", "no folder"):
        judge = partial(_judge_folder, place=place, command=command, folder=folder, kind=kind)
        yield Trial(f"{command}: TMPDIR {kind}", judge)


def _judge_folder(tool: Tool, *, place: _Place, command: str, folder: Path, kind: str) -> str | None:
    """All folders that Python would take for temporary files are of the kind, in a namespace of its own."""
    out = _clean(folder)
    top = folder / "temporary"
    top.mkdir(exist_ok=True)
    where = {"missing": "/nonexistent/x", "no folder": str(place.wheels[0])}.get(kind, str(top))
    steps = [
        *(f"mount --bind {path} {path} && mount -o remount,bind,ro {path}" for path in _TEMPORARY if path.is_dir()),
        # What is read and written stays where it is.
        f"mount --bind {folder} {folder} && mount -o remount,bind,rw {folder}",
        f"mount -t tmpfs -o {_MOUNTS.get(kind, 'ro')} t {top}",
        "cd /proc",
        'exec "$@"',
    ]
    before = ["unshare", "-m", "sh", "-c", " && ".join(steps), "sh"]
    ended = tool.run(*place.words(command, out), environ={"TMPDIR": where}, before=before)
    return _problem(ended, (0, 4), out)


# -- limits


def _limits(command: str, small: _Place, large: _Place, folder: Path) -> Iterator[Trial]:
    for limit in (20, 32, 48, 64, 80, 100, 150):
        yield Trial(
            f"{command}: {limit} MiB of addresses",
            partial(_judge_limit, place=large, command=command, folder=folder, limit=f"--as={limit * _MEBIBYTE}"),
        )
    for count in range(4, 14):
        yield Trial(
            f"{command}: {count} open files",
            partial(_judge_limit, place=large, command=command, folder=folder, limit=f"--nofile={count}"),
        )
    for size in (0, 1000, 100_000, 10 * _MEBIBYTE):
        yield Trial(
            f"{command}: files of {size} bytes",
            partial(_judge_limit, place=large, command=command, folder=folder, limit=f"--fsize={size}"),
        )
    if os.geteuid() == 0:
        for place in (small, large):
            yield Trial(
                f"{command}: no second process or thread, {place.wheels[0].stat().st_size} bytes",
                partial(_judge_alone, place=place, command=command, folder=folder),
            )


def _judge_limit(tool: Tool, *, place: _Place, command: str, folder: Path, limit: str) -> str | None:
    out = _clean(folder)
    ended = tool.run("--version", before=["prlimit", limit])
    if ended.code:
        return None  # Python itself does not start
    ended = tool.run(*place.words(command, out), before=["prlimit", limit])
    if b"Fatal Python error" in ended.err or b"deloc8" not in ended.err + ended.out:
        return None
    return _problem(ended, (0, 1, 4) if ended.code == 1 and not ended.err else (0, 4), out)


def _judge_alone(tool: Tool, *, place: _Place, command: str, folder: Path) -> str | None:
    out = _clean(folder)
    out.mkdir()
    out.chmod(0o777)
    for above in (folder, *folder.parents[:1]):
        above.chmod(0o755)
    jobs = () if command == "tree" else ("-j4",)
    before = ["setpriv", "--reuid", str(_NOBODY), "--clear-groups", "prlimit", "--nproc=1"]
    ended = tool.run(*place.words(command, out, *jobs), before=before)
    if b"Permission denied" in ended.err:
        return None  # the executable is not for everyone
    return _problem(ended, (0, 4), out)


# -- places that are named


def _places(command: str, place: _Place, folder: Path) -> Iterator[Trial]:
    for kind in ("lost folder", "no HOME", "no /proc", "no /dev/null", "odd locale"):
        yield Trial(f"{command}: {kind}", partial(_judge_place, place=place, command=command, folder=folder, kind=kind))
    if command == "fixup":
        for kind in ("full", "read-only", "under a file"):
            yield Trial(f"fixup: -w {kind}", partial(_judge_out, place=place, folder=folder, kind=kind))


def _judge_place(tool: Tool, *, place: _Place, command: str, folder: Path, kind: str) -> str | None:
    out = _clean(folder)
    expected, _ = _sound(tool, place, command, out)
    scripts = {
        "lost folder": 'd=$(mktemp -d) && cd $d && rmdir $d && exec "$@"',
        "no HOME": 'unset HOME; exec "$@"',
        "no /proc": 'exec unshare -m sh -c \'mount -t tmpfs t /proc; exec "$@"\' sh "$@"',
        "no /dev/null": 'exec unshare -m sh -c \'mount -t tmpfs t /dev; exec "$@"\' sh "$@"',
        "odd locale": 'LC_ALL=xx_YY.KOI8 PYTHONUTF8=0 exec "$@"',
    }
    ended = tool.run(*place.words(command, out), before=["sh", "-c", scripts[kind], "sh"])
    if kind == "no /dev/null" and ended.code == _REFUSED:
        return _problem(ended, (4,), out)
    return _problem(ended, (expected.code,), out, expected)


def _judge_out(tool: Tool, *, place: _Place, folder: Path, kind: str) -> str | None:
    out = _clean(folder)
    out.mkdir()
    where = out
    script = 'exec "$@"'
    if kind == "full":
        script = f'mount -t tmpfs -o size=4k t {out}; exec "$@"'
    elif kind == "read-only":
        script = f'mount -t tmpfs -o ro t {out}; exec "$@"'
    else:
        (out / "file").touch()
        where = out / "file" / "below"
    ended = tool.run(*place.words("fixup", where), before=["unshare", "-m", "sh", "-c", script, "sh"])
    return _problem(ended, (4,) if kind == "full" else (1, 2), out)


# -- calls that fail


def _injected(command: str, place: _Place, folder: Path, most: int = 8) -> Iterator[Trial]:
    """A trial for every error of every call, at some of the moments that a run makes it at."""
    for call, errors in _CALLS.items():
        for error in errors:
            for part in range(most):
                judge = partial(
                    _judge_call,
                    place=place,
                    command=command,
                    folder=folder,
                    fault=(call, error, (part + 0.5) / most),
                )
                yield Trial(f"{command}: {call} gives {error}, {part + 1} of {most}", judge)


_TRACED = re.compile(rb"^(?:\[pid +\d+\] |\d+ +)?(\w+)\(", re.MULTILINE)
_BEGINNING = re.compile(rb"/cli/(?:__pycache__/)?commands\b")
_counts: dict[tuple[str, str, str], tuple[int, int]] = {}


def _judge_call(tool: Tool, *, place: _Place, command: str, folder: Path, fault: tuple[str, str, float]) -> str | None:
    call, error, moment = fault
    out = _clean(folder)
    expected, written = _sound(tool, place, command, out)
    first, last = _count(tool, place, command, folder, call)
    if last <= first:
        return None  # a run makes no such call
    number = first + 1 + int((last - first) * moment)
    inject = f"inject={call}:error={error}:when={number}"
    before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    ended = tool.run(*place.words(command, out), before=before)
    codes = (expected.code, 4, 1, 2) if error in {"EACCES", "ENOENT"} else (expected.code, 4)
    problem = _problem(ended, codes, out, expected if command != "fixup" else None)
    if problem is None and ended.code == 0 and command == "fixup":
        now = {path.name: path.read_bytes() for path in out.iterdir()}
        if now != written:
            return "another wheel, and exit code 0"
    return problem


def _count(tool: Tool, place: _Place, command: str, folder: Path, call: str) -> tuple[int, int]:
    """How many such calls a run makes before deloc8 begins, and in all."""
    key = (tool.executable, f"{command} {place.wheels[0]}", call)
    if key not in _counts:
        trace = folder / "trace"
        out = _clean(folder)
        before = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={call},openat"]
        tool.run(*place.words(command, out), before=before)
        text = trace.read_bytes()
        begun = _BEGINNING.search(text)
        start = begun.start() if begun else 0
        calls = [found.start() for found in _TRACED.finditer(text) if found[1] == call.encode()]
        _counts[key] = sum(place < start for place in calls), len(calls)
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run(["rm", "-f", trace], check=True)
    return _counts[key]
