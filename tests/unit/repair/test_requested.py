from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.elf.edit.vocabulary import RpathKind
from deloc8.errors import InputError, UsageError, VerificationError
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from deloc8.repair import plan as planning
from deloc8.repair.requested import expand
from deloc8.report.schema import schemas
from kit.bench import EXT, Bench, image, names
from kit.command import Command
from kit.elf import MACHINES, ElfSpec, NoteSpec, Undefined

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.repair.model import Plan

LIB = "/usr/lib/x86_64-linux-gnu"
OF_BIONIC = (Undefined("dlopen"), Undefined("memcpy", "LIBC", "libc.so"))
OPENER = ElfSpec(undefined=(Undefined("dlopen"),))
DATA = "demo-1.0.data/data"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.library(f"{LIB}/libplugin.so.1", needed=("liba.so.1",))
    bench.library(f"{LIB}/liba.so.1")
    return bench


def python_notes(plan: Plan) -> list[Diagnostic]:
    return [note for note in plan.notes if note.code == "opened-by-python"]


def test_a_library_on_request_keeps_its_name_and_has_a_folder_that_its_opener_searches(bench: Bench) -> None:
    members: dict[str, ElfSpec | bytes] = {EXT: OPENER, "demo/plain.so": ElfSpec(), f"{DATA}/lib/libown.so": OPENER}
    outcome = bench.repair(bench.wheel(members), include=("libplugin.so.1",))
    plugin, a = outcome.plan.grafts
    assert (plugin.member, plugin.new_name) == ("demo.libs/opened/libplugin.so.1", "libplugin.so.1")
    assert (plugin.chain, plugin.openers) == (("--include", "libplugin.so.1"), (EXT,))
    assert (a.member, a.openers) == (f"demo.libs/{a.new_name}", ())
    assert a.new_name != "liba.so.1"
    assert names(image(outcome.path, plugin.member)) == ((a.new_name,), "libplugin.so.1", "$ORIGIN/..", None)
    assert names(image(outcome.path, EXT))[2] == "$ORIGIN/../demo.libs/opened"
    assert [patch.member for patch in outcome.plan.patches] == [EXT]
    assert python_notes(outcome.plan) == []


def test_who_needs_a_library_on_request_too_searches_its_folder(bench: Bench) -> None:
    wheel = bench.wheel({EXT: ElfSpec(needed=("libplugin.so.1",))})
    outcome = bench.repair(wheel, include=("libplugin.so.1",))
    assert names(image(outcome.path, EXT))[:3] == (("libplugin.so.1",), None, "$ORIGIN/../demo.libs/opened")


def test_grafts_that_open_libraries_find_them_too(bench: Bench) -> None:
    bench.library(f"{LIB}/libhost.so.1", undefined=(Undefined("dlopen"),))
    outcome = bench.repair(bench.extension(needed=("libhost.so.1",)), include=("libplugin.so.1",))
    (host,) = (graft for graft in outcome.plan.grafts if graft.soname == "libhost.so.1")
    assert names(image(outcome.path, host.member))[2] == "$ORIGIN/opened"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("libpl*.so.1", "libplugin.so.1"),
        (f"{LIB}/libplugin.so.1", "libplugin.so.1"),
        (f"{LIB}/libplug*", "libplugin.so.1"),
        ("libmany*", "libmany.so.2"),
        ("libold*", "libold.so"),
    ],
)
def test_how_a_library_is_asked_for(bench: Bench, asked: str, found: str) -> None:
    bench.library(f"{LIB}/libmany.so.2.1", soname="libmany.so.2")
    bench.library(f"{LIB}/libold.so", soname="libold-1.so")
    for link in ("libmany.so", "libmany.so.2"):
        (bench.system.top / LIB[1:] / link).symlink_to("libmany.so.2.1")
    bench.system.write(f"{LIB}/libplug-text.so", "INPUT(libplugin.so.1)")
    bench.system.write(f"{LIB}/libplugin.txt", "")
    plan = bench.plan(bench.wheel({EXT: OPENER}), include=(asked,))
    assert plan.grafts[0].new_name == found


def test_a_pattern_is_matched_in_the_given_folders(bench: Bench) -> None:
    bench.library("/opt/one/libplugin.so.2")
    wheel = bench.wheel({EXT: OPENER})
    plan = bench.plan(wheel, include=("libplugin*",), only_paths=("/opt/one",))
    assert [graft.source for graft in plan.grafts] == ["/opt/one/libplugin.so.2"]
    plan = bench.plan(wheel, include=("libplugin*.2",), add_paths=("/opt/one",))
    assert [graft.source for graft in plan.grafts] == ["/opt/one/libplugin.so.2"]


def test_a_pattern_with_a_folder_is_looked_for_there_alone(bench: Bench) -> None:
    bench.library("/opt/one/libplugin.so.1")
    plan = bench.plan(bench.wheel({EXT: OPENER}), include=("/opt/one/libplug*",))
    assert [graft.source for graft in plan.grafts] == ["/opt/one/libplugin.so.1"]


def test_names_stay_as_they_are_and_patterns_become_what_they_match(bench: Bench) -> None:
    # A library of two names of which none is its soname goes by the first.
    bench.library("/opt/two/libodd-1.so", soname="libother.so")
    (bench.system.top / "opt/two/libodd-2.so").symlink_to("libodd-1.so")
    bench.library(f"{LIB}/libold.so", soname="libold-1.so")
    sysroot = Sysroot(bench.system.top)

    def expanded(*names: str) -> tuple[str, ...]:
        return expand(names, sysroot, SearchOptions(add_paths=("/opt/two",)))

    assert expanded("libold.so", f"{LIB}/libold.so", "libgone.so") == ("libold.so", f"{LIB}/libold.so", "libgone.so")
    assert expanded("/opt/two/libodd*") == ("/opt/two/libodd-1.so",)
    assert expanded("libod[a-z]*") == ("libodd-1.so",)
    assert expanded("libol?.so") == ("libold.so",)


def test_a_pattern_that_matches_nothing_is_an_error(bench: Bench) -> None:
    with pytest.raises(InputError) as caught:
        bench.plan(bench.wheel({EXT: OPENER}), include=("libno*",))
    assert caught.value.code == "include-not-found"


def test_libraries_of_the_hosts_drivers_are_not_grafted_without_force(bench: Bench) -> None:
    bench.library(f"{LIB}/libcuda.so.1")
    wheel = bench.wheel({EXT: OPENER})
    for asked in ("libcuda.so.1", f"{LIB}/libcuda.so.1", "libcu*"):
        with pytest.raises(UsageError) as caught:
            bench.plan(wheel, include=(asked,))
        assert caught.value.code == "host-library"
    assert bench.plan(wheel, include=("libcuda.so.1",), force=True).grafts[0].new_name == "libcuda.so.1"


def declaring(*sonames: str) -> NoteSpec:
    entries = [{"soname": [name], "priority": "required"} for name in sonames]
    return NoteSpec("FDO", 0x407C0C0A, json.dumps(entries).encode() + b"\0")


FOLDER = "os.path.dirname(os.path.abspath(__file__))"
CODE = """\
import ctypes, ctypes.util
ctypes.CDLL("libcalled.so.1")
ctypes.CDLL("libcuda.so.1")
ctypes.CDLL("libno.so.1")
ctypes.CDLL("/usr/lib/x86_64-linux-gnu/liba.so.1")
ctypes.CDLL("libc.so.6")
ctypes.util.find_library("found")
ctypes.util.find_library("nameless")
"""


@pytest.fixture
def opening_wheel(bench: Bench) -> Path:
    for name in ("libcalled.so.1", "libcuda.so.1", "libc.so.6"):
        bench.library(f"{LIB}/{name}")
    bench.library(f"{LIB}/libfound.so.3.1", soname="libfound.so.3")
    for link in ("libfound.so", "libfound.so.3"):
        (bench.system.top / LIB[1:] / link).symlink_to("libfound.so.3.1")
    bench.library(f"{LIB}/libnameless.so", soname=None)
    core = ElfSpec(undefined=(Undefined("dlopen"),), notes=(declaring("libplugin.so.1", "libcuda.so.1", "libno.so"),))
    return bench.wheel({EXT: core, "demo/sub/lib.py": CODE.encode()})


def test_declared_libraries_are_grafted_on_request(bench: Bench, opening_wheel: Path) -> None:
    outcome = bench.repair(opening_wheel, include_dlopened="declared")
    assert [graft.new_name for graft in outcome.plan.grafts if graft.openers] == ["libplugin.so.1"]
    assert python_notes(outcome.plan) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("libgone.so.9", "libplugin.so.1"), "libplugin.so.1"),
        (("libplugin.so", "libplugin.so.1"), "libplugin.so"),
        (("libalias.so", "libgone.so.9"), "libalias.so"),
    ],
)
def test_of_the_names_of_one_declaration_that_of_the_library_is_taken(
    bench: Bench, names: tuple[str, ...], found: str
) -> None:
    for link in ("libplugin.so", "libalias.so"):
        (bench.system.top / LIB[1:] / link).symlink_to("libplugin.so.1")
    note = NoteSpec("FDO", 0x407C0C0A, json.dumps([{"soname": names}]).encode() + b"\0")
    wheel = bench.wheel({EXT: ElfSpec(undefined=(Undefined("dlopen"),), notes=(note,))})
    plan = bench.plan(wheel, include_dlopened="declared")
    assert [graft.chain[-1] for graft in plan.grafts if graft.openers] == [found]


@pytest.mark.usefixtures("opening_wheel")
def test_python_is_told_the_way_whatever_else_is_grafted(bench: Bench) -> None:
    bench.library(f"{LIB}/libaa.so.1")
    core = ElfSpec(needed=("libaa.so.1",), undefined=(Undefined("dlopen"),))
    wheel = bench.wheel({EXT: core, "demo/sub/lib.py": CODE.encode()})
    plan = bench.plan(wheel, include_dlopened="called")
    assert next(graft.soname for graft in plan.grafts) == "libaa.so.1"
    assert [note.subject for note in python_notes(plan)] == ["demo/sub/lib.py, line 2", "demo/sub/lib.py, line 7"]


def test_called_libraries_are_grafted_on_request_and_python_is_told_the_way(bench: Bench, opening_wheel: Path) -> None:
    outcome = bench.repair(opening_wheel, include_dlopened="called")
    opened = [graft.new_name for graft in outcome.plan.grafts if graft.openers]
    assert opened == ["libplugin.so.1", "libcalled.so.1", "libfound.so.3"]
    called, found = python_notes(outcome.plan)
    assert (called.severity, called.subject) == (Severity.WARNING, "demo/sub/lib.py, line 2")
    assert called.context == (
        "import ctypes, os",
        f"ctypes.CDLL(os.path.join({FOLDER}, '../../demo.libs/opened/libcalled.so.1'))",
    )
    assert called.message.endswith("put these two lines before it opens the library")
    assert found.subject == "demo/sub/lib.py, line 7"
    assert found.message.endswith("put these two lines in place of its call")


def test_what_nothing_is_known_to_open_comes_with_the_way_to_load_it(bench: Bench) -> None:
    plan = bench.plan(bench.extension(), include=("libplugin.so.1",))
    (note,) = python_notes(plan)
    assert note.subject == "demo.libs/opened/libplugin.so.1"
    assert "'../demo.libs/opened/libplugin.so.1'" in note.context[1]


def test_on_musl_the_lines_stand_in_place_of_the_call(bench: Bench) -> None:
    bench.library("/usr/lib/libplugin.so.2")
    code = b"import ctypes\nctypes.CDLL('libplugin.so.2')\n"
    wheel = bench.wheel(
        {EXT: ElfSpec(needed=("libc.musl-x86_64.so.1",)), "demo/lib.py": code},
        tags=("cp311-cp311-musllinux_1_2_x86_64",),
    )
    (note,) = python_notes(bench.plan(wheel, include=("libplugin.so.2",)))
    assert note.message.endswith("put these two lines in place of its call")


def test_the_proof_needs_the_way_of_who_opens(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(*_: object) -> tuple[str, ...]:
        return ()

    wheel = bench.wheel({EXT: OPENER})
    monkeypatch.setattr(planning._Builder, "_wanted_folders", spoiled)
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel, include=("libplugin.so.1",))
    assert f"{EXT} does not find libplugin.so.1, which it shall open" in caught.value.context
    assert bench.left in ([], ["no folder"])


def test_the_proof_knows_the_loader_of_who_opens(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """bionic never reads DT_RPATH (android-changes-for-ndk-developers.md)."""
    bench.system.library("/opt/libplugin.so", replace(MACHINES["aarch64"], soname="libplugin.so"))
    spec = replace(MACHINES["aarch64"], needed=("libc.so", "libdl.so"), undefined=OF_BIONIC)
    wheel = bench.wheel({"demo/_core.so": spec}, tags=("cp313-cp313-android_24_arm64_v8a",))
    assert bench.plan(wheel, include=("libplugin.so",), add_paths=("/opt",)).grafts
    monkeypatch.setattr(planning._Builder, "_kind", RpathKind.RPATH)
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel, include=("libplugin.so",), add_paths=("/opt",))
    assert "demo/_core.so does not find libplugin.so, which it shall open" in caught.value.context


def test_the_command(bench: Bench, opening_wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(capsys)
    asked = ("fixup", opening_wheel, "--sysroot", bench.system.top, "--dry-run", "--include-dlopened", "called")
    told = command(*asked)
    assert (
        f"  as demo.libs/opened/libcalled.so.1\n  needed by --include -> libcalled.so.1\n  found by {EXT}, " in told.out
    )
    assert "warning: demo/sub/lib.py, line 2: opens libcalled.so.1 by its name" in told.err
    assert "\n  import ctypes, os\n" in told.err
    document = command(*asked, "--format", "json").json
    pytest.importorskip("jsonschema", reason="judges the document").validate(document, schemas()["fixup"])
    grafts = document["wheels"][0]["grafts"]
    assert {graft["new_name"]: graft["openers"] for graft in grafts}["libfound.so.3"] == [EXT]
    assert command("fixup", opening_wheel, "--include", "libcuda.so.1", "--sysroot", bench.system.top).code == 2


def test_a_plugin_of_the_wheel_has_its_own_needs_audited(bench: Bench) -> None:
    plan = bench.plan(bench.wheel({EXT: OPENER, "demo/plugins/libp.so": ElfSpec(needed=("liba.so.1",))}))
    assert [graft.soname for graft in plan.grafts] == ["liba.so.1"]
    assert plan.grafts[0].chain == ("demo/plugins/libp.so", "liba.so.1")
