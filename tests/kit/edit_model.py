"""What edits of an ELF file mean, on lists and plain objects: what the editor's bytes are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindToZero,
    BindVersion,
    DropVersion,
    RemoveNeeded,
    RemoveRpath,
    ReplaceAudit,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
    UnpackRelocations,
)
from deloc8.elf.read.dynamic import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.image import ElfImage

MARKER = "GLIBC_ABI_DT_RELR"


class ImpossibleError(Exception):
    """An edit of the list cannot be done."""


@dataclass(eq=False)
class File:
    """A file of which versions are needed."""

    name: str
    versions: list[Version] = field(default_factory=list)


@dataclass(eq=False)
class Version:
    """A version of a file; `was_left` once a symbol that asked for it does so no more."""

    name: str
    file: File
    was_left: bool = False


@dataclass(eq=False)
class Symbol:
    """An undefined symbol."""

    name: str
    weak: bool
    version: Version | None
    is_zero: bool = False


class Model:
    """The names of a file, its undefined symbols and the versions that it needs."""

    def __init__(self, image: ElfImage, *, has_packed: bool) -> None:
        assert image.dynamic is not None
        self.needed, self.soname = list(image.needed), image.soname
        self.filters = list(image.dynamic.filters)
        self.audits = list(image.dynamic.audits)
        self.paths = {RpathKind.RPATH: image.dynamic.rpath, RpathKind.RUNPATH: image.dynamic.runpath}
        self.files: list[File] = []
        for need in image.version_needs:
            file = File(need.file)
            file.versions = [Version(version.name, file) for version in need.versions]
            self.files.append(file)
        self.symbols = [
            Symbol(
                symbol.name,
                symbol.weak,
                next((v for v in self.versions() if (v.name, v.file.name) == (symbol.version, symbol.file)), None),
            )
            for symbol in image.undefined
        ]
        # The relocations of the 31-bit System/390 are not known to the editor.
        self.knows_relocations = (image.machine, image.bits) != (22, 32)
        self.has_packed = has_packed
        self.is_unpacked = False

    def versions(self) -> list[Version]:
        return [version for file in self.files for version in file.versions]

    def apply(self, edits: Sequence[Edit]) -> None:
        """Do the edits, one after the other."""
        for step in edits:
            if isinstance(step, BindVersion | DropVersion | BindToZero | UnpackRelocations):
                self._rebind(step)
            else:
                self._change_names(step)
        self._settle()

    def _change_names(self, step: Edit) -> None:
        match step:
            case SetSoname():
                self.soname = step.soname
            case ReplaceNeeded():
                self._replace(step.old, step.new)
            case ReplaceAudit():
                self._replace_audit(step.old, step.new)
            case AddNeeded():
                rest = [name for name in self.needed if name != step.name]
                if step.first and self.needed[:1] != [step.name]:
                    self.needed = [step.name, *rest]
                elif step.name not in self.needed:
                    self.needed.append(step.name)
            case RemoveNeeded():
                self._remove(step.name)
            case SetRpath():
                self.paths = {kind: step.path if kind is step.kind else None for kind in RpathKind}
            case RemoveRpath():
                self.paths = dict.fromkeys(RpathKind)
            case _:
                pass

    def _replace(self, old: str, new: str) -> None:
        if not {old, new} & {*self.needed, *(name for _, name in self.filters)}:
            raise ImpossibleError
        self.filters = [Link(kind, new if name == old else name) for kind, name in self.filters]
        self.needed = [new if name == old else name for name in self.needed]
        for file in self.files:
            file.name = new if file.name == old else file.name

    def _replace_audit(self, old: str, new: str) -> None:
        if not {old, new} & {name for _, name in self.audits}:
            raise ImpossibleError
        renamed = [Link(kind, new if name == old else name) for kind, name in self.audits]
        # The name of a library that has colons becomes several.
        self.audits = [Link(kind, part) for kind, name in renamed for part in name.split(":") if part]

    def _remove(self, library: str) -> None:
        if any(symbol.version and symbol.version.file.name == library for symbol in self.symbols):
            raise ImpossibleError
        self.needed = [name for name in self.needed if name != library]
        self.filters = [link for link in self.filters if link.name != library]
        self.files = [file for file in self.files if file.name != library]

    def _rebind(self, step: BindVersion | DropVersion | BindToZero | UnpackRelocations) -> None:
        if isinstance(step, UnpackRelocations):
            if self.has_packed and not self.knows_relocations:
                raise ImpossibleError
            self.is_unpacked = self.has_packed
            for file in self.files:
                file.versions = [version for version in file.versions if version.name != MARKER]
            return
        name = (step.name if not isinstance(step, BindToZero) else None) or step.symbol
        meant = [s for s in self.symbols if s.version and (s.name, s.version.name) == (step.symbol, step.old)]
        wanted = (step.version, step.library) if isinstance(step, BindVersion) else (None, None)
        if not meant and not any((s.name, *self.asked(s)) == (name, *wanted) for s in self.symbols):
            raise ImpossibleError
        if isinstance(step, BindToZero) and not self.knows_relocations:
            raise ImpossibleError
        for symbol in meant:
            assert symbol.version is not None
            symbol.version.was_left = True
            symbol.name = name
            symbol.version = self._version(step.version, step.library) if isinstance(step, BindVersion) else None
            if isinstance(step, BindToZero):
                symbol.weak = symbol.is_zero = True
        if isinstance(step, BindVersion) and step.library not in self.needed:
            self.needed.append(step.library)

    def _version(self, name: str, library: str) -> Version:
        for version in self.versions():
            if (version.name, version.file.name) == (name, library):
                return version
        file = next((file for file in self.files if file.name == library), None)
        if file is None:
            file = File(library)
            self.files.append(file)
        file.versions.append(Version(name, file))
        return file.versions[-1]

    def _settle(self) -> None:
        used = {symbol.version for symbol in self.symbols}
        for file in self.files:
            file.versions = [v for v in file.versions if v in used or not v.was_left]
        self.files = [file for file in self.files if file.versions]

    def asked(self, symbol: Symbol) -> tuple[str | None, str | None]:
        """The version and the file that a symbol asks for."""
        return (symbol.version.name, symbol.version.file.name) if symbol.version else (None, None)
