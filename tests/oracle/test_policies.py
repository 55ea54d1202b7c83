"""The policies against auditwheel's own tables, and the names of the loaders against zig's list of targets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("auditwheel", reason="auditwheel is not installed: its tables are what is compared")

from auditwheel import policy as auditwheel_policy
from auditwheel.architecture import Architecture
from auditwheel.libc import Libc as TheirLibc

from deloc8.policy.load import builtin_policies, find_policy
from deloc8.policy.model import TOOLCHAIN_NAMESPACES
from deloc8.target import Arch, Libc

if TYPE_CHECKING:
    from deloc8.policy.model import Policy

FILES = {Libc.GLIBC: "manylinux", Libc.MUSL: "musllinux", Libc.ANDROID: "android"}

# Versions that no table lists, and that must be judged alike all the same.
UNLISTED = ("2.99", "2.2.99", "99", "0")
# Only the toolchain has versions that are no numbers; ZLIB_NG is no version of ZLIB, and so no ZLIB_WORD is.
UNLISTED_MARKERS = ("PRIVATE", "ABI_NEW", "LDBL_9")


def their_table(libc: Libc) -> list[dict[str, Any]]:
    file = Path(auditwheel_policy.__file__).parent / f"{FILES[libc]}-policy.json"
    table: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return [policy for policy in table if policy["name"] != "linux"]


def ours_by_name(arch: Arch, libc: Libc) -> dict[str, Policy]:
    return {
        policy.name: policy
        for policy in builtin_policies(arch, libc)
        if policy.name not in {"linux", "linux_pybe1_core"}
    }


@pytest.mark.parametrize("libc", Libc)
@pytest.mark.parametrize("arch", Arch)
def test_the_same_policies_in_the_same_order(arch: Arch, libc: Libc) -> None:
    theirs = [policy for policy in their_table(libc) if arch.value in policy["symbol_versions"]]
    theirs.sort(key=lambda policy: -policy["priority"])
    ours = ours_by_name(arch, libc)
    assert [(policy["name"], tuple(policy["aliases"])) for policy in theirs] == [
        (policy.name, policy.aliases) for policy in ours.values()
    ]
    for policy in theirs:
        mine = ours[policy["name"]]
        assert mine.libraries == set(policy["lib_whitelist"])
        assert mine.forbidden_symbols == {name: set(symbols) for name, symbols in policy["blacklist"].items()}
        assert set(mine.ceilings) == set(policy["symbol_versions"][arch.value])


@pytest.mark.parametrize("arch", Arch)
def test_every_version_is_judged_alike(arch: Arch) -> None:
    table = their_table(Libc.GLIBC)
    compared = 0
    differences = []
    everything: dict[str, set[str]] = {}
    for policy in table:
        for namespaces in policy["symbol_versions"].values():
            for namespace, numbers in namespaces.items():
                everything.setdefault(namespace, set(UNLISTED)).update(numbers)
    for namespace in TOOLCHAIN_NAMESPACES:
        everything[namespace].update(UNLISTED_MARKERS)
    for policy in table:
        for namespace, numbers in policy["symbol_versions"].get(arch.value, {}).items():
            mine = ours_by_name(arch, Libc.GLIBC)[policy["name"]]
            for number in everything[namespace]:
                compared += 1
                if mine.allows_version(f"{namespace}_{number}") != (number in numbers):
                    differences.append((policy["name"], namespace, number))
    assert differences == []
    assert compared > 100


@pytest.mark.parametrize("arch", [Arch.X86_64, Arch.I686, Arch.AARCH64, Arch.ARMV7L, Arch.PPC64LE, Arch.S390X])
def test_musl_libc_goes_by_their_name_and_more(arch: Arch) -> None:
    theirs = auditwheel_policy.WheelPolicies(
        libc=TheirLibc.MUSL, arch=Architecture(arch.value), musl_policy="musllinux_1_2"
    )
    policy = find_policy("musllinux_1_2", builtin_policies(arch, Libc.MUSL), arch)
    (whitelist,) = (their.whitelist for their in theirs if their.name.startswith("musllinux"))
    assert all(policy.allows_library(soname) for soname in whitelist)
    # auditwheel puts Alpine's name in place of libc.so, and so grafts libc into wheels that musl's own compiler
    # wrapper or zig made; it knows no loader of musl either. Here all names of the one file are allowed.
    assert "libc.so" not in whitelist
    assert policy.allows_library("libc.so")


def test_the_known_differences_of_judgement() -> None:
    """What is meant to differ from auditwheel 6.8, each with its reason."""
    theirs = auditwheel_policy.WheelPolicies(libc=TheirLibc.GLIBC, arch=Architecture.x86_64)
    ours = builtin_policies(Arch.X86_64, Libc.GLIBC)

    def best(version: str) -> tuple[str, str]:
        mine = next(policy for policy in ours if policy.allows_version(version))
        return mine.name, theirs.versioned_symbols_policy({"lib": {version}}).name

    # The same for what both know.
    assert best("GLIBC_2.17") == ("manylinux_2_17", "manylinux_2_17_x86_64")
    assert best("GLIBCXX_3.4.29") == ("manylinux_2_34", "manylinux_2_34_x86_64")
    assert best("GLIBC_ABI_DT_RELR") == ("manylinux_2_36", "manylinux_2_36_x86_64")
    assert best("GLIBC_PRIVATE") == ("linux", "linux_x86_64")
    # ZLIB_NG is no version of ZLIB: it is a namespace of its own, which no policy names (auditwheel's issue 613).
    assert best("ZLIB_NG_2.1.0") == ("manylinux_2_5", "linux_x86_64")
    # A glibc that the table does not know has a tag all the same (PEP 600).
    assert theirs.versioned_symbols_policy({"lib": {"GLIBC_2.42"}}).name == "linux_x86_64"
    assert find_policy("manylinux_2_42", ours, Arch.X86_64).allows_version("GLIBC_2.42")


ZIG = {
    Arch.X86_64: ("x86_64", "gnu", "musl"),
    Arch.I686: ("x86", "gnu", "musl"),
    Arch.AARCH64: ("aarch64", "gnu", "musl"),
    Arch.ARMV7L: ("arm", "gnueabihf", "musleabihf"),
    Arch.PPC64LE: ("powerpc64le", "gnu", "musl"),
    Arch.PPC64: ("powerpc64", "gnu", "musl"),
    Arch.S390X: ("s390x", "gnu", "musl"),
    Arch.RISCV64: ("riscv64", "gnu", "musl"),
    Arch.LOONGARCH64: ("loongarch64", "gnu", "musl"),
}


def loader(target: str, cache: Path) -> str:
    """The file name of the dynamic loader that zig writes into programs for this target."""
    pytest.importorskip("ziglang", reason="ziglang is not installed: it knows the loaders of all machines")
    command = [sys.executable, "-m", "ziglang", "build-obj", "--show-builtin", "-target", target]
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache), "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if ".dynamic_linker" in line)
    return line.split('"')[1].rpartition("/")[2]


@pytest.mark.parametrize("arch", Arch)
def test_the_loaders_are_those_that_compilers_name(arch: Arch, tmp_path: Path) -> None:
    cpu, gnu, musl = ZIG[arch]
    glibc_loader = loader(f"{cpu}-linux-{gnu}", tmp_path)
    musl_loader = loader(f"{cpu}-linux-{musl}", tmp_path)
    for policy in builtin_policies(arch, Libc.GLIBC):
        assert policy.allows_library(glibc_loader)
        assert policy.allows_library(musl_loader) == policy.is_unbounded
    for policy in builtin_policies(arch, Libc.MUSL):
        assert policy.allows_library(musl_loader)
        assert policy.allows_library(glibc_loader) == policy.is_unbounded
