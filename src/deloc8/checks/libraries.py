"""The libraries in and around the wheel: which should not be there, which are there twice, which do not fit."""

from __future__ import annotations

from deloc8.audit.match import is_libpython
from deloc8.audit.together import SECOND_GLIB, SECOND_GLIB_HINT, SECOND_GLIB_MESSAGE, SECOND_GLIB_REASONS
from deloc8.checks.evidence import finding, library_name, listed
from deloc8.dlopen.openings import Confidence, Source
from deloc8.elf.read.dynamic import LinkKind
from deloc8.loader.libc import is_c_library
from deloc8.policy.load import host_only_reason
from deloc8.policy.releases import PROJECTS
from deloc8.target import Libc
from deloc8.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from deloc8.audit.facts import ElfFile
    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic


def check_host_only(evidence: Evidence) -> Iterator[Diagnostic]:
    """Libraries in the wheel that must come from the machine it runs on."""
    for file in evidence.libraries:
        name = library_name(file)
        reason = host_only_reason(name)
        if reason:
            yield finding(
                "host-only-library",
                file.label,
                f"is {name}, which {reason}",
                ("a copy from another system can fail or crash there",),
                (f"leave it out: pass --exclude {quoted(name)} to `deloc8 fixup`",),
            )


def check_copies(evidence: Evidence) -> Iterator[Diagnostic]:
    """Libraries that the wheel holds more than once, and different ones that a process takes for one."""
    # The loader takes one of a library and its variants for newer processors.
    variants = evidence.audit.facts.variants
    copies: dict[tuple[str, str], list[ElfFile]] = {}
    for file in evidence.libraries:
        if file.image.soname and file.image.soname.startswith("lib"):
            folder = file.path.rpartition("/")[0] if file.path in variants else ""
            copies.setdefault((folder, library_name(file)), []).append(file)
    for (_, name), files in copies.items():
        if len(files) > 1:
            yield _duplicate(evidence, name, files)


def _duplicate(evidence: Evidence, name: str, files: Sequence[ElfFile]) -> Diagnostic:
    first, *others = files
    shared = _names_of_different_files(evidence, files)
    if shared:
        message = (
            f"is one of {len(files)} files for {name}, which differ: "
            f"in one process, all that need {shared[0]} get the one that is loaded first"
        )
        hint = "give different libraries different sonames, and link each file with the one that it needs"
    else:
        message = f"is one of {len(files)} copies of {name}: a process that loads two has all of its state twice"
        hint = "a wheel holds no symbolic links: ship the library once, under the name that is needed"
    context = []
    for other in others:
        is_equal = evidence.contents[other.path] == evidence.contents[first.path]
        context.append(f"another copy is {other.label}" + ("" if is_equal else ", with other contents"))
    return finding("duplicate-library", first.label, message, tuple(context), (hint,))


def _names_of_different_files(evidence: Evidence, files: Sequence[ElfFile]) -> list[str]:
    """The names by which a loader takes files for one library though their contents differ.

    musl compares file names, the others sonames.
    """
    contents: dict[str, set[object]] = {}
    for file in files:
        is_musl = evidence.audit.facts.libc is Libc.MUSL
        name = file.path.rpartition("/")[2] if is_musl else file.image.soname
        contents.setdefault(name or "", set()).add(evidence.contents[file.path])
    return [name for name, found in contents.items() if len(found) > 1]


def check_glib(evidence: Evidence) -> Iterator[Diagnostic]:
    """Parts of glib in the wheel: a process that has the system's too has two."""
    if evidence.audit.facts.libc is not Libc.GLIBC:
        return
    for file in evidence.libraries:
        if PROJECTS.get(library_name(file)) == "glib":
            yield finding(SECOND_GLIB, file.label, SECOND_GLIB_MESSAGE, SECOND_GLIB_REASONS, (SECOND_GLIB_HINT,))


_CPP_RUNTIMES = ("libstdc++.so", "libc++.so")
_OPENMP_RUNTIMES = ("libgomp.so", "libiomp5.so", "libomp.so")


def check_runtimes(evidence: Evidence) -> Iterator[Diagnostic]:
    """A C++ runtime beside that of the system, or two runtimes of OpenMP."""
    names = {file.path: library_name(file) for file in evidence.libraries}
    openmp: dict[str, str] = {}
    for file in evidence.libraries:
        # Of the policies, only those for glibc take a C++ runtime from the system.
        if names[file.path].startswith(_CPP_RUNTIMES) and evidence.audit.facts.libc is Libc.GLIBC:
            yield finding(
                "second-cpp-runtime",
                file.label,
                "is a second C++ runtime beside that of the system",
                ("exceptions and streams that cross from one to the other misbehave",),
                ("take the system's: every manylinux policy allows libstdc++.so.6",),
            )
        for name in (names[file.path], *file.image.linked):
            if name.startswith(_OPENMP_RUNTIMES):
                openmp.setdefault(name.partition("-")[0].partition(".")[0], file.label)
    if len(openmp) > 1:
        first, *others = openmp.items()
        yield finding(
            "second-openmp-runtime",
            others[0][1],
            f"brings a second OpenMP runtime into the process: {' and '.join(sorted(openmp))}",
            tuple(f"{runtime} by {label}" for runtime, label in (first, *others)),
            ("build all parts with one compiler family, or link them with one runtime",),
        )


def check_symbols(evidence: Evidence) -> Iterator[Diagnostic]:
    """Symbols that no library defines which is in the process when the file is loaded.

    Nothing is said of a file where one of its libraries, or the C library, cannot be looked at here. A version of a
    library outside the wheel is the policies' matter: this machine's copy may be too old to have the symbol.
    """
    own = {file.path for file in evidence.audit.facts.own}
    yield from _undefined_versions(evidence, own)
    wanted = {file.path: _wanted_names(evidence, file, own) for file in evidence.libraries}
    if not any(wanted.values()):
        return
    beside, unknown = _loaded_with(evidence, own)
    for file in evidence.libraries:
        if not wanted[file.path] or file.path in unknown:
            continue
        missing = _without_definition(evidence, wanted[file.path], _likely_first(evidence, file, beside[file.path]))
        if missing:
            yield finding(
                "undefined-symbol",
                file.label,
                f"uses symbols that no needed library defines: {listed(missing)}",
                ("it loads only where something else has put them into the process before",),
                ("link it with the library that has them; -Wl,-z,defs tells at build time", _OLDER),
            )


_OLDER = "where a library is older than the one linked with, name the newer one's folder by --add-path"


def _undefined_versions(evidence: Evidence, own: Collection[str]) -> Iterator[Diagnostic]:
    """Versions that a file asks of a library of the wheel in vain: ld.so of glibc then loads neither.

    A library without any version satisfies all (glibc, elf/dl-version.c, match_symbol); musl looks at none.
    """
    facts = evidence.audit.facts
    if facts.libc is not Libc.GLIBC:
        return
    for file in evidence.libraries:
        targets = {row.name: row.target for row in facts.dependencies.get(file.path, ())}
        for need in file.image.version_needs:
            target = targets.get(need.file)
            if target is None or target not in own:
                continue
            defined = {version.name for version in facts.files[target].image.defined_versions}
            missing = tuple(row.name for row in need.versions if not row.weak and row.name not in defined)
            if defined and missing:
                yield finding(
                    "undefined-symbol",
                    file.label,
                    f"asks {need.file} for versions that it does not define: {listed(missing)}",
                    ("the loader refuses the file",),
                    (_OLDER,),
                )


def _wanted_names(evidence: Evidence, file: ElfFile, own: Collection[str]) -> tuple[str, ...]:
    """The symbols that a file cannot do without and may find in any library, or must find in one of the wheel."""
    targets = {row.name: row.target for row in evidence.audit.facts.dependencies.get(file.path, ())}
    return tuple(
        symbol.name
        for symbol in file.image.undefined
        if not (symbol.weak or symbol.name.startswith(("Py", "_Py")))
        and (symbol.file is None or targets.get(symbol.file) in own)
    )


def _loaded_with(evidence: Evidence, own: Collection[str]) -> tuple[dict[str, set[str]], set[str]]:
    """For each file of the wheel what can be in the process with it, and the files of which that is not all known."""
    beside: dict[str, set[str]] = {path: set() for path in own}
    unknown: set[str] = set()
    for root in own:
        loaded, is_complete = _scope(evidence, root)
        for path in loaded.intersection(own):
            beside[path] |= loaded
        if not is_complete:
            unknown |= loaded
    for path, variant in evidence.audit.facts.variants.items():
        beside[path] |= beside.get(variant.base, set())
    return beside, unknown


def _likely_first(evidence: Evidence, file: ElfFile, beside: Collection[str]) -> list[str]:
    """Files that are in the process with a file, by path, the likely ones first.

    The files of the wheel are first, and of these the ones that it names.
    """
    named = {row.target for row in evidence.audit.facts.dependencies.get(file.path, ())}
    own = {other.path for other in evidence.audit.facts.own}
    others = set(beside) - {file.path}
    return sorted(others, key=lambda path: (path not in own or path not in named, path not in own, path))


def _without_definition(evidence: Evidence, names: Sequence[str], beside: Iterable[str]) -> tuple[str, ...]:
    """Those of some names that nothing defines; where the C library is not at hand, none is known to be undefined.

    Mostly the first libraries have them all, and then the large ones of the system need not be looked at.
    """
    left = set(names)
    for path in beside:
        if left:
            left -= evidence.defined[path]
    if left:
        process = _process(evidence)
        left = left - process if process else set()
    return tuple(name for name in names if name in left)


def _process(evidence: Evidence) -> set[str]:
    """The names that the C library gives to every process; empty where it is not at hand."""
    names: set[str] = set()
    for path in evidence.process:
        if path in evidence.defined:
            names |= evidence.defined[path]
    return names


def _scope(evidence: Evidence, root: str) -> tuple[set[str], bool]:
    """The paths of all that is loaded for a file, and whether the names that each offers are known."""
    seen, queue, is_complete = {root}, [root], True
    while queue:
        path = queue.pop()
        is_complete = is_complete and path in evidence.defined
        for row in evidence.audit.facts.dependencies.get(path, ()):
            if row.kind.is_audit or (row.target is None and row.kind.is_optional):
                continue  # it has a namespace of its own, or is not there
            if row.target is None:
                is_complete = False
            elif row.target not in seen:
                seen.add(row.target)
                queue.append(row.target)
    return seen, is_complete


def check_unused(evidence: Evidence) -> Iterator[Diagnostic]:
    """Needed libraries that the file uses nothing of.

    One that defines nothing works by being loaded; the parts of the C library cost nothing.
    """
    for file in evidence.libraries:
        wanted = {symbol.name for symbol in file.image.undefined}
        unused = tuple(
            row.name
            for row in evidence.audit.facts.dependencies.get(file.path, ())
            if row.target is not None
            and row.kind is LinkKind.NEEDED
            and not is_c_library(row.name)
            and not is_libpython(row.name)
            and evidence.defined.get(row.target)
            and wanted.isdisjoint(evidence.defined[row.target])
        )
        if unused:
            yield finding(
                "unused-library",
                file.label,
                f"needs libraries of which it uses no symbol: {listed(unused)}",
                ("each is searched for, and loaded, for nothing, unless loading it is what it is for",),
                ("link with -Wl,--as-needed before the names of the libraries",),
            )


def check_opened(evidence: Evidence) -> Iterator[Diagnostic]:
    """Libraries that are opened by name at run time, and are neither in the wheel nor promised by the policy.

    Where they are found on this machine, another need not have them. Those of drivers and displays come from the
    machine by their nature; what is only suggested, or opened where a failure is caught, may be missing; and what a
    file merely mentions may never be opened.
    """
    for opening in evidence.audit.openings or ():
        may_be_missing = opening.is_optional or opening.priority == "suggested"
        if not opening.is_by_name or may_be_missing or opening.confidence is Confidence.MENTIONED:
            continue
        is_host_only = any(host_only_reason(name) for name in opening.names)
        is_missing = opening.resolution.source in {Source.SYSTEM, Source.NOTHING}
        if (is_missing or opening.is_in_vain) and not is_host_only:
            place = "" if opening.line is None else f", line {opening.line}"
            why = (
                "which the wheel does not have and no policy promises"
                if is_missing
                else "which is found only if a file of the wheel has loaded it before"
            )
            yield finding(
                "dlopened-library-missing",
                opening.place,
                f"opens {' or '.join(opening.names)} at run time, {why}",
                (f"{opening.confidence.value} in {opening.place}{place}",),
                (
                    "let `deloc8 fixup --include` put it into the wheel",
                    "or ship it in the package and open it by a path beside `__file__`; else users must install it",
                ),
            )
