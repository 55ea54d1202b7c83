"""The entries of DT_RPATH, DT_RUNPATH and LD_LIBRARY_PATH, with their dynamic string tokens (ld.so(8))."""

from __future__ import annotations

from deloc8.patterns import pattern
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.image import ElfImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Values of the dynamic string tokens; None where the value is unknown."""

    origin: str
    lib: str | None = None
    platform: str | None = None


def folder_of(path: str) -> str:
    """The folder of a file: what `$ORIGIN` stands for, as written, symlinks and all."""
    return path.rpartition("/")[0] or "/"


def search_path(image: ElfImage) -> str | None:
    """The search path of a file: DT_RUNPATH, which the loader prefers, else DT_RPATH."""
    dynamic = image.dynamic
    return (dynamic.rpath if dynamic.runpath is None else dynamic.runpath) if dynamic else None


def search_entries(image: ElfImage) -> tuple[str, ...]:
    """The entries of a search path as they are in a file."""
    text = search_path(image)
    return tuple(text.split(":")) if text is not None else ()


# Without braces a token ends where an identifier would (is_dst in elf/dl-load.c).
_TOKEN = pattern(r"\$(?:(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_])|\{(ORIGIN|LIB|PLATFORM)\})")
_ORIGIN = pattern(r"\$(?:ORIGIN|\{ORIGIN\})")
_AT_ORIGIN = pattern(r"\$(?:ORIGIN(?![A-Za-z0-9_])|\{ORIGIN\})")


def begins_at_origin(entry: str) -> bool:
    """Whether an entry leads on from the folder of its file."""
    return _AT_ORIGIN.match(entry) is not None


def varies(entry: str) -> bool:
    """Whether what an entry stands for differs between systems: by `$LIB` or `$PLATFORM`."""
    return any(match[1] or match[2] for match in _TOKEN.finditer(entry) if "ORIGIN" not in match[0])


def expand(entry: str, tokens: Tokens) -> str | None:
    """The entry of a search path with its tokens replaced; None where a token stands for nothing known.

    As for ld.so, what merely looks like a token stays as it is.
    """
    values = {"ORIGIN": tokens.origin, "LIB": tokens.lib, "PLATFORM": tokens.platform}
    if any(values[match[1] or match[2]] is None for match in _TOKEN.finditer(entry)):
        return None
    return _TOKEN.sub(lambda match: str(values[match[1] or match[2]]), entry)


def expand_for_musl(text: str, origin: str) -> str | None:
    """A whole search path with `$ORIGIN` replaced; None where it has another `$`: musl then ignores all of it.

    Source: fixup_rpath in ldso/dynlink.c.
    """
    if "$" in _ORIGIN.sub("", text):
        return None
    return _ORIGIN.sub(lambda _: origin, text)
