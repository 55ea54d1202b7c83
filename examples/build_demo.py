"""Build the demo: two C libraries, and a wheel whose extension module needs them.

    python examples/build_demo.py FOLDER

leaves FOLDER/libraries/libgreet.so.1 and libwords.so.2, and FOLDER/greeting-1.0-cp310-abi3-linux_MACHINE.whl, which
contains neither of them: the wheel that a packager's machine makes before anything is repaired. Needs a C compiler, or
takes the one of the PyPI package `ziglang`; Python's headers are used where they are and not missed where they are not.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

from packaging.tags import platform_tags

SOURCES = Path(os.path.relpath(Path(__file__).parent))
COMPILER = SOURCES.parent / "requirements" / "compiler.txt"
COMMON = ("-O2", "-fPIC", "-shared", "-Wall", "-Wextra")


def find_compiler(scratch: Path) -> list[str]:
    """The command of a C compiler: $CC, else the machine's, else zig's, which is installed if it must be."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    if find_spec("ziglang") is None:
        print("no C compiler on this machine: installing ziglang from the package index")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        subprocess.run([*install, "--only-binary", ":all:", "--requirement", str(COMPILER)], check=True)
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = str(scratch.resolve())
    return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]


def run(command: list[str]) -> None:
    """Nothing; the command has been shown and run. Raises CalledProcessError if it failed."""
    print(f"$ {shlex.join(command)}", flush=True)
    subprocess.run(command, check=True)


def build_library(compiler: list[str], folder: Path, name: str, *, major: int, needs: tuple[str, ...]) -> Path:
    """The path of lib`name`.so.`major`, built with versioned symbols."""
    soname = f"lib{name}.so.{major}"
    version_script = SOURCES / "libraries" / f"{name}.map"
    source = SOURCES / "libraries" / f"{name}.c"
    linking = [f"-Wl,-soname,{soname}", f"-Wl,--version-script={version_script}", "-Wl,--no-undefined"]
    run([*compiler, *COMMON, *linking, str(source), "-o", str(folder / soname), *needs])
    return folder / soname


def build_extension(compiler: list[str], folder: Path, libgreet: Path) -> Path:
    """The path of the extension module, linked to libgreet and told nothing of where that stands."""
    include = Path(sysconfig.get_path("include"))
    # zig brings the C library's headers itself, and Debian's pyconfig.h asks for one of the machine's.
    has_headers = "ziglang" not in compiler and (include / "Python.h").exists()
    headers = ["-DHAVE_PYTHON_H", f"-I{include}"] if has_headers else []
    extension = folder / "_core.abi3.so"
    source = SOURCES / "greeting" / "_core.c"
    libraries = f"-I{SOURCES / 'libraries'}"
    run([*compiler, *COMMON, *headers, libraries, str(source), "-o", str(extension), str(libgreet)])
    return extension


def pack_wheel(folder: Path, extension: Path) -> Path:
    """The path of the wheel: the package, its metadata and a true RECORD."""
    platform = next(tag for tag in platform_tags() if tag.startswith("linux_"))
    tag = f"cp310-abi3-{platform}"
    metadata = "greeting-1.0.dist-info"
    members = {
        "greeting/__init__.py": (SOURCES / "greeting" / "__init__.py").read_bytes(),
        f"greeting/{extension.name}": extension.read_bytes(),
        f"{metadata}/METADATA": b"Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\nSummary: The demo of deloc8\n",
        f"{metadata}/WHEEL": f"Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in members.items())
    members[f"{metadata}/RECORD"] = f"{record}{metadata}/RECORD,,\n".encode()
    wheel = folder / f"greeting-1.0-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return wheel


def digest(data: bytes) -> str:
    """The hash column of RECORD: SHA-256 in URL-safe base 64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def build(folder: Path) -> tuple[Path, Path]:
    """The path of the wheel and the folder of its libraries, built inside `folder`."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SystemExit("the demo's module is built for the stable ABI, which a free-threaded Python has not")
    libraries = folder / "libraries"
    libraries.mkdir(parents=True)
    compiler = find_compiler(folder / "zig-cache")
    libwords = build_library(compiler, libraries, "words", major=2, needs=())
    libgreet = build_library(compiler, libraries, "greet", major=1, needs=(str(libwords), "-lm"))
    return pack_wheel(folder, build_extension(compiler, folder, libgreet)), libraries


if __name__ == "__main__":
    print(*build(Path(sys.argv[1])), sep="\n")
