"""The documentation: its tutorial runs, its commands exist, and the site is built without a warning."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from deloc8.cli.args import build_parser
from deloc8.errors import UsageError
from kit.require import require

TOP = Path(__file__).resolve().parents[2]
PAGES = (TOP / "README.md", *sorted((TOP / "docs").rglob("*.md")))
_BLOCK = re.compile(r"^```(console|yaml|toml|sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"""(?:\$ |run: |["'])(deloc8 [a-z][^"\n]*(?:"[^"\n]*"[^"\n]*)*)""")
_OPTION = re.compile(r"`(?:(?:deloc8 )?(show|fixup|check|why|tree|policies) )?(--[a-z][a-z-]+)\b")
# Options of others, and of our tools, that the pages name.
_FOREIGN = frozenset({"--every", "--patcher", "--with-fpectl", "--page-size"})


def commands(text: str) -> list[str]:
    """The deloc8 commands of the fenced blocks of a page."""
    found = []
    for _, block in _BLOCK.findall(text):
        found += [match.group(1).strip().removesuffix('"') for match in _COMMAND.finditer(block)]
    return found


COMMANDS = [(page, command) for page in PAGES for command in commands(page.read_text("utf-8"))]


def matches(wanted: str, printed: str) -> bool:
    """Whether a text is what a page shows of it: `...` is anything in a line, and alone in a line any lines."""
    pattern = ""
    for line in wanted.splitlines():
        pattern += r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, printed) is not None


@pytest.mark.parametrize(
    ("wanted", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n...\nb\n", "a\nx\ny\nb\n", True),
        ("lib-....so\n", "lib-12.so\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nb\n", "a\nx\n", False),
        ("lib-....so\n", "lib-12\n.so\n", False),
    ],
)
def test_the_comparison_can_fail(wanted: str, printed: str, *, same: bool) -> None:
    assert matches(wanted, printed) is same


def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    require("cc", "gcc")
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        pytest.skip("the tutorial is for glibc on x86_64")
    (tmp_path / "examples").symlink_to(TOP / "examples")
    blocks = re.findall(
        r"^```console\n\$ ([^\n]*)\n(.*?)^```$",
        (TOP / "docs" / "tutorial.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert len(blocks) >= 6
    hidden = {"LD_LIBRARY_PATH", "AUDITWHEEL_PLAT", "DELOC8_PLAT", "AUDITWHEEL_LD_LIBRARY_PATH"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for line, wanted in blocks:
        ended = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}"
        assert matches(wanted, ended.stdout), f"{line}\nprinted\n{ended.stdout}\nnot\n{wanted}"


def test_there_are_commands_of_every_kind() -> None:
    assert {shlex.split(line)[1] for _, line in COMMANDS} >= {"show", "fixup", "check", "tree", "why"}
    for name in ("cibuildwheel", "github-actions", "cross-compilation", "conda", "cuda"):
        assert any(page.stem == name for page, _ in COMMANDS), f"{name} has no command"


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page.stem}-{line}" for page, line in COMMANDS])
def test_each_command_is_one(page: Path, line: str) -> None:
    assert page.is_file()
    build_parser().parse_args(shlex.split(line)[1:])


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(UsageError, match="lower-everything"):
        build_parser().parse_args(["fixup", "--lower-everything", "W.whl"])


def test_each_option_that_a_page_names_exists() -> None:
    sys.path.insert(0, str(TOP / "tools"))
    try:
        from docs_hooks import command_line_page  # noqa: PLC0415  tools/ is no package
    finally:
        sys.path.remove(str(TOP / "tools"))
    known = set(re.findall(r"--[a-z][a-z-]+", command_line_page())) | _FOREIGN
    named = {(page.name, option) for page in PAGES for _, option in _OPTION.findall(page.read_text("utf-8"))}
    assert {each for each in named if each[1] not in known} == set()


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("needs mkdocs and mkdocs-material (PyPI; the dependency group docs)")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=TOP,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "WARNING" not in ended.stdout
    site = tmp_path / "site"
    assert "--wheel-dir" in (site / "reference" / "command-line.html").read_text("utf-8")
    assert "manylinux_2_17" in (site / "reference" / "policies.html").read_text("utf-8")
    assert "audit_wheel" in (site / "reference" / "api.html").read_text("utf-8")
    assert "<svg" in (site / "explanation" / "loader.html").read_text("utf-8")


_PLACE = re.compile(r"`([\w./*-]+(?:\.(?:py|toml|json|md|txt)|/))`")
_TOPS = (TOP / "src" / "deloc8", TOP)


def test_each_file_that_the_design_names_exists() -> None:
    places = _PLACE.findall((TOP / "DESIGN.md").read_text("utf-8"))
    assert len(places) > 40
    absent = [place for place in places if not any(list(top.glob(place)) for top in _TOPS)]
    assert absent == []
