"""What the process has loaded; imported by the scripts beside it."""

from __future__ import annotations

from pathlib import Path


def assert_grafted(folder: str, *names: str) -> None:
    """Nothing; AssertionError unless a library of each name is loaded, and only from that folder of the wheel."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    loaded = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    for name in names:
        matching = {path for path in loaded if Path(path).name.startswith(name)}
        outside = {path for path in matching if Path(path).parent != Path("/mnt/wheel") / folder}
        assert matching, f"{name} is not loaded at all"
        assert not outside, f"{outside} is not the wheel's own"
