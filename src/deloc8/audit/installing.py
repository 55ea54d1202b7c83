"""Platform tags as an installer reads them: from which release of a C library on it takes a wheel."""

from __future__ import annotations

from deloc8.errors import UsageError
from deloc8.policy.load import builtin_policies, find_policy
from deloc8.policy.model import number_key
from deloc8.target import parse_platform_tag
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from deloc8.target import Arch, Libc


class Floor(NamedTuple):
    """The tag of a wheel that the oldest systems take.

    Attributes:
        tag: The tag.
        number: The release of the C library from which on installers take it; empty where any will do.
    """

    tag: str
    number: str


def lowest_floor(tags: Iterable[str], arch: Arch | None, libc: Libc | None) -> Floor | None:
    """The lowest floor of some platform tags; None where no system with that machine and C library takes one."""
    floors = []
    for tag in tags:
        number = floor_of(tag, arch, libc)
        if number is not None:
            floors.append(Floor(tag, number))
    return min(floors, key=lambda floor: number_key(floor.number) or ((), ""), default=None)


def floor_of(tag: str, arch: Arch | None, libc: Libc | None) -> str | None:
    """The release of a C library from which on installers take a tag; empty for any, None for none.

    `packaging.tags` compares nothing but this number and the machine (PEP 600, PEP 656); `linux` and `any` have none.
    """
    parsed = parse_platform_tag(tag)
    if tag == "any":
        return ""
    if parsed.arch is None or parsed.arch is not arch:
        return None
    if parsed.policy == "linux":
        return ""
    if parsed.libc is None or parsed.libc is not libc:
        return None
    try:
        policy = find_policy(tag, builtin_policies(parsed.arch, parsed.libc), parsed.arch)
    except UsageError:
        return None
    return ".".join(policy.name.split("_")[1:])
