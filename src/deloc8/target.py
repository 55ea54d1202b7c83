"""C libraries and platform tags: parse and print. Machines are in `machines`."""

from __future__ import annotations

import enum

from deloc8.machines import ARCH_NAMED, ROWS, Arch, arch_of_elf
from deloc8.patterns import pattern
from deloc8.values import dataclass

__all__ = ["Arch", "Libc", "PlatformTag", "arch_of_elf", "make_platform_tag", "parse_platform_tag"]


class Libc(enum.Enum):
    """The C library that a binary was linked against."""

    GLIBC = "glibc"
    MUSL = "musl"
    ANDROID = "android"


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
        return PlatformTag(text=text, policy=android[1], arch=_android_arch(android[2]))
    for name, arch in ARCH_NAMED.items():
        if text.endswith("_" + name):
            return PlatformTag(text=text, policy=text[: -len(name) - 1], arch=arch)
    return PlatformTag(text=text, policy=text, arch=None)


def _android_arch(name: str) -> Arch | None:
    for row in ROWS:
        if row.android == name:
            return row.arch
    return None


def make_platform_tag(policy: str, arch: Arch) -> str:
    """The tag of a policy on a machine, such as ``manylinux_2_17_x86_64`` or ``android_24_arm64_v8a``."""
    if policy.startswith("android_"):
        return f"{policy}_{arch.row.android or arch.value}"
    return f"{policy}_{arch.value}"
