"""Libraries for newer processors in a wheel: what the real loader takes on an old and on a new one."""

from __future__ import annotations

import platform
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.violations import ViolationCode
from deloc8.machines import Arch
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.check import check_wheel
from kit.require import require
from kit.shop import EXT, INIT, MACHINE, Shop

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.repair.model import Outcome

if MACHINE != "x86_64":
    pytest.skip(f"needs an x86-64 to build for, this is {MACHINE}", allow_module_level=True)

BASE, V3 = "demo/lib/libk.so", "demo/lib/glibc-hwcaps/x86-64-v3/libk.so"
SINCE_HWCAPS = (2, 33)
ASK = INIT + "int k(void); int call(void) { return k(); }\n"
MAIN = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **paths) {
    void *library = dlopen(paths[1], RTLD_NOW);
    int (*call)(void) = library ? (int (*)(void))dlsym(library, "call") : 0;
    if (call) printf("%d\n", call()); else printf("%s\n", dlerror());
    return !call;
}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def k(shop: Shop, place: str, number: int, *options: str | Path, level: int = 1, call: str = "") -> bytes:
    """A library whose function tells which build it is; it needs a processor of a level."""
    march = ("-mneeded", f"-march=x86-64-v{level}") if level > 1 else ()
    path = shop.compile(place, f"int m(void); int k(void) {{ return {number}{call}; }}\n", *march, *options)
    return path.read_bytes()


def linked(shop: Shop, *options: str) -> bytes:
    """A module that finds the library by its search path in the wheel."""
    library = shop.compile("link/libk.so", "int k(void) { return 0; }\n", "-Wl,-soname,libk.so")
    return shop.compile("core.so", ASK, library, *(options or ("-Wl,-rpath,$ORIGIN/lib",))).read_bytes()


def answers(shop: Shop, folder: Path) -> list[str]:
    """What the module says on the oldest processor of x86-64, and on the newest that qemu has."""
    if tuple(map(int, platform.libc_ver()[1].split("."))) < SINCE_HWCAPS:
        pytest.skip("needs a loader that knows glibc-hwcaps (glibc 2.33)")
    qemu = require("qemu-x86_64-static", "Debian: qemu-user-static")
    main = shop.compile("main", MAIN, kind="-pie")
    found = []
    for processor in ("qemu64", "max"):
        command = [qemu, "-cpu", processor, str(main), str(folder / EXT)]
        found.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    return found


def repaired(shop: Shop, members: dict[str, bytes], *, answer: list[str]) -> Outcome:
    """The outcome for a wheel that answers so as it is, and does so after the repair."""
    wheel = shop.wheel(members)
    assert answers(shop, shop.unpack(wheel)) == answer
    outcome = shop.repair(wheel)
    if shop.libraries.exists():
        shop.hide_libraries()
    assert answers(shop, shop.unpack(outcome.path)) == answer
    assert not outcome.plan.target.platforms[0].startswith("linux")
    assert [row.message for row in check_wheel(outcome.path) if row.severity.value == "error"] == []
    return outcome


def test_the_base_runs_on_old_processors_and_the_variant_on_new_ones(shop: Shop) -> None:
    soname = "-Wl,-soname,libk.so"
    members = {BASE: k(shop, "k1.so", 1, soname), V3: k(shop, "k3.so", 3, soname, level=3)}
    outcome = repaired(shop, {EXT: linked(shop), **members}, answer=["1", "3"])
    assert "duplicate-library" not in [row.code for row in check_wheel(outcome.path)]


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_what_a_variant_needs_is_grafted_and_found_from_its_folder(shop: Shop, tags: str) -> None:
    """As a build leaves it: both builds have an absolute search path."""
    m = shop.library("libm2.so.1", "int m(void) { return 40; }\n")
    options = ("-Wl,-soname,libk.so", str(m), f"-Wl,-rpath,{m.parent}", f"-Wl,{tags}")
    members = {
        BASE: k(shop, "k1.so", 1, *options, call="+m()"),
        V3: k(shop, "k3.so", 3, *options, level=3, call="+m()"),
    }
    outcome = repaired(shop, {EXT: linked(shop), **members}, answer=["41", "43"])
    assert [graft.soname for graft in outcome.plan.grafts] == ["libm2.so.1"]


def test_what_only_the_path_of_the_module_leads_to_is_found_for_the_variant_too(shop: Shop) -> None:
    """DT_RPATH is inherited: neither build of the library has a search path of its own."""
    m = shop.library("libm2.so.1", "int m(void) { return 40; }\n")
    options = ("-Wl,-soname,libk.so", str(m))
    members = {
        BASE: k(shop, "k1.so", 1, *options, call="+m()"),
        V3: k(shop, "k3.so", 3, *options, level=3, call="+m()"),
    }
    module = linked(shop, "-Wl,--disable-new-dtags", f"-Wl,-rpath,$ORIGIN/lib:{m.parent}")
    repaired(shop, {EXT: module, **members}, answer=["41", "43"])


def test_a_variant_that_needs_a_neighbour_of_the_base_gets_a_search_path_to_it(shop: Shop) -> None:
    """`$ORIGIN` is the folder of the variant, where the neighbour is not: so it fails as it is, on new processors."""
    m = shop.compile("link/libm2.so", "int m(void) { return 40; }\n", "-Wl,-soname,libm2.so")
    options = ("-Wl,-soname,libk.so", str(m), "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags")
    members = {
        EXT: linked(shop),
        BASE: k(shop, "k1.so", 1, *options, call="+m()"),
        V3: k(shop, "k3.so", 3, *options, level=3, call="+m()"),
        "demo/lib/libm2.so": m.read_bytes(),
    }
    wheel = shop.wheel(members)
    old, new = answers(shop, shop.unpack(wheel))
    assert (old, "libm2.so: cannot open" in new) == ("41", True)
    assert answers(shop, shop.unpack(shop.repair(wheel).path)) == ["41", "43"]


def test_a_variant_that_needs_more_than_its_level_is_refused(shop: Shop) -> None:
    soname = "-Wl,-soname,libk.so"
    members = {BASE: k(shop, "k1.so", 1, soname), V3: k(shop, "k4.so", 4, soname, level=4)}
    audit = audit_wheel(shop.wheel({EXT: linked(shop), **members}), AuditOptions())
    found = [row for match in audit.matches for row in match.violations if row.code is ViolationCode.ISA_LEVEL]
    assert {(row.file, row.version, row.limit) for row in found} == {(V3, "x86-64-v4", "x86-64-v3 in that folder")}


def test_a_search_path_into_the_folder_itself_leads_every_processor_there(shop: Shop) -> None:
    soname = "-Wl,-soname,libk.so"
    members = {BASE: k(shop, "k1.so", 1, soname), V3: k(shop, "k3.so", 3, soname, level=3)}
    module = linked(shop, "-Wl,-rpath,$ORIGIN/lib/glibc-hwcaps/x86-64-v3")
    wheel = shop.wheel({EXT: module, **members})
    old, new = answers(shop, shop.unpack(wheel))
    assert ("ISA level is lower than required" in old, new) == (True, "3")
    audit = audit_wheel(wheel, AuditOptions())
    assert audit.outlook.policy.name == "linux"


LOADERS = {
    Arch.X86_64: ("", "", Arch.X86_64.row.loader),
    Arch.I686: ("qemu-i386-static", "max", "/usr/i686-linux-gnu/lib/ld-linux.so.2"),
    Arch.AARCH64: ("qemu-aarch64-static", "max", "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"),
    Arch.ARMV7L: ("qemu-arm-static", "cortex-a15", "/usr/arm-linux-gnueabihf/lib/ld-linux-armhf.so.3"),
    Arch.PPC64LE: ("qemu-ppc64le-static", "power9", "/usr/powerpc64le-linux-gnu/lib/ld64.so.2"),
    Arch.PPC64: ("qemu-ppc64-static", "power9", "/usr/powerpc64-linux-gnu/lib/ld64.so.1"),
    Arch.S390X: ("qemu-s390x-static", "max", "/usr/s390x-linux-gnu/lib/ld64.so.1"),
    Arch.RISCV64: ("qemu-riscv64-static", "rv64", "/usr/riscv64-linux-gnu/lib/ld-linux-riscv64-lp64d.so.1"),
}


@pytest.mark.parametrize("arch", LOADERS, ids=lambda arch: arch.value)
def test_the_folders_are_those_that_the_loader_of_the_machine_lists(arch: Arch) -> None:
    """A newer glibc knows more levels and no folders of single features."""
    emulator, processor, loader = LOADERS[arch]
    start = [require(emulator, "Debian: qemu-user-static"), "-cpu", processor] if emulator else []
    require(loader, f"Debian: the cross compiler for {arch.value}, with its libc6")
    text = subprocess.run([*start, loader, "--help"], capture_output=True, text=True, check=True).stdout
    if "glibc-hwcaps" not in text:
        pytest.skip("needs a loader that lists its folders (glibc 2.33)")
    newer, _, old = text.partition("glibc-hwcaps directories")[2].partition("Legacy HWCAP")
    levels = tuple(re.findall(r"^  (\S+)", newer, re.MULTILINE))
    assert arch.row.hwcaps[-len(levels) :] == levels if levels else arch.row.hwcaps == ()
    assert set(re.findall(r"^  (\S+)", old, re.MULTILINE)) <= set(arch.row.old_hwcaps)
