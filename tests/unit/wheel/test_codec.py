from __future__ import annotations

import importlib.util
import random
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.wheel import codec
from deloc8.wheel.codec import StreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

CODECS = ["zlib", "libdeflate"]


@pytest.fixture(params=CODECS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Either codec, as if the other were not there."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "deflate", None)
        monkeypatch.setitem(sys.modules, "isal", None)
    elif importlib.util.find_spec("deflate") is None or importlib.util.find_spec("isal") is None:
        pytest.skip("needs the bindings of libdeflate and ISA-L (PyPI: deflate and isal, the extra `fast`)")
    codec._libdeflate.cache_clear()
    codec._streaming.cache_clear()
    yield str(request.param)
    monkeypatch.undo()
    codec._libdeflate.cache_clear()
    codec._streaming.cache_clear()


def contents(size: int, seed: int = 1) -> bytes:
    """Bytes that deflate can shrink, with repetitions near and far."""
    source = random.Random(seed)  # noqa: S311  test data
    words = [source.randbytes(source.randrange(3, 40)) for _ in range(200)]
    return b"".join(source.choices(words, k=size // 15 + 200))[:size]


def test_the_encoder_is_named(name: str) -> None:
    assert codec.encoder_name().startswith(name + " ")
    assert any(char.isdigit() for char in codec.encoder_name())


def framed(raw: bytes) -> bytearray:
    return bytearray(b"".join((bytes(codec.HEADER), raw, bytes(codec.FOOTER))))


def unpacked(raw: bytes, size: int, crc: int) -> codec.Buffer:
    return codec.decompress(framed(raw), size, crc)


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
def test_zlib_reads_what_compress_writes(name: str, size: int, level: int) -> None:
    data = contents(size)
    for buffer in (data, bytearray(data), memoryview(data)):
        raw = bytes(codec.compress(buffer, level))
        assert zlib.decompress(raw, -15) == data, name
        assert bytes(unpacked(raw, size, zlib.crc32(data))) == data


@pytest.mark.usefixtures("name")
def test_checksums_are_those_of_zlib() -> None:
    data = contents(50_000)
    assert codec.crc32(data) == zlib.crc32(data)
    assert codec.crc32(memoryview(data)[100:], codec.crc32(data[:100])) == zlib.crc32(data)


def test_the_usual_level_makes_machine_code_as_small_as_the_default_of_zlib(name: str) -> None:
    mapped = {Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text("utf-8").splitlines() if "/" in line}
    largest = max((path for path in mapped if path.is_file()), key=lambda path: path.stat().st_size)
    data = largest.read_bytes()[: 4 << 20]  # Python itself, or the C library
    encoder = zlib.compressobj(6, zlib.DEFLATED, -15)
    usual = len(encoder.compress(data) + encoder.flush())
    assert len(codec.compress(data, codec.usual_level())) <= 1.02 * usual, name


@pytest.mark.parametrize("extra", [1, codec.CHUNK, codec.CHUNK + 1])
def test_large_contents_are_chunked_for_zlib_only(name: str, extra: int) -> None:
    data = contents(codec.CHUNKED_ABOVE + extra)
    raw = codec.compress(data, 1)
    assert codec.is_chunked(len(data)) == (name == "zlib")
    assert not codec.is_chunked(codec.CHUNKED_ABOVE)
    assert zlib.decompress(raw, -15) == data
    chunks = b"".join(codec.compress_chunk(data, start, 1) for start in range(0, len(data), codec.CHUNK))
    assert zlib.decompress(chunks, -15) == data
    assert (chunks == raw) == (name == "zlib")
    # The dictionary makes up for the cuts.
    encoder = zlib.compressobj(1, zlib.DEFLATED, -15)
    whole = encoder.compress(data) + encoder.flush()
    assert len(chunks) < 1.01 * len(whole)


DATA = contents(3000)
RAW = zlib.compress(DATA, 6)[2:-4]
CRC = zlib.crc32(DATA)


@pytest.mark.parametrize(
    ("raw", "size", "crc", "what"),
    [
        (RAW, len(DATA), CRC ^ 1, "wrong checksum"),
        (RAW, len(DATA) - 1, CRC, "more than the announced 2999"),
        (RAW, len(DATA) + 1, CRC, "ends 1 bytes before the announced 3001"),
        (RAW, 0, CRC, "more than the announced 0"),
        (RAW[:-1], len(DATA), CRC, "has no end"),
        (RAW[: len(RAW) // 2], len(DATA), CRC, "before the announced"),
        (b"", 0, 0, "has no end"),
        (RAW + b"hidden", len(DATA), CRC, "6 bytes behind its end"),
        (b"\x07" + RAW, len(DATA), CRC, "is no deflate stream"),
    ],
)
@pytest.mark.usefixtures("name")
def test_decompress_says_what_is_wrong(raw: bytes, size: int, crc: int, what: str) -> None:
    with pytest.raises(StreamError, match=what):
        unpacked(raw, size, crc)


@pytest.mark.usefixtures("name")
def test_the_footer_of_gzip_inside_the_stream_deceives_nobody() -> None:
    footer = CRC.to_bytes(4, "little") + len(DATA).to_bytes(4, "little")
    with pytest.raises(StreamError, match="bytes behind its end"):
        unpacked(RAW + footer + b"hidden", len(DATA), CRC)


def with_checksum(head: bytes, wanted: int) -> bytes:
    """The bytes with four more that give the whole a wanted CRC-32, which is linear in them."""
    base = zlib.crc32(head + bytes(4))
    basis: dict[int, tuple[int, int]] = {}  # highest bit -> effect on the checksum, bits that have it
    for bit in range(32):
        effect, bits = zlib.crc32(head + (1 << bit).to_bytes(4, "little")) ^ base, 1 << bit
        while effect and effect.bit_length() in basis:
            other, others = basis[effect.bit_length()]
            effect, bits = effect ^ other, bits ^ others
        basis[effect.bit_length()] = effect, bits
    left, tail = wanted ^ base, 0
    while left:
        effect, bits = basis[left.bit_length()]
        left, tail = left ^ effect, tail ^ bits
    return head + tail.to_bytes(4, "little")


@pytest.mark.usefixtures("name")
def test_contents_that_hold_their_own_checksum_and_size_are_read() -> None:
    crc, size = 0x12345678, 300
    data = with_checksum(bytes(100) + crc.to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(188), crc)
    assert (zlib.crc32(data), len(data)) == (crc, size)
    encoder = zlib.compressobj(0, zlib.DEFLATED, -15)
    assert bytes(unpacked(encoder.compress(data) + encoder.flush(), size, crc)) == data


def test_streams_are_unpacked_by_the_library_that_is_there(name: str) -> None:
    assert codec._streaming().__name__ == ("zlib" if name == "zlib" else "isal.isal_zlib")


@pytest.mark.parametrize(
    ("raw", "size", "what"),
    [
        (RAW, len(DATA) - 1, "more than the announced 2999"),
        (RAW, len(DATA) + 1, "ends 1 bytes before the announced 3001"),
        (RAW, 0, "more than the announced 0"),
        (RAW[:-1], len(DATA), "has no end"),
        (RAW[: len(RAW) // 2], len(DATA), "before the announced"),
        (b"", 0, "has no end"),
        (RAW + b"hidden", len(DATA), "6 bytes behind its end"),
        (b"\x07" + RAW, len(DATA), "is no deflate stream"),
    ],
)
@pytest.mark.usefixtures("name")
def test_inflate_says_what_is_wrong(raw: bytes, size: int, what: str) -> None:
    with pytest.raises(StreamError, match=what):
        list(codec.inflate((raw,), size))


@pytest.mark.parametrize("step", [1, 7, 100, 100_000])
@pytest.mark.usefixtures("name")
def test_inflate_takes_chunks_of_any_size(step: int) -> None:
    chunks = (RAW[start : start + step] for start in range(0, len(RAW), step))
    assert b"".join(codec.inflate(chunks, len(DATA))) == DATA


@pytest.mark.usefixtures("name")
def test_inflate_gives_no_more_than_a_chunk_at_a_time() -> None:
    size = 5 * codec.CHUNK
    raw = zlib.compress(bytes(size), 9)[2:-4]
    pieces = list(codec.inflate((raw,), size))
    assert max(map(len, pieces)) == codec.CHUNK
    assert sum(map(len, pieces)) == size


@pytest.mark.usefixtures("name")
def test_inflate_stops_at_the_announced_size() -> None:
    raw = zlib.compress(bytes(100 * codec.CHUNK), 9)[2:-4]
    pieces = codec.inflate((raw,), 10)
    with pytest.raises(StreamError, match="more than the announced 10 bytes"):
        next(pieces)


@pytest.mark.parametrize("size", [0, 1, 4, 2999, 3000, 5000])
@pytest.mark.parametrize("step", [1, 50, 10_000])
def test_first_bytes(size: int, step: int) -> None:
    chunks = (RAW[start : start + step] for start in range(0, len(RAW), step))
    assert codec.first_bytes(chunks, size) == DATA[:size]


def test_first_bytes_of_a_damaged_stream() -> None:
    with pytest.raises(StreamError, match="is no deflate stream"):
        codec.first_bytes((b"\x07" + RAW,), 4)


def test_first_bytes_of_a_stream_that_is_cut() -> None:
    found = codec.first_bytes((RAW[:100],), 3000)
    assert 0 < len(found) < 3000
    assert DATA.startswith(found)


def test_first_bytes_reads_no_further_than_needed() -> None:
    taken = []

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(RAW), 100):
            taken.append(start)
            yield RAW[start : start + 100]

    assert codec.first_bytes(chunks(), 4) == DATA[:4]
    assert len(taken) <= 4
    assert len(RAW) > 800


def test_zlib_alone_unpacks_a_member_into_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # fixup may need 1.2 times auditwheel's memory, which holds the largest member once as well.
    monkeypatch.setattr(codec, "_libdeflate", lambda: None)
    data = contents(16 * codec.CHUNK)
    raw, crc = framed(zlib.compress(data)[2:-4]), zlib.crc32(data)
    tracemalloc.start()
    try:
        assert codec.decompress(raw, len(data), crc) == data
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(data) + 3 * codec.CHUNK  # and the pieces at hand
