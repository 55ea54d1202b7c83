"""Names of shared libraries among the constants of a file: what it may open at run time."""

from __future__ import annotations

import mmap

from deloc8.elf import constants as c
from deloc8.elf.read.image import Mention
from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.view import Parts, Readable

# The functions that open a library: of the C library, and of frameworks that many programs share.
OPENERS = frozenset({"dlopen", "dlmopen"})
_FRAMEWORKS = frozenset(
    {
        *("lt_dlopen", "lt_dlopenext", "lt_dlopenadvise"),  # libltdl
        *("g_module_open", "g_module_open_full"),  # GLib
        *("PR_LoadLibrary", "PR_LoadLibraryWithFlags"),  # NSPR
        *("SDL_LoadObject", "apr_dso_load", "uv_dlopen", "DSO_load"),  # SDL, APR, libuv, OpenSSL
    }
)
_KNOWN = OPENERS | _FRAMEWORKS
_CLASSES = ("_ZN8QLibrary", "_ZN4Poco13SharedLibrary", "_ZN16wxDynamicLibrary")  # Qt, POCO, wxWidgets
_COMMON = "Library"  # what stands in all of them

_MARK = b".so"
# Right before a constant text the end of a constant number may stand, as of most small ones of eight bytes.
_NAME = pattern(rb"(?:[^\0]{0,7}[?@\xbf\xc0])?((?:[\w.+/$-]*/)?[A-Za-z_][\w.+-]*)")
_NUMBERS = pattern(rb"(?:\.\w+)*")  # behind the suffix
_LOADER = pattern(rb"(?:.*/)?ld(?:64|-[\w.-]+)?\.so[\w.]*")  # the dynamic loader itself, of any system
_LONGEST = 256
_PIECE = 4 << 20  # bytes, looked at before their memory is given back
_MOST = 256
# In 70 real wheels no file that opens libraries has a hundred suffixes among its constants.
_FEWEST_MARKS = 500
_BYTES_PER_MARK = 4096
# How code for CUDA devices begins, which can be hundreds of megabytes: fatBinaryHeader of NVIDIA's fatbinary_section.h.
_DEVICE_CODE = b"\x50\xed\x55\xba"
_KINDS = c.SHF_ALLOC | c.SHF_WRITE | c.SHF_EXECINSTR


def opens_libraries(image: ElfImage) -> bool:
    """Whether a file asks for a function that opens libraries."""
    names = [symbol.name for symbol in image.undefined]
    if not _KNOWN.isdisjoint(names):
        return True
    # Over some ten thousand names the last step would cost more than the rest of the question.
    return _COMMON in "".join(names) and any(name.startswith(_CLASSES) for name in names)


def mentioned_libraries(data: Readable, image: ElfImage) -> tuple[Mention, ...]:
    """The names of shared libraries that stand whole among a file's read-only data, in the order of the file.

    Those in its dynamic section and those of dynamic loaders are left out, and all beyond the first 256, or beyond more
    places that may be names than any real file has.
    """
    known = {image.soname, *image.linked, *(need.file for need in image.version_needs)}
    known.update(link.name for link in image.audits)
    found: dict[str, int] = {}
    for name, offset in _names(data, _constants(data, image)):
        if name not in known:
            found.setdefault(name, offset)
        if len(found) == _MOST:
            break
    return tuple(Mention(name, found[name]) for name in sorted(found, key=lambda name: found[name]))


def _constants(data: Readable, image: ElfImage) -> list[tuple[int, int]]:
    """Where constants can stand: the sections of read-only data; of a file without them all that is not written to."""
    parts = [
        (section.offset, section.offset + section.size)
        for section in image.sections
        if section.type == c.SHT_PROGBITS and section.flags & _KINDS == c.SHF_ALLOC
    ]
    if parts:
        parts = [(start, end) for start, end in parts if bytes(data[start : start + 4]) != _DEVICE_CODE]
    else:
        parts = [
            (segment.offset, segment.offset + segment.filesz)
            for segment in image.segments
            if segment.type == c.PT_LOAD and not segment.flags & c.PF_W
        ]
    return _united(parts, len(data))


def _united(parts: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """The parts as far as they stand in the file; those that share bytes, as only a lying header says, as one."""
    united: list[tuple[int, int]] = []
    for start, end in sorted((start, min(end, size)) for start, end in parts):
        if united and start < united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def _names(data: Readable, parts: Iterable[tuple[int, int]]) -> Iterator[Mention]:
    """The constants of C in some parts of a file that are names of libraries."""
    text = bytes(data) if isinstance(data, memoryview) else data
    left = _FEWEST_MARKS + len(text) // _BYTES_PER_MARK
    for start, end in parts:
        for mark in _marks(text, start, end):
            left -= 1
            if left < 0:
                return
            low = max(start, mark - _LONGEST)
            zero = text.rfind(b"\0", low, mark)
            first = zero + 1 if zero >= 0 else low
            last = text.find(b"\0", mark, min(end, mark + _LONGEST))
            if last > mark and (zero >= 0 or low == start):
                match = _NAME.fullmatch(bytes(text[first:last]))
                if match and _is_library(match[1]) and not _LOADER.fullmatch(match[1]):
                    yield Mention(match[1].decode("ascii"), first + match.start(1))


def _marks(text: bytes | bytearray | mmap.mmap | Parts, start: int, end: int) -> Iterator[int]:
    """Where the suffix of libraries stands first in each constant."""
    position = start
    while position < end:
        mark = text.find(_MARK, position, min(end, position + _PIECE))
        if mark < 0:
            position += _PIECE - len(_MARK) + 1
            if isinstance(text, mmap.mmap):
                text.madvise(mmap.MADV_DONTNEED)  # what was looked at would stay in memory
            continue
        yield mark
        position = max(text.find(b"\0", mark, min(end, mark + _LONGEST)), mark + len(_MARK))


def _is_library(name: bytes) -> bool:
    """Whether a name has the suffix and nothing but numbers behind it.

    The last suffix decides: what is no number behind it is none behind the others. As a part of `_NAME`, it would take
    quadratic time.
    """
    if name.endswith(_MARK):
        return True
    place = name.rfind(_MARK + b".")
    return place >= 0 and _NUMBERS.fullmatch(name, place + len(_MARK)) is not None
