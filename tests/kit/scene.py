"""A wheel of synthetic ELF files, and the small system that it is looked at on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deloc8.workflow.audit import AuditOptions, audit_wheel
from kit.elf import GLIBC, ElfSpec, Undefined, build_elf
from kit.system import System
from kit.wheels import DEFAULT_TAGS, build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deloc8.audit.match import PolicyMatch
    from deloc8.audit.verdict import Audit
    from deloc8.audit.violations import Violation

CORE = "demo/_core.so"
"""The extension module of most wheels here."""


def wants(*versions: str, needed: Sequence[str] = (), **options: object) -> ElfSpec:
    """A file that uses one symbol of libc.so.6 for each version: `use0`, `use1`..."""
    undefined = tuple(Undefined(f"use{number}", version, GLIBC) for number, version in enumerate(versions))
    return replace(ElfSpec(needed=(*needed, GLIBC), undefined=undefined), **options)  # type: ignore[arg-type]


class Scene:
    """A system in `folder/root`, with a libc, and wheels in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = System(folder / "root")
        self.system.library("/usr/lib/libc.so.6", ElfSpec(soname="libc.so.6"))

    @property
    def root(self) -> Path:
        """The folder that stands for `/`."""
        return self.system.top

    def wheel(
        self, members: Mapping[str, ElfSpec | bytes], *, tags: Sequence[str] = DEFAULT_TAGS, name: str = "demo"
    ) -> Path:
        """The path of a wheel."""
        contents = {
            member: build_elf(content) if isinstance(content, ElfSpec) else content
            for member, content in members.items()
        }
        return build_wheel(self.folder, contents, tags=tags, name=name)

    def audit(
        self,
        members: Mapping[str, ElfSpec | bytes],
        options: AuditOptions | None = None,
        *,
        tags: Sequence[str] = DEFAULT_TAGS,
    ) -> Audit:
        """The verdict on a wheel, on this system."""
        return audit_wheel(self.wheel(members, tags=tags), replace(options or AuditOptions(), sysroot=self.root))

    def judge(self, spec: ElfSpec | bytes, *, tag: str = "linux_x86_64", **options: object) -> Audit:
        """The verdict on a wheel of one extension module; `options` are those of AuditOptions."""
        return self.audit(
            {CORE: spec},
            AuditOptions(**options),  # type: ignore[arg-type]  # the caller names fields
            tags=(f"cp311-cp311-{tag}",),
        )


def best_tag(audit: Audit) -> str:
    """The tag that a wheel deserves as it is."""
    return audit.best.policy.tags[0]


def match_of(audit: Audit, name: str) -> PolicyMatch:
    """The wheel against one policy."""
    return next(match for match in audit.matches if match.policy.name == name)


def violations_of(audit: Audit, name: str) -> tuple[Violation, ...]:
    """What keeps the wheel from one policy."""
    return match_of(audit, name).violations


def codes_of(audit: Audit, name: str) -> list[str]:
    """The kinds of the violations of one policy, sorted."""
    return sorted(violation.code.value for violation in violations_of(audit, name))
