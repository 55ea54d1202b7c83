"""A small system in a folder, for a simulated loader to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deloc8.elf.read.image import ElfImage, parse
from deloc8.loader.resolve import LoadGraph, resolve
from deloc8.loader.search import Lookup, SearchOptions
from deloc8.loader.sysroot import Sysroot
from kit.elf import ElfSpec, build_elf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def image_of(spec: ElfSpec) -> ElfImage:
    """The image of a synthetic ELF file."""
    return parse(build_elf(spec), "synthetic")


class System:
    """Files, symlinks and libraries below a folder that stands for `/`."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def write(self, path: str, content: str | bytes = "") -> str:
        """A file; the folders above it are made."""
        place = self.top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def library(self, path: str, spec: ElfSpec | None = None) -> str:
        """An ELF file."""
        return self.write(path, build_elf(spec or ElfSpec()))

    def symlink(self, path: str, target: str) -> str:
        """A symlink; the folders above it are made."""
        place = self.top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return path

    @property
    def sysroot(self) -> Sysroot:
        """A fresh look at it."""
        return Sysroot(self.top)

    def resolve(
        self, spec: ElfSpec, options: SearchOptions | None = None, own: Mapping[str, Sequence[str]] | None = None
    ) -> LoadGraph:
        """What is loaded for a file that stands at /app/root.so."""
        return resolve("/app/root.so", image_of(spec), self.sysroot, options or SearchOptions(), own)

    def lookup(
        self, spec: ElfSpec, options: SearchOptions | None = None, own: Mapping[str, Sequence[str]] | None = None
    ) -> Lookup:
        """What becomes of the one name that /app/root.so needs."""
        (edge,) = self.resolve(spec, options, own).edges
        return edge.lookup
