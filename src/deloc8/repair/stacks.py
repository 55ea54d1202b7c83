"""Executable stacks, which glibc from 2.41 on refuses: which files lose theirs in a repair, and what is told of it."""

from __future__ import annotations

from deloc8.audit.loading import STACK_CODES, stack_faults
from deloc8.audit.violations import ViolationCode
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.edit.vocabulary import ClearExecutableStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from deloc8.audit.match import Closure
    from deloc8.audit.verdict import Audit
    from deloc8.elf.edit.vocabulary import Edit


def stack_edits(audit: Audit) -> Mapping[str, tuple[Edit, ...]]:
    """The edits that clear executable stacks, by the path of each file that has one."""
    if audit.options.keep_executable_stack:
        return {}
    faults = stack_faults(audit.facts).items()
    # Code that runs on its stack would crash without it.
    return {path: (ClearExecutableStack(),) for path, code in faults if code is not ViolationCode.EXECUTED_STACK}


def stack_notes(audit: Audit, closure: Closure, notices: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The notices on a wheel as they are once it is repaired: of a stack that is cleared, that it is."""
    codes = {code.value for code in STACK_CODES}
    edits = stack_edits(audit)
    cleared = [file.label for file in closure.files if file.path in edits]
    for notice in notices:
        if notice.code not in codes or notice.subject not in cleared:
            yield notice
    for label in cleared:
        yield Diagnostic(
            code="executable-stack-cleared",
            severity=Severity.WARNING,
            subject=label,
            message="asked for an executable stack, which glibc 2.41 and newer refuse, and does so no more",
            hints=("where its code runs on the stack (nested functions of C), pass --keep-executable-stack",),
        )
