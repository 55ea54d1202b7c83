"""Names for new members of a wheel that collide with none it has."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# So many names are tried; a wheel in which all are taken was made to have no other.
_MOST_TRIES = 1000


class TakenNames:
    """The names of a wheel's members. Names that differ in case alone collide: some file systems know one of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        for name in names:
            self._take(name)

    def claim(self, before: str, after: str) -> str | None:
        """The name of a new member: both parts, or with a number between them where that is taken; None for none."""
        for number in range(1, _MOST_TRIES):
            name = f"{before}{after}" if number == 1 else f"{before}-{number}{after}"
            folded = name.lower()
            is_taken = folded in self._files or folded in self._folders
            if not is_taken and not self._files.intersection(_parents(folded)):
                self._take(name)
                return name
        return None

    def _take(self, name: str) -> None:
        folded = name.lower()
        self._files.add(folded)
        self._folders.update(_parents(folded))


def _parents(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path


def plain(name: str) -> str:
    """A name of a file as any system takes it: letters and digits of ASCII, and the marks ``+ - . _``."""
    return re.sub(r"[^A-Za-z0-9+._-]", "_", name).lstrip(".") or "_"
