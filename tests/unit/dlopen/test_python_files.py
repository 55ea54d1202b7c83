"""The Python files that may open libraries."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deloc8.dlopen import python_files as sources
from deloc8.dlopen.python_files import read_sources, word_finder
from deloc8.wheel.archive import open_wheel
from kit.elf import ElfSpec, build_elf
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (b"ctypes", b"dlopen")
LARGE = 1 << 30
# Pieces that words are made of, so that some texts have one, some nearly, and some across a NUL.
TEXTS = st.lists(st.sampled_from([b"ctypes", b"ctype", b"s", b"dlopen", b"dlope", b"n", b"\0", b"\xff", b"c"])).map(
    b"".join
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@given(TEXTS, st.sampled_from([0, LARGE]), st.sampled_from([bytes, bytearray]))
@example(b"", LARGE, bytearray)
@example(b"a\0ctypes", LARGE, bytearray)
@example(b"ctypes", LARGE, bytes)
def test_a_word_is_found_wherever_it_stands(text: bytes, size: int, kind: type[bytes | bytearray]) -> None:
    assert word_finder(WORDS, size)(kind(text)) == (b"ctypes" in text or b"dlopen" in text)


def test_the_c_library_stops_at_the_end_of_the_text() -> None:
    # What was there before the text became shorter must not be found.
    text = bytearray(b"x = 1\n" + b"import ctypes")
    del text[6:]
    assert not word_finder(WORDS, LARGE)(text)


def test_the_c_library_looks_in_large_wheels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Library:
        def __init__(self, _: None) -> None:
            def strstr(*_: object) -> None:
                calls.append("strstr")

            self.strstr = strstr

    monkeypatch.setattr(ctypes, "PyDLL", Library)
    assert word_finder(WORDS, 1000)(b"ctypes")
    assert not calls
    assert not word_finder(WORDS, LARGE)(b"ctypes")
    assert calls == ["strstr", "strstr"]


@pytest.mark.parametrize("fault", [OSError, AttributeError, TypeError])
def test_without_the_c_library_the_interpreter_looks(monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> None:
    def fail(_: None) -> None:
        raise fault

    monkeypatch.setattr(ctypes, "PyDLL", fail)
    assert word_finder(WORDS, LARGE)(bytearray(b"a ctypes b"))


def test_other_interpreters_look_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "sys", SimpleNamespace(implementation=SimpleNamespace(name="pypy")))
    monkeypatch.setattr(ctypes, "PyDLL", None)
    assert sys.implementation.name == "cpython"
    assert word_finder(WORDS, LARGE)(bytearray(b"a ctypes b"))


@pytest.mark.parametrize("many", [0, LARGE])
def test_what_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(sources, "_MANY", many)
    members: dict[str, ElfSpec | bytes] = {
        CORE: wants("GLIBC_2.5"),
        "demo/opens.py": b"import ctypes\nctypes.CDLL('liba.so')\n",
        "demo/plain.py": b"a = 1\n",
        "demo/empty.py": b"",
        "demo/imports.py": b"import ctypes\n",
        "demo/really.py": build_elf(wants("GLIBC_2.5")),
        "demo/tiny.py": b"\x7fEL",
        "demo/text.txt": b"import ctypes\nctypes.CDLL('liba.so')\n",
    }
    with open_wheel(scene.wheel(members)) as archive:
        found = read_sources(archive)
        assert found.archive is archive
    assert [member.name for member in found.openers] == ["demo/opens.py"]
    assert "demo/really.py" not in found.harmless
    assert {f"demo/{name}.py" for name in ("opens", "plain", "empty", "imports", "tiny")} <= found.harmless
    assert all(name.endswith(".py") for name in found.harmless)


def test_an_elf_file_with_the_name_of_a_python_file_is_audited(scene: Scene) -> None:
    audit = scene.audit({"demo/really.py": wants("GLIBC_2.5"), "demo/plain.py": b"a = 1\n"})
    assert [file.label for file in audit.facts.own] == ["demo/really.py"]
    assert audit.openings == ()
