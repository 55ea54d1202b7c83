"""Machines and platform tags."""

from __future__ import annotations

import pytest

from deloc8.target import Arch, Libc, arch_of_elf, make_platform_tag, parse_platform_tag


@pytest.mark.parametrize(
    ("machine", "bits", "little_endian", "arch"),
    [
        (62, 64, True, Arch.X86_64),
        (62, 32, True, None),  # x32
        (3, 32, True, Arch.I686),
        (183, 64, True, Arch.AARCH64),
        (183, 64, False, None),
        (21, 64, True, Arch.PPC64LE),
        (21, 64, False, Arch.PPC64),
        (22, 64, False, Arch.S390X),
        (22, 32, False, None),
        (243, 64, True, Arch.RISCV64),
        (243, 32, True, None),
        (258, 64, True, Arch.LOONGARCH64),
        (8, 32, True, None),
    ],
)
def test_machines(machine: int, bits: int, little_endian: bool, arch: Arch | None) -> None:  # noqa: FBT001
    assert arch_of_elf(machine, bits=bits, little_endian=little_endian, flags=0) is arch


@pytest.mark.parametrize(
    ("flags", "arch"),
    [
        (0x05000400, Arch.ARMV7L),
        (0x05000000, Arch.ARMV7L),
        (0x05000200, None),  # soft float
        (0x04000400, None),  # EABI 4
        (0, None),
    ],
)
def test_arm_needs_eabi_5_and_hard_float(flags: int, arch: Arch | None) -> None:
    assert arch_of_elf(40, bits=32, little_endian=True, flags=flags) is arch


def test_pages_and_words() -> None:
    assert {arch.value: arch.largest_page for arch in Arch} == {
        "x86_64": 4096,
        "i686": 4096,
        "aarch64": 65536,
        "armv7l": 4096,
        "ppc64le": 65536,
        "ppc64": 65536,
        "s390x": 4096,
        "riscv64": 4096,
        "loongarch64": 65536,
    }
    assert {arch.value for arch in Arch if arch.bits == 32} == {"i686", "armv7l"}


@pytest.mark.parametrize(
    ("tag", "policy", "arch", "libc"),
    [
        ("manylinux_2_17_x86_64", "manylinux_2_17", Arch.X86_64, Libc.GLIBC),
        ("manylinux1_i686", "manylinux1", Arch.I686, Libc.GLIBC),
        ("manylinux2014_ppc64le", "manylinux2014", Arch.PPC64LE, Libc.GLIBC),
        ("manylinux2014_ppc64", "manylinux2014", Arch.PPC64, Libc.GLIBC),
        ("musllinux_1_2_aarch64", "musllinux_1_2", Arch.AARCH64, Libc.MUSL),
        ("android_24_arm64_v8a", "android_24", Arch.AARCH64, Libc.ANDROID),
        ("android_21_x86_64", "android_21", Arch.X86_64, Libc.ANDROID),
        ("android_21_x86", "android_21", Arch.I686, Libc.ANDROID),
        ("android_21_mips", "android_21", None, Libc.ANDROID),
        ("linux_x86_64", "linux", Arch.X86_64, None),
        ("linux_armv8l", "linux", Arch.ARMV7L, None),
        ("linux_i386", "linux", Arch.I686, None),
        ("linux_pybe1_core_x86_64", "linux_pybe1_core", Arch.X86_64, None),
        ("linux_mips64", "linux_mips64", None, None),
        ("any", "any", None, None),
        ("", "", None, None),
    ],
)
def test_parse(tag: str, policy: str, arch: Arch | None, libc: Libc | None) -> None:
    parsed = parse_platform_tag(tag)
    assert (parsed.text, parsed.policy, parsed.arch, parsed.libc) == (tag, policy, arch, libc)


@pytest.mark.parametrize("policy", ["manylinux_2_17", "musllinux_1_2", "linux", "android_24"])
def test_what_is_made_can_be_parsed(policy: str) -> None:
    known = [Arch.X86_64, Arch.I686, Arch.AARCH64, Arch.ARMV7L] if policy == "android_24" else list(Arch)
    for arch in known:
        parsed = parse_platform_tag(make_platform_tag(policy, arch))
        assert (parsed.policy, parsed.arch) == (policy, arch)


def test_make() -> None:
    assert make_platform_tag("manylinux_2_17", Arch.S390X) == "manylinux_2_17_s390x"
    assert make_platform_tag("android_24", Arch.AARCH64) == "android_24_arm64_v8a"
    assert make_platform_tag("android_24", Arch.S390X) == "android_24_s390x"
