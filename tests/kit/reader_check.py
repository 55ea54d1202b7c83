"""Compares deloc8's reader with pyelftools on one file; a module of its own, because worker processes import it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deloc8.elf.read.image import ElfImage, parse, parse_defined
from kit.pyelf import Peer, peer_of, without_sections


class Comparison(NamedTuple):
    """What came of one file: the fields that differ, and how much was compared."""

    path: str
    differences: tuple[str, ...]
    dynamic: bool
    undefined: int
    defined: int


def read_ours(image: ElfImage, data: bytes) -> Peer:
    """The reader's values in the shape of pyelftools' ones."""
    dynamic = image.dynamic
    return Peer(
        needed=image.needed,
        soname=image.soname,
        rpath=dynamic.rpath if dynamic else None,
        runpath=dynamic.runpath if dynamic else None,
        needs=tuple((n.file, tuple((v.name, v.index, v.weak) for v in n.versions)) for n in image.version_needs),
        definitions=tuple((d.name, d.index, d.base, d.parents) for d in image.defined_versions),
        undefined=tuple((s.name, s.version, s.file, s.weak) for s in image.undefined),
        defined=tuple((s.name, s.version, s.binding, s.default) for s in parse_defined(data, "file")),
    )


def compare(path: str) -> Comparison:
    """The fields in which a file differs from pyelftools, or from itself once its section headers are gone."""
    data = Path(path).read_bytes()
    image = parse(data, path)
    found = read_ours(image, data)
    peer = peer_of(data)
    differences = [field for field in Peer._fields if getattr(found, field) != getattr(peer, field)]
    bare = without_sections(data)
    bare_found = read_ours(parse(bare, path), bare)
    differences += [f"{f} without sections" for f in Peer._fields if getattr(found, f) != getattr(bare_found, f)]
    dynamic = image.dynamic is not None
    return Comparison(path, tuple(differences), dynamic, len(found.undefined), len(found.defined))
