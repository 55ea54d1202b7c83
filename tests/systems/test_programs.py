"""Programs in `.data/scripts`: repaired, installed, and started in a Debian that lacks their libraries."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from kit.command import run_program
from kit.compile import build, zig
from kit.distribution import Root, debian
from kit.editor_check import check_peace, names_of
from kit.machines import EXAMPLES, build_greeting, unpack
from kit.wheels import build_wheel

pytestmark = pytest.mark.systems

SCRIPTS = Path(__file__).resolve().parent / "scripts"
FOLDER = "greeting-1.0.data/scripts"
GREETER = r"""
#include "greet.h"
#include <stdio.h>
int main(int count, char **words) {
    char line[100];
    greet_line(line, sizeof line, words[2], "en");
    printf("%d %s\n", count, line);
    return 7;
}
"""
EMBEDDER = r"""
#include "greet.h"
#include <stdio.h>
void Py_Initialize(void);
int PyRun_SimpleString(const char *);
int main(void) {
    char line[100];
    Py_Initialize();
    greet_line(line, sizeof line, "Python", "en");
    puts(line);
    fflush(stdout);
    return PyRun_SimpleString("print(6 * 7, flush=True)");
}
"""
PYTHON = "void Py_Initialize(void) {} int PyRun_SimpleString(const char *text) { return 1; }\n"
STATIC = '#include <stdio.h>\nint main(void) { puts("alone"); return 0; }\n'
LIBPYTHON = "libpython3.11.so.1.0"


@pytest.fixture(scope="module")
def bookworm() -> Root:
    return debian("bookworm", ("python3", "python3-venv", "python3-installer", "libpython3.11"))


def start(root: Root, wheel: Path, folder: Path) -> list[str]:
    """What became of the programs of a wheel: a line each."""
    folder.mkdir()
    shutil.copy(wheel, folder)
    arguments = ["/mnt/scripts/use_programs.py", "greeter", "embedder", "static"]
    ended = root.python(arguments, wheel=folder, scripts=SCRIPTS)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_programs_start_where_they_are_installed(bookworm: Root, tmp_path: Path) -> None:
    toolchain = zig("x86_64-linux-gnu.2.17")
    plain = build_greeting(toolchain, tmp_path / "greeting", "cp310-abi3-linux_x86_64")
    libraries = tmp_path / "greeting" / "libraries"
    libpython = tmp_path / LIBPYTHON
    shutil.copy(build(PYTHON, toolchain, options=(f"-Wl,-soname,{LIBPYTHON}",)), libpython)
    headers = (f"-I{EXAMPLES / 'libraries'}",)
    inputs = (libraries / "libgreet.so.1", libraries / "libwords.so.2")
    programs = {
        "greeter": build(GREETER, toolchain, kind="pie", options=headers, inputs=inputs),
        "embedder": build(EMBEDDER, toolchain, kind="pie", options=headers, inputs=(*inputs, libpython)),
        "static": build(STATIC, zig("x86_64-linux-musl"), kind="static-address", options=("-static",)),
    }
    with zipfile.ZipFile(plain) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name.startswith("greeting/")}
    members |= {f"{FOLDER}/{name}": path.read_bytes() for name, path in programs.items()}
    modes = {f"{FOLDER}/{name}": 0o755 for name in programs}
    wheel = build_wheel(tmp_path, members, name="greeting", tags=("cp310-abi3-linux_x86_64",), modes=modes)
    missing = "error while loading shared libraries: libgreet.so.1: cannot open shared object file"
    greeter, embedder, static = start(bookworm, wheel, tmp_path / "before")
    assert greeter.startswith("greeter 127 ")
    assert embedder.startswith("embedder 127 ")
    assert missing in greeter
    assert missing in embedder
    assert static == "static 0 alone"

    fixed = run_program("fixup", wheel, "--add-path", libraries, "-w", tmp_path / "wheelhouse")
    assert fixed.code == 0, fixed.err
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    assert "linux_x86_64" not in repaired.name.split("-")[-1].removesuffix(".whl").split(".")
    told = start(bookworm, repaired, tmp_path / "after")
    assert told == ["greeter 7 3 Hello, two words!", "embedder 0 Hello, Python!", "42", "static 0 alone"]

    unpacked = unpack(repaired, tmp_path / "repaired")
    assert (unpacked / FOLDER / "static").read_bytes() == programs["static"].read_bytes()
    for name in ("greeter", "embedder"):
        moved = unpacked / "greeting.scripts" / name
        check_peace(programs[name], moved)
        assert names_of(moved).rpath == "$ORIGIN/../greeting.libs"
        assert (LIBPYTHON in names_of(moved).needed) is (name == "embedder")
        assert (unpacked / FOLDER / name).read_bytes().startswith(b"#!python\n")
