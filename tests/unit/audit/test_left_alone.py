"""Firmware and damaged files that a package carries as data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deloc8.errors import ElfError, PureWheelError, WheelError
from deloc8.report.to_json import audit_value
from deloc8.report.to_text import show_text
from deloc8.workflow.check import check_wheel
from kit.bench import Bench, contents
from kit.command import Command
from kit.elf import ET_EXEC, GLIBC, MACHINES, ElfSpec, NoteSpec, build_elf
from kit.patch import patch_number

if TYPE_CHECKING:
    from pathlib import Path

ANY = ("py3-none-any",)
SOUND = build_elf(ElfSpec(needed=(GLIBC,)))
CUT = SOUND[:200]
NOTHING = b"\x7fELF" + bytes(60)
CORE = "demo/_core.cpython-311-x86_64-linux-gnu.so"
# A program without dynamic section, interpreter and thread-local storage.
BARE = ElfSpec(type=ET_EXEC, dynamic=False)


def xtensa() -> bytes:
    return patch_number(build_elf(replace(BARE, bits=32)), 18, 2, 94)


FIRMWARE = {
    "arm": build_elf(replace(MACHINES["armv7l"], type=ET_EXEC, dynamic=False)),
    "xtensa": xtensa(),
    "bpf": patch_number(build_elf(BARE), 18, 2, 247),
    "x86_64": build_elf(BARE),
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def alone(bench: Bench, wheel: Path) -> list[str]:
    return [file.member for file in bench.audit(wheel).facts.foreign]


@pytest.mark.parametrize("data", FIRMWARE.values(), ids=list(FIRMWARE))
def test_a_wheel_of_python_keeps_its_tag_whatever_firmware_it_carries(
    bench: Bench, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    wheel = bench.wheel({"demo/__init__.py": b"", "demo/boot.elf": data}, tags=ANY)
    audit = bench.audit(wheel)
    assert audit.is_pure
    assert [claim.truth.value for claim in audit.claims] == ["true"]
    assert "demo/boot.elf" in show_text(audit, verbose=False)
    value: Any = audit_value(audit)
    (notice,) = value["notices"]
    assert (notice["code"], notice["subject"]) == ("foreign-file", "demo/boot.elf")
    assert [found.code for found in check_wheel(wheel)] == ["foreign-file"]
    with pytest.raises(PureWheelError) as caught:
        bench.plan(wheel)
    assert "demo/boot.elf" in caught.value.notes[0]
    command = Command(capsys)
    code, _, err = command("fixup", "--allow-pure-python-wheel", "-w", bench.out, wheel)
    assert (code, "demo/boot.elf" in err) == (0, True)
    assert bench.left == [wheel.name]


@pytest.mark.parametrize("name", ["arm", "xtensa", "bpf"])
def test_firmware_beside_a_program_is_left_as_it_is(bench: Bench, name: str) -> None:
    wheel = bench.wheel({CORE: SOUND, "demo/boot.elf": FIRMWARE[name]})
    assert alone(bench, wheel) == ["demo/boot.elf"]
    outcome = bench.repair(wheel)
    assert contents(outcome.path)["demo/boot.elf"] == FIRMWARE[name]
    assert outcome.plan.target.platforms == ("manylinux1_x86_64", "manylinux_2_5_x86_64")


@pytest.mark.parametrize(
    "spec",
    [
        replace(BARE, notes=(NoteSpec("GNU", 1, bytes(16)),)),
        replace(BARE, notes=(NoteSpec("Go", 4, b"id"),)),
        replace(BARE, interpreter="/lib64/ld-linux-x86-64.so.2"),
    ],
)
def test_a_program_for_linux_is_no_firmware(bench: Bench, spec: ElfSpec) -> None:
    wheel = bench.wheel({"demo/program": spec}, tags=ANY)
    audit = bench.audit(wheel)
    assert not audit.is_pure
    assert not audit.facts.foreign


def test_the_only_programs_of_a_wheel_for_a_machine_are_no_data(bench: Bench) -> None:
    wheel = bench.wheel({"demo/tool": BARE})
    assert not alone(bench, wheel)
    unknown = bench.wheel({"demo/tool": FIRMWARE["xtensa"]}, tags=("py3-none-linux_x86_64",))
    with pytest.raises(WheelError) as caught:
        bench.audit(unknown)
    assert caught.value.code == "unknown-machine"


DATA = {"cut": CUT, "nothing": NOTHING, "few": SOUND[:300]}


@pytest.mark.parametrize("data", DATA.values(), ids=list(DATA))
@pytest.mark.parametrize("name", ["demo/tests/data/truncated.so", "demo/tests/x.bin", "tests/libx.so.1"])
def test_a_damaged_file_is_left_as_it_is_and_told(bench: Bench, name: str, data: bytes) -> None:
    wheel = bench.wheel({"demo/__init__.py": b"", CORE: SOUND, name: data})
    plan = bench.plan(wheel)
    (note,) = [note for note in plan.notes if note.code == "damaged-file"]
    assert note.subject == name
    outcome = bench.repair(wheel)
    assert contents(outcome.path)[name] == data
    assert [found.code for found in check_wheel(outcome.path) if found.subject == name] == ["damaged-file"]


def test_a_wheel_of_python_keeps_its_tag_whatever_damaged_file_it_carries(bench: Bench) -> None:
    wheel = bench.wheel({"demo/__init__.py": b"", "demo/tests/cut.so": CUT, "demo/tests/dir/x": NOTHING}, tags=ANY)
    assert bench.audit(wheel).is_pure
    assert alone(bench, wheel) == ["demo/tests/cut.so", "demo/tests/dir/x"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("demo/other.cpython-311-x86_64-linux-gnu.so", CUT),
        ("demo/tests/other.abi3.so", NOTHING),
        ("demo/tests/other.pypy311-pp73-x86_64-linux-gnu.so", NOTHING),
        ("demo/plain.so", CUT),
        ("top.so", CUT),
        ("space/module.so", CUT + b"\0PyInit_module\0"),
        ("space/module.abi3.so", CUT),
    ],
)
def test_a_damaged_extension_module_is_an_error(bench: Bench, name: str, data: bytes) -> None:
    wheel = bench.wheel({"demo/__init__.py": b"", CORE: SOUND, name: data})
    with pytest.raises(ElfError, match=name) as caught:
        bench.plan(wheel)
    assert caught.value.code == "bad-elf"


def test_a_damaged_library_that_a_file_needs_is_an_error(bench: Bench) -> None:
    needs = ElfSpec(needed=("libx.so.1", GLIBC), runpath="$ORIGIN/lib")
    wheel = bench.wheel({CORE: needs, "demo/lib/libx.so.1": CUT, "demo/lib/liby.so.1": CUT})
    with pytest.raises(ElfError, match=r"libx\.so\.1"):
        bench.plan(wheel)


def test_a_damaged_library_that_is_opened_is_an_error(bench: Bench) -> None:
    code = b"import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libx.so'))\n"
    wheel = bench.wheel({"demo/__init__.py": code, CORE: SOUND, "demo/lib/libx.so": CUT, "demo/lib/liby.so": CUT})
    (found,) = [found for found in check_wheel(wheel) if found.code == "bad-elf"]
    assert "demo/lib/libx.so" in found.message
    assert "opened at run time" in found.message


def test_a_file_that_a_loader_would_take_is_an_error(bench: Bench) -> None:
    """Its section headers are damaged, of which no loader knows."""
    data = patch_number(SOUND, 40, 8, 1 << 40)  # e_shoff
    wheel = bench.wheel({CORE: SOUND, "demo/tests/odd.bin": data})
    with pytest.raises(ElfError, match=r"odd\.bin"):
        bench.plan(wheel)


def test_a_wheel_whose_only_compiled_file_is_damaged_is_an_error(bench: Bench) -> None:
    with pytest.raises(ElfError, match=r"x\.bin"):
        bench.plan(bench.wheel({"demo/x.bin": CUT}))
