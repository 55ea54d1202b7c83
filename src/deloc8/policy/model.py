"""Model of a policy, and the order of symbol versions."""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from types import MappingProxyType

from deloc8.patterns import pattern
from deloc8.target import Arch, make_platform_tag
from deloc8.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVERY_LIBRARY = "*"
"""In a whitelist: every library may come from the system."""


class Family(enum.Enum):
    """Where a policy comes from, and so which C library it is about."""

    LINUX = "linux"
    MANYLINUX = "manylinux"
    MUSLLINUX = "musllinux"
    ANDROID = "android"
    CUSTOM = "custom"


# The toolchain's own namespaces hold versions that are no numbers: GLIBC_ABI_DT_RELR, GLIBC_PRIVATE, CXXABI_FLOAT128,
# GLIBCXX_LDBL_3.4. Whatever follows their name belongs to them.
TOOLCHAIN_NAMESPACES = frozenset({"CXXABI", "GCC", "GLIBC", "GLIBCXX", "LIBATOMIC"})

# Elsewhere the namespace ends where the number begins: ZLIB_NG_2.1.0, OPENSSL_1_1_0. Nine digits are enough for
# dates (NCURSES6_5.0.19991023) and keep a hostile name from becoming a giant integer.
_NUMBER = r"[0-9]{1,9}(?:[._][0-9]{1,9})*[a-z]?"
_WHOLE_NUMBER = pattern(_NUMBER)
_NAME_AND_NUMBER = pattern(rf"(.+?)_({_NUMBER})")

# Longer names than any real one are not taken apart: the pattern above needs quadratic time on hostile ones.
_LONGEST_NAME = 256


def split_version(version: str) -> tuple[str, str]:
    """The namespace and the number or marker of a version; the number is empty where there is none to see.

    ``GLIBC_2.17`` gives ``("GLIBC", "2.17")``, ``GLIBC_ABI_DT_RELR`` gives ``("GLIBC", "ABI_DT_RELR")`` and
    ``ZLIB_NG_2.1.0`` gives ``("ZLIB_NG", "2.1.0")``.
    """
    namespace, _, marker = version.partition("_")
    if namespace in TOOLCHAIN_NAMESPACES:
        return namespace, marker
    return (version, "") if len(version) > _LONGEST_NAME else _split_short(version)


@lru_cache(maxsize=4096)
def _split_short(version: str) -> tuple[str, str]:
    match = _NAME_AND_NUMBER.fullmatch(version)
    return (match[1], match[2]) if match else (version, "")


@lru_cache(maxsize=4096)
def number_key(number: str) -> tuple[tuple[int, ...], str] | None:
    """The sort key of a number: ``2.5`` < ``2.17`` = ``2.17.0`` < ``2.17a``; None for a marker, which is no number."""
    if not _WHOLE_NUMBER.fullmatch(number):
        return None
    letter = number[-1] if number[-1].isalpha() else ""
    parts = [int(part) for part in re.split("[._]", number.removesuffix(letter))]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts), letter


def version_key(version: str) -> tuple[str, bool, tuple[tuple[int, ...], str], str]:
    """The sort key of a version: by namespace, then by number; markers such as ABI_DT_RELR come after the numbers."""
    namespace, number = split_version(version)
    key = number_key(number)
    return namespace, key is None, key or ((), ""), number


def sort_versions(versions: Iterable[str]) -> tuple[str, ...]:
    """The versions in the order of `version_key`, each once: ``GLIBC_2.2.5``, ``GLIBC_2.14``, ``GLIBC_PRIVATE``."""
    return tuple(sorted(set(versions), key=version_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """How far a policy lets a wheel go in one namespace.

    Attributes:
        maximum: The last number that is allowed, such as ``2.17``; None: no number is.
        also: Versions allowed beside the numbers, such as ``ABI_DT_RELR``.
        known: The numbers that exist; None: every number up to the maximum counts.
    """

    maximum: str | None
    also: frozenset[str] = frozenset()
    known: frozenset[str] | None = None

    def allows(self, number: str) -> bool:
        """Whether the version with this number or marker may be used."""
        if number in self.also:
            return True
        key = number_key(number)
        highest = None if self.maximum is None else number_key(self.maximum)
        if key is None or highest is None:
            return False
        return key <= highest and (self.known is None or number in self.known)


_MUSL_LIBC = "libc.so"

# On Android an extension module is linked with libpython (PEP 738, "Dynamic linkage").
_ANDROID_PYTHON = pattern(r"libpython3\.[0-9]+[a-z]*\.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules for what a wheel may take from the system under a platform tag on one machine.

    Attributes:
        name: Such as ``manylinux_2_17``, without the machine.
        aliases: Its other names, such as ``manylinux2014``.
        family: Where it comes from.
        arch: The machine; None for one that the policies do not know.
        libraries: The whitelist as its source gives it. Ask `allows_library`, which also knows the loader.
        forbidden_symbols: For a library, the symbols that must not be used from it.
        ceilings: For a namespace of symbol versions, how far a wheel may go; other namespaces are free.
        installable: Whether its tags may name a wheel.
        tag: The tags, joined by dots, that a policy file sets; None: the names are the tags.
    """

    name: str
    aliases: tuple[str, ...] = ()
    family: Family
    arch: Arch | None
    libraries: frozenset[str]
    forbidden_symbols: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict, hash=False)
    installable: bool = True
    tag: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "forbidden_symbols", MappingProxyType(dict(self.forbidden_symbols)))
        object.__setattr__(self, "ceilings", MappingProxyType(dict(self.ceilings)))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, without the machine."""
        return (self.name, *self.aliases)

    @property
    def tags(self) -> tuple[str, ...]:
        """All names with the machine, such as ``manylinux_2_17_x86_64`` and ``manylinux2014_x86_64``.

        They stand in a wheel's file name where the policy is installable.
        """
        if self.tag is not None:
            return tuple(self.tag.split("."))
        if self.arch is None:
            return self.names
        if self.family is Family.CUSTOM:
            return tuple(f"{name}_{self.arch.value}" for name in self.names)
        return tuple(make_platform_tag(name, self.arch) for name in self.names)

    @property
    def is_unbounded(self) -> bool:
        """Whether it asks for nothing at all, as the generic linux policy does."""
        return EVERY_LIBRARY in self.libraries and not self.ceilings and not self.forbidden_symbols

    def allows_library(self, soname: str) -> bool:
        """Whether a wheel may take this library from the system."""
        if soname in self.libraries or EVERY_LIBRARY in self.libraries:
            return True
        if self.family is Family.ANDROID:
            return _ANDROID_PYTHON.fullmatch(soname) is not None
        if self.arch is None:
            return False
        if _MUSL_LIBC in self.libraries and soname in self.arch.row.musl_names:
            return True
        return self.family is not Family.MUSLLINUX and soname == self.arch.row.loader_name

    def allows_version(self, version: str) -> bool:
        """Whether symbols of this version, such as ``GLIBC_2.17``, may be used from a system library.

        GLIBC_PRIVATE never may, except where nothing is asked for: it changes from one glibc to the next.
        """
        namespace, number = split_version(version)
        if (namespace, number) == ("GLIBC", "PRIVATE"):
            return self.is_unbounded
        ceiling = self.ceilings.get(namespace)
        return ceiling is None or ceiling.allows(number)

    def forbidden(self, library: str, symbols: Iterable[str]) -> tuple[str, ...]:
        """Those of the symbols, sorted, that must not be used from this library."""
        return tuple(sorted(self.forbidden_symbols.get(library, frozenset()).intersection(symbols)))
