"""Every step of a repair is sabotaged in turn: the proof must find it, and nothing may be kept."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import packaging.utils
import pytest
from packaging.tags import parse_tag

from deloc8.elf.edit import writer as elf_writer
from deloc8.elf.edit.vocabulary import RemoveNeeded, ReplaceNeeded, SetRpath, SetSoname
from deloc8.errors import InputError, VerificationError
from deloc8.loader.sysroot import Sysroot
from deloc8.repair import execute as executing
from deloc8.repair import verify as verifying
from deloc8.wheel import writer as wheel_writer
from deloc8.wheel.archive import open_wheel
from deloc8.wheel.metadata import retag
from deloc8.wheel.record import RecordRow, render_record
from kit.bench import EXT, Bench
from kit.elf import Defined, ElfSpec, Undefined, build_elf
from kit.pyelf import dynamic_of, offset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.view import Buffer
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.metadata import WheelMetadata
    from deloc8.wheel.names import WheelName
    from deloc8.wheel.writer import Changes, WriteOptions, WrittenWheel
    from deloc8.wheel.zipformat import ArchiveLimits, Member

LIB = "/usr/lib64"
SCRIPT = "demo-1.0.data/scripts/program"
MEMCPY = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With a library to graft that brings another one along."""
    found = Bench(tmp_path)
    found.library(f"{LIB}/liba.so.1", needed=("libb.so.1",), undefined=(Undefined("b", "B_1", "libb.so.1"),))
    found.library(f"{LIB}/libb.so.1")
    return found


@pytest.fixture
def wheel(bench: Bench) -> Path:
    spec = ElfSpec(needed=("liba.so.1", "libc.so.6"), undefined=(MEMCPY, Undefined("a")))
    program = ElfSpec(needed=("liba.so.1",), interpreter="/lib/ld.so", spare_headers=1)
    return bench.wheel({"demo/__init__.py": b"", EXT: spec, SCRIPT: program}, modes={SCRIPT: 0o755})


def failed(bench: Bench, wheel: Path, **changes: object) -> str:
    """What the proof says; nothing is kept, and what stood in the place of the result still does."""
    before = wheel.read_bytes()
    bench.out.mkdir()
    old = bench.out / bench.plan(wheel, **changes).target.filename
    old.write_bytes(b"the result of yesterday")
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel, None, **changes)
    assert bench.left == [old.name]
    assert old.read_bytes() == b"the result of yesterday"
    assert wheel.read_bytes() == before
    assert caught.value.code == "proof-failed"
    assert old.name in caught.value.message
    assert "defect of deloc8" in caught.value.hints[0]
    return "\n".join(caught.value.context)


def test_without_sabotage_every_check_holds(bench: Bench, wheel: Path) -> None:
    proof = bench.repair(wheel).proof
    assert proof.problems == ()
    assert len(proof.checks) >= 7
    assert all(check.name and check.problems == () for check in proof.checks)


# -- the archive ---------------------------------------------------------------------------------------------------


def sabotage_changes(monkeypatch: pytest.MonkeyPatch, change: Callable[[Changes], Changes]) -> None:
    honest = wheel_writer.write_wheel

    def write(target: Path, source: WheelArchive, changes: Changes, options: WriteOptions) -> WrittenWheel:
        return honest(target, source, change(changes), options)

    monkeypatch.setattr(executing, "write_wheel", write)


def test_a_wrong_hash_in_record(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(rows: Iterable[RecordRow]) -> bytes:
        first, *rest = rows
        return render_record([first._replace(hash="sha256=" + "A" * 43), *rest])

    monkeypatch.setattr(wheel_writer, "render_record", render)
    assert "`demo/__init__.py` has another hash than RECORD says" in failed(bench, wheel)


def test_a_forgotten_row_in_record(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_writer, "render_record", lambda rows: render_record(list(rows)[1:]))
    assert "`demo/__init__.py` is in the wheel, but not in RECORD" in failed(bench, wheel)


def test_a_graft_that_is_not_written(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bench.plan(wheel)
    sabotage_changes(monkeypatch, lambda changes: replace(changes, added=changes.added[:-1]))
    said = failed(bench, wheel)
    assert f"{plan.grafts[-1].member} is not there" in said
    assert f"does not find the graft {plan.grafts[-1].new_name}" in said


def test_a_graft_that_is_no_library(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(changes: Changes) -> Changes:
        *rest, last = changes.added
        return replace(changes, added=(*rest, replace(last, content=lambda: b"no library")))

    sabotage_changes(monkeypatch, change)
    member = bench.plan(wheel).grafts[-1].member
    said = failed(bench, wheel)
    assert f"{member} is not there as an ELF file" in said
    assert f"`{member}` is not a sound ELF file" in said


def test_an_unrelated_member_that_is_changed(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra: dict[str, Callable[[], Buffer]] = {"demo/__init__.py": lambda: b"import antigravity"}
    sabotage_changes(monkeypatch, lambda changes: replace(changes, replaced={**changes.replaced, **extra}))
    assert failed(bench, wheel) == "demo/__init__.py has changed"


def test_tags_that_change_without_being_planned(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "demo-1.0.dist-info/WHEEL"
    text = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    extra: dict[str, Callable[[], Buffer]] = {name: lambda: text}
    sabotage_changes(monkeypatch, lambda changes: replace(changes, replaced={**changes.replaced, **extra}))
    told = failed(bench, wheel, update_tags=False)
    assert told.splitlines() == [
        f"{name} has changed",
        "WHEEL the file name and WHEEL have different tags (tags-differ)",
    ]


def test_a_member_that_is_lost(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_changes(monkeypatch, lambda changes: replace(changes, removed=frozenset({"demo/__init__.py"})))
    assert failed(bench, wheel) == "demo/__init__.py is lost"


def test_a_member_that_comes_from_nowhere(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = wheel_writer.NewMember(name="demo/stray.py", content=lambda: b"")
    sabotage_changes(monkeypatch, lambda changes: replace(changes, added=(*changes.added, stray)))
    assert failed(bench, wheel) == "demo/stray.py has come from nowhere"


def test_permissions_that_change(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = wheel_writer._stamped
    monkeypatch.setattr(wheel_writer, "_stamped", lambda member, options: honest(member, options)._replace(mode=0o666))
    assert "demo/__init__.py has other permissions" in failed(bench, wheel)


def test_a_permission_that_only_others_lose(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = wheel_writer._stamped

    def stamped(member: Member, options: WriteOptions) -> Member:
        kept = honest(member, options)
        return kept._replace(mode=kept.mode & ~0o001) if kept.name == SCRIPT else kept

    monkeypatch.setattr(wheel_writer, "_stamped", stamped)
    assert failed(bench, wheel) == f"{SCRIPT} has other permissions"


def test_an_archive_that_cannot_be_read(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = wheel_writer.write_wheel

    def write(target: Path, source: WheelArchive, changes: Changes, options: WriteOptions) -> WrittenWheel:
        written = honest(target, source, changes, options)
        target.write_bytes(target.read_bytes()[:-30])
        return written

    monkeypatch.setattr(executing, "write_wheel", write)
    assert "is cut short" in failed(bench, wheel)


# -- tags ----------------------------------------------------------------------------------------------------------


def sabotage_tags(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    honest = retag

    def dishonest(metadata: WheelMetadata, tags: Sequence[str], *, platform_specific: bool) -> bytes:
        return change(honest(metadata, tags, platform_specific=platform_specific))

    monkeypatch.setattr(executing, "retag", dishonest)


def test_a_forgotten_tag(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_tags(monkeypatch, lambda text: text.replace(b"Tag: cp311-cp311-manylinux2014_x86_64\n", b""))
    assert "the WHEEL file has the tags cp311-cp311-manylinux_2_17_x86_64, the name" in failed(bench, wheel)


@pytest.mark.parametrize("line", [b"", b"Root-Is-Purelib: true\n", b"Root-Is-Purelib: false\nRoot-Is-Purelib: false\n"])
def test_a_wrong_purelib_line(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    sabotage_tags(monkeypatch, lambda text: text.replace(b"Root-Is-Purelib: false\n", line))
    assert "whether the root is purelib" in failed(bench, wheel)


def test_a_tag_that_is_not_true(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deloc8.repair import plan as planning  # noqa: PLC0415  its name is one of the kit's words

    honest = planning._platforms
    monkeypatch.setattr(
        planning, "_platforms", lambda audit, goal, match: (*honest(audit, goal, match), "manylinux_2_5_x86_64")
    )
    told = failed(bench, wheel).splitlines()
    assert told[0] == "the tag manylinux_2_5_x86_64 is not true: the compiled files need more"
    assert [line.rpartition(" ")[2] for line in told[1:]] == ["(symbol-too-new)"]


def test_a_name_that_others_read_otherwise(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = packaging.utils.parse_wheel_filename

    def parse(filename: str) -> tuple[object, ...]:
        return (*honest(filename)[:3], frozenset(parse_tag("cp311-cp311-linux_x86_64")))

    monkeypatch.setattr(packaging.utils, "parse_wheel_filename", parse)
    assert "is read as cp311-cp311-linux_x86_64" in failed(bench, wheel)


def test_a_name_that_others_cannot_read(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = packaging.utils.parse_wheel_filename

    def parse(filename: str) -> tuple[object, ...]:
        if "manylinux" in filename:
            raise packaging.utils.InvalidWheelFilename(filename)
        return honest(filename)

    monkeypatch.setattr(packaging.utils, "parse_wheel_filename", parse)
    assert "is read as no name of a wheel" in failed(bench, wheel)


def test_a_name_that_was_none_before_is_not_ours_to_mend(bench: Bench, wheel: Path) -> None:
    odd = wheel.rename(wheel.with_name("demo-1.0_odd_-cp311-cp311-linux_x86_64.whl"))
    with pytest.raises(packaging.utils.InvalidWheelFilename):
        packaging.utils.parse_wheel_filename(odd.name)
    assert bench.repair(odd).path.name.startswith("demo-1.0_odd_-cp311-cp311-manylinux2014_x86_64")


def test_a_wheel_that_is_written_under_another_name(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_as_another(path: Path, limits: ArchiveLimits, name: WheelName) -> WheelArchive:
        return open_wheel(path, limits, name=replace(name, build="1"))

    monkeypatch.setattr(verifying, "open_wheel", open_as_another)
    assert failed(bench, wheel).startswith("the file name is demo-1.0-1-cp311")


# -- ELF files -----------------------------------------------------------------------------------------------------


def sabotage_edits(monkeypatch: pytest.MonkeyPatch, change: Callable[[Edit], Edit | None]) -> None:
    def edit(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
        changed = [changed for changed in map(change, edits) if changed is not None]
        return elf_writer.edit_owned(data, changed, name)

    monkeypatch.setattr(executing, "edit_owned", edit)


def test_a_lost_needed_entry(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_edits(
        monkeypatch,
        lambda edit: RemoveNeeded(name=edit.old) if isinstance(edit, ReplaceNeeded) and "liba" in edit.old else edit,
    )
    said = failed(bench, wheel)
    assert f"{EXT} has needed ('libc.so.6',), planned was (" in said


def test_a_needed_entry_that_still_has_its_old_name(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_edits(monkeypatch, lambda edit: None if isinstance(edit, ReplaceNeeded) else edit)
    assert f"{EXT}: needs liba.so.1, which is neither in the wheel nor found on this system" in failed(bench, wheel)


def test_a_wrong_soname(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_edits(monkeypatch, lambda edit: SetSoname(soname="liba.so") if isinstance(edit, SetSoname) else edit)
    graft = bench.plan(wheel).grafts[0]
    assert f"{graft.member} has soname liba.so, planned was {graft.new_name}" in failed(bench, wheel)


def test_an_rpath_that_is_not_set(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_edits(monkeypatch, lambda edit: None if isinstance(edit, SetRpath) else edit)
    name = bench.plan(wheel).grafts[0].new_name
    assert f"{EXT} does not find {name}, though the wheel has it" in failed(bench, wheel)


def test_an_rpath_that_leads_nowhere(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_edits(
        monkeypatch, lambda edit: replace(edit, path="$ORIGIN/demo.libs") if isinstance(edit, SetRpath) else edit
    )
    assert "does not find" in failed(bench, wheel)


def sabotage_bytes(monkeypatch: pytest.MonkeyPatch, member: str, change: Callable[[bytes], bytes]) -> None:
    def edit(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
        edited = elf_writer.edit_owned(data, edits, name)
        return change(bytes(edited)) if name == member else edited

    monkeypatch.setattr(executing, "edit_owned", edit)


def test_a_symbol_that_changes(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage_bytes(monkeypatch, EXT, lambda data: data.replace(b"memcpy\0", b"memcpx\0"))
    assert failed(bench, wheel) == f"{EXT}: its symbols or versions are not what was planned"


def test_a_symbol_that_asks_for_another_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the file asks for both."""
    spec = ElfSpec(needed=("liba.so.1", "libc.so.6"), undefined=(MEMCPY, Undefined("puts", "GLIBC_2.2.5", "libc.so.6")))

    def change(data: bytes) -> bytes:
        place = offset_of(data, dynamic_of(data)["DT_VERSYM"]) + 2
        (first, second) = struct.unpack_from("<HH", data, place)
        assert first != second
        return data[:place] + struct.pack("<HH", second, first) + data[place + 4 :]

    sabotage_bytes(monkeypatch, EXT, change)
    said = failed(bench, bench.wheel({EXT: spec}))
    assert said == f"{EXT}: its symbols or versions are not what was planned"


def test_a_version_that_a_library_no_longer_defines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ElfSpec(soname="libdef.so.1", defined=(Defined("one", "DEF_1"), Defined("two", "DEF_2")))
    bench.system.write(f"{LIB}/libdef.so.1", build_elf(spec))
    sabotage_bytes(monkeypatch, f"{LIB}/libdef.so.1", lambda data: data.replace(b"DEF_2\0", b"DEF_3\0"))
    said = failed(bench, bench.extension(needed=("libdef.so.1",)))
    assert "its symbols or versions are not what was planned" in said


def headers(data: bytes) -> list[int]:
    """The offsets of the program headers."""
    start, count = struct.unpack_from("<Q", data, 0x20)[0], struct.unpack_from("<H", data, 0x38)[0]
    return [start + 56 * number for number in range(count)]


def patched(data: bytes, offset: int, number: int) -> bytes:
    return data[:offset] + struct.pack("<Q", number) + data[offset + 8 :]


def test_a_bad_alignment(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(data: bytes) -> bytes:
        last = max(place for place in headers(data) if data[place] == 1)
        return patched(data, last + 0x30, 1 << 16)  # p_align

    sabotage_bytes(monkeypatch, EXT, change)
    assert "p_offset and p_vaddr differ modulo p_align 0x10000" in failed(bench, wheel)


def test_a_bad_offset(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(data: bytes) -> bytes:
        last = max(place for place in headers(data) if data[place] == 1)
        return patched(data, last + 0x08, 1 << 40)  # p_offset

    sabotage_bytes(monkeypatch, f"{LIB}/libb.so.1", change)
    said = failed(bench, wheel)
    assert "is not a sound ELF file" in said
    assert "p_filesz of program header" in said


def test_a_graft_that_is_unfit_for_the_loader(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(data: bytes) -> bytes:
        section = data.index(struct.pack("<IIQ", 6, 3, 0)[:8], len(data) // 3)  # SHT_DYNAMIC, writable and loaded
        return patched(data, section + 0x14, 0)  # sh_offset

    sabotage_bytes(monkeypatch, f"{LIB}/libb.so.1", change)
    assert "the header of .dynamic says 0x0" in failed(bench, wheel)


# -- programs that move --------------------------------------------------------------------------------------------


def test_a_launcher_that_starts_something_else(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "launcher", lambda _member: b"#!python\nprint('hello')\n")
    assert failed(bench, wheel) == f"{SCRIPT} does not start demo.scripts/program"


@pytest.mark.parametrize("mode", [0o644, 0o645, 0o655])
def test_a_program_that_cannot_be_executed(
    bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    def change(changes: Changes) -> Changes:
        return replace(changes, added=tuple(replace(new, mode=mode) for new in changes.added))

    sabotage_changes(monkeypatch, change)
    assert failed(bench, wheel) == f"{SCRIPT} does not start demo.scripts/program"


def test_a_program_that_is_not_there(bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(changes: Changes) -> Changes:
        return replace(changes, added=tuple(new for new in changes.added if "scripts" not in new.name))

    sabotage_changes(monkeypatch, change)
    assert f"{SCRIPT} does not start demo.scripts/program" in failed(bench, wheel)


# -- what is no defect of ours -------------------------------------------------------------------------------------


def test_faults_that_files_had_before_are_not_held_against_the_repair(bench: Bench) -> None:
    # Versions of a file that is not needed: ld.so would stumble, and did so before the repair.
    spec = ElfSpec(needed=("liba.so.1",), undefined=(Undefined("f", "V_1", "libgone.so.1"),))
    assert bench.repair(bench.wheel({EXT: spec}), exclude=("libgone*",)).proof.problems == ()


def test_a_library_that_vanishes_before_the_proof_is_no_defect(
    bench: Bench, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = verifying.verify

    def verify(claim: verifying.Claim, path: Path, *, threads: int) -> object:
        (bench.system.top / f"{LIB}/libb.so.1"[1:]).unlink()
        return honest(replace(claim, sysroot=Sysroot(bench.system.top)), path, threads=threads)

    monkeypatch.setattr("deloc8.workflow.repair.verify", verify)
    # Only where a file has a fault, the library is asked whether it had the same before.
    monkeypatch.setattr(verifying, "broken_invariants", lambda *_: ("has a fault",))
    with pytest.raises(InputError, match=r"libb\.so\.1") as caught:
        bench.repair(wheel)
    assert caught.value.code == "unreadable-library"
    assert bench.left == ["no folder"]
