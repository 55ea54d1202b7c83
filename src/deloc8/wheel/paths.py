"""Which paths a wheel may hold: what can be refused by looking at the names alone."""

from __future__ import annotations

from deloc8.patterns import pattern
from deloc8.wheel.limits import DEEPEST_PATH, LONGEST_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FAULTS = (
    (pattern(r"^/"), "is absolute"),
    (pattern(r"\\"), "has a backslash"),
    (pattern(r"^[A-Za-z]:"), "names a drive"),
    (pattern(r"(?:^|/)\.\.(?:/|$)"), "climbs out of its folder with `..`"),
    (pattern(r"(?:^|/)\.?(?:/|$)"), "has an empty part or a `.`"),
    (pattern(r"[\0-\x1f\x7f-\x9f\u2028\u2029]"), "has control characters"),
    (pattern(r"[\ud800-\udfff]"), "is no text in UTF-8"),  # bytes of a name of this system, as Python reads them
)

_IGNORED_ENDS = pattern(r"(?<=[^/])[. ]+(?=/|$)")


def path_fault(path: str) -> str | None:
    """Why a path may not stand in a wheel, as the end of a sentence that begins with it; None where it may.

    A path is relative, its parts are joined by slashes and lead nowhere but down.
    """
    parts = f"/{path}/"
    if len(path) > LONGEST_PATH // 4 and len(path.encode("utf-8", "surrogatepass")) > LONGEST_PATH:
        return f"is longer than {LONGEST_PATH} bytes"
    if path.count("/") >= DEEPEST_PATH:
        return f"has more than {DEEPEST_PATH} parts"
    if path.isprintable() and not ("//" in parts or "/." in parts or "\\" in path or ":" in path[:2]):
        return None  # nearly always; there can be a hundred thousand paths
    return next((what for fault, what in _FAULTS if fault.search(path)), None)


def collision(files: Iterable[str], folders: Iterable[str], most_folders: int | None = None) -> tuple[str, str] | None:
    """The code and the text of the first collision between paths; None where there is none.

    Args:
        files: The paths of files.
        folders: The paths of folders that stand in the archive as entries of their own.
        most_folders: How many folders there may be, those above others among them; None: as many as there are.
    """
    spelled: dict[str, str] = {}
    parents: dict[str, str] = {}  # every folder, folded -> a file or folder below it
    for path in files:
        folded = _folded(path)
        if folded in spelled:
            return _twins(spelled[folded], path)
        spelled[folded] = path
        _add_parents(parents, folded, path)
        if most_folders is not None and len(parents) > most_folders:
            return "too-many-members", f"has more than {most_folders} folders"
    seen = set()
    for path in folders:
        if path in seen:
            return _twins(path, path)
        seen.add(path)
        folded = _folded(path)
        parents.setdefault(folded, path)
        _add_parents(parents, folded, path)
        if most_folders is not None and len(parents) > most_folders:
            return "too-many-members", f"has more than {most_folders} folders"
    both = spelled.keys() & parents.keys()
    if both:
        folded = min(both)
        return "file-and-folder", f"has `{spelled[folded]}` as a file and as the folder of `{parents[folded]}`"
    return None


def _folded(path: str) -> str:
    """Form of a path that is equal for all paths that are one file on some file system.

    File systems of macOS and Windows, and folders of Linux with casefold, do not distinguish
    capital from small letters; those of macOS and Linux ignore how an accent is encoded (NFC or NFD)
    and characters without a shape; Windows drops dots and spaces at the end of a name.
    """
    folded = path.lower() if path.isascii() else _folded_unicode(path)
    if folded.endswith((".", " ")) or "./" in folded or " /" in folded:
        return _IGNORED_ENDS.sub("", folded)
    return folded


def _folded_unicode(path: str) -> str:
    # The Unicode standard, 3.13: canonical caseless matching.
    import unicodedata  # noqa: PLC0415  few wheels have such names

    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
    return "".join(char for char in folded if unicodedata.category(char) != "Cf")


def _twins(one: str, other: str) -> tuple[str, str]:
    if one == other:
        return "duplicate-member", f"holds `{one}` twice"
    if one.lower() != other.lower():
        # They may look the same.
        one, other = (ascii(path)[1:-1] for path in (one, other))
    return "case-conflict", f"holds `{one}` and `{other}`, which are one file on some file systems"


def _add_parents(parents: dict[str, str], folded: str, path: str) -> None:
    folder = folded.rpartition("/")[0]
    while folder and folder not in parents:
        parents[folder] = path
        folder = folder.rpartition("/")[0]
