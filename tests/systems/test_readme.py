"""The README's examples are what the commands print."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.systems

README = Path(__file__).resolve().parent.parent.parent / "README.md"
BLOCKS = re.findall(
    r"^```console\n\$ deloc8 ([^\n]*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_the_readme_has_examples_of_both_commands() -> None:
    assert {shlex.split(line)[0] for line, _ in BLOCKS} >= {"show", "fixup"}


@pytest.mark.parametrize(("line", "printed"), BLOCKS, ids=[line for line, _ in BLOCKS])
def test_example(line: str, printed: str, wheels_folder: Path, tmp_path: Path) -> None:
    release = platform.freedesktop_os_release()
    if (release["ID"], release.get("VERSION_ID")) != ("debian", "12"):
        pytest.skip("the README's examples name the libraries of Debian 12")
    for name in re.findall(r"[^ ]+\.whl", line):
        (tmp_path / name).symlink_to(wheels_folder / name)
    command = [str(Path(sys.executable).with_name("deloc8")), *shlex.split(line)]
    ended = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    assert normal(ended.stdout).strip() == normal(printed).strip()


def normal(text: str) -> str:
    """The text with the hashes in grafts' names made alike, which a security update of the library changes.

    So is the folder of the Python that the wheels were built with: it is in a home folder, whoever's that was.
    """
    text = re.sub(r"-[0-9a-f]{8}\.so", "-HASH.so", text)
    return re.sub(r"^  /\S+/\.pyenv/", "  /home/me/.pyenv/", text, flags=re.MULTILINE)
