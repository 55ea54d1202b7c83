"""The libraries of a wheel by their names, and where they win over copies elsewhere.

A process holds one library of a soname: the first one that is loaded answers for all who need it later (glibc's
`_dl_map_object` compares the needed name with DT_SONAME of what is loaded). A copy of the build machine beside the
wheel's library would be a second one, with a state of its own.
"""

from __future__ import annotations

from posixpath import commonpath

from deloc8.elf.read.notes import build_id
from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.lookup import Located


class OwnLibraries:
    """The libraries of a wheel, by the names that they can be asked for."""

    def __init__(self, paths: Mapping[str, Sequence[str]]) -> None:
        """`paths` has the paths of each name; all of them are below top folders that hold nothing but the wheel."""
        self._paths = paths
        self._tops = tuple({f"/{path.split('/')[1]}/" for found in paths.values() for path in found})

    def covers(self, path: str) -> bool:
        """Whether a path leads into the wheel."""
        # `/$ORIGIN/lib` begins with two slashes once it is expanded, which the kernel reads as one.
        return path.startswith(self._tops) or (path.startswith("//") and f"/{path.lstrip('/')}".startswith(self._tops))

    def named(self, name: str) -> Sequence[str]:
        """The libraries that a needed name can mean; of a path the last part counts."""
        return self._paths.get(name.rpartition("/")[2], ())

    def instead_of(self, path: str, names: tuple[str, str | None]) -> Sequence[str]:
        """The libraries of the wheel that win over a file: they have the needed name, or the file's soname.

        None of them where the file is one of the wheel.
        """
        if self.covers(path):
            return ()
        needed, soname = names
        return self.named(needed) or self._paths.get(soname or "", ())


def by_nearness(paths: Sequence[str], asker: str) -> Sequence[str]:
    """Paths by how many folders they have in common with that of a file that asks, the most first."""
    return sorted(paths, key=lambda path: -len(commonpath((path, asker))))


def are_one_library(soname: str | None, other: str | None) -> bool:
    """Whether two files of one name can be one library: those that call themselves differently are two."""
    return soname is None or other is None or soname == other


def are_one_build(image: ElfImage, other: ElfImage) -> bool:
    """Whether two files are of one build, as far as their build ids tell."""
    ids = {build_id(image.notes), build_id(other.notes)}
    return None not in ids and len(ids) == 1


def own_names(files: Iterable[Located], libc: Libc | None) -> Mapping[str, Sequence[str]]:
    """The paths of a wheel's libraries by the names that they can be asked for: sonames and file names.

    Of several files with one name, those count whose file name and soname it is: they are found by that name, and
    are what is loaded. After these glibc asks for a soname, and musl, which reads no soname, for a file name.
    """
    both: dict[str, list[str]] = {}
    sonames: dict[str, list[str]] = {}
    file_names: dict[str, list[str]] = {}
    for path, image in files:
        if image.is_executable:
            continue
        file_name = path.rpartition("/")[2]
        if image.soname == file_name:
            both.setdefault(file_name, []).append(path)
        if image.soname:
            sonames.setdefault(image.soname, []).append(path)
        file_names.setdefault(file_name, []).append(path)
    if libc is Libc.MUSL:
        return {**sonames, **file_names, **both}
    return {**file_names, **sonames, **both}
