from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import RemoveRpath, ReplaceNeeded, RpathKind, SetRpath
from deloc8.repair.model import Goal, LicenceFile, Package, PackageSource, Provenance, StripLevel
from deloc8.report.to_text import (
    copied_text,
    edit_text,
    full_plan_text,
    plan_text,
    policies_text,
    show_text,
    written_text,
)
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.repair import plan_repair
from kit.bench import EXT, Bench
from kit.elf import ET_EXEC, GLIBC, MACHINES, ElfSpec, NoteSpec, Undefined, build_elf
from kit.scene import CORE, Scene, wants
from kit.stripping import put_strip_on_path
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from deloc8.audit.verdict import Audit


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def shown(audit: Audit, *, verbose: bool = False) -> str:
    """The report in one line: where it is folded is another test's matter."""
    return " ".join(show_text(audit, verbose=verbose).split())


def before_the_distributions(text: str) -> str:
    """All but the last paragraphs: those are tested with `report.where`."""
    before, _, after = text.partition("\n\nAs ")
    assert "runs on these distributions" in " ".join(after.split())
    return before + "\n"


# -- the text that the project started from

NUMPY = "numpy-1.10.4-cp35-cp35m-linux_x86_64.whl"


@pytest.fixture
def seed_wheel(scene: Scene) -> Path:
    """The wheel of the seed's example, and the libraries of the machine it was built on."""
    system = scene.system
    for place, soname in {
        "/usr/lib64/libgfortran.so.1.0.0": "libgfortran.so.1",
        "/usr/local/lib/libopenblas_nehalemp-r0.2.14.so": "libopenblas.so.0",
        "/lib64/libm-2.5.so": "libm.so.6",
        "/lib64/libc-2.5.so": "libc.so.6",
        "/lib64/libpthread-2.5.so": "libpthread.so.0",
    }.items():
        system.library(place, ElfSpec(soname=soname))
        folder, _, name = place.rpartition("/")
        system.symlink(f"{folder}/{soname}", name)
    (system.top / "usr/lib/libc.so.6").unlink()
    system.write("/etc/ld.so.conf", "/usr/local/lib\n")
    blas = ElfSpec(
        needed=("libopenblas.so.0", "libgfortran.so.1", "libm.so.6", "libpthread.so.0", GLIBC),
        undefined=(Undefined("a", "GLIBC_2.3", GLIBC), Undefined("b", "GLIBC_2.2.5", GLIBC)),
    )
    members = {
        "numpy/linalg/_umath_linalg.cpython-35m-x86_64-linux-gnu.so": build_elf(blas),
        "numpy/linalg/lapack_lite.cpython-35m-x86_64-linux-gnu.so": build_elf(blas),
        "numpy/core/multiarray.cpython-35m-x86_64-linux-gnu.so": build_elf(blas),
    }
    return build_wheel(scene.folder / NUMPY, members, name="numpy", version="1.10.4", tags=("cp35-cp35m-linux_x86_64",))


# The seed's words, with versions and libraries sorted.
SEED_SHOW = """\
numpy-1.10.4-cp35-cp35m-linux_x86_64.whl is consistent with the
following platform tag: "linux_x86_64".

The wheel references the following external versioned symbols in
system-provided shared libraries: GLIBC_2.2.5, GLIBC_2.3.

The following external shared libraries are required by the wheel:
{
    "libc.so.6": "/lib64/libc-2.5.so",
    "libgfortran.so.1": "/usr/lib64/libgfortran.so.1.0.0",
    "libm.so.6": "/lib64/libm-2.5.so",
    "libopenblas.so.0": "/usr/local/lib/libopenblas_nehalemp-r0.2.14.so",
    "libpthread.so.0": "/lib64/libpthread-2.5.so"
}

"""


def test_show_says_what_the_seed_says(scene: Scene, seed_wheel: Path) -> None:
    text = show_text(audit_wheel(seed_wheel, AuditOptions(sysroot=scene.root)))
    assert text.startswith(SEED_SHOW)
    rest = " ".join(text.removeprefix(SEED_SHOW).split())
    assert rest.startswith('In order to achieve the platform tags "manylinux_2_41_x86_64", ')
    assert (
        '"linux_pybe1_core_x86_64" the following shared library dependencies will need to be relocated inside the '
        "wheel: libgfortran.so.1, libopenblas.so.0 `deloc8 fixup` can reach"
    ) in rest


def test_show_asks_for_one_tag_in_the_seeds_words(scene: Scene) -> None:
    # Every manylinux policy takes zlib from the system; the seed's own does not.
    text = show_text(scene.judge(ElfSpec(needed=("libz.so.1", GLIBC))))
    assert before_the_distributions(text).endswith(
        """
In order to achieve the platform tag "linux_pybe1_core_x86_64" the
following shared library dependencies will need to be relocated inside
the wheel:

libz.so.1

The platform tag "linux_pybe1_core_x86_64" is barred by what these
files do:

  demo/_core.so
    needs libz.so.1, which is neither in the wheel nor found on this
    system
"""
    )


def test_fixup_says_what_the_seed_says(scene: Scene, seed_wheel: Path) -> None:
    plan = plan_repair(seed_wheel, Goal(), AuditOptions(sysroot=scene.root))
    assert plan_text(plan) == (
        "Grafting: /usr/local/lib/libopenblas_nehalemp-r0.2.14.so\n"
        "Grafting: /usr/lib64/libgfortran.so.1.0.0\n"
        "Setting RPATH: numpy/linalg/_umath_linalg.cpython-35m-x86_64-linux-gnu.so\n"
        "Setting RPATH: numpy/linalg/lapack_lite.cpython-35m-x86_64-linux-gnu.so\n"
        "Setting RPATH: numpy/core/multiarray.cpython-35m-x86_64-linux-gnu.so\n"
    )
    end = written_text(Path("wheelhouse/numpy.whl"))
    assert end == "\nFixed-up wheel written to wheelhouse/numpy.whl\nDone!\n"


# -- show


def test_a_wheel_that_needs_nothing(scene: Scene) -> None:
    text = show_text(scene.judge(ElfSpec()))
    assert before_the_distributions(text) == (
        "demo-1.0-cp311-cp311-linux_x86_64.whl is consistent with the following\n"
        'platform tag: "manylinux_2_5_x86_64".\n\n'
        "The wheel references no external versioned symbols in system-provided\n"
        "shared libraries.\n\n"
        "The wheel requires no external shared libraries.\n\n"
        'The wheel keeps to the policy "linux_pybe1_core" as well.\n'
    )


def test_policies_that_name_no_wheel_are_told_when_the_wheel_keeps_to_them(scene: Scene, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(
        '{"name": "our_cluster", "symbol_versions": {"GLIBC": "2.28"}, "lib_whitelist": ["libc.so.6"]}', "utf-8"
    )
    kept = shown(scene.judge(wants("GLIBC_2.28"), policy_files=(policy,)))
    assert 'The wheel keeps to the policy "our_cluster" as well.' in kept
    both = shown(scene.judge(wants("GLIBC_2.2.5"), policy_files=(policy,)))
    assert 'The wheel keeps to the policies "linux_pybe1_core", "our_cluster" as well.' in both
    neither = shown(scene.judge(wants("GLIBC_2.29"), policy_files=(policy,)))
    assert "keeps to" not in neither


def test_nothing_is_said_of_distributions_where_none_is_known(scene: Scene) -> None:
    spec = ElfSpec(needed=("libc.so",), notes=(NoteSpec("Android", 1, b"\x18\0\0\0"),))
    text = shown(scene.judge(spec, tag="android_24_x86_64"))
    assert "platform tag" in text
    assert "distributions" not in text


def test_a_pure_wheel(scene: Scene) -> None:
    text = show_text(scene.audit({"demo/a.py": b""}, tags=("py3-none-any",)))
    assert text == "demo-1.0-py3-none-any.whl has no compiled files: it runs wherever\nPython does.\n"


def test_a_false_claim_is_told(scene: Scene) -> None:
    text = shown(scene.judge(wants("GLIBC_2.27"), tag="manylinux_2_17_x86_64.manylinux2014_x86_64"))
    assert 'is consistent with the following platform tag: "manylinux_2_27_x86_64". The wheel references' in text
    assert (
        'The wheel claims the platform tag "manylinux_2_17_x86_64", which is not true: the compiled files need more. '
        'The wheel claims the platform tag "manylinux2014_x86_64", which is not true: the compiled files need more.'
    ) in text


def test_a_notice_is_told_with_its_hint(scene: Scene) -> None:
    text = shown(scene.audit({CORE: wants("GLIBC_2.5", needed=("libGL.so.1",)), "demo/x.so": MACHINES["aarch64"]}))
    assert "demo/x.so: was not looked at and is left alone: it is for aarch64." in text
    assert (
        "libGL.so.1: the policy takes it from the system, but a minimal installation does not have it; needed by "
        "demo/_core.so. (to put it into the wheel, pass --graft 'libGL.so.1')"
    ) in text


def test_the_symbols_the_file_and_the_way_are_told(scene: Scene) -> None:
    """Line of the peers: show never named the file and the symbol that are too new (#36)."""
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.27", soname="libfoo.so.1"))
    text = show_text(scene.judge(wants("GLIBC_2.14", needed=("libfoo.so.1",))))
    assert '\nThe platform tags "manylinux_2_26_x86_64", "manylinux_2_24_x86_64",\n' in text
    assert "\n  demo/_core.so -> libfoo.so.1\n    needs use0@GLIBC_2.27 from libc.so.6\n" in text
    assert before_the_distributions(text).endswith(
        '\n\n`deloc8 fixup` can reach the platform tag "manylinux_2_27_x86_64".\n'
    )


def test_three_files_are_shown_for_each_barrier_and_all_when_more_is_asked_for(scene: Scene) -> None:
    members: dict[str, ElfSpec | bytes] = {f"demo/m{number}.so": wants("GLIBC_2.27") for number in range(5)}
    audit = scene.audit(members)
    text, long = show_text(audit), show_text(audit, verbose=True)
    first_text, first_long = (part.split('The platform tag "manylinux_2_12')[0] for part in (text, long))
    assert [f"demo/m{number}.so" in first_text for number in range(5)] == [True, True, True, False, False]
    assert "\n  and 2 more files (-v shows all)" in text
    assert [f"demo/m{number}.so" in first_long for number in range(5)] == [True] * 5
    assert "more files" not in long


def test_names_stay_in_their_line_and_keep_their_control_characters_to_themselves(scene: Scene) -> None:
    evil = "lib\nThe wheel is fine.\x1b[2J\u202e.so"
    symbols = (Undefined("sy\nmbol", "GLIBC_2.\n\x9b", GLIBC), Undefined("x", "V_1", evil))
    text = show_text(scene.judge(ElfSpec(needed=(evil, GLIBC), undefined=symbols)), verbose=True)
    assert not any(line.startswith("The wheel is fine") for line in text.split("\n"))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert r"needs sy\nmbol@GLIBC_2.\n\x9b from libc.so.6" in text
    assert r"lib\nThe wheel is fine.\x1b[2J\u202e.so" in text


# -- fixup


def test_edits_in_words() -> None:
    assert edit_text(ReplaceNeeded(old="libfoo.so.1", new="libfoo-01.so.1")) == (
        "replace-needed old=libfoo.so.1 new=libfoo-01.so.1"
    )
    assert edit_text(SetRpath(path="$ORIGIN", kind=RpathKind.RPATH)) == "set-rpath path=$ORIGIN kind=rpath"
    assert edit_text(RemoveRpath()) == "remove-rpath"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_each_change_of_a_member_has_its_line(bench: Bench) -> None:
    bench.library("/usr/lib/libpython3.11.so.1.0")
    removes = ElfSpec(needed=(GLIBC,), rpath="/build")
    drops = ElfSpec(needed=("libpython3.11.so.1.0", GLIBC))
    plan = bench.plan(bench.wheel({"demo/a.so": removes, "demo/b.so": drops}))
    assert plan_text(plan) == (
        "Removing RPATH: demo/a.so\nChanging: demo/b.so\nRemoving libpython3.11.so.1.0: demo/b.so\n"
    )


def test_libpython_taken_out_is_told_of_each_file(bench: Bench) -> None:
    bench.library("/usr/lib/libboost_python.so.1", needed=("libpython3.11.so.1.0",))
    spec = ElfSpec(needed=("libpython3.11.so.1.0", "libboost_python.so.1"))
    plan = bench.plan(bench.wheel({"demo/a.so": spec}))
    (graft,) = plan.grafts
    lines = plan_text(plan).splitlines()
    assert "Removing libpython3.11.so.1.0: demo/a.so" in lines
    assert f"Removing libpython3.11.so.1.0: {graft.member}" in lines


def test_a_dry_run_tells_everything(bench: Bench) -> None:
    bench.library("/usr/lib/libfoo.so.1", needed=(GLIBC,))
    plan = bench.plan(bench.extension(needed=("libfoo.so.1", GLIBC)), strip=None)
    (graft,) = plan.grafts
    lines = full_plan_text(plan, Path("out")).split("\n")
    assert lines[:4] == [
        "Would graft: /usr/lib/libfoo.so.1",
        f"  as {graft.member}",
        f"  needed by {EXT} -> libfoo.so.1",
        f"  of an unknown package: {graft.owner.reason}",
    ]
    assert f"  set-soname soname={graft.new_name}" in lines
    place = lines.index(f"Would change: {EXT}")
    assert lines[place + 1] == f"  replace-needed old=libfoo.so.1 new={graft.new_name}"
    assert lines[place + 2] == "  set-rpath path=$ORIGIN/../demo.libs kind=rpath"
    assert f"Would set the tags: {', '.join(plan.tags or ())}" in lines
    assert lines[-3:] == ["", f"Would write: out/{plan.target.filename}", ""]
    assert not any("strip" in line for line in lines)


@pytest.mark.parametrize(
    ("package", "text"),
    [
        (Package(name="libfoo1", version="1.2-3", source=PackageSource.DPKG), "of the package libfoo1 1.2-3 (dpkg)"),
        (Package(name="foo", source=PackageSource.RPM), "of the package foo (rpm)"),
        (Package(reason="nobody tells"), "of an unknown package: nobody tells"),
        (Package(), "of an unknown package"),
    ],
)
def test_a_dry_run_tells_where_grafts_come_from(bench: Bench, package: Package, text: str) -> None:
    bench.library("/usr/lib/libfoo.so.1", needed=(GLIBC,))
    plan = bench.plan(bench.extension(needed=("libfoo.so.1", GLIBC)))
    licence = LicenceFile(source="/usr/share/doc/libfoo1/copyright", sha256="0" * 64, member="demo/licence")
    for provenance in (Provenance(sbom="demo/sbom.json", licences=(licence,)), Provenance()):
        grafts = tuple(replace(graft, owner=package) for graft in plan.grafts)
        lines = full_plan_text(replace(plan, grafts=grafts, provenance=provenance), Path("out")).split("\n")
        assert lines[3] == f"  {text}"
        told = ["Would copy the licence: /usr/share/doc/libfoo1/copyright", "  as demo/licence"]
        told.append("Would write a bill of materials: demo/sbom.json")
        assert [line for line in lines if line in told] == (told if provenance.sbom else [])


def test_a_dry_run_tells_of_moved_programs_and_of_stripping_and_not_of_tags_that_stay(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_strip_on_path(tmp_path / "tools", monkeypatch)
    bench.library("/usr/lib/libfoo.so.1")
    program = ElfSpec(
        type=ET_EXEC,
        interpreter="/lib64/ld-linux-x86-64.so.2",
        needed=("libfoo.so.1", GLIBC),
        notes=(NoteSpec("GNU", 1, bytes(16)),),
    )
    wheel = bench.wheel({"demo-1.0.data/scripts/run": program})
    text = full_plan_text(bench.plan(wheel, update_tags=False, strip=StripLevel.DEBUG), Path("out"))
    assert "Would change: demo-1.0.data/scripts/run\n  move to demo.scripts/run\n" in text
    assert "Would strip all of these: debug\n" in text
    assert "tags" not in text


def test_the_line_on_a_copied_wheel() -> None:
    assert copied_text(Path("out/a.whl"), would=False) == "Copied a wheel without compiled files to out/a.whl\n"
    assert copied_text(Path("out/a.whl"), would=True) == "Would copy a wheel without compiled files to out/a.whl\n"


def test_policies_stand_with_their_other_names() -> None:
    rows = [("manylinux_2_17", ("manylinux2014",)), ("linux", ())]
    assert policies_text(rows) == "manylinux_2_17 (manylinux2014)\nlinux\n"
