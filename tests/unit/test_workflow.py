from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

import deloc8.repair.execute
import deloc8.repair.verify
from deloc8.audit import verdict
from deloc8.audit.verdict import Truth
from deloc8.errors import (
    Deloc8Error,
    ElfError,
    PolicyError,
    PureWheelError,
    SystemFault,
    UnrepairableError,
    UsageError,
    VerificationError,
    WheelError,
)
from deloc8.repair.model import Goal
from deloc8.wheel.writer import WriteOptions
from deloc8.wheel.zipformat import ArchiveLimits
from deloc8.workflow.audit import AuditOptions, audit_wheel, dependency_forest
from deloc8.workflow.check import check_wheel
from deloc8.workflow.repair import copy_wheel, plan_repair, repair_wheel
from kit.bench import EXT, Bench, contents
from kit.elf import ElfSpec, Undefined, build_elf
from kit.zips import Entry, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

LIB = "/usr/lib64"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def pure(bench: Bench) -> Path:
    return bench.wheel({"demo/__init__.py": b""}, tags=("py3-none-any",))


# -- what is looked at ---------------------------------------------------------------------------------------------


def test_an_audit_judges_the_claims_of_a_wheel(bench: Bench) -> None:
    wheel = bench.wheel(
        {EXT: ElfSpec(needed=("libc.so.6",), undefined=(MEMCPY,))}, tags=("cp311-cp311-manylinux1_x86_64",)
    )
    (claim,) = bench.audit(wheel).claims
    assert claim.truth is Truth.FALSE


def test_each_option_reaches_its_stage(bench: Bench, tmp_path: Path) -> None:
    wheel = bench.extension(needed=("liba.so.1",))

    def place(**options: object) -> str | None:
        return bench.audit(wheel, **options).facts.dependencies[f"/.wheel/lib/pythonX.Y/site-packages/{EXT}"][0].target

    for folder in ("/one", "/two", "/three"):
        bench.library(f"{folder}/liba.so.1")
    assert place() is None
    assert place(library_path=("/one",)) == "/one/liba.so.1"
    assert place(library_path=("/one",), add_paths=("/two",)) == "/two/liba.so.1"
    assert place(only_paths=("/three",)) == "/three/liba.so.1"
    other = Bench(tmp_path / "other")
    other.library(f"{LIB}/liba.so.1")
    assert place(sysroot=other.system.top) == f"{LIB}/liba.so.1"
    assert place(include=("liba.so.1",), add_paths=("/one",)) == "/one/liba.so.1"


def test_the_limits_of_a_wheel_hold_at_each_stage(bench: Bench, tmp_path: Path) -> None:
    members: dict[str, ElfSpec | bytes] = {EXT: ElfSpec(), "demo/zeros.bin": bytes(3_000_000)}
    wheel, narrow = bench.wheel(members), ArchiveLimits(ratio_from=1_000_000)
    for attempt in (bench.audit, bench.plan, bench.repair):
        with pytest.raises(WheelError) as caught:
            attempt(wheel, limits=narrow)
        assert caught.value.code == "compression-bomb"
    assert [finding.code for finding in check_wheel(wheel, AuditOptions(limits=narrow))] == ["compression-bomb"]
    with pytest.raises(WheelError):
        dependency_forest(wheel, AuditOptions(limits=narrow))
    with pytest.raises(WheelError):
        copy_wheel(wheel, tmp_path / "copies", AuditOptions(limits=narrow))


def test_policies_of_the_user_are_read(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"name": "corp", "symbol_versions": {}, "lib_whitelist": ["libc.so.6"]}')
    names = [match.policy.name for match in bench.audit(bench.extension(), policy_files=(file,)).matches]
    assert names[-2:] == ["corp", "linux"]


def test_policies_do_not_matter_to_a_pure_wheel(bench: Bench, tmp_path: Path) -> None:
    assert bench.audit(pure(bench), policy_files=(tmp_path / "gone.json",)).is_pure


def test_a_policy_file_that_cannot_be_read_is_named(bench: Bench, tmp_path: Path) -> None:
    for run in (bench.audit, bench.plan, bench.repair):
        with pytest.raises(PolicyError, match=r"gone\.json") as caught:
            run(bench.extension(), policy_files=(tmp_path / "gone.json",))
        assert caught.value.code == "unreadable-policy"
        assert caught.value.context == ("No such file or directory",)
    assert bench.left == ["no folder"]


def test_the_machine_itself_is_the_default(bench: Bench) -> None:
    wheel = bench.extension(needed=("libc.so.6",))
    assert AuditOptions().sysroot == "/"
    assert audit_wheel(wheel).facts.own
    assert plan_repair(wheel, Goal()).is_empty
    assert repair_wheel(wheel, bench.out, Goal(), WriteOptions()).path.exists()


def test_trees_are_drawn_of_wheels_files_and_folders(bench: Bench) -> None:
    path = bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1",))
    bench.library(f"{LIB}/libb.so.1")
    options = AuditOptions(sysroot=bench.system.top)
    wheel = dependency_forest(bench.extension(needed=("liba.so.1",)), options)
    file = dependency_forest(bench.system.top / path[1:], options)
    folder = dependency_forest(bench.system.top / LIB[1:], options)
    assert [len(forest.roots) for forest in (wheel, file, folder)] == [1, 1, 2]


# -- what cannot be repaired leaves nothing ------------------------------------------------------------------------


def damaged(bench: Bench) -> Path:
    return bench.wheel({EXT: build_elf(ElfSpec())[:200]})


def missing_library(bench: Bench) -> Path:
    return bench.extension(needed=("libgone.so.1",))


def no_wheel(bench: Bench) -> Path:
    path = bench.dist / "demo-1.0-cp311-cp311-linux_x86_64.whl"
    path.write_bytes(b"no archive")
    return path


@pytest.mark.parametrize(
    ("make", "family"),
    [(damaged, ElfError), (missing_library, UnrepairableError), (no_wheel, WheelError), (pure, PureWheelError)],
)
def test_a_failure_leaves_neither_file_nor_folder(
    bench: Bench, make: Callable[[Bench], Path], family: type[Deloc8Error]
) -> None:
    wheel = make(bench)
    before = wheel.read_bytes()
    with pytest.raises(family) as caught:
        repair_wheel(wheel, bench.out / "deep" / "er", Goal(), WriteOptions(), AuditOptions(sysroot=bench.system.top))
    assert bench.left == ["no folder"]
    bench.out.mkdir()
    (bench.out / "other.whl").touch()
    with pytest.raises(family):
        bench.repair(wheel)
    assert bench.left == ["other.whl"]
    assert wheel.read_bytes() == before
    assert caught.value.hints


def test_a_pure_wheel_has_nothing_to_repair(bench: Bench) -> None:
    with pytest.raises(PureWheelError, match="nothing to repair") as caught:
        bench.plan(pure(bench))
    assert caught.value.code == "pure-wheel"
    assert "--allow-pure-python-wheel" in caught.value.hints[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    bench.library(f"{LIB}/liba.so.1")

    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(deloc8.repair.execute, "edit_owned", interrupt)
    for threads in (1, 3):
        with pytest.raises(error):
            bench.repair(bench.extension(needed=("liba.so.1",)), threads=threads)
        assert bench.left == ["no folder"]


def test_a_folder_that_cannot_be_made_is_told(bench: Bench) -> None:
    bench.out.touch()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        repair_wheel(
            bench.extension(), bench.out / "sub", Goal(), WriteOptions(), AuditOptions(sysroot=bench.system.top)
        )
    assert caught.value.code == "unwritable-output"
    assert any("-w" in hint for hint in caught.value.hints)


def test_a_folder_in_the_place_of_the_result_is_told(bench: Bench) -> None:
    wheel = bench.extension()
    place = bench.out / bench.plan(wheel).target.filename
    place.mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be written"):
        bench.repair(wheel)
    assert bench.left == [place.name]


# -- the place of the result ---------------------------------------------------------------------------------------


def test_the_result_replaces_an_older_one_in_one_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = bench.extension()
    first = bench.repair(wheel)
    first.path.write_bytes(b"an older result")
    seen = []
    replace_file = os.replace

    def watch(source: Path, target: Path) -> None:
        seen.append((target.read_bytes(), source.parent))
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", watch)
    second = bench.repair(wheel)
    assert seen == [(b"an older result", bench.out)]
    assert second.path.read_bytes() != b"an older result"
    assert bench.left == [second.path.name]


def test_the_source_never_changes_even_in_its_own_folder(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",), rpath="/build")
    before = wheel.read_bytes(), wheel.stat().st_mtime_ns, wheel.stat().st_ino
    options = AuditOptions(sysroot=bench.system.top)
    outcome = repair_wheel(wheel, bench.dist, Goal(), WriteOptions(), options)
    assert sorted(path.name for path in bench.dist.iterdir()) == sorted([wheel.name, outcome.path.name])
    assert (wheel.read_bytes(), wheel.stat().st_mtime_ns, wheel.stat().st_ino) == before


def test_a_result_that_would_replace_its_source_is_refused(bench: Bench) -> None:
    wheel = bench.extension(rpath="/build")
    before = wheel.read_bytes(), wheel.stat().st_ino
    options = AuditOptions(sysroot=bench.system.top)
    link = bench.dist.with_name("link")
    link.symlink_to(bench.dist, target_is_directory=True)
    for folder in (bench.dist, link):
        with pytest.raises(UsageError, match="is the wheel itself") as caught:
            repair_wheel(wheel, folder, Goal(update_tags=False), WriteOptions(), options)
        assert caught.value.code == "target-is-source"
    assert (wheel.read_bytes(), wheel.stat().st_ino) == before
    assert [path.name for path in bench.dist.iterdir()] == [wheel.name]


def test_a_repaired_wheel_needs_no_second_repair(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1", needed=("libb.so.1",))
    bench.library(f"{LIB}/libb.so.1")
    first = bench.repair(bench.extension(needed=("liba.so.1",), rpath="/build"))
    shutil.rmtree(bench.system.top / "usr")
    again = bench.plan(first.path)
    assert again.is_empty
    assert again.target == first.plan.target
    second = repair_wheel(
        first.path, bench.out / "again", Goal(), WriteOptions(), AuditOptions(sysroot=bench.system.top)
    )
    assert contents(second.path) == contents(first.path)


def test_level_and_epoch_reach_the_writer_and_threads_come_from_the_audit(bench: Bench) -> None:
    wheel = bench.extension(payload=b"x" * 9999, rpath="/build")
    small = bench.repair(wheel, WriteOptions(level=9), threads=2)
    large = bench.repair(wheel, WriteOptions(level=0))
    assert large.size > small.size + 5000


# -- wheels without compiled files ---------------------------------------------------------------------------------


def test_a_pure_wheel_is_copied_as_it_is(bench: Bench) -> None:
    wheel = pure(bench)
    copy = copy_wheel(wheel, bench.out / "deep")
    assert copy == bench.out / "deep" / wheel.name
    assert copy.read_bytes() == wheel.read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == [wheel.name]


def test_a_pure_wheel_in_its_own_folder_stays_as_it_is(bench: Bench) -> None:
    wheel = pure(bench)
    before = wheel.stat()
    assert copy_wheel(wheel, bench.dist) == wheel
    assert (wheel.stat().st_ino, wheel.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_no_sound_wheel_is_not_copied(bench: Bench) -> None:
    path = bench.dist / "demo-1.0-py3-none-any.whl"
    path.write_bytes(raw_zip(wheel_entries(Entry(name=b"../evil", data=b""))))
    with pytest.raises(WheelError):
        copy_wheel(path, bench.out)
    assert bench.left == ["no folder"]


# -- a wheel that is written to meanwhile


@pytest.mark.parametrize("command", ["show", "check", "plan", "repair"])
@pytest.mark.parametrize("end", ["well", "in an error", "in a proof that fails"])
def test_a_wheel_that_changes_is_judged_neither_good_nor_bad(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str, end: str
) -> None:
    wheel = bench.extension()
    options = AuditOptions(sysroot=bench.system.top)
    honest = verdict.judge
    ends: dict[str, Deloc8Error | None] = {
        "well": None,
        "in an error": WheelError("odd", code="odd"),
        "in a proof that fails": VerificationError("odd", code="odd"),
    }

    def judge(*arguments: Any) -> Any:
        os.utime(wheel, ns=(1, 1))
        error = ends[end]
        if error is not None:
            raise error
        return honest(*arguments)

    monkeypatch.setattr("deloc8.workflow.audit.judge", judge)
    work: dict[str, Callable[[], object]] = {
        "show": lambda: audit_wheel(wheel, options),
        "check": lambda: check_wheel(wheel, options),
        "plan": lambda: plan_repair(wheel, Goal(), options),
        "repair": lambda: bench.repair(wheel),
    }
    with pytest.raises(SystemFault) as caught:
        work[command]()
    assert caught.value.code == "wheel-changed"
    assert bench.left == ["no folder"]


def test_a_wheel_that_changes_during_the_proof_is_not_taken_for_a_defect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = bench.extension()
    honest = deloc8.repair.verify.verify

    def verify(*arguments: Any, **options: Any) -> Any:
        os.utime(wheel, ns=(1, 1))
        return honest(*arguments, **options)

    monkeypatch.setattr("deloc8.workflow.repair.verify", verify)
    with pytest.raises(SystemFault) as caught:
        bench.repair(wheel)
    assert caught.value.code == "wheel-changed"
    assert bench.left == ["no folder"]
