from __future__ import annotations

import errno
import os
import random
from typing import TYPE_CHECKING

import pytest

from deloc8.dlopen.mentions import mentioned_libraries
from deloc8.elf.read.image import parse, parse_defined_names
from deloc8.errors import SystemFault
from deloc8.loader import partial
from deloc8.loader.partial import PartialFile
from kit.elf import Defined, ElfSpec, Undefined, build_elf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = random.Random(1).randbytes(1_000_003)  # noqa: S311  no secret


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "liba.so"
    found.write_bytes(DATA)
    return found


@pytest.fixture
def file(place: Path) -> Iterator[PartialFile]:
    descriptor = os.open(place, os.O_RDONLY)
    yield PartialFile(descriptor, len(DATA), "/lib/liba.so")
    os.close(descriptor)


def test_it_has_the_bytes_of_the_file(file: PartialFile) -> None:
    assert len(file) == len(DATA)
    places = random.Random(2)  # noqa: S311  no secret
    for size in (0, 1, 70, 1 << 16, (1 << 16) + 1, 200_000, 400_000):
        for _ in range(20):
            start = places.randrange(len(DATA))
            assert file[start : start + size] == DATA[start : start + size]
    assert file[:4] == DATA[:4]
    assert file[-9:] == DATA[-9:]
    assert file[:] == DATA
    assert file[9:3] == b""
    for number in (0, 65_535, 65_536, -1, len(DATA) - 1):
        assert file[number] == DATA[number]
    for number in (len(DATA), -len(DATA) - 1):
        with pytest.raises(IndexError):
            _ = file[number]


@pytest.mark.parametrize("size", [1, 3, 40])
def test_bytes_are_found_wherever_they_are(file: PartialFile, size: int) -> None:
    for place in (0, 5, (1 << 16) - 1, (1 << 16) - size, (1 << 16) - size // 2, 900_000, len(DATA) - size):
        part = DATA[place : place + size]
        assert file.find(part, 0, len(DATA)) == DATA.find(part)
        assert file.find(part, place, place + size) == place
        assert file.find(part, place, len(DATA) + 9) == place
        assert file.find(part, place, place + size - 1) == -1
        low = max(0, place - 256)
        assert file.rfind(part, low, place + size) == DATA.rfind(part, low, place + size)
    assert file.rfind(b"no such bytes", 0, 1000) == -1
    assert file.find(b"no such bytes", 0, len(DATA)) == -1


def test_little_is_read_and_kept(file: PartialFile, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, sizes = os.pread, []

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return honest(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    for _ in range(3):
        assert file[100:200] + file[999_000:999_100] == DATA[100:200] + DATA[999_000:999_100]
    assert sum(sizes) < 1 << 17
    monkeypatch.setattr(partial, "_MOST_BLOCKS", 2)
    for place in range(0, len(DATA), 1000):
        assert file[place] == DATA[place]
    assert len(file._blocks) <= 2


@pytest.mark.parametrize("after", ["pread", "preadv"])
def test_a_file_that_becomes_shorter_is_an_error(
    file: PartialFile, place: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    assert file[:4] == DATA[:4]
    os.truncate(place, 500_000)
    if after == "preadv":
        monkeypatch.setattr(os, "pread", lambda *_: b"")
    for key in (slice(499_000, 501_000), slice(700_000, None), slice(0, None), 999_999):
        with pytest.raises(SystemFault) as caught:
            _ = file[key]
        assert caught.value.code == "library-changed"


def test_a_short_answer_of_the_system_is_gone_on_with(file: PartialFile, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: honest(descriptor, size // 2, offset))
    assert file[:] == DATA


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_a_read_that_fails_is_a_fault(file: PartialFile, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(SystemFault) as caught:
        _ = file[:4]
    assert caught.value.message == "`/lib/liba.so` could not be read"


def test_an_elf_file_read_in_parts_is_what_it_is_read_whole(tmp_path: Path) -> None:
    names = tuple(Defined(f"a_function_with_a_long_name_{number}") for number in range(3000))
    spec = ElfSpec(
        soname="liba.so",
        needed=("libb.so.1", "libc.so.6"),
        defined=names,
        undefined=(Undefined("dlopen", "GLIBC_2.2.5", "libc.so.6"),),
        payload=b"\0libz.so.1\0" * 5000,
    )
    data = build_elf(spec)
    (tmp_path / "liba.so").write_bytes(data)
    descriptor = os.open(tmp_path / "liba.so", os.O_RDONLY)
    file = PartialFile(descriptor, len(data), "liba.so")
    image = parse(file, "liba.so")
    assert image == parse(data, "liba.so")
    assert parse_defined_names(file, "liba.so") == parse_defined_names(data, "liba.so") >= {name.name for name in names}
    assert mentioned_libraries(file, image) == mentioned_libraries(data, image)
    os.close(descriptor)
