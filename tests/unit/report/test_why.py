from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.explain.why import explain
from deloc8.report.schema import schemas
from deloc8.report.why import why_text
from kit.command import Command
from kit.elf import DT_AUXILIARY, GLIBC, ElfSpec, Undefined
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.33", soname="libfoo.so.1"))
    return scene


def test_a_symbol(scene: Scene) -> None:
    text = why_text("demo.whl", explain(scene.judge(wants("GLIBC_2.5", needed=("libfoo.so.1",))), "GLIBC_2.33"))
    assert text.startswith(
        "demo.whl and the version GLIBC_2.33: it is asked for by\n\n"
        "  demo/_core.so -> libfoo.so.1\n"
        "    needs use0@GLIBC_2.33 from libc.so.6\n\n"
        "It bars, by itself or by what it brings in, the tags\nmanylinux_2_31_x86_64,"
    )
    assert "\nWays out, the least effort first:\n\n  1. let `deloc8 fixup` reach" in text


def test_a_library(scene: Scene) -> None:
    spec = ElfSpec(needed=("libno.so", GLIBC), undefined=(Undefined("plain"),))
    text = why_text("demo.whl", explain(scene.judge(spec), "lib*"))
    assert "  demo/_core.so\n    needs libc.so.6: /usr/lib/libc.so.6\n    needs libno.so: not found\n" in text
    assert "    needs plain\n" in why_text("demo.whl", explain(scene.judge(spec), "plain"))
    cured = why_text("demo.whl", explain(scene.judge(wants("GLIBC_2.5", needed=("libfoo.so.1",))), "libc.so.6"))
    assert cured.endswith("It bars no tag.\n")


def test_a_library_that_another_entry_names(scene: Scene) -> None:
    scene.system.library("/usr/lib/libbar.so.1", ElfSpec(soname="libbar.so.1", needed=("libfoo.so.1",)))
    audit = scene.judge(ElfSpec(needed=(GLIBC,), links=((DT_AUXILIARY, "libbar.so.1"), (DT_AUXILIARY, "libno.so"))))
    text = why_text("demo.whl", explain(audit, "libbar.so.1"))
    assert "    needs libbar.so.1 (auxiliary): /usr/lib/libbar.so.1\n" in text
    assert "\nIt must be inside the wheel for the tags" not in text  # what it needs is too new for these
    assert "    needs libno.so (auxiliary): not found\n" in why_text("demo.whl", explain(audit, "libno.so"))
    below = why_text("demo.whl", explain(audit, "libfoo.so.1"))
    assert "  demo/_core.so -> libbar.so.1\n    needs libfoo.so.1: /usr/lib/libfoo.so.1\n" in below


def test_a_library_that_a_graft_cures(scene: Scene) -> None:
    scene.system.library("/usr/lib/libbar.so.1", ElfSpec(soname="libbar.so.1"))
    text = why_text("demo.whl", explain(scene.judge(wants(needed=("libbar.so.1",))), "libbar.so.1"))
    assert "\nIt must be inside the wheel for the tags manylinux_2_41_x86_64," in text


def test_a_tag(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.18", needed=("libfoo.so.1",)))
    assert why_text("demo.whl", explain(audit, "manylinux_2_17")).startswith(
        'demo.whl and the platform tag "manylinux_2_17_x86_64":\n\n'
        "It is barred by what these files do:\n\n"
        "  demo/_core.so\n"
        "    needs use0@GLIBC_2.18 from libc.so.6; manylinux_2_17 ends at\n"
        "      GLIBC_2.17\n"
        "  demo/_core.so -> libfoo.so.1\n"
        "    needs use0@GLIBC_2.33 from libc.so.6; manylinux_2_17 ends at\n"
        "      GLIBC_2.17\n\n"
        "`deloc8 fixup` cures these:\n\n"
        "  demo/_core.so\n"
        "    needs libfoo.so.1, which manylinux_2_17 does not take from the\n"
        "      system\n\n"
        "Ways out, the least effort first:\n\n  1. "
    )
    assert "\nThe wheel fits it as it stands.\n" in why_text("demo.whl", explain(audit, "linux"))


# -- the command


def test_the_command(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))})
    command = Command(capsys)
    place = ("--sysroot", scene.root)
    code, out, err = command("why", wheel, "use0@GLIBC_2.33", *place)
    assert (code, err) == (0, "")
    assert "demo/_core.so -> libfoo.so.1" in out
    code, out, err = command("why", wheel, "use9", *place)
    assert (code, out) == (2, "")
    assert "[unknown-subject]" in err
    pure = scene.wheel({"demo/a.py": b"pass\n"}, tags=("py3-none-any",))
    assert command("why", pure, "x").code == 1


@pytest.mark.parametrize("subject", ["use0", "GLIBC_2.33", "libfoo.so.1", "manylinux_2_17"])
def test_the_document_is_that_of_the_schema(scene: Scene, capsys: pytest.CaptureFixture[str], subject: str) -> None:
    validator = pytest.importorskip("jsonschema", reason="jsonschema judges the document (cyclonedx's extra)")
    wheel = scene.wheel({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",))})
    document = Command(capsys)("why", wheel, subject, "--sysroot", scene.root, "--format", "json").json
    validator.validate(document, schemas()["why"])
    (answer,) = document["wheels"]
    assert list(answer) == list(schemas()["why"]["$defs"]["answer"]["properties"])  # type: ignore[index]
    assert answer["bars"]


def test_a_library_that_is_opened_at_run_time(scene: Scene) -> None:
    code = b"from ctypes import CDLL, util\nCDLL('libno.so.1')\nutil.find_library('no')\nCDLL('libfoo.so.1')\n"
    audit = scene.audit({CORE: wants("GLIBC_2.5", needed=("libfoo.so.1",)), "demo/lib.py": code})
    text = why_text("demo.whl", explain(audit, "libno.so.1"))
    assert text == (
        "demo.whl and the library libno.so.1: no file needs it.\n\n"
        "The following libraries are opened at run time, or may be:\n"
        "  demo/lib.py:2 opens libno.so.1 (called)\n"
        "    not found\n"
        "  demo/lib.py:3 opens libno.so* (called)\n"
        "    not found\n\n"
        "It bars no tag.\n"
    )
    both = why_text("demo.whl", explain(audit, "libfoo.so.1"))
    assert "    needs libfoo.so.1: /usr/lib/libfoo.so.1\n" in both
    assert "  demo/lib.py:4 opens libfoo.so.1 (called)\n" in both
    assert len(explain(audit, "/usr/lib/libfoo*").openings) == 1
    assert explain(audit, "use0").openings == ()


def test_a_library_that_is_opened_at_run_time_is_told_by_the_command(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    code = b"from ctypes import CDLL\nCDLL('libno.so.1')\n"
    wheel = scene.wheel({CORE: wants("GLIBC_2.5"), "demo/lib.py": code})
    command = Command(capsys)
    told = command("why", wheel, "libno.so.1", "--sysroot", scene.root, "--format", "json").json
    pytest.importorskip("jsonschema", reason="jsonschema judges it (cyclonedx's extra)").validate(
        told, schemas()["why"]
    )
    assert told["wheels"][0]["openings"][0]["line"] == 2
    unknown = command("why", wheel, "libno.so.1", "--sysroot", scene.root, "--no-dlopen")
    assert unknown.code == 2
    close = command("why", wheel, "libno.so.2", "--sysroot", scene.root)
    assert "did you mean `libno.so.1`" in close.err
