"""Facts about a wheel: its ELF files, what each requires, and what the loader would find.

No opinion is among them.
"""

from __future__ import annotations

from deloc8.audit.elffiles import (
    Dependency,
    ElfFile,
    WantedVersion,
    found_beforehand,
    merge_graph,
    names_of_libraries,
    wanted_versions,
)
from deloc8.audit.images import Reading, read_images
from deloc8.audit.kinds import choose_arch, choose_libc, describe_machine
from deloc8.audit.layout import VIRTUAL_ROOT, environment_of, install_path, links_for
from deloc8.elf.read.dynamic import Dynamic
from deloc8.elf.read.image import parse_defined
from deloc8.errors import InputError, WheelError
from deloc8.loader.hwcaps import find_variants, searched
from deloc8.loader.libc import libc_of
from deloc8.loader.lookup import Located
from deloc8.loader.resolve import Resolver
from deloc8.loader.sysroot import Overlay
from deloc8.loader.tokens import Tokens
from deloc8.policy.load import builtin_policies
from deloc8.policy.releases import PROJECTS
from deloc8.target import Libc
from deloc8.values import dataclass, field, replace
from deloc8.wheel.metadata import parse_wheel_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from deloc8.audit.borrowed import Borrowed
    from deloc8.audit.rivals import Rival
    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.folders import FolderTree
    from deloc8.loader.hwcaps import Variant
    from deloc8.loader.search import SearchOptions
    from deloc8.loader.sysroot import Sysroot
    from deloc8.policy.model import Policy
    from deloc8.target import Arch
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.names import WheelName

# The values of `elffiles` are this module's vocabulary: they are found here as well.
__all__ = [
    "REQUEST",
    "Dependency",
    "ElfFile",
    "ForeignFile",
    "WantedVersion",
    "WheelFacts",
    "found_beforehand",
    "gather",
    "merge_graph",
    "names_of_libraries",
    "wanted_versions",
]

# The libraries that the user asks for hang on a file that no wheel has, as if it needed them.
REQUEST = VIRTUAL_ROOT + "/--include"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """An ELF member that is left alone: it is for another machine or C library, or it is data.

    Attributes:
        member: Its name in the archive.
        reason: What it is for instead, or what is wrong with it.
        is_damaged: Whether it is left alone because it is damaged.
    """

    member: str
    reason: str
    is_damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """Facts about a wheel.

    Attributes:
        name: The file name, taken apart.
        metadata_tags: The tags of the WHEEL file.
        arch: The machine of its ELF files; None for a wheel without any.
        libc: Their C library; None for a wheel without ELF files.
        members: The paths of all members, as installed, without a folder for each.
        environment: The folders of an environment that has this wheel alone.
        tokens: The values of the tokens of search paths on the searched system, but `$ORIGIN`.
        own: The ELF files of the wheel, in the order of the archive.
        files: All ELF files by path: the wheel's own and those of the system that they bring in.
        dependencies: What each file names to be loaded, in the order of ld.so; under REQUEST
            what the user requests.
        foreign: ELF members that are left alone, such as those for another machine or C library.
        definitions: Of the names that some policy forbids to take from the system: those that a library of the wheel
            defines for files that require no version, by its path.
        variants: Those of the wheel's libraries that are for newer processors, by path.
        rivals: Copies of the wheel's libraries elsewhere, with other contents, which its files were led to.
        borrowed: Of each file by path: what it takes without a version from libraries of the system, and not every
            release of them has.
    """

    name: WheelName
    metadata_tags: tuple[str, ...]
    arch: Arch | None
    libc: Libc | None
    members: frozenset[str]
    environment: FolderTree
    tokens: Tokens
    own: tuple[ElfFile, ...]
    files: Mapping[str, ElfFile]
    dependencies: Mapping[str, tuple[Dependency, ...]]
    foreign: tuple[ForeignFile, ...]
    definitions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    rivals: tuple[Rival, ...] = ()
    borrowed: Mapping[str, tuple[Borrowed, ...]] = field(default_factory=dict)


def gather(
    archive: WheelArchive,
    sysroot: Sysroot,
    options: SearchOptions,
    *,
    include: tuple[str, ...] = (),
    reading: Reading = Reading(),  # noqa: B008  a frozen value
) -> WheelFacts:
    """The facts of a wheel.

    Args:
        archive: The wheel.
        sysroot: Where libraries outside the wheel are looked for.
        options: How they are looked for; their C library is replaced by that of the wheel.
        include: Libraries that the user wants in the wheel, by needed name or path, though nothing needs them.
        reading: How its members are read.

    Raises:
        WheelError: ELF files where none may be, or for machines that no policy knows.
        InputError: A library that the user wants was not found.
        ElfError: ELF members of the program are not sound; all of them are named.
    """
    images, alone = _read(archive, reading)
    _refuse_purelib(archive, images)
    links = links_for(archive.name)
    members = frozenset(install_path(member.name, archive.data_folder, links) for member in archive.members)
    environment = environment_of(members, links)
    arch = choose_arch(archive.name, images)
    libc = choose_libc(archive.name, images, arch, sysroot)
    own, foreign = _sort_out(archive, images, arch, libc, links)
    loaded = _Loaded(own=own, files={file.path: file for file in own}, dependencies={})
    files, dependencies = loaded.files, loaded.dependencies
    variants = find_variants([Located(file.path, file.image) for file in own], arch, libc)
    tokens = Tokens(origin="")
    if libc is not None:
        overlay = Overlay(sysroot, {file.path: file.image for file in own}, environment)
        names = names_of_libraries(own, libc, variants)
        resolver = Resolver(overlay, replace(options, libc=libc), names)
        tokens = resolver.tokens(own[0].path, own[0].image)
        loaded.add(resolver)
        # What is loaded on newer processors can be led on by whoever loads it.
        settled = dependencies.keys() - variants.keys()
        for level in sorted({variant.level for variant in variants.values() if not variant.is_old}):
            newer = replace(options, libc=libc, own_hwcaps=searched(level, arch) if arch else ())
            loaded.add(Resolver(overlay, newer, names), settled)
        if include:
            loaded.request(resolver, include)
    metadata = parse_wheel_metadata(bytes(archive.read(archive.member(f"{archive.dist_info}/WHEEL"))))
    return WheelFacts(
        name=archive.name,
        metadata_tags=metadata.tags,
        arch=arch,
        libc=libc,
        members=members,
        environment=environment,
        tokens=tokens,
        own=own,
        files=files,
        dependencies={path: tuple(rows.values()) for path, rows in dependencies.items()},
        foreign=(*foreign, *alone),
        definitions=_definitions(archive, own, dependencies, arch, libc),
        variants=variants,
        rivals=_rivals(archive, sysroot, own, dependencies),
        borrowed=_borrowed(archive, sysroot, files, dependencies) if libc is Libc.GLIBC else {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """All files that are loaded with the wheel's own ones, while they are found; see `WheelFacts`."""

    own: tuple[ElfFile, ...]
    files: dict[str, ElfFile]
    dependencies: dict[str, dict[str, Dependency]]

    def add(self, resolver: Resolver, settled: Collection[str] = ()) -> None:
        """Add what is loaded for each file of the wheel; of `settled` files all is known."""
        for file in self.own:
            graph = resolver.resolve(file.path, file.image)
            merge_graph(graph, self.files, self.dependencies, settled)

    def request(self, resolver: Resolver, include: tuple[str, ...]) -> None:
        """Add the libraries that the user wants; raise InputError where one was not found."""
        request = _request(self.own[0].image, include)
        self.files[REQUEST] = ElfFile(path=REQUEST, member="--include", image=request, wanted=())
        merge_graph(resolver.resolve(REQUEST, request), self.files, self.dependencies)
        _refuse_missing(self.dependencies[REQUEST].values())


def _read(archive: WheelArchive, reading: Reading) -> tuple[Mapping[str, ElfImage], tuple[ForeignFile, ...]]:
    """The images of the program's files, and the ELF members that are data; hardly any wheel has some."""
    images = read_images(archive, reading)
    is_usual = all(image.dynamic or image.interpreter for image in images.sound.values())
    if is_usual and not images.damaged:
        return images.sound, ()
    from deloc8.audit.left_alone import find_left_alone  # noqa: PLC0415

    firmware, damaged = find_left_alone(archive, images, describe_machine)
    alone = [ForeignFile(member=member, reason=reason) for member, reason in firmware.items()]
    alone += [ForeignFile(member=member, reason=reason, is_damaged=True) for member, reason in damaged.items()]
    program = {member: image for member, image in images.sound.items() if member not in firmware}
    return program, tuple(alone)


def _rivals(
    archive: WheelArchive,
    sysroot: Sysroot,
    own: Sequence[ElfFile],
    dependencies: Mapping[str, Mapping[str, Dependency]],
) -> tuple[Rival, ...]:
    """See `WheelFacts.rivals`; hardly any wheel has some."""
    members = {file.path: file.label for file in own}
    found = []
    for path, rows in dependencies.items():
        for row in rows.values():
            if row.target in members and row.lookup.outside:
                found.append((path, row.lookup))  # noqa: PERF401  a comprehension would be nested
    if not found:
        return ()
    from deloc8.audit.rivals import find_rivals  # noqa: PLC0415

    return tuple(find_rivals(found, members, archive, sysroot))


def _borrowed(
    archive: WheelArchive,
    sysroot: Sysroot,
    files: Mapping[str, ElfFile],
    dependencies: Mapping[str, Mapping[str, Dependency]],
) -> Mapping[str, tuple[Borrowed, ...]]:
    """See `WheelFacts.borrowed`; hardly any wheel needs libraries without versions."""
    if all(PROJECTS.keys().isdisjoint(rows) for rows in dependencies.values()):
        return {}
    from deloc8.audit.borrowed import Loading, find_borrowed  # noqa: PLC0415

    return find_borrowed(archive, sysroot, Loading(files=files, dependencies=dependencies, request=REQUEST))


def _definitions(
    archive: WheelArchive,
    own: Sequence[ElfFile],
    dependencies: Mapping[str, Mapping[str, Dependency]],
    arch: Arch | None,
    libc: Libc | None,
) -> Mapping[str, frozenset[str]]:
    """See `WheelFacts.definitions`; hardly any file asks for one of those names without a version."""
    if arch is None or libc is None:
        return {}
    forbidden = _forbidden_names(builtin_policies(arch, libc))
    members = {file.path: file.member for file in own}
    found: dict[str, frozenset[str]] = {}
    for file in own:
        names = [name for name, version, _, _ in file.image.undefined if version is None]
        if forbidden.isdisjoint(names):
            continue
        for row in dependencies.get(file.path, {}).values():
            member = members.get(row.target or "")
            if member and row.target and row.target not in found:
                symbols = parse_defined(archive.read(archive.member(member)), member)
                found[row.target] = frozenset(symbol.name for symbol in symbols) & forbidden
    return found


def _forbidden_names(policies: Iterable[Policy]) -> frozenset[str]:
    """The symbols that at least one of some policies forbids, of whatever library."""
    names: set[str] = set()
    for policy in policies:
        names.update(*policy.forbidden_symbols.values())
    return frozenset(names)


def _request(image: ElfImage, include: tuple[str, ...]) -> ElfImage:
    """An image for the wheel's machine that needs some libraries and nothing else."""
    return replace(
        image,
        interpreter=None,
        dynamic=Dynamic(needed=include),
        version_needs=(),
        defined_versions=(),
        undefined=(),
        notes=(),
    )


def _refuse_missing(requested: Iterable[Dependency]) -> None:
    missing = [dependency for dependency in requested if dependency.target is None]
    if missing:
        tried = [
            f"{row.name}: {attempt.path}: {attempt.result.value}" for row in missing for attempt in row.lookup.tried
        ]
        raise InputError(
            f"{', '.join(row.name for row in missing)} was not found",
            code="include-not-found",
            context=tried or ("no folder was searched",),
            hints=("give the path of the library, or name its folder with --add-path",),
        )


def _refuse_purelib(archive: WheelArchive, images: Mapping[str, ElfImage]) -> None:
    misplaced = [name for name in images if name.startswith(f"{archive.data_folder}/purelib/")]
    if misplaced:
        raise WheelError(
            f"{archive.name.filename}: compiled files stand in purelib, where only pure Python may be",
            code="elf-in-purelib",
            context=misplaced,
            hints=(
                "the build must place them in platlib: with setuptools, by an extension module or `has_ext_modules`",
            ),
        )


def _sort_out(
    archive: WheelArchive,
    images: Mapping[str, ElfImage],
    arch: Arch | None,
    libc: Libc | None,
    links: Mapping[str, str],
) -> tuple[tuple[ElfFile, ...], tuple[ForeignFile, ...]]:
    own, foreign = [], []
    for member, image in images.items():
        shown = libc_of(image, member)
        if image.arch is not arch:
            machine = image.arch.value if image.arch else describe_machine(image)
            foreign.append(ForeignFile(member=member, reason=f"is for {machine}"))
        elif shown is not None and shown is not libc:
            foreign.append(ForeignFile(member=member, reason=f"was linked against {shown.value}"))
        else:
            path = install_path(member, archive.data_folder, links)
            own.append(ElfFile(path=path, member=member, image=image, wanted=wanted_versions(image)))
    return tuple(own), tuple(foreign)
