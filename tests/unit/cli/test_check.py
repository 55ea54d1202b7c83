from __future__ import annotations

import importlib
import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kit.command import Command, program
from kit.faults import FAULTS, SOUND, core, scene_for_checks

if TYPE_CHECKING:
    from pathlib import Path

    from kit.scene import Scene


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_for_checks(tmp_path)


def where(scene: Scene) -> tuple[str, str]:
    return "--sysroot", str(scene.root)


def test_a_true_wheel(command: Command, scene: Scene) -> None:
    wheel = core(SOUND)(scene)
    assert command("check", wheel, *where(scene)) == (0, f"{wheel.name}: all that it claims is true\n", "")


def test_a_warning_does_not_change_the_exit_code(command: Command, scene: Scene) -> None:
    code, out, err = command("check", FAULTS["text-relocations"](scene), *where(scene))
    assert (code, err) == (0, "")
    assert out.startswith("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl: 1 warning\n  warning: demo/_core.so: ")


def test_a_selected_warning_does(command: Command, scene: Scene) -> None:
    result = command("check", FAULTS["text-relocations"](scene), "--select", "text-*", *where(scene))
    assert result.code == 1
    assert "  error: demo/_core.so: " in result.out


def test_an_ignored_error_does_not(command: Command, scene: Scene) -> None:
    wheel = FAULTS["executable-stack"](scene)
    assert command("check", wheel, *where(scene)).code == 1
    result = command("check", wheel, "--ignore", "executable-stack", *where(scene))
    assert (result.code, result.out) == (0, f"{wheel.name}: all that it claims is true\n")


def test_the_sum_of_several_wheels(command: Command, scene: Scene) -> None:
    broken = FAULTS["not-a-zip"](scene)
    result = command("check", broken, core(SOUND)(scene), *where(scene))
    assert (result.code, result.err) == (1, "1 of 2 wheels failed\n")
    assert "[not-a-zip]" in result.out
    assert "all that it claims is true" in result.out


def test_json(command: Command, scene: Scene) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema judges documents by our schema")
    from deloc8.report.schema import schemas  # noqa: PLC0415  beside the module that judges by it

    wheels = [FAULTS["not-a-zip"](scene), FAULTS["debug-sections"](scene)]
    code, out, _ = command("check", *wheels, "--format", "json", *where(scene))
    document = json.loads(out)
    jsonschema.Draft202012Validator(schemas()["check"]).validate(document)
    assert (code, document["command"]) == (1, "check")
    assert [(row["wheel"], row["passed"], [f["code"] for f in row["findings"]]) for row in document["wheels"]] == [
        (wheels[0].name, False, ["not-a-zip"]),
        (wheels[1].name, True, ["debug-sections"]),
    ]


def test_sarif(command: Command, scene: Scene) -> None:
    wheel = FAULTS["false-tag"](scene)
    code, out, _ = command("check", wheel, "--format", "sarif", *where(scene))
    (run,) = json.loads(out)["runs"]
    (result,) = run["results"]
    assert (code, result["ruleId"], result["level"]) == (1, "false-tag", "error")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "false-tag"


def test_annotations(command: Command, scene: Scene) -> None:
    code, out, _ = command("check", FAULTS["false-tag"](scene), "--format", "github", *where(scene))
    assert code == 1
    assert out.startswith("::error file=")
    assert out.count("\n") == 1


def test_the_contract_of_cibuildwheels_audit_command(scene: Scene) -> None:
    # It runs the command by a shell, with {wheel} replaced, and goes by the exit code.
    template = f"{shlex.join(program('check', *where(scene)))} {{wheel}}"
    for code, build in ((0, core(SOUND)), (1, FAULTS["isa-level"])):
        wheel = build(scene)
        line = template.replace("{wheel}", shlex.quote(str(wheel)))
        ended = subprocess.run(["sh", "-c", line], capture_output=True, check=False, timeout=60)
        assert ended.returncode == code, ended.stderr


# -- which findings count


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_a_code_that_does_not_exist(command: Command, scene: Scene, option: str) -> None:
    code, out, err = command("check", "a.whl", option, "no-such", *where(scene))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {option}: `no-such` is the code of no finding [unknown-code]\n")


def config(scene: Scene, text: str) -> None:
    (scene.folder / "pyproject.toml").write_text(text, "utf-8")


def test_the_project_may_choose(command: Command, scene: Scene) -> None:
    wheel = FAULTS["executable-stack"](scene)
    config(scene, '[tool.deloc8]\nignore = ["executable-stack"]\n')
    assert command("check", wheel, *where(scene)).code == 0
    config(scene, '[tool.deloc8]\nignore = ["*"]\nselect = ["text-*"]\n')
    assert command("check", wheel, *where(scene)).code == 0
    assert command("check", wheel, "--select", "executable-stack", *where(scene)).code == 1


# Many parts, but of one key no more than a hundred.
LONG = f"{'.'.join('a' * 100)} = '{'1.2.3, ' * 100}'\n" + "".join(f"b.c.d{number} = 1.5\n" for number in range(300))


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "tool = 5\n", "[tool.other]\nselect = 5\n", LONG])
def test_other_peoples_keys_do_not_matter(command: Command, scene: Scene, text: str) -> None:
    config(scene, text)
    assert command("check", core(SOUND)(scene), *where(scene)).code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.deloc8\n", "pyproject.toml: it is no TOML [bad-config]"),
        ("tool.deloc8 = 5\n", "pyproject.toml: tool.deloc8 is no table [bad-config]"),
        ("[tool.deloc8]\nselekt = []\n", "pyproject.toml: tool.deloc8.selekt is unknown [bad-config]"),
        ("[tool.deloc8]\nselect = 'x'\n", "pyproject.toml: tool.deloc8.select is no list of texts [bad-config]"),
        (f"{'a.' * 50_000}a = 1\n", "pyproject.toml: it is nested too deeply [bad-config]"),
        (f"[{'a.' * 50_000}a]\n", "pyproject.toml: it is nested too deeply [bad-config]"),
        (
            f"['{'.'.join('a' * 150)}'.{'.'.join(['x'] * 100)}]\n",
            "pyproject.toml: it is nested too deeply [bad-config]",
        ),
        (r'["a\"b"' + ' . "a\\"b"' * 100 + "]\n", "pyproject.toml: it is nested too deeply [bad-config]"),
        (f"a = {'[' * 5000}\n", "pyproject.toml: it is no TOML [bad-config]"),
        ("[tool.deloc8]\nignore = [5]\n", "pyproject.toml: tool.deloc8.ignore is no list of texts [bad-config]"),
        (
            "[tool.deloc8]\nignore = ['no-such']\n",
            "pyproject.toml: tool.deloc8.ignore: `no-such` is the code of no finding [unknown-code]",
        ),
    ],
)
def test_a_wrong_table_is_one_error_that_names_the_key(command: Command, scene: Scene, text: str, said: str) -> None:
    config(scene, text)
    code, out, err = command("check", "a.whl", *where(scene))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}\n")


def test_a_file_that_cannot_be_read(command: Command, scene: Scene) -> None:
    (scene.folder / "pyproject.toml").mkdir()
    code, _, err = command("check", "a.whl", *where(scene))
    assert code == 2
    assert err.startswith("error: pyproject.toml: it cannot be read [bad-config]\n")


def test_a_configuration_that_is_no_text(command: Command, scene: Scene) -> None:
    (scene.folder / "pyproject.toml").write_bytes(b"[tool.deloc8]\nignore = ['\xff']")
    code, _, err = command("check", "a.whl", *where(scene))
    assert code == 2
    assert err.startswith("error: pyproject.toml: it cannot be read [bad-config]\n  'utf-8' codec can't decode")


@pytest.mark.parametrize(("version", "module"), [((3, 10), "tomli"), ((3, 11), "tomllib")])
def test_the_reader_is_that_of_the_python(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, version: tuple[int, int], module: str
) -> None:
    class Reader:
        @staticmethod
        def loads(text: str) -> dict[str, object]:
            return {"tool": {"deloc8": {"ignore": [text]}}}

    from deloc8.cli.config import read_config  # noqa: PLC0415  it looks at the version when it is called

    config(scene, "x")
    monkeypatch.chdir(scene.folder)
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(importlib, "import_module", {module: Reader}.__getitem__)
    assert read_config()["ignore"] == ("x",)


def test_a_policy_file_that_is_unsound_is_no_finding(command: Command, scene: Scene) -> None:
    policy = scene.folder / "policy.json"
    policy.write_text("[")
    code, out, err = command("check", core(SOUND)(scene), "--policy", policy, *where(scene))
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
