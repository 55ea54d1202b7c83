from __future__ import annotations

import base64
import hashlib
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import AddNeeded, RemoveNeeded, RemoveRpath, ReplaceNeeded, SetRpath, SetSoname
from deloc8.report.graph import shorten
from deloc8.report.page import _needed_after, _path_after
from kit.command import Command
from kit.elf import ABI_TAG, GLIBC, ElfSpec, Undefined
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "input", "path", "rect", "link", "br"}
HOSTILE = "lib\n<script>document.title='owned'</script>\"'&\x1b[2J\u202e.so"
SHOWN = r"lib\n<script>document.title='owned'</script>\"'&\x1b[2J\u202e.so".replace('\\"', '"')


class Page(HTMLParser):
    """The elements, texts and attributes of a page; every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libdeep.so.2", wants("GLIBC_2.27", soname="libdeep.so.2"))
    needed = ("libdeep.so.2", "libfoo.so.1", "ld-linux-x86-64.so.2")
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.5", needed=needed, soname="libfoo.so.1"))
    return scene


@pytest.fixture
def wheel(scene: Scene) -> Path:
    more = ("libown.so", "libpython3.11.so.1.0", "libfoo.so.1")
    return scene.wheel(
        {
            CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",)),
            "demo/more.so": replace(
                wants(needed=more, rpath="$ORIGIN:/build"),
                undefined=(Undefined("own", "OWN_1", "libown.so"), Undefined("use0", "GLIBC_2.3", GLIBC)),
            ),
            "demo/libown.so": wants("GLIBC_2.3", soname="libown.so", needed=("libexcluded.so",)),
        },
        tags=("cp311-cp311-manylinux_2_12_x86_64",),
    )


def page(command: Command, scene: Scene, *arguments: str | Path) -> Page:
    text = command(*arguments, "--sysroot", scene.root, "--format", "html").out
    assert text.isascii()
    found = Page(text)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    for reference in (*found.values("aria-labelledby"), *" ".join(found.values("data-lit")).split()):
        assert reference in ids
    return found


def test_what_is_opened_at_run_time_is_told(command: Command, scene: Scene) -> None:
    code = f"import ctypes\nctypes.CDLL({HOSTILE!r})\n".encode()
    wheel = scene.wheel({CORE: wants("GLIBC_2.14"), "demo/lib.py": code})
    text = page(command, scene, "show", wheel).text
    assert f"{SHOWN} demo/lib.py:2 called not found" in text
    assert "What it opens at run time" not in page(command, scene, "show", wheel, "--no-dlopen").text


def test_the_page_needs_nothing_beside_it(command: Command, scene: Scene, wheel: Path) -> None:
    found = page(command, scene, "show", wheel)
    assert not {"link", "img", "iframe", "object", "form", "base"} & set(found.tags)
    assert found.values("src") == []
    assert all(value.startswith("#") for value in found.values("href"))
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]


def test_the_policy_allows_the_pages_own_style_and_script_only(command: Command, scene: Scene, wheel: Path) -> None:
    text = command("show", wheel, "--sysroot", scene.root, "--format", "html").out
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == parts["base-uri"] == parts["form-action"] == "'none'"
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts[directive] == f"'sha256-{digest}'"


def test_verdict_ladder_graph_and_symbols(command: Command, scene: Scene, wheel: Path) -> None:
    found = page(command, scene, "show", wheel, "--exclude", "libexcluded*")
    assert "As it stands, the wheel fits linux_x86_64 ." in found.text
    assert "It claims manylinux_2_12_x86_64 , which is not true: the compiled files need more." in found.text
    assert "deloc8 fixup can bring it to manylinux_2_27_x86_64 ." in found.text
    for text in ("fixup can reach it", "fits as it is", "barred", "manylinux2014_x86_64", "libdeep.so.2"):
        assert text in found.text
    assert found.tags.count("h1") == 1
    stories = found.values("data-story")
    assert f"{CORE} \u2192 libfoo.so.1 \u2192 libdeep.so.2 (fixup copies it into the wheel; " in "".join(stories)
    kinds = {value.removeprefix("node ") for value in found.values("class") if value.startswith("node ")}
    assert kinds == {"inside", "graft", "system", "excluded", "python"}
    assert "ld-linux-x86-64.so.2" not in found.text
    assert "OWN_1" not in found.text
    assert "barring" in found.values("class")
    assert "use0 GLIBC_2.27 libc.so.6 /usr/lib/libdeep.so.2" in found.text
    assert found.values("aria-live").count("polite") == 2


def test_hostile_names_are_text(command: Command, scene: Scene) -> None:
    core = ElfSpec(needed=(HOSTILE, GLIBC), undefined=(Undefined("<b>a</b>\r", "GLIBC_2.<i>", GLIBC),), rpath=HOSTILE)
    wheel = scene.wheel({'demo/"><script>1<.so': core})
    found = page(command, scene, "show", wheel)
    assert found.tags.count("script") == 1
    assert not {"b", "i"} & set(found.tags)
    assert SHOWN in found.text
    assert 'demo/"><script>1<.so' in found.text
    assert not {"\x1b", "\r", "\u202e"} & set("".join((*found.texts, *found.values("data-story"))))
    assert "not found" in found.text


def test_before_and_after_of_a_repair(command: Command, scene: Scene, wheel: Path) -> None:
    planned = page(command, scene, "fixup", "--dry-run", wheel, "--exclude", "libexcluded*")
    assert "The repair would bring it to manylinux_2_27_x86_64 ." in planned.text
    assert "Before and after a repair" in planned.text
    assert "Proven of the result" not in planned.text
    out = scene.folder / "out"
    done = page(command, scene, "fixup", wheel, "-w", out, "--exclude", "libexcluded*")
    (written,) = out.iterdir()
    assert "The repair brought it to manylinux_2_27_x86_64 ." in done.text
    assert str(written) in done.text
    assert hashlib.sha256(written.read_bytes()).hexdigest() in done.text
    assert "Proven of the result" in done.text
    assert "search path $ORIGIN:/build" in done.text
    assert "remove-needed name=libpython3.11.so.1.0" in done.text
    kept = page(command, scene, "fixup", "--dry-run", "--no-update-tags", wheel, "--exclude", "libexcluded*")
    assert "cp311-cp311-manylinux_2_12_x86_64" in kept.text


def test_files_that_move_are_told(command: Command, scene: Scene) -> None:
    program = wants(
        "GLIBC_2.5", needed=("libfoo.so.1",), type=2, interpreter="/lib64/ld-linux-x86-64.so.2", notes=(ABI_TAG,)
    )
    wheel = scene.wheel({"demo-1.0.data/scripts/run": program})
    assert "move to demo.scripts/run" in page(command, scene, "fixup", "--dry-run", wheel).text


def test_a_wheel_that_needs_nothing(command: Command, scene: Scene) -> None:
    wheel = scene.wheel({CORE: ElfSpec()})
    found = page(command, scene, "show", wheel)
    assert "As it stands, the wheel fits manylinux_2_5_x86_64 ." in found.text
    assert "It uses none." in found.text
    repaired = page(command, scene, "fixup", "--dry-run", wheel)
    assert "Edited files" not in repaired.text


def test_a_version_without_symbols_has_a_row(command: Command, scene: Scene) -> None:
    core = replace(wants(), undefined=(Undefined("", "GLIBC_2.5", GLIBC),))
    assert "GLIBC_2.5" in page(command, scene, "show", scene.wheel({CORE: core})).text


def test_several_wheels_pure_and_broken_ones(command: Command, scene: Scene, wheel: Path) -> None:
    pure = scene.wheel({"demo/a.py": b""}, tags=("py3-none-any",))
    broken = scene.folder / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    out = scene.folder / "out"
    for arguments in (("show",), ("fixup", "-w", out)):
        found = page(command, scene, *arguments, "--allow-pure-python-wheel", wheel, pure, broken)
        assert found.tags.count("article") == 3
        assert "No compiled files: it runs wherever Python does." in found.text
        assert "broken-1.0-py3-none-any.whl and 2 more" not in found.text
        assert "#w2" in found.values("href")


def test_a_file_is_written_on_request(command: Command, scene: Scene, wheel: Path) -> None:
    file = scene.folder / "page.html"
    result = command("show", wheel, "--sysroot", scene.root, "--format", "html", "-o", file)
    assert result.out == ""
    assert Page(file.read_text("ascii")).tags[0] == "html"


def test_without_jinja_nothing_is_done(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    out = scene.folder / "out"
    code, told, err = command("fixup", wheel, "--format", "html", "-w", out, "--sysroot", scene.root)
    assert (code, told) == (2, "")
    assert "[missing-extra]" in err
    assert "pip install 'deloc8[html]'" in err
    assert not out.exists()


def test_needed_names_and_search_path_after_some_edits() -> None:
    edits = (
        SetSoname(soname="x"),
        ReplaceNeeded(old="a", new="b"),
        RemoveNeeded(name="c"),
        AddNeeded(name="last"),
        AddNeeded(name="first", first=True),
    )
    assert _needed_after(("a", "c", "d"), edits) == ["first", "b", "d", "last"]
    assert _path_after("/old", edits) == "/old"
    assert _path_after("/old", (SetRpath(path="/new"),)) == "/new"
    assert _path_after("/old", (RemoveRpath(),)) is None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("short.so", "short.so"),
        ("a" * 31, "a" * 31),
        (
            "some/deep/folder/of/a/wheel/module.so",
            "\u2026deep/folder/of/a/wheel/module.so"[:1] + "eep/folder/of/a/wheel/module.so"[-30:],
        ),
        ("x/" + "a" * 40 + "b" * 15, "a" * 15 + "\u2026" + "b" * 15),
        ("a" * 40 + "/", "a" * 15 + "\u2026" + "a" * 14 + "/"),
    ],
)
def test_long_names_are_shortened(name: str, label: str) -> None:
    assert shorten(name) == label
    assert len(label) <= 31
