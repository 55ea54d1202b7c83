"""Statements of the wheel about itself, against each other.

They are its file name, WHEEL, METADATA, and the names of extension modules.
"""

from __future__ import annotations

from deloc8.checks.evidence import finding, listed
from deloc8.machines import SUFFIX_MACHINES
from deloc8.patterns import pattern
from deloc8.target import Libc
from deloc8.values import NamedTuple
from deloc8.wheel.names import normalize_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.checks.evidence import Evidence
    from deloc8.diagnostic import Diagnostic


def check_tags(evidence: Evidence) -> Iterator[Diagnostic]:
    """The tags of the file name against those of WHEEL."""
    name = evidence.audit.facts.name
    in_name, in_wheel = set(name.tags), set(evidence.wheel.tags)
    if in_name != in_wheel:
        context = []
        if in_name - in_wheel:
            context.append(f"only in the file name: {listed(tuple(sorted(in_name - in_wheel)))}")
        if in_wheel - in_name:
            context.append(f"only in WHEEL: {listed(tuple(sorted(in_wheel - in_name)))}")
        yield finding(
            "tags-differ",
            "WHEEL",
            "the file name and WHEEL have different tags",
            tuple(context),
            ("rename a wheel by `python -m wheel tags` or `deloc8 fixup`, which write both",),
        )


def check_identity(evidence: Evidence) -> Iterator[Diagnostic]:
    """Name and version of the file name against METADATA."""
    from packaging.version import Version  # noqa: PLC0415  costs 20 ms

    name, core = evidence.audit.facts.name, evidence.core
    if core is None:
        return
    is_same = name.version == core.version
    if not is_same:
        try:
            is_same = Version(name.version.replace("_", "-")) == Version(core.version)
        except ValueError:  # InvalidVersion is one, and so is a number of more digits than Python takes
            is_same = False
    if normalize_name(name.distribution) != normalize_name(core.name) or not is_same:
        yield finding(
            "metadata-mismatch",
            "METADATA",
            "the file name and METADATA tell different projects or versions",
            (f"file name: {name.distribution} {name.version}", f"METADATA: {core.name} {core.version}"),
            ("build the wheel again: the file name comes from the metadata",),
        )


def check_purelib(evidence: Evidence) -> Iterator[Diagnostic]:
    """Whether a wheel with compiled files says that it has none."""
    root = [file.label for file in evidence.audit.facts.own if ".data/" not in file.label]
    if root and evidence.wheel.root_is_purelib:
        yield finding(
            "root-is-purelib",
            "WHEEL",
            "says `Root-Is-Purelib: true`, but the wheel has compiled files",
            (f"{root[0]} is one",),
            ("the build must know of its extension modules: with setuptools, by `has_ext_modules`",),
        )


class _Module(NamedTuple):
    """An extension module by its file name.

    Attributes:
        stem: The member without its suffix.
        kind: ``cpython-312``, ``abi3``, ``abi3t``; empty where the suffix is plain.
        place: Such as ``x86_64-linux-gnu``; empty where the suffix does not say.
        member: The member.
    """

    stem: str
    kind: str
    place: str
    member: str


# importlib.machinery.EXTENSION_SUFFIXES of CPython, and those of PyPy, which are not judged.
_SUFFIX = pattern(r"(.+?)\.(cpython-[0-9]+[a-z]*|abi3t?)(?:-([a-z0-9_]+-[a-z]+-[a-z0-9]+))?\.so")
_CPYTHON_TAG = pattern(r"(cp[0-9]+)([a-z]*)")


def _modules(evidence: Evidence) -> Iterator[_Module]:
    for file in evidence.libraries:
        match = _SUFFIX.fullmatch(file.label)
        if match:
            yield _Module(match[1], match[2], match[3] or "", file.label)
        elif file.label.endswith(".so"):
            yield _Module(file.label.removesuffix(".so"), "", "", file.label)


def check_suffixes(evidence: Evidence) -> Iterator[Diagnostic]:
    """Whether each Python that the tags name finds every extension module."""
    builds: dict[str, list[_Module]] = {}
    for module in _modules(evidence):
        builds.setdefault(module.stem, []).append(module)
    name = evidence.audit.facts.name
    pairs = [(python, abi) for python in name.pythons for abi in name.abis]
    for modules in builds.values():
        kinds = {module.kind for module in modules}
        refused = [f"{python}-{abi}" for python, abi in pairs if not _finds(python, abi, kinds)]
        if refused:
            yield finding(
                "suffix-python",
                modules[0].member,
                f"is not found by every Python that the tags name: {listed(tuple(refused))}",
                (f"its suffix is for {' and '.join(sorted(kinds))}",),
                ("build the module for the Python of the tag, or give the wheel the tag of its module",),
            )


def _finds(python: str, abi: str, kinds: set[str]) -> bool:
    """Whether an interpreter imports one of the builds of a module; True where nothing can be said."""
    if "" in kinds:
        return True
    if abi == "abi3":
        return bool({"abi3", "abi3t"} & kinds)
    if abi == "abi3t":
        return "abi3t" in kinds
    match = _CPYTHON_TAG.fullmatch(python if abi == "none" else abi)
    if match is None:
        # One module for each of many versions is deliberate: `py3` stands for those. Other interpreters are not judged.
        return abi != "none" or bool({"abi3", "abi3t"} & kinds) or len(kinds) > 1
    if match[1] != python:
        return True  # no interpreter has this pair: two lists of tags make all pairs of their members
    version, flags = match[1].removeprefix("cp"), match[2]
    return f"cpython-{version}{flags}" in kinds or "abi3t" in kinds or ("abi3" in kinds and "t" not in flags)


def check_triplets(evidence: Evidence) -> Iterator[Diagnostic]:
    """The machine and the C library in the suffixes of extension modules against the binaries."""
    facts = evidence.audit.facts
    for module in _modules(evidence):
        machine, _, system = module.place.partition("-")
        if SUFFIX_MACHINES.get(machine, facts.arch) is not facts.arch:
            yield finding(
                "suffix-machine",
                module.member,
                f"is for {facts.arch.value if facts.arch else 'an unknown machine'}, its suffix is for {machine}",
                ("Python on its machine does not find it",),
                ("where the build is a cross compilation, set the suffix of the target (_PYTHON_SYSCONFIGDATA_NAME)",),
            )
        # The other way round is right: Python on musl had the suffix `gnu` for years.
        if system.startswith("linux-musl") and facts.libc is Libc.GLIBC:
            yield finding(
                "suffix-libc",
                module.member,
                "was linked against glibc, its suffix is for musl",
                ("Python on glibc does not find it",),
                ("build the module with the Python of the target system",),
            )
