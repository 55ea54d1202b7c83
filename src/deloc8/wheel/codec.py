"""Raw deflate streams and checksums: libdeflate and ISA-L where the extra `fast` is installed, else zlib.

libdeflate packs, and unpacks what is unpacked at once; ISA-L, which can stop on the way, unpacks streams. The encoders
of libdeflate and zlib write streams that every reader understands, but not the same bytes: `encoder_name` tells which.
"""

from __future__ import annotations

import functools
import mmap
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

Buffer = bytes | bytearray | memoryview | mmap.mmap

CHUNK = 1 << 20
"""The bytes that one task compresses, and that one step of reading holds."""

CHUNKED_ABOVE = 8 << 20
"""With zlib, contents larger than this are compressed in chunks, so that all cores can share the work."""

WINDOW = 1 << 15
"""How far back a deflate stream may refer (RFC 1951, section 2)."""

MAX_RATIO = 1032
"""A deflate stream cannot grow by more: a match of 258 bytes costs at least two bits (RFC 1951, section 3.2.5)."""

HEADER = 10
"""The bytes of room before a stream that is unpacked at once."""

FOOTER = 8
"""The bytes of room behind it."""

_SLICE = 1 << 16  # compressed bytes that zlib is given at a time
_RAW = -15  # zlib's wbits for a stream without header, with the full window
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952, section 2.3: deflate, no flags, no time, unknown system
_GZIP_FOOTER = struct.Struct("<II")  # of the contents: checksum, size
_GZIP_SIZE_LIMIT = 1 << 32


class StreamError(ValueError):
    """A compressed stream is not what was announced; the text continues a sentence that begins with its name."""


@functools.cache
def _libdeflate() -> ModuleType | None:
    try:
        import deflate  # noqa: PLC0415  looked for only when something is packed or unpacked
    except ImportError:
        return None
    return deflate


@functools.cache
def _streaming() -> ModuleType:
    """ISA-L in the shape of zlib, or zlib; twice as fast, and as lax as libdeflate."""
    try:
        from isal import isal_zlib  # noqa: PLC0415  looked for only when something large is unpacked
    except ImportError:
        return zlib
    return isal_zlib


def encoder_name() -> str:
    """Which encoder writes, for reports: the same input gives the same bytes under the same name."""
    library = _libdeflate()
    return f"zlib {zlib.ZLIB_RUNTIME_VERSION}" if library is None else f"libdeflate of deflate {library.__version__}"


def usual_level() -> int:
    """The level that makes contents as small as zlib's default: 6, or libdeflate's 5, which is quicker than its 6."""
    return 6 if _libdeflate() is None else 5


def crc32(data: Buffer, value: int = 0) -> int:
    """The checksum of ZIP archives; `value` is that of the bytes before."""
    library = _libdeflate()
    return zlib.crc32(data, value) if library is None else library.crc32(data, value)


def compress(data: Buffer, level: int) -> Buffer:
    """The raw deflate stream of some contents; `level` is 1 (quick) to 9 (small), for either encoder."""
    library = _libdeflate()
    if library is not None:
        return library.deflate_compress(data, level)  # type: ignore[no-any-return]  # bytearray
    if is_chunked(len(data)):
        return b"".join(compress_chunk(data, start, level) for start in range(0, len(data), CHUNK))
    encoder = zlib.compressobj(level, zlib.DEFLATED, _RAW)
    return encoder.compress(data) + encoder.flush()


def is_chunked(size: int) -> bool:
    """Whether `compress` would join the streams of `compress_chunk` for contents of that size.

    It does not depend on the number of threads, so neither do the bytes. libdeflate cannot begin with a dictionary
    and compresses everything in one piece.
    """
    return _libdeflate() is None and size > CHUNKED_ABOVE


def compress_chunk(data: Buffer, start: int, level: int) -> bytes:
    """The part of a raw deflate stream that stands for the `CHUNK` bytes from `start`, compressed by zlib.

    The chunk may refer to the window before it, and ends at a whole byte (a sync flush), so that the parts of all
    chunks in a row are the stream of the whole.
    """
    view = memoryview(data)
    before = view[max(0, start - WINDOW) : start]
    encoder = zlib.compressobj(level, zlib.DEFLATED, _RAW, zdict=before)
    last = start + CHUNK >= len(view)
    return encoder.compress(view[start : start + CHUNK]) + encoder.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def decompress(framed: bytearray, size: int, crc: int) -> Buffer:
    """The contents of a raw deflate stream, proven to have the announced size and checksum.

    The stream stands between `HEADER` and `FOOTER` bytes of room, so that it need not be copied: they are overwritten.

    Raises:
        StreamError: It has not, or bytes are left over behind its end.
    """
    library = _libdeflate()
    footer = _GZIP_FOOTER.pack(crc, size % _GZIP_SIZE_LIMIT)
    # As the body of a gzip member, libdeflate proves size, checksum and end of the stream by itself: it finds the
    # footer only right behind the end. A stream that holds those eight bytes elsewhere could deceive it. It is laxer
    # than zlib in one thing: it takes the two reserved length codes (RFC 1951, section 3.2.6) for their neighbour.
    # (Looked for from the end, among bytes like these, the interpreter is twice as quick.)
    end = len(framed) - FOOTER
    if library is not None and 0 < size < _GZIP_SIZE_LIMIT and framed.rfind(footer, HEADER, end) < 0:
        framed[:HEADER], framed[end:] = _GZIP_HEADER, footer
        try:
            return library.gzip_decompress(framed)  # type: ignore[no-any-return]
        except library.DeflateError:
            pass  # zlib finds out what is wrong
    # Put where it belongs piece by piece: joined in the end, the contents would be in memory twice.
    contents, place = bytearray(size), 0
    for piece in _inflate(zlib, _slices(memoryview(framed)[HEADER:end]), size):
        contents[place : place + len(piece)] = piece
        place += len(piece)
    if crc32(contents) != crc:
        raise StreamError("has a wrong checksum")
    return contents


def _slices(view: memoryview) -> Iterator[memoryview]:
    # In small steps, as zlib copies what is left of each.
    for start in range(0, len(view), _SLICE):
        yield view[start : start + _SLICE]


def inflate(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The contents of a raw deflate stream, piece by piece, at most `CHUNK` bytes each.

    Raises:
        StreamError: It is damaged, is longer or shorter than `size`, or bytes are left over behind its end.
    """
    return _inflate(_streaming(), chunks, size)


def _inflate(library: ModuleType, chunks: Iterable[bytes | memoryview], size: int) -> Iterator[bytes]:
    decoder = library.decompressobj(_RAW)
    left = size
    for chunk in chunks:
        rest = chunk
        while True:
            try:
                piece = decoder.decompress(rest, CHUNK)
            except library.error as error:
                raise StreamError(f"is no deflate stream: {error}") from None
            left -= len(piece)
            if left < 0:
                raise StreamError(f"holds more than the announced {size} bytes")
            yield piece
            rest = decoder.unconsumed_tail
            if not rest and len(piece) < CHUNK:  # a full piece can hide more that zlib holds back
                break
    if decoder.unused_data:
        raise StreamError(f"has {len(decoder.unused_data)} bytes behind its end")
    if left or not decoder.eof:
        raise StreamError(f"ends {left} bytes before the announced {size} bytes" if left else "has no end")


def first_bytes(chunks: Iterable[bytes], size: int) -> bytes:
    """The first `size` bytes of a raw deflate stream's contents, or all where it has fewer; unproven.

    Raises:
        StreamError: It is damaged.
    """
    decoder = zlib.decompressobj(_RAW)
    found = b""
    for chunk in chunks:
        try:
            found += decoder.decompress(chunk, max(1, size - len(found)))  # 0 would mean: without limit
        except zlib.error as error:
            raise StreamError(f"is no deflate stream: {error}") from None
        if len(found) >= size or decoder.eof:
            break
    return found[:size]
