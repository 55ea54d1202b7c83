"""Temporary files never have more bytes than the largest member, whatever is done with a wheel."""

from __future__ import annotations

import subprocess
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.repair import execute
from deloc8.repair.known import Known
from deloc8.repair.model import StripLevel
from deloc8.wheel import archive, mapped
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.bench import Bench, contents
from kit.elf import Defined, ElfSpec, NeedSpec, Undefined, build_elf
from kit.stripping import put_strip_on_path

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from deloc8.wheel.archive import Buffer

LIB = "/usr/lib64"
LARGE = 5000
SIZES = (6000, 9000, 8000, 7000)
SINGLE = Undefined("__libc_single_threaded", "GLIBC_2.32", "libc.so.6")
NEW = ElfSpec(
    needed=("libc.so.6",), undefined=(SINGLE,), relr=True, needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),)
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.library(f"{LIB}/liba.so.1")
    return found


class Files:
    """The temporary files that there are; one that is being written counts whole.

    Attributes:
        most: The most bytes that they had at a time.
        count: How many there were.
    """

    def __init__(self) -> None:
        self.most = self.count = self._growing = 0
        self._lock = threading.Lock()
        self._grown: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._honest = mapped.mapped

    @property
    def now(self) -> int:
        """The bytes that they have."""
        return self._growing + sum(map(len, self._grown))

    def mapped(self, pieces: Iterator[Buffer], size: int) -> mmap.mmap:
        with self._lock:
            self.count += 1
            self._growing += size
            self.most = max(self.most, self.now)
        found = self._honest(pieces, size)
        assert not isinstance(found, bytearray)
        with self._lock:
            self._growing -= size
            self._grown.add(found)
        return found


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    found = Files()
    monkeypatch.setattr(archive, "LARGE_MEMBER", LARGE)
    monkeypatch.setattr(mapped, "mapped", found.mapped)
    return found


def large(bench: Bench, spec: ElfSpec) -> Path:
    """A wheel of four large ELF files of different sizes."""
    return bench.wheel({f"demo/m{size}.so": build_elf(spec) + bytes(size) for size in SIZES})


def largest(wheel: Path) -> int:
    return max(map(len, contents(wheel).values()))


@pytest.mark.parametrize("threads", [1, 4])
def test_a_repair_has_one_large_member_at_a_time(bench: Bench, files: Files, threads: int) -> None:
    outcome = bench.repair(large(bench, ElfSpec(needed=("liba.so.1",))), threads=threads)
    assert outcome.proof.problems == ()
    assert files.most == largest(outcome.path)
    # The audit, the edits (perhaps but for the largest one, which is kept until it makes room), and the proof.
    assert files.count in {4 + 3 + 4, 4 + 4 + 4}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("level", [0, 6])
def test_members_compressed_anew_are_read_one_at_a_time(bench: Bench, files: Files, level: int, threads: int) -> None:
    wheel = large(bench, ElfSpec())
    outcome = bench.repair(wheel, WriteOptions(level=level, all_members=True), threads=threads)
    assert outcome.proof.problems == ()
    assert files.most == largest(outcome.path) == largest(wheel)


@pytest.mark.parametrize("threads", [1, 4])
def test_lowering_has_one_large_member_at_a_time(bench: Bench, files: Files, threads: int) -> None:
    """Those that are lowered are looked at before, and compared with the old ones after."""
    wheel = large(bench, NEW)
    outcome = bench.repair(wheel, platform="manylinux_2_17_x86_64", lower_glibc=True, threads=threads)
    assert outcome.proof.problems == ()
    assert files.most == largest(outcome.path) > largest(wheel)
    assert files.count > 4 * 4


def test_what_is_kept_is_what_is_looked_at_before_it_is_lowered(bench: Bench, files: Files) -> None:
    wheel = bench.wheel({"demo/a.so": build_elf(NEW) + bytes(6000)})
    bench.repair(wheel, platform="manylinux_2_17_x86_64", lower_glibc=True)
    assert files.count == 1 + 3  # the audit; the proof reads the new one, the old one, and the new one


@pytest.mark.parametrize("threads", [1, 4])
def test_the_program_that_strips_has_no_large_member_beside_its_files(
    bench: Bench, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int
) -> None:
    put_strip_on_path(tmp_path / "tools", monkeypatch)
    honest, seen = subprocess.Popen, []

    def noted(command: list[str], **options: object) -> subprocess.Popen[str]:
        if Path(command[-1]).stat().st_size > LARGE:
            seen.append(files.now)
        return honest(command, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", noted)
    bench.system.write(f"{LIB}/liba.so.1", build_elf(ElfSpec(soname="liba.so.1")) + bytes(6000))
    wheel = large(bench, ElfSpec(needed=("liba.so.1",)))
    assert bench.repair(wheel, strip=StripLevel.DEBUG, threads=threads).proof.problems == ()
    assert seen == [0] * (len(SIZES) + 1)  # one for the graft


def test_a_plan_for_lowering_has_one_large_member_at_a_time(bench: Bench, files: Files) -> None:
    wheel = large(bench, NEW)
    assert bench.plan(wheel, platform="manylinux_2_17_x86_64", lower_glibc=True).rewrites
    assert files.most == largest(wheel)
    # They are read for the verdict, for what is lowered, and to try the edits.
    assert files.count == 4 + 4 + 4


@pytest.mark.parametrize("threads", [1, 4])
def test_show_has_one_large_member_at_a_time(bench: Bench, files: Files, threads: int) -> None:
    wheel = large(bench, ElfSpec(needed=("liba.so.1",)))
    assert bench.audit(wheel, threads=threads).openings == ()
    assert files.most == largest(wheel)
    assert files.count == 4


def test_show_has_one_large_member_at_a_time_where_it_looks_for_definitions(bench: Bench, files: Files) -> None:
    """Of a name that policies forbid, zlib's, it matters whether the wheel has it itself."""
    own = ("libx.so", "liby.so")
    user = ElfSpec(needed=own, undefined=(Undefined("inflate_fast"),), runpath="$ORIGIN")
    members = {"demo/user.so": build_elf(user) + bytes(9000)}
    for size, name in zip(SIZES, own, strict=False):
        members[f"demo/{name}"] = build_elf(ElfSpec(soname=name, defined=(Defined("inflate_fast"),))) + bytes(size)
    wheel = bench.wheel(members)
    assert bench.audit(wheel).facts.definitions
    assert files.most == largest(wheel)
    assert files.count == 3 + 2


def test_check_has_one_large_member_at_a_time(bench: Bench, files: Files) -> None:
    wheel = large(bench, ElfSpec(needed=("liba.so.1",)))
    assert check_wheel(wheel, AuditOptions(sysroot=bench.system.top)) == ()
    assert files.most == largest(wheel)
    assert files.count == 4 + 4


def test_large_files_wait_for_each_other(bench: Bench) -> None:
    with archive.open_wheel(large(bench, ElfSpec())) as wheel:
        reader = execute._Reader(archive=wheel, known=Known.of(wheel))
        with reader.alone(archive.LARGE_MEMBER + 1), reader.alone(archive.LARGE_MEMBER):
            assert reader.turn.locked()
        with reader.alone(archive.LARGE_MEMBER):
            assert not reader.turn.locked()
