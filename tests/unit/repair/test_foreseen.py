"""What `check` would say of a repaired wheel and no repair changes is told by the repair, too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.errors import InputError
from deloc8.loader.sysroot import Sysroot
from deloc8.repair.model import Goal
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from deloc8.workflow.repair import plan_repair
from kit.elf import GLIBC, Defined, ElfSpec, NoteSpec, Undefined
from kit.faults import SOUND, beside, core, files, scene_for_checks
from kit.judging import repair_and_check
from kit.scene import CORE

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.repair.model import Plan
    from kit.scene import Scene

LIB = "/usr/lib"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_for_checks(tmp_path)


def library(scene: Scene, name: str, **options: object) -> str:
    spec = replace(ElfSpec(soname=name, needed=(GLIBC,)), **options)  # type: ignore[arg-type]  # the caller names fields
    return scene.system.library(f"{LIB}/{name}", spec)


def plan_of(scene: Scene, wheel: Path, goal: Goal | None = None, **options: object) -> Plan:
    goal = replace(goal or Goal(), sbom=False, licences=False)
    return plan_repair(wheel, goal, AuditOptions(sysroot=scene.root, **options))  # type: ignore[arg-type]  # its fields


def warnings(plan: Plan) -> list[tuple[str, str]]:
    return [(note.code, note.subject) for note in plan.notes if note.severity is Severity.WARNING]


def the(plan: Plan, code: str) -> Diagnostic:
    (found,) = (note for note in plan.notes if note.code == code)
    return found


def needing(*names: str, undefined: tuple[str, ...] = (), **options: object) -> ElfSpec:
    symbols = tuple(map(Undefined, undefined))
    return replace(SOUND, needed=(*names, GLIBC), undefined=symbols, **options)  # type: ignore[arg-type]  # its fields


def declaring(name: str, **options: object) -> ElfSpec:
    entry = json.dumps([{"soname": [name], "priority": "required"}]).encode() + b"\0"
    return replace(SOUND, notes=(NoteSpec("FDO", 0x407C0C0A, entry),), **options)  # type: ignore[arg-type]  # the same


# -- symbols -------------------------------------------------------------------------------------------------------


def test_a_symbol_that_the_graft_lacks_is_told_once(scene: Scene) -> None:
    """As of PyNaCl with a libsodium that is too old: nothing else would tell before somebody imports it."""
    library(scene, "libsodium.so.1", defined=(Defined("old"),))
    wheel = core(needing("libsodium.so.1", undefined=("old", "new", "Py_Something")))(scene)
    found = the(plan_of(scene, wheel), "undefined-symbol")
    assert (found.severity, found.subject) == (Severity.WARNING, CORE)
    assert found.message.endswith(": new")
    written = repair_and_check(wheel, scene.folder / "out", options=AuditOptions(sysroot=scene.root))
    assert written is not None
    assert [row.code for row in check_wheel(written.path, AuditOptions(sysroot=scene.root))] == ["undefined-symbol"]


def test_a_symbol_that_a_graft_asks_for_in_vain_is_told(scene: Scene) -> None:
    inner = library(scene, "libinner.so.1", undefined=(Undefined("nowhere"), Undefined("weak", weak=True)))
    library(scene, "libouter.so.1", needed=("libinner.so.1", GLIBC))
    assert warnings(plan_of(scene, core(needing("libouter.so.1"))(scene))) == [("undefined-symbol", inner)]


def test_symbols_are_found_in_all_that_is_in_the_process(scene: Scene) -> None:
    library(scene, "libdeep.so.1", defined=(Defined("deep"),))
    library(scene, "libtop.so.1", needed=("libdeep.so.1", GLIBC), undefined=(Undefined("mine"), Undefined("deep")))
    scene.system.library(f"{LIB}/libm.so.6", ElfSpec(soname="libm.so.6", defined=(Defined("floor"),)))
    own = ElfSpec(soname="libown.so", needed=(GLIBC,), defined=(Defined("own"),))
    spec = needing("libtop.so.1", "libown.so", undefined=("deep", "own", "floor"), runpath="$ORIGIN")
    spec = replace(spec, defined=(Defined("mine"),))
    assert warnings(plan_of(scene, beside("demo/libown.so", own, (CORE, spec))(scene))) == []


def test_nothing_is_said_of_symbols_where_a_library_is_not_at_hand(scene: Scene) -> None:
    wheel = core(needing("libnowhere.so.1", undefined=("nobody",)))(scene)
    assert warnings(plan_of(scene, wheel, exclude=("libnowhere*",))) == [("library-left-out", "libnowhere.so.1")]


def test_a_library_of_the_system_that_cannot_be_read_is_no_fault_of_the_wheel(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: Sysroot, path: str) -> bytes:
        raise InputError(f"{self} {path} is gone", code="unreadable-library")

    library(scene, "liba.so.1")
    wheel = core(needing("liba.so.1", undefined=("nobody",)))(scene)
    monkeypatch.setattr(Sysroot, "look", look)
    assert warnings(plan_of(scene, wheel)) == []


# -- libraries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["libpcsclite.so.1", "libibverbs.so.1", "libasound.so.2"])
def test_a_library_of_the_host_that_comes_in_is_told(scene: Scene, name: str) -> None:
    path = library(scene, name)
    wheel = core(needing(name))(scene)
    plan = plan_of(scene, wheel)
    assert warnings(plan) == [("host-only-library", path)]
    assert f"--exclude '{name}'" in the(plan, "host-only-library").hints[0]
    assert warnings(plan_of(scene, wheel, exclude=(name,))) == [("library-left-out", name)]


def test_a_library_of_the_host_that_the_policy_promises_does_not_come_in(scene: Scene) -> None:
    assert "host-only-library" not in dict(warnings(plan_of(scene, core(needing("libX11.so.6"))(scene))))


def test_two_runtimes_of_which_one_is_a_graft_are_told(scene: Scene) -> None:
    library(scene, "libgomp.so.1")
    own = ElfSpec(soname="libiomp5.so", needed=(GLIBC,))
    wheel = beside("demo/libiomp5.so", own, (CORE, needing("libgomp.so.1", "libiomp5.so", runpath="$ORIGIN")))(scene)
    assert [code for code, _ in warnings(plan_of(scene, wheel))] == ["second-openmp-runtime"]


def test_copies_in_the_wheel_stay_two_and_are_told(scene: Scene) -> None:
    own = ElfSpec(soname="libx.so.1", needed=(GLIBC,))
    wheel = beside("demo/a/libx.so.1", own, ("demo/b/libx.so.1", own))(scene)
    assert [code for code, _ in warnings(plan_of(scene, wheel))] == ["duplicate-library"]


def test_what_a_repair_mends_is_not_told(scene: Scene) -> None:
    library(scene, "liba.so.1", defined=(Defined("a"),))
    spec = needing("liba.so.1", undefined=("a",), runpath="/build", gnu_stack=6)
    assert warnings(plan_of(scene, core(spec)(scene))) == []


# -- openings ------------------------------------------------------------------------------------------------------


def test_what_a_graft_opens_is_told_with_its_path(scene: Scene) -> None:
    note = declaring("libplugin.so.9").notes
    path = library(scene, "libopener.so.1", notes=note)
    plan = plan_of(scene, core(needing("libopener.so.1"))(scene))
    assert warnings(plan) == [("dlopened-library-missing", path)]
    assert "libplugin.so.9" in the(plan, "dlopened-library-missing").message


def test_what_python_opens_is_told(scene: Scene) -> None:
    code = b"import ctypes\nctypes.CDLL('libplugin.so.9')\nctypes.CDLL('libplugin.so.9')\n"
    wheel = files({"demo/code.py": code})(scene)
    assert warnings(plan_of(scene, wheel)) == [("dlopened-library-missing", "demo/code.py")]
    assert warnings(plan_of(scene, wheel, dlopen=False)) == []


def test_what_comes_in_on_request_is_not_missing(scene: Scene) -> None:
    library(scene, "libplugin.so.9")
    wheel = core(declaring("libplugin.so.9"))(scene)
    assert warnings(plan_of(scene, wheel)) == [("dlopened-library-missing", CORE)]
    found = warnings(plan_of(scene, wheel, include=("libplugin.so.9",)))
    assert "dlopened-library-missing" not in dict(found)


def test_what_the_policy_of_the_repair_promises_is_not_missing(scene: Scene) -> None:
    wheel = core(declaring("libmvec.so.1"))(scene)
    told = [warnings(plan_of(scene, wheel, Goal(platform=name))) for name in ("manylinux_2_17", "manylinux_2_28")]
    assert told == [[("dlopened-library-missing", CORE)], []]


def test_names_that_grafts_mention_are_noted(scene: Scene) -> None:
    names = b"\0libmaybe.so.3\0libcuda.so.1\0libpython3.11.so\0libc.so.6\0libother.so.1\0"
    path = library(scene, "libopener.so.1", undefined=(Undefined("dlopen"),), payload=names)
    found = the(plan_of(scene, core(needing("libopener.so.1"))(scene)), "libraries-mentioned")
    assert (found.severity, found.subject) == (Severity.NOTE, path)
    assert "libmaybe.so.3, libother.so.1 at run time" in found.message


def test_a_graft_that_mentions_libraries_of_every_machine_alone_is_not_noted(scene: Scene) -> None:
    library(scene, "libopener.so.1", undefined=(Undefined("dlopen"),), payload=b"\0libcuda.so.1\0libc.so.6\0")
    plan = plan_of(scene, core(needing("libopener.so.1"))(scene))
    assert [note.code for note in plan.notes if note.code == "libraries-mentioned"] == []
