"""Edited files of four linkers under the real ld.so, before and after they are stripped."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.slots import Slot
from deloc8.elf.edit.vocabulary import AddNeeded, ClearExecutableStack, ReplaceNeeded, RpathKind, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.dynamic import read_table
from deloc8.elf.read.image import parse
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.compile import (
    ANSWER,
    LIBRARY,
    LOADER,
    PROGRAM,
    Kind,
    Toolchain,
    build,
    build_dependency,
    without_sections,
    zig,
)
from kit.editor_check import Names, check_bytes, check_peace, check_tables, names_of
from kit.require import require

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit

OLD, NEW = "libdependency.so.1", "libdependency-0a1b2c3d.so.1"
SONAME, RPATH = "libdemo-0a1b2c3d.so", "$ORIGIN/../demo.libs"
EDITS: tuple[Edit, ...] = (
    SetSoname(soname=SONAME),
    ReplaceNeeded(old=OLD, new=NEW),
    SetRpath(path=RPATH),
)
GCC = Toolchain("gcc")
LINKERS = [Toolchain("gcc", linker) for linker in ("bfd", "gold", "lld", "mold")]
OPTIONS: dict[str, tuple[str, ...]] = {
    "default": (),
    "separate-code": ("-Wl,-z,separate-code",),
    "noseparate-code": ("-Wl,-z,noseparate-code",),
    "no-notes": ("-Wl,--build-id=none", "-Wa,-mx86-used-note=no"),
    "properties": ("-fcf-protection",),
    "no-hint": ("-Wl,-z,nocombreloc",),
    "no-hint-no-notes": ("-Wl,-z,nocombreloc,--build-id=none",),
    "both-hashes": ("-Wl,--hash-style=both",),
    "now": ("-Wl,-z,now", "-Wl,-z,relro"),
    "debug": ("-g",),
}
KINDS: tuple[Kind, ...] = ("library", "pie", "static-address")


@dataclass(frozen=True)
class Machine:
    """Where files run; in `wrapper`, the command that runs them, `{paths}` stands for the folders of the dependency."""

    compiler: Toolchain
    wrapper: tuple[str, ...] = ("env", "LD_LIBRARY_PATH={paths}")

    def run(self, path: Path, kind: Kind) -> str:
        """What the program prints, or what it says for not running."""
        folders = [str(build_dependency(self.compiler, name).parent) for name in (OLD, NEW)]
        loader = [str(build(LOADER, self.compiler, kind="pie"))] if kind == "library" else []
        wrapper = [part.replace("{paths}", ":".join(folders)) for part in self.wrapper]
        path.chmod(0o755)
        result = subprocess.run([*wrapper, *loader, str(path)], capture_output=True, text=True, check=False)
        return (result.stdout + result.stderr).strip()


HERE = Machine(GCC)


def compiled(toolchain: Toolchain, kind: Kind, options: tuple[str, ...] = (), machine: Machine = HERE) -> Path:
    dependency = build_dependency(machine.compiler)
    return build(LIBRARY if kind == "library" else PROGRAM, toolchain, kind=kind, options=options, inputs=(dependency,))


def check(original: Path, folder: Path, kind: Kind, machine: Machine = HERE, strips: tuple[str, ...] = ()) -> Slot:
    """Edit a file in every way that matters, and let everybody look at it."""
    before = original.read_bytes()
    assert machine.run(original, kind) == str(ANSWER)
    edited = edit(before, EDITS, "demo")
    after = folder / "edited"
    after.write_bytes(edited.data)
    assert machine.run(after, kind) == str(ANSWER)
    needed = tuple(NEW if name == OLD else name for name in names_of(original).needed)
    assert names_of(after) == Names(needed, SONAME, RPATH, None)
    check_bytes(before, edited.data, edited.placement)
    check_peace(original, after)
    check_tables(original, after, {OLD: NEW})
    assert edit(edited.data, EDITS, "demo").data is edited.data
    check_growth(before, edited.data, edited.placement.slot)
    check_again(edited.data, folder / "again", kind, machine)
    for strip in strips:
        check_stripped(after, folder, kind, machine, strip)
    return edited.placement.slot


def check_growth(before: bytes, after: bytes, slot: Slot) -> None:
    """It grows by its string table with the new strings alone, unless other tables had to make room or move."""
    old, new = parse(before, "before"), parse(after, "after")
    moved = [segment.offset for segment in new.segments if segment.type == 2 and segment.offset >= len(before)]
    if slot is Slot.NOTE and not moved:
        (load,) = [segment for segment in new.segments if segment.type == 1 and segment.offset >= len(before)]
        strings = sum(len(text) + 1 for text in (SONAME, NEW, RPATH))
        assert load.offset == len(before) + -len(before) % 8
        assert len(after) == load.offset + load.filesz
        assert load.filesz <= strings_size(before) + strings
    assert [segment.type for segment in old.segments].count(0x6474E551) == 1  # PT_GNU_STACK is never taken
    assert [segment.type for segment in new.segments].count(0x6474E551) == 1


def strings_size(data: bytes) -> int:
    table = read_table(View.open(data, "demo"))
    assert table is not None
    return table.values[10]


def check_again(data: bytes, path: Path, kind: Kind, machine: Machine) -> None:
    """A further edit of an edited file finds its segment again."""
    further = edit(data, [AddNeeded(name="libm.so.6"), SetSoname(soname="libfurther-0a1b2c3d4e5f.so")], "demo")
    assert further.placement.slot in {Slot.EXTENDED, Slot.REUSED}
    loads = [[segment.type for segment in parse(d, "demo").segments].count(1) for d in (data, further.data)]
    assert loads[0] == loads[1]
    path.write_bytes(further.data)
    assert machine.run(path, kind) == str(ANSWER)


def check_stripped(edited: Path, folder: Path, kind: Kind, machine: Machine, strip: str) -> None:
    """It runs when it has been stripped, and again when it has been edited after that."""
    stripped = folder / "stripped"
    subprocess.run([*strip.split(), str(edited), "-o", str(stripped)], check=True, capture_output=True)
    assert machine.run(stripped, kind) == str(ANSWER)
    assert names_of(stripped) == names_of(edited)
    check_again(stripped.read_bytes(), folder / "stripped-again", kind, machine)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_layouts(linker: Toolchain, kind: Kind, options: str, tmp_path: Path) -> None:
    require("strip", "binutils")
    original = compiled(linker, kind, OPTIONS[options])
    check(original, tmp_path, kind, strips=("strip -g", "strip -s"))


@pytest.mark.parametrize("options", ["default", "no-notes", "no-hint"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_without_section_headers(linker: Toolchain, kind: Kind, options: str, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(without_sections(compiled(linker, kind, OPTIONS[options]).read_bytes()))
    slot = check(original, tmp_path, kind)
    assert slot is (Slot.MOVED if (kind, options) == ("library", "no-notes") else Slot.NOTE)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_relocations(kind: Kind, tmp_path: Path) -> None:
    original = compiled(Toolchain("gcc", "bfd"), kind, ("-Wl,-z,pack-relative-relocs",))
    dynamic = parse(original.read_bytes(), "demo").dynamic
    assert dynamic is not None
    assert dynamic.has_relr is (kind != "static-address")
    check(original, tmp_path, kind, strips=("strip -g", "strip -s"))


@pytest.mark.parametrize("strip", ["llvm-strip -s", "llvm-strip -g", "eu-strip -s"])
@pytest.mark.parametrize("options", ["default", "no-notes", "no-hint"])
@pytest.mark.parametrize("linker", LINKERS, ids=lambda toolchain: toolchain.linker)
def test_other_strip_programs(linker: Toolchain, options: str, strip: str, tmp_path: Path) -> None:
    require(strip.partition(" ")[0], {"l": "llvm", "e": "elfutils"}[strip[0]])
    check(compiled(linker, "library", OPTIONS[options]), tmp_path, "library", strips=(strip,))


def test_the_slot_of_each_case() -> None:
    def slot(linker: str, kind: Kind, options: str) -> Slot:
        data = compiled(Toolchain("gcc", linker), kind, OPTIONS[options]).read_bytes()
        return edit(data, EDITS, "demo").placement.slot

    # The one note of a library is that of its build id; a program has one more, of the properties.
    assert slot("bfd", "library", "default") is Slot.ROOM
    assert slot("bfd", "pie", "default") is Slot.NOTE
    assert slot("bfd", "library", "no-notes") is Slot.ROOM
    assert slot("gold", "library", "no-notes") is Slot.ROOM
    assert slot("lld", "library", "no-notes") is Slot.ROOM
    assert slot("mold", "library", "no-notes") is Slot.ROOM


def test_programs_without_a_spare_header(tmp_path: Path) -> None:
    """The interpreter's name and the hash tables make room; the headers of a program stay where they are."""
    for linker in ("bfd", "lld"):
        data = compiled(Toolchain("gcc", linker), "pie").read_bytes()
        image = parse(data, "demo")
        # Every note becomes a copy of PT_GNU_STACK, which says nothing new.
        stack = next(segment for segment in image.segments if segment.type == 0x6474E551)
        for index, segment in enumerate(image.segments):
            if segment.type == 4:
                place = 64 + 56 * index
                raw = stack.type.to_bytes(4, "little") + stack.flags.to_bytes(4, "little") + bytes(40)
                data = data[:place] + raw + stack.align.to_bytes(8, "little") + data[place + 56 :]
        edited = edit(data, EDITS, "demo")
        assert edited.placement.slot is Slot.ROOM
        path = tmp_path / linker
        path.write_bytes(edited.data)
        assert HERE.run(path, "pie") == str(ANSWER)
        assert edited.data[32:40] == data[32:40]  # e_phoff
        subprocess.run([require("strip", "binutils"), "-s", str(path)], check=True)
        assert HERE.run(path, "pie") == str(ANSWER)
        with pytest.raises(ElfError, match="cannot be edited"):
            edit(without_sections(data), EDITS, "demo")


def test_an_executable_stack_is_cleared(tmp_path: Path) -> None:
    original = compiled(GCC, "library", ("-Wl,-z,execstack",))
    edited = edit(original.read_bytes(), [ClearExecutableStack()], "demo")
    path = tmp_path / "edited"
    path.write_bytes(edited.data)
    stacks = [[s.flags for s in parse(p.read_bytes(), "x").segments if s.type == 0x6474E551] for p in (original, path)]
    assert stacks == [[7], [6]]
    assert edited.placement.grows_by == 0
    assert len(edited.placement.writes) == 1
    check_peace(original, path)


def test_search_paths_steer_the_loader(tmp_path: Path) -> None:
    """The dependency is found through the new entry, and through nothing else."""
    original = compiled(GCC, "library", ("-Wl,-rpath,/nowhere",))
    folder = build_dependency(GCC, NEW).parent
    loader = str(build(LOADER, GCC, kind="pie"))
    for kind in RpathKind:
        path = tmp_path / kind.name
        edits: tuple[Edit, ...] = (ReplaceNeeded(old=OLD, new=NEW), SetRpath(path=str(folder), kind=kind))
        path.write_bytes(edit(original.read_bytes(), edits, "demo").data)
        assert subprocess.check_output([loader, str(path)], text=True).strip() == str(ANSWER)


MACHINES = {
    "aarch64": ("aarch64-linux-gnu", "aarch64-linux-gnu.2.17"),
    "s390x": ("s390x-linux-gnu", "s390x-linux-gnu.2.17"),
    "arm": ("arm-linux-gnueabihf", "arm-linux-gnueabihf.2.31"),
}


def foreign(name: str) -> Machine:
    triple, _ = MACHINES[name]
    emulator = require(f"qemu-{name}-static", "qemu-user-static")
    wrapper = (emulator, "-L", f"/usr/{triple}", "-E", "LD_LIBRARY_PATH={paths}")
    return Machine(Toolchain(f"{triple}-gcc"), wrapper)


@pytest.mark.parametrize("options", ["default", "no-notes", "both-hashes"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MACHINES)
def test_other_machines(name: str, kind: Kind, options: str, tmp_path: Path) -> None:
    machine = foreign(name)
    chosen = ("-Wl,--build-id=none",) if options == "no-notes" else OPTIONS[options]
    original = compiled(machine.compiler, kind, chosen, machine)
    strip = machine.compiler.compiler.removesuffix("gcc") + "strip"
    check(original, tmp_path, kind, machine, strips=(f"{strip} -g", f"{strip} -s"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MACHINES)
def test_other_machines_with_lld(name: str, kind: Kind, tmp_path: Path) -> None:
    machine = foreign(name)
    original = compiled(zig(MACHINES[name][1]), kind, (), machine)
    strip = machine.compiler.compiler.removesuffix("gcc") + "strip"
    check(original, tmp_path, kind, machine, strips=(f"{strip} -s",))


@pytest.mark.parametrize("target", ["x86-linux-gnu.2.17", "powerpc64le-linux-gnu.2.19", "riscv64-linux-gnu.2.27"])
def test_machines_without_an_emulator(target: str, tmp_path: Path) -> None:
    """What is not run here is at least read by others."""
    toolchain = zig(target)
    original = build(LIBRARY, toolchain, inputs=(build_dependency(toolchain),))
    edited = edit(original.read_bytes(), EDITS, "demo")
    after = tmp_path / "edited"
    after.write_bytes(edited.data)
    assert names_of(after).soname == "libdemo-0a1b2c3d.so"
    check_bytes(original.read_bytes(), edited.data, edited.placement)
    check_peace(original, after)
    check_tables(original, after, {OLD: NEW})


@pytest.mark.parametrize("strip", ["strip -g", "strip -s", "llvm-strip -s"])
@pytest.mark.parametrize("kind", ["library", "pie"])
def test_musl(kind: Kind, strip: str, tmp_path: Path) -> None:
    """Programs without any note: the interpreter's name, the tables behind it and .dynamic move."""
    if not Path("/lib/ld-musl-x86_64.so.1").exists():
        pytest.skip("needs the loader /lib/ld-musl-x86_64.so.1 (musl)")
    require(strip.partition(" ")[0], "binutils, llvm")
    machine = Machine(zig("x86_64-linux-musl"))
    assert check(compiled(machine.compiler, kind, (), machine), tmp_path, kind, machine, strips=(strip,)) is Slot.ROOM


@pytest.mark.parametrize("kind", ["library", "pie"])
def test_an_old_glibc(kind: Kind, tmp_path: Path, runtimes_folder: Path) -> None:
    """glibc 2.17 wants addresses and offsets to agree modulo p_align."""
    archive = runtimes_folder / "glibc217-runtime-x86_64.tar.xz"
    subprocess.run(["tar", "-xf", str(archive), "-C", str(tmp_path)], check=True)
    (loader,) = tmp_path.rglob("ld-2.17.so")
    machine = Machine(zig("x86_64-linux-gnu.2.17"), (str(loader), "--library-path", f"{loader.parent}:{{paths}}"))
    check(compiled(machine.compiler, kind, (), machine), tmp_path, kind, machine, strips=("strip -g", "strip -s"))
