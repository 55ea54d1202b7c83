"""The dependency tree of a file of this machine, beside what readelf says of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from deloc8.audit.forest import forest_of_files
from deloc8.loader.search import SearchOptions
from kit.require import require


def _needed(path: Path) -> list[str]:
    output = subprocess.run([require("readelf", "Debian: binutils"), "-dW", path], capture_output=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output.stdout.decode())


def test_on_this_machine_the_root_is_the_root() -> None:
    loaded = Path(os.path.realpath("/proc/self/exe"))
    forest = forest_of_files(loaded, Path("/"), SearchOptions())
    assert forest.roots == (str(loaded),)
    assert [row.name for row in forest.dependencies[str(loaded)]] == _needed(loaded)
