"""What is measured: published wheels from a locked list, "un-repaired" ones, and synthetic ones from a seed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import TypeVar

    _Made = TypeVar("_Made")

TOP = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("wheels.json")
sys.path.insert(0, str(TOP / "tools"))

from fetch_wheels import fetch  # noqa: E402  it stands in a folder of scripts

_SEED = 8
_MOMENT = (2024, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20


def in_child(work: Callable[[], _Made]) -> _Made:
    """What some work gives, done in a child first: the memory that making it takes would count for what is measured."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  the parent does it again, and tells
            os._exit(1)
    os.waitpid(child, 0)
    return work()


def published(name: str, cache: Path) -> Path:
    """A wheel of the list, downloaded where the cache has it not; nothing else is accepted."""
    row = next(row for row in json.loads(LIST.read_text("utf-8")) if row["name"] == name)
    folder = cache / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    fetch(row, folder)
    return Path(folder / row["filename"])


def unrepaired(name: str, cache: Path) -> tuple[Path, Path]:
    """A published wheel as before its repair, tagged `linux_x86_64`, and the folder of the libraries taken from it."""
    source = published(name, cache)
    place = cache / "unrepaired" / source.stem
    distribution, version, python, abi, _ = source.stem.split("-")
    target = place / f"{distribution}-{version}-{python}-{abi}-linux_x86_64.whl"
    libraries = place / "lib"
    if not target.exists():
        libraries.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(source) as archive, _writer(target) as put:
            for entry in archive.infolist():
                folder, _, rest = entry.filename.partition("/")
                if entry.is_dir() or rest in {"RECORD", "RECORD.jws"}:
                    continue
                data = archive.read(entry)
                if folder == f"{distribution}.libs":
                    (libraries / rest).write_bytes(data)
                    continue
                if rest == "WHEEL":
                    kept = [line for line in data.decode().splitlines() if line and not line.startswith("Tag:")]
                    data = "\n".join([*kept, f"Tag: {python}-{abi}-linux_x86_64", ""]).encode()
                put(entry.filename, data, entry.external_attr >> 16 & 0o777)
    return target, libraries


class _Put:
    """Writes members of a wheel and its RECORD."""

    def __init__(self, archive: zipfile.ZipFile, level: int) -> None:
        self.archive = archive
        self.level = level
        self.rows: list[str] = []
        self.info = ""

    def __call__(self, name: str, data: bytes, mode: int = 0o644) -> None:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.rows.append(f"{name},sha256={digest},{len(data)}")
        self._write(name, data, mode)
        if name.endswith(".dist-info/WHEEL"):
            self.info = name.rpartition("/")[0]

    def _write(self, name: str, data: bytes, mode: int) -> None:
        entry = zipfile.ZipInfo(name, _MOMENT)
        entry.external_attr = (0o100000 | mode) << 16
        self.archive.writestr(entry, data, zipfile.ZIP_DEFLATED, self.level)

    def close(self) -> None:
        record = f"{self.info}/RECORD"
        self._write(record, "\n".join([*self.rows, f"{record},,", ""]).encode(), 0o644)


class _writer:  # noqa: N801  a context, as a function would be
    """A wheel that appears at its place when it is whole."""

    def __init__(self, target: Path, level: int = 6) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target, self.half = target, target.with_suffix(".half")
        self.put = _Put(zipfile.ZipFile(self.half, "w"), level)

    def __enter__(self) -> _Put:
        return self.put

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.put.close()
            self.put.archive.close()
            self.half.replace(self.target)


def synthetic(cache: Path, *, elf_bytes: int, files: int, elf_files: int = 1) -> tuple[Path, Path]:
    """A wheel made from the seed, and the folder of the library that its ELF files need.

    Args:
        cache: Where it is kept.
        elf_bytes: The size of all ELF files together, roughly.
        files: How many small files there are beside.
        elf_files: How many ELF files.
    """
    name = f"bench{elf_bytes}n{files}n{elf_files}"
    folder = cache / "synthetic"
    target = folder / f"{name}-1.0-cp311-cp311-linux_x86_64.whl"
    libraries = folder / "lib"
    library = libraries / "libbench.so.1"
    if not library.exists():
        libraries.mkdir(parents=True, exist_ok=True)
        _compile(library, "int bench(void) { return 8; }", "-Wl,-soname,libbench.so.1")
    if target.exists():
        return target, libraries
    with _writer(target, level=1) as put, tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "core.so"
        for number in range(elf_files):
            _build_extension(built, library, elf_bytes // elf_files, number)
            put(f"{name}/core{number}.cpython-311-x86_64-linux-gnu.so", built.read_bytes(), 0o755)
        for number, data in enumerate(_small_files(files)):
            put(f"{name}/data/{number % 100}/{number}.py", data)
        _put_metadata(put, name)
    return target, libraries


def packed(cache: Path, pointers: int) -> Path:
    """A wheel with one ELF file of so many pointers to itself, whose relocations are packed (DT_RELR)."""
    name = f"packed{pointers}"
    target = cache / "synthetic" / f"{name}-1.0-cp311-cp311-linux_x86_64.whl"
    if target.exists():
        return target
    with _writer(target, level=1) as put, tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "core.so"
        code = (
            'int puts(const char *); int use(void) { return puts(""); }\n'
            f'__asm__(".data\\n.balign 8\\nhere:\\n.rept {pointers}\\n.quad here\\n.endr\\n.text\\n");'
        )
        _compile(built, code, "-Wl,-z,pack-relative-relocs")
        put(f"{name}/core.cpython-311-x86_64-linux-gnu.so", built.read_bytes(), 0o755)
        _put_metadata(put, name)
    return target


def _put_metadata(put: _Put, name: str) -> None:
    info = f"{name}-1.0.dist-info"
    put(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode())
    text = "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n"
    put(f"{info}/WHEEL", text.encode())


def _build_extension(target: Path, library: Path, size: int, number: int) -> None:
    """An extension module that calls the library and holds some bytes like those of machine code."""
    data = target.with_suffix(".bin")
    with data.open("wb") as file:
        for block in _blocks(size, number):
            file.write(block)
    code = (
        "extern int bench(void); int use(void) { return bench(); }\n"
        f'__asm__(".section .rodata\\n.incbin \\"{data}\\"\\n.text\\n");'
    )
    _compile(target, code, str(library))


def _blocks(size: int, number: int) -> Iterator[bytes]:
    """Bytes that a deflate encoder makes half as long, roughly."""
    dice = random.Random(_SEED + number)  # noqa: S311  the same bytes every time are wanted
    table = bytes(byte % 40 for byte in range(256))
    while size > 0:
        block = dice.randbytes(min(size, _BLOCK)).translate(table)
        yield block
        size -= len(block)


def _small_files(count: int) -> Iterable[bytes]:
    dice = random.Random(_SEED)  # noqa: S311  the same bytes every time are wanted
    words = [f"name_{number} = {number}\n" for number in range(200)]
    return ("".join(dice.choices(words, k=dice.randrange(1, 30))).encode() for _ in range(count))


def _compile(target: Path, code: str, *options: str) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise SystemExit("the synthetic wheels need gcc")
    command = [compiler, "-shared", "-fPIC", "-Wl,--build-id=none", "-x", "c", "-", "-o", str(target), "-x", "none"]
    subprocess.run([*command, *options], input=code, text=True, check=True)
