"""The tables of the releases that brought symbols, against Debian's lists and the libraries themselves."""

from __future__ import annotations

import fcntl
import functools
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from deloc8.policy.model import number_key
from deloc8.policy.releases import PROJECTS, symbol_table
from kit.distribution import cache_folder, mirror
from kit.glibc import lowering_tool
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

SUITES = ("bullseye", "bookworm", "trixie")

# Debian's own security update brought it to a release that is older than the symbol.
BACKPORTED = {("bookworm", "XML_SetReparseDeferralEnabled")}


@functools.cache
def packages() -> Path:
    """The folder of the unpacked packages, fetched once and kept in the user's cache."""
    tool = lowering_tool("make_symbols")
    for program in ("apt-get", "dpkg-deb"):
        require(program, "Debian")
    cache = cache_folder() / "glibc"
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            for project in dict.fromkeys(PROJECTS.values()):
                for suite in tool.SUITES:
                    tool.fetch(suite, project, cache, mirror())
        except (subprocess.CalledProcessError, ValueError) as error:
            pytest.skip(f"apt can fetch no package of the libraries: {error}")
    return cache


@functools.cache
def defined(suite: str, soname: str) -> frozenset[str]:
    """The symbols that a library of a release of Debian defines, as readelf tells them."""
    folder = packages() / f"{suite}-{PROJECTS[soname]}"
    command = [require("readelf", "Debian: binutils"), "--wide", "--dyn-syms", str(next(folder.rglob(soname)))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines if line.split()[:1] and line.split()[0].rstrip(":").isdigit()]
    return frozenset(row[7].partition("@")[0] for row in rows if len(row) > 7 and row[6] not in {"UND", "ABS"})


@functools.cache
def release(suite: str, project: str) -> str:
    """The release of a project that a release of Debian has."""
    tool: Any = lowering_tool("make_symbols")
    return str(tool.release_of(project, "", tool.package_version(packages() / f"{suite}-{project}")) or "0")


@pytest.mark.parametrize("soname", PROJECTS)
def test_the_tool_makes_the_table_that_is_carried(soname: str, top: Path) -> None:
    carried = (top / "src/deloc8/policy/data/symbols" / f"{soname}.json").read_text("utf-8")
    made = lowering_tool("make_symbols").table(soname, packages())
    if json.loads(made)["last"] != json.loads(carried)["last"]:
        pytest.skip(f"the last release of Debian has {json.loads(made)['last']} by now")
    assert made == carried


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("soname", PROJECTS)
def test_no_release_has_a_symbol_before_the_table_says_so(soname: str, suite: str) -> None:
    has = number_key(release(suite, PROJECTS[soname]))
    since = symbol_table(soname).since
    early = [
        symbol
        for symbol in defined(suite, soname) & since.keys()
        if (number_key(since[symbol]) or has) > has and (suite, symbol) not in BACKPORTED  # type: ignore[operator]
    ]
    assert early == []


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("soname", PROJECTS)
def test_every_release_has_the_symbols_that_the_table_gives_it(soname: str, suite: str) -> None:
    """But those that a later release of the library took away, and those of private use that came and went."""
    has = number_key(release(suite, PROJECTS[soname]))
    since = symbol_table(soname).since
    given = {symbol for symbol, first in since.items() if first and number_key(first) <= has}  # type: ignore[operator]
    missing = given - defined(suite, soname)
    earlier = frozenset().union(*(defined(older, soname) for older in SUITES[: SUITES.index(suite)]))
    assert {symbol for symbol in missing if not symbol.startswith("_")} <= earlier


def test_versions_of_packages_become_those_of_projects() -> None:
    tool: Any = lowering_tool("make_symbols")
    versions = {
        "2:1.2.99.901": "1.3",
        "2:1.7.0": "1.7.0",
        "1:1.3.dfsg+really1.3.2-3": "1.3.2",
        "1:1.2.13.dfsg": "1.2.13",
        "2.1~beta3": "2.1",
        "2.68.0+git20210214": "2.68.0",
        "2.84.4-3~deb13u5": "2.84.4",
        "0": "",
    }
    assert {version: tool.upstream(version) for version in versions} == versions
    assert [tool.stable_glib(number) for number in ("2.81.1", "2.80.0", "2")] == ["2.82", "2.80.0", "2"]
    assert tool.release_of("zlib", "ZLIB_1.2.9", "1:1.2.11.dfsg") == "1.2.9"
    assert tool.release_of("glib", "Base", "2.12.0") == ""
