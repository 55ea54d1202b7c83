"""WHEEL and METADATA in the .dist-info folder (Binary distribution format; Core metadata)."""

from __future__ import annotations

import re

from deloc8.errors import WheelError
from deloc8.patterns import pattern
from deloc8.text import printable
from deloc8.values import dataclass
from deloc8.wheel.limits import LARGEST_METADATA, LARGEST_WHEEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.wheel.codec import Buffer

Field = tuple[str, str]

_TAG = "tag"
_PURE = "root-is-purelib"
_KNOWN_MAJOR = "1"
_TAG_SHAPE = pattern(r"[\w.]+-[\w.]+-[\w.]+", re.ASCII)
_FIELD = pattern(r"([!-9;-~]+):[ \t]*(.*)", re.DOTALL)  # RFC 5322, section 3.6.8
_MOST_TAGS = 10_000  # a compressed tag can stand for the cube of its length


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMetadata:
    """A WHEEL file.

    Attributes:
        fields: Names and values as they were written, in their order.
    """

    fields: tuple[Field, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, compressed ones expanded, in the order of the file."""
        expanded = []
        for tag in _values(self.fields, _TAG):
            pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
            expanded += [f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]
        return tuple(expanded)

    @property
    def root_is_purelib(self) -> bool:
        """Whether the root of the archive is installed into purelib; a missing field means no."""
        return any(value.lower() == "true" for value in _values(self.fields, _PURE))

    @property
    def generator(self) -> str:
        """Program that built the wheel; empty where the file does not say."""
        return next(iter(_values(self.fields, "generator")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetadata:
    """Fields of METADATA that identify a distribution.

    Attributes:
        metadata_version: The version of the format.
        name: The project.
        version: Its version.
    """

    metadata_version: str
    name: str
    version: str


def parse_wheel_metadata(data: Buffer) -> WheelMetadata:
    """A WHEEL file taken apart.

    Raises:
        WheelError: Code ``bad-wheel-metadata``: it is no list of fields, of an unknown version of the format, or
            has tags that are none.
    """
    fields = _wheel_fields(data)
    versions = _values(fields, "wheel-version")
    if len(versions) != 1 or versions[0].split(".")[0] != _KNOWN_MAJOR:
        raise _bad_wheel(f"Wheel-Version is {' and '.join(versions) or 'missing'}; version 1.0 is known")
    pure = {value.lower() for value in _values(fields, _PURE)}
    if len(pure) > 1 or pure - {"true", "false"}:
        raise _bad_wheel(f"Root-Is-Purelib is {' and '.join(sorted(pure))}; it must be true or false")
    _check_tags(_values(fields, _TAG))
    return WheelMetadata(fields=fields)


def _wheel_fields(data: Buffer) -> tuple[Field, ...]:
    """The fields of a WHEEL file, and tags that follow an empty line."""
    if len(data) > LARGEST_WHEEL:
        raise _bad_wheel(f"it has {len(data)} bytes; the limit is {LARGEST_WHEEL}")
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError as error:
        raise _bad_wheel(f"it is no text in UTF-8: {error.reason} at byte {error.start}") from None
    fields, rest = _split(text)
    # Some readers take what follows an empty line for fields, others do not. It matters little where that is only
    # tags, which installers take from the file name: scikit-build 0.17 wrote such files, and a repair mends them.
    late, rest = _split(rest.lstrip("\n"))
    odd = [f"{name}: {value}" for name, value in late if name.lower() != _TAG] + rest.strip().splitlines()
    if odd:
        raise _bad_wheel(f"it has a line that is no field of the form `Name: value` among the others: `{odd[0]}`")
    return fields + late


def _check_tags(tags: Sequence[str]) -> None:
    """Raise WheelError where a tag has not its form, or there are too many, compressed ones expanded."""
    count = 0
    for tag in tags:
        if not _TAG_SHAPE.fullmatch(tag):
            raise _bad_wheel(f"it has a tag that is none: `{tag}`")
        pythons, abis, platforms = (part.count(".") + 1 for part in tag.split("-"))
        count += pythons * abis * platforms
    if count > _MOST_TAGS:
        raise _bad_wheel(f"it has {count} tags; the limit is {_MOST_TAGS}")


def retag(metadata: WheelMetadata, tags: Sequence[str], *, platform_specific: bool) -> bytes:
    """The text of a WHEEL file with other tags; everything else stays as and where it is.

    Args:
        metadata: The file as it was.
        tags: The new tags, expanded: each gets a line of its own.
        platform_specific: Whether the wheel goes to platlib, whatever the file said before.
    """
    fields = [field for field in metadata.fields if field[0].lower() != _TAG]
    before = [name.lower() for name, _ in metadata.fields]
    place = before.index(_TAG) if _TAG in before else len(fields)
    fields[place:place] = [("Tag", tag) for tag in tags]
    if platform_specific:
        fields = _for_platlib(fields, place)
    return "".join(f"{name}: {value}\n" for name, value in fields).encode()


def _for_platlib(fields: Sequence[Field], otherwise: int) -> list[Field]:
    """The fields with `Root-Is-Purelib: false` where that field is first, else at a given place."""
    names = [name.lower() for name, _ in fields]
    place = names.index(_PURE) if _PURE in names else otherwise
    following = [field for field in fields[place:] if field[0].lower() != _PURE]
    return [*fields[:place], ("Root-Is-Purelib", "false"), *following]


def parse_core_metadata(data: Buffer) -> CoreMetadata:
    """Read the format's version, the name and the version from a METADATA file.

    Raises:
        WheelError: Code ``bad-metadata``: it is not text, or does not give name and version.
    """
    # Authors' names in other encodings are an old sin that installers forgive.
    text = bytes(data[:LARGEST_METADATA]).decode("utf-8", "surrogateescape")
    fields, _ = _split(text)
    found = []
    for name in ("Metadata-Version", "Name", "Version"):
        values = _values(fields, name.lower())
        if len(values) != 1:
            raise _unsound("METADATA", "bad-metadata", f"it has {len(values)} fields `{name}`, not one")
        found += values
    metadata_version, name, version = found
    return CoreMetadata(metadata_version=metadata_version, name=name, version=version)


def _split(text: str) -> tuple[tuple[Field, ...], str]:
    """The fields at the beginning of a text, and what follows them."""
    fields: list[tuple[str, list[str]]] = []
    lines = re.split(r"\r\n|\r|\n", text)
    rest = ""
    for index, line in enumerate(lines):
        if line[:1] in {" ", "\t"} and line.strip() and fields:
            fields[-1][1].append(line)  # a continued line, kept as it is
        elif match := _FIELD.fullmatch(line):
            fields.append((match[1], [match[2].rstrip()]))
        else:
            rest = "\n".join(lines[index:])
            break
    return tuple((name, "\n".join(values)) for name, values in fields), rest


def _values(fields: Sequence[Field], name: str) -> list[str]:
    return [value for field, value in fields if field.lower() == name]


def _bad_wheel(what: str) -> WheelError:
    return _unsound("WHEEL", "bad-wheel-metadata", what)


def _unsound(file: str, code: str, what: str) -> WheelError:
    return WheelError(
        f"The wheel's {file} file is not sound",
        code=code,
        context=(printable(what),),
        hints=("build or download the wheel again; nothing was changed",),
    )
