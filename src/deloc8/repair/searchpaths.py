"""Search paths: which entries of a file mean something after installation, and how one folder leads to another."""

from __future__ import annotations

import posixpath
from functools import cached_property

from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.edit.vocabulary import RemoveRpath, RpathKind, SetRpath
from deloc8.loader.ldconf import lib_names
from deloc8.loader.tokens import begins_at_origin, expand, expand_for_musl, folder_of, search_entries, varies
from deloc8.target import Libc
from deloc8.values import NamedTuple, dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.vendor import VendorFolder
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.loader.folders import Trail


class Told(NamedTuple):
    """An entry and what is to be said of it."""

    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.entry or 'an empty entry'}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPath:
    """The search folders of a file after the repair.

    Attributes:
        entries: What stays and what comes.
        dropped: What goes, with the reasons.
        kept: What stays though the wheel alone does not fill it, with the reasons.
        crossing: The entries that lead from site-packages to the rest of the environment, or back.
    """

    entries: tuple[str, ...]
    dropped: tuple[Told, ...]
    kept: tuple[Told, ...]
    crossing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Facts that search paths are judged by.

    Attributes:
        facts: The wheel.
        vendors: The folders of the system that may stay, by the path of the file and the entry.
    """

    facts: WheelFacts
    vendors: Mapping[str, Mapping[str, VendorFolder]]

    @cached_property
    def shelves(self) -> frozenset[str]:
        """The folders that hold a compiled file of the wheel."""
        return frozenset(folder_of(file.path) for file in self.facts.own)

    @cached_property
    def filled(self) -> frozenset[str]:
        """The folders that hold a file of the wheel."""
        return frozenset(folder_of(path) for path in self.facts.members)

    def is_of_wheel(self, folder: str) -> bool:
        """Whether the wheel fills a folder, or has one of that name below site-packages."""
        if folder in self.filled:
            return True
        return folder in self.facts.environment and tree_of(folder) == SITE_PACKAGES

    def expansions(self, entry: str, origin: str) -> tuple[str, ...]:
        """The texts that an entry may expand to.

        First on the searched system, then on others where `$LIB` is another folder.
        """
        tokens = self.facts.tokens
        if self.facts.libc is Libc.MUSL:
            text = expand_for_musl(entry, origin)
            return () if text is None else (text,)
        names: list[str | None] = [tokens.lib]
        if varies(entry) and self.facts.libc is Libc.GLIBC:
            names += lib_names(self.facts.arch)
        texts = [expand(entry, replace(tokens, origin=origin, lib=name)) for name in names]
        return tuple(dict.fromkeys(text for text in texts if text is not None))

    def may_exist(self, folder: str, origin: str) -> bool:
        """Whether another distribution may have made a folder that the wheel lacks.

        Several distributions can share a top folder: `nvidia/cusolver/lib` searches `nvidia/cublas/lib`. Only below
        its own folder a file knows all that there will be.
        """
        base = SITE_PACKAGES
        if not folder.startswith(SITE_PACKAGES + "/"):
            base = "/".join(folder.split("/", 3)[:3])
        top, *below = folder[len(base) + 1 :].split("/", 1)
        is_shared = not top or f"{base}/{top}" not in self.facts.environment
        return is_shared or not below or not folder.startswith(origin + "/")


class _Verdict(NamedTuple):
    """Verdict on one entry.

    Attributes:
        stays: Whether it does.
        reason: Why, where that is to be reported; empty for a folder of the wheel.
        folder: The folder of the environment that it leads to; None where that is none, or unknown.
        plain: The folders of the wheel that an entry of their own is to lead to, which works everywhere.
    """

    stays: bool
    reason: str = ""
    folder: str | None = None
    plain: tuple[str, ...] = ()


def new_run_path(
    file: ElfFile, wanted_folders: Sequence[str], ground: Ground, *, new_path: str | None = None
) -> RunPath:
    """The search folders of a file of the wheel: those that mean something after installation, and the wanted ones.

    Args:
        file: The file.
        wanted_folders: Folders that must be found, as installed.
        ground: What its entries are judged by.
        new_path: Where the file moves; its entries are written for that place.
    """
    origin = folder_of(new_path or file.path)
    draft = _PathDraft(origin=origin, moves=new_path is not None)
    for entry in search_entries(file.image):
        verdict = _judge(entry, file, ground)
        if verdict.stays and new_path and begins_at_origin(entry):
            verdict = _moved(verdict)
        draft.add(entry, verdict)
    added: dict[str, str | None] = {}
    for folder in (*draft.plain, *wanted_folders):
        if folder not in draft.reached and reaches(origin, folder):
            added[relative_entry(origin, folder)] = folder
            draft.reached.add(folder)
    to_own = ground.filled.intersection(wanted_folders).difference(draft.plain)
    own: dict[str, str | None] = {text: folder for text, folder in added.items() if folder in to_own}
    entries = {**_with_own(draft.entries, own, {told.entry for told in draft.kept}), **added}
    crossing = [entry for entry, folder in entries.items() if folder and tree_of(folder) != tree_of(origin)]
    return RunPath(
        entries=tuple(entries),
        dropped=tuple(dict.fromkeys(draft.dropped)),
        kept=tuple(draft.kept),
        crossing=tuple(crossing),
    )


class _PathDraft:
    """The search path of a file while its old entries are judged.

    Attributes:
        entries: The entries that stay, with the folder of the environment that each leads to, where it is one.
        reached: The folders that they lead to on every system.
        plain: Folders of the wheel for which plain entries are to be written.
        dropped: The entries that go.
        kept: The entries that stay though the wheel does not fill their folders.
    """

    def __init__(self, *, origin: str, moves: bool) -> None:
        self.origin = origin
        self.moves = moves
        self.entries: dict[str, str | None] = {}
        self.reached: set[str] = set()
        self.plain: list[str] = []
        self.dropped: list[Told] = []
        self.kept: list[Told] = []

    def add(self, entry: str, verdict: _Verdict) -> None:
        """Do with an entry what its verdict says."""
        self.plain += verdict.plain
        if not verdict.stays:
            self.dropped.append(Told(entry, verdict.reason))
            return
        if verdict.folder in self.reached:
            return
        text = entry
        if self.moves and verdict.folder:
            text = relative_entry(self.origin, verdict.folder)
        self.entries.setdefault(text, verdict.folder)
        if verdict.folder and not varies(entry):
            self.reached.add(verdict.folder)
        if verdict.reason:
            self.kept.append(Told(text, verdict.reason))


def _with_own(entries: dict[str, str | None], own: dict[str, str | None], outside: set[str]) -> dict[str, str | None]:
    """Entries with those to libraries of the wheel before those to folders that others fill: the wheel's win."""
    texts = list(entries)
    place = next((number for number, text in enumerate(texts) if text in outside), len(texts))
    return {text: {**own, **entries}[text] for text in (*texts[:place], *own, *texts[place:])}


def _moved(verdict: _Verdict) -> _Verdict:
    """The verdict on an entry of a file that moves: it stays where it is known what it leads to."""
    if verdict.folder is None:
        return verdict._replace(stays=False, reason="the program moves, and what it leads to differs between systems")
    return verdict


def _judge(entry: str, file: ElfFile, ground: Ground) -> _Verdict:
    """Judge an entry."""
    texts = ground.expansions(entry, folder_of(file.path))
    if not texts:
        if begins_at_origin(entry) and ground.facts.libc is not Libc.MUSL:
            return _Verdict(stays=True, reason="what its token stands for differs between systems")
        return _Verdict(stays=False, reason="it has a token that the loader does not know")
    if not texts[0].startswith("/"):
        return _Verdict(stays=False, reason="it means the folder in which the process happens to run")
    if not f"/{texts[0].strip('/')}/".startswith(VIRTUAL_ROOT + "/"):
        return _judge_absolute(entry, file, ground)
    return _judge_trails(entry, texts, folder_of(file.path), ground)


def _judge_trails(entry: str, texts: Sequence[str], origin: str, ground: Ground) -> _Verdict:
    """Judge an entry that leads into the environment: on several ways with a token such as `$LIB`."""
    trails = [ground.facts.environment.walk(f"/{text.lstrip('/')}") for text in texts]
    verdicts = [_judge_trail(trail, origin, ground) for trail in trails]
    if not varies(entry):
        return verdicts[0]
    # The value of a token differs between distributions. With plain entries all of them find the
    # same libraries.
    folders = [trail.folder for trail in trails if trail and trail.folder in ground.shelves]
    best = next((verdict for verdict in verdicts if verdict.stays), verdicts[0])
    reason = "" if best.stays and folders else best.reason
    return _Verdict(stays=best.stays, reason=reason, plain=tuple(dict.fromkeys(folders)))


def _judge_absolute(entry: str, file: ElfFile, ground: Ground) -> _Verdict:
    vendor = ground.vendors.get(file.path, {}).get(entry)
    if vendor is None:
        return _Verdict(stays=False, reason="it is a folder of the build machine")
    names = ", ".join(vendor.libraries)
    found = f"{names} (left out by --exclude) was found there"
    if vendor.fault:
        return _Verdict(stays=False, reason=f"{vendor.fault}; {found}, and must be found in another way")
    return _Verdict(stays=True, reason=found)


def _judge_trail(trail: Trail | None, origin: str, ground: Ground) -> _Verdict:
    """Judge an entry that leads from the file through the environment."""
    if trail is None:
        return _Verdict(stays=False, reason="it leads out of the environment that the wheel is installed into")
    folder = trail.folder
    lost = [missing for missing in trail.missing if not ground.may_exist(missing, origin)]
    plain = (folder,) if trail.missing and folder in ground.shelves else ()
    if lost and folder in ground.facts.environment:
        reason = f"the loader goes through {describe_folder(lost[0])}, which the wheel does not have"
        return _Verdict(stays=False, reason=reason, plain=plain)
    if lost:
        return _Verdict(stays=False, reason=f"the wheel does not have {describe_folder(folder)}")
    if not trail.missing and ground.is_of_wheel(folder):
        return _Verdict(stays=True, folder=folder)
    reason = f"it leads to {describe_folder(folder)}, which other distributions may fill"
    return _Verdict(stays=True, reason=reason, folder=None if plain else folder, plain=plain)


def describe_folder(folder: str) -> str:
    """A folder of the environment in words."""
    if folder == SITE_PACKAGES:
        return "site-packages"
    if folder.startswith(SITE_PACKAGES + "/"):
        return f"`{folder[len(SITE_PACKAGES) + 1 :]}`"
    return f"`<environment>{folder[len(VIRTUAL_ROOT) :]}`"


def tree_of(path: str) -> str:
    """The folder that an installer fills as a whole: site-packages, or the environment around it."""
    return SITE_PACKAGES if f"{path}/".startswith(SITE_PACKAGES + "/") else VIRTUAL_ROOT


def reaches(origin: str, folder: str) -> bool:
    """Whether an entry can be written that leads from one place of an environment to another.

    The way up from site-packages is the same for every Python; the way down has the name of one of them in it.
    """
    return tree_of(origin) == SITE_PACKAGES or tree_of(folder) != SITE_PACKAGES


def relative_entry(origin: str, folder: str) -> str:
    """The entry that leads from one folder to another, such as ``$ORIGIN/../numpy.libs``."""
    step = posixpath.relpath(folder, origin)
    return "$ORIGIN" if step == "." else f"$ORIGIN/{step}"


def graft_entries(file: ElfFile, home: str, wanted_folders: Iterable[str], ground: Ground) -> tuple[str, ...]:
    """The search path of a graft: what it must find, and where it found what the user left out.

    What `$ORIGIN` led to on its old place is written out. The system's usual folders are searched without an entry.
    """
    entries = [relative_entry(home, folder) for folder in wanted_folders]
    usual = {f"{top}/{name}" for top in ("", "/usr") for name in lib_names(ground.facts.arch)}
    vendors = ground.vendors.get(file.path, {}).values()
    entries += [vendor.folder for vendor in vendors if not vendor.fault and vendor.folder not in usual]
    return tuple(dict.fromkeys(entries))


_WHERE_SCHEMES_DIFFER = (
    "pip installs so into every environment; with --target it puts files of `.data/data` elsewhere, or nowhere",
    "where site-packages has another name, as Debian's dist-packages, an entry with that name in it leads nowhere",
)


def path_notes(member: str, run_path: RunPath) -> Iterator[Diagnostic]:
    """Notes on the new search path of a member, where something is to be reported."""
    if run_path.dropped:
        yield Diagnostic(
            code="rpath-dropped",
            severity=Severity.NOTE,
            subject=member,
            message="search folders are dropped that lead nowhere after installation",
            context=tuple(map(str, run_path.dropped)),
        )
    if run_path.kept:
        yield Diagnostic(
            code="rpath-kept",
            severity=Severity.NOTE,
            subject=member,
            message="search folders are kept that the wheel itself does not fill",
            context=tuple(map(str, run_path.kept)),
        )
    if run_path.crossing:
        yield Diagnostic(
            code="rpath-crosses-schemes",
            severity=Severity.NOTE,
            subject=member,
            message="search folders lead from site-packages to the folders of the environment, or back",
            context=(*run_path.crossing, *_WHERE_SCHEMES_DIFFER),
        )


def kind_of(file: ElfFile, otherwise: RpathKind) -> RpathKind:
    """The kind of search path entry that a file has, or else another."""
    dynamic = file.image.dynamic
    if dynamic and dynamic.runpath is not None:
        return RpathKind.RUNPATH
    return RpathKind.RPATH if dynamic and dynamic.rpath is not None else otherwise


def rpath_edits(file: ElfFile, entries: tuple[str, ...], kind: RpathKind) -> list[Edit]:
    """Edits that give a file these search folders; none where it has them."""
    dynamic = file.image.dynamic
    if dynamic is None:
        return []
    present = (dynamic.rpath, dynamic.runpath)
    if not entries:
        return [] if present == (None, None) else [RemoveRpath()]
    path = ":".join(entries)
    wanted = (path, None) if kind is RpathKind.RPATH else (None, path)
    return [] if present == wanted else [SetRpath(path=path, kind=kind)]
