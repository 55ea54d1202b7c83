"""No line is forged: whatever the names are, the lines are ours, and no service takes one for a command.

Every name of one scene is hostile at once. The same scene with harmless names says how many lines there are to be.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deloc8.cli import main
from kit.forged import EVIL, Case, benign, cases
from kit.runners import read_lines, taken_by

if TYPE_CHECKING:
    from collections.abc import Iterator

# Longer than a line: every such word has one to itself, in whatever spelling.
PAD = "Z" * 71
LONGEST = 220  # bytes; a name of a file has at most 255

MARKS = ["::error::", "::", "##[", "##vso[x]", "##teamcity[x]", "+++", "[/]", '"', "'", "%0A"]
CONTROLS = ["\n", "\r", "\r\n", "\x85", "\u2028", "\x1b[2J", "\t", "\x7f", "\x9b"]
UNSEEN = ["\u202e", "\u200b", "\ufe0f", "\xad", "\u3000", "\xa0", "\ue000", "\udcff"]
PIECES = st.sampled_from([*MARKS, *CONTROLS, *UNSEEN])
WORDS = st.lists(PIECES | st.text(max_size=2), min_size=1, max_size=3).map("".join)


def padded(text: str) -> str:
    return " ".join(word + PAD for word in text.split(" "))


def fits(text: str) -> bool:
    """Whether the text can be a part of the name of a file, and of an argument that is no option."""
    halves = any(0xD800 <= ord(char) < 0xDC80 or 0xDCFF < ord(char) < 0xE000 for char in text)
    if halves or "\0" in text or text.startswith(("-", "@")):
        return False
    return len(text.encode("utf-8", "surrogateescape")) <= LONGEST


NAMES = st.lists(WORDS, min_size=1, max_size=2).map(" ".join).map(padded).filter(fits)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Stream(io.TextIOWrapper):
    def __init__(self, *, is_terminal: bool) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode()


def run(case: Case, *, is_terminal: bool = False) -> Ended:
    out, err = Stream(is_terminal=is_terminal), Stream(is_terminal=False)
    kept, folder = dict(os.environ), Path.cwd()
    os.environ.update({"COLUMNS": "60", **case.environ})
    os.chdir(case.cwd or folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(case.words))
        return Ended(code, out.text(), err.text())
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(kept)


@contextlib.contextmanager
def scenes(evil: str) -> Iterator[tuple[list[Case], list[Case]]]:
    """The commands on a scene with hostile names, and those on the same scene with harmless ones."""
    top = Path(tempfile.mkdtemp())
    try:
        yield cases(top / "a", evil), cases(top / "b", benign(evil))
    finally:
        shutil.rmtree(os.fsencode(top))


def assert_harmless(lines: list[str], what: str) -> None:
    for line in lines:
        assert line.isprintable(), (what, line)
        assert taken_by(line) == [], (what, line)
        assert not line.lstrip().startswith("FORGED"), (what, line)


# A command of ours, as actions/toolkit writes them: no property has a colon or a comma.
ANNOTATION = re.compile(r"::(?:error|warning|notice) file=([^:,]*),title=([^:,]*)::(.*)")


def unescaped(text: str) -> str:
    """As the runner does it (ActionCommand.cs)."""
    for escape, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, char)
    return text


def assert_annotations(lines: list[str], what: str) -> None:
    """Every line is one command of ours, and what is shown of it is harmless, too."""
    for line in lines[:-1]:
        found = ANNOTATION.fullmatch(line)
        assert found, (what, line)
        assert_harmless([unescaped(found[1]), unescaped(found[2]), *unescaped(found[3]).split("\n")], what)
    assert lines[-1] == ""


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(NAMES)
@example(padded(EVIL["a command behind a line end"]))
@example(padded(EVIL["an old command behind both"]))
@example(padded(EVIL["a command behind a blank"]))
@example(padded(EVIL["escapes of a terminal"]))
def test_the_lines_of_an_output_do_not_depend_on_names(evil: str) -> None:
    with scenes(evil) as (hostile, harmless):
        for case, other in zip(hostile, harmless, strict=True):
            ended, expected = run(case), run(other)
            out, err = read_lines(ended.out), read_lines(ended.err)
            if "github" in case.name:
                assert_annotations(out, case.name)
            else:
                assert_harmless(out, case.name)
            assert_harmless(err, case.name)
            wanted = (expected.code, expected.out.count("\n"), expected.err.count("\n"))
            assert (ended.code, len(out) - 1, len(err) - 1) == wanted, (case.name, ended, expected)


DRAWN = {"show text", "check text", "tree text", "fixup --dry-run text", "fixup -v", "fixup --lower-glibc --dry-run"}
DRAWN |= {"why of a library text", "why of a symbol text", "why of a tag text"}
SGR = re.compile(r"\x1b\[[\d;]*m")


@pytest.mark.parametrize("what", EVIL)
def test_a_terminal_shows_names_in_tables_and_obeys_none(what: str) -> None:
    with scenes(EVIL[what]) as (hostile, _):
        shown = [case for case in hostile if case.name in DRAWN]
        assert len(shown) == len(DRAWN)
        for case in shown:
            ended = run(case, is_terminal=True)
            assert_harmless(SGR.sub("", ended.out).split("\n"), case.name)
            assert_harmless(ended.err.split("\n"), case.name)


def written(cases_of_a_scene: list[Case]) -> dict[str, bytes]:
    """The texts in a repaired wheel by the ends of their names."""
    (case,) = [case for case in cases_of_a_scene if case.name == "fixup text"]
    ended = run(case)
    assert ended.code == 0, ended
    (wheel,) = Path(case.words[case.words.index("-w") + 1]).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" in name and "licenses" not in name]
        return {name.rpartition("/")[2]: archive.read(name) for name in names}


@pytest.mark.parametrize("what", [what for what in EVIL if what != "what is no text"])
def test_the_texts_in_a_repaired_wheel_have_as_many_lines_as_ever(what: str) -> None:
    with scenes(EVIL[what]) as (hostile, harmless):
        texts, expected = written(hostile), written(harmless)
    assert texts.keys() == expected.keys() == {"METADATA", "WHEEL", "RECORD", "deloc8.cdx.json"}
    for name, text in texts.items():
        assert len(re.split(rb"\r\n|\r|\n", text)) == len(expected[name].split(b"\n")), name
    assert_harmless(texts["deloc8.cdx.json"].decode().split("\n"), what)
    json.loads(texts["deloc8.cdx.json"])


@pytest.mark.parametrize("what", EVIL)
def test_json_gives_names_as_they_are(what: str) -> None:
    with scenes(EVIL[what]) as (hostile, _):
        (case,) = [case for case in hostile if case.name == "show json"]
        (wheel,) = json.loads(run(case).out)["wheels"]
    name = EVIL[what].replace("/", "|")
    assert f"libneed{name}.so.1" in wheel["external_libraries"]
    assert f"libgraft{name}.so.2" in wheel["external_libraries"]


def test_a_file_of_an_output_is_what_would_be_printed() -> None:
    with scenes(EVIL["a command behind a line end"]) as (hostile, _):
        for case in hostile:
            if case.name in {"show text", "check text", "check json", "tree text", "why of a symbol text"}:
                file = Path(tempfile.mkdtemp()) / "output"
                printed = run(case)
                words = (case.words[0], "-o", str(file), *case.words[1:])
                assert run(case._replace(words=words)).out == ""
                assert file.read_text("utf-8") == printed.out
                shutil.rmtree(file.parent)
