"""Files that change while they are read: libraries, wheels, results.

While a command runs, a library of the system, the wheel or the file that is being written is cut, grows, is touched,
replaced or removed, again and again and at a moment of its own. Some are larger than what is read at once, one is a
sparse library of 2 GiB. No run may end by a signal; one that ends well has answered for one state of the files.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import Ended, Trial

from kit.elf import GLIBC, ElfSpec, build_elf
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostile_kit import Tool

_MEBIBYTE = 1 << 20
_COMMANDS = ("show", "check", "fixup", "why", "tree")
_VICTIMS = ("small library", "large library", "wheel", "result")
_MOMENTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
_STEPS = (1, 2, 3, 4, 5, 7)  # calls of the system on the file after which it changes
_SLOW = 40_000  # microseconds that each of these calls waits before it is made
_SLOWED = "openat,close,mmap,pread64,preadv,read,fstat"
_SIZES = {"small library": 1000, "large library": 40 * _MEBIBYTE, "wheel": 0, "result": 0}
_GENTLE = (0, 1, 2, 4)  # exit codes
_DEFECT = 3


def trials(folder: Path) -> Iterator[Trial]:
    """Each victim, each kind of change, each command, some moments."""
    for victim in _VICTIMS if shutil.which("strace") else ("result",):
        for kind in _CHANGES:
            for command in _COMMANDS:
                if victim == "result" and command != "fixup":
                    continue
                for moment in _MOMENTS if victim == "result" else _STEPS:
                    judge = partial(_judge, folder=folder, case=(command, victim, kind, moment))
                    unit = "s" if victim == "result" else "calls on it"
                    yield Trial(f"{command}: {victim} is {kind} after {moment} {unit}", judge)
    for command in _COMMANDS:
        for limit in (None, 1000, 300):
            name = f"{command}: a sparse library of 2 GiB, {limit or 'any'} MiB of addresses"
            yield Trial(name, partial(_judge_sparse, folder=folder, command=command, limit=limit))


def _cut(path: Path) -> None:
    os.truncate(path, 64)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _touch(path: Path) -> None:
    os.utime(path)


def _replace(path: Path) -> None:
    other = path.with_name("other.part")
    shutil.copyfile(path, other)
    with other.open("r+b") as file:
        file.seek(os.path.getsize(other) // 2)  # noqa: PTH202  a file of ours
        file.write(b"another build")
    other.replace(path)


def _write_over(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(bytes(max(0, min(size // 3, _MEBIBYTE))))


def _remove(path: Path) -> None:
    path.unlink()


_CHANGES: dict[str, Callable[[Path], None]] = {
    "cut": _cut,
    "emptied": _empty,
    "made longer": _grow,
    "touched": _touch,
    "replaced": _replace,
    "written over": _write_over,
    "removed": _remove,
}


def _words(scene: Scene, wheel: Path, command: str, out: Path) -> list[str | Path]:
    words: list[str | Path] = [command, wheel, "--sysroot", scene.root]
    if command == "why":
        words.insert(2, "libfoo.so.1")
    if command == "fixup":
        words += ["-w", out, "--no-sbom"]
    return words


class _Spoiler(threading.Thread):
    """Changes a file when its moment has come."""

    def __init__(
        self, find: Callable[[], list[Path]], change: Callable[[Path], None], ripe: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._find = find
        self._change = change
        self._ripe = ripe
        self.over = threading.Event()

    def run(self) -> None:
        """Wait for the moment and for a file, and change it once."""
        while not self.over.is_set():
            found = self._find() if self._ripe() else []
            for path in found:
                with contextlib.suppress(OSError):
                    self._change(path)
            if found:
                return
            time.sleep(0.002)


def _judge(tool: Tool, *, folder: Path, case: tuple[str, str, str, float]) -> str | None:
    command, victim, kind, moment = case
    place = folder / "place"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    scene = Scene(place)
    library = scene.root / "usr/lib/libfoo.so.1"
    contents = build_elf(ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    library.write_bytes(contents + random.Random(1).randbytes(_SIZES[victim]))  # noqa: S311  no secret
    module = build_elf(wants("GLIBC_2.5", needed=("libfoo.so.1",)))
    data = random.Random(2).randbytes(4 * _MEBIBYTE)  # noqa: S311  no secret
    wheel = scene.wheel({CORE: module, "demo/data.bin": data})
    out = place / "out"
    contents = wheel.read_bytes()

    trace = place / "trace"
    before: list[str] = []
    if victim == "result":
        start = time.monotonic()
        spoiler = _Spoiler(
            lambda: list(out.glob(".deloc8-*")), _CHANGES[kind], lambda: time.monotonic() > start + moment
        )
    else:
        path = wheel if victim == "wheel" else library
        slow = f"inject={_SLOWED}:delay_enter={_SLOW}"
        before = ["strace", "-f", "-qq", "-o", str(trace), "-P", str(path), "-e", f"trace={_SLOWED}", "-e", slow]
        spoiler = _Spoiler(lambda: [path], _CHANGES[kind], lambda: _calls(trace) >= moment)
    spoiler.start()
    ended = tool.run(*_words(scene, wheel, command, out), before=before)
    spoiler.over.set()
    spoiler.join()
    return _problem(ended, victim, out, is_input_changed=not wheel.exists() or wheel.read_bytes() != contents)


def _calls(trace: Path) -> int:
    """How many calls on a file there have been so far."""
    return trace.read_bytes().count(b"\n") if trace.exists() else 0


def _problem(ended: Ended, victim: str, out: Path, *, is_input_changed: bool) -> str | None:
    """Say what is broken about a run whose files changed."""
    if victim == "result" and ended.code == _DEFECT:
        return None  # what another process wrote into the result fails its proof
    if ended.fault():
        return ended.fault()
    left = [path.name for path in out.iterdir()] if out.exists() else []
    rules = {
        f"exit code {ended.code}": ended.code not in _GENTLE,
        "a failure without an error": ended.code and b"error: " not in ended.err + ended.out,
        "a temporary file is left": any(name.startswith(".deloc8-") for name in left),
        "a wheel, and an exit code other than 0": ended.code and left,
        "the input is changed": is_input_changed and victim != "wheel",
        "a damaged wheel, and exit code 0": victim != "result" and any(_is_damaged(out / name) for name in left),
    }
    return next((words for words, is_broken in rules.items() if is_broken), None)


def _is_damaged(wheel: Path) -> bool:
    """Whether a wheel is damaged, in the eyes of unzip."""
    return subprocess.run(["unzip", "-tqq", wheel], capture_output=True, check=False).returncode != 0


def _judge_sparse(tool: Tool, *, folder: Path, command: str, limit: int | None) -> str | None:
    place = folder / "sparse"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    scene = Scene(place)
    library = scene.root / "usr/lib/libfoo.so.1"
    library.write_bytes(build_elf(ElfSpec(soname="libfoo.so.1", needed=(GLIBC,))))
    os.truncate(library, 2 << 30)
    wheel = scene.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))})
    out = place / "out"
    limits = [f"--as={(limit or 3000) * _MEBIBYTE}"]
    ended = tool.run(*_words(scene, wheel, command, out), before=["prlimit", *limits])
    if ended.fault():
        return ended.fault()
    allowed = (0, 1, 4) if command == "fixup" else (0,)
    if ended.code not in allowed:
        return f"exit code {ended.code}: {ended.err[-200:]!r}"
    return None
