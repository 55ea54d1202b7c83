"""The Python files of a wheel that may open libraries: few, found without parsing any."""

from __future__ import annotations

import sys
from contextlib import suppress

from deloc8.dlopen.budget import Budget, Spent, Unsearched, stopped_at
from deloc8.elf.constants import ELF_MAGIC
from deloc8.errors import WheelError
from deloc8.patterns import pattern
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deloc8.elf.read.view import Buffer
    from deloc8.wheel.archive import Member, WheelArchive

# Larger files are generated, and are not worth the time of parsing them, still larger ones not even that of reading.
_LARGEST_SOURCE = 1 << 20
_LARGEST_READ = 16 << 20
# Of reading a file, and of a kibibyte of it.
_UNITS_PER_FILE = 20
_UNITS_PER_KIB = 2
# What opens libraries; behind it: a call, or another name given to it; before it: what makes it something else.
_WORDS = (b"dlopen", b"CDLL", b"PyDLL", b"LoadLibrary", b"find_library", b"load_library")
# Plain words are found far faster than a pattern, and most files have neither of these. A file that gets `CDLL` from a
# module other than ctypes is not noticed: of 122 files that open something, in 280 wheels, none does.
_SIGNS = (b"ctypes", b"dlopen")
_CALL = pattern(rb"\s*(?:\(|as\b)")
_LONGER = pattern(rb"(?:\w|\bdef )\Z")
_WITHOUT_SUFFIX = frozenset({b"find_library", b"load_library"})
_SUFFIX = pattern(rb"\.so\b|['\"]so['\"]")
_MANY = 4 << 20  # bytes of texts from which on it is worth an import of some milliseconds


class Sources(NamedTuple):
    """Python files of a wheel, as far as the search for openings goes.

    Attributes:
        archive: The wheel.
        openers: Those that may open libraries, in the order of the archive.
        harmless: The names of all that were read and are no ELF files by their first bytes, whatever they are called.
        budget: What is left of the work that the search may cost.
        unsearched: Files that may open libraries, and will not be parsed.
    """

    archive: WheelArchive
    openers: tuple[Member, ...]
    harmless: frozenset[str]
    budget: Budget
    unsearched: tuple[Unsearched, ...] = ()


def read_sources(
    archive: WheelArchive, look: Callable[[Member, Buffer], None] | None = None, budget: Budget | None = None
) -> Sources:
    """The Python files of a wheel; damaged ones are left out.

    Args:
        archive: The wheel.
        look: Is called with the contents of each, so that nobody who wants them has to inflate them again.
        budget: What the search may cost; None: what is usual.
    """
    reading = _Reading(archive, look, budget or Budget())
    files = [member for member in archive.members if member.name.endswith(".py")]
    is_worth_a_look = word_finder(_SIGNS, sum(member.size for member in files))
    for number, member in enumerate(files):
        try:
            reading.read(member, is_worth_a_look)
        except Spent:
            reading.unsearched.append(stopped_at(member.name, len(files) - number - 1))
            break
    return Sources(
        archive, tuple(reading.openers), frozenset(reading.harmless), reading.budget, tuple(reading.unsearched)
    )


class _Reading:
    """Results from the files that were read so far."""

    def __init__(self, archive: WheelArchive, look: Callable[[Member, Buffer], None] | None, budget: Budget) -> None:
        self._archive = archive
        self._look = look
        self.budget = budget
        self.openers: list[Member] = []
        self.harmless: list[str] = []
        self.unsearched: list[Unsearched] = []

    def read(self, member: Member, is_worth_a_look: Callable[[Buffer], bool]) -> None:
        """Read one file.

        Raises:
            Spent: It is not read, or not to its end.
        """
        if member.size > _LARGEST_READ:
            self.unsearched.append(Unsearched(member.name, "it is larger than 16 MiB"))
            return
        self.budget.spend(_UNITS_PER_FILE + (member.size >> 10) * _UNITS_PER_KIB)
        try:
            contents = self._archive.read(member)
        except WheelError:  # `check` tells of damaged members
            return
        if contents[: len(ELF_MAGIC)] != ELF_MAGIC:
            if self._look:
                self._look(member, contents)
            self.harmless.append(member.name)
        if not is_worth_a_look(contents) or not _may_open(bytes(contents), self.budget):
            return
        if member.size > _LARGEST_SOURCE:
            self.unsearched.append(Unsearched(member.name, "it is larger than 1 MiB"))
        else:
            self.openers.append(member)


def _may_open(source: bytes, budget: Budget) -> bool:
    """Whether a file calls what opens libraries, and has what the name of one is made of: parsing costs far more."""
    calls = {word for word in _WORDS if _is_called(source, word, budget)}
    if b"ctypeslib" not in source:
        calls.discard(b"load_library")  # numpy's is meant, which adds the suffix by itself; others have the name too
    return bool(calls) and (not calls.isdisjoint(_WITHOUT_SUFFIX) or _SUFFIX.search(source) is not None)


def _is_called(source: bytes, word: bytes, budget: Budget) -> bool:
    """Whether a function of that name is called, or gets another name. A pattern for the whole is far slower."""
    position = source.find(word)
    while position >= 0:
        budget.spend(1)
        if _CALL.match(source, position + len(word)) and not _LONGER.search(source, max(0, position - 4), position):
            return True
        position = source.find(word, position + 1)
    return False


def word_finder(words: Sequence[bytes], size: int) -> Callable[[Buffer], bool]:
    """Return a test for some words in a text, where the texts have so many bytes in all."""
    if size >= _MANY and sys.implementation.name == "cpython":  # where a NUL stands behind the bytes of a bytearray
        with suppress(ImportError, OSError, AttributeError, TypeError):
            return _by_strstr(words)
    return lambda text: any(word in text for word in words)


def _by_strstr(words: Sequence[bytes]) -> Callable[[Buffer], bool]:
    """The same by the C library: ten times as quick, but it would stop at a NUL byte, which no Python file has."""
    import ctypes  # noqa: PLC0415  see `_MANY`

    strstr = ctypes.PyDLL(None).strstr
    strstr.argtypes, strstr.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_void_p
    first_byte = ctypes.c_char.from_buffer

    def has_one(text: Buffer) -> bool:
        if not text or b"\0" in text:
            return any(word in text for word in words)
        place = text if isinstance(text, bytes) else ctypes.byref(first_byte(text))
        return any(strstr(place, word) for word in words)

    return has_one
