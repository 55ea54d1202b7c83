"""The workflows, judged by zizmor and by a fork of actionlint; each must also see what it is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from kit.require import require

TOP = Path(__file__).resolve().parents[2]
WORKFLOWS = TOP / ".github" / "workflows"


class Fault(NamedTuple):
    """A fault in a workflow: the text that is there, what takes its place, and the name of the finding."""

    program: str
    workflow: str
    sound: str
    fault: str
    finding: str


CACHED = '        with:\n          python-version: "3.12"'
UPLOADED = "with:\n          packages-dir: dist"
ALONE = "concurrency:\n  group: release-${{ github.ref }}\n  cancel-in-progress: false\n"
STORED = "with: {password: '${{ secrets.TOKEN }}'}"
PUBLISHER = "@cef221092ed1bacb1cc03d23a2d87d1d172e277b # v1.14.0"

FAULTS = (
    Fault("zizmor", "release.yml", PUBLISHER, "@release/v1", "unpinned-uses"),
    Fault("zizmor", "ci.yml", "\n        with:\n          persist-credentials: false", "", "artipacked"),
    Fault("zizmor", "ci.yml", "debian:bookworm@sha256:", "debian:bookworm #", "unpinned-images"),
    Fault("zizmor", "ci.yml", "permissions: {}", "permissions: write-all", "excessive-permissions"),
    Fault("zizmor", "ci.yml", "  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
    Fault("zizmor", "ci.yml", "run: make audit", "run: make audit ${{ github.head_ref }}", "template-injection"),
    Fault("zizmor", "release.yml", CACHED, "        with: {cache: pip}", "cache-poisoning"),
    Fault("zizmor", "release.yml", UPLOADED, STORED, "use-trusted-publishing"),
    Fault("jactionlint", "release.yml", "[reproduce, test]", "[reproduce, tested]", "undefined-job-needs"),
    Fault("jactionlint", "ci.yml", "runs-on: ubuntu-latest", "runs-on: ubuntu-newest", "unknown-runner-label"),
    Fault("jactionlint", "ci.yml", "${{ matrix.python }}", "${{ matrix.pythons }}", "undefined-property"),
    Fault("jactionlint", "ci.yml", "persist-credentials", "persist-credential", "unknown-action-input"),
    Fault("jactionlint", "ci.yml", "    timeout-minutes: 20\n", "", "missing-timeout"),
    Fault("jactionlint", "release.yml", ALONE, "", "concurrency-limits"),
)
PROGRAMS = ("jactionlint", "zizmor")


def judged(program: str, folder: Path) -> tuple[int, str]:
    """The exit code of a linter, as `make lint` calls it, and what it says of the workflows of a folder."""
    beside = Path(sys.executable).with_name(program)
    command = [str(beside) if beside.exists() else require(program, f"PyPI: {program}")]
    if program == "zizmor":
        command += ["--offline", "--quiet", "--persona", "pedantic", "--color", "never", str(folder)]
    else:
        command += ["--shellcheck=", "--pyflakes=", *map(str, sorted(folder.glob("*.yml")))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_workflows_are_sound(program: str) -> None:
    code, said = judged(program, WORKFLOWS)
    assert code == 0, said


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.finding)
def test_a_fault_in_a_workflow_is_found(case: Fault, tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (WORKFLOWS / case.workflow).read_text("utf-8")
    assert case.sound in text
    (folder / case.workflow).write_text(text.replace(case.sound, case.fault), "utf-8")
    code, said = judged(case.program, folder)
    assert code != 0
    assert case.finding in said


def test_make_lint_asks_both() -> None:
    makefile = (TOP / "Makefile").read_text("utf-8")
    (recipe,) = (part for part in makefile.split("\n\n") if part.startswith("lint:"))
    assert [program for program in PROGRAMS if f"$(BIN)/{program} " in recipe] == list(PROGRAMS)
