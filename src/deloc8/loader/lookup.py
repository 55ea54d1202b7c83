"""Options and answers of a search: every place that was tried, and the result there."""

from __future__ import annotations

import enum

from deloc8.target import Libc
from deloc8.values import NamedTuple, dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.image import ElfImage
    from deloc8.target import Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How to search. Folders are absolute, as seen inside the root of the searched system.

    Attributes:
        libc: The C library whose loader is simulated.
        library_path: Folders that the user named to be searched as LD_LIBRARY_PATH is. They count beside
            `only_paths` too: leave out what shall not.
        environment_path: LD_LIBRARY_PATH of this machine's environment, searched after them. Android's search ignores
            it, because it is about the build machine.
        add_paths: Folders to search before everything else.
        only_paths: Folders that stand in for all that the system offers: its cache, configuration and built-in
            folders. RPATH and RUNPATH belong to the files and still work. None: the system's own.
        hwcaps: The folders below glibc-hwcaps that count, the best first. None by default: what is copied into a
            wheel must run on every processor.
        own_hwcaps: The same for folders of the wheel.
        platform: What `$PLATFORM` stands for; None: the name of the machine's baseline processor.
        knows_tokens: Whether `$LIB` and `$PLATFORM` are known in search paths; else such entries are not searched.
    """

    libc: Libc = Libc.GLIBC
    library_path: tuple[str, ...] = ()
    environment_path: tuple[str, ...] = ()
    add_paths: tuple[str, ...] = ()
    only_paths: tuple[str, ...] | None = None
    hwcaps: tuple[str, ...] = ()
    own_hwcaps: tuple[str, ...] = ()
    platform: str | None = None
    knows_tokens: bool = True

    @property
    def loader_path(self) -> tuple[str, ...]:
        """The folders that the loader searches as LD_LIBRARY_PATH."""
        if self.libc is Libc.ANDROID:
            return self.library_path
        return (*self.library_path, *self.environment_path)


class Stage(enum.Enum):
    """Why the loader looks at a place; the values are for human readers."""

    LOADED = "already loaded"
    LOADER = "the loader itself"
    NEEDED_PATH = "a path in DT_NEEDED"
    ADD_PATH = "--add-path"
    RPATH = "RPATH"
    LIBRARY_PATH = "LD_LIBRARY_PATH"
    RUNPATH = "RUNPATH"
    OWN = "the wheel's own file, loaded beforehand"
    ONLY_PATHS = "--ldpaths"
    CACHE = "ld.so.cache"
    CONF = "ld.so.conf"
    DEFAULT = "default folders"


class Origin(NamedTuple):
    """A stage, and the file that it belongs to: whose RPATH, RUNPATH or DT_NEEDED."""

    stage: Stage
    owner: str | None = None

    def __str__(self) -> str:
        return self.stage.value if self.owner is None else f"{self.stage.value} of {self.owner}"


class Result(enum.Enum):
    """Result of one attempt."""

    FOUND = "found"
    MISSING = "missing"
    NOT_ELF = "not an ELF file"
    OTHER_MACHINE = "for another machine"
    OTHER_LIBC = "for another C library"
    UNREADABLE = "unreadable"
    SKIPPED = "not searched"
    OUTSIDE = "passed over: the wheel has the library itself"


class Located(NamedTuple):
    """An ELF file and where it is, as the loader writes it."""

    path: str
    image: ElfImage


class Attempt(NamedTuple):
    """One place that was tried; where the result is SKIPPED, `path` is the entry as written and `reason` says why."""

    path: str
    origin: Origin
    result: Result
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Machine that a candidate must agree with, and the loader and folders of the system for it.

    Attributes:
        kind: e_machine, class and little-endian: what the loader compares between two objects.
        arch: The machine, if the policies know it.
        loader: The loader itself; None where there is none, or none that counts.
        defaults: The folders built into the loader.
    """

    kind: tuple[int, int, bool]
    arch: Arch | None
    loader: Located | None
    defaults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Result of the search for one name.

    Attributes:
        name: The required name.
        path: Where it was found, as the loader writes it; None where it was not.
        real_path: The same without symlinks and dots.
        image: The file that was found.
        origin: What led to it.
        tried: Every attempt, a successful one last.
    """

    name: str
    path: str | None = None
    real_path: str | None = None
    image: ElfImage | None = field(default=None, repr=False)
    origin: Origin | None = None
    tried: tuple[Attempt, ...] = ()

    @property
    def found(self) -> bool:
        """Whether it was found."""
        return self.path is not None

    @property
    def outside(self) -> tuple[Attempt, ...]:
        """The copies elsewhere that were passed over for a library of the wheel."""
        return tuple(attempt for attempt in self.tried if attempt.result is Result.OUTSIDE)
