"""Where a wheel runs: the releases of distributions whose C library and C++ runtime offer what it takes from them."""

from __future__ import annotations

from functools import lru_cache

from deloc8.audit.installing import lowest_floor
from deloc8.audit.loading import stack_faults
from deloc8.audit.match import Provision, counts
from deloc8.audit.notices import musl_needs
from deloc8.paths import read_beside
from deloc8.policy.model import Family, number_key, split_version
from deloc8.policy.releases import PROJECTS, offered_release
from deloc8.target import Libc
from deloc8.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile
    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit

# What is compared: the namespaces of glibc and of gcc's libraries, the musl release, and whether DT_RELR is understood.
_NAMESPACES = frozenset({"GLIBC", "GLIBCXX", "CXXABI", "GCC"})
_PROJECTS = tuple(dict.fromkeys(PROJECTS.values()))
_MUSL = "musl"
_RELR = "DT_RELR"
# What installers and loaders compare with the release of the C library alone.
_TAG = "tag"
_STACK = "executable stack"
_REFUSES_STACKS = "2.41"

# Markers are no numbers; a release that offers this number has the marker too. Where the first number is not known for
# certain, a later one stands here. GLIBC_PRIVATE is nobody's promise: it has none.
_SINCE = {
    ("GLIBC", "ABI_GNU_TLS"): "2.43",
    ("GLIBC", "ABI_GNU2_TLS"): "2.43",
    ("GLIBC", "ABI_DT_X86_64_PLT"): "2.43",
    ("CXXABI", "TM_1"): "1.3.7",
    ("CXXABI", "FLOAT128"): "1.3.10",
}
_MUSL_SERIES = (1, 2)
_RELR_MARKER = "ABI_DT_RELR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a distribution.

    Attributes:
        distro: The distribution, such as ``Debian``.
        version: Its number, such as ``12``.
        offers: The highest number of each namespace, such as ``GLIBC``, and of ``musl``; what is not known is missing.
        relr: Whether its loader takes DT_RELR; None where that is not known.
        eol: The last day of its support, as ISO 8601 writes it; None where that is not known.
        extended_eol: The last day of the support that is paid for, or that others give.
        is_main: Whether it is neither a development branch nor a release between two that are supported for long.
    """

    distro: str
    version: str
    offers: Mapping[str, str]
    relr: bool | None
    eol: str | None
    extended_eol: str | None
    is_main: bool

    @property
    def name(self) -> str:
        """The distribution and the number."""
        return f"{self.distro} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The most that a wheel asks of a system in one respect.

    Attributes:
        what: ``GLIBC``, ``GLIBCXX``, ``CXXABI``, ``GCC``, ``musl``, ``DT_RELR`` or a project such as ``glib``.
        number: The number it needs; empty where no number is enough.
        subject: What needs it: ``pow@GLIBC_2.29``, ``GLIBC_ABI_DT_RELR``, ``statx``.
        library: The library it is asked of; None where it is none's.
        chain: How the file that asks comes into the wheel.
    """

    what: str
    number: str
    subject: str
    library: str | None
    chain: tuple[str, ...]

    def is_met(self, release: Release) -> bool | None:
        """Whether a release offers it; None where that is not known."""
        if self.what == _RELR:
            return release.relr
        if self.what in {_TAG, _STACK}:
            return self._suits(release.offers.get("GLIBC") or release.offers[_MUSL])
        number = release.offers.get(self.what, "")
        if self.what in _PROJECTS:
            number = offered_release(release.name, self.what)
        offered, wanted = number_key(number), number_key(self.number)
        if wanted is None:
            return False
        return None if offered is None else offered >= wanted

    def _suits(self, libc: str) -> bool:
        """Whether a release of the C library takes the tag, or the stack."""
        offered, number = number_key(libc), number_key(self.number)
        if number is None or offered is None:
            return False
        return offered < number if self.what == _STACK else offered >= number

    def __str__(self) -> str:
        if not self.chain:
            return self.subject
        source = f" from {self.library}" if self.library else ""
        return f"{self.subject}{source}, used by {' -> '.join(self.chain)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A wheel on one release.

    Attributes:
        release: The release.
        runs: Whether it meets every need; None where that is not known.
        lacks: The first need that it does not meet, or is not known to meet; None where it meets all.
    """

    release: Release
    runs: bool | None
    lacks: Need | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """Distributions that are told in one line.

    Attributes:
        title: The name of the line.
        distros: The distributions; releases of one number stand and fall together.
        alike: Those of them, beside the first, that are named.
    """

    title: str
    distros: tuple[str, ...]
    alike: tuple[str, ...] = ()


_REBUILDS = ("AlmaLinux", "Rocky Linux", "Oracle Linux")

KINS = (
    Kin(title="Debian", distros=("Debian",)),
    Kin(title="Ubuntu", distros=("Ubuntu",)),
    Kin(title="RHEL", distros=("RHEL", "CentOS", "CentOS Stream", *_REBUILDS), alike=_REBUILDS),
    Kin(title="Fedora", distros=("Fedora",)),
    Kin(title="SLES", distros=("SLES",)),
    Kin(title="openSUSE Leap", distros=("openSUSE Leap",)),
    Kin(title="Amazon Linux", distros=("Amazon Linux",)),
    Kin(title="Alpine", distros=("Alpine",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KinStanding:
    """A wheel on the main releases of distributions that are told in one line.

    Attributes:
        kin: The distributions.
        since: The first of the numbers from which on all fit; None where the newest does not.
        before: The last release below it that does not fit; None where all fit.
        doubtful: Whether it is only not known to fit.
        lacks: What it lacks, or may lack.
    """

    kin: Kin
    since: str | None
    before: Release | None = None
    doubtful: bool = False
    lacks: Need | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """Where a wheel runs, by what C library and C++ runtime offer.

    Attributes:
        tag: The tag of the repaired wheel that this is about; None: it is about the wheel as it stands.
        standings: Every release with the wheel's C library.
    """

    tag: str | None
    standings: tuple[Standing, ...]

    @property
    def kins(self) -> tuple[KinStanding, ...]:
        """The main releases, in the order of `KINS`, those with the wheel's C library."""
        return tuple(row for row in (self._of_kin(kin) for kin in KINS) if row is not None)

    def _of_kin(self, kin: Kin) -> KinStanding | None:
        numbers: dict[str, Standing] = {}
        for standing in self.standings:
            release = standing.release
            if release.distro in kin.distros and release.is_main:
                known = numbers.get(release.version)
                numbers[release.version] = standing if known is None or known.runs else known
        if not numbers:
            return None
        since = None
        for version, standing in reversed(numbers.items()):
            if not standing.runs:
                return KinStanding(
                    kin=kin,
                    since=since,
                    before=standing.release,
                    doubtful=standing.runs is None,
                    lacks=standing.lacks,
                )
            since = version
        return KinStanding(kin=kin, since=since)


@lru_cache(maxsize=1)
def releases() -> tuple[Release, ...]:
    """The releases that are known, each distribution's oldest first (source: see the file itself)."""
    import json  # noqa: PLC0415  only who asks for this pays for it

    return tuple(
        Release(
            distro=row["distro"],
            version=row["version"],
            offers={what: number for what, number in row["offers"].items() if what != _RELR},
            relr=row["offers"].get(_RELR),
            eol=row["eol"],
            extended_eol=row["extended_eol"],
            is_main=row["main"],
        )
        for row in json.loads(read_beside(__file__, "data", "distros.json"))["releases"]
    )


def compatibility(audit: Audit) -> Compatibility:
    """Where a wheel runs: repaired, if a repair can bring it to a better tag, else as it stands.

    It runs where the loader has all that it asks for, and where pip takes its tag: that of the repaired wheel, or those
    of its file name.

    Nothing is said of the machine (which distribution is made for which), of the processor, and of other libraries.
    """
    libc = audit.facts.libc
    match = audit.outlook
    key = _MUSL if libc is Libc.MUSL else "GLIBC"
    known = () if libc is Libc.ANDROID else tuple(release for release in releases() if key in release.offers)
    needs = (*needs_of(audit, match), *_stack_needs(audit, match), *_tag_needs(audit, match))
    standings = tuple(_stand(release, needs) for release in known)
    return Compatibility(tag=None if match.is_satisfied else match.policy.tags[0], standings=standings)


def _tag_needs(audit: Audit, match: PolicyMatch) -> Iterator[Need]:
    """The release of the C library that pip wants for the wheel's tag; no need where any will do."""
    tags = audit.facts.name.platforms if match.is_satisfied else match.policy.tags
    floor = lowest_floor(tags, audit.facts.arch, audit.facts.libc)
    if floor is None:
        subject = f"{' and '.join(tags)} (pip takes no such tag there)"
        yield Need(what=_TAG, number="", subject=subject, library=None, chain=())
    elif floor.number:
        name = _MUSL if audit.facts.libc is Libc.MUSL else "glibc"
        subject = f"{floor.tag} (pip takes it from {name} {floor.number} on)"
        yield Need(what=_TAG, number=floor.number, subject=subject, library=None, chain=())


def _stack_needs(audit: Audit, match: PolicyMatch) -> Iterator[Need]:
    """That glibc still gives libraries an executable stack, where one is asked for and no repair clears it."""
    if not match.is_satisfied and not audit.options.keep_executable_stack:
        return
    faults = stack_faults(audit.facts)
    for file in match.closure.files:
        if file.path in faults:
            subject = f"an executable stack (refused from glibc {_REFUSES_STACKS} on)"
            chain = match.closure.chain(file, audit.facts)
            yield Need(what=_STACK, number=_REFUSES_STACKS, subject=subject, library=None, chain=chain)
            return


def _stand(release: Release, needs: Sequence[Need]) -> Standing:
    """A wheel with some needs on one release; what is known to lack counts before what may lack."""
    for doubtful in (False, None):
        for need in needs:
            if need.is_met(release) is doubtful:
                return Standing(release=release, runs=doubtful, lacks=need)
    return Standing(release=release, runs=True, lacks=None)


def needs_of(audit: Audit, match: PolicyMatch) -> tuple[Need, ...]:
    """Requirements of a wheel on the system under a policy, the C library first.

    Of several in one respect only the highest is listed.
    """
    highest: dict[str, Need] = {}
    for file in match.closure.files:
        chain = match.closure.chain(file, audit.facts)
        for need in (
            *_libc_needs(audit, match, file),
            *_version_needs(match, file),
            *_release_needs(audit, match, file),
        ):
            known = highest.get(need.what)
            if known is None or _rank(known) < _rank(need):
                highest[need.what] = replace(need, chain=chain)
    order = ("GLIBC", _MUSL, _RELR, "GLIBCXX", "CXXABI", "GCC", *_PROJECTS)
    return tuple(highest[what] for what in order if what in highest)


def _rank(need: Need) -> tuple[bool, tuple[tuple[int, ...], str]]:
    """The order of needs in one respect: one that no number meets is the highest."""
    return not need.number, number_key(need.number) or ((), "")


def _libc_needs(audit: Audit, match: PolicyMatch, file: ElfFile) -> Iterator[Need]:
    """Requirements of a file on the C library beside versions."""
    if audit.facts.libc is Libc.MUSL:
        series: Sequence[int] = _MUSL_SERIES
        if match.policy.family is Family.MUSLLINUX:
            series = [int(part) for part in match.policy.name.split("_")[1:]]
        for subject, since in {f"musl {_dots(series)}": tuple(series), **musl_needs(file)}.items():
            yield Need(what=_MUSL, number=_dots(since), subject=subject, library=None, chain=())
    elif file.image.dynamic and file.image.dynamic.has_relr:
        yield Need(what=_RELR, number="", subject=_RELR, library=None, chain=())


def _dots(parts: Sequence[int]) -> str:
    return ".".join(map(str, parts))


def _version_needs(match: PolicyMatch, file: ElfFile) -> Iterator[Need]:
    """The versions that a file asks of the libraries that come from the system."""
    for wanted in file.wanted:
        provision = match.closure.provisions.get((file.path, wanted.library), Provision.SYSTEM)
        namespace, number = split_version(wanted.version)
        if namespace not in _NAMESPACES or not counts(wanted, provision, match.policy):
            continue
        subject = f"{wanted.symbols[0]}@{wanted.version}" if wanted.symbols else wanted.version
        what = namespace
        if number == _RELR_MARKER:
            what, number = _RELR, ""
        elif number_key(number) is None:
            number = _SINCE.get((namespace, number), "")
        yield Need(what=what, number=number, subject=subject, library=wanted.library, chain=())


def _release_needs(audit: Audit, match: PolicyMatch, file: ElfFile) -> Iterator[Need]:
    """The releases that a file needs of libraries of the system whose symbols have no versions."""
    if file.path not in audit.facts.borrowed:
        return
    from deloc8.audit.borrowed import told_release  # noqa: PLC0415  hardly any wheel needs these
    from deloc8.audit.late import taken_from_system  # noqa: PLC0415

    for row in taken_from_system(audit.facts, file, match.closure):
        subject = f"{row.symbol} ({told_release(row)})"
        yield Need(what=PROJECTS[row.library], number=row.since or "", subject=subject, library=row.library, chain=())
