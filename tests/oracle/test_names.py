"""Names of members as other programs read them: accepted ones in one way, refused ones in several."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import WheelError
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.record import read_record
from kit.command import run_program
from kit.elf import GLIBC, ElfSpec
from kit.require import require
from kit.scene import CORE, Scene, wants
from kit.zips import Entry, extra, raw_zip, wheel_entries

if TYPE_CHECKING:
    from pathlib import Path

NAME = "demo-1.0-py3-none-any.whl"
NAMES = ["demo/größe.py", "demo/e\u0301.py", "demo/日本.py", "demo/😀.py", "demo/a b.py"]
# Version, checksum of the first name, and the second.
_SECOND = struct.pack("<BI", 1, zlib.crc32(b"demo/a.py")) + b"demo/b.py"

REFUSED = {
    "code page 437": Entry(name="demo/größe.py".encode("cp437")),
    "UTF-8 that is not marked": Entry(name="demo/größe.py".encode()),
    "a second name": Entry(name=b"demo/a.py", both={"extra": extra(0x7075, _SECOND)}),
}


def unpacked_by_unzip(wheel: Path, folder: Path) -> list[bytes]:
    """The names of the files that unzip makes, as bytes."""
    unzip = require("unzip", "unzip")
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([unzip, "-q", "-o", wheel, "-d", folder], check=False, env=environ, capture_output=True)
    top = os.fsencode(folder)
    found = [os.path.join(base, name) for base, _, names in os.walk(top) for name in names]  # noqa: PTH118  bytes
    return sorted(path[len(top) + 1 :] for path in found)


def unpacked_by_zipfile(wheel: Path, folder: Path) -> list[bytes]:
    """The names of the files that zipfile makes, as bytes."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return sorted(os.fsencode(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_read_in_two_ways(tmp_path: Path, kind: str) -> None:
    wheel = tmp_path / NAME
    wheel.write_bytes(raw_zip(wheel_entries(REFUSED[kind])))
    with pytest.raises(WheelError):
        open_wheel(wheel)
    one, other = unpacked_by_unzip(wheel, tmp_path / "one"), unpacked_by_zipfile(wheel, tmp_path / "other")
    if kind == "a second name" and b"demo/b.py" in other:
        return  # newer versions of zipfile read it, too; older ones of a Python that pip runs on do not
    assert one != other


def test_what_fixup_writes_is_read_in_one_way_and_installed_as_record_says(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    core = wants("GLIBC_2.14", needed=("libfoo.so.1",))
    wheel = scene.wheel({CORE: core, **dict.fromkeys(NAMES, b"pass\n")}, tags=("py3-none-linux_x86_64",))
    ended = run_program("fixup", wheel, "--sysroot", scene.root, "-w", tmp_path / "out")
    assert ended.code == 0, ended.err
    (written,) = (tmp_path / "out").iterdir()
    with open_wheel(written) as archive:
        listed = sorted(os.fsencode(row.path) for row in read_record(archive).rows)
    assert {os.fsencode(name) for name in NAMES} < set(listed)
    assert unpacked_by_zipfile(written, tmp_path / "zipfile") == listed
    assert unpacked_by_unzip(written, tmp_path / "unzip") == listed
    options = "-q --no-deps --no-index --no-compile --platform manylinux_2_17_x86_64 --only-binary=:all: --target"
    words = [sys.executable, "-m", "pip", "install", *options.split(), str(tmp_path / "pip"), str(written)]
    subprocess.run(words, check=True, timeout=300)
    installed = {path.relative_to(tmp_path / "pip").as_posix().encode() for path in (tmp_path / "pip").rglob("*")}
    assert set(listed) <= installed


def test_zip_leaves_names_unmarked(tmp_path: Path) -> None:
    # Debian's zip 3.0, whatever the locale.
    wheel = tmp_path / NAME
    wheel.write_bytes(raw_zip(wheel_entries()))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/größe.py").touch()
    subprocess.run([require("zip", "zip"), "-q", wheel.name, "demo/größe.py"], check=True, cwd=tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        is_marked = bool(archive.infolist()[-1].flag_bits & 0x800)
    if is_marked:
        open_wheel(wheel).close()
        return
    with pytest.raises(WheelError) as caught:
        open_wheel(wheel)
    assert caught.value.code == "ambiguous-name"
