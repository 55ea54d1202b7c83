"""Answers to `--help`, a screen for each command, and the scripts that complete commands in a shell."""

from __future__ import annotations

import argparse

from deloc8.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from _typeshed import SupportsWrite

WIDTH = 80
HEIGHT = 50
_COLUMN = 33  # where the explanations of options begin

SHELLS = ("bash", "zsh", "fish")

# By program name: the top of all commands, then each of them. W is a wheel.
EXAMPLES = {
    "deloc8": """\
examples:
  deloc8 show dist/*.whl               what binds these wheels to this machine
  deloc8 fixup dist/*.whl              set them free: they go to wheelhouse/
  deloc8 check wheelhouse/*.whl        is what these wheels claim true?
  deloc8 tree W                        which library is found where
  deloc8 policies manylinux_2_28       what a policy allows
  deloc8 COMMAND --help                the options of a command, with examples

exit codes: 0 done; 1 a wheel is not sound, not what it claims, or cannot be
what was asked; 2 the command line is wrong; 3 a defect of deloc8; 4 the
machine refused (no room, no memory, no thread, a read that failed)
""",
    "deloc8 show": """\
examples:
  deloc8 show W                        its tag, and what bars better ones
  deloc8 show --format json W          the same for programs
  deloc8 show --sysroot /srv/arm64 W   with the libraries of another system
""",
    "deloc8 fixup": """\
examples:
  deloc8 fixup --plat manylinux_2_17_x86_64 --lower-glibc --dry-run W
""",
    "deloc8 check": """\
examples:
  deloc8 check W                       every finding; the exit code answers
  deloc8 check --ignore debug-sections W
  deloc8 check --format github W       as annotations of a GitHub workflow
""",
    "deloc8 why": """\
examples:
  deloc8 why W GLIBC_2.34              which files ask for a version
  deloc8 why W libyaml-0.so.2          how a library comes in
  deloc8 why W manylinux_2_17_x86_64   what bars a tag
""",
    "deloc8 tree": """\
examples:
  deloc8 tree W                        of every ELF file of a wheel
  deloc8 tree build/                   of every ELF file below a folder
  deloc8 tree --ldpaths /opt/lib W     with the libraries of this folder alone
""",
    "deloc8 policies": """\
examples:
  deloc8 policies                      all names, for this machine
  deloc8 policies manylinux_2_28       one of them, as a file for --policy
  deloc8 policies --arch aarch64 --libc musl
""",
}

# Names that --help gives to arguments, for which a shell completes files or folders.
_FILES = frozenset({"FILE", "PATH", "WHEEL"})
_FOLDERS = frozenset({"DIR"})


class Answer(Exception):  # noqa: N818  no error
    """An option that is answered by a text, which ends the command: --help, --version, --print-completion.

    Attributes:
        text: What it is answered by.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Parser(argparse.ArgumentParser):
    """A parser whose complaints look like all other errors, and whose help fits a screen."""

    def __init__(self, *, prog: str, description: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=EXAMPLES.get(prog),
            formatter_class=_Formatter,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        """Raise the complaint.

        Raises:
            UsageError: Always.
        """
        raise UsageError(message, code="bad-option", hints=(f"see `{self.prog} --help`",))

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> NoReturn:
        """Hand the answer to --help or --version to the command, which writes it.

        Raises:
            Answer: Always.
        """
        del file
        raise Answer(message)

    def format_usage(self) -> str:
        """One line: the options are listed below it, explained."""
        return f"usage: {self._short_usage()}\n"

    def format_help(self) -> str:
        """The whole answer to `--help`."""
        self.usage = self._short_usage().replace("%", "%%")
        return super().format_help()

    def _short_usage(self) -> str:
        """The program, its options as one word, and what it works on."""
        words = [self.prog, "[OPTION...]"]
        for action in self._get_positional_actions():
            name = str(action.metavar)
            words.append({"+": f"{name}...", "?": f"[{name}]"}.get(str(action.nargs), name))
        return " ".join(words)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lines of 80 columns, and the argument of an option named once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_COLUMN, width=WIDTH)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        argument = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {argument}"


class PrintCompletion(argparse.Action):
    """The option that prints the completion script of a shell and ends the command."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002  argparse hands it over
        values: str | Sequence[object] | None,
        option_string: str | None = None,  # noqa: ARG002  the same
    ) -> NoReturn:
        """End the command.

        Raises:
            Answer: The script.
            UsageError: The package shtab, which writes such scripts, is not installed.
        """
        raise Answer(completion_script(parser, str(values)))


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Script that a shell must read to complete the commands of a parser.

    Raises:
        UsageError: The package shtab, which writes such scripts, is not installed.
    """
    try:
        import shtab  # noqa: PLC0415  an extra, for this one answer
    except ImportError:
        raise UsageError(
            "completion scripts need the package shtab, which is not installed",
            code="missing-extra",
            hints=("pip install 'deloc8[completion]'",),
        ) from None
    for each in every_parser(parser):
        for action in each._actions:  # noqa: SLF001  argparse has no public list of them
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's convention
            elif action.metavar in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell=shell)
    return script


def every_parser(parser: argparse.ArgumentParser) -> tuple[argparse.ArgumentParser, ...]:
    """A parser and those of its commands, each once, in the order of `--help`."""
    found = {id(parser): parser}
    for action in parser._actions:  # noqa: SLF001  see above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found.update((id(command), command) for command in action.choices.values())
    return tuple(found.values())
