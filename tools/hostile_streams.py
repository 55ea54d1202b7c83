"""Streams that are gone, closed, full or slow.

The exit code must be that of the work, all wheels must be done, and nothing but the error of a full disk be said.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import tempfile
import threading
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from hostile_kit import Trial

from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hostile_kit import Ended, Tool

    Opened = Callable[[contextlib.ExitStack], int]

_LARGE = 400  # symbols; what is said of them is more than a pipe holds
_NO_VERDICT = 4


class Kind(NamedTuple):
    """A kind of stream.

    Attributes:
        make: Gives its descriptor; what is to be closed later goes on the stack. None leaves it to `prefix`.
        prefix: A command that runs deloc8, where a shell must do something to the descriptor.
        is_lost: A reader waits for what is lost: a command whose work is its text must not exit with 0.
    """

    make: Opened | None = None
    prefix: str = ""
    is_lost: bool = False


def _gone(stack: contextlib.ExitStack) -> int:
    reading, writing = os.pipe()
    os.close(reading)
    stack.callback(os.close, writing)
    return writing


def _goes(stack: contextlib.ExitStack) -> int:
    """A pipe whose reader takes some bytes and goes."""
    reading, writing = os.pipe()

    def take() -> None:
        os.read(reading, 10)
        os.close(reading)

    threading.Thread(target=take, daemon=True).start()
    stack.callback(os.close, writing)
    return writing


def _gone_socket(stack: contextlib.ExitStack) -> int:
    here, there = socket.socketpair()
    here.send(b"first")
    there.close()
    stack.enter_context(here)
    return here.fileno()


def _hung_up(stack: contextlib.ExitStack) -> int:
    master, slave = pty.openpty()
    os.close(master)
    stack.callback(os.close, slave)
    return slave


def _hangs_up(stack: contextlib.ExitStack) -> int:
    """A terminal that is hung up at the first text."""
    master, slave = pty.openpty()

    def take() -> None:
        with contextlib.suppress(OSError):
            os.read(master, 1)
        os.close(master)

    threading.Thread(target=take, daemon=True).start()
    stack.callback(os.close, slave)
    return slave


def _slow(stack: contextlib.ExitStack) -> int:
    """A pipe that does not wait, and a reader who is slow."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def take() -> None:
        while os.read(reading, 4096):
            pass
        os.close(reading)

    thread = threading.Thread(target=take)
    thread.start()
    stack.callback(thread.join)
    stack.callback(os.close, writing)
    return writing


def _device(path: str, flags: int, stack: contextlib.ExitStack) -> int:
    descriptor = os.open(path, flags)
    stack.callback(os.close, descriptor)
    return descriptor


def _limited(stack: contextlib.ExitStack) -> int:
    """A file that may not grow beyond some bytes, by the limit of `prefix`."""
    return stack.enter_context(tempfile.TemporaryFile()).fileno()


KINDS: Mapping[str, Kind] = {
    "reader gone": Kind(_gone),
    "reader goes": Kind(_goes),
    "socket gone": Kind(_gone_socket),
    "terminal hung up": Kind(_hung_up),
    "terminal hangs up": Kind(_hangs_up),
    "not waiting": Kind(_slow),
    "full": Kind(partial(_device, "/dev/full", os.O_WRONLY), is_lost=True),
    "read only": Kind(partial(_device, os.devnull, os.O_RDONLY), is_lost=True),
    "closed": Kind(prefix="exec {number}>&-; "),
    "no place": Kind(_limited, prefix="ulimit -f 0; ", is_lost=True),
}
_ENVIRONMENTS = {
    "": {},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
}


class Work(NamedTuple):
    """A command on the wheels of a scene: its words, its exit code, and what it must leave behind."""

    words: Sequence[str]
    code: int
    is_text: bool
    wheels: int = 0


def _works(scene: Scene) -> Mapping[str, Work]:
    """By the name of the trial."""
    found = {name: str(next(scene.folder.glob(f"{name}-*"))) for name in ("good", "other", "liar", "large")}
    good, other, liar, large = found.values()
    both = [good, other]
    works = {
        "--version": Work(["--version"], 0, is_text=True),
        "--help": Work(["--help"], 0, is_text=True),
        "check --help": Work(["check", "--help"], 0, is_text=True),
        "policies": Work(["policies"], 0, is_text=True),
        "policies NAME": Work(["policies", "manylinux_2_28"], 0, is_text=True),
        "wrong option": Work(["show", "--nonsense"], 2, is_text=False),
        "wrong policy": Work(["policies", "nothing"], 2, is_text=False),
        "show": Work(["show", *both], 0, is_text=True),
        "show -vv": Work(["show", "-vv", large], 0, is_text=True),
        "show json": Work(["show", "--format", "json", large, good], 0, is_text=True),
        "show html": Work(["show", "--format", "html", good], 0, is_text=True),
        "show missing": Work(["show", "none.whl", good], 1, is_text=True),
        "why": Work(["why", good, "libfoo.so.1"], 0, is_text=True),
        "tree": Work(["tree", large], 0, is_text=True),
        "tree missing": Work(["tree", "none.whl", good], 1, is_text=True),
        "fixup": Work(["fixup", *both], 0, is_text=False, wheels=2),
        "fixup json": Work(["fixup", "--format", "json", *both], 0, is_text=False, wheels=2),
        "fixup html": Work(["fixup", "--format", "html", *both], 0, is_text=False, wheels=2),
        "fixup missing": Work(["fixup", "none.whl", *both], 1, is_text=False, wheels=2),
        "fixup -v": Work(["fixup", "-v", *both], 0, is_text=False, wheels=2),
        "fixup plan": Work(["fixup", "--dry-run", *both], 0, is_text=True),
    }
    for form, jobs in product(("text", "json", "sarif", "github"), ("1", "2")):
        words = ["check", "--format", form, "-j", jobs, "--ignore", "unused-library"]
        works[f"check {form} -j{jobs}"] = Work([*words, *both], 0, is_text=False)
        works[f"check {form} -j{jobs} liar"] = Work([*words, good, liar], 1, is_text=False)
    return works


def trials(folder: Path) -> Iterator[Trial]:
    """Each command with each kind of stdout, of stderr and of both, and some in other environments."""
    scene = Scene(folder)
    foo = ElfSpec(soname="libfoo.so.1", needed=(GLIBC,))
    scene.system.library("/usr/lib/libfoo.so.1", foo)
    for name in ("good", "other"):
        scene.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))}, name=name)
    scene.wheel({CORE: wants("GLIBC_2.34")}, name="liar", tags=("cp311-cp311-manylinux_2_17_x86_64",))
    many = {f"demo/größe{number}.so": wants("GLIBC_2.5", needed=("libfoo.so.1",)) for number in range(_LARGE)}
    scene.wheel({CORE: wants("GLIBC_2.5"), **many}, name="large")
    every = product(_works(scene).items(), KINDS.items(), ((1,), (2,), (1, 2)))
    for number, ((work_name, work), (kind, how), which) in enumerate(every):
        environment = list(_ENVIRONMENTS)[number % len(_ENVIRONMENTS)]
        name = f"{work_name}, {' and '.join(('', 'stdout', 'stderr')[one] for one in which)} {kind} {environment}"
        out = folder / f"out{number}"
        yield Trial(name, partial(_judge, work=work, how=how, which=which, place=(scene, out, environment)))


def _judge(tool: Tool, *, work: Work, how: Kind, which: Sequence[int], place: tuple[Scene, Path, str]) -> str | None:
    scene, out, environment = place
    words = list(work.words)
    if words[0] in {"show", "check", "why", "tree", "fixup"} and "--help" not in words:
        words += ["--sysroot", str(scene.root)]
    if words[0] == "fixup":
        words += ["-w", str(out)]
    if "ulimit" in how.prefix and work.wheels:
        return None  # no wheel can be written there either
    ended = _run(tool, words, how, which, environment)
    if ended.fault():
        return ended.fault()
    is_reached = 1 in which or "ulimit" in how.prefix  # a limit is that of every file
    is_lost = how.is_lost and is_reached and work.is_text
    allowed = {work.code} if work.code or not is_lost else {_NO_VERDICT}
    if ended.code not in allowed:
        return f"exit code {ended.code} instead of {allowed.pop()}"
    written = len(list(out.iterdir())) if out.exists() else 0
    if written != work.wheels:
        return f"{written} of {work.wheels} wheels written"
    return None


def _run(tool: Tool, words: Sequence[str], how: Kind, which: Sequence[int], environment: str) -> Ended:
    prefix = "".join(how.prefix.format(number=number) for number in which)
    before = ["bash", "-c", f'{prefix}exec "$@"', "bash"] if prefix else []
    with contextlib.ExitStack() as stack:
        streams = {number: how.make(stack) for number in which} if how.make else {}
        return tool.run(
            *words,
            stdout=streams.get(1),
            stderr=streams.get(2),
            before=before,
            environ=_ENVIRONMENTS[environment],
        )
