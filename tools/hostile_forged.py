"""Names that would forge a line of a log, or a command to the service that reads it.

Everything that can have a name has a hostile one: needed names, sonames, search paths, symbols, versions, members,
metadata, packages, licences, policies, words of the command line, variables. Each command on it is a trial.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import Trial

from kit.forged import EVIL, cases
from kit.runners import read_lines, taken_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostile_kit import Tool

    from kit.forged import Case

# A command that `check --format github` writes; colons and commas of its properties are escaped.
_ANNOTATION = re.compile(r"::(?:error|warning|notice) file=[^:,]*,title=[^:,]*::.*")


def trials(folder: Path) -> Iterator[Trial]:
    """Each command on a scene of each kind of name."""
    for number, (what, evil) in enumerate(EVIL.items()):
        for case in cases(folder / str(number), evil):
            yield Trial(f"{what}: {case.name}", partial(_judge, case=case))


def _judge(tool: Tool, *, case: Case) -> str | None:
    ended = tool.run(*case.words, cwd=case.cwd, environ=case.environ)
    if ended.fault():
        return ended.fault()
    if ended.code not in {0, 1, 2}:
        return f"exit code {ended.code}"
    out = read_lines(ended.out.decode("utf-8", "surrogateescape"))
    if "github" in case.name:
        out = [line for line in out if not _ANNOTATION.fullmatch(line)]
    for line in (*out, *read_lines(ended.err.decode("utf-8", "surrogateescape"))):
        problem = _problem(line)
        if problem:
            return f"{problem}: {line[:200]!a}"
    return None


def _problem(line: str) -> str | None:
    """What is wrong with a line of an output."""
    takers = taken_by(line)
    if takers:
        return f"a command to {takers[0]}"
    if line.lstrip().startswith("FORGED"):
        return "a forged line"
    if not line.isprintable():
        return "a character that is not to be printed"
    return None
