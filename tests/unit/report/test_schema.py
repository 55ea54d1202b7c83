"""Every JSON document against its schema; jsonschema is the judge."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from deloc8.audit.violations import ViolationCode
from deloc8.diagnostic import Severity
from deloc8.elf.edit.vocabulary import Edit
from deloc8.repair.model import PackageSource, StripLevel
from deloc8.report.schema import schemas
from deloc8.report.to_json import SCHEMA
from kit.command import Command, run_program
from kit.elf import ABI_TAG, ET_EXEC, GLIBC, MACHINES, ElfSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, wants
from kit.stripping import put_strip_on_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

SCHEMAS: Any = schemas()
ISA_V3 = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libdeep.so.2", wants("GLIBC_2.27", soname="libdeep.so.2"))
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.5", needed=("libdeep.so.2",), soname="libfoo.so.1"))
    return scene


def grafts(scene: Scene) -> Path:
    program = wants(
        "GLIBC_2.5",
        needed=("libfoo.so.1",),
        type=ET_EXEC,
        interpreter="/lib64/ld-linux-x86-64.so.2",
        rpath="/build",
        notes=(ABI_TAG,),
    )
    more = wants("GLIBC_2.3", needed=("libpython3.11.so.1.0",), rpath="/build/lib")
    core = wants("GLIBC_2.14", needed=("libfoo.so.1",))
    return scene.wheel({CORE: core, "demo/more.so": more, "demo-1.0.data/scripts/run": program}, name="grafts")


def hopeless(scene: Scene) -> Path:
    symbols = (
        Undefined("new", "GLIBC_2.99", GLIBC),
        Undefined("zcalloc", None, None),
        Undefined("gzfread"),
        Undefined("PyFPE_jbuf"),
        Undefined("PyUnicodeUCS2_FromString"),
    )
    core = ElfSpec(
        needed=("lib\nevil\x1b.so", "libz.so.1", GLIBC), undefined=symbols, notes=(ISA_V3,), rpath="odd", gnu_stack=7
    )
    # DT_X86_64_PLT, which older loaders do not know.
    packed = ElfSpec(needed=(GLIBC,), relr=True, gnu_stack=None, entries=((0x70000000, 0),))
    tags = ("cp311-cp311-manylinux_2_17_x86_64.win_amd64",)
    members = {CORE: core, "demo/packed.so": packed, "demo/arm.so": MACHINES["aarch64"]}
    return scene.wheel(members, name="hopeless", tags=tags)


def musl(scene: Scene) -> Path:
    core = ElfSpec(needed=("libc.musl-x86_64.so.1",), undefined=(Undefined("statx"),))
    return scene.wheel({CORE: core}, name="musl", tags=("cp311-cp311-musllinux_1_2_x86_64",))


def pure(scene: Scene) -> Path:
    return scene.wheel({"demo/__init__.py": b""}, name="pure", tags=("py3-none-any",))


def broken(scene: Scene) -> Path:
    path = scene.folder / "broken-1.0-py3-none-any.whl"
    path.write_bytes(b"no zip")
    return path


def missing(scene: Scene) -> Path:
    return scene.folder / "missing-1.0-py3-none-any.whl"


WHEELS = (grafts, hopeless, musl, pure, broken, missing)
COMMANDS = {
    "show": ("show",),
    "show-pure": ("show", "--allow-pure-python-wheel", "--exclude", "libno*"),
    "fixup": ("fixup",),
    "fixup-pure": ("fixup", "--allow-pure-python-wheel", "--no-update-tags", "--no-sbom"),
    "dry-run": ("fixup", "--dry-run", "--strip", "debug"),
    "dry-run-pure": ("fixup", "--dry-run", "--allow-pure-python-wheel"),
    "tree": ("tree",),
}


def problems(document: Any, name: str) -> list[str]:
    validator = Draft202012Validator(SCHEMAS[name])
    return [f"{error.json_path}: {error.message[:500]}" for error in validator.iter_errors(document)]


@pytest.fixture(autouse=True)
def _strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planned with --strip is a plan, and no error, on a machine without binutils."""
    put_strip_on_path(tmp_path / "tools", monkeypatch)


def run(scene: Scene, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> Any:
    command = [*arguments, "--format", "json", "--sysroot", str(scene.root)]
    if arguments[0] == "fixup":
        command += ["-w", str(scene.folder / "out")]
    return Command(capsys)(*command, *(wheel(scene) for wheel in WHEELS)).json


def test_there_is_a_schema_for_every_document_and_it_names_itself() -> None:
    commands = {arguments[0] for arguments in COMMANDS.values()}
    assert set(SCHEMAS) >= commands | {"policies", "error"}
    for name, schema in SCHEMAS.items():
        assert schema["$id"] == f"urn:deloc8:{name}:{SCHEMA}"
        assert schema["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_and_closed(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)
    for part in parts(schema):
        if "properties" in part:
            assert part["additionalProperties"] is False, part
            # A typo in `required` would ask for a key that may not be there.
            assert set(part["required"]) <= set(part["properties"]), part
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from parts(value)


def test_what_several_schemas_define_is_the_same() -> None:
    known: dict[str, Any] = {}
    for schema in SCHEMAS.values():
        for name, definition in schema["$defs"].items():
            assert known.setdefault(name, definition) == definition, name


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=list(COMMANDS))
def test_documents_of_commands_on_wheels(
    scene: Scene, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    document = run(scene, capsys, arguments)
    assert problems(document, arguments[0]) == []
    assert len(document.get("wheels", document.get("paths"))) == len(WHEELS)


def test_documents_hold_every_kind_of_value(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a key could be missing from the schemas unnoticed."""
    told = json.dumps([run(scene, capsys, arguments) for arguments in COMMANDS.values()])
    for text in ("proven", "moved_to", "remove-needed", "replace-needed", "set-soname", "set-rpath", "remove-rpath"):
        assert f'"{text}"' in told
    for code in ViolationCode:
        if code not in {ViolationCode.FORBIDDEN_SYMBOL, ViolationCode.EXECUTED_STACK}:
            assert f'"{code.value}"' in told
    for truth in ("true", "false", "not judged"):
        assert f'"truth": "{truth}"' in told


def test_enumerations_name_every_member() -> None:
    defined = {name: definition for schema in SCHEMAS.values() for name, definition in schema["$defs"].items()}
    assert defined["violation"]["properties"]["code"]["enum"] == [code.value for code in ViolationCode]
    assert defined["diagnostic"]["properties"]["severity"]["enum"] == [severity.value for severity in Severity]
    assert defined["package"]["properties"]["source"]["enum"] == [source.value for source in PackageSource]
    assert SCHEMAS["fixup"]["$defs"]["plan"]["properties"]["strip"]["enum"] == [None, *(at.value for at in StripLevel)]
    kinds = {option["properties"]["edit"]["const"] for option in defined["edit"]["oneOf"]}
    assert len(kinds) == len(Edit.__args__)


@pytest.mark.parametrize("arguments", [(), ("--arch", "s390x"), ("--arch", "aarch64", "--libc", "musl")])
def test_the_document_of_policies(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    document = Command(capsys)("policies", "--format", "json", *arguments).json
    assert problems(document, "policies") == []


def test_an_error_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = Command(capsys)("policies", "--format", "json", "--arch", "pdp11").json
    assert document["error"]["code"] == "unknown-machine"
    assert problems(document, "error") == []


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=list(COMMANDS))
def test_a_new_key_must_be_declared(
    scene: Scene, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    document = run(scene, capsys, arguments)
    document["wheels" if "wheels" in document else "paths"][0]["news"] = 1
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS[arguments[0]]).validate(document)


def test_documents_do_not_depend_on_the_order_of_sets(scene: Scene) -> None:
    wheels = [grafts(scene), hopeless(scene)]
    for arguments in (("show",), ("fixup", "--dry-run"), ("tree",)):
        told = {
            run_program(
                *arguments, "--format", "json", "--sysroot", scene.root, *wheels, environ={"PYTHONHASHSEED": seed}
            ).out
            for seed in ("1", "2", "3")
        }
        assert len(told) == 1
        assert json.loads(told.pop())


def test_lists_without_an_order_are_sorted(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = run(scene, capsys, ("show",))["wheels"]
    for value in (first, second):
        assert list(value["external_libraries"]) == sorted(value["external_libraries"])
        assert list(value["versioned_symbols"]) == sorted(value["versioned_symbols"])
        for policy in value["policies"]:
            assert policy["libraries_to_graft"] == sorted(policy["libraries_to_graft"])
    planned = run(scene, capsys, ("fixup", "--dry-run"))["wheels"][0]
    assert planned["tags"] == sorted(planned["tags"])


def keys_in_order(schema: Any, values: list[Any], pick: Callable[[Any], bool]) -> None:
    order = list(schema["properties"])
    for value in filter(pick, values):
        assert list(value) == [key for key in order if key in value]


def test_keys_come_in_the_order_of_the_schema(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(scene, capsys, ("show",))
    assert list(shown) == list(SCHEMAS["show"]["properties"])
    keys_in_order(SCHEMAS["show"]["$defs"]["audit"], shown["wheels"], lambda value: "policies" in value)
    done = run(scene, capsys, ("fixup",))
    assert list(done) == list(SCHEMAS["fixup"]["properties"])
    keys_in_order(SCHEMAS["fixup"]["$defs"]["outcome"], done["wheels"], lambda value: "proven" in value)
