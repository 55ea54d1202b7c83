"""Libraries of the system whose symbols have no versions: which release brought each symbol, and what policies promise.

A file that uses `g_source_set_static_name` needs glib 2.70, but no version of a symbol says so. Debian keeps lists that
do; the tables in `data/symbols` are made from them (tools/make_symbols.py), one for each library, and read only where a
file needs that library. What the systems of each policy have is in `data/libraries.json` (tools/make_distros.py).
"""

from __future__ import annotations

from functools import lru_cache

from deloc8.paths import read_beside
from deloc8.patterns import pattern
from deloc8.policy.model import number_key
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.policy.model import Policy

PROJECTS = {
    "libglib-2.0.so.0": "glib",
    "libgobject-2.0.so.0": "glib",
    "libgthread-2.0.so.0": "glib",
    "libX11.so.6": "libX11",
    "libXext.so.6": "libXext",
    "libXrender.so.1": "libXrender",
    "libICE.so.6": "libICE",
    "libSM.so.6": "libSM",
    "libGL.so.1": "libglvnd",
    "libexpat.so.1": "expat",
    "libz.so.1": "zlib",
}
"""The project of each library, as its releases are called."""

WITHOUT_VERSIONS = frozenset(PROJECTS) - {"libz.so.1"}
"""Those that have no versions at all; of zlib only some builds have none."""

BEHIND = {
    "libgobject-2.0.so.0": ("libglib-2.0.so.0",),
    "libgthread-2.0.so.0": ("libglib-2.0.so.0",),
    "libXext.so.6": ("libX11.so.6",),
    "libXrender.so.1": ("libX11.so.6",),
    "libSM.so.6": ("libICE.so.6",),
}
"""The libraries that come with another: a file that needs the latter alone can use their symbols too."""

COMPANIONS = {
    "libgio-2.0.so.0": "glib",
    "libgmodule-2.0.so.0": "glib",
    "libgirepository-2.0.so.0": "glib",
    "libX11-xcb.so.1": "libX11",
    "libEGL.so.1": "libglvnd",
    "libGLX.so.0": "libglvnd",
    "libGLdispatch.so.0": "libglvnd",
    "libOpenGL.so.0": "libglvnd",
}
"""Other libraries of these projects, which no policy takes from the system."""


# The libraries that gcc builds for what it compiles (the folders of its sources whose names begin with lib).
_OF_GCC = pattern(
    r"lib(gcc_s|stdc\+\+|gfortran|quadmath|gomp|atomic|itm|objc|objc_gc|go|gphobos|gdruntime|gnat-\d+|gnarl-\d+|m2\w+"
    r"|gccjit|cc1|vtv|ssp|cilkrts|mpx|mpxwrappers|gcj|(a|t|l|ub|hwa)san)\.so.*"
)


def project_of(name: str) -> str:
    """The project of a library that policies take from the system, or of one that is built with it; else empty."""
    known = PROJECTS.get(name) or COMPANIONS.get(name)
    if known:
        return known
    return "gcc" if _OF_GCC.fullmatch(name) else ""


class SymbolTable(NamedTuple):
    """The release of its project that brought each symbol of a library.

    Attributes:
        project: The project.
        last: The last release that the table knows.
        since: The release of each symbol; empty for those that were always there.
    """

    project: str
    last: str
    since: Mapping[str, str]


@lru_cache(maxsize=len(PROJECTS))
def symbol_table(soname: str) -> SymbolTable:
    """The table of a library in `PROJECTS`."""
    import json  # noqa: PLC0415  hardly any wheel needs one

    table = json.loads(read_beside(__file__, "data", "symbols", f"{soname}.json"))
    since = {symbol: release for release, symbols in table["since"].items() for symbol in symbols.split()}
    return SymbolTable(project=table["project"], last=table["last"], since=since)


@lru_cache(maxsize=1)
def _releases() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Releases: those promised, by project and the glibc of a policy; those of distributions, by name and project."""
    import json  # noqa: PLC0415  hardly any wheel asks

    table: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(read_beside(__file__, "data", "libraries.json"))
    return table


def offered_release(distribution: str, project: str) -> str:
    """The release of a project that one of a distribution, such as ``Debian 12``, has; empty where it is not known."""
    return _releases()["releases"].get(distribution, {}).get(project, "")


def promised_release(policy: Policy, project: str) -> str | None:
    """The release of a project that every system of a policy has; None where the policy promises nothing of glibc.

    It is that of the newest reference system whose glibc the policy does not exceed. The reference of a policy that
    none is old enough for is the oldest; a project that no reference has is promised in no release.
    """
    ceiling = policy.ceilings.get("GLIBC")
    most = number_key(ceiling.maximum) if ceiling and ceiling.maximum else None
    if most is None:
        return None
    numbers = _releases()["promised"].get(project, {})
    release = next(iter(numbers.values()), "0")
    for glibc, number in numbers.items():
        if (number_key(glibc) or ((), "")) <= most:
            release = number
    return release
