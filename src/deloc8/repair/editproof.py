"""The proof that a file says of itself what it must after its edits: names, symbols and versions."""

from __future__ import annotations

from collections import Counter

from deloc8.elf.edits import (
    AddNeeded,
    BindVersion,
    RemoveNeeded,
    RemoveRpath,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
)
from deloc8.elf.symbols import UndefinedSymbol
from deloc8.repair.lowering import lowered_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.elf.edits import Edit
    from deloc8.elf.image import ElfImage

Names = tuple[tuple[str, ...], "str | None", "str | None", "str | None"]


def names(image: ElfImage) -> Names:
    """Needed names, soname, DT_RPATH and DT_RUNPATH of a file."""
    dynamic = image.dynamic
    return (dynamic.needed, dynamic.soname, dynamic.rpath, dynamic.runpath) if dynamic else ((), None, None, None)


def names_after(image: ElfImage, edits: Sequence[Edit]) -> Names:
    """The names that a file must have after some edits."""
    needed, soname, rpath, runpath = names(image)
    for edit in edits:
        match edit:
            case SetSoname(soname=name):
                soname = name
            case ReplaceNeeded(old=old, new=new):
                needed = tuple(new if name == old else name for name in needed)
            case RemoveNeeded(name=old):
                needed = tuple(name for name in needed if name != old)
            case AddNeeded(name=name) | BindVersion(library=name):
                needed = needed if name in needed else (*needed, name)
            case SetRpath(path=path, kind=kind):
                rpath, runpath = (path, None) if kind is RpathKind.RPATH else (None, path)
            case RemoveRpath():
                rpath = runpath = None
    return needed, soname, rpath, runpath


def means_as_planned(now: ElfImage, before: ElfImage, edits: Sequence[Edit]) -> bool:
    """Whether undefined symbols and versions are what they must be after some edits."""
    wanted = lowered_image(before, edits)
    renamed = {edit.old: edit.new for edit in edits if isinstance(edit, ReplaceNeeded)}
    removed = {edit.name for edit in edits if isinstance(edit, RemoveNeeded)}
    needs = sorted(
        (renamed.get(need.file, need.file), version.name)
        for need in wanted.version_needs
        for version in need.versions
        if need.file not in removed
    )
    if (needs, _definitions(wanted)) != (_needs(now), _definitions(now)):
        return False
    symbols = tuple(
        UndefinedSymbol(symbol.name, symbol.version, renamed[symbol.file], symbol.weak)
        if symbol.file in renamed
        else symbol
        for symbol in wanted.undefined
    )
    # They may come in another order, but as a rule they have kept it.
    return symbols == now.undefined or Counter(symbols) == Counter(now.undefined)


def _needs(image: ElfImage) -> list[tuple[str, str]]:
    return sorted((need.file, version.name) for need in image.version_needs for version in need.versions)


def _definitions(image: ElfImage) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(version.name, version.index, version.parents) for version in image.defined_versions if not version.base]
