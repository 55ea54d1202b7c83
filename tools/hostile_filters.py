"""Libraries that name each other by DT_FILTER and DT_AUXILIARY.

Every ld.so of glibc crashes on a circle of them: all commands end with 1 and name it. Before 2.32 ld.so ends with an
assertion when a filter itself is opened: no older tag is kept. All others are good.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from hostile_kit import Trial

from kit.elf import DT_AUXILIARY, DT_FILTER, GLIBC, ElfSpec
from kit.scene import CORE, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hostile_kit import Tool

_NEEDED = "needed"
_COMMANDS = ("show", "check", "tree", "fixup", "fixup --dry-run")
# Who names whom, and how; `core` is the module, and the others are beside it or on the system.
Links = tuple[tuple[str, object, str], ...]


def _circle(size: int, *tags: int) -> Links:
    """The module needs the first of so many libraries in a circle, whose links are of some kinds in turn."""
    rows = ((f"f{at}", tags[at % len(tags)], f"f{(at + 1) % size}") for at in range(size))
    return (("core", _NEEDED, "f0"), *rows)


def _circles() -> Iterator[tuple[str, Links]]:
    for size in (2, 3, 7, 40):
        yield f"{size} filters", _circle(size, DT_FILTER)
        yield f"{size} auxiliaries", _circle(size, DT_AUXILIARY)
        yield f"{size} in turn", _circle(size, DT_FILTER, DT_AUXILIARY)
    yield "the module closes it", (("core", DT_FILTER, "f0"), ("f0", DT_AUXILIARY, "core"))
    yield "behind a chain", (("core", _NEEDED, "a"), ("a", DT_FILTER, "f0"), *_circle(2, DT_FILTER)[1:])
    yield "two at once", (*_circle(3, DT_FILTER), ("core", _NEEDED, "g"), ("g", DT_FILTER, "h"), ("h", DT_FILTER, "g"))


_GOOD: Mapping[str, Links] = {
    "itself": (("core", _NEEDED, "f0"), ("f0", DT_FILTER, "f0")),
    "itself, auxiliary": (("core", _NEEDED, "f0"), ("f0", DT_AUXILIARY, "f0")),
    "a chain": (("core", _NEEDED, "a"), ("a", DT_FILTER, "b"), ("b", DT_AUXILIARY, "c"), ("c", DT_FILTER, "d")),
    "a diamond": (("core", _NEEDED, "a"), *((at, DT_FILTER, to) for at, to in ("ab", "ac", "bd", "cd"))),
    "needs its filter": (("core", _NEEDED, "a"), ("a", DT_FILTER, "b"), ("b", _NEEDED, "a")),
}
_OPENED: Mapping[str, Links] = {
    "a filter": (("core", DT_FILTER, "a"),),
    "an auxiliary": (("core", DT_AUXILIARY, "a"),),
    "a filter that its library needs": (("core", DT_FILTER, "a"), ("a", _NEEDED, "core")),
}


def _wheel(folder: Path, links: Links, *, inside: bool) -> tuple[Scene, Path]:
    """A wheel of a module, with the libraries in it or on its system."""
    scene = Scene(folder)
    specs = {}
    for name in dict.fromkeys(name for at, _, to in links for name in (at, to)):
        soname = "_core.so" if name == "core" else f"lib{name}.so"
        files = {"core": "_core.so"}
        rows = [(kind, files.get(to, f"lib{to}.so")) for at, kind, to in links if at == name]
        specs[soname] = ElfSpec(
            soname=soname,
            needed=(*(to for kind, to in rows if kind == _NEEDED), GLIBC),
            links=tuple((kind, to) for kind, to in rows if isinstance(kind, int)),
            runpath="$ORIGIN",
        )
    members = {CORE: specs.pop("_core.so")}
    for soname, spec in specs.items():
        if inside:
            members[f"demo/{soname}"] = spec
        else:
            scene.system.library(f"/usr/lib/{soname}", spec)
    return scene, scene.wheel(members, tags=("cp311-cp311-manylinux_2_17_x86_64",))


def trials(folder: Path) -> Iterator[Trial]:
    """Circles, with the libraries in the wheel and on the system; and filters that are none."""
    place = 0
    for (name, links), command, inside in product(_circles(), _COMMANDS, (True, False)):
        place += 1
        call = partial(_judge_circle, links=links, command=command, inside=inside, place=folder / f"{place}")
        yield Trial(f"circle, {name}, {command}, {'in the wheel' if inside else 'on the system'}", call)
    for kind, table in (("good", _GOOD), ("opened", _OPENED)):
        for name, links in table.items():
            place += 1
            yield Trial(f"{kind}, {name}", partial(_judge_check, links=links, kind=kind, place=folder / f"{place}"))


def _judge_circle(tool: Tool, *, links: Links, command: str, inside: bool, place: Path) -> str | None:
    place.mkdir()
    scene, wheel = _wheel(place, links, inside=inside)
    words: list[str | Path] = ["-w", place / "out"] if command.startswith("fixup") else []
    ended = tool.run(*command.split(), wheel, "--sysroot", scene.root, *words)
    if ended.fault():
        return ended.fault()
    if ended.code != 1:
        return f"exit code {ended.code}"
    return None if b"filter-circle" in ended.out + ended.err else "names no circle"


def _judge_check(tool: Tool, *, links: Links, kind: str, place: Path) -> str | None:
    place.mkdir()
    scene, wheel = _wheel(place, links, inside=True)
    ended = tool.run("check", wheel, "--sysroot", scene.root)
    if ended.fault():
        return ended.fault()
    wanted = 1 if kind == "opened" else 0
    return None if ended.code == wanted else f"exit code {ended.code}"
