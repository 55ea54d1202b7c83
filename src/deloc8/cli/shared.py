"""Parts that several commands share: exit codes, the options of an audit, where data goes."""

from __future__ import annotations

from contextlib import nullcontext

from deloc8.errors import SystemFault, UsageError, VerificationError
from deloc8.paths import file_name
from deloc8.text import NOTHING, joined, json_lines, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from deloc8.cli.console import Console
    from deloc8.errors import Deloc8Error
    from deloc8.report.to_json import Json
    from deloc8.text import Lines
    from deloc8.wheel.archive import ArchiveLimits
    from deloc8.workflow.audit import AuditOptions

DONE = 0
NOT_AS_ASKED = 1
WRONG_COMMAND_LINE = 2
DEFECT = 3
REFUSED_BY_THE_MACHINE = 4
INTERRUPTED = 130

_NARROWEST = 40  # columns of a table

# The families whose code is not NOT_AS_ASKED.
_CODES = (
    (UsageError, WRONG_COMMAND_LINE),
    (VerificationError, DEFECT),
    (SystemFault, REFUSED_BY_THE_MACHINE),
)


def exit_code(error: Deloc8Error) -> int:
    """The exit code that an error leads to."""
    for family, code in _CODES:
        if isinstance(error, family):
            return code
    return NOT_AS_ASKED


def not_worked_on(path: str) -> str:
    """The first words about a wheel on which the work ended early."""
    return f"`{file_name(path)}` could not be worked on"


def tell_failures(codes: Sequence[int], console: Console) -> None:
    """Say how many of several wheels failed."""
    failed = sum(code != DONE for code in codes)
    if failed and len(codes) > 1:
        console.say(f"{failed} of {len(codes)} wheels failed")


def progress_bar(path: str, options: argparse.Namespace, console: Console) -> AbstractContextManager[None]:
    """A progress bar for the work on one wheel, where somebody may look at it."""
    if console.verbosity < 0 or not console.err.isatty():
        return nullcontext()
    from deloc8.cli.progress import progress  # noqa: PLC0415  only on a terminal

    return progress(console.err, printable(file_name(path)), done=options.wheels.index(path), total=len(options.wheels))


def audit_options(options: argparse.Namespace) -> AuditOptions:
    """How the wheels of a command are looked at."""
    from deloc8.workflow.audit import AuditOptions  # noqa: PLC0415  only for commands on wheels

    return AuditOptions(
        sysroot=options.sysroot,
        library_path=options.ld_library_path,
        environment_path=options.environment_path,
        add_paths=options.add_path,
        only_paths=options.ldpaths,
        exclude=tuple(options.exclude),
        include=tuple(getattr(options, "include", ())),
        include_dlopened=getattr(options, "include_dlopened", None) or "",
        force=getattr(options, "force", False),
        graft=tuple(getattr(options, "graft", ())),
        check_isa=not options.disable_isa_ext_check,
        keep_executable_stack=options.keep_executable_stack,
        dlopen=not getattr(options, "no_dlopen", True),
        policy_files=tuple(options.policy),
        output=options.output_identity,
        threads=options.jobs,
        limits=archive_limits(options),
    )


def take_pipes(options: argparse.Namespace) -> None:
    """Read the policy files that are pipes: several wheels are judged by them, and what comes through one comes once.

    Raises:
        PolicyError: One cannot be read.
    """
    from deloc8.files import is_pipe  # noqa: PLC0415  few have such files
    from deloc8.policy.files import read_policy_text  # noqa: PLC0415  the same

    options.policy = [read_policy_text(path) if is_pipe(path) else path for path in options.policy]


def archive_limits(options: argparse.Namespace) -> ArchiveLimits:
    """How large wheels may be."""
    from deloc8.wheel.archive import ArchiveLimits  # noqa: PLC0415  only for commands on wheels

    largest = options.max_unpacked
    return ArchiveLimits() if largest is None else ArchiveLimits(total=largest, ratio_from=largest)


def emit(options: argparse.Namespace, console: Console, text: Lines) -> None:
    """Write a command's data to stdout, or to the file of -o."""
    if options.output is None:
        console.data(text)
        return
    from deloc8.cli.output import write_output  # noqa: PLC0415  only for this

    write_output(options, console, text)


def draws(options: argparse.Namespace, console: Console) -> bool:
    """Whether text is drawn with tables: only on a terminal, only where rich is installed.

    `--color` and the variables decide about colours alone: a pipe gets the plain text whatever they say, because
    programs read it.
    """
    if options.format != "text" or options.output is not None or not console.out.isatty():
        return False
    import importlib.util  # noqa: PLC0415  only on a terminal

    return importlib.util.find_spec("rich") is not None


def emit_drawn(console: Console, parts: Iterable[RenderableType]) -> None:
    """Draw a command's data on the terminal."""
    console.data(render(console, parts))


def render(console: Console, parts: Iterable[RenderableType]) -> Lines:
    """Text that draws a command's data on the terminal."""
    import shutil  # noqa: PLC0415  only on a terminal

    from deloc8.report.to_terminal import draw  # noqa: PLC0415  the same

    # Where a table has no room for a word, it is better broken by the terminal than left out.
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    return draw(parts, width=width, color=console.has_color())


def emit_json(options: argparse.Namespace, console: Console, value: Json) -> None:
    """Write a command's data as JSON."""
    # Escapes of ASCII survive every locale and every undecodable name.
    emit(options, console, joined((json_lines(value, indent=2), NOTHING)))
