"""The bill of materials of deloc8's own wheel, as CycloneDX in JSON (PEP 770).

It lists the machine code that the wheel carries, and what that was made with: a reader of the wheel sees neither. What
pip installs beside deloc8 is named in METADATA. Equal sources and tools give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "deloc8.cdx.json"
FOLDER = "deloc8/repair/data/compat"
"""Where the libraries are in the wheel."""

LICENCE = "MIT-0"


class Project(NamedTuple):
    """What the bill is of.

    Attributes:
        name: The name of the distribution.
        version: Its version.
        licence: SPDX's expression for the whole of it.
    """

    name: str
    version: str
    licence: str


def render(project: Project, compat: Any, libraries: list[Path]) -> bytes:
    """The bill of materials of a wheel.

    Args:
        project: Whose wheel it is.
        compat: compat/build.py, which has built the libraries.
        libraries: The files that the wheel carries, compressed.
    """
    purl = f"pkg:pypi/{project.name}@{project.version}"
    wheel: dict[str, Any] = {"type": "application", "bom-ref": "wheel", "purl": purl}
    wheel.update(name=project.name, version=project.version, licenses=[{"expression": project.licence}])
    components = [_library(project, compat, path) for path in sorted(libraries)]
    tools = [_tool("ziglang", compat.ZIG), _tool("hatchling", version_of("hatchling"))]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}], "component": wheel},
        "components": components,
        "dependencies": [{"ref": "wheel", "dependsOn": [component["bom-ref"] for component in components]}],
        "formulation": [{"bom-ref": "build", "components": tools}],
    }
    # A serial number of the contents in place of a random one.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True)).urn
    return (json.dumps({**document, "serialNumber": serial}, indent=2, sort_keys=True) + "\n").encode()


def _library(project: Project, compat: Any, path: Path) -> dict[str, Any]:
    """The component of a library: its hash is that of the library itself, RECORD has that of the compressed file."""
    machine = path.name.removesuffix(f".so{compat.SUFFIX}")
    target = compat.TARGETS[machine]
    member = f"{FOLDER}/{path.name}"
    properties = {
        "deloc8:compiled-by": compat.REQUIREMENT,
        "deloc8:machine": machine,
        "deloc8:member": member,
        "deloc8:target": f"{target.triple}.{target.glibc}",
    }
    return {
        "type": "library",
        "bom-ref": member,
        "name": compat.SONAME,
        "version": project.version,
        "description": f"Functions of newer C libraries, for {machine}; compiled from compat/src",
        "licenses": [{"license": {"id": LICENCE}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(zlib.decompress(path.read_bytes())).hexdigest()}],
        "properties": [{"name": name, "value": value} for name, value in properties.items()],
    }


def _tool(name: str, version: str) -> dict[str, str]:
    """A package of PyPI that took part in the build."""
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "application", "bom-ref": f"tool-{name}", "name": name, "version": version, "purl": purl}
