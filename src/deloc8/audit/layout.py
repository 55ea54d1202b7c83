"""Where an installer puts the files of a wheel: an environment as `venv` makes it and pip fills it."""

from __future__ import annotations

from deloc8.loader.folders import FolderTree, ancestors, folders_of
from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deloc8.wheel.names import WheelName

# The loader simulation sees the installed wheel below a folder that no system has. A wheel may be for many Pythons,
# whose folders have different names at one depth: `pythonX.Y` stands for all of them.
VIRTUAL_ROOT = "/.wheel"
_PYTHON = VIRTUAL_ROOT + "/lib/pythonX.Y"
SITE_PACKAGES = _PYTHON + "/site-packages"

# What `python -m venv` makes on Linux before anything is installed. Its lib64 is a symbolic link, so that on Fedora,
# too, where platlib is below lib64, everything is in one tree.
_MADE = (SITE_PACKAGES, VIRTUAL_ROOT + "/bin", VIRTUAL_ROOT + "/include")
_LINKS = {VIRTUAL_ROOT + "/lib64": VIRTUAL_ROOT + "/lib"}
_SCHEMES = {
    "purelib": SITE_PACKAGES,
    "platlib": SITE_PACKAGES,
    "scripts": VIRTUAL_ROOT + "/bin",
    "data": VIRTUAL_ROOT,
}


def install_path(member: str, data_folder: str, links: Mapping[str, str] = _LINKS) -> str:
    """Where an installer puts a member, below VIRTUAL_ROOT (PEP 427, "The .data directory").

    Args:
        member: Its name in the archive.
        data_folder: The name of the wheel's data folder.
        links: The symbolic links of the environment, by their paths.
    """
    if not member.startswith(data_folder + "/"):
        return f"{SITE_PACKAGES}/{member}"
    scheme, _, rest = member[len(data_folder) + 1 :].partition("/")
    if scheme == "headers":
        return f"{VIRTUAL_ROOT}/include/site/pythonX.Y/{data_folder.rpartition('-')[0]}/{rest}"
    if scheme not in _SCHEMES:
        return f"{SITE_PACKAGES}/{member}"
    path = f"{_SCHEMES[scheme]}/{rest}"
    for link, target in links.items():
        if path.startswith(link + "/"):
            path = target + path[len(link) :]
    return path


def links_for(name: WheelName) -> Mapping[str, str]:
    """The symbolic links of an environment for a wheel.

    The folder of its Python's own name is one of them, where the wheel is for one Python alone.
    """
    python = python_folder(name)
    return {**_LINKS, f"{VIRTUAL_ROOT}/lib/{python}": _PYTHON} if python else _LINKS


def environment_of(members: Iterable[str], links: Mapping[str, str]) -> FolderTree:
    """The folders of an environment with only one wheel in it, whose members are given by their installed paths."""
    return FolderTree(top=VIRTUAL_ROOT, folders=folders_of(members) | ancestors(_MADE), links=links)


_EXACT_TAG = pattern(r"(cp|pp)([23])(\d+)")
_NAMES = {"cp": "python", "pp": "pypy"}


def python_folder(name: WheelName) -> str | None:
    """The folder in `lib` of the only Python that a wheel is for, such as ``python3.11``; None where there are more.

    The free-threaded build has one of its own: ``python3.13t``.
    """
    if len(name.pythons) != 1 or len(name.abis) != 1 or name.abis[0].startswith("abi3"):
        return None
    tag = _EXACT_TAG.fullmatch(name.pythons[0])
    if tag is None:
        return None
    kind, major, minor = tag.groups()
    abi = name.abis[0].removeprefix(name.pythons[0])
    is_free_threaded = kind == "cp" and abi.startswith("t")
    return f"{_NAMES[kind]}{major}.{minor}{'t' if is_free_threaded else ''}"
