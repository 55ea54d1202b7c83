"""How much the ELF files of a wheel may say: what is kept of them while the wheel is judged follows from it."""

from __future__ import annotations

from _thread import allocate_lock

from deloc8.errors import WheelError
from deloc8.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.image import ElfImage

_FILES = "ELF files"
_UNDEFINED = "symbols that its ELF files ask for"
_NEEDED = "names of libraries that its ELF files need"
_HEADERS = "program and section headers of its ELF files"
_VERSIONS = "symbol versions of its ELF files"
_NOTES = "notes of its ELF files"
_TEXT = "bytes of names and notes of its ELF files"

# Two to ten times what the largest published wheels have that we know of (docs/reliability.md).
LIMITS = {
    _FILES: 10_000,
    _UNDEFINED: 250_000,
    _NEEDED: 20_000,
    _HEADERS: 200_000,
    _VERSIONS: 50_000,
    _NOTES: 50_000,
    _TEXT: 32 << 20,
}
MOST_VIOLATIONS = 600_000
"""Violations of all policies together."""


class Amounts:
    """Totals of what the ELF files of one wheel have so far; several threads may add to them."""

    def __init__(self, wheel: str) -> None:
        """`wheel` is the name of its file."""
        self._wheel = wheel
        self._lock = allocate_lock()
        self._total = dict.fromkeys(LIMITS, 0)

    def begin(self, files: int) -> None:
        """Count the ELF files, before any of them is read.

        Raises:
            WheelError: Code ``too-many-symbols``: there are too many.
        """
        self._total[_FILES] = files
        self.check()

    def add(self, image: ElfImage, names: int) -> None:
        """Count what a file says.

        Args:
            image: The file.
            names: The bytes of the names that were read for it.

        Raises:
            WheelError: Code ``too-many-symbols``: it is too much, with that of the others.
        """
        amounts = _amounts_of(image, names)
        with self._lock:
            for what, amount in amounts.items():
                self._total[what] += amount
        self.check()

    def check(self) -> None:
        """Raise WheelError where it is too much: nothing more shall be read then."""
        for what, limit in LIMITS.items():
            if self._total[what] > limit:
                raise too_many(self._wheel, f"{limit} {what}")


def too_many(wheel: str, what: str) -> WheelError:
    """The error of a wheel that would take too much memory."""
    return WheelError(
        f"`{printable(wheel)}` has more than {what}",
        code="too-many-symbols",
        hints=("divide it into several wheels, or link its libraries with -Wl,--as-needed and without debug sections",),
    )


def _amounts_of(image: ElfImage, names: int) -> dict[str, int]:
    links = [*image.needed, *(link.name for link in (*image.filters, *image.audits))]
    needs = sum(len(need.versions) for need in image.version_needs)
    return {
        _UNDEFINED: len(image.undefined) + len(image.copied),
        _NEEDED: len(links),
        _HEADERS: len(image.segments) + len(image.sections),
        _VERSIONS: needs + len(image.defined_versions),
        _NOTES: len(image.notes),
        _TEXT: names + sum(len(note.description) for note in image.notes),
    }
