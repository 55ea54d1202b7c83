"""Small wheels for tests, made with the standard library alone, so that they say nothing of our own writer."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Record = Literal["good", "missing", "wrong-hash", "wrong-size", "unlisted"]

DEFAULT_TAGS = ("cp311-cp311-linux_x86_64",)
DEFAULT_TIME = (2024, 2, 29, 12, 34, 56)


def record_hash(data: bytes) -> str:
    """The hash column of RECORD for some contents."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def wheel_text(tags: Sequence[str]) -> bytes:
    """A WHEEL file."""
    pure = all(tag.endswith("-any") for tag in tags)
    head = f"Wheel-Version: 1.0\nGenerator: kit 1.0\nRoot-Is-Purelib: {str(pure).lower()}\n"
    return (head + "".join(f"Tag: {tag}\n" for tag in tags)).encode()


def record_text(members: Mapping[str, bytes], record_name: str, record: Record = "good") -> bytes:
    """A RECORD file of the members, with the fault that `record` names (in the row of the first member)."""
    rows = []
    for index, (name, data) in enumerate(members.items()):
        digest, size = record_hash(data), len(data)
        if index == 0 and record == "unlisted":
            continue
        if index == 0 and record == "wrong-hash":
            digest = record_hash(data + b"!")
        if index == 0 and record == "wrong-size":
            size += 1
        rows.append(f"{name},{digest},{size}\n")
    return ("".join(rows) + f"{record_name},,\n").encode()


def build_wheel(  # noqa: PLR0913  the words of a wheel's name are keywords here, to keep tests readable
    path: Path,
    members: Mapping[str, bytes],
    *,
    name: str = "demo",
    version: str = "1.0",
    tags: Sequence[str] = DEFAULT_TAGS,
    record: Record | bytes = "good",
    modes: Mapping[str, int] | None = None,
) -> Path:
    """The path of a wheel that was written.

    Args:
        path: The wheel's file where it ends with ``.whl``, else the folder it goes to under the name of its tag.
        members: Contents by member name, in the order of the archive. Those of ``.dist-info`` replace the ones
            that are made by default (METADATA, WHEEL).
        name: The distribution.
        version: Its version.
        tags: The ``Tag:`` lines of WHEEL; the first one also makes the file name where `path` is a folder.
        record: Which fault RECORD has ("missing": there is none), or its whole text.
        modes: Permission bits by member name; 0o644 for the others.
    """
    folder = f"{name}-{version}.dist-info"
    everything: dict[str, bytes] = {n: d for n, d in members.items() if not n.startswith(folder + "/")}
    everything[f"{folder}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    everything[f"{folder}/WHEEL"] = wheel_text(tags)
    everything.update(members)
    if isinstance(record, bytes):
        everything[f"{folder}/RECORD"] = record
    elif record != "missing":
        everything[f"{folder}/RECORD"] = record_text(everything, f"{folder}/RECORD", record)
    target = path if path.suffix == ".whl" else path / f"{name}-{version}-{tags[0]}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in everything.items():
            entry = zipfile.ZipInfo(member, DEFAULT_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100000 | (modes or {}).get(member, 0o644)) << 16
            archive.writestr(entry, data)
    return target
