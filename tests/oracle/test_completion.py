"""The completion scripts, run by the shells that they are for."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.cli.help import SHELLS
from kit.command import Command
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

# What completes a line; the last of its words is the one that is being written.
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
$(complete -p deloc8 | sed 's/.*-F \\([^ ]*\\).*/\\1/') deloc8 "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def script(tmp_path: Path, command: Command) -> Path:
    """The completion script of bash."""
    file = tmp_path / "deloc8.bash"
    file.write_text(command("--print-completion", "bash").out, encoding="utf-8")
    return file


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    bash = require("bash", "Debian: bash")
    ended = subprocess.run(
        [bash, "--norc", "-c", COMPLETE, "bash", script, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_accepted_by_it(shell: str, tmp_path: Path, command: Command) -> None:
    code, out, err = command("--print-completion", shell)
    assert (code, err) == (0, "")
    assert "no-update-tags" in out
    file = tmp_path / "script"
    file.write_text(out, encoding="utf-8")
    program = require(shell, f"Debian: {shell}")
    ended = subprocess.run([program, "-n", file], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_bash_completes_commands(script: Path) -> None:
    assert complete(script, "deloc8", "pol") == ["policies"]
    assert {"show", "fixup", "repair"} <= set(complete(script, "deloc8", ""))


def test_bash_completes_options_and_their_values(script: Path) -> None:
    assert complete(script, "deloc8", "fixup", "--no-u") == ["--no-update-tags"]
    assert complete(script, "deloc8", "show", "--no-u") == []
    assert complete(script, "deloc8", "policies", "--libc", "m") == ["musl"]


def test_bash_completes_files_and_folders(script: Path) -> None:
    (script.parent / "demo.whl").touch()
    (script.parent / "demo.d").mkdir()
    assert complete(script, "deloc8", "show", "demo.w") == ["demo.whl"]
    assert complete(script, "deloc8", "fixup", "-w", "demo") == ["demo.d"]
