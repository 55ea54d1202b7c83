"""Libraries that are opened at run time: which are grafted on request, where they stand, and who finds them there."""

from __future__ import annotations

import fnmatch
import posixpath

from deloc8.audit.facts import REQUEST
from deloc8.audit.layout import SITE_PACKAGES, install_path
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.dlopen.mentions import OPENERS
from deloc8.dlopen.openings import Confidence, Source
from deloc8.elf.read.image import ElfImage
from deloc8.errors import InputError, UsageError
from deloc8.loader.ldconf import library_folders
from deloc8.policy.load import host_only_reason
from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.verdict import Audit
    from deloc8.dlopen.openings import Opening
    from deloc8.loader.search import SearchOptions
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.model import Graft
    from deloc8.target import Arch

OPENED = "opened"
"""Their folder in that of the grafts: they keep their names, and only those who open them shall find them."""


def opens(file: ElfFile) -> bool:
    """Whether a file opens libraries itself: glibc searches the DT_RPATH of the object that calls dlopen."""
    return any(symbol.name in OPENERS for symbol in file.image.undefined)


def is_host_only(name: str) -> bool:
    """Whether a library must be that of the machine that a wheel runs on."""
    return host_only_reason(posixpath.basename(name)) is not None


def refuse_host_libraries(names: Iterable[str]) -> None:
    """Raise where a library that must be the machine's own is asked for.

    Raises:
        UsageError: One is.
    """
    found = sorted(filter(is_host_only, names))
    if found:
        raise UsageError(
            f"{', '.join(found)} must be that of the machine that the wheel runs on",
            code="host-library",
            context=tuple(f"{name} {host_only_reason(posixpath.basename(name))}" for name in found),
            hints=("to graft it nevertheless, pass --force",),
        )


def is_pattern(name: str) -> bool:
    """Whether a name stands for the libraries that match it."""
    return not set("*?[").isdisjoint(name)


def expand(names: Sequence[str], sysroot: Sysroot, options: SearchOptions, arch: Arch | None = None) -> tuple[str, ...]:
    """The names and paths that are asked for, patterns replaced by what they match.

    A pattern matches libraries of one machine; where that is None, of every machine.

    Raises:
        InputError: A pattern matches no library.
    """
    found: dict[str, None] = {}
    for name in names:
        rows = list(_matching(name, sysroot, options, arch)) if is_pattern(name) else [name]
        if not rows:
            raise InputError(
                f"`{name}` matches no library",
                code="include-not-found",
                hints=("give the path of the library, or name its folder with --add-path",),
            )
        found.update(dict.fromkeys(rows))
    return tuple(found)


def _matching(pattern: str, sysroot: Sysroot, options: SearchOptions, arch: Arch | None) -> Iterator[str]:
    """The libraries of a pattern: of the names of one file its own, else the first."""
    folder, _, base = pattern.rpartition("/")
    folders = (folder or "/",) if "/" in pattern else _folders(sysroot, options, arch)
    names: dict[str, list[tuple[str, str]]] = {}
    for place in folders:
        for name in sysroot.list(place):
            path = posixpath.join(place, name)
            real = sysroot.real_path(path) if fnmatch.fnmatchcase(name, base) and ".so" in name else None
            if real is not None:
                names.setdefault(real, []).append((name, path if folder else name))
    for real, rows in names.items():
        image = sysroot.image(real)
        if isinstance(image, ElfImage) and arch in {None, image.arch}:
            yield dict(rows).get(image.soname or "", rows[0][1])


def _folders(sysroot: Sysroot, options: SearchOptions, arch: Arch | None) -> Sequence[str]:
    if options.only_paths is not None:
        return (*options.loader_path, *options.add_paths, *options.only_paths)
    return (*options.loader_path, *options.add_paths, *library_folders(sysroot, arch))


def names_to_open(openings: Sequence[Opening], least: Confidence, sysroot: Sysroot) -> tuple[str, ...]:
    """The libraries of this system that a wheel opens by name: declared, and called ones where `least` says so.

    Those of the machine's drivers are left out, and so are those that a policy promises.
    """
    names = (
        _name_of(opening, sysroot)
        for opening in openings
        if opening.confidence in {Confidence.DECLARED, least} and opening.resolution.source is Source.SYSTEM
    )
    return tuple(dict.fromkeys(name for name in names if name and not is_host_only(name)))


def _name_of(opening: Opening, sysroot: Sysroot) -> str | None:
    """The name that an opened library is asked for by; of a pattern, the soname of what it leads to.

    One that is opened by its path is not found elsewhere, whatever its name: None.
    """
    target = opening.resolution.target or ""
    image = sysroot.image(target)
    soname = image.soname if isinstance(image, ElfImage) else None
    names = [name for name in opening.names if "/" not in name]
    plain = [name for name in names if "*" not in name]
    near = [name for name in plain if posixpath.basename(target).startswith(name)]
    return next(iter(near or plain), soname if names else None)


def opened_notes(audit: Audit, grafts: Sequence[Graft]) -> Iterator[Diagnostic]:
    """Advice on how Python finds the libraries on request: its search does not lead into the wheel."""
    requested = {row.target for row in audit.facts.dependencies.get(REQUEST, ())}
    for graft in grafts:
        if graft.source not in requested:
            continue
        callers = [opening for opening in audit.openings or () if _asks_for(opening, graft.new_name)]
        for place in sorted({opening.place for opening in callers}):
            here = [opening for opening in callers if opening.place == place]
            yield _note_for_callers(audit.facts, graft, place, here)
        if not callers and not graft.openers:
            message = f"nothing is known to open {graft.new_name}: these two lines load it, in a module of a package"
            yield _python_note(graft, graft.member, message, f"{SITE_PACKAGES}/package/module.py")


def _note_for_callers(facts: WheelFacts, graft: Graft, place: str, callers: Sequence[Opening]) -> Diagnostic:
    """The note for one file of Python that opens a graft by its name."""
    lines = ", ".join(str(opening.line) for opening in callers)
    names = {name for opening in callers for name in opening.names}
    # glibc takes a library that is loaded already for every later name that is its soname; others do not, and
    # `find_library` asks nobody what is loaded.
    is_enough = facts.libc is Libc.GLIBC and graft.new_name in names
    when = "before it opens the library" if is_enough else "in place of its call"
    message = f"opens {graft.new_name} by its name, which leads nowhere in a wheel: put these two lines {when}"
    data_folder = f"{facts.name.distribution}-{facts.name.version}.data"
    path = install_path(place, data_folder, facts.environment.links)
    return _python_note(graft, f"{place}, line {lines}", message, path)


def _asks_for(opening: Opening, name: str) -> bool:
    """Whether Python opens a library by that name, or looks for it."""
    return opening.line is not None and any(
        "/" not in asked and fnmatch.fnmatchcase(name, asked) for asked in opening.names
    )


def _python_note(graft: Graft, subject: str, message: str, path: str) -> Diagnostic:
    """The two lines for a file that is installed at a path."""
    way = posixpath.relpath(f"{SITE_PACKAGES}/{graft.member}", posixpath.dirname(path))
    return Diagnostic(
        code="opened-by-python",
        severity=Severity.WARNING,
        subject=subject,
        message=message,
        context=(
            "import ctypes, os",
            f"ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), {way!r}))",
        ),
    )
