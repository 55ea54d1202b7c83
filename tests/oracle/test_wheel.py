"""Wheels beside other programs: what zipfile, unzip, pip and auditwheel say of them, and what zip and jar make."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name, parse_wheel_filename

from deloc8.errors import WheelError
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.metadata import parse_core_metadata, parse_wheel_metadata, retag
from deloc8.wheel.names import normalize_name, parse_wheel_name
from deloc8.wheel.record import check_record, hash_members, read_record
from deloc8.wheel.writer import Changes, NewMember, WriteOptions, write_wheel
from kit.require import require
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.wheel.archive import WheelArchive

REAL = ("cffi", "lmdb", "lxml", "mysqlclient", "numpy", "pillow", "psycopg2", "pyyaml")
TAGS = ("cp311-cp311-manylinux_2_36_x86_64", "cp311-cp311-manylinux_2_40_x86_64")
NAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"
FILES = {
    "demo/__init__.py": b"answer = 42\n" * 50,
    "demo/core.so": b"\x7fELF" + bytes(10_000),
    "demo-1.0.data/scripts/demo": b"#!python\nprint(42)\n",
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, wheels_folder: Path) -> Path:
    (path,) = wheels_folder.glob(f"{request.param}-*.whl")
    return path


def change_all_libraries(archive: WheelArchive) -> Changes:
    """What a repair does to a wheel: every library is written anew (with the same contents), some are added."""
    libraries = [member for member in archive.members if archive.peek(member) == b"\x7fELF"]
    replaced = {member.name: partial(archive.read, member) for member in libraries}
    name = f"{archive.dist_info}/WHEEL"
    text = retag(parse_wheel_metadata(archive.read(archive.member(name))), TAGS, platform_specific=True)
    folder = f"{archive.name.distribution}.libs"
    new = NewMember(name=f"{folder}/libz-0123abcd.so.1", content=partial(archive.read, libraries[0]), mode=0o755)
    return Changes(replaced={**replaced, name: lambda: text}, added=(new,))


def test_real_wheels_are_read_as_others_read_them(real: Path) -> None:
    name = parse_wheel_name(real.name)
    distribution, version, _, tags = parse_wheel_filename(real.name)
    assert (normalize_name(name.distribution), name.version) == (distribution, str(version))
    assert {str(tag) for tag in tags} == set(name.tags)
    with open_wheel(real) as archive, zipfile.ZipFile(real) as oracle:
        assert [member.name for member in archive.members] == oracle.namelist()
        for member, entry in zip(archive.members, oracle.infolist(), strict=True):
            assert bytes(archive.read(member)) == oracle.read(entry)
            assert (member.mode, member.date_time) == (entry.external_attr >> 16, entry.date_time)
        rows = read_record(archive).rows
        assert check_record(rows, archive.members, hash_members(archive, rows)) == ()
        core = parse_core_metadata(archive.read(archive.member(f"{archive.dist_info}/METADATA")))
        assert (canonicalize_name(core.name), core.version) == (distribution, str(version))
        assert parse_wheel_metadata(archive.read(archive.member(f"{archive.dist_info}/WHEEL"))).tags == name.tags


def test_rewritten_real_wheels_satisfy_others(real: Path, tmp_path: Path) -> None:
    unzip = require("unzip", "unzip")
    target = tmp_path / real.name.replace("linux_x86_64", "manylinux_2_36_x86_64.manylinux_2_40_x86_64")
    with open_wheel(real) as archive:
        written = write_wheel(target, archive, change_all_libraries(archive), WriteOptions(threads=2))
    assert hashlib.sha256(target.read_bytes()).hexdigest() == written.sha256
    run(unzip, "-tq", target)
    run(sys.executable, "-m", "zipfile", "-t", target)
    with zipfile.ZipFile(target) as after, zipfile.ZipFile(real) as before:
        assert after.namelist()[-1].endswith("/RECORD")
        unchanged = set(before.namelist()) - set(written.changed)
        assert unchanged
        for name in before.namelist():
            one, other = before.getinfo(name), after.getinfo(name)
            # Some backends leave out that it is a regular file.
            assert stat.S_IFREG | one.external_attr >> 16 == other.external_attr >> 16
            assert one.date_time == other.date_time
            if name in unchanged:
                assert (one.CRC, one.compress_size) == (other.CRC, other.compress_size)
    install(target, tmp_path / "site")
    with zipfile.ZipFile(target) as oracle:
        for entry in oracle.infolist():
            if ".data/" not in entry.filename and not entry.filename.endswith(("/RECORD", "/INSTALLER")):
                assert (tmp_path / "site" / entry.filename).read_bytes() == oracle.read(entry)


def install(wheel: Path, site: Path) -> None:
    """Let pip install a wheel, whatever its tags."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("needs pip, the installer that most wheels meet")
    options = "--no-deps --no-index --no-compile --disable-pip-version-check --ignore-requires-python --quiet --target"
    run(sys.executable, "-m", "pip", "install", *options.split(), site, as_any(wheel))


def as_any(wheel: Path) -> Path:
    """The wheel under tags that every interpreter takes: pip looks at the file name alone."""
    name = parse_wheel_name(wheel.name)
    copy = wheel.with_name(f"{name.distribution}-{name.version}-py3-none-any.whl")
    return copy if copy == wheel else shutil.copyfile(wheel, copy)


def test_auditwheel_sees_no_difference_in_a_rewritten_wheel(wheels_folder: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("auditwheel") is None:
        pytest.skip("needs auditwheel (PyPI), whose opinion of the result is asked")
    (source,) = wheels_folder.glob("psycopg2-*.whl")
    target = tmp_path / source.name
    with open_wheel(source) as archive:
        replaced = {name: content for name, content in change_all_libraries(archive).replaced.items() if ".so" in name}
        write_wheel(target, archive, Changes(replaced=replaced), WriteOptions())
    # auditwheel prints sets: a fixed hash seed gives them one order.
    command = ["env", "PYTHONHASHSEED=0", sys.executable, "-m", "auditwheel", "show"]
    before, after = (run(*command, path) for path in (source, target))
    assert "GLIBC_2." in before
    assert before == after


def test_pip_installs_what_was_added_and_makes_scripts_executable(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = build_wheel(tmp_path / "in", FILES, tags=("py3-none-any",), modes={"demo-1.0.data/scripts/demo": 0o755})
    new = NewMember(name='demo.libs/lib, with "é".so', content=lambda: b"\x7fELF", mode=0o755)
    with open_wheel(source) as archive:
        write_wheel(tmp_path / NAME, archive, Changes(added=(new,)), WriteOptions())
    site = tmp_path / "site"
    install(tmp_path / NAME, site)
    assert (site / new.name).read_bytes() == b"\x7fELF"
    assert os.access(site / new.name, os.X_OK)
    assert os.access(site / "bin" / "demo", os.X_OK)
    assert not os.access(site / "demo" / "core.so", os.X_OK)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The files of a wheel in a folder, for others to pack."""
    folder = tmp_path / "unpacked"
    build_wheel(tmp_path, FILES, tags=("py3-none-any",))
    with zipfile.ZipFile(tmp_path / NAME) as archive:
        archive.extractall(folder)
    (tmp_path / NAME).unlink()
    return folder


class Unseekable(io.RawIOBase):
    """A pipe: what is written cannot be mended."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # zipfile writes bytes
        self.data += data
        return len(data)


def check_contents(path: Path, folder: Path) -> None:
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with open_wheel(path) as archive:
        assert {member.name: bytes(archive.read(member)) for member in archive.members} == files
        target = path.with_name("written.whl")
        write_wheel(target, archive, Changes(), WriteOptions())
    with zipfile.ZipFile(target) as oracle:
        assert oracle.testzip() is None
        assert not any(entry.flag_bits & 8 for entry in oracle.infolist())


ZIP = {
    "with entries of folders and times": ["-qr"],
    "without extra fields": ["-qrXD"],
    "stored": ["-qr0"],
    "with a comment of the archive": ["-qrz"],
}


@pytest.mark.parametrize("options", ZIP.values(), ids=ZIP.keys())
def test_archives_of_info_zip(unpacked: Path, tmp_path: Path, options: list[str]) -> None:
    zip_ = require("zip", "zip")
    command = [zip_, *options, str(tmp_path / NAME), "."]
    subprocess.run(command, cwd=unpacked, check=True, capture_output=True, input=b"a comment\n.\n")
    check_contents(tmp_path / NAME, unpacked)


def test_archives_that_info_zip_wrote_into_a_pipe(unpacked: Path, tmp_path: Path) -> None:
    zip_ = require("zip", "zip")
    done = subprocess.run([zip_, "-qr", "-", "."], cwd=unpacked, check=True, stdout=subprocess.PIPE)
    (tmp_path / NAME).write_bytes(done.stdout)
    assert b"PK\7\10" in done.stdout  # data descriptors
    check_contents(tmp_path / NAME, unpacked)


def test_archives_of_jar(unpacked: Path, tmp_path: Path) -> None:
    run(require("jar", "a JDK, such as default-jdk-headless"), "cMf", tmp_path / NAME, "-C", unpacked, ".")
    check_contents(tmp_path / NAME, unpacked)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("into_a_pipe", [False, True])
def test_archives_of_zipfile(unpacked: Path, tmp_path: Path, wide: bool, into_a_pipe: bool) -> None:  # noqa: FBT001  parameters
    file = Unseekable() if into_a_pipe else (tmp_path / "seekable").open("wb")
    with file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(unpacked.rglob("*")):
            if path.is_file():
                with archive.open(path.relative_to(unpacked).as_posix(), "w", force_zip64=wide) as member:
                    member.write(path.read_bytes())
    data = bytes(file.data) if isinstance(file, Unseekable) else (tmp_path / "seekable").read_bytes()
    assert (b"PK\7\10" in data) == into_a_pipe
    (tmp_path / NAME).write_bytes(data)
    check_contents(tmp_path / NAME, unpacked)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-P", "secret"], "encrypted-member"),
        (["-y"], "symlink-member"),
        (["-s", "64k"], "multi-disk-archive"),
        (["-Z", "bzip2"], "unsupported-compression"),
    ],
)
def test_archives_of_info_zip_that_are_no_wheels(unpacked: Path, tmp_path: Path, options: list[str], code: str) -> None:
    zip_ = require("zip", "zip")
    (unpacked / "demo/link.so").symlink_to("core.so")
    (unpacked / "demo/random").write_bytes(os.urandom(200_000))
    (tmp_path / "out").mkdir()
    run(zip_, "-qr", *options, tmp_path / "out" / "demo.zip", ".", cwd=unpacked)
    path = (tmp_path / "out" / "demo.zip").rename(tmp_path / NAME)
    with pytest.raises(WheelError) as caught:
        open_wheel(path)
    assert caught.value.code == code


def hashes(folder: Path) -> Mapping[Path, str]:
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_self_extracting_archive_is_no_wheel(unpacked: Path, tmp_path: Path) -> None:
    zip_ = require("zip", "zip")
    run(zip_, "-qr", tmp_path / "demo.zip", ".", cwd=unpacked)
    path = tmp_path / NAME
    path.write_bytes(b"#!/bin/sh\nexec unzip $0\n" + (tmp_path / "demo.zip").read_bytes())
    before = hashes(tmp_path / "unpacked" / "demo")
    with pytest.raises(WheelError) as plain:
        open_wheel(path)
    subprocess.run([zip_, "-qA", path], check=True, capture_output=True)  # the offsets are mended
    with pytest.raises(WheelError) as mended:
        open_wheel(path)
    assert (plain.value.code, mended.value.code) == ("leading-data", "leading-data")
    assert hashes(tmp_path / "unpacked" / "demo") == before
