"""The loader in a sysroot against the real ld.so of that distribution: each knows its own built-in folders."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.read.image import ElfImage
from deloc8.loader.resolve import Resolver
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from kit.distribution import debian

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.systems

# The distributions have no shell; their Python asks their ld.so, in the way of ldd.
ASK = """
import subprocess
for path in open("/mnt/scripts/files").read().splitlines():
    command = ["/lib64/ld-linux-x86-64.so.2", path]
    ended = subprocess.run(command, stdout=-1, stderr=-2, env={"LD_TRACE_LOADED_OBJECTS": "1"})
    print(f"@ {path}\\n" + (ended.stdout.decode() if not ended.returncode else "refused"))
"""


def elf_files(root: Path) -> Iterator[str]:
    for top in ("usr/bin", "usr/lib"):
        for folder, _, names in os.walk(root / top):
            for path in (Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
                    yield f"/{path.relative_to(root)}"


@pytest.mark.parametrize(
    ("suite", "packages"),
    [
        ("bullseye", ("python3", "libstdc++6")),
        ("bookworm", ("python3", "libstdc++6", "libglib2.0-0")),
        ("trixie", ("python3", "libstdc++6")),
    ],
)
def test_every_file_of_a_distribution(suite: str, packages: tuple[str, ...], tmp_path: Path) -> None:
    root = debian(suite, packages)
    files = list(elf_files(root.path))
    (tmp_path / "files").write_text("\n".join(files))
    (tmp_path / "ask.py").write_text(ASK)
    answers = root.python(["/mnt/scripts/ask.py"], wheel=tmp_path, scripts=tmp_path).stdout.split("@ ")[1:]
    assert len(answers) == len(files)
    sysroot = Sysroot(root.path)
    # No folders for better processors: a bare Debian has no libraries in any.
    resolver = Resolver(sysroot, SearchOptions())
    compared = 0
    for answer in answers:
        path, _, text = answer.partition("\n")
        if text.startswith("refused"):
            continue
        found = [a or b for a, b in re.findall(r"^\t(?:\S+ => (/\S+)|(/\S+)) \(0x", text, re.MULTILINE)]
        missing = set(re.findall(r"^\t(\S+) => not found$", text, re.MULTILINE))
        image = sysroot.image(path)
        assert isinstance(image, ElfImage)
        graph = resolver.resolve(path, image)
        assert [loaded.path for loaded in graph.objects[1:]] == found, path
        assert {lookup.name for lookup in graph.missing} == missing, path
        compared += 1
    assert compared > 300
