"""Faults of single files that no symbol shows: what a C library refuses to load, or loads wrongly."""

from __future__ import annotations

from deloc8.audit.violations import ViolationCode
from deloc8.elf import constants as c
from deloc8.elf.read.dynamic import LinkKind
from deloc8.machines import assumes_executable_stack
from deloc8.target import Libc
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.view import Segment

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderNeed:
    """Requirement of a file on ld.so that no symbol version shows.

    Attributes:
        what: The tag or header that older releases read otherwise.
        version: The version of glibc whose ld.so is the first to load the file rightly.
    """

    what: str
    version: str


# The sources are commits of glibc: fa19d5c48a, b413280cfb, 163f625cf9, f8587a6189, eb447b7b4b.
TABLES_APART = LoaderNeed(what="DT_JMPREL", version="GLIBC_2.23")
_READ_ONLY_DYNAMIC = LoaderNeed(what="PT_DYNAMIC", version="GLIBC_2.35")
_LOOSE_ALIGNMENT = LoaderNeed(what="PT_LOAD", version="GLIBC_2.35")
_MARKED_PLT = LoaderNeed(what="DT_X86_64_PLT", version="GLIBC_2.36")
_OPENED_FILTERS = {
    LinkKind.FILTER: LoaderNeed(what="DT_FILTER", version="GLIBC_2.32"),
    LinkKind.AUXILIARY: LoaderNeed(what="DT_AUXILIARY", version="GLIBC_2.32"),
}

_SMALLEST_PAGE = 0x1000


def loader_needs(facts: WheelFacts) -> Mapping[str, tuple[LoaderNeed, ...]]:
    """The files that an older ld.so refuses, or loads wrongly, by path, each with the reasons."""
    if facts.libc is not Libc.GLIBC:
        return {}
    found = {}
    filters = []
    for path, file in facts.files.items():
        needs = tuple(_loader_needs(file.image))
        if needs:
            found[path] = needs
        if file.image.filters and not file.image.is_executable:
            filters.append(file)
    for file in _opened(facts, filters):
        found[file.path] = (*found.get(file.path, ()), *_needs_of_filter(facts, file))
    return found


def _opened(facts: WheelFacts, files: Sequence[ElfFile]) -> Sequence[ElfFile]:
    """Those of some libraries that are opened or imported: their names say so, or nothing loads them before."""
    if not files:
        return ()
    from deloc8.audit.left_alone import TAGGED  # noqa: PLC0415  hardly any file is a filter

    needing: dict[str | None, list[str]] = {}
    for path, rows in facts.dependencies.items():
        for row in rows:
            needing.setdefault(row.target, []).append(path)
    return [
        file
        for file in files
        if TAGGED.fullmatch(file.path.rpartition("/")[2]) or not _is_led_to(facts, file.path, needing)
    ]


def _is_led_to(facts: WheelFacts, path: str, needing: Mapping[str | None, Sequence[str]]) -> bool:
    """Whether a file is needed by another one that it does not lead to itself; what is asked for is opened."""
    from deloc8.audit.facts import REQUEST  # noqa: PLC0415  hardly any file is a filter

    seen, queue = {path, REQUEST}, [path]
    while queue:
        for row in facts.dependencies.get(queue.pop(), ()):
            if row.target is not None and row.target not in seen:
                seen.add(row.target)
                queue.append(row.target)
    return not seen.issuperset(needing.get(path, ()))


def _needs_of_filter(facts: WheelFacts, file: ElfFile) -> Iterator[LoaderNeed]:
    """Requirements on ld.so of a filter that is opened.

    Older ones end the process with an assertion. They take the first library that they search for
    the one that is opened (elf/dl-deps.c), and what a filter names is searched before it. A filter
    that others need is loaded by all releases.
    """
    targets = {row.name: row.target for row in facts.dependencies.get(file.path, ())}
    kinds = {link.kind for link in file.image.filters if targets.get(link.name) not in {None, file.path}}
    yield from (need for kind, need in _OPENED_FILTERS.items() if kind in kinds)


def _loader_needs(image: ElfImage) -> Iterator[LoaderNeed]:
    dynamic = image.dynamic
    if dynamic is None or (image.is_executable and image.interpreter is None):
        return
    # With packed relocations the file needs a later one in any case, and once they are unpacked the tables are joined.
    if dynamic.has_tables_apart and not dynamic.has_relr:
        yield TABLES_APART
    loads = [segment for segment in image.segments if segment.type == c.PT_LOAD]
    row = None if image.arch is None else image.arch.row
    if dynamic.marks_plt and row is not None and row.has_plt_marks:
        yield _MARKED_PLT
    is_written = row is None or not row.has_fixed_dynamic
    if is_written and _is_read_only(image, loads):
        yield _READ_ONLY_DYNAMIC
    if any(map(_is_loose, loads)):
        yield _LOOSE_ALIGNMENT


def _is_read_only(image: ElfImage, loads: Sequence[Segment]) -> bool:
    """Whether the dynamic section is where ld.so cannot write, as it does before 2.35."""
    places = [segment.vaddr for segment in image.segments if segment.type == c.PT_DYNAMIC]
    fixed = [load for load in loads if not load.flags & c.PF_W]
    return any(load.vaddr <= places[-1] < load.vaddr + load.memsz for load in fixed)


def _is_loose(load: Segment) -> bool:
    """Whether a segment is aligned to pages and not to its p_align, or its p_align is no multiple of a page."""
    if load.align & (_SMALLEST_PAGE - 1):
        return True
    distance = load.vaddr - load.offset
    return bool(distance % load.align if load.align else distance)


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
