"""Wheels with one fault each, by five commands.

The wheels are those of `tests/kit/faults.py`. No command may end in anything but an answer or one error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import Trial

from kit.faults import FAULTS, scene_for_checks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostile_kit import Tool

    from kit.scene import Scene

_COMMANDS = {
    "show": (),
    "check": (),
    "fixup": ("--allow-pure-python-wheel",),
    "why": ("libfoo.so.1",),
    "tree": (),
}
_SOUND_CODES = {0, 1}
_NOTHING_TO_EXPLAIN = 2  # of `why`, where the wheel has no such name


def trials(folder: Path) -> Iterator[Trial]:
    """Each wheel, given to each command."""
    for number, (name, make) in enumerate(FAULTS.items()):
        place = folder / str(number)
        place.mkdir()
        scene = scene_for_checks(place)
        wheel = make(scene)
        for command in _COMMANDS:
            yield Trial(f"{command} {name}", partial(_judge, scene=scene, wheel=wheel, command=command))


def _judge(tool: Tool, *, scene: Scene, wheel: Path, command: str) -> str | None:
    out = scene.folder / f"out-{command}"
    words: list[str | Path] = [command, wheel, *_COMMANDS[command], "--sysroot", scene.root]
    if command == "fixup":
        words += ["-w", out]
    ended = tool.run(*words)
    if ended.fault():
        return ended.fault()
    allowed = _SOUND_CODES | ({_NOTHING_TO_EXPLAIN} if command == "why" else set())
    if ended.code not in allowed:
        return f"exit code {ended.code}"
    wrote = out.exists() and any(out.iterdir())
    if ended.code and wrote:
        return "wrote a wheel and failed"
    return None
