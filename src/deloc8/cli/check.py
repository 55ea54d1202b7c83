"""`deloc8 check`: is what the wheels claim true?"""

from __future__ import annotations

from pathlib import Path

from deloc8 import __version__
from deloc8.audit.checks.selection import Selection, check_codes
from deloc8.audit.checks.table import RULES
from deloc8.cli.config import read_config
from deloc8.cli.memory import give_memory_back
from deloc8.cli.several import share, share_of_threads
from deloc8.cli.shared import (
    DONE,
    NOT_AS_ASKED,
    audit_options,
    draws,
    emit,
    emit_drawn,
    emit_json,
    progress_bar,
    tell_failures,
)
from deloc8.diagnostic import Severity
from deloc8.text import NOTHING, joined
from deloc8.values import replace
from deloc8.workflow import check_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from deloc8.cli.console import Console
    from deloc8.diagnostic import Diagnostic

    _Checked = list[tuple[Path, Sequence[Diagnostic]]]


def check(options: argparse.Namespace, console: Console) -> int:
    """The exit code: 1 where a finding on any wheel is an error.

    Raises:
        UsageError: A code to select or to ignore does not exist, or pyproject.toml is wrong.
        PolicyError: A policy file is not sound.
    """
    selection = _selection(options)
    settings = audit_options(options)
    give_memory_back(options.wheels)
    processes, threads = share_of_threads(options.jobs, len(options.wheels))
    settings = replace(settings, threads=threads)
    checked: _Checked = []
    with share(lambda path: selection.apply(check_wheel(path, settings)), options.wheels, processes) as results:
        for path in options.wheels:
            with progress_bar(path, options, console):
                checked.append((Path(path), next(results)))
    _tell(checked, options, console)
    codes = [
        NOT_AS_ASKED if any(found.severity is Severity.ERROR for found in findings) else DONE for _, findings in checked
    ]
    tell_failures(codes, console)
    return max(codes)


def _selection(options: argparse.Namespace) -> Selection:
    """The choices of pyproject.toml and of the command line together."""
    config = read_config()
    for key in ("select", "ignore"):
        check_codes(config[key], f"pyproject.toml: tool.deloc8.{key}")
        check_codes(getattr(options, key), f"--{key}")
    return Selection(
        select=(*config["select"], *options.select),
        ignore=(*config["ignore"], *options.ignore),
    )


def _tell(checked: _Checked, options: argparse.Namespace, console: Console) -> None:
    from deloc8.report.findings import findings_text, findings_value  # noqa: PLC0415  after the work

    if options.format == "json":
        from deloc8.report.to_json import document  # noqa: PLC0415  only for this output

        emit_json(options, console, document("check", [findings_value(path.name, found) for path, found in checked]))
    elif options.format == "sarif":
        from deloc8.report.to_sarif import sarif_document  # noqa: PLC0415  only for this output

        rules = {rule.code: rule.severity for rule in RULES}
        emit_json(options, console, sarif_document(checked, rules, __version__))
    elif options.format == "github":
        from deloc8.report.to_github import github_lines  # noqa: PLC0415  only for this output

        emit(options, console, joined((github_lines(path, found) for path, found in checked), NOTHING))
    elif draws(options, console):
        from deloc8.report.to_terminal import findings_drawn  # noqa: PLC0415  only on a terminal

        emit_drawn(console, [findings_drawn(path.name, found) for path, found in checked])
    else:
        emit(options, console, joined((findings_text(path.name, found) for path, found in checked), NOTHING))
