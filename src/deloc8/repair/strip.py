"""Symbols and debug sections removed by binutils or LLVM: the one place where the library runs another program."""

from __future__ import annotations

import platform
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from deloc8.elf.read.payload import describe, join, read_payload
from deloc8.elf.read.view import View
from deloc8.ending import STEADY, undone_by
from deloc8.errors import InputError, UsageError
from deloc8.faults import ended_fault, is_of_a_path, process_fault, read_fault
from deloc8.repair.model import StripLevel
from deloc8.target import parse_platform_tag
from deloc8.values import dataclass
from deloc8.wheel.staging import workroom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from deloc8.elf.read.payload import Payload
    from deloc8.elf.read.view import Buffer
    from deloc8.target import Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripper:
    """Way to strip files: what is removed, by which program, and where it may work.

    Attributes:
        level: What is removed.
        tool: The program, as `find_strip` found it.
        target: The wheel that is being written: temporary files are beside it.
    """

    level: StripLevel
    tool: str
    target: Path


_IDENT_SIZE = 16
_OPTIONS = {StripLevel.DEBUG: "--strip-debug", StripLevel.ALL: "--strip-all"}
# LLVM's --strip-all takes away all sections that are not loaded, and PyInstaller's and Nuitka's data is in one.
_LLVM_OPTIONS = {**_OPTIONS, StripLevel.ALL: "--strip-all-gnu"}


def find_strip(arch: Arch) -> str:
    """The path of a `strip` that knows a machine's files.

    Raises:
        UsageError: There is none; names the package that has one.
    """
    triplet = arch.row.triplet
    names = [f"{triplet}-strip", "llvm-strip"]
    if parse_platform_tag(f"linux_{platform.machine()}").arch is arch:
        names.insert(0, "strip")
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    package = "binutils" if names[0] == "strip" else f"binutils-{triplet.replace('_', '-')}"
    raise UsageError(
        f"--strip needs a program that strips {arch.value} files, and there is none",
        code="no-strip",
        context=(f"looked for: {', '.join(names)}",),
        hints=(f"install the package {package}, or llvm",),
    )


def strip(read: Callable[[], Buffer], stripper: Stripper, name: str) -> bytearray:
    """The contents of an ELF file without its symbols or debug sections.

    Args:
        read: Gives the whole file, which may be a temporary one too: it is let go before the program writes another.
        stripper: How it is done.
        name: How errors call the file.

    Raises:
        InputError: The program refuses the file, or the file has a payload that would be lost.
    """
    with workroom(stripper.target) as folder:
        path = Path(folder, "file").absolute()  # a relative one may look like an option
        payload = _write_elf_part(path, read(), name)
        _run(path, stripper, name)
        stripped = _read(path)
    return stripped if payload is None else _with_payload(stripped, read(), payload, name)


def _read(path: Path) -> bytearray:
    try:
        return bytearray(path.read_bytes())
    except OSError as error:
        raise read_fault(error, str(path)) from error


def _write_elf_part(path: Path, contents: Buffer, name: str) -> Payload | None:
    """Write a file without what is behind its ELF part, which the program would drop; returns that."""
    payload = read_payload(View.open(contents, name))
    if payload is None:
        path.write_bytes(contents)
        return None
    with memoryview(contents) as whole, whole[: payload.start] as part:
        path.write_bytes(part)
    return payload


def _run(path: Path, stripper: Stripper, name: str) -> None:
    options = _OPTIONS
    if "llvm" in Path(stripper.tool).resolve().name:
        options = _LLVM_OPTIONS
    with ExitStack() as stack:
        with STEADY:
            program = stack.enter_context(_start([stripper.tool, options[stripper.level], str(path)], name))
            stack.enter_context(undone_by(program.kill))
        stack.callback(program.kill)  # unless it has ended
        said = program.communicate()[1]
    if program.returncode:
        fault = ended_fault(stripper.tool, said)
        if fault is not None:
            raise fault
        context = f"{stripper.tool} ended with exit code {program.returncode}"
        raise _failed(name, (context, *said.splitlines()))


def _start(command: list[str], name: str) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # noqa: S603  a fixed program on a file of our own, without a shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        if not is_of_a_path(error):
            raise process_fault(error, command[0]) from error
        raise _failed(name, (f"{command[0]}: {error.strerror}",)) from error


def _with_payload(stripped: bytearray, contents: Buffer, payload: Payload, name: str) -> bytearray:
    # GNU strip clears bytes of e_ident in which AppImage has its mark.
    stripped[:_IDENT_SIZE] = contents[:_IDENT_SIZE]
    with memoryview(contents) as whole, whole[: payload.start] as part:
        is_same = part == stripped
    if is_same:
        return bytearray(contents)
    if not payload.kind.kept:
        raise _failed(name, (describe(payload),))
    return join(stripped, contents, payload, name)


def _failed(name: str, context: tuple[str, ...]) -> InputError:
    return InputError(
        f"`{name}` could not be stripped",
        code="strip-failed",
        context=context,
        hints=("repair the wheel without --strip",),
    )
