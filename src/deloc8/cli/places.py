"""Where `fixup` puts its wheels: two of them never into one place, and none into that of an input."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter

from deloc8.cli.shared import audit_options
from deloc8.errors import Deloc8Error, PureWheelError, UsageError
from deloc8.paths import file_name
from deloc8.repair.model import Goal, StripLevel
from deloc8.values import replace
from deloc8.wheel.names import parse_wheel_name
from deloc8.wheel.staging import is_same
from deloc8.workflow.repair import plan_repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from deloc8.workflow.audit import AuditOptions


def repair_options(options: argparse.Namespace) -> tuple[Goal, AuditOptions]:
    """Goal of a repair, and how the wheels are looked at."""
    goal = Goal(
        platform=options.plat,
        only_platform=options.only_plat,
        update_tags=not options.no_update_tags,
        library_suffix=options.lib_sdir,
        no_mangle=tuple(options.no_mangle),
        strip=StripLevel(options.strip) if options.strip else None,
        sbom=not options.no_sbom,
        licences=not options.no_licenses,
        lower_glibc=options.lower_glibc,
        allow_differs="differs" in options.allow,
    )
    return goal, replace(audit_options(options), dlopen=True)


def check_places(options: argparse.Namespace) -> None:
    """Refuse wheels of which one result would replace another one, or another input, before any work is done.

    A repair changes the platform tags of a name alone. Only wheels whose names are equal but for these are planned
    first, which takes as long as `--dry-run`.

    Raises:
        UsageError: The wheels, and the place.
    """
    places: dict[str, str] = {}
    for index in _suspects(options.wheels):
        path = options.wheels[index]
        name = _name_of_result(path, options)
        if name is None:
            continue
        place = options.wheel_dir / name
        if _folded(name) in places:
            raise _same_place(places[_folded(name)], path, place)
        places[_folded(name)] = path
        for other, input_path in enumerate(options.wheels):
            if other != index and is_same(place, input_path):
                raise _replaced(path, input_path, place)


def _suspects(wheels: Sequence[str]) -> list[int]:
    """The numbers of the wheels that share all of a name but the platform tags with another one."""
    stems = [_stems(path) for path in wheels]
    counts = Counter(stem for several in stems for stem in several)
    return [number for number, several in enumerate(stems) if any(counts[stem] > 1 for stem in several)]


def _stems(path: str) -> set[str]:
    """Names of a wheel without its platform tags; also that of the file a link leads to."""
    names = {file_name(path), file_name(os.path.realpath(path))}
    stems = set()
    for name in names:
        try:
            parsed = parse_wheel_name(name)
        except Deloc8Error:  # reported when its turn comes
            continue
        stems.add(_folded(replace(parsed, platforms=("any",)).filename))
    return stems


def _folded(name: str) -> str:
    """A name as file systems compare it that do not distinguish small from capital letters."""
    return unicodedata.normalize("NFC", name).casefold()


def _name_of_result(path: str, options: argparse.Namespace) -> str | None:
    """The file name that a wheel will have; None where it will not be written."""
    goal, settings = repair_options(options)
    try:
        return plan_repair(path, goal, settings).target.filename
    except PureWheelError:
        return file_name(path) if options.allow_pure_python_wheel else None
    except Deloc8Error:  # reported when its turn comes
        return None


def _same_place(one: str, other: str, place: object) -> UsageError:
    return UsageError(
        f"`{one}` and `{other}` would both become `{place}`",
        code="same-output",
        hints=("give each wheel once, or repair them one after the other with a folder (-w) for each",),
    )


def _replaced(path: str, other: str, place: object) -> UsageError:
    return UsageError(
        f"`{place}`, which `{path}` would become, is the input `{other}`: it would be replaced",
        code="target-is-source",
        hints=("give another folder with -w",),
    )
