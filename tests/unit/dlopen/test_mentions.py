from __future__ import annotations

import mmap
import struct
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.dlopen.mentions import mentioned_libraries, opens_libraries
from deloc8.elf import constants as c
from deloc8.elf.read.image import parse
from kit.elf import ElfSpec, Undefined, build_elf

if TYPE_CHECKING:
    from pathlib import Path


def mentions(payload: bytes, **more: object) -> list[str]:
    data = build_elf(replace(ElfSpec(payload=payload), **more))  # type: ignore[arg-type]  # the caller names fields
    return [name for name, _ in mentioned_libraries(data, parse(data, "a.so"))]


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        (b"liba.so", True),
        (b"liba.so.1.2", True),
        (b"libstdc++.so.6", True),
        (b"/usr/lib/a-b/lib_a.so.1", True),
        (b"$ORIGIN/../liba.so", True),
        (b"plugin.so", True),
        (b"lib%s.so", False),
        (b"cannot open liba.so", False),
        (b".so", False),
        (b"ld.so", False),
        (b"/lib64/ld-linux-x86-64.so.2", False),
        (b"ld64.so.1", False),
        (b"ldap.so", True),
        (b"liba.so.", False),
        (b"liba.sock", False),
        (b"liba.so.1:libb.so.1", False),
        (b"lib\xe9.so", False),
        (b"a" * 300 + b".so", False),
        (b"a.so" + b".1" * 300, False),
    ],
)
def test_what_is_a_name(text: bytes, is_name: bool) -> None:  # noqa: FBT001  a column of the table above
    assert mentions(b"\0" + text + b"\0") == ([text.decode()] if is_name else [])


def test_names_stand_between_zeros() -> None:
    assert mentions(b"\x01liba.so\0") == []
    assert mentions(b"\0liba.so") == []


def test_a_number_may_stand_right_before_a_name() -> None:
    payload = struct.pack("<d", 120.0) + b"liba.so.1\0" + struct.pack("<d", -0.25) + b"libb.so.1\0"
    data = build_elf(ElfSpec(payload=payload))
    found = mentioned_libraries(data, parse(data, "a.so"))
    assert found == (("liba.so.1", data.index(b"liba.so.1")), ("libb.so.1", data.index(b"libb.so.1")))


def test_each_name_is_told_once_in_the_order_of_the_file() -> None:
    assert mentions(b"\0libb.so\0liba.so\0libb.so\0") == ["libb.so", "liba.so"]


def test_what_the_dynamic_section_names_is_known() -> None:
    assert mentions(b"\0liba.so.1\0libb.so.1\0", soname="liba.so.1", needed=("libb.so.1",)) == []


def test_so_many_are_told() -> None:
    assert len(mentions(b"\0" + b"".join(b"lib%d.so\0" % number for number in range(400)))) == 256


def test_a_file_may_be_mapped(tmp_path: Path) -> None:
    data = build_elf(ElfSpec(payload=b"\0liba.so\0"))
    image = parse(data, "a.so")
    (tmp_path / "a.so").write_bytes(data)
    with (tmp_path / "a.so").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mentioned_libraries(mapped, image) == mentioned_libraries(memoryview(data), image)
    assert [name for name, _ in mentioned_libraries(data, image)] == ["liba.so"]


@pytest.mark.parametrize(
    ("symbol", "opens"),
    [
        ("dlopen", True),
        ("dlmopen", True),
        ("lt_dlopenext", True),
        ("g_module_open", True),
        ("_ZN8QLibraryC1ERK7QStringP7QObject", True),
        ("_ZN4Poco13SharedLibrary4loadERKSs", True),
        ("_ZN16wxDynamicLibrary4LoadERK8wxStringi", True),
        ("_ZN5other13SharedLibrary4loadEv", False),
        ("dlsym", False),
        ("dlclose", False),
    ],
)
def test_who_opens_libraries(symbol: str, opens: bool) -> None:  # noqa: FBT001  a column of the table above
    spec = ElfSpec(needed=("libc.so.6",), undefined=(Undefined(symbol, "GLIBC_2.2.5", "libc.so.6"),))
    assert opens_libraries(parse(build_elf(spec), "a.so")) is opens


def test_a_name_may_stand_anywhere_in_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deloc8.dlopen.mentions._PIECE", 64)
    names = [f"lib{number}.so" for number in range(40)]
    payload = b"\0" + b"".join(name.encode() + bytes(50 + place) for place, name in enumerate(names))
    assert mentions(payload) == names
    data = build_elf(ElfSpec(payload=payload))
    (tmp_path / "a.so").write_bytes(data)
    with (tmp_path / "a.so").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert [name for name, _ in mentioned_libraries(mapped, parse(data, "a.so"))] == names


def test_a_file_without_sections_is_read_by_its_segments() -> None:
    assert mentions(b"\0liba.so\0", sections=False) == ["liba.so"]


def test_neither_machine_code_nor_code_of_cuda_devices_is_read() -> None:
    assert mentions(b"\x50\xed\x55\xba\0liba.so\0") == []
    data = build_elf(ElfSpec(interpreter="/lib/other.so", payload=b"\0liba.so\0"))
    image = parse(data, "a.so")
    assert [name for name, _ in mentioned_libraries(data, image)] == ["/lib/other.so", "liba.so"]
    place = data.index(b"\0liba.so")
    sections = tuple(
        section._replace(flags=c.SHF_ALLOC | c.SHF_EXECINSTR) if section.offset == place else section
        for section in image.sections
    )
    assert [name for name, _ in mentioned_libraries(data, replace(image, sections=sections))] == ["/lib/other.so"]


def test_lying_headers_cost_no_time() -> None:
    data = build_elf(ElfSpec(payload=b"\0liba.so\0libb.so\0" + bytes(4096)))
    image = parse(data, "a.so")
    place = data.index(b"\0liba.so")
    (own,) = (section for section in image.sections if section.offset == place)
    lies = [own._replace(size=1 << 62), *(own._replace(offset=place + shift) for shift in range(20_000))]
    begun = time.process_time()
    found = mentioned_libraries(data, replace(image, sections=(*image.sections, *lies)))
    assert [name for name, _ in found if name.startswith("lib")] == ["liba.so", "libb.so"]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "text",
    [
        b"a" + b".so" * 80 + b"!\0",
        b"a" + b".so" * 80 + b"+.x\0",
        b"ld-" + b"a.so" * 60 + b"\0",
        b"a.so\0",
        b".so",
        b".so\0",
    ],
)
def test_names_without_end_take_little_time(text: bytes) -> None:
    payload = b"\0" + text * ((8 << 20) // len(text))
    start = time.process_time()
    assert len(mentions(payload)) < 2
    assert time.process_time() - start < 1  # before the bound up to 100 s


def test_so_many_places_are_looked_at() -> None:
    """Of a file of 64 KiB, which has no bytes for more, five hundred and sixteen."""
    same = b"\0libsame.so" * 400
    names = b"".join(b"\0liba%d.so" % number for number in range(300))
    size = len(build_elf(ElfSpec(payload=b"")))
    filler = bytes((64 << 10) - size - len(same) - len(names) - 64)
    found = mentions(same + names + b"\0" + filler)
    assert found[0] == "libsame.so"
    assert 110 <= len(found) <= 120
