"""Wheels that auditwheel 6.8 repairs wrongly or not at all, repaired by both."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import Deloc8Error, UnrepairableError, WheelError
from deloc8.repair.model import Goal
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.repair import repair_wheel
from kit.bench import codes
from kit.shop import (
    CALL_A,
    EXT,
    INFO,
    INIT,
    MACHINE,
    PYTHON,
    STAT,
    TAGS,
    Shop,
    auditwheel,
    auditwheel_result,
    dynamic,
)
from kit.wheels import record_hash, record_text, wheel_text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def sound_members(module: bytes) -> dict[str, bytes]:
    return {
        EXT: module,
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{INFO}/WHEEL": wheel_text(TAGS),
    }


def test_an_absolute_path_in_record_leads_to_no_file_outside_the_wheel(shop: Shop) -> None:
    module = shop.extension(CALL_A, shop.chain())
    outside = shop.top / "outside.so"
    outside.write_bytes(module)
    members = sound_members(module)
    record = record_text(members, f"{INFO}/RECORD") + f"{outside},{record_hash(module)},{len(module)}\n".encode()
    wheel = shop.wheel(members, record=record)
    with pytest.raises(WheelError, match="RECORD"):
        shop.repair(wheel)
    assert outside.read_bytes() == module
    assert not (wheel.parent / "repaired").exists()
    auditwheel_result(wheel)
    assert outside.read_bytes() != module


def test_a_failed_repair_leaves_no_wheel_in_the_output_folder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    with monkeypatch.context() as patch:
        patch.setattr("deloc8.repair.execute.edit_owned", None)  # a defect in the midst of writing
        with pytest.raises(TypeError):
            shop.repair(wheel)
    assert not (wheel.parent / "repaired").exists()
    late = 99999999999  # seconds, after 2107, which is the last year that ZIP can tell
    result = repair_wheel(wheel, shop.top / "late", Goal(), WriteOptions(source_date_epoch=late))
    with zipfile.ZipFile(result.path) as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {2107}
    done, folder = auditwheel("repair", wheel, epoch=str(late))
    assert done.returncode != 0
    (left,) = folder.iterdir()
    assert left.suffix == ".whl"


def test_a_wheel_that_needs_pyfpe_is_not_given_a_tag(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(INIT + "extern int PyFPE_jbuf; int call(void) { return PyFPE_jbuf; }\n")})
    with pytest.raises(UnrepairableError, match=EXT) as caught:
        shop.repair(wheel)
    assert caught.value.code == "pyfpe"
    assert "manylinux" in auditwheel_result(wheel).name
    done, _ = auditwheel("show", wheel)
    assert "PyFPE_jbuf" in done.stdout


def test_a_false_tag_in_the_file_name_does_not_survive(shop: Shop) -> None:
    false = f"manylinux_2_17_{MACHINE}"
    wheel = shop.wheel({EXT: shop.extension(STAT)}, tags=(f"{PYTHON}-{PYTHON}-{false}",))
    outcome = shop.repair(wheel)
    if false in outcome.path.name:
        pytest.skip("needs a C library newer than 2.17, whose stat is one of its own")
    assert codes(outcome.plan)["false-tag-dropped"] == [false]
    assert false in auditwheel_result(wheel).name


def test_members_that_record_does_not_list_are_no_blind_spot(shop: Shop) -> None:
    members = sound_members(shop.extension(CALL_A, shop.chain()))
    rows = record_text(members, f"{INFO}/RECORD").decode().splitlines(keepends=True)
    wheel = shop.wheel(members, record="".join(row for row in rows if not row.startswith(EXT)).encode())
    with pytest.raises(WheelError, match="RECORD") as caught:
        shop.repair(wheel)
    assert EXT in caught.value.context[0]
    done, _ = auditwheel("repair", wheel)
    assert "does not look like a platform wheel" in done.stderr


def test_a_missing_record_is_one_clear_error_and_no_traceback(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())}, record="missing")
    with pytest.raises(WheelError, match="RECORD") as caught:
        shop.repair(wheel)
    assert caught.value.code == "missing-record"
    done, _ = auditwheel("repair", wheel)
    assert "Traceback" in done.stderr


def test_a_truncated_elf_file_is_one_clear_error_and_no_traceback(shop: Shop) -> None:
    module = shop.extension(CALL_A, shop.chain())
    wheel = shop.wheel({EXT: module[: len(module) // 4]})
    with pytest.raises(Deloc8Error, match=re.escape(EXT)) as caught:
        shop.repair(wheel)
    assert caught.value.code == "bad-elf"
    done, _ = auditwheel("repair", wheel)
    assert "Traceback" in done.stderr


def test_an_extension_that_needs_no_libc_is_repaired(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension("void *PyInit__core(void) { return 0; }\n", "-nostdlib")})
    outcome = shop.repair(wheel)
    assert any(tag.startswith(("manylinux", "musllinux")) for tag in outcome.plan.target.platforms)
    if "-linux-gnu" in EXT and sys.version_info < (3, 11):
        done, _ = auditwheel("repair", wheel)
        assert "Traceback" in done.stderr


def test_too_recent_errors_name_the_tag_that_was_asked_for_the_file_and_the_symbol(shop: Shop) -> None:
    asked = f"manylinux_2_28_{MACHINE}"
    wheel = shop.wheel({EXT: shop.extension(STAT)})
    if f"manylinux_2_34_{MACHINE}" not in shop.repair(wheel).path.name:
        pytest.skip("needs a C library from 2.33 on, whose stat is one of its own")
    with pytest.raises(UnrepairableError) as caught:
        shop.repair(wheel, Goal(platform=asked))
    assert caught.value.message == f"`{EXT}` does not fit {asked}"
    assert "stat@GLIBC_2.33" in caught.value.context[0]
    done, _ = auditwheel("repair", wheel, "--plat", asked)
    assert "too-recent" in done.stderr
    assert "stat" not in done.stderr


def test_an_exclude_that_matches_nothing_is_not_passed_over_in_silence(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    outcome = shop.repair(wheel, exclude=("libcuda*",))
    assert codes(outcome.plan)["exclude-without-match"] == ["libcuda*"]
    done, _ = auditwheel("repair", wheel, "--exclude", "libcuda*")
    assert "libcuda" not in done.stderr + done.stdout


def test_a_dependency_of_an_excluded_library_alone_is_named(shop: Shop) -> None:
    a = shop.chain()
    wheel = shop.wheel({EXT: shop.extension(CALL_A, a)})
    outcome = shop.repair(wheel, exclude=("libdemo_a*",), library_path=(str(a.parent),))
    assert codes(outcome.plan)["left-out-with-excluded"] == [str(a.with_name("libdemo_b.so.1"))]
    done, _ = auditwheel("repair", wheel, "--exclude", "libdemo_a*")
    assert "libdemo_b" not in done.stderr + done.stdout


def test_build_machine_rpaths_go_from_members_that_need_no_graft(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(INIT, "-Wl,-rpath,/build/lib")})
    found = dynamic(shop.unpack(shop.repair(wheel).path) / EXT)
    assert "RPATH" not in found
    assert "RUNPATH" not in found
    theirs = dynamic(shop.unpack(auditwheel_result(wheel)) / EXT)
    assert theirs.get("RUNPATH", theirs.get("RPATH")) == ["/build/lib"]


def test_grafted_libraries_are_checked_for_forbidden_symbols(shop: Shop) -> None:
    zlib = shop.library("z/libz.so.1", "const char inflate_copyright[] = {1};\n")
    source = "extern const char inflate_copyright[]; int a(void) { return inflate_copyright[0]; }\n"
    a = shop.library("libdemo_a.so.1", source, zlib, f"-Wl,-rpath,{zlib.parent}")
    wheel = shop.wheel({EXT: shop.extension(CALL_A, a)})
    asked = f"manylinux_2_17_{MACHINE}"
    with pytest.raises(UnrepairableError) as caught:
        shop.repair(wheel, Goal(platform=asked))
    assert caught.value.code == "forbidden-symbol"
    assert any("inflate_copyright" in line for line in caught.value.context)
    assert asked in auditwheel_result(wheel, "--plat", asked).name


def test_programs_that_embed_python_keep_libpython(shop: Shop) -> None:
    name = f"libpython3.{sys.version_info.minor}.so.1.0"
    lib = shop.library(name, "int Py_BytesMain(void) { return 7; }\n")
    source = "int Py_BytesMain(void); int main(void) { return Py_BytesMain(); }\n"
    members = {EXT: shop.extension(CALL_A, shop.chain()), "demo/embedding": shop.program(source, lib)}
    wheel = shop.wheel(members, modes={"demo/embedding": 0o755})
    assert name in dynamic(shop.unpack(shop.repair(wheel).path) / "demo" / "embedding")["NEEDED"]
    assert name not in dynamic(shop.unpack(auditwheel_result(wheel)) / "demo" / "embedding")["NEEDED"]


def test_a_repair_is_reproducible_without_any_variable(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    digests = set()
    for threads in (1, 4):
        digests.add(hashlib.sha256(shop.repair(wheel, threads=threads).path.read_bytes()).hexdigest())
        shutil.rmtree(wheel.parent / "repaired")
    assert len(digests) == 1
    # auditwheel writes the time of its run.
    with zipfile.ZipFile(auditwheel_result(wheel)) as archive:
        times = {member.date_time[:3] for member in archive.infolist() if member.filename.endswith(("RECORD", "WHEEL"))}
    assert (2024, 2, 29) not in times
