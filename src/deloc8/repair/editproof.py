"""The proof that a file says of itself what it must after its edits: names, symbols and versions."""

from __future__ import annotations

from collections import Counter

from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindVersion,
    RemoveNeeded,
    RemoveRpath,
    ReplaceAudit,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
)
from deloc8.elf.read.dynamic import Link
from deloc8.repair.lowering.choose import lowered_image
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.symbols import UndefinedSymbol


class Names(NamedTuple):
    """Strings of a file for the loader: names and search paths; as in `Dynamic`."""

    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    filters: tuple[Link, ...] = ()
    audits: tuple[Link, ...] = ()


def names(image: ElfImage) -> Names:
    """The names of a file and its search paths."""
    found = image.dynamic
    if found is None:
        return Names()
    return Names(found.needed, found.soname, found.rpath, found.runpath, found.filters, found.audits)


def names_after(image: ElfImage, edits: Sequence[Edit]) -> Names:
    """The names that a file must have after some edits."""
    found = names(image)
    for edit in edits:
        found = _after(found, edit)
    return found


def _after(found: Names, edit: Edit) -> Names:
    """The names after one edit more."""
    match edit:
        case SetSoname(soname=name):
            found = found._replace(soname=name)
        case ReplaceNeeded(old=old, new=new):
            found = _with_replaced(found, old, new)
        case ReplaceAudit(old=old, new=new):
            found = found._replace(audits=_renamed(found.audits, old, new))
        case RemoveNeeded(name=name):
            found = _without(found, name)
        case AddNeeded(name=name) | BindVersion(library=name):
            found = _with_added(found, name)
        case SetRpath(path=path, kind=kind):
            found = _with_search_path(found, path, kind)
        case RemoveRpath():
            found = found._replace(rpath=None, runpath=None)
    return found


def _with_replaced(found: Names, old: str, new: str) -> Names:
    """The names with a needed one replaced, among the filters, too."""
    needed = tuple(new if name == old else name for name in found.needed)
    return found._replace(needed=needed, filters=_renamed(found.filters, old, new))


def _without(found: Names, removed: str) -> Names:
    """The names without a needed one, among the filters, too."""
    needed = tuple(name for name in found.needed if name != removed)
    filters = tuple(link for link in found.filters if link.name != removed)
    return found._replace(needed=needed, filters=filters)


def _with_added(found: Names, name: str) -> Names:
    """The names with a needed one more, unless it is there."""
    if name in found.needed:
        return found
    return found._replace(needed=(*found.needed, name))


def _with_search_path(found: Names, path: str, kind: RpathKind) -> Names:
    """The names with one search path of a kind in the place of both."""
    if kind is RpathKind.RPATH:
        return found._replace(rpath=path, runpath=None)
    return found._replace(rpath=None, runpath=path)


def name_problems(now: ElfImage, before: ElfImage, edits: Sequence[Edit]) -> list[str]:
    """The names of a file that are not what they must be after some edits, each with what was planned."""
    pairs = zip(Names._fields, names(now), names_after(before, edits), strict=True)
    return [f"has {field} {found}, planned was {wanted}" for field, found, wanted in pairs if found != wanted]


def _renamed(links: tuple[Link, ...], old: str, new: str) -> tuple[Link, ...]:
    return tuple(Link(link.kind, new) if link.name == old else link for link in links)


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
    if _moved(wanted.copied, renamed) != now.copied:
        return False
    symbols = _moved(wanted.undefined, renamed)
    # They may come in another order, but as a rule they have kept it.
    return symbols == now.undefined or Counter(symbols) == Counter(now.undefined)


def _moved(symbols: tuple[UndefinedSymbol, ...], renamed: Mapping[str, str]) -> tuple[UndefinedSymbol, ...]:
    """Symbols that are asked of libraries under their new names."""
    return tuple(
        symbol._replace(file=renamed[symbol.file]) if symbol.file is not None and symbol.file in renamed else symbol
        for symbol in symbols
    )


def _needs(image: ElfImage) -> list[tuple[str, str]]:
    return sorted((need.file, version.name) for need in image.version_needs for version in need.versions)


def _definitions(image: ElfImage) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(version.name, version.index, version.parents) for version in image.defined_versions if not version.base]
