"""`deloc8 show`: what is in wheels, and what blocks better tags."""

from __future__ import annotations

from deloc8.cli.memory import give_memory_back
from deloc8.cli.several import share, share_of_threads
from deloc8.cli.shared import (
    DONE,
    NOT_AS_ASKED,
    audit_options,
    draws,
    emit,
    exit_code,
    not_worked_on,
    progress_bar,
    render,
    tell_failures,
)
from deloc8.errors import Deloc8Error, PureWheelError
from deloc8.faults import translated
from deloc8.paths import file_name
from deloc8.report.to_text import show_text
from deloc8.text import NOTHING, joined
from deloc8.values import dataclass, replace
from deloc8.workflow.audit import audit_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from deloc8.audit.verdict import Audit
    from deloc8.cli.console import Console
    from deloc8.report.page import Entry
    from deloc8.text import Lines
    from deloc8.workflow.audit import AuditOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Report on one wheel; a process can hand it to another.

    Attributes:
        code: The exit code that it leads to.
        value: As JSON; empty for other formats.
        text: As plain text.
        drawing: As drawn for a terminal.
        trace: Lines for stderr.
        error: Why there is nothing of all this.
        entry: For a page.
    """

    code: int
    value: Lines = NOTHING
    text: Lines = NOTHING
    drawing: Lines = NOTHING
    trace: tuple[str, ...] = ()
    error: Deloc8Error | None = None
    entry: Entry | None = None


def show(options: argparse.Namespace, console: Console) -> int:
    """The exit code: 1 where a wheel could not be shown, or claims what is not so."""
    give_memory_back(options.wheels)
    settings = audit_options(options)
    processes, threads = share_of_threads(options.jobs, len(options.wheels))
    if options.format == "html":
        from deloc8.report.to_html import read_template  # noqa: PLC0415  only for this output

        read_template()  # what it needs is missed before any work is done
        processes, threads = 1, options.jobs  # a page shows the whole verdict, which is too much to hand over
    settings = replace(settings, threads=threads)
    growing = None
    if options.format == "json":
        from deloc8.cli.documents import Document  # noqa: PLC0415  only for this output

        growing = Document("show", options, console)
    parts = []
    with share(lambda path: _show_one(path, settings, options, console), options.wheels, processes) as results:
        for path in options.wheels:
            with progress_bar(path, options, console):
                part = next(results)
            if growing is not None:
                growing.add(part.value)
                part = replace(part, value=NOTHING)  # what is written need not be kept
            parts.append(part)
            if part.drawing:
                console.data(part.drawing)
            for line in part.trace:
                console.say(line)
            if part.error is not None:
                console.error(part.error)
    tell_failures([part.code for part in parts], console)
    if growing is not None:
        growing.end()
    elif options.format == "html":
        from deloc8.report.to_html import html_page  # noqa: PLC0415  only for this output

        emit(options, console, html_page("show", [part.entry for part in parts if part.entry is not None]))
    else:
        texts = [part.text for part in parts if part.text]
        emit(options, console, joined(joined((NOTHING, text)) for text in texts))
    return max(part.code for part in parts)


def _show_one(path: str, settings: AuditOptions, options: argparse.Namespace, console: Console) -> _Shown:
    try:
        with translated(not_worked_on(path)):
            audit = audit_wheel(path, settings)
        if audit.is_pure and not options.allow_pure_python_wheel:
            raise PureWheelError(
                f"{file_name(path)} has no compiled files: there is nothing to show",
                code="pure-wheel",
                hints=("to accept such wheels, pass --allow-pure-python-wheel",),
            )
    except Deloc8Error as error:
        if error.code == "output-is-input":
            raise
        value = NOTHING
        if options.format == "json":
            from deloc8.cli.documents import wheel_lines  # noqa: PLC0415  only for this output
            from deloc8.report.to_json import failed_wheel  # noqa: PLC0415  the same

            value = wheel_lines(failed_wheel(file_name(path), error))
        shown = _Shown(code=exit_code(error), value=value, error=error)
    else:
        shown = _Shown(
            code=NOT_AS_ASKED if audit.false_claims else DONE,
            value=_value(audit) if options.format == "json" else NOTHING,
            trace=tuple(_trace(audit)) if console.verbosity > 1 else (),
        )
        if draws(options, console):
            from deloc8.report.to_terminal import show_parts_drawn  # noqa: PLC0415  only on a terminal

            return replace(shown, drawing=render(console, show_parts_drawn(audit, verbose=console.verbosity > 0)))
        if options.format == "text":
            return replace(shown, text=show_text(audit, verbose=console.verbosity > 0))
    if options.format == "html":
        from deloc8.report.page import Entry  # noqa: PLC0415  only for this output

        entry = Entry(name=file_name(path), error=shown.error, audit=None if shown.error else audit)
        return replace(shown, entry=entry)
    return shown


def _value(audit: Audit) -> Lines:
    from deloc8.cli.documents import wheel_lines  # noqa: PLC0415  only for this output
    from deloc8.report.to_json import audit_value  # noqa: PLC0415  the same

    return wheel_lines(audit_value(audit))


def _trace(audit: Audit) -> Iterator[str]:
    """Every place that was tried for every needed library."""
    for path, rows in audit.facts.dependencies.items():
        for row in rows:
            yield f"{audit.facts.files[path].label} needs {row.name}: {row.target or 'not found'}"
            for attempt in row.lookup.tried:
                reason = f" ({attempt.reason})" if attempt.reason else ""
                yield f"    {attempt.origin}: {attempt.path}: {attempt.result.value}{reason}"
