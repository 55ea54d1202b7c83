"""`deloc8 check`: is what the wheels claim true?"""

from __future__ import annotations

from pathlib import Path

from deloc8 import __version__
from deloc8.checks.selection import Selection, check_codes
from deloc8.checks.table import RULES
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
    exit_code,
    not_worked_on,
    progress_bar,
    tell_failures,
)
from deloc8.diagnostic import Severity
from deloc8.errors import SystemFault
from deloc8.faults import translated
from deloc8.text import NOTHING, joined
from deloc8.values import dataclass, replace
from deloc8.workflow.check import check_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from deloc8.cli.console import Console
    from deloc8.diagnostic import Diagnostic
    from deloc8.workflow.audit import AuditOptions


def check(options: argparse.Namespace, console: Console) -> int:
    """The exit code: 1 where a finding on any wheel is an error, 4 where the machine kept one from being judged.

    Raises:
        UsageError: A code to select or to ignore does not exist, or pyproject.toml is wrong.
        PolicyError: A policy file is not sound.
    """
    selection = _selection(options)
    settings = audit_options(options)
    give_memory_back(options.wheels)
    processes, threads = share_of_threads(options.jobs, len(options.wheels))
    settings = replace(settings, threads=threads)
    checked: list[_Checked] = []
    with share(lambda path: _check_one(path, selection, settings), options.wheels, processes) as results:
        for path in options.wheels:
            with progress_bar(path, options, console):
                checked.append(next(results))
    _tell(checked, options, console)
    codes = [result.code for result in checked]
    tell_failures(codes, console)
    return max(codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """Result of one wheel; a process can hand it to another.

    Attributes:
        path: The wheel.
        findings: What was found.
        fault: Why it could not be judged: the machine refused.
    """

    path: Path
    findings: Sequence[Diagnostic] = ()
    fault: SystemFault | None = None

    @property
    def code(self) -> int:
        """The exit code that it leads to."""
        if self.fault is not None:
            return exit_code(self.fault)
        is_bad = any(found.severity is Severity.ERROR for found in self.findings)
        return NOT_AS_ASKED if is_bad else DONE


def _check_one(path: str, selection: Selection, settings: AuditOptions) -> _Checked:
    try:
        with translated(not_worked_on(path)):
            return _Checked(path=Path(path), findings=selection.apply(check_wheel(path, settings)))
    except SystemFault as fault:
        return _Checked(path=Path(path), fault=fault)


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


def _tell(checked: Sequence[_Checked], options: argparse.Namespace, console: Console) -> None:
    faults = [result.fault for result in checked if result.fault is not None]
    for fault in faults:
        console.error(fault)
    _tell_findings(checked, faults, options, console)


def _tell_findings(
    results: Sequence[_Checked], faults: Sequence[SystemFault], options: argparse.Namespace, console: Console
) -> None:
    from deloc8.report.findings import findings_text, findings_value  # noqa: PLC0415  after the work

    checked = [(result.path, result.findings) for result in results if result.fault is None]
    if options.format == "json":
        from deloc8.report.to_json import document, failed_wheel  # noqa: PLC0415  only for this output

        values = [
            failed_wheel(result.path.name, result.fault)
            if result.fault is not None
            else findings_value(result.path.name, result.findings)
            for result in results
        ]
        emit_json(options, console, document("check", values))
    elif options.format == "sarif":
        from deloc8.report.to_sarif import sarif_document  # noqa: PLC0415  only for this output

        rules = {rule.code: rule.severity for rule in RULES}
        emit_json(options, console, sarif_document(checked, rules, __version__, faults))
    elif options.format == "github":
        from deloc8.report.to_github import github_lines  # noqa: PLC0415  only for this output

        emit(options, console, joined((github_lines(path, found) for path, found in checked), NOTHING))
    elif draws(options, console):
        from deloc8.report.to_terminal import findings_drawn  # noqa: PLC0415  only on a terminal

        emit_drawn(console, [findings_drawn(path.name, found) for path, found in checked])
    else:
        emit(options, console, joined((findings_text(path.name, found) for path, found in checked), NOTHING))
