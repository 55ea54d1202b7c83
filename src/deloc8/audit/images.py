"""The ELF files of a wheel, read by several threads in bounded memory."""

from __future__ import annotations

from types import MappingProxyType

from deloc8.audit.amounts import Amounts
from deloc8.dlopen.mentions import mentioned_libraries, opens_libraries
from deloc8.elf.constants import ELF_MAGIC, ET_DYN, ET_EXEC
from deloc8.elf.read.image import parse_counted
from deloc8.elf.read.view import would_load
from deloc8.errors import ElfError
from deloc8.values import dataclass, field, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.view import Buffer
    from deloc8.wheel.archive import Member, WheelArchive

    Look = Callable[[Member, Buffer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """An ELF member that is not sound.

    Attributes:
        error: What is wrong with it.
        would_load: Whether a loader would take it all the same.
        names_module: Whether it has the name of the function by which Python starts a module of its file name.
    """

    error: ElfError
    would_load: bool
    names_module: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Images that were read.

    Attributes:
        sound: The images of all ELF members that a loader could load, by member name.
        damaged: Those that are not sound, by member name.
    """

    sound: Mapping[str, ElfImage]
    damaged: Mapping[str, Damaged]


# No ELF file is shorter than its file header.
_SMALLEST_ELF = 52
_LITTLE = 32 << 20  # bytes of members in all, up to which threads would cost more time than they save; none is large


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How members are read.

    Attributes:
        threads: How many are inflated at a time.
        mentions: Whether names of libraries are looked for in those that open libraries.
        look: Is called with the contents of each ELF member, perhaps from another thread, so that nobody who wants
            them has to inflate them again.
        known: Images of members that need not be read, by name.
        others: Names of members that are known to be no ELF files.
    """

    threads: int = 1
    mentions: bool = False
    look: Look | None = None
    known: Mapping[str, ElfImage] = field(default_factory=lambda: MappingProxyType({}))
    others: frozenset[str] = frozenset()


def read_images(archive: WheelArchive, reading: Reading) -> Images:
    """The images of all ELF members that a loader could load, and those that are damaged."""
    candidates = [
        member
        for member in archive.members
        if member.name in reading.known
        or (
            member.size >= _SMALLEST_ELF
            and member.name not in reading.others
            and archive.peek(member, len(ELF_MAGIC)) == ELF_MAGIC
        )
    ]

    amounts = Amounts(archive.name.filename)
    amounts.begin(len(candidates))

    def read(member: Member) -> ElfImage | Damaged:
        if member.name in reading.known:
            return reading.known[member.name]
        amounts.check()
        data = archive.read(member)
        try:
            image, names = parse_counted(data, member.name)
            amounts.add(image, names)
            if reading.look is not None:
                reading.look(member, data)
            if reading.mentions and opens_libraries(image):
                # Now, while the contents are at hand: to unpack them again would cost far more.
                return replace(image, mentions=mentioned_libraries(data, image))
        except ElfError as error:
            return _damaged(member, data, error)
        return image

    results = _map(read, candidates, reading.threads)
    sound: dict[str, ElfImage] = {}
    damaged: dict[str, Damaged] = {}
    for member, result in zip(candidates, results, strict=True):
        if isinstance(result, Damaged):
            damaged[member.name] = result
        elif result.type in {ET_DYN, ET_EXEC}:
            sound[member.name] = result
    return Images(sound=sound, damaged=damaged)


def _damaged(member: Member, data: Buffer, error: ElfError) -> Damaged:
    stem = member.name.rpartition("/")[2].partition(".")[0]
    return Damaged(
        error=error,
        would_load=would_load(data, member.name),
        names_module=_contains(data, f"PyInit_{stem}".encode()),
    )


def _contains(data: Buffer, text: bytes) -> bool:
    searched = bytes(data) if isinstance(data, memoryview) else data
    return searched.find(text) >= 0


def _map(
    read: Callable[[Member], ElfImage | Damaged], members: Sequence[Member], threads: int
) -> Sequence[ElfImage | Damaged]:
    if sum(member.size for member in members) <= _LITTLE:
        return [read(member) for member in members]
    from deloc8.audit.readers import read_members  # noqa: PLC0415  which small wheels need not pay

    return read_members(read, members, threads)
