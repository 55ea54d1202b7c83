"""The compatibility library for tests: built from the sources as they are, once for all runs."""

from __future__ import annotations

import fcntl
import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest
from compat import build

TOP = Path(__file__).resolve().parent.parent.parent
MACHINES = tuple(build.TARGETS)


@functools.cache
def compat_library(machine: str) -> Path:
    """The path of the library of a machine, named by its soname; the test is skipped without the compiler."""
    if find_spec("ziglang") is None:
        pytest.skip("needs the compiler of ziglang (PyPI: ziglang)")
    digest = hashlib.sha256()
    for path in sorted([*(TOP / "compat").rglob("*.[ch]"), TOP / "compat" / "build.py", build.TABLE]):
        digest.update(path.read_bytes())
    folder = TOP / ".cache" / f"compat-{digest.hexdigest()[:16]}" / machine
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / build.SONAME
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            build.check_compiler()
            build.build(machine, build.exports(machine), library)
    return library
