"""Part of the build of deloc8's own wheel: the compatibility libraries, and a bill of materials for them."""

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
        compat, sbom = (script(Path(self.root), name) for name in ("build", "sbom"))
        libraries = compat.build_all(folder)
        for path in libraries:
            build_data["force_include"][str(path)] = f"{sbom.FOLDER}/{path.name}"
        core = self.metadata.core
        project = sbom.Project(core.name, self.metadata.version, core.license_expression)
        bill = folder / sbom.FILE_NAME
        bill.write_bytes(sbom.render(project, compat, libraries))
        build_data["sbom_files"].append(str(bill))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel now holds."""
        del build_data, artifact_path
        if version == "standard":
            folder = Path(self.directory).resolve() / ".compat"
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def script(root: Path, name: str) -> ModuleType:
    """A script of this folder, as a module."""
    path = root / "compat" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"compat_{name}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
