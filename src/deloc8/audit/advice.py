"""Advice by the code of a violation: the words of `check`, of a refusal by `fixup`, and of `why`, side by side.

Their words differ with the reader: `check` judges a finished wheel, `fixup` is at work on it, and `why` lists all ways
out.
"""

from __future__ import annotations

from deloc8.audit.loading import HEAP_INSTEAD
from deloc8.audit.violations import ViolationCode
from deloc8.policy.load import HINT_ON_GLIBC, is_of_glibc
from deloc8.policy.model import TOOLCHAIN_NAMESPACES, split_version
from deloc8.text import quoted
from deloc8.values import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.audit.violations import Violation

CXX_NAMESPACES = frozenset({"GLIBCXX", "CXXABI"})
"""The versions of libstdc++."""

MARKER = "marker-too-new"
"""The code of `check` for a version that is no release but a promise about the file, such as GLIBC_ABI_DT_RELR."""


class Advice(NamedTuple):
    """Advice on violations of one code.

    Attributes:
        check: For whoever has a finished wheel; empty where there is nothing to say.
        fixup: For whoever repairs it; ``{policy}`` is the name of the policy.
        why: Where an option or the build itself is the way out; empty where that takes more than the code to say.
    """

    check: str = ""
    fixup: str = ""
    why: str = ""


_OLDER_SYSTEM = "build on an older system, or claim the tag that `deloc8 show` tells"
_OLDER_IMAGE = "build on an older distribution, for example in a {policy} image"
_COPIED_IN = "`deloc8 fixup` copies it into the wheel; --exclude says that it comes otherwise"
_NOT_PACKED = "link with -Wl,-z,nopack-relative-relocs"

ADVICE = {
    ViolationCode.SYMBOL_TOO_NEW: Advice(check=_OLDER_SYSTEM, fixup=_OLDER_IMAGE),
    ViolationCode.RELEASE_TOO_NEW: Advice(check=_OLDER_SYSTEM, fixup=_OLDER_IMAGE),
    ViolationCode.LIBRARY_NOT_ALLOWED: Advice(check=_COPIED_IN),
    ViolationCode.LIBRARY_NOT_FOUND: Advice(
        check=_COPIED_IN,
        fixup="install the library, or name its folder with --add-path or LD_LIBRARY_PATH; if it is meant to come from "
        "elsewhere, leave it out with --exclude",
    ),
    ViolationCode.FORBIDDEN_SYMBOL: Advice(
        fixup="the symbol is private to some builds of that library: link the library statically, or graft it with "
        "--graft",
    ),
    ViolationCode.ISA_LEVEL: Advice(
        check="compile without -march, or pass --disable-isa-ext-check",
        fixup="build for the baseline (no -march above x86-64), or, if the code checks the processor itself before it "
        "uses the instructions, pass --disable-isa-ext-check",
        why="if the code checks the processor itself, pass --disable-isa-ext-check; else build without -march",
    ),
    ViolationCode.EXECUTED_STACK: Advice(
        fixup=f"{HEAP_INSTEAD}; for systems before glibc 2.41 alone, pass --keep-executable-stack",
        why=HEAP_INSTEAD,
    ),
    ViolationCode.RELR_WITHOUT_MARKER: Advice(
        check=f"{_NOT_PACKED}, or let `deloc8 fixup --lower-glibc` unpack them",
        fixup=_NOT_PACKED,
        why=_NOT_PACKED,
    ),
    ViolationCode.NEWER_LOADER: Advice(
        check="link it with another linker or without the option, or claim the tag that `deloc8 show` tells",
        fixup="link it with another linker, or with options that older releases of glibc know",
    ),
    ViolationCode.UCS2: Advice(fixup="build with a wide-unicode (UCS4) Python"),
    ViolationCode.PYFPE: Advice(fixup="build with a Python that was not configured with fpectl"),
}
"""The advice on each code; a code that is not here needs none, since a repair cures it."""

ADVICE_ON_MARKERS = "link with an older linker or with -Wl,-z,nopack-relative-relocs, or claim a newer tag"
"""Advice of `check` on a version that is no release."""

ADVICE_ON_CXX = Advice(
    fixup="the C++ runtime is newer than the tag promises: compile with an older gcc; or link it statically and hide "
    "its symbols (-static-libstdc++ -Wl,--exclude-libs,libstdc++.a); or put it into the wheel with "
    "--graft 'libstdc++.so.6' (and --lower-glibc, for what it asks of glibc itself), where it is a second C++ runtime "
    "in a process that has another",
)
"""The advice on symbols of libstdc++ that are too new."""

WAYS_WITH_CXX = (
    "link the C++ runtime statically (-static-libstdc++ -static-libgcc), with its symbols hidden",
    "graft it, with --graft 'libstdc++.so.6': it is a second one in a process that has the system's",
)
"""The ways out for such symbols, as `why` lists them."""

OTHER_PYTHON = "build with a Python of the other kind (wide unicode, without fpectl)"
"""The way out for symbols that only some builds of Python have, as `why` lists it."""


def is_of_cxx_runtime(violation: Violation) -> bool:
    """Whether a violation is about a symbol of libstdc++ that is too new."""
    is_symbol = violation.code is ViolationCode.SYMBOL_TOO_NEW
    return is_symbol and split_version(violation.version or "")[0] in CXX_NAMESPACES


def advice_for_repair(violation: Violation) -> str:
    """The advice of a refusal by `fixup` on one violation that nothing cures."""
    namespace, _ = split_version(violation.version or "")
    if is_of_cxx_runtime(violation):
        return ADVICE_ON_CXX.fixup
    if violation.code is ViolationCode.SYMBOL_TOO_NEW and namespace not in TOOLCHAIN_NAMESPACES:
        return f"put the newer {violation.library} into the wheel with --graft {quoted(violation.library or '')}"
    if violation.code is ViolationCode.FORBIDDEN_SYMBOL and is_of_glibc(violation.library):
        return HINT_ON_GLIBC
    return ADVICE[violation.code].fixup.format(policy=violation.policy)


def ways_by_code(blocking: Sequence[Violation]) -> tuple[str, ...]:
    """The ways out that the codes of some violations tell by themselves, the least effort first."""
    codes = {row.code for row in blocking}
    ways = [advice.why for code, advice in ADVICE.items() if code in codes and advice.why]
    return tuple(ways)
