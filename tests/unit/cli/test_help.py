from __future__ import annotations

import re
import subprocess
import sys

import pytest

from deloc8.cli.args import build_parser
from deloc8.cli.help import HEIGHT, SHELLS, WIDTH, every_parser
from kit.command import Command, run_program

PARSERS = {parser.prog: parser for parser in every_parser(build_parser())}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


# -- help


@pytest.mark.parametrize("program", PARSERS)
def test_help_fits_a_screen(program: str) -> None:
    lines = PARSERS[program].format_help().splitlines()
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("columns", ["20", "200"])
def test_help_is_the_same_in_every_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_parser().format_help()
    monkeypatch.setenv("COLUMNS", columns)
    assert build_parser().format_help() == before


@pytest.mark.parametrize("program", PARSERS)
def test_help_ends_with_examples_that_are_right(program: str) -> None:
    _, _, examples = PARSERS[program].format_help().partition("\nexamples:\n")
    lines = [re.split(" {2,}", line.strip())[0] for line in examples.partition("\n\n")[0].splitlines()]
    assert lines
    for line in lines:
        if "COMMAND" not in line:
            assert line.startswith(program)
            build_parser().parse_args([word.strip("'") for word in line.split()[1:]])


def test_usage_is_one_line(command: Command) -> None:
    assert PARSERS["deloc8 policies"].format_usage() == "usage: deloc8 policies [OPTION...] [NAME]\n"
    assert command("fixup", "--help").out.startswith("usage: deloc8 fixup [OPTION...] WHEEL...\n")


# -- completion


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_knows_the_options(shell: str, command: Command) -> None:
    code, out, err = command("--print-completion", shell)
    assert (code, err) == (0, "")
    assert "no-update-tags" in out


def test_without_shtab_the_answer_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, out, err = command("--print-completion", "bash")
    assert (code, out) == (2, "")
    assert err == (
        "error: completion scripts need the package shtab, which is not installed [missing-extra]\n\n"
        "hint: pip install 'deloc8[completion]'\n"
    )


def test_only_this_answer_needs_shtab() -> None:
    code = (
        "import sys; from deloc8.cli import main; main(['policies', '--arch', 'x86_64', '-o', '/dev/null']); "
        "print('deloc8.cli.help' in sys.modules, 'shtab' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "True False\n"


def test_the_program_prints_it_too() -> None:
    code, out, err = run_program("--print-completion", "bash")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("deloc8")
