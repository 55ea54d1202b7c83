"""`check` finds nothing in what `fixup` wrote: over the layouts of four linkers, and over real wheels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.repair.model import Goal
from deloc8.workflow.audit import AuditOptions, audit_wheel
from kit.command import run_program
from kit.compile import Toolchain
from kit.editor_check import readelf
from kit.judging import errors_of, repair_and_check
from kit.machines import build_greeting, unpack

if TYPE_CHECKING:
    from pathlib import Path

LINKERS = [Toolchain("gcc", linker) for linker in ("bfd", "gold", "lld", "mold")]
# What a linker does not know is passed over.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "executable stack": ("-Wl,-z,execstack",),
    "no stack header": ("-Wl,-z,nognustack",),
    "packed": ("-Wl,-z,pack-relative-relocs",),
    "packed as lld calls it": ("-Wl,--pack-dyn-relocs=relr",),
    "packed and executable": ("-Wl,--pack-dyn-relocs=relr", "-Wl,-z,execstack"),
    "packed and executable, GNU": ("-Wl,-z,pack-relative-relocs", "-Wl,-z,execstack"),
    "separate code": ("-Wl,-z,separate-code", "-Wl,-z,execstack"),
    "no separate code": ("-Wl,-z,noseparate-code", "-Wl,-z,execstack"),
    "bound at once": ("-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,execstack"),
    "both hashes": ("-Wl,--hash-style=both", "-Wl,-z,execstack"),
    "a build folder": ("-Wl,-rpath,/home/me/build", "-Wl,-z,execstack"),
}
GOALS: dict[str, dict[str, object]] = {"auto": {}, "lowered": {"platform": "manylinux_2_17", "lower_glibc": True}}
REAL = (
    *("cffi", "fiona", "gphoto2", "libvirt_python", "lmdb", "lxml", "mysqlclient", "numpy", "pillow", "psycopg2"),
    *("pyalsaaudio", "pyyaml", "tesserocr"),
)


def stack_flags(path: Path) -> list[str]:
    """The flags of PT_GNU_STACK as readelf prints them."""
    return [line.split()[-2] for line in readelf(path, "-lW")[0] if line.split()[:1] == ["GNU_STACK"]]


def is_packed(path: Path) -> bool:
    return any("(RELR)" in line for line in readelf(path, "-dW")[0])


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("linker", LINKERS, ids=lambda linker: linker.linker)
def test_layouts(linker: Toolchain, layout: str, goal: str, tmp_path: Path) -> None:
    wheel = build_greeting(linker, tmp_path, "cp310-abi3-linux_x86_64", options=LAYOUTS[layout])
    options = AuditOptions(add_paths=(str(tmp_path / "libraries"),))
    plan = Goal(sbom=False, licences=False, **GOALS[goal])  # type: ignore[arg-type]  # its fields
    outcome = repair_and_check(wheel, tmp_path / "out", plan, options)
    assert outcome is not None
    before = [*unpack(wheel, tmp_path / "before").rglob("*.so"), *(tmp_path / "libraries").iterdir()]
    after = [path for path in unpack(outcome.path, tmp_path / "after").rglob("*.so*") if path.is_file()]
    assert len(before) == len(after) == 3
    assert {tuple(stack_flags(path)) for path in after} == {("RW",)}
    cleared = [note.subject for note in outcome.plan.notes if note.code == "executable-stack-cleared"]
    assert len(cleared) == sum(stack_flags(path) != ["RW"] for path in before)
    if goal == "lowered":
        assert "manylinux_2_17_x86_64" in outcome.path.name
        assert not any(map(is_packed, after))
    elif any(map(is_packed, before)):
        assert outcome.plan.policy.name == "manylinux_2_36"
    # What show says of the wheel, check says of it too.
    again = audit_wheel(outcome.path, AuditOptions())
    assert again.best.policy.tags[0] in outcome.path.name
    assert not again.false_claims


@pytest.mark.parametrize(
    ("linker", "layout"),
    [
        *((linker, "executable stack") for linker in ("bfd", "gold", "lld", "mold")),
        ("lld", "no stack header"),
    ],
)
def test_stacks_that_are_left(linker: str, layout: str, tmp_path: Path) -> None:
    toolchain = Toolchain("gcc", linker)
    wheel = build_greeting(toolchain, tmp_path, "cp310-abi3-linux_x86_64", options=LAYOUTS[layout])
    options = AuditOptions(add_paths=(str(tmp_path / "libraries"),), keep_executable_stack=True)
    outcome = repair_and_check(wheel, tmp_path / "out", Goal(sbom=False, licences=False), options)
    assert outcome is not None
    codes = {code for code, _ in errors_of(outcome.path, AuditOptions())}
    assert codes == {"executable-stack" if layout == "executable stack" else "missing-stack-header"}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("goal", [*GOALS, "linux"])
def test_real_wheels(wheels_folder: Path, name: str, goal: str, tmp_path: Path) -> None:
    found = list(wheels_folder.glob(f"{name}-*.whl"))
    if not found:
        pytest.skip(f"needs a wheel of {name}")
    changes = {**GOALS, "linux": {"platform": "linux"}}[goal]
    plan = Goal(sbom=False, licences=False, **changes)  # type: ignore[arg-type]  # its fields
    outcome = repair_and_check(found[0], tmp_path / "out", plan, AuditOptions(threads=2))
    if outcome is None:
        # Some need a library that is not installed, or ask for more than can be lowered; the command says so.
        refused = run_program("fixup", found[0], "--dry-run", "-w", tmp_path / "no", *_arguments(goal))
        assert refused.code == 1
        assert "error: " in refused.err


def _arguments(goal: str) -> tuple[str, ...]:
    if goal == "auto":
        return ()
    return ("--plat", "linux_x86_64") if goal == "linux" else ("--plat", "manylinux_2_17_x86_64", "--lower-glibc")
