from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kit.elf import GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path


def on_a_terminal(*arguments: object, **environ: str) -> str:
    """What a command sends to a terminal of 80 columns."""
    reader, writer = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    command = [sys.executable, "-m", "deloc8", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=writer, stderr=subprocess.DEVNULL, env=env | {"COLUMNS": "80", "TERM": "xterm"} | environ
    )
    os.close(writer)
    shown = b""
    while True:
        try:
            shown += os.read(reader, 4096)
        except OSError:
            break
    os.close(reader)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


def test_policies_are_a_table() -> None:
    shown = on_a_terminal("policies", "--arch", "x86_64", NO_COLOR="1")
    assert "│ manylinux_2_17" in shown
    assert "│ manylinux2014" in shown
    assert "\x1b" not in shown


def test_libraries_and_barriers_are_tables(scene: Scene) -> None:
    needs = wants("GLIBC_2.14", needed=("libfoo.so.1", "[red]x.so"))
    files = {CORE: needs, **{f"demo/m{number}.so": needs for number in range(4)}}
    wheel = scene.wheel(files)
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root)
    assert "│ libfoo.so.1" in shown
    assert "│ [red]x.so" in shown
    assert "│ not found" in shown
    assert "what it does" in shown
    assert "and 2 more files (-v shows all)" in shown
    assert "more files" not in on_a_terminal("show", wheel, "--sysroot", scene.root, "-v")


def test_findings_are_coloured(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.27")}, tags=("cp311-cp311-manylinux_2_17_x86_64",))
    assert "\x1b[1;31m  error:" in on_a_terminal("check", wheel, "--sysroot", scene.root)
    assert "\x1b" not in on_a_terminal("check", wheel, "--sysroot", scene.root, "--color", "never")


def test_a_file_gets_plain_text(tmp_path: Path) -> None:
    assert on_a_terminal("policies", "-o", tmp_path / "out") == ""
    assert "│" not in (tmp_path / "out").read_text("utf-8")


def test_wheels_are_told_in_their_order(scene: Scene) -> None:
    pure = build_wheel(scene.root.parent, {"pure.py": b""}, name="pure", tags=("py3-none-any",))
    compiled = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})
    shown = on_a_terminal("show", "--allow-pure-python-wheel", pure, compiled, "--sysroot", scene.root, NO_COLOR="1")
    assert -1 < shown.index("pure-1.0") < shown.index("demo-1.0")
    assert "The following external shared libraries are required by the wheel:\n╭" in shown


def test_names_are_shown_escaped(scene: Scene) -> None:
    code = b"import ctypes\nctypes.CDLL('lib\\x1b[2J.so')\n"
    wheel = scene.wheel({CORE: wants("GLIBC_2.14", needed=("lib\x1b[2J\r.so.1",)), "demo/lib.py": code})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, NO_COLOR="1")
    assert r"lib\x1b[2J\r.so.1" in shown
    assert r"opens lib\x1b[2J.so" in shown
    assert "\x1b" not in shown


def test_what_is_opened_at_run_time_stands_last(scene: Scene) -> None:
    opener = b'import ctypes\nctypes.CDLL("libabsent.so.1")\n'
    wheel = scene.wheel({CORE: wants("GLIBC_2.14"), "demo/lib.py": opener})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, NO_COLOR="1")
    assert "demo/lib.py:2 opens libabsent.so.1 (called)" in shown
