from __future__ import annotations

import dataclasses

import pytest

from deloc8.policy.model import Ceiling, Family, Policy, number_key, sort_versions, split_version
from deloc8.target import Arch


def make_policy(**changes: object) -> Policy:
    policy = Policy(
        name="here",
        family=Family.CUSTOM,
        arch=Arch.X86_64,
        libraries=frozenset({"libc.so.6"}),
        ceilings={
            "GLIBC": Ceiling(maximum="2.17", also=frozenset({"ABI_DT_RELR"}), known=frozenset({"2.5", "2.17", "2.18"})),
            "GCC": Ceiling(maximum="4.8.0"),
            "LIBATOMIC": Ceiling(maximum=None),
        },
    )
    return dataclasses.replace(policy, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("GLIBC_2.17", ("GLIBC", "2.17")),
        ("GLIBC_2.2.5", ("GLIBC", "2.2.5")),
        ("GLIBC_PRIVATE", ("GLIBC", "PRIVATE")),
        ("GLIBC_ABI_DT_RELR", ("GLIBC", "ABI_DT_RELR")),
        ("GLIBC_ABI_DT_X86_64_PLT", ("GLIBC", "ABI_DT_X86_64_PLT")),
        ("GLIBCXX_3.4.29", ("GLIBCXX", "3.4.29")),
        ("GLIBCXX_LDBL_3.4.10", ("GLIBCXX", "LDBL_3.4.10")),
        ("CXXABI_FLOAT128", ("CXXABI", "FLOAT128")),
        ("CXXABI_TM_1", ("CXXABI", "TM_1")),
        ("ZLIB_1.2.9", ("ZLIB", "1.2.9")),
        ("ZLIB_NG_2.1.0", ("ZLIB_NG", "2.1.0")),
        ("OPENSSL_1_1_0", ("OPENSSL", "1_1_0")),
        ("OPENSSL_1.0.2g", ("OPENSSL", "1.0.2g")),
        ("LIBFFI_CLOSURE_8.0", ("LIBFFI_CLOSURE", "8.0")),
        ("NCURSES6_TINFO_5.0.19991023", ("NCURSES6_TINFO", "5.0.19991023")),
        ("libmysqlclient_21.0", ("libmysqlclient", "21.0")),
        ("krb5_3_MIT", ("krb5_3_MIT", "")),
        ("libfoo.so.1", ("libfoo.so.1", "")),
        ("GLIBC", ("GLIBC", "")),
        ("GLIBC_", ("GLIBC", "")),
        ("_2.3", ("_2.3", "")),
        ("", ("", "")),
    ],
)
def test_split_version(version: str, parts: tuple[str, str]) -> None:
    assert split_version(version) == parts


def test_a_giant_name_is_not_taken_apart() -> None:
    hostile = "_1" * 1_000_000
    assert split_version(hostile) == (hostile, "")
    assert split_version("A" * 252 + "_1.2") == ("A" * 252, "1.2")
    assert split_version("A" * 253 + "_1.2") == ("A" * 253 + "_1.2", "")


def test_a_number_of_many_digits_is_a_marker() -> None:
    assert number_key("2." + "9" * 9) is not None
    assert number_key("2." + "9" * 5000) is None
    assert not make_policy().allows_version("GLIBC_2." + "9" * 200)


@pytest.mark.parametrize("number", ["", "ABI_DT_RELR", "2.", ".2", "2..5", "2.17-3", "\u0662.\u0665"])
def test_what_is_no_number(number: str) -> None:
    assert number_key(number) is None


def test_trailing_zeros_and_letters_count_as_in_releases() -> None:
    assert number_key("4.8.0") == number_key("4.8") == number_key("4_8_0_0")
    assert number_key("0.0") == ((), "")
    assert number_key("1.0.2") == ((1, 0, 2), "")
    assert number_key("1.0.2g") == ((1, 0, 2), "g")


def test_versions_are_sorted_as_versions() -> None:
    versions = ["GLIBC_2.17", "GLIBC_PRIVATE", "GLIBC_2.2.5", "CXXABI_1.3", "GLIBC_ABI_DT_RELR", "GLIBC_2.14"]
    assert sort_versions([*versions, "GLIBC_2.14", "A"]) == (
        "A",
        "CXXABI_1.3",
        "GLIBC_2.2.5",
        "GLIBC_2.14",
        "GLIBC_2.17",
        "GLIBC_ABI_DT_RELR",
        "GLIBC_PRIVATE",
    )


def test_a_version_must_be_known_and_not_above_the_maximum() -> None:
    policy = make_policy()
    assert policy.allows_version("GLIBC_2.5")
    assert policy.allows_version("GLIBC_2.17")
    assert policy.allows_version("GLIBC_ABI_DT_RELR")
    assert not policy.allows_version("GLIBC_2.6")
    assert not policy.allows_version("GLIBC_2.18")
    assert not policy.allows_version("GLIBC_ABI_GNU2_TLS")
    assert not policy.allows_version("GLIBC_")


def test_without_known_versions_every_number_counts() -> None:
    policy = make_policy()
    assert policy.allows_version("GCC_4.7.99")
    assert policy.allows_version("GCC_4.8")
    assert not policy.allows_version("GCC_4.8.1")


def test_no_maximum_allows_no_number() -> None:
    assert not make_policy().allows_version("LIBATOMIC_1.0")
    assert not Ceiling(maximum=None).allows("0")


def test_other_namespaces_are_free() -> None:
    assert make_policy().allows_version("ZLIB_NG_2.1.0")
    assert make_policy().allows_version("OPENSSL_99")
    zlib = make_policy(ceilings={"ZLIB": Ceiling(maximum="1.2.9")})
    assert zlib.allows_version("ZLIB_NG_2.1.0")
    assert not zlib.allows_version("ZLIB_1.2.12")


def test_glibc_private_is_allowed_only_where_everything_is() -> None:
    everything = make_policy(libraries=frozenset({"*"}), ceilings={})
    assert everything.is_unbounded
    assert everything.allows_version("GLIBC_PRIVATE")
    assert everything.allows_library("libwhatever.so.3")
    for bounded in (
        make_policy(ceilings={}),
        make_policy(libraries=frozenset({"*"})),
        make_policy(libraries=frozenset({"*"}), ceilings={}, forbidden_symbols={"libc.so.6": frozenset({"gets"})}),
        make_policy(ceilings={"GLIBC": Ceiling(maximum=None, also=frozenset({"PRIVATE"}))}),
    ):
        assert not bounded.is_unbounded
        assert not bounded.allows_version("GLIBC_PRIVATE")


def test_the_loader_of_the_own_machine_is_allowed() -> None:
    policy = make_policy(family=Family.MANYLINUX)
    assert policy.allows_library("libc.so.6")
    assert policy.allows_library("ld-linux-x86-64.so.2")
    assert not policy.allows_library("ld-linux.so.2")
    assert not policy.allows_library("ld-musl-x86_64.so.1")
    assert not policy.allows_library("libz.so.1")
    assert not make_policy(arch=None).allows_library("ld-linux-x86-64.so.2")


def test_on_musl_libc_goes_by_three_names() -> None:
    policy = make_policy(family=Family.MUSLLINUX, arch=Arch.ARMV7L, libraries=frozenset({"libc.so"}))
    for soname in ("libc.so", "libc.musl-armv7.so.1", "libc.musl-armhf.so.1", "ld-musl-armhf.so.1"):
        assert policy.allows_library(soname)
    for soname in ("libc.so.6", "libc.musl-x86_64.so.1", "ld-linux-armhf.so.3", "libz.so.1"):
        assert not policy.allows_library(soname)
    assert not make_policy().allows_library("libc.musl-x86_64.so.1")
    assert make_policy(libraries=frozenset({"libc.so"})).allows_library("ld-musl-x86_64.so.1")


def test_on_android_libpython_is_the_systems() -> None:
    policy = make_policy(family=Family.ANDROID, libraries=frozenset({"libc.so"}))
    assert policy.allows_library("libc.so")
    assert policy.allows_library("libpython3.13.so")
    assert policy.allows_library("libpython3.14t.so")
    assert not policy.allows_library("libpython3.13.so.1.0")
    assert not policy.allows_library("ld-linux-x86-64.so.2")
    assert not policy.allows_library("ld-musl-x86_64.so.1")
    assert not make_policy().allows_library("libpython3.13.so")


def test_forbidden_symbols_are_those_of_the_library() -> None:
    policy = make_policy(forbidden_symbols={"libz.so.1": frozenset({"zcalloc", "_tr_init"})})
    assert policy.forbidden("libz.so.1", ["zcalloc", "inflate", "_tr_init"]) == ("_tr_init", "zcalloc")
    assert policy.forbidden("libz.so.1", iter(())) == ()
    assert policy.forbidden("libc.so.6", ["zcalloc"]) == ()


@pytest.mark.parametrize(
    ("changes", "tags"),
    [
        ({"name": "manylinux_2_17", "aliases": ("manylinux2014",), "family": Family.MANYLINUX},
         ("manylinux_2_17_x86_64", "manylinux2014_x86_64")),
        ({"name": "android_24", "family": Family.ANDROID, "arch": Arch.AARCH64}, ("android_24_arm64_v8a",)),
        ({"name": "android_like", "arch": Arch.S390X}, ("android_like_s390x",)),
        ({"name": "linux", "arch": None, "aliases": ("any",)}, ("linux", "any")),
        ({"tag": "linux_x86_64"}, ("linux_x86_64",)),
        ({"tag": "manylinux_2_17_x86_64.manylinux2014_x86_64"}, ("manylinux_2_17_x86_64", "manylinux2014_x86_64")),
    ],
)  # fmt: skip
def test_tags(changes: dict[str, object], tags: tuple[str, ...]) -> None:
    assert make_policy(**changes).tags == tags


def test_a_policy_is_a_value() -> None:
    symbols = {"libz.so.1": frozenset({"zcalloc"})}
    policy = make_policy(forbidden_symbols=symbols)
    symbols.clear()
    assert policy.forbidden("libz.so.1", ["zcalloc"]) == ("zcalloc",)
    assert {policy, make_policy(forbidden_symbols={"libz.so.1": frozenset({"zcalloc"})})} == {policy}
    with pytest.raises(TypeError):
        policy.ceilings["GLIBC"] = Ceiling(maximum="9")  # type: ignore[index]  # refused at run time as well
