from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.cli.memory import give_memory_back

if TYPE_CHECKING:
    from pathlib import Path


class Library:
    """A C library that keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def mallopt(self, what: int, size: int) -> int:
        self.asked.append((what, size))
        return 1


def files(folder: Path, *sizes: int) -> list[Path]:
    paths = [folder / f"{number}.whl" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        with path.open("wb") as file:
            file.truncate(size)
    return paths


ASKED = [(-3, 4 << 20), (-1, 4 << 20)]


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [((8 << 20,), ASKED), ((5 << 20, 5 << 20), ASKED), (((8 << 20) - 1,), []), ((), [])],
)
def test_only_large_wheels_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], asked: list[tuple[int, int]]
) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    give_memory_back([*files(tmp_path, *sizes), tmp_path / "none.whl"])
    assert library.asked == asked


def test_a_c_library_that_cannot_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_memory_back(files(tmp_path, 9 << 20))


def test_a_python_without_ctypes_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    give_memory_back(files(tmp_path, 9 << 20))


_PROGRAM = """
import json, sys
from pathlib import Path
from deloc8.cli.memory import give_memory_back

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1:]:
    give_memory_back(map(Path, sys.argv[1:]))
blocks = bytes(30 << 20)  # freed, it teaches glibc that blocks of this size are usual
del blocks
before = held()
blocks = [bytes([number]) * (8 << 20) for number in range(1, 7)]
kept = blocks[-1]
del blocks
print(json.dumps(held() - before))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")
def test_freed_blocks_are_given_back(tmp_path: Path) -> None:
    """Six blocks of 8 MiB, the last of which is kept: by default it keeps the others with it."""

    def left(*wheels: Path) -> int:
        done = subprocess.run([sys.executable, "-c", _PROGRAM, *map(str, wheels)], capture_output=True, check=True)
        return int(json.loads(done.stdout))

    assert left() > 40 << 20
    assert left(*files(tmp_path, 9 << 20)) < 12 << 20
