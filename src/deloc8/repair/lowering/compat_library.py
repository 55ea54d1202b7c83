"""The compatibility library: functions of newer releases of glibc, for wheels that shall run on older ones.

The sources are in compat/ of the repository, with what builds them; a wheel of deloc8 carries the libraries. The table
of what they hold is written by tools/make_compat.py.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from types import MappingProxyType

from deloc8.errors import UnrepairableError
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    from deloc8.target import Arch

__all__ = ["LICENCE", "SONAME", "CompatFunction", "library", "provided", "replacement"]

SONAME = "libdeloc8_compat.so.1"
"""The soname that the library is built with; a graft of it gets a name of its own, as all grafts do."""

LICENCE = "MIT-0"
"""The licence of its sources, compat/LICENSE, in the words of SPDX: it asks nothing of who passes the library on."""

_DATA = Path(__file__).parent.parent / "data"
_PREFIX = "GLIBC_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatFunction:
    """A function that the library of a machine holds.

    Attributes:
        name: The symbol.
        replaces: The symbol of glibc in whose place it is taken; another one where older releases have another
            function under that name.
        since: The version under which glibc has it there, such as ``GLIBC_2.33``.
        needs: The highest version that the library asks of glibc, such as ``GLIBC_2.17``.
        description: What it does and by which means, in a line.
    """

    name: str
    replaces: str
    since: str
    needs: str
    description: str


if TYPE_CHECKING:

    class _Machine(TypedDict):
        needs: str
        functions: dict[str, str]

    class _Table(TypedDict):
        """The table as it is stored; versions are without ``GLIBC_``."""

        descriptions: dict[str, str]
        replaces: dict[str, str]
        machines: dict[str, _Machine]


@cache
def _table() -> _Table:
    table: _Table = json.loads((_DATA / "compat.json").read_text("utf-8"))
    return table


@cache
def provided(arch: Arch) -> Mapping[str, CompatFunction]:
    """The functions that the library of a machine holds, by name; none where there is no library for it.

    A function is there only where glibc introduced it after the first release that has a platform tag on that machine.
    """
    table = _table()
    if arch.value not in table["machines"]:
        return MappingProxyType({})
    machine = table["machines"][arch.value]
    return MappingProxyType(
        {
            name: CompatFunction(
                name=name,
                replaces=table["replaces"].get(name, name),
                since=_PREFIX + since,
                needs=_PREFIX + machine["needs"],
                description=table["descriptions"][name],
            )
            for name, since in machine["functions"].items()
        }
    )


def replacement(arch: Arch, symbol: str, version: str) -> CompatFunction | None:
    """The function that can be taken in place of a symbol and version of glibc on a machine; None for none."""
    function = _replacements(arch).get(symbol)
    # All versions of a function that came late are younger than the library; of the others one is meant.
    if function is None or (function.name != symbol and function.since != version):
        return None
    return function


@cache
def _replacements(arch: Arch) -> Mapping[str, CompatFunction]:
    return {function.replaces: function for function in provided(arch).values()}


def library(arch: Arch) -> bytes:
    """The library of a machine, as it was built.

    Raises:
        UnrepairableError: There is none for this machine, or it has not been built (``compat-library-missing``).
    """
    if not provided(arch):
        raise UnrepairableError(
            f"there is no compatibility library for {arch.value}",
            code="compat-library-missing",
            context=[f"machines that have one: {', '.join(sorted(_table()['machines']))}"],
        )
    plain = _DATA / "compat" / f"{arch.value}.so"
    packed = plain.with_name(plain.name + ".zlib")
    try:
        # As compat/build.py writes it; who packages deloc8 may unpack it.
        return zlib.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    except FileNotFoundError:
        raise UnrepairableError(
            f"the compatibility library for {arch.value} has not been built",
            code="compat-library-missing",
            context=[f"looked for {packed}", "deloc8 runs from its sources; its wheels carry the library"],
            hints=[
                "in the folder of the sources, `make compat` builds it",
                "or install a wheel of deloc8",
            ],
        ) from None
