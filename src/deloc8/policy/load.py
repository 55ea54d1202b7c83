"""The policies that deloc8 knows: its tables, those computed from them, and the search by name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from deloc8.errors import UsageError
from deloc8.paths import read_beside
from deloc8.patterns import pattern
from deloc8.policy.files import read_policies
from deloc8.policy.model import EVERY_LIBRARY, Ceiling, Family, Policy
from deloc8.target import Arch, Libc, parse_platform_tag
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypedDict

__all__ = [
    "LAST_MINOR",
    "MINIMAL_SYSTEM_LACKS",
    "android_policy",
    "builtin_policies",
    "find_policy",
    "host_only_reason",
    "manylinux_policy",
    "musllinux_policy",
    "read_policies",
]

MINIMAL_SYSTEM_LACKS = frozenset(
    {
        "libGL.so.1",
        "libICE.so.6",
        "libSM.so.6",
        "libX11.so.6",
        "libXext.so.6",
        "libXrender.so.1",
        "libatomic.so.1",
        "libexpat.so.1",
        "libglib-2.0.so.0",
        "libgobject-2.0.so.0",
        "libgthread-2.0.so.0",
        "libnsl.so.1",
    }
)
"""Libraries that policies take from the system although a minimal installation does not have them."""

_SEED_POLICY = "linux_pybe1_core"

_FAMILY = {Libc.GLIBC: Family.MANYLINUX, Libc.MUSL: Family.MUSLLINUX, Libc.ANDROID: Family.ANDROID}

# Versions of glibc's ABI that are no numbers, and the release from which every glibc has them. The last three came
# with 2.42 or 2.43, depending on the machine; a policy must promise no more than is sure.
_ABI_SINCE = {"ABI_DT_RELR": 36, "ABI_GNU2_TLS": 43, "ABI_GNU_TLS": 43, "ABI_DT_X86_64_PLT": 43}

# The table forbids by name the symbols that glibc 2.18 brought, since distributions backported them without
# a version to tell; from manylinux_2_18 on they are there.
_GLIBC_NAMES_SINCE = 18
_GLIBC_LIBRARIES = frozenset({"libc.so.6", "libm.so.6", "libpthread.so.0"})


def is_of_glibc(library: str | None) -> bool:
    """Whether a library whose symbols some policies forbid is a part of glibc, which is never copied into a wheel."""
    return library in _GLIBC_LIBRARIES


HINT_ON_GLIBC = (
    f"glibc is never copied into a wheel, and only some builds of older ones have the symbol: aim at "
    f"manylinux_2_{_GLIBC_NAMES_SINCE} or newer with --plat, build with an older glibc, or look the symbol up at run "
    "time (dlsym)"
)
"""How to do without a symbol of glibc that a policy forbids."""

LAST_MINOR = 999
"""The last number of a computed policy.

PEP 600 and PEP 656 set no end, but two releases come a year, so this is one for some centuries, and a slip of the
keyboard or a hostile file makes no list of a billion versions.
"""


if TYPE_CHECKING:

    class _Row(TypedDict, total=False):
        """A policy in the tables (tools/make_policies.py): what it has more than the one before it."""

        name: str
        aliases: list[str]
        more_libraries: list[str]
        forbidden_symbols: dict[str, list[str]]
        ceilings: dict[str, dict[str, list[str | None]]]

    class _HostGroup(TypedDict):
        """Libraries that must come from the machine the wheel runs on, for one reason."""

        reason: str
        source: str
        libraries: list[str]

    class _Table(TypedDict):
        known_versions: dict[str, dict[str, list[str]]]
        policies: list[_Row]


@lru_cache(maxsize=len(Arch) * len(Libc))
def builtin_policies(arch: Arch, libc: Libc) -> tuple[Policy, ...]:
    """The policies of one machine and C library, best first: the one that most systems satisfy; `linux` is the last.

    For glibc the seed's `linux_pybe1_core` stands before `linux`, on every machine: it asks little of the
    machine, though glibc of some begins above its GLIBC_2.5. It is no tag that installers know.
    """
    policies = list(_table_policies(arch, _FAMILY[libc]))
    if libc is Libc.GLIBC:
        policies += read_policies(read_beside(__file__, "data", f"{_SEED_POLICY}.json"), _SEED_POLICY, arch)
    generic = Policy(name="linux", family=Family.LINUX, arch=arch, libraries=frozenset({EVERY_LIBRARY}))
    return (*policies, generic)


def _table_policies(arch: Arch, family: Family) -> tuple[Policy, ...]:
    import json  # noqa: PLC0415 # only who reads policies pays for it

    table: _Table = json.loads(read_beside(__file__, "data", f"{family.value}.json"))
    known = {name: frozenset(numbers) for name, numbers in table["known_versions"].get(arch.value, {}).items()}
    policies = []
    libraries: frozenset[str] = frozenset()
    forbidden: dict[str, frozenset[str]] = {}
    for row in table["policies"]:
        libraries = libraries.union(row["more_libraries"])
        if "forbidden_symbols" in row:
            forbidden = {library: frozenset(symbols) for library, symbols in row["forbidden_symbols"].items()}
        if arch.value in row["ceilings"]:
            policies.append(
                Policy(
                    name=row["name"],
                    aliases=tuple(row["aliases"]),
                    family=family,
                    arch=arch,
                    libraries=libraries,
                    forbidden_symbols=forbidden,
                    ceilings=_ceilings(row["ceilings"][arch.value], known),
                )
            )
    return tuple(policies)


def _ceilings(limits: Mapping[str, list[str | None]], known: Mapping[str, frozenset[str]]) -> dict[str, Ceiling]:
    return {
        name: Ceiling(maximum=maximum, also=frozenset(filter(None, also)), known=known[name])
        for name, (maximum, *also) in limits.items()
    }


def manylinux_policy(minor: int, arch: Arch) -> Policy:
    """The policy ``manylinux_2_MINOR``: of the table, or computed for any glibc that the table has not (PEP 600).

    A computed policy ends at GLIBC_2.MINOR and has everything else, such as the C++ runtime, from the nearest older
    policy of the table. Newer than the table, every GLIBC_2.x between counts as a version that exists.

    Raises:
        UsageError: It is older than every policy of the machine, or no glibc has this number.
    """
    name = f"manylinux_2_{minor}"
    points = _points(arch, Libc.GLIBC)
    base = points[_nearest_lower(name, minor, points, arch)]
    if base.name == name:
        return base
    glibc = base.ceilings["GLIBC"]
    exist = {f"2.{later}" for later in range(max(points) + 1, minor + 1)}
    ceiling = Ceiling(
        maximum=f"2.{minor}",
        also=glibc.also.union(marker for marker, since in _ABI_SINCE.items() if since <= minor),
        known=(glibc.known or frozenset()) | exist,
    )
    forbidden = {
        library: symbols
        for library, symbols in base.forbidden_symbols.items()
        if minor < _GLIBC_NAMES_SINCE or library not in _GLIBC_LIBRARIES
    }
    ceilings = {**base.ceilings, "GLIBC": ceiling}
    return replace(base, name=name, aliases=(), ceilings=ceilings, forbidden_symbols=forbidden)


def musllinux_policy(major: int, minor: int, arch: Arch) -> Policy:
    """The policy ``musllinux_MAJOR_MINOR`` (PEP 656); a newer one than the table's asks for what its last one does.

    Raises:
        UsageError: It is older than every policy of the machine, or musl has no such version.
    """
    name = f"musllinux_{major}_{minor}"
    if major != 1:
        raise UsageError(
            f"there is no policy `{name}`", code="unknown-platform", context=["the major version of musl is 1"]
        )
    points = _points(arch, Libc.MUSL)
    return replace(points[_nearest_lower(name, minor, points, arch)], name=name)


def android_policy(level: int, arch: Arch) -> Policy:
    """The policy ``android_LEVEL`` (PEP 738); between two levels of the table the lower one holds.

    Raises:
        UsageError: It is older than every policy of the machine, or there are none for this machine.
    """
    name = f"android_{level}"
    points = _points(arch, Libc.ANDROID)
    return replace(points[_nearest_lower(name, level, points, arch)], name=name)


def _points(arch: Arch, libc: Libc) -> dict[int, Policy]:
    """The policies of the table by their last number, ascending."""
    return {
        int(policy.name.rpartition("_")[2]): policy
        for policy in builtin_policies(arch, libc)
        if policy.family is _FAMILY[libc]
    }


def _nearest_lower(name: str, number: int, points: Mapping[int, Policy], arch: Arch) -> int:
    """The highest point of the table that is not above the number."""
    if not points:
        why = f"{arch.value} has no policies of this kind"
    elif number < min(points):
        why = f"the oldest policy of {arch.value} is {points[min(points)].name}"
    elif number > LAST_MINOR:
        why = f"numbers above {LAST_MINOR} are taken for a slip"
    else:
        return max(point for point in points if point <= number)
    raise UsageError(f"there is no policy `{name}` for {arch.value}", code="unknown-platform", context=[why])


_COMPUTABLE = pattern(r"(manylinux|musllinux|android)((?:_(?:0|[1-9][0-9]{0,8})){1,2})")


def find_policy(text: str, policies: Sequence[Policy], arch: Arch) -> Policy:
    """The policy with this name, with or without the machine: ``manylinux2014``, ``manylinux_2_17_x86_64``, ``linux``.

    The first match counts, so policies of files stand before the built-in ones where they shall win. A tag that
    the policies do not have but whose family they have, such as ``manylinux_2_43``, is computed.

    Raises:
        UsageError: ``other-machine``: the tag is for another machine; ``unknown-platform``: nothing has this name.
    """
    tag = parse_platform_tag(text)
    for policy in policies:
        if text in policy.names or text in policy.tags or text == ".".join(policy.tags):
            return policy
        if tag.arch is arch and tag.policy in policy.names:
            return policy
    if tag.arch not in {None, arch}:
        raise UsageError(
            f"`{text}` is a tag of another machine: the wheel is for {arch.value}",
            code="other-machine",
            hints=[f"without the machine, `{tag.policy}` means this one"],
        )
    computed = _computed(tag.policy if tag.arch else text, policies, arch)
    if computed is None:
        raise _unknown(text, policies)
    return computed


_GLIBC_MAJOR = 2


def _computed(name: str, policies: Sequence[Policy], arch: Arch) -> Policy | None:
    """The policy of a release that is not among some policies, if one of its family is."""
    found = _COMPUTABLE.fullmatch(name)
    if found is None or all(policy.family.value != found[1] for policy in policies):
        return None
    family = found[1]
    match tuple(map(int, found[2][1:].split("_"))):
        case (level,) if family == "android":
            return android_policy(level, arch)
        case (major, minor) if family == "musllinux":
            return musllinux_policy(major, minor, arch)
        case (major, minor) if family == "manylinux" and major == _GLIBC_MAJOR:
            return manylinux_policy(minor, arch)
        case _:
            return None


def _unknown(text: str, policies: Sequence[Policy]) -> UsageError:
    import difflib  # noqa: PLC0415 # only for a fault

    names = [name for policy in policies for name in policy.names]
    tags = [tag for policy in policies for tag in policy.tags]
    close = difflib.get_close_matches(text[:100], names + tags, n=3)
    return UsageError(
        f"no policy is called `{text}`",
        code="unknown-platform",
        context=[f"the policies are {', '.join(names)}"],
        hints=[f"did you mean {' or '.join(f'`{name}`' for name in close)}?"] if close else [],
    )


@lru_cache(maxsize=1)
def _host_only() -> tuple[tuple[str, str], ...]:
    """Patterns (fnmatch, case matters) for sonames that must come from the machine the wheel runs on, with reasons."""
    import json  # noqa: PLC0415 # only who reads policies pays for it

    groups: list[_HostGroup] = json.loads(read_beside(__file__, "data", "host_libraries.json"))
    rows: list[tuple[str, str]] = []
    for group in groups:
        rows += [(pattern, group["reason"]) for pattern in group["libraries"]]
    return tuple(rows)


def host_only_reason(name: str) -> str | None:
    """Why a library must come from the machine the wheel runs on, as the end of a sentence; None where it need not.

    A copy from another machine fails there, or crashes.
    """
    return next((reason for glob, reason in _host_only() if fnmatchcase(name, glob)), None)
