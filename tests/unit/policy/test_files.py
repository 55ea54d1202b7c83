from __future__ import annotations

import json

import pytest

from deloc8.errors import PolicyError
from deloc8.policy.files import read_policies
from deloc8.policy.load import builtin_policies, manylinux_policy
from deloc8.policy.model import Ceiling, Family, Policy
from deloc8.policy.seed import policy_to_seed_json
from deloc8.target import Arch, Libc

GOOD = {"name": "mine", "symbol_versions": {"GLIBC": "2.17"}, "lib_whitelist": ["libc.so.6"]}


def read(value: object, arch: Arch = Arch.X86_64) -> tuple[Policy, ...]:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_policies(data, "p.json", arch)


def fault(value: object) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read(value)
    assert caught.value.message.startswith("policy file `p.json`: ")
    return caught.value


def with_key(key: str, value: object) -> dict[str, object]:
    return {**GOOD, key: value}


def test_the_seeds_shape() -> None:
    (policy,) = read(GOOD)
    assert policy == Policy(
        name="mine",
        family=Family.CUSTOM,
        arch=Arch.X86_64,
        libraries=frozenset({"libc.so.6"}),
        ceilings={"GLIBC": Ceiling(maximum="2.17")},
        installable=False,
    )
    assert policy.tags == ("mine_x86_64",)
    assert policy.allows_version("GLIBC_2.9.9")


def test_all_keys() -> None:
    (policy,) = read(
        {
            "name": "my-policy",
            "aliases": ["mine", "ours"],
            "arch": ["x86_64", "aarch64"],
            "symbol_versions": {"CXXABI": ["TM_1", "1.3.7"], "LIBATOMIC": None, "GCC": [], "ZLIB_NG": "2.1"},
            "lib_whitelist": ["libstdc++.so.6"],
            "forbidden_symbols": {"libz.so.1": ["zcalloc"]},
            "tag": "manylinux_2_17_x86_64.manylinux2014_x86_64",
        }
    )
    assert policy.names == ("my-policy", "mine", "ours")
    assert policy.tags == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")
    assert policy.installable
    assert policy.ceilings["CXXABI"] == Ceiling(maximum="1.3.7", also=frozenset({"TM_1"}))
    assert policy.ceilings["LIBATOMIC"] == policy.ceilings["GCC"] == Ceiling(maximum=None)
    assert policy.forbidden("libz.so.1", ["zcalloc"]) == ("zcalloc",)
    assert not policy.allows_version("ZLIB_NG_2.2")


def test_an_array_of_policies_for_several_machines() -> None:
    policies = [
        {**GOOD, "arch": "x86_64"},
        {**GOOD, "arch": "aarch64"},
        {**GOOD, "name": "other"},
        {**GOOD, "name": "tagged", "tag": "linux_aarch64"},
    ]
    assert [(policy.name, policy.arch) for policy in read(policies)] == [("mine", Arch.X86_64), ("other", Arch.X86_64)]
    assert [policy.name for policy in read(policies, Arch.AARCH64)] == ["mine", "other", "tagged"]
    assert [policy.name for policy in read(policies, Arch.S390X)] == ["other"]


def test_a_tag_without_a_machine_is_the_tag_of_each() -> None:
    (policy,) = read(with_key("tag", "manylinux_2_17.manylinux2014"), Arch.S390X)
    assert policy.tags == ("manylinux_2_17_s390x", "manylinux2014_s390x")
    (policy,) = read(with_key("tag", "android_24_arm64_v8a"), Arch.AARCH64)
    assert policy.tags == ("android_24_arm64_v8a",)
    assert read(with_key("tag", "android_24_arm64_v8a")) == ()


def test_every_library() -> None:
    (policy,) = read(with_key("lib_whitelist", ["*"]))
    assert policy.allows_library("libanything.so.9")
    assert not policy.is_unbounded


def test_a_byte_order_mark_does_no_harm() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()) == read(GOOD)


@pytest.mark.parametrize(
    ("data", "context"),
    [
        (b"", "line 1, column 1"),
        (b'{"name": }', "line 1, column 10"),
        (b'{"name": "a"} x', "Extra data"),
        (b"\xff\xfe{\x00}\x00", "at byte 0"),
        (b'{"name": "\xe9"}', "at byte 10"),
        (b"[" * 200_000, "no more levels"),
        (b'{"a":' * 200_000, "no more levels"),
        (b" " * (4 * 1024 * 1024 + 1), "wanted: up to"),
    ],
)
def test_what_is_not_json(data: bytes, context: str) -> None:
    error = fault(data)
    assert error.code == "policy-json"
    assert context in "\n".join(error.context)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ([], "", "an array"),
        (3, "", "the number 3"),
        ("text", "", 'the text "text"'),
        ([GOOD, None], "[1]", "null"),
        ([[GOOD]], "[0]", "an array"),
        (with_key("name", "1st"), "name", 'the text "1st"'),
        (with_key("name", "auto"), "name", 'the text "auto"'),
        (with_key("name", 5), "name", "the number 5"),
        (with_key("name", "a" * 101), "name", 'the text "' + "a" * 60 + '..."'),
        (with_key("name", "a\n"), "name", 'the text "a\\n"'),
        (with_key("aliases", "ours"), "aliases", 'the text "ours"'),
        (with_key("aliases", ["ours", True]), "aliases[1]", "true"),
        (with_key("lib_whitelist", {}), "lib_whitelist", "an object"),
        (with_key("lib_whitelist", ["libc.so.6", "/lib/libz.so"]), "lib_whitelist[1]", 'the text "/lib/libz.so"'),
        (with_key("lib_whitelist", ["libz*"]), "lib_whitelist[0]", 'the text "libz*"'),
        (with_key("lib_whitelist", ["*", "libz.so.1"]), "lib_whitelist[0]", 'the text "*"'),
        (with_key("lib_whitelist", ["\ud800"]), "lib_whitelist[0]", 'the text "\\ud800"'),
        (with_key("lib_whitelist", [""]), "lib_whitelist[0]", 'the text ""'),
        (with_key("symbol_versions", ["GLIBC"]), "symbol_versions", "an array"),
        (with_key("symbol_versions", {"GLIBC": 2.17}), "symbol_versions.GLIBC", "the number 2.17"),
        (with_key("symbol_versions", {"GLIBC": float("nan")}), "symbol_versions.GLIBC", "the number NaN"),
        (with_key("symbol_versions", {"GLIBC": "GLIBC_2.17"}), "symbol_versions.GLIBC", 'the text "GLIBC_2.17"'),
        (with_key("symbol_versions", {"GLIBC": "TM_1"}), "symbol_versions.GLIBC", 'the text "TM_1"'),
        (with_key("symbol_versions", {"GLIBC": ["2.17", None]}), "symbol_versions.GLIBC[1]", "null"),
        (with_key("symbol_versions", {"GLIBC": ["2.17", "2.5"]}), "symbol_versions.GLIBC", "2.17, 2.5"),
        (with_key("symbol_versions", {"GLIBC": {}}), "symbol_versions.GLIBC", "an object"),
        (with_key("symbol_versions", {"a b": "1"}), "symbol_versions.a b", 'the text "a b"'),
        (with_key("symbol_versions", {"glibc": "2.17"}), "symbol_versions.glibc", 'the text "glibc"'),
        (with_key("symbol_versions", {"GLIBC_ABI": "1"}), "symbol_versions.GLIBC_ABI", 'the text "GLIBC_ABI"'),
        (with_key("forbidden_symbols", []), "forbidden_symbols", "an array"),
        (with_key("forbidden_symbols", {"libz.so.1": "f"}), "forbidden_symbols.libz.so.1", 'the text "f"'),
        (with_key("forbidden_symbols", {"libz.so.1": [False]}), "forbidden_symbols.libz.so.1[0]", "false"),
        (with_key("forbidden_symbols", {"a/b": []}), "forbidden_symbols.a/b", 'the text "a/b"'),
        (with_key("arch", "amd64"), "arch", 'the text "amd64"'),
        (with_key("arch", ["x86_64", 86]), "arch[1]", "the number 86"),
        (with_key("arch", None), "arch", "null"),
        (with_key("tag", 1), "tag", "the number 1"),
        (with_key("tag", "mine"), "tag", 'the text "mine"'),
        (with_key("tag", "manylinux_2_17_mips"), "tag", 'the text "manylinux_2_17_mips"'),
        (with_key("tag", "android_24"), "tag", 'the text "android_24"'),
        (with_key("tag", "linux_x86_64.linux_s390x"), "tag", 'the text "linux_x86_64.linux_s390x"'),
        (with_key("tag", "../linux"), "tag", 'the text "../linux"'),
        ([GOOD, GOOD], "[1].name", 'the text "mine"'),
        ([GOOD, {**GOOD, "name": "b", "aliases": ["c", "mine"]}], "[1].aliases[1]", 'the text "mine"'),
        (with_key("aliases", ["mine"]), "aliases[0]", 'the text "mine"'),
    ],
)
def test_a_wrong_value_is_named_by_its_key(value: object, path: str, found: str) -> None:
    error = fault(value)
    assert error.code == "policy-value"
    assert (f"`{path}`" if path else "is not what it must be") in error.message
    assert error.context[0] == f"found: {found}"
    assert error.context[1].startswith("wanted: ")


def test_numbers_are_never_computed() -> None:
    digits = b"9" * 100_000
    error = fault(b'{"name": ' + digits + b', "symbol_versions": {}, "lib_whitelist": []}')
    assert error.context[0] == "found: the number " + "9" * 60 + "..."


def test_an_unknown_key() -> None:
    error = fault([with_key("lib_white_list", [])])
    assert error.code == "policy-key-unknown"
    assert "`[0].lib_white_list`" in error.message
    assert error.hints == ("did you mean `lib_whitelist`?",)
    error = fault({**GOOD, "\x1b[31m" + "z" * 5000: 1})
    assert "\x1b" not in error.message
    assert len(error.message) < 200
    assert "forbidden_symbols" in error.hints[0]


@pytest.mark.parametrize("key", ["name", "symbol_versions", "lib_whitelist"])
def test_a_missing_key(key: str) -> None:
    error = fault([{name: value for name, value in GOOD.items() if name != key}])
    assert error.code == "policy-key-missing"
    assert f"`[0].{key}`" in error.message


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"name": "a", "name": "a"}', "name"),
        (
            b'[{"name": "a", "symbol_versions": {"GCC": "1", "GCC": "1"}, "lib_whitelist": []}]',
            "[0].symbol_versions.GCC",
        ),
    ],
)
def test_a_key_that_stands_there_twice(data: bytes, path: str) -> None:
    error = fault(data)
    assert error.code == "policy-key-twice"
    assert f"`{path}`" in error.message


def test_hints_for_near_misses() -> None:
    assert fault(with_key("symbol_versions", {"Glibcxx": "3.4"})).hints == ("did you mean `GLIBCXX`?",)
    assert fault(with_key("symbol_versions", {"GLIBC_ABI": "1"})).hints == ("did you mean `GLIBC`?",)
    assert fault(with_key("arch", "x86-64")).hints == ("did you mean `x86_64`?",)
    assert fault(with_key("tag", "mine")).hints == ("without `tag` a policy never renames a wheel",)


ALL = [policy for arch in Arch for libc in Libc for policy in builtin_policies(arch, libc)]


@pytest.mark.parametrize("policy", [*ALL, manylinux_policy(45, Arch.X86_64)], ids=lambda policy: policy.tags[0])
def test_what_is_printed_reads_back(policy: Policy) -> None:
    assert policy.arch is not None
    shape = policy_to_seed_json(policy)
    assert next(iter(shape)) == "name"
    (again,) = read(shape, policy.arch)
    assert again.names == policy.names
    assert again.tags == policy.tags
    assert again.installable == policy.installable
    assert again.libraries == policy.libraries
    assert again.forbidden_symbols == policy.forbidden_symbols
    assert again.is_unbounded == policy.is_unbounded
    assert again.ceilings.keys() == policy.ceilings.keys()
    for name, ceiling in policy.ceilings.items():
        for number in (ceiling.known or frozenset()) | {"2.5", "2.17", "99", "PRIVATE", "ABI_DT_RELR"}:
            version = f"{name}_{number}"
            if ceiling.known is None or number in ceiling.known:
                assert again.allows_version(version) == policy.allows_version(version), version
    assert policy_to_seed_json(again) == shape


def test_the_printed_shape() -> None:
    policy = Policy(
        name="mine",
        family=Family.CUSTOM,
        arch=None,
        libraries=frozenset({"libz.so.1", "libc.so.6"}),
        ceilings={"GLIBC": Ceiling(maximum="2.5"), "CXXABI": Ceiling(maximum=None, also=frozenset({"TM_1"}))},
        installable=False,
    )
    assert policy_to_seed_json(policy) == {
        "name": "mine",
        "symbol_versions": {"CXXABI": ["TM_1"], "GLIBC": "2.5"},
        "lib_whitelist": ["libc.so.6", "libz.so.1"],
    }
    (glibc,) = (policy for policy in builtin_policies(Arch.X86_64, Libc.GLIBC) if policy.name == "manylinux_2_17")
    shape = policy_to_seed_json(glibc)
    assert shape["symbol_versions"] == {
        "CXXABI": ["1.3.7", "TM_1"],
        "GCC": "4.8.0",
        "GLIBC": "2.17",
        "GLIBCXX": "3.4.19",
        "LIBATOMIC": None,
        "ZLIB": "1.2.5.2",
    }
    assert shape["aliases"] == ["manylinux2014"]
    assert shape["tag"] == "manylinux_2_17_x86_64.manylinux2014_x86_64"


@pytest.mark.parametrize("value", [b"[]", b"{}", b'""', b"0"])
def test_a_file_of_more_values_than_memory_allows_is_refused(value: bytes) -> None:
    with pytest.raises(PolicyError, match="is too large") as caught:
        read_policies(b"[" + b",".join([value] * 400_001) + b"]", "p.json", Arch.X86_64)
    assert caught.value.context == ("wanted: up to 400,000 values",)
