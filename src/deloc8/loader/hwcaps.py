"""Libraries for newer processors, in folders that glibc's loader searches before the one around them.

For each folder of a search path glibc from 2.33 on looks into `glibc-hwcaps/LEVEL` first, where the processor has that
level (`_dl_hwcaps_subdirs` in sysdeps/*/dl-hwcaps-subdirs.c). Until 2.36 it also looked into folders with the names of
single features, in any combination (`_dl_important_hwcaps` in elf/dl-hwcaps.c). musl and Android know neither.
"""

from __future__ import annotations

from deloc8.target import Libc
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from deloc8.loader.lookup import Located
    from deloc8.target import Arch

FOLDER = "glibc-hwcaps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A library that is loaded in the place of another one where the processor is new enough.

    Attributes:
        base: The path of the library that all others get.
        level: The level of processors that the loader makes sure of; empty for the baseline.
        is_old: Whether only releases of glibc before 2.37 search its folder.
    """

    base: str
    level: str
    is_old: bool = False


def find_variants(files: Collection[Located], arch: Arch | None, libc: Libc | None) -> Mapping[str, Variant]:
    """Those of some libraries that are for newer processors, by path.

    A folder of the old kind can as well have its name by chance, or be chosen by code of its own: a file in it counts
    only where some file needs its name, and one of that name is beside the folders.
    """
    if arch is None or libc is not Libc.GLIBC:
        return {}
    paths = {file.path for file in files}
    needed = {name for file in files for name in file.image.needed}
    found = {}
    for path, _ in files:
        variant = _variant(path, arch) or _old_variant(path, arch)
        if variant is None:
            continue
        if not variant.is_old or (variant.base in paths and path.rpartition("/")[2] in needed):
            found[path] = variant
    return found


def _variant(path: str, arch: Arch) -> Variant | None:
    *top, folder, level, name = ("", "", *path.split("/"))
    if folder != FOLDER or level not in arch.row.hwcaps:
        return None
    return Variant(base="/".join((*top[2:], name)), level=level)


def _old_variant(path: str, arch: Arch) -> Variant | None:
    *folders, name = path.split("/")
    levels = dict(arch.row.old_levels)
    passed = []
    while folders and folders[-1] in arch.row.old_hwcaps:
        passed.append(levels.get(folders.pop(), ""))
    if not passed:
        return None
    return Variant(base="/".join((*folders, name)), level=max(passed), is_old=True)


def searched(level: str, arch: Arch) -> tuple[str, ...]:
    """The folders below `glibc-hwcaps` that a processor of a level makes glibc search, the best first."""
    levels = arch.row.hwcaps
    return levels[levels.index(level) :]


_X86_LEVEL = "x86-64-v"


def x86_level(level: str) -> int:
    """The number of a level of x86-64, as in `elf.notes.x86_isa_level`: 1 for the baseline."""
    return int(level.removeprefix(_X86_LEVEL)) if level.startswith(_X86_LEVEL) else 1
