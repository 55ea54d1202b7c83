"""Signals at any moment of a repair or a check.

The process ends by the signal, at once, and leaves nothing: no file, no folder, no process, no word. A wheel that is
there is whole.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
import zipfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostile_kit import Ended, Trial

from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from hostile_kit import Tool

_SIGNALS = tuple(signal.Signals[f"SIG{name}"] for name in ("TERM", "HUP", "INT", "XCPU", "USR1", "USR2", "ALRM"))
_MOMENTS = 12  # at which each signal is sent, over the time that a repair takes
_WORKERS_MOMENTS = 5
_SIZE = 3_000_000  # of data that cannot be compressed: writing them takes a while
_PATIENCE = 20  # seconds until a process must have ended
_CALLS = (
    "mkdir,mkdirat", "flock", "rename,renameat,renameat2", "unlink,unlinkat", "rmdir", "ftruncate", "fsync,fdatasync",
)  # fmt: skip
_STRIP = '#!/bin/sh\ntouch "$2.more"\nexec sleep 60\n'


class Place(NamedTuple):
    """A scene, its wheel for `fixup`, many wheels for `check`, and a folder with a `strip` that does not end."""

    scene: Scene
    wheel: Path
    many: Sequence[Path]
    tools: Path


def trials(folder: Path) -> Iterator[Trial]:
    """Every signal at many moments, in a repair, in a strip, and in several processes."""
    place = _place(folder)
    for number, moment in product(_SIGNALS, range(_MOMENTS)):
        share = (moment + 1) / (_MOMENTS + 1)
        yield Trial(f"fixup {number.name} after {share:.2f}", _repair(place, number, partial(_after, share)))
    for number, (name, when) in product(_SIGNALS, _WHEN.items()):
        yield Trial(f"fixup {number.name} {name}", _repair(place, number, when))
        yield Trial(f"fixup -j1 {number.name} {name}", _repair(place, number, when, "-j1"))
    for number in _SIGNALS:
        yield Trial(f"fixup {number.name} twice", _repair(place, number, _file_is_there, times=2))
        yield Trial(f"strip {number.name}", _repair(place, number, _strips, "--strip"))
        yield Trial(f"strip of the group {number.name}", _repair(place, number, _strips, "--strip", is_group=True))
    for number, calls in product((signal.SIGTERM, signal.SIGHUP), _CALLS):
        for count in (1, 2, 3):
            yield Trial(f"{number.name} at {calls} {count}", partial(_at_call, place, number, calls, count))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        yield Trial(f"fixup ignores {number.name}", partial(_ignored, place, number))
    for number, command in product((*_SIGNALS, signal.SIGKILL), ("check", "show")):
        for moment in range(_WORKERS_MOMENTS):
            share = (moment + 1) / (_WORKERS_MOMENTS + 1)
            yield Trial(
                f"{command} -j2 {number.name} after {share:.2f}", partial(_several, place, number, command, share)
            )
    for number in (signal.SIGTERM, signal.SIGKILL):
        yield Trial(f"check -j2, a worker gets {number.name}", partial(_worker, place, number))


def _place(folder: Path) -> Place:
    scene = Scene(folder)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    noise = random.Random(1)  # noqa: S311  no secret
    core = wants("GLIBC_2.5", needed=("libfoo.so.1",))
    wheel = scene.wheel({CORE: core, "demo/data.bin": noise.randbytes(_SIZE)})
    modules = {f"demo/m{number}.so": core for number in range(40)}
    sources = {f"demo/p{number}.py": b"import ctypes\n" + b"x = [1, 2, 3]\n" * 4000 for number in range(10)}
    many = [scene.wheel({**modules, **sources}, name=f"many{number}") for number in range(20)]
    tools = folder / "tools"
    tools.mkdir()
    for name in ("strip", "x86_64-linux-gnu-strip"):
        (tools / name).write_text(_STRIP)
        (tools / name).chmod(0o755)
    return Place(scene, wheel, many, tools)


# -- the moments: each waits for its own, as long as the process lives


def _after(share: float, process: subprocess.Popen[bytes], out: Path, usual: float) -> None:
    del out
    _wait(process, lambda: False, usual * share)


def _file_is_there(process: subprocess.Popen[bytes], out: Path, usual: float) -> None:
    del usual
    _wait(process, lambda: any(out.glob(".deloc8-*")))


def _folder_is_there(process: subprocess.Popen[bytes], out: Path, usual: float) -> None:
    del usual
    _wait(process, out.exists)


def _is_proven(process: subprocess.Popen[bytes], out: Path, usual: float) -> None:
    """The file is written, and its proof may have begun."""
    del usual
    _wait(process, lambda: any(path.stat().st_size > _SIZE for path in out.glob(".deloc8-*")))


def _strips(process: subprocess.Popen[bytes], out: Path, usual: float) -> None:
    del usual
    _wait(process, lambda: any(out.glob(".deloc8-*/*.more")))


_WHEN = {"at the folder": _folder_is_there, "at the file": _file_is_there, "at the proof": _is_proven}


def _wait(process: subprocess.Popen[bytes], is_time: Callable[[], bool], seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if is_time():
                return
        except FileNotFoundError:  # it went into its place
            return
        time.sleep(0.0005)


# -- what is tried


def _words(place: Place, out: Path, *more: str) -> list[str | Path]:
    return ["fixup", place.wheel, "-w", out, "--sysroot", place.scene.root, "--no-sbom", "--no-licenses", *more]


_USUAL: dict[str, float] = {}
"""How long a whole repair takes, by executable."""


def _usual(tool: Tool, place: Place) -> float:
    if tool.executable not in _USUAL:
        begun = time.monotonic()
        tool.run(*_words(place, Path(tempfile.mkdtemp(dir=place.scene.folder))))
        _USUAL[tool.executable] = time.monotonic() - begun
    return _USUAL[tool.executable]


def _repair(
    place: Place,
    number: signal.Signals,
    when: Callable[[subprocess.Popen[bytes], Path, float], None],
    *words: str,
    times: int = 1,
    is_group: bool = False,
) -> Callable[[Tool], str | None]:
    def judge(tool: Tool) -> str | None:
        usual = _usual(tool, place)
        with tempfile.TemporaryDirectory(dir=place.scene.folder) as folder:
            out = Path(folder, "new", "out")
            environ = {"TMPDIR": folder}
            if "--strip" in words:
                environ["PATH"] = f"{place.tools}:{os.environ['PATH']}"
            before = ("setsid",) if is_group else ()
            process = tool.start(_words(place, out, *words), environ=environ, before=before)
            when(process, out, usual)
            begun = time.monotonic()
            for _ in range(times):
                if process.poll() is None:
                    (os.killpg if is_group else os.kill)(process.pid, number)
            ended = _finish(process)
            took = time.monotonic() - begun
            return _fault(ended, number, took) or _left(place, out)

    return judge


def _finish(process: subprocess.Popen[bytes]) -> Ended:
    """The end of a process, which is killed where it does not come."""
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except Exception:  # noqa: BLE001  it does not end, or who has its streams does not
        process.kill()
        process.wait()
        return Ended(process.returncode, b"", b"", 0, 0, timed_out=True)
    return Ended(process.returncode, out, err, 0, 0, timed_out=False)


def _fault(ended: Ended, number: signal.Signals, took: float) -> str | None:
    if ended.timed_out:
        return "does not end"
    if number is signal.SIGINT and b"KeyboardInterrupt" in ended.err and b"/deloc8/" not in ended.err:
        return None  # the interpreter itself answers, as long as it has not begun with deloc8
    if b"Traceback" in ended.err or b"Exception ignored" in ended.err:
        return f"traceback: {ended.err.decode(errors='replace')[-200:]!r}"
    if ended.code not in {0, -number, 128 + number}:
        return f"exit code {ended.code}"
    if ended.code and b"error" in ended.err:
        return "an error is told"
    return f"took {took:.1f} s to end" if took > _PATIENCE / 2 else None


def _left(place: Place, out: Path) -> str | None:
    """What must not be left in the folder of the output and beside it."""
    if not out.exists():
        beside = [path.name for path in out.parent.parent.iterdir()]
        return f"left {beside}" if beside else None
    names = [path.name for path in out.iterdir()]
    wheels = [name for name in names if name.endswith(".whl")]
    if names != wheels or len(names) != 1:
        return f"left {names or 'an empty folder'}"
    with zipfile.ZipFile(out / wheels[0]) as archive:
        if archive.testzip() is not None or len(archive.namelist()) < len(zipfile.ZipFile(place.wheel).namelist()):
            return "left half a wheel"
    return None


def _at_call(place: Place, number: signal.Signals, calls: str, count: int, tool: Tool) -> str | None:
    """Let the kernel send the signal at a system call."""
    with tempfile.TemporaryDirectory(dir=place.scene.folder) as folder:
        out = Path(folder, "new", "out")
        inject = f"inject={calls}:signal={number.name}:when={count}"
        before = ("strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject)
        ended = _finish(tool.start(_words(place, out), before=before, environ={"TMPDIR": folder}))
        return _fault(ended, number, 0) or _left(place, out)


def _ignored(place: Place, number: signal.Signals, tool: Tool) -> str | None:
    """A signal that was ignored from the start stays so, as under `nohup`."""
    with tempfile.TemporaryDirectory(dir=place.scene.folder) as folder:
        out = Path(folder, "new", "out")
        before = ("sh", "-c", f'trap "" {number.name.removeprefix("SIG")}; exec "$@"', "sh")
        process = tool.start(_words(place, out), before=before, environ={"TMPDIR": folder})
        _file_is_there(process, out, 0)
        if process.poll() is None:
            process.send_signal(number)
        ended = _finish(process)
        if ended.code:
            return f"exit code {ended.code}"
        return _left(place, out)


def _several(place: Place, number: signal.Signals, command: str, share: float, tool: Tool) -> str | None:
    """Every process of a command ends with the first one."""
    words: list[str | Path] = [command, *place.many, "-j2", "--sysroot", place.scene.root]
    key = f"{tool.executable} {command}"
    if key not in _USUAL:
        begun = time.monotonic()
        tool.run(*words)
        _USUAL[key] = time.monotonic() - begun
    process = tool.start(words)
    _wait(process, lambda: False, _USUAL[key] * share)
    workers = _children(process.pid)
    if process.poll() is None:
        process.send_signal(number)
    # Its streams are read to their end, which comes when the last worker has ended.
    ended = _finish(process)
    if ended.code not in {0, -number, 128 + number}:
        return f"exit code {ended.code}"
    deadline = time.monotonic() + 2
    while any(map(_is_alive, workers)):
        if time.monotonic() > deadline:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            return "a worker outlives its parent"
        time.sleep(0.005)
    return "traceback" if b"Traceback" in ended.err else None


def _worker(place: Place, number: signal.Signals, tool: Tool) -> str | None:
    """The work of a worker that is ended is done nevertheless."""
    words: list[str | Path] = ["check", *place.many, "-j2", "--sysroot", place.scene.root]
    whole = tool.run(*words)
    process = tool.start(words)
    deadline = time.monotonic() + _PATIENCE
    workers: list[int] = []
    while not workers and time.monotonic() < deadline and process.poll() is None:
        workers = _children(process.pid)
    for worker in workers[:1]:
        os.kill(worker, number)
    ended = _finish(process)
    return None if (ended.code, ended.out) == (whole.code, whole.out) else f"exit code {ended.code}, other output"


def _children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()]
    except OSError:
        return []


def _is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
