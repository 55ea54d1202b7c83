"""The build backend of deloc8: hatchling's, which asks for the C compiler only where a wheel is built.

An editable installation uses what `make compat` builds, so that it needs no compiler; hatchling's hooks cannot tell the
two apart when it asks them what a build requires.
"""

from __future__ import annotations

from typing import Any

from compat.build import REQUIREMENT
from hatchling.build import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
)
from hatchling.build import get_requires_for_build_wheel as hatchling_requires

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What must be installed to build a wheel (PEP 517)."""
    return [*hatchling_requires(config_settings), REQUIREMENT]
