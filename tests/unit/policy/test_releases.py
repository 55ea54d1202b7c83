from __future__ import annotations

import importlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.distributions import releases
from deloc8.policy.load import builtin_policies, find_policy, manylinux_policy
from deloc8.policy.model import number_key
from deloc8.policy.releases import BEHIND, PROJECTS, offered_release, promised_release, symbol_table
from deloc8.target import Arch, Libc

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = builtin_policies(Arch.X86_64, Libc.GLIBC)


def promised(name: str, project: str) -> str | None:
    return promised_release(find_policy(name, POLICIES, Arch.X86_64), project)


# -- the tables


@pytest.mark.parametrize("soname", PROJECTS)
def test_every_library_has_a_table_whose_releases_are_numbers(soname: str) -> None:
    table = symbol_table(soname)
    assert table.project == PROJECTS[soname]
    assert number_key(table.last)
    assert all(number_key(release) for release in table.since.values() if release)
    assert "" in table.since.values()


@pytest.mark.parametrize(
    ("soname", "symbol", "release"),
    [
        # "Since" of each project's own documentation.
        ("libglib-2.0.so.0", "g_source_set_static_name", "2.70"),
        ("libglib-2.0.so.0", "g_memdup2", "2.68"),
        ("libglib-2.0.so.0", "g_unix_open_pipe", "2.30"),
        ("libglib-2.0.so.0", "g_free", ""),
        ("libgobject-2.0.so.0", "g_clear_signal_handler", "2.62"),
        ("libgobject-2.0.so.0", "g_object_new", ""),
        ("libX11.so.6", "XSetIOErrorExitHandler", "1.7"),
        ("libX11.so.6", "XOpenDisplay", ""),
        ("libexpat.so.1", "XML_SetReparseDeferralEnabled", "2.6"),
        ("libz.so.1", "crc32_combine_op", "1.2.12"),
        ("libz.so.1", "inflateMark", "1.2.3.4"),
    ],
)
def test_symbols_came_with_the_release_that_their_projects_say(soname: str, symbol: str, release: str) -> None:
    assert symbol_table(soname).since[symbol] == release


def test_every_library_is_one_that_policies_take_from_the_system() -> None:
    newest = find_policy("manylinux_2_41", POLICIES, Arch.X86_64)
    assert all(newest.allows_library(name) for name in PROJECTS)
    assert all({name, *behind} <= PROJECTS.keys() for name, behind in BEHIND.items())


# -- what policies promise


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("manylinux_2_5", "2.12.3"),
        ("linux_pybe1_core", "2.12.3"),
        ("manylinux_2_12", "2.28.8"),
        ("manylinux_2_17", "2.56.1"),
        # Debian 9 had less, but who installs this tag also installs manylinux_2_17.
        ("manylinux_2_24", "2.56.1"),
        ("manylinux_2_28", "2.56.4"),
        ("manylinux_2_31", "2.64.2"),
        ("manylinux_2_33", "2.64.2"),
        ("manylinux_2_34", "2.68.4"),
        ("manylinux_2_35", "2.72.1"),
        ("manylinux_2_36", "2.74.6"),
        ("manylinux_2_39", "2.80.4"),
        ("manylinux_2_41", "2.84.4"),
        ("manylinux_2_99", "2.86.0"),
    ],
)
def test_a_policy_promises_the_glib_of_its_reference_system(name: str, release: str) -> None:
    assert promised(name, "glib") == release


def test_no_policy_promises_less_than_an_older_one() -> None:
    for project in set(PROJECTS.values()):
        releases = [promised_release(manylinux_policy(minor, Arch.X86_64), project) for minor in range(5, 50)]
        keys = [number_key(release or "0") for release in releases]
        assert keys == sorted(keys, key=lambda key: key or ((), ""))


def test_a_policy_that_promises_nothing_of_glibc_promises_no_release() -> None:
    assert promised("linux", "glib") is None
    some = find_policy("manylinux_2_17", POLICIES, Arch.X86_64)
    none = replace(some.ceilings["GLIBC"], maximum=None)
    assert promised_release(replace(some, ceilings={"GLIBC": none}), "glib") is None


def test_a_project_that_no_reference_system_is_told_of_is_promised_as_it_always_was() -> None:
    assert promised("manylinux_2_41", "libSM") == "0"


def test_the_table_of_releases_is_what_was_reviewed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(top / "tools"))
    tool = importlib.import_module("make_distros")
    reviewed = tool.tomllib.loads((top / "tools/library_releases.toml").read_text("utf-8"))
    carried = json.loads((top / "src/deloc8/policy/data/libraries.json").read_text("utf-8"))
    assert carried == {"promised": tool.promised(reviewed), "releases": tool.library_releases(reviewed)}


def test_releases_are_those_of_known_distributions(top: Path) -> None:
    """But CentOS 5, the reference of the oldest policy."""
    carried = json.loads((top / "src/deloc8/policy/data/libraries.json").read_text("utf-8"))
    assert carried["releases"].keys() - {release.name for release in releases()} == {"CentOS 5"}
    assert offered_release("Debian 11", "glib") == "2.66.8"
    assert offered_release("Debian 11", "libSM") == offered_release("Nowhere 1", "glib") == ""
