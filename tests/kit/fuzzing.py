"""What is fuzzed: for each reader of foreign bytes a function that takes any bytes, and the files it begins with.

A function fails by any exception but the error that its reader promises, and where what it accepts is not what it must
be.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deloc8.dlopen.budget import Budget, Spent
from deloc8.dlopen.mentions import mentioned_libraries
from deloc8.dlopen.python_calls import Unreadable, opening_calls
from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindToZero,
    BindVersion,
    ClearExecutableStack,
    DropVersion,
    JoinRelocations,
    RemoveNeeded,
    RemoveRpath,
    ReplaceAudit,
    ReplaceNeeded,
    SetRpath,
    SetSoname,
    UnpackRelocations,
)
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.image import parse, parse_defined
from deloc8.elf.read.notes import dlopen_declarations, package_metadata, x86_isa_level
from deloc8.errors import ElfError, PolicyError, WheelError
from deloc8.loader.ldcache import read_ld_so_cache
from deloc8.policy.files import read_policies
from deloc8.policy.load import builtin_policies
from deloc8.policy.seed import policy_to_seed_json
from deloc8.repair.lowering.proof import planned_relocations, relocation_problems
from deloc8.target import Arch, Libc
from deloc8.wheel.archive import ArchiveLimits, open_wheel
from deloc8.wheel.codec import StreamError, inflate
from deloc8.wheel.metadata import parse_core_metadata, parse_wheel_metadata, retag
from deloc8.wheel.record import parse_record, render_record
from kit.editor_check import check_bytes
from kit.elf import DT_AUDIT, DT_AUXILIARY, DT_FILTER, MACHINES, Defined, ElfSpec, NoteSpec, Undefined, build_elf
from kit.ldcache import Row, build_cache
from kit.wheels import record_hash, record_text, wheel_text
from kit.zips import STORED, Entry, Layout, raw_zip, streamed, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deloc8.elf.edit.vocabulary import Edit

LIMITS = ArchiveLimits(total=10 << 20)
NAMES = ("libc.so.6", "libz.so.1", "libdemo.so.1", "a", "so.1", "lib-with-a-much-longer-name.so.1", "$ORIGIN/../x", "é")


def fuzz_elf(data: bytes) -> None:
    """The reader."""
    for reader in (parse_defined, broken_invariants):
        with suppress(ElfError):
            reader(data, "lib.so")
    with suppress(ElfError):
        image = parse(data, "lib.so")
        assert all(isinstance(text, str) for text in package_metadata(image.notes).values())
        assert all(declared.sonames for declared in dlopen_declarations(image.notes))
        assert x86_isa_level(image.notes, bits=image.bits) in {None, 1, 2, 3, 4}
        for mention in mentioned_libraries(data, image):
            assert data[mention.offset :].startswith(mention.name.encode())


def edits_of(code: bytes) -> list[Edit]:
    """The edits that some bytes stand for."""
    edits: list[Edit] = []
    for byte in code:
        name, other = NAMES[byte >> 4 & 7], NAMES[(byte >> 4) * 3 + 1 & 7]
        choices: tuple[Edit, ...] = (
            SetSoname(soname=name),
            ReplaceNeeded(old=name, new=other),
            AddNeeded(name=name, first=byte > 127),
            RemoveNeeded(name=name),
            SetRpath(path=name),
            RemoveRpath(),
            ReplaceAudit(old=name, new=other) if byte > 127 else ClearExecutableStack(),
            SetRpath(path=f"{name}:{other}" * 9),
            BindVersion(symbol="memcpy", old="GLIBC_2.14", version="GLIBC_2.2.5", library=name),
            BindVersion(symbol="z", old="Z_1", version=name, library=other, name="memcpy"),
            BindVersion(symbol="memcpy", old="GLIBC_2.2.5", version="GLIBC_2.14", library="libc.so.6", name=name),
            DropVersion(symbol="memcpy", old="GLIBC_2.14"),
            DropVersion(symbol="z", old="Z_1", name=name),
            BindToZero(symbol="memcpy", old="GLIBC_2.14"),
            BindToZero(symbol="z", old="Z_1"),
            UnpackRelocations(),
            JoinRelocations(),
        )
        edits.append(choices[byte & 15])
    return edits


def fuzz_editor(data: bytes) -> None:
    """The editor: after the first four bytes, which name the edits, comes the file, as damaged as it may be."""
    before = data[4:]
    with suppress(ElfError):
        edits = edits_of(data[:4])
        edited = edit(before, edits, "lib.so")
        check_bytes(before, edited.data, edited.placement)
        broken_invariants(edited.data, "lib.so")
        for _ in relocation_problems(planned_relocations(before, edits, "lib.so"), edited.data, "lib.so"):
            pass  # a damaged file may be refused, but in no other way


@cache
def _property() -> Callable[[bytes], object]:
    module = importlib.import_module("property.test_editor")
    fuzz: Callable[[bytes], object] = module.test_edits_are_read_back.hypothesis.fuzz_one_input
    return fuzz


def fuzz_edits(data: bytes) -> None:
    """The editor on sound files: the bytes choose one, and edits; these are read back, and nothing else has changed."""
    _property()(data)


@cache
def _place() -> Path:
    shared = Path("/dev/shm")  # noqa: S108  memory, not disk
    folder = tempfile.mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None)
    return Path(folder, "demo-1.0-py3-none-any.whl")


def fuzz_zip(data: bytes) -> None:
    """The archive: what is accepted is what zipfile reads."""
    path = _place()
    path.write_bytes(data)
    try:
        with open_wheel(path, LIMITS) as archive:
            contents = {member.name: bytes(archive.read(member)) for member in archive.members}
    except WheelError:
        return
    with zipfile.ZipFile(path) as oracle:
        files = [entry for entry in oracle.infolist() if not entry.is_dir()]
        assert {entry.filename for entry in files} == contents.keys()
        for entry in files:
            with suppress(NotImplementedError, zipfile.BadZipFile):  # libdeflate takes two codes that zlib refuses
                assert oracle.read(entry) == contents[entry.filename]


def fuzz_inflate(data: bytes) -> None:
    """The decoder of large members: what it accepts has the announced size, and is what zlib makes of it."""
    size, stream = int.from_bytes(data[:2], "little"), data[2:]
    try:
        contents = b"".join(inflate((stream[place : place + 16] for place in range(0, len(stream), 16)), size))
    except StreamError:
        return
    assert len(contents) == size
    with suppress(zlib.error):  # it takes some codes that zlib refuses
        assert zlib.decompress(stream, -15) == contents


def fuzz_record(data: bytes) -> None:
    """RECORD: what is read survives being written."""
    with suppress(WheelError):
        rows = parse_record(data, "RECORD").rows
        assert parse_record(render_record(rows), "RECORD") == (rows, ())


def fuzz_wheel(data: bytes) -> None:
    """WHEEL and METADATA: new tags are read back."""
    with suppress(WheelError):
        parse_core_metadata(data)
    with suppress(WheelError):
        metadata = parse_wheel_metadata(data)
        tags = ["cp311-cp311-manylinux_2_17_x86_64"]
        assert [str(tag) for tag in parse_wheel_metadata(retag(metadata, tags, platform_specific=True)).tags] == tags


def fuzz_policy(data: bytes) -> None:
    """A policy file."""
    with suppress(PolicyError):
        read_policies(data, "policy.json", Arch.X86_64)


def fuzz_python(data: bytes) -> None:
    """A Python file, and a large one of the same text again and again: what it opens, or why nobody can say."""
    for source in (data, data * (_LARGE_SOURCE // (len(data) + 1))):
        budget = Budget()
        budget.begin_file()
        try:
            calls = opening_calls(source, "/site-packages/demo/__init__.py", budget)
        except (Unreadable, Spent):
            continue
        lines = source.count(b"\n") + source.count(b"\r") + source.count(b"\f") + 1
        for call in calls:
            assert 1 <= call.line <= lines
            assert call.names
            assert all(name and "\0" not in name for name in call.names)


def fuzz_cache(data: bytes) -> None:
    """ld.so.cache; a damaged one is none."""
    read_ld_so_cache(data)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "elf": fuzz_elf,
    "editor": fuzz_editor,
    "edits": fuzz_edits,
    "zip": fuzz_zip,
    "inflate": fuzz_inflate,
    "record": fuzz_record,
    "wheel": fuzz_wheel,
    "policy": fuzz_policy,
    "cache": fuzz_cache,
    "python": fuzz_python,
}

FULL = ElfSpec(
    needed=("libc.so.6", "libz.so.1"),
    soname="libdemo.so.1",
    rpath="/opt/lib",
    runpath="$ORIGIN",
    undefined=(
        Undefined("memcpy", "GLIBC_2.14", "libc.so.6"),
        Undefined("w", weak=True),
        Undefined("z", "Z_1", "libz.so.1"),
    ),
    defined=(Defined("one", "DEMO_1"), Defined("two", "DEMO_2", hidden=True), Defined("three")),
    parents=(("DEMO_1", ()), ("DEMO_2", ("DEMO_1",))),
    notes=(NoteSpec("GNU", 3, bytes(range(20))), NoteSpec("FDO", 0xCAFE1A7E, b'{"type": "deb"}')),
    relr=True,
    links=((DT_AUXILIARY, "libz.so.1"), (DT_FILTER, "a"), (DT_AUDIT, "a:libz.so.1")),
)


PYTHON = (
    "import ctypes\nctypes.CDLL('liba.so.1')\nctypes.cdll.LoadLibrary(name='libb.so')\n",
    (
        "import os, ctypes\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
        "for name in ('liba.so', f'lib{1}.so'):\n    try:\n        ctypes.CDLL(os.path.join(HERE, name))\n"
        "    except OSError:\n        pass\n"
    ),
    (
        "import sys\nfrom ctypes import CDLL as load, util\nif sys.platform == 'darwin':\n    load('a.dylib')\nelse:\n"
        "    load(util.find_library('z') or 'lib%s.so' % 'z')\n"
    ),
    (
        "from pathlib import Path\nfrom cffi import FFI\nffi = FFI()\n"
        "lib = ffi.dlopen(str(Path(__file__).parent / 'a.so'))\n"
        "def get(name='libq.so'):\n    return ffi.dlopen('./{}'.format(name))\nget('libr.so.2')\n"
    ),
    "import numpy as np\nlib = np.ctypeslib.load_library('libm', __file__)\n",
    # What costs more than it is long: gaps, other names, products of names, long chains, deep nesting, an error.
    "from ctypes import CDLL\nCDLL(f'" + "{a}" * 300 + "{b!r:>{c}}.so')\n",
    "from ctypes import CDLL as c1, CDLL as c2\nc1('liba.so')\nc2('libb.so')\n" * 20,
    "import os, ctypes\na = 'a' if x else 'b'\n" + "a = os.path.join(a, a, a)\n" * 30 + "ctypes.CDLL(a + '.so')\n",
    "win1 = win2\nif " + "win1 or " * 200 + "win1:\n    CDLL('liba.so')\n",
    "CDLL(a" + ".b()[c]" * 200 + "('liba.so') + " + "'a' + " * 200 + "'.so')\n",
    "CDLL(" + "(" * 90 + "not " * 300 + "a" + ")" * 90 + ")\nCDLL('liba.so'\n",
    "t = {" + "'a': 'liba.so', " * 100 + "}\nfor a in [" + "t['a'], " * 100 + "]:\n    CDLL(a)\n",
)
_LARGE_SOURCE = 1 << 16


def _elf_seeds() -> list[bytes]:
    shapes = (replace(FULL, hash="gnu"), replace(FULL, hash="sysv", sections=False), ElfSpec(needed=("a",), soname="a"))
    bases = [MACHINES[machine] for machine in ("x86_64", "i686", "s390x", "aarch64")]
    return [
        build_elf(
            replace(shape, bits=base.bits, little_endian=base.little_endian, machine=base.machine, flags=base.flags)
        )
        for base in bases
        for shape in shapes
    ]


def deflated(data: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(data) + packer.flush()


def seeds() -> Mapping[str, list[bytes]]:
    """The files that fuzzing begins with, by target; all are made here."""
    text = b"print('hello')\n" * 9
    entry = Entry(name=b"demo/a.py", data=text)
    more = streamed(Entry(name=b"demo/b.so", data=b"\x7fELF" + text))
    rows = record_text({"demo/a.py": text, 'demo/"b",c.py': b""}, "demo-1.0.dist-info/RECORD")
    policies = [policy_to_seed_json(policy) for policy in builtin_policies(Arch.X86_64, Libc.GLIBC)[:3]]
    cached = [Row("libc.so.6", "/lib/libc.so.6"), Row("liba.so", "/opt/liba.so", hwcap=1 << 62)]
    files = _elf_seeds()
    return {
        "elf": files,
        "editor": [
            code + data
            for data in files
            for code in (b"\x00\x11\x34\x05", b"\x28\x1c\x9a\x0f", b"\x0d\x0f\x44\x4b", b"\x19\x06\x0f\x73")
        ],
        "edits": [bytes(range(256)), bytes(range(255, -1, -1)) * 2, b"deloc8 " * 99],
        "zip": [
            raw_zip(wheel_entries(entry)),
            raw_zip(wheel_entries(entry, more, Entry(name=b"demo/c", data=text, method=STORED))),
            raw_zip(wheel_entries(Entry(name=b"demo/", mode=0o40755), entry), Layout(end64={}, comment=b"c")),
        ],
        "inflate": [len(text).to_bytes(2, "little") + deflated(text, level) for level in (0, 1, 9)],
        "record": [rows, rows.replace(b"\n", b"\r\n"), f"a,{record_hash(b'')},0\n".encode()],
        "wheel": [
            wheel_text(["py3-none-any"]),
            wheel_text(["cp311-cp311-linux_x86_64", "cp310.cp311-abi3-linux_x86_64"]) + b"Build: 1\n",
            b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nLicense-File: LICENSE\nRequires-Dist: a;\n b\n\nText\n",
        ],
        "policy": [json.dumps(policies[:count]).encode() for count in (1, 3)],
        "python": [text.encode() for text in PYTHON],
        "cache": [
            build_cache(cached),
            build_cache(cached, ["x86-64-v2", "x86-64-v3"]),
            build_cache(cached, order=">"),
        ],
    }
