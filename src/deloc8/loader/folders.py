"""A tree of folders that is not on disk, and how the kernel walks through it."""

from __future__ import annotations

from functools import cached_property

from deloc8.values import NamedTuple, dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Trail(NamedTuple):
    """Where a path leads, and the folders on the way that are not there.

    Attributes:
        folder: The real path, as far as it is known; missing folders count as plain ones.
        missing: The folders that the kernel looks for in vain, each once, in order.
    """

    folder: str
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FolderTree:
    """The folders below one top folder; nothing is known of what is above it.

    Attributes:
        top: The top folder; empty for `/`.
        folders: The folders by their real paths, with all that hold them.
        links: Where symbolic links to folders lead, by their real paths.
    """

    top: str
    folders: frozenset[str]
    links: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _trails(self) -> dict[str, Trail | None]:
        return {}

    def __contains__(self, folder: str) -> bool:
        """Whether a folder, given by its real path, is there."""
        return folder in self.folders

    def find(self, path: str) -> str | None:
        """The real path of a folder; None where the kernel does not find it."""
        trail = self.walk(path)
        return trail.folder if trail and not trail.missing else None

    def walk(self, path: str) -> Trail | None:
        """Where a path leads, step by step: `..` leads up from a folder that has to be there.

        None where it does not begin at the top folder or leads out of it.
        """
        if path not in self._trails:
            self._trails[path] = self._walk(path)
        return self._trails[path]

    def _walk(self, path: str) -> Trail | None:
        path = f"/{path.strip('/')}/"
        if not path.startswith(self.top + "/"):
            return None
        real = self.top
        missing: dict[str, None] = {}
        for part in path[len(self.top) :].split("/"):
            if part in {"", "."}:
                continue
            if part == "..":
                real = real.rpartition("/")[0]
            else:
                real = f"{real}/{part}"
                real = self.links.get(real, real)
            if not f"{real}/".startswith(f"{self.top}/"):
                return None
            if real not in self.folders:
                missing[real] = None
        return Trail(real, tuple(missing))


def ancestors(folders: Iterable[str]) -> frozenset[str]:
    """The folders and all that hold them; that is the empty path for `/`."""
    found = {""}
    for folder in folders:
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]  # noqa: PLW2901  one step up
    return frozenset(found)


def folders_of(paths: Iterable[str]) -> frozenset[str]:
    """All folders that hold a file of these paths, and what holds them."""
    return ancestors({path.rpartition("/")[0] for path in paths})
