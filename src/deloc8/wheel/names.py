"""File names of wheels, taken apart (Binary distribution format, "File name convention").

`packaging` has a parser too. It is not used here: it costs 30 ms to import, normalises what we must keep as it was
written, and does not know the variant label.
"""

from __future__ import annotations

import re

from deloc8.errors import WheelError
from deloc8.patterns import pattern
from deloc8.text import printable
from deloc8.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelName:
    """The parts of a wheel's file name, spelled as they were found.

    Attributes:
        distribution: The project, such as ``numpy``.
        version: Its version.
        build: The build tag; empty where there is none.
        pythons: The python tags, such as ``("cp311",)``.
        abis: The ABI tags.
        platforms: The platform tags.
        variant: The variant label of the draft PEP 825, which stands after the platform; empty where there is none.
    """

    distribution: str
    version: str
    build: str = ""
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]
    variant: str = ""

    @property
    def filename(self) -> str:
        """The file name with ``.whl``."""
        tags = [".".join(part) for part in (self.pythons, self.abis, self.platforms)]
        parts = [self.distribution, self.version, self.build, *tags, self.variant]
        return "-".join(part for part in parts if part) + ".whl"

    @property
    def tags(self) -> tuple[str, ...]:
        """The expanded tags, such as ``cp311-cp311-linux_x86_64``, in the order of the name."""
        return tuple(
            f"{python}-{abi}-{platform}" for python in self.pythons for abi in self.abis for platform in self.platforms
        )


_DISTRIBUTION = pattern(r"[\w.]+")
# Only the alphabet and the beginning of a version (PEP 440): its order and its equals are nobody's business here.
_VERSION = pattern(r"[vV]?[0-9][0-9A-Za-z._+!]*")
_BUILD = pattern(r"[0-9][\w.]*")
_PYTHON = pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG = pattern(r"[A-Za-z0-9_]+")
_VARIANT = pattern(r"[0-9A-Za-z._]+")

_FEWEST_PARTS = 5
_EXPECTED = "expected NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM[-VARIANT].whl"


def parse_wheel_name(filename: str) -> WheelName:
    """The parts of a wheel's file name (without folders).

    Raises:
        WheelError: Code ``bad-wheel-name``; says which part is wrong.
    """
    if not filename.endswith(".whl"):
        raise _bad_name(filename, "it does not end with .whl")
    parts = filename[: -len(".whl")].split("-")
    has_build = len(parts) > _FEWEST_PARTS and parts[2][:1].isdigit()  # a python tag never begins with a digit
    has_variant = len(parts) - has_build > _FEWEST_PARTS
    if len(parts) != _FEWEST_PARTS + has_build + has_variant:
        raise _bad_name(filename, f"it has {len(parts)} parts between hyphens, not 5 to 7")

    pythons, abis, platforms = (tuple(part.split(".")) for part in parts[2 + has_build : 5 + has_build])
    name = WheelName(
        distribution=parts[0],
        version=parts[1],
        build=parts[2] if has_build else "",
        pythons=pythons,
        abis=abis,
        platforms=platforms,
        variant=parts[-1] if has_variant else "",
    )
    _check_parts(filename, name)

    # A name that ends with a hyphen has a variant label, which is empty.
    if has_variant and not _VARIANT.fullmatch(name.variant):
        raise _bad_name(filename, f"`{printable(name.variant)}` is no variant label")
    return name


def _check_parts(filename: str, name: WheelName) -> None:
    """Raise WheelError where a part of a name, other than the variant label, has not its form."""
    if not _DISTRIBUTION.fullmatch(name.distribution) or "__" in name.distribution:
        raise _bad_name(filename, f"`{printable(name.distribution)}` is no name of a project")
    if not _VERSION.fullmatch(name.version):
        raise _bad_name(filename, f"`{printable(name.version)}` is no version")
    if name.build and not _BUILD.fullmatch(name.build):
        raise _bad_name(filename, f"`{printable(name.build)}` is no build tag")

    for shape, tags in ((_PYTHON, name.pythons), (_TAG, (*name.abis, *name.platforms))):
        for tag in tags:
            if not shape.fullmatch(tag):
                raise _bad_name(filename, f"`{printable(tag)}` is no tag")


def normalize_name(name: str) -> str:
    """The name of a project with its equal spellings made one (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _bad_name(filename: str, what: str) -> WheelError:
    return WheelError(
        f"`{printable(filename)}` is not the file name of a wheel",
        code="bad-wheel-name",
        context=(what, _EXPECTED),
        hints=("give the file the name that its build gave it",),
    )
