"""Faults of single files that no symbol shows: what a C library refuses to load, or loads wrongly."""

from __future__ import annotations

from deloc8.audit.violations import ViolationCode
from deloc8.elf import constants as c
from deloc8.machines import assumes_executable_stack
from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.elf.image import ElfImage

RELR_MARKER = "GLIBC_ABI_DT_RELR"

STACK_CODES = frozenset(
    {ViolationCode.EXECUTABLE_STACK, ViolationCode.MISSING_STACK_HEADER, ViolationCode.EXECUTED_STACK}
)


# A way out where code really runs on the stack.
HEAP_INSTEAD = "do without functions inside functions, or compile with -ftrampoline-impl=heap of gcc 14"


def stack_faults(facts: WheelFacts) -> Mapping[str, ViolationCode]:
    """The files that glibc from 2.41 on refuses for their stack, by path, each with the kind of its request.

    musl and bionic leave the stack as it is, whatever a library says.
    """
    if facts.libc is not Libc.GLIBC:
        return {}
    found = {}
    for path, file in facts.files.items():
        code = stack_fault(file.image)
        if code is not None:
            found[path] = code
    return found


def stack_fault(image: ElfImage) -> ViolationCode | None:
    """How a library asks for an executable stack; None where it does not, and for programs.

    The kernel gives a program the stack that it asks for before glibc runs, and glibc 2.41 leaves that one alone (its
    NEWS: "dlopen and dlmopen no longer make the stack executable").
    """
    if image.dynamic is None or image.is_executable:
        return None
    if image.runs_stack:
        return ViolationCode.EXECUTED_STACK
    # ld.so believes the last one.
    flags = None
    for segment in image.segments:
        if segment.type == c.PT_GNU_STACK:
            flags = segment.flags
    if flags is None:
        return ViolationCode.MISSING_STACK_HEADER if assumes_executable_stack(image.machine) else None
    return ViolationCode.EXECUTABLE_STACK if flags & c.PF_X else None


def packed_unmarked(facts: WheelFacts) -> frozenset[str]:
    """The files, by path, whose packed relocations an older glibc would leave out without a word."""
    if facts.libc is not Libc.GLIBC:
        return frozenset()
    return frozenset(path for path, file in facts.files.items() if _is_packed_unmarked(file))


def _is_packed_unmarked(file: ElfFile) -> bool:
    """Whether a file has packed relocations, and nothing that keeps a glibc without them from loading it.

    lld before 15 and mold never wrote the marker; GNU ld writes it only into files that need libc.so.6 itself.
    A static program relocates itself.
    """
    dynamic = file.image.dynamic
    if dynamic is None or not dynamic.has_relr:
        return False
    if file.image.is_executable and file.image.interpreter is None:
        return False
    return all(wanted.version != RELR_MARKER for wanted in file.wanted)
