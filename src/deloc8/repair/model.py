"""Decisions, actions and proofs of a repair, as data."""

from __future__ import annotations

import enum

from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.policy.model import Policy
    from deloc8.target import Arch
    from deloc8.wheel.names import WheelName

AUTO = "auto"


class StripLevel(enum.Enum):
    """Contents that are stripped from ELF files."""

    DEBUG = "debug"
    ALL = "all"


class RewriteKind(enum.Enum):
    """How a symbol of a newer glibc is made to do with an older one; the values are for JSON.

    MOVED, SAME, SUPERSET and DIFFERS are the classes of the table (`lowertable.LoweringClass`). WEAK: a weak reference
    loses its version. CONSTANT: a variable becomes a constant of the file itself. PACKED: relocations are unpacked.
    JOINED: tables of relocations become neighbours. CODE: the function travels in the wheel, for systems that lack it.
    """

    MOVED = "moved"
    SAME = "same"
    SUPERSET = "superset"
    DIFFERS = "differs"
    WEAK = "weak"
    CONSTANT = "constant"
    PACKED = "packed"
    JOINED = "joined"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One symbol of one file that is bound to an older version.

    Attributes:
        file: The file: a member of the wheel, or the path of a graft.
        symbol: What it asks for; empty for the marker of packed relocations.
        version: The version that is too new.
        library: The library that it is asked of.
        to_symbol: The name that it asks for afterwards.
        to_version: The version that it asks for afterwards; None for none.
        to_library: The library that this version is asked of; None for none.
        kind: How near that comes.
        reason: Why it is right, and where it differs.
    """

    file: str
    symbol: str
    version: str
    library: str
    to_symbol: str
    to_version: str | None
    to_library: str | None
    kind: RewriteKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatGraft:
    """The library of functions that older releases of glibc lack, as it goes into the wheel.

    Attributes:
        arch: Its machine.
        sha256: Of its contents before it is edited, in hexadecimal digits.
        size: Of its contents before it is edited, in bytes.
        new_name: Its file name and DT_SONAME in the wheel.
        member: Its name in the archive.
        functions: The functions that the wheel's files take from it where the system lacks them.
    """

    arch: Arch
    sha256: str
    size: int
    new_name: str
    member: str
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Requirements of the user on a repair.

    Attributes:
        platform: The tag to reach, by any of its names; ``auto`` for the best one with the fewest grafts.
        only_platform: Claim no better tag than the required one, even if the wheel fits it.
        update_tags: Whether the file name and the WHEEL file are changed to the new tags.
        library_suffix: The folder of the grafts is the distribution's name and this suffix.
        no_mangle: Globs of libraries that keep their own names.
        strip: What is stripped from every ELF file before it is edited; None for nothing.
        sbom: Whether a bill of materials lists where the grafts come from.
        licences: Whether the licence files of the grafts' packages come along.
        lower_glibc: Whether symbols of a glibc that is too new are bound to older ones.
        allow_differs: Whether to such, too, as behave a little differently.
    """

    platform: str = AUTO
    only_platform: bool = False
    update_tags: bool = True
    library_suffix: str = ".libs"
    no_mangle: tuple[str, ...] = ()
    strip: StripLevel | None = None
    sbom: bool = True
    licences: bool = True
    lower_glibc: bool = False
    allow_differs: bool = False


class PackageSource(enum.Enum):
    """Source of the package of a library; the values are for human readers and for JSON."""

    NOTE = ".note.package"
    DPKG = "dpkg"
    RPM = "rpm"
    APK = "apk"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The package that a library belongs to; without a source it is unknown.

    Attributes:
        name: Its name; empty where it is unknown.
        version: Its version; empty where nobody tells.
        purl: Its package URL (purl-spec); empty where it is unknown.
        source: Who says so.
        origin: The source package it was built from; empty where that is unknown.
        licences: Its licence files, as paths of the system it is installed on.
        reason: Why it is unknown; empty where it is not.
    """

    name: str = ""
    version: str = ""
    purl: str = ""
    source: PackageSource = PackageSource.UNKNOWN
    origin: str = ""
    licences: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether anybody told."""
        return self.source is not PackageSource.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Graft:
    """One library that is copied into the wheel.

    Attributes:
        source: Its real path on the system it is taken from.
        sha256: Of its contents there, in hexadecimal digits.
        size: Of its contents there, in bytes.
        soname: Its own name there; None where it has none.
        new_name: Its file name and DT_SONAME in the wheel.
        member: Its name in the archive.
        chain: How it comes into the wheel: a member, then needed names.
        edits: What is changed in the copy.
        owner: The package it belongs to.
        openers: Of a library on request: the members that open libraries, and find it by their search path.
    """

    source: str
    sha256: str
    size: int
    soname: str | None
    new_name: str
    member: str
    chain: tuple[str, ...]
    edits: tuple[Edit, ...]
    owner: Package = Package()
    openers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The edits of one ELF member.

    Attributes:
        member: Its name in the archive.
        edits: What is changed in it, in one pass.
        moved_to: Its new name in the archive, where it moves; a launcher takes its place.
    """

    member: str
    edits: tuple[Edit, ...]
    moved_to: str | None = None

    @property
    def target(self) -> str:
        """The name in the new archive."""
        return self.moved_to or self.member


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceFile:
    """A licence file that is copied into the wheel.

    Attributes:
        source: Its path on the system it is taken from.
        sha256: Of its contents, in hexadecimal digits.
        member: Its name in the archive.
    """

    source: str
    sha256: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Records of where the grafts come from.

    Attributes:
        sbom: The name of the bill of materials in the archive (PEP 770); None for none.
        licences: Licence files copied in.
        licence_fields: New values of License-File in METADATA (PEP 639); none where its version does not know them.
    """

    sbom: str | None = None
    licences: tuple[LicenceFile, ...] = ()
    licence_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a repair will do; `--dry-run` prints exactly this.

    Attributes:
        source: The wheel as it is, by name.
        target: The wheel as it will be, by name.
        policy: The policy that the result must fit.
        tags: The expanded tags of the WHEEL file; None where it is not touched.
        grafts: Libraries copied in, in the order they were found.
        patches: Members of the wheel that are edited or moved, in the order of the archive.
        exclude: The globs of libraries that were left out on request.
        strip: What is stripped from the grafts and the patched members before they are edited; None for nothing.
        notes: What the user should know.
        provenance: What tells where the grafts come from.
        rewrites: The symbols that are bound to older versions of glibc.
        compat: The library of functions that older releases of glibc lack; None where no file needs it.
    """

    source: WheelName
    target: WheelName
    policy: Policy
    tags: tuple[str, ...] | None
    grafts: tuple[Graft, ...]
    patches: tuple[Patch, ...]
    exclude: tuple[str, ...]
    strip: StripLevel | None
    notes: tuple[Diagnostic, ...]
    provenance: Provenance = Provenance()
    rewrites: tuple[Rewrite, ...] = ()
    compat: CompatGraft | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes but perhaps the tags."""
        return not self.grafts and not self.patches


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step of a proof.

    Attributes:
        name: What is proven, in a few words.
        problems: What contradicts it; empty where it holds.
    """

    name: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Checks of a written wheel before it was put into its place."""

    checks: tuple[Check, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """All that contradicts it."""
        return tuple(problem for check in self.checks for problem in check.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A written and proven wheel.

    Attributes:
        path: Where it stands.
        sha256: Of the whole file, in hexadecimal digits.
        size: Of the whole file, in bytes.
        plan: What was done.
        proof: What was proven.
        encoder: What compressed the changed members.
    """

    path: Path
    sha256: str
    size: int
    plan: Plan
    proof: Proof
    encoder: str
