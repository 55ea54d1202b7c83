from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import WheelError
from deloc8.report.to_json import (
    SCHEMA,
    audit_value,
    diagnostic_value,
    document,
    error_document,
    failed_wheel,
    outcome_value,
    plan_value,
)
from kit.bench import EXT, Bench
from kit.elf import ABI_TAG, ET_EXEC, GLIBC, ElfSpec
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def as_json(value: object) -> Any:
    """The value as a reader of the document gets it."""
    return json.loads(json.dumps(value))


def test_what_show_says_of_a_wheel(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.27", soname="libfoo.so.1"))
    audit = scene.judge(
        wants("GLIBC_2.14", needed=("libfoo.so.1", "libno.so")), tag="manylinux_2_12_x86_64.manylinux2010_x86_64"
    )
    value = as_json(audit_value(audit))
    policies = value.pop("policies")
    assert value.pop("distributions")["repaired_to"] is None
    assert value == {
        "wheel": "demo-1.0-cp311-cp311-manylinux_2_12_x86_64.manylinux2010_x86_64.whl",
        "pure": False,
        "overall_tag": "linux_x86_64",
        "claimed_tags": [
            {"tag": "manylinux_2_12_x86_64", "truth": "false", "reason": "the compiled files need more"},
            {"tag": "manylinux2010_x86_64", "truth": "false", "reason": "the compiled files need more"},
        ],
        "machine": "x86_64",
        "libc": "glibc",
        "versioned_symbols": {"libc.so.6": ["GLIBC_2.14"]},
        "external_libraries": {
            "libc.so.6": "/usr/lib/libc.so.6",
            "libfoo.so.1": "/usr/lib/libfoo.so.1",
            "libno.so": None,
        },
        "notices": [],
        "dlopened": [],
    }
    by_name = {policy["name"]: policy for policy in policies}
    assert by_name["linux_x86_64"] == {
        "name": "linux_x86_64",
        "aliases": [],
        "satisfied": True,
        "reachable": True,
        "libraries_to_graft": [],
        "violations": [],
    }
    policy = by_name["manylinux_2_17_x86_64"]
    assert policy["aliases"] == ["manylinux2014_x86_64"]
    assert (policy["satisfied"], policy["reachable"]) == (False, False)
    assert policy["libraries_to_graft"] == ["libfoo.so.1", "libno.so"]
    nothing = {"symbol": None, "version": None, "since": None}
    assert policy["violations"] == [
        {"code": "library-not-allowed", "file": CORE, "library": "libfoo.so.1", "chain": [CORE], **nothing},
        {"code": "library-not-found", "file": CORE, "library": "libno.so", "chain": [CORE], **nothing},
        {
            "code": "symbol-too-new",
            "file": "/usr/lib/libfoo.so.1",
            "symbol": "use0",
            "version": "GLIBC_2.27",
            "since": None,
            "library": "libc.so.6",
            "chain": [CORE, "libfoo.so.1"],
        },
    ]


def test_a_pure_wheel_has_no_facts_of_files(scene: Scene) -> None:
    assert as_json(audit_value(scene.audit({"demo/a.py": b""}, tags=("py3-none-any",)))) == {
        "wheel": "demo-1.0-py3-none-any.whl",
        "pure": True,
        "overall_tag": None,
        "claimed_tags": [{"tag": "any", "truth": "true", "reason": ""}],
        "machine": None,
        "libc": None,
    }


def test_notices_stand_in_the_value(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_2.5"), exclude=("nothing*",))
    (notice,) = as_json(audit_value(audit))["notices"]
    assert (notice["code"], notice["severity"], notice["subject"]) == ("exclude-without-match", "warning", "nothing*")


def test_documents_carry_the_schema_and_the_command() -> None:
    assert document("show", [{"wheel": "a"}]) == {"schema": SCHEMA, "command": "show", "wheels": [{"wheel": "a"}]}
    assert SCHEMA == 1


ERROR = WheelError("it is odd", code="odd", context=("here", "there"), notes=("by the way",), hints=("mend it",))
ERROR_VALUE = {
    "code": "odd",
    "message": "it is odd",
    "context": ["here", "there"],
    "notes": ["by the way"],
    "hints": ["mend it"],
}


def test_errors_are_values_too() -> None:
    assert failed_wheel("a.whl", ERROR) == {"wheel": "a.whl", "error": ERROR_VALUE}
    assert error_document("policies", ERROR) == {"schema": 1, "command": "policies", "error": ERROR_VALUE}


def test_a_finding() -> None:
    finding = Diagnostic(
        code="odd", severity=Severity.NOTE, subject="a.so", message="it is odd", context=("here",), hints=("mend it",)
    )
    assert as_json(diagnostic_value(finding)) == {
        "code": "odd",
        "severity": "note",
        "subject": "a.so",
        "message": "it is odd",
        "context": ["here"],
        "hints": ["mend it"],
    }


def test_what_a_repair_would_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    source = bench.library("/usr/lib/libfoo.so.1", needed=(GLIBC,))
    plan = bench.plan(bench.extension(needed=("libfoo.so.1", GLIBC)))
    value = as_json(plan_value(plan))
    assert value["wheel"] == "demo-1.0-cp311-cp311-linux_x86_64.whl"
    assert value["result"] == plan.target.filename
    assert value["policy"] == "manylinux_2_5_x86_64"
    assert sorted(value["tags"]) == ["cp311-cp311-manylinux1_x86_64", "cp311-cp311-manylinux_2_5_x86_64"]
    (graft,) = value["grafts"]
    assert (graft["source"], graft["soname"]) == (source, "libfoo.so.1")
    assert graft["member"] == f"demo.libs/{graft['new_name']}"
    assert graft["chain"] == [EXT, "libfoo.so.1"]
    assert {"edit": "set-soname", "soname": graft["new_name"]} in graft["edits"]
    (patch,) = value["patches"]
    assert patch["member"] == EXT
    assert {"edit": "replace-needed", "old": "libfoo.so.1", "new": graft["new_name"]} in patch["edits"]
    assert {"edit": "set-rpath", "path": "$ORIGIN/../demo.libs", "kind": "rpath"} in patch["edits"]
    assert value["strip"] is None


def test_what_a_repair_leaves_alone_and_what_it_moves(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.library("/usr/lib/libfoo.so.1")
    spec = ElfSpec(
        type=ET_EXEC, interpreter="/lib64/ld-linux-x86-64.so.2", needed=("libfoo.so.1", GLIBC), notes=(ABI_TAG,)
    )
    plan = bench.plan(bench.wheel({"demo-1.0.data/scripts/run": spec}), update_tags=False)
    value = as_json(plan_value(plan))
    assert value["tags"] is None
    assert [patch["moved_to"] for patch in value["patches"]] == ["demo.scripts/run"]


def test_what_a_repair_did(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.repair(bench.extension(needed=(GLIBC,)))
    value = as_json(outcome_value(outcome))
    assert value["output"] == str(outcome.path)
    assert value["size"] == outcome.path.stat().st_size
    assert len(value["sha256"]) == 64
    assert value["proven"]
    assert all(isinstance(name, str) for name in value["proven"])
    assert value["encoder"]
