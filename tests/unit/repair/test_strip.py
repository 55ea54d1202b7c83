"""What `--strip` runs: a small program that stands in for binutils' here, and the real one in the oracle tests."""

from __future__ import annotations

import errno
import functools
import os
import platform
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8 import ending
from deloc8.errors import Deloc8Error, InputError, SystemFault, UsageError
from deloc8.repair.model import StripLevel
from deloc8.repair.strip import Stripper, find_strip, strip
from deloc8.target import Arch, parse_platform_tag
from kit.bench import EXT, Bench, contents, image, names
from kit.elf import ET_EXEC, ElfSpec, build_elf
from kit.payloads import CONTENTS, KEPT, REFUSED
from kit.stripping import put_strip_on_path

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = parse_platform_tag(f"linux_{platform.machine()}").arch
FOREIGN = next(arch for arch in Arch if arch is not HOST)
# Removes the text that marks a library of the tests as one with symbols, by the shell alone.
STAND_IN = """#!/bin/sh
case "$1" in --strip-debug) new=stripdebug;; --strip-all) new=strip--all;; esac
exec sed -i "s/not so far/$new/" "$2"
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched before all others, and at first is the only one."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add(folder: Path, name: str, text: str = STAND_IN) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_a_strip_for_the_machine_is_found(tools: Path) -> None:
    general = add(tools, "llvm-strip")
    assert find_strip(FOREIGN) == general
    assert [find_strip(arch) for arch in Arch] == [general] * len(Arch)
    cross = {arch: add(tools, f"{arch.value}-linux-gnu-strip") for arch in (Arch.AARCH64, Arch.S390X)}
    assert {arch: find_strip(arch) for arch in cross} == cross


def test_the_machines_own_strip_comes_first(tools: Path) -> None:
    if HOST is None:
        pytest.skip("needs a machine that the policies know")
    add(tools, "llvm-strip")
    own = add(tools, "strip")
    assert find_strip(HOST) == own
    assert find_strip(FOREIGN) != own


def test_where_there_is_none_the_package_is_named(bench_wheel: tuple[Bench, Path], tools: Path) -> None:
    assert not list(tools.iterdir())
    with pytest.raises(UsageError) as caught:
        find_strip(Arch.S390X if HOST is not Arch.S390X else Arch.AARCH64)
    assert caught.value.code == "no-strip"
    assert "binutils-" in caught.value.hints[0]
    bench, wheel = bench_wheel
    with pytest.raises(UsageError) as caught:
        bench.plan(wheel, strip=StripLevel.ALL)
    assert caught.value.code == "no-strip"
    if HOST is Arch.X86_64:
        assert caught.value.hints == ("install the package binutils, or llvm",)


@pytest.fixture
def bench_wheel(tmp_path: Path) -> tuple[Bench, Path]:
    bench = Bench(tmp_path)
    bench.library("/usr/lib64/liba.so.1", payload=b"not so far\0")
    return bench, bench.extension(needed=("liba.so.1",), payload=b"not so far\0")


@pytest.mark.parametrize(("level", "text"), [(StripLevel.DEBUG, b"stripdebug"), (StripLevel.ALL, b"strip--all")])
def test_what_is_edited_is_stripped_first(
    bench_wheel: tuple[Bench, Path], tools: Path, monkeypatch: pytest.MonkeyPatch, level: StripLevel, text: bytes
) -> None:
    put_strip_on_path(tools, monkeypatch, STAND_IN)
    bench, wheel = bench_wheel
    outcome = bench.repair(wheel, strip=level)
    found = contents(outcome.path)
    (graft,) = outcome.plan.grafts
    for member in (EXT, graft.member):
        assert text in found[member]
    assert names(image(outcome.path, EXT)) == ((graft.new_name,), None, "$ORIGIN/../demo.libs", None)


def test_a_strip_that_fails_is_told(tools: Path) -> None:
    tool = add(tools, "strip", "#!/bin/sh\necho no file of mine >&2\nexit 3\n")
    with pytest.raises(InputError, match=r"`liba\.so`") as caught:
        strip(build_elf, Stripper(level=StripLevel.ALL, tool=tool, target=tools / "out"), "liba.so")
    assert caught.value.code == "strip-failed"
    assert caught.value.context == (f"{tool} ended with exit code 3", "no file of mine")
    assert sorted(path.name for path in tools.iterdir()) == ["strip"]


def test_a_folder_that_looks_like_an_option(
    bench_wheel: tuple[Bench, Path], tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in takes its second argument for the file; `sed` would take one that begins with a hyphen otherwise."""
    put_strip_on_path(tools, monkeypatch, STAND_IN)
    bench, wheel = bench_wheel
    monkeypatch.chdir(bench.dist.parent)
    bench.out = Path("-w")
    assert b"strip--all" in contents(bench.repair(wheel, strip=StripLevel.ALL).path)[EXT]


ELF = build_elf(ElfSpec(payload=b"not so far\0"))


def strip_program(folder: Path, contents: bytes) -> bytes:
    stripper = Stripper(level=StripLevel.ALL, tool=add(folder, "strip"), target=folder / "out")
    return bytes(strip(lambda: contents, stripper, "program"))


@pytest.mark.parametrize("name", KEPT)
def test_data_behind_the_elf_part_is_kept(tools: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The stand-in changes bytes of whatever it is given, and is not given the payload."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    payload = KEPT[name](len(ELF))
    stripped = strip_program(tools, ELF + payload)
    assert b"strip--all" in stripped
    assert stripped[len(ELF) :] == payload


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_would_be_lost_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputError, match="`program` could not be stripped") as caught:
        strip_program(tools, ELF + REFUSED[name])
    assert caught.value.code == "strip-failed"
    assert name in caught.value.context[0]
    assert caught.value.hints == ("repair the wheel without --strip",)


def test_where_there_is_nothing_to_strip_any_payload_stays(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    contents = build_elf() + CONTENTS
    assert strip_program(tools, contents) == contents


@pytest.mark.parametrize("link", [False, True])
def test_llvm_is_asked_to_keep_sections_that_are_not_loaded(
    tools: Path, monkeypatch: pytest.MonkeyPatch, *, link: bool
) -> None:
    """Some systems have it under the name of the other one."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    tool = add(tools, "llvm-strip", '#!/bin/sh\nprintf %s "$1" >>"$2"\n')
    if link:
        (tools / "strip").symlink_to(tool)
        tool = str(tools / "strip")
    for level, option in ((StripLevel.ALL, b"--strip-all-gnu"), (StripLevel.DEBUG, b"--strip-debug")):
        stripper = Stripper(level=level, tool=tool, target=tools / "out")
        assert strip(build_elf, stripper, "program") == build_elf() + option


def test_the_mark_of_appimage_is_kept(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GNU strip clears it, as this stand-in does."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    contents = ELF[:8] + b"AI\x02" + ELF[11:] + CONTENTS
    clearing = '#!/bin/sh\nprintf "\\0\\0\\0" | dd of="$2" bs=1 seek=8 conv=notrunc 2>&1\n'
    stripper = Stripper(level=StripLevel.ALL, tool=add(tools, "strip", clearing), target=tools / "out")
    assert strip(lambda: contents, stripper, "program") == contents


@pytest.mark.parametrize(("number", "code"), [(errno.EAGAIN, "no-process"), (errno.ENOMEM, "no-memory")])
def test_a_strip_that_the_machine_does_not_start(
    tools: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    stripper = Stripper(level=StripLevel.ALL, tool=add(tools, "strip"), target=tools / "x.tmp")
    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(SystemFault) as caught:
        strip(lambda: build_elf(ElfSpec()), stripper, "a.so")
    assert caught.value.code == code


def test_a_strip_that_has_gone_is_told(tools: Path) -> None:
    stripper = Stripper(level=StripLevel.ALL, tool=str(tools / "gone"), target=tools / "x.tmp")
    with pytest.raises(InputError) as caught:
        strip(lambda: build_elf(ElfSpec()), stripper, "a.so")
    assert caught.value.code == "strip-failed"


def test_a_strip_without_room_is_a_fault_of_the_machine(tools: Path) -> None:
    words = os.strerror(errno.ENOSPC)
    tool = add(tools, "strip", f"#!/bin/sh\necho 'strip: x: {words}' >&2\nexit 1\n")
    stripper = Stripper(level=StripLevel.ALL, tool=tool, target=tools / "x.tmp")
    with pytest.raises(SystemFault) as caught:
        strip(lambda: build_elf(ElfSpec()), stripper, "a.so")
    assert caught.value.code == "no-room"


def test_a_stripped_file_that_cannot_be_read_is_a_fault(tools: Path) -> None:
    tool = add(tools, "strip", '#!/bin/sh\nexec /bin/rm "$2"\n')
    stripper = Stripper(level=StripLevel.ALL, tool=tool, target=tools / "x.tmp")
    with pytest.raises(SystemFault) as caught:
        strip(lambda: build_elf(ElfSpec()), stripper, "a.so")
    assert caught.value.code == "read-failed"


def test_the_program_ends_with_the_command(
    bench_wheel: tuple[Bench, Path], tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that ends the command kills the program that it has started, whatever that does."""
    steady = threading.RLock()  # once the end has begun, it is not let go
    monkeypatch.setattr(ending, "STEADY", steady)
    monkeypatch.setattr("deloc8.repair.strip.STEADY", steady)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    begun = tools / "begun"
    tool = add(tools, "strip", f"#!/bin/sh\necho > {begun}\nexec sleep 600\n")
    stripper = Stripper(level=StripLevel.ALL, tool=tool, target=bench_wheel[0].dist / "wheel")
    ends: list[str] = []

    def run() -> None:
        try:
            strip(lambda: build_elf(ElfSpec()), stripper, "file")
        except Deloc8Error as error:
            ends.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    while not begun.exists():
        assert thread.is_alive()
        time.sleep(0.01)
    ending.undo_all()
    thread.join(60)
    assert ends == ["strip-failed"]


# -- a dry run

REFUSING = """#!/bin/sh
grep -q "not so far" "$2" || exit 0
echo no file of mine >&2
exit 3
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def both(call: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def test_a_dry_run_names_all_files_that_strip_refuses(
    bench_wheel: tuple[Bench, Path], tools: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_strip_on_path(tools, monkeypatch, REFUSING)
    bench, wheel = bench_wheel
    error = both(lambda: bench.plan(wheel, strip=StripLevel.ALL))
    assert (error.code, error.message) == ("strip-failed", "2 files cannot be stripped or edited as asked")
    assert [line.split("`")[1] for line in error.context] == [EXT, "/usr/lib64/liba.so.1"]
    assert all("no file of mine" in line for line in error.context)
    assert error.hints == ("repair the wheel without --strip",)
    assert bench.left == ["no folder"]
    assert not list(temporary.iterdir())
    assert bench.plan(wheel).grafts


def test_of_many_refused_files_some_are_shown(
    bench_wheel: tuple[Bench, Path], tools: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_strip_on_path(tools, monkeypatch, REFUSING)
    bench, _ = bench_wheel
    specs = {f"demo/lib{number}.so": ElfSpec(payload=b"not so far\0") for number in range(25)}
    error = both(lambda: bench.plan(bench.wheel({EXT: ElfSpec(), **specs}), strip=StripLevel.ALL))
    assert error.context[-1] == "and 5 more"
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("is_graft", [False, True])
def test_a_dry_run_refuses_what_the_repair_refuses(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_graft: bool
) -> None:
    """Data behind a file that strip changes: the same error, before anything is written."""
    put_strip_on_path(tmp_path / "tools", monkeypatch, STAND_IN)
    bench = Bench(tmp_path)
    carrier = build_elf(ElfSpec(soname="liba.so.1", payload=b"not so far\0")) + REFUSED[name]
    bench.system.write("/usr/lib64/liba.so.1", carrier)
    module = build_elf(ElfSpec(needed=("liba.so.1",)))
    wheel = bench.wheel({EXT: module} if is_graft else {EXT: build_elf(ElfSpec()), "demo/liba.so.1": carrier})
    planned = both(lambda: bench.plan(wheel, strip=StripLevel.ALL))
    repaired = both(lambda: bench.repair(wheel, strip=StripLevel.ALL))
    told = (planned.code, planned.message, planned.context, planned.hints)
    assert told == (repaired.code, repaired.message, repaired.context, repaired.hints)
    assert planned.code == "strip-failed"
    assert name in planned.context[0]
    assert not list(temporary.iterdir())


def test_a_dry_run_of_what_can_be_stripped_is_the_plan_of_the_repair(
    bench_wheel: tuple[Bench, Path], tools: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_strip_on_path(tools, monkeypatch, STAND_IN)
    bench, wheel = bench_wheel
    planned = bench.plan(wheel, strip=StripLevel.ALL)
    assert bench.repair(wheel, strip=StripLevel.ALL).plan == planned
    assert not list(temporary.iterdir())


def test_without_a_folder_for_temporary_files(
    bench_wheel: tuple[Bench, Path], tools: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_strip_on_path(tools, monkeypatch, STAND_IN)
    bench, wheel = bench_wheel
    temporary.rmdir()
    with pytest.raises(SystemFault, match="TMPDIR"):
        bench.plan(wheel, strip=StripLevel.ALL)


def test_a_dry_run_refuses_edits_that_are_impossible(tmp_path: Path) -> None:
    """A program whose program headers are all in use cannot be given a search path."""
    bench = Bench(tmp_path)
    bench.library("/usr/lib64/liba.so.1")
    spec = ElfSpec(type=ET_EXEC, interpreter="/lib64/ld-linux-x86-64.so.2", needed=("liba.so.1",))
    wheel = bench.wheel({"demo-1.0.data/scripts/run": spec})
    planned, repaired = (both(functools.partial(call, wheel)) for call in (bench.plan, bench.repair))
    assert (planned.code, planned.message) == (repaired.code, repaired.message)
    assert planned.code == "edit-impossible"
    assert bench.left == ["no folder"]
