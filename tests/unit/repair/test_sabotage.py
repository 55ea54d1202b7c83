"""Each step of `deloc8 fixup` is sabotaged: exit code 3 says so, nothing is kept, and the input stays as it was.

What each single check of the proof finds is tested in test_verify.py; here the whole command is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit import draft, joining, layout
from deloc8.elf.edit.vocabulary import BindToZero, BindVersion, DropVersion, SetRpath, SetSoname, UnpackRelocations
from deloc8.elf.edit.writer import edit_owned
from deloc8.elf.read import relocations
from deloc8.repair import execute, plan
from deloc8.repair.provenance import licences as licenses
from deloc8.values import replace
from deloc8.wheel import writer
from deloc8.wheel.record import render_record
from kit.bench import EXT, Bench
from kit.command import Command
from kit.elf import ElfSpec, NeedSpec, Undefined, build_elf
from kit.packages import dpkg_package
from kit.stripping import put_strip_on_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deloc8.elf.edit.joining import Joined
    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.dynamic import DynamicTable
    from deloc8.elf.read.view import Buffer
    from deloc8.loader.sysroot import Sysroot

    Sabotage = Callable[[pytest.MonkeyPatch, Path], None]

INFO = "demo-1.0.dist-info"
SCRIPT = "demo-1.0.data/scripts/program"
CREATE = Undefined("pthread_create", "GLIBC_2.34", "libc.so.6")
SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
ENTROPY = Undefined("getentropy", "GLIBC_2.25", "libc.so.6", weak=True)
STAT = Undefined("stat", "GLIBC_2.33", "libc.so.6")
MARKER = NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR")
# Changes a dynamic symbol that it should keep.
RENAMING = '#!/bin/sh\nexec sed -i "s/dlopen/dlsyms/" "$2"\n'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A system with a library to graft, of a package with a licence."""
    found = Bench(tmp_path)
    found.library("/usr/lib64/liba.so.1")
    found.library("/usr/lib64/libplugin.so.1")
    dpkg_package(found.system, "liba1", ["/usr/lib64/liba.so.1"])
    found.system.write("/usr/share/doc/liba1/copyright", "Copyright A")
    return found


@pytest.fixture
def wheel(bench: Bench) -> Path:
    undefined = (CREATE, SINGLE, ENTROPY, STAT, Undefined("dlopen"))
    spec = ElfSpec(
        needed=("liba.so.1", "libc.so.6"), undefined=undefined, relr=True, functions="apart", needs=(MARKER,)
    )
    program = ElfSpec(needed=("liba.so.1",), interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)
    metadata = b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\n\nText\n"
    members: dict[str, ElfSpec | bytes] = {EXT: spec, SCRIPT: program, f"{INFO}/METADATA": metadata}
    return bench.wheel(members, modes={SCRIPT: 0o755})


def set_to(target: object, name: str, value: object) -> Sabotage:
    return lambda monkeypatch, _: monkeypatch.setattr(target, name, value)


def without(*kinds: type[Edit]) -> Sabotage:
    """Edits of some kinds are not done."""

    def edit(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
        return edit_owned(data, [step for step in edits if not isinstance(step, kinds)], name)

    return set_to(execute, "edit_owned", edit)


def join_wrongly(change: Callable[[Joined], Joined]) -> Sabotage:
    honest = joining.join
    return set_to(draft, "join", lambda table, *, unpacks: change(honest(table, unpacks=unpacks)))


def with_contents(change: Callable[[bytes], bytes]) -> Sabotage:
    return join_wrongly(lambda joined: replace(joined, contents=change(joined.contents)))


def patch_wrongly(
    table: DynamicTable, numbers: list[int], name: str, *, copies: Mapping[int, int]
) -> tuple[tuple[int, bytes], ...]:
    """The pointers of another symbol become constants."""
    return relocations.zero_patches(table, [number + 1 for number in numbers], name, copies=copies)


def unchanged(sysroot: Sysroot, source: str, digest: str) -> Callable[[], Buffer]:
    """Another licence than that of the package."""
    return (lambda: b"Copyright of nobody") if "copyright" in source else READ(sysroot, source, digest)


READ = execute._unchanged


def strip_by(text: str) -> Sabotage:
    def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        put_strip_on_path(folder / "tools", monkeypatch, text)

    return install


SABOTAGES: dict[str, Sabotage] = {
    "a hash of RECORD": set_to(
        writer, "render_record", lambda rows: render_record([row._replace(hash="sha256=" + "A" * 43) for row in rows])
    ),
    "a row of RECORD": set_to(writer, "render_record", lambda rows: render_record(list(rows)[1:])),
    "the tags": set_to(execute, "retag", lambda *_, **__: b"Wheel-Version: 1.0\n"),
    "a graft": set_to(execute, "_grafted", lambda *_: lambda: build_elf(ElfSpec(soname="liba.so.1"))),
    "the search path": without(SetRpath),
    "the soname": without(SetSoname),
    "all edits": without(SetRpath, SetSoname, BindVersion, BindToZero, DropVersion, UnpackRelocations),
    "the address of the new segment": set_to(layout, "top_of", lambda _: 0),
    "versions": without(BindVersion),
    "dropped versions": without(DropVersion),
    "constants": without(BindToZero),
    "pointers to constants": set_to(draft, "zero_patches", lambda *_, **__: ()),
    "pointers to others": set_to(draft, "zero_patches", patch_wrongly),
    "packed relocations": without(UnpackRelocations),
    "lost relocations": with_contents(lambda contents: contents[:0]),
    "relocations elsewhere": with_contents(lambda contents: bytes(8) + contents[8:]),
    "functions left behind": join_wrongly(lambda joined: replace(joined, functions=None)),
    "the compatibility library": set_to(execute, "compat_contents", lambda _: build_elf(ElfSpec())),
    "the launcher": set_to(execute, "launcher", lambda _: b"#!python\n"),
    "the folder of opened libraries": set_to(plan._Builder, "_wanted_folders", lambda *_: ()),
    "the bill of materials": set_to(execute, "_sbom", lambda *_: lambda: b'{"components": []}'),
    "a licence": set_to(execute, "_unchanged", unchanged),
    "the fields of licences": set_to(execute, "add_licence_fields", lambda metadata, _: metadata),
    "other fields": set_to(
        execute, "add_licence_fields", lambda data, names: licenses.add_licence_fields(data, names) + b"More"
    ),
    "strip that renames": strip_by(RENAMING),
}


@pytest.mark.usefixtures("compat")
@pytest.mark.parametrize("what", [None, *SABOTAGES])
def test_fixup_ends_with_3(
    what: str | None,
    bench: Bench,
    wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = wheel.read_bytes()
    options = ["--plat", "manylinux_2_17_x86_64", "--lower-glibc", "--include", "libplugin.so.1"]
    options += ["--strip"] * (what or "").startswith("strip")
    if what is not None:
        SABOTAGES[what](monkeypatch, wheel.parent.parent)
    places = ("--sysroot", bench.system.top, "-w", bench.out)
    ended = Command(capsys)("fixup", wheel, *places, *options, "--format", "json")
    assert wheel.read_bytes() == before
    if what is None:
        assert ended.code == 0, ended.err
        assert len(bench.left) == 1
        return
    assert ended.code == 3, ended.out
    (told,) = json.loads(ended.out)["wheels"]
    assert told["error"]["code"] == "proof-failed"
    assert told["error"]["context"]
    assert bench.left in (["no folder"], [])
