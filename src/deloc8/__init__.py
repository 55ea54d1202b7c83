"""Cross-distribution Linux wheels: what binds a wheel to its build machine, and how to set it free.

The names below are loaded when they are first used, so that `deloc8 --version` need not wait for them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.audit.forest import Forest
    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic
    from deloc8.errors import (
        Deloc8Error,
        ElfError,
        InputError,
        PolicyError,
        SystemFault,
        UnrepairableError,
        UsageError,
        VerificationError,
        WheelError,
    )
    from deloc8.repair.model import Goal, Outcome, Plan
    from deloc8.wheel.writer import WriteOptions
    from deloc8.wheel.zipformat import ArchiveLimits
    from deloc8.workflow.audit import AuditOptions, audit_wheel, dependency_forest
    from deloc8.workflow.check import check_wheel
    from deloc8.workflow.repair import copy_wheel, plan_repair, repair_wheel

__version__ = "0.1.0"

_HOMES = {
    "ArchiveLimits": "deloc8.wheel.zipformat",
    "Audit": "deloc8.audit.verdict",
    "AuditOptions": "deloc8.workflow.audit",
    "Deloc8Error": "deloc8.errors",
    "Diagnostic": "deloc8.diagnostic",
    "ElfError": "deloc8.errors",
    "Forest": "deloc8.audit.forest",
    "Goal": "deloc8.repair.model",
    "InputError": "deloc8.errors",
    "Outcome": "deloc8.repair.model",
    "Plan": "deloc8.repair.model",
    "PolicyError": "deloc8.errors",
    "SystemFault": "deloc8.errors",
    "UnrepairableError": "deloc8.errors",
    "UsageError": "deloc8.errors",
    "VerificationError": "deloc8.errors",
    "WheelError": "deloc8.errors",
    "WriteOptions": "deloc8.wheel.writer",
    "audit_wheel": "deloc8.workflow.audit",
    "check_wheel": "deloc8.workflow.check",
    "copy_wheel": "deloc8.workflow.repair",
    "dependency_forest": "deloc8.workflow.audit",
    "plan_repair": "deloc8.workflow.repair",
    "repair_wheel": "deloc8.workflow.repair",
}

__all__ = [  # noqa: RUF022  sorted by what they are: functions, what they take and give, errors
    "audit_wheel",
    "check_wheel",
    "dependency_forest",
    "plan_repair",
    "repair_wheel",
    "copy_wheel",
    "ArchiveLimits",
    "Audit",
    "AuditOptions",
    "Diagnostic",
    "Forest",
    "Goal",
    "Outcome",
    "Plan",
    "WriteOptions",
    "Deloc8Error",
    "ElfError",
    "InputError",
    "PolicyError",
    "SystemFault",
    "UnrepairableError",
    "UsageError",
    "VerificationError",
    "WheelError",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'deloc8' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  only when a name is used

    return getattr(import_module(_HOMES[name]), name)
