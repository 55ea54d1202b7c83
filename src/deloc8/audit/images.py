"""The ELF files of a wheel, read by several threads in bounded memory."""

from __future__ import annotations

from types import MappingProxyType

from deloc8.elf.constants import ELF_MAGIC, ET_DYN, ET_EXEC
from deloc8.elf.image import parse
from deloc8.elf.mentions import mentioned_libraries, opens_libraries
from deloc8.errors import ElfError
from deloc8.values import dataclass, field, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from deloc8.elf.image import ElfImage
    from deloc8.elf.view import Buffer
    from deloc8.wheel.archive import Member, WheelArchive

    Look = Callable[[Member, Buffer], None]

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


def read_images(archive: WheelArchive, reading: Reading) -> Mapping[str, ElfImage]:
    """The images of all ELF members that a loader could load, by member name.

    Raises:
        ElfError: Some are not sound; all of them are named.
    """
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

    def read(member: Member) -> ElfImage | ElfError:
        if member.name in reading.known:
            return reading.known[member.name]
        try:
            data = archive.read(member)
            image = parse(data, member.name)
            if reading.look is not None:
                reading.look(member, data)
            if reading.mentions and opens_libraries(image):
                # Now, while the contents are at hand: to unpack them again would cost far more.
                return replace(image, mentions=mentioned_libraries(data, image))
        except ElfError as error:
            return error
        return image

    results = _map(read, candidates, reading.threads)
    errors = [result for result in results if isinstance(result, ElfError)]
    if errors:
        raise _all_errors(errors)
    return {
        member.name: image
        for member, image in zip(candidates, results, strict=True)
        if not isinstance(image, ElfError) and image.type in {ET_DYN, ET_EXEC}
    }


def _map(
    read: Callable[[Member], ElfImage | ElfError], members: Sequence[Member], threads: int
) -> Sequence[ElfImage | ElfError]:
    if sum(member.size for member in members) <= _LITTLE:
        return [read(member) for member in members]
    from deloc8.audit.readers import read_members  # noqa: PLC0415  which small wheels need not pay

    return read_members(read, members, threads)


def _all_errors(errors: Sequence[ElfError]) -> ElfError:
    first = errors[0]
    if len(errors) == 1:
        return first
    lines = [line for error in errors for line in (f"{error.message}:", *(f"  {text}" for text in error.context))]
    message = f"{len(errors)} ELF files of the wheel are not sound"
    return ElfError(message, code=first.code, context=lines, hints=first.hints)
