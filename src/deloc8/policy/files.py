"""Policy files: the seed's JSON shape, read and written.

A file holds one policy or an array of them:

    {"name": "my_policy",
     "symbol_versions": {"GLIBC": "2.17", "CXXABI": ["1.3.7", "TM_1"], "LIBATOMIC": null},
     "lib_whitelist": ["libc.so.6"]}

In `symbol_versions`, a text is the last number that is allowed; a list adds versions that are no numbers; null allows
no version of that namespace. `["*"]` as whitelist allows every library. Optional: `aliases`, `arch` (a machine
or a list of them), `forbidden_symbols` (library: list of symbols) and `tag` (the tag that a wheel may be given).
"""

from __future__ import annotations

import codecs
import re

from deloc8.errors import PolicyError
from deloc8.faults import refuse_fault
from deloc8.files import read_given
from deloc8.policy.model import (
    EVERY_LIBRARY,
    TOOLCHAIN_NAMESPACES,
    Ceiling,
    Family,
    Policy,
    number_key,
    split_version,
)
from deloc8.target import Arch, make_platform_tag, parse_platform_tag
from deloc8.text import printable
from deloc8.values import NamedTuple, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from deloc8.paths import StrPath

# A policy with the symbols of every library of a distribution stays well below this.
_LARGEST_FILE = 4 * 1024 * 1024
_MOST_VALUES = 400_000  # each takes up to 300 bytes of memory
_LONGEST_SHOWN = 60

_KEYS = ("name", "symbol_versions", "lib_whitelist", "aliases", "arch", "forbidden_symbols", "tag")
_REQUIRED = _KEYS[:3]

# A pattern for the whole text, and what it asks for. Compiled at first use: most runs need few of them.
_NAME = (r"[A-Za-z][A-Za-z0-9_.-]{0,99}", "a name of letters, digits, `_`, `.` and `-`, such as my_policy")
_NAMESPACE = (r"[A-Za-z0-9_.+-]{1,100}", "a namespace, such as GLIBC")
_VERSION = (r"[A-Za-z0-9_.]{1,100}", "a version without its namespace, such as 2.17 or ABI_DT_RELR")
_SONAME = (r"[^\s/*?\[\]]{1,255}", "a soname such as libz.so.1, without a folder and without wildcards")
_SYMBOL = (r"[^\s]{1,4096}", "the name of a symbol")

# Names that mean something else to `--plat`.
_RESERVED = frozenset({"auto"})

# What installers accept (PEP 513, 571, 599, 600, 656, 738); android's machines have names of their own there.
_INSTALLABLE = r"linux|manylinux(1|2010|2014|_2_[0-9]{1,3})|musllinux_1_[0-9]{1,3}"
_INSTALLABLE_ANDROID = r"android_[0-9]{1,3}"


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as the file writes it. No key takes one, so its value, perhaps of a million digits, is never made."""

    text: str


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object before it is known that its keys differ."""

    pairs: list[tuple[str, object]]


def _show(text: str) -> str:
    """The text for a message: short, and without characters that would upset a terminal."""
    shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
    return printable(shown)


def _describe(value: object) -> str:
    if isinstance(value, _Number):
        return f"the number {_show(value.text)}"
    if isinstance(value, str):
        return f'the text "{_show(value)}"'
    if isinstance(value, _Object):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else str(value).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A place in a policy file: `path` is such as ``[1].symbol_versions.GLIBC``, empty for the whole."""

    file: str
    path: str = ""

    def __truediv__(self, key: str) -> _Place:
        return _Place(file=self.file, path=f"{self.path}.{_show(key)}" if self.path else _show(key))

    def item(self, index: int) -> _Place:
        return _Place(file=self.file, path=f"{self.path}[{index}]")

    def fault(self, code: str, message: str, *context: str, hints: Iterable[str] = ()) -> PolicyError:
        where = f"`{self.path}` " if self.path else ""
        return PolicyError(
            f"policy file `{printable(self.file)}`: {where}{message}", code=code, context=context, hints=tuple(hints)
        )

    def wrong(self, value: object, wanted: str, hints: Iterable[str] = ()) -> PolicyError:
        """The error for a value that is not what is wanted here."""
        return self.fault(
            "policy-value", "is not what it must be", f"found: {_describe(value)}", f"wanted: {wanted}", hints=hints
        )


class PolicyText(NamedTuple):
    """A policy file that has been read already: what comes through a pipe comes once."""

    name: str
    data: bytes


def read_policy_text(path: StrPath) -> PolicyText:
    """The contents of a policy file, of one that is too large its beginning.

    Raises:
        PolicyError: It cannot be read.
    """
    try:
        return PolicyText(str(path), read_given(path, _LARGEST_FILE))
    except (OSError, ValueError) as error:
        refuse_fault(error, path)
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise PolicyError(
            f"the policy file {path} cannot be read", code="unreadable-policy", context=(str(why),)
        ) from None


def read_policy_files(files: Iterable[StrPath | PolicyText], arch: Arch) -> tuple[Policy, ...]:
    """The policies of some policy files that are for this machine, as `read_policies` gives those of one.

    Raises:
        PolicyError: A file cannot be read, or is not in the seed's shape.
    """
    policies: list[Policy] = []
    for file in files:
        name, data = file if isinstance(file, PolicyText) else read_policy_text(file)
        policies += read_policies(data, name, arch)
    return tuple(policies)


def read_policies(data: bytes, name: str, arch: Arch) -> tuple[Policy, ...]:
    """The policies of a policy file that are for this machine, in the order of the file.

    Args:
        data: The bytes of the file.
        name: Its name, for messages.
        arch: The machine; policies whose `arch` or `tag` names only others are left out.

    Raises:
        PolicyError: The file is not in the seed's shape; the message names the key.
    """
    whole = _Place(file=name)
    value = _parse(data, whole)
    if value == []:
        raise whole.wrong(value, "a policy, or an array of at least one")
    items = (
        [(item, whole.item(index)) for index, item in enumerate(value)] if isinstance(value, list) else [(value, whole)]
    )
    policies = []
    taken: set[str] = set()
    for item, place in items:
        policy = _read_policy(item, place, arch)
        if policy is not None:
            _take_names(policy, place, taken)
            policies.append(policy)
    return tuple(policies)


def _parse(data: bytes, whole: _Place) -> object:
    import json  # noqa: PLC0415 # only who reads policies pays for it

    if len(data) > _LARGEST_FILE:
        # It was not read any further.
        raise whole.fault("policy-json", "is too large", f"wanted: up to {_LARGEST_FILE} bytes")
    if sum(map(data.count, b",[{")) > _MOST_VALUES:
        raise whole.fault("policy-json", "is too large", f"wanted: up to {_MOST_VALUES:,} values")
    try:
        # Editors on other systems put a byte order mark before UTF-8; it does no harm.
        return json.loads(
            data.removeprefix(codecs.BOM_UTF8).decode(),
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except UnicodeDecodeError as error:
        raise whole.fault("policy-json", "is not UTF-8", f"found: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise whole.fault("policy-json", "is not JSON", f"{where}: {error.msg}") from error
    except RecursionError as error:
        raise whole.fault("policy-json", "is nested too deeply", "wanted: no more levels than a policy has") from error


def _read_policy(value: object, place: _Place, arch: Arch) -> Policy | None:
    """The policy, checked to the last key; None where it is for other machines."""
    members = _members(value, place, "a policy: an object with name, symbol_versions and lib_whitelist")
    _check_keys(members, place)

    name = _name(members["name"], place / "name")
    aliases = tuple(_name(item, at) for item, at in _items(members.get("aliases", []), place / "aliases"))
    libraries = _libraries(members["lib_whitelist"], place / "lib_whitelist")
    ceilings = _ceilings(members["symbol_versions"], place / "symbol_versions")
    forbidden = _forbidden(members.get("forbidden_symbols"), place / "forbidden_symbols")
    machines = _machines(members["arch"], place / "arch") if "arch" in members else frozenset(Arch)
    tag = _Tag.read(members["tag"], place / "tag") if "tag" in members else None
    if arch not in machines or (tag is not None and tag.arch not in {None, arch}):
        return None
    return Policy(
        name=name,
        aliases=aliases,
        family=Family.CUSTOM,
        arch=arch,
        libraries=libraries,
        forbidden_symbols=forbidden,
        ceilings=ceilings,
        installable=tag is not None,
        tag=tag.on(arch) if tag is not None else None,
    )


def _check_keys(members: Collection[str], place: _Place) -> None:
    """Refuse a policy with unknown keys, or without a required one."""
    for key in members:
        if key not in _KEYS:
            hint = _close(key, _KEYS) or (f"the keys are {', '.join(_KEYS)}",)
            raise (place / key).fault("policy-key-unknown", "is not a key of a policy", hints=hint)

    for key in _REQUIRED:
        if key not in members:
            raise (place / key).fault("policy-key-missing", "is missing")


def _members(value: object, place: _Place, wanted: str) -> dict[str, object]:
    if not isinstance(value, _Object):
        raise place.wrong(value, wanted)
    members: dict[str, object] = {}
    for key, member in value.pairs:
        if key in members:
            raise (place / key).fault("policy-key-twice", "stands there twice")
        members[key] = member
    return members


def _items(value: object, place: _Place) -> list[tuple[object, _Place]]:
    if not isinstance(value, list):
        raise place.wrong(value, "an array of texts")
    return [(item, place.item(index)) for index, item in enumerate(value)]


def _text(value: object, place: _Place, rule: tuple[str, str]) -> str:
    pattern, wanted = rule
    if not isinstance(value, str) or not re.fullmatch(pattern, value) or not value.isprintable():
        raise place.wrong(value, wanted)
    return value


def _close(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """A hint that names the known word nearest to the text, if one is near."""
    import difflib  # noqa: PLC0415 # only for a fault

    return tuple(f"did you mean `{match}`?" for match in difflib.get_close_matches(text[:100], list(known), n=1))


def _name(value: object, place: _Place) -> str:
    name = _text(value, place, _NAME)
    if name in _RESERVED:
        raise place.wrong(name, "a name that does not mean something else to --plat")
    return name


def _libraries(value: object, place: _Place) -> frozenset[str]:
    items = _items(value, place)
    if [item for item, _ in items] == [EVERY_LIBRARY]:
        return frozenset({EVERY_LIBRARY})
    return frozenset(_text(item, at, _SONAME) for item, at in items)


def _forbidden(value: object, place: _Place) -> dict[str, frozenset[str]]:
    if value is None:
        return {}
    return {
        _text(library, place / library, _SONAME): frozenset(
            _text(symbol, at, _SYMBOL) for symbol, at in _items(symbols, place / library)
        )
        for library, symbols in _members(value, place, "an object: library to array of symbols").items()
    }


def _ceilings(value: object, place: _Place) -> dict[str, Ceiling]:
    members = _members(value, place, "an object: namespace to its last version")
    ceilings = {}
    for namespace, limit in members.items():
        at = place / namespace
        _text(namespace, at, _NAMESPACE)
        if namespace.upper() in TOOLCHAIN_NAMESPACES - {namespace}:
            raise at.wrong(namespace, _NAMESPACE[1], hints=[f"did you mean `{namespace.upper()}`?"])
        # A ceiling that no version can ever meet is a slip, and would let everything pass in silence.
        meant = split_version(f"{namespace}_0")[0]
        if meant != namespace:
            raise at.wrong(namespace, "a namespace without a part of the version", hints=[f"did you mean `{meant}`?"])
        ceilings[namespace] = _ceiling(limit, at)
    return ceilings


def _ceiling(value: object, place: _Place) -> Ceiling:
    wanted = 'the last version as text, such as "2.17"; null; or an array of one number and other versions'
    if value is None:
        return Ceiling(maximum=None)
    if isinstance(value, str):
        if number_key(value) is None:
            raise place.wrong(value, wanted)
        return Ceiling(maximum=value)
    if not isinstance(value, list):
        raise place.wrong(value, wanted)
    versions = [_text(item, at, _VERSION) for item, at in _items(value, place)]
    numbers = [version for version in versions if number_key(version) is not None]
    if len(numbers) > 1:
        raise place.fault("policy-value", "holds two numbers", f"found: {', '.join(numbers[:2])}", f"wanted: {wanted}")
    return Ceiling(maximum=numbers[0] if numbers else None, also=frozenset(versions).difference(numbers))


def _machines(value: object, place: _Place) -> frozenset[Arch]:
    known = {arch.value: arch for arch in Arch}
    machines = set()
    for item, at in [(value, place)] if isinstance(value, str) else _items(value, place):
        if not isinstance(item, str) or item not in known:
            hints = _close(item, known) if isinstance(item, str) else ()
            raise at.wrong(item, f"a machine: {', '.join(known)}", hints=hints)
        machines.add(known[item])
    return frozenset(machines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tag:
    """The tags of a policy file; `arch` is the machine they name, None where none does."""

    parts: tuple[str, ...]
    arch: Arch | None

    @classmethod
    def read(cls, value: object, place: _Place) -> _Tag:
        wanted = "a tag that installers know, such as manylinux_2_28 or manylinux_2_28_x86_64"
        if not isinstance(value, str):
            raise place.wrong(value, wanted)
        parts = [parse_platform_tag(part) for part in value.split(".")]
        for part in parts:
            android = part.arch is not None and re.fullmatch(_INSTALLABLE_ANDROID, part.policy)
            if not (android or re.fullmatch(_INSTALLABLE, part.policy)):
                raise place.wrong(value, wanted, hints=["without `tag` a policy never renames a wheel"])
        machines = {part.arch for part in parts}
        if len(machines) > 1:
            raise place.wrong(value, "tags of one machine")
        return cls(parts=tuple(part.policy for part in parts), arch=parts[0].arch)

    def on(self, arch: Arch) -> str:
        return ".".join(make_platform_tag(part, arch) for part in self.parts)


def _take_names(policy: Policy, place: _Place, taken: set[str]) -> None:
    """Add the names of the policy to those that are taken; two policies of one machine cannot share one."""
    for index, name in enumerate(policy.names):
        if name in taken:
            at = (place / "aliases").item(index - 1) if index else place / "name"
            raise at.wrong(name, "a name that this file has not given before")
        taken.add(name)
