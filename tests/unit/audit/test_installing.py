"""Which systems take a platform tag; `packaging`, which pip carries with it, is asked the same."""

from __future__ import annotations

import pytest
from packaging import _manylinux, _musllinux

from deloc8.audit.installing import Floor, floor_of, lowest_floor
from deloc8.policy.model import number_key
from deloc8.target import Arch, Libc

MANYLINUX = (
    *("manylinux1", "manylinux2010", "manylinux2014", "manylinux_2_5", "manylinux_2_12", "manylinux_2_17"),
    *("manylinux_2_18", "manylinux_2_28", "manylinux_2_34", "manylinux_2_35", "manylinux_2_43"),
)
MUSLLINUX = ("musllinux_1_1", "musllinux_1_2", "musllinux_1_3")


def takes(number: str, offered: str) -> bool:
    key, have = number_key(number), number_key(offered)
    assert have is not None
    return key is None or key <= have


@pytest.mark.parametrize("glibc", [(2, 11), (2, 17), (2, 28), (2, 34), (2, 36), (2, 43)])
def test_glibc_as_packaging_reads_it(glibc: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_manylinux, "_get_glibc_version", lambda: glibc)
    known = set(_manylinux.platform_tags(["x86_64"]))
    for name in MANYLINUX:
        floor = floor_of(f"{name}_x86_64", Arch.X86_64, Libc.GLIBC)
        assert floor is not None
        assert takes(floor, f"{glibc[0]}.{glibc[1]}") is (f"{name}_x86_64" in known), name


@pytest.mark.parametrize("minor", [1, 2])
def test_musl_as_packaging_reads_it(minor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    version = _musllinux._MuslVersion(major=1, minor=minor)
    monkeypatch.setattr(_musllinux, "_get_musl_version", lambda _: version)
    known = set(_musllinux.platform_tags(["x86_64"]))
    for name in MUSLLINUX:
        floor = floor_of(f"{name}_x86_64", Arch.X86_64, Libc.MUSL)
        assert floor is not None
        assert takes(floor, f"1.{minor}") is (f"{name}_x86_64" in known), name


@pytest.mark.parametrize("libc", [Libc.GLIBC, Libc.MUSL])
def test_tags_that_every_linux_takes(libc: Libc) -> None:
    assert [floor_of(tag, Arch.X86_64, libc) for tag in ("any", "linux_x86_64")] == ["", ""]


@pytest.mark.parametrize(
    "tag", ["win_amd64", "manylinux_2_17_aarch64", "linux_i686", "musllinux_1_2_x86_64", "manylinux_2_4_x86_64"]
)
def test_tags_that_no_such_system_takes(tag: str) -> None:
    assert floor_of(tag, Arch.X86_64, Libc.GLIBC) is None


def test_the_lowest_of_several_counts() -> None:
    found = lowest_floor(("manylinux_2_28_x86_64", "manylinux_2_9_x86_64", "win_amd64"), Arch.X86_64, Libc.GLIBC)
    assert found == Floor("manylinux_2_9_x86_64", "2.9")
    found = lowest_floor(("manylinux_2_28_x86_64", "linux_x86_64"), Arch.X86_64, Libc.GLIBC)
    assert found == Floor("linux_x86_64", "")
    assert lowest_floor(("win_amd64",), Arch.X86_64, Libc.GLIBC) is None
