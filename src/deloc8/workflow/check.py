"""The line of `check`: the archive by itself, then the verdict, then every check."""

from __future__ import annotations

from deloc8.checks.evidence import gather_evidence
from deloc8.checks.table import as_finding, check_contents, run_checks
from deloc8.errors import InputError, PolicyError
from deloc8.paths import file_name
from deloc8.wheel.archive import open_wheel
from deloc8.workflow.audit import DEFAULTS, audit_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.diagnostic import Diagnostic
    from deloc8.paths import StrPath
    from deloc8.workflow.audit import AuditOptions


def check_wheel(path: StrPath, options: AuditOptions = DEFAULTS) -> tuple[Diagnostic, ...]:
    """Every finding on a wheel; one that cannot be read is a finding too.

    >>> [finding.code for finding in check_wheel(wheel, AuditOptions(sysroot=root))]
    []

    Raises:
        PolicyError: A policy file is not sound.
    """
    findings: tuple[Diagnostic, ...] = ()
    try:
        with open_wheel(path, options.limits) as archive:
            findings = check_contents(archive)
            sysroot = options.system
            audit, _ = audit_archive(archive, sysroot, options)
            findings = (*findings, *run_checks(gather_evidence(archive, audit, sysroot)))
            archive.refuse_change()
            return findings
    except PolicyError:
        raise
    except InputError as error:
        return (*findings, as_finding(error, file_name(path)))
