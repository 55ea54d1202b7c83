"""Machines, C libraries and platform tags: parse and print."""

from __future__ import annotations

import enum

from deloc8.patterns import pattern
from deloc8.values import dataclass


class Libc(enum.Enum):
    """The C library that a binary was linked against."""

    GLIBC = "glibc"
    MUSL = "musl"
    ANDROID = "android"


class Arch(enum.Enum):
    """A machine that the policies know; the value is its name in platform tags."""

    X86_64 = "x86_64"
    I686 = "i686"
    AARCH64 = "aarch64"
    ARMV7L = "armv7l"
    PPC64LE = "ppc64le"
    PPC64 = "ppc64"
    S390X = "s390x"
    RISCV64 = "riscv64"
    LOONGARCH64 = "loongarch64"

    @property
    def largest_page(self) -> int:
        """The largest page, in bytes, that a kernel for this machine may use."""
        return _LARGEST_PAGE.get(self, 0x1000)

    @property
    def bits(self) -> int:
        """The width of a pointer."""
        return 32 if self in {Arch.I686, Arch.ARMV7L} else 64


# The linkers' maximum page sizes; kernels of these machines are configured with pages up to that.
_LARGEST_PAGE = {Arch.AARCH64: 0x10000, Arch.PPC64LE: 0x10000, Arch.PPC64: 0x10000, Arch.LOONGARCH64: 0x10000}

# e_machine values of the ELF specification and its processor supplements.
_EM_386 = 3
_EM_PPC64 = 21
_EM_S390 = 22
_EM_ARM = 40
_EM_X86_64 = 62
_EM_AARCH64 = 183
_EM_RISCV = 243
_EM_LOONGARCH = 258

_ARCH_OF_ELF = {
    (_EM_X86_64, 64, True): Arch.X86_64,
    (_EM_386, 32, True): Arch.I686,
    (_EM_AARCH64, 64, True): Arch.AARCH64,
    (_EM_ARM, 32, True): Arch.ARMV7L,
    (_EM_PPC64, 64, True): Arch.PPC64LE,
    (_EM_PPC64, 64, False): Arch.PPC64,
    (_EM_S390, 64, False): Arch.S390X,
    (_EM_RISCV, 64, True): Arch.RISCV64,
    (_EM_LOONGARCH, 64, True): Arch.LOONGARCH64,
}

# e_flags of 32-bit Arm: EABI version 5 in the top byte; 0x400 says hard float, 0x200 says soft float
# (ELF for the Arm Architecture, 5.2.3). Shared libraries may carry neither float bit.
_EF_ARM_EABIMASK = 0xFF000000
_EF_ARM_EABI_VER5 = 0x05000000
_EF_ARM_ABI_FLOAT_SOFT = 0x200


def arch_of_elf(machine: int, *, bits: int, little_endian: bool, flags: int) -> Arch | None:
    """The machine that an ELF header describes, or None where the policies know none like it."""
    arch = _ARCH_OF_ELF.get((machine, bits, little_endian))
    if arch is Arch.ARMV7L and (flags & _EF_ARM_EABIMASK != _EF_ARM_EABI_VER5 or flags & _EF_ARM_ABI_FLOAT_SOFT):
        return None
    return arch


# Android names its machines otherwise (PEP 738).
_ANDROID_ARCH = {"arm64_v8a": Arch.AARCH64, "x86_64": Arch.X86_64, "armeabi_v7a": Arch.ARMV7L, "x86": Arch.I686}

_OTHER_NAMES = {"i386": Arch.I686, "i586": Arch.I686, "armv8l": Arch.ARMV7L}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTag:
    """A platform tag taken apart.

    Attributes:
        text: The tag as it was written, such as ``manylinux2014_x86_64``.
        policy: The part before the machine, such as ``manylinux2014``, ``linux``.
        arch: The machine; None for ``any`` and for machines that the policies do not know.
    """

    text: str
    policy: str
    arch: Arch | None

    @property
    def libc(self) -> Libc | None:
        """The C library that the tag promises; None where it promises none."""
        if self.policy.startswith("manylinux"):
            return Libc.GLIBC
        if self.policy.startswith("musllinux"):
            return Libc.MUSL
        return Libc.ANDROID if self.policy.startswith("android") else None


_ANDROID_TAG = pattern(r"(android_\d+)_(\w+)")


def parse_platform_tag(text: str) -> PlatformTag:
    """The parts of a platform tag; any text is accepted, an unknown machine gives ``arch=None``."""
    android = _ANDROID_TAG.fullmatch(text)
    if android:
        return PlatformTag(text=text, policy=android[1], arch=_ANDROID_ARCH.get(android[2]))
    for arch in Arch:
        if text.endswith("_" + arch.value):
            return PlatformTag(text=text, policy=text[: -len(arch.value) - 1], arch=arch)
    for name, arch in _OTHER_NAMES.items():
        if text.endswith("_" + name):
            return PlatformTag(text=text, policy=text[: -len(name) - 1], arch=arch)
    return PlatformTag(text=text, policy=text, arch=None)


def make_platform_tag(policy: str, arch: Arch) -> str:
    """The tag of a policy on a machine, such as ``manylinux_2_17_x86_64`` or ``android_24_arm64_v8a``."""
    if policy.startswith("android_"):
        names = {known: name for name, known in _ANDROID_ARCH.items()}
        return f"{policy}_{names.get(arch, arch.value)}"
    return f"{policy}_{arch.value}"
