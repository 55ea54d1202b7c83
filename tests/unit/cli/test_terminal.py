from __future__ import annotations

import itertools
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kit.elf import GLIBC, ElfSpec, Undefined
from kit.scene import CORE, Scene, wants
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path


def on_a_terminal(
    *arguments: object, start: tuple[str, ...] = ("-m", "deloc8"), errors: bool = False, **environ: str
) -> str:
    """What a command sends to a terminal of 80 columns; with `errors` its stderr too."""
    reader, writer = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    command = [sys.executable, *start, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=writer,
        stderr=writer if errors else subprocess.DEVNULL,
        env=env | {"COLUMNS": "80", "TERM": "xterm"} | environ,
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


def rows_of(shown: str, *heads: str) -> list[tuple[str, ...]]:
    """The rows of the first table with these columns, a row for each line."""
    lines = iter(shown.splitlines())
    next(line for line in lines if _cells(line) == heads)
    next(lines)
    return [_cells(line) for line in itertools.takewhile(lambda line: not line.startswith("╰"), lines)]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip("│├┤").replace("┼", "│").split("│"))


def test_several_wheels_are_drawn_in_their_order(scene: Scene) -> None:
    wheels = [scene.wheel({CORE: wants("GLIBC_2.14")}, name=f"demo{number}") for number in range(4)]
    shown = on_a_terminal("show", *wheels, "--sysroot", scene.root, "-j2")
    assert shown == "".join(on_a_terminal("show", wheel, "--sysroot", scene.root) for wheel in wheels)
    assert shown.count("╭") >= 4


def test_libraries_and_barriers_are_tables(scene: Scene) -> None:
    needs = wants("GLIBC_2.14", needed=("libfoo.so.1", "[red]x.so"))
    files = {CORE: needs, **{f"demo/m{number}.so": needs for number in range(4)}}
    wheel = scene.wheel(files)
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root)
    assert "are required by the wheel:\n╭" in shown
    assert "│ libfoo.so.1" in shown
    assert "│ [red]x.so" in shown
    assert "\x1b[31mnot found" in shown
    assert "what it does" in shown
    assert "and 2 more files (-v shows all)" in shown
    assert "more files" not in on_a_terminal("show", wheel, "--sysroot", scene.root, "-v")


def test_a_barrier_tells_symbol_version_library_and_user(scene: Scene) -> None:
    two = wants("GLIBC_2.29", "GLIBC_2.29", "GLIBC_2.14")
    wheel = scene.wheel({CORE: two, "demo/m.so": wants("GLIBC_2.29")})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, NO_COLOR="1")
    rows = rows_of(shown, "symbol", "version", "library", "used by")
    assert rows[0] == ("use1", "GLIBC_2.29", "libc.so.6", CORE)
    assert rows[2:] == [("use0", "GLIBC_2.29", "libc.so.6", CORE), ("", "", "", "demo/m.so")]


def test_where_it_runs_is_a_table(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.29")})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, NO_COLOR="1", COLUMNS="200")
    rows = {name: rest for name, *rest in rows_of(shown, "distribution", "it runs on", "and before that")}
    assert rows["Debian"] == ["11 and newer", "not 10: use0@GLIBC_2.29 from libc.so.6, used by demo/_core.so"]
    assert rows["Ubuntu"] == ["20.04 and newer", "not 18.04, for the same reason"]
    assert rows["RHEL (AlmaLinux, Rocky Linux, Oracle Linux alike)"][0] == "9 and newer"
    assert "Of all releases" not in shown


@pytest.mark.parametrize("columns", ["1", "-5", "0", "x", "100000000", "9" * 5000])
def test_a_terminal_of_no_width_and_of_any_shows_the_answer(scene: Scene, columns: str) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.29")})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, NO_COLOR="1", COLUMNS=columns)
    assert "Debian" in shown
    assert len(shown) < 1 << 16


def test_every_release_is_told_where_all_is_asked_for(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.99")})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, "-v")
    assert "\x1b[31mnone" in shown
    assert "\x1b[31mno, use0@GLIBC_2.99" in shown
    wheel = scene.wheel({CORE: wants("GLIBC_2.35", "GLIBC_ABI_DT_RELR")})
    shown = on_a_terminal("show", wheel, "--sysroot", scene.root, "-v", COLUMNS="120")
    assert "\x1b[32myes" in shown
    assert "\x1b[33munknown, " in shown
    assert "supported until 20" in shown


def test_why_shows_who_asks_in_tables(scene: Scene) -> None:
    libraries = wants("GLIBC_2.29", needed=("libfoo.so.1", "libno.so.1"))
    wheel = scene.wheel({CORE: libraries, "demo/m.so": libraries})
    asked = ("why", wheel, "--sysroot", scene.root)
    symbols = on_a_terminal(*asked, "use0", NO_COLOR="1")
    assert rows_of(symbols, "symbol", "version", "library", "used by")[0] == ("use0", "GLIBC_2.29", "libc.so.6", CORE)
    assert "Ways out, the least effort first:\n\n  1. " in symbols
    named = on_a_terminal(*asked, "lib*.so.1", NO_COLOR="1", COLUMNS="200")
    found = str(scene.root / "usr/lib/libfoo.so.1").removeprefix(str(scene.root))
    assert rows_of(named, "library", "where it is", "needed by") == [
        ("libfoo.so.1", found, CORE),
        ("", "", "demo/m.so"),
        ("─" * 13, "─" * (len(found) + 2), "─" * 15),
        ("libno.so.1", "not found", CORE),
        ("", "", "demo/m.so"),
    ]
    tag = on_a_terminal(*asked, "manylinux_2_17", NO_COLOR="1")
    assert rows_of(tag, "symbol", "version", "library", "used by")[0] == ("use0", "GLIBC_2.29", "libc.so.6", CORE)
    assert rows_of(tag, "file", "what it does")[0][0] == CORE


def test_trees_have_lines_and_tell_what_is_missing_in_red(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants(needed=("libfoo.so.1", "libno.so.1"))})
    shown = on_a_terminal("tree", wheel, "--sysroot", scene.root)
    assert "libno.so.1 \x1b[31m=> not found\x1b[0m" in shown
    plain = on_a_terminal("tree", wheel, "--sysroot", scene.root, "--color", "never")
    assert f"{CORE}\n├── libfoo.so.1 => /usr/lib/libfoo.so.1 (" in plain
    assert "\n│   └── libc.so.6 => /usr/lib/libc.so.6 (" in plain
    assert "\x1b" not in plain


def test_a_repair_is_told_in_tables(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})
    asked = ("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", "--no-mangle", "*")
    planned = on_a_terminal(*asked, "--dry-run", NO_COLOR="1", COLUMNS="200")
    source, member, *chain = rows_of(planned, "would be grafted", "as", "needed by", "package")[0]
    assert (source, member) == ("/usr/lib/libfoo.so.1", "demo.libs/libfoo.so.1")
    assert chain[0] == CORE
    assert chain[1].startswith("an unknown package")
    assert rows_of(planned, "would be changed", "how")[0][1] == "set-rpath path=$ORIGIN/../demo.libs kind=rpath"
    assert f"Would write: {scene.folder}/out/demo-1.0-cp311-cp311-manylinux" in planned
    assert not (scene.folder / "out").exists()
    done = on_a_terminal(*asked, NO_COLOR="1", COLUMNS="200")
    assert rows_of(done, "grafted", "as", "needed by", "package")[0][0] == "/usr/lib/libfoo.so.1"
    assert f"Fixed-up wheel written to {scene.folder}/out/demo-1.0-cp311-cp311-manylinux" in done
    assert done.endswith("Done!\n")
    assert on_a_terminal(*asked, "-q") == ""


def test_lowered_symbols_are_a_table(scene: Scene) -> None:
    names = (("pthread_create", "GLIBC_2.34"), ("fcntl64", "GLIBC_2.28"))
    undefined = tuple(Undefined(name, version, "libc.so.6") for name, version in names)
    wheel = scene.wheel({CORE: ElfSpec(needed=("libc.so.6",), undefined=undefined)})
    asked = ("fixup", wheel, "--sysroot", scene.root, "--plat", "manylinux_2_17_x86_64", "--lower-glibc", "--dry-run")
    shown = on_a_terminal(*asked, NO_COLOR="1", COLUMNS="200")
    assert "would be lowered" in shown
    rows = rows_of(shown, "would be lowered", "to", "class", "why", "in")
    assert [(row[0], row[-1]) for row in rows[::2]] == [  # a rule between two
        ("pthread_create@GLIBC_2.34 of libc.so.6", CORE),
        ("fcntl64@GLIBC_2.28 of libc.so.6", CORE),
    ]
    assert "Lowering:" not in shown


def test_a_moved_program_stands_among_the_changes(scene: Scene) -> None:
    program = wants("GLIBC_2.14", needed=("libfoo.so.1",), interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)
    wheel = scene.wheel({"demo-1.0.data/scripts/tool": program})
    shown = on_a_terminal("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", NO_COLOR="1")
    assert "│ move to demo.scripts/tool" in shown


def test_a_wheel_without_grafts_is_told_without_tables(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14")})
    shown = on_a_terminal("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", NO_COLOR="1")
    assert "│" not in shown
    assert "Done!" in shown
    pure = build_wheel(scene.folder, {"pure.py": b""}, name="pure", tags=("py3-none-any",))
    copied = on_a_terminal("fixup", "--allow-pure-python-wheel", pure, "-w", scene.folder / "out")
    assert copied.startswith("Copied a wheel without compiled files to")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "WHEEL"),
        ("why", "WHEEL", "libfoo.so.1"),
        ("tree", "WHEEL"),
        ("check", "WHEEL"),
        ("fixup", "WHEEL", "-w", "OUT"),
        ("policies",),
    ],
)
def test_without_rich_a_terminal_gets_the_plain_text(scene: Scene, arguments: tuple[str, ...]) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})
    words = {"WHEEL": wheel, "OUT": scene.folder / "out"}
    given: list[object] = [words.get(word, word) for word in arguments]
    given += [] if arguments == ("policies",) else ["--sysroot", scene.root]
    # As if it were not installed: neither found nor imported.
    start = "import sys; sys.modules['rich'] = None; from deloc8.cli import main; sys.exit(main())"
    shown = on_a_terminal(*given, start=("-c", start), errors=True)
    assert (
        shown
        == subprocess.run(
            [sys.executable, "-m", "deloc8", *map(str, given)], capture_output=True, text=True, check=False
        ).stdout
    )
    assert shown


def test_names_in_every_table_are_escaped(scene: Scene) -> None:
    hostile = wants("GLIBC_2.29", "GLIBC_2.\x1b[2J", needed=("lib\x1b[2J\n.so.1", "libfoo.so.1"))
    wheel = scene.wheel({CORE: hostile})
    asked = ("--sysroot", scene.root)
    for command in (
        ("show", wheel, "-v"),
        ("why", wheel, "lib*"),
        ("why", wheel, "use1"),
        ("why", wheel, "GLIBC_2.\x1b[2J"),
        ("why", wheel, "manylinux_2_17"),
        ("tree", wheel, "-v"),
    ):
        shown = on_a_terminal(*command, *asked, NO_COLOR="1", COLUMNS="300")
        assert "\x1b" not in shown
        assert r"\x1b[2J" in shown, command


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
