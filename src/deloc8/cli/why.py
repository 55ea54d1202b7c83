"""`deloc8 why`: one thing of a wheel explained."""

from __future__ import annotations

from deloc8.cli.shared import DONE, audit_options, draws, emit, emit_drawn, emit_json, progress_bar
from deloc8.errors import PureWheelError
from deloc8.explain.why import explain
from deloc8.paths import file_name
from deloc8.report.to_json import document
from deloc8.report.why import why_text, why_value
from deloc8.workflow.audit import audit_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from deloc8.cli.console import Console


def why(options: argparse.Namespace, console: Console) -> int:
    """The exit code of an explanation.

    Raises:
        InputError: The wheel or a policy file is not sound; PureWheelError where there is nothing to explain.
        UsageError: The wheel has to do with nothing of that name.
    """
    (path,) = options.wheels
    with progress_bar(path, options, console):
        audit = audit_wheel(path, audit_options(options))
    if audit.is_pure:
        raise PureWheelError(f"{file_name(path)} has no compiled files: there is nothing to explain", code="pure-wheel")
    answer = explain(audit, options.subject)
    if options.format == "json":
        emit_json(options, console, document("why", [why_value(file_name(path), answer)]))
    elif draws(options, console):
        from deloc8.report.to_terminal import why_parts_drawn  # noqa: PLC0415  only on a terminal

        emit_drawn(console, why_parts_drawn(file_name(path), answer))
    else:
        emit(options, console, why_text(file_name(path), answer))
    return DONE
