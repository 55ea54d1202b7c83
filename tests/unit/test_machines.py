"""One row for each machine, true to outside sources, and no second table of machines anywhere."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf import enums

import deloc8
from deloc8.dlopen.openings import Resolution, Source
from deloc8.elf.read.image import parse
from deloc8.errors import InputError
from deloc8.loader.ldcache import read_ld_so_cache
from deloc8.loader.ldconf import library_folders
from deloc8.loader.libc import find_libc, is_c_library
from deloc8.machines import ARCH_NAMED, ROWS, SUFFIX_MACHINES, Arch, MachineRow, has_addends, hash_bits
from deloc8.report.model import is_loader
from deloc8.target import Libc, make_platform_tag, parse_platform_tag
from kit.bench import Bench
from kit.elf import MACHINES, build_elf
from kit.ldcache import Row, build_cache
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(deloc8.__file__).parent

every_machine = pytest.mark.parametrize("arch", Arch, ids=lambda arch: arch.value)


# -- the rows ----------------------------------------------------------------------------------------------------------


def test_every_machine_has_one_whole_row() -> None:
    assert [row.arch for row in ROWS] == list(Arch)
    for row in ROWS:
        assert row.arch.row is row
        told = [getattr(row, name) for name in row._fields if name not in row._field_defaults]
        assert "" not in told
        assert () not in told


def test_what_tells_machines_apart_is_different_in_every_row() -> None:
    for field in ("arch", "triplet", "multiarch", "debian", "musl", "alpine"):
        assert len({getattr(row, field) for row in ROWS}) == len(ROWS), field
    headers = {(row.number, row.bits, row.little_endian) for row in ROWS}
    assert len(headers) == len(ROWS)
    named = [name for row in ROWS for name in (row.arch.value, *row.other_names)]
    assert len(named) == len(ARCH_NAMED) == len(set(named))
    assert len(SUFFIX_MACHINES) == sum(len(row.suffix_machines) for row in ROWS)
    android = [row.android for row in ROWS if row.android]
    assert len(set(android)) == len(android)


def test_machines_of_one_number_and_width_have_the_same_relocations() -> None:
    """They are looked up by these two, whatever the byte order."""
    for row in ROWS:
        for other in ROWS:
            if (row.number, row.bits) == (other.number, other.bits):
                assert (row.relative, row.pointers, row.hash_bits) == (other.relative, other.pointers, other.hash_bits)
            if row.number == other.number:
                assert (row.has_addends, row.executable_stack) == (other.has_addends, other.executable_stack)


@every_machine
def test_the_file_of_a_machine_is_known(arch: Arch) -> None:
    image = parse(build_elf(MACHINES[arch.value]), "lib.so")
    assert (image.arch, image.bits) == (arch, arch.bits)


@every_machine
def test_every_name_of_a_machine_is_understood_in_tags(arch: Arch) -> None:
    for name in (arch.value, *arch.row.other_names):
        assert parse_platform_tag(f"linux_{name}").arch is arch
    if arch.row.android:
        assert make_platform_tag("android_24", arch) == f"android_24_{arch.row.android}"
        assert parse_platform_tag(f"android_24_{arch.row.android}").arch is arch


@every_machine
def test_the_loaders_of_a_machine_are_taken_for_loaders(arch: Arch) -> None:
    for name, libc in ((arch.row.loader_name, Libc.GLIBC), (arch.row.musl_names[0], Libc.MUSL)):
        assert is_loader(name)
        assert is_c_library(name)
        needing = replace(MACHINES[arch.value], needed=(name,))
        assert find_libc(parse(build_elf(needing), "lib.so")) is libc
    assert arch.row.musl_loader == f"/lib/{arch.row.musl_names[0]}"


# -- outside sources ---------------------------------------------------------------------------------------------------

# By pyelftools' names of machines: its table of relocations, and how their names go on. It has none for RISC-V, whose
# numbers are compared with elf.h in elf/test_version_edits.py.
NAMES = {
    "EM_X86_64": (enums.ENUM_RELOC_TYPE_x64, "R_X86_64", "64"),
    "EM_386": (enums.ENUM_RELOC_TYPE_i386, "R_386", "32"),
    "EM_AARCH64": (enums.ENUM_RELOC_TYPE_AARCH64, "R_AARCH64", "ABS64"),
    "EM_ARM": (enums.ENUM_RELOC_TYPE_ARM, "R_ARM", "ABS32"),
    "EM_PPC64": (enums.ENUM_RELOC_TYPE_PPC64, "R_PPC64", "ADDR64"),
    "EM_S390": (enums.ENUM_RELOC_TYPE_S390X, "R_390", "64"),
    "EM_LOONGARCH": (enums.ENUM_RELOC_TYPE_LOONGARCH, "R_LARCH", "64"),
    "EM_RISCV": ({"R_RISCV_RELATIVE": 3, "R_RISCV_64": 2}, "R_RISCV", "64"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.arch.value)
def test_numbers_are_those_of_pyelftools(row: MachineRow) -> None:
    (name,) = (name for name in NAMES if enums.ENUM_E_MACHINE[name] == row.number)
    table, prefix, pointer = NAMES[name]
    assert table[f"{prefix}_RELATIVE"] == row.relative
    pointers = {table[f"{prefix}_{kind}"] for kind in ("GLOB_DAT", pointer) if f"{prefix}_{kind}" in table}
    assert pointers - {0} == row.pointers


@pytest.mark.parametrize(
    ("machine", "bits", "width"),
    [(22, 64, 64), (0x9026, 64, 64), (62, 64, 32), (22, 32, 32), (8, 32, 32), (0x9026, 32, 32)],
)
def test_only_s390x_and_alpha_have_wide_words_in_their_hash_table(machine: int, bits: int, width: int) -> None:
    assert hash_bits(machine, bits) == width


def test_the_machines_without_addends() -> None:
    """REL by their psABI: i386 and 32-bit Arm; an unknown machine is taken for one of the others."""
    assert {row.arch.value for row in ROWS if not has_addends(row.number)} == {"i686", "armv7l"}
    assert has_addends(8)


# -- one home ----------------------------------------------------------------------------------------------------------

# More than one machine by name in one module is the beginning of a table. These ask for data that is named by machine,
# or hold the data of a format whose machines are not ours.
_NUMBERS = {row.number for row in ROWS}
_TELLING = {
    text
    for row in ROWS
    for text in (row.arch.value, row.triplet, row.multiarch, row.loader, row.loader_name, row.musl_loader, row.debian)
}


def tables_in(source: str) -> Iterator[str]:
    """The places of a module that look like a table of machines."""
    tree = ast.parse(source)
    members = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Arch"
    }
    if len(members & set(Arch.__members__)) > 1:
        yield f"names {', '.join(sorted(members))}"
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            values = [*node.keys, *node.values]
        elif isinstance(node, (ast.Set, ast.Tuple, ast.List)):
            values = [*node.elts]
        flat = [part for value in values if value for part in ast.walk(value) if isinstance(part, ast.Constant)]
        texts = {part.value for part in flat if isinstance(part.value, str)} & _TELLING
        numbers = {part.value for part in flat if type(part.value) is int} & (_NUMBERS - {3, 21, 22, 40, 62})
        if len(texts) > 1 or len(numbers) > 1:
            yield f"lists {sorted(texts)} {sorted(numbers)}"


@pytest.mark.parametrize(
    "source",
    [
        "_PAGES = {Arch.AARCH64: 1, Arch.PPC64: 2}",
        "def f(arch):\n    if arch is Arch.X86_64:\n        return 1\n    return 2 if arch is Arch.I686 else 3",
        "_NAMES = {'x86_64': 1, 'i686': 2}",
        "_LOADERS = ('ld-linux.so.2', 'ld64.so.1')",
        "_KINDS = {(183, 64): 1, (243, 64): 2}",
    ],
)
def test_a_second_table_would_be_seen(source: str) -> None:
    assert list(tables_in(source))


def test_no_other_module_has_a_table_of_machines() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): rows
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "machines.py" and (rows := list(tables_in(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


# -- libraries by patterns, on the systems of every machine ------------------------------------------------------------

FOLDERS = (
    "/usr/lib/{multiarch}",
    "/lib/{multiarch}",
    "/usr/local/lib/{multiarch}",
    "/usr/lib",
    "/lib",
    "/usr/lib64",
    "/lib64",
    "/usr/lib32",
    "/usr/local/lib",
    "/opt/own/lib",
)
MULTIARCH = {
    "i686": "i386-linux-gnu",
    "armv7l": "arm-linux-gnueabihf",
    "ppc64le": "powerpc64le-linux-gnu",
    "ppc64": "powerpc64-linux-gnu",
}
"""Debian's folders of the machines that have another name there (https://wiki.debian.org/Multiarch/Tuples)."""
OTHER = {arch: next(other for other in Arch if other.bits == arch.bits and other is not arch) for arch in Arch}


def place_of(folder: str, arch: Arch) -> str:
    return folder.format(multiarch=MULTIARCH.get(arch.value, f"{arch.value}-linux-gnu"))


def needs_conf(folder: str) -> bool:
    return folder.startswith(("/usr/local", "/opt"))


def is_searched(folder: str, arch: Arch) -> bool:
    """Whether any distribution's loader for the machine searches a folder: lib32 is of i686, lib64 of 64 bits."""
    if folder.endswith("32"):
        return arch is Arch.I686
    return arch.bits == 64 or not folder.endswith("64")


@pytest.mark.parametrize("folder", FOLDERS)
@every_machine
def test_find_library_knows_the_folders_of_every_machine(tmp_path: Path, arch: Arch, folder: str) -> None:
    scene, spec = Scene(tmp_path), MACHINES[arch.value]
    place = place_of(folder, arch)
    path = scene.system.library(f"{place}/libfoo.so.1", replace(spec, soname="libfoo.so.1"))
    if needs_conf(folder):
        scene.system.write("/etc/ld.so.conf", f"{place}\n")
    core = wants(bits=spec.bits, machine=spec.machine, flags=spec.flags, little_endian=spec.little_endian)
    code = b"import ctypes.util\nctypes.util.find_library('foo')\n"
    audit = scene.audit({CORE: core, "demo/a.py": code}, tags=(f"cp311-cp311-linux_{arch.value}",))
    assert audit.openings is not None
    (opening,) = audit.openings
    found = Resolution(source=Source.SYSTEM, target=path)
    assert opening.resolution == (found if is_searched(folder, arch) else Resolution(source=Source.NOTHING))


@pytest.mark.parametrize("folder", FOLDERS)
@every_machine
def test_a_pattern_of_include_finds_the_library_of_every_machine(tmp_path: Path, arch: Arch, folder: str) -> None:
    bench, spec = Bench(tmp_path), MACHINES[arch.value]
    place = place_of(folder, arch)
    bench.system.library(f"{place}/libfoo.so.1", replace(spec, soname="libfoo.so.1"))
    if needs_conf(folder):
        bench.system.write("/etc/ld.so.conf", f"{place}\n")
    # One of another machine matches too, and is none of the wheel's.
    bench.system.library("/usr/lib/libfoobar.so.1", replace(MACHINES[OTHER[arch].value], soname="libfoobar.so.1"))
    wheel = bench.wheel({CORE: spec}, tags=(f"cp311-cp311-linux_{arch.value}",))
    if not is_searched(folder, arch):
        with pytest.raises(InputError) as caught:
            bench.plan(wheel, include=("libfoo*",))
        assert caught.value.code == "include-not-found"
        return
    plan = bench.plan(wheel, include=("libfoo*",))
    assert [(graft.source, graft.new_name) for graft in plan.grafts] == [(f"{place}/libfoo.so.1", "libfoo.so.1")]


def test_the_folders_of_an_unknown_machine_are_those_of_all(tmp_path: Path) -> None:
    folders = library_folders(Scene(tmp_path).system.sysroot, None)
    assert {f"/usr/lib/{row.multiarch}" for row in ROWS} <= set(folders)


@pytest.mark.parametrize("flags", [0x0903, 0x0003])
def test_an_arm_library_is_found_in_the_cache_whether_or_not_its_float_abi_is_told(flags: int) -> None:
    """_dl_cache_check_flags of glibc's sysdeps/unix/sysv/linux/arm/dl-cache.h takes both, but not soft float."""
    rows = [Row("liba.so.1", "/lib/soft/liba.so.1", 0x0B03), Row("liba.so.1", "/lib/liba.so.1", flags)]
    cache = read_ld_so_cache(build_cache(rows))
    assert cache is not None
    assert cache.find("liba.so.1", arch=Arch.ARMV7L) == "/lib/liba.so.1"
    assert cache.find("liba.so.1", arch=Arch.AARCH64) is None
