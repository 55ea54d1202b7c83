"""Outputs that are inputs, that fail in the middle, or that two wheels share.

No command writes over what it reads or has just written; `-o` appears whole or not at all; two wheels never become one
file. Outputs that are no files, and those of earlier runs, are written to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from hostile_kit import Trial

from kit.elf import GLIBC, ElfSpec
from kit.packages import dpkg_package
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hostile_kit import Ended, Tool

_LIBRARY = "/usr/lib/libfoo.so.1"
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "show": (),
    "check": (),
    "fixup": ("-w", "out"),
    "why": ("libfoo.so.1",),
    "tree": (),
}
_FORMATS = ("text", "json")
_POLICY = {"name": "mine", "symbol_versions": {"GLIBC": "2.14"}, "lib_whitelist": ["*"]}
_AT_ONCE = 20


class _Place:
    """A system, a wheel in a folder of its own, a policy and a configuration."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        scene = Scene(folder)
        scene.system.library(_LIBRARY, ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
        dpkg_package(scene.system, "libfoo1", [_LIBRARY])
        scene.system.write("/usr/share/doc/libfoo1/copyright", "text")
        scene.system.write("/etc/os-release", "ID=debian\n")
        scene.system.write("/etc/ld.so.conf", "/usr/local/lib\n")
        made = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})
        (folder / "dist").mkdir()
        self.folder = folder
        self.root = scene.root
        self.wheel = made.rename(folder / "dist" / made.name)
        (folder / "policy.json").write_text(json.dumps(_POLICY))
        (folder / "pyproject.toml").write_text("[tool.deloc8]\nignore = []\n")
        self.before = self.everything()

    def everything(self) -> dict[str, str]:
        """The hashes of all files; links count by their names alone."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def words(self, command: str, *more: str | Path) -> list[str | Path]:
        """A command on the wheel."""
        policy = () if command == "tree" else ("--policy", "policy.json")
        return [command, self.wheel, *_COMMANDS[command], "--sysroot", self.root, *policy, *more]

    def written_over(self) -> str | None:
        """The files that were there before and are not what they were."""
        now = self.everything()
        changed = [name for name, digest in self.before.items() if now.get(name) != digest]
        return f"written over: {', '.join(changed)}" if changed else None


def trials(folder: Path) -> Iterator[Trial]:
    """Outputs of every command, then folders of fixup."""
    yield from _inputs(folder)
    yield from _wholes(folder)
    yield from _folders(folder)


def _inputs(folder: Path) -> Iterator[Trial]:
    for (name, make), command, form in product(_INPUTS.items(), _COMMANDS, _FORMATS):
        if command != "tree" or not name.startswith("policy"):
            judge = partial(_input, folder=folder, make=make, command=command, form=form)
            yield Trial(f"{command} -o {name}, {form}", judge)
    yield Trial("check -o pyproject.toml", partial(_config, folder=folder))
    for name in ("etc/ld.so.conf", "etc/os-release", "var/lib/dpkg/status", "usr/share/doc/libfoo1/copyright"):
        yield Trial(f"fixup -o {name} of the system", partial(_system, folder=folder, name=name))
    for command, mode in product(_COMMANDS, ("ab", "r+b")):
        judge = partial(_stdout, folder=folder, words=(command, mode))
        yield Trial(f"{command} into stdout, the wheel ({mode})", judge)
    yield Trial("fixup -o the wheel that it writes", partial(_just_written, folder=folder))
    yield Trial("fixup -o a link to the wheel that it writes", partial(_just_written, folder=folder, link=True))


def _wholes(folder: Path) -> Iterator[Trial]:
    limits = {"small": (0, False), "old": (0, True), "one block": (1, True)}
    for (name, (blocks, is_old)), command in product(limits.items(), _COMMANDS):
        judge = partial(_full, folder=folder, command=command, blocks=blocks, is_old=is_old)
        yield Trial(f"{command} -o on a limit of the size: {name}", judge)
    for name, line in _SPECIAL.items():
        yield Trial(f"show -o {name}", partial(_special, folder=folder, line=line))
    for (name, place), command in product(_IMPOSSIBLE.items(), _COMMANDS):
        judge = partial(_impossible, folder=folder, command=command, place=place)
        yield Trial(f"{command} -o {name}", judge)


# -- outputs that are inputs


def _hard(place: _Place) -> str:
    os.link(place.wheel, place.folder / "hard")
    return "hard"


def _link(place: _Place) -> str:
    (place.folder / "link").symlink_to(place.wheel)
    return "link"


def _link_to_link(place: _Place) -> str:
    _link(place)
    (place.folder / "twice").symlink_to("link")
    return "twice"


def _by_folder(place: _Place) -> str:
    (place.folder / "sub").symlink_to("dist")
    return f"sub/{place.wheel.name}"


def _relative(place: _Place) -> str:
    return f"./dist/.././dist//{place.wheel.name}"


def _policy_link(place: _Place) -> str:
    (place.folder / "link").symlink_to("policy.json")
    return "link"


_INPUTS: Mapping[str, Callable[[_Place], str]] = {
    "the wheel": lambda place: str(place.wheel),
    "the wheel, relative": _relative,
    "a hard link to it": _hard,
    "a symbolic link to it": _link,
    "a link to a link to it": _link_to_link,
    "it by a linked folder": _by_folder,
    "policy": lambda _place: "policy.json",
    "policy by a link": _policy_link,
    "a library of the system": lambda place: str(place.root / _LIBRARY[1:]),
    "the C library of the system": lambda place: str(place.root / "usr/lib/libc.so.6"),
}


def _judged(place: _Place, ended: Ended, *, codes: Sequence[int] = (2,)) -> str | None:
    if ended.fault():
        return ended.fault()
    return place.written_over() or (None if ended.code in codes else f"exit code {ended.code}")


def _new(folder: Path) -> _Place:
    return _Place(folder / str(len(list(folder.iterdir()))))


def _input(tool: Tool, *, folder: Path, make: Callable[[_Place], str], command: str, form: str) -> str | None:
    place = _new(folder)
    output = make(place)
    ended = tool.run(*place.words(command, "--format", form, "-o", output), cwd=place.folder)
    return _judged(place, ended)


def _config(tool: Tool, *, folder: Path) -> str | None:
    place = _new(folder)
    return _judged(place, tool.run(*place.words("check", "-o", "pyproject.toml"), cwd=place.folder))


def _system(tool: Tool, *, folder: Path, name: str) -> str | None:
    place = _new(folder)
    return _judged(place, tool.run(*place.words("fixup", "-o", place.root / name), cwd=place.folder))


def _stdout(tool: Tool, *, folder: Path, words: tuple[str, str]) -> str | None:
    place = _new(folder)
    command, mode = words
    with place.wheel.open(mode) as stdout:
        ended = tool.run(*place.words(command), cwd=place.folder, stdout=stdout)
    return _judged(place, ended)


def _just_written(tool: Tool, *, folder: Path, link: bool = False) -> str | None:
    place = _new(folder)
    ended = tool.run(*place.words("fixup"), cwd=place.folder)
    if ended.fault() or ended.code:
        return ended.fault() or f"exit code {ended.code}"
    (written,) = (place.folder / "out").iterdir()
    output: str | Path = written
    if link:
        output = place.folder / "report"
        (place.folder / "report").symlink_to(written)
    place.before = place.everything()
    return _judged(place, tool.run(*place.words("fixup", "-o", output), cwd=place.folder))


# -- whole or not at all


def _full(tool: Tool, *, folder: Path, command: str, blocks: int, is_old: bool) -> str | None:
    place = _new(folder)
    if is_old:
        (place.folder / "report").write_text("old")
        place.before = place.everything()
    # A shell counts blocks of 1 KiB; what is longer than a block is cut off.
    words = place.words(command, "--format", "json", "-o", "report", *(["--dry-run"] if command == "fixup" else []))
    limit = ("bash", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "bash")
    ended = tool.run(*words, cwd=place.folder, before=limit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = place.folder / "report"
    if ended.code == 0 or (ended.code == 1 and command == "check"):
        # It was short enough.
        return None if _is_json(report) else "half a file with an exit code of success"
    if not is_old and report.exists():
        return "half a file"
    left = [path.name for path in place.folder.iterdir() if path.name.startswith(".deloc8-")]
    return f"left behind: {left}" if left else _judged(place, ended, codes=(1, 2, 4))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


_SPECIAL = {
    "/dev/stdout": '"$@" -o /dev/stdout',
    "/dev/stdout in a pipe": '"$@" -o /dev/stdout | cat',
    "/dev/fd/1": '"$@" -o /dev/fd/1',
    "another descriptor": '"$@" -o /dev/fd/7 7>&1',
    "a link to /dev/stdout": 'ln -s /dev/stdout link; "$@" -o link',
    "a process": '"$@" -o >(cat) | cat',
    "a pipe": 'mkfifo pipe; cat pipe & "$@" -o pipe; wait',
    "a file that others write to": '{ "$@" -o /dev/stdout; } > file; cat file',
    "a file in place of an older one": 'echo old > file; "$@" -o file; cat file',
    "a new file": '"$@" -o file; cat file',
    "a file behind a link": 'echo old > file; ln -s file link; "$@" -o link; test -L link && cat file',
    "a file behind a dangling link": 'ln -s file link; "$@" -o link; test -L link && cat file',
    "nothing but /dev/null": '"$@" -o /dev/null; test -c /dev/null && "$@"',
    "a file among lines of others": '{ echo -n; "$@" -o /dev/stdout; echo -n; } >> file; cat file',
}


def _special(tool: Tool, *, folder: Path, line: str) -> str | None:
    place = _new(folder)
    plain = tool.run(*place.words("show"), cwd=place.folder)
    ended = tool.run(*place.words("show"), cwd=place.folder, before=("bash", "-c", line, "bash"), seconds=30)
    if ended.fault():
        return ended.fault()
    return None if ended.out == plain.out else "another text than on stdout"


_IMPOSSIBLE = {
    "a folder": "dist",
    "a folder to be": "report/",
    "nothing": "",
    "a file in no folder": "none/report",
    "a file in a file": "policy.json/report",
    "a socket": "socket",
    "a pipe that nobody reads": "pipe",
    "a link to itself": "circle",
    "a wheel to be": "new.whl",
    "a name that is too long": "x" * 300,
}


def _impossible(tool: Tool, *, folder: Path, command: str, place: str) -> str | None:
    made = _new(folder)
    os.mkfifo(made.folder / "pipe")
    (made.folder / "circle").symlink_to("circle")
    if place == "socket":
        (made.folder / "socket").symlink_to("/run/nothing-here/socket")
    ended = tool.run(*made.words(command, "-o", place), cwd=made.folder, seconds=30)
    if ended.fault():
        return ended.fault()
    if made.written_over() or not ended.code:
        return made.written_over() or "exit code 0"
    return "no word of it" if not ended.err else None


# -- folders of fixup


def _folders(folder: Path) -> Iterator[Trial]:
    for more in ((), ("--dry-run",), ("--no-update-tags",), ("--format", "json")):
        yield Trial(f"one wheel twice {more}", partial(_twice, folder=folder, more=more))
    for name in ("linux_x86_64", "manylinux2014_x86_64", "linux_x86_64.manylinux2014_x86_64"):
        for wanted in ("demo", "Demo"):
            other = f"{wanted}-1.0-cp311-cp311-{name}.whl"
            yield Trial(f"two wheels of one result: {other}", partial(_collide, folder=folder, name=other))
    for kind in ("itself", "hard link", "link to it", "it is a link", "folder is a link"):
        for order in (1, -1):
            yield Trial(
                f"a result in the place of an input: {kind} {order}",
                partial(_replace, folder=folder, kind=kind, order=order),
            )
        yield Trial(f"a true wheel into its own folder: {kind}", partial(_own_folder, folder=folder, kind=kind))
    for kind in ("file", "dangling link", "pipe", "device"):
        yield Trial(f"-w is no folder: {kind}", partial(_no_folder, folder=folder, kind=kind))
    yield Trial("20 repairs at a time into one folder", partial(_at_once, folder=folder))
    yield Trial("20 reports at a time into one file", partial(_reports_at_once, folder=folder))


def _twice(tool: Tool, *, folder: Path, more: Sequence[str]) -> str | None:
    place = _new(folder)
    words: list[str | Path] = ["fixup", place.wheel, place.wheel, "-w", "out", "--sysroot", place.root, *more]
    return _unwritten(place, tool.run(*words, cwd=place.folder))


def _unwritten(place: _Place, ended: Ended) -> str | None:
    if (place.folder / "out").exists() and "out" not in {name.partition("/")[0] for name in place.before}:
        return "wrote a wheel"
    return _judged(place, ended)


def _collide(tool: Tool, *, folder: Path, name: str) -> str | None:
    place = _new(folder)
    (place.folder / "other").mkdir()
    shutil.copy(place.wheel, place.folder / "other" / name)
    words: list[str | Path] = ["fixup", place.wheel, f"other/{name}", "-w", "out", "--sysroot", place.root]
    ended = tool.run(*words, cwd=place.folder)
    if ended.code == 0 and len(list((place.folder / "out").iterdir())) > 1:
        return None  # the claims of their names differ, and so do their results
    return _unwritten(place, ended)


def _repaired(tool: Tool, place: _Place) -> Path:
    tool.run("fixup", place.wheel, "-w", "out", "--sysroot", place.root, cwd=place.folder)
    (written,) = (place.folder / "out").iterdir()
    return written


def _replace(tool: Tool, *, folder: Path, kind: str, order: int) -> str | None:
    place = _new(folder)
    written = _repaired(tool, place)
    given, out = _given(place, written, kind)
    place.before = place.everything()
    inputs = [place.wheel, given][::order]
    return _judged(place, tool.run("fixup", *inputs, "-w", out, "--sysroot", place.root, cwd=place.folder))


def _given(place: _Place, written: Path, kind: str) -> tuple[Path, str]:
    """How a repaired wheel is given to the command, and the folder that the result goes to."""
    (place.folder / "given").mkdir()
    given = place.folder / "given" / written.name
    if kind == "hard link":
        os.link(written, given)
    elif kind == "link to it":
        given.symlink_to(written)
    elif kind == "it is a link":
        written.rename(given)
        written.symlink_to(given)
    elif kind == "folder is a link":
        (place.folder / "alias").symlink_to("out")
        return written, "alias"
    else:
        return written, "out"
    return given, "out"


def _own_folder(tool: Tool, *, folder: Path, kind: str) -> str | None:
    place = _new(folder)
    given, out = _given(place, _repaired(tool, place), kind)
    place.before = place.everything()
    return _judged(place, tool.run("fixup", given, "-w", out, "--sysroot", place.root, cwd=place.folder))


def _no_folder(tool: Tool, *, folder: Path, kind: str) -> str | None:
    place = _new(folder)
    out = place.folder / "there"
    if kind == "file":
        out.write_text("text")
    elif kind == "pipe":
        os.mkfifo(out)
    else:
        out.symlink_to("none" if kind == "dangling link" else "/dev/null")
    place.before = place.everything()
    words = ("fixup", place.wheel, "-w", out, "--sysroot", place.root)
    return _judged(place, tool.run(*words, cwd=place.folder, seconds=30), codes=(1, 2))


def _at_once(tool: Tool, *, folder: Path) -> str | None:
    place = _new(folder)
    words: list[str | Path] = ["fixup", place.wheel, "-w", "out", "--sysroot", place.root]
    running = [tool.start(words, cwd=place.folder) for _ in range(_AT_ONCE)]
    errors = [process.communicate()[1] for process in running]
    if any(process.returncode for process in running):
        return f"exit codes {[process.returncode for process in running]}: {errors[0][:200]!r}"
    names = [path.name for path in (place.folder / "out").iterdir()]
    return None if len(names) == 1 else f"left behind: {names}"


def _reports_at_once(tool: Tool, *, folder: Path) -> str | None:
    place = _new(folder)
    words = place.words("show", "--format", "json", "-o", "report")
    running = [tool.start(words, cwd=place.folder) for _ in range(_AT_ONCE)]
    for process in running:
        process.communicate()
    left = [path.name for path in place.folder.iterdir() if path.name.startswith(".deloc8-")]
    if left or any(process.returncode for process in running):
        return f"left behind: {left}" if left else "one failed"
    return None if _is_json(place.folder / "report") else "no whole report"
