"""Files that need a newer processor than is sure to run them."""

from __future__ import annotations

from deloc8.elf.read.notes import x86_isa_level
from deloc8.loader.hwcaps import x86_level
from deloc8.target import Arch
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.audit.facts import ElfFile, WheelFacts


_HIGHEST = 4


class Excess(NamedTuple):
    """The level that a file needs, and what it can count on, in a few words."""

    level: str
    limit: str


def excessive_levels(facts: WheelFacts) -> Mapping[str, Excess]:
    """The files that need more than the baseline, or than the level of their folder below `glibc-hwcaps`, by path.

    A file in such a folder counts on its level only if nothing leads to it from outside: a search path that names the
    folder itself does so on every processor.
    """
    if facts.arch is not Arch.X86_64:
        return {}
    needed: dict[str, int] = {}
    for path, file in facts.files.items():
        level = x86_isa_level(file.image.notes, bits=file.image.bits) or 1
        if level > 1:
            needed[path] = level
    if not needed:
        return {}
    found = {}
    for path, promised in _promised(facts).items():
        if needed.get(path, 1) > promised:
            found[path] = Excess(f"x86-64-v{needed[path]}", _limit(promised))
    return found


def _promised(facts: WheelFacts) -> Mapping[str, int]:
    """The level of processor that each file can count on: the least of those on which it is loaded."""
    promised = {path: _first_promise(facts, file) for path, file in facts.files.items()}
    pending = list(facts.dependencies)
    while pending:
        asker = pending.pop()
        for row in facts.dependencies.get(asker, ()):
            if row.target is not None and promised[row.target] > promised[asker]:
                promised[row.target] = promised[asker]
                pending.append(row.target)
    return promised


def _first_promise(facts: WheelFacts, file: ElfFile) -> int:
    """The level by where a file is; nothing but other files leads to one of the system."""
    if file.member is None:
        return _HIGHEST
    return x86_level(facts.variants[file.path].level) if file.path in facts.variants else 1


def _limit(promised: int) -> str:
    return "the x86-64 baseline" if promised == 1 else f"x86-64-v{promised} in that folder"
