"""Hostile input: whatever the bytes say, the reader gives a value or an ElfError, soon."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deloc8.elf.read.image import parse, parse_defined
from deloc8.errors import ElfError
from kit.elf import MACHINES, Defined, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf

FULL = ElfSpec(
    needed=("libc.so.6", "libz.so.1"),
    soname="libdemo.so.1",
    rpath="/opt/lib",
    runpath="$ORIGIN",
    undefined=(
        Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
        Undefined("__gmon_start__", weak=True),
        Undefined("inflate", "ZLIB_1", "libz.so.1"),
    ),
    defined=(Defined("one", "DEMO_1"), Defined("two", "DEMO_2", hidden=True), Defined("three")),
    parents=(("DEMO_1", ()), ("DEMO_2", ("DEMO_1",))),
    needs=(NeedSpec("libc.so.6", "GLIBC_2.34", weak=True),),
    interpreter="/lib/ld.so",
    notes=(NoteSpec("GNU", 3, bytes(range(20))), NoteSpec("FDO", 0xCAFE1A7E, b'{"type": "deb"}')),
    relr=True,
)


def specs() -> list[ElfSpec]:
    """Both classes, both byte orders, each way to count symbols."""
    found = []
    for machine in ("x86_64", "i686", "s390x", "s390"):
        base = MACHINES[machine]
        whole = replace(FULL, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags)
        found += [replace(whole, hash="gnu"), replace(whole, hash="sysv", sections=False)]
        found.append(replace(whole, hash="none", sections=False))
    return found


FILES = [build_elf(spec) for spec in specs()]
NAMES = [f"{spec.machine}-{spec.bits}-{spec.hash}" for spec in specs()]
FAST = settings(deadline=2000, max_examples=400, suppress_health_check=[HealthCheck.too_slow])


def read(data: bytes) -> bool:
    """Whether the file is accepted; any exception but ElfError fails the test."""
    accepted = True
    for reader in (parse, parse_defined):
        try:
            reader(data, "lib.so")
        except ElfError as error:
            assert error.context[0].isprintable()  # noqa: PT017  both outcomes are right, but not an empty message
            accepted = False
    return accepted


@pytest.mark.parametrize("data", FILES, ids=NAMES)
def test_every_cut(data: bytes) -> None:
    assert read(data)
    accepted = [length for length in range(len(data)) if read(data[:length])]
    # Some header announces every byte, so no cut goes unseen.
    assert accepted == []


@pytest.mark.parametrize("data", FILES, ids=NAMES)
def test_every_word_that_lies(data: bytes) -> None:
    order = "<" if data[5] == 1 else ">"
    lies = [struct.pack(order + "I", number) for number in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data))]
    for offset in range(0, len(data) - 3, 4):
        for lie in lies:
            read(data[:offset] + lie + data[offset + 4 :])
        read(data[:offset] + b"\xff" * 8 + data[offset + 8 :])


@FAST
@given(
    index=st.integers(0, len(FILES) - 1),
    flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_random_bytes_changed(index: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[index])
    for place, value in flips:
        data[place % len(data)] = value
    read(bytes(data))


@FAST
@given(
    index=st.integers(0, len(FILES) - 1),
    start=st.integers(0, 1 << 16),
    size=st.integers(0, 200),
    source=st.integers(0, 1 << 16),
)
def test_a_part_copied_over_another(index: int, start: int, size: int, source: int) -> None:
    data = FILES[index]
    start, source = start % len(data), source % len(data)
    part = data[source : source + size]
    read((data[:start] + part + data[start + len(part) :])[: len(data)])


@FAST
@given(tail=st.binary(max_size=300), wide=st.booleans(), little=st.booleans())
@example(tail=b"\xff" * 300, wide=True, little=True)
def test_arbitrary_bytes_behind_the_identification(tail: bytes, wide: bool, little: bool) -> None:  # noqa: FBT001
    read(b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1]) + bytes(9) + tail)


@FAST
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    read(data)


@FAST
@given(
    needed=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=5),
    names=st.lists(st.text("abc_", min_size=1, max_size=6), max_size=20, unique=True),
    machine=st.sampled_from(sorted(MACHINES)),
    table=st.sampled_from(["gnu", "sysv", "both"]),
)
def test_what_is_built_is_read(needed: list[str], names: list[str], machine: str, table: str) -> None:
    undefined = tuple(Undefined(name, f"V_{len(name)}", "libx.so", len(name) % 2 == 0) for name in names[::2])
    defined = tuple(Defined(name, f"D_{len(name)}") for name in names[1::2])
    data = build_elf(
        MACHINES[machine], needed=tuple(needed), undefined=undefined, defined=defined, hash=table, sections=False
    )
    image = parse(data, "lib.so")
    assert image.needed == tuple(needed)
    assert [tuple(symbol) for symbol in image.undefined] == [tuple(symbol) for symbol in undefined]
    assert {(symbol.name, symbol.version) for symbol in parse_defined(data, "lib.so")} == {
        (symbol.name, symbol.version) for symbol in defined
    }
