"""Wheels whose version records disagree with their counts are repaired and lowered like all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.bench import EXT, Bench, contents
from kit.elf import Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.pyelf import dynamic_of, peer_of
from kit.version_counts import HEADER_LIES, LIES, MISSING, Lie

if TYPE_CHECKING:
    from pathlib import Path

EVERY = {**LIES, **HEADER_LIES, **MISSING}
TAG = "manylinux_2_17_x86_64"
CORE = ElfSpec(
    needed=("libfoo.so.1", "libm.so.6", "libc.so.6"),
    undefined=(
        Undefined("puts", "GLIBC_2.2.5", "libc.so.6"),
        Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
        Undefined("pthread_create", "GLIBC_2.34", "libc.so.6"),
        Undefined("exp", "GLIBC_2.29", "libm.so.6"),
        Undefined("foo", "FOO_1", "libfoo.so.1"),
    ),
    soname="_core.so",
    defined=(Defined("own", "OWN_1"), Defined("other", "OWN_2")),
    parents=(("OWN_1", ()), ("OWN_2", ("OWN_1",))),
)
LIBRARY = ElfSpec(
    soname="libfoo.so.1",
    needed=("libm.so.6", "libc.so.6"),
    undefined=(
        Undefined("puts", "GLIBC_2.2.5", "libc.so.6"),
        Undefined("fcntl64", "GLIBC_2.28", "libc.so.6"),
        Undefined("exp", "GLIBC_2.29", "libm.so.6"),
    ),
    needs=(NeedSpec("libc.so.6", "GLIBC_2.4"),),
    defined=(Defined("foo", "FOO_1"), Defined("other", "FOO_2")),
    parents=(("FOO_1", ()), ("FOO_2", ("FOO_1",))),
)


def repaired(folder: Path, core: bytes, library: bytes, **goal: object) -> dict[str, bytes]:
    """The ELF files of the repaired wheel."""
    bench = Bench(folder)
    bench.system.write("/usr/lib/libfoo.so.1", library)
    outcome = bench.repair(bench.wheel({"demo/__init__.py": b"", EXT: core}), None, **goal)
    assert outcome.proof.problems == ()
    return {name: data for name, data in contents(outcome.path).items() if data.startswith(b"\x7fELF")}


@pytest.mark.parametrize("goal", [{}, {"platform": TAG, "lower_glibc": True}], ids=["grafted", "lowered"])
@pytest.mark.parametrize("lie", EVERY.values(), ids=EVERY)
def test_wrong_counts_are_no_hindrance(tmp_path: Path, lie: Lie, goal: dict[str, object]) -> None:
    core, library = build_elf(CORE), build_elf(LIBRARY)
    wanted = repaired(tmp_path / "sound", core, library, **goal)
    found = repaired(tmp_path / "lying", lie(core), lie(library), **goal)
    assert len(found) == len(wanted) == 2
    # The graft has a part of the hash of its file in its name.
    for (name, data), (_, sound) in zip(sorted(found.items()), sorted(wanted.items()), strict=True):
        after, before = peer_of(data), peer_of(sound)
        assert after.definitions[1:] == before.definitions[1:], name
        assert [versions for _, versions in after.needs] == [versions for _, versions in before.needs], name
        assert [row[:2] for row in after.undefined] == [row[:2] for row in before.undefined], name
        if "DT_VERNEEDNUM" in dynamic_of(data):
            assert dynamic_of(data)["DT_VERNEEDNUM"] == len(after.needs)
