"""What --help says of every command, word for word.

After a wanted change: pytest tests/golden --renew
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.cli.args import build_parser
from deloc8.cli.help import every_parser
from kit.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = [parser.prog for parser in every_parser(build_parser())]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(program: str, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Command(capsys)(*program.split()[1:], "--help")
    assert (code, err) == (0, "")
    golden(f"help/{program.replace(' ', '-')}.txt", out)
