"""The dependency trees of a wheel, an ELF file or a folder: what the loader would take, and what it would try."""

from __future__ import annotations

import os
from pathlib import Path

from deloc8.audit.facts import Dependency, ElfFile, merge_graph
from deloc8.elf.constants import ELF_MAGIC
from deloc8.elf.read.image import parse
from deloc8.errors import InputError
from deloc8.faults import refuse_fault
from deloc8.files import read_file
from deloc8.loader.libc import libc_of
from deloc8.loader.resolve import Resolver
from deloc8.loader.sysroot import Overlay, Sysroot
from deloc8.target import Libc
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deloc8.audit.facts import WheelFacts
    from deloc8.loader.search import SearchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Some ELF files and all that they load.

    Attributes:
        name: What was looked at.
        roots: The paths of the files it consists of, as the loader sees them.
        files: All files by path: the roots and what they bring in.
        dependencies: The libraries that each file names to be loaded, in the order of ld.so.
    """

    name: str
    roots: tuple[str, ...]
    files: Mapping[str, ElfFile]
    dependencies: Mapping[str, tuple[Dependency, ...]]

    @property
    def missing(self) -> tuple[Dependency, ...]:
        """The libraries that were not found, without those that the loader can do without."""
        rows = [row for rows in self.dependencies.values() for row in rows]
        return tuple(row for row in rows if row.target is None and not row.kind.is_optional)


def forest_of_wheel(facts: WheelFacts) -> Forest:
    """The trees of a wheel's own ELF files."""
    return Forest(
        name=facts.name.filename,
        roots=tuple(file.path for file in facts.own),
        files=facts.files,
        dependencies=facts.dependencies,
    )


def forest_of_files(path: Path, root: Path, options: SearchOptions, output: tuple[int, int] | None = None) -> Forest:
    """The trees of one ELF file of this machine, or of all below a folder.

    Args:
        path: The file or the folder.
        root: The system whose libraries they load.
        options: How these are looked for; the C library is that of each file.
        output: Device and inode of a file that will be written to: to read it is an error.

    Raises:
        InputError: There is no such file, it cannot be read, or no ELF file is among what was given.
        ElfError: An ELF file is not sound.
    """
    sysroot = Sysroot(root, output)
    files: dict[str, ElfFile] = {}
    dependencies: dict[str, dict[str, Dependency]] = {}
    machine = Sysroot("/", output)
    images = {}
    for place in _elf_files(path):
        with machine.look(str(place.absolute())) as data:
            images[place] = parse(data, str(place))
    seen = {place: _seen_from(root.resolve(), place) for place in images}
    # A file that is not below the root is laid over it, so that its neighbours find it.
    view = Overlay(sysroot, {seen[place]: image for place, image in images.items()})
    for place, image in images.items():
        files[seen[place]] = ElfFile(path=seen[place], member=str(place), image=image, wanted=())
    for place, image in images.items():
        libc = libc_of(image, place.name) or Libc.GLIBC
        graph = Resolver(view, replace(options, libc=libc)).resolve(seen[place], image)
        merge_graph(graph, files, dependencies)
    if not images:
        raise InputError(
            f"`{path}` is no wheel, no ELF file, and no folder with ELF files",
            code="nothing-to-show",
            hints=("give a wheel (its name ends in .whl), a library, a program or a folder",),
        )
    rows = {key: tuple(found.values()) for key, found in dependencies.items()}
    return Forest(name=str(path), roots=tuple(seen.values()), files=files, dependencies=rows)


def _seen_from(root: Path, place: Path) -> str:
    """A file's real path as it is seen inside a root; its path on this machine where it does not stand below it."""
    real = place.resolve()
    return str(Path("/") / real.relative_to(root)) if real.is_relative_to(root) else str(real)


def _elf_files(path: Path) -> Iterator[Path]:
    try:
        if not path.is_dir():
            if _is_elf(path):
                yield path
            return
        for folder, folders, names in os.walk(path, onerror=lambda error: refuse_fault(error, error.filename or path)):
            folders.sort()
            for name in sorted(names):
                place = Path(folder, name)
                if place.is_file() and not place.is_symlink() and _is_elf(place):
                    yield place
    except OSError as error:
        refuse_fault(error, error.filename or path)
        raise InputError(
            f"`{error.filename or path}` cannot be read",
            code="unreadable-file",
            context=(error.strerror or str(error),),
            hints=("give the path of something that exists and may be read",),
        ) from error


def _is_elf(path: Path) -> bool:
    return read_file(path, len(ELF_MAGIC)).startswith(ELF_MAGIC)
