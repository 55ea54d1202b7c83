"""Faults in the middle of `deloc8 fixup`: the input stays, the output is whole or absent, and nothing else is left."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from deloc8.wheel.archive import open_wheel
from deloc8.wheel.record import check_record, hash_members, read_record
from kit.bench import EXT, Bench
from kit.command import COVERAGE, Result, program, uncovered
from kit.elf import GLIBC, ElfSpec, build_elf
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

KILLS = 100
SIZE = 3_000_000
LIBRARY = "/usr/lib/libfoo.so.1"


class Faulty:
    """A wheel to fix up on a small system, in a folder of any name."""

    def __init__(self, top: Path) -> None:
        self.bench = Bench(top)
        self.temporary = top / "tmp"
        self.temporary.mkdir()
        self.bench.library(f"/usr/lib/{GLIBC}")
        self.bench.library(LIBRARY)
        module = ElfSpec(needed=("libfoo.so.1", GLIBC))
        # Data that cannot be compressed: writing them takes a while.
        self.wheel = self.bench.wheel({EXT: module, "demo/data.bin": random.Random(1).randbytes(SIZE)})  # noqa: S311  no secret
        self.before = sha256(self.wheel)

    def command(self, *more: str | Path) -> list[str]:
        """The command line."""
        options = ("--sysroot", self.bench.system.top, "-w", self.bench.out, "--no-sbom", "--no-licenses")
        return program("fixup", self.wheel, *options, *more)

    def run(
        self,
        *more: str | Path,
        environ: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
        first: Callable[[], None] | None = None,
    ) -> Result:
        """How it ends; `first` is called in the child before the program begins."""
        return self.run_command(self.command(*more), environ=environ, without=without, first=first)

    def run_command(
        self,
        command: list[str],
        *,
        environ: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
        first: Callable[[], None] | None = None,
    ) -> Result:
        clean = {name: value for name, value in os.environ.items() if name not in without}
        ended = subprocess.run(
            command,
            capture_output=True,
            check=False,
            env={**clean, "TMPDIR": str(self.temporary), **(environ or {})},
            preexec_fn=first,
            timeout=60,
        )
        return Result(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def check_whole(self) -> None:
        """The input is unchanged, and one sound wheel stands in the folder, and nothing else."""
        assert sha256(self.wheel) == self.before
        (name,) = self.bench.left
        check_wheel(self.bench.out / name)
        assert list(self.temporary.iterdir()) == []

    def check_absent(self, ended: Result, code: str, exit_code: int = 1) -> None:
        """One clear message, the exit code, the input unchanged, and nothing written."""
        assert ended.code == exit_code
        assert ended.err.count("error: ") == 1
        assert f"[{code}]" in ended.err
        assert "Traceback" not in ended.err
        self.check_nothing()

    def check_nothing(self) -> None:
        """The input is unchanged, and nothing is written."""
        assert sha256(self.wheel) == self.before
        assert self.bench.left == ["no folder"]
        assert list(self.temporary.iterdir()) == []


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_wheel(path: Path) -> None:
    """The archive is sound, in the standard library's eyes and in ours, and RECORD is true of it."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert any(name.startswith("demo.libs/libfoo-") for name in archive.namelist())
    with open_wheel(path) as wheel:
        rows = read_record(wheel).rows
        assert not check_record(rows, wheel.members, hash_members(wheel, rows))


@pytest.fixture
def faulty(tmp_path: Path) -> Faulty:
    return Faulty(tmp_path)


def kill_after(seconds: float, command: list[str]) -> int:
    """The exit code: negative if the run was killed in its midst."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=uncovered())
    try:
        return running.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        running.kill()
        return running.wait()


def test_killed_at_random_moments(faulty: Faulty, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert kill_after(60, faulty.command()) == 0
    duration = time.monotonic() - started
    faulty.check_whole()
    (whole,) = faulty.bench.out.iterdir()
    expected, name = sha256(whole), whole.name
    shutil.rmtree(faulty.bench.out)

    out = faulty.bench.out
    moments = random.Random()  # noqa: S311  no secret; another choice at each run
    with ThreadPoolExecutor(2) as executor:
        delays = [moments.uniform(0.2, 1.1) * duration for _ in range(KILLS)]
        codes = list(executor.map(lambda delay: kill_after(delay, faulty.command()), delays))
    assert sha256(faulty.wheel) == faulty.before
    left = list(out.iterdir()) if out.exists() else []
    temporary = [path for path in left if path.name.startswith(".deloc8-") and path.suffix == ".tmp"]
    assert {path.name for path in left if path not in temporary} <= {name}
    assert all(sha256(path) == expected for path in left if path.name == name)
    killed = sum(code < 0 for code in codes)
    with capsys.disabled():
        print(f"\nkilled {killed} of {KILLS} runs, temporary files left {len(temporary)}")  # noqa: T201  the counts are what the test is run for
    assert killed

    assert faulty.run().code == 0
    faulty.check_whole()
    assert sha256(out / name) == expected


def test_killed_while_it_writes(faulty: Faulty) -> None:
    """The one moment that random ones may miss: the temporary file is there, and the next run removes it."""
    out = faulty.bench.out
    left: list[Path] = []
    for _ in range(20):
        running = subprocess.Popen(
            faulty.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=uncovered()
        )
        while running.poll() is None and not list(out.glob(".deloc8-*.tmp")):
            pass
        running.kill()
        running.wait()
        left = list(out.glob(".deloc8-*.tmp"))
        if left:
            break
    assert left
    assert sha256(faulty.wheel) == faulty.before
    assert faulty.run().code == 0
    faulty.check_whole()


def test_killed_while_it_strips(faulty: Faulty, tmp_path: Path) -> None:
    """What the stripping program leaves stands beside the output too, and the next run removes it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    strip = tools / "x86_64-linux-gnu-strip"
    strip.write_text('#!/bin/sh\ntouch "$2.more"\nexec sleep 60\n')
    strip.chmod(0o755)
    (tools / "strip").symlink_to(strip)
    environ = {**uncovered(), "PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(faulty.temporary)}
    out = faulty.bench.out
    running = subprocess.Popen(
        faulty.command("--strip"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    while running.poll() is None and not list(out.glob(".deloc8-*/*.more")):
        pass
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert list(out.glob(".deloc8-*/file"))
    assert faulty.run().code == 0
    faulty.check_whole()


def test_the_largest_file_that_may_be_written(faulty: Faulty) -> None:
    """A limit of the file size stands for a full disk: writing fails in the midst of the data."""
    limit = SIZE // 2
    ended = faulty.run(first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), without=COVERAGE)
    faulty.check_absent(ended, "no-room", 4)
    assert "File too large" in ended.err


def test_a_full_disk(faulty: Faulty) -> None:
    out = faulty.bench.out
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(out)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root that may mount a tmpfs")
    try:
        ended = faulty.run()
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", str(out)], check=True)
    out.rmdir()
    faulty.check_absent(ended, "no-room", 4)
    assert "No space left on device" in ended.err


def obeying_permissions(command: list[str]) -> list[str]:
    """The same command, where root has no more rights to files than others."""
    if os.geteuid():
        return command
    rights = "-dac_override,-dac_read_search"
    return [require("setpriv", "util-linux"), f"--bounding-set={rights}", f"--inh-caps={rights}", *command]


def test_a_library_that_cannot_be_read(faulty: Faulty) -> None:
    (faulty.bench.system.top / LIBRARY[1:]).chmod(0)
    ended = faulty.run_command(obeying_permissions(faulty.command()), without=COVERAGE)
    assert ended.code == 1
    assert "/usr/lib/libfoo.so.1 (unreadable: Permission denied)" in ended.err
    assert "Traceback" not in ended.err
    faulty.check_nothing()


def test_a_library_that_is_gone(faulty: Faulty) -> None:
    (faulty.bench.system.top / LIBRARY[1:]).unlink()
    ended = faulty.run()
    assert "libfoo.so.1" in ended.err
    assert ended.code == 1
    faulty.check_nothing()


@pytest.mark.parametrize("fault", ["vanishes", "is cut", "is replaced"])
def test_a_library_that_changes_in_the_midst(faulty: Faulty, fault: str) -> None:
    """Whatever the moment: a whole wheel with the library as it was, or one message and nothing."""
    library = faulty.bench.system.top / LIBRARY[1:]
    other = build_elf(ElfSpec(soname="libfoo.so.1", payload=b"another build"))
    steps: dict[str, Callable[[], object]] = {
        "vanishes": library.unlink,
        "is cut": lambda: os.truncate(library, 100),
        "is replaced": lambda: library.write_bytes(other),
    }
    with subprocess.Popen(
        faulty.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=uncovered(), text=True
    ) as running:
        # The output's folder is made when the plan is ready.
        while running.poll() is None and not faulty.bench.out.exists():
            pass
        steps[fault]()
        _, err = running.communicate(timeout=60)
    if running.returncode == 0:
        faulty.check_whole()
        (whole,) = faulty.bench.out.iterdir()
        with zipfile.ZipFile(whole) as archive:
            (name,) = [name for name in archive.namelist() if name.startswith("demo.libs/libfoo-")]
            assert b"another build" not in archive.read(name)
    else:
        code = ("unreadable-library", 1) if fault == "vanishes" else ("library-changed", 4)
        faulty.check_absent(Result(running.returncode, "", err), *code)


def test_a_target_that_cannot_be_written(faulty: Faulty) -> None:
    faulty.bench.out.mkdir(mode=0o555)
    ended = faulty.run_command(obeying_permissions(faulty.command()), without=COVERAGE)
    faulty.bench.out.rmdir()
    faulty.check_absent(ended, "unwritable-output", 2)
    assert "Permission denied" in ended.err


def test_a_target_that_is_the_source(faulty: Faulty) -> None:
    ended = faulty.run("--no-update-tags", "-w", faulty.wheel.parent)
    assert ended.code == 2
    assert ended.err.count("error: ") == 1
    assert "[target-is-source]" in ended.err
    assert sha256(faulty.wheel) == faulty.before
    assert list(faulty.wheel.parent.iterdir()) == [faulty.wheel]


def test_several_write_the_same_wheel_at_once(faulty: Faulty) -> None:
    running = [
        subprocess.Popen(faulty.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    ends = [(one.communicate(timeout=60)[1], one.returncode) for one in running]
    assert [code for _, code in ends] == [0, 0, 0], ends
    faulty.check_whole()


def test_a_clock_before_1980(faulty: Faulty) -> None:
    faketime = require("faketime", "Debian: faketime")
    ended = faulty.run_command([faketime, "1971-02-03 04:05:06", *faulty.command()], without=COVERAGE)
    assert (ended.code, ended.err.count("error")) == (0, 0), ended.err
    faulty.check_whole()
    (whole,) = faulty.bench.out.iterdir()
    with zipfile.ZipFile(whole) as archive:
        assert min(info.date_time for info in archive.infolist()) >= (1980, 1, 1, 0, 0, 0)


def test_an_epoch_before_1980(faulty: Faulty) -> None:
    assert faulty.run(environ={"SOURCE_DATE_EPOCH": "0"}).code == 0
    faulty.check_whole()
    (whole,) = faulty.bench.out.iterdir()
    with zipfile.ZipFile(whole) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_without_a_home_or_a_locale(faulty: Faulty) -> None:
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = faulty.run(environ=plain, without=("HOME", "XDG_CACHE_HOME", "TMPDIR", "USER", "LOGNAME"))
    assert (ended.code, ended.err.count("error")) == (0, 0)
    faulty.check_whole()


@pytest.mark.parametrize("name", ["with space", "new\nline", "größe", "-w", "a:b;c$ORIGIN"])
def test_a_path_with_odd_characters(tmp_path: Path, name: str) -> None:
    faulty = Faulty(tmp_path / name)
    ended = faulty.run()
    assert ended.code == 0, ended.err
    faulty.check_whole()


def test_stdin_is_closed(faulty: Faulty) -> None:
    assert faulty.run(first=lambda: os.close(0)).code == 0
    faulty.check_whole()
