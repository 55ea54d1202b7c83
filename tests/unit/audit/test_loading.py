"""Faults that no symbol shows: who has them, which tags they bar, and what a repair makes of that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import notices
from deloc8.audit.verdict import Truth
from kit.elf import DT_AUXILIARY, DT_FILTER, ET_EXEC, GLIBC, MACHINES, ElfSpec, NeedSpec, Undefined, build_elf
from kit.patch import patch_segment
from kit.scene import CORE, Scene, best_tag, codes_of, violations_of, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit
    from deloc8.diagnostic import Diagnostic

LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL = "libc.musl-x86_64.so.1"
MARKER = NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR")
PLAIN = ElfSpec(needed=(GLIBC,))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# -- executable stacks


@pytest.mark.parametrize(("stack", "code"), [(7, "executable-stack"), (None, "missing-stack-header"), (6, None)])
@pytest.mark.parametrize("tag", ["manylinux_2_5_x86_64", "manylinux_2_43_x86_64"])
def test_an_executable_stack_makes_every_tag_of_glibc_untrue(
    scene: Scene, stack: int | None, code: str | None, tag: str
) -> None:
    """glibc 2.41 and newer refuse such a library, and every tag is good for those."""
    audit = scene.judge(replace(PLAIN, gnu_stack=stack), tag=tag)
    codes = {violation.code.value for claim in audit.claims for violation in claim.violations}
    assert codes == ({code} if code else set())
    assert [claim.truth for claim in audit.claims] == [Truth.FALSE if code else Truth.TRUE]
    assert best_tag(audit) == ("linux_x86_64" if code else "manylinux_2_5_x86_64")
    assert audit.outlook.policy.name == "manylinux_2_5"
    assert [notice.code for notice in told(audit)] == ([code] if code else [])


def told(audit: Audit) -> tuple[Diagnostic, ...]:
    return notices(audit, audit.outlook)


def test_the_reason_of_a_claim_names_the_stack(scene: Scene) -> None:
    (claim,) = scene.judge(replace(PLAIN, gnu_stack=7), tag="manylinux_2_17_x86_64").claims
    assert claim.reason == "glibc 2.41 and newer refuse to load libraries that ask for an executable stack"
    (claim,) = scene.judge(replace(wants("GLIBC_2.34"), gnu_stack=7), tag="manylinux_2_17_x86_64").claims
    assert claim.reason == "the compiled files need more"


@pytest.mark.parametrize(
    "spec",
    [
        ElfSpec(needed=(MUSL,), gnu_stack=7),
        replace(PLAIN, gnu_stack=7, interpreter=LOADER),
        replace(PLAIN, gnu_stack=None, type=ET_EXEC, interpreter=LOADER),
        ElfSpec(dynamic=False, gnu_stack=7),
        replace(MACHINES["aarch64"], needed=(GLIBC,), gnu_stack=None),
        replace(MACHINES["ppc64le"], needed=(GLIBC,), gnu_stack=None),
        replace(MACHINES["riscv64"], needed=(GLIBC,), gnu_stack=None),
    ],
    ids=["musl", "program", "program without a header", "static", "aarch64", "ppc64le", "riscv64"],
)
def test_who_has_no_stack_to_answer_for(scene: Scene, spec: ElfSpec) -> None:
    """musl never changes the stack, the kernel serves programs, and some machines have no such default."""
    assert told(scene.judge(spec)) == ()


@pytest.mark.parametrize("machine", ["i686", "armv7l", "s390x"])
def test_machines_where_a_missing_header_means_an_executable_stack(scene: Scene, machine: str) -> None:
    audit = scene.judge(replace(MACHINES[machine], needed=(GLIBC,), gnu_stack=None), tag=f"linux_{machine}")
    assert [notice.code for notice in told(audit)] == ["missing-stack-header"]


def test_a_graft_counts_like_a_file_of_the_wheel(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", replace(PLAIN, soname="libfoo.so.1", gnu_stack=7))
    audit = scene.judge(replace(PLAIN, needed=("libfoo.so.1", GLIBC)))
    assert codes_of(audit, "manylinux_2_17") == ["executable-stack", "library-not-allowed"]
    assert [notice.subject for notice in told(audit)] == ["/usr/lib/libfoo.so.1"]


def test_a_library_that_the_system_gives_is_its_own_affair(scene: Scene) -> None:
    scene.system.library("/usr/lib/libz.so.1", replace(PLAIN, soname="libz.so.1", gnu_stack=7))
    audit = scene.judge(replace(PLAIN, needed=("libz.so.1", GLIBC)))
    assert codes_of(audit, "manylinux_2_17") == []


def test_stacks_that_are_kept_on_request_bar_nothing_but_are_told(scene: Scene) -> None:
    audit = scene.judge(replace(PLAIN, gnu_stack=7), tag="manylinux_2_17_x86_64", keep_executable_stack=True)
    assert [claim.truth for claim in audit.claims] == [Truth.TRUE]
    (notice,) = told(audit)
    assert "--keep-executable-stack" in notice.hints[0]


# -- packed relocations


@pytest.mark.parametrize("spec", [PLAIN, ElfSpec(needed=("libm.so.6",)), ElfSpec(), replace(PLAIN, interpreter=LOADER)])
def test_packed_relocations_need_glibc_2_36_with_or_without_the_marker(scene: Scene, spec: ElfSpec) -> None:
    audit = scene.judge(replace(spec, relr=True))
    assert best_tag(audit) == "manylinux_2_36_x86_64"
    (violation,) = violations_of(audit, "manylinux_2_35")
    assert (violation.code.value, violation.version) == ("relr-without-marker", "GLIBC_ABI_DT_RELR")
    assert not violation.is_curable
    marked = scene.judge(replace(PLAIN, relr=True, needs=(MARKER,)))
    assert (best_tag(marked), codes_of(marked, "manylinux_2_35")) == ("manylinux_2_36_x86_64", ["symbol-too-new"])


def test_packed_relocations_of_grafts_count(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", replace(PLAIN, soname="libfoo.so.1", relr=True))
    audit = scene.judge(replace(PLAIN, needed=("libfoo.so.1", GLIBC)))
    assert audit.outlook.policy.name == "manylinux_2_36"
    (violation,) = (row for row in violations_of(audit, "manylinux_2_17") if not row.is_curable)
    assert violation.chain == (CORE, "libfoo.so.1")


@pytest.mark.parametrize(
    "spec",
    [
        ElfSpec(needed=(MUSL,), relr=True),
        ElfSpec(interpreter=None, relr=True, dt_flags_1=0x08000000),
    ],
    ids=["musl", "a static program that relocates itself"],
)
def test_packed_relocations_that_no_glibc_reads(scene: Scene, spec: ElfSpec) -> None:
    audit = scene.judge(spec)
    assert audit.best is audit.outlook
    assert audit.best.policy.name in {"musllinux_1_2", "manylinux_2_5"}


def test_a_policy_of_the_user_counts_like_a_tag(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('[{"name": "mine", "symbol_versions": {"GLIBC": "2.17"}, "lib_whitelist": ["libc.so.6"]}]')
    audit = scene.judge(replace(PLAIN, relr=True, gnu_stack=7), policy_files=(file,))
    assert codes_of(audit, "mine") == ["executable-stack", "relr-without-marker"]


# -- filters that are opened

FILTERS = {DT_FILTER: "DT_FILTER", DT_AUXILIARY: "DT_AUXILIARY"}


def filter_of(name: str, tag: int = DT_FILTER) -> ElfSpec:
    return replace(PLAIN, links=((tag, name),), runpath="$ORIGIN")


def needs_of_loader(audit: Audit) -> list[tuple[str, str | None]]:
    rows = violations_of(audit, "manylinux_2_31")
    return [(row.file, row.symbol) for row in rows if row.code.value == "newer-loader"]


@pytest.mark.parametrize("tag", FILTERS)
def test_a_module_that_is_a_filter_needs_glibc_2_32(scene: Scene, tag: int) -> None:
    audit = scene.audit({CORE: filter_of("libfast.so", tag), "demo/libfast.so": PLAIN})
    assert needs_of_loader(audit) == [(CORE, FILTERS[tag])]
    assert best_tag(audit) == "manylinux_2_34_x86_64"
    (violation,) = violations_of(audit, "manylinux_2_31")
    assert (violation.version, violation.is_curable) == ("GLIBC_2.32", False)


def test_what_is_needed_by_others_is_no_less_a_module(scene: Scene) -> None:
    module = "demo/_core.cpython-311-x86_64-linux-gnu.so"
    other = replace(PLAIN, needed=(module.rpartition("/")[2],), runpath="$ORIGIN")
    members = {module: filter_of("libfast.so"), "demo/libfast.so": PLAIN, "demo/other.so": other}
    assert needs_of_loader(scene.audit(members)) == [(module, "DT_FILTER")]


def test_a_filter_that_others_need_is_loaded_by_all_releases(scene: Scene) -> None:
    needs = replace(PLAIN, needed=("libslow.so", GLIBC), runpath="$ORIGIN")
    members = {CORE: needs, "demo/libslow.so": filter_of("libfast.so"), "demo/libfast.so": PLAIN}
    assert best_tag(scene.audit(members)) == "manylinux_2_5_x86_64"
    scene.system.library("/usr/lib/libslow.so", replace(filter_of("libfast.so"), soname="libslow.so"))
    scene.system.library("/usr/lib/libfast.so", replace(PLAIN, soname="libfast.so"))
    audit = scene.judge(replace(PLAIN, needed=("libslow.so", GLIBC)))
    assert audit.outlook.policy.name == "manylinux_2_5"
    # Opened by name, nothing needs it.
    audit = scene.judge(PLAIN, include=("libslow.so",))
    assert audit.outlook.policy.name == "manylinux_2_34"


def test_what_a_filter_leads_to_itself_loads_it_no_earlier(scene: Scene) -> None:
    back = replace(PLAIN, needed=("_core.so",), runpath="$ORIGIN")
    audit = scene.audit({CORE: replace(filter_of("libfast.so"), soname="_core.so"), "demo/libfast.so": back})
    assert needs_of_loader(audit) == [(CORE, "DT_FILTER")]


@pytest.mark.parametrize(
    "spec",
    [
        filter_of("libgone.so", DT_AUXILIARY),
        replace(filter_of("_core.so"), soname="_core.so"),
        replace(filter_of("libfast.so"), interpreter=LOADER),
        replace(filter_of("libfast.so"), needed=(MUSL,)),
    ],
    ids=["missing", "itself", "program", "musl"],
)
def test_a_filter_before_which_nothing_is_searched(scene: Scene, spec: ElfSpec) -> None:
    fast = replace(PLAIN, needed=spec.needed)
    audit = scene.audit({CORE: spec, "demo/libfast.so": fast})
    assert best_tag(audit) in {"manylinux_2_5_x86_64", "musllinux_1_2_x86_64"}


# -- what an older ld.so reads otherwise

SOME = tuple(map(Undefined, ("one", "two", "three", "four")))
DT_X86_64_PLT = (0x70000000, 0x1000)


def segment(spec: ElfSpec, kind: int, field: str, value: int, number: int = 0) -> bytes:
    return patch_segment(build_elf(spec), kind, field, value, number)


@pytest.mark.parametrize(
    ("made", "what", "version"),
    [
        (replace(PLAIN, undefined=SOME, functions="apart"), "DT_JMPREL", "2.23"),
        (replace(PLAIN, undefined=SOME, functions="before"), "DT_JMPREL", "2.23"),
        (replace(PLAIN, undefined=SOME, functions="middle"), "DT_JMPREL", "2.23"),
        (replace(PLAIN, entries=(DT_X86_64_PLT,)), "DT_X86_64_PLT", "2.36"),
        (segment(PLAIN, 1, "p_flags", 4, 1), "PT_DYNAMIC", "2.35"),
        (segment(PLAIN, 1, "p_align", 0x800, 1), "PT_LOAD", "2.35"),
        (segment(PLAIN, 1, "p_align", 1), "PT_LOAD", "2.35"),
        (segment(replace(PLAIN, interpreter=LOADER), 1, "p_align", 1), "PT_LOAD", "2.35"),
    ],
)
def test_a_layout_that_only_newer_loaders_read(scene: Scene, made: ElfSpec | bytes, what: str, version: str) -> None:
    audit = scene.judge(made)
    best, older = {"2.23": (24, 17), "2.35": (35, 34), "2.36": (36, 35)}[version]
    assert best_tag(audit) == f"manylinux_2_{best}_x86_64"
    (violation,) = violations_of(audit, f"manylinux_2_{older}")
    assert (violation.code.value, violation.symbol, violation.version) == ("newer-loader", what, f"GLIBC_{version}")
    assert violation.limit == f"GLIBC_2.{older}"
    assert not violation.is_curable


@pytest.mark.parametrize(
    "made",
    [
        replace(PLAIN, undefined=SOME, functions="behind"),
        replace(PLAIN, undefined=SOME, functions="end"),
        replace(PLAIN, undefined=SOME, functions="apart", needed=(MUSL,)),
        segment(replace(PLAIN, type=ET_EXEC, dynamic=False), 1, "p_align", 1),
        segment(PLAIN, 1, "p_align", 0x200000 - 0x1FF000),
        segment(PLAIN, 1, "p_align", 0),
    ],
)
def test_a_layout_that_every_loader_reads(scene: Scene, made: ElfSpec | bytes) -> None:
    assert [match.violations for match in scene.judge(made).matches if match.violations] == []


def test_machines_whose_loader_reads_otherwise(scene: Scene) -> None:
    """On riscv64 no ld.so writes to the dynamic section; the tag of x86-64 means nothing elsewhere."""
    riscv = segment(replace(MACHINES["riscv64"], needed=(GLIBC,)), 1, "p_flags", 4, 1)
    assert "newer-loader" not in codes_of(scene.judge(riscv), "manylinux_2_31")
    arm = replace(MACHINES["aarch64"], needed=(GLIBC,), entries=(DT_X86_64_PLT,))
    assert codes_of(scene.judge(arm), "manylinux_2_17") == []


def test_tables_that_are_apart_beside_packed_relocations_are_no_reason_of_their_own(scene: Scene) -> None:
    """Once they are unpacked, the tables are joined."""
    audit = scene.judge(replace(PLAIN, undefined=SOME, functions="apart", relr=True))
    assert codes_of(audit, "manylinux_2_17") == ["relr-without-marker"]
