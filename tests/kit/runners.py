"""Lines of a log as the services read them that run builds: what each would take for a command.

The rules are those of the programs: actions/runner, src/Runner.Common/ActionCommand.cs (TryParseV2: `::` behind leading
white space; TryParse: `##[` anywhere; a name behind it, and `::` or `]`); microsoft/azure-pipelines-agent (`##vso[`
anywhere, `##[` at the beginning); JetBrains, "Service Messages" (`##teamcity[`); GitLab Runner, "Custom collapsible
sections"; Buildkite, "Managing log output". They are read more widely here: a command need not be complete or known.
"""

from __future__ import annotations

import re
import unicodedata

_RULES = {
    "GitHub (TryParseV2)": r"\s*::",
    "GitHub (TryParse)": r".*##\[",
    "Azure Pipelines": r".*##vso\[",
    "TeamCity": r".*##teamcity\[",
    "GitLab": r".*section_(?:start|end):\d+:[^\r]*\r",
    "Buildkite": r"(?:---|\+\+\+|~~~|\^\^\^)(?:\s|$)",
}
_COMPILED = {service: re.compile(rule, re.DOTALL) for service, rule in _RULES.items()}


def read_lines(output: str) -> list[str]:
    """The lines of an output as StreamReader.ReadLine of .NET has them: any of three line ends ends one."""
    return re.split(r"\r\n|\r|\n", output)


def taken_by(line: str) -> list[str]:
    """The services that would take something out of a line.

    .NET compares as people read: characters that are not to be seen count for nothing.
    """
    seen = "".join(char for char in line if not _is_unseen(char))
    return [service for service, rule in _COMPILED.items() if rule.match(seen) or rule.match(line)]


def _is_unseen(char: str) -> bool:
    variation = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return variation or char == "\u034f" or unicodedata.category(char) == "Cf"
