"""A small program in the place of `strip`: unit tests need nothing that is not in the virtual environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# Its name where it is the machine's own, and where it is that of a cross compiler.
_NAMES = ("strip", "x86_64-linux-gnu-strip")
LEAVES_ALL = "#!/bin/sh\n"


def put_strip_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = LEAVES_ALL) -> None:
    """Let `text` be the program that strips files for x86_64, whatever this machine has.

    Args:
        folder: Where the program is written; made where it is missing.
        monkeypatch: Gives PATH back at the end of the test.
        text: The program, with its first line.
    """
    folder.mkdir(exist_ok=True)
    for name in _NAMES:
        program = folder / name
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
