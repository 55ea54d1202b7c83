"""Single ELF files: what loaders and kernels dislike, and what should not be shipped."""

from __future__ import annotations

from deloc8.audit.loading import HEAP_INSTEAD, stack_faults
from deloc8.audit.match import is_libpython, is_named
from deloc8.audit.violations import ViolationCode
from deloc8.checks.evidence import finding, listed
from deloc8.diagnostic import Severity
from deloc8.elf import constants as c
from deloc8.target import Libc
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic


def check_stack(evidence: Evidence) -> Iterator[Diagnostic]:
    """Libraries that ask for an executable stack, which glibc from 2.41 refuses to load into a running process.

    Where the user wants them so, or no tag promises another machine, that is a warning.
    """
    faults = stack_faults(evidence.audit.facts)
    is_kept = evidence.audit.options.keep_executable_stack
    for file in evidence.libraries:
        code = faults.get(file.path)
        if code is None:
            continue
        found = _STACK_FINDINGS[code](file.label)
        if is_kept:
            found = replace(found, hints=())
        yield _as_warning(found) if is_kept or evidence.promises_nothing else found


def _as_warning(found: Diagnostic) -> Diagnostic:
    return replace(found, severity=Severity.WARNING)


def _executable_stack(label: str) -> Diagnostic:
    return finding(
        "executable-stack",
        label,
        "asks for an executable stack; glibc 2.41 and newer refuse to load it",
        ("its PT_GNU_STACK has the flag PF_X",),
        (
            "link with -Wl,-z,noexecstack; assembler sources need a .note.GNU-stack section",
            "`deloc8 fixup` clears the flag",
        ),
    )


def _missing_stack_header(label: str) -> Diagnostic:
    return finding(
        "missing-stack-header",
        label,
        "does not say that its stack need not be executable; glibc 2.41 and newer refuse to load it",
        ("it has no PT_GNU_STACK, and on this machine that means an executable stack",),
        ("link with -Wl,-z,noexecstack", "`deloc8 fixup` adds the header"),
    )


def _executed_stack(label: str) -> Diagnostic:
    return finding(
        "executable-stack",
        label,
        "asks for an executable stack; glibc 2.41 and newer refuse to load it",
        ("its code runs there (functions inside functions, of C)",),
        (HEAP_INSTEAD,),
    )


_STACK_FINDINGS = {
    ViolationCode.EXECUTED_STACK: _executed_stack,
    ViolationCode.EXECUTABLE_STACK: _executable_stack,
    ViolationCode.MISSING_STACK_HEADER: _missing_stack_header,
}


def check_alignment(evidence: Evidence) -> Iterator[Diagnostic]:
    """Files that cannot be loaded by a kernel with the largest pages of their machine."""
    arch = evidence.audit.facts.arch
    for file in evidence.audit.facts.own:
        aligns = [segment.align for segment in file.image.segments if segment.type == c.PT_LOAD]
        if arch and aligns and min(aligns) < arch.largest_page:
            yield finding(
                "small-page-alignment",
                file.label,
                f"cannot be loaded where pages are larger than {min(aligns)} bytes",
                (f"kernels for {arch.value} are configured with pages of up to {arch.largest_page} bytes",),
                (f"link with -Wl,-z,max-page-size={arch.largest_page}",),
            )


def check_text_relocations(evidence: Evidence) -> Iterator[Diagnostic]:
    """Files whose code must be made writable to be loaded."""
    for file in evidence.audit.facts.own:
        if file.image.dynamic and file.image.dynamic.has_textrel:
            yield finding(
                "text-relocations",
                file.label,
                "changes its own code when it is loaded, which SELinux forbids and musl does not do",
                ("it has DT_TEXTREL",),
                ("compile all of it with -fPIC, and link with -Wl,-z,text to be told what was not",),
            )


def check_libpython(evidence: Evidence) -> Iterator[Diagnostic]:
    """Extension modules that need libpython; on Android they must.

    Nothing is said where the user leaves it out, or where a policy of the user takes it from the system. Where the
    wheel has it, or no tag promises another machine, that is a warning: the file is there.
    """
    facts, exclude = evidence.audit.facts, evidence.audit.options.exclude
    if facts.libc is Libc.ANDROID:
        return
    policy = evidence.match.policy if evidence.match else None
    own = {file.path for file in facts.own}
    for file in evidence.libraries:
        rows = [row for row in facts.dependencies.get(file.path, ()) if is_libpython(row.name)]
        rows = [row for row in rows if not is_named(row, exclude)]
        if policy and not policy.is_unbounded:
            rows = [row for row in rows if not policy.allows_library(row.name)]
        if not rows:
            continue
        found = finding(
            "libpython-needed",
            file.label,
            f"needs {listed(tuple(row.name for row in rows))}, which most Pythons do not have as a file",
            ("the process has its symbols already (PEP 513)",),
            ("do not link extension modules with libpython; `deloc8 fixup` removes the entry",),
        )
        is_there = evidence.promises_nothing or all(row.target in own for row in rows)
        yield _as_warning(found) if is_there else found


# The startup files of many toolchains leave some hundred bytes in whatever is linked with them.
_LITTLE = 16 << 10


def check_debug_sections(evidence: Evidence) -> Iterator[Diagnostic]:
    """Files with debug information."""
    for file in evidence.audit.facts.own:
        size = evidence.debug[file.path]
        if size > _LITTLE:
            yield finding(
                "debug-sections",
                file.label,
                f"carries {size} bytes of debug information",
                (),
                ("link with -Wl,--strip-debug, or pass --strip debug to `deloc8 fixup`",),
            )
