"""Commands, each carried out with its options; exit codes are decided here and nowhere else."""

from __future__ import annotations

import os
import stat
import sys

from deloc8 import ending
from deloc8.cli.console import Console
from deloc8.cli.shared import (
    DONE,
    INTERRUPTED,
    archive_limits,
    audit_options,
    draws,
    emit,
    emit_drawn,
    emit_json,
    exit_code,
    not_worked_on,
    progress_bar,
    take_pipes,
    tell_failures,
)
from deloc8.cli.streams import Stream
from deloc8.diagnostic import Severity
from deloc8.errors import Deloc8Error, PureWheelError, SystemFault, UnrepairableError, UsageError
from deloc8.faults import translated
from deloc8.paths import file_name
from deloc8.target import Arch, Libc, parse_platform_tag
from deloc8.text import NOTHING, joined
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from deloc8.diagnostic import Diagnostic
    from deloc8.repair.model import Outcome, Plan
    from deloc8.report.page import Entry
    from deloc8.report.to_json import Json
    from deloc8.text import Lines


def run(arguments: Sequence[str], *, is_process: bool = False) -> int:
    """The exit code of one command; signals are answered only where the process is the command's."""
    if is_process:
        ending.prepared_by(_answer_signals)
    out = Stream(sys.stdout)
    console = Console(out=out, err=Stream(sys.stderr), environ=os.environ)
    try:
        with translated("the command could not be carried out"):
            return _run(arguments, console, out)
    except Deloc8Error as error:
        console.error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _answer_signals() -> None:
    from deloc8.cli.signals import guard  # noqa: PLC0415  only where a signal would leave something behind

    guard()


def _run(arguments: Sequence[str], console: Console, out: Stream) -> int:
    from deloc8.cli.args import parse  # noqa: PLC0415  argparse is not for `--version`
    from deloc8.cli.help import Answer  # noqa: PLC0415  the same

    try:
        options = parse(arguments, os.environ)
    except Answer as answer:
        out.write(answer.text)
        return _told(console, out)
    console = replace(console, color=options.color, verbosity=-1 if options.quiet else options.verbose)
    if options.output is not None or _is_file(out):
        from deloc8.cli.output import check_output  # noqa: PLC0415  most runs write to a terminal or a pipe

        check_output(options, console)
    code = _work(options, console)
    fault = _told(console, out)
    return code if _is_done_without_a_word(options) else code or fault


def _is_file(stream: Stream) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _is_done_without_a_word(options: argparse.Namespace) -> bool:
    """Whether what a command is run for is a wheel, or the verdict of its exit code; of the others it is their text."""
    return options.command == "check" or (options.command == "fixup" and not options.dry_run)


def _work(options: argparse.Namespace, console: Console) -> int:
    try:
        with translated("the command could not be carried out"):
            if getattr(options, "policy", ()):
                take_pipes(options)
            return _COMMANDS[options.command](options, console)
    except Deloc8Error as error:
        console.error(error)
        # Where the output itself is what is wrong, what went wrong is not written there.
        if options.format == "json" and not options.is_output_lost and error.code != "output-is-input":
            from deloc8.report.to_json import error_document  # noqa: PLC0415  only for this output

            emit_json(options, console, error_document(options.command, error))
        return exit_code(error)


def _told(console: Console, out: Stream) -> int:
    """The exit code of the writing: an error where stdout did not take all, unless its reader is gone."""
    if not out.has_lost:
        return DONE
    reason = getattr(out.fault, "strerror", None) or str(out.fault)
    error = SystemFault("the output cannot be written", code="unwritable-output", context=(reason,))
    console.error(error)
    return exit_code(error)


class _Sum:
    """Results of several wheels."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.texts: list[Lines] = []
        self.values: list[Json] = []
        self.entries: list[Entry] = []

    @property
    def code(self) -> int:
        return max(self.codes, default=DONE)


def _each(options: argparse.Namespace, console: Console, work: Callable[[str, _Sum], int]) -> _Sum:
    """Work on every wheel; one that fails does not keep the others from being tried."""
    from deloc8.report.to_json import failed_wheel  # noqa: PLC0415  only for commands on wheels

    if options.format == "html":
        from deloc8.report.to_html import read_template  # noqa: PLC0415  only for this output

        read_template()  # what it needs is missed before any work is done
    total = _Sum()
    for path in options.wheels:
        try:
            with translated(not_worked_on(path)):
                total.codes.append(work(path, total))
        except Deloc8Error as error:
            if error.code == "output-is-input":
                raise
            total.codes.append(exit_code(error))
            total.values.append(failed_wheel(file_name(path), error))
            if options.format == "html":
                from deloc8.report.page import Entry  # noqa: PLC0415  only for this output

                total.entries.append(Entry(name=file_name(path), error=error))
            console.error(error)
    tell_failures(total.codes, console)
    return total


def _show(options: argparse.Namespace, console: Console) -> int:
    from deloc8.cli.show import show  # noqa: PLC0415  only for this command

    return show(options, console)


def _emit_html(options: argparse.Namespace, console: Console, total: _Sum) -> None:
    from deloc8.report.to_html import html_page  # noqa: PLC0415  only for this output

    emit(options, console, html_page(options.command, total.entries))


def _fixup(options: argparse.Namespace, console: Console) -> int:
    from pathlib import Path  # noqa: PLC0415  only for this command

    from deloc8.cli.memory import give_memory_back  # noqa: PLC0415  only for this command
    from deloc8.cli.places import check_places  # noqa: PLC0415
    from deloc8.report.to_json import document  # noqa: PLC0415

    def work(path: str, total: _Sum) -> int:
        text, value, repair = _fix_one(path, options, console)
        total.values.append(value)
        if options.format == "html":
            from deloc8.report.page import Entry  # noqa: PLC0415  only for this output
            from deloc8.workflow.audit import audit_wheel  # noqa: PLC0415

            total.entries.append(
                Entry(name=file_name(path), audit=audit_wheel(path, audit_options(options)), repair=repair)
            )
        if repair is not None and console.verbosity >= 0 and draws(options, console):
            from deloc8.report.repair_terminal import repair_drawn  # noqa: PLC0415  only on a terminal

            emit_drawn(console, repair_drawn(repair, options.wheel_dir))
        elif options.format == "text":
            # One wheel can take minutes: what was done is reported at once.
            if options.output is None and console.verbosity >= 0:
                console.data(text)
            total.texts.append(text)
        return DONE

    give_memory_back(options.wheels)
    options.wheel_dir = Path(options.wheel_dir)
    options.written = []
    check_places(options)
    total = _each(options, console, work)
    if options.format == "json":
        emit_json(options, console, document("fixup", total.values))
    elif options.format == "html":
        _emit_html(options, console, total)
    elif options.output is not None:
        emit(options, console, joined(total.texts, NOTHING))
    return total.code


def _fix_one(path: str, options: argparse.Namespace, console: Console) -> tuple[Lines, Json, Plan | Outcome | None]:
    from deloc8.cli.places import repair_options  # noqa: PLC0415  only for this command
    from deloc8.report import to_json, to_text  # noqa: PLC0415
    from deloc8.wheel.writer import WriteOptions  # noqa: PLC0415
    from deloc8.workflow.repair import copy_wheel, plan_repair, repair_wheel  # noqa: PLC0415

    goal, settings = repair_options(options)
    others = [*options.wheels, *(policy for policy in options.policy if isinstance(policy, str))]
    writing = WriteOptions(source_date_epoch=options.source_date_epoch, spared=tuple(others))
    if options.zip_compression_level is not None:
        # A level given by hand is for the whole wheel, as for auditwheel.
        writing = replace(writing, level=options.zip_compression_level, all_members=True)
    try:
        if options.dry_run:
            plan = plan_repair(path, goal, settings)
            _tell(plan.notes, console)
            return to_text.full_plan_text(plan, options.wheel_dir), to_json.plan_value(plan), plan
        with progress_bar(path, options, console):
            outcome = repair_wheel(path, options.wheel_dir, goal, writing, settings)
        options.written.append(outcome.path)
    except (UsageError, UnrepairableError) as error:
        if options.plat_source is not None:
            error.notes = (*error.notes, f"the tag to reach is that of the environment variable {options.plat_source}")
        raise
    except PureWheelError as error:
        if not options.allow_pure_python_wheel:
            raise
        for note in error.notes:
            console.say(f"warning: {note}")
        copy = options.wheel_dir / file_name(path) if options.dry_run else copy_wheel(path, options.wheel_dir, settings)
        options.written.append(copy)
        text = to_text.copied_text(copy, would=options.dry_run)
        return text, {"wheel": file_name(path), "pure": True, "output": str(copy)}, None
    _tell(outcome.plan.notes, console)
    done = to_text.plan_text(outcome.plan, verbose=console.verbosity > 0), to_text.written_text(outcome.path)
    return joined(done, NOTHING), to_json.outcome_value(outcome), outcome


# Notes that are always shown: on what a repaired wheel finds, does not find any more, or finds in
# another build.
_ALWAYS_TOLD = frozenset({"rpath-dropped", "rpath-kept", "rpath-crosses-schemes", "split-package"})


def _tell(notes: Sequence[Diagnostic], console: Console) -> None:
    """Report warnings and some notes always, the other notes with -v.

    Without it, what is equal of many files is shown once.
    """
    if console.verbosity > 0:
        for note in notes:
            console.diagnostic(note)
        return
    equal: dict[object, list[Diagnostic]] = {}
    for note in notes:
        if note.code in _ALWAYS_TOLD and console.verbosity == 0:
            equal.setdefault((note.code, note.context), []).append(note)
        elif note.severity is not Severity.NOTE:
            equal[id(note)] = [note]
    for first, *others in equal.values():
        more = f" and {len(others)} more files (-v shows all)" if others else ""
        console.diagnostic(replace(first, subject=first.subject + more))


def _tree(options: argparse.Namespace, console: Console) -> int:
    from deloc8.report.to_json import SCHEMA  # noqa: PLC0415  only for this command
    from deloc8.report.tree import tree_text, tree_value  # noqa: PLC0415
    from deloc8.workflow.audit import AuditOptions, dependency_forest  # noqa: PLC0415

    settings = AuditOptions(
        sysroot=options.sysroot,
        library_path=options.ld_library_path,
        environment_path=options.environment_path,
        add_paths=options.add_path,
        only_paths=options.ldpaths,
        output=options.output_identity,
        limits=archive_limits(options),
    )

    def work(path: str, total: _Sum) -> int:
        forest = dependency_forest(path, settings)
        total.values.append(tree_value(forest))
        if draws(options, console):
            from deloc8.report.to_terminal import tree_drawn  # noqa: PLC0415  only on a terminal

            emit_drawn(console, [tree_drawn(forest, verbose=console.verbosity > 0)])
        else:
            total.texts.append(tree_text(forest, verbose=console.verbosity > 0))
        return DONE

    total = _each(options, console, work)
    if options.format == "json":
        emit_json(options, console, {"schema": SCHEMA, "command": "tree", "paths": total.values})
    else:
        emit(options, console, joined(total.texts, NOTHING))
    return total.code


def _policies(options: argparse.Namespace, console: Console) -> int:
    import platform  # noqa: PLC0415  only for this command

    from deloc8.policy.load import builtin_policies, find_policy  # noqa: PLC0415
    from deloc8.policy.seed import policy_to_seed_json  # noqa: PLC0415
    from deloc8.report.to_json import SCHEMA  # noqa: PLC0415
    from deloc8.report.to_text import policies_text  # noqa: PLC0415

    arch = find_arch(options.arch or platform.machine(), asked=options.arch is not None)
    known = builtin_policies(arch, Libc(options.libc))
    if options.name is not None:
        emit_json(options, console, policy_to_seed_json(find_policy(options.name, known, arch)))
    elif options.format == "json":
        rows = [{"name": policy.name, "aliases": list(policy.aliases), "tags": list(policy.tags)} for policy in known]
        emit_json(options, console, {"schema": SCHEMA, "command": "policies", "policies": rows})
    elif draws(options, console):
        from deloc8.report.to_terminal import policies_drawn  # noqa: PLC0415  only on a terminal

        emit_drawn(console, [policies_drawn([(policy.name, policy.aliases) for policy in known])])
    else:
        emit(options, console, policies_text([(policy.name, policy.aliases) for policy in known]))
    return DONE


def find_arch(name: str, *, asked: bool) -> Arch:
    """The machine of a name.

    Raises:
        UsageError: The policies know none of that name.
    """
    arch = parse_platform_tag(f"linux_{name}").arch
    if arch is None:
        what = f"`{name}` is no machine that the policies know"
        raise UsageError(
            what if asked else f"{what}, and it is the one deloc8 runs on",
            code="unknown-machine",
            hints=(f"pass --arch with one of {', '.join(arch.value for arch in Arch)}",),
        )
    return arch


def _check(options: argparse.Namespace, console: Console) -> int:
    from deloc8.cli.check import check  # noqa: PLC0415  only for this command

    return check(options, console)


def _why(options: argparse.Namespace, console: Console) -> int:
    from deloc8.cli.why import why  # noqa: PLC0415  only for this command

    return why(options, console)


_COMMANDS: Mapping[str, Callable[[argparse.Namespace, Console], int]] = {
    "show": _show,
    "check": _check,
    "why": _why,
    "fixup": _fixup,
    "tree": _tree,
    "policies": _policies,
}
