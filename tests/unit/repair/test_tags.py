"""The tags of a plan: what the repaired wheel may claim, and what of its old claims stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.bench import EXT, Bench, codes, contents
from kit.elf import ElfSpec, Undefined

if TYPE_CHECKING:
    from pathlib import Path

LIB = "/usr/lib64"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def plats(bench: Bench, wheel: Path, **changes: object) -> str:
    return ".".join(bench.repair(wheel, None, **changes).plan.target.platforms)


def test_a_better_tag_is_added_unless_only_the_asked_one_is_wanted(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(MEMCPY,))
    both = "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64"
    assert plats(bench, wheel, platform="manylinux_2_28") == both
    assert plats(bench, wheel, platform="manylinux_2_28", only_platform=True) == "manylinux_2_28_x86_64"


def test_a_better_tag_counts_what_is_grafted_for_the_asked_one(bench: Bench) -> None:
    # manylinux_2_12 has libexpat.so.1 from the system, the older ones have not: once it is grafted they are true too.
    bench.library(f"{LIB}/libexpat.so.1")
    wheel = bench.extension(needed=("libexpat.so.1",))
    assert plats(bench, wheel, platform="manylinux_2_12") == "manylinux2010_x86_64.manylinux_2_12_x86_64"
    grafted = "manylinux1_x86_64.manylinux2010_x86_64.manylinux_2_12_x86_64.manylinux_2_5_x86_64"
    assert plats(bench, wheel, platform="manylinux_2_12", graft=("libexpat*",)) == grafted


def test_beside_a_computed_tag_no_worse_one_is_claimed(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(Undefined("f", "GLIBC_2.32", "libc.so.6"),))
    assert plats(bench, wheel, platform="manylinux_2_33_x86_64") == "manylinux_2_33_x86_64"
    wheel = bench.extension(needed=("libc.so.6",), undefined=(Undefined("f", "GLIBC_2.31", "libc.so.6"),))
    assert plats(bench, wheel, platform="manylinux_2_33") == "manylinux_2_31_x86_64.manylinux_2_33_x86_64"


def test_beside_the_generic_tag_no_other_is_claimed(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",), undefined=(MEMCPY,))
    assert plats(bench, wheel, platform="linux") == "linux_x86_64"


def test_false_old_tags_are_dropped_with_a_note_and_true_ones_kept(bench: Bench) -> None:
    platforms = [
        "manylinux_2_5_x86_64",
        "manylinux_2_28_x86_64",
        "musllinux_1_2_x86_64",
        "manylinux_2_17_aarch64",
        "macosx_11_0_arm64",
        "linux_x86_64",
    ]
    spec = ElfSpec(needed=("libc.so.6",), undefined=(MEMCPY,))
    outcome = bench.repair(bench.wheel({EXT: spec}, tags=[f"cp311-cp311-{'.'.join(platforms)}"]))
    assert outcome.plan.target.platforms == (
        "macosx_11_0_arm64",
        "manylinux2014_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux_2_28_x86_64",
    )
    found = codes(outcome.plan)["false-tag-dropped"]
    assert found == ["manylinux_2_5_x86_64", "musllinux_1_2_x86_64", "manylinux_2_17_aarch64"]
    (first, *_) = (note for note in outcome.plan.notes if note.subject == "manylinux_2_5_x86_64")
    assert any("memcpy@GLIBC_2.14" in line for line in first.context)


def test_an_old_tag_that_the_grafts_make_true_is_kept(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.wheel({EXT: ElfSpec(needed=("liba.so.1",))}, tags=("cp311-cp311-manylinux_2_28_x86_64",))
    assert "manylinux_2_28_x86_64" in bench.repair(wheel).plan.target.platforms


def test_any_is_replaced_and_the_root_is_no_purelib(bench: Bench) -> None:
    for text in ("Root-Is-Purelib: true\n", "", "Root-Is-Purelib: true\nROOT-IS-PURELIB: true\n"):
        head = f"Wheel-Version: 1.0\nGenerator: kit 1.0\n{text}Tag: py3-none-any\n"
        members: dict[str, ElfSpec | bytes] = {EXT: ElfSpec(), "demo-1.0.dist-info/WHEEL": head.encode()}
        outcome = bench.repair(bench.wheel(members, tags=("py3-none-any",)))
        assert outcome.path.name == "demo-1.0-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl"
        lines = contents(outcome.path)["demo-1.0.dist-info/WHEEL"].decode().splitlines()
        assert [line for line in lines if "purelib" in line.lower()] == ["Root-Is-Purelib: false"]
        assert lines[:2] == ["Wheel-Version: 1.0", "Generator: kit 1.0"]
        tags = [line for line in lines if line.startswith("Tag:")]
        assert tags == ["Tag: py3-none-manylinux1_x86_64", "Tag: py3-none-manylinux_2_5_x86_64"]


def test_no_update_tags_leaves_names_and_tags(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",))
    outcome = bench.repair(wheel, update_tags=False)
    assert outcome.path.name == wheel.name
    assert outcome.plan.tags is None
    name = "demo-1.0.dist-info/WHEEL"
    assert contents(outcome.path)[name] == contents(wheel)[name]


@pytest.mark.parametrize("update_tags", [True, False])
def test_a_policy_that_is_no_tag_never_renames(bench: Bench, tmp_path: Path, update_tags: bool) -> None:  # noqa: FBT001
    bench.library(f"{LIB}/liba.so.1")
    file = tmp_path / "policy.json"
    file.write_text('{"name": "corp", "symbol_versions": {"GLIBC": "2.17"}, "lib_whitelist": ["libc.so.6"]}')
    wheel = bench.extension(needed=("liba.so.1", "libc.so.6"))
    for platform in ("linux_pybe1_core", "corp", "corp_x86_64"):
        outcome = bench.repair(wheel, platform=platform, policy_files=(file,), update_tags=update_tags)
        assert outcome.path.name == wheel.name
        assert outcome.plan.tags is None
        assert len(outcome.plan.grafts) == 1


def test_all_parts_of_the_name_stay(bench: Bench, tmp_path: Path) -> None:
    built = bench.extension(needed=("libc.so.6",), undefined=(MEMCPY,))
    wheel = built.rename(tmp_path / "Demo-1.0-3local-cp310.cp311-cp311-linux_x86_64-x86_64_v3.whl")
    plan = bench.plan(wheel)
    name = "Demo-1.0-3local-cp310.cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64-x86_64_v3.whl"
    assert plan.target.filename == name
    assert plan.tags is not None
    assert len(plan.tags) == 4
    assert bench.repair(wheel).path.name == name
