"""What else an edited ELF file is good for: the build id in memory, the checks of elfutils, its debug information."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIME_LIMIT = 300
# eu-elflint and eu-unstrip take minutes for more.
LARGEST = 20_000_000


def marks(before: Path, after: Path, folder: Path) -> Iterator[str]:
    """Tell what is so of an edited file that was so of the file as it was, and what is not.

    Args:
        before: The file as it was.
        after: The edited file.
        folder: For files that are made on the way.
    """
    known = build_id(before)
    if known:
        yield "build id found in memory" if build_id(after) == known else "build id no longer found in memory"
    if before.stat().st_size > LARGEST:
        return
    if shutil.which("eu-elflint"):
        old, new = findings(before), findings(after)
        if old is not None and new is not None:
            yield "eu-elflint finds more" if new - old else "eu-elflint finds nothing new"
    if shutil.which("eu-unstrip") and can_be_joined(before, before, folder):
        yield "eu-unstrip joins it" if can_be_joined(after, after, folder) else "eu-unstrip does not join it"
        joins = can_be_joined(after, before, folder)
        yield f"eu-unstrip {'joins' if joins else 'does not join'} it with what was taken out before the edit"


def build_id(path: Path) -> str:
    """The build id that program headers lead to, as crash reporters and core files have it; empty where none does."""
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_NOTE"):
            if isinstance(segment, NoteSegment):
                for note in segment.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
    return ""


def findings(path: Path) -> frozenset[str] | None:
    """What eu-elflint holds against a file; None where it does not come to an end."""
    command = ["eu-elflint", "--gnu-ld", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return None
    return frozenset(line for line in done.stdout.splitlines() if line != "No errors")


def can_be_joined(path: Path, source: Path, folder: Path) -> bool:
    """Whether eu-unstrip joins a file that eu-strip has taken apart with the debug information of one, or of another.

    Args:
        path: The file.
        source: The file whose debug information it is.
        folder: For files that are made on the way.
    """
    bare, debug, joined = (folder / name for name in ("bare", "debug", "joined"))
    if not take_apart(source, bare, debug) or (path != source and not take_apart(path, bare, folder / "other")):
        return False
    command = ["eu-unstrip", str(bare), str(debug), "-o", str(joined)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def take_apart(path: Path, bare: Path, debug: Path) -> bool:
    """Let eu-strip take a file's debug information out of it."""
    debug.unlink(missing_ok=True)
    command = ["eu-strip", "-f", str(debug), "-o", str(bare), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0 and debug.exists()
