"""Skip a test that cannot run on this machine, and say what it misses."""

from __future__ import annotations

import os
import shutil

import pytest

# Where the tools of administrators stand, which not every user's PATH names.
_MORE_FOLDERS = ("/usr/sbin", "/sbin")


def require(program: str, package: str) -> str:
    """The path of a program; without it the test (or the whole module) is skipped.

    Args:
        program: Its name on PATH.
        package: Where it comes from, for the one who reads the skip: Debian's package, or "PyPI: ...".
    """
    if found := shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS])):
        return found
    pytest.skip(f"needs the program {program} ({package})", allow_module_level=True)
