"""ELF files in and around a wheel, and what the loader takes for each needed name."""

from __future__ import annotations

from deloc8.elf.read.dynamic import LinkKind
from deloc8.loader.own import own_names
from deloc8.loader.search import Located, Stage
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.hwcaps import Variant
    from deloc8.loader.resolve import LoadGraph
    from deloc8.loader.search import Lookup
    from deloc8.target import Libc


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVersion:
    """One symbol version that a file asks of a library.

    Attributes:
        library: The needed name it is asked of, such as ``libc.so.6``.
        version: Such as ``GLIBC_2.17``.
        symbols: The names bound to it; empty for a marker such as ``GLIBC_ABI_DT_RELR``.
    """

    library: str
    version: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFile:
    """One ELF file of the wheel, or one that it brings in from the system.

    Attributes:
        path: Where the loader sees it: the real path of a system file, a path below VIRTUAL_ROOT for a member.
        member: Its name in the archive; None for a file of the system.
        image: What the file says of itself.
        wanted: The versions it asks for, each with its symbols.
    """

    path: str
    member: str | None
    image: ElfImage
    wanted: tuple[WantedVersion, ...]

    @property
    def label(self) -> str:
        """How reports call the file."""
        return self.member or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A library that a file names to be loaded, and what became of it.

    Attributes:
        name: The needed name; also that of DT_FILTER, DT_AUXILIARY, DT_AUDIT or DT_DEPAUDIT.
        target: The path of the file that the loader takes, a key of `WheelFacts.files`; None where there is none.
        lookup: What was tried.
        kind: Which entry names it; of several the one that binds most.
    """

    name: str
    target: str | None
    lookup: Lookup
    kind: LinkKind = LinkKind.NEEDED


def wanted_versions(image: ElfImage) -> tuple[WantedVersion, ...]:
    """The versions that a file asks for, in its order, each with the symbols bound to it."""
    bound: dict[tuple[str, str], list[str]] = {}
    for symbol in (*image.undefined, *image.copied):
        if symbol.version is not None and symbol.file is not None:
            bound.setdefault((symbol.file, symbol.version), []).append(symbol.name)
    return tuple(
        WantedVersion(library=need.file, version=version.name, symbols=tuple(bound.get((need.file, version.name), ())))
        for need in image.version_needs
        for version in need.versions
    )


def names_of_libraries(
    own: Sequence[ElfFile], libc: Libc | None, variants: Mapping[str, Variant]
) -> Mapping[str, Sequence[str]]:
    """The paths of the wheel's libraries by the names that they can be asked for.

    Those for newer processors are not among them: they are found only where a search finds the others.
    """
    return own_names([Located(file.path, file.image) for file in own if file.path not in variants], libc)


def merge_graph(
    graph: LoadGraph,
    files: dict[str, ElfFile],
    dependencies: dict[str, dict[str, Dependency]],
    settled: Container[str] = (),
) -> None:
    """Add what one load graph found; of two answers for one name the better one stays.

    A library of the wheel is asked about twice: alone, and as the extension module loads it, by whose RPATH it may
    find more. The latter is how it is used. Of files that are settled nothing is added.
    """
    keys = {}
    for loaded in graph.objects:
        key = loaded.path if loaded.path in files else loaded.real_path
        keys[loaded.path] = key
        if key not in files:
            files[key] = ElfFile(path=key, member=None, image=loaded.image, wanted=wanted_versions(loaded.image))
    for edge in graph.edges:
        target = keys[edge.target] if edge.target is not None else None
        if keys[edge.parent] in settled:
            continue
        rows = dependencies.setdefault(keys[edge.parent], {})
        known = rows.get(edge.name)
        if known is not None and known.lookup is edge.lookup and known.target == target and known.kind is edge.kind:
            continue  # nearly every graph holds the same libraries of the system, which find each other alike
        dependency = Dependency(name=edge.name, target=target, lookup=edge.lookup, kind=edge.kind)
        rows[edge.name] = dependency if known is None else _better(known, dependency)


def _better(known: Dependency, other: Dependency) -> Dependency:
    """The better of two answers for one name, with the kind that binds most."""
    kind = next(kind for kind in LinkKind if kind in {known.kind, other.kind})
    return replace(other if _rank(known) < _rank(other) else known, kind=kind)


def _rank(dependency: Dependency) -> int:
    if dependency.target is None:
        return 0
    return 1 if found_beforehand(dependency) else 2


def found_beforehand(dependency: Dependency) -> bool:
    """Whether a library of the wheel is found only if the package loads it first: no search folder leads to it."""
    return dependency.lookup.origin is not None and dependency.lookup.origin.stage is Stage.OWN
