"""Settings, METADATA, and the files of a system that cost more than they are long.

pyproject.toml, policies, WHEEL and METADATA, ld.so.cache, ld.so.conf, the loader, package databases, and the constants
of libraries. Each command ends within ten seconds of the processor and 256 MiB, in an answer or one error.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hostile_kit import MEBIBYTE, Trial

from kit.elf import ElfSpec, Undefined
from kit.ldcache import Row, build_cache
from kit.packages import dpkg_package
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostile_kit import Tool

_MOST_SECONDS = 10.0
_MOST_MEMORY = 256 * MEBIBYTE
_EXTENSION = 1 << 62
_METADATA = "demo-1.0.dist-info/METADATA"
_CORE = wants("GLIBC_2.5", needed=("libfoo.so.1",))
_LOADER = "/lib64/ld-linux-x86-64.so.2"

_TOML = {
    "a dotted key": "a." * 50_000 + "a = 1\n",
    "a dotted key with blanks": "a . " * 50_000 + "a = 1\n",
    "a dotted key of texts": '"a".' * 50_000 + "a = 1\n",
    "a dotted key of escaped texts": r'"a\"b".' * 50_000 + "a = 1\n",
    "a key with long parts between": ("a." * 90 + "b" * 300 + ".") * 500 + "a = 1\n",
    "a dotted table": "[" + "a." * 50_000 + "a]\n",
    "many deep tables": "".join(f"[{'.'.join('a' * 99)}.b{number}]\n" for number in range(4500)),
    "many deep keys": "".join(f"{'.'.join('a' * 99)}.b{number} = 1\n" for number in range(4500)),
    "nested arrays": "a = " + "[" * 100_000 + "\n",
    "nested tables": "a = " + "{b=" * 100_000 + "\n",
    "a wide array": "a = [" + "1," * 400_000 + "]\n",
    "many tables": "[[a.b]]\n" * 100_000,
    "many keys": "".join(f"a{number} = 1\n" for number in range(80_000)),
    "a long number": "a = " + "9" * 1_000_000 + "\n",
    "a long text": 'a = "' + "\\n" * 500_000 + '"\n',
    "a long name": "a" * 1_000_000 + " = 1\n",
    "quotes": "'" * 1_000_000,
}

_JSON = {
    "nested arrays": b"[" * 2_000_000,
    "nested objects": b'{"a":' * 500_000,
    "nested arrays that end": b"[" * 100_000 + b"]" * 100_000,
    "empty arrays": b"[" + b"[]," * 1_300_000 + b"[]]",
    "empty objects": b"[" + b"{}," * 1_300_000 + b"{}]",
    "a long number": b'{"name": ' + b"9" * 4_000_000 + b"}",
    "many numbers": b'{"name": [' + b"1," * 2_000_000 + b"1]}",
    "many keys": b"{" + b'"a":0,' * 600_000 + b'"b":0}',
    "a long name": b'{"name": "' + b"a" * 4_000_000 + b'"}',
    "many libraries": json.dumps(
        {"name": "x", "symbol_versions": {}, "lib_whitelist": [f"l{number}.so" for number in range(250_000)]}
    ).encode(),
    "empty libraries": b'{"name": "x", "symbol_versions": {}, "lib_whitelist": [' + b'"",' * 1_300_000 + b'""]}',
    "many policies": b"["
    + b",".join(b'{"name":"x%d","symbol_versions":{},"lib_whitelist":[]}' % number for number in range(60_000))
    + b"]",
    "a version with many digits": b'{"name": "x", "symbol_versions": {"GLIBC": "2.'
    + b"9" * 5000
    + b'"}, "lib_whitelist": []}',
}

_FIELDS = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
_METADATAS = {
    "a field of many lines": _FIELDS + b"Summary: x" + b"\n a" * 300_000 + b"\n",
    "many fields": _FIELDS + b"A:\n" * 300_000,
    "many fields of licences": _FIELDS + b"License-File: x\n" * 60_000,
    "a version with many digits": b"Metadata-Version: " + b"9" * 5000 + b".4\nName: demo\nVersion: 1.0\n",
    "a version of the project with many digits": b"Metadata-Version: 2.1\nName: demo\nVersion: " + b"9" * 5000 + b"\n",
    "blanks": _FIELDS + b"Summary:" + b" " * 900_000 + b"\n",
    "no line end": _FIELDS + b"a" * 900_000,
    "carriage returns": _FIELDS + b"\r" * 900_000,
}


def trials(folder: Path) -> Iterator[Trial]:
    """Each input, given to the commands that read it."""
    for number, make in enumerate((_of_toml, _of_json, _of_metadata, _of_system, _of_packages, _of_constants)):
        place = folder / str(number)
        place.mkdir()
        yield from make(place)


def _scene(folder: Path, **more: bytes | ElfSpec) -> tuple[Scene, Path]:
    folder.mkdir()
    scene = Scene(folder)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1"))
    members: dict[str, ElfSpec | bytes] = {CORE: _CORE, **more}
    return scene, scene.wheel(members)


def _of_toml(folder: Path) -> Iterator[Trial]:
    scene, wheel = _scene(folder / "scene")
    for number, (name, text) in enumerate(_TOML.items()):
        place = folder / str(number)
        place.mkdir()
        (place / "pyproject.toml").write_text(text, "utf-8")
        yield Trial(f"pyproject.toml: {name}", partial(_run, words=["check", wheel], scene=scene, cwd=place))


def _of_json(folder: Path) -> Iterator[Trial]:
    scene, wheel = _scene(folder / "scene")
    for number, (name, contents) in enumerate(_JSON.items()):
        place = folder / f"{number}.json"
        place.write_bytes(contents)
        yield Trial(f"policy: {name}", partial(_run, words=["show", wheel, "--policy", place], scene=scene))


def _of_metadata(folder: Path) -> Iterator[Trial]:
    for number, (name, contents) in enumerate(_METADATAS.items()):
        scene, wheel = _scene(folder / str(number), **{_METADATA: contents})
        for command in ("check", "fixup"):
            yield Trial(f"METADATA: {command}: {name}", partial(_run, words=[command, wheel], scene=scene))


def _cache(name: str, contents: bytes) -> tuple[str, Callable[[Scene], None]]:
    return f"ld.so.cache: {name}", lambda scene: _write(scene, "/etc/ld.so.cache", contents)


def _conf(name: str, contents: str, *more: str) -> tuple[str, Callable[[Scene], None]]:
    def make(scene: Scene) -> None:
        _write(scene, "/etc/ld.so.conf", contents.encode())
        for path in more:
            _write(scene, path, b"/opt/x\n" * 10)

    return f"ld.so.conf: {name}", make


def _loader(name: str, text: bytes) -> tuple[str, Callable[[Scene], None]]:
    spec = ElfSpec(soname="ld-linux-x86-64.so.2", payload=text)

    def make(scene: Scene) -> None:
        scene.system.library(_LOADER, spec)

    return f"ld.so: {name}", make


def _write(scene: Scene, path: str, contents: bytes) -> None:
    scene.system.write(path, contents)


def _repeated(path: str, count: int) -> bytes:
    """A cache that has one library so many times."""
    strings = b"\0libfoo.so.1\0" + path.encode() + b"\0"
    base = 48 + 24 * count
    head = struct.pack("<20sIIB3xI12x", b"glibc-ld.so.cache1.1", count, len(strings), 2, 0)
    return head + struct.pack("<iIIIQ", 0x0303, base + 1, base + 13, 0, 0) * count + strings


def _of_system(folder: Path) -> Iterator[Trial]:
    long, row = "a" * (1 << 20), Row("libfoo.so.1", "/usr/lib/libfoo.so.1")
    sound = build_cache([row], ["x86-64-v3"])
    shared = bytearray(build_cache([row], [long, *("x" * 1000)]))
    # A thousand names that are the same mebibyte.
    place = shared.index(struct.pack("<IIII", 1, 0, len(shared) - 4 * 1001, 4 * 1001)) + 16
    shared[place:] = shared[place : place + 4] * 1001
    deep = [f"/a{one}/b{two}/c/d/e/f" for one in range(30) for two in range(30)]
    scenes = [
        _cache("a thousand long hwcaps", bytes(shared)),
        _cache("long paths", build_cache([Row("libfoo.so.1", f"/{long}{number}") for number in range(3)])),
        _cache("one path for many entries", _repeated(f"/{long}", 40_000)),
        _cache("many entries", _repeated("/usr/lib/libfoo.so.1", 150_000)),
        _cache("many hwcaps", build_cache([row], ["x"] * 20_000)),
        _cache("one name everywhere", build_cache([Row("libfoo.so.1" * 1000, "/x")] * 20 + [row] * 1000)),
        _cache("zeros behind it", sound + bytes(64 << 20)),
        _cache("a gigabyte", sound + bytes(1 << 30)),
        _conf("wildcards in wildcards", "include /*/*/*/*/*/*/*\n" * 1000, *deep),
        _conf("itself", "include /etc/ld.so.conf*\n" * 100_000),
        _conf("many folders", "".join(f"/opt/{number}\n" for number in range(100_000))),
        _conf("many patterns", "include " + "/etc/x* " * 100_000 + "\n"),
        _conf("stars", "include /etc/" + "*a" * 2000 + "b\n", "/etc/" + "a" * 200),
        _conf("large", "#" * (512 << 20)),
        _conf("one line", "/opt/" + "a:" * 10_000_000),
        _loader("libraries", b"/lib" * 250_000),
        _loader("slashes", b"/" * 1_000_000),
        _loader("folders", b"/lib/\0" * 170_000),
        _loader("ends of folders", b"/\0" * 500_000),
    ]
    for number, (name, make) in enumerate(scenes):
        scene, wheel = _scene(folder / str(number))
        scene.system.library("/usr/lib/libbar.so.1", ElfSpec(soname="libbar.so.1"))
        make(scene)
        yield Trial(name, partial(_run, words=["show", wheel], scene=scene))


def _of_packages(folder: Path) -> Iterator[Trial]:
    scenes: dict[str, Callable[[Scene], None]] = {
        "dpkg: one package without end": lambda scene: _status(scene, b"Package: foo1\nArchitecture: x\n" * 1_500_000),
        "dpkg: one package again and again": lambda scene: _status(
            scene, b"Package: foo1\nArchitecture: x\n\n" * 10**6
        ),
        "dpkg: a status of zeros": lambda scene: _status(scene, bytes(200 << 20)),
        "dpkg: a long list": lambda scene: _listing(scene, b"/x\n" * 50_000_000),
        "dpkg: many lists": _many_lists,
        "apk: one folder": lambda scene: _write(
            scene, "/lib/apk/db/installed", b"P:a\nF:usr\nR:x\nF:etc\n" + b"R:libfoo.so.1\n" * 3_000_000
        ),
        "apk: a long stanza": lambda scene: _write(
            scene, "/lib/apk/db/installed", b"P:a\n" + b"D:x\n" * 10_000_000 + b"F:usr/lib\nR:libfoo.so.1\n\n"
        ),
        "rpm: a view without end": _endless_rpm,
        "rpm: many strings": _wide_rpm,
    }
    for number, (name, make) in enumerate(scenes.items()):
        scene, wheel = _scene(folder / str(number))
        make(scene)
        words: list[str | Path] = ["fixup", wheel, "-w", scene.folder / "out"]
        yield Trial(name, partial(_run, words=words, scene=scene))


def _status(scene: Scene, contents: bytes) -> None:
    dpkg_package(scene.system, "foo1:amd64", ["/usr/lib/libfoo.so.1"])
    _write(scene, "/var/lib/dpkg/status", contents)


def _listing(scene: Scene, contents: bytes) -> None:
    dpkg_package(scene.system, "foo1:amd64", ["/x"])
    _write(scene, "/var/lib/dpkg/info/foo1:amd64.list", contents)


def _many_lists(scene: Scene) -> None:
    for number in range(3000):
        _write(scene, f"/var/lib/dpkg/info/p{number}.list", b"/usr\n/usr/lib\n" * 100)


def _endless_rpm(scene: Scene) -> None:
    place = scene.root / "var/lib/rpm/rpmdb.sqlite"
    place.parent.mkdir(parents=True)
    connection = sqlite3.connect(place)
    connection.executescript(
        "CREATE TABLE Basenames (hnum INTEGER, key TEXT); INSERT INTO Basenames VALUES (1, 'libfoo.so.1');"
        "CREATE VIEW Packages AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
        " SELECT x AS hnum, zeroblob(10) AS blob FROM c;"
    )
    connection.close()


def _wide_rpm(scene: Scene) -> None:
    count = 60_000_000
    blob = struct.pack(">IIIIII", 1, count, 1117, 8, 0, count) + b"libfoo.so.1\0" + bytes(count - 12)
    slots = struct.pack("<4s3I16x", b"RpmP", 0, 1, 1) + struct.pack("<4s3I", b"Slot", 1, 256, len(blob) // 16 + 1)
    body = slots + struct.pack("<4s3I", b"Slot", 0, 0, 0) * ((4096 - len(slots)) // 16)
    _write(scene, "/var/lib/rpm/Packages.db", body + struct.pack("<4s3I", b"BlbS", 1, 0, len(blob)) + blob)


def _of_constants(folder: Path) -> Iterator[Trial]:
    opens = (Undefined("dlopen", "GLIBC_2.2.5", "libc.so.6"),)
    digits = "9" * 5000
    kinds: dict[str, ElfSpec] = {
        name: replace(_CORE, undefined=opens, payload=b"\0" + text * ((32 << 20) // len(text)))
        for name, text in {
            "suffixes and a sign": b"a" + b".so" * 80 + b"!\0",
            "suffixes and a plus": b"a" + b".so" * 80 + b"+.x\0",
            "loaders": b"ld-" + b"a.so" * 60 + b"\0",
            "one name": b"a.so\0",
            "suffixes alone": b".so",
        }.items()
    }
    kinds["a version with many digits"] = wants(f"GLIBC_2.{digits}")
    kinds["a soname with many digits"] = replace(_CORE, needed=(f"libfoo.so.{digits}", "libc.so.6"))
    kinds["many missing libraries"] = replace(_CORE, needed=(*(f"libno{number}.so" for number in range(2000)),))
    for number, (name, spec) in enumerate(kinds.items()):
        place = folder / str(number)
        place.mkdir()
        scene = Scene(place)
        for package in range(300):
            dpkg_package(scene.system, f"p{package}", [f"/usr/lib/p{package}/{file}" for file in range(200)])
        wheel = scene.wheel({CORE: spec})
        for command in ("show", "check", "fixup"):
            yield Trial(f"{command}: {name}", partial(_run, words=[command, wheel], scene=scene))


def _run(tool: Tool, *, words: list[str | Path], scene: Scene, cwd: Path | None = None) -> str | None:
    more: list[str | Path] = ["--sysroot", scene.root, "-j1"]
    if words[0] == "fixup" and "-w" not in words:
        more += ["-w", scene.folder / "out"]
    ended = tool.run(*words, *more, cwd=cwd, seconds=60)
    if ended.fault():
        return ended.fault()
    if ended.code not in {0, 1, 2}:
        return f"exit code {ended.code}"
    if ended.cpu > _MOST_SECONDS:
        return f"{ended.cpu:.1f} s of the processor"
    if ended.peak > _MOST_MEMORY:
        return f"{ended.peak / MEBIBYTE:.0f} MiB"
    return None
