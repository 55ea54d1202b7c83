from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deloc8 import __version__
from deloc8.policy.load import builtin_policies
from deloc8.repair.model import Graft, Package, PackageSource, Plan
from deloc8.repair.provenance.sbom import render_sbom, sbom_problems
from deloc8.target import Arch, Libc
from deloc8.wheel.names import parse_wheel_name

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = Package(
    name="libpq5",
    version="15.20-0+deb12u1",
    purl="pkg:deb/debian/libpq5@15.20-0%2Bdeb12u1?arch=amd64&distro=debian-12",
    source=PackageSource.DPKG,
)


def graft(name: str, owner: Package, soname: str | None = None) -> Graft:
    return Graft(
        source=f"/build/{name}.so.1.2",
        sha256=name[-1] * 64,
        size=1,
        soname=soname,
        new_name=name,
        member=f"Demo_x.libs/{name}",
        chain=(),
        edits=(),
        owner=owner,
    )


GRAFTS = (
    graft("liba", KNOWN, "liba.so.1"),
    graft("libb", Package(reason="nobody knows"), "libb.so.1"),
    graft("libc", Package()),
    graft("libd", replace(KNOWN, version="", purl=""), "libd.so.1"),
)


@pytest.fixture
def plan() -> Plan:
    name = parse_wheel_name("Demo_x-1.0+local.1-cp311-cp311-linux_x86_64.whl")
    return Plan(
        source=name,
        target=name,
        policy=builtin_policies(Arch.X86_64, Libc.GLIBC)[0],
        tags=None,
        grafts=GRAFTS,
        patches=(),
        exclude=(),
        strip=None,
        notes=(),
    )


def document(plan: Plan, moment: int | None = None) -> Any:
    return json.loads(render_sbom(plan, moment))


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["value"] for row in component["properties"]}


def test_the_wheel_is_what_it_is_about(plan: Plan) -> None:
    found = document(plan)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    wheel = found["metadata"]["component"]
    assert (wheel["name"], wheel["version"]) == ("Demo_x", "1.0+local.1")
    assert wheel["purl"] == "pkg:pypi/demo-x@1.0%2Blocal.1"
    (tool,) = found["metadata"]["tools"]["components"]
    assert (tool["name"], tool["version"]) == ("deloc8", __version__)


def test_every_graft_is_a_component(plan: Plan) -> None:
    found = {properties(row)["deloc8:member"]: row for row in document(plan)["components"]}
    assert set(found) == {graft.member for graft in GRAFTS}
    known = found["Demo_x.libs/liba"]
    assert (known["name"], known["version"], known["purl"]) == (KNOWN.name, KNOWN.version, KNOWN.purl)
    assert known["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert properties(known) == {
        "deloc8:member": "Demo_x.libs/liba",
        "deloc8:file": "liba.so.1.2",
        "deloc8:soname": "liba.so.1",
        "deloc8:package-source": "dpkg",
    }


def test_unknown_ones_are_listed_and_marked(plan: Plan) -> None:
    found = {properties(row)["deloc8:member"]: row for row in document(plan)["components"]}
    unknown, nameless = found["Demo_x.libs/libb"], found["Demo_x.libs/libc"]
    assert (unknown["name"], nameless["name"]) == ("libb.so.1", "libc.so.1.2")
    for component in (unknown, nameless):
        assert properties(component)["deloc8:package-source"] == "unknown"
        assert not {"version", "purl"} & set(component)
    assert found["Demo_x.libs/libd"]["name"] == "libpq5"


def test_the_wheel_depends_on_all_of_them(plan: Plan) -> None:
    found = document(plan)
    (edges,) = [row["dependsOn"] for row in found["dependencies"] if "dependsOn" in row]
    assert sorted(edges) == sorted(row["bom-ref"] for row in found["components"])


def test_the_folder_of_a_library_is_nobodys_business(plan: Plan) -> None:
    assert b"/build" not in render_sbom(plan, None)


def test_a_time_is_told_only_where_one_is_given(plan: Plan) -> None:
    assert "timestamp" not in document(plan)["metadata"]
    assert document(plan, 1_000_000_000)["metadata"]["timestamp"] == "2001-09-09T01:46:40+00:00"
    # The beginning of time is a time, too.
    assert document(plan, 0)["metadata"]["timestamp"] == "1970-01-01T00:00:00+00:00"


def test_the_document_is_in_the_order_of_its_keys(plan: Plan) -> None:
    contents = render_sbom(plan, 7)
    found = json.loads(contents)
    assert contents.decode() == json.dumps(found, indent=2, sort_keys=True) + "\n"
    serial = found.pop("serialNumber")
    assert serial == uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(found, sort_keys=True)).urn


def test_the_serial_number_is_one_of_the_contents(plan: Plan) -> None:
    serials = {
        document(plan)["serialNumber"],
        document(plan)["serialNumber"],
        document(plan, 0)["serialNumber"],
        document(replace(plan, grafts=GRAFTS[:1]))["serialNumber"],
    }
    assert len(serials) == 3
    assert all(serial.startswith("urn:uuid:") for serial in serials)


_PRINT = """
import sys
sys.path[:0] = {paths!r}
import importlib.util
spec = importlib.util.spec_from_file_location("cases", {file!r})
cases = importlib.util.module_from_spec(spec)
sys.modules["cases"] = cases
spec.loader.exec_module(cases)
sys.stdout.buffer.write(cases.render_sbom(cases.plan.__wrapped__(), 7))
"""


def test_the_bytes_do_not_depend_on_the_process(plan: Plan, top: Path) -> None:
    script = _PRINT.format(paths=[str(top / "src"), str(top / "tests")], file=__file__)
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environ)
        assert ended.stdout == render_sbom(plan, 7)


def test_odd_names_do_no_harm(plan: Plan) -> None:
    odd = replace(KNOWN, name="\ud800\n", version="\u00fc\0", purl="")
    (component,) = document(replace(plan, grafts=(graft("liba", odd),)))["components"]
    assert (component["name"], component["version"]) == (odd.name, odd.version)


def test_a_complete_list_has_no_problems(plan: Plan) -> None:
    assert list(sbom_problems(render_sbom(plan, None), plan)) == []


def test_what_is_missing_or_too_much_is_a_problem(plan: Plan) -> None:
    contents = render_sbom(plan, None)
    more = replace(plan, grafts=(*GRAFTS, graft("libe", KNOWN)))
    assert list(sbom_problems(contents, more)) == ["the bill of materials does not list Demo_x.libs/libe"]
    fewer = replace(plan, grafts=GRAFTS[1:])
    assert list(sbom_problems(contents, fewer)) == ["the bill of materials lists more than the grafts"]
    other = replace(plan, grafts=(*GRAFTS[1:], replace(GRAFTS[0], sha256="0" * 64)))
    assert list(sbom_problems(contents, other)) == ["the bill of materials does not list Demo_x.libs/liba"]


@pytest.mark.parametrize(
    "contents", [b"", b"{}", b"[]", b'{"components": [{"properties": [], "hashes": []}]}', b"\xff"]
)
def test_what_cannot_be_read_is_a_problem(plan: Plan, contents: bytes) -> None:
    (problem,) = sbom_problems(contents, plan)
    assert problem.startswith("the bill of materials cannot be read: ")
