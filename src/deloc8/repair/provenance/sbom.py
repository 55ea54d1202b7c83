"""The bill of materials of a wheel's grafts, as CycloneDX in JSON (PEP 770)."""

from __future__ import annotations

import json
import posixpath

from deloc8 import __version__
from deloc8.repair.lowering.compat_library import LICENCE
from deloc8.text import json_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclonedx.model.component import Component

    from deloc8.repair.model import CompatGraft, Graft, Plan

FOLDER = "sboms"
"""The folder of bills of materials in .dist-info (PEP 770)."""

# Properties have a prefix of their own (CycloneDX property taxonomy).
_MEMBER, _FILE, _SONAME, _SOURCE = "deloc8:member", "deloc8:file", "deloc8:soname", "deloc8:package-source"


def render_sbom(plan: Plan, moment: int | None) -> bytes:
    """The bill of materials: one component for each graft, unknown ones too.

    A component has the name, the version and the purl of the package, and the SHA-256 of the library as that package
    has it; the copy in the wheel, which has been edited, is named by its member, and its hash stands in RECORD. Equal
    plans give equal bytes.

    Args:
        plan: What goes into the wheel.
        moment: The time to tell, in seconds since 1970; None tells none.
    """
    # The import takes as long as the rest of a small repair: this runs beside the compression.
    from datetime import datetime, timezone  # noqa: PLC0415
    from uuid import NAMESPACE_URL, uuid5  # noqa: PLC0415

    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    name, version = plan.source.distribution, plan.source.version
    purl = PackageURL(type="pypi", name=name, version=version)
    wheel = Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref="wheel")
    bom = Bom(
        metadata=BomMetaData(component=wheel, timestamp=datetime.fromtimestamp(moment or 0, tz=timezone.utc)),
        components=[*map(_component, plan.grafts), *([_compat(plan.compat)] if plan.compat else [])],
    )
    bom.metadata.tools.components.add(
        Component(name="deloc8", version=__version__, type=ComponentType.APPLICATION, bom_ref="tool")
    )
    bom.register_dependency(wheel, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"]
    if moment is None:
        del document["metadata"]["timestamp"]
    # A serial number of the contents in place of a random one.
    serial = uuid5(NAMESPACE_URL, json.dumps(document, sort_keys=True)).urn
    # A member can be called like a command to a service in whose log this is shown.
    return json_lines({**document, "serialNumber": serial}, indent=2, is_sorted=True).encode() + b"\n"


def _component(graft: Graft) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property  # noqa: PLC0415  see `render_sbom`
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    owner, file = graft.owner, posixpath.basename(graft.source)
    # The folder of a library that belongs to no package is the build machine's affair, and changes from build to build.
    properties = {_MEMBER: graft.member, _FILE: file, _SONAME: graft.soname, _SOURCE: owner.source.value}
    return Component(
        name=owner.name or graft.soname or file,
        version=owner.version or None,
        type=ComponentType.LIBRARY,
        bom_ref=graft.member,
        purl=PackageURL.from_string(owner.purl) if owner.purl else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=graft.sha256)],
        properties=[Property(name=name, value=value) for name, value in properties.items() if value],
    )


def _compat(graft: CompatGraft) -> Component:
    """The component of deloc8's own library."""
    from cyclonedx.model import HashAlgorithm, HashType, Property  # noqa: PLC0415  see `render_sbom`
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.license import DisjunctiveLicense  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    return Component(
        name="deloc8",
        version=__version__,
        type=ComponentType.LIBRARY,
        bom_ref=graft.member,
        purl=PackageURL(type="pypi", name="deloc8", version=__version__),
        licenses=[DisjunctiveLicense(id=LICENCE)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=graft.sha256)],
        properties=[Property(name=_MEMBER, value=graft.member)],
    )


def sbom_problems(contents: bytes, plan: Plan) -> Iterator[str]:
    """Evidence that a bill of materials does not list just the grafts of a plan, each once."""
    try:
        listed = sorted(_listed(component) for component in json.loads(contents)["components"])
    except (ValueError, LookupError, TypeError) as error:
        yield f"the bill of materials cannot be read: {type(error).__name__}: {error}"
        return
    grafted = sorted((graft.member, graft.sha256) for graft in (*plan.grafts, *((plan.compat,) if plan.compat else ())))
    for member, _ in sorted(set(grafted) - set(listed)):
        yield f"the bill of materials does not list {member}"
    if len(listed) > len(grafted):
        yield "the bill of materials lists more than the grafts"


def _listed(component: dict[str, list[dict[str, str]]]) -> tuple[str, str]:
    """The member and the hash of a component."""
    (member,) = (row["value"] for row in component["properties"] if row["name"] == _MEMBER)
    (digest,) = (row["content"] for row in component["hashes"] if row["alg"] == "SHA-256")
    return member, digest
