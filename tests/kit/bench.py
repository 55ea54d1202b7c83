"""A bench to repair wheels on: a small system, synthetic wheels, and a look into what came out."""

from __future__ import annotations

import zipfile
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from deloc8.elf.read.image import parse
from deloc8.repair.model import Goal
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.repair import plan_repair, repair_wheel
from kit.elf import ElfSpec, build_elf
from kit.system import System
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.audit.verdict import Audit
    from deloc8.elf.read.image import ElfImage
    from deloc8.repair.model import Graft, Outcome, Plan

EXT = "demo/_core.cpython-311-x86_64-linux-gnu.so"


class Bench:
    """A folder with a system (`root`), wheels (`dist`) and repaired wheels (`out`, not yet made)."""

    def __init__(self, top: Path) -> None:
        self.system = System(top / "root")
        self.system.top.mkdir(parents=True)
        self.dist = top / "dist"
        self.dist.mkdir()
        self.out = top / "out"

    def library(self, path: str, **options: object) -> str:
        """A library of the system, with the soname of its file name unless an option says otherwise."""
        spec = ElfSpec(soname=path.rpartition("/")[2])
        return self.system.write(path, build_elf(spec, **options))

    def wheel(self, members: Mapping[str, ElfSpec | bytes], **options: object) -> Path:
        """A wheel; `options` are those of `build_wheel`."""
        contents = {name: build_elf(data) if isinstance(data, ElfSpec) else data for name, data in members.items()}
        return build_wheel(self.dist, contents, **options)  # type: ignore[arg-type]

    def extension(self, **options: object) -> Path:
        """A wheel with one extension module, of which `options` tell."""
        return self.wheel({"demo/__init__.py": b"", EXT: replace(ElfSpec(), **options)})  # type: ignore[arg-type]

    def audit(self, wheel: Path, **changes: object) -> Audit:
        """The verdict."""
        return audit_wheel(wheel, self._split(changes)[1])

    def plan(self, wheel: Path, **changes: object) -> Plan:
        """The plan; `changes` are fields of `Goal` and of `AuditOptions`."""
        return plan_repair(wheel, *self._split(changes))

    def repair(self, wheel: Path, writing: WriteOptions | None = None, **changes: object) -> Outcome:
        """What came of the repair, in the folder `out`."""
        goal, options = self._split(changes)
        return repair_wheel(wheel, self.out, goal, writing or WriteOptions(), options)

    def _split(self, changes: Mapping[str, object]) -> tuple[Goal, AuditOptions]:
        ours = {field.name for field in fields(Goal)}
        goal = {name: value for name, value in changes.items() if name in ours}
        rest = {name: value for name, value in changes.items() if name not in ours}
        options = replace(AuditOptions(sysroot=self.system.top), **rest)  # type: ignore[arg-type]
        # Bills of materials and licences have tests of their own.
        return replace(Goal(sbom=False, licences=False), **goal), options  # type: ignore[arg-type]

    @property
    def left(self) -> list[str]:
        """What stands in the folder `out`; where it was not made, or was removed again: ["no folder"]."""
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else ["no folder"]


def contents(wheel: Path) -> dict[str, bytes]:
    """All members of a wheel by name, in the order of the archive."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def image(wheel: Path, member: str) -> ElfImage:
    """One ELF member of a wheel."""
    return parse(contents(wheel)[member], member)


def names(found: ElfImage) -> tuple[tuple[str, ...], str | None, str | None, str | None]:
    """DT_NEEDED, DT_SONAME, DT_RPATH and DT_RUNPATH of a file."""
    assert found.dynamic is not None
    return found.dynamic.needed, found.dynamic.soname, found.dynamic.rpath, found.dynamic.runpath


def graft(plan: Plan, source: str) -> Graft:
    """The graft of one library."""
    (found,) = (graft for graft in plan.grafts if graft.source == source)
    return found


def codes(plan: Plan) -> dict[str, list[str]]:
    """The subjects of a plan's notes by their codes; that no package owns a bench's libraries goes without saying."""
    found: dict[str, list[str]] = {}
    for note in plan.notes:
        if note.code != "unknown-package":
            found.setdefault(note.code, []).append(note.subject)
    return found
