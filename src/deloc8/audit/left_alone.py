"""ELF members that are no part of the program: firmware and damaged files that a package carries as data."""

from __future__ import annotations

import posixpath

from deloc8.elf import constants as c
from deloc8.errors import ElfError
from deloc8.patterns import pattern
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from deloc8.audit.facts import ForeignFile
    from deloc8.audit.images import Damaged, Images
    from deloc8.elf.read.image import ElfImage
    from deloc8.wheel.archive import WheelArchive

# The suffixes of extension modules that name an interpreter or an ABI: nobody gives them to data.
TAGGED = pattern(r".+\.(cpython-[0-9]+[a-z]*|abi3t?|pypy[0-9]+[^.]*|graalpy[^.]*)(-[^.]+)?\.so")
# Segments that a program without an operating system does not have.
_HOSTED = frozenset({c.PT_INTERP, c.PT_DYNAMIC, c.PT_TLS, c.PT_GNU_RELRO})
_NT_GNU_ABI_TAG = 1


class LeftAlone(NamedTuple):
    """ELF members that are data, and why each counts as such.

    Attributes:
        firmware: Programs for no operating system, by member, each with what it is.
        damaged: Files that no loader takes, by member, each with what is wrong.
    """

    firmware: Mapping[str, str]
    damaged: Mapping[str, str]


def find_left_alone(archive: WheelArchive, images: Images, describe: Callable[[ElfImage], str]) -> LeftAlone:
    """The ELF members of a wheel that are left alone; `describe` names the machine of a file.

    Raises:
        ElfError: Files are damaged that are part of the program; all of them are named.
    """
    is_any = archive.name.platforms == ("any",)
    firmware = _find_firmware(images, describe, is_any=is_any)
    has_program = is_any or len(images.sound) > len(firmware)
    needed = {posixpath.basename(name) for image in images.sound.values() for name in image.needed}
    errors = []
    for member, found in images.damaged.items():
        is_needed = posixpath.basename(member) in needed
        if is_needed or not has_program or _is_part_of_program(member, found, archive):
            errors.append(found.error)
    if errors:
        raise _all_errors(errors)
    damaged = {member: "; ".join(found.error.context) for member, found in images.damaged.items()}
    return LeftAlone(firmware, damaged)


def _find_firmware(images: Images, describe: Callable[[ElfImage], str], *, is_any: bool) -> dict[str, str]:
    bare = [member for member, image in images.sound.items() if not _is_hosted(image)]
    if not is_any:
        # One for a known machine has its tag, and the only programs of a wheel for a machine are no data.
        bare = [member for member in bare if images.sound[member].arch is None]
        if len(bare) == len(images.sound):
            return {}
    what = "is a program without an operating system, for"
    return {member: f"{what} {describe(images.sound[member])}" for member in bare}


def _is_part_of_program(member: str, found: Damaged, archive: WheelArchive) -> bool:
    return found.would_load or found.names_module or _is_module(member, archive)


def refuse_opened(alone: Iterable[ForeignFile], names: Iterable[str]) -> None:
    """Raise ElfError where a damaged file has the name of one that is opened at run time."""
    opened = {posixpath.basename(name) for name in names}
    for file in alone:
        if file.is_damaged and posixpath.basename(file.member) in opened:
            raise ElfError(
                f"`{file.member}` is not a sound ELF file, and it is opened at run time",
                code="bad-elf",
                context=(file.reason,),
                hints=("the file may be cut short or damaged: build or download it again",),
            )


def _is_hosted(image: ElfImage) -> bool:
    """Whether a file shows that an operating system starts or loads it."""
    if any(segment.type in _HOSTED for segment in image.segments):
        return True
    return any(note.owner == "Go" or (note.owner == "GNU" and note.type == _NT_GNU_ABI_TAG) for note in image.notes)


def _is_module(member: str, archive: WheelArchive) -> bool:
    """Whether Python would import a file: by its suffix, or as a plain one at the top or beside Python files."""
    folder, _, name = member.rpartition("/")
    if TAGGED.fullmatch(name):
        return True
    if not name.endswith(".so"):
        return False
    return not folder or any(
        other.name.endswith(".py") and other.name.rpartition("/")[0] == folder for other in archive.members
    )


def _all_errors(errors: Sequence[ElfError]) -> ElfError:
    first = errors[0]
    if len(errors) == 1:
        return first
    lines = [line for error in errors for line in (f"{error.message}:", *(f"  {text}" for text in error.context))]
    message = f"{len(errors)} ELF files of the wheel are not sound"
    return ElfError(message, code=first.code, context=lines, hints=first.hints)
