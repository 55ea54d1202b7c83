"""Evidence that all checks look at, read once."""

from __future__ import annotations

import posixpath

from deloc8.audit.vendor import vendor_folders
from deloc8.audit.verdict import Truth, find_tag
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.read.debug import debug_size
from deloc8.elf.read.image import ElfImage, parse_defined_names
from deloc8.errors import InputError
from deloc8.loader.ldconf import library_folders
from deloc8.loader.libc import is_c_library
from deloc8.patterns import pattern
from deloc8.target import Libc
from deloc8.values import dataclass
from deloc8.wheel.metadata import parse_core_metadata, parse_wheel_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.vendor import VendorFolder
    from deloc8.audit.verdict import Audit, Claim
    from deloc8.loader.sysroot import Sysroot
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.metadata import CoreMetadata, WheelMetadata
    from deloc8.wheel.zipformat import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence on a wheel when its checks begin.

    Attributes:
        audit: The verdict on it.
        claim: The platform tag of the file name that requires most of it; None where no tag can be
            judged by a policy.
        match: The wheel against the policy of that tag.
        wheel: Its WHEEL file.
        core: Its METADATA file; None where it is not looked at.
        defined: For each ELF file, of the wheel and outside of it, the names that it offers to
            others, as far as some file requires them, or one where none is required; a file of the
            system that cannot be read is missing.
        debug: The bytes of debug information in each of the wheel's ELF files, by path.
        contents: What two of the wheel's ELF files have in common whose contents are equal, by path.
        vendors: The folders of the system in which libraries are found that the user leaves out, by the path of the
            file that names them and the entry of its search path.
        process: The paths of the parts of the C library that every process of Python has; empty where they are not
            looked at.
    """

    audit: Audit
    claim: Claim | None
    match: PolicyMatch | None
    wheel: WheelMetadata
    core: CoreMetadata | None
    defined: Mapping[str, frozenset[str]]
    debug: Mapping[str, int]
    contents: Mapping[str, tuple[int, int]]
    vendors: Mapping[str, Mapping[str, VendorFolder]]
    process: tuple[str, ...] = ()

    @property
    def promises_nothing(self) -> bool:
        """Whether the wheel claims no more than to work where it was built: its tag is `linux`."""
        return self.match is not None and self.match.policy.is_unbounded

    @property
    def libraries(self) -> tuple[ElfFile, ...]:
        """The wheel's own ELF files that are loaded into a process: its programs are not among them."""
        return tuple(file for file in self.audit.facts.own if file.image.dynamic and not file.image.is_executable)


def gather_evidence(archive: WheelArchive, audit: Audit, sysroot: Sysroot) -> Evidence:
    """The evidence for the checks of one wheel.

    Raises:
        WheelError: Its metadata, or a member, is not sound.
        ElfError: One of its ELF files is not sound.
    """
    folder = archive.dist_info
    claim, match = strictest(audit)
    defined: dict[str, frozenset[str]] = {}
    debug = {}
    members = {file.path: file.member for file in audit.facts.files.values()}
    process = process_libraries(audit.facts, sysroot)
    wanted = names_asked_for(audit.facts)
    for path in dict.fromkeys((*members, *process)):
        member = members.get(path)
        if member is not None:
            debug[path], defined[path] = _look(archive, member, wanted)
        else:
            try:
                with sysroot.look(path) as data:
                    defined[path] = parse_defined_names(data, path, wanted)
            except InputError:
                continue  # the system's files are not on trial
    return Evidence(
        audit=audit,
        claim=claim,
        match=match,
        wheel=parse_wheel_metadata(archive.read(archive.member(f"{folder}/WHEEL"))),
        core=parse_core_metadata(archive.read(archive.member(f"{folder}/METADATA"))),
        defined=defined,
        debug=debug,
        contents={file.path: _identity(archive.member(file.label)) for file in audit.facts.own},
        process=process,
        vendors=vendor_folders(audit.facts, audit.options.exclude, sysroot),
    )


def _identity(member: Member) -> tuple[int, int]:
    return member.size, member.crc


def names_asked_for(facts: WheelFacts) -> frozenset[str]:
    """The names of all symbols that files of the wheel, and what they bring in, ask for."""
    return frozenset(symbol.name for file in facts.files.values() for symbol in file.image.undefined)


def _look(archive: WheelArchive, name: str, wanted: frozenset[str]) -> tuple[int, frozenset[str]]:
    """The bytes of debug sections and the defined names of a member, whose contents are let go before the next."""
    data = archive.read(archive.member(name))
    return debug_size(data, name), parse_defined_names(data, name, wanted)


def strictest(audit: Audit) -> tuple[Claim | None, PolicyMatch | None]:
    """The claim that the wheel breaks most, else the first one that a policy judges."""
    judged = [
        (claim, audit.match(find_tag(audit, claim.tag)))
        for claim in audit.claims
        if audit.matches and (claim.violations or claim.truth is Truth.TRUE)
    ]
    return max(judged, key=lambda row: len(row[1].violations), default=(None, None))


def finding(
    code: str, subject: str, message: str, context: tuple[str, ...] = (), hints: tuple[str, ...] = ()
) -> Diagnostic:
    """A finding; how much it matters is said by the table of all codes."""
    return Diagnostic(code=code, severity=Severity.NOTE, subject=subject, message=message, context=context, hints=hints)


# A repair puts a part of the hash of a library into its name: libz-dd453c56.so.1.2.11.
_MANGLED = pattern(r"-[0-9a-f]{8,}(?=\.)")


def library_name(file: ElfFile) -> str:
    """The name of a library as it was before a repair."""
    return _MANGLED.sub("", file.image.soname or file.label.rpartition("/")[2])


# Python itself needs them, so that they are in the process whatever a module names (glibc before 2.34 has them apart).
_OF_PYTHON = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2")


def process_libraries(facts: WheelFacts, sysroot: Sysroot) -> tuple[str, ...]:
    """The paths of the parts of the C library that every process of Python has; none where they are not at hand."""
    named = [path for path, file in facts.files.items() if file.member is None and is_c_library(library_name(file))]
    if facts.libc is not Libc.GLIBC or facts.arch is None:
        return tuple(named)
    folders = {posixpath.dirname(path): None for path in named}
    # A module that uses nothing of it need not name it.
    paths = dict.fromkeys(named)
    for folder in folders or library_folders(sysroot, facts.arch):
        for name in _OF_PYTHON:
            image = sysroot.image(f"{folder}/{name}")
            if isinstance(image, ElfImage) and image.arch is facts.arch:
                paths[f"{folder}/{name}"] = None
    return tuple(paths)


_MOST_NAMES = 10


def listed(names: tuple[str, ...]) -> str:
    """Names joined by commas, the first ten of them."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
