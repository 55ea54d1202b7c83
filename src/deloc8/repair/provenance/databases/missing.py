"""Which package of a distribution usually has a library that was not found."""

from __future__ import annotations

import re

from deloc8.patterns import pattern
from deloc8.repair.provenance.databases import apk, dpkg, rpm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.loader.sysroot import Sysroot

# Debian Policy, section 8.1: the version joins the name, with a hyphen where the name ends with a digit.
_SONAME = pattern(r"(.+?)(?:\.so\.([0-9][0-9A-Za-z.+]*)|-([0-9][0-9A-Za-z.+]*)\.so)")


def where_it_comes_from(soname: str, sysroot: Sysroot, *, bits: int) -> str | None:
    """How a library is had on a system, in a line; None where its package database does not tell.

    dpkg knows the files of what is installed, and Debian names the others by a rule. rpm and apk know libraries by
    their sonames, installed or not.

    Args:
        soname: The needed name.
        sysroot: The system.
        bits: 32 or 64, of the file that needs the library.
    """
    if not re.fullmatch(r"[0-9A-Za-z+._-]{1,255}", soname):  # what goes into a command line must mean nothing there
        return None
    if dpkg.lists(sysroot):
        return _debian(soname, dpkg.holders(soname, sysroot))
    if rpm.database(sysroot):
        mark = "()(64bit)" if bits == 64 else ""  # noqa: PLR2004  rpm's mark of 64-bit libraries
        return f"on this distribution `dnf install '{soname}{mark}'` (or zypper) installs the package that has {soname}"
    if apk.database(sysroot):
        return f"on this distribution `apk add so:{soname}` installs the package that has {soname}"
    return None


def _debian(soname: str, holders: Sequence[tuple[str, str]]) -> str | None:
    if holders:
        package, path = holders[0]
        return f"the installed package {package} has {path}, which was not searched or does not fit"
    match = _SONAME.fullmatch(soname)
    if match is None:
        return None
    name = match[1].lower().replace("_", "-")
    version = match[2] or match[3]
    joint = "-" if name[-1].isdigit() else ""
    return f"on this distribution the package that has {soname} is usually named {name}{joint}{version.lower()}"
