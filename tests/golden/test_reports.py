"""What show and fixup --dry-run say of some wheels, word for word.

After a wanted change: pytest tests/golden --renew
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.command import Command
from kit.elf import ABI_TAG, ET_EXEC, GLIBC, MACHINES, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable

PLATFORM = "cp311-cp311-"

# A program header that edits may take.


def plain(scene: Scene) -> Path:
    """A wheel that needs no repair but a better name."""
    return scene.wheel({CORE: wants("GLIBC_2.2.5", "GLIBC_2.14", needed=("libm.so.6",))})


def grafts(scene: Scene) -> Path:
    """A wheel like the seed's: two libraries to graft, one of which needs a newer glibc."""
    system = scene.system
    system.library("/usr/lib/libdeep.so.2", wants("GLIBC_2.27", "GLIBC_2.26", soname="libdeep.so.2"))
    system.library("/opt/lib/libfoo.so.1.2.3", wants("GLIBC_2.5", needed=("libdeep.so.2",), soname="libfoo.so.1"))
    system.symlink("/opt/lib/libfoo.so.1", "libfoo.so.1.2.3")
    system.write("/etc/ld.so.conf", "/opt/lib\n")
    more = ("libfoo.so.1", "libpython3.11.so.1.0")
    return scene.wheel(
        {
            CORE: wants("GLIBC_2.2.5", "GLIBC_2.14", needed=("libfoo.so.1",)),
            "demo/_more.so": wants("GLIBC_2.3", needed=more, rpath="/build/lib:$ORIGIN"),
            "demo-1.0.data/scripts/demo-run": wants(
                "GLIBC_2.5",
                needed=("libfoo.so.1",),
                type=ET_EXEC,
                interpreter="/lib64/ld-linux-x86-64.so.2",
                notes=(ABI_TAG,),
            ),
        }
    )


def liar(scene: Scene) -> Path:
    """A wheel with false tags, and files for other machines."""
    members = {CORE: wants("GLIBC_2.28", "GLIBC_2.18"), "demo/_arm.so": MACHINES["aarch64"], "demo/_musl.so": MUSL}
    return scene.wheel(dict(members), tags=(f"{PLATFORM}manylinux_2_17_x86_64.manylinux2014_x86_64.win_amd64",))


MUSL = ElfSpec(needed=("libc.musl-x86_64.so.1",), undefined=(Undefined("statx"), Undefined("malloc")))


def musl(scene: Scene) -> Path:
    """A wheel for musl that needs a newer one, and a library."""
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=("libc.musl-x86_64.so.1",)))
    core = replace(MUSL, needed=("libfoo.so.1", *MUSL.needed))
    return scene.wheel({CORE: core}, tags=(f"{PLATFORM}musllinux_1_2_x86_64",))


def hopeless(scene: Scene) -> Path:
    """A wheel that no repair can help, for every reason there is, with hostile names."""
    isa = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))
    evil = "lib\nevil\x1b[2J.so"
    symbols = (
        Undefined("memcpy", "GLIBC_2.14", GLIBC),
        Undefined("new", "GLIBC_2.99", GLIBC),
        Undefined("hostile", "GLIBC_2.99999999", GLIBC),
        Undefined("own", "GLIBC_PRIVATE", GLIBC),
        Undefined("zcalloc", "ZLIB_1.2.9", "libz.so.1"),
        Undefined("zng", "ZLIB_NG_2.0.0", "libz.so.1"),
        Undefined("PyFPE_jbuf"),
        Undefined("PyUnicodeUCS2_FromString"),
    )
    core = ElfSpec(needed=(evil, "libX11.so.6", "libz.so.1", GLIBC), undefined=symbols, notes=(isa,), rpath="relative")
    return scene.wheel({CORE: core, **{f"demo/m{number}.so": wants("GLIBC_2.28") for number in range(5)}})


def pure(scene: Scene) -> Path:
    """A wheel without compiled files."""
    return scene.wheel({"demo/__init__.py": b"pass\n"}, tags=("py3-none-any",))


CASES = [plain, grafts, liar, musl, hopeless, pure]
COMMANDS = {"show": ("show", "-v"), "fixup": ("fixup", "--dry-run", "-v")}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", COMMANDS)
def test_text(
    case: Callable[[Scene], Path],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[str, str], None],
) -> None:
    scene = Scene(tmp_path)
    wheel = case(scene)
    code, out, err = Command(capsys)(*COMMANDS[name], "--sysroot", scene.root, wheel)
    told = f"$ deloc8 {' '.join(COMMANDS[name])} {wheel.name}\n{out}[stderr]\n{err}[exit code {code}]\n"
    golden(f"{case.__name__}.{name}.txt", told)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", COMMANDS)
def test_json(
    case: Callable[[Scene], Path],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[str, str], None],
) -> None:
    scene = Scene(tmp_path)
    wheel = case(scene)
    out = Command(capsys)(*COMMANDS[name], "--sysroot", scene.root, "--format", "json", wheel).out
    golden(f"{case.__name__}.{name}.json", out)


def test_every_snapshot_belongs_to_a_test() -> None:
    expected = {f"{case.__name__}.{name}.{form}" for case in CASES for name in COMMANDS for form in ("txt", "json")}
    assert {path.name for path in Path(__file__).parent.iterdir() if path.suffix in {".txt", ".json"}} == expected
