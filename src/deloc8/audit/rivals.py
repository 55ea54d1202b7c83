"""Copies of the wheel's libraries outside of it, which its files were led to by their search paths."""

from __future__ import annotations

from deloc8.elf.read.image import ElfImage
from deloc8.loader.own import are_one_build
from deloc8.values import dataclass

_PIECE = 1 << 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from deloc8.loader.lookup import Lookup
    from deloc8.loader.sysroot import Sysroot
    from deloc8.wheel.archive import WheelArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A copy of a library of the wheel, elsewhere and with other contents.

    Attributes:
        member: The wheel's library, which is used.
        path: The real path of the other copy.
        asker: The file that the other copy was found for, as the loader sees it.
        origin: What led to the other copy, such as ``RPATH``.
    """

    member: str
    path: str
    asker: str
    origin: str


def find_rivals(
    lookups: Iterable[tuple[str, Lookup]], members: Mapping[str, str], archive: WheelArchive, sysroot: Sysroot
) -> Iterator[Rival]:
    """The copies that were passed over and differ from the wheel's, each once.

    Args:
        lookups: What became of needed names, each with the path of the file that needs it.
        members: The members of the wheel by their paths.
        archive: The wheel.
        sysroot: Where the other copies are.

    Raises:
        InputError: A copy cannot be read.
        WheelError: A member is damaged.
    """
    seen = set()
    for asker, lookup in lookups:
        member = members[lookup.real_path or ""]
        for attempt in lookup.outside:
            other = sysroot.real_path(attempt.path) or attempt.path
            if (member, other) in seen:
                continue
            seen.add((member, other))
            if not _are_equal(member, lookup.image, other, (archive, sysroot)):
                stage = attempt.origin.stage.value
                yield Rival(member=member, path=other, asker=asker, origin=stage)


def _are_equal(member: str, image: ElfImage | None, path: str, places: tuple[WheelArchive, Sysroot]) -> bool:
    """Whether two files are one library: of one build, as their ids tell, or else equal byte for byte."""
    archive, sysroot = places
    other = sysroot.image(path)
    # What is copied into a wheel is often stripped, or has another search path: that leaves the id as it is.
    if isinstance(other, ElfImage) and image and are_one_build(image, other):
        return True
    ours, theirs = archive.read(archive.member(member)), sysroot.read(path)
    # Piece by piece: a large one is mapped, and a copy of it would be in memory.
    steps = range(0, len(ours), _PIECE)
    return len(ours) == len(theirs) and all(ours[at : at + _PIECE] == theirs[at : at + _PIECE] for at in steps)
