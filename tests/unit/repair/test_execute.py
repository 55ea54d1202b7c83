from __future__ import annotations

import hashlib
import os
import re
import zipfile
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.errors import ElfError, InputError, SystemFault, WheelError
from deloc8.loader.sysroot import Sysroot
from deloc8.repair.execute import Source, execute
from deloc8.repair.known import Known
from deloc8.repair.model import StripLevel
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.record import hash_of
from deloc8.wheel.writer import WriteOptions
from kit.bench import EXT, Bench, contents, graft, image
from kit.elf import Defined, ElfSpec, NoteSpec, Undefined, build_elf
from kit.patch import patch_section
from kit.wheels import record_hash, record_text, wheel_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIB = "/usr/lib64"
INFO = "demo-1.0.dist-info"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def carry_out(
    bench: Bench,
    wheel: Path,
    after_plan: Callable[[], object] = lambda: None,
    after_opening: Callable[[], object] = lambda: None,
) -> dict[str, bytes]:
    """The members of what `execute` writes, before any proof."""
    target = bench.dist / "target"
    plan = bench.plan(wheel)
    after_plan()
    with open_wheel(wheel) as archive:
        source = Source(archive=archive, sysroot=Sysroot(bench.system.top), known=Known.of(archive))
        after_opening()
        written, _ = execute(plan, source, target, WriteOptions())
    assert set(written.changed) >= {patch.target for patch in plan.patches} | {found.member for found in plan.grafts}
    return contents(target)


def test_what_the_plan_says_is_written(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",))
    plan = bench.plan(wheel)
    found = carry_out(bench, wheel)
    assert list(found) == [
        "demo/__init__.py",
        EXT,
        plan.grafts[0].member,
        f"{INFO}/METADATA",
        f"{INFO}/WHEEL",
        f"{INFO}/RECORD",
    ]
    old = contents(wheel)
    assert [name for name in old if old[name] == found[name]] == ["demo/__init__.py", f"{INFO}/METADATA"]


def test_grafts_are_executable_and_patched_members_keep_their_modes(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    script = "demo-1.0.data/scripts/program"
    program = ElfSpec(needed=("liba.so.1",), interpreter="/lib/ld.so", spare_headers=1)
    wheel = bench.wheel({EXT: ElfSpec(needed=("liba.so.1",)), script: program}, modes={EXT: 0o640, script: 0o600})
    outcome = bench.repair(wheel)
    with zipfile.ZipFile(outcome.path) as archive:
        modes = {member.filename: member.external_attr >> 16 & 0o777 for member in archive.infolist()}
    assert modes[EXT] == 0o640
    assert modes[outcome.plan.grafts[0].member] == 0o755
    assert modes["demo.scripts/program"] == 0o711


def test_the_same_input_gives_the_same_bytes_however_many_threads(bench: Bench) -> None:
    for letter in "abcdef":
        bench.library(f"{LIB}/lib{letter}.so.1", payload=letter.encode() * 100_000)
    wheel = bench.extension(needed=tuple(f"lib{letter}.so.1" for letter in "fbdace"))
    results = []
    for threads in (1, 4, 4):
        outcome = bench.repair(wheel, threads=threads)
        results.append((outcome.sha256, outcome.path.read_bytes()))
    assert results[0] == results[1] == results[2]
    assert results[0][0] == hashlib.sha256(results[0][1]).hexdigest()


def test_source_date_epoch_is_the_time_of_all_members(bench: Bench) -> None:
    outcome = bench.repair(bench.extension(), WriteOptions(source_date_epoch=1_000_000_000))
    with zipfile.ZipFile(outcome.path) as archive:
        assert {member.date_time for member in archive.infolist()} == {(2001, 9, 9, 1, 46, 40)}


def test_a_library_that_changes_after_the_plan_is_an_error(bench: Bench) -> None:
    bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",))
    with pytest.raises(SystemFault, match=f"{LIB}/liba") as caught:
        carry_out(bench, wheel, lambda: bench.library(f"{LIB}/liba.so.1", payload=b"another build"))
    assert caught.value.code == "library-changed"
    assert not (bench.dist / "target").exists()


def test_a_library_that_is_written_to_in_place_is_grafted_as_it_was_hashed_or_not_at_all(bench: Bench) -> None:
    """The same size and the same time: only the hash tells, and it is that of the very bytes that are grafted."""
    path = bench.system.top / bench.library(f"{LIB}/liba.so.1", payload=b"one build")[1:]
    wheel = bench.extension(needed=("liba.so.1",))

    def write() -> None:
        status = path.stat()
        path.write_bytes(path.read_bytes().replace(b"one build", b"two build"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(SystemFault, match=f"{LIB}/liba") as caught:
        carry_out(bench, wheel, write)
    assert caught.value.code == "library-changed"


def test_a_library_that_vanishes_after_the_plan_is_an_error(bench: Bench) -> None:
    path = bench.library(f"{LIB}/liba.so.1")
    wheel = bench.extension(needed=("liba.so.1",))
    with pytest.raises(InputError, match=path) as caught:
        carry_out(bench, wheel, (bench.system.top / path[1:]).unlink)
    assert caught.value.code == "unreadable-library"
    assert not (bench.dist / "target").exists()


def test_an_edit_that_cannot_be_done_is_an_error_and_leaves_nothing(bench: Bench) -> None:
    spec = ElfSpec(
        needed=("libpython3.11.so.1.0",), undefined=(Undefined("PyLong_Type", "PY_3", "libpython3.11.so.1.0"),)
    )
    with pytest.raises(ElfError, match=EXT) as caught:
        bench.repair(bench.wheel({EXT: spec}))
    assert caught.value.code == "edit-impossible"
    assert bench.left == ["no folder"]


# -- RECORD --------------------------------------------------------------------------------------------------------


def members(spec: ElfSpec | None = None) -> dict[str, bytes]:
    """What a sound wheel holds, without its RECORD."""
    return {
        "demo/__init__.py": b"",
        EXT: build_elf(spec or ElfSpec(rpath="/build")),
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{INFO}/WHEEL": wheel_text(["cp311-cp311-linux_x86_64"]),
    }


def with_record(bench: Bench, change: Callable[[str], str]) -> Path:
    found = members()
    text = record_text(found, f"{INFO}/RECORD").decode()
    return bench.wheel(found, record=change(text).encode())


def lines_without(text: str, name: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(name))


def every_hash(text: str, algorithm: str) -> str:
    """RECORD with the same rows, and all hashes of another kind."""
    for name, data in members().items():
        text = text.replace(f"{name},{record_hash(data)}", f"{name},{hash_of(data, algorithm)}")
    assert "sha256" not in text
    return text


ABSENT = f"demo/gone.py,{record_hash(b'')},0\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(record_hash(b""), record_hash(b"x")), "`demo/__init__.py` has another hash"),
        (lambda text: text.replace(record_hash(members()[EXT]), record_hash(b"x")), f"`{EXT}` has another hash"),
        (
            lambda text: text.replace(record_hash(members()[f"{INFO}/WHEEL"]), record_hash(b"x")),
            f"`{INFO}/WHEEL` has another hash",
        ),
        (
            lambda text: text.replace(f"{record_hash(b'')},0", f"{record_hash(b'')},1"),
            "`demo/__init__.py` has another size",
        ),
        (lambda text: lines_without(text, EXT), f"`{EXT}` is in the wheel, but not in RECORD"),
        (lambda text: lines_without(text, "demo/__init__"), "`demo/__init__.py` is in the wheel, but not in RECORD"),
        (lambda text: text + ABSENT, "`demo/gone.py` is in RECORD, but not in the wheel"),
        (
            lambda text: text.replace(record_hash(members()[EXT]), "sha512=" + "A" * 86),
            f"`{EXT}` has another hash",
        ),
    ],
    ids=["hash", "hash-of-edited", "hash-of-WHEEL", "size", "no-row-of-edited", "no-row", "no-member", "sha512"],
)
def test_a_wheel_whose_record_is_not_true_is_refused(bench: Bench, change: Callable[[str], str], said: str) -> None:
    wheel = with_record(bench, change)
    with pytest.raises(WheelError, match=wheel.name) as caught:
        bench.repair(wheel)
    assert caught.value.code == "record-mismatch"
    assert caught.value.context[0].startswith(said)
    assert bench.left == ["no folder"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(f"{record_hash(b'')},0", f"{record_hash(b'')},"),
        lambda text: text.replace(f"{record_hash(b'')},0", ","),
        lambda text: text.replace(record_hash(b""), "md5=1B2M2Y8AsgTpgAmY7PhCfg"),
        lambda text: text.replace(record_hash(b""), hash_of(b"", "sha384")),
        lambda text: every_hash(text, "sha512"),
        lambda text: "demo/,,\n" + text,
        lambda text: text.replace(f"{INFO}/RECORD,,", f"{INFO}/RECORD,{record_hash(b'x')},1"),
        lambda text: lines_without(text, f"{INFO}/RECORD"),
    ],
    ids=["no-size", "no-hash", "weak-hash", "sha384", "sha512-alone", "folder", "hash-of-itself", "no-row-of-itself"],
)
def test_what_a_record_merely_leaves_out_is_mended(bench: Bench, change: Callable[[str], str]) -> None:
    found = contents(bench.repair(with_record(bench, change)).path)
    record = found.pop(f"{INFO}/RECORD")
    assert record == record_text(found, f"{INFO}/RECORD")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: "".join(f"./{line}" for line in text.splitlines(keepends=True)),
        lambda text: re.sub(r"sha256=([^,]+),", r"sha256=b'\1=',", text),
    ],
    ids=["byte-order-mark", "dot-slash", "bytes"],
)
def test_a_record_of_older_tools_is_mended_and_told(bench: Bench, change: Callable[[str], str]) -> None:
    wheel = with_record(bench, change)
    assert [note.code for note in bench.plan(wheel).notes if note.severity is Severity.WARNING] == ["odd-record"]
    outcome = bench.repair(wheel)
    assert "odd-record" in {note.code for note in outcome.plan.notes}
    found = contents(outcome.path)
    record = found.pop(f"{INFO}/RECORD")
    assert record == record_text(found, f"{INFO}/RECORD")
    # What such a file says wrong counts all the same.
    false = with_record(bench, lambda text: change(text.replace(record_hash(members()[EXT]), record_hash(b"x"))))
    with pytest.raises(WheelError) as caught:
        bench.repair(false)
    assert caught.value.code == "record-mismatch"


@pytest.mark.parametrize(
    ("count", "more"), [(19, []), (20, []), (21, ["and 1 lines more"]), (30, ["and 10 lines more"])]
)
def test_of_many_contradictions_the_first_are_told(bench: Bench, count: int, more: list[str]) -> None:
    rows = "".join(f"demo/gone{number}.py,{record_hash(b'')},0\n" for number in range(count))
    with pytest.raises(WheelError) as caught:
        bench.repair(with_record(bench, lambda text: text + rows))
    assert list(caught.value.context[20:]) == more
    assert len(caught.value.context[:20]) == min(count, 20)


def test_a_row_with_an_absolute_path_is_refused_before_anything_is_written(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"mine")
    row = f"{outside},{record_hash(b'mine')},4\n"
    with pytest.raises(WheelError, match="RECORD") as caught:
        bench.repair(with_record(bench, lambda text: text + row))
    assert caught.value.code == "bad-record"
    assert str(outside) in caught.value.context[0]
    assert outside.read_bytes() == b"mine"
    assert bench.left == ["no folder"]


def test_members_that_record_does_not_list_are_looked_at(bench: Bench) -> None:
    wheel = with_record(bench, lambda text: lines_without(text, EXT))
    assert [file.member for file in bench.audit(wheel).facts.own] == [EXT]
    assert [patch.member for patch in bench.plan(wheel).patches] == [EXT]


def test_a_damaged_member_is_an_error_and_leaves_nothing(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(), "demo/data.txt": b"what was built " * 9})
    data = bytearray(wheel.read_bytes())
    with zipfile.ZipFile(wheel) as archive:
        entry = archive.getinfo("demo/data.txt")
    data[entry.header_offset + 30 + len(entry.filename) + 5] ^= 0xFF
    wheel.write_bytes(data)
    with pytest.raises(WheelError, match=r"demo/data\.txt") as caught:
        bench.repair(wheel)
    assert caught.value.code == "bad-member-data"
    assert bench.left == ["no folder"]


def test_the_graft_is_edited_in_its_copy_alone(bench: Bench) -> None:
    path = bench.library(f"{LIB}/liba.so.1")
    before = (bench.system.top / path[1:]).read_bytes()
    outcome = bench.repair(bench.extension(needed=("liba.so.1",)))
    assert (bench.system.top / path[1:]).read_bytes() == before
    found = graft(outcome.plan, path)
    assert image(outcome.path, found.member).soname == found.new_name


def test_a_wheel_that_is_written_to_meanwhile(bench: Bench) -> None:
    wheel = bench.extension()
    then = wheel.stat().st_mtime_ns
    with pytest.raises(SystemFault) as caught:
        carry_out(bench, wheel, after_opening=lambda: os.utime(wheel, ns=(then, then + 1)))
    assert caught.value.code == "wheel-changed"
    assert wheel.name in caught.value.message
    with pytest.raises(SystemFault):
        carry_out(bench, wheel, after_opening=lambda: wheel.write_bytes(wheel.read_bytes() + b" "))


@pytest.mark.parametrize("strip", [None, StripLevel.ALL])
def test_a_build_id_that_is_no_longer_found_in_memory_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, strip: StripLevel | None
) -> None:
    """Of the wheel's own file and of a graft, each by its new name; of files that keep theirs nothing is said."""
    monkeypatch.setattr("deloc8.repair.strip.find_strip", lambda _arch: "strip")
    monkeypatch.setattr("deloc8.repair.strip.strip", lambda read, _stripper, _name: read())

    def crowded(**options: object) -> bytes:
        # A note that wants such an alignment cannot make room for a program header.
        data = build_elf(ElfSpec(notes=(NoteSpec("GNU", 3, bytes(20)),)), **options)
        return patch_section(data, ".note.kit", "sh_addralign", 64)

    bench.system.write(f"{LIB}/liba.so.1", crowded(soname="liba.so.1", needed=("libb.so.1",)))
    bench.library(f"{LIB}/libb.so.1", notes=(NoteSpec("GNU", 3, bytes(20)),), defined=(Defined("b"),) * 9, payload=b"")
    wheel = bench.wheel({EXT: crowded(needed=("liba.so.1",))})
    outcome = bench.repair(wheel, strip=strip)
    assert bench.plan(wheel, strip=strip) == outcome.plan
    told = [note for note in outcome.plan.notes if note.code == "build-id-hidden"]
    assert [note.subject for note in told] == sorted([EXT, graft(outcome.plan, f"{LIB}/liba.so.1").member])
    assert {note.severity for note in told} == {Severity.WARNING}
    assert all("no longer found in memory" in note.message and not note.context for note in told)
    # Its section still leads to it.
    assert [note.type for note in image(outcome.path, EXT).notes] == [3]
