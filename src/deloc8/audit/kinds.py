"""The machine and the C library that a wheel is for: what most of its files show, and what its name says."""

from __future__ import annotations

from collections import Counter

from deloc8.errors import WheelError
from deloc8.loader.ldconf import libc_of_system
from deloc8.loader.libc import libc_of
from deloc8.target import parse_platform_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.sysroot import Sysroot
    from deloc8.target import Arch, Libc
    from deloc8.wheel.names import WheelName


def choose_arch(name: WheelName, images: Mapping[str, ElfImage]) -> Arch | None:
    """The machine that the file name says, if files for it are there; else the machine of most files.

    Raises:
        WheelError: All files are for machines that no policy knows (``unknown-machine``).
    """
    if not images:
        return None
    counts = Counter(image.arch for image in images.values() if image.arch)
    if not counts:
        member, image = next(iter(images.items()))
        raise WheelError(
            f"{name.filename}: its compiled files are for a machine that is unknown to the policies",
            code="unknown-machine",
            context=(f"`{member}` is {describe_machine(image)}",),
            hints=("wheels for this machine can only carry the tag `linux_...`; there is nothing to audit or repair",),
        )
    for platform in name.platforms:
        arch = parse_platform_tag(platform).arch
        if arch in counts:
            return arch
    return max(sorted(counts, key=lambda arch: arch.value), key=lambda arch: counts[arch])


def describe_machine(image: ElfImage) -> str:
    """The fields of a file's header that tell its machine, in one line."""
    order = "little" if image.little_endian else "big"
    return f"e_machine {image.machine}, {image.bits} bit, {order} endian, e_flags 0x{image.flags:x}"


def choose_libc(name: WheelName, images: Mapping[str, ElfImage], arch: Arch | None, sysroot: Sysroot) -> Libc | None:
    """The C library that most files show; else the one the file name promises; else that of the system."""
    if arch is None:
        return None
    shown = [libc_of(image, member) for member, image in images.items() if image.arch is arch]
    counts = Counter(libc for libc in shown if libc)
    promised = next((libc for libc in (parse_platform_tag(tag).libc for tag in name.platforms) if libc), None)
    if promised in counts or not counts:
        return promised or libc_of_system(sysroot, arch)
    return max(sorted(counts, key=lambda libc: libc.value), key=lambda libc: counts[libc])
