"""The command line and its environment variables, read into one plain value for each command."""

from __future__ import annotations

import argparse
import os
import re
import stat
from itertools import zip_longest

from deloc8 import __version__
from deloc8.cli.help import SHELLS, Parser, PrintCompletion
from deloc8.errors import UsageError
from deloc8.faults import refuse_fault
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class _Number(NamedTuple):
    """A number that can be given by an option or by an environment variable."""

    name: str
    option: str
    variable: str
    highest: int


_LEVEL = _Number("zip_compression_level", "-z", "AUDITWHEEL_ZIP_COMPRESSION_LEVEL", 9)
# To the last second of 2107, after which ZIP has no year; seconds before 1980, its first, count as that.
_EPOCH = _Number("source_date_epoch", "--source-date-epoch", "SOURCE_DATE_EPOCH", 4_354_819_199)

_MOST_THREADS = 9999
_MOST_UNPACKED = 1 << 50

# By whether there are pages.
_FORMATS_HELP = (
    "default: text",
    "default: text; html is a page (extra: html)",
)


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The options of a command; `command` names it.

    Raises:
        Answer: It requests a text, such as its help.
        UsageError: The command line, or an environment variable that the command uses, is wrong.
    """
    # The options of the other commands would be made in vain.
    only = arguments[0] if arguments and arguments[0] in _NAMES else None
    options = build_parser(only).parse_args(_with_strip_level(arguments))
    options.output_identity, options.is_output_lost = None, False  # see `output`
    if options.command in _READ_ENVIRON:
        _READ_ENVIRON[options.command](options, environ)
    if options.command == "fixup" and options.allow and not options.lower_glibc:
        raise UsageError("--allow says what --lower-glibc may do, which is not asked for", code="bad-option")
    return options


def _with_strip_level(arguments: Sequence[str]) -> list[str]:
    """The arguments with `all` after each bare `--strip`, which would otherwise take a wheel for its level."""
    spelled = []
    for argument, following in zip_longest(arguments, arguments[1:]):
        spelled.append("--strip=all" if argument == "--strip" and following not in {"debug", "all"} else argument)
    return spelled


def build_parser(only: str | None = None) -> Parser:
    """The parser of all commands, from which the reference of the documentation is made; or of one command."""
    parser = Parser(
        prog="deloc8",
        description="Cross-distribution Linux wheels: what binds a wheel to its build machine.",
    )
    parser.add_argument("--version", action="version", version=f"deloc8 {__version__}", help="print it and end")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"for {', '.join(SHELLS)}: the script that completes commands",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, (help_, aliases, fill) in _COMMANDS.items():
        if only is None or only == name or only in aliases:
            fill(commands.add_parser(name, help=help_, aliases=aliases))
    return parser


def _fill_show(parser: Parser) -> None:
    _add_wheels(parser)
    _add_no_dlopen(parser)
    _add_shared(parser, formats=("text", "json", "html"))


def _fill_check(parser: Parser) -> None:
    _add_wheels(parser)
    _add_check(parser)
    _add_no_dlopen(parser)
    _add_shared(parser, formats=("text", "json", "sarif", "github"))


def _fill_fixup(parser: Parser) -> None:
    parser.add_argument("wheels", nargs="+", metavar="WHEEL", help=argparse.SUPPRESS)  # the first line says it
    _add_fixup(parser)
    _add_shared(parser, formats=("text", "json", "html"))
    parser.set_defaults(command="fixup")


def _fill_why(parser: Parser) -> None:
    parser.add_argument("wheels", nargs=1, metavar="WHEEL", help="a wheel file")
    known = "libpq.so.5, stat, stat@GLIBC_2.33, GLIBC_2.34, manylinux_2_17"
    parser.add_argument("subject", metavar="SUBJECT", help=known)
    _add_no_dlopen(parser)
    _add_shared(parser)


def _fill_tree(parser: Parser) -> None:
    parser.add_argument("wheels", nargs="+", metavar="PATH", help="a wheel, an ELF file or a folder")
    _add_max_unpacked(parser)
    _add_places(parser)
    _add_output(parser)


def _fill_policies(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a policy, by any of its names")
    parser.add_argument("--arch", metavar="MACHINE", help="for this machine (default: the one deloc8 runs on)")
    parser.add_argument("--libc", choices=["glibc", "musl", "android"], default="glibc", help="default: glibc")
    _add_output(parser)


# By command: its line of `--help`, its other names, and its options.
_COMMANDS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Parser], None]]] = {
    "show": ("what is in a wheel, and what bars a better tag", (), _fill_show),
    "check": ("is what a wheel claims true? the exit code answers", (), _fill_check),
    "fixup": ("graft, patch, retag, verify", ("repair",), _fill_fixup),
    "why": ("explain a library, a symbol, a version or a tag", (), _fill_why),
    "tree": ("the dependency tree of a wheel, an ELF file or a folder", (), _fill_tree),
    "policies": ("the policies, or one of them as a policy file", (), _fill_policies),
}
_NAMES = frozenset(name for command, (_, aliases, _) in _COMMANDS.items() for name in (command, *aliases))


def _add_wheels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wheels", nargs="+", metavar="WHEEL", help="a wheel file")


def _add_no_dlopen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-dlopen", action="store_true", help="leave out what is opened at run time, by name")


def _add_output(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json")) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=formats, default="text", help=_FORMATS_HELP["html" in formats])
    group.add_argument("-o", "--output", metavar="FILE", help="write the output there instead of stdout")
    group.add_argument(
        "--color", choices=["auto", "always", "never"], default="auto", metavar="WHEN", help="auto, always or never"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="errors and warnings only")
    group.add_argument("-v", "--verbose", action="count", default=0, help="tell more; -vv traces the loader")


def _add_places(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where libraries are looked for")
    group.add_argument("--sysroot", default="/", metavar="DIR", help="in this root, not this machine's")
    group.add_argument("--ldpaths", metavar="A:B", help="in these folders and no others")
    group.add_argument(
        "--add-path", action="append", default=[], metavar="DIR", help="in this folder first; may be repeated"
    )
    group.add_argument("--ld-library-path", metavar="A:B", help="instead of the environment's LD_LIBRARY_PATH")


def _add_max_unpacked(group: argparse._ActionsContainer) -> None:
    group.add_argument("--max-unpacked", type=_size, metavar="BYTES", help="that a wheel may unpack to")


def _add_shared(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json")) -> None:
    _add_places(parser)
    group = parser.add_argument_group("what counts")
    group.add_argument("--policy", action="append", default=[], metavar="FILE", help="one more policy; may be repeated")
    group.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave these libraries out; may be repeated"
    )
    group.add_argument("--disable-isa-ext-check", action="store_true", help="accept any processor level")
    group.add_argument("--keep-executable-stack", action="store_true", help="leave or accept executable stacks")
    group.add_argument("--allow-pure-python-wheel", action="store_true", help="a pure wheel is no error")
    _add_max_unpacked(group)
    processors = os.cpu_count() or 1
    group.add_argument("-j", "--jobs", type=_positive, default=processors, metavar="N", help="threads or processes")
    _add_output(parser, formats)


def _add_check(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which findings count (also `select` and `ignore` of [tool.deloc8])")
    group.add_argument(
        "--select", action="append", default=[], metavar="CODE", help="these are errors; a glob; may be repeated"
    )
    group.add_argument(
        "--ignore", action="append", default=[], metavar="CODE", help="leave these out; a glob; may be repeated"
    )


def _add_fixup(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the result")
    group.add_argument("-w", "--wheel-dir", default="wheelhouse", metavar="DIR", help="where it goes")
    group.add_argument("--plat", metavar="TAG", help="to be reached (default: auto; env DELOC8_PLAT)")
    group.add_argument("--only-plat", action="store_true", help="claim no better tag, even if it would be true")
    group.add_argument("--no-update-tags", action="store_true", help="leave the file name and its tags as they are")
    group.add_argument("-L", "--lib-sdir", default=".libs", metavar="SUFFIX", help="of the folder of the grafts")
    group.add_argument("-z", "--zip-compression-level", metavar="N", help="0 to 9 (default: as small as zlib's 6)")
    group.add_argument("--source-date-epoch", metavar="SECONDS", help="the time of all members (env SOURCE_DATE_EPOCH)")
    group.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    group.add_argument("--strip", choices=["debug", "all"], help="strip every ELF file before it is edited")
    group.add_argument("--lower-glibc", action="store_true", help="bind newer symbols of glibc to older ones")
    group.add_argument("--allow", action="append", default=[], choices=["differs"], help="also to such as differ")
    group = parser.add_argument_group("the grafts")
    group.add_argument(
        "--graft", action="append", default=[], metavar="GLOB", help="graft these although the policy takes them"
    )
    group.add_argument(
        "--include", action="append", default=[], metavar="LIB", help="graft this library too, though nothing needs it"
    )
    group.add_argument(
        "--include-dlopened",
        choices=["declared", "called"],
        metavar="HOW",
        help="what it opens so: declared, or called too",
    )
    group.add_argument("--force", action="store_true", help="include even libraries of the host's drivers")
    group.add_argument("--no-mangle", action="append", default=[], metavar="GLOB", help="keep the names of these")
    group.add_argument("--no-sbom", action="store_true", help="no bill of materials (SBOM) of the grafts")
    group.add_argument("--no-licenses", action="store_true", help="no licence files of the grafts' packages")


def _positive(text: str) -> int:
    number = _read_number(text, _MOST_THREADS)
    if not number:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number from 1 to {_MOST_THREADS}")
    return number


def _size(text: str) -> int:
    number = _read_number(text, _MOST_UNPACKED)
    if not number:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of bytes from 1 to {_MOST_UNPACKED}")
    return number


def _read_number(text: str, highest: int) -> int | None:
    """The number that a text of ASCII digits writes; None where it is none, or too high."""
    # Python refuses to read thousands of digits.
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(highest)):
        return None
    number = int(text)
    return number if number <= highest else None


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  it is a text here
    except OSError as error:
        refuse_fault(error, path)
        return False


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100  `Path.absolute` leaves `..` in it
    except FileNotFoundError as error:
        raise UsageError(
            f"`{path}` is relative, and the current folder does not exist any more",
            code="bad-option",
            hints=("give an absolute path, or run the command in another folder",),
        ) from error


def _inside(root: str, path: str) -> str:
    """A path as the system below a root sees it; `Path.absolute` would leave `..` in it."""
    path = _absolute(path)
    return "/" + os.path.relpath(path, root) if root != "/" and path.startswith(root + "/") else path


def _entries(text: str) -> list[str]:
    """The entries of an LD_LIBRARY_PATH; an empty one is the current folder, and a variable without any text is none.

    ld.so splits at both characters (fillin_rpath and _dl_init_paths in glibc's elf/dl-load.c).
    """
    return re.split("[:;]", text) if text else []


def _read_shared(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    root = _absolute(options.sysroot)

    def inside(folder: str) -> str:
        return _inside(root, folder)

    if not _is_folder(root):
        raise UsageError(f"--sysroot is `{options.sysroot}`, which is no folder", code="bad-option")
    options.sysroot = root
    options.add_path = tuple(inside(folder) for folder in options.add_path)
    only = options.ldpaths
    options.ldpaths = None if only is None else tuple(inside(folder) for folder in only.split(":") if folder)
    given, of_environment = options.ld_library_path, None
    if given is None and root == "/":
        # The variables are about this machine: they say nothing of another root. As for auditwheel, its own one adds
        # to --ldpaths.
        given = environ.get("AUDITWHEEL_LD_LIBRARY_PATH")
        of_environment = environ.get("LD_LIBRARY_PATH") if only is None else None

    def folders(text: str | None) -> tuple[str, ...]:
        # The kernel walks through `..`: shortened, a path with a symbolic link before it would be another one.
        return tuple(
            entry if entry.startswith("/") and root == "/" else inside(entry) for entry in _entries(text or "")
        )

    options.ld_library_path = folders(given)
    options.environment_path = folders(of_environment)


def _read_fixup(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    root = _absolute(options.sysroot)
    options.include = [_inside(root, name) if "/" in name else name for name in options.include]
    _read_shared(options, environ)
    options.plat_source = None
    if options.plat is None:
        for name in ("DELOC8_PLAT", "AUDITWHEEL_PLAT"):
            if options.plat is None and environ.get(name):
                options.plat, options.plat_source = environ[name], name
    options.plat = options.plat or "auto"
    options.zip_compression_level = _number(options, environ, _LEVEL)
    options.source_date_epoch = _number(options, environ, _EPOCH)


def _number(options: argparse.Namespace, environ: Mapping[str, str], wanted: _Number) -> int | None:
    """The number of an option, else of its environment variable; None where neither is given."""
    text, source = getattr(options, wanted.name), wanted.option
    if text is None:
        # An empty variable counts as none.
        text, source = environ.get(wanted.variable) or None, wanted.variable
    if text is None:
        return None
    number = _read_number(text, wanted.highest)
    if number is None:
        raise UsageError(f"{source} is `{text}`, not a number from 0 to {wanted.highest}", code="bad-option")
    return number


_READ_ENVIRON: Mapping[str, Callable[[argparse.Namespace, Mapping[str, str]], None]] = {
    "show": _read_shared,
    "check": _read_shared,
    "why": _read_shared,
    "fixup": _read_fixup,
    "tree": _read_shared,
}
