"""Every code, how much it matters, and what finds it."""

from __future__ import annotations

from deloc8.checks import files, libraries, names, promises
from deloc8.checks.paths import check_search_paths
from deloc8.checks.stable_abi import check_stable_abi
from deloc8.diagnostic import Diagnostic, Severity, few_of_each
from deloc8.errors import InputError, WheelError
from deloc8.values import dataclass, replace
from deloc8.wheel.record import check_record, hash_members, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from deloc8.checks.evidence import Evidence
    from deloc8.wheel.archive import WheelArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One code.

    Attributes:
        code: Stable, kebab-case; its page is `docs/diagnostics/CODE.md`.
        severity: An error breaks a promise of the wheel.
        check: What finds it; None where the wheel is found unsound while it is read.
    """

    code: str
    severity: Severity
    check: Callable[[Evidence], Iterator[Diagnostic]] | None = None


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

_CHECKED = (
    ("false-tag", _ERROR, promises.check_platform_tags),
    ("symbol-too-new", _ERROR, promises.check_violations),
    ("marker-too-new", _ERROR, promises.check_violations),
    ("release-too-new", _ERROR, promises.check_violations),
    ("library-not-allowed", _ERROR, promises.check_violations),
    ("forbidden-symbol", _ERROR, promises.check_violations),
    ("isa-level", _ERROR, promises.check_violations),
    ("ucs2", _ERROR, promises.check_violations),
    ("pyfpe", _ERROR, promises.check_violations),
    ("relr-without-marker", _ERROR, promises.check_violations),
    ("newer-loader", _ERROR, promises.check_violations),
    ("foreign-file", _WARNING, promises.check_notices),
    ("damaged-file", _WARNING, promises.check_notices),
    ("own-library-differs", _WARNING, promises.check_notices),
    ("no-baseline-library", _WARNING, promises.check_notices),
    ("minimal-system-lacks", _WARNING, promises.check_notices),
    ("newer-musl", _WARNING, promises.check_notices),
    ("optional-library-missing", _WARNING, promises.check_notices),
    ("version-without-ceiling", _WARNING, promises.check_notices),
    ("tags-differ", _ERROR, names.check_tags),
    ("metadata-mismatch", _ERROR, names.check_identity),
    ("root-is-purelib", _WARNING, names.check_purelib),
    ("suffix-python", _ERROR, names.check_suffixes),
    ("suffix-machine", _ERROR, names.check_triplets),
    ("suffix-libc", _ERROR, names.check_triplets),
    ("outside-stable-abi", _ERROR, check_stable_abi),
    ("stable-abi-too-new", _ERROR, check_stable_abi),
    ("executable-stack", _ERROR, files.check_stack),
    ("missing-stack-header", _ERROR, files.check_stack),
    ("libpython-needed", _ERROR, files.check_libpython),
    ("small-page-alignment", _WARNING, files.check_alignment),
    ("text-relocations", _WARNING, files.check_text_relocations),
    ("absolute-rpath", _WARNING, check_search_paths),
    ("relative-rpath", _WARNING, check_search_paths),
    ("rpath-missing-folder", _WARNING, check_search_paths),
    ("debug-sections", _WARNING, files.check_debug_sections),
    ("host-only-library", _WARNING, libraries.check_host_only),
    ("duplicate-library", _WARNING, libraries.check_copies),
    ("second-cpp-runtime", _WARNING, libraries.check_runtimes),
    ("second-openmp-runtime", _WARNING, libraries.check_runtimes),
    ("second-glib", _WARNING, libraries.check_glib),
    ("undefined-symbol", _WARNING, libraries.check_symbols),
    ("unused-library", _WARNING, libraries.check_unused),
    ("dlopened-library-missing", _WARNING, libraries.check_opened),
    ("search-incomplete", _WARNING, promises.check_notices),
)

# RECORD against the contents, then what keeps a wheel from being read at all.
_READ = (
    *("unlisted-member", "absent-member", "wrong-size", "wrong-hash", "missing-hash", "weak-hash", "record-hash"),
    *("bad-record", "bad-metadata", "bad-wheel-metadata", "bad-elf", "filter-circle"),
    *("elf-in-purelib", "unknown-machine"),
    *("unreadable-wheel", "bad-wheel-name", "not-a-zip", "truncated-archive", "trailing-data", "leading-data"),
    *("hidden-data", "overlapping-members", "header-mismatch", "bad-directory", "bad-header", "bad-zip64"),
    *("bad-member-data", "bad-member-size", "duplicate-member", "case-conflict", "file-and-folder", "unsafe-path"),
    *(
        "ambiguous-name",
        "symlink-member",
        "special-member",
        "encrypted-member",
        "unsupported-compression",
        "multi-disk-archive",
    ),
    *(
        "compression-bomb",
        "too-many-members",
        "too-many-symbols",
        "missing-dist-info",
        "several-dist-info",
        "dist-info-mismatch",
    ),
    *("missing-wheel-file", "missing-metadata", "missing-record"),
)

RULES: tuple[Rule, ...] = (
    *(Rule(code=code, severity=severity, check=check) for code, severity, check in _CHECKED),
    Rule(code="odd-record", severity=_WARNING),
    *(Rule(code=code, severity=_ERROR) for code in _READ),
)

# What looks at the platform tag, and at what installers and loaders make of it: a repair leaves no error of these
# untold. The others concern the archive, its metadata, and the interpreter.
_OF_TAGS = frozenset(
    {
        promises.check_platform_tags,
        promises.check_violations,
        names.check_tags,
        files.check_stack,
        files.check_libpython,
    }
)
ERRORS_OF_TAGS = frozenset(rule.code for rule in RULES if rule.check in _OF_TAGS and rule.severity is _ERROR)

_ERRORS = frozenset(rule.code for rule in RULES if rule.severity is _ERROR)

_SEVERITIES = {rule.code: rule.severity for rule in RULES}


def run_checks(evidence: Evidence) -> tuple[Diagnostic, ...]:
    """All findings of all checks, each as severe as the table says."""
    checks = dict.fromkeys(rule.check for rule in RULES if rule.check)
    return tuple(few_of_each(_weighed(found) for check in checks for found in check(evidence)))


def find_some(evidence: Evidence, codes: Collection[str]) -> tuple[Diagnostic, ...]:
    """The findings of some codes; no check is asked that has other codes only."""
    checks = dict.fromkeys(rule.check for rule in RULES if rule.check and rule.code in codes)
    weighed = (_weighed(found) for check in checks for found in check(evidence))
    return tuple(found for found in weighed if found.code in codes)


def find_errors(evidence: Evidence, codes: Collection[str] = _ERRORS) -> tuple[Diagnostic, ...]:
    """The findings of some codes that are errors."""
    return tuple(found for found in find_some(evidence, codes) if found.severity is Severity.ERROR)


def _weighed(found: Diagnostic) -> Diagnostic:
    """A finding as severe as the table says, unless what found it knows better."""
    return replace(found, severity=_SEVERITIES[found.code]) if found.severity is Severity.NOTE else found


def check_contents(archive: WheelArchive) -> tuple[Diagnostic, ...]:
    """RECORD against the contents; every byte of the wheel is read.

    Raises:
        WheelError: A member is damaged.
    """
    try:
        record = read_record(archive)
    except WheelError as error:
        return (as_finding(error, f"{archive.dist_info}/RECORD"),)
    hashes = hash_members(archive, record.rows)
    return (*record.oddities, *check_record(record.rows, archive.members, hashes))


def as_finding(error: InputError, subject: str) -> Diagnostic:
    """The finding that a wheel, or a part of it, is not sound."""
    return Diagnostic(
        code=error.code,
        severity=Severity.ERROR,
        subject=subject,
        message=error.message,
        context=error.context,
        hints=error.hints,
    )


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def sort_findings(findings: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """The findings, the most severe first, then by code and subject."""
    return tuple(sorted(findings, key=lambda found: (_RANK[found.severity], found.code, found.subject)))
