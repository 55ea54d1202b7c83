"""The JSON Schemas of the documents: what a program may rely on when it reads `--format json`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def schemas() -> Mapping[str, Mapping[str, object]]:
    """The schema of each document (draft 2020-12), by command; ``error`` is that of a command that could not begin."""
    import json  # noqa: PLC0415  no command needs the schemas
    from importlib.resources import files  # noqa: PLC0415

    folder = files("deloc8.report") / "schemas"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        found[file.name.removesuffix(".json")] = json.loads(file.read_text("utf-8"))
    return found
