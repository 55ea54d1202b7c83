"""The libraries of a wheel by their names, and where they win over copies elsewhere.

A process holds one library of a soname: the first one that is loaded answers for all who need it later (glibc's
`_dl_map_object` compares the needed name with DT_SONAME of what is loaded). A copy of the build machine beside the
wheel's library would be a second one, with a state of its own.
"""

from __future__ import annotations

from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deloc8.loader.search import Located


class OwnLibraries:
    """The libraries of a wheel, by the names that they can be asked for."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """`paths` has the path of each name; all of them are below top folders that hold nothing but the wheel."""
        self._paths = paths
        self._tops = tuple({f"/{path.split('/')[1]}/" for path in paths.values()})

    def covers(self, path: str) -> bool:
        """Whether a path leads into the wheel."""
        return path.startswith(self._tops)

    def named(self, name: str) -> str | None:
        """The library that a needed name means, where the wheel has it; of a path the last part counts."""
        return self._paths.get(name.rpartition("/")[2])

    def instead_of(self, path: str, names: tuple[str, str | None]) -> str | None:
        """The library of the wheel that wins over a file: it has the needed name, or the file's soname.

        None where the wheel has no such library, or where the file is one of the wheel.
        """
        if self.covers(path):
            return None
        needed, soname = names
        return self.named(needed) or self._paths.get(soname or "")


def own_names(files: Iterable[Located], libc: Libc | None) -> Mapping[str, str]:
    """The paths of a wheel's libraries by the names that they can be asked for: sonames and file names.

    Of several files with one name, the first counts whose file name and soname it is: it is found by that name, and
    it is what is loaded. After these glibc asks for a soname, and musl, which reads no soname, for a file name.
    """
    both: dict[str, str] = {}
    sonames: dict[str, str] = {}
    file_names: dict[str, str] = {}
    for path, image in files:
        if image.is_executable:
            continue
        file_name = path.rpartition("/")[2]
        if image.soname == file_name:
            both.setdefault(file_name, path)
        if image.soname:
            sonames.setdefault(image.soname, path)
        file_names.setdefault(file_name, path)
    if libc is Libc.MUSL:
        return {**sonames, **file_names, **both}
    return {**file_names, **sonames, **both}
