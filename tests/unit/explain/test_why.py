from __future__ import annotations

import shlex
import struct
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import UsageError
from deloc8.explain.why import SubjectKind, explain
from kit.elf import GLIBC, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

FOO = "libfoo.so.1"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def audit(scene: Scene) -> Audit:
    """Two modules that need libfoo, which needs libdeep, which needs a newer glibc."""
    scene.system.library("/usr/lib/libdeep.so.2", wants("GLIBC_2.33", "GLIBC_2.5", soname="libdeep.so.2"))
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.5", needed=("libdeep.so.2",), soname=FOO))
    members = {name: wants("GLIBC_2.14", needed=(FOO,)) for name in (CORE, "demo/_more.so")}
    return scene.audit(dict(members))


def test_a_symbol_with_its_chain_what_it_bars_and_the_ways_out(audit: Audit) -> None:
    answer = explain(audit, "use0@GLIBC_2.33")
    assert answer.kind is SubjectKind.SYMBOL
    (use,) = answer.uses
    assert use.chain == (CORE, FOO, "libdeep.so.2")
    assert (use.file, use.library, use.version) == ("/usr/lib/libdeep.so.2", GLIBC, "GLIBC_2.33")
    assert answer.bars[0] == "manylinux_2_31_x86_64"
    assert "manylinux_2_34_x86_64" not in answer.bars
    assert answer.ways == (
        "let `deloc8 fixup` reach the tag manylinux_2_34_x86_64, if that is enough",
        f"leave out what brings them, with --exclude '{FOO}': users must have these libraries then",
        f"build on a system that ends at GLIBC_2.31, as a manylinux_2_31 image does, {FOO} included",
        f"link {FOO} statically, from a build for such a system",
    )


def test_a_symbol_of_every_version_or_as_nm_writes_it(audit: Audit) -> None:
    assert {use.version for use in explain(audit, "use0").uses} == {"GLIBC_2.33", "GLIBC_2.14", "GLIBC_2.5"}
    assert explain(audit, "use0@@GLIBC_2.33").uses == explain(audit, "use0@GLIBC_2.33").uses


def test_a_version_or_all_that_are_newer(audit: Audit) -> None:
    answer = explain(audit, "GLIBC_2.14")
    assert answer.kind is SubjectKind.VERSION
    assert [use.file for use in answer.uses] == [CORE, "demo/_more.so"]
    assert answer.bars == ("manylinux_2_12_x86_64", "manylinux_2_5_x86_64", "linux_pybe1_core_x86_64")
    assert explain(audit, "GLIBC_2.17").uses == explain(audit, "GLIBC_2.33").uses


def test_a_marker_without_symbols(scene: Scene) -> None:
    spec = ElfSpec(needed=(GLIBC,), undefined=(Undefined("", "GLIBC_ABI_DT_RELR", GLIBC),))
    (use,) = explain(scene.judge(spec), "GLIBC_ABI_DT_RELR").uses
    assert use.version == "GLIBC_ABI_DT_RELR"


@pytest.mark.parametrize("subject", ["libdeep.so.2", "libdeep*", "/usr/lib/libdeep.so.2"])
def test_a_library_by_name_glob_or_path(audit: Audit, subject: str) -> None:
    answer = explain(audit, subject)
    assert answer.kind is SubjectKind.LIBRARY
    (use,) = answer.uses
    assert (use.chain, use.found) == ((CORE, FOO), "/usr/lib/libdeep.so.2")
    assert answer.bars[0] == "manylinux_2_31_x86_64"
    assert "manylinux_2_41_x86_64" in answer.inside_for


@pytest.mark.parametrize("name", ["libodd[x].so.1", "lib##[error]x.so.1"])
def test_a_library_whose_name_looks_like_a_glob(scene: Scene, name: str) -> None:
    (use,) = explain(scene.judge(wants("GLIBC_2.5", needed=(name,))), name).uses
    assert use.library == name


def test_a_name_in_a_way_out_is_no_command(scene: Scene) -> None:
    name = "lib'; touch x; '.so.1"
    scene.system.library(f"/usr/lib/{name}", wants("GLIBC_2.33", soname=name))
    ways = explain(scene.judge(wants("GLIBC_2.5", needed=(name,))), "GLIBC_2.33").ways
    (way,) = [way for way in ways if "--exclude" in way]
    assert name in shlex.split(way.removesuffix(": users must have these libraries then"))


def test_everyone_who_shares_a_library_is_told(audit: Audit) -> None:
    assert [use.chain for use in explain(audit, FOO).uses] == [(CORE,), ("demo/_more.so",)]


def test_a_library_that_a_graft_cures_names_the_repair(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname=FOO))
    answer = explain(scene.judge(ElfSpec(needed=(FOO, GLIBC))), FOO)
    assert answer.bars == ()
    assert answer.ways == ("let `deloc8 fixup --plat manylinux_2_41_x86_64` put the libraries into the wheel",)


def test_what_bars_nothing_has_no_ways_out(scene: Scene) -> None:
    answer = explain(scene.judge(wants("GLIBC_2.2.5")), GLIBC)
    assert (answer.bars, answer.inside_for, answer.ways) == ((), (), ())


def test_a_tag_with_or_without_the_machine(audit: Audit) -> None:
    answer = explain(audit, "manylinux2014")
    assert answer == explain(audit, "manylinux_2_17_x86_64")
    assert (answer.kind, answer.subject, answer.uses) == (SubjectKind.TAG, "manylinux_2_17_x86_64", ())
    assert {row.code.value for row in answer.violations} == {"library-not-allowed", "symbol-too-new"}
    assert (answer.bars, answer.inside_for) == (("manylinux_2_17_x86_64",), ("manylinux_2_17_x86_64",))


def test_a_tag_that_is_kept_and_one_that_can_be_reached(scene: Scene, audit: Audit) -> None:
    kept = explain(scene.judge(wants("GLIBC_2.5")), "manylinux_2_5")
    assert (kept.violations, kept.bars, kept.inside_for, kept.ways) == ((), (), (), ())
    assert explain(audit, "manylinux_2_34").ways == (
        "let `deloc8 fixup --plat manylinux_2_34_x86_64` put the libraries into the wheel",
    )


def test_where_a_better_tag_is_kept_already_it_is_the_first_way_out(scene: Scene) -> None:
    answer = explain(scene.judge(wants("GLIBC_2.28")), "manylinux_2_17")
    assert answer.ways[0] == "take the tag manylinux_2_28_x86_64, if that is enough"
    assert answer.ways[1] == "build on a system that ends at GLIBC_2.17, as a manylinux_2_17 image does"


def test_a_way_out_for_every_fault(scene: Scene) -> None:
    isa = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))
    undefined = (
        Undefined("zcalloc", None, None),
        Undefined("PyFPE_jbuf"),
        Undefined("cxx", "GLIBCXX_3.4.99", "libstdc++.so.6"),
    )
    needed = ("libno.so.1", "libz.so.1", "libstdc++.so.6", GLIBC)
    audit = scene.judge(ElfSpec(needed=needed, undefined=undefined, notes=(isa,)))
    ways = " | ".join(explain(audit, "manylinux_2_17").ways)
    for part in ("install libno.so.1", "--disable-isa-ext-check", "--graft", "ends at GLIBCXX_3.4.19", "-static-libst"):
        assert part in ways
    assert "without fpectl" in ways
    assert explain(audit, "zcalloc").bars[0] == "manylinux_2_41_x86_64"
    assert explain(audit, "libno.so.1").violations[0].code.value == "library-not-found"


def test_what_a_repair_cures_is_named(scene: Scene) -> None:
    spec = wants("GLIBC_2.5", needed=("libpython3.11.so.1.0",), gnu_stack=7)
    assert explain(scene.judge(spec), "manylinux_2_17").ways == (
        "let `deloc8 fixup --plat manylinux_2_17_x86_64` remove the entry of libpython and clear the executable stacks",
    )


def test_packed_relocations_without_a_marker_have_a_way_out(scene: Scene) -> None:
    ways = explain(scene.judge(wants("GLIBC_2.5", relr=True)), "manylinux_2_17").ways
    assert "link with -Wl,-z,nopack-relative-relocs" in ways


def test_a_forbidden_symbol_of_glibc_is_not_to_be_grafted(scene: Scene) -> None:
    def ways(*needed: str, undefined: tuple[Undefined, ...]) -> tuple[str, ...]:
        return explain(scene.judge(ElfSpec(needed=needed, undefined=undefined)), "manylinux_2_17").ways

    of_glibc, of_zlib = Undefined("pthread_setattr_default_np"), Undefined("deflate_copyright")
    found = ways("libc.so.6", undefined=(of_glibc,))
    assert sum("glibc is never copied" in way for way in found) == 1
    assert not any("--graft" in way for way in found)
    found = ways("libc.so.6", "libz.so.1", undefined=(of_glibc, of_zlib))
    assert sum("glibc is never copied" in way for way in found) == 1
    assert any("--graft" in way for way in found)


def test_what_the_wheel_has_nothing_to_do_with(audit: Audit) -> None:
    with pytest.raises(UsageError) as caught:
        explain(audit, "libfo.so.1")
    assert caught.value.code == "unknown-subject"
    assert f"`{FOO}`" in caught.value.hints[0]
    with pytest.raises(UsageError) as caught:
        explain(audit, "%%%%%%%%")
    assert caught.value.hints == ()
    with pytest.raises(UsageError) as caught:
        explain(audit, "manylinux_2_17_aarch64")
    assert caught.value.code == "other-machine"
