"""How grafted libraries are named, and what is made for those that move."""

from __future__ import annotations

import fnmatch
import posixpath
from hashlib import sha256

from deloc8.audit.facts import REQUEST
from deloc8.audit.match import Provision
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.elf.edit.vocabulary import SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.errors import InputError, UnrepairableError, UsageError
from deloc8.repair.lowering import compat_library as compatlib
from deloc8.repair.model import CompatGraft
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.audit.match import Closure, PolicyMatch
    from deloc8.loader.sysroot import Sysroot
    from deloc8.target import Arch
    from deloc8.wheel.archive import WheelArchive

# Eight digits of the hash stand in a name, as auditwheel's users know it.
_HASH_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The contents of a library as it was read: sha256 in hexadecimal digits and size in bytes."""

    sha256: str
    size: int


def fingerprint(grafts: Iterable[ElfFile], sysroot: Sysroot) -> Mapping[str, Fingerprint]:
    """The fingerprint of each library, by path.

    Raises:
        InputError: A library cannot be read.
    """
    fingerprints = {}
    for file in grafts:
        hasher, size = sha256(), 0
        for piece in sysroot.pieces(file.path):
            hasher.update(piece)
            size += len(piece)
        fingerprints[file.path] = Fingerprint(sha256=hasher.hexdigest(), size=size)
    return fingerprints


def name_grafts(
    closure: Closure, facts: WheelFacts, fingerprints: Mapping[str, Fingerprint], no_mangle: Sequence[str]
) -> Mapping[str, str]:
    """The new file name of each graft, by path.

    A name carries a hash of the library's contents and of all it brings along: equal trees share a name, unequal ones
    never meet, neither in one process nor in one folder.

    Raises:
        UsageError: Two different libraries would have one name.
    """
    names: dict[str, str] = {}
    taken: dict[str, tuple[str, str]] = {}
    edges = {file.path: graft_edges(file.path, closure, facts) for file in closure.grafts}
    # What is opened by its name must keep it: the name stands in somebody's code.
    requested = {target: posixpath.basename(name) for name, target in graft_edges(REQUEST, closure, facts)}
    for file in closure.grafts:
        digest = _tree_hash(file.path, edges, fingerprints)
        asked = requested.get(file.path)
        own_names = [name for name in (asked, file.image.soname, posixpath.basename(file.path), file.path) if name]
        if asked or any(fnmatch.fnmatchcase(name, glob) for glob in no_mangle for name in own_names):
            name = own_names[0]
        else:
            name = _insert(posixpath.basename(file.path), digest[:_HASH_DIGITS])
        other_digest, other = taken.setdefault(name, (digest, file.path))
        if other_digest != digest:
            raise UsageError(
                f"two libraries would both be named `{name}` in the wheel",
                code="same-name",
                context=(other, file.path),
                hints=("let one of them be renamed: make the glob of --no-mangle narrower",),
            )
        names[file.path] = name
    return names


def compat_graft(arch: Arch, folder: str, functions: tuple[str, ...]) -> CompatGraft:
    """The compatibility library as it goes into a folder of the wheel, for some functions of it.

    Raises:
        UnrepairableError: It has not been built (``compat-library-missing``).
    """
    contents = compatlib.library(arch)
    digest = sha256(contents).hexdigest()
    name = _insert(compatlib.SONAME, digest[:_HASH_DIGITS])
    return CompatGraft(
        arch=arch, sha256=digest, size=len(contents), new_name=name, member=f"{folder}/{name}", functions=functions
    )


def compat_contents(graft: CompatGraft) -> bytes:
    """The bytes of the compatibility library in the wheel.

    Raises:
        InputError: It is not what it was when the plan was made (``library-changed``).
    """
    contents = compatlib.library(graft.arch)
    if sha256(contents).hexdigest() != graft.sha256:
        raise InputError(
            "deloc8's own compatibility library has changed while the wheel was being repaired",
            code="library-changed",
            hints=("run the repair again when nothing installs or builds deloc8 at the same time",),
        )
    return edit(contents, (SetSoname(soname=graft.new_name),), graft.new_name).data


def check_compat(graft: CompatGraft, archive: WheelArchive) -> None:
    """Raise UsageError where the wheel has another file in the place of the compatibility library.

    It may have the library itself, from an earlier repair.
    """
    if graft.member in archive and archive.read(archive.member(graft.member)) != compat_contents(graft):
        raise same_name(graft.member, "the library of functions that older releases of glibc lack")


def same_name(member: str, graft: str) -> UsageError:
    """The error that the wheel has a member of a graft's name."""
    return UsageError(
        f"the wheel has a file `{member}` already, where a graft would go",
        code="same-name",
        context=(f"the graft is {graft}",),
        hints=("choose another folder for the grafts with -L",),
    )


def unsafe_name(member: str, fault: str, graft: str) -> UnrepairableError:
    """The error that no wheel may have a member of a graft's name."""
    return UnrepairableError(
        f"`{member}` cannot be the path of a graft: it {fault}",
        code="unsafe-path",
        context=(f"the graft is {graft}",),
        hints=("give the library another soname, or leave it out with --exclude",),
    )


_Edges = tuple[tuple[str, str], ...]


def _tree_hash(path: str, edges: Mapping[str, _Edges], fingerprints: Mapping[str, Fingerprint]) -> str:
    """A hash of a library's contents and of the grafts below it; circles of libraries do no harm.

    Two libraries have one hash just if the same needed names lead from both to the same contents, however far.
    """
    below = {path: edges[path]}
    pending = [path]
    while pending:
        for _, target in edges[pending.pop()]:
            if target not in below:
                below[target] = edges[target]
                pending.append(target)
    # Of two copies of one file each may need another copy of a third: contents alone do not tell them apart. So the
    # kinds of files are refined by what they need until no kind falls into two (Moore's minimisation of automata).
    kinds = {node: fingerprints[node].sha256 for node in below}
    while True:
        refined = {
            node: _digest([kinds[node], *(f"{name} {kinds[target]}" for name, target in below[node])]) for node in below
        }
        if len(set(refined.values())) == len(set(kinds.values())):
            break
        kinds = refined
    lines = {f"{kinds[node]} {name} {kinds[target]}" for node in below for name, target in below[node]}
    return _digest([kinds[path], *sorted(lines)])


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def graft_edges(path: str, closure: Closure, facts: WheelFacts) -> tuple[tuple[str, str], ...]:
    """The needed names of a file that grafts provide, each with the path of the library."""
    return tuple(
        (dependency.name, dependency.target)
        for dependency in facts.dependencies.get(path, ())
        if dependency.target is not None and closure.provisions.get((path, dependency.name)) is Provision.GRAFT
    )


def _insert(name: str, digest: str) -> str:
    """A file name with the hash before its `.so`; ``libfoo.so.1.2`` becomes ``libfoo-0123abcd.so.1.2``."""
    stem, dot, ending = name.partition(".so")
    return f"{stem}-{digest}{dot}{ending}"


_CXX_RUNTIME = "libstdc++.so"


def runtime_warnings(match: PolicyMatch) -> Iterator[Diagnostic]:
    """A warning for each graft that is a second C++ runtime in a process that has the system's."""
    for file in match.closure.grafts:
        soname = file.image.soname or posixpath.basename(file.path)
        if soname.startswith(_CXX_RUNTIME) and match.policy.allows_library(soname):
            yield Diagnostic(
                code="second-cpp-runtime",
                severity=Severity.WARNING,
                subject=soname,
                message="the graft is a second C++ runtime in a process that has the system's",
                context=(
                    "objects, exceptions and streams that cross from one to the other misbehave",
                    "the files of the wheel all use the graft, and may throw across each other",
                ),
                hints=("to do without: compile with an older gcc, or link it statically and hide its symbols",),
            )


def launcher(member: str) -> bytes:
    """The script that starts a program which moved into site-packages (`member` is relative to that folder).

    An installer replaces the first line by the path of its interpreter (PEP 427, "The .data directory"). The folder
    is looked for where modules are: it may be that of the user, or one on PYTHONPATH.
    """
    return (
        "#!python\n"
        "import os\n"
        "import sys\n"
        "\n"
        f"member = {member!r}\n"
        "for folder in sys.path:\n"
        "    program = os.path.join(folder, member)\n"
        "    if os.path.exists(program):\n"
        "        os.execv(program, [program, *sys.argv[1:]])\n"
        "sys.exit(member + ' is in no folder of sys.path')\n"
    ).encode()
