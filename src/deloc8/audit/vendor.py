"""Absolute search folders that are there on purpose: libraries that the user leaves out are found by them."""

from __future__ import annotations

import posixpath

from deloc8.audit.layout import VIRTUAL_ROOT
from deloc8.audit.match import is_named
from deloc8.loader.search import Stage
from deloc8.loader.tokens import expand, folder_of, search_entries
from deloc8.patterns import pattern
from deloc8.values import NamedTuple, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deloc8.audit.facts import ElfFile, WheelFacts
    from deloc8.loader.sysroot import Files


class VendorFolder(NamedTuple):
    """A folder of the system in which libraries were found that come from elsewhere.

    Attributes:
        folder: The folder, absolute.
        libraries: Their needed names.
        fault: Why no wheel may name the folder all the same; empty where it may.
    """

    folder: str
    libraries: tuple[str, ...]
    fault: str


def vendor_folders(facts: WheelFacts, exclude: Sequence[str], files: Files) -> Mapping[str, Mapping[str, VendorFolder]]:
    """The folders by the path of the file whose search path names them, and by the entry.

    Args:
        facts: The facts of the wheel.
        exclude: The globs of the libraries that the user leaves out.
        files: The system on which they were found.
    """
    found: dict[str, dict[str, VendorFolder]] = {}
    for owner, libraries in _left_out(facts, exclude, files).items():
        file = facts.files[owner]
        for entry in search_entries(file.image):
            folder = _folder(entry, file, facts)
            names = libraries.get(files.real_path(folder) or "") if folder else None
            if folder and names:
                vendor = VendorFolder(folder, tuple(names), fault_of(folder, files))
                found.setdefault(owner, {})[entry] = vendor
    return found


def _left_out(facts: WheelFacts, exclude: Sequence[str], files: Files) -> Mapping[str, Mapping[str, dict[str, None]]]:
    """The libraries that the user leaves out, by the file that they were found by and their folder's real path."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for path, rows in facts.dependencies.items():
        for row in rows:
            lookup = row.lookup
            if lookup.path is None or not is_named(row, exclude):
                continue
            # Where LD_LIBRARY_PATH or an option led to it first, the file's own entry would have done so, too.
            owner = path
            if lookup.origin and lookup.origin.stage in {Stage.RPATH, Stage.RUNPATH}:
                owner = lookup.origin.owner or path
            folder = files.real_path(folder_of(lookup.path))
            if folder is not None:
                found.setdefault(owner, {}).setdefault(folder, {})[row.name] = None
    return found


def _folder(entry: str, file: ElfFile, facts: WheelFacts) -> str | None:
    """The folder of the system that an entry means; None where it is one of the environment, or none at all."""
    expanded = expand(entry, replace(facts.tokens, origin=folder_of(file.path)))
    if expanded is None or not expanded.startswith("/"):
        return None
    folder = f"/{expanded.strip('/')}"
    return None if f"{folder}/".startswith(VIRTUAL_ROOT + "/") else folder


# Folders that anybody may write to, or that belong to one user, or in which software is built: on another machine they
# are missing, or somebody else's.
_PASSING = pattern(r"/(tmp|var/tmp|dev|proc|sys|run|var/run|var/cache)/")
_HOME = pattern(
    r"/root/|(/[^/]+){0,2}/(home[0-9]*|Users)/|/var/lib/(jenkins|buildbot|gitlab-runner)/|/opt/actions-runner/"
)
# Where projects are mounted or checked out for a build: by cibuildwheel (/project, /host, /output), manylinux (/io),
# GitLab (/builds), GitHub (/__w, /github, /workspace), Codespaces (/workspaces), mock (/builddir) and cross (/target).
# Then the Pythons and compilers of images to build in.
_BUILD = pattern(
    r"/(build|builds|builddir|buildroot|project|projects|workspace|workspaces|work|__w|github|host|io|output|src|source|"
    r"sources|code|repo|checkout|target|wheelhouse|usr/src|usr/local/src|"
    r"opt/python|opt/_internal|opt/rh|opt/atlassian|opt/hostedtoolcache|__t)/"
)
# Folders that tools make for builds, wherever they are in a path.
_BUILD_PARTS = pattern(
    r"/(site-packages|dist-packages|_work|\.?venvs?|\.?virtualenvs?|\.tox|\.nox|\.pixi|\.pyenv|\.cache|\.local|\.cargo|"
    r"\.conan2?|conda-bld|envs|(mini|ana)?conda[0-9]?|(mini|mamba)forge[0-9]?|micromamba|build|builds|_build|build-[^/]*|"
    r"_skbuild|cmake-build-[^/]*|bazel-(out|bin)|vcpkg_installed|_h_env[^/]*|_build_env|_test_env[^/]*|pip-[a-z]+-[^/]*|"
    r"tmp[^/]*|jenkins)/"
)
# The file or folder that tells an environment of Python or conda by its prefix.
_ENVIRONMENT_MARKS = {"pyvenv.cfg": "a virtual environment", "conda-meta": "a conda environment"}


def fault_of(folder: str, files: Files) -> str:
    """Why no wheel may name an absolute folder; empty where it may."""
    real = files.real_path(folder) or folder
    # Where `..` is in it, text and truth may differ.
    for path in {posixpath.normpath(folder) + "/", (real if ".." in folder else folder) + "/"}:
        if _PASSING.match(path):
            return "anybody may write there, or it is gone at the next start"
        if _HOME.match(path):
            return "it belongs to a user of the build machine"
        if _BUILD.match(path) or _BUILD_PARTS.search(path):
            return "software is built there"
    place = folder
    while place.strip("/"):
        for mark, kind in _ENVIRONMENT_MARKS.items():
            if files.real_path(f"{place}/{mark}") is not None:
                return f"it belongs to {kind} of the build machine"
        place = posixpath.dirname(place)
    return ""
