"""Part of the build of deloc8's own wheel: the compatibility libraries are built and come along."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from types import ModuleType


class CompatibilityLibraries(BuildHookInterface[Any]):
    """Builds the libraries for a wheel, and nothing for an editable installation, which has no need of a compiler."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what the wheel carries."""
        if version != "standard":
            return
        folder = Path(self.directory).resolve() / ".compat"
        for path in build_script(Path(self.root)).build_all(folder):
            build_data["force_include"][str(path)] = f"deloc8/repair/data/compat/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel now holds."""
        del build_data, artifact_path
        if version == "standard":
            folder = Path(self.directory).resolve() / ".compat"
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def build_script(root: Path) -> ModuleType:
    """The script that builds the libraries, as a module."""
    spec = importlib.util.spec_from_file_location("compat_build", root / "compat" / "build.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(root / "compat" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
