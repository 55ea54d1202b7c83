"""Versions sort as `packaging` sorts them; whatever a policy file holds, the answer is policies or one PolicyError."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import Version

from deloc8.errors import PolicyError, UsageError
from deloc8.policy.load import builtin_policies, find_policy, read_policies
from deloc8.policy.model import Ceiling, Policy, number_key, sort_versions, split_version
from deloc8.policy.seed import policy_to_seed_json
from deloc8.target import Arch, Libc

NUMBERS = st.lists(st.integers(0, 120), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts)))


@given(NUMBERS, NUMBERS)
@example("2.2.5", "2.14")
@example("4.8", "4.8.0")
def test_numbers_are_ordered_as_packaging_orders_them(one: str, other: str) -> None:
    first, second = number_key(one), number_key(other)
    assert first is not None
    assert second is not None
    assert (first < second) == (Version(one) < Version(other))
    assert (first == second) == (Version(one) == Version(other))
    assert Ceiling(maximum=other).allows(one) == (Version(one) <= Version(other))


@given(st.lists(st.tuples(st.sampled_from(["GLIBC", "GLIBCXX", "ZLIB", "ZLIB_NG"]), NUMBERS)))
def test_versions_are_sorted_by_namespace_then_as_packaging_sorts(pairs: list[tuple[str, str]]) -> None:
    expected = sorted(set(pairs), key=lambda pair: (pair[0], Version(pair[1]), pair[1]))
    assert sort_versions(f"{name}_{number}" for name, number in pairs) == tuple("_".join(pair) for pair in expected)


@given(st.text("GLIBCX_.0129aé", max_size=300))
def test_the_parts_of_a_version_are_its_text(version: str) -> None:
    namespace, number = split_version(version)
    assert version in {f"{namespace}_{number}", namespace + number}
    assert sort_versions([version, version]) == (version,)


def check_reading(data: bytes, arch: Arch) -> None:
    """Check that the bytes give policies that can be written and read again, or one error that can be shown."""
    fault = None
    policies: tuple[Policy, ...] = ()
    try:
        policies = read_policies(data, "p.json", arch)
    except PolicyError as error:
        fault = error
    if fault is not None:
        assert fault.message.startswith("policy file `p.json`: ")
        assert len(fault.message) < 1000
        for line in (fault.message, *fault.context, *fault.hints):
            assert line.isprintable(), line
    for policy in policies:
        assert policy.arch is arch
        assert policy.tags
        assert not policy.allows_version("GLIBC_PRIVATE") or policy.is_unbounded
        (again,) = read_policies(json.dumps(policy_to_seed_json(policy)).encode(), "again", arch)
        assert again == policy


@given(st.binary(max_size=300), st.sampled_from(Arch))
def test_any_bytes(data: bytes, arch: Arch) -> None:
    check_reading(data, arch)


KEYS = st.sampled_from(
    ["name", "symbol_versions", "lib_whitelist", "aliases", "arch", "forbidden_symbols", "tag", "GLIBC", "libz.so.1"]
)
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["2.17", "TM_1", "libc.so.6", "x86_64", "manylinux_2_17", "mine", "*"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(JSON, st.sampled_from(Arch))
def test_any_json(value: object, arch: Arch) -> None:
    check_reading(json.dumps(value).encode(), arch)


NEARLY = st.fixed_dictionaries(
    {
        "name": st.one_of(st.just("mine"), TEXTS),
        "symbol_versions": st.dictionaries(
            st.one_of(st.sampled_from(["GLIBC", "GCC", "ZLIB_NG", "X"]), TEXTS),
            st.one_of(NUMBERS, st.none(), st.lists(st.one_of(TEXTS, NUMBERS), max_size=3)),
            max_size=3,
        ),
        "lib_whitelist": st.lists(TEXTS, max_size=3),
    },
    optional={
        "aliases": st.lists(TEXTS, max_size=2),
        "arch": st.one_of(TEXTS, st.lists(st.sampled_from([arch.value for arch in Arch]), max_size=3)),
        "forbidden_symbols": st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2),
        "tag": st.one_of(TEXTS, st.sampled_from(["linux", "manylinux_2_5.manylinux1", "android_24_arm64_v8a"])),
    },
)


@given(st.one_of(NEARLY, st.lists(NEARLY, max_size=3)), st.sampled_from(Arch))
def test_nearly_policies(value: object, arch: Arch) -> None:
    check_reading(json.dumps(value).encode(), arch)


NAMES = st.sampled_from(["manylinux", "musllinux", "android", "linux", "_", "2", "17", "1", "x86_64", "s390x", "mips"])


@given(st.one_of(st.text(max_size=40), st.lists(NAMES).map("".join)), st.sampled_from(Arch), st.sampled_from(Libc))
def test_any_name(text: str, arch: Arch, libc: Libc) -> None:
    policies = builtin_policies(arch, libc)
    code = ""
    try:
        policy = find_policy(text, policies, arch)
    except UsageError as error:
        code = error.code
    else:
        assert policy.arch is arch
        assert find_policy(policy.tags[0], policies, arch) == policy
    assert code in {"", "unknown-platform", "other-machine"}
