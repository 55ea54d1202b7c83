from __future__ import annotations

import json
from pathlib import Path

import pytest

from deloc8.errors import UsageError
from deloc8.policy import load
from deloc8.policy.load import (
    LAST_MINOR,
    MINIMAL_SYSTEM_LACKS,
    android_policy,
    builtin_policies,
    find_policy,
    host_only_reason,
    manylinux_policy,
    musllinux_policy,
)
from deloc8.policy.model import Family, Policy
from deloc8.target import Arch, Libc


def glibc_policy(name: str, arch: Arch = Arch.X86_64) -> Policy:
    return find_policy(name, builtin_policies(arch, Libc.GLIBC), arch)


def names(arch: Arch, libc: Libc) -> list[str]:
    return [policy.name for policy in builtin_policies(arch, libc)]


# The text the project started from, word for word.
SEED = """
    {"name": "linux_pybe1_core",
     "symbol_versions": {
         "GLIBC": "2.5",
         "CXXABI": "3.4.8",
         "GLIBCXX": "3.4.9",
         "GCC": "4.2.0"},
     "lib_whitelist": [
         "libpanelw.so.5", "libncursesw.so.5",
         "libgcc_s.so.1",
         "libstdc++.so.6",
         "libm.so.6", "libdl.so.2", "librt.so.1", "libcrypt.so.1",
         "libc.so.6", "libnsl.so.1", "libutil.so.1", "libpthread.so.0",
         "libX11.so.6", "libXext.so.6", "libXrender.so.1", "libICE.so.6",
         "libSM.so.6", "libGL.so.1", "libgobject-2.0.so.0",
         "libgthread-2.0.so.0", "libglib-2.0.so.0"
     ]}
"""


def test_policies_are_ordered_from_the_most_portable_to_linux() -> None:
    x86_64 = names(Arch.X86_64, Libc.GLIBC)
    assert x86_64[:4] == ["manylinux_2_5", "manylinux_2_12", "manylinux_2_17", "manylinux_2_24"]
    assert x86_64[-3:] == ["manylinux_2_41", "linux_pybe1_core", "linux"]
    assert len(x86_64) == 18
    assert names(Arch.PPC64, Libc.GLIBC) == ["manylinux_2_17", "linux_pybe1_core", "linux"]
    assert names(Arch.LOONGARCH64, Libc.GLIBC)[0] == "manylinux_2_36"
    assert names(Arch.RISCV64, Libc.MUSL) == ["musllinux_1_1", "musllinux_1_2", "linux"]
    assert names(Arch.LOONGARCH64, Libc.MUSL) == ["musllinux_1_2", "linux"]
    assert names(Arch.AARCH64, Libc.ANDROID) == ["android_21", "android_24", "android_26", "android_27", "linux"]
    assert names(Arch.S390X, Libc.ANDROID) == ["linux"]


@pytest.mark.parametrize("arch", Arch)
@pytest.mark.parametrize("libc", Libc)
def test_every_policy_knows_its_machine(arch: Arch, libc: Libc) -> None:
    policies = builtin_policies(arch, libc)
    assert all(policy.arch is arch for policy in policies)
    assert policies[-1].is_unbounded
    assert policies[-1].tags == (f"linux_{arch.value}",)
    assert [policy.name for policy in policies if not policy.installable] == ["linux_pybe1_core"] * (libc is Libc.GLIBC)


def test_the_seeds_policy_is_built_in_word_for_word() -> None:
    seed = json.loads(SEED)
    policy = glibc_policy("linux_pybe1_core")
    assert {name: ceiling.maximum for name, ceiling in policy.ceilings.items()} == seed["symbol_versions"]
    assert policy.libraries == set(seed["lib_whitelist"])
    assert policy.tags == ("linux_pybe1_core_x86_64",)
    assert not policy.installable
    assert policy.allows_version("GLIBCXX_3.4.9")
    assert not policy.allows_version("GLIBC_2.6")
    assert not policy.allows_version("GLIBC_ABI_DT_RELR")
    assert policy.allows_library("ld-linux-x86-64.so.2")
    assert not policy.allows_library("libz.so.1")


def test_aarch64_2_17_has_glibc_2_18_without_its_symbols() -> None:
    policy = glibc_policy("manylinux_2_17", Arch.AARCH64)
    assert policy.allows_version("GLIBC_2.18")
    assert policy.forbidden("libc.so.6", ["__cxa_thread_atexit_impl"]) == ("__cxa_thread_atexit_impl",)
    assert not glibc_policy("manylinux_2_17").allows_version("GLIBC_2.18")


def test_forbidden_symbols_hold_until_a_policy_changes_them() -> None:
    assert glibc_policy("manylinux_2_12").forbidden("libz.so.1", ["longest_match"]) == ("longest_match",)
    assert glibc_policy("manylinux_2_31").forbidden("libz.so.1", ["longest_match"]) == ("longest_match",)
    assert glibc_policy("manylinux_2_41").forbidden("libz.so.1", ["longest_match", "zcfree"]) == ("zcfree",)


def test_a_policy_of_the_table_is_not_computed() -> None:
    assert manylinux_policy(17, Arch.X86_64) is glibc_policy("manylinux_2_17")
    assert musllinux_policy(1, 2, Arch.X86_64) == builtin_policies(Arch.X86_64, Libc.MUSL)[1]
    assert android_policy(24, Arch.X86_64) == builtin_policies(Arch.X86_64, Libc.ANDROID)[1]


def test_a_computed_policy_between_two_of_the_table() -> None:
    policy = manylinux_policy(29, Arch.X86_64)
    assert policy.tags == ("manylinux_2_29_x86_64",)
    assert policy.family is Family.MANYLINUX
    assert policy.installable
    assert policy.allows_version("GLIBC_2.29")
    assert not policy.allows_version("GLIBC_2.30")
    assert not policy.allows_version("GLIBC_ABI_DT_RELR")
    # The C++ runtime is that of manylinux_2_28, not that of 2_31.
    assert policy.allows_version("GLIBCXX_3.4.24")
    assert not policy.allows_version("GLIBCXX_3.4.28")
    assert policy.libraries == glibc_policy("manylinux_2_28").libraries
    assert policy.forbidden_symbols == glibc_policy("manylinux_2_28").forbidden_symbols


def test_what_glibc_2_18_brought_is_forbidden_until_then() -> None:
    symbols = ["__issignaling", "printf"]
    assert manylinux_policy(16, Arch.X86_64).forbidden("libm.so.6", symbols) == ("__issignaling",)
    assert manylinux_policy(18, Arch.X86_64).forbidden("libm.so.6", symbols) == ()
    assert manylinux_policy(18, Arch.X86_64).forbidden("libz.so.1", ["zcfree"]) == ("zcfree",)
    assert not manylinux_policy(16, Arch.X86_64).aliases


def test_a_glibc_newer_than_the_table() -> None:
    policy = manylinux_policy(42, Arch.AARCH64)
    assert policy.allows_version("GLIBC_2.42")
    assert policy.allows_version("GLIBC_ABI_DT_RELR")
    assert not policy.allows_version("GLIBC_2.43")
    assert not policy.allows_version("GLIBC_ABI_GNU2_TLS")
    assert policy.allows_version("GLIBCXX_3.4.33")
    later = manylinux_policy(45, Arch.X86_64)
    assert all(later.allows_version(f"GLIBC_2.{minor}") for minor in (17, 41, 42, 43, 44, 45))
    assert not later.allows_version("GLIBC_2.1")
    for marker in ("ABI_GNU2_TLS", "ABI_GNU_TLS", "ABI_DT_X86_64_PLT", "ABI_DT_RELR"):
        assert later.allows_version(f"GLIBC_{marker}")
    assert not later.allows_version("GLIBC_PRIVATE")


def test_a_machine_whose_table_ends_early_gets_the_later_versions() -> None:
    policy = manylinux_policy(34, Arch.PPC64)
    assert policy.allows_version("GLIBC_2.33")
    assert not policy.allows_version("GLIBC_2.35")
    assert not policy.allows_version("GLIBCXX_3.4.20")
    assert not policy.allows_version("GLIBC_ABI_DT_RELR")
    assert manylinux_policy(36, Arch.PPC64).allows_version("GLIBC_ABI_DT_RELR")


def test_musl_and_android_between_and_after_the_table() -> None:
    musl = musllinux_policy(1, 5, Arch.X86_64)
    assert musl.tags == ("musllinux_1_5_x86_64",)
    assert musl.allows_library("libc.musl-x86_64.so.1")
    assert not musl.allows_library("libstdc++.so.6")
    android = android_policy(25, Arch.AARCH64)
    assert android.tags == ("android_25_arm64_v8a",)
    assert android.allows_library("libvulkan.so")
    assert not android.allows_library("libaaudio.so")
    assert android_policy(36, Arch.AARCH64).allows_library("libneuralnetworks.so")


@pytest.mark.parametrize(
    ("text", "arch", "libc", "told"),
    [
        ("manylinux_2_4", Arch.X86_64, Libc.GLIBC, "manylinux_2_5"),
        ("manylinux_2_16", Arch.AARCH64, Libc.GLIBC, "manylinux_2_17"),
        ("manylinux_2_1000", Arch.X86_64, Libc.GLIBC, "above 999"),
        ("manylinux_2_999999999", Arch.X86_64, Libc.GLIBC, "above 999"),
        ("musllinux_1_0", Arch.X86_64, Libc.MUSL, "musllinux_1_1"),
        ("musllinux_1_1", Arch.LOONGARCH64, Libc.MUSL, "musllinux_1_2"),
        ("musllinux_2_0", Arch.X86_64, Libc.MUSL, "the major version of musl is 1"),
        ("android_20", Arch.X86_64, Libc.ANDROID, "android_21"),
    ],
)
def test_what_cannot_be_computed_is_explained(text: str, arch: Arch, libc: Libc, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_policy(text, builtin_policies(arch, libc), arch)
    assert caught.value.code == "unknown-platform"
    assert told in "\n".join(caught.value.context)


def test_a_machine_without_policies_of_the_kind() -> None:
    with pytest.raises(UsageError, match="android_24") as caught:
        android_policy(24, Arch.S390X)
    assert caught.value.context == ("s390x has no policies of this kind",)
    with pytest.raises(UsageError, match="ppc64"):
        musllinux_policy(1, 2, Arch.PPC64)


def test_the_last_number_is_still_computed() -> None:
    assert manylinux_policy(LAST_MINOR, Arch.X86_64).allows_version(f"GLIBC_2.{LAST_MINOR}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("manylinux_2_17", "manylinux_2_17"),
        ("manylinux2014", "manylinux_2_17"),
        ("manylinux2014_x86_64", "manylinux_2_17"),
        ("manylinux_2_17_x86_64", "manylinux_2_17"),
        ("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17"),
        ("manylinux1_x86_64", "manylinux_2_5"),
        ("linux_pybe1_core", "linux_pybe1_core"),
        ("linux_pybe1_core_x86_64", "linux_pybe1_core"),
        ("linux", "linux"),
        ("linux_x86_64", "linux"),
        ("manylinux_2_33", "manylinux_2_33"),
        ("manylinux_2_44_x86_64", "manylinux_2_44"),
    ],
)
def test_find_policy(text: str, name: str) -> None:
    assert glibc_policy(text).name == name


def test_find_policy_on_musl_and_android() -> None:
    musl = builtin_policies(Arch.AARCH64, Libc.MUSL)
    assert find_policy("musllinux_1_2_aarch64", musl, Arch.AARCH64) is musl[1]
    assert find_policy("musllinux_1_3", musl, Arch.AARCH64).name == "musllinux_1_3"
    android = builtin_policies(Arch.AARCH64, Libc.ANDROID)
    assert find_policy("android_24_arm64_v8a", android, Arch.AARCH64) is android[1]
    assert find_policy("android_34_arm64_v8a", android, Arch.AARCH64).name == "android_34"
    assert find_policy("linux_armv8l", builtin_policies(Arch.ARMV7L, Libc.GLIBC), Arch.ARMV7L).name == "linux"


def test_a_tag_of_another_machine() -> None:
    with pytest.raises(UsageError) as caught:
        glibc_policy("manylinux_2_17_aarch64")
    assert caught.value.code == "other-machine"
    assert "manylinux_2_17_aarch64" in caught.value.message
    assert "x86_64" in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "manylinux", "manylinux_2", "manylinux_3_1", "manylinux_2_017", "manylinux_2_17_mips", "musllinux_1_2",
     "android_24", "android_2_4", "manylinux_2_1_7", "auto", "x" * 100_000, "manylinux_2_9999999999", "\ud800"],
)  # fmt: skip
def test_an_unknown_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        glibc_policy(text)
    assert caught.value.code == "unknown-platform"
    assert "manylinux_2_41" in caught.value.context[0]


@pytest.mark.parametrize(
    ("text", "libc"), [("musllinux_1", Libc.MUSL), ("android_2_4", Libc.ANDROID), ("android_24_s390x", Libc.ANDROID)]
)
def test_a_name_that_only_begins_well(text: str, libc: Libc) -> None:
    with pytest.raises(UsageError, match="no policy is called"):
        find_policy(text, builtin_policies(Arch.X86_64, libc), Arch.X86_64)


def test_close_names_are_offered() -> None:
    with pytest.raises(UsageError) as caught:
        glibc_policy("manylinux2041")
    assert "`manylinux2014`" in caught.value.hints[0]
    with pytest.raises(UsageError) as caught:
        glibc_policy("zzz")
    assert caught.value.hints == ()


HOST_ONLY = {
    "drivers or the display": (
        *("libGL.so.1", "libEGL.so.1", "libGLX.so.0", "libGLX_mesa.so.0", "libEGL_mesa.so.0", "libGLESv2.so.2"),
        *("libGLESv1_CM.so.1", "libOpenGL.so.0", "libGLdispatch.so.0", "libgallium-24.2.8-1.so", "libglapi.so.0"),
        *("libdrm.so.2", "libdrm_amdgpu.so.1", "libgbm.so.1", "libvulkan.so.1"),
        *("libX11.so.6", "libxcb.so.1", "libwayland-client.so.0"),
    ),
    "graphics driver": (
        *("libcuda.so.1", "libnvidia-ml.so.1", "libnvcuvid.so.1", "libnvoptix.so.1", "libcudadebugger.so.1"),
    ),
    "folder that its build names": ("libasound.so.2", "libva.so.2", "libva-drm.so.2", "libvdpau.so.1"),
    "call back": ("libibverbs.so.1", "librdmacm.so.1", "libmlx5.so.1", "libefa.so.1"),
    "modules of the machine": ("libpam.so.0", "libpam_misc.so.0", "libpipewire-0.3.so.0"),
    "protocol": ("libpcsclite.so.1", "libpcsclite_real.so.1", "libjack.so.0"),
    "udev": ("libudev.so.1",),
    "module of the C library": ("libnss_files.so.2", "libnss_systemd.so.2"),
}

# Loaders of drivers that bring no state of their own, and clients of protocols that every release speaks.
NOT_HOST_ONLY = (
    *("libGLU.so.1", "libGLESv2.so", "libX11-xcb.so.1", "libxcb-shm.so.0", "libjpeg.so.62"),
    *("libcudart.so.12", "libOpenCL.so.1", "libze_loader.so.1", "libvapoursynth.so", "libibumad.so.3"),
    *("libpulse.so.0", "libsystemd.so.0", "libdbus-1.so.3", "libusb-1.0.so.0", "libfuse3.so.3", "libselinux.so.1"),
    *("libnss3.so", "libnssutil3.so", "libnsl.so.1", "libpango-1.0.so.0"),
)


@pytest.mark.parametrize("reason", HOST_ONLY)
def test_libraries_of_the_host_have_a_reason(reason: str) -> None:
    for soname in HOST_ONLY[reason]:
        assert reason in (host_only_reason(soname) or ""), soname


def test_other_libraries_can_come_from_elsewhere() -> None:
    assert [soname for soname in NOT_HOST_ONLY if host_only_reason(soname)] == []


def test_each_group_of_libraries_of_the_host_is_documented() -> None:
    groups = json.loads(Path(load.__file__).with_name("data").joinpath("host_libraries.json").read_bytes())
    page = Path(__file__).parents[3].joinpath("docs/diagnostics/host-only-library.md").read_text(encoding="utf-8")
    for group in groups:
        assert group["source"]
        assert group["reason"] in page


def test_what_a_minimal_system_lacks_is_whitelisted_by_the_newest_policy() -> None:
    assert glibc_policy("manylinux_2_41").libraries >= MINIMAL_SYSTEM_LACKS
